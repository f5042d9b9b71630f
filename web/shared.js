/* A SharedWorker: one connection to the feed for all tabs of a browser that show the same as the same visitor. Each tab
 * is told all news; one that comes later begins with the newest there are. It ends when its last tab has gone. */
import { Api } from "/page/client/api.js";
import { Feed } from "/page/client/feed.js";
import { PATIENT } from "/page/patient.js";

const BEAT_MS = 5000;
const ports = new Set();
let token = null, begun = false, state = null, frame = null, odds = null;

const tell = message => { for (const port of ports) port.postMessage(message); };

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

self.onconnect = ({ ports: [port] }) => {
	port.onmessage = ({ data }) => {
		if (data.leaves) return ports.delete(port);
		ports.add(port);
		token = data.token;
		if (!begun) follow(data.feed);
		begun = true;
		for (const one of [frame, odds]) if (one) port.postMessage({ news: { ...one, gap: false } });
		if (state) port.postMessage({ state: { ...state, fresh: true } }); /* for this tab it is */
	};
};
setInterval(() => tell({ beat: true }), BEAT_MS);
