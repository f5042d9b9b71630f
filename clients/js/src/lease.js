import { RequestError, isTransient } from "./api.js";
import { Answer } from "./inbox.js";
import { sleep } from "./retry.js";

/**
 * @typedef {object} LeaseOptions
 * @property {string} agent who serves it
 * @property {number} [leaseMs] how long it lasts without being renewed (1000 to 600000; the server's `conversations.lease`)
 * @property {AbortSignal} [signal]
 */

/* An item's answer is named by it, so that another life of the agent goes on with it: by all of its id, where that is no longer than this. */
const WHOLE_ID_MAX = 80;

/** What the server grants. @typedef {{ sessionId: string, agent: string, epoch: number, leaseMs: number, inbox: string, done: number, generation?: { messageId: string } }} Granted */

/**
 * A conversation that one agent has to itself, until it lets it go or is gone: it is renewed by itself. What is said by `answer` carries its `epoch`; once
 * another agent has the conversation that is refused (409 LEASE_LOST), and `lost` is true.
 */
export class Lease {
	#api;
	#path;
	#place;
	#done;
	#interrupted;
	#timer;
	#over = false;
	#again = false;
	#handed;

	/**
	 * @param {import("./api.js").Api} api
	 * @param {Granted} granted
	 * @param {import("./handed.js").Handed} [handed] by the hub: where its items come from. Without: they are read
	 */
	constructor(api, { sessionId, agent, epoch, leaseMs, inbox, done, generation }, handed) {
		this.#api = api;
		this.#handed = handed;
		this.#path = `/v1/sessions/${encodeURIComponent(sessionId)}/lease/`;
		this.#place = inbox;
		this.#done = done;
		this.#interrupted = generation?.messageId ?? "";
		this.sessionId = sessionId;
		this.agent = agent;
		/** Fences whoever had it before. */
		this.epoch = epoch;
		/** Another agent has it, or it was let go. */
		this.lost = false;
		this.#timer = setInterval(() => this.#say("renew").catch(error => { if (!isTransient(error)) this.#end(true); }), leaseMs / 3);
		if (handed) handed.onLost = () => this.#end(true);
		if (handed?.lost) this.#end(true);
	}

	/**
	 * What people sent and nobody has dealt with, in its order, until there is no more. One is dealt with when the next is asked for, or its answer is finished.
	 * @returns {AsyncGenerator<import("./inbox.js").InboxItem, void>}
	 */
	async *items() {
		if (this.#handed) {
			for (let item; !this.#over && (item = await this.#handed.next());) {
				yield item;
				this.#dealt(item);
			}
			return;
		}
		for (let seen = this.#done; ;) {
			const { items, next } = await this.#api.again(() => this.#read());
			const reset = items.findLastIndex((/** @type {import("./inbox.js").InboxItem} */ { type }) => type === "reset");
			this.#again = false;
			for (const item of items.slice(Math.max(reset, 0))) { /* what was said before a reset waits for nobody */
				if (item.inboxSeq <= seen) continue;
				if (this.#over) return;
				seen = item.inboxSeq;
				yield item;
				this.#dealt(item);
				if (this.#again) break;
			}
			if (this.#again) continue;
			if (items.length === 0 || this.#over) return;
			this.#place = next;
		}
	}

	/** @param {import("./inbox.js").InboxItem} [item] */
	#dealt(item, stopped = false) {
		this.#again ||= stopped; /* perhaps by a reset */
		if (item === undefined || item.inboxSeq <= this.#done) return;
		this.#done = item.inboxSeq;
		this.#handed?.done(item.inboxSeq, stopped);
	}

	/**
	 * An answer, to `item` where there is one: its end is the item's, also when it is stopped, so that nobody is asked to answer it again. What another agent had
	 * begun is over then.
	 * @param {import("./inbox.js").InboxItem} [item]
	 * @param {{ role?: "assistant" | "user" | "system", messageId?: string }} [about]
	 */
	answer(item, { role, messageId } = {}) {
		if (messageId === undefined && item?.messageId !== undefined) {
			const { messageId: id, inboxSeq } = item;
			messageId = "re-" + (id.length <= WHOLE_ID_MAX ? id : id.slice(0, WHOLE_ID_MAX) + "~" + inboxSeq);
			if (this.#interrupted.startsWith(messageId)) messageId += "." + this.epoch;
		}
		return new Answer(this.#api, this.sessionId, { actorId: this.agent, role, messageId, epoch: this.epoch, done: item?.inboxSeq,
			onStopped: () => this.#dealt(item, true),
			onLost: () => this.#end(true) });
	}

	/** Lets it go, with what is dealt with; what is not is for another. Again is fine. */
	async release() {
		if (this.#over) return;
		this.#end(false);
		await this.#say("release").catch(error => { this.lost = !isTransient(error); });
	}

	/** @param {boolean} lost */
	#end(lost) {
		this.#over = true;
		this.lost ||= lost;
		clearInterval(this.#timer);
		this.#handed?.end(false);
	}

	async #read() {
		const answer = await this.#api.ask(`/v1/stream/conversations/${encodeURIComponent(this.sessionId)}/inbox?offset=${this.#place}`);
		if (!answer.ok) throw await RequestError.of(answer);
		return { items: await answer.json(), next: answer.headers.get("stream-next-offset") ?? this.#place };
	}

	/** @param {string} verb */
	#say(verb) {
		return this.#api.again(() => this.#api.askJson(this.#path + verb, { body: { epoch: this.epoch, done: this.#done } }), { attempts: 4 });
	}
}

/**
 * The conversation of that id, to oneself.
 * @param {import("./api.js").Api} api
 * @param {string} sessionId
 * @param {LeaseOptions} options
 * @returns {Promise<Lease>}
 * @throws {RequestError} 409: another agent has it
 */
export async function lease(api, sessionId, { signal, ...body }) {
	return new Lease(api, await api.again(() => api.askJson(`/v1/sessions/${encodeURIComponent(sessionId)}/lease`, { body, signal }), { signal }));
}

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
export async function* conversations(api, { signal, wait = 20, ...about }) {
	while (!signal?.aborted) {
		let lease = /** @type {Lease | undefined} */ (undefined);
		try {
			const granted = await api.askJson("/v1/sessions/$next/lease", { body: { ...about, wait }, signal, timeout: (wait + 15) * 1000 });
			if (granted) lease = new Lease(api, granted);
		} catch (error) {
			if (signal?.aborted) return;
			const comes = error instanceof RequestError && error.code === "NOT_REGISTERED"; /* its registration is under way */
			if (!comes && !isTransient(error)) throw error;
			await sleep(comes ? 300 : 1000, signal);
		}
		if (lease !== undefined) yield* leased(lease);
	}
}

/** One that is let go when the loop that it was given to is left. @param {Lease} lease @returns {AsyncGenerator<Lease, void>} */
export async function* leased(lease) {
	let left = true;
	try {
		yield lease;
		left = false; /* perhaps it is served beside the next one */
	} finally {
		if (left) await lease.release();
	}
}
