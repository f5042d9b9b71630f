/**
 * A market of a duel, as `GET /v1/markets/ID` has it.
 * @typedef {{ duelId: string, state: string, operator: string, poolA: number, poolB: number, odds: { A: number | null, B: number | null },
 *   takesBets: boolean, winnerSide: string | null, payout: "paid" | "refunded" | "none" | null, payoutReason: string | null,
 *   [member: string]: any }} Market
 */
/** @typedef {{ number: number, account: string, side: "A" | "B", amount: number, paid: number | null, net: number | null, [member: string]: any }} Bet */
/** @typedef {{ id: string, secret?: string }} Account `secret`: without one, the Api's own token stands for it */
/** Markets with play money, and accounts that bet in them. */
export class Markets {
    /** @param {import("./api.js").Api} api */
    constructor(api: import("./api.js").Api);
    /** The newest of each feed. @returns {Promise<Market[]>} */
    list(): Promise<Market[]>;
    /** @param {string} duelId @returns {Promise<Market>} */
    get(duelId: string): Promise<Market>;
    /** How many there are, and the last 1000. @param {string} duelId @returns {Promise<{ count: number, bets: Bet[] }>} */
    bets(duelId: string): Promise<{
        count: number;
        bets: Bet[];
    }>;
    /**
     * An account of one's own. Its secret is shown this once.
     * @param {string} [name]
     * @returns {Promise<Account & { balance: number }>}
     */
    openAccount(name?: string): Promise<Account & {
        balance: number;
    }>;
    /** @param {Account} account @returns {Promise<{ id: string, balance: number, [member: string]: any }>} */
    account({ id, secret }: Account): Promise<{
        id: string;
        balance: number;
        [member: string]: any;
    }>;
    /**
     * A bet that counts once, however often it is sent: `send` may be called until it is answered.
     * @param {string} duelId
     * @param {Account} account
     * @param {"A" | "B"} side
     * @param {number} amount
     * @param {string} [key] of the attempt; one of its own
     */
    attempt(duelId: string, account: Account, side: "A" | "B", amount: number, key?: string): {
        key: string;
        send: () => Promise<Bet>;
    };
    /**
     * Places a bet: repeated with one key while there is no answer, so that it counts once.
     * @param {string} duelId
     * @param {Account} account
     * @param {"A" | "B"} side
     * @param {number} amount
     * @param {{ key?: string, attempts?: number, signal?: AbortSignal }} [options]
     * @returns {Promise<Bet>}
     * @throws {import("./api.js").RequestError} 402: the balance does not cover it; 409: it takes no bets (any more)
     */
    place(duelId: string, account: Account, side: "A" | "B", amount: number, { key, ...options }?: {
        key?: string;
        attempts?: number;
        signal?: AbortSignal;
    }): Promise<Bet>;
    #private;
}
/**
 * A market of a duel, as `GET /v1/markets/ID` has it.
 */
export type Market = {
    duelId: string;
    state: string;
    operator: string;
    poolA: number;
    poolB: number;
    odds: {
        A: number | null;
        B: number | null;
    };
    takesBets: boolean;
    winnerSide: string | null;
    payout: "paid" | "refunded" | "none" | null;
    payoutReason: string | null;
    [member: string]: any;
};
export type Bet = {
    number: number;
    account: string;
    side: "A" | "B";
    amount: number;
    paid: number | null;
    net: number | null;
    [member: string]: any;
};
/**
 * `secret`: without one, the Api's own token stands for it
 */
export type Account = {
    id: string;
    secret?: string;
};
export { Api, RequestError, isTransient } from "./api.js";
