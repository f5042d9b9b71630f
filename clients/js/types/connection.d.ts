export { cidOf } from "./cid.js";
export { Memory } from "./memory.js";
export { SendingStates } from "./sending.js";
/**
 * An event of a session (with `seq`), or of the connection itself (docs/connections.md has them).
 * @typedef {{ type: string, sessionId?: string, seq?: number, prevSessionSeq?: number, [member: string]: any }} ConnectionEvent
 */
/**
 * @typedef {object} ConnectionState
 * @property {"connecting" | "live" | "denied" | "closed"} name `live`: it is open, and watches what it should
 * @property {string} cid
 * @property {number} since when it was last live (Unix ms); 0 while it is
 * @property {unknown} [error] why it is not live
 */
/**
 * @typedef {object} ConnectionOptions
 * @property {(event: ConnectionEvent) => void} [onEvent] each event of a session once and in order, and what the connection says of itself
 * @property {(state: ConnectionState) => void} [onState]
 * @property {(outcome: import("./outbox.js").Outcome) => void} [onOutcome] what becomes of what was sent, also of what a reload before had left
 * @property {() => void} [onLogin] somebody must log in: nothing is sent until `flush`
 * @property {import("./memory.js").Store | null} [storage] where the id and what waits are kept: `sessionStorage`, else memory
 * @property {string | null} [owner] who is logged in: what another login has left unsent is not sent
 * @property {string} [path] ("/api/chat")
 * @property {{ max?: number, attemptsMax?: number, backoff?: import("./retry.js").BackoffOptions }} [outbox]
 * @property {number} [timeout] of a request, ms (15000)
 * @property {import("./retry.js").BackoffOptions} [backoff] from one stream to the next
 */
/** One life of the stream: whatever comes late compares with the one there is. @typedef {{ link: ReturnType<typeof linked>, generation: number, heartbeatMs: number, stated: boolean }} Life */
/** @typedef {{ lastSeq: number | null, resynced: number | null }} Watched `lastSeq` null: from wherever it begins */
/**
 * One person's pipe to conversations: an id that outlives every break, a stream of events of everything that is watched, and
 * messages that are each accepted, failed or uncertain, never lost in silence.
 *
 * @example
 * const connection = new Connection(api, { onEvent: event => console.log(event.sessionId, event.type) });
 * connection.start();
 * const { state, sessionId } = await connection.send({ sessionId: null, prompt: "hello" });
 */
export class Connection {
    /**
     * @param {import("./api.js").Api} api
     * @param {ConnectionOptions} [options]
     */
    constructor(api: import("./api.js").Api, options?: ConnectionOptions);
    /** Its address; another one when somebody else has it. */
    get cid(): string;
    get state(): ConnectionState;
    /** What is watched, and up to where everything of it was handed over. @returns {Map<string, number | null>} */
    get watched(): Map<string, number | null>;
    /** What waits to be sent. */
    get waiting(): readonly Readonly<import("./outbox.js").Entry>[];
    /** Opens it; again is fine. */
    start(): void;
    /** The end. What waits to be sent is kept for the next life. */
    close(): void;
    /** Somebody has logged in, or there is a network again: everything is tried at once. */
    flush(): void;
    /**
     * Sends a message, in order with all others. It is kept over reloads until it is answered.
     * @param {{ sessionId: string | null, prompt: string, clientMsgId?: string, after?: string, [member: string]: unknown }} message `sessionId` null: a
     *   session of its own; `after`: the `clientMsgId` of the message whose new session this one belongs to
     * @returns {Promise<import("./outbox.js").Outcome>} how it ended
     * @throws {import("./outbox.js").OutboxFullError} at once: it was not taken
     */
    send({ sessionId, clientMsgId, after, ...body }: {
        sessionId: string | null;
        prompt: string;
        clientMsgId?: string;
        after?: string;
        [member: string]: unknown;
    }): Promise<import("./outbox.js").Outcome>;
    /** Ends what is being answered, and says this instead. @param {{ sessionId: string, prompt: string, clientMsgId?: string, [member: string]: unknown }} message @returns {Promise<any>} */
    interrupt({ clientMsgId, ...message }: {
        sessionId: string;
        prompt: string;
        clientMsgId?: string;
        [member: string]: unknown;
    }): Promise<any>;
    /** What is being answered ends. @param {string} sessionId @returns {Promise<any>} */
    stop(sessionId: string): Promise<any>;
    /** @param {string} permId @param {"once" | "always" | "deny"} decision @param {string} [sessionId] without: the one in the foreground @returns {Promise<any>} */
    permit(permId: string, decision: "once" | "always" | "deny", sessionId?: string): Promise<any>;
    /** @param {string} sessionId @param {string} mode @returns {Promise<any>} */
    mode(sessionId: string, mode: string): Promise<any>;
    /** The agent is told that it is wanted no longer; it is watched no more. @param {string} sessionId @returns {Promise<any>} */
    end(sessionId: string): Promise<any>;
    /**
     * @param {string} sessionId
     * @param {{ lastSeq?: number }} [options] everything behind it is handed over; without: what comes from now on
     * @throws {RequestError} it is not there, not to be read, or too many are watched
     */
    watch(sessionId: string, { lastSeq }?: {
        lastSeq?: number;
    }): Promise<void>;
    /** @param {string} sessionId */
    unwatch(sessionId: string): Promise<void>;
    /**
     * Puts a session in the foreground, in place of the one before, which is watched no more.
     * @param {string | null} sessionId
     * @param {{ lastSeq?: number }} [options]
     */
    switchTo(sessionId: string | null, { lastSeq }?: {
        lastSeq?: number;
    }): Promise<void>;
    /** Whether what the server says here arrives. @param {number} [within] ms @returns {Promise<boolean>} */
    probe(within?: number): Promise<boolean>;
    /**
     * A request beside the stream.
     * @param {string} name
     * @param {Record<string, unknown>} body
     * @param {{ fenced?: boolean, keepalive?: boolean }} [options] `fenced`: of the stream there is, and void when another has replaced it
     * @returns {Promise<any>}
     */
    request(name: string, body: Record<string, unknown>, { fenced, keepalive }?: {
        fenced?: boolean;
        keepalive?: boolean;
    }): Promise<any>;
    #private;
}
/**
 * An event of a session (with `seq`), or of the connection itself (docs/connections.md has them).
 */
export type ConnectionEvent = {
    type: string;
    sessionId?: string;
    seq?: number;
    prevSessionSeq?: number;
    [member: string]: any;
};
export type ConnectionState = {
    /**
     * `live`: it is open, and watches what it should
     */
    name: "connecting" | "live" | "denied" | "closed";
    cid: string;
    /**
     * when it was last live (Unix ms); 0 while it is
     */
    since: number;
    /**
     * why it is not live
     */
    error?: unknown;
};
export type ConnectionOptions = {
    /**
     * each event of a session once and in order, and what the connection says of itself
     */
    onEvent?: ((event: ConnectionEvent) => void) | undefined;
    onState?: ((state: ConnectionState) => void) | undefined;
    /**
     * what becomes of what was sent, also of what a reload before had left
     */
    onOutcome?: ((outcome: import("./outbox.js").Outcome) => void) | undefined;
    /**
     * somebody must log in: nothing is sent until `flush`
     */
    onLogin?: (() => void) | undefined;
    /**
     * where the id and what waits are kept: `sessionStorage`, else memory
     */
    storage?: import("./memory.js").Store | null | undefined;
    /**
     * who is logged in: what another login has left unsent is not sent
     */
    owner?: string | null | undefined;
    /**
     * ("/api/chat")
     */
    path?: string | undefined;
    outbox?: {
        max?: number;
        attemptsMax?: number;
        backoff?: import("./retry.js").BackoffOptions;
    } | undefined;
    /**
     * of a request, ms (15000)
     */
    timeout?: number | undefined;
    /**
     * from one stream to the next
     */
    backoff?: import("./retry.js").BackoffOptions | undefined;
};
/**
 * One life of the stream: whatever comes late compares with the one there is.
 */
export type Life = {
    link: ReturnType<typeof linked>;
    generation: number;
    heartbeatMs: number;
    stated: boolean;
};
/**
 * `lastSeq` null: from wherever it begins
 */
export type Watched = {
    lastSeq: number | null;
    resynced: number | null;
};
import { linked } from "./retry.js";
export { Api, RequestError, isTransient } from "./api.js";
export { Outbox, OutboxFullError } from "./outbox.js";
