/**
 * STUN and TURN servers that an answer's `Link` names (RFC 9725, 4.6).
 * @param {string | null} link
 * @returns {RTCIceServer[]}
 */
export function iceServersOf(link: string | null): RTCIceServer[];
/**
 * A picture by WebRTC (WHEP): begins with an offer to receive, and is over when `close` is called.
 * @param {import("./api.js").Api} api
 * @param {string} session
 * @param {{ onTrack: (track: MediaStreamTrack) => void, onOver: () => void, sound?: boolean, iceServers?: RTCIceServer[], signal?: AbortSignal }} options
 *   `onOver`: the connection has failed or was closed by the other side. `iceServers`: in place of those that the answer names
 * @returns {Promise<{ close: () => void }>}
 * @throws {RequestError} when there is none to be had
 */
export function whep(api: import("./api.js").Api, session: string, { onTrack, onOver, sound, iceServers, signal }: {
    onTrack: (track: MediaStreamTrack) => void;
    onOver: () => void;
    sound?: boolean;
    iceServers?: RTCIceServer[];
    signal?: AbortSignal;
}): Promise<{
    close: () => void;
}>;
