/* The market of the present duel, and bets with play money. An account is opened with the first bet and kept
 * in this browser; where accounts are given out by an operator, it comes in the fragment: #account=ID:SECRET.
 * Bets are offered to whom they would be taken from; others are told why not. */
import { Markets } from "/page/client/market.js";
import { api, secrets, serverNow } from "/page/feed.js";
import { crowd, hundredPays, mineInWords, pays, result, unbacked } from "/page/payout.js";
import { $, attribute, clock, hide, num, percent, short, signed, text } from "/page/text.js";

const markets = new Markets(api);
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

export class Market {
	/* onBets: told the bets of a market whenever they were listed; onSettled: when one of ours is. */
	constructor(feed, visitor, { onBets, onSettled } = {}) {
		this.feed = feed;
		this.onBets = onBets;
		this.onSettled = onSettled;
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
		this.balance = null;
		this.live = this.denied = false;
		$("bet").onsubmit = event => { event.preventDefault(); this.place(); };
		$("bet").oninput = () => this.drawSlip();
		$("handle").onclick = () => this.open($("handle").getAttribute("aria-expanded") !== "true");
		for (const button of $("bet").querySelectorAll("[data-stake]")) button.onclick = () => { $("amount").value = button.dataset.stake; this.drawSlip(); };
		for (const input of $("pick").querySelectorAll("input")) input.onclick = () => this.open(true);
		this.refreshBalance();
	}

	setDuel(frame) {
		if (!frame.duelId) return;
		const other = this.duel?.duelId !== frame.duelId;
		this.duel = frame;
		text($("odds-name-a"), frame.agent1.name);
		text($("odds-name-b"), frame.agent2.name);
		if (!other) return;
		this.market = null;
		this.missing = 0;
		this.more = false;
		this.bets = new Map();
		this.became = null;
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
		this.onBets?.(duelId, bets, count);
		return { mine: bets.filter(bet => bet.account === this.account?.id), more: count > bets.length };
	}

	async loadBets() {
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
		if (this.told === duelId) return;
		if (!this.account) return this.loadBets();
		try {
			const [m, listed] = await Promise.all([this.askMarket(duelId), this.askBets(duelId)]);
			if (!SETTLED.includes(m.state) || this.told === duelId) return;
			if (this.duel.duelId === duelId) this.market = { ...this.market, ...m };
			this.keepBets(duelId, listed);
			this.refreshBalance();
			const ours = this.waiting.delete(duelId) || listed.mine.length > 0;
			const words = !listed.more ? result(m, listed.mine)
				: ours ? ["Settled", "Not all bets of this market can be listed: the balance tells what became of yours.", ""] : null;
			if (words === null) return;
			this.told = duelId;
			this.onSettled?.();
			if (this.duel.duelId === duelId) this.became = words;
			/* A bet on the present duel that failed is not talked over by an earlier one's end. */
			if (!(this.said?.state === "bad" && this.said.duelId !== duelId)) this.say(duelId, `${words[0]}. ${words[1]}`, words[2]);
			this.draw();
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
		this.balance = value;
		text($("balance"), short(value));
		this.drawSlip();
	}

	/* The slip, on a phone. */
	open(open) {
		$("bet").dataset.open = open;
		$("handle").setAttribute("aria-expanded", open);
	}

	/* The stake that is typed; null: none. */
	stake() {
		const stake = Number($("amount").value.replace(/[,\s]/g, ""));
		return Number.isSafeInteger(stake) && stake > 0 ? stake : null;
	}

	side() {
		return new FormData($("bet")).get("side") ?? $("pick").querySelector("input:checked").value;
	}

	/* The same attempt keeps its key until it is answered, so that a lost answer never makes two bets. */
	async place() {
		const side = this.side(), amount = this.stake();
		if (amount === null || $("place").disabled) return;
		const { duelId } = this.duel, name = this.nameOf(side), key = JSON.stringify([duelId, side, amount]);
		this.placing = true;
		this.drawSlip();
		try {
			if (!this.account) await this.openAccount();
			if (this.pending?.for !== key) this.pending = { for: key, ...markets.attempt(duelId, this.account, side, amount) };
			const bet = await this.pending.send();
			this.pending = null;
			this.waiting.add(duelId);
			this.keepBets(duelId, { mine: [bet], more: this.more });
			this.say(duelId, `Placed: ${num(amount)} on ${name}.`, "good");
			this.open(false);
			this.loadBets();
			this.refreshBalance();
		} catch (error) {
			this.say(duelId, error.status ? error.status === 402 ? "Not placed: your balance does not cover it. Take a smaller stake." : error.status === 409 ? "Not placed: bets have just closed." : `Not placed: ${error.message}.` : "No answer. Try again: it will count once.", "bad");
			if (error.status && error.status < 500) this.pending = null;
		}
		this.placing = false;
		this.drawSlip();
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
		return this.mayOpen === null ? null : this.mayOpen ? "" : this.visitor.stranger ? "Log in to bet: accounts here are for whoever has a token."
			: "Betting needs an account, and accounts are given out by the operator.";
	}

	takesBets() {
		return this.barred() === "" && this.market.state === "open" && serverNow() < (this.duel?.betCloseTime ?? 0);
	}

	stateName(m) {
		if (!SETTLED.includes(m.state) || m.operator === "webhook") return STATES[m.state] ?? m.state;
		if (m.payout === "none") return "No bets";
		return unbacked(m) ? STATES.cancelled : STATES[m.state];
	}

	pools() {
		return this.market?.pools ?? { A: 0, B: 0 };
	}

	draw() {
		const m = this.market, pools = this.pools(), total = pools.A + pools.B;
		const known = m && !(m.operator && m.operator !== "ledger"); /* what is staked elsewhere is not */
		text($("market-state"), m ? this.stateName(m) : "–");
		$("market-state").dataset.state = m?.state === "open" || (m?.state === "resolved" && m.payout === "paid") ? "good" : m?.state === "manual_review" ? "bad" : m?.state === "cancelled" || (m && unbacked(m)) ? "warn" : "";
		const mine = { A: 0, B: 0 };
		for (const bet of this.bets.values()) mine[bet.side] += bet.amount;
		for (const side of ["A", "B"]) {
			const low = side.toLowerCase();
			this.drawPays($("odds-" + low), side, m, pools, known);
			text($("mine-" + low), mine[side] ? `${this.more ? "at least " : ""}${short(mine[side])} of it yours` : known && pools[side] ? `${short(pools[side])} staked` : "");
			attribute($("mine-" + low).closest("label"), "data-mine", mine[side] > 0);
			text($("share-" + low), total && known ? percent(pools[side] / total) : "–");
		}
		text($("pool-total"), !known ? "" : total ? `of ${num(total)} staked` : "nothing staked yet");
		attribute($("pool-bar").parentElement, "data-none", total === 0);
		$("pool-bar").parentElement.style.setProperty("--share", crowd(pools));
		this.tick(this.live, this.denied);
	}

	/* In the bettor's words: 100 pays 160. */
	drawPays(element, side, m, pools, known) {
		const settled = m && SETTLED.includes(m.state), back = settled && m.payout !== "paid", lost = settled && m.payout === "paid" && m.winnerSide && m.winnerSide !== side;
		const value = lost ? 0 : hundredPays(pools, side, m?.feePpm);
		const lead = !known || !m ? "" : back ? pools.A + pools.B ? "stakes back" : "no bets" : value === null ? "no bets yet" : settled ? "100 paid" : "100 pays";
		const number = back || value === null || !known ? "" : short(value);
		if (element.dataset.said === lead + number) return;
		element.dataset.said = lead + number;
		element.replaceChildren(lead);
		if (number) element.append(Object.assign(document.createElement("b"), { textContent: number }));
		if (!lead) element.textContent = "–";
	}

	/* What this bet would pay, and the button that says all of it. */
	drawSlip() {
		const stake = this.stake(), side = this.side(), name = this.nameOf(side), open = this.live && this.takesBets(), poor = this.balance !== null && stake > this.balance;
		const gain = stake === null ? 0 : pays(this.pools(), side, stake, this.market?.feePpm) - stake;
		for (const button of $("bet").querySelectorAll("[data-stake]")) attribute(button, "aria-pressed", Number(button.dataset.stake) === stake);
		const [lead, rest] = stake === null ? ["A stake is a whole number", "of at least 1."] : poor ? [`Your balance is ${num(this.balance)}.`, "Take a smaller stake."]
			: [gain > 0 ? `${num(stake)} pays ${num(stake + gain)} if ${name} wins: ${signed(gain)}` : "Nobody is against you yet", gain > 0 ? "Payouts move with the pools until bets close." : "If nobody bets on the other side, your stake comes back."];
		const preview = $("preview"), said = lead + rest;
		if (preview.dataset.said !== said) {
			preview.dataset.said = said;
			preview.className = "preview" + (stake === null || poor ? " bad" : "");
			preview.replaceChildren(Object.assign(document.createElement("b"), { textContent: lead }), Object.assign(document.createElement("small"), { textContent: rest }));
		}
		text($("place"), this.placing ? "Placing" : stake === null ? "Place bet" : `Bet ${short(stake)} on ${name}`);
		const off = !open || stake === null || poor || Boolean(this.placing);
		if ($("place").disabled !== off) $("place").disabled = off;
	}

	/* What stands where the stake stood: what became of our bets, what they may bring, or why there is none. */
	verdict() {
		const bar = this.barred(), m = this.market, mine = [...this.bets.values()];
		if (this.became) return this.became;
		if (bar) return [this.denied || this.visitor.stranger ? "Log in to bet" : "No bets here", bar, ""];
		if (!this.duel || this.duel.phase === "IDLE" || !m) return [this.live ? "Bets open soon" : "Not live", this.live ? "With the next duel." : "Bets wait until it is.", ""];
		if (!this.live) return ["Not live, bets wait", mine.length ? "Your bet is safe." : "What you see may be old.", "warn"];
		if (m.state === "open" || m.state === "created") return this.duel.betCloseTime > serverNow() ? ["Opening", "Bets are taken in a moment.", ""] : ["Bets are closed", mine.length ? mineInWords(mine, m, side => this.nameOf(side)) + " if it wins." : "You did not bet on this one.", ""];
		if (m.state === "manual_review") return ["In review", "A person looks at this market; stakes are safe until then.", "warn"];
		if (SETTLED.includes(m.state)) return m.payout === "none" ? ["Nobody bet", "The next duel opens another market.", ""] : [this.duel.outcome === "draw" ? "A draw" : this.duel.winnerName ? `${this.duel.winnerName} won` : "It is over", mine.length ? "It is being paid." : "You did not bet on this one.", ""];
		return ["Bets are closed", mine.length ? mineInWords(mine, m, side => this.nameOf(side)) + " if it wins." : "You did not bet on this one.", ""];
	}

	drawNote() {
		const said = this.said, note = $("bet-note"), late = said && said.duelId !== this.duel?.duelId;
		const [title, why, is] = this.verdict(), shown = said && (late ? ["ANNOUNCEMENT", "COUNTDOWN"].includes(this.duel?.phase) : said.state === "bad" || !this.became);
		text(note, shown ? (late ? "The duel before: " : "") + said.value : "");
		note.title = note.textContent;
		note.dataset.state = shown ? said.state : "";
		text($("verdict-title"), title);
		text($("verdict-text"), why);
		attribute($("verdict"), "data-is", is);
		hide($("verdict-login"), !(this.visitor.stranger && (this.denied || this.barred())));
		const proof = Boolean(this.duel?.outcome && this.market && SETTLED.includes(this.market.state));
		hide($("proof"), !proof);
		if (proof) attribute($("proof"), "href", "/v1/oracle/" + encodeURIComponent(this.duel.duelId));
		const open = this.takesBets() && this.live, mine = [...this.bets.values()];
		const bets = open ? "open" : "shut";
		if (document.body.dataset.bets === "open" && !open) this.open(false); /* the ring is what is looked at now */
		attribute(document.body, "data-bets", bets);
		text($("handle-text"), open ? `${mine.length ? "Placed. " : ""}Bets close in ${clock(this.duel.betCloseTime - serverNow())}` : this.became || mine.length === 0 ? title : mineInWords(mine, this.market, side => this.nameOf(side)));
		text($("mine-sum"), mine.length === 0 ? "None in this duel" : (this.more ? "At least " : "") + (this.became ? this.became[0] : mineInWords(mine, this.market, side => this.nameOf(side))));
		$("mine-sum").title = $("mine-sum").textContent;
		hide($("history-open"), !this.account || this.unknown);
	}

	tick(live, denied) {
		this.live = live;
		this.denied = denied;
		const open = live && this.takesBets();
		for (const fields of ["bet-fields", "pick"]) if ($(fields).disabled === open) $(fields).disabled = !open;
		this.drawSlip();
		this.drawNote();
	}
}
