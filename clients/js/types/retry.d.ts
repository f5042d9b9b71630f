/**
 * Waits, or less when it is aborted: it never throws.
 * @param {number} ms
 * @param {AbortSignal} [signal]
 * @returns {Promise<void>}
 */
export function sleep(ms: number, signal?: AbortSignal): Promise<void>;
/**
 * A signal of its own that follows another one and a time: AbortSignal.any() without what that keeps.
 * @param {AbortSignal | undefined | null} signal
 * @param {number} [ms] after which it aborts by itself; without: never
 * @returns {{ signal: AbortSignal, abort: (reason?: unknown) => void, release: () => void }}
 */
export function linked(signal: AbortSignal | undefined | null, ms?: number): {
    signal: AbortSignal;
    abort: (reason?: unknown) => void;
    release: () => void;
};
/**
 * @typedef {object} BackoffOptions
 * @property {number} [min] the first delay, ms (300)
 * @property {number} [max] the longest, ms (10000)
 * @property {number} [factor] by which it grows (2)
 * @property {() => number} [random] from 0 to 1
 */
/** Delays between attempts: from half of it to all of it, so that those who fell together do not come back together. */
export class Backoff {
    /** @param {BackoffOptions} [options] */
    constructor(options?: BackoffOptions);
    /**
     * The delay before the next attempt, ms.
     * @param {number} [atLeast] what the server asked for (`Retry-After`), ms
     */
    next(atLeast?: number): number;
    /** It has worked. */
    reset(): void;
    #private;
}
export type BackoffOptions = {
    /**
     * the first delay, ms (300)
     */
    min?: number | undefined;
    /**
     * the longest, ms (10000)
     */
    max?: number | undefined;
    /**
     * by which it grows (2)
     */
    factor?: number | undefined;
    /**
     * from 0 to 1
     */
    random?: (() => number) | undefined;
};
