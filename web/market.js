/* The market of the present duel, and bets with play money. An account is opened with the first bet and kept
 * in this browser; where accounts are given out by an operator, it comes in the fragment: #account=ID:SECRET.
 * Bets are offered to whom they would be taken from; others are told why not. */
import { Markets } from "/page/client/market.js";
import { api, secrets, serverNow } from "/page/feed.js";

const $ = id => document.getElementById(id);
const text = (element, value) => { if (element.textContent !== value) element.textContent = value; };
const markets = new Markets(api);
const units = n => Number(n).toLocaleString("en");
const STATES = { created: "Opening", open: "Bets open", locked: "Bets closed", resolving: "Paying", resolved: "Paid", cancelled: "Stakes back", manual_review: "In review" };
const SETTLED = ["resolved", "cancelled"], RETRY_MS = 1000, MISSING_MIN = 3;
const STRANGER = [401, 403, 404]; /* statuses of what one has no right to, or that is not there */

function storedAccount() {
	if (secrets.account) {
		const [id, secret] = secrets.account.split(":");
		return { id, secret };
	}
	try { return JSON.parse(localStorage.getItem("account")); } catch { return null; }
}

/* A win that nobody had bet on: the market is resolved, and yet all stakes go back. */
const unbacked = m => m.state === "resolved" && m.payout === "refunded";

/* What a settled market made of one account's bets (some, or none: null): [words, whether it is good]. */
function result(m, bets) {
	const sum = of => bets.reduce((all, bet) => all + of(bet), 0);
	const staked = sum(bet => bet.amount), paid = sum(bet => bet.paid ?? 0), net = paid - staked;
	const onWinner = sum(bet => bet.side === m.winnerSide ? bet.amount : 0);
	const winner = (m.winnerSide === "B" ? m.agent2Name : m.agent1Name) || `side ${m.winnerSide}`;
	if (staked === 0) return null;
	if (m.state === "cancelled") return [`${m.outcome === "draw" ? "A draw" : "Cancelled"}: your ${units(staked)} came back.`, ""];
	if (unbacked(m)) return [`Nobody had backed ${winner}: your ${units(staked)} came back.`, ""];
	if (onWinner === 0) return [`You lost ${units(staked)}.`, ""];
	if (onWinner < staked) {
		const gross = `${units(paid)} paid for ${units(staked)} staked on both sides.`;
		return net > 0 ? [`You won ${units(net)}: ${gross}`, "good"] : [net < 0 ? `You lost ${units(-net)}: ${gross}` : `Neither won nor lost: ${gross}`, ""];
	}
	return net > 0 ? [`You won ${units(net)}: ${units(paid)} paid for ${units(staked)} staked.`, "good"]
		: net < 0 ? [`${winner} won, but the fee took more than there was to win: ${units(paid)} of your ${units(staked)} came back.`, ""]
		: [`${winner} won, but there was nothing to share: your ${units(staked)} came back.`, ""];
}

export class Market {
	constructor(feed, visitor) {
		this.feed = feed;
		this.visitor = visitor;
		this.account = storedAccount();
		this.unknown = false;    /* the account that was given is none of this server's */
		this.mayOpen = null;     /* an account; null: not known yet */
		this.duel = null;        /* the frame's, while there is one */
		this.market = null;      /* what is known of it: its record, and what the stream said since */
		this.missing = 0;        /* so many times in a row there was none for this duel */
		this.bets = new Map();   /* ours in this market, by number */
		this.more = false;       /* it has bets that were not listed, maybe ours */
		this.waiting = new Set(); /* markets with bets of ours of which we have not said what became of them */
		this.told = null;        /* the last of which we have */
		this.said = null;        /* { duelId, value, state }: the last bet, or what became of bets */
		this.pending = null;
		this.asked = 0;          /* balances */
		this.live = this.denied = false;
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
		this.missing = 0;
		this.more = false;
		this.bets = new Map();
		if (this.said?.duelId !== this.told) this.said = null; /* of a bet, which is over */
		this.draw();
		this.refresh();
	}

	take(odds) {
		if (odds.duelId === this.duel?.duelId && !(odds.at < this.market?.at)) {
			this.market = { ...this.market, ...odds };
			this.draw();
		} else if (!this.waiting.has(odds.duelId)) return;
		if (SETTLED.includes(odds.state)) this.settle(odds.duelId);
	}

	/* The stream tells changes; this tells how things stand when one begins to listen, and what does not change. */
	async refresh() {
		const duelId = this.duel?.duelId, heard = this.market?.at;
		if (!duelId) return;
		for (const earlier of this.waiting) if (earlier !== duelId) this.settle(earlier);
		try {
			const record = await this.askMarket(duelId);
			if (this.duel.duelId !== duelId) return;
			this.missing = 0;
			/* What was said meanwhile may be newer than the answer. */
			this.market = this.market?.at === heard || SETTLED.includes(record.state) ? { ...this.market, ...record } : { ...record, ...this.market };
			this.draw();
			if (SETTLED.includes(record.state)) this.settle(duelId);
			else this.loadBets();
			this.askRight();
		} catch (error) {
			if (this.duel.duelId !== duelId) return;
			this.missing = error.status === 404 ? this.missing + 1 : 0;
			this.draw();
			clearTimeout(this.again);
			if (![401, 403].includes(error.status) && !(this.missing && this.duel.terminal))
				this.again = setTimeout(() => this.refresh(), RETRY_MS); /* it opens a moment after the announcement */
		}
	}

	async askMarket(duelId) {
		const m = await markets.get(duelId);
		return { ...m, pools: { A: m.poolA, B: m.poolB } };
	}

	/* Ours in a market, and whether there are bets that were not listed. */
	async askBets(duelId) {
		const { bets, count } = await markets.bets(duelId);
		return { mine: bets.filter(bet => bet.account === this.account?.id), more: count > bets.length };
	}

	async loadBets() {
		if (!this.account) return;
		const duelId = this.duel.duelId, listed = await this.askBets(duelId).catch(() => null);
		if (listed === null || this.duel.duelId !== duelId) return; /* what is known stays */
		this.keepBets(duelId, listed);
		if (listed.mine.length > 0 && this.told !== duelId) this.waiting.add(duelId);
	}

	keepBets(duelId, { mine, more }) {
		if (this.duel.duelId !== duelId) return;
		for (const bet of mine) this.bets.set(bet.number, bet);
		this.more = more;
		this.draw();
	}

	/* Says once what became of our bets. */
	async settle(duelId) {
		if (!this.account || this.told === duelId) return;
		try {
			const [m, listed] = await Promise.all([this.askMarket(duelId), this.askBets(duelId)]);
			if (!SETTLED.includes(m.state) || this.told === duelId) return;
			if (this.duel.duelId === duelId) this.market = { ...this.market, ...m };
			this.keepBets(duelId, listed);
			this.refreshBalance();
			const ours = this.waiting.delete(duelId) || listed.mine.length > 0;
			const words = !listed.more ? result(m, listed.mine)
				: ours ? ["Settled. Not all bets of this market can be listed: the balance tells what became of yours.", ""] : null;
			if (words === null) return;
			this.told = duelId;
			/* A bet on the present duel that failed is not talked over by an earlier one's end. */
			if (!(this.said?.state === "bad" && this.said.duelId !== duelId)) this.say(duelId, ...words);
		} catch (error) {
			if (STRANGER.includes(error.status)) this.waiting.delete(duelId);
			else setTimeout(() => this.settle(duelId), RETRY_MS);
		}
	}

	/* May we open an account? */
	askRight() {
		if (this.account || this.market?.operator !== "ledger" || !this.visitor.me) return;
		this.mayOpen = ["bet", "operate"].some(verb => this.visitor.may(verb, "/v1/ledger/accounts"));
		this.draw();
	}

	async openAccount() {
		try {
			const made = await markets.openAccount("Guest");
			this.account = { id: made.id, secret: made.secret };
			localStorage.setItem("account", JSON.stringify(this.account));
			this.showBalance(made.balance);
		} catch (error) {
			if (error.status === 401 || error.status === 403) this.mayOpen = false;
			throw error;
		}
	}

	/* Of several that are under way, only the last one asked is shown: an older answer may come later. */
	async refreshBalance() {
		if (!this.account) return;
		const asked = ++this.asked;
		try {
			const account = await markets.account(this.account);
			if (asked !== this.asked) return;
			this.showBalance(account.balance);
			this.unknown = false;
		} catch (error) {
			if (asked !== this.asked || !STRANGER.includes(error.status)) return;
			this.unknown = Boolean(secrets.account);
			if (!this.unknown) { /* of another ledger */
				localStorage.removeItem("account");
				this.account = null;
				this.bets = new Map();
				this.askRight();
			}
			text($("balance"), "–");
		}
		this.draw();
	}

	showBalance(value) {
		text($("balance"), units(value));
	}

	/* The same attempt keeps its key until it is answered, so that a lost answer never makes two bets. */
	async place() {
		const form = new FormData($("bet")), side = form.get("side"), amount = Number(form.get("amount"));
		const { duelId } = this.duel, name = this.nameOf(side), key = JSON.stringify([duelId, side, amount]);
		const button = $("bet").querySelector("button");
		button.disabled = true;
		try {
			if (!this.account) await this.openAccount();
			if (this.pending?.for !== key) this.pending = { for: key, ...markets.attempt(duelId, this.account, side, amount) };
			const bet = await this.pending.send();
			this.pending = null;
			this.waiting.add(duelId);
			this.keepBets(duelId, { mine: [bet], more: this.more });
			this.say(duelId, `Placed: ${units(amount)} on ${name}.`, "good");
			this.loadBets();
			this.refreshBalance();
		} catch (error) {
			this.say(duelId, error.status ? `Not placed: ${error.message}.` : "No answer. Try again: it will count once.", "bad");
			if (error.status && error.status < 500) this.pending = null;
		}
		button.disabled = false;
	}

	nameOf(side) {
		return (side === "A" ? this.duel?.agent1 : this.duel?.agent2)?.name ?? side;
	}

	/* What became of bets stands over the word that they were placed, also when that word comes later. */
	say(duelId, value, state) {
		if (this.told === duelId && this.said?.duelId === duelId && state !== "bad" && value.startsWith("Placed")) return;
		this.said = { duelId, value, state };
		this.drawNote();
	}

	/* Why this visitor cannot bet, whatever the time is; "": he can. null: not known yet. */
	barred() {
		if (this.denied) return "Betting needs a token that may read this feed.";
		if (this.missing >= MISSING_MIN || (this.missing && this.duel.terminal)) return "There is no market for this duel.";
		if (!this.market?.operator) return null;
		if (this.market.operator !== "ledger") return "Bets on this duel are taken by its operator's own service, not on this page.";
		if (this.account) return this.unknown ? "This server does not know the account that this page was opened with." : "";
		return this.mayOpen === null ? null : this.mayOpen ? "" : "Betting needs an account, and accounts are given out by the operator.";
	}

	drawNote() {
		const bar = this.barred(), said = this.said, note = $("bet-note");
		const hint = bar === "" && !this.account ? "Play money. The first bet opens an account in this browser." : "Play money.";
		const late = said && said.duelId !== this.duel?.duelId ? "The duel before: " : "";
		text(note, [said ? late + said.value : "", bar || (said ? "" : hint)].filter(Boolean).join(" "));
		note.dataset.state = said?.state ?? "";
		$("bet").classList.toggle("barred", Boolean(bar));
		if ($("bet-fields").hidden !== Boolean(bar)) $("bet-fields").hidden = Boolean(bar);
	}

	takesBets() {
		return this.barred() === "" && this.market.state === "open" && serverNow() < (this.duel?.betCloseTime ?? 0);
	}

	stateName(m) {
		if (!SETTLED.includes(m.state) || m.operator === "webhook") return STATES[m.state] ?? m.state;
		if (m.payout === "none") return "No bets";
		return unbacked(m) ? STATES.cancelled : STATES[m.state];
	}

	draw() {
		const m = this.market, pools = m?.pools ?? { A: 0, B: 0 }, total = pools.A + pools.B;
		const known = m && !(m.operator && m.operator !== "ledger"); /* what is staked elsewhere is not */
		text($("market-state"), m ? this.stateName(m) : "–");
		$("market-state").dataset.state = m?.state === "open" ? "good" : m?.state === "manual_review" ? "bad" : "";
		const mine = { A: 0, B: 0 };
		for (const bet of this.bets.values()) mine[bet.side] += bet.amount;
		for (const side of ["A", "B"]) {
			const low = side.toLowerCase();
			text($("odds-" + low), m?.odds?.[side] ? m.odds[side].toFixed(2) : "–");
			text($("pool-" + low), known ? `${units(pools[side])} staked` : "");
			text($("mine-" + low), mine[side] ? `${this.more ? "at least " : ""}${units(mine[side])} of it yours` : "");
		}
		$("pool-bar").style.transform = `scaleX(${total ? pools.A / total : .5})`;
		this.tick(this.live, this.denied);
	}

	tick(live, denied) {
		this.live = live;
		this.denied = denied;
		const open = live && this.takesBets();
		if ($("bet-fields").disabled === open) $("bet-fields").disabled = !open;
		this.drawNote();
	}
}
