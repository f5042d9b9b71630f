#include "worker-sse/edge/limits.h"
#include "worker-sse/edge/request.h"

#include <assert.h>

enum by { BY_ADDRESS, BY_SUBJECT };

#define LIMIT_ROW(NAME, label, setting, window_ms, by, said)                                       \
	[LIMIT_##NAME] = {offsetof(struct settings, setting),                                      \
	                  offsetof(struct counters_slot, limited_##label), window_ms, BY_##by,     \
	                  said},
static const struct {
	size_t setting, counter;
	uint64_t window_ms;
	enum by by;
	const char *said;
} rows[LIMIT_COUNT] = {LIMITS(LIMIT_ROW)};
#undef LIMIT_ROW

const char *limit_said(enum limit limit)
{
	return rows[limit].said;
}

static uint32_t max_of(const struct edge *edge, enum limit limit)
{
	return (uint32_t) *
	       (const uint64_t *)((const uint8_t *)edge->settings + rows[limit].setting);
}

static void count(struct edge *edge, enum limit limit)
{
	_Atomic uint64_t *at = (void *)((uint8_t *)edge->counters + rows[limit].counter);
	atomic_store_explicit(at, atomic_load_explicit(at, memory_order_relaxed) + 1,
	                      memory_order_relaxed);
}

/* Is it counted by who asks? Whose credential nobody has judged may be somebody else each time. */
static bool is_by_subject(const struct request *request, enum limit limit)
{
	const struct identity *i = request->identity;
	return rows[limit].by == BY_SUBJECT && i != NULL && i->refusal == REFUSAL_NONE &&
	       (i->way == IDENTITY_TOKEN || i->way == IDENTITY_JWT || i->way == IDENTITY_COOKIE) &&
	       *i->principal != '\0';
}

/* Anybody can be many who are refused, or nobody in particular; so those have a table of their own,
 * and whoever floods it touches no subject's tickets, accounts and appends. */
static struct quota *table_of(const struct request *request, enum limit limit)
{
	struct counters *all = request->edge->options.all;
	return is_by_subject(request, limit) ? &all->quota : &all->crowd;
}

static uint64_t key_of_address(const uint8_t address[16], enum limit limit)
{
	return quota_key(address, 16, 16 + limit);
}

/* `address` NULL: it is asked. */
static uint64_t key_of(const struct request *request, enum limit limit, const uint8_t *address)
{
	uint8_t asked[16];
	if (is_by_subject(request, limit))
		return quota_key(request->identity->principal, IDENTITY_DIGEST_TEXT, 16 + limit);
	if (address == NULL)
		request_address(request, asked);
	return key_of_address(address != NULL ? address : asked, limit);
}

uint64_t limits_take(struct request *request, enum limit limit)
{
	return limits_take_from(request, limit, NULL);
}

uint64_t limits_take_from(struct request *request, enum limit limit, const uint8_t *address)
{
	struct edge *edge = request->edge;
	uint32_t max = max_of(edge, limit);
	uint64_t again_ms = 0;
	if (max == 0 || quota_take(table_of(request, limit), key_of(request, limit, address),
	                           edge->wheel->now_ms, rows[limit].window_ms, max, &again_ms))
		return 0;
	count(edge, limit);
	return again_ms;
}

uint64_t limits_left(struct request *request, enum limit limit)
{
	struct edge *edge = request->edge;
	uint32_t max = max_of(edge, limit);
	uint64_t again_ms = 0;
	if (max == 0 || quota_left(table_of(request, limit), key_of(request, limit, NULL),
	                           edge->wheel->now_ms, max, &again_ms))
		return 0;
	count(edge, limit);
	return again_ms;
}

bool limits_admit(struct edge *edge, const uint8_t address[16])
{
	uint32_t max = max_of(edge, LIMIT_CONNECTIONS);
	uint64_t again_ms;
	if (max == 0 ||
	    quota_take(&edge->options.all->crowd, key_of_address(address, LIMIT_CONNECTIONS),
	               edge->wheel->now_ms, rows[LIMIT_CONNECTIONS].window_ms, max, &again_ms))
		return true;
	count(edge, LIMIT_CONNECTIONS);
	return false;
}

/* Very many addresses are an audience, or an attack that needs no more readers of one address:
 * where the table is full nobody is refused. */
static_assert(QUOTA_CELLS <= UINT16_MAX, "a place fits");
bool limits_hold_reader(struct request *request, uint16_t *place)
{
	struct edge *edge = request->edge;
	struct counters *all = edge->options.all;
	uint32_t max = max_of(edge, LIMIT_READERS);
	*place = 0;
	if (max == 0)
		return true;
	uint32_t held = quota_hold(&all->crowd, key_of(request, LIMIT_READERS, NULL),
	                           edge->options.slot, counters_slots_of(all, ROLE_SSE), max);
	if (held == QUOTA_USED_UP) {
		count(edge, LIMIT_READERS);
		return false;
	}
	*place = held != QUOTA_NO_PLACE ? (uint16_t)held : 0;
	return true;
}

void limits_release_reader(struct edge *edge, uint16_t place)
{
	if (place != 0)
		quota_release(&edge->options.all->crowd, place);
}
