/* The live picture: a render session of the arena page, by WebRTC (WHEP), or by MJPEG where that does not
 * come through. One session for everybody who looks: its order carries the same key. Looked at only while
 * it is on screen. A picture that has not changed for a while is shown as old. */
import { ask, askJson } from "/page/feed.js";

const $ = id => document.getElementById(id);
const text = (element, value) => { if (element.textContent !== value) element.textContent = value; };
const STILL_MS = 4000, WEBRTC_MS = 6000, RETRY_MS = 5000;
const REASONS = {
	capture_client_disconnected: "Nobody renders the picture: there is no capture worker.",
	agents_missing: "The duel has no contestants.", invalid_agent_hp: "A contestant's health makes no sense.",
	arena_positions_invalid: "The contestants are not in the arena yet.", source_silent: "The game has said nothing for a while.", renderer_health_stale: "The renderer has not reported for too long.",
	hang: "The arena page hangs.", freeze: "The arena page does not animate.", frozen_frame: "The picture stands still.",
	renderer_scene_evidence_missing: "The renderer has not yet said which duel it shows.",
	renderer_scene_not_ready: "The arena page is not ready.",
	renderer_cycle_mismatch: "The picture shows another duel.", renderer_phase_mismatch: "The picture is behind the duel.",
	target_crashed: "The arena page has crashed.", browser_exit: "The browser has ended; another one is starting.",
	browser_silent: "The browser does not answer.", gpu_lost: "The browser lost its graphics process.",
	webgl_lost: "The arena page lost its graphics.", navigation_blocked: "The arena page wanted to go where it may not.",
	navigation_failed: "The arena page could not be loaded.", dialog: "A dialog stands in the arena page's way.",
	no_first_frame: "There is no first picture yet.", flat_frame: "The picture has one colour only.",
	encoder_stalled: "A video output makes no progress.",
	starting: "The renderer is starting.", page_not_ready: "The arena page is not ready.", browser_missing: "There is no browser to render with.",
};

export class Picture {
	constructor(feed, visitor) {
		this.feed = feed;
		this.visitor = visitor;
		this.seen = false;
		this.last = 0; /* when the newest picture came */
		this.way = "";
		this.trouble = ""; /* why there was none the last time; stands until one comes */
		this.running = false;
		new IntersectionObserver(([entry]) => { this.seen = entry.isIntersecting; this.run(); }).observe($("video").parentElement);
		document.addEventListener("visibilitychange", () => this.run());
	}

	setHealth(health) {
		this.health = health;
		this.drawHealth(true);
	}

	/* A word that is old vouches for nothing. */
	drawHealth(live) {
		const tag = $("health"), health = this.health;
		tag.dataset.state = live && health?.ready ? "good" : "warn";
		text(tag, !health ? "–" : !live ? "Not known" : health.ready ? "Vouched for" : "Degraded");
		const at = health?.updatedAt ? new Date(health.updatedAt).toLocaleTimeString([], { hour12: false }) : "";
		text($("health-note"), !health ? "The feed has said nothing about the picture yet." : !live ? `Not heard of since ${at || "a while"}.` : health.ready ? `The renderer shows this duel. Checked ${at}.`
			: (REASONS[health.degradedReason] ?? (health.degradedReason ?? "unknown").replaceAll("_", " ")) + (at ? ` Since ${at}.` : ""));
		$("health-note").title = health?.degradedReason ?? "";
	}

	wanted() {
		return this.seen && document.visibilityState === "visible";
	}

	async run() {
		if (this.running || !this.wanted()) return;
		if (this.visitor.me && !this.visitor.mayAny("render")) {
			this.trouble = this.visitor.me.kind === "anonymous" ? "The picture needs a token" : "The picture is not for this login";
			text($("picture-note"), "Whoever may order browsers sees it here.");
			return;
		}
		this.running = true;
		while (this.wanted()) {
			try {
				await this.open();
				if (!await this.webrtc()) await this.mjpeg();
			} catch (error) {
				this.stop();
				this.trouble = error.status === 503 ? "No renderer" : error.status === 401 || error.status === 403 ? "The picture needs a token" : "No picture";
				text($("picture-note"), error.status ? error.message : "The picture broke off; it is asked for again.");
			}
			if (this.wanted()) await new Promise(done => setTimeout(done, RETRY_MS));
		}
		this.stop();
		this.running = false;
	}

	/* One session for the feed; another key when the last one has ended. */
	async open() {
		const part = Math.floor(Date.now() / 3600000);
		for (const key of ["", "-" + part, "-" + part + "-" + Math.floor(Date.now() / 60000)]) {
			const made = await askJson("/stream", { body: { targetUrl: `${location.origin}/arena/${this.feed}`,
				renderOptions: { resolution: "720p", targetFps: 24 } }, headers: { "idempotency-key": `picture-${this.feed}${key}` } });
			this.session = made.streamId;
			const state = await ask("/stream/" + this.session);
			if (state.ok && !["terminated", "error"].includes((await state.json()).status)) return;
		}
	}

	say(message) {
		text($("screen-note"), message);
	}

	mark(way) {
		this.last = Date.now();
		this.trouble = "";
		if (this.way === way) return;
		this.way = way;
		text($("picture-note"), way);
	}

	/* Until it ends; false: nothing came. */
	async webrtc() {
		if (!window.RTCPeerConnection) return false;
		const peer = new RTCPeerConnection(), video = $("video");
		let location = null, came = false, over;
		const ended = new Promise(done => { over = done; });
		try {
			peer.addTransceiver("video", { direction: "recvonly" });
			peer.ontrack = ({ track }) => { video.srcObject = new MediaStream([track]); };
			peer.onconnectionstatechange = () => { if (["failed", "closed", "disconnected"].includes(peer.connectionState)) over(); };
			await peer.setLocalDescription(await peer.createOffer());
			const answer = await ask(`/stream/${this.session}/whep`, { method: "POST", body: peer.localDescription.sdp,
				headers: { "content-type": "application/sdp" } });
			if (answer.status !== 201) return false;
			location = answer.headers.get("location");
			await peer.setRemoteDescription({ type: "answer", sdp: await answer.text() });
			const look = () => {
				if (this.peer !== peer) return;
				came = true;
				video.hidden = false;
				$("still").hidden = true;
				this.mark("WebRTC");
				video.requestVideoFrameCallback?.(look);
			};
			this.peer = peer;
			if (video.requestVideoFrameCallback) video.requestVideoFrameCallback(look);
			else video.ontimeupdate = look;
			const timer = setInterval(() => { if (!this.wanted() || Date.now() - Math.max(this.last, began) > (came ? 3 * STILL_MS : WEBRTC_MS)) over(); }, 500);
			const began = Date.now();
			await ended;
			clearInterval(timer);
			return came;
		} catch { return came; } finally {
			this.peer = null;
			peer.close();
			video.srcObject = null;
			video.hidden = true;
			if (location) ask(location, { method: "DELETE" }).catch(() => {});
		}
	}

	/* multipart/x-mixed-replace, read by hand: so it can carry a token, and we know when a picture came. */
	async mjpeg() {
		this.control = new AbortController();
		const answer = await ask(`/stream/${this.session}/mjpeg`, { signal: this.control.signal });
		if (!answer.ok) throw Object.assign(new Error((await answer.text()).trim()), { status: answer.status });
		const reader = answer.body.getReader();
		let rest = new Uint8Array();
		while (this.wanted()) {
			const { value, done } = await reader.read();
			if (done) break;
			const joined = new Uint8Array(rest.length + value.length);
			joined.set(rest);
			joined.set(value, rest.length);
			rest = await this.parts(joined);
		}
		this.control.abort();
	}

	async parts(bytes) {
		for (;;) {
			const head = new TextDecoder("latin1").decode(bytes.subarray(0, 1024)), end = head.indexOf("\r\n\r\n");
			const length = Number(/content-length: *(\d+)/i.exec(head.slice(0, Math.max(end, 0)))?.[1]);
			if (end < 0 || bytes.length < end + 4 + length) return bytes;
			if (!(length > 0)) throw new Error("a part without its length");
			const image = await createImageBitmap(new Blob([bytes.subarray(end + 4, end + 4 + length)], { type: "image/jpeg" }));
			const still = $("still");
			still.hidden = false;
			still.getContext("2d").drawImage(image, 0, 0, still.width, still.height);
			image.close();
			this.mark("MJPEG (WebRTC did not come through)");
			bytes = bytes.subarray(end + 4 + length);
		}
	}

	stop() {
		this.control?.abort();
		this.way = "";
		$("video").hidden = $("still").hidden = true;
	}

	tick(live) {
		this.drawHealth(live);
		const shown = !$("video").hidden || !$("still").hidden;
		const age = Date.now() - this.last, old = shown && (age > STILL_MS || !live);
		$("video").parentElement.classList.toggle("old", old);
		if (old) this.say(live ? `No new picture for ${Math.round(age / 1000)} s` : "Not live");
		else this.say(shown ? "" : this.trouble || (this.running ? "Asking for the picture" : "No picture yet"));
	}
}
