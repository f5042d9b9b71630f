/* The page: what the feed says becomes what is seen. Everything is drawn from the newest frame; the frame
 * of a lower number never replaces one of a higher. */
import { Course } from "/page/course.js";
import { History } from "/page/history.js";
import { Log, Ticker } from "/page/lists.js";
import { Market } from "/page/market.js";
import { News } from "/page/news.js";
import { Past, how } from "/page/past.js";
import { Picture } from "/page/picture.js";
import { Replay } from "/page/replay.js";
import { Score, outcome } from "/page/score.js";
import { Stage } from "/page/stage.js";
import { Talk } from "/page/talk.js";
import { $, hide, make, text } from "/page/text.js";
import { Visitor } from "/page/visitor.js";

const embedded = location.pathname.startsWith("/embed/");
const feed = embedded ? decodeURIComponent(location.pathname.split("/").pop()) : new URLSearchParams(location.search).get("feed") ?? "arena";
const root = document.documentElement;
document.body.classList.toggle("embed", embedded);

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
const started = visitor.start(); /* what is not about this visitor does not wait for it */
const score = new Score(), stage = new Stage($("stage")), log = new Log(), ticker = new Ticker(), course = new Course(), replay = new Replay(feed);
const past = new Past(feed, { replay: (duel, before) => replay.open(duel, before), onKnown: () => { score.setForm(past.form); if (frame) draw(); } });
await started;
const market = new Market(feed, visitor, {
	onBets(duel, bets, count) {
		ticker.setBets(duel, bets, count);
		if (bets.length === count) course.setBets(duel, bets);
	},
	onSettled: () => past.refresh(),
});
const picture = new Picture(feed, visitor), talk = new Talk(visitor);
new History(market, (duelId, side) => [frame, ...past.duels].find(one => one?.duelId === duelId)?.[side === "A" ? "agent1" : "agent2"]?.name);
root.dataset.gaps = 0;

function take({ frame: next, gap }) {
	if (gap) root.dataset.gaps = Number(root.dataset.gaps) + 1;
	const before = frame;
	frame = next;
	root.dataset.seq = frame.seq;
	log.take(frame);
	announce(before);
	if (frame.terminal) past.refresh();
	draw();
}

function listen() {
	new News(feed, visitor.tag, {
		onExpired: () => visitor.expired(),
		onState({ name, since, fresh }) {
			connection = { name, lost: since };
			if (name === "live" && fresh) {
				market.refresh();
				past.refresh();
			}
			tick();
		},
		onNews({ frame: next, gap, odds, other, data }) {
			if (next) take({ frame: next, gap });
			else if (odds) {
				market.take(odds);
				course.take(odds);
			} else if (other === "bets") ticker.take(data);
			if (gap) market.refresh();
		},
	});
}

/* ---- drawing ---- */

/* Said aloud once, at the beginning of each phase. */
function announce(before) {
	if (before && before.phase === frame.phase && before.duelId === frame.duelId) return;
	const { agent1, agent2 } = frame, names = agent1 && agent2 ? `${agent1.name} against ${agent2.name}` : "Ringside";
	const words = { ANNOUNCEMENT: `${names}. Bets are open.`, COUNTDOWN: `${names}: get ready.`, FIGHTING: `${names}: the fight has begun.` }[frame.phase] ?? (frame.outcome ? `${outcome(frame)}.` : "Waiting for the next duel.");
	text($("announce"), words);
	text($("title"), words);
	document.title = agent1 ? `${agent1.name} – ${agent2.name} · Ringside` : "Ringside";
}

function draw() {
	const { agent1, agent2 } = frame, before = ["ANNOUNCEMENT", "COUNTDOWN"].includes(frame.phase);
	if (agent1 && agent2) {
		talk.setPlayers([agent1, agent2]);
		log.setMeetings(past.meetings(agent1.id, agent2.id));
	}
	score.draw(frame, (one, side) => past.record(one, side));
	stage.show(frame);
	if (agent1 && before) stage.cover(`tape ${frame.duelId} ${past.duels[0]?.seq} ${frame.scene?.white}`, () => past.tape(frame));
	else if (!agent1 && !stage.newest) stage.cover("wait", waiting);
	else stage.cover(null);
	root.dataset.phase = frame.phase ?? "";
	root.dataset.duel = frame.duelId ?? "";
	ticker.setDuel(frame);
	course.setDuel(frame);
	market.setDuel(frame);
	picture.setHealth(frame.rendererHealth);
	tick();
}

function waiting() {
	return make("div", "gate", make("h2", "", "The next duel comes soon"), make("p", "", "Nobody stands in the ring at the moment. This page shows it as soon as somebody does."), how());
}

/* Whoever may not read this feed has a place for a token. */
function gate() {
	const part = $("gate-template").content.cloneNode(true);
	part.querySelector(".gate").append(how());
	part.querySelector("#gate-form").onsubmit = async event => {
		event.preventDefault();
		const button = $("gate-form").querySelector("button");
		button.disabled = true;
		text($("gate-note"), await visitor.enter($("gate-token").value));
		button.disabled = false;
	};
	if (!visitor.stranger) part.querySelector("p").textContent = "What you are logged in as may not watch it. Another token may.";
	return part;
}

function tick() {
	const live = connection.name === "live", denied = connection.name === "denied", away = Date.now() - (connection.lost || Date.now());
	const pill = $("live");
	const [state, label] = live ? ["live", "Live"] : denied ? ["down", visitor.stranger ? "Logged out" : "Not for you"]
		: [away > 5000 ? "down" : "stale", away < 1500 ? "Connecting" : `Not live for ${Math.round(away / 1000)} s`];
	pill.dataset.state = state;
	text(pill, label);
	document.body.classList.toggle("old", !live && away > 1500 && frame !== null);
	score.tick(frame, connection, live, away);
	if (denied && frame === null) stage.cover("gate", gate);
	market.tick(live, denied);
	ticker.setMine(market.bets.keys());
	picture.tick(live);
	talk.tick(live);
}
setInterval(tick, 250);

/* ---- dialogs, share ---- */
for (const button of document.querySelectorAll("[data-close]")) button.onclick = () => button.closest("dialog").close();
$("share").onclick = () => {
	const here = location.origin + (feed === "arena" ? "/" : `/?feed=${encodeURIComponent(feed)}`);
	$("share-link").value = here;
	$("share-embed").value = `<iframe src="${location.origin}/embed/${encodeURIComponent(feed)}" width="640" height="720" title="A duel, live"></iframe>`;
	text($("share-note"), visitor.me?.kind === "anonymous" ? "" : "Whoever follows it needs a login of his own.");
	$("sharing").showModal();
};
for (const button of document.querySelectorAll("[data-copy]")) button.onclick = async () => {
	const field = $(button.dataset.copy);
	field.select();
	const copied = await navigator.clipboard?.writeText(field.value).then(() => true, () => false);
	text($("share-note"), copied ? "Copied." : "Selected: copy it by keyboard.");
};
hide($("ask-link"), embedded);

listen();
