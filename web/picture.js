/* The live picture: a render session of the arena page, by WebRTC (WHEP), or by MJPEG where that does not
 * come through. One session for everybody who looks: its order carries the same key. Looked at only while
 * it is on screen. A picture that has not changed for a while is shown as old. */
import { Viewer } from "/page/client/viewer.js";
import { api } from "/page/feed.js";
import { $, hide, text } from "/page/text.js";

const STILL_MS = 4000;
const WAYS = { webrtc: "WebRTC", mjpeg: "MJPEG (WebRTC did not come through)" };
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
		this.trouble = ""; /* why there was none the last time; stands until one comes */
		this.viewer = new Viewer(api, { session: () => this.order(), video: $("video"), canvas: $("still"), stillMax: 3 * STILL_MS,
			onState: state => this.show(state) });
		new IntersectionObserver(([entry]) => { this.seen = entry.isIntersecting; this.run(); }).observe($("video").parentElement);
		document.addEventListener("visibilitychange", () => this.run());
	}

	setHealth(health) {
		this.health = health;
		this.drawHealth(true);
	}

	/* A word that is old vouches for nothing, and nothing is vouched for where no picture is seen. */
	drawHealth(live) {
		const tag = $("health"), health = this.health, shown = this.shown();
		tag.dataset.state = live && health?.ready && shown ? "good" : live && health && !shown ? "" : "warn";
		text(tag, !health ? "–" : !live ? "Not known" : !shown ? "Not shown" : health.ready ? "Vouched for" : "Not vouched for");
		const at = health?.updatedAt ? new Date(health.updatedAt).toLocaleTimeString([], { hour12: false }) : "";
		text($("health-note"), !health ? "The feed has said nothing about the picture yet." : !live ? `Not heard of since ${at || "a while"}.` : health.ready ? `The renderer shows this duel. Checked ${at}.`
			: (REASONS[health.degradedReason] ?? (health.degradedReason ?? "unknown").replaceAll("_", " ")) + (at ? ` Since ${at}.` : ""));
		$("health-note").title = health?.degradedReason ?? "";
	}

	wanted() {
		return this.seen && document.visibilityState === "visible";
	}

	run() {
		if (!this.wanted()) return this.viewer.stop();
		if (this.visitor.me && !this.visitor.mayAny("render")) {
			this.trouble = this.visitor.stranger ? "The picture is for whoever has logged in." : "What you are logged in as may not see the picture.";
			hide($("screen-login"), !this.visitor.stranger);
			text($("picture-note"), "The ring above shows the same duel.");
			return;
		}
		this.viewer.start();
	}

	/* One session for the feed; another key when the last one has ended. */
	async order() {
		const part = Math.floor(Date.now() / 3600000);
		let made;
		for (const key of ["", "-" + part, "-" + part + "-" + Math.floor(Date.now() / 60000)]) {
			made = await api.askJson("/stream", { body: { targetUrl: `${location.origin}/arena/${this.feed}`,
				renderOptions: { resolution: "720p", targetFps: 24 } }, headers: { "idempotency-key": `picture-${this.feed}${key}` } });
			const state = await api.ask("/stream/" + made.streamId);
			if (state.ok && !["terminated", "error"].includes((await state.json()).status)) break;
		}
		return made.streamId;
	}

	show({ way, error }) {
		$("video").hidden = way !== "webrtc";
		$("still").hidden = way !== "mjpeg";
		if (way) {
			this.trouble = "";
			text($("picture-note"), WAYS[way]);
		} else if (error) {
			this.trouble = error.status === 503 ? "No renderer" : error.status === 401 || error.status === 403 ? "The picture is not for this login." : "No picture";
			text($("picture-note"), error.status ? error.message : "The picture broke off; it is asked for again.");
		}
	}

	say(message) {
		text($("screen-note"), message);
	}

	shown() {
		return !$("video").hidden || !$("still").hidden;
	}

	tick(live) {
		this.drawHealth(live);
		const shown = this.shown();
		const age = Date.now() - this.viewer.last, old = shown && (age > STILL_MS || !live);
		$("video").parentElement.classList.toggle("old", old || (shown && this.health?.ready === false));
		if (shown && !old && this.health?.ready === false) this.say("Trust the ring above instead");
		else if (old) this.say(live ? `No new picture for ${Math.round(age / 1000)} s` : "Not live");
		else this.say(shown ? "" : this.trouble || (this.viewer.state.name !== "stopped" ? "Asking for the picture" : "No picture yet"));
	}
}
