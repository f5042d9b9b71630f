/** A feed of duels: its newest frame, and whatever comes after it. A frame of a lower number never follows one of a higher. */
export class Feed {
    /**
     * As spectators see it; `live`: as the betting services do, which takes the right `frames` on it.
     * @param {import("./api.js").Api} api
     * @param {string} [name]
     * @param {{ live?: boolean }} [options]
     */
    constructor(api: import("./api.js").Api, name?: string, { live }?: {
        live?: boolean;
    });
    name: string;
    /**
     * The newest frame; null: there is no such feed, or it has said nothing yet.
     * @param {AbortSignal} [signal]
     * @returns {Promise<{ frame: Frame, text: string } | null>}
     */
    newest(signal?: AbortSignal): Promise<{
        frame: Frame;
        text: string;
    } | null>;
    /**
     * The newest frame, then every one that comes, over every disconnect; with `all`, what else the feed tells, too. Where
     * messages were lost (retention, a restored backup) it goes on from the newest frame, and says `gap`. Odds, bets, results and
     * attestations come as it happens to whoever may read them so, else as spectators have them (`feeds.spectator_delay`).
     *
     * @example
     * for await (const { frame } of new Feed(api, "arena").follow()) console.log(frame.seq, frame.phase);
     *
     * @template {boolean} [All=false]
     * @param {Omit<import("./follow.js").FollowOptions, "from" | "lastEventId" | "event" | "onReset" | "onStreams"> & { all?: All }} [options]
     * @returns {AsyncGenerator<All extends true ? FeedNews : Extract<FeedNews, { frame: Frame }>, void>}
     */
    follow<All extends boolean = false>({ all, ...options }?: Omit<import("./follow.js").FollowOptions, "from" | "lastEventId" | "event" | "onReset" | "onStreams"> & {
        all?: All;
    }): AsyncGenerator<All extends true ? FeedNews : Extract<FeedNews, {
        frame: Frame;
    }>, void>;
    #private;
}
/**
 * A frame of a feed, version 2 (docs/bet-sync.md has every member, docs/duels.md which of them spectators have).
 */
export type Frame = {
    feed: string;
    sourceEpoch: number;
    seq: number;
    previousSeq: number;
    emittedAt: number;
    duelId: string | null;
    phase: string | null;
    phaseVersion: number;
    terminal: boolean;
    outcome: string | null;
    rendererHealth: {
        ready: boolean;
        degradedReason: string | null;
        updatedAt: number;
    } | null;
    [member: string]: any;
};
/**
 * What a feed has said: a frame, with the text it came as, and whether frames before it were missed; what a market's odds
 * are now; how a duel ended.
 */
export type FeedNews = {
    frame: Frame;
    text: string;
    gap: boolean;
} | {
    odds: Record<string, any>;
} | {
    result: Frame;
} | {
    other: string;
    data: any;
};
export { Api, RequestError, isTransient } from "./api.js";
