/* client_js.mjs BASE COMMAND [JSON]: what the tests of the JavaScript client let it do, in Node, against a real Ringside.
 * Prints JSON lines; ends when it is done, or when its input ends. */
import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { Agent, Answer, Api, Connection, Feed, FencedError, Markets, Producer, QueueFullError, RequestError, ResetError, Streams, dial, follow, inbox, sleep, steps } from "../../clients/js/src/index.js";

const [base, command, text = "{}"] = process.argv.slice(2);
const options = JSON.parse(text), quick = { min: 20, max: 300 };
const say = what => console.log(JSON.stringify(what));

/* A fetch whose answer gets lost, as often as that is told: the request has been served. */
function losing(every) {
	let count = 0;
	return async (...request) => {
		const answer = await fetch(...request);
		if (request[1]?.method !== "POST" || ++count % every !== 0) return answer;
		await answer.arrayBuffer();
		throw new TypeError("the answer was lost");
	};
}

const api = new Api({ base, backoff: quick, timeout: options.timeout ?? 5000, token: options.token ?? null, ...(options.losing ? { fetch: losing(options.losing) } : {}) });
const streams = new Streams(api);
const stop = new AbortController();
const orders = createInterface({ input: process.stdin });
orders.on("close", () => stop.abort());

/* What a tab keeps over a reload, as a file. */
class FileStore {
	constructor(path) { this.path = path; }
	all() { try { return JSON.parse(readFileSync(this.path, "utf8")); } catch { return {}; } }
	getItem(key) { return this.all()[key] ?? null; }
	setItem(key, value) {
		writeFileSync(this.path + ".new", JSON.stringify({ ...this.all(), [key]: value }));
		renameSync(this.path + ".new", this.path); /* whole, whenever it is killed */
	}
	removeItem(key) { this.setItem(key, undefined); }
}

const commands = {
	/* Numbers from 0 on into each stream, some at a time. */
	async append({ paths, count, window = 20 }) {
		await Promise.all(paths.map(async path => {
			await streams.create(path);
			const waiting = [];
			for (let n = 0; n < count; n++) {
				waiting.push(streams.append(path, { n, path }, { backoff: quick, timeout: 2000 }));
				if (waiting.length >= window) await waiting.shift();
			}
			await Promise.all(waiting);
		}));
		say({ done: true });
	},

	/* What comes until there were so many. */
	async follow({ paths, count, from = "start", lastEventId, pace = 0, event, silence }) {
		let left = count;
		const states = new Set();
		for await (const message of follow(api, paths, { from, lastEventId, signal: stop.signal, backoff: quick, event, silence, onState: ({ name }) => states.add(name) })) {
			say({ stream: message.stream, data: message.json(), id: message.id });
			if (pace) await new Promise(done => setTimeout(done, pace));
			if (--left === 0) break;
		}
		say({ over: true, states: [...states] });
	},

	async steps({ paths, from, lastEventId, count }) {
		for await (const step of steps(api, paths, { from, lastEventId, signal: stop.signal, backoff: quick, giveUp: () => false })) {
			say("message" in step ? { message: step.message.data } : step);
			if (--count === 0) break;
		}
	},

	/* Of everything that a stream can do. */
	async everything({ path }) {
		say(await streams.info(path));
		say([await streams.create(path, { data: [1, 2] }), await streams.create(path)]);
		say(await Promise.all([3, [4, 5], "six", null].map(value => streams.append(path, value).then(({ offset }) => typeof offset))));
		say(await streams.messages(path));
		const info = await streams.info(path);
		say([info.contentType, info.closed]);
		await streams.create(path + "/fork", { forkOf: { path, offset: info.offset } });
		await streams.append(path + "/fork", "more");
		say(await streams.messages(path + "/fork"));
		await streams.close(path);
		await streams.close(path);
		say((await streams.info(path)).closed);
		say(await streams.append(path, 7).catch(error => [error.name, error.status]));
		say(await streams.append(path, undefined).catch(error => error.name));
		await streams.create("plain text/ü", { contentType: "text/plain", data: "a\nb" });
		await streams.append("plain text/ü", "ü", { contentType: "text/plain" });
		const pages = [];
		for await (const page of streams.read("plain text/ü")) pages.push(new TextDecoder().decode(page.bytes));
		say(pages.join(""));
		const got = [];
		for await (const message of follow(api, ["plain text/ü", path], { from: "start" })) if (got.push([message.stream, message.text()]) === 8) break;
		say(got.sort().map(([stream, text]) => `${stream}: ${text}`));
		say([await streams.remove(path + "/fork"), await streams.remove(path), await streams.remove(path), await streams.remove("plain text/ü")]);
	},

	async binary({ path }) {
		await streams.create(path, { contentType: "application/octet-stream" });
		await streams.append(path, Uint8Array.of(0, 255, 7), { contentType: "application/octet-stream" });
		for await (const message of follow(api, path, { from: "start" })) {
			say([...message.bytes()]);
			break;
		}
	},

	async fenced({ path }) {
		await streams.create(path);
		const first = streams.producer(path, { id: "writer", epoch: 1 }), second = streams.producer(path, { id: "writer", epoch: 2 });
		await first.append("first");
		await second.append("second");
		const error = await first.append("late").catch(reason => reason);
		say([error instanceof FencedError, error.epoch, await first.append("later").catch(reason => reason === error)]);
		const third = streams.producer(path, { id: "writer", epoch: 0, claim: true });
		await third.append("third");
		say([third.epoch, (await second.append("gone").catch(reason => reason)) instanceof FencedError]);
		say(await streams.messages(path));
	},

	/* Lives of one named writer, one after another, in one process each: `epoch` is the time. */
	async life({ path, id, count }) {
		const producer = streams.producer(path, { id });
		for (let n = 0; n < count; n++) await producer.append(n);
		say({ done: true });
	},

	async full({ path }) {
		await streams.create(path);
		const producer = new Producer(api, path, { waitingMax: 3 });
		const all = await Promise.all([1, 2, 3, 4, 5].map(n => producer.append(n).then(() => n, error => error instanceof QueueFullError && "full")));
		await producer.flush();
		say([all, await streams.messages(path)]);
	},

	async errors({ path }) {
		const status = promise => promise.then(() => "fine", error => error instanceof RequestError ? error.status : String(error));
		say([await status(streams.append(path + "/none", 1)), await status(streams.messages(path + "/none")), await status(follow(api, path + "/none").next())]);
	},

	/* Until it is denied, or its stream is no more. */
	async end({ path, tokens = [null], onReset }) {
		const mine = new Api({ base, token: () => tokens[0] }), said = [];
		try {
			for await (const message of follow(mine, path, { from: "start", backoff: quick, onExpired: () => { said.push("expired"); if (tokens.length > 1) tokens.shift(); },
				onState: ({ name }) => said.push(name), ...(onReset ? { onReset: reset => say({ reset }) } : {}) }))
				say({ data: message.json() });
			say({ over: true, said });
		} catch (error) {
			say({ error: error.name, status: error.status, reason: error.reason, kind: error instanceof ResetError, said });
		}
	},

	/* A connection that does what it is told, a line of JSON each: [METHOD, ...ARGUMENTS]. */
	async chat({ store, owner, outbox = {}, tokens = [null], timeout = 2000 }) {
		const mine = new Api({ base, token: () => tokens[0], ...(options.losing ? { fetch: losing(options.losing) } : {}) });
		const connection = new Connection(mine, { storage: store ? new FileStore(store) : null, owner, outbox: { backoff: quick, ...outbox }, backoff: quick, timeout,
			onEvent: event => say({ event }), onOutcome: outcome => say({ outcome }), onState: ({ name, cid }) => say({ state: name, cid }), onLogin: () => say({ login: true }) });
		connection.start();
		orders.on("line", async line => {
			const [method, ...rest] = JSON.parse(line);
			if (method === "token") { tokens[0] = rest[0]; return connection.flush(); }
			if (method === "watched") return say({ watched: [...connection.watched] });
			await connection[method](...rest).then(value => say({ done: method, value: value ?? null }), error => say({ done: method, error: error.status ?? error.name }));
		});
		await new Promise(done => stop.signal.addEventListener("abort", done));
		connection.close();
	},

	/* An agent of conversations: answers each message with its words, one piece each, and keeps where it is. */
	async answers({ store, sessions = "*" }) {
		const kept = new FileStore(store);
		for await (const { item, id } of inbox(api, sessions, { from: "start", lastEventId: kept.getItem("id") ?? undefined, signal: stop.signal, backoff: quick })) {
			if (item.type === "message") {
				const answer = new Answer(api, item.sessionId, { actorId: "bot", messageId: "re-" + item.messageId });
				/* 409: said by a life before this one, which did not come to keep its place. */
				for (const letter of item.content) await answer.write({ type: "text", text: letter }).catch(error => { if (error.status !== 409) throw error; });
				await answer.finish();
				say({ answered: item.messageId });
			}
			kept.setItem("id", id);
		}
	},

	/* An agent at the hub, which does what it is told; channels are echoed. */
	async agent({ node, tunnel, token = null }) {
		const agent = new Agent(new Api({ base, token }), { node: node ?? null, backoff: { min: 20, max: 200 }, ping: 300, timeout: 1500, stable: 500,
			onState: ({ name, reason }) => say({ state: name, reason }), onRoster: nodes => say({ roster: [...nodes.values()].map(({ id, status }) => [id, status]).sort() }),
			...(tunnel ? { onChannel(channel) {
				say({ channel: true });
				channel.onmessage = data => channel.send(data);
				channel.onclose = (code, reason) => say({ channel: false, code, reason });
			} } : {}) });
		agent.start();
		orders.on("line", async line => {
			const [method, params] = JSON.parse(line);
			if (method === "close") { await agent.close(); return say({ closed: true }); }
			await agent.request(method, params).then(value => say({ done: method, value }), error => say({ done: method, error: error.message }));
		});
		await new Promise(done => stop.signal.addEventListener("abort", done));
	},

	/* An agent that is closed before it knows by which token it asks for its socket; then nothing of it keeps the process alive. */
	async closed({ node }) {
		let asked = () => {}, go = () => {};
		const asks = new Promise(done => { asked = done; }), token = new Promise(done => { go = done; });
		const agent = new Agent(new Api({ base, token: () => { asked(); return token; } }), { node, backoff: quick, onState: ({ name }) => say({ state: name }) });
		agent.start();
		await asks;
		await agent.close();
		go(null);
		await new Promise(done => process.on("beforeExit", done));
	},

	/* An agent that is given conversations, and answers each message there with its words. */
	async serves({ node, words, pace = 0 }) {
		const agent = new Agent(api, { node, backoff: quick, ping: 300, timeout: 1500, stable: 500, onState: ({ name }) => say({ state: name }) });
		orders.on("line", () => agent.close());
		for await (const lease of agent.conversations({ signal: stop.signal })) {
			for await (const item of lease.items()) {
				say({ item: item.content ?? item.type, epoch: lease.epoch });
				if (item.type !== "message") continue;
				const answer = lease.answer(item);
				try {
					for (let n = 0; n < words; n++) {
						await answer.write({ type: "text-delta", delta: `${n} ` });
						if (pace) await sleep(pace);
					}
					await answer.finish();
				} catch (error) {
					if (!answer.stopped) throw error;
					say({ stopped: item.content, lost: lease.lost });
				}
			}
			await lease.release();
		}
		say({ over: true });
	},

	/* A dashboard: says each to an agent, and hears it again. */
	async dashboard({ id, sizes }) {
		const socket = await dial(api, id), heard = [];
		let wake = () => {};
		socket.onmessage = ({ data }) => { heard.push(data); wake(); };
		const over = new Promise(done => { socket.onclose = ({ code, reason }) => done({ code, reason }); });
		await new Promise(done => { socket.onopen = done; over.then(done); });
		if (socket.readyState !== 1) return say({ refused: await over });
		for (const size of sizes) {
			const text = "ä".repeat(size), bytes = Uint8Array.from({ length: size }, (_, i) => i * 7);
			socket.send(text);
			socket.send(bytes);
			while (heard.length < 2) await new Promise(done => { wake = done; });
			const [first, second] = heard.splice(0);
			say({ size, same: first === text && Buffer.compare(Buffer.from(second), Buffer.from(bytes)) === 0 });
		}
		socket.close(4001, "done");
		say({ over: await over });
	},

	async feed({ name }) {
		for await (const news of new Feed(api, name).follow({ all: true, signal: stop.signal, backoff: quick }))
			say("frame" in news ? { seq: news.frame.seq, previousSeq: news.frame.previousSeq, gap: news.gap, phase: news.frame.phase, terminal: news.frame.terminal }
				: { kind: Object.keys(news)[0], ...("other" in news ? { of: news.other } : {}) });
	},

	async bet({ duel }) {
		const markets = new Markets(api), mine = await markets.openAccount("me");
		const bets = [];
		for (const [side, amount] of [["A", 10], ["B", 20], ["A", 30]]) bets.push(await markets.place(duel, mine, side, amount));
		const listed = await markets.bets(duel), broke = await markets.place(duel, mine, "A", 1e12).catch(error => error.status);
		say({ placed: bets.map(bet => bet.amount), listed: listed.bets.map(bet => bet.amount), broke, balance: (await markets.account(mine)).balance, state: (await markets.get(duel)).state,
			known: (await markets.list()).some(market => market.duelId === duel) });
	},
};

await commands[command](options);
process.exit(0);
