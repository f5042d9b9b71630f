/** @param {number} status */
export function isTransientStatus(status: number): boolean;
/**
 * Whether another attempt makes sense: there was no answer, or one that may be another.
 * @param {unknown} error
 */
export function isTransient(error: unknown): boolean;
/**
 * An answer that was no success.
 *
 * What it means for another attempt: `transient` ones (408, 425, 429, 5xx) may go differently, every other is final
 * (a 404, a login that has expired). That there was no answer at all is no RequestError but what `fetch` throws.
 */
export class RequestError extends Error {
    /**
     * Of an answer; its body is read.
     * @param {Response} answer
     */
    static of(answer: Response): Promise<RequestError>;
    /**
     * @param {number} status
     * @param {string} message the server's own words
     * @param {{ code?: string | null, retryAfter?: number, headers?: Headers }} [more]
     */
    constructor(status: number, message: string, { code, retryAfter, headers }?: {
        code?: string | null;
        retryAfter?: number;
        headers?: Headers;
    });
    /** HTTP's. */
    status: number;
    /** Of errors that are told as JSON: their code. */
    code: string | null;
    /** What `Retry-After` said, ms; 0: nothing. */
    retryAfter: number;
    headers: Headers;
    /** Whether the same request may be answered otherwise later. */
    get transient(): boolean;
}
/**
 * @typedef {object} ApiOptions
 * @property {string} [base] where it is: `https://arena.example`. Without: the page's own origin
 * @property {string | null | (() => string | null | Promise<string | null>)} [token] sent as `Authorization: Bearer`; a
 *   function is asked before each request, so that one that has ended can be replaced. Without: the cookie, if any
 * @property {RequestCredentials} [credentials] of `fetch` ("same-origin")
 * @property {number} [timeout] how long an answer may take until its head is there, ms (15000)
 * @property {import("./retry.js").BackoffOptions} [backoff] between the attempts of what is repeated
 * @property {typeof fetch} [fetch] in place of the global one
 */
/**
 * @typedef {RequestInit & { token?: string | null, timeout?: number }} AskOptions `token` in place of the Api's own (null:
 *   none), `timeout` in ms
 */
/** One Ringside, asked as one visitor. Everything else in this package takes one. */
export class Api {
    /** @param {ApiOptions} [options] */
    constructor(options?: ApiOptions);
    /** The server's clock, as far as it has been heard. */
    clock: Clock;
    /**
     * The whole address of a path.
     * @param {string} path
     */
    url(path: string): string;
    /** The token that the next request would carry. */
    token(): Promise<string | null>;
    /**
     * The answer, whatever its status. Throws what `fetch` throws: there was none, or not in time, or it was aborted.
     * @param {string} path
     * @param {AskOptions} [options]
     * @returns {Promise<Response>}
     */
    ask(path: string, { token, timeout, headers, signal, ...rest }?: AskOptions): Promise<Response>;
    /**
     * What is there as JSON; null for an empty answer. With `body`: a POST of it.
     * @template T
     * @param {string} path
     * @param {Omit<AskOptions, "body"> & { body?: unknown }} [options]
     * @returns {Promise<T>}
     * @throws {RequestError} when the answer is no success
     */
    askJson<T>(path: string, { body, headers, ...options }?: Omit<AskOptions, "body"> & {
        body?: unknown;
    }): Promise<T>;
    /**
     * Does it again until it is answered, as long as another attempt makes sense. Only for what may be repeated.
     * @template T
     * @param {() => Promise<T>} attempt
     * @param {{ attempts?: number, signal?: AbortSignal, backoff?: import("./retry.js").BackoffOptions }} [options] at most so
     *   many attempts (8)
     * @returns {Promise<T>}
     */
    again<T>(attempt: () => Promise<T>, { attempts, signal, backoff }?: {
        attempts?: number;
        signal?: AbortSignal;
        backoff?: import("./retry.js").BackoffOptions;
    }): Promise<T>;
    #private;
}
export type ApiOptions = {
    /**
     * where it is: `https://arena.example`. Without: the page's own origin
     */
    base?: string | undefined;
    /**
     * sent as `Authorization: Bearer`; a
     * function is asked before each request, so that one that has ended can be replaced. Without: the cookie, if any
     */
    token?: string | (() => string | null | Promise<string | null>) | null | undefined;
    /**
     * of `fetch` ("same-origin")
     */
    credentials?: RequestCredentials | undefined;
    /**
     * how long an answer may take until its head is there, ms (15000)
     */
    timeout?: number | undefined;
    /**
     * between the attempts of what is repeated
     */
    backoff?: import("./retry.js").BackoffOptions | undefined;
    /**
     * in place of the global one
     */
    fetch?: typeof fetch | undefined;
};
/**
 * `token` in place of the Api's own (null:
 *   none), `timeout` in ms
 */
export type AskOptions = RequestInit & {
    token?: string | null;
    timeout?: number;
};
import { Clock } from "./clock.js";
