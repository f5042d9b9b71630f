/** The server's clock, as far as it can be known from here. */
export class Clock {
	/** How far it is ahead of ours (ms), as the quickest word of it says; -Infinity: not heard of yet. */
	#ahead = -Infinity;

	/** Now, by the server's clock (Unix ms). It may be as late as its word was under way, never early. */
	now() {
		return Date.now() + (this.#ahead === -Infinity ? 0 : this.#ahead);
	}

	/**
	 * The server said that it was this time when it spoke.
	 * @param {number} at Unix ms
	 */
	heard(at) {
		this.#ahead = Math.max(this.#ahead, at - Date.now());
	}

	/** What was heard counts no more: our own clock may have been set. */
	forget() {
		this.#ahead = -Infinity;
	}
}
