import assert from "node:assert/strict";
import { test } from "node:test";
import { Backoff, linked, sleep } from "../src/retry.js";

test("delays double up to the longest, spread over their upper half", () => {
	for (const [random, share] of [[0, 0.5], [1, 1]]) {
		const backoff = new Backoff({ min: 100, max: 450, random: () => random });
		assert.deepEqual([1, 2, 3, 4, 5].map(() => backoff.next()), [100, 200, 400, 450, 450].map(ms => ms * share));
		backoff.reset();
		assert.equal(backoff.next(), 100 * share);
	}
});

test("the server's word is waited for", () => {
	assert.equal(new Backoff({ min: 100, random: () => 1 }).next(3000), 3000);
	assert.equal(new Backoff({ min: 100, random: () => 1 }).next(30), 100);
});

test("a sleep ends when it is aborted, and leaves no listener", async () => {
	const control = new AbortController(), rest = sleep(1e9, control.signal);
	control.abort();
	await rest;
	await sleep(1e9, control.signal);
});

test("a linked signal follows the other, its time, or itself, and lets go", async () => {
	const control = new AbortController(), first = linked(control.signal), released = linked(control.signal), timed = linked(null, 5);
	released.release();
	control.abort("over");
	assert.equal(first.signal.reason, "over");
	assert.equal(released.signal.aborted, false);
	await new Promise(done => timed.signal.addEventListener("abort", done));
	assert.equal(timed.signal.reason.name, "TimeoutError");
	assert.equal(linked(control.signal).signal.aborted, true);
});
