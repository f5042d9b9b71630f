/* The media end of WHEP: one peer connection for each viewer, in a world that the page cannot touch.
 *
 * Candidates are gathered before the answer is given, within a bound: a network that has none would have us
 * wait for ever. The rate is asked for from the first packet on; by itself it would begin so low that clients
 * without feedback never see a whole picture. */
(() => {
	if (globalThis !== globalThis.top || typeof RTCPeerConnection !== "function") return;
	const tell = globalThis.__ringside, peers = new Map();
	let media = null, from = null;
	/* The whole tab, as it is composed; one capture for all who want it. */
	let tab = null;
	const whole = async fps => {
		const wanted = {video: {frameRate: fps, displaySurface: "browser"}, audio: false,
			preferCurrentTab: true, selfBrowserSurface: "include"};
		if (tab === null) tab = navigator.mediaDevices?.getDisplayMedia(wanted).catch(() => null);
		const stream = await tab;
		if (!stream?.active) { tab = null; return null; }
		return stream;
	};
	const leave = async () => {
		const stream = await tab;
		if (peers.size > 0) return;
		for (const track of stream?.getTracks() ?? []) track.stop();
		tab = null;
	};
	/* What the page plays, by the name that its sound server gives it (null: it is mute), so that no microphone
	 * is ever taken. Nobody waits for it with his picture. */
	let heard = null;
	const audible = device => device !== null && navigator.mediaDevices !== undefined; /* not by plain http */
	const find = async device => {
		const devices = await navigator.mediaDevices.enumerateDevices();
		const ours = devices.find(d => d.kind === "audioinput" && d.label === device);
		if (ours === undefined) return null;
		const stream = await navigator.mediaDevices.getUserMedia({audio: {deviceId: {exact: ours.deviceId},
			echoCancellation: false, autoGainControl: false, noiseSuppression: false}});
		return stream.getAudioTracks()[0];
	};
	const sound = async (peer, device) => {
		const ear = peer.getTransceivers().find(t =>
			t.receiver.track.kind === "audio" && t.direction === "sendonly");
		if (ear === undefined) return;
		if (heard === null) heard = find(device).catch(() => null);
		const track = await heard;
		if (track === null) heard = null;
		else if (peer.connectionState !== "closed") await ear.sender.replaceTrack(track);
	};
	const hush = async () => {
		const track = await heard;
		if (peers.size > 0) return;
		track?.stop();
		heard = null;
	};
	const source = (fps, wanted) => {
		const all = [...document.querySelectorAll("canvas")];
		const canvas = all.sort((a, b) => b.width * b.height - a.width * a.height)[0];
		if (wanted === "tab" || (canvas === undefined && wanted !== "canvas")) return whole(fps);
		if (canvas === undefined) return null;
		if (canvas !== from) { media = canvas.captureStream(fps); from = canvas; }
		return media;
	};
	const drop = id => {
		const peer = peers.get(id);
		if (peer === undefined) return false;
		peers.delete(id); peer.close(); tell("peer", {id, state: "closed"});
		if (tab !== null && peers.size === 0) leave();
		if (heard !== null && peers.size === 0) hush();
		return true;
	};
	const rate = "x-google-start-bitrate=2500;x-google-min-bitrate=1000";
	const gathered = peer => new Promise(done => {
		const look = () => peer.iceGatheringState === "complete" &&
			peer.localDescription.sdp.includes("a=candidate:") && done();
		peer.onicegatheringstatechange = look;
		setTimeout(done, 1500); look();
	});
	const add = async (peer, fragment) => {
		let sdpMid = null;
		for (const line of fragment.split(/\r?\n/)) {
			if (line.startsWith("a=mid:")) sdpMid = line.slice(6);
			if (line.startsWith("a=candidate:"))
				await peer.addIceCandidate({candidate: line.slice(2), sdpMid: sdpMid ?? "0"});
		}
	};
	/* What a fragment says of our side: all is bundled, so the first that has candidates says all. */
	const fragmentOf = sdp => {
		const [head, ...media] = sdp.split(/(?=^m=)/m);
		const ours = media.find(m => m.includes("a=candidate:")) ?? media[0];
		const wanted = /^(a=group:|a=ice-|m=|a=mid:|a=candidate:)/;
		return (head + ours).split("\r\n").filter(l => wanted.test(l))
			.concat("a=end-of-candidates", "").join("\r\n");
	};
	/* The offer again, with other credentials and without the candidates of the old ones. */
	const restart = async (peer, fragment, ufrag) => {
		const pwd = /^a=ice-pwd:([A-Za-z0-9+\/]{22,256})\s*$/m.exec(fragment)?.[1];
		if (pwd === undefined || !/^[A-Za-z0-9+\/]{4,256}$/.test(ufrag)) return {fault: "sdp"};
		if (peer.signalingState !== "stable") return {fault: "busy"};
		const sdp = peer.remoteDescription.sdp
			.replace(/^a=(candidate:|end-of-candidates).*\r?\n/gm, "")
			.replace(/^a=ice-ufrag:.*$/gm, () => "a=ice-ufrag:" + ufrag)
			.replace(/^a=ice-pwd:.*$/gm, () => "a=ice-pwd:" + pwd);
		try {
			await peer.setRemoteDescription({type: "offer", sdp});
			await add(peer, fragment);
			await peer.setLocalDescription(await peer.createAnswer());
		} catch (e) {
			await peer.setRemoteDescription({type: "rollback"}).catch(() => {});
			return {fault: "sdp", text: String(e.message)};
		}
		await gathered(peer);
		return {fragment: fragmentOf(peer.localDescription.sdp)};
	};
	/* One of each kind. False: no picture is wanted. */
	const send = async (peer, stream, device) => {
		const ours = {video: stream.getVideoTracks()[0]};
		if (audible(device)) ours.audio = null;
		for (const t of peer.getTransceivers()) {
			const {kind} = t.receiver.track;
			if (!(kind in ours)) { t.direction = "inactive"; continue; }
			t.direction = "sendonly";
			t.sender.setStreams(stream); await t.sender.replaceTrack(ours[kind]);
			delete ours[kind];
		}
		return !("video" in ours);
	};
	const shape = async (peer, fps) => {
		for (const {sender, receiver, direction} of peer.getTransceivers()) {
			if (direction !== "sendonly") continue;
			const p = sender.getParameters(), sound = receiver.track.kind === "audio";
			if (!sound) p.degradationPreference = "maintain-resolution";
			for (const e of p.encodings) {
				e.maxBitrate = sound ? 128000 : 4000000;
				if (!sound) e.maxFramerate = fps;
			}
			await sender.setParameters(p);
		}
	};
	const begin = (id, iceServers) => {
		const peer = new RTCPeerConnection({iceServers});
		peers.set(id, peer);
		peer.onconnectionstatechange = () => {
			tell("peer", {id, state: peer.connectionState});
			if (peer.connectionState === "failed") drop(id);
		};
		return peer;
	};
	const rated = sdp => sdp.replace(/a=rtpmap:(\d+) VP8\/90000\r?\n/g, `$&a=fmtp:$1 ${rate}\r\n`);
	/* A canvas is captured at the rate that was asked for: at another, it is captured anew. */
	const recapture = async fps => {
		if (media === null) return;
		const [old] = media.getVideoTracks();
		media = from.captureStream(fps);
		const [track] = media.getVideoTracks();
		for (const peer of peers.values())
			for (const sender of peer.getSenders())
				if (sender.track === old) await sender.replaceTrack(track);
		old.stop();
	};
	globalThis.ringsideWhep = {
		/* Who looks goes on looking, at another rate. */
		async pace(fps) {
			await recapture(fps);
			const stream = await tab;
			for (const track of stream?.getVideoTracks() ?? [])
				await track.applyConstraints({frameRate: fps}).catch(() => {});
			for (const peer of peers.values()) await shape(peer, fps).catch(() => {});
			return {};
		},
		async offer(id, ice, sdp, fps, wanted, device) {
			const peer = begin(id, ice);
			const stream = await source(fps, wanted);
			if (stream === null) { drop(id); return {fault: "source"}; }
			try {
				sdp = rated(sdp);
				await peer.setRemoteDescription({type: "offer", sdp});
				if (!await send(peer, stream, device)) { drop(id); return {fault: "video"}; }
				await peer.setLocalDescription(await peer.createAnswer());
			} catch (e) { drop(id); return {fault: "sdp", text: String(e.message)}; }
			sound(peer, device);
			await gathered(peer);
			await shape(peer, fps).catch(() => {});
			return {sdp: peer.localDescription.sdp};
		},
		/* The other way round: we offer, who looks answers. Candidates that overtake the answer wait for it. */
		async invite(id, ice, fps, wanted, device, patience) {
			const peer = begin(id, ice);
			const stream = await source(fps, wanted);
			if (stream === null) { drop(id); return {fault: "source"}; }
			try {
				const sendonly = {direction: "sendonly", streams: [stream]};
				peer.addTransceiver(stream.getVideoTracks()[0], sendonly);
				if (audible(device)) peer.addTransceiver("audio", sendonly);
				await peer.setLocalDescription(await peer.createOffer());
			} catch (e) { drop(id); return {fault: "sdp", text: String(e.message)}; }
			sound(peer, device);
			await gathered(peer);
			setTimeout(() => { if (peer.signalingState === "have-local-offer") drop(id); }, patience);
			return {sdp: peer.localDescription.sdp};
		},
		async answer(id, sdp, fps) {
			const peer = peers.get(id);
			if (peer === undefined) return {fault: "gone"};
			if (peer.signalingState !== "have-local-offer") return {fault: "answered"};
			try {
				await peer.setRemoteDescription({type: "answer", sdp: rated(sdp)});
				for (const fragment of peer.early ?? []) await add(peer, fragment);
			} catch (e) { return {fault: "sdp", text: String(e.message)}; }
			await shape(peer, fps).catch(() => {});
			return {};
		},
		async change(id, fragment, conditional) {
			const peer = peers.get(id);
			if (peer === undefined) return {fault: "gone"};
			if (peer.remoteDescription === null) {
				peer.early = [...peer.early ?? [], fragment];
				return peer.early.length <= 64 ? {} : {fault: "early"};
			}
			const ufrag = /^a=ice-ufrag:(\S+)/m.exec(fragment)?.[1];
			const known = /^a=ice-ufrag:(\S+)/m.exec(peer.remoteDescription.sdp)?.[1];
			if (ufrag !== undefined && ufrag !== known)
				return conditional ? restart(peer, fragment, ufrag) : {fault: "condition"};
			try { await add(peer, fragment); }
			catch (e) { return {fault: "sdp", text: String(e.message)}; }
			return {};
		},
		drop,
	};
	tell("whep", null);
})();
