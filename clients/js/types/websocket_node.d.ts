export class NodeWebSocket {
    /** @param {string} url @param {{ headers?: Record<string, string>, timeout?: number }} [options] */
    constructor(url: string, { headers, timeout }?: {
        headers?: Record<string, string>;
        timeout?: number;
    });
    onopen: (() => void) | null;
    /** Text comes as text, bytes as an ArrayBuffer. */
    onmessage: ((event: {
        data: string | ArrayBuffer;
    }) => void) | null;
    onclose: ((event: {
        code: number;
        reason: string;
    }) => void) | null;
    /** 0 connecting, 1 open, 2 closing, 3 closed. */
    readyState: number;
    /** What was sent, and has not left. */
    get bufferedAmount(): any;
    /** @param {string | Uint8Array} data */
    send(data: string | Uint8Array): void;
    close(code?: number, reason?: string): void;
    #private;
}
