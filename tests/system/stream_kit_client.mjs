/* stream_kit_client.mjs BASE_URL PAGE: what the stream-kit's web client does for a picture, by somebody else's WebSocket
 * and WebRTC: orders a session, waits for an offer at its signalingUrl, answers, trickles candidates, and counts what it
 * decodes. Prints that as one JSON line. */
import wrtc from "@roamhq/wrtc";
import WebSocket from "ws";

const [base, page] = process.argv.slice(2);
const ENOUGH = 30;
const got = { frames: 0, errors: [], candidates: 0, kinds: [] };

const order = await fetch(`${base}/stream/session`, {
	method: "POST", headers: { "content-type": "application/json" },
	body: JSON.stringify({ renderUrl: page, renderOptions: { resolution: "320x180", targetFps: 30 } }) });
const session = await order.json();
if (!session.iceServers || !session.signalingUrl) throw new Error(JSON.stringify(session));

const peer = new wrtc.RTCPeerConnection({ iceServers: session.iceServers });
peer.addTransceiver("video", { direction: "recvonly" });
const socket = new WebSocket(session.signalingUrl);
const say = message => socket.send(JSON.stringify(message));

const enough = new Promise(done => {
	peer.ontrack = ({ track }) => {
		got.kinds.push(track.kind);
		if (track.kind !== "video") return;
		new wrtc.nonstandard.RTCVideoSink(track).onframe = ({ frame }) => {
			got.frames++;
			got.width = frame.width;
			got.height = frame.height;
			if (got.frames >= ENOUGH) done();
		};
	};
});
peer.onicecandidate = ({ candidate }) => {
	if (candidate === null) return;
	got.candidates++;
	say({ type: "ice-candidate", candidate });
};
socket.on("message", async data => {
	const message = JSON.parse(data);
	if (message.type === "offer") {
		await peer.setRemoteDescription(message.sdp);
		await peer.setLocalDescription(await peer.createAnswer());
		say({ type: "answer", sdp: peer.localDescription });
	} else if (message.type === "ice-candidate") {
		await peer.addIceCandidate(message.candidate);
	} else if (message.type === "error") {
		got.errors.push(message.message);
	}
});
const closed = new Promise(done => socket.on("close", code => { got.code = code; done(); }));
await Promise.race([enough, closed, new Promise(done => setTimeout(done, 30000))]);
const state = await (await fetch(`${base}/stream/${session.sessionId}`)).json();
got.signalingState = state.webrtc?.signalingState;
socket.close(1000);
await closed;
got.session = session.sessionId;
console.log(JSON.stringify(got));
process.exit(0);
