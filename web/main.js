/* The page: what the feed says becomes what is seen. Everything is drawn from the newest frame; the frame
 * of a lower number never replaces one of a higher. */
import { Feed } from "/page/client/feed.js";
import { PATIENT, api, serverNow } from "/page/feed.js";
import { Board } from "/page/board.js";
import { Market } from "/page/market.js";
import { Picture } from "/page/picture.js";
import { Operations } from "/page/operations.js";
import { Talk } from "/page/talk.js";
import { Visitor } from "/page/visitor.js";

const feed = new URLSearchParams(location.search).get("feed") ?? "arena";
const $ = id => document.getElementById(id);
const root = document.documentElement;

/* ---- themes ---- */
const setTheme = name => { if (name) root.dataset.theme = name; };
setTheme(localStorage.getItem("theme"));
$("theme").onclick = () => {
	const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
	setTheme(dark ? "light" : "dark");
	localStorage.setItem("theme", root.dataset.theme);
};

/* ---- what is known ---- */
let frame = null, connection = { name: "connecting", lost: Date.now() };
const visitor = new Visitor();
await visitor.start();
const board = new Board($("board")), market = new Market(feed, visitor), picture = new Picture(feed, visitor), operations = new Operations(visitor), talk = new Talk(visitor);
root.dataset.gaps = 0;

function take({ frame: next, text, gap }) {
	if (gap) root.dataset.gaps = Number(root.dataset.gaps) + 1;
	const first = frame === null || next.sourceEpoch !== frame.sourceEpoch;
	frame = next;
	root.dataset.seq = frame.seq;
	log(text, first);
	draw();
}

async function listen() {
	const news = new Feed(api, feed).follow({ ...PATIENT, all: true,
		onExpired: () => visitor.expired(),
		onState({ name, since, fresh }) {
			connection = { name, lost: since };
			if (name === "live" && fresh) market.refresh();
			tick();
		} });
	for await (const { frame: next, text, gap, odds } of news) {
		if (next) take({ frame: next, text, gap });
		else if (odds) market.take(odds);
		if (gap) market.refresh();
	}
}

/* ---- drawing ---- */
const text = (element, value) => { if (element.textContent !== value) element.textContent = value; };
const seconds = ms => { const s = Math.max(0, Math.ceil(ms / 1000)); return `${Math.floor(s / 60)}:${String(s % 60).padStart(2, "0")}`; };
const words = reason => (reason ?? "").replaceAll("_", " ").replaceAll(":", " ");

function drawContestant(id, agent, scene) {
	const box = $(id), part = name => box.querySelector("." + name);
	text(part("name"), agent?.name ?? "–");
	text(part("detail"), agent ? [agent.model !== agent.name ? agent.model : "", `${agent.wins} won, ${agent.losses} lost`].filter(Boolean).join(" · ") : "");
	const share = agent ? agent.hp / agent.maxHp : 0, meter = part("health");
	for (const bar of ["left", "lost"]) part(bar).style.transform = `scaleX(${share})`;
	meter.setAttribute("aria-valuenow", Math.round(share * 100));
	text(part("hp"), agent ? `${Math.round(agent.hp)} / ${Math.round(agent.maxHp)}` : "–");
	text(part("damage"), agent ? `${Math.round(agent.damageDealtThisFight)} damage dealt` : "");
	const colour = agent && scene ? (scene.white === agent.id ? "white" : "black") : undefined;
	if (colour) part("colour").dataset.colour = colour; else delete part("colour").dataset.colour;
}

function drawScene(scene) {
	if (!scene?.fen) return;
	board.show(scene);
	$("chance").style.transform = `scaleY(${scene.chance ?? .5})`;
	const moves = scene.moves ?? [], first = scene.ply - moves.length;
	const line = document.createElement("bdi");
	moves.forEach((san, i) => {
		const ply = first + i, last = i === moves.length - 1;
		const node = document.createElement(last ? "b" : "span");
		node.textContent = (ply % 2 === 0 ? `${ply / 2 + 1}. ` : "") + san + " ";
		line.append(node);
	});
	$("moves").replaceChildren(line);
}

function result() {
	const by = frame.detail ? ` by ${words(frame.detail)}` : frame.winReason && frame.winReason !== "kill" ? ` by ${words(frame.winReason)}` : "";
	if (frame.outcome === "win") return `${frame.winnerName} wins${by}`;
	if (frame.outcome === "draw") return `A draw${by}`;
	return `Cancelled: ${words(frame.cancellationReason)}`;
}

function phaseText(now) {
	if (frame === null) return ["–", "–", connection.name === "denied" ? "A token is needed" : "Not heard of yet"];
	switch (frame.phase) {
	case "ANNOUNCEMENT": return ["Announcement", seconds(frame.betCloseTime - now), "until bets close"];
	case "COUNTDOWN": return ["Countdown", seconds(frame.plannedFightStartTime - now), "until the fight"];
	case "FIGHTING": return ["Fight", seconds(now - frame.fightStartTime), frame.scene?.ply ? `move ${Math.ceil(frame.scene.ply / 2)}` : "the first move"];
	case "RESOLUTION": return ["Result", frame.outcome === "draw" ? "½ – ½" : frame.winnerId === frame.agent1?.id ? "1 – 0" : "0 – 1", result()];
	default: return ["Idle", "–", frame.outcome ? result() : "Waiting for the next duel"];
	}
}

const STEPS = ["ANNOUNCEMENT", "COUNTDOWN", "FIGHTING", "RESOLUTION"];

function draw() {
	const { agent1, agent2, scene } = frame;
	if (agent1 && agent2) talk.setPlayers([agent1, agent2]);
	if (agent1) { /* what is over stays until the next begins */
		drawContestant("agent1", agent1, scene);
		drawContestant("agent2", agent2, scene);
	}
	drawScene(scene);
	const at = STEPS.indexOf(frame.phase);
	[...$("steps").children].forEach((step, i) => { step.className = i === at ? "now" : i < at ? "done" : ""; });
	root.dataset.phase = frame.phase ?? "";
	root.dataset.duel = frame.duelId ?? "";
	market.setDuel(frame);
	picture.setHealth(frame.rendererHealth);
	tick();
}

/* A clock of the board: it goes on between two frames, but only as long as we hear of it. */
function drawClock(id, agent, live) {
	const scene = frame?.scene, box = $(id).querySelector(".clock");
	if (!agent || !scene?.clocks) return;
	const running = frame.phase === "FIGHTING" && scene.running && scene.turn === agent.id;
	const left = scene.clocks[id] - (running && live ? serverNow() - scene.at : 0);
	box.dataset.running = running;
	text(box, `clock ${seconds(left)}`);
}

function tick() {
	const live = connection.name === "live", away = Date.now() - (connection.lost || Date.now());
	const pill = $("live");
	const [state, label] = live ? ["live", "Live"] : connection.name === "denied" ? ["down", "Token needed"]
		: [away > 5000 ? "down" : "stale", away < 1500 ? "Connecting" : `Not live for ${Math.round(away / 1000)} s`];
	pill.dataset.state = state;
	text(pill, label);
	document.body.classList.toggle("stale-data", !live && away > 1500);
	const [name, count, what] = phaseText(serverNow());
	text($("phase").querySelector(".name"), name);
	text($("phase").querySelector(".count"), live || frame?.phase === "RESOLUTION" ? count : "–");
	text($("phase").querySelector(".what"), what);
	drawClock("agent1", frame?.agent1, live);
	drawClock("agent2", frame?.agent2, live);
	market.tick(live, connection.name === "denied");
	picture.tick(live);
	talk.tick(live);
}
setInterval(tick, 250);

/* ---- the raw feed ---- */
const KEPT = 60;

function summary(f) {
	if (f.terminal) return f.outcome === "win" ? `${f.winnerName} wins: ${words(f.detail ?? f.winReason)}` : f.outcome === "draw" ? `draw: ${words(f.detail)}` : `cancelled: ${words(f.cancellationReason)}`;
	if (!f.duelId) return "no duel";
	const hp = `${Math.round(f.agent1.hp)} : ${Math.round(f.agent2.hp)}`;
	return f.scene?.san ? `${hp}  ${f.scene.san}` : `${hp}  ${f.agent1.name} – ${f.agent2.name}`;
}

function log(raw, first) {
	const line = document.createElement("li"), list = $("frames");
	if (first) list.replaceChildren();
	for (const value of ["#" + frame.seq, frame.phase ?? "idle", summary(frame)]) {
		const cell = document.createElement("span");
		cell.textContent = value;
		line.append(cell);
	}
	line.classList.toggle("terminal", frame.terminal);
	const keep = list.scrollTop > 0 ? 25 : 0; /* who reads further down is not pushed away */
	list.prepend(line);
	list.scrollTop += keep;
	while (list.children.length > KEPT) list.lastChild.remove();
	text($("raw-seq"), `#${frame.seq}`);
	$("raw").dataset.raw = raw;
	if ($("raw").parentElement.open) $("raw").textContent = JSON.stringify(frame, null, 2);
}
$("raw").parentElement.ontoggle = () => { if (frame) $("raw").textContent = JSON.stringify(frame, null, 2); };

operations.start();
listen();
