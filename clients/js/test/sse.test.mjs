import assert from "node:assert/strict";
import { test } from "node:test";
import { EventParser, eventsOf } from "../src/sse.js";

const parse = (...pieces) => {
	const parser = new EventParser();
	return { parser, events: pieces.flatMap(piece => [...parser.push(piece)]) };
};

test("an event has its name, its lines of data and the last id", () => {
	const { events, parser } = parse("id: 7\nevent: hit\ndata: a\ndata:  b\n\ndata: c\n\n");
	assert.deepEqual(events, [{ event: "hit", data: "a\n b", id: "7" }, { event: "message", data: "c", id: "7" }]);
	assert.equal(parser.lastId, "7");
});

test("lines end in CR, LF or both, wherever the pieces are cut", () => {
	const text = "id: 1\r\ndata: x\r\n\r\ndata: y\r\rdata: z\n\n";
	for (let at = 0; at <= text.length; at++) assert.deepEqual(parse(text.slice(0, at), text.slice(at)).events.map(e => e.data), ["x", "y", "z"], `cut at ${at}`);
	assert.deepEqual(parse(...text).events.map(e => e.data), ["x", "y", "z"]);
});

test("an id counts when its event is whole, also without data", () => {
	const { parser, events } = parse("id: 1\ndata: x\n\nid: 2\n");
	assert.equal(parser.lastId, "1");
	assert.deepEqual([...parser.push("\n")], []);
	assert.equal(parser.lastId, "2");
	assert.equal(events.length, 1);
});

test("comments, unknown fields, ids with a NUL and odd retries are left out", () => {
	const { parser, events } = parse(": hello\nid: a\0b\nretry: 1x\nwhat: x\ndata\n\nretry: 250\n\n");
	assert.deepEqual(events, [{ event: "message", data: "", id: "" }]);
	assert.equal(parser.retry, 250);
});

test("an event beyond the limit is refused", () => {
	const parser = new EventParser(100);
	assert.throws(() => [...parser.push("data: " + "x".repeat(200))], /too large/);
	const lines = new EventParser(100);
	assert.throws(() => [...lines.push("data: 0123456789\n".repeat(20))], /too large/);
});

test("a byte that belongs to no character yet waits for the rest", async () => {
	const bytes = new TextEncoder().encode("data: für\n\n"), cut = bytes.indexOf(0xc3) + 1;
	const body = new ReadableStream({ start(control) {
		control.enqueue(bytes.slice(0, cut));
		control.enqueue(bytes.slice(cut));
		control.close();
	} });
	assert.deepEqual(await Array.fromAsync?.(eventsOf(body)) ?? await all(eventsOf(body)), [{ event: "message", data: "für", id: "" }]);
});

test("silence is an error, a busy reader is not", async () => {
	let control;
	const events = eventsOf(new ReadableStream({ start(c) { control = c; } }), { silence: 60 });
	control.enqueue(new TextEncoder().encode("data: 1\n\n"));
	assert.equal((await events.next()).value.data, "1");
	await new Promise(done => setTimeout(done, 120));
	control.enqueue(new TextEncoder().encode("data: 2\n\n"));
	assert.equal((await events.next()).value.data, "2");
	await assert.rejects(events.next(), /silence/);
});

async function all(events) {
	const list = [];
	for await (const event of events) list.push(event);
	return list;
}
