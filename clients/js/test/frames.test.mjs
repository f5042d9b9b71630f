import assert from "node:assert/strict";
import { test } from "node:test";
import { FrameParser, OPCODES, frameOf } from "../src/frames.js";

/* As a server sends it: without a mask. */
function served(opcode, payload, fin = true) {
	const bytes = typeof payload === "string" ? new TextEncoder().encode(payload) : payload, masked = frameOf(opcode, bytes, new Uint8Array(4));
	const head = masked.length - bytes.length - 4;
	const frame = Uint8Array.of(...masked.subarray(0, head), ...bytes);
	frame[1] &= 0x7f;
	if (!fin) frame[0] &= 0x7f;
	return frame;
}
const read = (parser, ...pieces) => pieces.flatMap(piece => [...parser.push(piece)]).map(({ opcode, payload }) => [opcode, payload.length > 200 ? payload.length : new TextDecoder().decode(payload)]);

test("a frame is masked, and has the shortest length that holds it", () => {
	for (const [length, head] of [[0, 6], [125, 6], [126, 8], [65535, 8], [65536, 14]]) {
		const payload = new Uint8Array(length).fill(7), frame = frameOf(OPCODES.BINARY, payload, Uint8Array.of(1, 2, 3, 4));
		assert.equal(frame.length, head + length);
		assert.equal(frame[0], 0x82);
		assert.equal(frame[1] & 0x80, 0x80);
		if (length > 4) assert.deepEqual([...frame.subarray(head, head + 5)], [6, 5, 4, 3, 6]);
	}
});

test("frames arrive whole, wherever the bytes are cut, with control frames between fragments", () => {
	const bytes = [served(1, "ab", false), served(9, "ping"), served(0, "", false), served(0, "cd"), served(2, "x".repeat(70_000)), served(8, "\x03\xe8")];
	const all = Uint8Array.of(...bytes.flatMap(one => [...one])), wanted = [[9, "ping"], [1, "abcd"], [2, 70_000], [8, new TextDecoder().decode(bytes[5].subarray(2))]];
	for (const step of [1, 2, 7, 1000, all.length]) {
		const parser = new FrameParser(), pieces = [];
		for (let at = 0; at < Math.min(all.length, step === 1 ? 3000 : all.length); at += step) pieces.push(all.slice(at, at + step));
		const got = read(parser, ...pieces);
		assert.deepEqual(got.slice(0, 2), wanted.slice(0, 2));
		if (step > 1) assert.deepEqual(got, wanted);
	}
});

test("what breaks the rules is refused, with its code", () => {
	const large = served(2, new Uint8Array(300));
	for (const [frames, code] of [[[served(0, "x")], 1002], [[served(1, "a", false), served(1, "b")], 1002], [[frameOf(1, new Uint8Array(1))], 1002], [[served(3, "")], 1002],
		[[Uint8Array.of(0xc1, 0)], 1002], [[served(9, "x", false)], 1002], [[Uint8Array.of(0x89, 126, 0, 126)], 1002], [[large], 1009],
		[[served(2, new Uint8Array(150), false), served(0, new Uint8Array(150))], 1009]])
		assert.throws(() => read(new FrameParser(200), ...frames), { code });
});

test("payloads of Node's buffers have memory of their own", () => {
	const [{ payload }] = new FrameParser().push(Buffer.from(served(2, Uint8Array.of(1, 2, 3))));
	assert.deepEqual([payload.constructor, payload.byteOffset, payload.buffer.byteLength], [Uint8Array, 0, 3]);
});
