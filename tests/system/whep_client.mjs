/* whep_client.mjs werift|wrtc BASE_URL SESSION: a WHEP viewer made of somebody else's WebRTC. Prints what it
 * got as one JSON line and leaves. werift receives packets, wrtc decodes pictures. */
const [stack, base, session] = process.argv.slice(2);
const ENOUGH = 30;

async function withWrtc() {
	const { default: wrtc } = await import("@roamhq/wrtc");
	const peer = new wrtc.RTCPeerConnection();
	peer.addTransceiver("video", { direction: "recvonly" });
	peer.addTransceiver("audio", { direction: "recvonly" });
	const got = { frames: 0 };
	const enough = new Promise(done => {
		peer.ontrack = ({ track }) => {
			if (track.kind !== "video") return;
			new wrtc.nonstandard.RTCVideoSink(track).onframe = ({ frame }) => {
				got.frames++;
				got.width = frame.width;
				got.height = frame.height;
				if (got.frames >= ENOUGH) done();
			};
		};
	});
	return { peer, got, enough };
}

async function withWerift() {
	const { RTCPeerConnection, RTCRtpCodecParameters } = await import("werift");
	const vp8 = new RTCRtpCodecParameters({
		mimeType: "video/VP8", clockRate: 90000,
		rtcpFeedback: [{ type: "nack" }, { type: "nack", parameter: "pli" }, { type: "goog-remb" }] });
	const peer = new RTCPeerConnection({ codecs: { video: [vp8] } });
	peer.addTransceiver("video", { direction: "recvonly" });
	const got = { frames: 0 };
	const enough = new Promise(done => {
		peer.onTrack.subscribe(track => track.onReceiveRtp.subscribe(packet => {
			got.frames += packet.header.marker ? 1 : 0; /* the last packet of a frame */
			if (got.frames >= ENOUGH) done();
		}));
	});
	return { peer, got, enough };
}

const { peer, got, enough } = await (stack === "wrtc" ? withWrtc() : withWerift());
await peer.setLocalDescription(await peer.createOffer());
const answer = await fetch(`${base}/stream/${session}/whep`, {
	method: "POST", headers: { "content-type": "application/sdp" }, body: peer.localDescription.sdp });
got.status = answer.status;
const sdp = await answer.text();
if (answer.status === 201) {
	await peer.setRemoteDescription({ type: "answer", sdp });
	await Promise.race([enough, new Promise(done => setTimeout(done, 20000))]);
	const end = await fetch(base + answer.headers.get("location"), { method: "DELETE" });
	got.ended = end.status;
}
console.log(JSON.stringify(got));
process.exit(0);
