#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/store/entry.h"
#include "common/store/offset.h"
#include "common/domain/subscription_scan.h"
#include "common/base/signing.h"
#include "common/domain/webhook_url.h"

#include <arpa/inet.h>
#include <openssl/evp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

enum { STREAMS_MAX = 256 };

/* ---- globs ---- */

static void test_globs(void **state)
{
	(void)state;
	static const struct {
		const char *pattern, *path;
		bool matches;
	} rows[] = {
	        {"a", "a", true},
	        {"a", "b", false},
	        {"a", "a/b", false},
	        {"a/b", "a", false},
	        {"a/b", "a/b", true},
	        {"*", "a", true},
	        {"*", "a/b", false},
	        {"*/b", "a/b", true},
	        {"a/*", "a/b", true},
	        {"a/*", "a", false},
	        {"a/*", "a/", false},
	        {"a/*/c", "a/b/c", true},
	        {"a/*/c", "a/b/b/c", false},
	        {"a*", "abc", true},
	        {"*c", "abc", true},
	        {"a*c", "ac", true},
	        {"a*c*", "abcbd", true},
	        {"a*b*c", "aXbYbZc", true},
	        {"a*b*c", "aXbYbZ", false},
	        {"**", "a", true},
	        {"**", "a/b/c", true},
	        {"a/**", "a", true},
	        {"a/**", "a/b", true},
	        {"a/**", "a/b/c", true},
	        {"a/**", "b", false},
	        {"a/**", "ab", false},
	        {"**/c", "c", true},
	        {"**/c", "a/b/c", true},
	        {"**/c", "a/b/d", false},
	        {"a/**/d", "a/d", true},
	        {"a/**/d", "a/b/c/d", true},
	        {"a/**/d", "a/b/c", false},
	        {"a/**/c/**/e", "a/b/c/d/e", true},
	        {"a/**/c/**/e", "a/c/e", true},
	        {"a/**/c/**/e", "a/b/d/e", false},
	        {"**/a/*", "a/a/a", true},
	        {"**/**/x", "a/b/x", true},
	        {"x**", "xyz", true},
	        {"*", "*", true},
	        {"", "a", false},
	        {"A", "a", false},
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		if (subscription_glob(rows[i].pattern, rows[i].path) != rows[i].matches)
			fail_msg("'%s' '%s'", rows[i].pattern, rows[i].path);
}

/* The stars of a hostile pattern do not multiply. */
static void test_glob_with_many_stars_is_quick(void **state)
{
	(void)state;
	char pattern[600] = "", path[600];
	for (int i = 0; i < 100; i++)
		memcpy(pattern + 2 * i, "*a", 2);
	memcpy(pattern + 200, "b", 2);
	memset(path, 'a', 480);
	path[480] = '\0';
	uint64_t began_ms = clock_monotonic_ms();
	assert_false(subscription_glob(pattern, path));
	size_t len = 0;
	for (int i = 0; i < 80; i++)
		len += (size_t)snprintf(pattern + len, sizeof pattern - len, "**/a/");
	snprintf(pattern + len, sizeof pattern - len, "b");
	for (int i = 0; i < 240; i++)
		memcpy(path + 2 * i, "a/", 2);
	path[479] = '\0';
	assert_false(subscription_glob(pattern, path));
	assert_true(clock_monotonic_ms() - began_ms < 1000);
}

/* ---- transitions ---- */

struct bench {
	struct state view;
	uint64_t lsn;
	json_t *doc;
};

static int begin(void **state)
{
	struct bench *b = xcalloc(1, sizeof *b);
	const struct state_limits limits = {.streams_max = 1000, .producers_per_stream_max = 3};
	state_init(&b->view, NULL, &limits);
	b->lsn = 8;
	b->doc = subscription_create("s1", "pull-wake", "rooms/*", "", "wakes", 1000, "", 5);
	*state = b;
	return 0;
}

static int end(void **state)
{
	struct bench *b = *state;
	json_decref(b->doc);
	state_finish(&b->view);
	free(b);
	return 0;
}

/* Creates the stream on its first bytes, appends later; `lineage` 0 is the present one. */
static void append(struct bench *b, uint64_t id, const char *path, uint32_t len)
{
	char full[100];
	static const uint8_t bytes[1000];
	snprintf(full, sizeof full, SUBSCRIPTION_ROOT "%s", path);
	struct stream *stream = state_find(&b->view, span_str(full));
	struct entry entry = {.kind = stream == NULL ? ENTRY_CREATE : ENTRY_APPEND,
	                      .at_ms = 10,
	                      .stream_id = id,
	                      .lineage = id,
	                      .path = span_str(full),
	                      .content_type = SPAN("text/plain"),
	                      .offset = stream != NULL ? stream->tail : 0,
	                      .data = {.sizes = &len, .count = len != 0, .bytes = {bytes, len}}};
	b->lsn += 8;
	state_apply(&b->view, &entry, b->lsn);
	assert_non_null(state_find(&b->view, span_str(full)));
}

static const char *phase(const struct bench *b)
{
	return subscription_text(b->doc, "phase");
}

static json_t *acks_of(const char *path, const char *offset)
{
	return json_pack("[{ss ss}]", "stream", path, "offset", offset);
}

static enum subscription_result link_matching(struct bench *b)
{
	struct subscription_scan scan;
	bool full;
	subscription_scan_begin(&scan, b->doc, &b->view, false, STREAMS_MAX);
	while (subscription_scan_step(&scan)) {
	}
	assert_false(scan.unreadable);
	bool changed = subscription_link_found(b->doc, &b->view, scan.found, STREAMS_MAX, &full);
	subscription_scan_end(&scan);
	return full ? SUBSCRIPTION_FULL : changed ? SUBSCRIPTION_OK : SUBSCRIPTION_UNCHANGED;
}

static enum subscription_result claim(struct bench *b, const char *worker, const char *wake_id,
                                      uint64_t now_ms)
{
	enum subscription_result result =
	        subscription_claim(b->doc, &b->view, worker, wake_id, now_ms);
	if (result == SUBSCRIPTION_NO_WORK && link_matching(b) == SUBSCRIPTION_OK)
		result = subscription_claim(b->doc, &b->view, worker, wake_id, now_ms);
	return result;
}

static void test_links(void **state)
{
	struct bench *b = *state;
	assert_int_equal(link_matching(b), SUBSCRIPTION_UNCHANGED);
	append(b, 1, "rooms/a", 10);
	append(b, 2, "rooms/b", 0);
	append(b, 3, "halls/a", 10);
	assert_int_equal(link_matching(b), SUBSCRIPTION_OK);
	assert_int_equal(link_matching(b), SUBSCRIPTION_UNCHANGED);
	assert_int_equal(subscription_link(b->doc, "halls/a", true, "-1", STREAMS_MAX),
	                 SUBSCRIPTION_OK);
	assert_int_equal(subscription_link(b->doc, "halls/a", true, "-1", STREAMS_MAX),
	                 SUBSCRIPTION_UNCHANGED);
	assert_int_equal(subscription_link(b->doc, "rooms/a", true, "-1", STREAMS_MAX),
	                 SUBSCRIPTION_OK);
	json_t *streams = subscription_streams(b->doc, &b->view);
	assert_int_equal(json_array_size(streams), 3);
	json_decref(streams);
	/* an explicit link that the pattern matches too becomes the pattern's again */
	assert_int_equal(subscription_unlink(b->doc, "rooms/a"), SUBSCRIPTION_OK);
	assert_int_equal(subscription_unlink(b->doc, "rooms/a"), SUBSCRIPTION_UNCHANGED);
	assert_int_equal(subscription_unlink(b->doc, "halls/a"), SUBSCRIPTION_OK);
	assert_int_equal(subscription_unlink(b->doc, "halls/a"), SUBSCRIPTION_UNCHANGED);
	streams = subscription_streams(b->doc, &b->view);
	assert_int_equal(json_array_size(streams), 2);
	json_decref(streams);
}

static void test_links_end_at_the_maximum(void **state)
{
	struct bench *b = *state;
	char path[32];
	for (int i = 0; i < STREAMS_MAX; i++) {
		snprintf(path, sizeof path, "x/%d", i);
		assert_int_equal(subscription_link(b->doc, path, true, "-1", STREAMS_MAX),
		                 SUBSCRIPTION_OK);
	}
	assert_int_equal(subscription_link(b->doc, "x/more", true, "-1", STREAMS_MAX),
	                 SUBSCRIPTION_FULL);
}

/* Streams that a pattern linked come and go; others of it find room, and who named a stream keeps
 * its link. */
static void test_links_of_gone_streams(void **state)
{
	struct bench *b = *state;
	assert_int_equal(subscription_link(b->doc, "named", true, "-1", 2), SUBSCRIPTION_OK);
	assert_int_equal(subscription_link(b->doc, "x/gone", false, "-1", 2), SUBSCRIPTION_OK);
	assert_int_equal(subscription_link(b->doc, "x/new", false, "-1", 2), SUBSCRIPTION_FULL);
	json_object_set_new(b->doc, "phase", json_string("leased"));
	assert_int_equal(subscription_forget_gone(b->doc, &b->view), SUBSCRIPTION_UNCHANGED);
	json_object_set_new(b->doc, "phase", json_string("idle"));
	assert_int_equal(subscription_forget_gone(b->doc, &b->view), SUBSCRIPTION_OK);
	assert_int_equal(subscription_forget_gone(b->doc, &b->view), SUBSCRIPTION_UNCHANGED);
	assert_int_equal(subscription_link(b->doc, "x/new", false, "-1", 2), SUBSCRIPTION_OK);
	json_t *streams = subscription_streams(b->doc, &b->view);
	assert_int_equal(json_array_size(streams), 2);
	json_decref(streams);
}

static enum row_found unreadable_path(void *arg, struct span path, uint64_t *id, uint64_t *lsn)
{
	(void)arg, (void)path, (void)id, (void)lsn;
	return ROW_UNREADABLE;
}

static void test_a_link_whose_stream_cannot_be_read_is_kept(void **state)
{
	struct bench *b = *state;
	assert_int_equal(subscription_link(b->doc, "rooms/a", false, "-1", 2), SUBSCRIPTION_OK);
	b->view.backing.path = unreadable_path;
	assert_int_equal(subscription_forget_gone(b->doc, &b->view), SUBSCRIPTION_UNCHANGED);
	b->view.backing.path = NULL;
	assert_int_equal(subscription_forget_gone(b->doc, &b->view), SUBSCRIPTION_OK);
}

static void test_same(void **state)
{
	struct bench *b = *state;
	json_t *other =
	        subscription_create("s1", "pull-wake", "rooms/*", "", "wakes", 1000, "", 99);
	assert_true(subscription_same(b->doc, other));
	subscription_link(b->doc, "rooms/a", false, "-1", STREAMS_MAX);
	assert_true(subscription_same(b->doc, other));
	subscription_link(b->doc, "halls/a", true, "-1", STREAMS_MAX);
	assert_false(subscription_same(b->doc, other));
	assert_false(subscription_same(other, b->doc));
	subscription_link(other, "halls/a", true, "-1", STREAMS_MAX);
	assert_true(subscription_same(b->doc, other));
	json_object_set_new(other, "lease_ttl_ms", json_integer(2000));
	assert_false(subscription_same(b->doc, other));
	json_decref(other);
}

static void test_nothing_pending_wakes_nobody(void **state)
{
	struct bench *b = *state;
	assert_int_equal(subscription_wake(b->doc, &b->view, "w", 1), SUBSCRIPTION_UNCHANGED);
	append(b, 1, "rooms/a", 0); /* empty */
	link_matching(b);
	assert_int_equal(subscription_wake(b->doc, &b->view, "w", 1), SUBSCRIPTION_UNCHANGED);
	assert_int_equal(claim(b, "me", "w", 1), SUBSCRIPTION_NO_WORK);
	subscription_link(b->doc, "halls/gone", true, "-1", STREAMS_MAX); /* no such stream */
	assert_int_equal(claim(b, "me", "w", 1), SUBSCRIPTION_NO_WORK);
	assert_string_equal(phase(b), "idle");
}

static void test_lease(void **state)
{
	struct bench *b = *state;
	char tail[40];
	append(b, 1, "rooms/a", 10);
	link_matching(b);
	assert_int_equal(subscription_wake(b->doc, &b->view, "w1", 100), SUBSCRIPTION_OK);
	assert_int_equal(subscription_wake(b->doc, &b->view, "w1", 100), SUBSCRIPTION_UNCHANGED);
	assert_int_equal(subscription_number(b->doc, "generation"), 1);
	assert_int_equal(claim(b, "me", "w2", 200), SUBSCRIPTION_OK);
	assert_int_equal(subscription_number(b->doc, "generation"), 1);
	assert_string_equal(subscription_text(b->doc, "wake_id"), "w1");
	assert_int_equal(claim(b, "you", "w3", 1199), SUBSCRIPTION_CLAIMED);
	assert_true(subscription_tail(&b->view, "rooms/a", tail));
	json_t *acks = acks_of("rooms/a", tail);
	assert_int_equal(subscription_ack(b->doc, &b->view, 2, "w1", acks, true, 300),
	                 SUBSCRIPTION_FENCED);
	assert_int_equal(subscription_ack(b->doc, &b->view, 1, "w9", acks, true, 300),
	                 SUBSCRIPTION_FENCED);
	/* without done the lease is renewed */
	assert_int_equal(subscription_ack(b->doc, &b->view, 1, "w1", NULL, false, 700),
	                 SUBSCRIPTION_OK);
	assert_int_equal(subscription_expire(b->doc, 1600), SUBSCRIPTION_UNCHANGED);
	assert_int_equal(subscription_ack(b->doc, &b->view, 1, "w1", acks, true, 800),
	                 SUBSCRIPTION_OK);
	assert_string_equal(phase(b), "idle");
	assert_false(subscription_pending(b->doc, &b->view));
	assert_int_equal(subscription_ack(b->doc, &b->view, 1, "w1", acks, true, 900),
	                 SUBSCRIPTION_FENCED);
	append(b, 1, "rooms/a", 5);
	assert_true(subscription_pending(b->doc, &b->view));
	json_decref(acks);
}

/* Whoever held the lease before it ran out comes too late. */
static void test_expired_lease_fences(void **state)
{
	struct bench *b = *state;
	append(b, 1, "rooms/a", 10);
	assert_int_equal(claim(b, "me", "w1", 100), SUBSCRIPTION_OK);
	assert_int_equal(subscription_expire(b->doc, 1099), SUBSCRIPTION_UNCHANGED);
	assert_int_equal(claim(b, "you", "w2", 1100), SUBSCRIPTION_OK);
	assert_int_equal(subscription_number(b->doc, "generation"), 2);
	assert_string_equal(subscription_text(b->doc, "holder"), "you");
	assert_int_equal(subscription_release(b->doc, 1, "w1"), SUBSCRIPTION_FENCED);
	assert_int_equal(subscription_expire(b->doc, 2100), SUBSCRIPTION_OK);
	assert_string_equal(phase(b), "idle");
	assert_int_equal(subscription_release(b->doc, 2, "w2"), SUBSCRIPTION_FENCED);
}

static void test_acks_are_judged(void **state)
{
	struct bench *b = *state;
	append(b, 5, "rooms/a", 10);
	append(b, 5, "rooms/a", 10);
	assert_int_equal(claim(b, "me", "w1", 1), SUBSCRIPTION_OK);
	static const struct {
		const char *path, *offset;
		enum subscription_result result;
	} rows[] = {
	        {"rooms/none", "0000000000000005_0000000000000010", SUBSCRIPTION_INVALID_OFFSET},
	        {"rooms/a", "0000000000000005_0000000000000021", SUBSCRIPTION_INVALID_OFFSET},
	        {"rooms/a", "-1", SUBSCRIPTION_INVALID_OFFSET},
	        {"rooms/a", "now", SUBSCRIPTION_INVALID_OFFSET},
	        {"rooms/a", "", SUBSCRIPTION_INVALID_OFFSET},
	        {"rooms/a", "0000000000000005_0000000000000010", SUBSCRIPTION_OK},
	        {"/rooms/a", "0000000000000005_0000000000000010", SUBSCRIPTION_OK},
	        {"rooms/a", "0000000000000000_0000000000000000", SUBSCRIPTION_INVALID_OFFSET},
	        {"rooms/a", "0000000000000005_0000000000000020", SUBSCRIPTION_OK},
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		json_t *acks = acks_of(rows[i].path, rows[i].offset);
		if (subscription_ack(b->doc, &b->view, 1, "w1", acks, false, 2) != rows[i].result)
			fail_msg("%s %s", rows[i].path, rows[i].offset);
		json_decref(acks);
	}
}

static void test_one_list_cannot_go_back(void **state)
{
	struct bench *b = *state;
	append(b, 5, "rooms/a", 20);
	assert_int_equal(claim(b, "me", "w1", 1), SUBSCRIPTION_OK);
	json_t *acks = acks_of("rooms/a", "0000000000000005_0000000000000020");
	json_array_append_new(acks, json_pack("{ss ss}", "stream", "rooms/a", "offset",
	                                      "0000000000000005_0000000000000010"));
	assert_int_equal(subscription_ack(b->doc, &b->view, 1, "w1", acks, false, 2),
	                 SUBSCRIPTION_INVALID_OFFSET);
	json_decref(acks);
}

static void test_webhook(void **state)
{
	struct bench *b = *state;
	append(b, 1, "rooms/a", 10);
	link_matching(b);
	assert_int_equal(subscription_wake(b->doc, &b->view, "w1", 100), SUBSCRIPTION_OK);
	assert_int_equal(subscription_failed(b->doc, 1, 4000, 5000), SUBSCRIPTION_OK);
	assert_int_equal(subscription_failed(b->doc, 1, 6000, 9000), SUBSCRIPTION_OK);
	assert_int_equal(subscription_number(b->doc, "attempts"), 2);
	assert_int_equal(subscription_number(b->doc, "failed_ms"), 6000);
	assert_int_equal(subscription_number(b->doc, "next_ms"), 9000);
	assert_string_equal(subscription_text(b->doc, "status"), "failed");
	append(b, 1, "rooms/a", 10); /* after the wake: not of its snapshot */
	assert_int_equal(subscription_accepted(b->doc, 1, 9000), SUBSCRIPTION_OK);
	assert_string_equal(phase(b), "leased");
	assert_string_equal(subscription_text(b->doc, "status"), "active");
	assert_int_equal(subscription_done(b->doc, 7), SUBSCRIPTION_FENCED);
	assert_int_equal(subscription_done(b->doc, 1), SUBSCRIPTION_OK);
	assert_string_equal(phase(b), "idle");
	assert_true(subscription_pending(b->doc, &b->view));
	assert_int_equal(subscription_failed(b->doc, 1, 9000, 1), SUBSCRIPTION_FENCED);
	assert_int_equal(subscription_accepted(b->doc, 1, 1), SUBSCRIPTION_FENCED);
	assert_int_equal(subscription_wake(b->doc, &b->view, "w2", 10000), SUBSCRIPTION_OK);
	assert_int_equal(subscription_number(b->doc, "attempts"), 0);
	assert_int_equal(subscription_done(b->doc, 2), SUBSCRIPTION_OK);
	assert_false(subscription_pending(b->doc, &b->view));
}

/* ---- tokens, signatures, addresses ---- */

static void test_tokens(void **state)
{
	(void)state;
	struct span secret = SPAN("0123456789abcdef0123456789abcdef");
	char token[SUBSCRIPTION_TOKEN_ROOM];
	uint64_t generation = 0;
	subscription_token_make(secret, "s1", 7, 1000, token);
	struct span text = span_str(token);
	assert_int_equal(subscription_token_check(secret, "s1", text, 999, &generation),
	                 TOKEN_VALID);
	assert_int_equal(generation, 7);
	assert_int_equal(subscription_token_check(secret, "s1", text, 1000, &generation),
	                 TOKEN_EXPIRED);
	assert_int_equal(subscription_token_check(secret, "s2", text, 1, &generation),
	                 TOKEN_INVALID);
	assert_int_equal(subscription_token_check(SPAN("another"), "s1", text, 1, &generation),
	                 TOKEN_INVALID);
	for (size_t i = 0; i < text.len; i++) {
		assert_int_equal(
		        subscription_token_check(secret, "s1", span_of(text.at, i), 1, &generation),
		        TOKEN_INVALID);
		token[i] ^= 1;
		assert_int_equal(subscription_token_check(secret, "s1", text, 1, &generation),
		                 TOKEN_INVALID);
		token[i] ^= 1;
	}
	static const char *const bad[] = {
	        "", ".", "7.1000.", "7.1000", "-7.1000.x", "a.b.c", "99999999999999999999999.1.1"};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_int_equal(
		        subscription_token_check(secret, "s1", span_str(bad[i]), 1, &generation),
		        TOKEN_INVALID);
}

static size_t unbase64url(const char *text, uint8_t *out)
{
	char padded[128];
	size_t len = strlen(text);
	memcpy(padded, text, len);
	for (size_t i = 0; i < len; i++)
		padded[i] = padded[i] == '-' ? '+' : padded[i] == '_' ? '/' : padded[i];
	size_t whole = (len + 3) / 4 * 4;
	memset(padded + len, '=', whole - len);
	return (size_t)EVP_DecodeBlock(out, (uint8_t *)padded, (int)whole) - (whole - len);
}

/* The first test of RFC 8032 section 7.1 gives the key pair. */
static void test_signature_verifies(void **state)
{
	(void)state;
	static const uint8_t seed[32] = {0x9d, 0x61, 0xb1, 0x9d, 0xef, 0xfd, 0x5a, 0x60,
	                                 0xba, 0x84, 0x4a, 0xf4, 0x92, 0xec, 0x2c, 0xc4,
	                                 0x44, 0x49, 0xc5, 0x69, 0x7b, 0x32, 0x69, 0x19,
	                                 0x70, 0x3b, 0xac, 0x03, 0x1c, 0xae, 0x7f, 0x60};
	static const uint8_t public_start[4] = {0xd7, 0x5a, 0x98, 0x01};
	static const char message[] = "1700000000.{\"a\":1}";
	char x[64], kid[64], header[256], expected[128];
	uint8_t public_key[48], signature[96];
	assert_true(signing_public(span_of(seed, 32), x, kid));
	assert_memory_equal(kid, "ds_", 3);
	assert_int_equal(unbase64url(x, public_key), 32);
	assert_memory_equal(public_key, public_start, 4);
	assert_true(signing_header(span_of(seed, 32), 1700000000, SPAN("{\"a\":1}"), header));
	int len = snprintf(expected, sizeof expected, "t=1700000000,kid=%s,ed25519=", kid);
	assert_memory_equal(header, expected, len);
	assert_int_equal(unbase64url(header + len, signature), 64);
	EVP_PKEY *key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, public_key, 32);
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	assert_int_equal(EVP_DigestVerifyInit(context, NULL, NULL, NULL, key), 1);
	assert_int_equal(EVP_DigestVerify(context, signature, 64, (const uint8_t *)message,
	                                  sizeof message - 1),
	                 1);
	EVP_MD_CTX_free(context);
	EVP_PKEY_free(key);
	assert_true(signing_header(span_of(seed, 32), 1, (struct span){0}, header));
	assert_false(signing_public(span_of(seed, 31), x, kid));
}

static void test_where_webhooks_may_go(void **state)
{
	(void)state;
	static const struct {
		const char *url;
		bool allowed;
	} rows[] = {
	        {"https://example.com/hook", true},
	        {"https://example.com:8443", true},
	        {"https://93.184.216.34/", true},
	        {"https://[2606:2800:220:1::1]/", true},
	        {"http://localhost:1/x", true},
	        {"http://127.0.0.1:1/x", true},
	        {"http://127.9.9.9/x", true},
	        {"http://example.com/", false},
	        {"http://localhost.example.com/", false},
	        {"http://127.0.0.1.example.com/", false},
	        {"http://10.0.0.1/", false},
	        {"https://localhost/", false},
	        {"https://intranet/", false},
	        {"https://127.0.0.1/", false},
	        {"https://10.1.2.3/", false},
	        {"https://172.16.0.1/", false},
	        {"https://172.31.255.255/", false},
	        {"https://192.168.1.1/", false},
	        {"https://169.254.169.254/", false},
	        {"https://100.64.0.1/", false},
	        {"https://0.0.0.0/", false},
	        {"https://224.0.0.1/", false},
	        {"https://255.255.255.255/", false},
	        {"https://[::1]/", false},
	        {"https://[::]/", false},
	        {"https://[fe80::1]/", false},
	        {"https://[fec0::1]/", false},
	        {"https://[fd00::1]/", false},
	        {"https://[ff02::1]/", false},
	        {"https://[::ffff:10.0.0.1]/", false},
	        {"https://[::10.0.0.1]/", false},
	        {"https://[64:ff9b::10.0.0.1]/", false},
	        {"https://[2002:a00:1::]/", false},
	        {"https://[::1/", false},
	        {"https://metadata.google.internal/", false},
	        {"https://user@example.com/", false},
	        {"https://example.com@10.0.0.1/", false},
	        {"https://example.com\\@10.0.0.1/", false},
	        {"https://example.com/a b", false},
	        {"https://example.com/\r\nx: y", false},
	        {"https:///x", false},
	        {"https://", false},
	        {"ftp://example.com/", false},
	        {"file:///etc/passwd", false},
	        {"", false},
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		if (webhook_url_allowed(rows[i].url, "", true) != rows[i].allowed)
			fail_msg("%s", rows[i].url);
}

/* Outside of dev, loopback is as closed to webhooks as any other network, until a setting opens it.
 */
static void test_webhooks_reach_what_settings_open(void **state)
{
	static const struct {
		const char *url, *open;
		bool dev, allowed;
	} rows[] = {
	        {"http://localhost:1/x", "", false, false},
	        {"http://127.0.0.1:1/x", "", false, false},
	        {"http://[::1]:1/x", "", false, false},
	        {"http://127.0.0.1:1/x", "127.0.0.1:1", false, true},
	        {"http://127.0.0.1:2/x", "127.0.0.1:1", false, false},
	        {"http://localhost:1/x", "127.0.0.1:1", false, false},
	        {"http://hooks:8080/x", "hooks", false, true},
	        {"https://hooks/x", "hooks:443", false, true},
	        {"https://hooks/x", "hooks:80", false, false},
	        {"https://10.0.0.1/x", "*", false, true},
	        {"https://10.0.0.1/x", "", true, false},
	        {"http://169.254.169.254/x", "*", true, false},
	        {"https://169.254.169.254/x", "169.254.169.254", false, true},
	        {"https://example.com/hook", "10.0.0.1", false, true},
	        {"http://example.com/hook", "10.0.0.1", true, false},
	};
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		if (webhook_url_allowed(rows[i].url, rows[i].open, rows[i].dev) != rows[i].allowed)
			fail_msg("%s with '%s'", rows[i].url, rows[i].open);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_globs),
	        cmocka_unit_test(test_glob_with_many_stars_is_quick),
	        TEST(test_links),
	        TEST(test_links_end_at_the_maximum),
	        TEST(test_a_link_whose_stream_cannot_be_read_is_kept),
	        TEST(test_links_of_gone_streams),
	        TEST(test_same),
	        TEST(test_nothing_pending_wakes_nobody),
	        TEST(test_lease),
	        TEST(test_expired_lease_fences),
	        TEST(test_acks_are_judged),
	        TEST(test_one_list_cannot_go_back),
	        TEST(test_webhook),
	        cmocka_unit_test(test_tokens),
	        cmocka_unit_test(test_signature_verifies),
	        cmocka_unit_test(test_where_webhooks_may_go),
	        cmocka_unit_test(test_webhooks_reach_what_settings_open),
	};
	return cmocka_run_group_tests_name("subscription", tests, NULL, NULL);
}
