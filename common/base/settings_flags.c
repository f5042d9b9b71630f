/* Settings from the environment and the command line, and how both are explained. */
#include "common/base/settings.h"

#include <ctype.h>
#include <stdlib.h>

/* "store.ring_bytes" as RINGSIDE_STORE_RING_BYTES or --store-ring-bytes. */
static void spelled(const char *key, char separator, bool upper, char *out)
{
	for (; *key != '\0'; key++, out++) {
		char c = *key == '.' || *key == '_' ? separator : *key;
		*out = upper ? (char)toupper((unsigned char)c) : c;
	}
	*out = '\0';
}

/* The row that is spelled so, by itself or (a secret) with "_file" behind it; NULL: none. */
static const struct setting_row *row_spelled(struct span name, char separator, bool upper,
                                             bool *by_file)
{
	for (size_t i = 0; i < setting_rows_count; i++) {
		const struct setting_row *row = &setting_rows[i];
		char key[128], spelling[128];
		snprintf(key, sizeof key, "%s_file", row->key);
		spelled(key, separator, upper, spelling);
		size_t file_len = strlen(spelling), len = file_len - strlen("_file");
		*by_file = name.len == file_len && setting_is_secret(row->type);
		if ((*by_file || name.len == len) && memcmp(spelling, name.at, name.len) == 0)
			return row;
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
		struct setting_given given = {.value = span_str(equals + 1),
		                              .giver = GIVEN_BY_ENVIRONMENT};
		given.row = row_spelled(span_of(rest, (size_t)(equals - rest)), '_', true,
		                        &given.by_file);
		char why[SETTINGS_REASON_MAX];
		if (given.row == NULL && is_service_link(name))
			continue;
		if (given.row == NULL) {
			char near[SETTING_NEAR_ROOM];
			snprintf(reason, SETTINGS_REASON_MAX,
			         "environment: unknown variable %.*s%s", (int)(equals - name), name,
			         setting_near(span_of(rest, (size_t)(equals - rest)), near));
			return false;
		}
		if (!settings_give(settings, &given, why)) {
			snprintf(reason, SETTINGS_REASON_MAX, "environment: %.*s: %.300s",
			         (int)(equals - name), name, why);
			return false;
		}
	}
	return true;
}

static const char *value_of(char *const *environment, const char *name)
{
	size_t len = strlen(name);
	for (; *environment != NULL; environment++)
		if (strncmp(*environment, name, len) == 0 && (*environment)[len] == '=')
			return *environment + len + 1;
	return NULL;
}

/* Of two names the first that is there counts. */
struct alias {
	const char *names[2];
	const char *key;
	bool is_port;
};

static const struct alias aliases[] = {
        {{"STREAMS_PORT", "PORT"}, "listen", true},
        {{"STREAMS_DATA_DIR", "DATA_DIR"}, "data_dir", false},
        {{"CORS_ORIGINS", NULL}, "http.allowed_origin", false},
};

static bool port_fits(const char *text)
{
	size_t len = strspn(text, "0123456789");
	unsigned long port = len > 0 && len <= 5 && text[len] == '\0' ? strtoul(text, NULL, 10) : 0;
	return port >= 1 && port <= 65535;
}

static bool take_alias(struct settings *settings, const struct alias *alias, const char *name,
                       const char *value, char reason[SETTINGS_REASON_MAX])
{
	struct setting_given given = {.value = span_str(value), .giver = GIVEN_BY_ENVIRONMENT};
	char listen[32], why[SETTINGS_REASON_MAX];
	given.row = setting_find(span_str(alias->key));
	if (settings->places[given.row - setting_rows].giver != GIVEN_BY_DEFAULT)
		return true;
	if (alias->is_port && !port_fits(value)) {
		snprintf(reason, SETTINGS_REASON_MAX, "environment: %s: must be 1 to 65535", name);
		return false;
	}
	if (alias->is_port) {
		snprintf(listen, sizeof listen, "%s:%s", settings->dev ? "127.0.0.1" : "0.0.0.0",
		         value);
		given.value = span_str(listen);
	}
	if (settings_give(settings, &given, why))
		return true;
	snprintf(reason, SETTINGS_REASON_MAX, "environment: %s: %.300s", name, why);
	return false;
}

bool settings_load_aliases(struct settings *settings, char *const *environment,
                           char reason[SETTINGS_REASON_MAX])
{
	for (size_t i = 0; settings->environment_aliases && i < sizeof aliases / sizeof *aliases;
	     i++) {
		const struct alias *alias = &aliases[i];
		for (size_t n = 0; n < 2 && alias->names[n] != NULL; n++) {
			const char *value = value_of(environment, alias->names[n]);
			if (value == NULL || *value == '\0')
				continue;
			if (!take_alias(settings, alias, alias->names[n], value, reason))
				return false;
			break;
		}
	}
	return true;
}

/* What is meant by argv[0], and by argv[1] if need be. Its row is NULL: no setting's flag. Returns
 * how many arguments that are. */
static int take_flag(int argc, char **argv, struct setting_given *given)
{
	*given = (struct setting_given){.giver = GIVEN_BY_FLAG};
	if (argc < 1 || strncmp(argv[0], "--", 2) != 0)
		return 0;
	const char *name = argv[0] + 2;
	const char *equals = strchr(name, '=');
	size_t len = equals != NULL ? (size_t)(equals - name) : strlen(name);
	given->row = row_spelled(span_of(name, len), '-', false, &given->by_file);
	if (given->row == NULL)
		return 0;
	if (given->row->type == SETTING_flag && equals == NULL) {
		given->value = SPAN("true");
		return 1;
	}
	const char *value = equals != NULL ? equals + 1 : argc > 1 ? argv[1] : NULL;
	given->value = value != NULL ? span_str(value) : (struct span){0};
	return equals != NULL ? 1 : 2;
}

int settings_load_flag(struct settings *settings, int argc, char **argv,
                       char reason[SETTINGS_REASON_MAX])
{
	struct setting_given given;
	char why[SETTINGS_REASON_MAX];
	int used = take_flag(argc, argv, &given);
	if (given.row == NULL)
		return 0;
	if (given.value.at == NULL) {
		snprintf(reason, SETTINGS_REASON_MAX, "%s needs a value", argv[0]);
		return -1;
	}
	if (!settings_give(settings, &given, why)) {
		snprintf(reason, SETTINGS_REASON_MAX, "%.*s: %.300s", (int)strcspn(argv[0], "="),
		         argv[0], why);
		return -1;
	}
	return used;
}

char *settings_flag_secret(int argc, char **argv)
{
	struct setting_given given;
	int used = take_flag(argc, argv, &given);
	if (given.row == NULL || !setting_is_secret(given.row->type) || given.by_file ||
	    given.value.at == NULL)
		return NULL;
	return used == 2 ? argv[1] : strchr(argv[0], '=') + 1;
}

/* ---- explaining ---- */

static const char *const type_names[] = {[SETTING_text] = "text",
                                         [SETTING_secret] = "secret",
                                         [SETTING_secret_url] = "secret URL",
                                         [SETTING_secret_lines] = "secret lines",
                                         [SETTING_token] = "token",
                                         [SETTING_tokens] = "tokens",
                                         [SETTING_flag] = "flag",
                                         [SETTING_count] = "count",
                                         [SETTING_bytes] = "bytes",
                                         [SETTING_ms] = "time"};
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
		fprintf(out, "  --%s%s\n", flag, row->type == SETTING_flag ? "" : " VALUE");
		if (setting_is_secret(row->type))
			fprintf(out, "  --%s-file FILE\n", flag);
		fprintf(out, "        %s\n        default: %s", row->help,
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
	      "the file, the file over the defaults.\n\n"
	      "A key whose type is `tokens` (with commas between, 64 at most), `token`, `secret` "
	      "or `secret URL` is a secret: it is in no\nlog, metric or answer, and `ringsidectl "
	      "settings` says `(set)`, of a secret URL scheme and host. It can stand in a file of "
	      "its\nown, which `KEY_file` names in any of the three places "
	      "(`auth.source_token_file`, `RINGSIDE_AUTH_SOURCE_TOKEN_FILE`,\n"
	      "`--auth-source-token-file`). A secret that is given nowhere is looked for as a file "
	      "`ringside.KEY` or `KEY` in\n`$CREDENTIALS_DIRECTORY` (systemd's `LoadCredential=`), "
	      "then in `secrets_dir`: whoever names something wins over what lies\nthere. These "
	      "files are read at the start and at each reload. They are regular files; one newline "
	      "at the end is cut, and what\nis empty, longer than the key's bound or has a NUL "
	      "byte "
	      "is refused, as is a key that one place gives both ways.\n\n"
	      "Not refused, but said in the log and by `ringside check-config`: a file with "
	      "secrets "
	      "(keys of `tls.certificates` too, public keys not) that others than its owner may "
	      "use\n(containers are given theirs with mode 0444, "
	      "where nobody else is), a secret on the command line (written over once it is\n"
	      "read, but whoever looked before has seen it), a file in those directories that is "
	      "not used because its key is given\nelsewhere, or whose name is nearly a key. Other "
	      "files there are nobody's business. The environment of a process can be\nread by "
	      "its own user and root; workers and browsers get none of these variables.\n\n"
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
