/* The ring: a scene of the game's own kind, who stands where beside it, who is ahead. */
import { $, attribute, hide, make, num, percent, text } from "/page/text.js";
import { Scenes } from "/page/scenes.js";

/* [share of side A of 0 to 1, what it is a share of]; null: nobody knows */
export function ahead(frame) {
	const { agent1, agent2, scene } = frame;
	if (!agent1 || !agent2) return null;
	if (frame.outcome === "win") return [frame.winnerId === agent1.id ? 1 : 0, "result"];
	if (frame.phase !== "FIGHTING") return null;
	if (typeof scene?.chance === "number") return [scene.chance, "chance"];
	const a = agent1.hp / agent1.maxHp, b = agent2.hp / agent2.maxHp;
	return a + b > 0 ? [a / (a + b), "health"] : null;
}

export class Stage {
	constructor(element) {
		this.element = element;
		element.append($("stage-template").content.cloneNode(true));
		const find = name => element.querySelector(name);
		this.field = find(".field");
		this.ring = find(".ring");
		this.lead = find(".lead");
		this.front = find(".front");
		this.plates = { agent1: find(".plate.a"), agent2: find(".plate.b") };
		this.axes = { files: find(".files"), ranks: find(".ranks") };
		this.scenes = new Scenes(this.field);
		this.newest = null;
	}

	show(frame) {
		if (!frame.agent1 || !frame.agent2) return; /* what is over stays until the next begins */
		this.newest = frame;
		this.scenes.show(frame);
		const { files = [], ranks = [], inset = 0, plates = {} } = this.scenes.about(frame), leads = ahead(frame);
		this.ring.style.setProperty("--inset", inset);
		for (const [name, labels] of [["files", files], ["ranks", ranks]]) {
			const joined = labels.join(" "), list = this.axes[name];
			if (list.dataset.labels === joined) continue;
			list.dataset.labels = joined;
			list.replaceChildren(...labels.map(label => make("li", "", label)));
		}
		attribute(this.lead, "data-none", leads === null);
		this.lead.style.setProperty("--share", leads?.[0] ?? .5);
		attribute(this.lead, "aria-valuenow", Math.round((leads?.[0] ?? .5) * 100));
		attribute(this.lead, "aria-label", leads?.[1] === "health" ? `Share of the health left that ${frame.agent1.name} has` : `Chance of ${frame.agent1.name}`);
		for (const side of ["agent1", "agent2"]) this.drawPlate(side, frame, leads, plates[side] ?? {});
	}

	drawPlate(side, frame, leads, { detail = "", move = "" }) {
		const agent = frame[side], [, name, soft, last, value] = this.plates[side].children;
		const share = leads && (side === "agent1" ? leads[0] : 1 - leads[0]);
		text(name, agent.name);
		text(soft, detail);
		text(last, move);
		hide(last, !move);
		text(value.firstChild, !leads ? "" : leads[1] === "result" ? share === 1 ? "won" : "lost" : leads[1] === "chance" ? percent(share) : num(agent.hp));
		text(value.lastChild, leads?.[1] === "chance" ? " chance" : leads?.[1] === "health" ? " health" : "");
	}

	/* Something over all of it, or null: the board. The same key is the same thing. */
	cover(key, build) {
		if (this.covered === key) return;
		this.covered = key;
		hide(this.front, key === null);
		if (build) this.front.replaceChildren(build());
		for (const part of [this.ring, ...Object.values(this.plates)]) part.inert = key !== null;
	}
}
