/* web/shared.js, the worker that all tabs of a page share: with tabs, a feed and a clock of the test's. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

const source = readFileSync(new URL("../../../web/shared.js", import.meta.url), "utf8").replace(/^import .*$/gm, "");

function worker() {
	const self = { closed: false, close: () => { self.closed = true; } }, w = { self };
	class Api {
		constructor({ token }) { w.token = token; }
	}
	class Feed {
		async *follow({ onState }) {
			onState({ name: "live", since: 0, fresh: true });
			yield { frame: { seq: 1 }, gap: false };
			await new Promise((_, fails) => { w.fail = fails; });
		}
	}
	new Function("self", "Api", "Feed", "PATIENT", "setInterval", source)(self, Api, Feed, {}, beat => { w.beat = beat; });
	w.tab = (answers = true) => {
		const told = [], port = { postMessage: message => {
			told.push(message);
			if (message.beat && answers) port.onmessage({ data: { feed: "arena", hears: true } });
		} };
		self.onconnect({ ports: [port] });
		return { told, post: data => port.onmessage({ data: { feed: "arena", ...data } }) };
	};
	return w;
}

const turn = () => new Promise(done => setImmediate(done));

test("a tab that comes back brings no token: its own may have ended meanwhile", async () => {
	const w = worker(), one = w.tab(), two = w.tab();
	one.post({ begins: true, token: "old" });
	two.post({ begins: true, token: "new" });
	one.post({ leaves: true });
	one.post({});
	assert.equal(w.token(), "new");
	await turn();
	assert.ok(one.told.some(({ news }) => news?.frame.seq === 1));
});

test("where it cannot go on every tab is told, and who comes finds another", async () => {
	const w = worker(), tab = w.tab();
	tab.post({ begins: true, token: null });
	await turn();
	w.fail(new Error("what came is no JSON"));
	await turn();
	assert.deepEqual(tab.told.at(-1), { ends: true });
	assert.ok(w.self.closed);
});

test("a tab that answers no more is forgotten, until it says something", async () => {
	const w = worker(), lives = w.tab(), crashed = w.tab(false);
	for (const tab of [lives, crashed]) tab.post({ begins: true, token: null });
	await turn();
	const beats = tab => tab.told.filter(({ beat }) => beat).length;
	for (let n = 0; n < 100; n++) w.beat();
	assert.equal(beats(lives), 100);
	assert.ok(beats(crashed) < 20);
	const before = crashed.told.length;
	crashed.post({ hears: true });
	assert.ok(crashed.told.slice(before).some(({ news }) => news?.frame.seq === 1));
	w.beat();
	assert.equal(beats(lives), 101);
});
