/* A game's side of Ringside's source API: POST /v1/source/FEED/KIND, each post with the epoch of
 * this run and a number, repeated with the same number until it is answered. So it counts exactly
 * once, whatever happens to the connection or to Ringside in between. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct source;

enum source_result {
	SOURCE_OK,
	SOURCE_REFUSED, /* Ringside will not have it: said why on stderr */
	SOURCE_STOPPED, /* we are to end (wait.h) and there was no answer yet */
};

/* `url` as "http://127.0.0.1:4437". token_file: where the Bearer token stands, alone or as the
 * member "source" of a JSON object; read again whenever a token is refused. NULL: none is sent. */
struct source *source_create(const char *url, const char *feed, const char *token_file);
void source_destroy(struct source **source);

/* What Ringside knows: {feed, mode, sourceEpoch, sourceSeq, duel, ...}. A new reference; NULL
 * unless SOURCE_OK. Waits until Ringside is there. */
enum source_result source_state(struct source *source, json_t **state);

/* Reads the state and opens a new epoch above the one it finds: whoever posted before us is told
 * that its time is over. `state` may be NULL. */
enum source_result source_begin(struct source *source, json_t **state);
/* How long a game may be silent in a fight, as Ringside said then; 0: for ever. */
uint64_t source_silence_ms(const struct source *source);
/* Says that we live, unless something was said within the last `quiet_ms`, or is being said. */
void source_alive(struct source *source, uint64_t quiet_ms);
uint64_t source_epoch(const struct source *source);

/* Posts one fact, or a batch. Takes the reference to `body`, adds epoch and number. `answer` may be
 * NULL. When we are to end anyway, it is tried for another two seconds. */
enum source_result source_post(struct source *source, const char *kind, json_t *body,
                               json_t **answer);
