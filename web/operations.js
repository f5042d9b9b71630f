/* /ops: what the machinery does, and the feed as it comes. For whoever has the right to see the metrics. */
import { Feed } from "/page/client/feed.js";
import { PATIENT, api } from "/page/feed.js";
import { $, hide, text, words } from "/page/text.js";
import { Visitor } from "/page/visitor.js";

const EVERY_MS = 2000, KEPT = 60, LINES = 60, LINE_PX = 25;
const feed = new URLSearchParams(location.search).get("feed") ?? "arena";

const bytes = n => n >= 1e9 ? (n / 1e9).toFixed(2) + " GB" : n >= 1e6 ? (n / 1e6).toFixed(1) + " MB" : Math.round(n / 1e3) + " kB";
const count = n => n >= 1e5 ? Math.round(n / 1e3) + "k" : n >= 100 ? String(Math.round(n)) : String(Math.round(n * 10) / 10);

/* name, metric, rate per second?, how it is written, summed over workers or the largest of them */
const PLOTS = [
	["Subscribers", "subscribers", false, count, "sum"],
	["Deliveries / s", "deliveries_total", true, count, "sum"],
	["Frames / s", "feed_frames_total", true, count, "sum"],
	["Requests / s", "requests_total", true, count, "sum"],
	["Posts of games / s", "source_posts_total", true, count, "sum"],
	["Store in use", "store_used_bytes", false, bytes, "max"],
];

function parse(textual) {
	const metrics = new Map();
	for (const line of textual.split("\n")) {
		const found = /^ringside_(\w+)(?:\{worker="([^"]*)"[^}]*\})? (\S+)$/.exec(line);
		if (!found) continue;
		if (!metrics.has(found[1])) metrics.set(found[1], new Map());
		metrics.get(found[1]).set(found[2] ?? "", Number(found[3]));
	}
	return metrics;
}

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
		const turn = async () => {
			if (document.visibilityState === "visible") await this.look();
			setTimeout(turn, EVERY_MS);
		};
		turn();
		listen();
	}

	async look() {
		try {
			const [metrics, ready] = await Promise.all([api.ask("/metrics"), api.ask("/readyz")]);
			if (!metrics.ok) throw new Error(metrics.status === 401 || metrics.status === 403 ? "needs a token" : "no answer");
			this.draw(parse(await metrics.text()), await ready.json());
		} catch (error) {
			text($("ready"), error.message === "needs a token" ? "Not for you" : "No answer");
			$("ready").dataset.state = "warn";
			this.before = null;
		}
	}

	draw(metrics, ready) {
		const at = performance.now();
		PLOTS.forEach(([, name, rate, write, how], i) => {
			const all = [...metrics.get(name)?.values() ?? [0]];
			let value = how === "sum" ? all.reduce((a, b) => a + b, 0) : Math.max(...all);
			if (rate) {
				const last = this.before?.totals[i];
				const now = value;
				value = last === undefined ? 0 : Math.max(0, (now - last) / (at - this.before.at) * 1000);
				(this.totals ??= [])[i] = now;
			}
			this.plots[i].add(value, write(value));
		});
		this.before = { at, totals: [...this.totals ?? []], cpu: metrics.get("worker_cpu_seconds_total") ?? new Map(), last: this.before };
		this.drawWorkers(metrics, ready);
		text($("ready"), ready.ready ? "All serving" : "Not ready");
		$("ready").dataset.state = ready.ready ? "good" : "bad";
		const started = metrics.get("start_time_seconds")?.get("");
		text($("operations-note"), started ? `Up since ${new Date(started * 1000).toLocaleString([], { hour12: false })}` : "–");
	}

	drawWorkers(metrics, ready) {
		const body = $("workers"), previous = this.before.last;
		this.before.last = null;
		ready.workers.forEach((worker, i) => {
			const row = body.rows[i] ?? body.insertRow();
			const value = name => metrics.get(name)?.get(worker.name);
			const memory = value("worker_resident_bytes"), started = value("worker_start_time_seconds");
			if (started !== undefined && this.started.get(worker.name) !== started) {
				if (this.started.has(worker.name)) this.restarts.set(worker.name, (this.restarts.get(worker.name) ?? 0) + 1);
				this.started.set(worker.name, started);
			}
			const cpu = value("worker_cpu_seconds_total"), before = previous?.cpu.get(worker.name);
			const share = cpu === undefined || before === undefined ? "–" : `${Math.max(0, Math.round((cpu - before) / (this.before.at - previous.at) * 1e5))} %`;
			[worker.name, worker.state, String(this.restarts.get(worker.name) ?? 0), memory ? bytes(memory) : "–", share]
				.forEach((cell, at) => text(row.cells[at] ?? row.insertCell(), cell));
		});
		while (body.rows.length > ready.workers.length) body.deleteRow(-1);
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
