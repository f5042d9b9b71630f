import { joined } from "./frames.js";

/* Dashboards that come to an agent in its own socket (docs/hub.md, Tunnels). Every message is KIND, CHANNEL, and what
 * belongs to the kind; both sides send as much payload as the other has given credit for. */

const OPEN = 1, DATA = 2, CLOSE = 3, CREDIT = 4, CREDIT_BEGIN = 65_536, PIECE = 32_768;
const MORE = 0, TEXT = 1, BINARY = 2, FIN = 0x80;

/** @param {number} kind @param {number} channel @param {Uint8Array} [rest] */
function packed(kind, channel, rest = new Uint8Array()) {
	const bytes = new Uint8Array(5 + rest.length);
	bytes[0] = kind;
	new DataView(bytes.buffer).setUint32(1, channel);
	bytes.set(rest, 5);
	return bytes;
}

/** One dashboard's way to this agent, as a WebSocket would be. */
export class Channel {
	/** What it says: text, or bytes. The next one comes when the promise that this returns is fulfilled. @type {((data: string | Uint8Array) => unknown) | null} */
	onmessage = null;
	/** The other side is gone. @type {((code: number, reason: string) => void) | null} */
	onclose = null;
	#number;
	#put;
	#credit = CREDIT_BEGIN;
	#waiting = /** @type {(() => void)[]} */ ([]);
	#sending = Promise.resolve();
	#parts = /** @type {Uint8Array[]} */ ([]);
	#size = 0;
	#sizeMax;
	#opcode = 0;
	#handing = Promise.resolve();
	#over = false;

	/** @param {number} number @param {(bytes: Uint8Array) => void} put @param {Record<string, unknown>} about @param {number} sizeMax */
	constructor(number, put, about, sizeMax) {
		this.#number = number;
		this.#put = put;
		this.#sizeMax = sizeMax;
		/** What the hub says of the dashboard. */
		this.about = about;
	}

	/** No more will come, and nothing can be said any more. */
	get closed() {
		return this.#over;
	}

	/**
	 * Says it, in order; resolves when it has left as far as the other side lets it.
	 * @param {string | Uint8Array} data
	 * @returns {Promise<void>}
	 */
	send(data) {
		const bytes = typeof data === "string" ? new TextEncoder().encode(data) : data;
		return this.#sending = this.#sending.then(() => this.#send(typeof data === "string" ? TEXT : BINARY, bytes));
	}

	/** @param {number} [code] @param {string} [reason] */
	close(code = 1000, reason = "") {
		if (this.#over) return;
		this.#put(packed(CLOSE, this.#number, joined([Uint8Array.of(code >> 8, code & 255), new TextEncoder().encode(reason).slice(0, 123)])));
		this.end();
	}

	/** @param {number} opcode @param {Uint8Array} bytes */
	async #send(opcode, bytes) {
		for (let at = 0; at === 0 || at < bytes.length; at += PIECE) {
			while (this.#credit <= 0 && !this.#over) await new Promise(done => this.#waiting.push(() => done(undefined)));
			if (this.#over) return;
			const piece = bytes.subarray(at, at + PIECE), last = at + PIECE >= bytes.length;
			this.#credit -= piece.length;
			this.#put(packed(DATA, this.#number, joined([Uint8Array.of((last ? FIN : 0) | (at === 0 ? opcode : MORE)), piece])));
		}
	}

	/** @internal @param {number} bytes */
	credited(bytes) {
		this.#credit += bytes;
		for (const wake of this.#waiting.splice(0)) wake();
	}

	/** @internal A frame came. @param {Uint8Array} data */
	take(data) {
		const head = data[0], payload = data.subarray(1);
		if ((head & 0x0f) !== MORE) this.#opcode = head & 0x0f;
		this.#parts.push(payload);
		this.#size += payload.length;
		if (this.#size > this.#sizeMax) return this.close(1009, "a message is too large");
		const whole = (head & FIN) !== 0 ? joined(this.#parts.splice(0)).slice() : null, opcode = this.#opcode;
		/* Credit comes back when a message has been dealt with; of one in many pieces, as they come. */
		if (!whole) return this.#grant(payload.length);
		this.#size = 0;
		this.#handing = this.#handing.then(() => this.#over ? undefined : this.onmessage?.(opcode === TEXT ? new TextDecoder().decode(whole) : whole))
			.then(() => {}, error => { this.close(1011, "the agent failed"); throw error; });
		this.#handing = this.#handing.catch(() => {}).then(() => this.#grant(payload.length));
	}

	/** @param {number} bytes */
	#grant(bytes) {
		if (bytes === 0 || this.#over) return;
		const rest = new Uint8Array(4);
		new DataView(rest.buffer).setUint32(0, bytes);
		this.#put(packed(CREDIT, this.#number, rest));
	}

	/** @internal It is over. @param {number} [code] @param {string} [reason] without a code: by us */
	end(code, reason = "") {
		if (this.#over) return;
		this.#over = true;
		this.credited(0);
		if (code !== undefined) this.#handing.then(() => this.onclose?.(code, reason));
	}
}

/** All channels of one socket. */
export class Tunnel {
	#channels = /** @type {Map<number, Channel>} */ (new Map());
	#put;
	#onChannel;
	#sizeMax;

	/** @param {(bytes: Uint8Array) => void} put @param {(channel: Channel) => void} onChannel @param {number} [sizeMax] bytes of a message */
	constructor(put, onChannel, sizeMax = 16 << 20) {
		this.#put = put;
		this.#onChannel = onChannel;
		this.#sizeMax = sizeMax;
	}

	/** A binary message came. @param {Uint8Array} bytes */
	take(bytes) {
		if (bytes.length < 5) return;
		const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length), kind = bytes[0], number = view.getUint32(1), rest = bytes.subarray(5);
		const channel = this.#channels.get(number);
		if (kind === OPEN && !channel) this.#open(number, rest);
		else if (kind === DATA && rest.length > 0) channel?.take(rest);
		else if (kind === CREDIT && rest.length >= 4) channel?.credited(view.getUint32(5));
		else if (kind === CLOSE && channel) {
			this.#channels.delete(number);
			channel.end(rest.length < 2 ? 1005 : view.getUint16(5), new TextDecoder().decode(rest.subarray(2)));
		}
	}

	/** The socket is gone, and with it all dashboards. */
	end() {
		for (const channel of this.#channels.values()) channel.end(1006);
		this.#channels.clear();
	}

	/** @param {number} number @param {Uint8Array} rest */
	#open(number, rest) {
		let about = /** @type {Record<string, unknown>} */ ({});
		try { about = JSON.parse(new TextDecoder().decode(rest)); } catch { /* nothing is said of it */ }
		const channel = new Channel(number, bytes => {
			if (bytes[0] === CLOSE) this.#channels.delete(number);
			this.#put(bytes);
		}, about, this.#sizeMax);
		this.#channels.set(number, channel);
		this.#onChannel(channel);
	}
}
