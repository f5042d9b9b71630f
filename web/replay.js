/* A past duel again, from the durable feed: its frames one by one, at any place. The stream is read from its beginning
 * until the duel has ended; where each page of it begins is remembered for the next time. */
import { api } from "/page/feed.js";
import { Stage } from "/page/stage.js";
import { $, clock, howOf, scoreOf, text } from "/page/text.js";

const STEP_MS = 700;

export class Replay {
	constructor(feed) {
		this.path = `/v1/stream/feeds/${encodeURIComponent(feed)}/spectator`;
		this.pages = [{ offset: "-1", seq: 0 }]; /* where one begins, and the last number before it */
		$("replay-at").oninput = () => { this.stop(); this.show(Number($("replay-at").value)); };
		$("replay-play").onclick = () => this.timer ? this.stop() : this.play();
		$("replay").addEventListener("close", () => { this.stop(); this.wanted = null; });
	}

	async open(duel) {
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
			const frames = await this.read(duel);
			if (this.wanted !== duel.duelId) return;
			this.frames = frames;
			$("replay-at").max = Math.max(0, frames.length - 1);
			text($("replay-note"), frames.length ? `${scoreOf(duel)}, ${howOf(duel) || duel.outcome}. ${frames.length} moments.` : "The feed does not go back so far any more.");
			if (frames.length) this.play(0);
		} catch (error) {
			text($("replay-note"), error.status ? `Not shown: ${error.message}` : "No answer. Close this and try again.");
		}
	}

	/* The frames of a duel: page by page from the last known place before it. */
	async read({ duelId, seq, sourceEpoch }) {
		const frames = [], known = this.pages.filter(page => page.seq < seq - 2000 || page.offset === "-1").at(-1);
		for (let { offset } = known; this.wanted === duelId;) {
			const answer = await api.ask(`${this.path}?offset=${encodeURIComponent(offset)}`);
			if (!answer.ok) throw Object.assign(new Error(`status ${answer.status}`), { status: answer.status });
			const page = await answer.json(), next = answer.headers.get("stream-next-offset");
			frames.push(...page.filter(frame => frame.duelId === duelId));
			const last = page.at(-1);
			if (last && !this.pages.some(one => one.offset === next)) this.pages.push({ offset: next, seq: last.seq });
			if (!last || answer.headers.get("stream-up-to-date") === "true" || (last.seq >= seq && last.sourceEpoch === sourceEpoch)) break;
			offset = next;
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
