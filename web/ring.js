/* The scene of any game: the ring from above, as far as frames tell of it: where they stand (arenaPositions: x to the
 * right, z away from who looks), what is left of their health as a ring around each, the ways they came, the newest blow. */
import { blowsOf } from "/page/blows.js";

const NS = "http://www.w3.org/2000/svg", CELLS = 10, EDGE = 7, STEP = (100 - 2 * EDGE) / CELLS, KEPT = 12, ROUND = 2 * Math.PI * 6.4;
const SIDES = ["agent1", "agent2"], LETTERS = [..."ABCDEFGHJK"];

function draw(parent, name, attributes, words) {
	const node = document.createElementNS(NS, name);
	for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
	if (words !== undefined) node.textContent = words;
	parent.append(node);
	return node;
}

/* 1, 2 or 5 times a power of ten: at least so much. */
function round(size) {
	const power = 10 ** Math.floor(Math.log10(size));
	return power * ([1, 2, 5].find(step => step * power >= size) ?? 10);
}

export class Ring {
	constructor(field) {
		const svg = this.svg = draw(field, "svg", { class: "mat", viewBox: "0 0 100 100", role: "img" });
		draw(svg, "rect", { width: 100, height: 100, fill: "var(--mat)" });
		let grid = "";
		for (let i = 0; i <= CELLS; i++) grid += `M${EDGE + i * STEP} ${EDGE}V${100 - EDGE}M${EDGE} ${EDGE + i * STEP}H${100 - EDGE}`;
		draw(svg, "path", { d: grid, stroke: "var(--mat-line)", "stroke-width": .25 });
		for (const d of [5.2, 4.3, 3.4]) draw(svg, "rect", { x: EDGE - d + 3, y: EDGE - d + 3, width: 100 - 2 * (EDGE - d + 3), height: 100 - 2 * (EDGE - d + 3), rx: 1.5, fill: "none", stroke: "var(--rope)", "stroke-width": .45 });
		draw(svg, "rect", { x: 3.4, y: 91.6, width: 5, height: 5, rx: 1, fill: "var(--a-fill)" });
		draw(svg, "rect", { x: 91.6, y: 3.4, width: 5, height: 5, rx: 1, fill: "var(--b-fill)" });
		this.tokens = SIDES.map((_, i) => this.token("ab"[i]));
		this.blow = draw(svg, "g", {});
		this.duel = null;
	}

	token(side) {
		const way = draw(this.svg, "polyline", { fill: "none", stroke: `var(--${side}-fill)`, "stroke-width": .9, "stroke-dasharray": "1.4 1.6", "stroke-linecap": "round", opacity: .8 });
		const g = draw(this.svg, "g", { class: "token" });
		draw(g, "circle", { r: 6.4, fill: "var(--card)", stroke: "var(--line)", "stroke-width": 1.5 });
		const arc = draw(g, "circle", { class: "arc", r: 6.4, fill: "none", stroke: `var(--${side}-fill)`, "stroke-width": 1.7, transform: "rotate(-90)" });
		draw(g, "circle", { r: 4.7, fill: `var(--${side}-fill)` });
		const letter = draw(g, "text", { y: 1.9, "font-size": 5.4, "font-weight": 800, fill: `var(--${side}-on)` }, "");
		const name = draw(g, "text", { "font-size": 3.4, "font-weight": 700, fill: "var(--ink)", stroke: "var(--mat)", "stroke-width": 1 }, "");
		return { g, arc, letter, name, way };
	}

	show(frame) {
		if (frame.duelId && frame.duelId !== this.duel) Object.assign(this, { duel: frame.duelId, reach: 0, ways: [[], []], before: null, last: null });
		const places = SIDES.map((side, i) => {
			const [x, , z] = frame.arenaPositions?.[side] ?? [i ? 4 : -4, 0, 0];
			this.reach = Math.max(this.reach, Math.abs(x), Math.abs(z));
			const way = this.ways[i], last = way.at(-1);
			if (!last || last[0] !== x || last[1] !== z) way.push([x, z]);
			if (way.length > KEPT) way.shift();
			return [x, z];
		});
		this.half = round(Math.max(1, this.reach * 1.15));
		this.at = places.map(place => this.point(place));
		SIDES.forEach((side, i) => this.drawToken(i, frame[side]));
		const blow = this.before && blowsOf(this.before, frame).filter(one => one.by && one.amount > 0).at(-1);
		if (blow) this.last = blow;
		if (blow || this.drawn !== this.duel) this.drawBlow();
		else if (this.last) this.drawBlow();
		this.before = frame;
		this.svg.setAttribute("aria-label", "The ring from above. " + SIDES.map((side, i) => `${frame[side].name} at ${this.square(places[i])}, ${Math.round(frame[side].hp)} of ${Math.round(frame[side].maxHp)} health`).join("; ") + ".");
	}

	/* Of the game's plane, as one looks at it. */
	point([x, z]) {
		const to = v => EDGE + (v / this.half + 1) / 2 * (100 - 2 * EDGE);
		return [to(x), 100 - to(z)];
	}

	square([x, z]) {
		const cell = v => Math.min(CELLS - 1, Math.max(0, Math.floor((v / this.half + 1) / 2 * CELLS)));
		return LETTERS[cell(x)] + (cell(z) + 1);
	}

	drawToken(i, agent) {
		const { g, arc, letter, name, way } = this.tokens[i], [x, y] = this.at[i], other = this.at[1 - i];
		g.style.transform = `translate(${x}px, ${y}px)`;
		arc.setAttribute("stroke-dasharray", `${ROUND * agent.hp / agent.maxHp} ${ROUND}`);
		letter.textContent = [...agent.name][0] ?? "";
		name.textContent = [...agent.name].length > 18 ? [...agent.name].slice(0, 17).join("") + "…" : agent.name;
		name.setAttribute("y", y < other[1] || (y === other[1] && y > 20) ? -9 : 11.6);
		way.setAttribute("points", this.ways[i].map(place => this.point(place).join()).join(" "));
	}

	drawBlow() {
		this.drawn = this.duel;
		this.blow.replaceChildren();
		if (!this.last) return;
		const by = SIDES.indexOf(this.last.by), [ax, ay] = this.at[by], [bx, by_] = this.at[1 - by];
		const dx = bx - ax, dy = by_ - ay, far = Math.hypot(dx, dy) || 1, hx = bx - dx / far * 7.6, hy = by_ - dy / far * 7.6;
		const star = Array.from({ length: 16 }, (_, i) => { const t = i * Math.PI / 8, r = i % 2 ? 1.7 : 4.2; return `${hx + r * Math.cos(t)},${hy + r * Math.sin(t)}`; }).join(" ");
		if (far > 16) draw(this.blow, "path", { d: `M${ax + dx / far * 8} ${ay + dy / far * 8}L${hx} ${hy}`, stroke: `var(--${"ab"[by]}-fill)`, "stroke-width": 1.6, "stroke-linecap": "round" });
		draw(this.blow, "polygon", { points: star, fill: "var(--bad)", stroke: "var(--card)", "stroke-width": .5 });
		draw(this.blow, "text", { x: Math.min(92, Math.max(8, bx + (dx >= 0 ? 10 : -10))), y: by_ - 8 < 12 ? by_ + 14 : by_ - 8, "font-size": 6.4, "font-weight": 800, fill: "var(--bad)", stroke: "var(--mat)", "stroke-width": 1.2 }, "−" + Math.round(this.last.amount));
	}

	about(frame) {
		const plate = (side, i) => ({ detail: `${frame.arenaPositions ? `at ${this.square(frame.arenaPositions[side].filter((_, axis) => axis !== 1))}, ` : ""}${Math.round(frame[side].damageDealtThisFight)} damage dealt` });
		return { files: LETTERS, ranks: LETTERS.map((_, i) => String(CELLS - i)), inset: EDGE / 100, plates: { agent1: plate("agent1", 0), agent2: plate("agent2", 1) } };
	}
}
