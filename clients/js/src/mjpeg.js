/** Pictures out of `multipart/x-mixed-replace`, whose parts say how long they are. */
export class MjpegParser {
	#rest = new Uint8Array();
	#sizeMax;

	/** @param {number} [sizeMax] bytes of one picture */
	constructor(sizeMax = 16 << 20) {
		this.#sizeMax = sizeMax;
	}

	/**
	 * @param {Uint8Array} bytes
	 * @returns {Generator<Uint8Array<ArrayBuffer>, void>} each a whole JPEG
	 */
	*push(bytes) {
		let all = new Uint8Array(this.#rest.length + bytes.length);
		all.set(this.#rest);
		all.set(bytes, this.#rest.length);
		for (;;) {
			const head = new TextDecoder("latin1").decode(all.subarray(0, 1024)), end = head.indexOf("\r\n\r\n");
			if (end < 0) {
				if (all.length > 1024) throw new Error("a part without its head");
				break;
			}
			const length = Number(/^content-length: *(\d+)/im.exec(head.slice(0, end))?.[1]);
			if (!(length > 0 && length <= this.#sizeMax)) throw new Error("a part without its length");
			if (all.length < end + 4 + length) break;
			yield all.slice(end + 4, end + 4 + length);
			all = all.slice(end + 4 + length);
		}
		this.#rest = all;
	}
}
