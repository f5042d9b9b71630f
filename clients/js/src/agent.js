import { RequestError } from "./api.js";
import { Desk } from "./handed.js";
import { Lease, conversations, leased } from "./lease.js";
import { Backoff, linked, sleep } from "./retry.js";
import { Tunnel } from "./tunnel.js";

export { Api, RequestError, isTransient } from "./api.js";
export { Answer, inbox } from "./inbox.js";
export { Lease, conversations, lease } from "./lease.js";
export { Channel } from "./tunnel.js";

/**
 * What an agent says of itself.
 * @typedef {{ id: string, machine: string, cwd: string, port: number, pid?: number, accepts?: ("items" | "sessions")[] }} AgentNode
 */

/**
 * An agent as the hub tells of it.
 * @typedef {Omit<AgentNode, "accepts"> & { status: "active" | "offline", offline_since?: number, last_seen?: number, tunnel?: boolean }} Node
 */

/**
 * @typedef {object} AgentOptions
 * @property {AgentNode | null} node who registers; null: nobody, it only looks (a dashboard)
 * @property {(channel: import("./tunnel.js").Channel) => void} [onChannel] dashboards come in this agent's own socket, since it cannot be
 *   reached otherwise: each is a channel
 * @property {(nodes: Map<string, Node>) => void} [onRoster] who is there has changed
 * @property {(state: AgentState) => void} [onState]
 * @property {string} [path] ("/ws")
 * @property {number} [ping] how often it is asked whether the hub is there, ms (20000)
 * @property {number} [timeout] of an answer, ms (30000)
 * @property {number} [stable] a socket that lived so long was a good one: the next delay is short again, ms (30000)
 * @property {import("./retry.js").BackoffOptions} [backoff] from one socket to the next (1 s to 5 min)
 * @property {number} [messageBytes] of a dashboard (16777216)
 */

/**
 * @typedef {object} AgentState
 * @property {"connecting" | "live" | "refused" | "closed"} name `live`: the socket is open, and the agent is registered. `refused`: the hub does not
 *   take it; it is tried again
 * @property {string} [reason]
 */

/** What the hub answered to a request: it could not be done. */
export class HubError extends Error {
	/** @param {string} message */
	constructor(message) {
		super(message);
		this.name = "HubError";
	}
}

/** One socket. @typedef {{ socket: any, pending: Map<number, { resolve: (value: any) => void, reject: (error: Error) => void, timer: any }>, tunnel: Tunnel | null, listed: boolean, registered: Promise<boolean>, over: Promise<{ code: number, reason: string }> }} Socket */

/**
 * A program at the hub: registered for as long as it lives, over every break, and who else is there.
 *
 * @example
 * const agent = new Agent(api, { node: { id: "builder", machine: "m1", cwd: "/srv", port: 0 }, onChannel: channel => {
 * 	channel.onmessage = text => channel.send("echo: " + text);
 * } });
 * agent.start();
 */
export class Agent {
	#api;
	#options;
	#life = /** @type {Socket | null} */ (null);
	#nodes = /** @type {Map<string, Node>} */ (new Map());
	#over = /** @type {AbortController | null} */ (null);
	#count = 0;
	#state = /** @type {AgentState} */ ({ name: "closed" });
	#desk = new Desk();

	/**
	 * @param {import("./api.js").Api} api
	 * @param {AgentOptions} options
	 */
	constructor(api, options) {
		this.#api = api;
		this.#options = { path: "/ws", ping: 20_000, timeout: 30_000, stable: 30_000, ...options };
	}

	get state() {
		return this.#state;
	}

	/** Who is there, by id. @returns {ReadonlyMap<string, Node>} */
	get nodes() {
		return this.#nodes;
	}

	/** Registers, and stays; again is fine. */
	start() {
		if (this.#over) return;
		this.#over = new AbortController();
		this.#run(this.#over.signal);
	}

	/** Says that it leaves, and closes: within a second, whatever the hub does. */
	async close() {
		await Promise.race([this.#goodbye(), sleep(1000)]);
		this.#over?.abort();
		this.#life?.socket.close(1000, "");
		this.#say("closed");
	}

	/** What has not registered has nothing to take back: what is there of that id is another's. */
	async #goodbye() {
		const { node } = this.#options, life = this.#life;
		if (node && life && await life.registered) await this.request("deregister", { id: node.id }).catch(() => {});
	}

	/**
	 * Conversations that wait for an agent, each with its `Lease`, until this one is closed: for one whose node accepts `"items"`, which it is handed in its
	 * socket, or `"sessions"`, which it asks for and reads. One that is served is let go when the loop is left, by an error too.
	 *
	 * @example
	 * for await (const lease of agent.conversations()) {
	 * 	for await (const item of lease.items()) {
	 * 		if (item.type !== "message") continue;
	 * 		const answer = lease.answer(item);
	 * 		await answer.write({ type: "text-delta", delta: "You said: " + item.content });
	 * 		await answer.finish();
	 * 	}
	 * 	await lease.release();
	 * }
	 *
	 * @param {{ leaseMs?: number, wait?: number, signal?: AbortSignal }} [options] `leaseMs`: how long a lease lasts without being renewed; `wait`: how long one
	 *   request waits for one, s (20)
	 * @returns {AsyncGenerator<Lease, void>}
	 */
	async *conversations({ leaseMs, wait, signal } = {}) {
		const { node } = this.#options;
		if (!Array.isArray(node?.accepts) || !node.accepts.some(what => what === "items" || what === "sessions"))
			throw new TypeError("an agent whose node accepts neither items nor sessions is given no conversations");
		this.start();
		const link = linked(signal), over = /** @type {AbortController} */ (this.#over).signal, end = () => link.abort();
		over.addEventListener("abort", end);
		if (over.aborted) end();
		try {
			if (node.accepts.includes("items")) yield* this.#handed(leaseMs, link.signal);
			else yield* conversations(this.#api, { agent: node.id, wait, signal: link.signal, ...(leaseMs === undefined ? {} : { leaseMs }) });
		} finally {
			over.removeEventListener("abort", end);
			link.release();
		}
	}

	/** @param {number | undefined} leaseMs @param {AbortSignal} signal @returns {AsyncGenerator<Lease, void>} */
	async *#handed(leaseMs, signal) {
		for (let handed; (handed = await this.#desk.next(signal));) {
			let { granted } = handed;
			if (leaseMs !== undefined || Date.now() - handed.since > granted.leaseMs / 3) try { /* it has lain there, and may be somebody else's */
				const body = { epoch: granted.epoch, ...(leaseMs === undefined ? {} : { leaseMs }) };
				granted = await this.#api.again(() => this.#api.askJson(`/v1/sessions/${encodeURIComponent(granted.sessionId)}/lease/renew`, { body, signal }), { signal });
			} catch (error) {
				handed.end(true);
				if (!(error instanceof RequestError) || error.status === 409 || error.status === 404) continue;
				throw error;
			}
			yield* leased(new Lease(this.#api, granted, handed));
		}
	}

	/**
	 * Asks the hub.
	 * @param {string} method register, deregister, list_nodes, ping
	 * @param {Record<string, unknown>} [params]
	 * @returns {Promise<any>}
	 * @throws {HubError} it could not be done; Error: there is no socket, or no answer in time
	 */
	request(method, params) {
		const life = this.#life;
		if (!life || life.socket.readyState !== 1) return Promise.reject(new Error("there is no socket"));
		const id = ++this.#count;
		return new Promise((resolve, reject) => {
			const timer = setTimeout(() => { life.pending.delete(id); reject(new Error("no answer in time")); }, this.#options.timeout);
			life.pending.set(id, { resolve, reject, timer });
			life.socket.send(JSON.stringify({ id: String(id), method, ...(params ? { params } : {}) }));
		});
	}

	/** @param {AgentState["name"]} name @param {string} [reason] */
	#say(name, reason) {
		if (this.#state.name === name && this.#state.reason === reason) return;
		this.#state = reason ? { name, reason } : { name };
		this.#options.onState?.(this.#state);
	}

	/** @param {AbortSignal} over */
	async #run(over) {
		/* All of the delay is left to chance: a hub that comes back is not met by everybody at once. */
		const backoff = new Backoff({ min: 1000, max: 300_000, ...this.#options.backoff }), random = this.#options.backoff?.random ?? Math.random;
		this.#say("connecting");
		while (!over.aborted) {
			const begun = Date.now(), reason = await this.#live(over).catch(error => String(error?.message ?? error));
			if (over.aborted) return;
			if (this.#state.name !== "refused") this.#say("connecting", reason);
			if (Date.now() - begun >= this.#options.stable) backoff.reset();
			await sleep(backoff.next() * random(), over);
		}
	}

	/** One socket, until it is over. @param {AbortSignal} signal @returns {Promise<string>} why */
	async #live(signal) {
		const socket = await open(this.#api, this.#options.path), { onChannel, messageBytes } = this.#options;
		const life = /** @type {Socket} */ ({ socket, pending: new Map(), listed: false, tunnel: null, registered: Promise.resolve(false) });
		if (onChannel) life.tunnel = new Tunnel(bytes => { if (socket.readyState === 1) socket.send(bytes); }, onChannel, messageBytes);
		life.over = new Promise(done => { socket.onclose = done; });
		socket.onmessage = (/** @type {{ data: any }} */ { data }) => typeof data === "string" ? this.#hear(life, JSON.parse(data)) : life.tunnel?.take(new Uint8Array(data));
		const link = linked(signal), leave = () => socket.close(1000, "");
		link.signal.addEventListener("abort", leave);
		if (signal.aborted) leave(); /* while this one was made */
		try {
			await new Promise((done, fail) => {
				socket.onopen = done;
				life.over.then(({ reason, code }) => fail(new Error(reason || `closed with ${code}`)));
			});
			this.#life = life;
			life.registered = this.#register(life);
			const ping = setInterval(() => this.request("ping").catch(error => { if (!(error instanceof HubError)) socket.close(3000, "no answer"); }), this.#options.ping);
			const { code, reason } = await life.over;
			clearInterval(ping);
			return reason || `closed with ${code}`;
		} finally {
			link.release();
			if (this.#life === life) this.#life = null;
			for (const { reject, timer } of life.pending.values()) {
				clearTimeout(timer);
				reject(new Error("the socket was closed"));
			}
			life.tunnel?.end();
			for (const handed of this.#desk.end()) this.#leave(handed.granted);
		}
	}

	/** Nobody here has asked for it: it is for the next one. @param {{ sessionId: string, epoch: number }} granted */
	#leave({ sessionId, epoch }) {
		this.#api.askJson(`/v1/sessions/${encodeURIComponent(sessionId)}/lease/release`, { body: { epoch } }).catch(() => {}); /* its time ends it */
	}

	/** @param {Socket} life */
	async #register(life) {
		const { node, onChannel } = this.#options;
		try {
			if (node) await this.request("register", { ...node, status: "active", ...(onChannel ? { tunnel: true } : {}) });
			if (this.#life === life) this.#say("live");
			return true;
		} catch (error) {
			if (this.#life !== life) return false;
			if (error instanceof HubError) this.#say("refused", error.message);
			life.socket.close(1000, "");
			return false;
		}
	}

	/** @param {Socket} life @param {any} told */
	#hear(life, told) {
		if (typeof told.event === "string") { /* first: the id of some is a node's */
			if (told.event === "init") {
				this.#nodes = new Map(told.nodes.map((/** @type {Node} */ node) => [node.id, node]));
				life.listed = true;
			} else if (told.event === "session_item") {
				const { node } = this.#options;
				return node ? this.#desk.item(node.id, told, (method, params) => life === this.#life ? this.request(method, params) : Promise.reject(new Error("the socket was closed"))) : undefined;
			} else if (told.event === "session_lost") return this.#desk.lost(told.session);
			else if (!life.listed) return; /* of this socket nothing counts before its list */
			else if (told.event === "node_joined") this.#nodes.set(told.node.id, told.node);
			else if (told.event === "node_removed") this.#nodes.delete(told.id);
			else if (told.event === "node_offline") {
				const node = this.#nodes.get(told.id);
				if (node) this.#nodes.set(told.id, { ...node, status: "offline" });
			} else return;
			return this.#options.onRoster?.(this.#nodes);
		}
		const waiting = life.pending.get(Number(told.id));
		if (!waiting) return;
		life.pending.delete(Number(told.id));
		clearTimeout(waiting.timer);
		if (told.error === undefined) waiting.resolve(told.result);
		else waiting.reject(new HubError(String(told.error)));
	}
}

/**
 * A socket to an agent at the hub, as a dashboard has it.
 * @param {import("./api.js").Api} api
 * @param {string} id
 * @returns {Promise<any>} a WebSocket; what is in the way closes it
 */
export function dial(api, id) {
	return open(api, `/ws/agent/${encodeURIComponent(id)}?strict=1`);
}

/** By a header where that can be, else in the query. @param {import("./api.js").Api} api @param {string} path @returns {Promise<any>} */
async function open(api, path) {
	const url = new URL(api.url(path).replace(/^http/, "ws")), token = await api.token(), node = /** @type {any} */ (globalThis).process?.versions?.node;
	if (node) {
		const { NodeWebSocket } = await import("./websocket_node.js");
		return new NodeWebSocket(url.href, { headers: token ? { authorization: "Bearer " + token } : {} });
	}
	if (token) url.searchParams.set("token", token);
	const socket = new WebSocket(url);
	socket.binaryType = "arraybuffer";
	return socket;
}
