export { Clock } from "./clock.js";
/**
 * @typedef {object} StreamInfo
 * @property {string} contentType
 * @property {string} offset its tail
 * @property {boolean} closed
 */
/**
 * @typedef {object} CreateOptions
 * @property {string} [contentType] ("application/json")
 * @property {unknown} [data] its first data: of a JSON stream any value (an array's elements are messages), else text or bytes
 * @property {number} [ttl] seconds without a use after which it goes
 * @property {Date} [expiresAt] when it goes
 * @property {boolean} [closed] nothing may be appended any more
 * @property {{ path: string, offset?: string }} [forkOf] it begins with what another one has, up to that offset
 */
/**
 * @typedef {object} Page
 * @property {any[]} messages of a JSON stream; else empty
 * @property {Uint8Array} bytes as they came
 * @property {string} offset behind it
 * @property {boolean} upToDate there is no more at the moment
 * @property {boolean} closed there will be no more
 */
/** Streams: durable logs, each at a path. */
export class Streams {
    /** @param {import("./api.js").Api} api */
    constructor(api: import("./api.js").Api);
    /**
     * Makes a stream; one that is there with the same configuration is fine.
     * @param {string} path below `/v1/stream/`
     * @param {CreateOptions} [options]
     * @returns {Promise<boolean>} whether it was made now
     */
    create(path: string, { contentType, data, ttl, expiresAt, closed, forkOf }?: CreateOptions): Promise<boolean>;
    /**
     * Appends one message exactly once, in order with the others that this object appends to that stream.
     * @param {string} path
     * @param {unknown} message of a JSON stream any value, else text or bytes
     * @param {import("./producer.js").ProducerOptions} [options] of the producer; the first append to the path counts
     * @returns {Promise<{ offset: string | null }>} when it is on the server's disk
     */
    append(path: string, message: unknown, options?: import("./producer.js").ProducerOptions): Promise<{
        offset: string | null;
    }>;
    /**
     * A writer with a name, which can go on after a restart or take over from another one.
     * @param {string} path
     * @param {import("./producer.js").ProducerOptions} [options]
     */
    producer(path: string, options?: import("./producer.js").ProducerOptions): Producer;
    /**
     * What is there from an offset on, page by page, until there is no more at the moment.
     * @param {string} path
     * @param {{ offset?: string, signal?: AbortSignal }} [options] `offset`: "-1" (default) is the beginning, "now" the tail
     * @returns {AsyncGenerator<Page, void>}
     */
    read(path: string, { offset, signal }?: {
        offset?: string;
        signal?: AbortSignal;
    }): AsyncGenerator<Page, void>;
    /**
     * Every message of a JSON stream that is there, from an offset on.
     * @param {string} path
     * @param {{ offset?: string, signal?: AbortSignal }} [options]
     * @returns {Promise<any[]>}
     */
    messages(path: string, options?: {
        offset?: string;
        signal?: AbortSignal;
    }): Promise<any[]>;
    /**
     * Any number of streams as one, over every disconnect: see `follow`.
     * @param {string | string[]} streams
     * @param {import("./follow.js").FollowOptions} [options]
     */
    follow(streams: string | string[], options?: import("./follow.js").FollowOptions): AsyncGenerator<import("./follow.js").Message, void, any>;
    /**
     * @param {string} path
     * @returns {Promise<StreamInfo | null>} null: there is none
     */
    info(path: string): Promise<StreamInfo | null>;
    /**
     * Nothing may be appended any more; again is fine.
     * @param {string} path
     */
    close(path: string): Promise<void>;
    /**
     * @param {string} path
     * @returns {Promise<boolean>} whether there was one
     */
    remove(path: string): Promise<boolean>;
    #private;
}
export type StreamInfo = {
    contentType: string;
    /**
     * its tail
     */
    offset: string;
    closed: boolean;
};
export type CreateOptions = {
    /**
     * ("application/json")
     */
    contentType?: string | undefined;
    /**
     * its first data: of a JSON stream any value (an array's elements are messages), else text or bytes
     */
    data?: unknown;
    /**
     * seconds without a use after which it goes
     */
    ttl?: number | undefined;
    /**
     * when it goes
     */
    expiresAt?: Date | undefined;
    /**
     * nothing may be appended any more
     */
    closed?: boolean | undefined;
    /**
     * it begins with what another one has, up to that offset
     */
    forkOf?: {
        path: string;
        offset?: string;
    } | undefined;
};
export type Page = {
    /**
     * of a JSON stream; else empty
     */
    messages: any[];
    /**
     * as they came
     */
    bytes: Uint8Array;
    /**
     * behind it
     */
    offset: string;
    /**
     * there is no more at the moment
     */
    upToDate: boolean;
    /**
     * there will be no more
     */
    closed: boolean;
};
export { Api, RequestError, isTransient } from "./api.js";
export { Message, ResetError, follow } from "./follow.js";
export { canonical, pathOf } from "./path.js";
export { FencedError, Producer, QueueFullError } from "./producer.js";
