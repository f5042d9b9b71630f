#include "common/settings.h"
#include "common/check.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <yaml.h>

#define SETTING_ROW(field, key, type, def, min, max, when, help)                                   \
	{key, def, help, SETTING_##type, SETTING_##when, min, max, offsetof(struct settings, field)},
const struct setting_row setting_rows[] = {SETTINGS(SETTING_ROW)};
const size_t setting_rows_count = sizeof setting_rows / sizeof *setting_rows;

static void *field_of(const struct settings *settings, const struct setting_row *row)
{
	return (uint8_t *)(uintptr_t)settings + row->offset;
}

static const struct setting_row *row_find(struct span key)
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
static const struct unit units_bytes[] = {{"", 1}, {"k", 1 << 10}, {"M", 1 << 20}, {"G", 1 << 30},
                                          {"T", 1ull << 40}, {NULL, 0}};
static const struct unit units_ms[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000},
                                       {"d", 86400000}, {"", 1}, {NULL, 0}};
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

static bool bad(char reason[SETTINGS_REASON_MAX], const char *key, const char *what)
{
	snprintf(reason, SETTINGS_REASON_MAX, "%s: %s", key, what);
	return false;
}

static bool in_bounds(const struct setting_row *row, uint64_t n, char reason[SETTINGS_REASON_MAX])
{
	if (n >= row->min && n <= row->max)
		return true;
	const char *unit = row->type == SETTING_text ? " characters"
	                   : row->type == SETTING_bytes ? " bytes"
	                   : row->type == SETTING_ms    ? " ms"
	                                                : "";
	snprintf(reason, SETTINGS_REASON_MAX, "%s: must be %llu to %llu%s", row->key,
	         (unsigned long long)row->min, (unsigned long long)row->max, unit);
	return false;
}

static bool one_of(const char *value, const char *const *allowed)
{
	for (; *allowed != NULL; allowed++)
		if (strcmp(value, *allowed) == 0)
			return true;
	return false;
}

/* Texts with a grammar of their own. */
static bool text_fits(const struct setting_row *row, const char *value,
                      char reason[SETTINGS_REASON_MAX])
{
	static const char *const levels[] = {"debug", "info", "warn", "error", NULL};
	static const char *const formats[] = {"text", "json", NULL};
	char host[256], port[8];
	uint64_t n;
	if (strcmp(row->key, "log.level") == 0 && !one_of(value, levels))
		return bad(reason, row->key, "must be debug, info, warn or error");
	if (strcmp(row->key, "log.format") == 0 && !one_of(value, formats))
		return bad(reason, row->key, "must be text or json");
	if (strcmp(row->key, "listen") == 0 && !settings_split_listen(value, host, port))
		return bad(reason, row->key, "must be HOST:PORT or [IPV6]:PORT");
	if (strcmp(row->key, "sse_workers") == 0 && strcmp(value, "auto") != 0 &&
	    (!parse_number(value, units_none, &n) || n < 1 || n > 256))
		return bad(reason, row->key, "must be auto or 1 to 256");
	return true;
}

bool settings_set(struct settings *settings, struct span key, struct span value,
                  char reason[SETTINGS_REASON_MAX])
{
	const struct setting_row *row = row_find(key);
	if (row == NULL) {
		snprintf(reason, SETTINGS_REASON_MAX, "unknown key '%.*s'", (int)key.len, key.at);
		return false;
	}
	char *text = xmemdup_text(value.at, value.len);
	void *field = field_of(settings, row);
	uint64_t n = value.len;
	bool ok = true;
	if (row->type == SETTING_text) {
		ok = strlen(text) == value.len && in_bounds(row, n, reason) &&
		     text_fits(row, text, reason);
		if (ok) {
			free(*(char **)field);
			*(char **)field = text;
			return true;
		}
		if (strlen(text) != value.len)
			bad(reason, row->key, "contains a NUL byte");
	} else if (row->type == SETTING_flag) {
		ok = parse_flag(text, field) || bad(reason, row->key, "must be true or false");
	} else {
		ok = parse_number(text, units_of(row->type), &n) ||
		     bad(reason, row->key,
		         row->type == SETTING_bytes ? "must be a size such as 65536, 64k or 2M"
		         : row->type == SETTING_ms  ? "must be a time such as 500ms, 10s or 2h"
		                                    : "must be a whole number");
		ok = ok && in_bounds(row, n, reason);
		if (ok)
			*(uint64_t *)field = n;
	}
	free(text);
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
	for (size_t i = 0; i < setting_rows_count; i++)
		if (setting_rows[i].type == SETTING_text)
			free(*(char **)field_of(settings, &setting_rows[i]));
	*settings = (struct settings){0};
}

/* ---- the file ---- */

enum { PREFIX_MAX = 256, VALUE_MAX = 65536 };

struct yaml_load {
	struct settings *settings;
	const char *path;
	char *reason;
	yaml_parser_t parser;
	bool seen[sizeof setting_rows / sizeof *setting_rows];
};

static bool yaml_fault(struct yaml_load *load, size_t line, const char *what)
{
	char copy[SETTINGS_REASON_MAX];
	snprintf(copy, sizeof copy, "%s", what);
	snprintf(load->reason, SETTINGS_REASON_MAX, "%.200s:%zu: %.280s", load->path, line + 1, copy);
	return false;
}

static bool yaml_next(struct yaml_load *load, yaml_event_t *event)
{
	if (yaml_parser_parse(&load->parser, event))
		return true;
	return yaml_fault(load, load->parser.problem_mark.line,
	                  load->parser.problem != NULL ? load->parser.problem : "not YAML");
}

static bool yaml_assign(struct yaml_load *load, const char *key, const char *value, size_t line)
{
	const struct setting_row *row = row_find(span_str(key));
	if (row != NULL && load->seen[row - setting_rows])
		return bad(load->reason, key, "given twice") || yaml_fault(load, line, load->reason);
	if (!settings_set(load->settings, span_str(key), span_str(value), load->reason))
		return yaml_fault(load, line, load->reason);
	load->seen[row - setting_rows] = true;
	return true;
}

/* A sequence of scalars joins with commas. */
static bool yaml_sequence(struct yaml_load *load, const char *key, size_t line)
{
	char value[VALUE_MAX];
	size_t len = 0;
	for (;;) {
		yaml_event_t event;
		if (!yaml_next(load, &event))
			return false;
		if (event.type == YAML_SEQUENCE_END_EVENT) {
			yaml_event_delete(&event);
			value[len] = '\0';
			return yaml_assign(load, key, value, line);
		}
		bool fits = event.type == YAML_SCALAR_EVENT &&
		            len + event.data.scalar.length + 2 < sizeof value;
		if (fits) {
			if (len != 0)
				value[len++] = ',';
			memcpy(value + len, event.data.scalar.value, event.data.scalar.length);
			len += event.data.scalar.length;
		}
		yaml_event_delete(&event);
		if (!fits)
			return yaml_fault(load, line, "a list may hold plain values only");
	}
}

static bool yaml_mapping(struct yaml_load *load, const char *prefix, int depth);

static bool yaml_value(struct yaml_load *load, const char *key, int depth)
{
	yaml_event_t event;
	if (!yaml_next(load, &event))
		return false;
	size_t line = event.start_mark.line;
	bool ok = false;
	switch (event.type) {
	case YAML_SCALAR_EVENT:
		ok = yaml_assign(load, key, (const char *)event.data.scalar.value, line);
		break;
	case YAML_SEQUENCE_START_EVENT:
		ok = yaml_sequence(load, key, line);
		break;
	case YAML_MAPPING_START_EVENT:
		ok = depth < 4 ? yaml_mapping(load, key, depth + 1)
		               : yaml_fault(load, line, "nested too deeply");
		break;
	default:
		yaml_fault(load, line, "a value is expected here");
		break;
	}
	yaml_event_delete(&event);
	return ok;
}

static bool yaml_mapping(struct yaml_load *load, const char *prefix, int depth)
{
	for (;;) {
		yaml_event_t event;
		if (!yaml_next(load, &event))
			return false;
		if (event.type == YAML_MAPPING_END_EVENT) {
			yaml_event_delete(&event);
			return true;
		}
		char key[PREFIX_MAX];
		int len = event.type != YAML_SCALAR_EVENT
		                  ? -1
		                  : snprintf(key, sizeof key, "%s%s%s", prefix, *prefix ? "." : "",
		                             (const char *)event.data.scalar.value);
		size_t line = event.start_mark.line;
		yaml_event_delete(&event);
		if (len < 0 || (size_t)len >= sizeof key)
			return yaml_fault(load, line, "a key is expected here");
		if (!yaml_value(load, key, depth))
			return false;
	}
}

static bool yaml_document(struct yaml_load *load)
{
	for (;;) {
		yaml_event_t event;
		if (!yaml_next(load, &event))
			return false;
		yaml_event_type_t type = event.type;
		size_t line = event.start_mark.line;
		bool empty = type == YAML_SCALAR_EVENT && event.data.scalar.length == 0;
		yaml_event_delete(&event);
		if (type == YAML_STREAM_END_EVENT)
			return true;
		if (type == YAML_MAPPING_START_EVENT) {
			if (!yaml_mapping(load, "", 0))
				return false;
		} else if (type == YAML_SEQUENCE_START_EVENT || (type == YAML_SCALAR_EVENT && !empty)) {
			return yaml_fault(load, line, "'key: value' is expected here");
		}
	}
}

bool settings_load_file(struct settings *settings, const char *path,
                        char reason[SETTINGS_REASON_MAX])
{
	FILE *file = fopen(path, "rbe");
	if (file == NULL) {
		snprintf(reason, SETTINGS_REASON_MAX, "%.300s: %s", path, strerror(errno));
		return false;
	}
	struct yaml_load load = {.settings = settings, .path = path, .reason = reason};
	check(yaml_parser_initialize(&load.parser));
	yaml_parser_set_input_file(&load.parser, file);
	bool ok = yaml_document(&load);
	yaml_parser_delete(&load.parser);
	fclose(file);
	return ok;
}

/* ---- environment and flags ---- */

/* "store.ring_bytes" as RINGSIDE_STORE_RING_BYTES or --store-ring-bytes. */
static void spelled(const char *key, char separator, bool upper, char *out)
{
	for (; *key != '\0'; key++, out++) {
		char c = *key == '.' || *key == '_' ? separator : *key;
		*out = upper ? (char)toupper((unsigned char)c) : c;
	}
	*out = '\0';
}

static const struct setting_row *row_spelled(const char *name, size_t len, char separator,
                                             bool upper)
{
	for (size_t i = 0; i < setting_rows_count; i++) {
		char spelling[128];
		spelled(setting_rows[i].key, separator, upper, spelling);
		if (strlen(spelling) == len && memcmp(spelling, name, len) == 0)
			return &setting_rows[i];
	}
	return NULL;
}

bool settings_load_environment(struct settings *settings, char *const *environment,
                               char reason[SETTINGS_REASON_MAX])
{
	static const char prefix[] = "RINGSIDE_";
	for (; *environment != NULL; environment++) {
		const char *name = *environment;
		const char *equals = strchr(name, '=');
		if (strncmp(name, prefix, sizeof prefix - 1) != 0 || equals == NULL ||
		    strncmp(name, "RINGSIDE_CONFIG=", 16) == 0)
			continue;
		const char *rest = name + sizeof prefix - 1;
		const struct setting_row *row =
		        row_spelled(rest, (size_t)(equals - rest), '_', true);
		char why[SETTINGS_REASON_MAX];
		if (row == NULL) {
			snprintf(reason, SETTINGS_REASON_MAX, "environment: unknown variable %.*s",
			         (int)(equals - name), name);
			return false;
		}
		if (!settings_set(settings, span_str(row->key), span_str(equals + 1), why)) {
			snprintf(reason, SETTINGS_REASON_MAX, "environment: %.*s: %.300s",
			         (int)(equals - name), name, why);
			return false;
		}
	}
	return true;
}

int settings_load_flag(struct settings *settings, int argc, char **argv,
                       char reason[SETTINGS_REASON_MAX])
{
	if (argc < 1 || strncmp(argv[0], "--", 2) != 0)
		return 0;
	const char *name = argv[0] + 2;
	const char *equals = strchr(name, '=');
	size_t len = equals != NULL ? (size_t)(equals - name) : strlen(name);
	const struct setting_row *row = row_spelled(name, len, '-', false);
	if (row == NULL)
		return 0;
	const char *value = equals != NULL ? equals + 1 : argc > 1 ? argv[1] : NULL;
	int used = equals != NULL ? 1 : 2;
	if (row->type == SETTING_flag && equals == NULL) {
		value = "true";
		used = 1;
	}
	char why[SETTINGS_REASON_MAX];
	if (value == NULL) {
		snprintf(reason, SETTINGS_REASON_MAX, "--%.*s needs a value", (int)len, name);
		return -1;
	}
	if (!settings_set(settings, span_str(row->key), span_str(value), why)) {
		snprintf(reason, SETTINGS_REASON_MAX, "--%.*s: %.300s", (int)len, name, why);
		return -1;
	}
	return used;
}

/* ---- what concerns several keys ---- */

bool settings_split_listen(const char *listen, char host[256], char port[8])
{
	const char *colon = strrchr(listen, ':');
	if (colon == NULL || colon == listen || strlen(colon + 1) == 0 || strlen(colon + 1) > 5)
		return false;
	uint64_t n;
	if (!parse_number(colon + 1, units_none, &n) || n > 65535)
		return false;
	const char *from = listen, *to = colon;
	if (*from == '[') {
		if (to[-1] != ']')
			return false;
		from++;
		to--;
	} else if (memchr(from, ':', (size_t)(to - from)) != NULL) {
		return false;
	}
	if (to <= from || to - from >= 256)
		return false;
	memcpy(host, from, (size_t)(to - from));
	host[to - from] = '\0';
	snprintf(port, 8, "%.5s", colon + 1);
	return true;
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

bool settings_validate(const struct settings *settings, char reason[SETTINGS_REASON_MAX])
{
	char host[256], port[8];
	if (settings->dev && settings_split_listen(settings->listen, host, port) && !is_loopback(host))
		return bad(reason, "dev",
		           "opens everything, so it listens on loopback only: use 127.0.0.1, [::1] "
		           "or localhost, or configure auth tokens and leave dev off");
	if (settings->limits_body_bytes > settings->store_ring_bytes / 4)
		return bad(reason, "limits.body_bytes", "must be at most a quarter of store.ring_bytes");
	if (settings->worker_restart_delay_min_ms > settings->worker_restart_delay_max_ms)
		return bad(reason, "worker.restart_delay_min", "is above worker.restart_delay_max");
	if (settings->limits_path_bytes > settings->limits_url_bytes)
		return bad(reason, "limits.path_bytes", "is above limits.url_bytes");
	return true;
}

/* ---- as text ---- */

static const char *value_text(const struct settings *settings, const struct setting_row *row,
                              char *buf, size_t room)
{
	const void *field = field_of(settings, row);
	if (row->type == SETTING_text)
		return *(char *const *)field;
	if (row->type == SETTING_flag)
		return *(const bool *)field ? "true" : "false";
	snprintf(buf, room, "%llu", (unsigned long long)*(const uint64_t *)field);
	return buf;
}

char *settings_text(const struct settings *settings)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	check(out != NULL);
	for (size_t i = 0; i < setting_rows_count; i++) {
		char buf[32];
		fprintf(out, "%s=", setting_rows[i].key);
		for (const char *c = value_text(settings, &setting_rows[i], buf, sizeof buf); *c; c++) {
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

static size_t unescape(const uint8_t *at, size_t len, uint8_t *out)
{
	size_t n = 0;
	for (size_t i = 0; i < len; i++) {
		unsigned code;
		if (at[i] == '%' && i + 2 < len &&
		    sscanf((const char *)at + i + 1, "%2x", &code) == 1) {
			out[n++] = (uint8_t)code;
			i += 2;
		} else {
			out[n++] = at[i];
		}
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
		if (strcmp(value_text(a, &setting_rows[i], x, sizeof x),
		           value_text(b, &setting_rows[i], y, sizeof y)) != 0)
			visit(arg, &setting_rows[i]);
	}
}

void settings_copy_row(struct settings *to, const struct settings *from,
                       const struct setting_row *row)
{
	char buf[32], reason[SETTINGS_REASON_MAX];
	check(settings_set(to, span_str(row->key), span_str(value_text(from, row, buf, sizeof buf)),
	                   reason));
}

void settings_copy(struct settings *to, const struct settings *from)
{
	settings_init(to);
	for (size_t i = 0; i < setting_rows_count; i++)
		settings_copy_row(to, from, &setting_rows[i]);
}

const char *settings_show(const struct settings *settings, const struct setting_row *row)
{
	static char buf[32];
	const char *value = value_text(settings, row, buf, sizeof buf);
	bool secret = strncmp(row->key, "auth.", 5) == 0 && *value != '\0';
	return secret ? "(set)" : value;
}

void settings_print_help(FILE *out)
{
	for (size_t i = 0; i < setting_rows_count; i++) {
		char flag[128];
		spelled(setting_rows[i].key, '-', false, flag);
		fprintf(out, "  --%-32s %s [%s]\n", flag, setting_rows[i].help, setting_rows[i].def);
	}
}

void settings_print_reference(FILE *out)
{
	static const char *const types[] = {"text", "flag", "count", "bytes", "ms"};
	static const char *const whens[] = {"at once", "restarts workers", "at start"};
	fputs("# Configuration reference\n\n"
	      "Written by `ringside reference` from `proto/settings.h`. Every key can stand in the "
	      "file given with\n`--config` (YAML, nested or dotted), in the environment as "
	      "`RINGSIDE_SECTION_NAME`, or on the command line\nas `--section-name`; the later wins. "
	      "Sizes take `k`, `M`, `G`, times take `ms`, `s`, `m`, `h`, `d`.\n\n"
	      "| key | type | default | takes effect | meaning |\n|---|---|---|---|---|\n",
	      out);
	for (size_t i = 0; i < setting_rows_count; i++) {
		const struct setting_row *row = &setting_rows[i];
		fprintf(out, "| `%s` | %s | `%s` | %s | %s |\n", row->key, types[row->type],
		        *row->def ? row->def : " ", whens[row->when], row->help);
	}
}
