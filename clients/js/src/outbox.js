import { isTransientStatus } from "./api.js";
import { Backoff, sleep } from "./retry.js";

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
	constructor() {
		super("too many messages wait to be sent");
		this.name = "OutboxFullError";
	}
}

/**
 * What an answer means for an entry. Pure.
 * @param {Entry} entry
 * @param {Answer} answer
 * @returns {{ verdict: "accepted" | "again" | "login" | "final", doubt: boolean }} `doubt`: it may have been taken
 */
export function judge(entry, { status, body }) {
	if (status === null) return { verdict: "again", doubt: true };
	if (status >= 200 && status < 300) return body?.accepted === true && body.clientMsgId === entry.id ? { verdict: "accepted", doubt: false } : { verdict: "again", doubt: true };
	if (status === 401) return { verdict: "login", doubt: entry.doubt };
	/* These say that nothing was taken; of other 5xx nobody knows. */
	if (isTransientStatus(status)) return { verdict: "again", doubt: entry.doubt || (status >= 500 && status !== 503 && status !== 507) };
	/* Who may no longer, or where it is no longer, may have been heard before. A body that is refused never was taken. */
	return { verdict: "final", doubt: entry.doubt && [403, 404, 410].includes(status) };
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
	#options;
	#entries = /** @type {Entry[]} */ ([]);
	#others = /** @type {Entry[]} */ ([]); /* that another login has left */
	#waiting = /** @type {Map<string, { promise: Promise<Outcome>, resolve: (outcome: Outcome) => void }>} */ (new Map());
	#running = true; /* until it is started */
	#held = false;
	#closed = false;
	#nap = new AbortController();
	#backoff;

	/** @param {OutboxOptions} options */
	constructor(options) {
		this.#options = { max: 100, attemptsMax: 8, key: "ringside:outbox", owner: null, reachable: () => true, ...options };
		this.#backoff = new Backoff({ min: 1000, max: 10_000, ...options.backoff });
		for (const entry of this.#load()) {
			entry.doubt ||= entry.underWay; /* the reload came between it and its answer */
			entry.underWay = false;
			(entry.owner === this.#options.owner ? this.#entries : this.#others).push(entry);
		}
	}

	/** What waits, in its order. @returns {readonly Readonly<Entry>[]} */
	get entries() {
		return this.#entries;
	}

	/** Begins, with what a life before this has left. */
	start() {
		this.#running = false;
		this.#save();
		for (const entry of this.#others.splice(0)) this.#end(entry, { status: null, code: "LOGIN_CHANGED", reason: "the login has changed" }, entry.doubt);
		this.#run();
	}

	/**
	 * @param {{ id: string, sessionId: string | null, body: Record<string, unknown>, after?: string | null }} message
	 * @returns {Promise<Outcome>} how it ends: accepted, failed or uncertain
	 * @throws {OutboxFullError} at once
	 */
	put({ id, sessionId, body, after = null }) {
		const known = this.#waiting.get(id);
		if (known) return known.promise;
		if (!this.#entries.some(entry => entry.id === id)) {
			if (this.#entries.length >= this.#options.max) throw new OutboxFullError();
			this.#entries.push({ id, sessionId, after: this.#entries.some(entry => entry.id === after) ? after : null, body, attempts: 0, underWay: false, doubt: false,
				owner: this.#options.owner });
			this.#save();
		}
		let resolve = /** @type {(outcome: Outcome) => void} */ (() => {});
		const promise = new Promise(done => { resolve = done; });
		this.#waiting.set(id, { promise, resolve });
		this.#run();
		return promise;
	}

	/** There is a way (again), or a login: what waits goes at once. */
	flush() {
		this.#held = false;
		this.#backoff.reset();
		this.#nap.abort();
		this.#run();
	}

	/** Nothing is sent any more; what waits is kept for the next life. */
	close() {
		this.#closed = true;
		this.#nap.abort();
	}

	async #run() {
		if (this.#running) return;
		this.#running = true;
		while (this.#entries.length > 0 && !this.#held && !this.#closed) await this.#attempt(this.#entries[0]);
		this.#running = false;
	}

	/** @param {Entry} entry */
	async #attempt(entry) {
		entry.underWay = true;
		this.#save(); /* before it leaves: a reload must know */
		const answer = await this.#options.post(entry);
		if (this.#closed) return; /* as if there had been a reload: `underWay` stays */
		const { verdict, doubt } = judge(entry, answer);
		entry.underWay = false;
		entry.doubt = doubt;
		if (answer.status !== null || this.#options.reachable()) entry.attempts++;
		if (verdict === "accepted") return this.#accept(entry, answer);
		if (verdict === "login") {
			entry.attempts--;
			this.#held = true;
			this.#save();
			return this.#options.onLogin?.();
		}
		if (verdict === "final" || entry.attempts >= this.#options.attemptsMax) return this.#end(entry, answer, doubt);
		const retryInMs = this.#backoff.next(answer.retryAfter);
		this.#save();
		this.#tell(entry, { state: "pending", willRetry: true, retryInMs, status: answer.status, reason: answer.reason ?? "" });
		if (this.#nap.signal.aborted) this.#nap = new AbortController();
		await sleep(retryInMs, this.#nap.signal);
	}

	/** @param {Entry} entry @param {Answer} answer */
	#accept(entry, { body }) {
		entry.sessionId = typeof body.sessionId === "string" ? body.sessionId : entry.sessionId;
		for (const other of this.#entries) if (other.after === entry.id) Object.assign(other, { sessionId: entry.sessionId, after: null });
		this.#backoff.reset();
		this.#remove(entry);
		this.#tell(entry, { state: "accepted", seq: Number.isSafeInteger(body.seq) ? body.seq : null });
	}

	/** Not tried any more; what belongs to the session that it should have made has none. @param {Entry} entry @param {Answer} answer @param {boolean} doubt */
	#end(entry, { status, code = null, reason = "" }, doubt) {
		const orphans = this.#entries.filter(other => other.after === entry.id);
		this.#remove(entry);
		this.#tell(entry, { state: doubt ? "uncertain" : "failed", willRetry: false, status, code, reason });
		for (const orphan of orphans) this.#end(orphan, { status, code: "SESSION_NOT_MADE", reason: "the message that makes its session was not accepted" }, false);
	}

	/** @param {Entry} entry */
	#remove(entry) {
		this.#entries = this.#entries.filter(other => other !== entry);
		this.#save();
	}

	/** @param {Entry} entry @param {any} what */
	#tell({ id, sessionId, body, attempts }, what) {
		const outcome = { id, sessionId, body, attempts, ...what };
		if (what.state !== "pending") {
			this.#waiting.get(id)?.resolve(outcome);
			this.#waiting.delete(id);
		}
		this.#options.onOutcome?.(outcome);
	}

	/** @returns {Entry[]} */
	#load() {
		try {
			const list = JSON.parse(this.#options.memory.get(this.#options.key) ?? "[]");
			return Array.isArray(list) ? list.filter(entry => typeof entry?.id === "string" && typeof entry.body === "object") : [];
		} catch {
			return [];
		}
	}

	#save() {
		this.#options.memory.set(this.#options.key, this.#entries.length > 0 ? JSON.stringify(this.#entries) : null);
	}
}
