/* The scoreboard: who, how much is left of each, whose clock runs, where the duel is in its course. */
import { serverNow } from "/page/feed.js";
import { $, attribute, clock, drawForm, hide, howOf, num, scoreOf, text, words, wonOf } from "/page/text.js";

const SIDES = ["agent1", "agent2"], STEPS = ["ANNOUNCEMENT", "COUNTDOWN", "FIGHTING", "RESOLUTION"];
const part = (side, name) => $(side).querySelector("." + name);

/* [what it is about, the number in the middle, more of it, whether it hurries] */
export function phaseWords(frame, now, name) {
	if (frame === null) return name === "denied" ? ["Private ring", "–:––", "log in to watch"] : ["Connecting", "–:––", "not heard of yet"];
	const scene = frame.scene;
	switch (frame.phase) {
	case "ANNOUNCEMENT":
		return frame.betCloseTime > now ? ["Bets close in", clock(frame.betCloseTime - now), "the fight follows", frame.betCloseTime - now < 10000] : ["Bets are closed", "0:00", "the players take their places"];
	case "COUNTDOWN": return ["Fight begins in", clock((frame.plannedFightStartTime ?? now) - now), frame.betCloseTime > now ? `bets close in ${clock(frame.betCloseTime - now)}` : "bets are closed"];
	case "FIGHTING": {
		const mover = scene?.turn && SIDES.map(side => frame[side]).find(agent => agent?.id === scene.turn);
		return ["Fight", clock(Math.floor((now - frame.fightStartTime) / 1000) * 1000), scene?.ply !== undefined ? `move ${Math.floor(scene.ply / 2) + 1}${mover ? `, ${mover.name} to move` : ""}` : "bets are closed"];
	}
	case "RESOLUTION": return [outcome(frame), scoreOf(frame), [howOf(frame), scene?.ply ? `move ${Math.ceil(scene.ply / 2)}` : ""].filter(Boolean).join(", ")];
	default: return ["Next duel", "soon", frame.outcome ? outcome(frame) : "bets open with it"];
	}
}

export function outcome(frame) {
	if (frame.outcome === "win") return `${frame.winnerName} wins`;
	return frame.outcome === "draw" ? "A draw" : `Cancelled: ${words(frame.cancellationReason)}`;
}

export class Score {
	/* record(frame, side): won and lost so far */
	draw(frame, record) {
		SIDES.forEach(side => this.drawCorner(side, frame, record));
		const at = STEPS.indexOf(frame.phase);
		[...$("steps").children].forEach((step, i) => {
			step.className = i === at ? "now" : i < at ? "done" : "";
			if (i === at) step.setAttribute("aria-current", "step");
			else step.removeAttribute("aria-current");
		});
	}

	drawCorner(side, frame, record) {
		const agent = frame[side], scene = frame.scene;
		if (!agent) return;
		const { wins, losses } = record(frame, side), fought = wins + losses > 0;
		text(part(side, "name"), agent.name);
		text(part(side, "detail"), [agent.model && agent.model !== agent.name ? agent.model : "", fought ? `${num(wins)} won, ${num(losses)} lost` : "first duel"].filter(Boolean).join(" · "));
		text(part(side, "colour"), scene?.white ? scene.white === agent.id ? "White" : "Black" : "");
		const share = agent.maxHp > 0 ? agent.hp / agent.maxHp : 0, meter = part(side, "health");
		meter.style.setProperty("--share", share);
		attribute(meter, "aria-label", `Health of ${agent.name}`);
		attribute(meter, "aria-valuenow", Math.round(share * 100));
		text(part(side, "hp"), num(agent.hp));
		text(part(side, "of"), `of ${num(agent.maxHp)} health`);
		hide(part(side, "won"), !wonOf(frame, side));
		$(side).dataset.lost = frame.outcome === "win" && !wonOf(frame, side);
	}

	/* Results of each contestant, the newest last: "W", "L", "D". */
	setForm(form) {
		this.form = form;
	}

	tick(frame, connection, live, away) {
		const [name, count, about, urgent] = phaseWords(frame, serverNow(), connection.name);
		const bell = $("phase").children;
		text(bell[0], name);
		text(bell[1], live || frame?.phase === "RESOLUTION" || frame === null ? count : "–:––");
		text(bell[2], about);
		document.body.dataset.urgent = Boolean(urgent && live);
		for (const side of SIDES) {
			this.drawClock(side, frame, live);
			if (frame?.[side]) drawForm(part(side, "form"), this.form?.get(frame[side].id)?.slice(-5) ?? []);
		}
		const notice = !live && away > 1500 && frame !== null;
		hide($("notice"), !notice);
		if (notice) text($("notice"), connection.name === "denied" ? "Your login has ended. You see the duel as it was." : "Not live. You see the duel as it was.");
	}

	/* It goes on between two frames, but only as long as we hear of it. */
	drawClock(side, frame, live) {
		const scene = frame?.scene, box = part(side, "time"), agent = frame?.[side];
		if (!agent || scene?.clocks?.[side] === undefined) return text(box, "");
		const running = frame.phase === "FIGHTING" && scene.running && scene.turn === agent.id;
		attribute(box, "data-running", Boolean(running));
		text(box, clock(scene.clocks[side] - (running && live ? serverNow() - scene.at : 0)));
	}
}
