/* Event streams as the standard has them (WHATWG HTML 9.2.6). */

/** @typedef {{ event: string, data: string, id: string }} ServerEvent as it was dispatched: `id` is the last one heard */

/** Text that arrives in pieces becomes events. */
export class EventParser {
	/** The id to resume from: of the last event that was whole. */
	lastId = "";
	/** What the server asked for between two attempts, ms; null: nothing. */
	retry = /** @type {number | null} */ (null);
	#rest = "";
	#cr = false;
	#id = "";
	#event = "";
	#data = /** @type {string[]} */ ([]);
	#size = 0;
	#sizeMax;

	/** @param {number} [sizeMax] characters of one event, or of one line, beyond which it throws */
	constructor(sizeMax = 32 << 20) {
		this.#sizeMax = sizeMax;
	}

	/**
	 * @param {string} text
	 * @returns {Generator<ServerEvent, void>}
	 */
	*push(text) {
		if (this.#cr && text.startsWith("\n")) text = text.slice(1);
		if (text === "") return;
		this.#cr = text.endsWith("\r");
		const lines = text.split(/\r\n|\r|\n/);
		lines[0] = this.#rest + lines[0];
		this.#rest = /** @type {string} */ (lines.pop());
		if (this.#rest.length > this.#sizeMax) throw new Error("an event is too large");
		for (const line of lines) {
			const event = line === "" ? this.#dispatch() : this.#field(line);
			if (event) yield event;
		}
	}

	#dispatch() {
		const event = { event: this.#event || "message", data: this.#data.join("\n"), id: this.#id }, any = this.#data.length > 0;
		this.lastId = this.#id;
		this.#event = "";
		this.#data = [];
		this.#size = 0;
		return any ? event : null;
	}

	/** @param {string} line */
	#field(line) {
		const colon = line.indexOf(":"), name = colon < 0 ? line : line.slice(0, colon);
		const value = colon < 0 ? "" : line.slice(colon + (line[colon + 1] === " " ? 2 : 1));
		this.#size += line.length;
		if (this.#size > this.#sizeMax) throw new Error("an event is too large");
		if (name === "event") this.#event = value;
		else if (name === "data") this.#data.push(value);
		else if (name === "id" && !value.includes("\0")) this.#id = value;
		else if (name === "retry" && /^\d+$/.test(value)) this.retry = Number(value);
		return null;
	}
}

/**
 * The events of an answer's body, each when it comes. It throws when nothing came for too long: only while it waits, not
 * while its caller is busy.
 * @param {ReadableStream<Uint8Array>} body
 * @param {{ parser?: EventParser, silence?: number | (() => number), onHeard?: () => void }} [options] `silence`: ms
 * @returns {AsyncGenerator<ServerEvent, void>}
 */
export async function* eventsOf(body, { parser = new EventParser(), silence = 40_000, onHeard } = {}) {
	const reader = body.getReader(), decoder = new TextDecoder();
	try {
		for (;;) {
			const { value, done } = await within(reader.read(), typeof silence === "function" ? silence() : silence);
			if (done) return;
			onHeard?.();
			yield* parser.push(decoder.decode(value, { stream: true }));
		}
	} finally {
		reader.cancel().catch(() => {});
	}
}

/**
 * @template T
 * @param {Promise<T>} promise
 * @param {number} ms
 * @returns {Promise<T>}
 */
function within(promise, ms) {
	return new Promise((resolve, reject) => {
		const timer = setTimeout(() => reject(new Error("silence")), ms);
		promise.then(resolve, reject).finally(() => clearTimeout(timer));
	});
}
