// An agent and two dashboards that speak by npm's ws, as those of the wild do.
import assert from "node:assert";
import { once } from "node:events";
import WebSocket, { WebSocketServer } from "ws";

const [host] = process.argv.slice(2);

const messages = (socket) => {
	const waiting = [], asked = [];
	socket.on("message", (data, binary) => {
		const message = binary ? data : data.toString();
		asked.length > 0 ? asked.shift()(message) : waiting.push(message);
	});
	return () => new Promise((done) => (waiting.length > 0 ? done(waiting.shift()) : asked.push(done)));
};

const server = new WebSocketServer({ port: 0, host: "127.0.0.1" });
await once(server, "listening");
server.on("connection", (socket) => {
	socket.send(JSON.stringify({ type: "init_state", messages: [], tools: [] }));
	socket.on("message", (data, binary) => socket.send(data, { binary }));
	socket.on("close", (code, reason) => server.emit("over", code, reason.toString()));
});

const registry = new WebSocket(`ws://${host}/ws`);
const heard = messages(registry);
await once(registry, "open");
assert.equal(JSON.parse(await heard()).event, "init");
const node = { id: "pi-1", machine: "localhost", cwd: "/w", port: server.address().port, status: "active", pid: process.pid };
registry.send(JSON.stringify({ id: "1", method: "register", params: node }));
const both = [JSON.parse(await heard()), JSON.parse(await heard())];
assert.deepEqual(both.find((m) => m.id === "1").result, { status: "registered" });
assert.equal(both.find((m) => m.event).node.id, "pi-1");

const dashboard = new WebSocket(`ws://${host}/ws/agent/${encodeURIComponent("pi-1")}`);
const seen = messages(dashboard);
assert.equal(JSON.parse(await seen()).type, "init_state");
for (let n = 0; n < 50; n++) {
	dashboard.send(`text ${n} ä`);
	assert.equal(await seen(), `text ${n} ä`);
}
const bytes = Buffer.alloc(300000, 7);
dashboard.send(bytes);
assert.ok(bytes.equals(await seen()));
dashboard.send("first, ", { fin: false });
dashboard.send("second", { fin: true });
assert.equal(await seen(), "first, second");
dashboard.ping("are you there");
assert.equal((await once(dashboard, "pong"))[0].toString(), "are you there");
const over = once(server, "over");
dashboard.close(4321, "enough");
assert.deepEqual(await over, [4321, "enough"]);

const failed = new WebSocket(`ws://${host}/ws/agent/nobody`);
assert.deepEqual(JSON.parse(await messages(failed)()), { error: "Agent not found" });
await once(failed, "close");
const strict = new WebSocket(`ws://${host}/ws/agent/nobody?strict=1`);
strict.on("error", () => {});
assert.equal((await once(strict, "unexpected-response"))[1].statusCode, 404);
strict.terminate();

registry.send(JSON.stringify({ id: "2", method: "deregister", params: { id: "pi-1" } }));
await once(registry, "message");
registry.close();
server.close();
