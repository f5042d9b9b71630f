/* What is asked and answered: a conversation with each player (docs/conversations.md), over one stable connection
 * (docs/connections.md). A question is kept over reloads until it is known what became of it; an answer grows as it
 * is given, each piece once. Which conversations: those that ?talk=ID,ID names, else engine-ID of both players. */
import { Connection, Memory, OutboxFullError } from "/page/client/connection.js";
import { uuid } from "/page/client/uuid.js";
import { api, serverNow } from "/page/feed.js";

import { $, make, text } from "/page/text.js";

const plain = words => typeof words === "string" ? words : ""; /* pieces may have any form */

const KEY = "ringside:talk", KEPT = 100, HIDDEN_MS = 2000;
const NAMED = new URLSearchParams(location.search).get("talk");
const ID = /^[A-Za-z0-9._~-]{1,128}$/;
const HINTS = ["Who is better?", "What would you play?", "Is there a mate?"];
const OVER = { finish: "", done: "", stop: "Stopped.", error: "The answer broke off." };
const WHY = { abandoned: "Whoever answered is gone.", interrupted: "Asked something else." };

export class Talk {
	constructor(visitor) {
		this.visitor = visitor;
		this.memory = new Memory();
		this.kept = { me: "guest-" + uuid().slice(0, 8), from: {}, unsent: [], ...this.load() };
		this.parties = new Map(); /* by conversation */
		this.items = new Map();
		this.connection = null; /* there is one when somebody looks */
		$("ask").onsubmit = event => { event.preventDefault(); this.ask($("question").value.trim()); };
		for (const words of NAMED ? [] : HINTS) {
			const hint = make("button", "hint", words);
			hint.type = "button";
			hint.onclick = () => this.ask(words);
			$("hints").append(hint);
		}
		$("hints").hidden = Boolean(NAMED);
		if (NAMED) {
			text($("talk-title").firstChild, "Talk ");
			$("question").placeholder = "Say something";
			this.setParties(NAMED.split(",").map(id => ({ id, name: id, side: "" })));
		}
		/* Whoever never looks at it costs nothing. */
		const seen = new IntersectionObserver(entries => { if (entries.some(entry => entry.isIntersecting)) { seen.disconnect(); this.seen = true; this.open(); } });
		seen.observe($("talk-card"));
		/* A tab that nobody looks at holds no connection: a browser has six to one server. */
		document.addEventListener("visibilitychange", () => {
			clearTimeout(this.hiding);
			if (document.visibilityState === "hidden") this.hiding = setTimeout(() => { this.connection?.close(); this.connection = null; }, HIDDEN_MS);
		});
		this.draw();
	}

	load() {
		try {
			return JSON.parse(this.memory.get(KEY) ?? "{}");
		} catch {
			return {};
		}
	}

	save() {
		this.memory.set(KEY, JSON.stringify(this.kept));
	}

	/* ---- with whom ---- */

	setPlayers(players) {
		if (!NAMED) this.setParties(players.map((player, i) => ({ id: "engine-" + player.id, name: player.name, side: "ab"[i] })));
	}

	setParties(wanted) {
		const parties = wanted.filter(({ id }) => ID.test(id));
		const same = parties.length === this.parties.size && parties.every(({ id, name, side }) => this.parties.get(id)?.name === name && this.parties.get(id).side === side);
		if (same || parties.length === 0) return;
		for (const id of this.parties.keys()) if (!parties.some(party => party.id === id)) this.connection?.unwatch(id).catch(() => {});
		const before = this.parties, chosen = this.chosen();
		this.parties = new Map(parties.map(party => [party.id, { is: "waiting", wait: 5000, ...before.get(party.id), ...party }]));
		$("whom").replaceChildren(...parties.map(({ id, name, side }, i) => {
			const label = make("label", side), input = make("input"), words = make("span", "", name);
			Object.assign(input, { type: "radio", name: "whom", value: id, checked: chosen === id || (i === 0 && !parties.some(party => party.id === chosen)) });
			input.onchange = () => this.draw();
			label.append(input, words);
			return label;
		}));
		for (const party of this.parties.values()) if (!before.has(party.id)) this.follow(party);
		this.draw();
	}

	chosen() {
		return document.querySelector("#whom input:checked")?.value;
	}

	may(verb, id, stream) {
		return this.visitor.may(verb, `/v1/stream/conversations/${id}/${stream}`);
	}

	/* ---- the connection ---- */

	open() {
		if (this.connection || !this.seen || !this.visitor.me || document.visibilityState === "hidden") return;
		this.connection = new Connection(api, { owner: this.visitor.me.subject ?? null,
			onEvent: event => this.hear(event), onOutcome: outcome => this.outcome(outcome), onState: () => this.draw(), onLogin: () => this.draw() });
		for (const { id, sessionId, body } of this.connection.waiting) this.mine(id, sessionId, body.prompt, "Sending");
		const owner = this.visitor.me.subject ?? null;
		if ((this.kept.owner ?? null) !== owner) Object.assign(this.kept, { owner, unsent: [] }); /* another's, who was logged in here */
		this.save();
		for (const { id, sessionId, prompt, words } of this.kept.unsent) this.unsent(this.mine(id, sessionId, prompt, ""), words);
		this.connection.start();
		for (const party of this.parties.values()) this.follow(party);
	}

	/* From where this tab began to look, so that a reload shows the same. */
	follow(party) {
		if (!this.connection || this.parties.get(party.id) !== party || !this.may("read", party.id, "events")) return;
		const from = this.kept.from[party.id];
		this.connection.watch(party.id, from === undefined ? {} : { lastSeq: from }).catch(error => this.absent(party, error.status));
	}

	/* Nobody has made it yet; whoever is asked in it may come. */
	absent(party, status) {
		if (!party) return;
		party.is = status === 403 || status === 401 ? "closed" : "absent";
		delete this.kept.from[party.id];
		this.save();
		this.draw();
		if (party.is === "absent") setTimeout(() => this.follow(party), party.wait);
		party.wait = Math.min(30000, 2 * party.wait);
	}

	hear(event) {
		const { type, sessionId, seq, prevSessionSeq, value } = event, party = this.parties.get(sessionId);
		if (!party) return;
		if (type === "_refused") return this.absent(party, event.status);
		if (type === "session_reset" && seq === undefined) return this.absent(party, event.reason === "forbidden" ? 403 : 404);
		if (type === "watched" || type === "session_reset") this.kept.from[sessionId] = type === "watched" ? this.kept.from[sessionId] ?? seq : seq;
		if (event.headers?.control === "reset") {
			for (const item of [...this.items.values()]) if (item.sessionId === sessionId && item.next > 0) this.drop(item);
			this.kept.from[sessionId] = seq;
		}
		if (type === "chunk") this.take(party, value, seq, prevSessionSeq);
		party.is = "here";
		party.wait = 5000;
		this.save();
		this.draw();
	}

	/* ---- what is said ---- */

	/* A piece of a message, the next one of it. */
	take(party, { messageId, actorId, role, chunk, seq: number, createdAt }, seq, before) {
		const mine = actorId === this.kept.me, asks = role === "user";
		let item = this.items.get(messageId);
		if (!item && number > 0) return; /* its beginning is not shown any more */
		item ??= this.add({ id: messageId, sessionId: party.id, at: Date.parse(createdAt), kind: mine ? "me" : asks ? "other" : party.side,
			who: mine ? `You, to ${party.name}` : asks ? `Somebody, to ${party.name}` : party.name });
		if (number !== item.next) return;
		item.before ??= before;
		item.next++;
		const said = JSON.parse(chunk);
		if (item.said) item.state(""); /* our own: it is there */
		else if (said.type === "whole-message") item.write([said.message?.parts ?? []].flat().map(part => plain(part?.content)).join(""));
		else if (Object.hasOwn(OVER, said.type)) item.end((Object.hasOwn(WHY, said.reason) && WHY[said.reason]) || OVER[said.type]);
		else item.write(plain(said.delta ?? said.text ?? said.content));
		if (!asks && number === 0) this.answering(item);
		this.kept.unsent = this.kept.unsent.filter(({ id }) => id !== messageId);
		item.said &&= false;
	}

	/* It can be ended, until it is whole or another is given. */
	answering(item) {
		for (const other of this.items.values()) if (other !== item && other.sessionId === item.sessionId) other.end?.(null);
		if (!this.may("append", item.sessionId, "inbox")) return;
		item.offer("Stop", () => this.connection?.stop(item.sessionId).catch(error => this.say(`Not stopped: ${error.message}`)));
	}

	add({ id, sessionId, at, kind, who }) {
		const list = $("talk"), box = make("div", "said " + kind), state = make("small", ""), down = list.scrollHeight - list.scrollTop - list.clientHeight < 40;
		const scroll = () => { if (list.dataset.read !== "up") list.scrollTop = list.scrollHeight; };
		list.dataset.read = down ? "" : "up"; /* who reads further up stays there */
		box.dataset.message = id;
		box.append(make("b", "", who), state);
		let line = null, button = null;
		const item = { id, sessionId, at, box, next: 0, before: undefined, said: false,
			/* Each line is one addition, for those who hear the page. */
			write(words) {
				words.split("\n").forEach((part, i) => {
					if (i > 0) line = null;
					if (!part) return;
					if (line) line.textContent += part;
					else state.before(line = make("p", "", part));
				});
				scroll();
			},
			state(words, is = "") {
				text(state, words);
				state.dataset.is = is;
				scroll();
			},
			offer(words, act) {
				button?.remove();
				button = make("button", "quiet words", words);
				button.type = "button";
				button.onclick = act;
				box.append(button);
				scroll();
			},
			end(words) {
				if (words) item.state(words);
				if (button?.contains(document.activeElement)) list.focus();
				button?.remove();
				button = null;
				box.dataset.over = true;
			} };
		this.items.set(id, item);
		const later = [...this.items.values()].filter(other => other.at > at).sort((a, b) => a.at - b.at)[0];
		if (later) later.box.before(box);
		else list.append(box);
		if (this.items.size > KEPT) this.forget();
		scroll();
		return item;
	}

	drop(item) {
		item.box.remove();
		this.items.delete(item.id);
	}

	/* The oldest; what is shown after a reload begins behind it. */
	forget() {
		const oldest = [...this.items.values()].reduce((a, b) => (b.at < a.at ? b : a));
		this.drop(oldest);
		const left = [...this.items.values()].filter(item => item.sessionId === oldest.sessionId && item.before !== undefined);
		if (left.length > 0) this.kept.from[oldest.sessionId] = Math.min(...left.map(item => item.before));
	}

	/* ---- what we say ---- */

	mine(id, sessionId, words, state) {
		const at = Math.max(serverNow(), ...[...this.items.values()].map(item => item.at)); /* behind all there is */
		const item = this.items.get(id) ?? this.add({ id, sessionId, at, kind: "me", who: `You, to ${this.parties.get(sessionId)?.name ?? sessionId}` });
		if (!item.said) item.write(words);
		item.said = true;
		item.state(state);
		return item;
	}

	/* A conversation that has a name and is not there yet: whoever says something first makes it. */
	mayMake(party) {
		return Boolean(NAMED) && party.is === "absent" && this.may("create", party.id, "events");
	}

	async ask(words) {
		const sessionId = this.chosen(), party = this.parties.get(sessionId);
		if (!words || !sessionId || $("ask-fields").disabled) return;
		if (this.mayMake(party)) {
			try {
				await api.again(() => api.askJson(`/v1/sessions/${sessionId}`, { method: "PUT" }), { attempts: 3 });
			} catch (error) {
				return this.say(`Not sent: ${error.message}`);
			}
			this.follow(party);
		}
		if (this.post(uuid(), sessionId, words)) $("question").value = "";
		$("talk").dataset.read = "";
		$("talk").scrollTop = $("talk").scrollHeight;
	}

	post(id, sessionId, prompt) {
		this.seen = true;
		this.open();
		try {
			this.connection.send({ sessionId, prompt, clientMsgId: id, actorId: this.kept.me });
		} catch (error) {
			if (!(error instanceof OutboxFullError)) throw error;
			this.say("Too many questions wait to be sent: this one was not taken.");
			return false;
		}
		this.mine(id, sessionId, prompt, "Sending");
		return true;
	}

	outcome({ id, sessionId, body, state, reason }) {
		const item = this.items.get(id);
		if (state === "accepted") {
			item?.state("");
			item?.end("");
		} else if (state === "pending") item?.state("Not sent yet: it is tried again.", "warn");
		else {
			const words = state === "failed" ? `Not sent: ${reason || "no answer"}.` : "Nobody knows whether this was sent. To send it again is safe.";
			this.kept.unsent = [...this.kept.unsent.filter(one => one.id !== id), { id, sessionId, prompt: body.prompt, words }];
			this.save();
			this.unsent(item ?? this.mine(id, sessionId, body.prompt, ""), words);
		}
		this.draw();
	}

	unsent(item, words) {
		item.state(words, "bad");
		item.offer("Send again", () => {
			const { prompt } = this.kept.unsent.find(({ id }) => id === item.id);
			if (!this.post(item.id, item.sessionId, prompt)) return;
			item.end("");
			this.kept.unsent = this.kept.unsent.filter(({ id }) => id !== item.id);
			this.save();
		});
	}

	/* ---- how it stands ---- */

	say(words) {
		text($("talk-note"), words);
	}

	tick(live) {
		if (live && !this.visitor.me) this.looking ??= this.visitor.look().finally(() => { this.looking = undefined; });
		this.open();
		this.draw();
	}

	draw() {
		const party = this.parties.get(this.chosen()), state = this.connection?.state.name ?? "closed", me = this.visitor.me;
		const may = party && me && this.may("append", party.id, "inbox"), here = party?.is === "here";
		const [is, label] = state === "live" ? ["live", "Live"] : state === "denied" ? ["down", "Log in"] : state === "closed" ? ["", "–"] : ["stale", "Connecting"];
		$("talk-state").dataset.state = is;
		text($("talk-state"), label);
		const first = may && this.mayMake(party);
		$("ask-fields").disabled = !may || (party.is === "absent" && !first) || party.is === "closed";
		this.say(!party ? NAMED ? "There is no such conversation." : "Whom you can ask is known when a duel begins." : !me ? "Not heard of yet." : !may ? "Log in to ask." : party.is === "closed" ? "This is not open to you."
			: first ? "Nobody has said anything here yet." : party.is === "absent" ? `${party.name} cannot be asked here at the moment.` : state === "connecting" && here ? "What you ask waits, and is sent when the connection is back." : "");
		text($("talk-none"), party && this.items.size === 0 ? "Nothing was asked since you came." : "");
	}
}
