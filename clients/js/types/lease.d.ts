/**
 * The conversation of that id, to oneself.
 * @param {import("./api.js").Api} api
 * @param {string} sessionId
 * @param {LeaseOptions} options
 * @returns {Promise<Lease>}
 * @throws {RequestError} 409: another agent has it
 */
export function lease(api: import("./api.js").Api, sessionId: string, { signal, ...body }: LeaseOptions): Promise<Lease>;
/**
 * Conversations that wait for an agent, one after another, for one that is at the hub with `accepts: ["sessions"]`. One that is served is let go when the
 * loop is left, by an error too.
 *
 * @example
 * for await (const lease of conversations(api, { agent: "builder" })) {
 * 	for await (const item of lease.items()) {
 * 		if (item.type !== "message") continue;
 * 		const answer = lease.answer(item);
 * 		try {
 * 			await answer.write({ type: "text-delta", delta: "You said: " + item.content });
 * 			await answer.finish();
 * 		} catch (error) {
 * 			if (!answer.stopped) throw error; // else people did not want to hear more, or somebody else has it
 * 		}
 * 	}
 * 	await lease.release();
 * }
 *
 * @param {import("./api.js").Api} api
 * @param {LeaseOptions & { wait?: number }} options `wait`: how long one request waits for one, s (20)
 * @returns {AsyncGenerator<Lease, void>}
 */
export function conversations(api: import("./api.js").Api, { signal, wait, ...about }: LeaseOptions & {
    wait?: number;
}): AsyncGenerator<Lease, void>;
/** One that is let go when the loop that it was given to is left. @param {Lease} lease @returns {AsyncGenerator<Lease, void>} */
export function leased(lease: Lease): AsyncGenerator<Lease, void>;
/** What the server grants. @typedef {{ sessionId: string, agent: string, epoch: number, leaseMs: number, inbox: string, done: number, generation?: { messageId: string } }} Granted */
/**
 * A conversation that one agent has to itself, until it lets it go or is gone: it is renewed by itself. What is said by `answer` carries its `epoch`; once
 * another agent has the conversation that is refused (409 LEASE_LOST), and `lost` is true.
 */
export class Lease {
    /**
     * @param {import("./api.js").Api} api
     * @param {Granted} granted
     * @param {import("./handed.js").Handed} [handed] by the hub: where its items come from. Without: they are read
     */
    constructor(api: import("./api.js").Api, { sessionId, agent, epoch, leaseMs, inbox, done, generation }: Granted, handed?: import("./handed.js").Handed);
    sessionId: string;
    agent: string;
    /** Fences whoever had it before. */
    epoch: number;
    /** Another agent has it, or it was let go. */
    lost: boolean;
    /**
     * What people sent and nobody has dealt with, in its order, until there is no more. One is dealt with when the next is asked for, or its answer is finished.
     * @returns {AsyncGenerator<import("./inbox.js").InboxItem, void>}
     */
    items(): AsyncGenerator<import("./inbox.js").InboxItem, void>;
    /**
     * An answer, to `item` where there is one: its end is the item's, also when it is stopped, so that nobody is asked to answer it again. What another agent had
     * begun is over then.
     * @param {import("./inbox.js").InboxItem} [item]
     * @param {{ role?: "assistant" | "user" | "system", messageId?: string }} [about]
     */
    answer(item?: import("./inbox.js").InboxItem, { role, messageId }?: {
        role?: "assistant" | "user" | "system";
        messageId?: string;
    }): Answer;
    /** Lets it go, with what is dealt with; what is not is for another. Again is fine. */
    release(): Promise<void>;
    #private;
}
export type LeaseOptions = {
    /**
     * who serves it
     */
    agent: string;
    /**
     * how long it lasts without being renewed (1000 to 600000; the server's `conversations.lease`)
     */
    leaseMs?: number | undefined;
    signal?: AbortSignal | undefined;
};
/**
 * What the server grants.
 */
export type Granted = {
    sessionId: string;
    agent: string;
    epoch: number;
    leaseMs: number;
    inbox: string;
    done: number;
    generation?: {
        messageId: string;
    };
};
import { Answer } from "./inbox.js";
