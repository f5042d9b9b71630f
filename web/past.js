/* What was: past duels of the feed, who has won how often, what each of the two brings. Read when the page is opened
 * and when a duel has ended. */
import { api } from "/page/feed.js";
import { hundredPays } from "/page/payout.js";
import { $, clock, drawForm, howOf, make, num, timeOf, wonOf, words } from "/page/text.js";

const PAGE = 20, SIDES = ["agent1", "agent2"];
const ask = path => api.askJson(path).catch(() => null); /* what is not for this visitor, or not now, is not shown */

export class Past {
	constructor(feed, { replay, onKnown }) {
		Object.assign(this, { feed, replay, onKnown, duels: [], next: null, markets: new Map(), form: new Map(), table: [] });
		$("past-more").onclick = () => this.more();
	}

	async refresh() {
		const root = `/v1/feeds/${encodeURIComponent(this.feed)}`, many = Math.max(PAGE, Math.min(200, this.duels.length));
		const [page, standings, markets] = await Promise.all([ask(`${root}/duels?limit=${many}`), ask(`${root}/standings`), ask("/v1/markets")]);
		if (markets) this.markets = new Map(markets.markets.map(market => [market.duelId, market]));
		if (page) Object.assign(this, { duels: page.duels, next: page.next });
		if (standings) this.table = standings.standings;
		this.know();
	}

	async more() {
		$("past-more").disabled = true;
		const page = this.next && await ask(`/v1/feeds/${encodeURIComponent(this.feed)}/duels?limit=${PAGE}&before=${this.next}`);
		if (page) {
			this.duels = [...this.duels, ...page.duels];
			this.next = page.next;
			this.know();
		}
		$("past-more").disabled = false;
	}

	know() {
		this.form = new Map();
		for (const duel of this.duels) {
			for (const side of SIDES) {
				const id = duel[side]?.id, list = this.form.get(id) ?? [];
				if (!id || duel.outcome === "cancelled" || list.length >= 5) continue;
				this.form.set(id, [duel.outcome === "draw" ? "D" : wonOf(duel, side) ? "W" : "L", ...list]);
			}
		}
		this.drawDuels();
		this.drawTable();
		this.onKnown();
	}

	/* What 100 on the winner paid; "": not known any more. */
	paid(duel) {
		const market = this.markets.get(duel.duelId);
		if (!market || market.operator !== "ledger" || !market.payout) return "";
		if (market.payout !== "paid") return market.payout === "none" ? "no bets" : "stakes back";
		const value = hundredPays({ A: market.poolA, B: market.poolB }, market.winnerSide, market.feePpm);
		return value === null ? "" : `100 paid ${num(value)}`;
	}

	/* Past duels of these two, the newest first. */
	meetings(a, b) {
		return this.duels.filter(duel => SIDES.some((side, i) => duel[side]?.id === a && duel[SIDES[1 - i]]?.id === b)).map(duel => ({
			title: duel.outcome === "win" ? `${duel.winnerName} won` : duel.outcome === "draw" ? "Nobody won" : "Cancelled", how: howOf(duel), paid: this.paid(duel), when: timeOf(duel.emittedAt) }));
	}

	/* Won and lost so far: as the feed counts it, else as the game says. */
	record(frame, side) {
		return this.table.find(row => row.id === frame[side].id) ?? frame.standings?.[side] ?? frame[side];
	}

	/* Won against the other: what is listed here, or what was counted, which goes back further. */
	metWins(frame) {
		return SIDES.map((side, i) => Math.max(frame.standings?.[side].headToHeadWins ?? 0,
			this.duels.filter(duel => duel.winnerId === frame[side].id && SIDES.some(one => duel[one]?.id === frame[SIDES[1 - i]].id)).length));
	}

	/* How long fights of a contestant usually are, ms; null: not known. */
	usual(id) {
		const long = this.duels.filter(duel => SIDES.some(side => duel[side]?.id === id) && duel.fightStartTime && duel.duelEndTime).map(duel => duel.duelEndTime - duel.fightStartTime).sort((x, y) => x - y);
		return long.length ? long[long.length >> 1] : null;
	}

	drawDuels() {
		$("past-more").hidden = !this.next;
		$("past").replaceChildren(...this.duels.map((duel, at) => {
			const rows = SIDES.map((side, i) => make("div", `row ${"ab"[i]}${wonOf(duel, side) ? " win" : ""}`, make("i", "key-square"), make("span", "", duel[side]?.name ?? "–"),
				make("b", "", duel.outcome === "draw" ? "½" : duel.outcome === "cancelled" ? "–" : wonOf(duel, side) ? "1" : "0")));
			const again = make("button", "link", "Watch again"), proof = make("a", "", "Signed result");
			again.type = "button";
			again.setAttribute("aria-label", `Watch again: ${duel.agent1?.name} against ${duel.agent2?.name}, ${timeOf(duel.emittedAt)}`);
			again.onclick = () => this.replay(duel, this.duels[at + 1]);
			proof.href = "/v1/oracle/" + encodeURIComponent(duel.duelId);
			proof.setAttribute("aria-label", `Signed result of ${duel.agent1?.name} against ${duel.agent2?.name}, ${timeOf(duel.emittedAt)}`);
			return make("li", "", ...rows, make("div", "under-row", make("span", "", howOf(duel) || (duel.outcome === "draw" ? "draw" : `cancelled: ${words(duel.cancellationReason)}`)), make("span", "", this.paid(duel))),
				make("div", "under-row", again, make("span", "", timeOf(duel.emittedAt)), proof));
		}));
		if (this.duels.length === 0) $("past").append(make("li", "nothing", "The first result will stand here."));
	}

	drawTable() {
		$("standings").replaceChildren(...this.table.slice(0, 8).map(({ id, name, wins, losses }) => {
			const form = make("span", "form");
			drawForm(form, (this.form.get(id) ?? []).slice(-5));
			const player = make("td", "", name);
			player.title = name;
			return make("tr", "", player, make("td", "", num(wins)), make("td", "", num(losses)), make("td", "", form));
		}));
		$("standings-none").hidden = this.table.length > 0;
	}

	/* The tale of the tape: what is known of the two before they fight, and how betting works. */
	tape(frame) {
		const { agent1, agent2, scene } = frame, a = this.record(frame, "agent1"), b = this.record(frame, "agent2");
		const rate = ({ wins, losses }) => wins + losses ? wins / (wins + losses) : 0, all = ({ wins, losses }) => wins + losses ? `${num(wins)} of ${num(wins + losses)}` : "–";
		const form = agent => { const node = make("span", "form"); drawForm(node, (this.form.get(agent.id) ?? []).slice(-5)); return node.childElementCount ? node : "–"; };
		const usual = agent => { const ms = this.usual(agent.id); return ms === null ? "–" : clock(ms); };
		const won = this.metWins(frame), met = won[0] + won[1], rows = [["won of all duels", all(a), all(b), rate(a), rate(b)], ["last five", form(agent1), form(agent2)],
			["won against the other", num(won[0]), num(won[1]), met ? won[0] / met : 0, met ? won[1] / met : 0], ["usual fight", usual(agent1), usual(agent2)],
			["health", num(agent1.maxHp), num(agent2.maxHp)]];
		if (scene?.white) rows.push(["plays", scene.white === agent1.id ? "White" : "Black", scene.white === agent2.id ? "White" : "Black"]);
		const head = name => { const cell = make("th", "", name); cell.scope = "col"; return cell; };
		const table = make("table", "", make("thead", "", make("tr", "", head(agent1.name), head("against"), head(agent2.name))), make("tbody", "", ...rows.map(([label, left, right, wa, wb]) => {
			const cell = make("th", "", label), row = make("tr", "", make("td", "", left), cell, make("td", "", right));
			cell.scope = "row";
			if (wa === undefined) return row;
			row.style.setProperty("--wa", wa);
			row.style.setProperty("--wb", wb);
			cell.append(make("i"), make("i"));
			return row;
		})));
		return make("div", "tape", table, how());
	}
}

/* Betting in three steps. */
export function how() {
	return make("ol", "how", ...[["1. Pick a side", "before the clock runs out"], ["2. They fight", "nobody steers them"], ["3. Get paid", "winners share the pool"]].map(([title, more]) => make("li", "", make("b", "", title), make("span", "", more))));
}
