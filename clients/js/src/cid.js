import { uuid } from "./uuid.js";

/* The id of a connection: an address that the client chooses, and nothing that gives rights. No colon ever occurs in one. */

const GRAMMAR = /^cid-[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const KEY = "ringside:connectionId";

/** In the one spelling that there is of it (lower case); null: it is none. @param {unknown} text */
export function cidOf(text) {
	const low = typeof text === "string" ? text.toLowerCase() : "";
	return GRAMMAR.test(low) ? low : null;
}

/** The tab's id, which outlives its reloads; a new one where there is none, or none that is good. @param {import("./memory.js").Memory} memory */
export function cidKept(memory) {
	return cidOf(memory.get(KEY)) ?? cidAnew(memory);
}

/** Another one, kept from now on. @param {import("./memory.js").Memory} memory @param {string} [cid] */
export function cidAnew(memory, cid = "cid-" + uuid()) {
	memory.set(KEY, cid);
	return cid;
}
