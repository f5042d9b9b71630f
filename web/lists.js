/* What happens, in words: moves or blows of the duel, bets as they come. Who has scrolled in a list is not moved. */
import { blowsOf } from "/page/blows.js";
import { $, clock, make, num, text } from "/page/text.js";

const EVENTS = 200, BETS = 60;

export class Log {
	constructor() {
		this.box = $("moves");
		this.follows = true; /* who has scrolled up stays there */
		this.box.addEventListener("scroll", () => { this.follows = this.box.scrollHeight - this.box.scrollTop - this.box.clientHeight < 40; });
		this.begin(null);
	}

	begin(duel) {
		Object.assign(this, { duel, moves: [], first: 0, events: [], before: null, kind: "" });
	}

	/* Past duels of these two, the newest first: what is there to read before the fight. */
	setMeetings(meetings) {
		this.meetings = meetings;
		if (this.kind !== "moves" && this.kind !== "events" && this.frame) this.draw(this.frame);
	}

	take(frame) {
		if (!frame.duelId) return;
		if (frame.duelId !== this.duel) this.begin(frame.duelId);
		if (Array.isArray(frame.scene?.moves)) this.takeMoves(frame.scene);
		else this.takeBlows(frame);
		this.before = this.frame = frame;
		this.draw(frame);
	}

	/* The newest come with each frame; those before are what was heard. */
	takeMoves({ moves, ply }) {
		const first = ply - moves.length;
		if (first > this.first + this.moves.length || this.moves.length === 0) Object.assign(this, { first, moves: [...moves] });
		else this.moves = [...this.moves.slice(0, Math.max(0, first - this.first)), ...moves];
	}

	takeBlows(frame) {
		const at = frame.emittedAt - (frame.fightStartTime ?? frame.emittedAt);
		for (const { by, on, amount } of blowsOf(this.before, frame))
			this.events.unshift([at, by ? `${frame[by].name} hits ${frame[on].name}` : `${frame[on].name} ${amount > 0 ? "loses" : "recovers"}`, (amount > 0 ? "−" : "+") + num(Math.abs(amount))]);
		this.events.length = Math.min(this.events.length, EVENTS);
	}

	draw(frame) {
		const kind = this.moves.length ? "moves" : this.events.length ? "events" : "met";
		text($("log-title"), kind === "moves" ? "Moves" : kind === "events" ? "Blows" : frame.phase === "FIGHTING" ? frame.scene?.moves ? "Moves" : "Blows" : "Their last duels");
		const changed = kind !== this.kind;
		this.kind = kind;
		if (changed) this.follows = true;
		if (kind === "moves") this.drawMoves();
		else if (kind === "events") this.drawEvents();
		else this.drawMeetings(frame);
	}

	drawMoves() {
		const list = make("div", "turns");
		const cells = this.first % 2 ? ["…", ...this.moves] : this.moves, number = Math.floor(this.first / 2);
		for (let i = 0; i < cells.length; i += 2) {
			list.append(make("span", "", String(number + i / 2 + 1)));
			for (const at of [i, i + 1]) {
				const cell = make("span", "", cells[at] ?? "");
				if (at === cells.length - 1) cell.setAttribute("aria-current", "step");
				list.append(cell);
			}
		}
		const { follows, box } = this, at = box.scrollTop;
		box.replaceChildren(list);
		box.scrollTop = follows ? box.scrollHeight : at;
	}

	drawEvents() {
		this.box.replaceChildren(make("ol", "events", ...this.events.map(([at, words, amount]) => make("li", "", make("time", "", clock(at)), words, make("b", "", amount)))));
	}

	drawMeetings(frame) {
		const met = (this.meetings ?? []).map(({ title, how, paid, when }) => make("li", "", make("b", "", title), make("span", "", paid), make("small", "", how), make("small", "", when)));
		this.box.replaceChildren(met.length ? make("ol", "met", ...met) : make("p", "nothing", frame.phase === "FIGHTING" ? "Nothing has happened yet." : "These two have not met before."));
	}
}

export class Ticker {
	constructor() {
		this.begin(null);
	}

	begin(duel, names) {
		Object.assign(this, { duel, names, bets: new Map(), count: 0, mine: new Set() });
		this.draw();
	}

	setDuel(frame) {
		if (frame.duelId && frame.duelId !== this.duel) this.begin(frame.duelId, { A: frame.agent1.name, B: frame.agent2.name });
	}

	setMine(numbers) {
		this.mine = new Set(numbers);
		this.later();
	}

	setBets(duel, bets, count) {
		if (duel !== this.duel) return;
		for (const bet of bets) if (!this.bets.has(bet.number)) this.bets.set(bet.number, bet);
		this.count = Math.max(this.count, count);
		this.later();
	}

	/* One by one, with the name that its owner chose. */
	take(bet) {
		if (bet.duelId !== this.duel) return;
		this.bets.set(bet.number, bet);
		this.count = Math.max(this.count, bet.number);
		this.later();
	}

	/* At most four times a second, however many come. */
	later() {
		this.waiting ??= setTimeout(() => { this.waiting = undefined; this.draw(); }, 250);
	}

	draw() {
		const newest = [...this.bets.values()].sort((a, b) => b.number - a.number).slice(0, BETS);
		$("bets").replaceChildren(...newest.map(({ number, side, amount, name }) => {
			const mine = this.mine.has(number), who = make("span", mine ? "me" : "", mine ? "You" : name || "Somebody");
			who.append(" ", make("em", "", `on ${this.names?.[side] ?? side}`));
			return make("li", side.toLowerCase(), make("i", "key-square"), who, make("b", "", num(amount)));
		}));
		$("bets-none").hidden = newest.length > 0;
		text($("bets-count"), this.count === 0 ? "" : this.count === 1 ? "1 bet" : `${num(this.count)} bets`);
	}
}
