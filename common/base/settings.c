#include "common/base/settings.h"
#include "common/base/address.h"
#include "common/base/browser_arguments.h"
#include "common/base/content_coding.h"
#include "common/base/check.h"
#include "common/base/settings_jwt.h"
#include "common/base/settings_solana.h"
#include "common/base/origin.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>

#define SETTING_ROW(field, key, type, def, min, max, when, help)                                   \
	{key,                                                                                      \
	 def,                                                                                      \
	 help,                                                                                     \
	 SETTING_##type,                                                                           \
	 SETTING_##when,                                                                           \
	 min,                                                                                      \
	 max,                                                                                      \
	 offsetof(struct settings, field)},
const struct setting_row setting_rows[] = {SETTINGS(SETTING_ROW)};
const size_t setting_rows_count = sizeof setting_rows / sizeof *setting_rows;

static void *field_of(const struct settings *settings, const struct setting_row *row)
{
	return (uint8_t *)(uintptr_t)settings + row->offset;
}

const struct setting_row *setting_find(struct span key)
{
	for (size_t i = 0; i < setting_rows_count; i++)
		if (span_equal(key, span_str(setting_rows[i].key)))
			return &setting_rows[i];
	return NULL;
}

/* ---- values ---- */

struct unit {
	const char *name;
	uint64_t factor;
};
static const struct unit units_bytes[] = {{"", 1},        {"k", 1 << 10},    {"M", 1 << 20},
                                          {"G", 1 << 30}, {"T", 1ull << 40}, {NULL, 0}};
static const struct unit units_ms[] = {{"ms", 1},      {"s", 1000},     {"m", 60000},
                                       {"h", 3600000}, {"d", 86400000}, {NULL, 0}};
static const struct unit units_none[] = {{"", 1}, {NULL, 0}};

static bool parse_number(const char *text, const struct unit *units, uint64_t *out)
{
	if (!isdigit((unsigned char)*text))
		return false;
	char *end;
	errno = 0;
	uint64_t n = strtoull(text, &end, 10);
	if (errno != 0)
		return false;
	for (; units->name != NULL; units++)
		if (strcmp(end, units->name) == 0)
			return !__builtin_mul_overflow(n, units->factor, out);
	return false;
}

static bool parse_flag(const char *text, bool *out)
{
	*out = strcmp(text, "true") == 0 || strcmp(text, "yes") == 0 || strcmp(text, "on") == 0 ||
	       strcmp(text, "1") == 0;
	return *out || strcmp(text, "false") == 0 || strcmp(text, "no") == 0 ||
	       strcmp(text, "off") == 0 || strcmp(text, "0") == 0;
}

static const struct unit *units_of(enum setting_type type)
{
	return type == SETTING_bytes ? units_bytes : type == SETTING_ms ? units_ms : units_none;
}

/* Below it stands what else would stand at the root, so it may shadow nothing. */
static bool base_path_fits(const char *path)
{
	static const char letters[] =
	        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._~-";
	static const char *const taken[] = {"v1",       "api",  "stream", "streams",
	                                    "sessions", "page", "arena",  "health"};
	const char *at = path;
	for (size_t n = 0; *at != '\0'; n++) {
		size_t len = *at == '/' ? strspn(at + 1, letters) : 0;
		if (len == 0 || (at[1] == '.' && (len == 1 || (len == 2 && at[2] == '.'))))
			return false;
		for (size_t i = 0; n == 0 && i < sizeof taken / sizeof *taken; i++)
			if (strlen(taken[i]) == len && memcmp(at + 1, taken[i], len) == 0)
				return false;
		at += 1 + len;
	}
	return true;
}

static bool bad(char reason[SETTINGS_REASON_MAX], const char *key, const char *what)
{
	snprintf(reason, SETTINGS_REASON_MAX, "%s: %s", key, what);
	return false;
}

const char *setting_number_text(enum setting_type type, uint64_t n, char buf[32])
{
	const struct unit *best = units_none;
	for (const struct unit *u = units_of(type); u->name != NULL; u++)
		if (n != 0 && u->factor >= best->factor && n % u->factor == 0 && *u->name != '\0')
			best = u;
	snprintf(buf, 32, "%llu%s", (unsigned long long)(n / best->factor), best->name);
	return buf;
}

static bool in_bounds(const struct setting_row *row, uint64_t n, char reason[SETTINGS_REASON_MAX])
{
	char min[32], max[32];
	if (n >= row->min && n <= row->max)
		return true;
	snprintf(reason, SETTINGS_REASON_MAX, "%s: must be %s to %s%s", row->key,
	         setting_number_text(row->type, row->min, min),
	         setting_number_text(row->type, row->max, max),
	         setting_is_text(row->type) ? " characters long" : "");
	return false;
}

static bool one_of(const char *value, const char *const *allowed)
{
	for (; *allowed != NULL; allowed++)
		if (strcmp(value, *allowed) == 0)
			return true;
	return false;
}

static bool is_url(const char *value)
{
	size_t scheme = strncmp(value, "http://", 7) == 0    ? 7
	                : strncmp(value, "https://", 8) == 0 ? 8
	                                                     : 0;
	return scheme != 0 && value[scheme] != '\0' && value[scheme] != '/' &&
	       strpbrk(value, " ?#\"<>\\") == NULL;
}

/* What is sent decides about money: in the clear on this machine only. */
static bool webhook_url_fits(const char *value)
{
	return is_url(value) &&
	       (strncmp(value, "https://", 8) == 0 || strncmp(value, "http://127.", 11) == 0 ||
	        strncmp(value, "http://localhost", 16) == 0);
}

/* Of a page that is fetched from a server. */
static bool is_origin(const char *value)
{
	char text[ORIGIN_ROOM];
	return is_url(value) && origin_read(span_str(value), text);
}

/* Comma-separated, of what a Bearer credential may consist of (RFC 6750 §2.1), none empty. */
static bool are_tokens(const char *value)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	                              "0123456789-._~+/=";
	while (*value != '\0') {
		size_t len = strspn(value, allowed);
		if (len == 0 || (value[len] == ',' ? value[len + 1] == '\0' : value[len] != '\0'))
			return false;
		value += len + (value[len] == ',');
	}
	return true;
}

static size_t items_of(const char *list)
{
	size_t count = *list != '\0';
	for (; *list != '\0'; list++)
		count += *list == ',';
	return count;
}

static bool has_control(const char *value, size_t len, bool lines)
{
	for (size_t i = 0; i < len; i++) {
		bool blank = value[i] == '\n' || value[i] == '\r' || value[i] == '\t';
		if (((unsigned char)value[i] < 0x20 && !(lines && blank)) || value[i] == 0x7f)
			return true;
	}
	return false;
}

_Static_assert(SETTINGS_TOKENS_MAX == 64, "as the reason below says");

static bool listen_fits(const char *value)
{
	struct settings_listen one;
	enum settings_listen_result result;
	unsigned count = 0;
	while ((result = settings_next_listen(&value, &one)) == SETTINGS_LISTEN_ONE)
		count++;
	return result == SETTINGS_LISTEN_END && count > 0;
}

/* Texts with a grammar of their own. */
static bool text_fits(const struct setting_row *row, const char *value,
                      char reason[SETTINGS_REASON_MAX])
{
	static const char *const levels[] = {"debug", "info", "warn", "error", NULL};
	static const char *const formats[] = {"text", "json", NULL};
	static const char *const clients[] = {"off", "optional", "required", NULL};
	static const char *const recoveries[] = {"refuse", "truncate", NULL};
	static const char *const sandboxes[] = {"auto", "required", "off", NULL};
	static const char *const writes[] = {"proxy", "redirect", NULL};
	uint64_t n;
	if (strcmp(row->key, "cluster.writes") == 0 && !one_of(value, writes))
		return bad(reason, row->key, "must be proxy or redirect");
	if (strcmp(row->key, "cluster.follow") == 0 && *value != '\0' &&
	    (!is_url(value) || value[strlen(value) - 1] == '/'))
		return bad(reason, row->key, "must be http://HOST:PORT or https://HOST:PORT");
	if (strcmp(row->key, "log.level") == 0 && !one_of(value, levels))
		return bad(reason, row->key, "must be debug, info, warn or error");
	if (strcmp(row->key, "log.format") == 0 && !one_of(value, formats))
		return bad(reason, row->key, "must be text or json");
	if (strcmp(row->key, "store.recover") == 0 && !one_of(value, recoveries))
		return bad(reason, row->key, "must be refuse or truncate");
	if (strcmp(row->key, "sandbox") == 0 && !one_of(value, sandboxes))
		return bad(reason, row->key, "must be auto, required or off");
	bool listens = strcmp(row->key, "listen") == 0 ||
	               (strcmp(row->key, "hub.listen") == 0 && *value != '\0');
	if (listens && !listen_fits(value))
		return bad(
		        reason, row->key,
		        "must be HOST:PORT or [IPV6]:PORT, the port at most 65535, with http:// or "
		        "https:// before it or not; several with commas");
	if (strcmp(row->key, "tls.client_certificates") == 0 && !one_of(value, clients))
		return bad(reason, row->key, "must be off, optional or required");
	if (strcmp(row->key, "sse_workers") == 0 && strcmp(value, "auto") != 0 &&
	    (!parse_number(value, units_none, &n) || n < 1 || n > 256))
		return bad(reason, row->key, "must be auto or 1 to 256");
	if (strcmp(row->key, "capture.browser_uids") == 0 && *value != '\0' &&
	    !settings_split_range(value, &n, &n))
		return bad(reason, row->key, "must be FIRST-LAST, two uids above 0");
	if (strcmp(row->key, "capture.browser") == 0 && *value != '\0' && *value != '/' &&
	    strcmp(value, "chromium") != 0)
		return bad(reason, row->key, "must be an absolute path, or chromium");
	if (strcmp(row->key, "capture.browser_arguments") == 0) {
		struct browser_arguments arguments;
		char fault[160];
		if (!browser_arguments_read(&arguments, value, fault))
			return bad(reason, row->key, fault);
	}
	if (strcmp(row->key, "capture.ffmpeg") == 0 && *value != '/')
		return bad(reason, row->key, "must be an absolute path");
	if (strcmp(row->key, "capture.url") == 0 && *value != '\0' &&
	    strncmp(value, "http://", 7) != 0 && strncmp(value, "https://", 8) != 0)
		return bad(reason, row->key, "must begin with http:// or https://");
	if (strcmp(row->key, "http.public_url") == 0 && *value != '\0' && !is_url(value))
		return bad(reason, row->key,
		           "must be http://HOST or https://HOST, maybe with a path");
	if (strcmp(row->key, "sessions.base_path") == 0 && !base_path_fits(value))
		return bad(reason, row->key,
		           "must be /NAME or /NAME/NAME..., of A-Z a-z 0-9 . _ ~ -, and the first "
		           "none that paths of Ringside begin with");
	if (strcmp(row->key, "http.allowed_origin") == 0 && origins_fault(value) != NULL)
		return bad(reason, row->key, origins_fault(value));
	if (strcmp(row->key, "http.compression") == 0 &&
	    !content_coding_list(value, &(unsigned){0}))
		return bad(reason, row->key, "must be off, or a list of zstd, br and gzip");
	if (strcmp(row->key, "health.status_dir") == 0 && *value != '\0' && *value != '/')
		return bad(reason, row->key, "must be an absolute path");
	if (strcmp(row->key, "market.operator") == 0 && *value != '\0' &&
	    strcmp(value, "ledger") != 0 && strcmp(value, "webhook") != 0 &&
	    strcmp(value, "solana") != 0)
		return bad(reason, row->key, "must be ledger, webhook, solana, or empty");
	if (settings_solana_fault(row->key, value) != NULL)
		return bad(reason, row->key, settings_solana_fault(row->key, value));
	if (strcmp(row->key, "solana.rpc_url") == 0 && *value != '\0' && !webhook_url_fits(value))
		return bad(reason, row->key, "must be https://..., or http:// on loopback");
	if (strcmp(row->key, "market.webhook_url") == 0 && *value != '\0' &&
	    !webhook_url_fits(value))
		return bad(reason, row->key, "must be https://..., or http:// on loopback");
	if (strstr(row->key, "allow_private") != NULL &&
	    !address_list_fits(value, &(struct span){0}))
		return bad(reason, row->key, "must be a list of HOST, HOST:PORT, [IPV6] or *");
	if (strcmp(row->key, "bet_sync.allowed_origin") == 0 && *value != '\0' && !is_origin(value))
		return bad(reason, row->key,
		           "must be one origin: http:// or https://, host, maybe a port");
	if (settings_jwt_fault(row->key, value) != NULL)
		return bad(reason, row->key, settings_jwt_fault(row->key, value));
	bool token = row->type == SETTING_token, tokens = row->type == SETTING_tokens;
	if (token && strchr(value, ',') != NULL)
		return bad(reason, row->key, "must be one token");
	if ((token || tokens) && !are_tokens(value))
		return bad(reason, row->key,
		           "must be tokens of letters, digits and -._~+/= with commas between");
	if (tokens && items_of(value) > SETTINGS_TOKENS_MAX)
		return bad(reason, row->key, "must be 64 tokens at most");
	return true;
}

static bool set_text(const struct setting_row *row, char **field, struct span value,
                     char reason[SETTINGS_REASON_MAX])
{
	if (has_control((const char *)value.at, value.len, row->type == SETTING_secret_lines))
		return bad(reason, row->key, "contains a control character");
	char *text = xmemdup_text(value.at, value.len);
	/* What it must be says more than how long. */
	if (!text_fits(row, text, reason) || !in_bounds(row, value.len, reason)) {
		free(text);
		return false;
	}
	free(*field);
	*field = text;
	return true;
}

static bool set_flag(const struct setting_row *row, bool *field, const char *text,
                     char reason[SETTINGS_REASON_MAX])
{
	bool value;
	if (!parse_flag(text, &value))
		return bad(reason, row->key, "must be true or false");
	*field = value;
	return true;
}

static bool set_number(const struct setting_row *row, uint64_t *field, const char *text,
                       char reason[SETTINGS_REASON_MAX])
{
	uint64_t n;
	bool bare = parse_number(text, units_none, &n);
	if (row->type == SETTING_ms && bare && n != 0) {
		snprintf(reason, SETTINGS_REASON_MAX, "%s: %.40s has no unit: %.40ss or %.40sms?",
		         row->key, text, text, text);
		return false;
	}
	if (!(bare && n == 0) && !parse_number(text, units_of(row->type), &n))
		return bad(reason, row->key,
		           row->type == SETTING_bytes ? "must be a size such as 65536, 64k or 2M"
		           : row->type == SETTING_ms  ? "must be a time such as 500ms, 10s or 2h"
		                                      : "must be a whole number");
	if (!in_bounds(row, n, reason))
		return false;
	if (n > 0 && n < 16 &&
	    (strcmp(row->key, "sessions.width") == 0 || strcmp(row->key, "sessions.height") == 0))
		return bad(reason, row->key, "must be 16 or more, or 0");
	*field = n;
	return true;
}

static void set_place(struct setting_place *place, const struct setting_place *from)
{
	char *path = from->path != NULL
	                     ? xmemdup_text((const uint8_t *)from->path, strlen(from->path))
	                     : NULL;
	free(place->path);
	*place = *from;
	place->path = path;
}

bool settings_set(struct settings *settings, struct span key, struct span value,
                  char reason[SETTINGS_REASON_MAX])
{
	const struct setting_row *row = setting_find(key);
	check(settings->holders == 0);
	if (row == NULL) {
		char near[SETTING_NEAR_ROOM];
		snprintf(reason, SETTINGS_REASON_MAX, "unknown key '%.*s'%s",
		         key.len < 128 ? (int)key.len : 128, key.at, setting_near(key, near));
		return false;
	}
	void *field = field_of(settings, row);
	bool ok;
	if (setting_is_text(row->type)) {
		ok = set_text(row, field, value, reason);
	} else {
		char *text = xmemdup_text(value.at, value.len);
		ok = row->type == SETTING_flag ? set_flag(row, field, text, reason)
		                               : set_number(row, field, text, reason);
		free(text);
	}
	if (ok)
		set_place(&settings->places[row - setting_rows], &(struct setting_place){0});
	return ok;
}

void settings_init(struct settings *settings)
{
	char reason[SETTINGS_REASON_MAX];
	*settings = (struct settings){0};
	for (size_t i = 0; i < setting_rows_count; i++) {
		const struct setting_row *row = &setting_rows[i];
		if (!settings_set(settings, span_str(row->key), span_str(row->def), reason))
			fatal("default of %s", reason);
	}
}

void settings_finish(struct settings *settings)
{
	check(settings->holders == 0);
	for (size_t i = 0; i < setting_rows_count; i++)
		if (setting_is_text(setting_rows[i].type))
			free(*(char **)field_of(settings, &setting_rows[i]));
	for (size_t i = 0; i < setting_rows_count; i++)
		free(settings->places[i].path);
	*settings = (struct settings){0};
}

static const char *value_text(const struct settings *settings, const struct setting_row *row,
                              char buf[32])
{
	const void *field = field_of(settings, row);
	if (setting_is_text(row->type))
		return *(char *const *)field;
	if (row->type == SETTING_flag)
		return *(const bool *)field ? "true" : "false";
	return setting_number_text(row->type, *(const uint64_t *)field, buf);
}

/* ---- what concerns several keys ---- */

bool settings_split_range(const char *text, uint64_t *first, uint64_t *last)
{
	char from[16];
	size_t len = strcspn(text, "-");
	if (text[len] != '-' || len >= sizeof from)
		return false;
	memcpy(from, text, len);
	from[len] = '\0';
	uint64_t low, high;
	if (!parse_number(from, units_none, &low) ||
	    !parse_number(text + len + 1, units_none, &high))
		return false;
	*first = low;
	*last = high;
	return low > 0 && low <= high && high < INT32_MAX;
}

static bool split_listen(const char *from, const char *to, struct settings_listen *one)
{
	const char *colon = memrchr(from, ':', (size_t)(to - from));
	uint64_t n;
	if (colon == NULL || colon == from || to - colon < 2 || to - colon > 6)
		return false;
	snprintf(one->port, sizeof one->port, "%.*s", (int)(to - colon - 1), colon + 1);
	if (!parse_number(one->port, units_none, &n) || n > 65535)
		return false;
	to = colon;
	if (*from == '[') {
		if (to[-1] != ']')
			return false;
		from++;
		to--;
	} else if (memchr(from, ':', (size_t)(to - from)) != NULL) {
		return false;
	}
	if (to <= from || (size_t)(to - from) >= sizeof one->host)
		return false;
	snprintf(one->host, sizeof one->host, "%.*s", (int)(to - from), from);
	return true;
}

enum settings_listen_result settings_next_listen(const char **rest, struct settings_listen *one)
{
	const char *from = *rest;
	while (*from == ' ' || *from == ',')
		from++;
	if (*from == '\0')
		return SETTINGS_LISTEN_END;
	size_t len = strcspn(from, ",");
	*rest = from + len;
	while (len > 0 && from[len - 1] == ' ')
		len--;
	one->tls = len > 8 && strncasecmp(from, "https://", 8) == 0;
	size_t scheme = one->tls ? 8 : len > 7 && strncasecmp(from, "http://", 7) == 0 ? 7 : 0;
	return split_listen(from + scheme, from + len, one) ? SETTINGS_LISTEN_ONE
	                                                    : SETTINGS_LISTEN_MALFORMED;
}

static bool is_loopback(const char *host)
{
	struct in_addr v4;
	struct in6_addr v6;
	if (inet_pton(AF_INET, host, &v4) == 1)
		return (ntohl(v4.s_addr) >> 24) == 127;
	if (inet_pton(AF_INET6, host, &v6) == 1)
		return IN6_IS_ADDR_LOOPBACK(&v6);
	return strcmp(host, "localhost") == 0;
}

static bool is_default(const struct settings *settings, const struct setting_row *row)
{
	struct settings defaults;
	char a[32], b[32];
	settings_init(&defaults);
	bool same = strcmp(value_text(settings, row, a), value_text(&defaults, row, b)) == 0;
	settings_finish(&defaults);
	return same;
}

/* `key` is the one to blame, unless somebody has set the other and not this one. The place is that
 * of the one that is named or, when it has none, the other's. */
static bool conflict(const struct settings *settings, const char *key, const char *other,
                     const char *what, char reason[SETTINGS_REASON_MAX])
{
	const struct setting_row *row = setting_find(span_str(key)),
	                         *other_row = setting_find(span_str(other));
	bool blame_other = is_default(settings, row) && !is_default(settings, other_row);
	uint32_t line = settings->places[row - setting_rows].line,
	         other_line = settings->places[other_row - setting_rows].line;
	if (line == 0 || (blame_other && other_line != 0))
		line = other_line;
	char text[SETTINGS_REASON_MAX / 2], place[SETTINGS_REASON_MAX / 2] = "";
	if (blame_other)
		snprintf(text, sizeof text, "%s: %s (%.60s by default) %s", other, key,
		         *row->def != '\0' ? row->def : "empty", what);
	else
		snprintf(text, sizeof text, "%s: %s", key, what);
	if (line != 0 && settings->file != NULL)
		snprintf(place, sizeof place, "%.200s:%u: ", settings->file, line);
	snprintf(reason, SETTINGS_REASON_MAX, "%s%s", place, text);
	return false;
}

/* A key whose value must not be above another's. */
struct order {
	const char *low, *high;
	uint64_t low_value, high_value;
};

static bool are_ordered(const struct settings *s, char reason[SETTINGS_REASON_MAX])
{
	const struct order orders[] = {
	        {"worker.restart_delay_min", "worker.restart_delay_max",
	         s->worker_restart_delay_min_ms, s->worker_restart_delay_max_ms},
	        {"capture.restart_delay_min", "capture.restart_delay_max",
	         s->capture_restart_delay_min_ms, s->capture_restart_delay_max_ms},
	        {"webhook.retry_min", "webhook.retry_max", s->webhook_retry_min_ms,
	         s->webhook_retry_max_ms},
	        {"market.retry_min", "market.retry_max", s->market_retry_min_ms,
	         s->market_retry_max_ms},
	        {"limits.path_bytes", "limits.url_bytes", s->limits_path_bytes,
	         s->limits_url_bytes},
	        {"limits.url_bytes", "limits.header_bytes", s->limits_url_bytes,
	         s->limits_header_bytes},
	        {"limits.body_bytes", "limits.body_bytes_total", s->limits_body_bytes,
	         s->limits_body_bytes_total},
	        {"auth.jwt_refresh_min", "auth.jwt_refresh_max", s->auth_jwt_refresh_min_ms,
	         s->auth_jwt_refresh_max_ms},
	        {"http.sse_keepalive", "http.sse_lifetime", s->http_sse_keepalive_ms,
	         s->http_sse_lifetime_ms},
	};
	for (size_t i = 0; i < sizeof orders / sizeof *orders; i++) {
		char what[128];
		snprintf(what, sizeof what, "is above %s", orders[i].high);
		if (orders[i].low_value > orders[i].high_value)
			return conflict(s, orders[i].low, orders[i].high, what, reason);
	}
	return true;
}

/* A rotation that is half configured would cut off, or let in, whom nobody meant. */
static bool rotation_fits(const struct settings *s, char reason[SETTINGS_REASON_MAX])
{
	bool previous = *s->bet_sync_token_previous != '\0',
	     expires = s->bet_sync_token_previous_expires != 0;
	if (previous && *s->bet_sync_token == '\0')
		return conflict(s, "bet_sync.token_previous", "bet_sync.token",
		                "is of no use without bet_sync.token", reason);
	if (previous != expires)
		return conflict(s, "bet_sync.token_previous", "bet_sync.token_previous_expires",
		                "and bet_sync.token_previous_expires go together", reason);
	if (previous && strcmp(s->bet_sync_token, s->bet_sync_token_previous) == 0)
		return conflict(s, "bet_sync.token_previous", "bet_sync.token",
		                "is the same as bet_sync.token", reason);
	return true;
}

/* What of it speaks TLS, and is not on loopback. */
static void look_at_listen(const char *listen, bool *tls, bool *outside)
{
	struct settings_listen one;
	while (settings_next_listen(&listen, &one) == SETTINGS_LISTEN_ONE) {
		*tls |= one.tls;
		*outside |= !is_loopback(one.host);
	}
}

/* What `listen` and `hub.listen` need of others. */
static bool listen_is_served(const struct settings *settings, char reason[SETTINGS_REASON_MAX])
{
	bool tls = false, outside = false;
	look_at_listen(settings->listen, &tls, &outside);
	look_at_listen(settings->hub_listen, &tls, &outside);
	if (settings->dev && outside)
		return conflict(settings, "dev", "listen",
		                "opens everything, so it listens on loopback only: use 127.0.0.1, "
		                "[::1] or localhost, or configure auth tokens and leave dev off",
		                reason);
	if (tls && *settings->tls_certificates == '\0')
		return conflict(settings, "listen", "tls.certificates",
		                "names https://, which needs tls.certificates", reason);
	if (strcmp(settings->tls_client_certificates, "off") != 0 &&
	    *settings->tls_client_ca_file == '\0')
		return conflict(settings, "tls.client_certificates", "tls.client_ca_file",
		                "needs tls.client_ca_file", reason);
	return true;
}

bool settings_validate(const struct settings *settings, char reason[SETTINGS_REASON_MAX])
{
	if (!listen_is_served(settings, reason))
		return false;
	if (settings->limits_body_bytes > settings->store_ring_bytes / 4)
		return conflict(settings, "limits.body_bytes", "store.ring_bytes",
		                "must be at most a quarter of store.ring_bytes", reason);
	if (settings_follows(settings) && *settings->cluster_secret == '\0')
		return conflict(settings, "cluster.follow", "cluster.secret",
		                "needs cluster.secret, the one of the node that is followed",
		                reason);
	if (strcmp(settings->market_operator, "webhook") == 0 &&
	    *settings->market_webhook_url == '\0')
		return conflict(settings, "market.operator", "market.webhook_url",
		                "webhook needs market.webhook_url", reason);
	struct settings_clash clash = settings_solana_clash(settings);
	if (clash.what == NULL)
		clash = settings_jwt_clash(settings);
	if (clash.what != NULL)
		return conflict(settings, clash.key, clash.other, clash.what, reason);
	return rotation_fits(settings, reason) && are_ordered(settings, reason);
}

/* ---- as text ---- */

char *settings_text(const struct settings *settings)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	check(out != NULL);
	for (size_t i = 0; i < setting_rows_count; i++) {
		char buf[32];
		fprintf(out, "%s=", setting_rows[i].key);
		for (const char *c = value_text(settings, &setting_rows[i], buf); *c; c++) {
			if (*c == '%' || *c == '\n' || *c == '\r')
				fprintf(out, "%%%02x", (unsigned char)*c);
			else
				fputc(*c, out);
		}
		fputc('\n', out);
	}
	check(fclose(out) == 0);
	return text;
}

static int hex_digit(uint8_t c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static size_t unescape(const uint8_t *at, size_t len, uint8_t *out)
{
	size_t n = 0;
	for (size_t i = 0; i < len; i++) {
		bool escape = at[i] == '%' && len - i > 2 && hex_digit(at[i + 1]) >= 0 &&
		              hex_digit(at[i + 2]) >= 0;
		int octet = escape ? hex_digit(at[i + 1]) << 4 | hex_digit(at[i + 2]) : at[i];
		out[n++] = (uint8_t)octet;
		i += escape ? 2 : 0;
	}
	return n;
}

bool settings_from_text(struct settings *settings, struct span text,
                        char reason[SETTINGS_REASON_MAX])
{
	const uint8_t *at = text.at, *end = text.at + text.len;
	while (at < end) {
		const uint8_t *line_end = memchr(at, '\n', (size_t)(end - at));
		const uint8_t *equals = memchr(at, '=', (size_t)(end - at));
		if (line_end == NULL || equals == NULL || equals > line_end)
			return bad(reason, "settings", "malformed line");
		size_t len = (size_t)(line_end - equals - 1);
		uint8_t *value = xmalloc(len + 1);
		len = unescape(equals + 1, len, value);
		bool ok = settings_set(settings, span_of(at, (size_t)(equals - at)),
		                       span_of(value, len), reason);
		free(value);
		if (!ok)
			return false;
		at = line_end + 1;
	}
	return true;
}

void settings_diff(const struct settings *a, const struct settings *b,
                   void (*visit)(void *arg, const struct setting_row *row), void *arg)
{
	for (size_t i = 0; i < setting_rows_count; i++) {
		char x[32], y[32];
		if (strcmp(value_text(a, &setting_rows[i], x),
		           value_text(b, &setting_rows[i], y)) != 0)
			visit(arg, &setting_rows[i]);
	}
}

void settings_copy_row(struct settings *to, const struct settings *from,
                       const struct setting_row *row)
{
	char buf[32], reason[SETTINGS_REASON_MAX];
	check(settings_set(to, span_str(row->key), span_str(value_text(from, row, buf)), reason));
	set_place(&to->places[row - setting_rows], &from->places[row - setting_rows]);
}

void settings_copy(struct settings *to, const struct settings *from)
{
	settings_init(to);
	for (size_t i = 0; i < setting_rows_count; i++)
		settings_copy_row(to, from, &setting_rows[i]);
}

const char *settings_text_of(const struct settings *settings, const struct setting_row *row)
{
	check(setting_is_text(row->type));
	return value_text(settings, row, NULL);
}

void settings_copy_places(struct settings *to, const struct settings *from)
{
	for (size_t i = 0; i < setting_rows_count; i++) {
		char x[32], y[32];
		if (strcmp(value_text(to, &setting_rows[i], x),
		           value_text(from, &setting_rows[i], y)) == 0)
			set_place(&to->places[i], &from->places[i]);
	}
}

const char *settings_show(const struct settings *settings, const struct setting_row *row)
{
	static char shown[ADDRESS_URL_SHOWN_ROOM + 4300];
	const char *value = value_text(settings, row, shown),
	           *path = settings->places[row - setting_rows].path;
	if (!setting_is_secret(row->type) || *value == '\0')
		return value;
	char text[ADDRESS_URL_SHOWN_ROOM];
	if (row->type == SETTING_secret_url) {
		address_url_shown(value, text);
		snprintf(shown, sizeof shown, path != NULL ? "%s (from %s)" : "%s", text, path);
		return shown;
	}
	snprintf(shown, sizeof shown, path != NULL ? "(set, from %s)" : "(set)", path);
	return shown;
}
