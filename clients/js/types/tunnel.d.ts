/** One dashboard's way to this agent, as a WebSocket would be. */
export class Channel {
    /** @param {number} number @param {(bytes: Uint8Array) => void} put @param {Record<string, unknown>} about @param {number} sizeMax */
    constructor(number: number, put: (bytes: Uint8Array) => void, about: Record<string, unknown>, sizeMax: number);
    /** What it says: text, or bytes. The next one comes when the promise that this returns is fulfilled. @type {((data: string | Uint8Array) => unknown) | null} */
    onmessage: ((data: string | Uint8Array) => unknown) | null;
    /** The other side is gone. @type {((code: number, reason: string) => void) | null} */
    onclose: ((code: number, reason: string) => void) | null;
    /** What the hub says of the dashboard. */
    about: Record<string, unknown>;
    /** No more will come, and nothing can be said any more. */
    get closed(): boolean;
    /**
     * Says it, in order; resolves when it has left as far as the other side lets it.
     * @param {string | Uint8Array} data
     * @returns {Promise<void>}
     */
    send(data: string | Uint8Array): Promise<void>;
    /** @param {number} [code] @param {string} [reason] */
    close(code?: number, reason?: string): void;
    /** @internal @param {number} bytes */
    credited(bytes: number): void;
    /** @internal A frame came. @param {Uint8Array} data */
    take(data: Uint8Array): void;
    /** @internal It is over. @param {number} [code] @param {string} [reason] without a code: by us */
    end(code?: number, reason?: string): void;
    #private;
}
/** All channels of one socket. */
export class Tunnel {
    /** @param {(bytes: Uint8Array) => void} put @param {(channel: Channel) => void} onChannel @param {number} [sizeMax] bytes of a message */
    constructor(put: (bytes: Uint8Array) => void, onChannel: (channel: Channel) => void, sizeMax?: number);
    /** A binary message came. @param {Uint8Array} bytes */
    take(bytes: Uint8Array): void;
    /** The socket is gone, and with it all dashboards. */
    end(): void;
    #private;
}
