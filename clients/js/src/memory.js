/**
 * @typedef {{ getItem(key: string): string | null, setItem(key: string, value: string): void, removeItem(key: string): void }} Store what `sessionStorage` is
 */

/** What a tab keeps over a reload; in memory alone where the browser has no storage, refuses it, or it is full. */
export class Memory {
	#store = /** @type {Store | null} */ (null);
	#own = /** @type {Map<string, string>} */ (new Map());

	/** @param {Store | null} [store] without: `sessionStorage`, where there is one; null: memory alone */
	constructor(store) {
		try {
			this.#store = store === undefined ? globalThis.sessionStorage ?? null : store;
		} catch { /* even to name it may be forbidden */ }
	}

	/** @param {string} key @returns {string | null} */
	get(key) {
		if (this.#own.has(key)) return /** @type {string} */ (this.#own.get(key));
		try {
			return this.#store?.getItem(key) ?? null;
		} catch {
			return null;
		}
	}

	/** @param {string} key @param {string | null} value null: forgets it */
	set(key, value) {
		this.#own.delete(key);
		try {
			if (value === null) this.#store?.removeItem(key);
			else if (this.#store) this.#store.setItem(key, value);
			else this.#own.set(key, value);
		} catch {
			if (value !== null) this.#own.set(key, value);
		}
	}
}
