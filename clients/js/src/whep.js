import { RequestError } from "./api.js";

const ANSWER_MS = 35_000; /* a page that is not there yet is waited for */

/**
 * STUN and TURN servers that an answer's `Link` names (RFC 9725, 4.6).
 * @param {string | null} link
 * @returns {RTCIceServer[]}
 */
export function iceServersOf(link) {
	const servers = [];
	for (const [, urls, parameters] of (link ?? "").matchAll(/<((?:stun|turn)s?:[^>]*)>((?:\s*;\s*[\w-]+=(?:"(?:[^"\\]|\\.)*"|[^\s;,"]*))*)/g)) {
		/** @type {Record<string, string>} */
		const named = {};
		for (const [, name, quoted, plain] of parameters.matchAll(/([\w-]+)=(?:"((?:[^"\\]|\\.)*)"|([^\s;,"]*))/g))
			named[name.toLowerCase()] = quoted === undefined ? plain : quoted.replace(/\\(.)/g, "$1");
		if (named.rel === "ice-server") servers.push({ urls, ...(named.username === undefined ? {} : { username: named.username, credential: named.credential }) });
	}
	return servers;
}

/**
 * A picture by WebRTC (WHEP): begins with an offer to receive, and is over when `close` is called.
 * @param {import("./api.js").Api} api
 * @param {string} session
 * @param {{ onTrack: (track: MediaStreamTrack) => void, onOver: () => void, sound?: boolean, iceServers?: RTCIceServer[], signal?: AbortSignal }} options
 *   `onOver`: the connection has failed or was closed by the other side. `iceServers`: in place of those that the answer names
 * @returns {Promise<{ close: () => void }>}
 * @throws {RequestError} when there is none to be had
 */
export async function whep(api, session, { onTrack, onOver, sound = false, iceServers, signal }) {
	const peer = new RTCPeerConnection(iceServers ? { iceServers } : undefined);
	let location = /** @type {string | null} */ (null);
	const close = () => {
		peer.onconnectionstatechange = null;
		peer.close();
		if (location) api.ask(location, { method: "DELETE", keepalive: true }).catch(() => {});
		location = null;
	};
	try {
		peer.addTransceiver("video", { direction: "recvonly" });
		if (sound) peer.addTransceiver("audio", { direction: "recvonly" });
		peer.ontrack = ({ track }) => onTrack(track);
		peer.onconnectionstatechange = () => { if (["failed", "closed", "disconnected"].includes(peer.connectionState)) onOver(); };
		await peer.setLocalDescription(await peer.createOffer());
		const answer = await api.ask(`/stream/${session}/whep`, { method: "POST", body: peer.localDescription?.sdp, signal,
			timeout: ANSWER_MS, headers: { "content-type": "application/sdp" } });
		if (answer.status !== 201) throw await RequestError.of(answer);
		location = answer.headers.get("location");
		const told = iceServersOf(answer.headers.get("link"));
		if (told.length > 0 && !iceServers) peer.setConfiguration({ iceServers: told });
		await peer.setRemoteDescription({ type: "answer", sdp: await answer.text() });
	} catch (error) {
		close();
		throw error;
	}
	return { close };
}
