import assert from "node:assert/strict";
import { test } from "node:test";
import { Tunnel } from "../src/tunnel.js";

const OPEN = 1, DATA = 2, CLOSE = 3, CREDIT = 4;
const u32 = n => [n >>> 24, (n >>> 16) & 255, (n >>> 8) & 255, n & 255];
const of = (kind, channel, ...rest) => Uint8Array.of(kind, ...u32(channel), ...rest);
const bytes = text => [...new TextEncoder().encode(text)];
const settle = async () => { for (let i = 0; i < 50; i++) await new Promise(done => setImmediate(done)); };

function made(sizeMax) {
	const sent = [], channels = [];
	const tunnel = new Tunnel(frame => sent.push([...frame]), channel => channels.push(channel), sizeMax);
	tunnel.take(of(OPEN, 7, ...bytes("{}")));
	return { tunnel, sent, channel: channels[0], channels };
}

test("what a dashboard says comes as messages, in order, and its credit comes back when it was dealt with", async () => {
	const { tunnel, sent, channel } = made(), got = [], dealt = [];
	channel.onmessage = data => { got.push(data); return new Promise(done => dealt.push(done)); };
	tunnel.take(of(DATA, 7, 0x01, ...bytes("he")));
	tunnel.take(of(DATA, 7, 0x80, ...bytes("llo")));
	tunnel.take(of(DATA, 7, 0x82, 1, 2));
	await settle();
	assert.deepEqual(got, ["hello"]);
	assert.deepEqual(sent, [[CREDIT, ...u32(7), ...u32(2)]]);
	dealt.shift()();
	await settle();
	assert.deepEqual([got.length, [...got[1]]], [2, [1, 2]]);
	assert.deepEqual(sent.at(-1), [CREDIT, ...u32(7), ...u32(3)]);
	dealt.shift()();
	await settle();
	assert.deepEqual(sent.at(-1), [CREDIT, ...u32(7), ...u32(2)]);
});

test("no more is said than the other side lets, in pieces, and each message is whole", async () => {
	const { tunnel, sent, channel } = made();
	let left = false;
	const sending = channel.send("x".repeat(150_000)).then(() => { left = true; });
	channel.send(Uint8Array.of(9));
	await settle();
	assert.deepEqual(sent.map(frame => [frame[0], frame[5], frame.length - 6]), [[DATA, 0x01, 32_768], [DATA, 0x00, 32_768]]);
	tunnel.take(of(CREDIT, 7, ...u32(10)));
	await settle();
	assert.equal(sent.length, 3);
	assert.equal(left, false);
	tunnel.take(of(CREDIT, 7, ...u32(100_000)));
	await sending;
	await settle();
	assert.deepEqual(sent.map(frame => [frame[5], frame.length - 6]), [[0x01, 32_768], ...Array(3).fill([0x00, 32_768]), [0x80, 18_928], [0x82, 1]]);
});

test("a channel that is over says so once, and takes nothing more", async () => {
	const { tunnel, sent, channel } = made(), ends = [];
	channel.onclose = (code, reason) => ends.push([code, reason]);
	const stuck = channel.send("x".repeat(200_000));
	tunnel.take(of(CLOSE, 7, 0x0f, 0xa0, ...bytes("bye")));
	await stuck;
	await settle();
	assert.deepEqual(ends, [[4000, "bye"]]);
	const { length } = sent;
	tunnel.take(of(DATA, 7, 0x81, 65));
	channel.close();
	await channel.send("late");
	tunnel.end();
	await settle();
	assert.deepEqual([sent.length, ends.length, channel.closed], [length, 1, true]);
});

test("both kinds of end from here, and unknown things are passed over", async () => {
	const { tunnel, sent, channel, channels } = made();
	tunnel.take(of(9, 7, 1));
	tunnel.take(of(DATA, 8, 0x81, 65));
	tunnel.take(Uint8Array.of(1, 2));
	channel.close(4001, "no");
	assert.deepEqual(sent, [[CLOSE, ...u32(7), 0x0f, 0xa1, ...bytes("no")]]);
	tunnel.take(of(OPEN, 9, ...bytes("not JSON")));
	const gone = new Promise(done => { channels[1].onclose = done; });
	tunnel.end();
	assert.equal(await gone, 1006);
});

test("a message that is too large, or an agent that fails, ends its channel alone", async () => {
	const { tunnel, sent, channel } = made(10);
	tunnel.take(of(OPEN, 8, ...bytes("{}")));
	tunnel.take(of(DATA, 7, 0x81, ...bytes("x".repeat(11))));
	assert.deepEqual([sent[0][0], (sent[0][5] << 8) | sent[0][6], channel.closed], [CLOSE, 1009, true]);
	const other = made();
	other.channel.onmessage = () => { throw new Error("no"); };
	other.tunnel.take(of(DATA, 7, 0x81, 65));
	await settle();
	assert.deepEqual([other.sent[0][0], (other.sent[0][5] << 8) | other.sent[0][6]], [CLOSE, 1011]);
});
