/**
 * What a page shows of a session's sending.
 * @typedef {{ running: boolean, error: { willRetry: boolean, reason: string, state: "pending" | "failed" | "uncertain" } | null }} Sending
 */

/**
 * Whether something is under way in each session, and what went wrong. `running` from the moment of sending until the session's own
 * event says that it is over, or the message is given up; an error until the same session says anything, and no other.
 */
export class SendingStates {
	#sessions = /** @type {Map<string | null, Sending>} */ (new Map());

	/** @param {string | null} sessionId @returns {Readonly<Sending>} */
	of(sessionId) {
		return this.#sessions.get(sessionId) ?? { running: false, error: null };
	}

	/** A message was handed over. @param {string | null} sessionId null: of a session that has no name yet */
	sent(sessionId) {
		this.#sessions.set(sessionId, { running: true, error: null });
	}

	/** @param {import("./outbox.js").Outcome} outcome */
	outcome(outcome) {
		const { state, sessionId } = outcome;
		if (state === "accepted") {
			const nameless = this.#sessions.get(null);
			if (nameless && !this.#sessions.has(sessionId)) {
				this.#sessions.delete(null);
				this.#sessions.set(sessionId, nameless);
			}
			this.#change(sessionId, { error: null });
		} else this.#change(sessionId, { ...(state === "pending" ? {} : { running: false }), error: { state, willRetry: outcome.willRetry, reason: outcome.reason } });
	}

	/** An event of a session came. @param {{ sessionId?: string, seq?: number }} event @param {boolean} [over] its answer is complete */
	event({ sessionId, seq }, over = false) {
		if (sessionId === undefined || seq === undefined) return; /* of the connection, not of a session */
		if (this.#sessions.has(sessionId)) this.#change(sessionId, { error: null, ...(over ? { running: false } : {}) });
	}

	/** @param {string | null} sessionId @param {Partial<Sending>} change */
	#change(sessionId, change) {
		this.#sessions.set(sessionId, { ...this.of(sessionId), ...change });
	}
}
