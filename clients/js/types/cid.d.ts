/** In the one spelling that there is of it (lower case); null: it is none. @param {unknown} text */
export function cidOf(text: unknown): string | null;
/** The tab's id, which outlives its reloads; a new one where there is none, or none that is good. @param {import("./memory.js").Memory} memory */
export function cidKept(memory: import("./memory.js").Memory): string;
/** Another one, kept from now on. @param {import("./memory.js").Memory} memory @param {string} [cid] */
export function cidAnew(memory: import("./memory.js").Memory, cid?: string): string;
