/* Which content coding an answer has: what the client takes (Accept-Encoding, RFC 9110 12.5.3),
 * what we have, and whether the content is worth it. Pure. */
#pragma once

#include "common/base/content_coding.h"

/* The one of `have` (bits) that the client likes best (highest q; among equals the first here), or
 * CODING_IDENTITY: it takes none of them, or likes plain content better. accept at NULL: no header,
 * which asks for nothing. A malformed element counts as absent. */
enum content_coding accept_encoding_choose(struct span accept, unsigned have);

/* Does coding make content of this type smaller, as a rule? Text, JSON, XML, scripts; not pictures,
 * video, archives, nor what is not known. Parameters do not matter. */
bool accept_encoding_worth(struct span type);

enum { ACCEPT_ENCODING_ETAG_ROOM = 112 };
/* The entity tag of the coded variant of what has `etag` (RFC 9110 8.8.3.3): "x" is "x-zstd"; of
 * CODING_IDENTITY it is etag itself. Lives in out, or is etag. */
struct span accept_encoding_etag(struct span etag, enum content_coding coding,
                                 char out[ACCEPT_ENCODING_ETAG_ROOM]);
