// /v1/ws by npm's ws, as a program of the wild uses it: packed both ways, text and binary.
import assert from "node:assert";
import { once } from "node:events";
import WebSocket from "ws";

const [host, stream] = process.argv.slice(2);
const socket = new WebSocket(`ws://${host}/v1/ws`, "ringside.streams.v1", { perMessageDeflate: { threshold: 0 } });
const waiting = [], asked = [];
socket.on("message", (data, binary) => {
	const length = binary ? data.readUInt32BE(0) : 0;
	const message = JSON.parse(binary ? data.subarray(4, 4 + length) : data);
	if (binary) message.bytes = data.subarray(4 + length);
	asked.length > 0 ? asked.shift()(message) : waiting.push(message);
});
const next = async (type) => {
	for (;;) {
		const message = await (waiting.length > 0 ? waiting.shift() : new Promise((done) => asked.push(done)));
		if (message.type === type) return message;
		assert.notEqual(message.type, "error", JSON.stringify(message));
	}
};
const say = (message, bytes) => {
	const text = Buffer.from(JSON.stringify(message));
	if (bytes === undefined) return socket.send(text.toString());
	const length = Buffer.alloc(4);
	length.writeUInt32BE(text.length);
	socket.send(Buffer.concat([length, text, bytes]));
};

await once(socket, "open");
assert.equal(socket.protocol, "ringside.streams.v1");
assert.match(socket.extensions, /permessage-deflate/);
say({ type: "subscribe", subscription: "s", streams: [`${stream}/*`], from: "start" });
assert.equal((await next("streams")).streams.length, 2);
const value = { text: "again and again, ".repeat(100) };
say({ type: "append", request: "j", stream: `${stream}/json`, json: value });
const both = [await next("receipt"), await next("message")];
assert.equal(both[0].status, 204);
assert.deepEqual(both[1].json, value);
const bytes = Buffer.alloc(70000, "packs well");
say({ type: "append", request: "b", stream: `${stream}/bytes` }, bytes);
const back = await next("message");
assert.equal(back.stream, `${stream}/bytes`);
assert.ok(bytes.equals(back.bytes));
say({ type: "unsubscribe", subscription: "s" });
assert.equal((await next("end")).id, back.id);
socket.close(1000, "done");
const [code] = await once(socket, "close");
assert.equal(code, 1000);
console.log("ok");
