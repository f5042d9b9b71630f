/* All bets of this visitor's account, page by page, with the balance as it was after each. */
import { Markets } from "/page/client/market.js";
import { api } from "/page/feed.js";
import { $, make, num, signed, text } from "/page/text.js";

const markets = new Markets(api), PAGE = 25;

export class History {
	/* nameOf(duelId, side): whom that bet was on, where it is still known. */
	constructor(market, nameOf) {
		Object.assign(this, { market, nameOf });
		$("history-open").onclick = () => this.open();
		$("history-more").onclick = () => this.more();
	}

	async open() {
		Object.assign(this, { next: undefined, balance: null });
		$("history-rows").replaceChildren();
		text($("history-sum"), "Asking");
		$("history").showModal();
		try {
			const { balance, staked, returned, bets, toppedUp } = await markets.account(this.market.account);
			this.balance = toppedUp > 0 ? null : balance; /* when units were added is not said */
			text($("history-sum"), `Balance ${num(balance)}. ${bets === 1 ? "1 bet" : `${num(bets)} bets`}: ${num(staked)} staked, ${num(returned)} came back so far.`);
			await this.more();
		} catch (error) {
			text($("history-sum"), error.status ? `Not shown: ${error.message}.` : "No answer. Close this and open it again.");
		}
	}

	async more() {
		const { id, secret } = this.market.account, before = this.next === undefined ? "" : `&before=${this.next}`;
		const { bets, next } = await api.askJson(`/v1/ledger/accounts/${encodeURIComponent(id)}/bets?limit=${PAGE}${before}`, { token: secret });
		this.next = next;
		for (const { at, side, amount, paid, net, duelId } of bets) {
			const shown = this.balance, settled = net !== null;
			if (shown !== null) this.balance -= settled ? net : -amount;
			const name = make("td", "", this.nameOf(duelId, side) ?? `side ${side}`);
			name.title = duelId;
			$("history-rows").append(make("tr", "", make("td", "", new Date(at).toLocaleString([], { hour12: false, dateStyle: "short", timeStyle: "short" })), name,
				...[num(amount), settled ? num(paid) : "open", settled ? signed(net) : "–", shown === null ? "–" : num(shown)].map(words => make("td", "", words))));
		}
		if (bets.length === 0 && $("history-rows").childElementCount === 0) text($("history-sum"), "No bets yet. What you bet stands here, with what became of it.");
		$("history-more").hidden = next === null;
	}
}
