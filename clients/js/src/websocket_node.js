import { FrameError, FrameParser, OPCODES, frameOf, joined } from "./frames.js";

/* A WebSocket for Node 20, which has none: as much of the browsers' as this package uses, and headers. */

const GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11", CLOSE_MS = 3000;
const base64 = (/** @type {Uint8Array} */ bytes) => btoa(String.fromCharCode(...bytes));

export class NodeWebSocket {
	onopen = /** @type {(() => void) | null} */ (null);
	/** Text comes as text, bytes as an ArrayBuffer. */
	onmessage = /** @type {((event: { data: string | ArrayBuffer }) => void) | null} */ (null);
	onclose = /** @type {((event: { code: number, reason: string }) => void) | null} */ (null);
	/** 0 connecting, 1 open, 2 closing, 3 closed. */
	readyState = 0;
	#socket = /** @type {any} */ (null);
	#request = /** @type {any} */ (null);
	#parser = new FrameParser();
	#told = /** @type {{ code: number, reason: string } | null} */ (null);

	/** @param {string} url @param {{ headers?: Record<string, string>, timeout?: number }} [options] */
	constructor(url, { headers = {}, timeout = 15_000 } = {}) {
		this.#connect(new URL(url), headers, timeout).catch(error => this.#over(1006, String(error?.message ?? error)));
	}

	/** What was sent, and has not left. */
	get bufferedAmount() {
		return this.#socket?.writableLength ?? 0;
	}

	/** @param {string | Uint8Array} data */
	send(data) {
		if (this.readyState !== 1) throw new Error("the socket is not open");
		this.#socket.write(typeof data === "string" ? frameOf(OPCODES.TEXT, new TextEncoder().encode(data)) : frameOf(OPCODES.BINARY, data));
	}

	close(code = 1000, reason = "") {
		if (this.readyState >= 2) return;
		if (this.readyState === 0) return this.#over(1006, "closed before it was open");
		this.readyState = 2;
		this.#sendClose(code, reason);
		this.#soon(1006, "");
	}

	/** @param {URL} url @param {Record<string, string>} headers @param {number} timeout */
	async #connect(url, headers, timeout) {
		const { request } = await import(/** @type {string} */ (url.protocol === "wss:" ? "node:https" : "node:http"));
		const key = base64(crypto.getRandomValues(new Uint8Array(16)));
		const proof = base64(new Uint8Array(await crypto.subtle.digest("SHA-1", new TextEncoder().encode(key + GUID))));
		if (this.readyState === 3) return;
		const target = new URL(url);
		target.protocol = url.protocol === "wss:" ? "https:" : "http:";
		const asked = this.#request = request(target, { timeout, headers: { ...headers, connection: "Upgrade", upgrade: "websocket", "sec-websocket-key": key, "sec-websocket-version": "13" } });
		asked.on("error", (/** @type {Error} */ error) => this.#over(1006, error.message));
		asked.on("timeout", () => asked.destroy(new Error("no answer in time")));
		asked.on("response", (/** @type {any} */ answer) => {
			answer.resume();
			this.#over(1006, `status ${answer.statusCode}`);
		});
		asked.on("upgrade", (/** @type {any} */ answer, /** @type {any} */ socket, /** @type {Uint8Array} */ head) => {
			this.#socket = socket;
			if (this.readyState === 3 || answer.headers["sec-websocket-accept"] !== proof) return this.#over(1006, "this is no WebSocket");
			this.readyState = 1;
			socket.setTimeout(0);
			socket.setNoDelay(true);
			socket.on("data", (/** @type {Uint8Array} */ bytes) => this.#take(bytes));
			socket.on("error", () => {});
			socket.on("close", () => this.#over(this.#told?.code ?? 1006, this.#told?.reason ?? ""));
			this.onopen?.();
			if (head.length > 0) this.#take(head); /* behind the 101, in the same packet */
		});
		asked.end();
	}

	/** @param {Uint8Array} bytes */
	#take(bytes) {
		try {
			for (const { opcode, payload } of this.#parser.push(bytes)) {
				if (this.readyState === 3) return;
				if (opcode === OPCODES.PING) this.#socket.write(frameOf(OPCODES.PONG, payload));
				else if (opcode === OPCODES.CLOSE) return this.#closed(payload);
				else if (opcode === OPCODES.TEXT) this.onmessage?.({ data: utf8(payload) });
				else if (opcode === OPCODES.BINARY) this.onmessage?.({ data: /** @type {ArrayBuffer} */ (payload.slice().buffer) });
			}
		} catch (error) {
			if (!(error instanceof FrameError)) throw error;
			if (this.readyState === 1) this.#sendClose(error.code, error.message);
			this.#over(error.code, error.message);
		}
	}

	/** @param {Uint8Array} payload */
	#closed(payload) {
		this.#told = payload.length < 2 ? { code: 1005, reason: "" } : { code: (payload[0] << 8) | payload[1], reason: utf8(payload.subarray(2)) };
		if (this.readyState === 1) this.#sendClose(this.#told.code === 1005 ? 1000 : this.#told.code, "");
		this.readyState = 2;
		this.#socket.end();
		this.#soon(this.#told.code, this.#told.reason);
	}

	/** @param {number} code @param {string} reason */
	#sendClose(code, reason) {
		this.#socket.write(frameOf(OPCODES.CLOSE, joined([Uint8Array.of(code >> 8, code & 255), new TextEncoder().encode(reason).slice(0, 123)])));
	}

	/** The other side has its time to close, which keeps no process alive. @param {number} code @param {string} reason */
	#soon(code, reason) {
		/** @type {any} */ (setTimeout(() => this.#over(code, reason), CLOSE_MS)).unref();
	}

	/** @param {number} code @param {string} reason */
	#over(code, reason) {
		if (this.readyState === 3) return;
		this.readyState = 3;
		(this.#socket ?? this.#request)?.destroy();
		this.onclose?.({ code, reason });
	}
}

/** @param {Uint8Array} bytes */
function utf8(bytes) {
	try {
		return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
	} catch {
		throw new FrameError(1007, "text that is not UTF-8");
	}
}
