/**
 * A socket to an agent at the hub, as a dashboard has it.
 * @param {import("./api.js").Api} api
 * @param {string} id
 * @returns {Promise<any>} a WebSocket; what is in the way closes it
 */
export function dial(api: import("./api.js").Api, id: string): Promise<any>;
export { Channel } from "./tunnel.js";
/**
 * What an agent says of itself.
 * @typedef {{ id: string, machine: string, cwd: string, port: number, pid?: number, accepts?: ("items" | "sessions")[] }} AgentNode
 */
/**
 * An agent as the hub tells of it.
 * @typedef {Omit<AgentNode, "accepts"> & { status: "active" | "offline", offline_since?: number, last_seen?: number, tunnel?: boolean }} Node
 */
/**
 * @typedef {object} AgentOptions
 * @property {AgentNode | null} node who registers; null: nobody, it only looks (a dashboard)
 * @property {(channel: import("./tunnel.js").Channel) => void} [onChannel] dashboards come in this agent's own socket, since it cannot be
 *   reached otherwise: each is a channel
 * @property {(nodes: Map<string, Node>) => void} [onRoster] who is there has changed
 * @property {(state: AgentState) => void} [onState]
 * @property {string} [path] ("/ws")
 * @property {number} [ping] how often it is asked whether the hub is there, ms (20000)
 * @property {number} [timeout] of an answer, ms (30000)
 * @property {number} [stable] a socket that lived so long was a good one: the next delay is short again, ms (30000)
 * @property {import("./retry.js").BackoffOptions} [backoff] from one socket to the next (1 s to 5 min)
 * @property {number} [messageBytes] of a dashboard (16777216)
 */
/**
 * @typedef {object} AgentState
 * @property {"connecting" | "live" | "refused" | "closed"} name `live`: the socket is open, and the agent is registered. `refused`: the hub does not
 *   take it; it is tried again
 * @property {string} [reason]
 */
/** What the hub answered to a request: it could not be done. */
export class HubError extends Error {
    /** @param {string} message */
    constructor(message: string);
}
/** One socket. @typedef {{ socket: any, pending: Map<number, { resolve: (value: any) => void, reject: (error: Error) => void, timer: any }>, tunnel: Tunnel | null, listed: boolean, registered: Promise<boolean>, over: Promise<{ code: number, reason: string }> }} Socket */
/**
 * A program at the hub: registered for as long as it lives, over every break, and who else is there.
 *
 * @example
 * const agent = new Agent(api, { node: { id: "builder", machine: "m1", cwd: "/srv", port: 0 }, onChannel: channel => {
 * 	channel.onmessage = text => channel.send("echo: " + text);
 * } });
 * agent.start();
 */
export class Agent {
    /**
     * @param {import("./api.js").Api} api
     * @param {AgentOptions} options
     */
    constructor(api: import("./api.js").Api, options: AgentOptions);
    get state(): AgentState;
    /** Who is there, by id. @returns {ReadonlyMap<string, Node>} */
    get nodes(): ReadonlyMap<string, Node>;
    /** Registers, and stays; again is fine. */
    start(): void;
    /** Says that it leaves, and closes: within a second, whatever the hub does. */
    close(): Promise<void>;
    /**
     * Conversations that wait for an agent, each with its `Lease`, until this one is closed: for one whose node accepts `"items"`, which it is handed in its
     * socket, or `"sessions"`, which it asks for and reads. One that is served is let go when the loop is left, by an error too.
     *
     * @example
     * for await (const lease of agent.conversations()) {
     * 	for await (const item of lease.items()) {
     * 		if (item.type !== "message") continue;
     * 		const answer = lease.answer(item);
     * 		await answer.write({ type: "text-delta", delta: "You said: " + item.content });
     * 		await answer.finish();
     * 	}
     * 	await lease.release();
     * }
     *
     * @param {{ leaseMs?: number, wait?: number, signal?: AbortSignal }} [options] `leaseMs`: how long a lease lasts without being renewed; `wait`: how long one
     *   request waits for one, s (20)
     * @returns {AsyncGenerator<Lease, void>}
     */
    conversations({ leaseMs, wait, signal }?: {
        leaseMs?: number;
        wait?: number;
        signal?: AbortSignal;
    }): AsyncGenerator<Lease, void>;
    /**
     * Asks the hub.
     * @param {string} method register, deregister, list_nodes, ping
     * @param {Record<string, unknown>} [params]
     * @returns {Promise<any>}
     * @throws {HubError} it could not be done; Error: there is no socket, or no answer in time
     */
    request(method: string, params?: Record<string, unknown>): Promise<any>;
    #private;
}
/**
 * What an agent says of itself.
 */
export type AgentNode = {
    id: string;
    machine: string;
    cwd: string;
    port: number;
    pid?: number;
    accepts?: ("items" | "sessions")[];
};
/**
 * An agent as the hub tells of it.
 */
export type Node = Omit<AgentNode, "accepts"> & {
    status: "active" | "offline";
    offline_since?: number;
    last_seen?: number;
    tunnel?: boolean;
};
export type AgentOptions = {
    /**
     * who registers; null: nobody, it only looks (a dashboard)
     */
    node: AgentNode | null;
    /**
     * dashboards come in this agent's own socket, since it cannot be
     * reached otherwise: each is a channel
     */
    onChannel?: ((channel: import("./tunnel.js").Channel) => void) | undefined;
    /**
     * who is there has changed
     */
    onRoster?: ((nodes: Map<string, Node>) => void) | undefined;
    onState?: ((state: AgentState) => void) | undefined;
    /**
     * ("/ws")
     */
    path?: string | undefined;
    /**
     * how often it is asked whether the hub is there, ms (20000)
     */
    ping?: number | undefined;
    /**
     * of an answer, ms (30000)
     */
    timeout?: number | undefined;
    /**
     * a socket that lived so long was a good one: the next delay is short again, ms (30000)
     */
    stable?: number | undefined;
    /**
     * from one socket to the next (1 s to 5 min)
     */
    backoff?: import("./retry.js").BackoffOptions | undefined;
    /**
     * of a dashboard (16777216)
     */
    messageBytes?: number | undefined;
};
export type AgentState = {
    /**
     * `live`: the socket is open, and the agent is registered. `refused`: the hub does not
     * take it; it is tried again
     */
    name: "connecting" | "live" | "refused" | "closed";
    reason?: string | undefined;
};
/**
 * One socket.
 */
export type Socket = {
    socket: any;
    pending: Map<number, {
        resolve: (value: any) => void;
        reject: (error: Error) => void;
        timer: any;
    }>;
    tunnel: Tunnel | null;
    listed: boolean;
    registered: Promise<boolean>;
    over: Promise<{
        code: number;
        reason: string;
    }>;
};
import { Lease } from "./lease.js";
import { Tunnel } from "./tunnel.js";
export { Api, RequestError, isTransient } from "./api.js";
export { Answer, inbox } from "./inbox.js";
export { Lease, conversations, lease } from "./lease.js";
