/** Another producer of the same id and a later epoch writes now: this one will never write again. */
export class FencedError extends Error {
    /** @param {number} epoch the one that writes */
    constructor(epoch: number);
    epoch: number;
}
/** More waits to be written than may wait; nothing of this append was taken. */
export class QueueFullError extends Error {
    constructor();
}
/**
 * @typedef {object} ProducerOptions
 * @property {string} [id] who writes. Without: one of its own, so that nobody fences it
 * @property {number} [epoch] which life of that writer: a later one fences the earlier ones. Without: the time (Unix ms) where
 *   there is an `id`, else 0
 * @property {boolean} [claim] where a later life than this has written: take over with the epoch behind its own before the
 *   first message, instead of a FencedError
 * @property {string} [contentType] of the stream ("application/json")
 * @property {number} [waitingMax] appends that may wait (1000); beyond: QueueFullError
 * @property {number} [batchBytes] of one POST, several messages of a JSON stream together (262144)
 * @property {number} [attempts] of one POST (Infinity)
 * @property {number} [timeout] of one attempt, ms (15000)
 * @property {AbortSignal} [signal] ends it: what waits fails
 * @property {import("./retry.js").BackoffOptions} [backoff]
 */
/**
 * @typedef {{ text: string | Uint8Array, size: number, resolve: (value: { offset: string | null }) => void,
 *   reject: (error: unknown) => void }} Waiting
 */
/**
 * Writes to one stream, in the order in which it is told to, each message exactly once: a POST whose answer was lost is
 * repeated with its number until it is answered. One is under way at a time; what is appended meanwhile goes together.
 */
export class Producer {
    /**
     * @param {import("./api.js").Api} api
     * @param {string} path of the stream, below `/v1/stream/`
     * @param {ProducerOptions} [options]
     */
    constructor(api: import("./api.js").Api, path: string, options?: ProducerOptions);
    /** Who writes. */
    id: string;
    /** Which life of it. */
    epoch: number;
    /**
     * Appends one message; of a JSON stream: any value, else text or bytes. Resolves when it is on the server's disk, with
     * the stream's offset behind it (null: it was there already). After a failure whatever waited behind it fails, too.
     * @param {unknown} message
     * @returns {Promise<{ offset: string | null }>}
     * @throws {RequestError | FencedError | QueueFullError}
     */
    append(message: unknown): Promise<{
        offset: string | null;
    }>;
    /** When all that was appended until now is written, or has failed. It never throws: the appends have. */
    flush(): Promise<void>;
    #private;
}
export type ProducerOptions = {
    /**
     * who writes. Without: one of its own, so that nobody fences it
     */
    id?: string | undefined;
    /**
     * which life of that writer: a later one fences the earlier ones. Without: the time (Unix ms) where
     * there is an `id`, else 0
     */
    epoch?: number | undefined;
    /**
     * where a later life than this has written: take over with the epoch behind its own before the
     * first message, instead of a FencedError
     */
    claim?: boolean | undefined;
    /**
     * of the stream ("application/json")
     */
    contentType?: string | undefined;
    /**
     * appends that may wait (1000); beyond: QueueFullError
     */
    waitingMax?: number | undefined;
    /**
     * of one POST, several messages of a JSON stream together (262144)
     */
    batchBytes?: number | undefined;
    /**
     * of one POST (Infinity)
     */
    attempts?: number | undefined;
    /**
     * of one attempt, ms (15000)
     */
    timeout?: number | undefined;
    /**
     * ends it: what waits fails
     */
    signal?: AbortSignal | undefined;
    backoff?: import("./retry.js").BackoffOptions | undefined;
};
export type Waiting = {
    text: string | Uint8Array;
    size: number;
    resolve: (value: {
        offset: string | null;
    }) => void;
    reject: (error: unknown) => void;
};
