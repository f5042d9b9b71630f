/* The scene that the capture worker renders: the same duel, drawn from the same feed, for a picture of any
 * size. It says in a global what it shows, so that the host can tell whether that is the duel of the feed. */
import { Feed } from "/page/client/feed.js";
import { PATIENT, api, serverNow } from "/page/feed.js";
import { PIECES, squaresOf } from "/page/board.js";
import { Scenes } from "/page/scenes.js";

const feed = decodeURIComponent(location.pathname.split("/").pop());
const canvas = document.getElementById("arena"), context = canvas.getContext("2d"), field = document.getElementById("field");
const W = 1280, H = 720, BOARD = 560, LEFT = (W - BOARD) / 2, TOP = 96, FRAME_MS = 40;
const COLOURS = ["#58b3c5", "#e6955c"];
const SHAPES = Object.fromEntries(Object.entries(PIECES).map(([letter, paths]) => [letter, paths.map(d => new Path2D(d))]));

let frame = null, live = false, staged = null, shown = [1, 1], shownChance = .5;
const scenes = new Scenes(field);

/* Read by the host twice a second (docs/capture.md). Only what has been drawn counts as shown. */
const health = window.__RINGSIDE_HEALTH__ = { ready: false, degradedReason: "starting", duelId: null, phase: null, seq: 0, drawnAt: 0 };

/* The page that is captured sees the feed as it happens (?live, and a right to that), others see it as spectators do. */
async function listen() {
	const shows = new Feed(api, feed, { live: new URLSearchParams(location.search).has("live") });
	for await (const { frame: next } of shows.follow({ ...PATIENT, onState({ name }) { live = name === "live"; } })) frame = next;
}
listen();

/* ---- drawing ---- */

function fit() {
	canvas.width = innerWidth * devicePixelRatio;
	canvas.height = innerHeight * devicePixelRatio;
}
addEventListener("resize", fit);
fit();

/* The ring stands over the canvas, as large as the picture lets it; it is the page's own (scenes.js). */
function stage(scale, x, y) {
	if (frame.agent1 && frame.agent2 && staged !== frame) {
		staged = frame;
		field.hidden = false;
		scenes.show(frame);
	}
	const at = `translate(${(x + LEFT * scale) / devicePixelRatio}px, ${(y + TOP * scale) / devicePixelRatio}px)`;
	if (field.style.transform !== at) field.style.transform = at;
	const wide = `${BOARD * scale / devicePixelRatio}px`;
	if (field.style.width !== wide) field.style.width = wide;
}

function words(value, x, y, size, { align = "left", colour = "#e6e9ee", weight = 600, width } = {}) {
	context.font = `${weight} ${size}px system-ui, "DejaVu Sans", sans-serif`;
	context.textAlign = align;
	context.fillStyle = colour;
	context.fillText(value, x, y, width);
}

function ground(now) {
	context.fillStyle = "#0d1218";
	context.fillRect(0, 0, W, H);
	COLOURS.forEach((colour, i) => { /* two lights that wander: a picture that lives is never still */
		const x = (i ? W - 170 : 170) + 60 * Math.sin(now / 2300 + i * 2), y = 400 + 120 * Math.cos(now / 1900 + i);
		const light = context.createRadialGradient(x, y, 20, x, y, 420);
		light.addColorStop(0, colour + "38");
		light.addColorStop(1, colour + "00");
		context.fillStyle = light;
		context.fillRect(0, 0, W, H);
	});
}

/* The part of side A in what the game says, or in the health that is left: from below, beside the ring. */
function chance({ agent1, agent2, scene }) {
	const a = agent1.hp / agent1.maxHp, b = agent2.hp / agent2.maxHp;
	shownChance += ((scene?.chance ?? (a + b > 0 ? a / (a + b) : .5)) - shownChance) * .12;
	const high = BOARD * shownChance;
	context.fillStyle = COLOURS[1];
	context.fillRect(LEFT - 18, TOP, 8, BOARD - high);
	context.fillStyle = COLOURS[0];
	context.fillRect(LEFT - 18, TOP + BOARD - high, 8, high);
}

/* What each side has taken, and by how much that is more than the other has. */
const WORTH = { q: 9, r: 5, b: 3, n: 3, p: 1 }, FULL = { q: 1, r: 2, b: 2, n: 2, p: 8 };
function takenBy(white, fen) {
	const left = {};
	for (const letter of squaresOf(fen).values()) if ((letter < "a") !== white) left[letter.toLowerCase()] = (left[letter.toLowerCase()] ?? 0) + 1;
	return Object.keys(FULL).flatMap(kind => Array(Math.max(0, FULL[kind] - (left[kind] ?? 0))).fill(kind));
}
const worthOf = kinds => kinds.reduce((sum, kind) => sum + WORTH[kind], 0);

function taken(right, white, fen) {
	const kinds = takenBy(white, fen), more = worthOf(kinds) - worthOf(takenBy(!white, fen));
	kinds.forEach((kind, i) => {
		const column = i % 8, x = right ? W - 30 - 34 * (column + 1) : 30 + 34 * column;
		piece(white ? kind : kind.toUpperCase(), x, 372 + 38 * (i >> 3), 32);
	});
	if (more > 0) words(`+${more}`, right ? W - 30 : 30, 376 + 38 * Math.ceil(kinds.length / 8) + 18, 18, { align: right ? "right" : "left", colour: "#98a3b1" });
}

const PHASES = { ANNOUNCEMENT: "Announced", COUNTDOWN: "Countdown", FIGHTING: "Fight", RESOLUTION: "Result" };
function phases() {
	const wide = BOARD / 4, at = Object.keys(PHASES).indexOf(frame.phase);
	Object.values(PHASES).forEach((name, i) => {
		context.fillStyle = i === at ? COLOURS[0] : i < at ? "#5d6875" : "#202833";
		context.fillRect(LEFT + i * wide + 3, 676, wide - 6, 4);
		words(name, LEFT + (i + .5) * wide, 702, 15, { align: "center", colour: i === at ? "#e6e9ee" : "#98a3b1", weight: i === at ? 600 : 400 });
	});
}

/* A small one, on the dark ground. */
function piece(letter, x, y, size) {
	const white = letter < "a", dark = "#69737f";
	context.save();
	context.translate(x - 2, y - 1);
	context.scale((size + 4) / 100, (size + 4) / 100);
	context.lineWidth = 3.5;
	context.lineJoin = context.lineCap = "round";
	const [body, ...cuts] = SHAPES[letter.toLowerCase()];
	context.fillStyle = white ? "#fdfbf6" : dark;
	context.strokeStyle = white ? "#2a2d33" : "#0c0f13";
	context.fill(body);
	context.stroke(body);
	context.strokeStyle = white ? "#2a2d33" : "#cfd3d8";
	for (const cut of cuts) context.stroke(cut);
	context.restore();
}

const minutes = ms => { const s = Math.max(0, Math.ceil(ms / 1000)); return `${Math.floor(s / 60)}:${String(s % 60).padStart(2, "0")}`; };

function contestant(index, agent, scene) {
	const right = index === 1, x = right ? W - 30 : 30, align = right ? "right" : "left", width = LEFT - 60;
	const share = agent.hp / agent.maxHp;
	shown[index] += (share - shown[index]) * .12;
	words(agent.name, x, 150, 30, { align, width });
	words(agent.model && agent.model !== agent.name ? agent.model : "", x, 178, 16, { align, colour: "#98a3b1", weight: 400, width });
	context.fillStyle = "#202833";
	context.fillRect(30 + (right ? W - LEFT : 0), 200, width, 22);
	context.fillStyle = COLOURS[index];
	const long = width * Math.max(0, shown[index]);
	context.fillRect(right ? W - 30 - long : 30, 200, long, 22);
	words(`${Math.round(agent.hp)} / ${Math.round(agent.maxHp)}`, x, 250, 20, { align });
	if (!scene?.clocks) return;
	const running = frame.phase === "FIGHTING" && scene.running && scene.turn === agent.id;
	const left = scene.clocks[right ? "agent2" : "agent1"] - (running ? serverNow() - scene.at : 0);
	words(minutes(left), x, 310, 40, { align, colour: running ? "#fff" : "#98a3b1" });
	if (!scene.fen) return;
	words(scene.white === agent.id ? "White" : "Black", x, 338, 16, { align, colour: "#98a3b1", weight: 400 });
	taken(right, scene.white === agent.id, scene.fen);
}

function headline() {
	const now = serverNow();
	switch (frame.phase) {
	case "ANNOUNCEMENT": return `Bets close in ${minutes(frame.betCloseTime - now)}`;
	case "COUNTDOWN": return `The fight begins in ${minutes(frame.plannedFightStartTime - now)}`;
	case "FIGHTING": return frame.scene?.san ? `${Math.ceil(frame.scene.ply / 2)}. ${frame.scene.san}` : "Fight";
	case "RESOLUTION": return frame.outcome === "draw" ? "A draw" : `${frame.winnerName} wins`;
	default: return "Waiting for the next duel";
	}
}

function draw(now) {
	ground(now);
	if (frame.agent1 && frame.agent2) chance(frame);
	if (frame.agent1 && frame.agent2) [frame.agent1, frame.agent2].forEach((agent, i) => contestant(i, agent, frame.scene));
	phases();
	words(headline(), W / 2, 58, 34, { align: "center" });
	if (frame.detail && frame.phase === "RESOLUTION") words(frame.detail.replaceAll("_", " "), W / 2, 84, 18, { align: "center", colour: "#98a3b1", weight: 400 });
	if (!live) words("The feed is away; this may be old", W / 2, 88, 20, { align: "center", colour: "#ec847c" });
}

function report() {
	health.ready = live && frame !== null;
	health.degradedReason = health.ready ? null : frame === null ? "starting" : "feed_disconnected";
	health.duelId = frame?.duelId ?? null;
	health.phase = frame?.phase ?? null;
	health.seq = frame?.seq ?? 0;
	health.drawnAt = Date.now();
}

let last = 0;
function turn(now) {
	requestAnimationFrame(turn);
	if (now - last < FRAME_MS) return;
	last = now;
	const scale = Math.min(canvas.width / W, canvas.height / H);
	context.setTransform(1, 0, 0, 1, 0, 0);
	context.fillStyle = "#0d1218";
	context.fillRect(0, 0, canvas.width, canvas.height);
	context.setTransform(scale, 0, 0, scale, (canvas.width - W * scale) / 2, (canvas.height - H * scale) / 2);
	if (frame) {
		draw(now);
		stage(scale, (canvas.width - W * scale) / 2, (canvas.height - H * scale) / 2);
	} else words("Waiting for the feed", W / 2, H / 2, 34, { align: "center" });
	report();
}
requestAnimationFrame(turn);
