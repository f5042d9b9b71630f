import { sleep } from "./retry.js";

/* Conversations that the hub hands to an agent in its socket (docs/hub.md). */

/* What comes next may have no room while other conversations lie there: then this one is let go, and they come first. */
const MORE_MS = 1000;

/** @typedef {import("./inbox.js").InboxItem} InboxItem */

/** What the hub tells. @typedef {{ session: string, epoch: number, leaseMs: number, generation?: { messageId: string }, seq: number, item: InboxItem }} ItemEvent */

/** What was handed of one conversation, under one lease. */
export class Handed {
	#items = /** @type {InboxItem[]} */ ([]);
	#request;
	#more = /** @type {Promise<boolean> | null} */ (null);
	#asks = false;
	#wake = () => {};

	/** @param {string} agent @param {ItemEvent} event @param {(method: string, params: Record<string, unknown>) => Promise<any>} request of its socket */
	constructor(agent, { session, epoch, leaseMs, generation }, request) {
		this.granted = { sessionId: session, agent, epoch, leaseMs, inbox: "", done: 0, generation };
		this.since = Date.now();
		/** Nothing more comes: its socket is gone, or the lease is over. */
		this.over = false;
		this.lost = false;
		/** The lease is over. */
		this.onLost = () => {};
		this.#request = request;
	}

	/** @param {InboxItem} item */
	push(item) {
		if (this.over) return;
		if (item.type === "reset") this.#items.length = 0; /* what was said before it waits for nobody */
		this.#items.push(item);
		this.#wake();
	}

	/** The next one; nothing, when there is no more for now. @returns {Promise<InboxItem | undefined>} */
	async next() {
		while (!this.over && (this.#items.length === 0 || this.#asks) && this.#more) {
			const more = await this.#more;
			this.#more = null;
			this.#asks = false;
			if (more && !this.over && this.#items.length === 0) await Promise.race([new Promise(done => { this.#wake = () => done(undefined); }), sleep(MORE_MS)]);
		}
		return this.over ? undefined : this.#items.shift();
	}

	/**
	 * It is dealt with, and all before it.
	 * @param {number} seq
	 * @param {boolean} stopped perhaps there was a reset, and what has come already waits for nobody: the hub is heard first
	 */
	done(seq, stopped) {
		this.#asks ||= stopped;
		if (!this.over) this.#more = this.#request("ack", { session: this.granted.sessionId, seq }).then(said => Boolean(said.pending), () => false);
	}

	/** @param {boolean} lost */
	end(lost) {
		if (this.over) return;
		this.over = true;
		this.lost = lost;
		this.#items.length = 0;
		this.#wake();
		if (lost) this.onLost();
	}
}

/** All that an agent was handed. */
export class Desk {
	#all = /** @type {Map<string, Handed>} */ (new Map());
	#fresh = /** @type {Handed[]} */ ([]);
	#wake = () => {};

	/** @param {string} agent @param {ItemEvent} event @param {(method: string, params: Record<string, unknown>) => Promise<any>} request */
	item(agent, event, request) {
		let handed = this.#all.get(event.session);
		if (handed?.granted.epoch !== event.epoch) {
			this.lost(event.session);
			handed = new Handed(agent, event, request);
			this.#all.set(event.session, handed);
			this.#fresh.push(handed);
		}
		handed.push({ ...event.item, inboxSeq: event.seq });
		this.#wake();
	}

	/** @param {string} session */
	lost(session) {
		const handed = this.#all.get(session);
		this.#all.delete(session);
		this.#fresh = this.#fresh.filter(one => one !== handed);
		handed?.end(true);
	}

	/** Its socket is gone. @returns {Handed[]} those that nobody had asked for */
	end() {
		const fresh = this.#fresh;
		for (const handed of this.#all.values()) handed.end(false);
		this.#all.clear();
		this.#fresh = [];
		return fresh;
	}

	/** The next one that nobody has asked for; nothing, when it is aborted. @param {AbortSignal} signal @returns {Promise<Handed | undefined>} */
	async next(signal) {
		while (!signal.aborted && this.#fresh.length === 0)
			await new Promise(done => {
				const wake = () => { signal.removeEventListener("abort", wake); done(undefined); };
				this.#wake = wake;
				signal.addEventListener("abort", wake);
			});
		return signal.aborted ? undefined : this.#fresh.shift();
	}
}
