/**
 * What a page shows of a session's sending.
 * @typedef {{ running: boolean, error: { willRetry: boolean, reason: string, state: "pending" | "failed" | "uncertain" } | null }} Sending
 */
/**
 * Whether something is under way in each session, and what went wrong. `running` from the moment of sending until the session's own
 * event says that it is over, or the message is given up; an error until the same session says anything, and no other.
 */
export class SendingStates {
    /** @param {string | null} sessionId @returns {Readonly<Sending>} */
    of(sessionId: string | null): Readonly<Sending>;
    /** A message was handed over. @param {string | null} sessionId null: of a session that has no name yet */
    sent(sessionId: string | null): void;
    /** @param {import("./outbox.js").Outcome} outcome */
    outcome(outcome: import("./outbox.js").Outcome): void;
    /** An event of a session came. @param {{ sessionId?: string, seq?: number }} event @param {boolean} [over] its answer is complete */
    event({ sessionId, seq }: {
        sessionId?: string;
        seq?: number;
    }, over?: boolean): void;
    #private;
}
/**
 * What a page shows of a session's sending.
 */
export type Sending = {
    running: boolean;
    error: {
        willRetry: boolean;
        reason: string;
        state: "pending" | "failed" | "uncertain";
    } | null;
};
