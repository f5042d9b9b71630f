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
    /**
     * @param {import("./api.js").Api} api
     * @param {ViewerOptions} options
     */
    constructor(api: import("./api.js").Api, options: ViewerOptions);
    /** When the newest picture came (Unix ms); 0: none has. */
    last: number;
    /** What there is to see at the moment. */
    get state(): ViewerState;
    /** It is wanted; again is fine. */
    start(): void;
    /** It is not wanted any more: what it takes of the server ends at once. */
    stop(): void;
    #private;
}
export type Way = "webrtc" | "mjpeg" | "hls";
export type ViewerState = {
    /**
     * `away`: no way brought a picture; it is tried again
     */
    name: "asking" | "showing" | "away" | "stopped";
    /**
     * by which the picture comes
     */
    way: Way | null;
    /**
     * why there is none
     */
    error?: unknown;
};
export type ViewerOptions = {
    /**
     * whose picture: a render session's id, or what finds one, asked
     * before each attempt
     */
    session: string | (() => Promise<string>);
    /**
     * shows WebRTC and HLS
     */
    video?: HTMLVideoElement | undefined;
    /**
     * shows MJPEG
     */
    canvas?: HTMLCanvasElement | undefined;
    /**
     * a playlist (`/v1/hls/arena/index.m3u8`), for browsers that play it by themselves
     */
    hls?: string | undefined;
    /**
     * which are tried, in this order (all that have what they need)
     */
    ways?: Way[] | undefined;
    /**
     * asked for with WebRTC (false)
     */
    sound?: boolean | undefined;
    iceServers?: RTCIceServer[] | undefined;
    /**
     * so long a page that has just been ordered is waited for, ms (10000)
     */
    pageWithin?: number | undefined;
    /**
     * a way that has brought nothing by then is left, ms (6000)
     */
    firstWithin?: number | undefined;
    /**
     * one that has brought nothing for so long is left, ms (12000)
     */
    stillMax?: number | undefined;
    /**
     * from one round to the next, ms (5000)
     */
    retry?: number | undefined;
    onState?: ((state: ViewerState) => void) | undefined;
    /**
     * a picture came
     */
    onPicture?: ((way: Way) => void) | undefined;
};
export { Api, RequestError, isTransient } from "./api.js";
