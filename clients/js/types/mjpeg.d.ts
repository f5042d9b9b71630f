/** Pictures out of `multipart/x-mixed-replace`, whose parts say how long they are. */
export class MjpegParser {
    /** @param {number} [sizeMax] bytes of one picture */
    constructor(sizeMax?: number);
    /**
     * @param {Uint8Array} bytes
     * @returns {Generator<Uint8Array<ArrayBuffer>, void>} each a whole JPEG
     */
    push(bytes: Uint8Array): Generator<Uint8Array<ArrayBuffer>, void>;
    #private;
}
