import { RequestError } from "./api.js";
import { follow } from "./follow.js";
import { uuid } from "./uuid.js";

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
export async function* inbox(api, sessions, options) {
	for await (const message of follow(api, [sessions].flat().map(id => `conversations/${id}/inbox`), options)) yield { item: message.json(), id: message.id };
}

/** One answer of an agent, in pieces that are each said once and in order. */
export class Answer {
	#api;
	#path;
	#about;
	#fence = /** @type {{ epoch?: number }} */ ({});
	#done;
	#seq = 0;
	#turn = /** @type {Promise<unknown>} */ (Promise.resolve());
	#onStopped;
	#onLost;

	/**
	 * @param {import("./api.js").Api} api
	 * @param {string} sessionId
	 * @param {{ actorId: string, role?: "assistant" | "user" | "system", messageId?: string, epoch?: number, done?: number, onStopped?: () => void, onLost?: () => void }} about
	 *   `epoch`: of the lease by which it is said; `done`: the `inboxSeq` of the item that it answers, which is dealt with when it is finished; `onStopped`: it is
	 *   known to be `stopped`; `onLost`: since that lease is over
	 */
	constructor(api, sessionId, { actorId, role = "assistant", messageId = uuid(), epoch, done, onStopped, onLost }) {
		this.#api = api;
		this.#path = `/v1/sessions/${encodeURIComponent(sessionId)}/`;
		this.#about = { actorId, role };
		this.#fence = epoch === undefined ? {} : { epoch };
		this.#done = done === undefined ? {} : { done };
		/** Names it. */
		this.messageId = messageId;
		this.#onStopped = onStopped;
		this.#onLost = onLost;
		/** What was said last was refused: somebody has stopped it, another answer is under way, or its lease is over. */
		this.stopped = false;
	}

	/**
	 * One piece more, when it is on the server's disk. Its number goes along, so that it counts once, however often it is sent.
	 * @param {Record<string, unknown>} chunk
	 * @returns {Promise<void>}
	 * @throws {import("./api.js").RequestError} 409: another answer is under way, or somebody has stopped this one
	 */
	write(chunk) {
		return this.#next("chunks", () => ({ messageId: this.messageId, ...this.#about, chunk, seq: this.#seq, ...this.#fence }), () => { this.#seq++; });
	}

	/** It is complete; again is fine. Under a lease it says so with a last piece, `{ type: "finish" }`. @returns {Promise<void>} */
	finish() {
		const last = { messageId: this.messageId, ...this.#about, chunk: { type: "finish" }, finish: true, ...this.#fence, ...this.#done };
		if (this.#fence.epoch !== undefined) return this.#next("chunks", () => ({ ...last, seq: this.#seq }), () => {});
		return this.#next("generations/finish", () => ({ messageId: this.messageId, ...this.#fence, ...this.#done }), () => {});
	}

	/** @param {unknown} error */
	#refused(error) {
		const code = error instanceof RequestError ? error.code : null, lost = code === "LEASE_LOST";
		this.stopped = lost || code === "GENERATION_MISMATCH";
		if (this.stopped) (lost ? this.#onLost : this.#onStopped)?.();
		throw error;
	}

	/** @param {string} name @param {() => Record<string, unknown>} body @param {() => void} done @returns {Promise<void>} */
	#next(name, body, done) {
		const mine = this.#turn.then(() => this.#api.again(() => this.#api.askJson(this.#path + name, { body: body() }))).then(done, error => this.#refused(error));
		this.#turn = mine.catch(() => {});
		return mine;
	}
}
