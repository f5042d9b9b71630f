/**
 * @typedef {{ getItem(key: string): string | null, setItem(key: string, value: string): void, removeItem(key: string): void }} Store what `sessionStorage` is
 */
/** What a tab keeps over a reload; in memory alone where the browser has no storage, refuses it, or it is full. */
export class Memory {
    /** @param {Store | null} [store] without: `sessionStorage`, where there is one; null: memory alone */
    constructor(store?: Store | null);
    /** @param {string} key @returns {string | null} */
    get(key: string): string | null;
    /** @param {string} key @param {string | null} value null: forgets it */
    set(key: string, value: string | null): void;
    #private;
}
/**
 * what `sessionStorage` is
 */
export type Store = {
    getItem(key: string): string | null;
    setItem(key: string, value: string): void;
    removeItem(key: string): void;
};
