/**
 * What people sent (docs/conversations.md): a message, a tool's result, an approval, an answer, a mode, a close, a stop, a reset; the last two are nobody's.
 * @typedef {{ type: string, sessionId: string, actorId?: string, [member: string]: any }} InboxItem
 */
/**
 * What people send to conversations, each once, over every disconnect. An agent keeps `id` with what it has done, and goes on
 * there in another life (`lastEventId`).
 *
 * @example
 * for await (const { item, id } of inbox(api, "*", { from: "start" })) {
 * 	if (item.type !== "message") continue;
 * 	const answer = new Answer(api, item.sessionId, { actorId: "agent" });
 * 	await answer.write({ type: "text", text: "You said: " + item.content });
 * 	await answer.finish();
 * }
 *
 * @param {import("./api.js").Api} api
 * @param {string | string[]} sessions ids; "*": all that may be read
 * @param {import("./follow.js").FollowOptions} [options]
 * @returns {AsyncGenerator<{ item: InboxItem, id: string }, void>}
 */
export function inbox(api: import("./api.js").Api, sessions: string | string[], options?: import("./follow.js").FollowOptions): AsyncGenerator<{
    item: InboxItem;
    id: string;
}, void>;
/** One answer of an agent, in pieces that are each said once and in order. */
export class Answer {
    /**
     * @param {import("./api.js").Api} api
     * @param {string} sessionId
     * @param {{ actorId: string, role?: "assistant" | "user" | "system", messageId?: string, epoch?: number, done?: number, onStopped?: () => void, onLost?: () => void }} about
     *   `epoch`: of the lease by which it is said; `done`: the `inboxSeq` of the item that it answers, which is dealt with when it is finished; `onStopped`: it is
     *   known to be `stopped`; `onLost`: since that lease is over
     */
    constructor(api: import("./api.js").Api, sessionId: string, { actorId, role, messageId, epoch, done, onStopped, onLost }: {
        actorId: string;
        role?: "assistant" | "user" | "system";
        messageId?: string;
        epoch?: number;
        done?: number;
        onStopped?: () => void;
        onLost?: () => void;
    });
    /** Names it. */
    messageId: string;
    /** What was said last was refused: somebody has stopped it, another answer is under way, or its lease is over. */
    stopped: boolean;
    /**
     * One piece more, when it is on the server's disk. Its number goes along, so that it counts once, however often it is sent.
     * @param {Record<string, unknown>} chunk
     * @returns {Promise<void>}
     * @throws {import("./api.js").RequestError} 409: another answer is under way, or somebody has stopped this one
     */
    write(chunk: Record<string, unknown>): Promise<void>;
    /** It is complete; again is fine. Under a lease it says so with a last piece, `{ type: "finish" }`. @returns {Promise<void>} */
    finish(): Promise<void>;
    #private;
}
/**
 * What people sent (docs/conversations.md): a message, a tool's result, an approval, an answer, a mode, a close, a stop, a reset; the last two are nobody's.
 */
export type InboxItem = {
    type: string;
    sessionId: string;
    actorId?: string;
    [member: string]: any;
};
