/**
 * What an answer means for an entry. Pure.
 * @param {Entry} entry
 * @param {Answer} answer
 * @returns {{ verdict: "accepted" | "again" | "login" | "final", doubt: boolean }} `doubt`: it may have been taken
 */
export function judge(entry: Entry, { status, body }: Answer): {
    verdict: "accepted" | "again" | "login" | "final";
    doubt: boolean;
};
/**
 * @typedef {object} Entry what is to be sent
 * @property {string} id names it for ever: sent again, it is the same
 * @property {string | null} sessionId null: a session of its own
 * @property {string | null} after the id of the entry whose session it belongs to, while that has no name yet
 * @property {Record<string, unknown>} body
 * @property {number} attempts that were answered, or had no answer though there was a way
 * @property {boolean} underWay an attempt was begun, and has not ended
 * @property {boolean} doubt an attempt may have been taken, without our having heard so
 * @property {string | null} owner whose it is
 */
/**
 * What became of a message. `pending`: it is tried again. `failed`: it was not taken, and is not tried any more. `uncertain`:
 * it is not tried any more, and nobody knows; sending it again with its id is safe.
 * @typedef {{ id: string, sessionId: string | null, body: Record<string, unknown>, attempts: number } & (
 *   { state: "accepted", seq: number | null } |
 *   { state: "pending", willRetry: true, retryInMs: number, status: number | null, reason: string } |
 *   { state: "failed" | "uncertain", willRetry: false, status: number | null, code: string | null, reason: string })} Outcome
 */
/**
 * An attempt's end. `status` null: no answer.
 * @typedef {{ status: number | null, body?: any, code?: string | null, reason?: string, retryAfter?: number }} Answer
 */
/** Nothing more fits: this message was not taken. */
export class OutboxFullError extends Error {
    constructor();
}
/**
 * @typedef {object} OutboxOptions
 * @property {(entry: Entry) => Promise<Answer>} post sends one, and never throws
 * @property {(outcome: Outcome) => void} [onOutcome]
 * @property {() => void} [onLogin] 401: whoever sends is not logged in (any more). Nothing is sent until `flush`
 * @property {() => boolean} [reachable] whether there is a way at all: where there is none, no answer is no attempt
 * @property {import("./memory.js").Memory} memory
 * @property {string} [key] under which it is kept ("ringside:outbox")
 * @property {string | null} [owner] whose it is: what another login has left unsent is not sent
 * @property {number} [max] that may wait (100)
 * @property {number} [attemptsMax] (8)
 * @property {import("./retry.js").BackoffOptions} [backoff]
 */
/**
 * Messages on their way, in their order, one under way at a time. It outlives a reload, and never drops one silently: each
 * ends as accepted, failed or uncertain.
 */
export class Outbox {
    /** @param {OutboxOptions} options */
    constructor(options: OutboxOptions);
    /** What waits, in its order. @returns {readonly Readonly<Entry>[]} */
    get entries(): readonly Readonly<Entry>[];
    /** Begins, with what a life before this has left. */
    start(): void;
    /**
     * @param {{ id: string, sessionId: string | null, body: Record<string, unknown>, after?: string | null }} message
     * @returns {Promise<Outcome>} how it ends: accepted, failed or uncertain
     * @throws {OutboxFullError} at once
     */
    put({ id, sessionId, body, after }: {
        id: string;
        sessionId: string | null;
        body: Record<string, unknown>;
        after?: string | null;
    }): Promise<Outcome>;
    /** There is a way (again), or a login: what waits goes at once. */
    flush(): void;
    /** Nothing is sent any more; what waits is kept for the next life. */
    close(): void;
    #private;
}
/**
 * what is to be sent
 */
export type Entry = {
    /**
     * names it for ever: sent again, it is the same
     */
    id: string;
    /**
     * null: a session of its own
     */
    sessionId: string | null;
    /**
     * the id of the entry whose session it belongs to, while that has no name yet
     */
    after: string | null;
    body: Record<string, unknown>;
    /**
     * that were answered, or had no answer though there was a way
     */
    attempts: number;
    /**
     * an attempt was begun, and has not ended
     */
    underWay: boolean;
    /**
     * an attempt may have been taken, without our having heard so
     */
    doubt: boolean;
    /**
     * whose it is
     */
    owner: string | null;
};
/**
 * What became of a message. `pending`: it is tried again. `failed`: it was not taken, and is not tried any more. `uncertain`:
 * it is not tried any more, and nobody knows; sending it again with its id is safe.
 */
export type Outcome = {
    id: string;
    sessionId: string | null;
    body: Record<string, unknown>;
    attempts: number;
} & ({
    state: "accepted";
    seq: number | null;
} | {
    state: "pending";
    willRetry: true;
    retryInMs: number;
    status: number | null;
    reason: string;
} | {
    state: "failed" | "uncertain";
    willRetry: false;
    status: number | null;
    code: string | null;
    reason: string;
});
/**
 * An attempt's end. `status` null: no answer.
 */
export type Answer = {
    status: number | null;
    body?: any;
    code?: string | null;
    reason?: string;
    retryAfter?: number;
};
export type OutboxOptions = {
    /**
     * sends one, and never throws
     */
    post: (entry: Entry) => Promise<Answer>;
    onOutcome?: ((outcome: Outcome) => void) | undefined;
    /**
     * 401: whoever sends is not logged in (any more). Nothing is sent until `flush`
     */
    onLogin?: (() => void) | undefined;
    /**
     * whether there is a way at all: where there is none, no answer is no attempt
     */
    reachable?: (() => boolean) | undefined;
    memory: import("./memory.js").Memory;
    /**
     * under which it is kept ("ringside:outbox")
     */
    key?: string | undefined;
    /**
     * whose it is: what another login has left unsent is not sent
     */
    owner?: string | null | undefined;
    /**
     * that may wait (100)
     */
    max?: number | undefined;
    /**
     * (8)
     */
    attemptsMax?: number | undefined;
    backoff?: import("./retry.js").BackoffOptions | undefined;
};
