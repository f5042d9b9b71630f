/* Settings from a YAML file (libyaml). */
#include "common/base/check.h"
#include "common/base/settings.h"

#include <errno.h>
#include <sys/stat.h>
#include <yaml.h>

enum { PREFIX_MAX = 256, VALUE_MAX = 65536 };

struct yaml_load {
	struct settings *settings;
	const char *path;
	char *reason;
	yaml_parser_t parser;
	bool seen[SETTING_ROWS][2]; /* itself, and by KEY_file */
};

static bool yaml_fault(struct yaml_load *load, size_t line, const char *what)
{
	char copy[SETTINGS_REASON_MAX];
	snprintf(copy, sizeof copy, "%s", what);
	snprintf(load->reason, SETTINGS_REASON_MAX, "%.200s:%zu: %.280s", load->path, line + 1,
	         copy);
	return false;
}

static bool yaml_next(struct yaml_load *load, yaml_event_t *event)
{
	if (yaml_parser_parse(&load->parser, event))
		return true;
	return yaml_fault(load, load->parser.problem_mark.line,
	                  load->parser.problem != NULL ? load->parser.problem : "not YAML");
}

/* Some key lies below it. This also ends the recursion. */
static bool is_section(const char *prefix)
{
	size_t len = strlen(prefix);
	for (size_t i = 0; i < setting_rows_count; i++)
		if (strncmp(setting_rows[i].key, prefix, len) == 0 &&
		    setting_rows[i].key[len] == '.')
			return true;
	return false;
}

static bool yaml_assign(struct yaml_load *load, const char *key, struct span value, size_t line)
{
	const struct setting_row *row = setting_find(span_str(key)),
	                         *secret = setting_find_file(span_str(key));
	struct setting_given given = {.row = row != NULL ? row : secret,
	                              .value = value,
	                              .by_file = row == NULL,
	                              .giver = GIVEN_BY_FILE,
	                              .line = (uint32_t)line + 1};
	if (given.row == NULL && is_section(key)) {
		snprintf(load->reason, SETTINGS_REASON_MAX,
		         "'%s' is a section: its keys stand below it, or as %s.KEY", key, key);
		return yaml_fault(load, line, load->reason);
	}
	if (given.row == NULL) {
		settings_set(load->settings, span_str(key), value, load->reason); /* says so */
		return yaml_fault(load, line, load->reason);
	}
	bool *seen = &load->seen[given.row - setting_rows][given.by_file];
	if (*seen) {
		snprintf(load->reason, SETTINGS_REASON_MAX, "%s: given twice", key);
		return yaml_fault(load, line, load->reason);
	}
	*seen = true;
	return settings_give(load->settings, &given, load->reason) ||
	       yaml_fault(load, line, load->reason);
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
			return yaml_assign(load, key, span_of(value, len), line);
		}
		bool fits = event.type == YAML_SCALAR_EVENT &&
		            len + event.data.scalar.length + 1 < sizeof value &&
		            memchr(event.data.scalar.value, ',', event.data.scalar.length) == NULL;
		if (fits) {
			if (len != 0)
				value[len++] = ',';
			memcpy(value + len, event.data.scalar.value, event.data.scalar.length);
			len += event.data.scalar.length;
		}
		yaml_event_delete(&event);
		if (!fits)
			return yaml_fault(load, line,
			                  "a list may hold plain values without commas only");
	}
}

static bool yaml_mapping(struct yaml_load *load, const char *prefix);

static bool yaml_value(struct yaml_load *load, const char *key)
{
	yaml_event_t event;
	if (!yaml_next(load, &event))
		return false;
	size_t line = event.start_mark.line;
	bool ok = false;
	switch (event.type) {
	case YAML_SCALAR_EVENT:
		ok = yaml_assign(load, key,
		                 span_of(event.data.scalar.value, event.data.scalar.length), line);
		break;
	case YAML_SEQUENCE_START_EVENT:
		ok = yaml_sequence(load, key, line);
		break;
	case YAML_MAPPING_START_EVENT:
		ok = is_section(key) ? yaml_mapping(load, key)
		                     : yaml_fault(load, line, "no such section");
		break;
	case YAML_NO_EVENT:
	case YAML_STREAM_START_EVENT:
	case YAML_STREAM_END_EVENT:
	case YAML_DOCUMENT_START_EVENT:
	case YAML_DOCUMENT_END_EVENT:
	case YAML_ALIAS_EVENT:
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT:
		yaml_fault(load, line, "a value is expected here");
		break;
	}
	yaml_event_delete(&event);
	return ok;
}

static bool yaml_mapping(struct yaml_load *load, const char *prefix)
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
		if (!yaml_value(load, key))
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
			if (!yaml_mapping(load, ""))
				return false;
		} else if (type == YAML_SEQUENCE_START_EVENT ||
		           (type == YAML_SCALAR_EVENT && !empty)) {
			return yaml_fault(load, line, "'key: value' is expected here");
		}
	}
}

bool settings_load_file(struct settings *settings, const char *path,
                        char reason[SETTINGS_REASON_MAX])
{
	FILE *file = fopen(path, "rbe");
	struct stat status;
	/* fopen() takes a directory, and what reads it cannot say what it is. */
	if (file != NULL && fstat(fileno(file), &status) == 0 && S_ISDIR(status.st_mode)) {
		fclose(file);
		file = NULL;
		errno = EISDIR;
	}
	if (file == NULL) {
		snprintf(reason, SETTINGS_REASON_MAX, "%.300s: %s", path, strerror(errno));
		return false;
	}
	struct yaml_load load = {.settings = settings, .path = path, .reason = reason};
	settings->file = path;
	check(yaml_parser_initialize(&load.parser));
	yaml_parser_set_input_file(&load.parser, file);
	bool ok = yaml_document(&load);
	yaml_parser_delete(&load.parser);
	fclose(file);
	return ok;
}
