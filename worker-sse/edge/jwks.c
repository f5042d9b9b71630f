#include "worker-sse/edge/jwks.h"
#include "common/base/address.h"
#include "common/base/backoff.h"
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/http_post.h"
#include "common/base/log.h"
#include "common/base/settings_jwt.h"

#include <openssl/sha.h>
#include <stdlib.h>

enum {
	OWN_MAX = 2, /* auth.jwt_keys, auth.jwt_secret */
	SETS_MAX = OWN_MAX + SETTINGS_JWKS_URLS_MAX,
	RETRY_MIN_MS = 1000,
};

/* Where an issuer publishes his keys. */
struct place {
	struct jwks *jwks;  /* NULL: it is wanted no longer, and goes when its fetch ends */
	char *url, *issuer; /* issuer NULL: its keys are good for each that is accepted */
	char shown[ADDRESS_URL_SHOWN_ROOM];
	struct jwk_set *set; /* NULL: it never came */
	struct wheel_node again, patience;
	uint64_t begun_ms, ended_ms; /* monotonic: of the last fetch */
	uint64_t fetched_ms;         /* Unix: when the set came */
	uint64_t failures;           /* since then */
	bool fetching, impatient;
};

struct jwks {
	struct jwks_options options;
	const struct settings *settings; /* a snapshot that is kept */
	struct jwk_set *own[OWN_MAX];
	struct place *places[SETTINGS_JWKS_URLS_MAX];
	size_t places_count;
	/* Of all of them, for jwt_verify(): */
	struct jwt_keys keys[SETS_MAX];
	size_t keys_count;
	unsigned algs;
	uint8_t expected[SHA256_DIGEST_LENGTH]; /* of what is expected of tokens */
	uint64_t *generations;
	size_t generations_count;
};

/* ---- what is here ---- */

static uint64_t generation_of(const struct jwks *jwks, const uint8_t id[JWK_ID_BYTES])
{
	uint8_t text[SHA256_DIGEST_LENGTH + JWK_ID_BYTES], digest[SHA256_DIGEST_LENGTH];
	uint64_t generation;
	memcpy(text, jwks->expected, SHA256_DIGEST_LENGTH);
	memcpy(text + SHA256_DIGEST_LENGTH, id, JWK_ID_BYTES);
	SHA256(text, sizeof text, digest);
	memcpy(&generation, digest, sizeof generation);
	return generation;
}

bool jwks_knows(const struct jwks *jwks, uint64_t generation)
{
	for (size_t i = 0; i < jwks->generations_count; i++)
		if (jwks->generations[i] == generation)
			return true;
	return false;
}

static void list_set(struct jwks *jwks, const struct jwk_set *set, const char *issuer)
{
	if (set != NULL)
		jwks->keys[jwks->keys_count++] = (struct jwt_keys){set, issuer};
}

static void list_generations(struct jwks *jwks)
{
	jwks->generations = xcalloc(SETS_MAX * JWK_KEYS_MAX, sizeof *jwks->generations);
	jwks->generations_count = 0;
	for (size_t i = 0; i < jwks->keys_count; i++)
		for (size_t k = 0; k < jwks->keys[i].set->count; k++)
			jwks->generations[jwks->generations_count++] =
			        generation_of(jwks, jwks->keys[i].set->keys[k].id);
}

/* Metrics say how old the oldest is. */
static void count(const struct jwks *jwks)
{
	uint64_t oldest_ms = jwks->places_count > 0 ? UINT64_MAX : 0;
	for (size_t i = 0; i < jwks->places_count; i++)
		if (jwks->places[i]->fetched_ms < oldest_ms)
			oldest_ms = jwks->places[i]->fetched_ms;
	counter_set(jwks->options.counters, jwks_keys, jwks->generations_count);
	counter_set(jwks->options.counters, jwks_fetched_timestamp_seconds, oldest_ms);
}

/* True: something that counted does so no longer. */
static bool take_stock(struct jwks *jwks)
{
	uint64_t *before = jwks->generations;
	size_t before_count = jwks->generations_count;
	bool revoked = false;
	jwks->keys_count = 0;
	for (size_t i = 0; i < OWN_MAX; i++)
		list_set(jwks, jwks->own[i], NULL);
	for (size_t i = 0; i < jwks->places_count; i++)
		list_set(jwks, jwks->places[i]->set, jwks->places[i]->issuer);
	list_generations(jwks);
	for (size_t i = 0; i < before_count; i++)
		revoked |= !jwks_knows(jwks, before[i]);
	free(before);
	count(jwks);
	return revoked;
}

/* ---- fetching ---- */

/* max-age of Cache-Control, less what the answer is old already, in ms; -1: it says none. no-store
 * and no-cache are as old at once (RFC 9111, 5.2.2). */
static int64_t fresh_ms(const struct http_post_answer *answer)
{
	static const char name[] = "max-age=";
	enum { LONGEST_S = 86400 * 365 };
	int64_t fresh = -1;
	const char *at = answer->cache_control;
	while (*at != '\0') {
		at += strspn(at, ", \t");
		size_t len = strcspn(at, ",");
		struct span word = span_of(at, strcspn(at, ", \t"));
		if (span_equal_nocase(word, SPAN("no-store")) ||
		    span_equal_nocase(word, SPAN("no-cache")))
			return 0;
		if (word.len > sizeof name - 1 &&
		    span_equal_nocase(span_of(at, sizeof name - 1), SPAN(name))) {
			const char *digits = at + sizeof name - 1;
			uint64_t s = strtoull(digits + (*digits == '"'), NULL, 10);
			s = s > answer->age_s ? s - answer->age_s : 0;
			fresh = 1000 * (int64_t)(s < LONGEST_S ? s : LONGEST_S);
		}
		at += len;
	}
	return fresh;
}

static void place_free(struct place *place)
{
	wheel_cancel(&place->again);
	wheel_cancel(&place->patience);
	jwk_set_destroy(&place->set);
	free(place->url);
	free(place->issuer);
	free(place);
}

static void set_next(struct place *place, uint64_t delay_ms)
{
	struct wheel *wheel = place->jwks->options.wheel;
	wheel_set(wheel, &place->again, wheel->now_ms + delay_ms);
}

static void on_failure(struct place *place, const struct http_post_answer *answer,
                       const char *reason)
{
	const struct settings *s = place->jwks->settings;
	const struct backoff backoff = {RETRY_MIN_MS, s->auth_jwt_refresh_min_ms,
	                                s->auth_jwt_refresh_max_ms};
	uint64_t delay_ms = backoff_ms(&backoff, ++place->failures, answer->retry_after_ms,
	                               (unsigned)clock_random_below(BACKOFF_DICE));
	counter_add(place->jwks->options.counters, jwks_failures_total, 1);
	log_warn("no keys fetched", "url=%s status=%u why=\"%s\" kept=%zu retry_ms=%llu",
	         place->shown, answer->status, reason, place->set != NULL ? place->set->count : 0,
	         (unsigned long long)delay_ms);
	set_next(place, delay_ms);
}

static void on_keys(struct place *place, const struct http_post_answer *answer, struct jwk_set *set)
{
	const struct settings *s = place->jwks->settings;
	int64_t fresh = fresh_ms(answer);
	uint64_t delay_ms = fresh >= 0 ? (uint64_t)fresh : s->auth_jwt_refresh_max_ms;
	if (delay_ms < s->auth_jwt_refresh_min_ms)
		delay_ms = s->auth_jwt_refresh_min_ms;
	if (delay_ms > s->auth_jwt_refresh_max_ms)
		delay_ms = s->auth_jwt_refresh_max_ms;
	bool news = place->set == NULL || place->failures > 0 || set->count != place->set->count;
	for (size_t i = 0; i < set->count && !news; i++)
		news = !jwk_set_has(place->set, set->keys[i].id);
	if (news)
		log_info("keys fetched", "url=%s keys=%zu passed_over=%zu why=\"%s\" fresh_ms=%llu",
		         place->shown, set->count, set->skipped, jwk_fault_text(set->fault),
		         (unsigned long long)delay_ms);
	jwk_set_destroy(&place->set);
	place->set = set;
	place->failures = 0;
	place->fetched_ms = clock_wall_ms();
	set_next(place, delay_ms);
}

static void on_answer(void *arg, const struct http_post_answer *answer)
{
	struct place *place = arg;
	struct jwks *jwks = place->jwks;
	enum jwk_fault fault = JWK_NONE;
	struct jwk_set *set = NULL;
	place->fetching = place->impatient = false;
	if (jwks == NULL) {
		place_free(place);
		return;
	}
	wheel_cancel(&place->patience);
	place->ended_ms = jwks->options.wheel->now_ms;
	if (answer->status == 200)
		set = jwk_set_read(answer->body, JWK_FROM_OTHERS, &fault);
	if (set != NULL)
		on_keys(place, answer, set);
	else
		on_failure(place, answer,
		           answer->status == 200 ? jwk_fault_text(fault)
		           : answer->status == 0 ? answer->error
		                                 : "the status is not 200");
	jwks->options.changed(jwks->options.context, take_stock(jwks));
}

/* It goes on, but nobody need wait for it any longer. */
static void on_patience(struct wheel_node *node)
{
	struct place *place = (void *)((uint8_t *)node - offsetof(struct place, patience));
	place->impatient = true;
	place->jwks->options.changed(place->jwks->options.context, false);
}

static void fetch(struct place *place)
{
	struct jwks *jwks = place->jwks;
	const struct jwks_options *options = &jwks->options;
	if (place->fetching)
		return;
	place->fetching = true;
	place->begun_ms = options->wheel->now_ms;
	wheel_cancel(&place->again);
	wheel_set(options->wheel, &place->patience,
	          place->begun_ms + jwks->settings->auth_jwt_wait_ms);
	counter_add(options->counters, jwks_fetches_total, 1);
	options->fetch(options->context, place->url, jwks->settings->auth_jwt_fetch_timeout_ms,
	               on_answer, place);
}

static void on_again(struct wheel_node *node)
{
	fetch((void *)((uint8_t *)node - offsetof(struct place, again)));
}

enum jwks_hope jwks_ask(struct jwks *jwks)
{
	const struct settings *s = jwks->settings;
	bool soon = false, failing = false;
	for (size_t i = 0; i < jwks->places_count; i++) {
		struct place *place = jwks->places[i];
		uint64_t now_ms = jwks->options.wheel->now_ms;
		if (!place->fetching && place->failures == 0 &&
		    now_ms >= place->ended_ms + s->auth_jwt_unknown_key_ms)
			fetch(place);
		soon |= place->fetching && !place->impatient && s->auth_jwt_wait_ms > 0;
		failing |= place->failures > 0 || place->fetching;
	}
	return soon ? JWKS_SOON : failing ? JWKS_FAILING : JWKS_NONE;
}

/* ---- settings ---- */

static struct place *place_create(struct jwks *jwks, struct span url, struct span issuer)
{
	struct place *place = xcalloc(1, sizeof *place);
	*place = (struct place){.jwks = jwks,
	                        .url = xmemdup_text(url.at, url.len),
	                        .again.due = on_again,
	                        .patience.due = on_patience};
	if (issuer.at != NULL)
		place->issuer = xmemdup_text(issuer.at, issuer.len);
	address_url_shown(place->url, place->shown);
	return place;
}

static bool is_place(const struct place *place, struct span url, struct span issuer)
{
	return span_equal(span_str(place->url), url) &&
	       (place->issuer != NULL) == (issuer.at != NULL) &&
	       span_equal(span_str(place->issuer), issuer);
}

static struct place *take_place(struct place **before, size_t count, struct span url,
                                struct span issuer)
{
	for (size_t i = 0; i < count; i++)
		if (before[i] != NULL && is_place(before[i], url, issuer)) {
			struct place *place = before[i];
			before[i] = NULL;
			return place;
		}
	return NULL;
}

static void leave_place(struct place *place)
{
	if (!place->fetching) {
		place_free(place);
		return;
	}
	wheel_cancel(&place->again);
	wheel_cancel(&place->patience);
	place->jwks = NULL;
}

/* Several URLs are each its issuer's own (settings_jwt.c has counted them); of one, all. */
static void take_places(struct jwks *jwks)
{
	const struct settings *s = jwks->settings;
	struct place *before[SETTINGS_JWKS_URLS_MAX];
	size_t before_count = jwks->places_count;
	memcpy(before, jwks->places, sizeof before);
	jwks->places_count = settings_list_count(s->auth_jwt_jwks_url);
	for (size_t i = 0; i < jwks->places_count; i++) {
		struct span url = settings_list_item(s->auth_jwt_jwks_url, i), issuer = {0};
		if (jwks->places_count > 1)
			issuer = settings_list_item(s->auth_jwt_issuer, i);
		struct place *place = take_place(before, before_count, url, issuer);
		jwks->places[i] = place != NULL ? place : place_create(jwks, url, issuer);
		if (place == NULL)
			fetch(jwks->places[i]);
	}
	for (size_t i = 0; i < before_count; i++)
		if (before[i] != NULL)
			leave_place(before[i]);
}

static void take_own(struct jwks *jwks)
{
	enum jwk_fault fault;
	const struct settings *s = jwks->settings;
	for (size_t i = 0; i < OWN_MAX; i++)
		jwk_set_destroy(&jwks->own[i]);
	if (*s->auth_jwt_keys != '\0')
		jwks->own[0] = jwk_set_read(span_str(s->auth_jwt_keys), JWK_FROM_US, &fault);
	if (*s->auth_jwt_secret != '\0')
		jwks->own[1] = jwk_set_of_secret(span_str(s->auth_jwt_secret), &fault);
	if (jwks->own[0] != NULL && jwks->own[0]->skipped > 0)
		log_warn("keys passed over", "setting=auth.jwt_keys keys=%zu why=\"%s\"",
		         jwks->own[0]->skipped, jwk_fault_text(jwks->own[0]->fault));
}

/* Whatever of the settings decides whether a token is good, and what it allows. */
static void take_expected(struct jwks *jwks)
{
	char *text = NULL;
	const struct settings *s = jwks->settings;
	check(jws_algs_parse(s->auth_jwt_algorithms, &jwks->algs));
	int len = asprintf(&text, "%s\n%s\n%x\n%s\n%d\n%llu", s->auth_jwt_issuer,
	                   s->auth_jwt_audience, jwks->algs, s->auth_jwt_rights_claim,
	                   s->auth_jwt_require_expiry, (unsigned long long)s->auth_jwt_leeway_ms);
	check(len > 0);
	SHA256((uint8_t *)text, (size_t)len, jwks->expected);
	free(text);
}

bool jwks_use(struct jwks *jwks, const struct settings *settings)
{
	const struct settings *before = jwks->settings;
	jwks->settings = settings_keep(settings);
	if (before != NULL)
		settings_drop(&before);
	take_expected(jwks);
	take_own(jwks);
	take_places(jwks);
	return take_stock(jwks);
}

struct jwks *jwks_create(const struct jwks_options *options, const struct settings *settings)
{
	struct jwks *jwks = xcalloc(1, sizeof *jwks);
	jwks->options = *options;
	jwks_use(jwks, settings);
	return jwks;
}

void jwks_destroy(struct jwks **jwks)
{
	struct jwks *all = *jwks;
	*jwks = NULL;
	if (all == NULL)
		return;
	for (size_t i = 0; i < all->places_count; i++)
		leave_place(all->places[i]);
	for (size_t i = 0; i < OWN_MAX; i++)
		jwk_set_destroy(&all->own[i]);
	settings_drop(&all->settings);
	free(all->generations);
	free(all);
}

/* ---- asking ---- */

bool jwks_configured(const struct jwks *jwks)
{
	return jwks->places_count > 0 || jwks->keys_count > 0;
}

const char *jwks_rights_claim(const struct jwks *jwks)
{
	return jwks->settings->auth_jwt_rights_claim;
}

enum jwt_fault jwks_verify(struct jwks *jwks, struct span token, uint64_t now_ms,
                           struct jwt_claims *claims, uint64_t *generation)
{
	const struct settings *s = jwks->settings;
	const struct jwt_expectations expected = {.keys = jwks->keys,
	                                          .keys_count = jwks->keys_count,
	                                          .algs = jwks->algs,
	                                          .issuers = s->auth_jwt_issuer,
	                                          .audiences = s->auth_jwt_audience,
	                                          .leeway_ms = s->auth_jwt_leeway_ms,
	                                          .expiry_optional = !s->auth_jwt_require_expiry,
	                                          .bytes_max = s->auth_jwt_bytes};
	enum jwt_fault fault = jwt_verify(&expected, token, now_ms, claims);
	if (fault != JWT_VALID)
		counter_add(jwks->options.counters, jwts_refused_total, 1);
	*generation = fault == JWT_VALID ? generation_of(jwks, claims->key_id) : 0;
	return fault;
}
