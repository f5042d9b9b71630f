/* What a game posts to /v1/source/FEED/KIND: read, checked, and described.
 *
 * One table in fact.c says what members each kind has. From it come the checks, with a precise
 * reason for each fault, and the JSON Schema (2020-12) that is served. */
#pragma once

#include "proto/bytes.h"
#include "worker-bridge/duel.h"

#include <jansson.h>

enum { FACTS_MAX = 64 }; /* in one post of kind batch */
#define FACT_SEQ_MAX ((uint64_t)1 << 53)

struct fact_post {
	uint64_t source_epoch, source_seq;
	struct duel_fact *facts;
	size_t count;
};

enum fact_result {
	FACT_OK,
	FACT_UNKNOWN,    /* 404: no such kind */
	FACT_MALFORMED,  /* 400: a member is missing, unknown, or of another type */
	FACT_UNSUITABLE, /* 422: a value is out of its bounds */
};

/* `kind` as in the path. On FACT_OK `post` is to be given to fact_post_finish(); else `reason`
 * names the member. */
enum fact_result fact_read(struct fact_post *post, struct span kind, const json_t *body,
                           char reason[160]);
void fact_post_finish(struct fact_post *post);

/* [a-z0-9][a-z0-9_.:-]{0,127}: a reason. */
bool fact_token_valid(const char *text);

/* The schema of one kind; NULL: no such kind. And {"KIND": schema, ...} of all. New references. */
json_t *fact_schema(struct span kind);
json_t *fact_schemas(void);
/* The same as they are served. */
struct fact_schema_text {
	char *json;
	char etag[20];
};
/* Made once and kept. `kind` empty: all. NULL: no such kind. */
const struct fact_schema_text *fact_schema_text(struct span kind);
