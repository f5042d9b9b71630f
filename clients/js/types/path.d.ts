/**
 * A stream's path as the server writes it: relative to `/v1/stream/`, and whatever a URL does not take as it is escaped.
 * Escapes that are there already stay.
 * @param {string} path
 */
export function canonical(path: string): string;
/**
 * A path of segments that may hold anything, slashes among it.
 * @param {...string} segments
 */
export function pathOf(...segments: string[]): string;
