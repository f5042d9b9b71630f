/* A SharedWorker: one connection to the feed for all tabs of a browser that show the same as the same visitor. Each tab
 * is told all news; one that comes later begins with the newest there are. It ends when its last tab has gone, or when it
 * cannot go on. */
import { Api } from "/page/client/api.js";
import { Feed } from "/page/client/feed.js";
import { PATIENT } from "/page/patient.js";

const BEAT_MS = 5000, BEATS_UNHEARD = 12; /* a tab that crashed says no farewell; one that only slept joins again */
const ports = new Map(); /* beats since each has answered */
let token = null, begun = false, state = null, frame = null, odds = null;

const tell = message => { for (const port of ports.keys()) port.postMessage(message); };

async function follow(feed) {
	const api = new Api({ token: () => token });
	const news = new Feed(api, feed).follow({ ...PATIENT, all: true, onExpired: () => tell({ expired: true }), onState(next) {
		state = { name: next.name, since: next.since, fresh: next.fresh };
		tell({ state });
	} });
	for await (const one of news) {
		if (one.frame) frame = one;
		if (one.odds) odds = one;
		tell({ news: one });
	}
}

/* Every tab goes on by itself, and who comes finds another worker. */
function end() {
	tell({ ends: true });
	self.close();
}

self.onconnect = ({ ports: [port] }) => {
	port.onmessage = ({ data }) => {
		if (data.leaves) return ports.delete(port);
		const known = ports.has(port);
		ports.set(port, 0);
		if (known && data.hears) return;
		if (data.begins) token = data.token; /* not of a tab that comes back: its own may have ended meanwhile */
		if (!begun) follow(data.feed).catch(end);
		begun = true;
		for (const one of [frame, odds]) if (one) port.postMessage({ news: { ...one, gap: false } });
		if (state) port.postMessage({ state: { ...state, fresh: true } }); /* for this tab it is */
	};
};
setInterval(() => {
	for (const [port, beats] of ports) {
		if (beats >= BEATS_UNHEARD) ports.delete(port);
		else ports.set(port, beats + 1);
	}
	tell({ beat: true });
}, BEAT_MS);
