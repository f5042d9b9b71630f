/* When to try again. Delays grow, are spread, and never come before the server wants it. */

/**
 * @typedef {object} BackoffOptions
 * @property {number} [min] the first delay, ms (300)
 * @property {number} [max] the longest, ms (10000)
 * @property {number} [factor] by which it grows (2)
 * @property {() => number} [random] from 0 to 1
 */

/** Delays between attempts: from half of it to all of it, so that those who fell together do not come back together. */
export class Backoff {
	#options;
	#next;

	/** @param {BackoffOptions} [options] */
	constructor(options = {}) {
		this.#options = { min: 300, max: 10_000, factor: 2, random: Math.random, ...options };
		this.#next = this.#options.min;
	}

	/**
	 * The delay before the next attempt, ms.
	 * @param {number} [atLeast] what the server asked for (`Retry-After`), ms
	 */
	next(atLeast = 0) {
		const { max, factor, random } = this.#options, delay = this.#next;
		this.#next = Math.min(delay * factor, max);
		return Math.max(delay * (0.5 + random() / 2), atLeast);
	}

	/** It has worked. */
	reset() {
		this.#next = this.#options.min;
	}
}

/**
 * Waits, or less when it is aborted: it never throws.
 * @param {number} ms
 * @param {AbortSignal} [signal]
 * @returns {Promise<void>}
 */
export function sleep(ms, signal) {
	return new Promise(done => {
		if (signal?.aborted) return done();
		const over = () => { clearTimeout(timer); signal?.removeEventListener("abort", over); done(); };
		const timer = setTimeout(over, ms);
		signal?.addEventListener("abort", over);
	});
}

/**
 * A signal of its own that follows another one and a time: AbortSignal.any() without what that keeps.
 * @param {AbortSignal | undefined | null} signal
 * @param {number} [ms] after which it aborts by itself; without: never
 * @returns {{ signal: AbortSignal, abort: (reason?: unknown) => void, release: () => void }}
 */
export function linked(signal, ms) {
	const controller = new AbortController(), abort = () => controller.abort(signal?.reason);
	if (signal?.aborted) abort();
	else signal?.addEventListener("abort", abort);
	const timer = ms === undefined ? undefined : setTimeout(() => controller.abort(new DOMException("no answer in time", "TimeoutError")), ms);
	const release = () => { clearTimeout(timer); signal?.removeEventListener("abort", abort); };
	return { signal: controller.signal, abort: reason => controller.abort(reason), release };
}
