import assert from "node:assert/strict";
import { test } from "node:test";
import { cidAnew, cidKept, cidOf } from "../src/cid.js";
import { Memory } from "../src/memory.js";
import { Outbox, OutboxFullError, judge } from "../src/outbox.js";
import { SendingStates } from "../src/sending.js";

const entry = (more = {}) => ({ id: "a", sessionId: "s", after: null, body: {}, attempts: 0, underWay: false, doubt: false, owner: null, ...more });
const taken = (id, more = {}) => ({ status: 202, body: { accepted: true, clientMsgId: id, sessionId: "s", seq: 7, ...more } });
const turn = () => new Promise(done => setImmediate(done));
const settle = async () => { for (let i = 0; i < 20; i++) await turn(); };

/* A store as a browser has it. */
function storage(limit = Infinity) {
	const map = new Map();
	return { map, getItem: key => map.get(key) ?? null, removeItem: key => map.delete(key),
		setItem(key, value) { if (value.length > limit) throw new Error("full"); map.set(key, value); } };
}

/* An outbox whose posts are answered by hand, in the order in which they come. */
function made(options = {}) {
	const posts = [], outcomes = [], store = options.store ?? storage();
	const outbox = new Outbox({ memory: new Memory(store), backoff: { min: 1, max: 2 }, onOutcome: outcome => outcomes.push(outcome),
		post: sent => new Promise(answer => posts.push({ id: sent.id, sessionId: sent.sessionId, answer })), ...options });
	outbox.start();
	const put = (id, more = {}) => outbox.put({ id, sessionId: "s", body: { prompt: id }, ...more });
	const next = async () => { while (posts.length === 0) await turn(); return posts.shift(); };
	return { outbox, posts, outcomes, store, put, next };
}

test("what an answer means", () => {
	for (const [answer, verdict, doubt] of [
		[taken("a"), "accepted", false], [taken("b"), "again", true], [{ status: 200, body: { ok: true } }, "again", true], [{ status: 202, body: null }, "again", true],
		[{ status: null }, "again", true], [{ status: 408 }, "again", false], [{ status: 429 }, "again", false], [{ status: 500 }, "again", true], [{ status: 502 }, "again", true],
		[{ status: 503 }, "again", false], [{ status: 507 }, "again", false], [{ status: 401 }, "login", false],
		...[400, 403, 404, 409, 413, 422].map(status => [{ status }, "final", false]) ])
		assert.deepEqual(judge(entry(), answer), { verdict, doubt }, JSON.stringify(answer));
	assert.deepEqual(judge(entry({ doubt: true }), { status: 503 }), { verdict: "again", doubt: true });
	assert.deepEqual(judge(entry({ doubt: true }), { status: 403 }), { verdict: "final", doubt: true });
	assert.deepEqual(judge(entry({ doubt: true }), { status: 422 }), { verdict: "final", doubt: false });
});

test("one is under way at a time, in order, also when one is repeated", async () => {
	const { put, next, posts } = made();
	const ends = ["a", "b", "c"].map(id => put(id));
	const first = await next();
	await settle();
	assert.deepEqual([first.id, posts.length], ["a", 0]);
	first.answer({ status: 503 });
	const again = await next();
	assert.equal(again.id, "a");
	again.answer(taken("a"));
	for (const id of ["b", "c"]) {
		const post = await next();
		assert.equal(post.id, id);
		post.answer(taken(id));
	}
	assert.deepEqual((await Promise.all(ends)).map(({ id, state, attempts }) => [id, state, attempts]), [["a", "accepted", 2], ["b", "accepted", 1], ["c", "accepted", 1]]);
});

test("each attempt that is repeated says so, and the last says that it was", async () => {
	const { put, next, outcomes } = made({ attemptsMax: 3 });
	const end = put("a");
	for (let i = 0; i < 3; i++) (await next()).answer({ status: 429, reason: "slow" });
	assert.equal((await end).state, "failed");
	assert.deepEqual(outcomes.map(({ state, willRetry, attempts }) => [state, willRetry, attempts]), [["pending", true, 1], ["pending", true, 2], ["failed", false, 3]]);
});

test("what may have been taken is uncertain, never failed", async () => {
	const { put, next } = made({ attemptsMax: 2 });
	const end = put("a");
	(await next()).answer({ status: null, reason: "reset" });
	(await next()).answer({ status: 503 });
	const { state, body } = await end;
	assert.deepEqual([state, body], ["uncertain", { prompt: "a" }]);
});

test("without a way no answer is no attempt", async () => {
	let way = false;
	const { put, next } = made({ attemptsMax: 2, reachable: () => way });
	const end = put("a");
	for (let i = 0; i < 10; i++) (await next()).answer({ status: null });
	await settle();
	way = true;
	(await next()).answer(taken("a"));
	assert.deepEqual([(await end).state, (await end).attempts], ["accepted", 1]);
});

test("a refusal ends one, and those behind it go on", async () => {
	for (const status of [400, 403, 404, 409, 413, 422]) {
		const { put, next } = made(), ends = [put("a"), put("b")];
		(await next()).answer({ status, code: "X", reason: "no" });
		(await next()).answer(taken("b"));
		const [{ state, status: told, code, willRetry }, b] = await Promise.all(ends);
		assert.deepEqual([state, told, code, willRetry, b.state], ["failed", status, "X", false, "accepted"]);
	}
});

test("a login that has ended holds everything, and loses nothing", async () => {
	let logins = 0;
	const { outbox, put, next, posts } = made({ onLogin: () => logins++ }), end = put("a");
	(await next()).answer({ status: 401 });
	await settle();
	assert.deepEqual([logins, posts.length, outbox.entries.length], [1, 0, 1]);
	put("b");
	await settle();
	assert.equal(posts.length, 0);
	outbox.flush();
	const post = await next();
	assert.equal(post.id, "a");
	post.answer(taken("a"));
	assert.equal((await end).attempts, 1);
});

test("the newest is refused when it is full, and nothing is dropped", async () => {
	const { put, outbox } = made({ max: 2 });
	put("a");
	put("b");
	assert.throws(() => put("c"), OutboxFullError);
	assert.deepEqual(outbox.entries.map(({ id }) => id), ["a", "b"]);
});

test("the same id twice is one message", async () => {
	const { put, next, outbox } = made();
	assert.equal(put("a"), put("a"));
	assert.equal(outbox.entries.length, 1);
	(await next()).answer(taken("a"));
});

test("messages of a session without a name get it", async () => {
	const { put, next } = made(), ends = [put("a", { sessionId: null }), put("b", { sessionId: null, after: "a" }), put("c", { sessionId: null, after: "a" })];
	(await next()).answer(taken("a", { sessionId: "new" }));
	for (const id of ["b", "c"]) {
		const post = await next();
		assert.equal(post.sessionId, "new");
		post.answer(taken(id, { sessionId: "new" }));
	}
	assert.deepEqual((await Promise.all(ends)).map(({ sessionId }) => sessionId), ["new", "new", "new"]);
	const second = made(), lost = [second.put("a", { sessionId: null }), second.put("b", { sessionId: null, after: "a" })];
	(await second.next()).answer({ status: 422 });
	assert.deepEqual((await Promise.all(lost)).map(({ state }) => state), ["failed", "failed"]);
});

test("a reload takes up what waited, in order, and doubts what was under way", async () => {
	const store = storage(), before = made({ store });
	before.put("a");
	before.put("b");
	await before.next();
	const after = made({ store, attemptsMax: 1 });
	assert.deepEqual(after.outbox.entries.map(({ id, doubt }) => [id, doubt]), [["a", true], ["b", false]]);
	(await after.next()).answer({ status: 503 });
	(await after.next()).answer(taken("b"));
	await settle();
	assert.deepEqual(after.outcomes.map(({ id, state }) => [id, state]), [["a", "uncertain"], ["b", "accepted"]]);
	assert.equal(store.map.size, 0);
});

test("another login's are not sent: what was under way is uncertain, the rest has failed", async () => {
	const store = storage(), before = made({ store, owner: "anna" });
	before.put("a");
	before.put("b");
	await before.next();
	const after = made({ store, owner: "bert" });
	await settle();
	assert.deepEqual(after.outcomes.map(({ id, state, code }) => [id, state, code]), [["a", "uncertain", "LOGIN_CHANGED"], ["b", "failed", "LOGIN_CHANGED"]]);
	assert.equal(after.posts.length, 0);
});

test("a store that is damaged, full or forbidden prevents nothing", async () => {
	const damaged = storage();
	damaged.map.set("ringside:outbox", "[{");
	for (const store of [damaged, storage(10), { getItem() { throw new Error("no"); }, setItem() { throw new Error("no"); }, removeItem() { throw new Error("no"); } }, null]) {
		const { put, next } = made({ store }), end = put("a");
		(await next()).answer(taken("a"));
		assert.equal((await end).state, "accepted");
		const memory = new Memory(store), cid = cidKept(memory);
		assert.equal(cidOf(cid), cid);
		assert.equal(cidKept(memory), cid);
	}
});

test("ids of connections: UUIDs of any version, in one case", () => {
	const good = "cid-123e4567-e89b-12d3-a456-426614174000", memory = new Memory(null);
	assert.equal(cidOf(good.toUpperCase()), good);
	for (const bad of ["", null, 7, good + "0", "cid-" + "-".repeat(36), good.slice(4), good.replace("1", "g"), good + ":x"]) assert.equal(cidOf(bad), null, String(bad));
	memory.set("ringside:connectionId", "cid-bad");
	const kept = cidKept(memory);
	assert.notEqual(kept, "cid-bad");
	assert.notEqual(cidAnew(memory), kept);
	assert.equal(new Set(Array.from({ length: 50 }, () => cidAnew(memory))).size, 50);
});

test("what a page shows: running until it is over or given up, errors until their own session speaks", () => {
	const states = new SendingStates(), pending = { state: "pending", willRetry: true, sessionId: "s", reason: "slow" };
	states.sent("s");
	assert.deepEqual(states.of("s"), { running: true, error: null });
	states.outcome(pending);
	assert.deepEqual(states.of("s"), { running: true, error: { state: "pending", willRetry: true, reason: "slow" } });
	states.event({ type: "welcome" });
	states.event({ type: "ping" });
	states.event({ sessionId: "other", seq: 3 });
	states.event({ type: "watched", sessionId: "s" });
	assert.ok(states.of("s").error);
	states.event({ sessionId: "s", seq: 4 });
	assert.deepEqual(states.of("s"), { running: true, error: null });
	for (const state of ["failed", "uncertain"]) {
		states.sent("s");
		states.outcome({ state, willRetry: false, sessionId: "s", reason: "no" });
		assert.deepEqual(states.of("s"), { running: false, error: { state, willRetry: false, reason: "no" } });
	}
	states.outcome({ state: "accepted", sessionId: "s" });
	assert.equal(states.of("s").error, null);
	states.sent(null);
	states.outcome({ state: "accepted", sessionId: "new" });
	assert.deepEqual([states.of("new").running, states.of(null).running], [true, false]);
	states.event({ sessionId: "new", seq: 9 }, true);
	assert.equal(states.of("new").running, false);
});
