/** @typedef {{ fin: boolean, opcode: number, payload: Uint8Array }} Frame */
/**
 * One frame, masked as a client's must be.
 * @param {number} opcode
 * @param {Uint8Array} payload
 * @param {Uint8Array} [mask] four random bytes
 * @returns {Uint8Array}
 */
export function frameOf(opcode: number, payload: Uint8Array, mask?: Uint8Array): Uint8Array;
/** @param {Uint8Array[]} parts */
export function joined(parts: Uint8Array[]): Uint8Array<ArrayBuffer>;
export const OPCODES: Readonly<{
    MORE: 0;
    TEXT: 1;
    BINARY: 2;
    CLOSE: 8;
    PING: 9;
    PONG: 10;
}>;
/** What breaks the rules: `code` says which. */
export class FrameError extends Error {
    /** @param {number} code @param {string} message */
    constructor(code: number, message: string);
    code: number;
}
/** Bytes of a server become messages and control frames, wherever they are cut. */
export class FrameParser {
    /** @param {number} [sizeMax] bytes of a message */
    constructor(sizeMax?: number);
    /**
     * @param {Uint8Array} bytes
     * @returns {Generator<{ opcode: number, payload: Uint8Array }, void>} whole messages (TEXT, BINARY), and CLOSE, PING, PONG
     * @throws {FrameError}
     */
    push(bytes: Uint8Array): Generator<{
        opcode: number;
        payload: Uint8Array;
    }, void>;
    #private;
}
export type Frame = {
    fin: boolean;
    opcode: number;
    payload: Uint8Array;
};
