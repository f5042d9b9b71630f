/* /ops: what the machinery does, told every two seconds by /metrics?live=sse, and the feed as it comes. For whoever has the
 * right to see the metrics. */
import { Feed } from "/page/client/feed.js";
import { PATIENT, api } from "/page/feed.js";
import { EventParser, eventsOf } from "/page/client/sse.js";
import { $, hide, text, words } from "/page/text.js";
import { Visitor } from "/page/visitor.js";

const SILENCE_MS = 10000, AGAIN_MS = 2000, KEPT = 60, LINES = 60, LINE_PX = 25;
const feed = new URLSearchParams(location.search).get("feed") ?? "arena";

const bytes = n => n >= 1e9 ? (n / 1e9).toFixed(2) + " GB" : n >= 1e6 ? (n / 1e6).toFixed(1) + " MB" : Math.round(n / 1e3) + " kB";
const count = n => n >= 1e5 ? Math.round(n / 1e3) + "k" : n >= 100 ? String(Math.round(n)) : String(Math.round(n * 10) / 10);

/* name, counter, rate per second?, how it is written */
const PLOTS = [
	["Subscribers", "subscribers", false, count],
	["Deliveries / s", "deliveries_total", true, count],
	["Frames / s", "feed_frames_total", true, count],
	["Requests / s", "requests_total", true, count],
	["Posts of games / s", "source_posts_total", true, count],
	["Store in use", "store_used_bytes", false, bytes],
];

class Plot {
	constructor(name) {
		this.values = [];
		this.node = document.createElement("div");
		this.node.className = "plot";
		const label = document.createElement("span");
		label.textContent = name;
		this.value = document.createElement("b");
		this.value.textContent = "–";
		const ns = "http://www.w3.org/2000/svg", svg = document.createElementNS(ns, "svg");
		svg.setAttribute("viewBox", `0 0 ${KEPT - 1} 34`);
		svg.setAttribute("preserveAspectRatio", "none");
		svg.setAttribute("aria-hidden", "true");
		this.path = document.createElementNS(ns, "path");
		svg.append(this.path);
		this.node.append(label, this.value, svg);
		$("plots").append(this.node);
	}

	add(value, written) {
		this.values.push(value);
		if (this.values.length > KEPT) this.values.shift();
		text(this.value, written);
		const top = Math.max(...this.values, 1e-9), from = KEPT - this.values.length;
		this.path.setAttribute("d", this.values.map((v, i) => `${i ? "L" : "M"}${from + i} ${(32 - 30 * v / top).toFixed(1)}`).join(""));
	}
}

class Operations {
	constructor(visitor) {
		this.visitor = visitor;
		this.plots = PLOTS.map(([name]) => new Plot(name));
		this.before = null;
		this.started = new Map(); /* of each worker's process */
		this.restarts = new Map();
	}

	start() {
		const may = this.visitor.may("metrics", "/metrics");
		hide($("refused"), may);
		for (const part of document.querySelectorAll("main > :not(#refused)")) hide(part, !may);
		if (!may) {
			text($("ready"), this.visitor.stranger ? "Logged out" : "Not for you");
			$("ready").dataset.state = "down";
			return text($("refused-why"), this.visitor.stranger ? "Log in with a token that has it." : "What you are logged in as does not have it.");
		}
		this.watch();
		listen();
	}

	async watch() {
		for (;;) {
			try {
				const answer = await api.ask("/metrics?live=sse");
				if (!answer.ok) throw new Error(`status ${answer.status}`);
				for await (const { data } of eventsOf(answer.body, { silence: SILENCE_MS })) this.draw(JSON.parse(data));
			} catch { /* it is asked for again */ }
			text($("ready"), "Not live");
			$("ready").dataset.state = "warn";
			this.before = null;
			await new Promise(done => setTimeout(done, AGAIN_MS));
		}
	}

	draw(now) {
		const { before } = this, seconds = before ? (now.at - before.at) / 1000 : 0;
		PLOTS.forEach(([, name, rate, write], i) => {
			const value = !rate ? now.totals[name] : seconds > 0 ? Math.max(0, (now.totals[name] - before.totals[name]) / seconds) : 0;
			this.plots[i].add(value, write(value));
		});
		this.drawWorkers(now, before, seconds);
		this.before = now;
		text($("ready"), now.ready ? "All serving" : "Not ready");
		$("ready").dataset.state = now.ready ? "good" : "bad";
		text($("operations-note"), `Up since ${new Date(now.startedAt).toLocaleString([], { hour12: false })}`);
	}

	drawWorkers({ workers }, before, seconds) {
		const body = $("workers");
		workers.forEach((worker, i) => {
			const row = body.rows[i] ?? body.insertRow(), last = before?.workers.find(one => one.name === worker.name);
			if (this.started.has(worker.name) && this.started.get(worker.name) !== worker.startedAt) this.restarts.set(worker.name, (this.restarts.get(worker.name) ?? 0) + 1);
			this.started.set(worker.name, worker.startedAt);
			const share = last && seconds > 0 ? `${Math.max(0, Math.round((worker.cpuSeconds - last.cpuSeconds) / seconds * 100))} %` : "–";
			[worker.name, worker.state, String(this.restarts.get(worker.name) ?? 0), worker.residentBytes ? bytes(worker.residentBytes) : "–", share]
				.forEach((cell, at) => text(row.cells[at] ?? row.insertCell(), cell));
		});
		while (body.rows.length > workers.length) body.deleteRow(-1);
	}
}

/* ---- the feed, as it comes ---- */

function summary(f) {
	if (f.terminal) return f.outcome === "win" ? `${f.winnerName} wins: ${words(f.detail ?? f.winReason)}` : f.outcome === "draw" ? `draw: ${words(f.detail)}` : `cancelled: ${words(f.cancellationReason)}`;
	if (!f.duelId) return "no duel";
	const hp = `${Math.round(f.agent1.hp)} : ${Math.round(f.agent2.hp)}`;
	return f.scene?.san ? `${hp}  ${f.scene.san}` : `${hp}  ${f.agent1.name} – ${f.agent2.name}`;
}

let newest = null;
const showRaw = () => { if (newest && $("raw").parentElement.open) text($("raw"), JSON.stringify(newest, null, 2)); };
$("raw").parentElement.ontoggle = showRaw;

function log(frame) {
	const line = document.createElement("li"), list = $("frames");
	for (const value of ["#" + frame.seq, frame.phase ?? "idle", summary(frame)]) {
		const cell = document.createElement("span");
		cell.textContent = value;
		line.append(cell);
	}
	line.classList.toggle("terminal", frame.terminal);
	const keep = list.scrollTop > 0 ? LINE_PX : 0; /* who reads further down is not pushed away */
	list.prepend(line);
	list.scrollTop += keep;
	while (list.children.length > LINES) list.lastChild.remove();
	text($("raw-seq"), `#${frame.seq}`);
	newest = frame;
	showRaw();
}

async function listen() {
	for await (const { frame } of new Feed(api, feed).follow(PATIENT)) log(frame);
}

const visitor = new Visitor(), operations = new Operations(visitor);
await visitor.start();
operations.start();
