#include "common/base/check.h"
#include "common/base/settings.h"
#include "proto/codec.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

static char reason[SETTINGS_REASON_MAX];

static bool set(struct settings *settings, const char *key, const char *value)
{
	return settings_set(settings, span_str(key), span_str(value), reason);
}

static void test_defaults_are_valid(void **state)
{
	(void)state;
	struct settings s;
	settings_init(&s);
	assert_true(settings_validate(&s, reason));
	assert_int_equal(s.store_ring_bytes, 256 << 20);
	assert_int_equal(s.limits_producer_idle_ms, 7ull * 24 * 3600 * 1000);
	assert_string_equal(s.listen, "127.0.0.1:4437");
	settings_finish(&s);
	settings_finish(&s);
}

static void test_values(void **state)
{
	(void)state;
	static const struct {
		const char *key, *value;
		bool fits;
	} rows[] = {
	        {"log.level", "debug", true},
	        {"log.level", "trace", false},
	        {"log.level", "", false},
	        {"log.format", "json", true},
	        {"log.format", "yaml", false},
	        {"store.recover", "truncate", true},
	        {"store.recover", "repair", false},
	        {"dev", "yes", true},
	        {"dev", "TRUE", false},
	        {"dev", "", false},
	        {"limits.headers", "8", true},
	        {"limits.headers", "7", false},
	        {"limits.headers", "1001", false},
	        {"limits.headers", "-9", false},
	        {"limits.headers", "+9", false},
	        {"limits.headers", " 9", false},
	        {"limits.headers", "9k", false},
	        {"limits.headers", "0x10", false},
	        {"limits.headers", "18446744073709551616", false},
	        {"store.ring_bytes", "1G", true},
	        {"store.ring_bytes", "1g", false},
	        {"store.ring_bytes", "17179869185G", false},
	        {"http.header_timeout", "500ms", true},
	        {"http.header_timeout", "500", false},
	        {"http.header_timeout", "1.5s", false},
	        {"http.header_timeout", "99999999999999d", false},
	        {"listen", "0.0.0.0:80", true},
	        {"listen", "[::]:65535", true},
	        {"listen", "localhost:0", true},
	        {"listen", "http://0.0.0.0:80", true},
	        {"listen", "https://0.0.0.0:443, HTTP://[::1]:80,localhost:0", true},
	        {"listen", "https://", false},
	        {"listen", "https://127.0.0.1", false},
	        {"listen", "ftp://127.0.0.1:21", false},
	        {"listen", "127.0.0.1:80,4437", false},
	        {"listen", " , ", false},
	        {"tls.client_certificates", "optional", true},
	        {"tls.client_certificates", "on", false},
	        {"listen", "4437", false},
	        {"listen", ":4437", false},
	        {"listen", "::1:4437", false},
	        {"listen", "[::1:4437", false},
	        {"listen", "[]:4437", false},
	        {"listen", "127.0.0.1:65536", false},
	        {"listen", "127.0.0.1:", false},
	        {"listen", "127.0.0.1:+1", false},
	        {"sse_workers", "auto", true},
	        {"sse_workers", "256", true},
	        {"sse_workers", "0", false},
	        {"sse_workers", "257", false},
	        {"sse_workers", "many", false},
	        {"http.public_url", "", true},
	        {"http.public_url", "https://ringside.example:8443/base", true},
	        {"http.public_url", "ringside.example", false},
	        {"http.public_url", "https://", false},
	        {"http.public_url", "https://a b", false},
	        {"http.allowed_origin", "*", true},
	        {"http.allowed_origin", "https://a.example,http://b.example:8080,null", true},
	        {"http.allowed_origin", "https://a.example https://b.example", false},
	        {"http.allowed_origin", "*,https://a.example", false},
	        {"http.allowed_origin", "https://a.example/", false},
	        {"http.allowed_origin", "https://a.example,", false},
	        {"http.allowed_origin", "a.example", false},
	        {"http.allowed_origin", "*\r\nset-cookie: a=b", false},
	        {"auth.publish_tokens", "", true},
	        {"auth.publish_tokens", "abc,d-E.f_~+/=", true},
	        {"auth.publish_tokens", "abc,,def", false},
	        {"auth.publish_tokens", ",abc", false},
	        {"auth.publish_tokens", "abc,", false},
	        {"auth.publish_tokens", "abc, def", false},
	        {"auth.source_token", "abc", true},
	        {"auth.source_token", "abc,def", false},
	        {"auth.source_token", "a b", false},
	        {"auth.jwt_keys", "{\"keys\":[]}", false},
	        {"auth.jwt_keys", "nonsense", false},
	        {"auth.jwt_keys",
	         "{\n\t\"kty\": \"OKP\", \"crv\": \"Ed25519\",\n"
	         "\t\"x\": \"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"\n}\n",
	         true},
	        {"auth.jwt_secret", "0123456789abcdef0123456789abcde", false},
	        {"auth.jwt_secret", "0123456789abcdef0123456789abcdef", true},
	        {"auth.jwt_secret", "-----BEGIN PUBLIC KEY-----0123456789abcdef0123456789abcdef",
	         false},
	        {"auth.jwt_jwks_url", "https://id.example.org/jwks.json", true},
	        {"auth.jwt_jwks_url", "https://a.example/j,https://b.example/j", true},
	        {"auth.jwt_jwks_url", "http://127.0.0.1:8080/j", true},
	        {"auth.jwt_jwks_url", "http://id.example.org/jwks.json", false},
	        {"auth.jwt_jwks_url", "https://a.example/j,", false},
	        {"auth.jwt_jwks_url", "https://user:password@a.example/j", false},
	        {"auth.jwt_jwks_url", "file:///etc/passwd", false},
	        {"auth.jwt_issuer", "https://a.example/,urn:b", true},
	        {"auth.jwt_issuer", "https://a.example/,,urn:b", false},
	        {"auth.jwt_issuer", "a b", false},
	        {"auth.jwt_audience", "arena", true},
	        {"auth.jwt_audience", ",", false},
	        {"auth.jwt_algorithms", "ES256,EdDSA", true},
	        {"auth.jwt_algorithms", "none", false},
	        {"auth.jwt_algorithms", "RS512", false},
	        {"auth.jwt_algorithms", "", false},
	        {"bet_sync.token_previous", "abc,def", false},
	        {"data_dir", "", false},
	        {"no.such", "1", false},
	        {"", "1", false},
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct settings s;
		settings_init(&s);
		*reason = '\0';
		if (set(&s, rows[i].key, rows[i].value) != rows[i].fits)
			fail_msg("%s = '%s': %s", rows[i].key, rows[i].value, reason);
		assert_true(rows[i].fits || *reason != '\0');
		settings_finish(&s);
	}
}

/* A 65th was taken, and then was no token. */
static void test_a_list_has_as_many_tokens_as_are_known(void **state)
{
	(void)state;
	struct settings s;
	char tokens[2 * SETTINGS_TOKENS_MAX + 2] = "a";
	settings_init(&s);
	for (size_t i = 1; i < SETTINGS_TOKENS_MAX; i++)
		strcat(tokens, ",a");
	assert_true(set(&s, "auth.publish_tokens", tokens));
	strcat(tokens, ",a");
	assert_false(set(&s, "auth.publish_tokens", tokens));
	assert_string_equal(reason, "auth.publish_tokens: must be 64 tokens at most");
	assert_false(set(&s, "auth.session_tokens", tokens));
	settings_finish(&s);
}

/* Whoever writes 90 means seconds, and would have got milliseconds. */
static void test_a_time_needs_its_unit(void **state)
{
	(void)state;
	struct settings s;
	settings_init(&s);
	assert_false(set(&s, "duel.fight", "90"));
	assert_string_equal(reason, "duel.fight: 90 has no unit: 90s or 90ms?");
	assert_int_equal(s.duel_fight_ms, 270000);
	assert_true(set(&s, "store.retention_age", "0"));
	assert_true(set(&s, "store.retention_age", "0s"));
	assert_true(set(&s, "duel.fight", "90s"));
	/* What is shown can be written. */
	assert_string_equal(settings_show(&s, setting_find(SPAN("duel.fight"))), "90s");
	assert_string_equal(settings_show(&s, setting_find(SPAN("store.ring_bytes"))), "256M");
	assert_string_equal(settings_show(&s, setting_find(SPAN("limits.headers"))), "100");
	for (size_t i = 0; i < setting_rows_count; i++)
		if (!setting_is_text(setting_rows[i].type))
			assert_true(settings_set(&s, span_str(setting_rows[i].key),
			                         span_str(settings_show(&s, &setting_rows[i])),
			                         reason));
	settings_finish(&s);
}

/* Only one of the two was written, so that one has to be named. */
static void test_a_conflict_names_what_was_set(void **state)
{
	(void)state;
	struct settings s;
	settings_init(&s);
	assert_true(set(&s, "store.ring_bytes", "4M"));
	assert_false(settings_validate(&s, reason));
	assert_string_equal(
	        reason,
	        "store.ring_bytes: limits.body_bytes (64M by default) must be at most a quarter of "
	        "store.ring_bytes");
	assert_true(set(&s, "limits.body_bytes", "2M"));
	assert_false(settings_validate(&s, reason));
	assert_string_equal(reason,
	                    "limits.body_bytes: must be at most a quarter of store.ring_bytes");
	settings_finish(&s);
}

static void test_bad_value_changes_nothing(void **state)
{
	(void)state;
	struct settings s;
	settings_init(&s);
	assert_true(set(&s, "dev", "on"));
	assert_false(set(&s, "dev", "maybe"));
	assert_true(s.dev);
	assert_false(set(&s, "limits.headers", "1"));
	assert_int_equal(s.limits_headers, 100);
	assert_string_equal(reason, "limits.headers: must be 8 to 1000");
	assert_false(set(&s, "store.ring_bytes", "1k"));
	assert_string_equal(reason, "store.ring_bytes: must be 4M to 64G");
	assert_false(settings_set(&s, SPAN("data_dir"), SPAN("a\0b"), reason));
	assert_string_equal(s.data_dir, "/var/lib/ringside");
	settings_finish(&s);
}

static void test_a_mistyped_name_is_near_to_one(void **state)
{
	(void)state;
	static const struct {
		const char *name, *text;
	} rows[] = {
	        {"lisen", " (is listen meant?)"},
	        {"listenn", " (is listen meant?)"},
	        {"data-dir", " (is data_dir meant?)"},
	        {"LOG_LEVL", " (is log.level meant?)"},
	        {"Log.Level", " (is log.level meant?)"},
	        {"http.sse_keepalives", " (is http.sse_keepalive meant?)"},
	        {"auth-publish-tokenz", " (is auth.publish_tokens meant?)"},
	        {"", ""},
	        {"de", " (is dev meant?)"},
	        {"d", ""},
	        {"http", ""},
	        {"no_such", ""},
	        {"loglevel", " (is log.level meant?)"},
	        {"level", ""},
	        {"a-name-that-is-longer-than-any-setting-and-still-longer-than-that", ""},
	};
	char text[SETTING_NEAR_ROOM];
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		assert_string_equal(setting_near(span_str(rows[i].name), text), rows[i].text);
}

/* One of a few words is said so, however long the wrong one is. */
static void test_a_wrong_word_is_told_the_right_ones(void **state)
{
	(void)state;
	static const struct {
		const char *key, *reason;
		const char *values[3];
	} rows[] = {
	        {"log.level",
	         "log.level: must be debug, info, warn or error",
	         {"", "foo", "verbose"}},
	        {"log.format", "log.format: must be text or json", {"", "xml", "logfmt"}},
	        {"store.recover",
	         "store.recover: must be refuse or truncate",
	         {"", "yes", "truncated"}},
	        {"sse_workers", "sse_workers: must be auto or 1 to 256", {"", "0", "automatic"}},
	        {"market.operator",
	         "market.operator: must be ledger, webhook, solana, or empty",
	         {"x", "ledgers", "somebody else who pays"}},
	        {"solana.commitment",
	         "solana.commitment: must be finalized or confirmed",
	         {"processed", "Finalized", ""}},
	        {"solana.oracle_program",
	         "solana.oracle_program: must be an address: 32 bytes in base58",
	         {"x", "0", "1111111111111111111111111111111"}},
	        {"solana.key",
	         "solana.key: must be a key pair: 64 numbers in [], or 64 bytes in base58",
	         {"x", "[1,2,3]", "11111111111111111111111111111111"}},
	        {"solana.rpc_url",
	         "solana.rpc_url: must be https://..., or http:// on loopback",
	         {"x", "http://node.example", "ftp://127.0.0.1"}},
	        {"listen",
	         "listen: must be HOST:PORT or [IPV6]:PORT, the port at most 65535, with http:// "
	         "or "
	         "https:// before it or not; several with commas",
	         {"", "4437", "127.0.0.1:70000"}},
	};
	struct settings s;
	settings_init(&s);
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		for (size_t n = 0; n < 3; n++) {
			assert_false(set(&s, rows[i].key, rows[i].values[n]));
			assert_string_equal(reason, rows[i].reason);
		}
	settings_finish(&s);
}

static void test_what_concerns_several_keys(void **state)
{
	(void)state;
	static const struct {
		const char *key, *value, *with, *is;
		bool fits;
	} rows[] = {
	        {"dev", "true", "listen", "127.0.0.1:1", true},
	        {"dev", "true", "listen", "127.9.9.9:1", true},
	        {"dev", "true", "listen", "127.0.0.1:1,0.0.0.0:2", false},
	        {"listen", "https://127.0.0.1:1", "dev", "false", false},
	        {"listen", "https://127.0.0.1:1", "tls.certificates", "c:k", true},
	        {"tls.client_certificates", "required", "dev", "false", false},
	        {"tls.client_certificates", "required", "tls.client_ca_file", "/ca", true},
	        {"dev", "true", "listen", "[::1]:1", true},
	        {"dev", "true", "listen", "localhost:1", true},
	        {"dev", "true", "listen", "0.0.0.0:1", false},
	        {"dev", "true", "listen", "[::]:1", false},
	        {"dev", "true", "listen", "192.168.1.1:1", false},
	        {"dev", "true", "listen", "localhost.evil.example:1", false},
	        {"dev", "true", "listen", "127.0.0.1.evil.example:1", false},
	        {"dev", "false", "listen", "0.0.0.0:1", true},
	        {"store.ring_bytes", "64M", "limits.body_bytes", "16M", true},
	        {"store.ring_bytes", "64M", "limits.body_bytes", "17M", false},
	        {"limits.body_bytes_total", "1M", "limits.body_bytes", "2M", false},
	        {"limits.url_bytes", "64", "limits.path_bytes", "65", false},
	        {"limits.header_bytes", "4k", "limits.url_bytes", "8k", false},
	        {"worker.restart_delay_min", "40s", "worker.restart_delay_max", "30s", false},
	        {"webhook.retry_min", "2s", "webhook.retry_max", "1s", false},
	        {"market.retry_min", "2s", "market.retry_max", "1s", false},
	        {"market.operator", "solana", "solana.rpc_url", "https://node.example", false},
	        {"http.sse_keepalive", "5m", "http.sse_lifetime", "1m", false},
	        {"auth.jwt_jwks_url", "https://a.example/j", "auth.jwt_issuer", "", false},
	        {"auth.jwt_jwks_url", "https://a.example/j", "auth.jwt_issuer", "a,b", true},
	        {"auth.jwt_jwks_url", "https://a.example/j,https://b.example/j", "auth.jwt_issuer",
	         "a,b", true},
	        {"auth.jwt_jwks_url", "https://a.example/j,https://b.example/j", "auth.jwt_issuer",
	         "a", false},
	        {"auth.jwt_refresh_min", "2h", "auth.jwt_refresh_max", "1h", false},
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct settings s;
		settings_init(&s);
		assert_true(set(&s, rows[i].key, rows[i].value));
		assert_true(set(&s, rows[i].with, rows[i].is));
		if (settings_validate(&s, reason) != rows[i].fits)
			fail_msg("%s=%s %s=%s", rows[i].key, rows[i].value, rows[i].with,
			         rows[i].is);
		settings_finish(&s);
	}
}

/* ---- the file ---- */

static bool load(struct settings *s, const char *yaml)
{
	char path[] = "/tmp/ringside-settings-XXXXXX";
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, yaml, strlen(yaml)), strlen(yaml));
	close(fd);
	bool ok = settings_load_file(s, path, reason);
	unlink(path);
	/* "/tmp/ringside-settings-XXXXXX:LINE: ..." becomes "LINE: ..." */
	if (!ok && strncmp(reason, path, strlen(path)) == 0)
		memmove(reason, reason + strlen(path) + 1, strlen(reason + strlen(path) + 1) + 1);
	return ok;
}

static void test_file(void **state)
{
	(void)state;
	struct settings s;
	settings_init(&s);
	assert_true(load(&s, "# a comment\n"
	                     "listen: '[::1]:8080'\n"
	                     "log.level: warn\n"
	                     "store:\n  ring_bytes: 64M\n  checkpoint: 250ms\n"
	                     "limits: {body_bytes: 1M, headers: 50}\n"
	                     "auth:\n  publish_tokens:\n    - one\n    - two\n"
	                     "dev: false\n"));
	assert_string_equal(s.listen, "[::1]:8080");
	assert_string_equal(s.log_level, "warn");
	assert_int_equal(s.store_ring_bytes, 64 << 20);
	assert_int_equal(s.store_checkpoint_ms, 250);
	assert_int_equal(s.limits_headers, 50);
	assert_string_equal(s.auth_publish_tokens, "one,two");
	settings_finish(&s);
}

static void test_empty_files_are_fine(void **state)
{
	(void)state;
	static const char *const files[] = {"", "\n", "---\n", "# nothing\n", "--- {}\n"};
	for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
		struct settings s;
		settings_init(&s);
		if (!load(&s, files[i]))
			fail_msg("'%s': %s", files[i], reason);
		settings_finish(&s);
	}
}

static void test_file_faults_name_the_line(void **state)
{
	(void)state;
	static const struct {
		const char *yaml, *reason;
	} rows[] = {
	        {"listen: 1.2.3.4:5\nlogg:\n  level: info\n", "3: no such section"},
	        {"log:\n  levl: info\n", "2: unknown key 'log.levl' (is log.level meant?)"},
	        {"log:\n  level: loud\n", "2: log.level: must be debug, info, warn or error"},
	        {"log.level: info\nlog:\n  level: warn\n", "3: log.level: given twice"},
	        {"dev: true\ndev: true\n", "2: dev: given twice"},
	        {"log:\n  level: {a: b}\n", "2: no such section"},
	        {"log: [a, b]\n", "1: 'log' is a section: its keys stand below it, or as log.KEY"},
	        {"dev: true\nlog: info\n",
	         "2: 'log' is a section: its keys stand below it, or as log.KEY"},
	        {"auth.publish_tokens: [[a]]\n",
	         "1: a list may hold plain values without commas only"},
	        {"auth.publish_tokens: ['a,b']\n",
	         "1: a list may hold plain values without commas only"},
	        {"data_dir: \"a\\0b\"\n", "1: data_dir: contains a control character"},
	        {"- a\n", "1: 'key: value' is expected here"},
	        {"listen\n", "1: 'key: value' is expected here"},
	        {"dev: &a true\nlisten: *a\n", "2: a value is expected here"},
	        {"? {a: b}\n: c\n", "1: a key is expected here"},
	        {"log:\n\tlevel: info\n", NULL},
	        {"log: {level: info\n", NULL},
	        {"\xff\xfe\x01", NULL},
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct settings s;
		settings_init(&s);
		assert_false(load(&s, rows[i].yaml));
		if (rows[i].reason != NULL)
			assert_string_equal(reason, rows[i].reason);
		assert_true(*reason != '\0');
		settings_finish(&s);
	}
}

/* A conflict of keys names a line too, unless the environment or a flag made it. */
static void test_conflicts_name_the_line(void **state)
{
	(void)state;
	struct settings s;
	char path[] = "/tmp/ringside-settings-XXXXXX", expected[256];
	static const char yaml[] = "log.level: info\nstore:\n  ring_bytes: 16M\n";
	int fd = mkstemp(path);
	assert_int_equal(write(fd, yaml, sizeof yaml - 1), sizeof yaml - 1);
	close(fd);
	settings_init(&s);
	assert_true(settings_load_file(&s, path, reason));
	unlink(path);
	assert_false(settings_validate(&s, reason));
	snprintf(expected, sizeof expected,
	         "%s:3: store.ring_bytes: limits.body_bytes (64M by default) must be at most a "
	         "quarter of store.ring_bytes",
	         path);
	assert_string_equal(reason, expected);
	assert_true(set(&s, "store.ring_bytes", "32M"));
	assert_false(settings_validate(&s, reason));
	assert_string_equal(reason, expected + strlen(path) + 3 + 1);
	settings_finish(&s);
}

static void test_missing_file(void **state)
{
	(void)state;
	struct settings s;
	settings_init(&s);
	assert_false(settings_load_file(&s, "/nonexistent/ringside.yaml", reason));
	assert_non_null(strstr(reason, "No such file"));
	assert_false(settings_load_file(&s, "/tmp", reason));
	assert_string_equal(reason, "/tmp: Is a directory");
	settings_finish(&s);
}

/* ---- environment and flags ---- */

static bool from_environment(struct settings *s, const char *const *environment)
{
	return settings_load_environment(s, (char *const *)(uintptr_t)environment, reason);
}

static void test_names_of_other_registries(void **state)
{
	static const struct {
		const char *environment[6];
		bool aliased, dev;
		const char *listen, *data_dir, *origin, *fault; /* listen NULL: refused */
	} rows[] = {
	        {{"PORT=1", "DATA_DIR=/a", "CORS_ORIGINS=https://a.b"},
	         false,
	         false,
	         "127.0.0.1:4437",
	         "/var/lib/ringside",
	         "*",
	         NULL},
	        {{"PORT=1", "DATA_DIR=/a", "CORS_ORIGINS=https://a.b"},
	         true,
	         false,
	         "0.0.0.0:1",
	         "/a",
	         "https://a.b",
	         NULL},
	        {{"PORT=1", "STREAMS_PORT=2", "STREAMS_DATA_DIR=/b", "DATA_DIR=/a"},
	         true,
	         true,
	         "127.0.0.1:2",
	         "/b",
	         "*",
	         NULL},
	        {{"PORT=1", "STREAMS_PORT=", "RINGSIDE_DATA_DIR=/c", "DATA_DIR=/a"},
	         true,
	         false,
	         "0.0.0.0:1",
	         "/c",
	         "*",
	         NULL},
	        {{"PORT=", "XPORT=1", "PORTS=1"},
	         true,
	         false,
	         "127.0.0.1:4437",
	         "/var/lib/ringside",
	         "*",
	         NULL},
	        {{"PORT=18490abc"},
	         true,
	         false,
	         NULL,
	         NULL,
	         NULL,
	         "environment: PORT: must be 1 to 65535"},
	        {{"STREAMS_PORT=0"},
	         true,
	         false,
	         NULL,
	         NULL,
	         NULL,
	         "environment: STREAMS_PORT: must be 1 to 65535"},
	        {{"PORT=65536"},
	         true,
	         false,
	         NULL,
	         NULL,
	         NULL,
	         "environment: PORT: must be 1 to 65535"},
	};
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct settings s;
		char *const *environment = (char *const *)(uintptr_t)rows[i].environment;
		settings_init(&s);
		assert_true(settings_load_environment(&s, environment, reason));
		s.environment_aliases = rows[i].aliased;
		s.dev = rows[i].dev;
		assert_int_equal(settings_load_aliases(&s, environment, reason),
		                 rows[i].listen != NULL);
		if (rows[i].listen != NULL) {
			assert_string_equal(s.listen, rows[i].listen);
			assert_string_equal(s.data_dir, rows[i].data_dir);
			assert_string_equal(s.http_allowed_origin, rows[i].origin);
		} else {
			assert_string_equal(reason, rows[i].fault);
		}
		settings_finish(&s);
	}
}

static void test_environment(void **state)
{
	(void)state;
	struct settings s;
	settings_init(&s);
	static const char *const good[] = {"PATH=/bin",
	                                   "RINGSIDE_CONFIG=/etc/ringside.yaml",
	                                   "RINGSIDE_STORE_RING_BYTES=8M",
	                                   "RINGSIDE_LISTEN=[::1]:1",
	                                   "RINGSIDE_SERVICE_HOST=10.0.0.1",
	                                   "RINGSIDE_METRICS_SERVICE_HOST=10.0.0.1",
	                                   "RINGSIDE_METRICS_SERVICE_PORT=4437",
	                                   "RINGSIDE_METRICS_SERVICE_PORT_HTTP=4437",
	                                   "RINGSIDE_METRICS_PORT=tcp://10.0.0.1:4437",
	                                   "RINGSIDE_METRICS_PORT_4437_TCP=tcp://10.0.0.1:4437",
	                                   "RINGSIDE_METRICS_PORT_4437_TCP_PROTO=tcp",
	                                   "RINGSIDE_METRICS_PORT_4437_UDP_ADDR=10.0.0.1",
	                                   "RINGSIDE_SERVICE_PORT_HTTP=4437",
	                                   "RINGSIDE_PORT=tcp://10.0.0.1:4437",
	                                   "RINGSIDE_PORT_4437_TCP=tcp://10.0.0.1:4437",
	                                   NULL};
	assert_true(from_environment(&s, good));
	assert_int_equal(s.store_ring_bytes, 8 << 20);
	assert_string_equal(s.listen, "[::1]:1");
	static const char *const mistaken[] = {"RINGSIDE_METRICS_PORT=80", NULL};
	assert_false(from_environment(&s, mistaken));
	static const char *const unknown[] = {"RINGSIDE_STORE_RING=8M", NULL};
	assert_false(from_environment(&s, unknown));
	assert_string_equal(reason, "environment: unknown variable RINGSIDE_STORE_RING");
	static const char *const wrong[] = {"RINGSIDE_DEV=perhaps", NULL};
	assert_false(from_environment(&s, wrong));
	assert_string_equal(reason, "environment: RINGSIDE_DEV: dev: must be true or false");
	settings_finish(&s);
}

static void test_flags(void **state)
{
	(void)state;
	static const struct {
		const char *first, *second;
		int used;
	} rows[] = {
	        {"--listen", "127.0.0.1:9", 2},
	        {"--listen=127.0.0.1:9", NULL, 1},
	        {"--listen", NULL, -1},
	        {"--listen", "nonsense", -1},
	        {"--dev", "positional", 1},
	        {"--dev=false", NULL, 1},
	        {"--dev=", NULL, -1},
	        {"--data-dir", "/tmp/x", 2},
	        {"--sse-workers", "3", 2},
	        {"--store-ring-bytes", "8M", 2},
	        {"--store.ring_bytes", "8M", 0},
	        {"--no-such", "1", 0},
	        {"--", NULL, 0},
	        {"listen", NULL, 0},
	        {"-l", NULL, 0},
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct settings s;
		settings_init(&s);
		char *argv[] = {(char *)(uintptr_t)rows[i].first, (char *)(uintptr_t)rows[i].second,
		                NULL};
		int argc = rows[i].second != NULL ? 2 : 1;
		int used = settings_load_flag(&s, argc, argv, reason);
		if (used != rows[i].used)
			fail_msg("%s used %d", rows[i].first, used);
		settings_finish(&s);
	}
}

static bool spelled_alike(const char *a, const char *b)
{
	while (*a != '\0' && (*a == *b || (strchr("._", *a) && *b != '\0' && strchr("._", *b)))) {
		a++;
		b++;
	}
	return *a == *b;
}

/* Dots and underscores fall together in variables and flags: no two keys may. */
static void test_spellings_are_distinct(void **state)
{
	(void)state;
	for (size_t i = 0; i < setting_rows_count; i++) {
		char name[256];
		snprintf(name, sizeof name, "--%s=%s", setting_rows[i].key, setting_rows[i].def);
		for (char *c = name; *c != '=' && *c != '\0'; c++)
			*c = *c == '.' || *c == '_' ? '-' : *c;
		struct settings s;
		settings_init(&s);
		char *argv[] = {name, NULL};
		assert_int_equal(settings_load_flag(&s, 1, argv, reason), 1);
		settings_finish(&s);
	}
	for (size_t i = 0; i < setting_rows_count; i++)
		for (size_t k = 0; k < i; k++)
			assert_false(spelled_alike(setting_rows[i].key, setting_rows[k].key));
}

/* ---- as text ---- */

static void count_row(void *arg, const struct setting_row *row)
{
	(void)row;
	++*(size_t *)arg;
}

static size_t differences(const struct settings *a, const struct settings *b)
{
	size_t count = 0;
	settings_diff(a, b, count_row, &count);
	return count;
}

/* In a block of exact size: frames are not NUL-terminated. */
static bool from_text(struct settings *s, const char *text, size_t len)
{
	uint8_t *copy = malloc(len != 0 ? len : 1);
	assert_non_null(copy);
	memcpy(copy, text, len);
	bool ok = settings_from_text(s, span_of(copy, len), reason);
	free(copy);
	return ok;
}

static void test_text_round_trip(void **state)
{
	(void)state;
	struct settings a, b;
	settings_init(&a);
	settings_init(&b);
	assert_true(set(&a, "data_dir", "/srv/100%41 = \xc3\xbc/%"));
	assert_true(set(&a, "auth.publish_tokens", "a==,b"));
	assert_true(set(&a, "log.level", "debug"));
	assert_true(set(&a, "auth.token_rows", "a sha256:x\r\n\n# %0a\tb\n"));
	assert_false(set(&a, "auth.token_rows", "a\x01"));
	assert_int_equal(differences(&a, &b), 4);
	char *text = settings_text(&a);
	assert_true(from_text(&b, text, strlen(text)));
	assert_int_equal(differences(&a, &b), 0);
	assert_string_equal(b.data_dir, "/srv/100%41 = \xc3\xbc/%");
	assert_string_equal(b.auth_token_rows, "a sha256:x\r\n\n# %0a\tb\n");
	free(text);
	settings_finish(&a);
	settings_finish(&b);
}

static void test_longest_settings_fit_their_message(void **state)
{
	(void)state;
	struct settings s;
	settings_init(&s);
	for (size_t i = 0; i < setting_rows_count; i++) {
		const struct setting_row *row = &setting_rows[i];
		if (!setting_is_text(row->type))
			continue;
		char *value = malloc(row->max + 1);
		assert_non_null(value);
		memset(value, '%', row->max); /* the worst: three bytes each */
		value[row->max] = '\0';
		set(&s, row->key, value);
		memset(value, 'a', row->max);
		set(&s, row->key, value);
		free(value);
	}
	char *text = settings_text(&s);
	assert_true(strlen(text) <= PROTO_SETTINGS_BYTES_MAX);
	free(text);
	settings_finish(&s);
}

static void test_truncated_text(void **state)
{
	(void)state;
	struct settings s;
	settings_init(&s);
	char *text = settings_text(&s);
	size_t len = strlen(text);
	for (size_t n = 0; n < len; n++) {
		struct settings other;
		settings_init(&other);
		bool ok = from_text(&other, text, n);
		assert_true(ok == (n == 0 || text[n - 1] == '\n'));
		settings_finish(&other);
	}
	free(text);
	static const char *const hostile[] = {"=\n",        "=",       "\n",
	                                      "dev\n",      "dev=%\n", "dev=%2\n",
	                                      "data_dir=%", "no=1\n",  "data_dir=%0a\n"};
	for (size_t i = 0; i < sizeof hostile / sizeof *hostile; i++)
		assert_false(from_text(&s, hostile[i], strlen(hostile[i])));
	assert_true(from_text(&s, "data_dir=%4\n", 12));
	assert_string_equal(s.data_dir, "%4");
	settings_finish(&s);
}

static void test_secrets_are_not_shown(void **state)
{
	(void)state;
	struct settings s;
	settings_init(&s);
	assert_true(set(&s, "auth.metrics_token", "hush"));
	assert_true(set(&s, "market.webhook_url", "https://hush:hush@example.org/hush"));
	assert_true(set(&s, "sessions.validate_url", "http://hush:hush@10.0.0.1:81/hush"));
	for (size_t i = 0; i < setting_rows_count; i++)
		assert_null(strstr(settings_show(&s, &setting_rows[i]), "hush"));
	assert_memory_equal(settings_show(&s, setting_find(SPAN("market.webhook_url"))),
	                    "https://example.org/#", 21);
	assert_memory_equal(settings_show(&s, setting_find(SPAN("sessions.validate_url"))),
	                    "http://10.0.0.1:81/#", 20);
	settings_finish(&s);
}

/* A row says by its type that nobody is shown it. Those that hold a path or a name may be text. */
static void test_what_sounds_secret_is_one(void **state)
{
	(void)state;
	static const char *const sounds[] = {"token", "secret", "password"};
	static const char *const paths[] = {"auth.tokens", "secrets_dir"};
	for (size_t i = 0; i < setting_rows_count; i++) {
		const struct setting_row *row = &setting_rows[i];
		bool path = false;
		for (size_t n = 0; n < sizeof paths / sizeof *paths; n++)
			path = path || strcmp(row->key, paths[n]) == 0;
		for (size_t n = 0; n < sizeof sounds / sizeof *sounds; n++)
			if (row->type == SETTING_text && !path && strstr(row->key, sounds[n]))
				fail_msg("%s is for everybody to see", row->key);
	}
}

static void test_numbers_as_written(void **state)
{
	(void)state;
	static const struct {
		enum setting_type type;
		uint64_t n;
		const char *text;
	} rows[] = {{SETTING_bytes, 0, "0"},
	            {SETTING_bytes, 1023, "1023"},
	            {SETTING_bytes, 65536, "64k"},
	            {SETTING_bytes, 1ull << 40, "1T"},
	            {SETTING_ms, 1500, "1500ms"},
	            {SETTING_ms, 7200000, "2h"},
	            {SETTING_count, 1000000, "1000000"}};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		char buf[32];
		assert_string_equal(setting_number_text(rows[i].type, rows[i].n, buf),
		                    rows[i].text);
	}
}

/* What a reload does. */
static void renew(struct settings_source *source, const char *level, const char *ca_file)
{
	struct settings next;
	settings_copy(&next, source->newest);
	assert_true(settings_set(&next, SPAN("log.level"), span_str(level), reason));
	assert_true(settings_set(&next, SPAN("tls.ca_file"), span_str(ca_file), reason));
	settings_renew(&source->newest, &next);
	assert_null(next.tls_ca_file); /* taken over, not copied */
}

/* Whoever keeps a snapshot keeps its values and the texts where they are, whatever is reloaded;
 * whoever reads through the source sees the newest. That the last drop frees it, and no earlier
 * one, ASan sees. */
static void test_a_kept_snapshot_outlives_reloads(void **state)
{
	(void)state;
	struct settings value;
	struct settings_source source = {NULL};
	settings_init(&value);
	settings_renew(&source.newest, &value);
	const struct settings *first = settings_keep(source.newest), *again = settings_keep(first);
	const char *ca_file = first->tls_ca_file, *level = first->log_level;
	renew(&source, "debug", "/a.pem");
	const struct settings *second = settings_keep(source.newest);
	renew(&source, "error", "/b.pem");
	assert_ptr_equal(again, first);
	assert_ptr_equal(first->tls_ca_file, ca_file);
	settings_drop(&again);
	assert_null(again);
	assert_string_equal(ca_file, "/etc/ssl/certs/ca-certificates.crt");
	assert_string_equal(level, "info");
	assert_string_equal(second->log_level, "debug");
	assert_string_equal(source.newest->log_level, "error");
	settings_drop(&first);
	settings_drop(&source.newest);
	assert_string_equal(second->tls_ca_file, "/a.pem");
	settings_drop(&second);
	settings_drop(&second);
}

static void test_a_snapshot_with_another_key(void **state)
{
	(void)state;
	struct settings value;
	settings_init(&value);
	value.file = "ringside.yaml";
	const struct settings *kept = settings_freeze(&value), *first = settings_keep(kept);
	assert_null(kept->file);
	assert_false(settings_renew_key(&kept, SPAN("log.level"), SPAN("loud"), reason));
	assert_string_equal(reason, "log.level: must be debug, info, warn or error");
	assert_ptr_equal(kept, first);
	assert_true(settings_renew_key(&kept, SPAN("log.level"), SPAN("debug"), reason));
	assert_string_equal(kept->log_level, "debug");
	assert_string_equal(first->log_level, "info");
	settings_drop(&first);
	settings_drop(&kept);
}

/* A process that runs gets what is LIVE; what it was started with stays else. */
static void test_a_process_that_runs_gets_what_is_live(void **state)
{
	(void)state;
	struct settings value;
	settings_init(&value);
	const struct settings *given = settings_freeze(&value), *first = settings_keep(given),
	                      *newest = settings_keep(given);
	assert_true(settings_renew_key(&newest, SPAN("log.format"), SPAN("json"), reason));
	assert_true(settings_renew_key(&newest, SPAN("feed.default"), SPAN("ring"), reason));
	assert_false(settings_renew_live(&given, newest)); /* WORKERS and START */
	assert_ptr_equal(given, first);
	assert_true(settings_renew_key(&newest, SPAN("log.level"), SPAN("debug"), reason));
	assert_true(settings_renew_live(&given, newest));
	assert_string_equal(given->log_level, "debug");
	assert_string_equal(given->log_format, "text");
	assert_string_equal(given->feed_default, "arena");
	assert_string_equal(first->log_level, "info");
	assert_false(settings_renew_live(&given, newest));
	settings_drop(&given);
	settings_drop(&first);
	settings_drop(&newest);
}

/* The page in docs/ is what the table says now: ringside reference > docs/configuration.md */
static void test_reference_is_current(void **state)
{
	(void)state;
	char *printed = NULL;
	size_t len;
	FILE *out = open_memstream(&printed, &len);
	assert_non_null(out);
	settings_print_reference(out);
	assert_int_equal(fclose(out), 0);
	FILE *page = fopen(SOURCE_ROOT "/docs/configuration.md", "rb");
	assert_non_null(page);
	char *committed = malloc(len + 2);
	assert_non_null(committed);
	size_t have = fread(committed, 1, len + 1, page);
	fclose(page);
	committed[have] = '\0';
	assert_string_equal(committed, printed);
	free(committed);
	free(printed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_defaults_are_valid),
	        cmocka_unit_test(test_values),
	        cmocka_unit_test(test_a_list_has_as_many_tokens_as_are_known),
	        cmocka_unit_test(test_a_time_needs_its_unit),
	        cmocka_unit_test(test_a_conflict_names_what_was_set),
	        cmocka_unit_test(test_bad_value_changes_nothing),
	        cmocka_unit_test(test_a_wrong_word_is_told_the_right_ones),
	        cmocka_unit_test(test_a_mistyped_name_is_near_to_one),
	        cmocka_unit_test(test_what_concerns_several_keys),
	        cmocka_unit_test(test_file),
	        cmocka_unit_test(test_empty_files_are_fine),
	        cmocka_unit_test(test_file_faults_name_the_line),
	        cmocka_unit_test(test_conflicts_name_the_line),
	        cmocka_unit_test(test_missing_file),
	        cmocka_unit_test(test_environment),
	        cmocka_unit_test(test_names_of_other_registries),
	        cmocka_unit_test(test_flags),
	        cmocka_unit_test(test_spellings_are_distinct),
	        cmocka_unit_test(test_text_round_trip),
	        cmocka_unit_test(test_longest_settings_fit_their_message),
	        cmocka_unit_test(test_truncated_text),
	        cmocka_unit_test(test_secrets_are_not_shown),
	        cmocka_unit_test(test_what_sounds_secret_is_one),
	        cmocka_unit_test(test_numbers_as_written),
	        cmocka_unit_test(test_a_kept_snapshot_outlives_reloads),
	        cmocka_unit_test(test_a_snapshot_with_another_key),
	        cmocka_unit_test(test_a_process_that_runs_gets_what_is_live),
	        cmocka_unit_test(test_reference_is_current),
	};
	return cmocka_run_group_tests_name("settings", tests, NULL, NULL);
}
