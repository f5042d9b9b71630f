/* Who was ahead: left of the line, until bets closed, by the money; right of it by what the game says. */
import { ahead } from "/page/stage.js";
import { $, attribute, make, percent, text } from "/page/text.js";

const NS = "http://www.w3.org/2000/svg", SHUT = 40, MOST = 400;

function path(className) {
	const node = document.createElementNS(NS, "path");
	node.setAttribute("class", className);
	return node;
}

export class Course {
	constructor() {
		const svg = document.createElementNS(NS, "svg");
		svg.setAttribute("viewBox", "0 0 100 100");
		svg.setAttribute("preserveAspectRatio", "none");
		svg.setAttribute("aria-hidden", "true");
		this.parts = Object.fromEntries(["up", "down", "mid", "shut", "line"].map(name => [name, path(name)]));
		this.parts.mid.setAttribute("d", "M0 50H100");
		this.parts.shut.setAttribute("d", `M${SHUT} 0V100`);
		svg.append(...Object.values(this.parts));
		this.names = [make("em", "a"), make("em", "b")];
		this.by = make("span", "");
		$("course").append(svg, ...this.names, make("span", "", "By the bets"), this.by);
		this.begin(null);
	}

	begin(duel) {
		Object.assign(this, { duel, money: [], fight: [], open: 0, shut: 0 });
	}

	setDuel(frame) {
		if (!frame.duelId) return;
		if (frame.duelId !== this.duel) this.begin(frame.duelId);
		this.open = frame.betOpenTime;
		this.shut = frame.betCloseTime;
		this.frame = frame;
		const leads = ahead(frame);
		if (leads) this.fight.push([frame.emittedAt, leads[0]]);
		if (this.fight.length > MOST) this.fight = this.fight.filter((_, i) => i % 2 === 0);
		this.draw();
	}

	/* A list of bets is the market's whole history, if it is all of them. */
	setBets(duel, bets) {
		if (duel !== this.duel) return;
		const pools = { A: 0, B: 0 };
		this.money = [...bets].sort((a, b) => a.number - b.number).map(bet => {
			pools[bet.side] += bet.amount;
			return [bet.at, pools.A / (pools.A + pools.B)];
		});
		this.draw();
	}

	take({ duelId, pools, at }) {
		if (duelId !== this.duel || pools.A + pools.B === 0) return;
		const last = this.money.at(-1);
		if (last && at <= last[0]) return;
		this.money.push([at, pools.A / (pools.A + pools.B)]);
		this.draw();
	}

	/* As points of the plot: x of 0 to 100, and the share. */
	points() {
		const span = Math.max(1, this.shut - this.open), fight = this.fight, from = fight[0]?.[0] ?? 0, long = Math.max(60000, ((fight.at(-1)?.[0] ?? 0) - from) * 1.15);
		const money = this.money.map(([at, share]) => [Math.min(SHUT, Math.max(0, (at - this.open) / span * SHUT)), share]);
		const steps = money.flatMap(([x, share], i) => i ? [[x, money[i - 1][1]], [x, share]] : [[0, .5], [x, .5], [x, share]]);
		if (steps.length && fight.length) steps.push([SHUT, steps.at(-1)[1]]);
		return [...steps, ...fight.map(([at, share]) => [SHUT + (100 - SHUT) * Math.min(1, (at - from) / long), share])];
	}

	draw() {
		const all = this.points(), { agent1, agent2 } = this.frame ?? {}, y = share => (100 - share * 100).toFixed(1);
		const line = all.map(([x, share], i) => `${i ? "L" : "M"}${x.toFixed(1)} ${y(share)}`).join("");
		const area = clip => all.length ? `M${all[0][0].toFixed(1)} 50` + all.map(([x, share]) => `L${x.toFixed(1)} ${y(clip(share))}`).join("") + `L${all.at(-1)[0].toFixed(1)} 50Z` : "";
		this.parts.line.setAttribute("d", line);
		this.parts.up.setAttribute("d", area(share => Math.max(.5, share)));
		this.parts.down.setAttribute("d", area(share => Math.min(.5, share)));
		if (!agent1) return;
		text(this.names[0], agent1.name);
		text(this.names[1], agent2.name);
		const last = all.at(-1)?.[1], first = this.fight.length && this.frame.scene?.chance !== undefined;
		text(this.by, first ? "By the game" : "By the health left");
		const words = last === undefined || last === .5 ? "" : last > .5 ? `${agent1.name} ${percent(last)}` : `${agent2.name} ${percent(1 - last)}`;
		text($("course-now"), words);
		attribute($("course"), "role", "img");
		attribute($("course"), "aria-label", `Who is ahead: ${words || "nobody yet"}. ${this.fight.length ? "By the game" : "By the bets"}.`);
	}
}
