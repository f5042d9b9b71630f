import { RequestError } from "./api.js";
import { follow } from "./follow.js";
import { canonical } from "./path.js";
import { Producer } from "./producer.js";

export { Api, RequestError, isTransient } from "./api.js";
export { Clock } from "./clock.js";
export { Message, ResetError, follow } from "./follow.js";
export { canonical, pathOf } from "./path.js";
export { FencedError, Producer, QueueFullError } from "./producer.js";

/**
 * @typedef {object} StreamInfo
 * @property {string} contentType
 * @property {string} offset its tail
 * @property {boolean} closed
 */

/**
 * @typedef {object} CreateOptions
 * @property {string} [contentType] ("application/json")
 * @property {unknown} [data] its first data: of a JSON stream any value (an array's elements are messages), else text or bytes
 * @property {number} [ttl] seconds without a use after which it goes
 * @property {Date} [expiresAt] when it goes
 * @property {boolean} [closed] nothing may be appended any more
 * @property {{ path: string, offset?: string }} [forkOf] it begins with what another one has, up to that offset
 */

/**
 * @typedef {object} Page
 * @property {any[]} messages of a JSON stream; else empty
 * @property {Uint8Array} bytes as they came
 * @property {string} offset behind it
 * @property {boolean} upToDate there is no more at the moment
 * @property {boolean} closed there will be no more
 */

/** Streams: durable logs, each at a path. */
export class Streams {
	#api;
	#producers = /** @type {Map<string, Producer>} */ (new Map());

	/** @param {import("./api.js").Api} api */
	constructor(api) {
		this.#api = api;
	}

	/**
	 * Makes a stream; one that is there with the same configuration is fine.
	 * @param {string} path below `/v1/stream/`
	 * @param {CreateOptions} [options]
	 * @returns {Promise<boolean>} whether it was made now
	 */
	async create(path, { contentType = "application/json", data, ttl, expiresAt, closed, forkOf } = {}) {
		const headers = new Headers({ "content-type": contentType });
		if (ttl !== undefined) headers.set("stream-ttl", String(ttl));
		if (expiresAt) headers.set("stream-expires-at", expiresAt.toISOString());
		if (closed) headers.set("stream-closed", "true");
		if (forkOf) headers.set("stream-forked-from", `/v1/stream/${canonical(forkOf.path)}`);
		if (forkOf?.offset) headers.set("stream-fork-offset", forkOf.offset);
		const body = /** @type {BodyInit | undefined} */ (data === undefined ? undefined : isJson(contentType) ? JSON.stringify(data) : data);
		return this.#api.again(async () => (await this.#success("PUT", path, { headers, body })).status === 201);
	}

	/**
	 * Appends one message exactly once, in order with the others that this object appends to that stream.
	 * @param {string} path
	 * @param {unknown} message of a JSON stream any value, else text or bytes
	 * @param {import("./producer.js").ProducerOptions} [options] of the producer; the first append to the path counts
	 * @returns {Promise<{ offset: string | null }>} when it is on the server's disk
	 */
	append(path, message, options) {
		let producer = this.#producers.get(path);
		if (!producer) this.#producers.set(path, producer = this.producer(path, options));
		return producer.append(message);
	}

	/**
	 * A writer with a name, which can go on after a restart or take over from another one.
	 * @param {string} path
	 * @param {import("./producer.js").ProducerOptions} [options]
	 */
	producer(path, options) {
		return new Producer(this.#api, path, options);
	}

	/**
	 * What is there from an offset on, page by page, until there is no more at the moment.
	 * @param {string} path
	 * @param {{ offset?: string, signal?: AbortSignal }} [options] `offset`: "-1" (default) is the beginning, "now" the tail
	 * @returns {AsyncGenerator<Page, void>}
	 */
	async *read(path, { offset = "-1", signal } = {}) {
		for (let page; !page?.upToDate && !page?.closed;) {
			page = await this.#api.again(() => this.#page(path, offset, signal), { signal });
			offset = page.offset;
			yield page;
		}
	}

	/**
	 * Every message of a JSON stream that is there, from an offset on.
	 * @param {string} path
	 * @param {{ offset?: string, signal?: AbortSignal }} [options]
	 * @returns {Promise<any[]>}
	 */
	async messages(path, options) {
		const all = [];
		for await (const { messages } of this.read(path, options)) all.push(...messages);
		return all;
	}

	/**
	 * Any number of streams as one, over every disconnect: see `follow`.
	 * @param {string | string[]} streams
	 * @param {import("./follow.js").FollowOptions} [options]
	 */
	follow(streams, options) {
		return follow(this.#api, streams, options);
	}

	/**
	 * @param {string} path
	 * @returns {Promise<StreamInfo | null>} null: there is none
	 */
	async info(path) {
		const answer = await this.#api.again(() => this.#request("HEAD", path));
		if (answer.status === 404 || answer.status === 410) return null;
		if (!answer.ok) throw await RequestError.of(answer);
		return { contentType: answer.headers.get("content-type") ?? "", offset: answer.headers.get("stream-next-offset") ?? "",
			closed: isTrue(answer, "stream-closed") };
	}

	/**
	 * Nothing may be appended any more; again is fine.
	 * @param {string} path
	 */
	async close(path) {
		await this.#api.again(() => this.#success("POST", path, { headers: new Headers({ "stream-closed": "true" }) }));
	}

	/**
	 * @param {string} path
	 * @returns {Promise<boolean>} whether there was one
	 */
	async remove(path) {
		const answer = await this.#api.again(() => this.#request("DELETE", path));
		if (answer.status === 404 || answer.status === 410) return false;
		if (!answer.ok) throw await RequestError.of(answer);
		return true;
	}

	/** @param {string} path @param {string} offset @param {AbortSignal} [signal] @returns {Promise<Page>} */
	async #page(path, offset, signal) {
		const answer = await this.#success("GET", path, { signal }, `?offset=${encodeURIComponent(offset)}`);
		const bytes = new Uint8Array(await answer.arrayBuffer()), json = isJson(answer.headers.get("content-type") ?? "");
		return { messages: json && bytes.length > 0 ? JSON.parse(new TextDecoder().decode(bytes)) : [], bytes,
			offset: answer.headers.get("stream-next-offset") ?? offset, upToDate: isTrue(answer, "stream-up-to-date"), closed: isTrue(answer, "stream-closed") };
	}

	/**
	 * @param {string} method @param {string} path @param {import("./api.js").AskOptions} [options] @param {string} [query]
	 */
	async #request(method, path, options, query = "") {
		const answer = await this.#api.ask(`/v1/stream/${canonical(path)}${query}`, { method, ...options });
		if (answer.status >= 500 || answer.status === 429) throw await RequestError.of(answer);
		return answer;
	}

	/** @param {string} method @param {string} path @param {import("./api.js").AskOptions} [options] @param {string} [query] */
	async #success(method, path, options, query) {
		const answer = await this.#request(method, path, options, query);
		if (!answer.ok) throw await RequestError.of(answer);
		return answer;
	}
}

/** @param {string} contentType */
const isJson = contentType => /^application\/json\b/i.test(contentType);

/** @param {Response} answer @param {string} name */
const isTrue = (answer, name) => answer.headers.get(name) === "true";
