/* A past duel again, from the durable feed: its frames one by one, at any place. The stream is read from where the duel
 * before it ended; where that is not known, from so many frames before its own end. */
import { api } from "/page/feed.js";
import { Stage } from "/page/stage.js";
import { $, clock, howOf, scoreOf, text } from "/page/text.js";

const STEP_MS = 700, FRAMES_MAX = 5000; /* of a duel: what lies further back of its end is not looked for */

export class Replay {
	constructor(feed) {
		this.feed = encodeURIComponent(feed);
		$("replay-at").oninput = () => { this.stop(); this.show(Number($("replay-at").value)); };
		$("replay-play").onclick = () => this.timer ? this.stop() : this.play();
		$("replay").addEventListener("close", () => { this.stop(); this.wanted = null; });
	}

	/* `before`: the terminal frame of the duel before it; undefined: not known. */
	async open(duel, before) {
		this.wanted = duel.duelId;
		this.frames = [];
		this.stop();
		text($("replay-title"), `${duel.agent1?.name} – ${duel.agent2?.name}`);
		text($("replay-note"), "Reading the feed");
		$("replay-stage").replaceChildren();
		this.stage = new Stage($("replay-stage"));
		this.stage.show(duel);
		$("replay").showModal();
		try {
			const frames = await this.read(duel, before);
			if (this.wanted !== duel.duelId) return;
			this.frames = frames;
			$("replay-at").max = Math.max(0, frames.length - 1);
			text($("replay-note"), frames.length ? `${scoreOf(duel)}, ${howOf(duel) || duel.outcome}. ${frames.length} moments.` : "The feed does not go back so far any more.");
			if (frames.length) this.play(0);
		} catch (error) {
			text($("replay-note"), error.status ? `Not shown: ${error.message}` : "No answer. Close this and try again.");
		}
	}

	/* The frames of a duel, page by page. */
	async read({ duelId, seq }, before) {
		const frames = [], behind = Math.max(0, seq - FRAMES_MAX, before?.seq < seq ? before.seq : 0);
		let { offset } = await api.askJson(`/v1/feeds/${this.feed}/spectator?behind=${behind}`);
		while (this.wanted === duelId) {
			const answer = await api.ask(`/v1/stream/feeds/${this.feed}/spectator?offset=${encodeURIComponent(offset)}`);
			if (!answer.ok) throw Object.assign(new Error(`status ${answer.status}`), { status: answer.status });
			const page = await answer.json(), last = page.at(-1);
			frames.push(...page.filter(frame => frame.duelId === duelId));
			if (!last || last.seq >= seq || answer.headers.get("stream-up-to-date") === "true") break;
			offset = answer.headers.get("stream-next-offset");
		}
		return frames;
	}

	show(at) {
		const frame = this.frames[at];
		if (!frame) return;
		this.at = at;
		$("replay-at").value = at;
		this.stage.show(frame);
		const from = frame.fightStartTime, words = from && frame.emittedAt >= from ? clock(frame.emittedAt - from) : "before";
		text($("replay-time"), words);
		$("replay-at").setAttribute("aria-valuetext", `${words}: ${Math.round(frame.agent1.hp)} to ${Math.round(frame.agent2.hp)}${frame.scene?.san ? `, ${frame.scene.san}` : ""}`);
	}

	play(from = this.at >= this.frames.length - 1 ? 0 : this.at) {
		if (this.frames.length === 0) return;
		this.show(from);
		text($("replay-play"), "Pause");
		this.timer = setInterval(() => {
			this.show(this.at + 1);
			if (this.at >= this.frames.length - 1) this.stop();
		}, STEP_MS);
	}

	stop() {
		clearInterval(this.timer);
		this.timer = null;
		text($("replay-play"), "Play");
	}
}
