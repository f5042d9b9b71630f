/* What a feed tells, for this page: over the connection that all tabs of this browser share (shared.js), or over one of
 * its own where there is no SharedWorker, or none that answers. */
import { Feed } from "/page/client/feed.js";
import { api, secrets } from "/page/feed.js";
import { PATIENT } from "/page/patient.js";

const SILENCE_MS = 20000; /* it beats every 5 s */

/** onNews: as Feed.follow has it; onState({ name, since, fresh }); onExpired(). `who` is whose eyes it is seen with; where
 * that is not known (null) nothing is shared. */
export class News {
	constructor(feed, who, told) {
		Object.assign(this, { feed, who, told });
		if (globalThis.SharedWorker && who) this.share();
		else this.own();
	}

	share() {
		const worker = this.worker = new SharedWorker("/page/shared.js", { type: "module", name: `${this.feed} ${this.who}` }), { port } = worker;
		let heard = Date.now();
		const again = () => port.postMessage({ feed: this.feed });
		worker.onerror = () => this.leave();
		port.onmessage = ({ data: { news, state, expired, beat, ends } }) => {
			heard = Date.now();
			if (beat) port.postMessage({ feed: this.feed, hears: true });
			if (ends) this.leave();
			if (news?.frame) api.clock.heard(news.frame.emittedAt);
			if (news) this.told.onNews(news);
			if (state) this.told.onState(state);
			if (expired) this.told.onExpired();
		};
		port.postMessage({ feed: this.feed, begins: true, token: secrets.token });
		this.shows = ({ persisted }) => { if (persisted) again(); };
		this.hides = () => port.postMessage({ leaves: true });
		addEventListener("pageshow", this.shows);
		addEventListener("pagehide", this.hides);
		let looked = Date.now();
		this.watch = setInterval(() => {
			if (Date.now() - looked > 2 * SILENCE_MS / 4) { /* we slept ourselves, and may be forgotten */
				heard = Date.now();
				again();
			}
			looked = Date.now();
			if (looked - heard > SILENCE_MS) this.leave();
		}, SILENCE_MS / 4);
	}

	/* It is not there: one of our own. */
	leave() {
		if (!this.worker) return;
		clearInterval(this.watch);
		removeEventListener("pageshow", this.shows);
		removeEventListener("pagehide", this.hides);
		this.worker.port.postMessage({ leaves: true });
		this.worker.port.close();
		this.worker = null;
		this.own();
	}

	async own() {
		const { onNews, ...told } = this.told;
		try {
			for await (const news of new Feed(api, this.feed).follow({ ...PATIENT, all: true, ...told })) onNews(news);
		} catch (error) {
			told.onState({ name: "connecting", since: Date.now(), fresh: false });
			setTimeout(() => this.own(), SILENCE_MS / 4);
			throw error;
		}
	}
}
