/**
 * The events of an answer's body, each when it comes. It throws when nothing came for too long: only while it waits, not
 * while its caller is busy.
 * @param {ReadableStream<Uint8Array>} body
 * @param {{ parser?: EventParser, silence?: number | (() => number), onHeard?: () => void }} [options] `silence`: ms
 * @returns {AsyncGenerator<ServerEvent, void>}
 */
export function eventsOf(body: ReadableStream<Uint8Array>, { parser, silence, onHeard }?: {
    parser?: EventParser;
    silence?: number | (() => number);
    onHeard?: () => void;
}): AsyncGenerator<ServerEvent, void>;
/** @typedef {{ event: string, data: string, id: string }} ServerEvent as it was dispatched: `id` is the last one heard */
/** Text that arrives in pieces becomes events. */
export class EventParser {
    /** @param {number} [sizeMax] characters of one event, or of one line, beyond which it throws */
    constructor(sizeMax?: number);
    /** The id to resume from: of the last event that was whole. */
    lastId: string;
    /** What the server asked for between two attempts, ms; null: nothing. */
    retry: number | null;
    /**
     * @param {string} text
     * @returns {Generator<ServerEvent, void>}
     */
    push(text: string): Generator<ServerEvent, void>;
    #private;
}
/**
 * as it was dispatched: `id` is the last one heard
 */
export type ServerEvent = {
    event: string;
    data: string;
    id: string;
};
