import { Clock } from "./clock.js";
import { Backoff, linked, sleep } from "./retry.js";

/**
 * An answer that was no success.
 *
 * What it means for another attempt: `transient` ones (408, 425, 429, 5xx) may go differently, every other is final
 * (a 404, a login that has expired). That there was no answer at all is no RequestError but what `fetch` throws.
 */
export class RequestError extends Error {
	/**
	 * @param {number} status
	 * @param {string} message the server's own words
	 * @param {{ code?: string | null, retryAfter?: number, headers?: Headers }} [more]
	 */
	constructor(status, message, { code = null, retryAfter = 0, headers = new Headers() } = {}) {
		super(message || `status ${status}`);
		this.name = "RequestError";
		/** HTTP's. */
		this.status = status;
		/** Of errors that are told as JSON: their code. */
		this.code = code;
		/** What `Retry-After` said, ms; 0: nothing. */
		this.retryAfter = retryAfter;
		this.headers = headers;
	}

	/** Whether the same request may be answered otherwise later. */
	get transient() {
		return isTransientStatus(this.status);
	}

	/**
	 * Of an answer; its body is read.
	 * @param {Response} answer
	 */
	static async of(answer) {
		const text = (await answer.text().catch(() => "")).trim();
		let message = text, code = null;
		try {
			const { error, message: words, code: named } = JSON.parse(text);
			if (typeof error === "string") message = typeof words === "string" ? words : error;
			else if (typeof error?.message === "string") message = error.message;
			code = typeof named === "string" ? named : typeof error?.code === "string" ? error.code : null;
		} catch { /* it is told as text */ }
		return new RequestError(answer.status, message || answer.statusText, { code, retryAfter: retryAfterOf(answer), headers: answer.headers });
	}
}

/** @param {number} status */
export function isTransientStatus(status) {
	return status === 408 || status === 425 || status === 429 || status >= 500;
}

/**
 * Whether another attempt makes sense: there was no answer, or one that may be another.
 * @param {unknown} error
 */
export function isTransient(error) {
	return !(error instanceof RequestError) || error.transient;
}

/** @param {Response} answer */
function retryAfterOf(answer) {
	const text = answer.headers.get("retry-after") ?? "", seconds = Number(text);
	if (text === "") return 0;
	if (Number.isFinite(seconds)) return Math.max(0, seconds * 1000);
	return Math.max(0, (Date.parse(text) || 0) - Date.now());
}

/**
 * @typedef {object} ApiOptions
 * @property {string} [base] where it is: `https://arena.example`. Without: the page's own origin
 * @property {string | null | (() => string | null | Promise<string | null>)} [token] sent as `Authorization: Bearer`; a
 *   function is asked before each request, so that one that has ended can be replaced. Without: the cookie, if any
 * @property {RequestCredentials} [credentials] of `fetch` ("same-origin")
 * @property {number} [timeout] how long an answer may take until its head is there, ms (15000)
 * @property {import("./retry.js").BackoffOptions} [backoff] between the attempts of what is repeated
 * @property {typeof fetch} [fetch] in place of the global one
 */

/**
 * @typedef {RequestInit & { token?: string | null, timeout?: number }} AskOptions `token` in place of the Api's own (null:
 *   none), `timeout` in ms
 */

/** One Ringside, asked as one visitor. Everything else in this package takes one. */
export class Api {
	#options;

	/** @param {ApiOptions} [options] */
	constructor(options = {}) {
		this.#options = { credentials: /** @type {RequestCredentials} */ ("same-origin"), timeout: 15_000, ...options };
		/** The server's clock, as far as it has been heard. */
		this.clock = new Clock();
	}

	/**
	 * The whole address of a path.
	 * @param {string} path
	 */
	url(path) {
		return new URL(path, this.#options.base ?? globalThis.location?.href).href;
	}

	/** The token that the next request would carry. */
	async token() {
		const { token } = this.#options;
		return (typeof token === "function" ? await token() : token) ?? null;
	}

	/**
	 * The answer, whatever its status. Throws what `fetch` throws: there was none, or not in time, or it was aborted.
	 * @param {string} path
	 * @param {AskOptions} [options]
	 * @returns {Promise<Response>}
	 */
	async ask(path, { token, timeout = this.#options.timeout, headers, signal, ...rest } = {}) {
		const bearer = token === undefined ? await this.token() : token, all = new Headers(headers);
		if (bearer && !all.has("authorization")) all.set("authorization", "Bearer " + bearer);
		const link = linked(signal, timeout), ask = this.#options.fetch ?? fetch;
		const answer = ask(this.url(path), { cache: "no-store", credentials: this.#options.credentials, ...rest, headers: all, signal: link.signal });
		try {
			const { body } = await answer;
			/* From here on only the caller's own signal ends it; `release` must not cut that tie while the body is read. */
			link.release();
			if (body) signal?.addEventListener("abort", () => link.abort(signal.reason), { once: true });
		} catch (error) {
			link.release();
			throw error;
		}
		return answer;
	}

	/**
	 * What is there as JSON; null for an empty answer. With `body`: a POST of it.
	 * @template T
	 * @param {string} path
	 * @param {Omit<AskOptions, "body"> & { body?: unknown }} [options]
	 * @returns {Promise<T>}
	 * @throws {RequestError} when the answer is no success
	 */
	async askJson(path, { body, headers, ...options } = {}) {
		const all = new Headers(headers);
		if (body !== undefined && !all.has("content-type")) all.set("content-type", "application/json");
		const answer = await this.ask(path, { ...(body === undefined ? {} : { method: "POST", body: JSON.stringify(body) }), ...options, headers: all });
		if (!answer.ok) throw await RequestError.of(answer);
		const text = await answer.text();
		return text ? JSON.parse(text) : /** @type {any} */ (null);
	}

	/**
	 * Does it again until it is answered, as long as another attempt makes sense. Only for what may be repeated.
	 * @template T
	 * @param {() => Promise<T>} attempt
	 * @param {{ attempts?: number, signal?: AbortSignal, backoff?: import("./retry.js").BackoffOptions }} [options] at most so
	 *   many attempts (8)
	 * @returns {Promise<T>}
	 */
	async again(attempt, { attempts = 8, signal, backoff } = {}) {
		const delays = new Backoff({ ...this.#options.backoff, ...backoff });
		for (let left = attempts - 1; ; left--) {
			try {
				return await attempt();
			} catch (error) {
				if (left <= 0 || signal?.aborted || !isTransient(error)) throw error;
				await sleep(delays.next(error instanceof RequestError ? error.retryAfter : 0), signal);
			}
		}
	}
}
