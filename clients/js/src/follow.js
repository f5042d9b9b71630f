import { RequestError, isTransient } from "./api.js";
import { canonical } from "./path.js";
import { Backoff, linked, sleep } from "./retry.js";
import { EventParser, eventsOf } from "./sse.js";

/**
 * @typedef {object} FollowState
 * @property {"connecting" | "live" | "denied" | "over"} name `denied`: 401 or 403. `over`: every stream is closed and
 *   was read to its end
 * @property {number} since when it was last live (Unix ms); 0 while it is
 * @property {boolean} fresh it began without an id: what came before was not seen
 * @property {unknown} [error] why it is not live
 */

/**
 * @typedef {object} FollowOptions
 * @property {"now" | "start"} [from] where it begins without an id ("now")
 * @property {string} [lastEventId] the id of the last message that was dealt with: it goes on behind it
 * @property {string} [event] `stream` (default): messages say their stream. `member:NAME`: they are named after that member
 *   of their JSON
 * @property {string} [ticket] in place of a token or a cookie
 * @property {AbortSignal} [signal] ends it
 * @property {number} [silence] after so many ms without a word the connection is taken for dead (40000)
 * @property {(state: FollowState) => void} [onState]
 * @property {(reset: Reset) => void} [onReset] messages were lost or are another stream's; without it, that ends the following with a ResetError
 * @property {(streams: string[]) => void} [onStreams] which streams it takes in: at the beginning of each connection, and when a
 *   pattern takes in another
 * @property {() => void} [onExpired] the token or cookie has ended, or may this no longer: the next attempt shows what it is worth
 * @property {(error: RequestError) => boolean} [giveUp] whether an answer is final. Without: every 4xx that is not
 *   408, 425 or 429 is, and is thrown
 * @property {import("./retry.js").BackoffOptions} [backoff] between attempts
 */

/**
 * @typedef {object} Reset
 * @property {string | null} stream
 * @property {"trimmed" | "deleted" | "recreated" | "rewound" | "unknown"} reason
 */

/** Messages of a stream are gone, or it is another one than before; what follows goes on from the first there is. */
export class ResetError extends Error {
	/** @param {Reset} reset */
	constructor({ stream, reason }) {
		super(`${stream ?? "the streams"}: ${reason}`);
		this.name = "ResetError";
		this.stream = stream;
		this.reason = reason;
	}
}

/** One message of a stream. */
export class Message {
	/**
	 * @param {{ stream: string | null, event: string, id: string, data: string, base64: boolean }} parts
	 */
	constructor({ stream, event, id, data, base64 }) {
		/** Its stream's path below `/v1/stream/`; null where that cannot be told (`event: member:...` of several). */
		this.stream = stream;
		/** What the server named the event. */
		this.event = event;
		/** Where a reader of all the streams stands who has dealt with it: `lastEventId` of the next following. */
		this.id = id;
		/** As it came. */
		this.data = data;
		this.#base64 = base64;
	}

	#base64;

	/** @returns {any} */
	json() {
		return JSON.parse(this.text());
	}

	/** @returns {string} */
	text() {
		return this.#base64 ? new TextDecoder().decode(this.bytes()) : this.data;
	}

	/** @returns {Uint8Array} */
	bytes() {
		return this.#base64 ? Uint8Array.from(atob(this.data), c => c.charCodeAt(0)) : new TextEncoder().encode(this.data);
	}
}

/**
 * @typedef {{ message: Message } | { open: true } | { reset: Reset }} Step what came: a message; the beginning of a
 *   connection that went on from no id; a reset
 */

/**
 * Follows any number of streams as one, over every disconnect, without gap or repeat (`GET /v1/events`). It reads no
 * faster than its caller takes.
 *
 * @example
 * for await (const message of follow(api, ["duels/*", "news"])) console.log(message.stream, message.json());
 *
 * @param {import("./api.js").Api} api
 * @param {string | string[]} streams paths below `/v1/stream/`; a segment `*` stands for one segment, `**` for any number
 * @param {FollowOptions} [options]
 * @returns {AsyncGenerator<Message, void>}
 * @throws {RequestError | ResetError}
 */
export async function* follow(api, streams, options = {}) {
	for await (const step of steps(api, streams, options)) {
		if ("message" in step) yield step.message;
		else if ("reset" in step) {
			if (!options.onReset) throw new ResetError(step.reset);
			options.onReset(step.reset);
		}
	}
}

/**
 * The same with its beginnings and resets in their places among the messages.
 * @param {import("./api.js").Api} api
 * @param {string | string[]} streams
 * @param {FollowOptions} [options]
 * @returns {AsyncGenerator<Step, void>}
 */
export async function* steps(api, streams, options = {}) {
	const { signal, onState, giveUp = error => !isTransient(error) } = options;
	const backoff = new Backoff({ max: 5000, ...options.backoff }), named = [streams].flat().map(canonical);
	const place = { id: options.lastEventId ?? "", retry: /** @type {number | null} */ (null), encodings: new Map(), only: onlyOf(named) };
	let state = /** @type {FollowState} */ ({ name: "connecting", since: Date.now(), fresh: place.id === "" });
	/** @param {FollowState["name"]} name @param {unknown} [error] */
	const say = (name, error) => {
		state = { name, since: name === "live" ? 0 : state.since || Date.now(), fresh: place.id === "", error };
		onState?.(state);
	};
	while (!signal?.aborted) {
		const link = linked(signal), wake = () => link.abort();
		globalThis.addEventListener?.("online", wake);
		let pause = 0;
		try {
			const answer = await api.ask("/v1/events?" + queryOf(named, options), { signal: link.signal,
				headers: { accept: "text/event-stream", ...(place.id === "" ? {} : { "last-event-id": place.id }) } });
			if (answer.status === 204) return say("over");
			if (!answer.ok || !answer.body) throw await RequestError.of(answer);
			const fresh = place.id === "";
			say("live");
			if (fresh) yield { open: true };
			for await (const step of read(answer.body, place, api, options)) {
				backoff.reset();
				if (step) yield step;
			}
			pause = place.retry === null ? backoff.next() : place.retry * Math.random(); /* its time was over; it said when to come back */
			say("connecting");
		} catch (error) {
			if (signal?.aborted) return;
			const told = error instanceof RequestError;
			if (told && giveUp(error)) throw error;
			pause = backoff.next(told ? error.retryAfter : 0);
			say(told && (error.status === 401 || error.status === 403) ? "denied" : "connecting", error);
		} finally {
			globalThis.removeEventListener?.("online", wake);
			link.abort();
			link.release();
		}
		await restOrOnline(pause, signal);
	}
}

/**
 * One connection's. Undefined: something that is no step, and shows that it lives.
 * @param {ReadableStream<Uint8Array>} body
 * @param {{ id: string, retry: number | null, encodings: Map<string, string>, only: string | null }} place
 * @param {import("./api.js").Api} api
 * @param {FollowOptions} options
 * @returns {AsyncGenerator<Step | undefined, void>}
 */
async function* read(body, place, api, { silence, onExpired, onStreams }) {
	const parser = new EventParser();
	for await (const { event, data, id } of eventsOf(body, { parser, silence })) {
		place.retry = parser.retry ?? place.retry;
		let step;
		if (event === "streams") {
			const taken = JSON.parse(data);
			for (const { stream, encoding } of taken) place.encodings.set(stream, encoding);
			onStreams?.(taken.map((/** @type {{ stream: string }} */ { stream }) => stream));
		} else if (event === "heartbeat") api.clock.heard(JSON.parse(data).now);
		else if (event === "reset") {
			const { stream = null, reason } = JSON.parse(data);
			step = { reset: { stream, reason } };
		} else if (event === "expired") onExpired?.();
		else {
			const stream = place.encodings.has(event) ? event : place.only;
			step = { message: new Message({ stream, event, id, data, base64: place.encodings.get(stream ?? "") === "base64" }) };
		}
		if (id) place.id = id; /* before it is handed out: who stops there has it */
		yield step;
	}
}

/** The stream that every message must be of. @param {string[]} named */
function onlyOf(named) {
	return named.length === 1 && !named[0].includes("*") ? named[0] : null;
}

/** @param {string[]} named @param {FollowOptions} options */
function queryOf(named, { from, event = "stream", ticket }) {
	const query = new URLSearchParams(named.map(stream => ["stream", stream]));
	query.set("event", event);
	if (from) query.set("from", from);
	if (ticket) query.set("ticket", ticket);
	return query;
}

/** @param {number} ms @param {AbortSignal} [signal] */
async function restOrOnline(ms, signal) {
	const link = linked(signal), wake = () => link.abort();
	globalThis.addEventListener?.("online", wake);
	await sleep(ms, link.signal);
	globalThis.removeEventListener?.("online", wake);
	link.release();
}
