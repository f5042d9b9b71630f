/* The market of the present duel, and bets with play money. An account is opened with the first bet and kept
 * in this browser; where accounts are given out by an operator, it comes in the fragment: #account=ID:SECRET. */
import { askJson, secrets, serverNow } from "/page/feed.js";

const $ = id => document.getElementById(id);
const text = (element, value) => { if (element.textContent !== value) element.textContent = value; };
const units = n => Number(n).toLocaleString("en");
const STATES = { created: "Opening", open: "Bets open", locked: "Bets closed", resolving: "Paying", resolved: "Paid", cancelled: "Stakes back", manual_review: "In review" };

function storedAccount() {
	if (secrets.account) {
		const [id, secret] = secrets.account.split(":");
		return { id, secret };
	}
	try { return JSON.parse(localStorage.getItem("account")); } catch { return null; }
}

export class Market {
	constructor(feed) {
		this.feed = feed;
		this.account = storedAccount();
		this.duel = null;   /* the frame's, while there is one */
		this.market = null; /* what was last said of it */
		this.bets = [];     /* ours, in this market */
		this.pending = null;
		this.asked = 0;     /* balances */
		$("bet").onsubmit = event => { event.preventDefault(); this.place(); };
		this.refreshBalance();
	}

	setDuel(frame) {
		if (!frame.duelId) return;
		const other = this.duel?.duelId !== frame.duelId;
		this.duel = frame;
		for (const [side, agent] of [["a", frame.agent1], ["b", frame.agent2]]) {
			text($("odds-name-" + side), agent.name);
			text($("choice-" + side), agent.name);
		}
		if (!other) return;
		this.market = null;
		this.bets = [];
		this.draw();
		this.refresh();
	}

	take(odds) {
		if (odds.duelId !== this.duel?.duelId || (this.market && odds.at < this.market.at)) return;
		const settled = odds.state !== this.market?.state && ["resolved", "cancelled"].includes(odds.state);
		this.market = odds;
		this.draw();
		if (settled) this.settle();
	}

	/* The stream tells changes; this tells how things stand when one begins to listen. */
	async refresh() {
		const duelId = this.duel?.duelId;
		if (!duelId) return;
		try {
			const m = await askJson("/v1/markets/" + duelId);
			if (!this.market || !this.market.at) this.take({ ...m, duelId, at: 0, pools: m.pools ?? { A: 0, B: 0 } });
			if (["resolved", "cancelled"].includes(m.state)) this.settle();
			else this.loadBets();
		} catch (error) {
			if (error.status === 404 && this.duel?.duelId === duelId && !this.duel.terminal)
				setTimeout(() => this.refresh(), 1000); /* it opens a moment after the announcement */
		}
	}

	async loadBets() {
		if (!this.account) return;
		const { bets } = await askJson(`/v1/markets/${this.duel.duelId}/bets`).catch(() => ({ bets: [] }));
		this.bets = bets.filter(bet => bet.account === this.account.id);
		this.draw();
	}

	async settle() {
		await this.loadBets();
		const balance = this.refreshBalance();
		const staked = this.bets.reduce((sum, bet) => sum + bet.amount, 0), paid = this.bets.reduce((sum, bet) => sum + (bet.paid ?? 0), 0);
		if (staked > 0)
			this.note(this.market.state === "cancelled" ? `No winner: your ${units(staked)} came back.`
				: paid > 0 ? `You won: ${units(paid)} for ${units(staked)}.` : `You lost ${units(staked)}.`, paid > 0 ? "good" : "");
		await balance;
	}

	async openAccount() {
		const made = await askJson("/v1/ledger/accounts", { body: { name: "Guest" } });
		this.account = { id: made.id, secret: made.secret };
		localStorage.setItem("account", JSON.stringify(this.account));
		this.showBalance(made.balance);
	}

	/* Of several that are under way, only the last one asked is shown: an older answer may come later. */
	async refreshBalance() {
		if (!this.account) return;
		const asked = ++this.asked;
		try {
			const account = await askJson("/v1/ledger/accounts/" + this.account.id, { token: this.account.secret });
			if (asked === this.asked) this.showBalance(account.balance);
		} catch (error) {
			if ([401, 403, 404].includes(error.status) && !secrets.account) { /* of another ledger */
				localStorage.removeItem("account");
				this.account = null;
				text($("balance"), "–");
			}
		}
	}

	showBalance(value) {
		text($("balance"), units(value));
	}

	/* The same attempt keeps its key until it is answered, so that a lost answer never makes two bets. */
	async place() {
		const form = new FormData($("bet")), side = form.get("side"), amount = Number(form.get("amount"));
		const key = JSON.stringify([this.duel.duelId, side, amount]);
		if (this.pending?.for !== key) this.pending = { for: key, id: crypto.randomUUID?.() ?? String(Math.random()) };
		const button = $("bet").querySelector("button");
		button.disabled = true;
		try {
			if (!this.account) await this.openAccount();
			await askJson(`/v1/markets/${this.duel.duelId}/bets`, { token: this.account.secret,
				headers: { "idempotency-key": this.pending.id }, body: { account: this.account.id, side, amount } });
			this.pending = null;
			this.note(`Placed: ${units(amount)} on ${this.nameOf(side)}.`, "good");
			this.loadBets();
			this.refreshBalance();
		} catch (error) {
			this.note(error.status ? `Not placed: ${error.message}.` : "No answer. Try again: it will count once.", "bad");
			if (error.status && error.status < 500) this.pending = null;
		}
		button.disabled = false;
	}

	nameOf(side) {
		return (side === "A" ? this.duel?.agent1 : this.duel?.agent2)?.name ?? side;
	}

	note(value, state = "") {
		text($("bet-note"), value);
		$("bet-note").dataset.state = state;
	}

	takesBets() {
		return this.market?.state === "open" && serverNow() < (this.duel?.betCloseTime ?? 0);
	}

	draw() {
		const m = this.market, pools = m?.pools ?? { A: 0, B: 0 }, total = pools.A + pools.B;
		text($("market-state"), m ? STATES[m.state] ?? m.state : "–");
		$("market-state").dataset.state = m?.state === "open" ? "good" : m?.state === "manual_review" ? "bad" : "";
		const mine = { A: 0, B: 0 };
		for (const bet of this.bets) mine[bet.side] += bet.amount;
		for (const side of ["A", "B"]) {
			const low = side.toLowerCase();
			text($("odds-" + low), m?.odds?.[side] ? m.odds[side].toFixed(2) : "–");
			text($("pool-" + low), `${units(pools[side])} staked`);
			text($("mine-" + low), mine[side] ? `${units(mine[side])} of it yours` : "");
		}
		$("pool-bar").style.transform = `scaleX(${total ? pools.A / total : .5})`;
		this.tick(true);
	}

	tick(live) {
		const open = live && this.takesBets();
		if ($("bet-fields").disabled === open) $("bet-fields").disabled = !open;
	}
}
