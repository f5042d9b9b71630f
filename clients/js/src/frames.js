/* Frames of a WebSocket as a client sends and gets them (RFC 6455, 5). */

export const OPCODES = Object.freeze({ MORE: 0, TEXT: 1, BINARY: 2, CLOSE: 8, PING: 9, PONG: 10 });

/** What breaks the rules: `code` says which. */
export class FrameError extends Error {
	/** @param {number} code @param {string} message */
	constructor(code, message) {
		super(message);
		this.code = code;
	}
}

/** @typedef {{ fin: boolean, opcode: number, payload: Uint8Array }} Frame */

/**
 * One frame, masked as a client's must be.
 * @param {number} opcode
 * @param {Uint8Array} payload
 * @param {Uint8Array} [mask] four random bytes
 * @returns {Uint8Array}
 */
export function frameOf(opcode, payload, mask = crypto.getRandomValues(new Uint8Array(4))) {
	const { length } = payload, extra = length < 126 ? 0 : length < 65536 ? 2 : 8, frame = new Uint8Array(6 + extra + length), view = new DataView(frame.buffer);
	frame[0] = 0x80 | opcode;
	frame[1] = 0x80 | (extra === 0 ? length : extra === 2 ? 126 : 127);
	if (extra === 2) view.setUint16(2, length);
	else if (extra === 8) view.setBigUint64(2, BigInt(length));
	frame.set(mask, 2 + extra);
	for (let i = 0; i < length; i++) frame[6 + extra + i] = payload[i] ^ mask[i & 3];
	return frame;
}

/** Bytes of a server become messages and control frames, wherever they are cut. */
export class FrameParser {
	#rest = new Uint8Array();
	#parts = /** @type {Uint8Array[]} */ ([]);
	#opcode = 0;
	#size = 0;
	#sizeMax;

	/** @param {number} [sizeMax] bytes of a message */
	constructor(sizeMax = 32 << 20) {
		this.#sizeMax = sizeMax;
	}

	/**
	 * @param {Uint8Array} bytes
	 * @returns {Generator<{ opcode: number, payload: Uint8Array }, void>} whole messages (TEXT, BINARY), and CLOSE, PING, PONG
	 * @throws {FrameError}
	 */
	*push(bytes) {
		/* A plain array: a Buffer's slice() copies nothing, and shares its pool. */
		this.#rest = joined([this.#rest, new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length)]);
		for (let frame; (frame = this.#take());) {
			const { fin, opcode, payload } = frame;
			if (opcode >= 8) {
				yield { opcode, payload };
				continue;
			}
			if ((opcode === OPCODES.MORE) !== (this.#opcode !== 0)) throw new FrameError(1002, "a fragment out of its place");
			this.#opcode ||= opcode;
			this.#size += payload.length;
			if (this.#size > this.#sizeMax) throw new FrameError(1009, "a message is too large");
			this.#parts.push(payload);
			if (!fin) continue;
			const message = { opcode: this.#opcode, payload: this.#parts.length === 1 ? this.#parts[0] : joined(this.#parts) };
			this.#opcode = this.#size = 0;
			this.#parts = [];
			yield message;
		}
	}

	/** @returns {Frame | null} */
	#take() {
		const rest = this.#rest;
		if (rest.length < 2) return null;
		const fin = (rest[0] & 0x80) !== 0, opcode = rest[0] & 0x0f, short = rest[1] & 0x7f, extra = short < 126 ? 0 : short === 126 ? 2 : 8;
		if ((rest[0] & 0x70) !== 0 || ![0, 1, 2, 8, 9, 10].includes(opcode)) throw new FrameError(1002, "a frame of no known kind");
		if ((rest[1] & 0x80) !== 0) throw new FrameError(1002, "a server masks nothing");
		if (opcode >= 8 && (!fin || extra > 0)) throw new FrameError(1002, "a control frame in pieces");
		if (rest.length < 2 + extra) return null;
		const view = new DataView(rest.buffer, rest.byteOffset), length = extra === 0 ? short : extra === 2 ? view.getUint16(2) : Number(view.getBigUint64(2));
		if (length > this.#sizeMax) throw new FrameError(1009, "a message is too large");
		if (rest.length < 2 + extra + length) return null;
		this.#rest = rest.subarray(2 + extra + length);
		return { fin, opcode, payload: rest.slice(2 + extra, 2 + extra + length) };
	}
}

/** @param {Uint8Array[]} parts */
export function joined(parts) {
	const some = parts.filter(({ length }) => length > 0);
	if (some.length === 1) return some[0];
	const all = new Uint8Array(some.reduce((sum, { length }) => sum + length, 0));
	let at = 0;
	for (const part of some) {
		all.set(part, at);
		at += part.length;
	}
	return all;
}
