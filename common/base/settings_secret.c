/* Secrets from files of their own: named by KEY_file, or found in a directory under their keys. */
#include "common/base/check.h"
#include "common/base/settings.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_ROOM = 4200 };

/* ---- one file ---- */

static bool refuse(char reason[SETTINGS_REASON_MAX], const struct setting_row *row,
                   const char *path, const char *what)
{
	snprintf(reason, SETTINGS_REASON_MAX, "%.80s_file: %.220s: %.180s", row->key, path, what);
	return false;
}

static struct setting_place *place_of(struct settings *settings, const struct setting_row *row)
{
	return &settings->places[row - setting_rows];
}

/* As much as fits, and one byte more where there is more. */
static bool read_some(int fd, uint8_t *text, size_t room, size_t *len)
{
	*len = 0;
	while (*len < room) {
		ssize_t n = read(fd, text + *len, room - *len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n == 0;
		*len += (size_t)n;
	}
	return true;
}

static bool take_text(struct settings *settings, const struct setting_row *row, const char *path,
                      struct span text, char reason[SETTINGS_REASON_MAX])
{
	char why[SETTINGS_REASON_MAX], limit[64];
	if (text.len > 0 && text.at[text.len - 1] == '\n')
		text.len--;
	if (text.len == 0)
		return refuse(reason, row, path, "is empty");
	if (memchr(text.at, '\0', text.len) != NULL)
		return refuse(reason, row, path, "contains a NUL byte");
	if (text.len > row->max) {
		snprintf(limit, sizeof limit, "is longer than %llu bytes",
		         (unsigned long long)row->max);
		return refuse(reason, row, path, limit);
	}
	if (settings_set(settings, span_str(row->key), text, why))
		return true;
	size_t key_len = strlen(row->key); /* "KEY: what" */
	return refuse(reason, row, path,
	              strncmp(why, row->key, key_len) == 0 && strncmp(why + key_len, ": ", 2) == 0
	                      ? why + key_len + 2
	                      : why);
}

/* What is no file could keep whoever reads it waiting, and at a reload would be empty. */
static bool take_file(struct settings *settings, const struct setting_row *row, const char *path,
                      char reason[SETTINGS_REASON_MAX])
{
	struct stat status;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return refuse(reason, row, path, strerror(errno));
	if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) {
		close(fd);
		return refuse(reason, row, path, "is not a regular file");
	}
	size_t room = row->max + 2, len; /* a newline, and one byte that is too much */
	uint8_t *text = xmalloc(room);
	check(text != NULL); /* which sanitizers make the compiler doubt */
	bool ok = read_some(fd, text, room, &len);
	int error = errno;
	close(fd);
	ok = ok ? take_text(settings, row, path, span_of(text, len), reason)
	        : refuse(reason, row, path, strerror(error));
	explicit_bzero(text, room);
	free(text);
	if (ok)
		place_of(settings, row)->path = xmemdup_text((const uint8_t *)path, strlen(path));
	return ok;
}

bool settings_give(struct settings *settings, const struct setting_given *given,
                   char reason[SETTINGS_REASON_MAX])
{
	const struct setting_row *row = given->row;
	struct setting_place *place = place_of(settings, row);
	if (place->giver == given->giver && (place->path != NULL) != given->by_file) {
		snprintf(reason, SETTINGS_REASON_MAX, "%s: given as %s_file, too", row->key,
		         row->key);
		return false;
	}
	bool ok;
	if (given->by_file) {
		char *path = xmemdup_text(given->value.at, given->value.len);
		ok = *path == '\0' ? refuse(reason, row, "''", "needs the path of a file")
		                   : take_file(settings, row, path, reason);
		free(path);
	} else {
		ok = settings_set(settings, span_str(row->key), given->value, reason);
	}
	if (ok) {
		place->giver = given->giver;
		place->line = given->line;
	}
	return ok;
}

const struct setting_row *setting_find_file(struct span key)
{
	static const char suffix[] = "_file";
	size_t len = sizeof suffix - 1;
	if (key.len <= len || memcmp(key.at + key.len - len, suffix, len) != 0)
		return NULL;
	const struct setting_row *row = setting_find(span_of(key.at, key.len - len));
	return row != NULL && setting_is_secret(row->type) ? row : NULL;
}

/* ---- directories ---- */

struct found_in {
	const char *credentials, *secrets; /* systemd's first; NULL or "": none */
};

/* Their files may carry the program's name, for directories that several share. */
static const char own_prefix[] = "ringside.";

static bool is_there(const char *dir, const char *prefix, const char *key, char path[PATH_ROOM])
{
	struct stat status;
	snprintf(path, PATH_ROOM, "%s/%s%s", dir, prefix, key);
	return stat(path, &status) == 0;
}

/* Where a secret lies in one of them. *path is empty: nowhere. False: twice in one. */
static bool find(const struct found_in *found, const struct setting_row *row, char path[PATH_ROOM],
                 char reason[SETTINGS_REASON_MAX])
{
	const char *const dirs[] = {found->credentials, found->secrets};
	char other[PATH_ROOM];
	for (size_t i = 0; i < 2; i++) {
		if (dirs[i] == NULL || *dirs[i] == '\0')
			continue;
		bool own = is_there(dirs[i], own_prefix, row->key, path);
		bool plain = is_there(dirs[i], "", row->key, own ? other : path);
		if (own && plain) {
			snprintf(reason, SETTINGS_REASON_MAX, "%.200s: holds %s%s and %s, too",
			         dirs[i], own_prefix, row->key, row->key);
			return false;
		}
		if (own || plain)
			return true;
	}
	*path = '\0';
	return true;
}

bool settings_load_found(struct settings *settings, const char *credentials,
                         char reason[SETTINGS_REASON_MAX])
{
	const struct found_in found = {credentials, settings->secrets_dir};
	char path[PATH_ROOM];
	struct stat status;
	if (*found.secrets != '\0' && stat(found.secrets, &status) != 0) {
		snprintf(reason, SETTINGS_REASON_MAX, "secrets_dir: %.300s: %s", found.secrets,
		         strerror(errno));
		return false;
	}
	for (size_t i = 0; i < setting_rows_count; i++) {
		const struct setting_row *row = &setting_rows[i];
		if (!setting_is_secret(row->type) || settings->places[i].giver != GIVEN_BY_DEFAULT)
			continue;
		if (!find(&found, row, path, reason) ||
		    (*path != '\0' && !take_file(settings, row, path, reason)))
			return false;
		if (*path != '\0')
			settings->places[i].giver = GIVEN_BY_DIRECTORY;
	}
	return true;
}

/* ---- what is doubtful ---- */

void settings_place_text(const struct settings *settings, const struct setting_row *row,
                         const char *file, char text[SETTING_PLACE_ROOM])
{
	static const char *const givers[] = {[GIVEN_BY_DEFAULT] = "its default",
	                                     [GIVEN_BY_FILE] = "the configuration file",
	                                     [GIVEN_BY_ENVIRONMENT] = "the environment",
	                                     [GIVEN_BY_FLAG] = "the command line",
	                                     [GIVEN_BY_DIRECTORY] = "a directory"};
	const struct setting_place *place = &settings->places[row - setting_rows];
	if (place->path != NULL)
		snprintf(text, SETTING_PLACE_ROOM, "%.250s", place->path);
	else if (place->giver == GIVEN_BY_FILE && file != NULL)
		snprintf(text, SETTING_PLACE_ROOM, "%.220s:%u", file, place->line);
	else
		snprintf(text, SETTING_PLACE_ROOM, "%s", givers[place->giver]);
}

struct doubts {
	const struct settings *settings;
	const char *file; /* of the configuration; NULL: none */
	void (*say)(void *arg, const char *text);
	void *arg;
};

static void __attribute__((format(printf, 2, 3)))
doubt(const struct doubts *doubts, const char *format, ...)
{
	char text[SETTINGS_REASON_MAX];
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(text, sizeof text, format, arguments);
	va_end(arguments);
	doubts->say(doubts->arg, text);
}

static void look_at_mode(const struct doubts *doubts, const char *path, const char *key)
{
	struct stat status;
	if (stat(path, &status) == 0 && (status.st_mode & 077) != 0)
		doubt(doubts, "%s: %.300s may be used by others than its owner (mode %04o)", key,
		      path, (unsigned)status.st_mode & 07777);
}

/* The keys of pairs CERT.pem:KEY.pem, with commas between them. */
static void look_at_certificate_keys(const struct doubts *doubts)
{
	const char *rest = doubts->settings->tls_certificates;
	while (*rest != '\0') {
		size_t all = strcspn(rest, ","), key = strcspn(rest, ":,") + 1, len = all;
		char path[PATH_ROOM];
		while (len > key && rest[len - 1] == ' ')
			len--;
		if (key < len && snprintf(path, sizeof path, "%.*s", (int)(len - key), rest + key) <
		                         (int)sizeof path)
			look_at_mode(doubts, path, "tls.certificates: the private key");
		rest += all;
		rest += *rest == ',';
	}
}

/* Keys to check signatures with are public, unless one of them is symmetric (RFC 7518, 6.4). */
static bool holds_secret(const struct settings *settings, const struct setting_row *row)
{
	const char *text = settings_text_of(settings, row);
	return strcmp(row->key, "auth.jwt_keys") != 0 || strstr(text, "\"k\"") != NULL ||
	       strstr(text, "PRIVATE KEY") != NULL;
}

static void look_at_row(const struct doubts *doubts, const struct found_in *found, size_t i,
                        bool *written)
{
	const struct setting_row *row = &setting_rows[i];
	const struct setting_place *place = &doubts->settings->places[i];
	char path[PATH_ROOM], reason[SETTINGS_REASON_MAX], giver[SETTING_PLACE_ROOM];
	if (!setting_is_secret(row->type) || place->giver == GIVEN_BY_DEFAULT)
		return;
	bool secret = holds_secret(doubts->settings, row);
	*written = *written || (secret && place->giver == GIVEN_BY_FILE && place->path == NULL);
	if (secret && place->giver == GIVEN_BY_FLAG && place->path == NULL &&
	    !doubts->settings->dev)
		doubt(doubts,
		      "%s: is on the command line, which everybody on this machine may have read: "
		      "use %s_file, or the environment",
		      row->key, row->key);
	/* systemd's own are shared with the service's user by an ACL, which shows in the mode. */
	size_t len = found->credentials != NULL ? strlen(found->credentials) : 0;
	bool credential = place->path != NULL && len != 0 && place->path[len] == '/' &&
	                  strncmp(place->path, found->credentials, len) == 0;
	if (secret && place->path != NULL && !credential)
		look_at_mode(doubts, place->path, row->key);
	settings_place_text(doubts->settings, row, doubts->file, giver);
	if (place->giver != GIVEN_BY_DIRECTORY && find(found, row, path, reason) && *path != '\0')
		doubt(doubts, "%s: %.300s is not used: %s says otherwise", row->key, path, giver);
}

/* A name that no setting has is somebody else's, unless it is nearly one. */
static void look_at_names(const struct doubts *doubts, const char *dir)
{
	DIR *names = dir != NULL && *dir != '\0' ? opendir(dir) : NULL;
	if (names == NULL)
		return;
	for (const struct dirent *entry; (entry = readdir(names)) != NULL;) {
		size_t skip = strncmp(entry->d_name, own_prefix, sizeof own_prefix - 1) == 0
		                      ? sizeof own_prefix - 1
		                      : 0;
		struct span key = span_str(entry->d_name + skip);
		char near[SETTING_NEAR_ROOM];
		const struct setting_row *row = setting_find(key);
		if (row != NULL && !setting_is_secret(row->type))
			doubt(doubts, "%.200s/%.200s: is not used: %s is no secret", dir,
			      entry->d_name, row->key);
		else if (row == NULL && *setting_near(key, near) != '\0')
			doubt(doubts, "%.200s/%.200s: is not used: no setting has that name%s", dir,
			      entry->d_name, near);
	}
	closedir(names);
}

void settings_doubts(const struct settings *settings, const char *file, const char *credentials,
                     void (*say)(void *arg, const char *text), void *arg)
{
	const struct doubts doubts = {settings, file, say, arg};
	const struct found_in found = {credentials, settings->secrets_dir};
	bool written = false;
	for (size_t i = 0; i < setting_rows_count; i++)
		look_at_row(&doubts, &found, i, &written);
	if (written && file != NULL && !settings->dev)
		look_at_mode(&doubts, file, "secrets in the configuration");
	look_at_certificate_keys(&doubts);
	look_at_names(&doubts, found.credentials);
	look_at_names(&doubts, found.secrets);
}
