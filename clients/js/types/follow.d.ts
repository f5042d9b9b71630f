/**
 * @typedef {{ message: Message } | { open: true } | { reset: Reset }} Step what came: a message; the beginning of a
 *   connection that went on from no id; a reset
 */
/**
 * Follows any number of streams as one, over every disconnect, without gap or repeat (`GET /v1/events`). It reads no
 * faster than its caller takes.
 *
 * @example
 * for await (const message of follow(api, ["duels/*", "news"])) console.log(message.stream, message.json());
 *
 * @param {import("./api.js").Api} api
 * @param {string | string[]} streams paths below `/v1/stream/`; a segment `*` stands for one segment, `**` for any number
 * @param {FollowOptions} [options]
 * @returns {AsyncGenerator<Message, void>}
 * @throws {RequestError | ResetError}
 */
export function follow(api: import("./api.js").Api, streams: string | string[], options?: FollowOptions): AsyncGenerator<Message, void>;
/**
 * The same with its beginnings and resets in their places among the messages.
 * @param {import("./api.js").Api} api
 * @param {string | string[]} streams
 * @param {FollowOptions} [options]
 * @returns {AsyncGenerator<Step, void>}
 */
export function steps(api: import("./api.js").Api, streams: string | string[], options?: FollowOptions): AsyncGenerator<Step, void>;
/**
 * @typedef {object} FollowState
 * @property {"connecting" | "live" | "denied" | "over"} name `denied`: 401 or 403. `over`: every stream is closed and
 *   was read to its end
 * @property {number} since when it was last live (Unix ms); 0 while it is
 * @property {boolean} fresh it began without an id: what came before was not seen
 * @property {unknown} [error] why it is not live
 */
/**
 * @typedef {object} FollowOptions
 * @property {"now" | "start"} [from] where it begins without an id ("now")
 * @property {string} [lastEventId] the id of the last message that was dealt with: it goes on behind it
 * @property {string} [event] `stream` (default): messages say their stream. `member:NAME`: they are named after that member
 *   of their JSON
 * @property {string} [ticket] in place of a token or a cookie
 * @property {AbortSignal} [signal] ends it
 * @property {number} [silence] after so many ms without a word the connection is taken for dead (40000)
 * @property {(state: FollowState) => void} [onState]
 * @property {(reset: Reset) => void} [onReset] messages were lost or are another stream's; without it, that ends the following with a ResetError
 * @property {(streams: string[]) => void} [onStreams] which streams it takes in: at the beginning of each connection, and when a
 *   pattern takes in another
 * @property {() => void} [onExpired] the token or cookie has ended, or may this no longer: the next attempt shows what it is worth
 * @property {(error: RequestError) => boolean} [giveUp] whether an answer is final. Without: every 4xx that is not
 *   408, 425 or 429 is, and is thrown
 * @property {import("./retry.js").BackoffOptions} [backoff] between attempts
 */
/**
 * @typedef {object} Reset
 * @property {string | null} stream
 * @property {"trimmed" | "deleted" | "recreated" | "rewound" | "unknown"} reason
 */
/** Messages of a stream are gone, or it is another one than before; what follows goes on from the first there is. */
export class ResetError extends Error {
    /** @param {Reset} reset */
    constructor({ stream, reason }: Reset);
    stream: string | null;
    reason: "unknown" | "trimmed" | "deleted" | "recreated" | "rewound";
}
/** One message of a stream. */
export class Message {
    /**
     * @param {{ stream: string | null, event: string, id: string, data: string, base64: boolean }} parts
     */
    constructor({ stream, event, id, data, base64 }: {
        stream: string | null;
        event: string;
        id: string;
        data: string;
        base64: boolean;
    });
    /** Its stream's path below `/v1/stream/`; null where that cannot be told (`event: member:...` of several). */
    stream: string | null;
    /** What the server named the event. */
    event: string;
    /** Where a reader of all the streams stands who has dealt with it: `lastEventId` of the next following. */
    id: string;
    /** As it came. */
    data: string;
    /** @returns {any} */
    json(): any;
    /** @returns {string} */
    text(): string;
    /** @returns {Uint8Array} */
    bytes(): Uint8Array;
    #private;
}
/**
 * what came: a message; the beginning of a
 *   connection that went on from no id; a reset
 */
export type Step = {
    message: Message;
} | {
    open: true;
} | {
    reset: Reset;
};
export type FollowState = {
    /**
     * `denied`: 401 or 403. `over`: every stream is closed and
     * was read to its end
     */
    name: "connecting" | "live" | "denied" | "over";
    /**
     * when it was last live (Unix ms); 0 while it is
     */
    since: number;
    /**
     * it began without an id: what came before was not seen
     */
    fresh: boolean;
    /**
     * why it is not live
     */
    error?: unknown;
};
export type FollowOptions = {
    /**
     * where it begins without an id ("now")
     */
    from?: "start" | "now" | undefined;
    /**
     * the id of the last message that was dealt with: it goes on behind it
     */
    lastEventId?: string | undefined;
    /**
     * `stream` (default): messages say their stream. `member:NAME`: they are named after that member
     * of their JSON
     */
    event?: string | undefined;
    /**
     * in place of a token or a cookie
     */
    ticket?: string | undefined;
    /**
     * ends it
     */
    signal?: AbortSignal | undefined;
    /**
     * after so many ms without a word the connection is taken for dead (40000)
     */
    silence?: number | undefined;
    onState?: ((state: FollowState) => void) | undefined;
    /**
     * messages were lost or are another stream's; without it, that ends the following with a ResetError
     */
    onReset?: ((reset: Reset) => void) | undefined;
    /**
     * which streams it takes in: at the beginning of each connection, and when a
     * pattern takes in another
     */
    onStreams?: ((streams: string[]) => void) | undefined;
    /**
     * the token or cookie has ended, or may this no longer: the next attempt shows what it is worth
     */
    onExpired?: (() => void) | undefined;
    /**
     * whether an answer is final. Without: every 4xx that is not
     * 408, 425 or 429 is, and is thrown
     */
    giveUp?: ((error: RequestError) => boolean) | undefined;
    /**
     * between attempts
     */
    backoff?: import("./retry.js").BackoffOptions | undefined;
};
export type Reset = {
    stream: string | null;
    reason: "trimmed" | "deleted" | "recreated" | "rewound" | "unknown";
};
import { RequestError } from "./api.js";
