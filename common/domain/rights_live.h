/* What is live: by which paths one hears of a feed's duels as they happen. Reading the betting
 * services' frames takes a right of its own, `frames` on the feed; and where spectators are to see
 * a feed later (feeds.spectator_delay), so does all else that tells of it. Pure. */
#pragma once

#include "common/domain/rights.h"

struct rights_live {
	bool frames_by_read; /* the old way: `read` on the stream is enough for the frames */
	bool delayed;        /* spectators see feeds later; frames_by_read says nothing then */
};

enum { RIGHTS_LIVE_ROOM = 96 };

/* Does `verb` on this path, in whatever spelling, ask for `frames` too? Then `of` says where:
 * "/v1/feeds/FEED"; of what tells of every feed, with a "*" for FEED, which only a pattern has. */
bool rights_live(const struct rights_live *live, enum verb verb, struct span path,
                 char of[RIGHTS_LIVE_ROOM]);

/* Paths that tell of duels, too, and are answered to all who may `verb` there: to whoever lacks
 * `frames` on `of`, later, by who answers. */
bool rights_live_later(const struct rights_live *live, enum verb verb, struct span path,
                       char of[RIGHTS_LIVE_ROOM]);

/* A subscription tells that there is something new in what its pattern matches, and not what. That
 * too is only for whoever sees a feed as it happens, where others see it later: could this pattern
 * of `read` match such a stream? Sure when false; without a delay it is. */
bool rights_live_pattern(const struct rights_live *live, struct span pattern);
