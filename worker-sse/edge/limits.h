/* How much one client may (proto/limits.h). Who takes one more asks here first; what is answered
 * when there is none is request.h's. Loop thread only. */
#pragma once

#include "common/base/counters.h"
#include "proto/limits.h"
#include "worker-sse/edge/edge.h"

#define LIMIT_ENUM(NAME, ...) LIMIT_##NAME,
enum limit { LIMIT_NONE, LIMITS(LIMIT_ENUM) LIMIT_COUNT };
#undef LIMIT_ENUM

/* With 429, for people. */
const char *limit_said(enum limit limit);

/* One more of a rate, for whoever asks. 0; or, counted, after how many ms there is one again. */
uint64_t limits_take(struct request *request, enum limit limit);
/* The same where the request has been forgotten, and its address was kept. */
uint64_t limits_take_from(struct request *request, enum limit limit, const uint8_t *address);
/* Nothing is taken: are there any left? The same. */
uint64_t limits_left(struct request *request, enum limit limit);

/* A connection from there comes in. */
bool limits_admit(struct edge *edge, const uint8_t address[16]);

/* One more reader who watches without a credential, as long as the request lives. False, counted:
 * there are too many of that address. */
bool limits_hold_reader(struct request *request, uint16_t *place);
void limits_release_reader(struct edge *edge, uint16_t place);
