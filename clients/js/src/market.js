import { uuid } from "./uuid.js";

export { Api, RequestError, isTransient } from "./api.js";

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
	#api;

	/** @param {import("./api.js").Api} api */
	constructor(api) {
		this.#api = api;
	}

	/** The newest of each feed. @returns {Promise<Market[]>} */
	async list() {
		return (await this.#api.askJson("/v1/markets")).markets;
	}

	/** @param {string} duelId @returns {Promise<Market>} */
	get(duelId) {
		return this.#api.askJson("/v1/markets/" + encodeURIComponent(duelId));
	}

	/** How many there are, and the last 1000. @param {string} duelId @returns {Promise<{ count: number, bets: Bet[] }>} */
	bets(duelId) {
		return this.#api.askJson(`/v1/markets/${encodeURIComponent(duelId)}/bets`);
	}

	/**
	 * An account of one's own. Its secret is shown this once.
	 * @param {string} [name]
	 * @returns {Promise<Account & { balance: number }>}
	 */
	openAccount(name) {
		return this.#api.askJson("/v1/ledger/accounts", { body: name === undefined ? {} : { name } });
	}

	/** @param {Account} account @returns {Promise<{ id: string, balance: number, [member: string]: any }>} */
	account({ id, secret }) {
		return this.#api.askJson("/v1/ledger/accounts/" + encodeURIComponent(id), { token: secret });
	}

	/**
	 * A bet that counts once, however often it is sent: `send` may be called until it is answered.
	 * @param {string} duelId
	 * @param {Account} account
	 * @param {"A" | "B"} side
	 * @param {number} amount
	 * @param {string} [key] of the attempt; one of its own
	 */
	attempt(duelId, account, side, amount, key = uuid()) {
		const body = { account: account.id, side, amount }, headers = { "idempotency-key": key };
		return { key, send: () => /** @type {Promise<Bet>} */ (this.#api.askJson(`/v1/markets/${encodeURIComponent(duelId)}/bets`, { token: account.secret, headers, body })) };
	}

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
	place(duelId, account, side, amount, { key, ...options } = {}) {
		const attempt = this.attempt(duelId, account, side, amount, key);
		return this.#api.again(attempt.send, options);
	}
}
