/* Settings: one value of struct settings from defaults, file, environment and flags, in that order
 * of precedence. Built whole, validated, then used as a snapshot; proto/settings.h is the table. */
#pragma once

#include "proto/bytes.h"
#include "proto/settings.h"

#include <stdio.h>

typedef char *setting_text;
typedef char *setting_secret;
typedef char *setting_secret_url;
typedef char *setting_secret_lines;
typedef char *setting_token;
typedef char *setting_tokens;
typedef bool setting_flag;
typedef uint64_t setting_count;
typedef uint64_t setting_bytes;
typedef uint64_t setting_ms;

/* Who gave a row its value. */
enum setting_giver {
	GIVEN_BY_DEFAULT, /* or by a command while it ran */
	GIVEN_BY_FILE,
	GIVEN_BY_ENVIRONMENT,
	GIVEN_BY_FLAG,
	GIVEN_BY_DIRECTORY /* a secret that was found there */
};
struct setting_place {
	enum setting_giver giver;
	uint32_t line; /* of the configuration file; 0: not from there */
	char *path;    /* the file that holds a secret; NULL: it was written where it was given */
};

#define SETTING_FIELD(field, key, type, def, min, max, when, help) setting_##type field;
#define SETTING_ONE(field, key, type, def, min, max, when, help)   +1
enum { SETTING_ROWS = 0 SETTINGS(SETTING_ONE) };
#undef SETTING_ONE
struct settings {
	SETTINGS(SETTING_FIELD)
	/* Where values came from: the file (borrowed from settings_load_file()'s caller; NULL in a
	 * snapshot), and who gave each row. */
	const char *file;
	struct setting_place places[SETTING_ROWS];
	unsigned holders; /* of a snapshot: who keeps it; 0: it is none, and may be changed */
};

enum setting_type {
	SETTING_text,
	SETTING_secret,
	SETTING_secret_url,
	SETTING_secret_lines,
	SETTING_token,
	SETTING_tokens,
	SETTING_flag,
	SETTING_count,
	SETTING_bytes,
	SETTING_ms
};
enum setting_when { SETTING_LIVE, SETTING_WORKERS, SETTING_START };

struct setting_row {
	const char *key, *def, *help;
	enum setting_type type;
	enum setting_when when;
	uint64_t min, max;
	size_t offset; /* in struct settings */
};
extern const struct setting_row setting_rows[];
extern const size_t setting_rows_count;

/* A char * in struct settings. */
static inline bool setting_is_text(enum setting_type type)
{
	return type <= SETTING_tokens;
}

/* One that nobody is shown, and that a file of its own may hold. */
static inline bool setting_is_secret(enum setting_type type)
{
	return setting_is_text(type) && type != SETTING_text;
}

/* NULL: no such key. */
const struct setting_row *setting_find(struct span key);
/* The secret whose KEY_file this is; NULL: of none. */
const struct setting_row *setting_find_file(struct span key);

enum { SETTING_NEAR_ROOM = 96 };
/* For the end of a sentence about an unknown name, spelled as in the file, the environment or a
 * flag (without what stands before it): " (is log.level meant?)", or "". */
const char *setting_near(struct span name, char text[SETTING_NEAR_ROOM]);

/* A number as one would write it in the file: 64k, 2h, 100. */
const char *setting_number_text(enum setting_type type, uint64_t n, char buf[32]);

/* Tokens that one setting may list. */
enum { SETTINGS_TOKENS_MAX = 64 };

/* Room for "FILE:LINE: key: reason". */
enum { SETTINGS_REASON_MAX = 512 };

/* Defaults. Texts are owned; settings_finish() frees them. */
void settings_init(struct settings *settings);
void settings_finish(struct settings *settings);

/* Sets one key as written in a file. False: `reason` says what is wrong ("unknown key", ...). */
bool settings_set(struct settings *settings, struct span key, struct span value,
                  char reason[SETTINGS_REASON_MAX]);

/* Sets a row and says who did. By file: `value` is the path of a regular file that holds a secret;
 * one newline at its end is cut, and an empty file, a NUL byte and more than the row's maximum are
 * refused. The same giver cannot give it both ways. */
struct setting_given {
	const struct setting_row *row;
	struct span value;
	bool by_file;
	enum setting_giver giver;
	uint32_t line;
};
bool settings_give(struct settings *settings, const struct setting_given *given,
                   char reason[SETTINGS_REASON_MAX]);

/* YAML (libyaml): keys nested or dotted, sequences join with commas. False: "file:line: reason";
 * what stood before that line is set by then, so load into a value of its own. */
bool settings_load_file(struct settings *settings, const char *path,
                        char reason[SETTINGS_REASON_MAX]);

/* RINGSIDE_SECTION_NAME variables. An unknown RINGSIDE_ name is refused, except RINGSIDE_CONFIG and
 * what container platforms add for services whose names begin so (RINGSIDE_METRICS_SERVICE_HOST,
 * _PORT_80_TCP). */
bool settings_load_environment(struct settings *settings, char *const *environment,
                               char reason[SETTINGS_REASON_MAX]);

/* Behind all others, where environment_aliases says so: what deployments of other registries call
 * listen, data_dir and http.allowed_origin, for those that nobody has given. */
bool settings_load_aliases(struct settings *settings, char *const *environment,
                           char reason[SETTINGS_REASON_MAX]);

/* "--section-name value", "--section-name=value", "--flag". Returns how many arguments were used,
 * 0 when argv[0] is no setting's flag, -1 with a reason. */
int settings_load_flag(struct settings *settings, int argc, char **argv,
                       char reason[SETTINGS_REASON_MAX]);

/* Where `argv`, good for settings_load_flag(), has a secret itself; NULL: nowhere. */
char *settings_flag_secret(int argc, char **argv);

/* The secrets that nobody gave, from files named ringside.KEY or KEY in `credentials` (systemd's
 * CREDENTIALS_DIRECTORY; NULL: none) or else in secrets_dir. To be called last. */
bool settings_load_found(struct settings *settings, const char *credentials,
                         char reason[SETTINGS_REASON_MAX]);

enum { SETTING_PLACE_ROOM = 256 };
/* Where a row's value came from, for people: "FILE:LINE", the file that holds the secret, "the
 * environment", ...; `file` is that of settings_load_file(), or NULL. */
void settings_place_text(const struct settings *settings, const struct setting_row *row,
                         const char *file, char text[SETTING_PLACE_ROOM]);

/* Says what is no error and may be a mistake: secrets that others can read, found ones that are not
 * used, names in those directories that are nearly a setting's. Looks at the files again; `file` is
 * that of settings_load_file(), or NULL. */
void settings_doubts(const struct settings *settings, const char *file, const char *credentials,
                     void (*say)(void *arg, const char *text), void *arg);

/* Is this node another one's copy (cluster.follow)? */
static inline bool settings_follows(const struct settings *settings)
{
	return settings->cluster_follow != NULL && *settings->cluster_follow != '\0';
}

/* What concerns several keys. False: "file:line: key: reason", without the place where neither key
 * of a conflict came from the file; the key is one that somebody has set. */
bool settings_validate(const struct settings *settings, char reason[SETTINGS_REASON_MAX]);

/* "key=value\n" for every key, and back: how the supervisor hands settings to workers.
 * Values are percent-escaped where they contain '%', CR or LF. Returns malloc'ed text. */
char *settings_text(const struct settings *settings);
bool settings_from_text(struct settings *settings, struct span text,
                        char reason[SETTINGS_REASON_MAX]);

/* Calls `visit` for each key whose values differ. */
void settings_diff(const struct settings *a, const struct settings *b,
                   void (*visit)(void *arg, const struct setting_row *row), void *arg);
/* Takes over one key's value from another. */
void settings_copy_row(struct settings *to, const struct settings *from,
                       const struct setting_row *row);
/* The value of a row that is text (setting_is_text()), secret or not. */
const char *settings_text_of(const struct settings *settings, const struct setting_row *row);
void settings_copy(struct settings *to, const struct settings *from);
/* Takes over where values came from, of those that are the same. */
void settings_copy_places(struct settings *to, const struct settings *from);

/* ---- snapshots ----
 *
 * A value belongs to whoever builds it. What others are to see is a snapshot of it: nothing in one
 * ever changes, and it is there as long as anybody keeps it, texts and all. A new configuration is
 * a new snapshot. So whoever keeps one of its texts for longer than a call keeps the snapshot, and
 * goes on with the values of that day; whoever is to see the newest keeps none and reads through a
 * settings_source, each time. The header of each module that is given settings says which of both
 * it does. On one thread only: another one may read a snapshot that is kept for it. */

/* Of a value that is built, which is finished by it (nothing is copied). The caller keeps it. */
const struct settings *settings_freeze(struct settings *value);
/* Keeps it once more, and returns it. */
const struct settings *settings_keep(const struct settings *snapshot);
/* Whoever kept it does so no longer; the last frees it. Sets it to NULL; NULL is fine. */
void settings_drop(const struct settings **snapshot);
/* Keeps a snapshot of `value`, as settings_freeze() makes it, in place of the one before (NULL: of
 * none). */
void settings_renew(const struct settings **kept, struct settings *value);
/* The same with one that differs in one key. False: the reason says why, and nothing changes. */
bool settings_renew_key(const struct settings **kept, struct span key, struct span value,
                        char reason[SETTINGS_REASON_MAX]);
/* The same with one that has the LIVE keys of `newest`: all that may change in a process that runs.
 * False: none of them differs, and nothing changes. */
bool settings_renew_live(const struct settings **kept, const struct settings *newest);

/* The one place where a process has its newest snapshot. A reload puts another there and drops the
 * one before: what is read through it is good until the loop turns. */
struct settings_source {
	const struct settings *newest;
};

/* One key's value as text, for people: of a secret "(set)" or "(set, from FILE)", of a secret url
 * what address_url_shown() lets through. Lives until the next call, at most as long as `settings`.
 */
const char *settings_show(const struct settings *settings, const struct setting_row *row);

/* The flags for --help; the reference page in Markdown. */
void settings_print_help(FILE *out);
void settings_print_reference(FILE *out);

/* "FIRST-LAST", 1 to 2147483646. False: malformed or the wrong way round. */
bool settings_split_range(const char *text, uint64_t *first, uint64_t *last);

/* One of the addresses of `listen`: [http://|https://]HOST:PORT, the host an IPv6 address in
 * brackets. */
struct settings_listen {
	bool tls;
	char host[256], port[8];
};
enum settings_listen_result { SETTINGS_LISTEN_ONE, SETTINGS_LISTEN_END, SETTINGS_LISTEN_MALFORMED };
/* The next of a list with commas; *rest goes behind it. */
enum settings_listen_result settings_next_listen(const char **rest, struct settings_listen *one);
