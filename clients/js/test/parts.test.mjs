import assert from "node:assert/strict";
import { test } from "node:test";
import { RequestError, isTransient } from "../src/api.js";
import { Clock } from "../src/clock.js";
import { MjpegParser } from "../src/mjpeg.js";
import { canonical, pathOf } from "../src/path.js";
import { iceServersOf } from "../src/whep.js";

test("paths are written as the server writes them", () => {
	assert.equal(canonical("a b/c"), "a%20b/c");
	assert.equal(canonical("/v1/stream/a/%2F?x"), "a/%2F%3Fx");
	assert.equal(canonical("für/*/**"), "f%C3%BCr/*/**");
	assert.equal(pathOf("a/b", "c d"), "a%2Fb/c%20d");
});

test("pictures are cut out of their parts, wherever the pieces end", () => {
	const part = (text, eol = "\r\n") => `--b${eol}Content-Type: image/jpeg${eol}Content-Length: ${text.length}\r\n\r\n${text}\r\n`;
	const bytes = new TextEncoder().encode(part("first") + part("") .replace("Length: 0", "Length: 6") + "second\r\n");
	for (let step = 1; step < 40; step++) {
		const parser = new MjpegParser(), got = [];
		for (let at = 0; at < bytes.length; at += step) for (const jpeg of parser.push(bytes.slice(at, at + step))) got.push(jpeg);
		assert.equal(new TextDecoder().decode(got[0]), "first");
		assert.equal(got.length, 2);
	}
});

test("a part without a good length or head is refused", () => {
	const push = text => () => [...new MjpegParser(100).push(new TextEncoder().encode(text))];
	assert.throws(push("--b\r\n\r\n"), /length/);
	assert.throws(push("--b\r\nContent-Length: 101\r\n\r\n"), /length/);
	assert.throws(push("x".repeat(2000)), /head/);
});

test("ICE servers are read out of a Link", () => {
	assert.deepEqual(iceServersOf(null), []);
	assert.deepEqual(iceServersOf('<stun:a:3478>; rel="ice-server", <turn:b:1?transport=udp>; rel="ice-server"; username="u\\"x"; credential="p,;q"; credential-type="password", <https://c>; rel="next"'),
		[{ urls: "stun:a:3478" }, { urls: "turn:b:1?transport=udp", username: 'u"x', credential: "p,;q" }]);
});

test("the clock is never ahead of the server's", t => {
	t.mock.timers.enable({ apis: ["Date"], now: 1000 });
	const clock = new Clock();
	assert.equal(clock.now(), 1000);
	clock.heard(900);
	assert.equal(clock.now(), 900);
	clock.heard(950);
	clock.heard(940);
	assert.equal(clock.now(), 950);
	clock.forget();
	assert.equal(clock.now(), 1000);
});

test("which errors are final", async () => {
	for (const [status, transient] of [[400, false], [401, false], [403, false], [404, false], [408, true], [409, false], [422, false], [425, true], [429, true], [500, true], [503, true], [507, true]])
		assert.equal(isTransient(new RequestError(status, "")), transient, String(status));
	assert.equal(isTransient(new TypeError("fetch failed")), true);
	const error = await RequestError.of(new Response('{"error":"no","code":"X"}', { status: 429, headers: { "retry-after": "2" } }));
	assert.deepEqual([error.status, error.message, error.code, error.retryAfter], [429, "no", "X", 2000]);
	assert.equal((await RequestError.of(new Response("as text\n", { status: 400 }))).message, "as text");
	assert.equal((await RequestError.of(new Response('{"error":{"code":"C","message":"m"}}', { status: 400 }))).code, "C");
});
