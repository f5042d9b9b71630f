import { RequestError } from "./api.js";
import { steps } from "./follow.js";

export { Api, RequestError, isTransient } from "./api.js";

/**
 * A frame of a feed, version 2 (docs/bet-sync.md has every member, docs/duels.md which of them spectators have).
 * @typedef {{ feed: string, sourceEpoch: number, seq: number, previousSeq: number, emittedAt: number, duelId: string | null,
 *   phase: string | null, phaseVersion: number, terminal: boolean, outcome: string | null,
 *   rendererHealth: { ready: boolean, degradedReason: string | null, updatedAt: number } | null, [member: string]: any }} Frame
 */

/**
 * What a feed has said: a frame, with the text it came as, and whether frames before it were missed; what a market's odds
 * are now; how a duel ended.
 * @typedef {{ frame: Frame, text: string, gap: boolean } | { odds: Record<string, any> } | { result: Frame } | { other: string, data: any }} FeedNews
 */

const LATER = "spectator/"; /* with a delay: what lies in it is what lies beside it, later */

/** A feed of duels: its newest frame, and whatever comes after it. A frame of a lower number never follows one of a higher. */
export class Feed {
	#api;
	#stream;
	#seen = /** @type {{ sourceEpoch: number, seq: number } | null} */ (null);
	#direct = /** @type {Set<string>} */ (new Set()); /* streams that it hears as it happens */

	/**
	 * As spectators see it; `live`: as the betting services do, which takes the right `frames` on it.
	 * @param {import("./api.js").Api} api
	 * @param {string} [name]
	 * @param {{ live?: boolean }} [options]
	 */
	constructor(api, name = "arena", { live = false } = {}) {
		this.#api = api;
		this.#stream = live ? "frames" : "spectator";
		this.name = name;
	}

	/**
	 * The newest frame; null: there is no such feed, or it has said nothing yet.
	 * @param {AbortSignal} [signal]
	 * @returns {Promise<{ frame: Frame, text: string } | null>}
	 */
	async newest(signal) {
		const answer = await this.#api.ask("/v1/feeds/" + encodeURIComponent(this.name), { signal });
		if (answer.status === 404) return null;
		if (!answer.ok) throw await RequestError.of(answer);
		const text = await answer.text();
		return { frame: JSON.parse(text), text };
	}

	/**
	 * The newest frame, then every one that comes, over every disconnect; with `all`, what else the feed tells, too. Where
	 * messages were lost (retention, a restored backup) it goes on from the newest frame, and says `gap`. Odds, bets, results and
	 * attestations come as it happens to whoever may read them so, else as spectators have them (`feeds.spectator_delay`).
	 *
	 * @example
	 * for await (const { frame } of new Feed(api, "arena").follow()) console.log(frame.seq, frame.phase);
	 *
	 * @template {boolean} [All=false]
	 * @param {Omit<import("./follow.js").FollowOptions, "from" | "lastEventId" | "event" | "onReset" | "onStreams"> & { all?: All }} [options]
	 * @returns {AsyncGenerator<All extends true ? FeedNews : Extract<FeedNews, { frame: Frame }>, void>}
	 */
	async *follow({ all, ...options } = {}) {
		const root = `feeds/${this.name}/`, streams = all ? [root + "*", `${root}${LATER}*`] : root + this.#stream;
		for await (const step of steps(this.#api, streams, { ...options,
			onStreams: taken => taken.forEach(stream => this.#direct.add(stream.slice(root.length))),
			onState: state => {
				if (state.name === "live") this.#direct.clear(); /* its rights may be others now */
				options.onState?.(state);
			} })) {
			const news = "message" in step ? this.#told(step.message, root) : await this.#catchUp(options.signal);
			if (news) yield /** @type {any} */ (news);
		}
	}

	/** Whoever begins asks for what there is now, when what comes is on its way already. @param {AbortSignal} [signal] */
	async #catchUp(signal) {
		try {
			const newest = await this.newest(signal);
			return newest && this.#take(newest.frame, newest.text);
		} catch {
			return null; /* the stream brings what comes next */
		}
	}

	/** @param {import("./follow.js").Message} message @param {string} root @returns {FeedNews | null} */
	#told(message, root) {
		const data = message.json(), name = message.stream?.slice(root.length);
		if (name === this.#stream) return this.#take(data, message.data);
		const kind = name?.startsWith(LATER) ? name.slice(LATER.length) : name;
		if (kind !== name && this.#direct.has(kind ?? "")) return null; /* it is known already */
		return kind === "odds" ? { odds: data } : kind === "results" ? { result: data } : { other: kind ?? "", data };
	}

	/** @param {Frame} frame @param {string} text */
	#take(frame, text) {
		this.#api.clock.heard(frame.emittedAt);
		const seen = this.#seen, same = seen?.sourceEpoch === frame.sourceEpoch;
		if (seen && same && frame.seq <= seen.seq) return null;
		this.#seen = frame;
		return { frame, text, gap: Boolean(seen && same && frame.previousSeq !== seen.seq) };
	}
}
