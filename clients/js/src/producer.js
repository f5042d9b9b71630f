import { RequestError, isTransient } from "./api.js";
import { canonical } from "./path.js";
import { Backoff, sleep } from "./retry.js";
import { uuid } from "./uuid.js";

/** Another producer of the same id and a later epoch writes now: this one will never write again. */
export class FencedError extends Error {
	/** @param {number} epoch the one that writes */
	constructor(epoch) {
		super(`a producer of epoch ${epoch} has taken over`);
		this.name = "FencedError";
		this.epoch = epoch;
	}
}

/** More waits to be written than may wait; nothing of this append was taken. */
export class QueueFullError extends Error {
	constructor() {
		super("too many messages wait to be written");
		this.name = "QueueFullError";
	}
}

/**
 * @typedef {object} ProducerOptions
 * @property {string} [id] who writes. Without: one of its own, so that nobody fences it
 * @property {number} [epoch] which life of that writer: a later one fences the earlier ones. Without: the time (Unix ms) where
 *   there is an `id`, else 0
 * @property {boolean} [claim] where a later life than this has written: take over with the epoch behind its own before the
 *   first message, instead of a FencedError
 * @property {string} [contentType] of the stream ("application/json")
 * @property {number} [waitingMax] appends that may wait (1000); beyond: QueueFullError
 * @property {number} [batchBytes] of one POST, several messages of a JSON stream together (262144)
 * @property {number} [attempts] of one POST (Infinity)
 * @property {number} [timeout] of one attempt, ms (15000)
 * @property {AbortSignal} [signal] ends it: what waits fails
 * @property {import("./retry.js").BackoffOptions} [backoff]
 */

/**
 * @typedef {{ text: string | Uint8Array, size: number, resolve: (value: { offset: string | null }) => void,
 *   reject: (error: unknown) => void }} Waiting
 */

/**
 * Writes to one stream, in the order in which it is told to, each message exactly once: a POST whose answer was lost is
 * repeated with its number until it is answered. One is under way at a time; what is appended meanwhile goes together.
 */
export class Producer {
	#api;
	#path;
	#options;
	#seq = 0;
	#waiting = /** @type {Waiting[]} */ ([]);
	#underWay = /** @type {Promise<void> | null} */ (null);
	#over = /** @type {unknown} */ (null);

	/**
	 * @param {import("./api.js").Api} api
	 * @param {string} path of the stream, below `/v1/stream/`
	 * @param {ProducerOptions} [options]
	 */
	constructor(api, path, options = {}) {
		this.#api = api;
		this.#path = canonical(path);
		this.#options = { contentType: "application/json", waitingMax: 1000, batchBytes: 1 << 18, attempts: Infinity, timeout: 15_000, claim: false, ...options };
		/** Who writes. */
		this.id = options.id ?? uuid();
		/** Which life of it. */
		this.epoch = options.epoch ?? (options.id === undefined ? 0 : Date.now());
	}

	/**
	 * Appends one message; of a JSON stream: any value, else text or bytes. Resolves when it is on the server's disk, with
	 * the stream's offset behind it (null: it was there already). After a failure whatever waited behind it fails, too.
	 * @param {unknown} message
	 * @returns {Promise<{ offset: string | null }>}
	 * @throws {RequestError | FencedError | QueueFullError}
	 */
	append(message) {
		const text = this.#json ? JSON.stringify(message) : /** @type {string | Uint8Array} */ (message);
		if (typeof text !== "string" && !(text instanceof Uint8Array)) return Promise.reject(new TypeError("neither JSON, nor text, nor bytes"));
		if (this.#over) return Promise.reject(this.#over);
		if (this.#waiting.length >= this.#options.waitingMax) return Promise.reject(new QueueFullError());
		return new Promise((resolve, reject) => {
			this.#waiting.push({ text, size: text.length, resolve, reject });
			this.#underWay ??= Promise.resolve().then(() => this.#run());
		});
	}

	/** When all that was appended until now is written, or has failed. It never throws: the appends have. */
	async flush() {
		while (this.#underWay) await this.#underWay;
	}

	get #json() {
		return /^application\/json\b/i.test(this.#options.contentType);
	}

	async #run() {
		try {
			while (this.#waiting.length > 0) {
				const batch = this.#take();
				try {
					const offset = await this.#post(batch.map(({ text }) => text));
					this.#seq++;
					for (const { resolve } of batch) resolve({ offset });
				} catch (error) {
					/* A body that was refused took no number. Whether one without an answer did, nobody knows: no other may have its. */
					if (!(error instanceof RequestError) || error.transient) this.#over = error;
					if (error instanceof FencedError) this.#over = error;
					for (const { reject } of [...batch, ...this.#waiting.splice(0)]) reject(error);
				}
			}
		} finally {
			this.#underWay = null;
		}
	}

	/** What goes together: at least one. */
	#take() {
		let count = 1, size = this.#waiting[0].size;
		if (this.#json)
			while (count < this.#waiting.length && (size += this.#waiting[count].size + 1) <= this.#options.batchBytes) count++;
		return this.#waiting.splice(0, count);
	}

	/** @param {(string | Uint8Array)[]} texts */
	async #post(texts) {
		const body = /** @type {BodyInit} */ (this.#json ? `[${texts.join(",")}]` : texts[0]);
		const { attempts, signal, backoff } = this.#options, delays = new Backoff(backoff);
		for (let left = attempts - 1; ; left--) {
			try {
				return await this.#once(body);
			} catch (error) {
				if (error === CLAIMED) continue;
				if (left <= 0 || signal?.aborted || error instanceof FencedError || !isTransient(error)) throw error;
				await sleep(delays.next(error instanceof RequestError ? error.retryAfter : 0), signal);
				if (signal?.aborted) throw error;
			}
		}
	}

	/** @param {BodyInit} body */
	async #once(body) {
		const { contentType, timeout, signal, claim } = this.#options;
		const answer = await this.#api.ask(`/v1/stream/${this.#path}`, { method: "POST", body, timeout, signal, headers: {
			"content-type": contentType, "producer-id": this.id, "producer-epoch": String(this.epoch), "producer-seq": String(this.#seq) } });
		if (answer.ok) {
			await answer.arrayBuffer();
			return answer.headers.get("stream-next-offset");
		}
		const error = await RequestError.of(answer), epoch = answer.headers.get("producer-epoch");
		if (answer.status !== 403 || epoch === null) throw error;
		if (!claim || this.#seq > 0) throw new FencedError(Number(epoch));
		this.epoch = Number(epoch) + 1;
		throw CLAIMED;
	}
}

const CLAIMED = Symbol("claimed");
