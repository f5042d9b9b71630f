/** @typedef {import("./inbox.js").InboxItem} InboxItem */
/** What the hub tells. @typedef {{ session: string, epoch: number, leaseMs: number, generation?: { messageId: string }, seq: number, item: InboxItem }} ItemEvent */
/** What was handed of one conversation, under one lease. */
export class Handed {
    /** @param {string} agent @param {ItemEvent} event @param {(method: string, params: Record<string, unknown>) => Promise<any>} request of its socket */
    constructor(agent: string, { session, epoch, leaseMs, generation }: ItemEvent, request: (method: string, params: Record<string, unknown>) => Promise<any>);
    granted: {
        sessionId: string;
        agent: string;
        epoch: number;
        leaseMs: number;
        inbox: string;
        done: number;
        generation: {
            messageId: string;
        } | undefined;
    };
    since: number;
    /** Nothing more comes: its socket is gone, or the lease is over. */
    over: boolean;
    lost: boolean;
    /** The lease is over. */
    onLost: () => void;
    /** @param {InboxItem} item */
    push(item: InboxItem): void;
    /** The next one; nothing, when there is no more for now. @returns {Promise<InboxItem | undefined>} */
    next(): Promise<InboxItem | undefined>;
    /**
     * It is dealt with, and all before it.
     * @param {number} seq
     * @param {boolean} stopped perhaps there was a reset, and what has come already waits for nobody: the hub is heard first
     */
    done(seq: number, stopped: boolean): void;
    /** @param {boolean} lost */
    end(lost: boolean): void;
    #private;
}
/** All that an agent was handed. */
export class Desk {
    /** @param {string} agent @param {ItemEvent} event @param {(method: string, params: Record<string, unknown>) => Promise<any>} request */
    item(agent: string, event: ItemEvent, request: (method: string, params: Record<string, unknown>) => Promise<any>): void;
    /** @param {string} session */
    lost(session: string): void;
    /** Its socket is gone. @returns {Handed[]} those that nobody had asked for */
    end(): Handed[];
    /** The next one that nobody has asked for; nothing, when it is aborted. @param {AbortSignal} signal @returns {Promise<Handed | undefined>} */
    next(signal: AbortSignal): Promise<Handed | undefined>;
    #private;
}
export type InboxItem = import("./inbox.js").InboxItem;
/**
 * What the hub tells.
 */
export type ItemEvent = {
    session: string;
    epoch: number;
    leaseMs: number;
    generation?: {
        messageId: string;
    };
    seq: number;
    item: InboxItem;
};
