import { RequestError, isTransient } from "./api.js";
import { cidAnew, cidKept, cidOf } from "./cid.js";
import { Memory } from "./memory.js";
import { Outbox } from "./outbox.js";
import { Backoff, linked, sleep } from "./retry.js";
import { EventParser, eventsOf } from "./sse.js";
import { uuid } from "./uuid.js";

export { Api, RequestError, isTransient } from "./api.js";
export { cidOf } from "./cid.js";
export { Memory } from "./memory.js";
export { Outbox, OutboxFullError } from "./outbox.js";
export { SendingStates } from "./sending.js";

/**
 * An event of a session (with `seq`), or of the connection itself (docs/connections.md has them).
 * @typedef {{ type: string, sessionId?: string, seq?: number, prevSessionSeq?: number, [member: string]: any }} ConnectionEvent
 */

/**
 * @typedef {object} ConnectionState
 * @property {"connecting" | "live" | "denied" | "closed"} name `live`: it is open, and watches what it should
 * @property {string} cid
 * @property {number} since when it was last live (Unix ms); 0 while it is
 * @property {unknown} [error] why it is not live
 */

/**
 * @typedef {object} ConnectionOptions
 * @property {(event: ConnectionEvent) => void} [onEvent] each event of a session once and in order, and what the connection says of itself
 * @property {(state: ConnectionState) => void} [onState]
 * @property {(outcome: import("./outbox.js").Outcome) => void} [onOutcome] what becomes of what was sent, also of what a reload before had left
 * @property {() => void} [onLogin] somebody must log in: nothing is sent until `flush`
 * @property {import("./memory.js").Store | null} [storage] where the id and what waits are kept: `sessionStorage`, else memory
 * @property {string | null} [owner] who is logged in: what another login has left unsent is not sent
 * @property {string} [path] ("/api/chat")
 * @property {{ max?: number, attemptsMax?: number, backoff?: import("./retry.js").BackoffOptions }} [outbox]
 * @property {number} [timeout] of a request, ms (15000)
 * @property {import("./retry.js").BackoffOptions} [backoff] from one stream to the next
 */

/** One life of the stream: whatever comes late compares with the one there is. @typedef {{ link: ReturnType<typeof linked>, generation: number, heartbeatMs: number, stated: boolean }} Life */

/** @typedef {{ lastSeq: number | null, resynced: number | null }} Watched `lastSeq` null: from wherever it begins */

/**
 * One person's pipe to conversations: an id that outlives every break, a stream of events of everything that is watched, and
 * messages that are each accepted, failed or uncertain, never lost in silence.
 *
 * @example
 * const connection = new Connection(api, { onEvent: event => console.log(event.sessionId, event.type) });
 * connection.start();
 * const { state, sessionId } = await connection.send({ sessionId: null, prompt: "hello" });
 */
export class Connection {
	#api;
	#options;
	#memory;
	#outbox;
	#backoff;
	#cid;
	#lastId = "";
	#life = /** @type {Life | null} */ (null);
	#watched = /** @type {Map<string, Watched>} */ (new Map());
	#active = /** @type {string | null} */ (null);
	#left = /** @type {Set<string>} */ (new Set()); /* unwatched here, and not yet there */
	#probes = /** @type {Map<string, () => void>} */ (new Map());
	#over = /** @type {AbortController | null} */ (null);
	#nap = new AbortController();
	#state = /** @type {ConnectionState} */ ({ name: "closed", cid: "", since: 0 });
	#heard = 0;
	#wish = 0; /* counts changes of what is to be watched */

	/**
	 * @param {import("./api.js").Api} api
	 * @param {ConnectionOptions} [options]
	 */
	constructor(api, options = {}) {
		this.#api = api;
		this.#options = { path: "/api/chat", timeout: 15_000, ...options };
		this.#memory = new Memory(options.storage);
		this.#cid = cidKept(this.#memory);
		this.#backoff = new Backoff({ min: 500, max: 10_000, ...options.backoff });
		this.#outbox = new Outbox({ memory: this.#memory, owner: options.owner ?? null, ...options.outbox, post: entry => this.#post(entry), onLogin: options.onLogin,
			onOutcome: outcome => options.onOutcome?.(outcome), reachable: () => this.#state.name === "live" });
	}

	/** Its address; another one when somebody else has it. */
	get cid() {
		return this.#cid;
	}

	get state() {
		return this.#state;
	}

	/** What is watched, and up to where everything of it was handed over. @returns {Map<string, number | null>} */
	get watched() {
		return new Map([...this.#watched].map(([id, { lastSeq }]) => [id, lastSeq]));
	}

	/** What waits to be sent. */
	get waiting() {
		return this.#outbox.entries;
	}

	/** Opens it; again is fine. */
	start() {
		if (this.#over) return;
		this.#over = new AbortController();
		this.#outbox.start();
		this.#listenToPage(this.#over.signal);
		this.#run(this.#over.signal);
	}

	/** The end. What waits to be sent is kept for the next life. */
	close() {
		this.#over?.abort();
		this.#nap.abort();
		this.#life?.link.abort();
		this.#outbox.close();
		this.#say("closed");
	}

	/** Somebody has logged in, or there is a network again: everything is tried at once. */
	flush() {
		this.#outbox.flush();
		this.#nap.abort();
	}

	/* ---- what is said ---- */

	/**
	 * Sends a message, in order with all others. It is kept over reloads until it is answered.
	 * @param {{ sessionId: string | null, prompt: string, clientMsgId?: string, after?: string, [member: string]: unknown }} message `sessionId` null: a
	 *   session of its own; `after`: the `clientMsgId` of the message whose new session this one belongs to
	 * @returns {Promise<import("./outbox.js").Outcome>} how it ended
	 * @throws {import("./outbox.js").OutboxFullError} at once: it was not taken
	 */
	send({ sessionId, clientMsgId = uuid(), after, ...body }) {
		return this.#outbox.put({ id: clientMsgId, sessionId, body, after });
	}

	/** Ends what is being answered, and says this instead. @param {{ sessionId: string, prompt: string, clientMsgId?: string, [member: string]: unknown }} message @returns {Promise<any>} */
	interrupt({ clientMsgId = uuid(), ...message }) {
		return this.#again("interrupt", { clientMsgId, ...message });
	}

	/** What is being answered ends. @param {string} sessionId @returns {Promise<any>} */
	stop(sessionId) {
		return this.#again("stop", { sessionId });
	}

	/** @param {string} permId @param {"once" | "always" | "deny"} decision @param {string} [sessionId] without: the one in the foreground @returns {Promise<any>} */
	permit(permId, decision, sessionId) {
		return this.#again("permission", { permId, decision, ...(sessionId === undefined ? {} : { sessionId }) });
	}

	/** @param {string} sessionId @param {string} mode @returns {Promise<any>} */
	mode(sessionId, mode) {
		return this.request("mode", { sessionId, mode });
	}

	/** The agent is told that it is wanted no longer; it is watched no more. @param {string} sessionId @returns {Promise<any>} */
	end(sessionId) {
		this.#forget(sessionId);
		return this.request("close", { sessionId });
	}

	/* ---- what is watched ---- */

	/**
	 * @param {string} sessionId
	 * @param {{ lastSeq?: number }} [options] everything behind it is handed over; without: what comes from now on
	 * @throws {RequestError} it is not there, not to be read, or too many are watched
	 */
	async watch(sessionId, { lastSeq } = {}) {
		this.#want(sessionId, lastSeq);
		await this.#change("watch", { sessionId, ...(lastSeq === undefined ? {} : { lastSeq }) }, sessionId);
	}

	/** @param {string} sessionId */
	async unwatch(sessionId) {
		if (!this.#watched.has(sessionId)) return;
		this.#forget(sessionId);
		await this.#change("unwatch", { sessionId });
	}

	/**
	 * Puts a session in the foreground, in place of the one before, which is watched no more.
	 * @param {string | null} sessionId
	 * @param {{ lastSeq?: number }} [options]
	 */
	async switchTo(sessionId, { lastSeq } = {}) {
		if (this.#active !== null && this.#active !== sessionId) this.#forget(this.#active);
		this.#active = sessionId;
		if (sessionId !== null && (lastSeq !== undefined || !this.#watched.has(sessionId))) this.#want(sessionId, lastSeq);
		await this.#change("switch", { sessionId, ...(lastSeq === undefined ? {} : { lastSeq }) }, sessionId ?? undefined);
	}

	/** Whether what the server says here arrives. @param {number} [within] ms @returns {Promise<boolean>} */
	async probe(within = 5000) {
		const nonce = uuid(), link = linked(null, within);
		const heard = new Promise(done => { this.#probes.set(nonce, () => done(true)); link.signal.addEventListener("abort", () => done(false)); });
		try {
			await this.request("probe", { nonce });
			return await /** @type {Promise<boolean>} */ (heard);
		} catch {
			return false;
		} finally {
			this.#probes.delete(nonce);
			link.release();
		}
	}

	/**
	 * A request beside the stream.
	 * @param {string} name
	 * @param {Record<string, unknown>} body
	 * @param {{ fenced?: boolean, keepalive?: boolean }} [options] `fenced`: of the stream there is, and void when another has replaced it
	 * @returns {Promise<any>}
	 */
	request(name, body, { fenced = false, keepalive = false } = {}) {
		const headers = { "x-connection-id": this.#cid, ...(fenced && this.#life?.generation ? { "x-connection-generation": String(this.#life.generation) } : {}) };
		return this.#api.askJson(`${this.#options.path}/${name}`, { body, headers, keepalive, timeout: this.#options.timeout });
	}

	/** @param {string} name @param {Record<string, unknown>} body */
	#again(name, body) {
		return this.#api.again(() => this.request(name, body), { attempts: 4, signal: this.#over?.signal });
	}

	/** @param {import("./outbox.js").Entry} entry @returns {Promise<import("./outbox.js").Answer>} */
	async #post({ id, sessionId, body }) {
		try {
			return { status: 200, body: await this.request("send", { type: "send", ...body, sessionId, clientMsgId: id }) };
		} catch (error) {
			if (error instanceof RequestError) return { status: error.status, code: error.code, reason: error.message, retryAfter: error.retryAfter };
			return { status: null, reason: error instanceof Error ? error.message : String(error) };
		}
	}

	/** @param {string} sessionId @param {number} [lastSeq] */
	#want(sessionId, lastSeq) {
		this.#wish++;
		this.#left.delete(sessionId);
		const known = this.#watched.get(sessionId);
		this.#watched.set(sessionId, { lastSeq: lastSeq ?? known?.lastSeq ?? null, resynced: null });
	}

	/** @param {string} sessionId */
	#forget(sessionId) {
		this.#wish++;
		this.#watched.delete(sessionId);
		if (this.#life) this.#left.add(sessionId);
		if (this.#active === sessionId) this.#active = null;
	}

	/** Before there is a stream nothing is asked: its beginning states everything. @param {string} name @param {Record<string, unknown>} body @param {string} [sessionId] */
	async #change(name, body, sessionId) {
		const life = this.#life;
		if (!life?.stated) return;
		try {
			await this.request(name, body, { fenced: true });
		} catch (error) {
			const gone = error instanceof RequestError && (error.status === 409 || error.code === "CONNECTION_NOT_FOUND");
			if (gone || isTransient(error)) {
				if (this.#life === life) life.link.abort(error); /* the next one states it */
				return;
			}
			if (sessionId !== undefined && this.#life === life) this.#forget(sessionId);
			throw error;
		}
	}

	/* ---- the stream ---- */

	/** @param {ConnectionState["name"]} name @param {unknown} [error] */
	#say(name, error) {
		this.#state = { name, cid: this.#cid, since: name === "live" ? 0 : this.#state.since || Date.now(), error };
		this.#options.onState?.(this.#state);
	}

	/** @param {AbortSignal} over */
	async #run(over) {
		this.#say("connecting");
		while (!over.aborted) {
			const life = /** @type {Life} */ ({ link: linked(over), generation: 0, heartbeatMs: 20_000, stated: false });
			this.#life = life;
			let wait = 0;
			try {
				await this.#live(life);
				if (!over.aborted) this.#say("connecting");
				wait = this.#backoff.next();
			} catch (error) {
				if (over.aborted) break;
				const told = error instanceof RequestError;
				if (told && error.status === 403) this.#anew(); /* it is another login's */
				if (told && error.status === 401) this.#options.onLogin?.();
				this.#say(told && (error.status === 401 || error.status === 403) ? "denied" : "connecting", error);
				wait = this.#backoff.next(told ? error.retryAfter : 0);
			} finally {
				life.link.abort();
				life.link.release();
				if (this.#life === life) this.#life = null;
			}
			if (over.aborted) break;
			if (this.#nap.signal.aborted) this.#nap = new AbortController();
			await sleep(wait, this.#nap.signal);
		}
	}

	/** Somebody else has the id: another one, which watches nothing yet. @param {string} [cid] */
	#anew(cid) {
		this.#cid = cidAnew(this.#memory, cid);
		this.#lastId = "";
	}

	/** Until it ends. @param {Life} life */
	async #live(life) {
		const answer = await this.#api.ask(`${this.#options.path}/events?cid=${this.#cid}`, { signal: life.link.signal, timeout: this.#options.timeout,
			headers: { accept: "text/event-stream", ...(this.#lastId ? { "last-event-id": this.#lastId } : {}) } });
		if (answer.status === 204) return this.#anew();
		if (!answer.ok || !answer.body) throw await RequestError.of(answer);
		const parser = new EventParser();
		for await (const { event, data, id } of eventsOf(answer.body, { parser, silence: () => 2 * life.heartbeatMs + 1000, onHeard: () => { this.#heard = Date.now(); } })) {
			if (this.#life !== life) return;
			const told = JSON.parse(data);
			if (event === "welcome") this.#welcome(life, told);
			else if (told.type === "superseded") return this.#anew(); /* the tab that this one was copied from, or its copy */
			else this.#hear(life, told);
			if (id) this.#lastId = id;
		}
	}

	/** @param {Life} life @param {any} told */
	#welcome(life, { connectionId, generation = 0, heartbeatMs, sessions = [] }) {
		if (connectionId !== this.#cid) this.#anew(cidOf(connectionId) ?? connectionId); /* the server's own, adopted */
		life.generation = generation;
		life.heartbeatMs = heartbeatMs > 0 ? heartbeatMs : life.heartbeatMs;
		if (this.#isAsBefore(sessions)) return this.#stated(life);
		this.#restate(life);
	}

	/** Whether the stream begins with what is watched here, and from there; what was said since the last event may not have reached it. @param {{ sessionId: string, lastSeq: number }[]} sessions */
	#isAsBefore(sessions) {
		return sessions.length === this.#watched.size && sessions.every(({ sessionId, lastSeq }) => this.#watched.get(sessionId)?.lastSeq === lastSeq);
	}

	/** States exactly what is to be watched, and from where; again, when that has changed meanwhile. @param {Life} life */
	async #restate(life) {
		try {
			for (let wish = NaN; wish !== this.#wish && this.#life === life;) {
				wish = this.#wish;
				/* What has no place yet begins now: it is no part of what goes on. */
				await this.request("reconnect", { sessions: this.#places() }, { fenced: true });
				for (const [sessionId, { lastSeq }] of this.#watched) if (lastSeq === null && this.#life === life) await this.#begin(sessionId);
				if (this.#life !== life) return; /* of another stream by now */
				this.#left.clear();
				if (this.#active !== null && this.#watched.has(this.#active)) await this.request("switch", { sessionId: this.#active }, { fenced: true });
			}
			if (this.#life === life) this.#stated(life);
		} catch (error) {
			if (this.#life === life) life.link.abort(error);
		}
	}

	/** @param {string} sessionId */
	async #begin(sessionId) {
		try {
			const { seq } = await this.request("watch", { sessionId }, { fenced: true });
			this.#begun(sessionId, seq);
		} catch (error) {
			if (!(error instanceof RequestError) || error.transient || error.status === 409 || error.code === "CONNECTION_NOT_FOUND") throw error;
			this.#watched.delete(sessionId);
			this.#options.onEvent?.({ type: "_refused", sessionId, status: error.status, reason: error.message });
		}
	}

	/** What is watched from a place that is known. */
	#places() {
		return [...this.#watched].flatMap(([sessionId, { lastSeq }]) => lastSeq === null ? [] : [{ sessionId, lastSeq }]);
	}

	/** @param {Life} life */
	#stated(life) {
		if (life.stated) return;
		life.stated = true;
		this.#backoff.reset();
		this.#say("live");
		this.#outbox.flush();
	}

	/** @param {Life} life @param {ConnectionEvent} event */
	#hear(life, event) {
		const { type, sessionId, seq } = event;
		if (sessionId !== undefined && seq !== undefined && event.prevSessionSeq !== undefined) return this.#hearOf(life, sessionId, seq, event);
		if (type === "ping") return;
		if (type === "_probe") return this.#probes.get(event.nonce)?.();
		if (type === "watched" && sessionId !== undefined) this.#begun(sessionId, seq);
		else if (type === "unwatched" && sessionId !== undefined) {
			if (!this.#left.delete(sessionId)) this.#watched.delete(sessionId);
		} else if (type === "session_reset" && sessionId !== undefined) {
			const known = this.#watched.get(sessionId);
			if (["deleted", "gone", "forbidden"].includes(event.reason)) this.#watched.delete(sessionId);
			else if (known && seq !== undefined) this.#watched.set(sessionId, { lastSeq: seq, resynced: null });
		}
		this.#options.onEvent?.(event);
	}

	/** Watched, by us or by a message that we sent. @param {string} sessionId @param {number} [seq] */
	#begun(sessionId, seq) {
		if (this.#left.has(sessionId)) return;
		const known = this.#watched.get(sessionId);
		if (!known) this.#watched.set(sessionId, { lastSeq: seq ?? null, resynced: null });
		else if (known.lastSeq === null && seq !== undefined) known.lastSeq = seq;
	}

	/** Each event of a session once, in order, and none of one that is not watched. @param {Life} life @param {string} sessionId @param {number} seq @param {ConnectionEvent} event */
	#hearOf(life, sessionId, seq, event) {
		const known = this.#watched.get(sessionId), before = /** @type {number} */ (event.prevSessionSeq);
		if (!known || (known.lastSeq !== null && seq <= known.lastSeq)) return;
		if (known.lastSeq !== null && before > known.lastSeq) {
			if (known.resynced !== known.lastSeq) {
				known.resynced = known.lastSeq; /* once from there; what it brings is all there is */
				this.#restate(life);
				return;
			}
			this.#options.onEvent?.({ type: "_gap", sessionId, from: known.lastSeq, to: before });
		}
		known.lastSeq = seq;
		known.resynced = null;
		this.#options.onEvent?.(event);
	}

	/* ---- the page it lives in ---- */

	/** @param {AbortSignal} signal */
	#listenToPage(signal) {
		const page = globalThis.document;
		globalThis.addEventListener?.("online", () => this.#look(), { signal });
		if (!page) return;
		page.addEventListener("visibilitychange", () => page.visibilityState === "hidden" ? this.#sleep() : this.#look(), { signal });
		globalThis.addEventListener("pagehide", () => this.#sleep(), { signal });
		globalThis.addEventListener("pageshow", event => { if (event.persisted) this.#look(); }, { signal });
	}

	/** A hint, on which nothing depends. */
	#sleep() {
		if (this.#watched.size === 0 || !this.#life?.stated) return;
		this.request("suspend", { sessions: this.#places() }, { keepalive: true }).catch(() => {});
	}

	/** Somebody looks again, or the network is back. */
	#look() {
		const life = this.#life;
		if (life && Date.now() - this.#heard > life.heartbeatMs) life.link.abort(new Error("asleep for too long"));
		this.flush();
		this.#options.onEvent?.({ type: "_foreground" });
	}
}
