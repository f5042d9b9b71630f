/** The server's clock, as far as it can be known from here. */
export class Clock {
    /** Now, by the server's clock (Unix ms). It may be as late as its word was under way, never early. */
    now(): number;
    /**
     * The server said that it was this time when it spoke.
     * @param {number} at Unix ms
     */
    heard(at: number): void;
    /** What was heard counts no more: our own clock may have been set. */
    forget(): void;
    #private;
}
