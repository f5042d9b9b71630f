import { RequestError } from "./api.js";
import { MjpegParser } from "./mjpeg.js";
import { linked, sleep } from "./retry.js";
import { whep } from "./whep.js";

export { Api, RequestError, isTransient } from "./api.js";
export { MjpegParser } from "./mjpeg.js";
export { whep } from "./whep.js";

/** @typedef {"webrtc" | "mjpeg" | "hls"} Way */

/**
 * @typedef {object} ViewerState
 * @property {"asking" | "showing" | "away" | "stopped"} name `away`: no way brought a picture; it is tried again
 * @property {Way | null} way by which the picture comes
 * @property {unknown} [error] why there is none
 */

/**
 * @typedef {object} ViewerOptions
 * @property {string | (() => Promise<string>)} session whose picture: a render session's id, or what finds one, asked
 *   before each attempt
 * @property {HTMLVideoElement} [video] shows WebRTC and HLS
 * @property {HTMLCanvasElement} [canvas] shows MJPEG
 * @property {string} [hls] a playlist (`/v1/hls/arena/index.m3u8`), for browsers that play it by themselves
 * @property {Way[]} [ways] which are tried, in this order (all that have what they need)
 * @property {boolean} [sound] asked for with WebRTC (false)
 * @property {RTCIceServer[]} [iceServers]
 * @property {number} [pageWithin] so long a page that has just been ordered is waited for, ms (10000)
 * @property {number} [firstWithin] a way that has brought nothing by then is left, ms (6000)
 * @property {number} [stillMax] one that has brought nothing for so long is left, ms (12000)
 * @property {number} [retry] from one round to the next, ms (5000)
 * @property {(state: ViewerState) => void} [onState]
 * @property {(way: Way) => void} [onPicture] a picture came
 */

/**
 * The live picture of a render session: by WebRTC, or by MJPEG where that does not come through, or by HLS. A way that
 * falls silent is left for the next, for as long as it is wanted.
 *
 * @example
 * const viewer = new Viewer(api, { session: id, video: document.querySelector("video"), canvas: document.querySelector("canvas") });
 * viewer.start();
 */
export class Viewer {
	#api;
	#options;
	#wanted = /** @type {AbortController | null} */ (null);
	#state = /** @type {ViewerState} */ ({ name: "stopped", way: null });
	/** When the newest picture came (Unix ms); 0: none has. */
	last = 0;

	/**
	 * @param {import("./api.js").Api} api
	 * @param {ViewerOptions} options
	 */
	constructor(api, options) {
		this.#api = api;
		this.#options = { pageWithin: 10_000, firstWithin: 6000, stillMax: 12_000, retry: 5000, sound: false, ...options };
	}

	/** What there is to see at the moment. */
	get state() {
		return this.#state;
	}

	/** It is wanted; again is fine. */
	start() {
		if (this.#wanted) return;
		const wanted = this.#wanted = new AbortController();
		this.#run(wanted.signal);
	}

	/** It is not wanted any more: what it takes of the server ends at once. */
	stop() {
		if (!this.#wanted) return;
		this.#wanted.abort();
		this.#wanted = null;
		this.#say("stopped");
	}

	/** @param {ViewerState["name"]} name @param {Way | null} [way] @param {unknown} [error] */
	#say(name, way = null, error = undefined) {
		const before = this.#state;
		this.#state = { name, way, error };
		if (before.name !== name || before.way !== way || before.error !== error) this.#options.onState?.(this.#state);
	}

	/** @param {AbortSignal} signal */
	async #run(signal) {
		const ways = { webrtc: this.#webrtc, mjpeg: this.#mjpeg, hls: this.#hls };
		while (!signal.aborted) {
			let error, seen = false;
			this.#say("asking", null, this.#state.error); /* why there was none the last time stands until one comes */
			try {
				const { session } = this.#options, id = typeof session === "function" ? await session() : session;
				for (const way of this.#ways()) {
					if (signal.aborted) return;
					const begun = Date.now();
					error = await ways[way].call(this, id, signal).then(() => undefined, reason => reason);
					seen = this.last >= begun;
					if (seen) break; /* it was good: the first way again */
				}
			} catch (reason) {
				error = reason;
			}
			if (signal.aborted) return;
			this.#say("away", null, error);
			await sleep(this.#options.retry, signal);
		}
	}

	/** @returns {Way[]} */
	#ways() {
		const { video, canvas, hls, ways = /** @type {Way[]} */ (["webrtc", "mjpeg", "hls"]) } = this.#options;
		const can = { webrtc: video && globalThis.RTCPeerConnection, mjpeg: canvas, hls: video && hls && video.canPlayType("application/vnd.apple.mpegurl") };
		return ways.filter(way => can[way]);
	}

	/** @param {Way} way */
	#came(way) {
		this.last = Date.now();
		this.#say("showing", way);
		this.#options.onPicture?.(way);
	}

	/**
	 * A time in which pictures come: over when none has for too long since it was opened, or when it is aborted.
	 * @param {AbortSignal} signal
	 */
	#watch(signal) {
		const link = linked(signal), { firstWithin, stillMax } = this.#options, begun = Date.now();
		let opened = Infinity;
		const timer = setInterval(() => {
			const came = this.last >= begun;
			if (Date.now() - Math.max(opened, came ? this.last : 0) > (came ? stillMax : firstWithin)) link.abort(new Error("no picture came"));
		}, 250);
		return { ...link, open: () => { opened = Date.now(); }, end: () => { clearInterval(timer); link.abort(); link.release(); } };
	}

	/** @param {string} session @param {AbortSignal} signal */
	async #webrtc(session, signal) {
		const video = /** @type {HTMLVideoElement} */ (this.#options.video), watch = this.#watch(signal), { sound, iceServers } = this.#options;
		const tracks = new MediaStream();
		let viewing;
		try {
			viewing = await this.#patiently(() => whep(this.#api, session, { sound, iceServers, signal: watch.signal,
				onOver: () => watch.abort(new Error("the connection broke")), onTrack: track => { tracks.addTrack(track); video.srcObject = tracks; } }), watch.signal);
			watch.open();
			await this.#shown(video, "webrtc", watch.signal);
		} finally {
			watch.end();
			viewing?.close();
			video.srcObject = null;
		}
	}

	/**
	 * A page that has just been ordered is not there yet (409), and soon will be.
	 * @template T
	 * @param {() => Promise<T>} open @param {AbortSignal} signal
	 */
	async #patiently(open, signal) {
		for (const until = Date.now() + this.#options.pageWithin; ; await sleep(300, signal)) {
			try {
				return await open();
			} catch (error) {
				if (!(error instanceof RequestError && error.status === 409) || signal.aborted || Date.now() > until) throw error;
			}
		}
	}

	/** @param {string} _session @param {AbortSignal} signal */
	async #hls(_session, signal) {
		const video = /** @type {HTMLVideoElement} */ (this.#options.video), watch = this.#watch(signal);
		try {
			video.src = this.#api.url(/** @type {string} */ (this.#options.hls));
			video.play?.()?.catch(() => {});
			watch.open();
			await this.#shown(video, "hls", watch.signal);
		} finally {
			watch.end();
			video.removeAttribute("src");
			video.load();
		}
	}

	/**
	 * Until the signal: every frame that the element shows is a picture that came.
	 * @param {HTMLVideoElement} video @param {Way} way @param {AbortSignal} signal
	 */
	async #shown(video, way, signal) {
		const look = () => {
			if (signal.aborted) return;
			this.#came(way);
			video.requestVideoFrameCallback?.(look);
		};
		if ("requestVideoFrameCallback" in video) video.requestVideoFrameCallback(look);
		else /** @type {HTMLVideoElement} */ (video).addEventListener("timeupdate", look, { signal });
		if (!signal.aborted) await new Promise(done => signal.addEventListener("abort", done, { once: true }));
		throw signal.reason;
	}

	/** Read by hand: so it carries a token, and tells when a picture came. @param {string} session @param {AbortSignal} signal */
	async #mjpeg(session, signal) {
		const canvas = /** @type {HTMLCanvasElement} */ (this.#options.canvas), watch = this.#watch(signal);
		try {
			const answer = await this.#api.ask(`/stream/${session}/mjpeg`, { signal: watch.signal });
			if (!answer.ok || !answer.body) throw await RequestError.of(answer);
			watch.open();
			const parser = new MjpegParser(), reader = answer.body.getReader();
			for (;;) {
				const { value, done } = await reader.read();
				if (done) throw new Error("it ended");
				for (const jpeg of parser.push(value)) await this.#draw(canvas, jpeg);
			}
		} finally {
			watch.end();
		}
	}

	/** @param {HTMLCanvasElement} canvas @param {Uint8Array<ArrayBuffer>} jpeg */
	async #draw(canvas, jpeg) {
		const image = await createImageBitmap(new Blob([jpeg], { type: "image/jpeg" }));
		canvas.getContext("2d")?.drawImage(image, 0, 0, canvas.width, canvas.height);
		image.close();
		this.#came("mjpeg");
	}
}
