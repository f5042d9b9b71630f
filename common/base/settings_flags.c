/* Settings from the environment and the command line, and how both are explained. */
#include "common/base/settings.h"

#include <ctype.h>

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

static bool begins(const char *text, const char *with)
{
	return strncmp(text, with, strlen(with)) == 0;
}

/* "4437_TCP", and that with "_ADDR", "_PORT" or "_PROTO". */
static bool is_port_link(const char *text)
{
	size_t digits = strspn(text, "0123456789");
	return digits > 0 && (begins(text + digits, "_TCP") || begins(text + digits, "_UDP") ||
	                      begins(text + digits, "_SCTP"));
}

/* What Kubernetes and Docker put into every container beside a service: "ringside" gives
 * RINGSIDE_SERVICE_HOST, _SERVICE_PORT, _SERVICE_PORT_NAME, _PORT=tcp://..., _PORT_4437_TCP and
 * more; "ringside-metrics" gives RINGSIDE_METRICS_SERVICE_HOST and so on. `variable` is NAME=VALUE.
 */
static bool is_service_link(const char *variable)
{
	const char *equals = strchr(variable, '=');
	for (const char *at = strchr(variable, '_'); at != NULL && at < equals;
	     at = strchr(at + 1, '_')) {
		if (begins(at, "_SERVICE_HOST=") || begins(at, "_SERVICE_PORT=") ||
		    begins(at, "_SERVICE_PORT_") ||
		    (begins(at, "_PORT_") && is_port_link(at + strlen("_PORT_"))))
			return true;
		if (begins(at, "_PORT=") && strstr(equals, "://") != NULL)
			return true;
	}
	return false;
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
		if (row == NULL && is_service_link(name))
			continue;
		if (row == NULL) {
			char near[SETTING_NEAR_ROOM];
			snprintf(reason, SETTINGS_REASON_MAX,
			         "environment: unknown variable %.*s%s", (int)(equals - name), name,
			         setting_near(span_of(rest, (size_t)(equals - rest)), near));
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

/* ---- explaining ---- */

static const char *const type_names[] = {
        [SETTING_text] = "text",   [SETTING_secret] = "secret", [SETTING_secret_url] = "secret URL",
        [SETTING_token] = "token", [SETTING_tokens] = "tokens", [SETTING_flag] = "flag",
        [SETTING_count] = "count", [SETTING_bytes] = "bytes",   [SETTING_ms] = "time"};
static const char *const when_names[] = {[SETTING_LIVE] = "at once",
                                         [SETTING_WORKERS] = "restarts workers",
                                         [SETTING_START] = "at the next start"};

/* "64k to 2M"; nothing for flags. */
static const char *bounds_text(const struct setting_row *row, char buf[80])
{
	char min[32], max[32];
	if (row->type == SETTING_flag)
		return "";
	snprintf(buf, 80, "%s to %s%s", setting_number_text(row->type, row->min, min),
	         setting_number_text(row->type, row->max, max),
	         setting_is_text(row->type) ? " characters" : "");
	return buf;
}

void settings_print_help(FILE *out)
{
	for (size_t i = 0; i < setting_rows_count; i++) {
		const struct setting_row *row = &setting_rows[i];
		char flag[128], bounds[80];
		spelled(row->key, '-', false, flag);
		fprintf(out, "  --%s%s\n        %s\n        default: %s", flag,
		        row->type == SETTING_flag ? "" : " VALUE", row->help,
		        *row->def != '\0' ? row->def : "(empty)");
		if (row->type != SETTING_flag && !setting_is_text(row->type))
			fprintf(out, "; %s", bounds_text(row, bounds));
		fprintf(out, "; changes take effect %s\n",
		        row->when == SETTING_WORKERS ? "as workers restart one by one"
		                                     : when_names[row->when]);
	}
}

static size_t section_len(const char *key)
{
	const char *dot = strchr(key, '.');
	return dot != NULL ? (size_t)(dot - key) : 0;
}

static void print_section_head(const char *key, size_t len, FILE *out)
{
	fprintf(out,
	        "\n## %.*s\n\n| key | type | default | bounds | a change takes effect | meaning |\n"
	        "|---|---|---|---|---|---|\n",
	        len != 0 ? (int)len : 7, len != 0 ? key : "General");
}

void settings_print_reference(FILE *out)
{
	fputs("# Configuration reference\n\n"
	      "This page is printed by `ringside reference` from the table in `proto/settings.h`; "
	      "a "
	      "test holds it to that.\n\n"
	      "A key can stand in the file given with `--config` or `RINGSIDE_CONFIG` (YAML, "
	      "nested "
	      "or dotted), in the\nenvironment (`log.level` is `RINGSIDE_LOG_LEVEL`) and on the "
	      "command line (`--log-level`). Flags win over\nthe environment, the environment over "
	      "the file, the file over the defaults. Tokens belong into the file or\nthe "
	      "environment: a command line is there for every user of the machine to read. What is "
	      "secret by its type\n(`tokens` with commas between, 64 at most; one `token`; "
	      "`secret`; "
	      "of a `secret URL` all but scheme and host) is in no\nlog and no answer; "
	      "`ringsidectl "
	      "settings` says `(set)`.\n\n"
	      "Sizes take `k`, `M`, `G`, `T` (powers of 1024), times take `ms`, `s`, `m`, `h`, `d` "
	      "and are refused\n"
	      "without one (`90`: seconds or milliseconds?). An unknown key, a value out of bounds "
	      "or a key given twice\n"
	      "stops the start with `FILE:LINE: REASON`; `ringside check-config` says the same "
	      "without starting. "
	      "On SIGHUP or\n`ringsidectl reload` a bad configuration is refused whole and the "
	      "running one stays.\n",
	      out);
	const char *section = NULL;
	for (size_t i = 0; i < setting_rows_count; i++) {
		const struct setting_row *row = &setting_rows[i];
		char bounds[80];
		size_t len = section_len(row->key);
		if (section == NULL || section_len(section) != len ||
		    strncmp(section, row->key, len) != 0)
			print_section_head(row->key, len, out);
		section = row->key;
		fprintf(out, "| `%s` | %s | %s%s%s | %s | %s | %s |\n", row->key,
		        type_names[row->type], *row->def != '\0' ? "`" : "", row->def,
		        *row->def != '\0' ? "`" : "", bounds_text(row, bounds),
		        when_names[row->when], row->help);
	}
}
