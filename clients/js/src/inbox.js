import { RequestError } from "./api.js";
import { follow } from "./follow.js";
import { Streams } from "./streams.js";
import { uuid } from "./uuid.js";

/**
 * What people sent (docs/conversations.md): a message, a tool's result, an approval, an answer, a stop, a reset.
 * @typedef {{ type: string, sessionId: string, actorId: string, [member: string]: any }} InboxItem
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
	#streams;
	#events;
	#path;
	#about;
	#count = 0;
	#offset = /** @type {string | null} */ (null); /* of the events: everything before it was there when this answer began */
	#turn = /** @type {Promise<unknown>} */ (Promise.resolve());

	/**
	 * @param {import("./api.js").Api} api
	 * @param {string} sessionId
	 * @param {{ actorId: string, role?: "assistant" | "user" | "system", messageId?: string }} about
	 */
	constructor(api, sessionId, { actorId, role = "assistant", messageId = uuid() }) {
		this.#api = api;
		this.#streams = new Streams(api);
		this.#events = `conversations/${sessionId}/events`;
		this.#path = `/v1/sessions/${encodeURIComponent(sessionId)}/`;
		this.#about = { actorId, role };
		/** Names it. */
		this.messageId = messageId;
	}

	/**
	 * One piece more, when it is on the server's disk.
	 * @param {Record<string, unknown>} chunk
	 * @returns {Promise<void>}
	 * @throws {RequestError} 409: another answer is under way, or somebody has stopped this one
	 */
	write(chunk) {
		return this.#next(async () => {
			this.#offset ??= (await this.#streams.info(this.#events))?.offset ?? "-1";
			await this.#once("chunks", { messageId: this.messageId, ...this.#about, chunk }, () => this.#said(this.#count));
			this.#count++;
		});
	}

	/** It is complete; again is fine. @returns {Promise<void>} */
	finish() {
		return this.#next(() => this.#once("generations/finish", { messageId: this.messageId }, async () => false));
	}

	/** @param {() => Promise<void>} step @returns {Promise<void>} */
	#next(step) {
		const mine = this.#turn.then(step);
		this.#turn = mine.catch(() => {});
		return mine;
	}

	/** Whoever got no answer looks first whether it was done. @param {string} name @param {Record<string, unknown>} body @param {() => Promise<boolean>} done */
	async #once(name, body, done) {
		let doubt = false;
		await this.#api.again(async () => {
			if (doubt && await done()) return;
			try {
				await this.#api.askJson(this.#path + name, { body });
			} catch (error) {
				doubt ||= !(error instanceof RequestError) || error.status >= 500;
				throw error;
			}
		});
	}

	/** Is this piece among the events? @param {number} piece */
	async #said(piece) {
		const key = `${this.messageId}:${piece}`;
		for await (const { messages, offset } of this.#streams.read(this.#events, { offset: this.#offset ?? "-1" })) {
			if (messages.some(event => event.key === key)) return true;
			this.#offset = offset;
		}
		return false;
	}
}
