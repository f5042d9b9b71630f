#include "supervisor/tls_files.h"
#include "common/base/certificate.h"
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/store/offset.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	FILE_BYTES_MAX = 1 << 20,
	PAIRS_MAX = 256,
	TICKET_KEY_BYTES = 80, /* worker-sse/edge/tls.h */
	TICKET_KEYS_KEPT = 3,
	TICK_MS = 1000,
	WARN_BEFORE_S = 14 * 86400, /* a certificate that ends so soon is not being renewed */
	WARN_EVERY_S = 86400,
};

/* What a file looks like from outside: another one is another file. */
struct look {
	dev_t device;
	ino_t inode;
	off_t size;
	struct timespec changed;
};

/* What is told. */
struct material {
	uint8_t *pairs, *client_ca;
	size_t pairs_len, client_ca_len;
	uint64_t clients;
	int64_t expires_s;
	unsigned count;
};

struct tls_files {
	uv_timer_t timer;
	const struct settings_source *settings;
	struct events *events;
	void (*on_change)(void *arg);
	void *arg;
	struct material material;
	struct look *looks; /* of all files, as they were when last read */
	size_t looks_count;
	char *named; /* the settings that named them */
	uint64_t look_due_ms, rotate_due_ms;
	int64_t warned_s; /* Unix: when the end that comes near was last said */
	uint8_t keys[TICKET_KEYS_KEPT][TICKET_KEY_BYTES];
	size_t keys_count;
};

/* ---- files ---- */

static void clear(uint8_t **bytes, size_t len)
{
	if (*bytes != NULL)
		OPENSSL_cleanse(*bytes, len);
	free(*bytes);
	*bytes = NULL;
}

/* Behind what is in *into, with a NUL behind it. False: errno. */
static bool append_file(const char *path, uint8_t **into, size_t *len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	uint8_t *grown = xmalloc(*len + FILE_BYTES_MAX + 1);
	if (*len > 0)
		memcpy(grown, *into, *len);
	clear(into, *len);
	*into = grown;
	size_t from = *len;
	ssize_t n = 1;
	while (n > 0 && *len - from < FILE_BYTES_MAX) {
		n = read(fd, grown + *len, FILE_BYTES_MAX - (*len - from));
		if (n < 0 && errno == EINTR)
			n = 1;
		else if (n > 0)
			*len += (size_t)n;
	}
	int error = n < 0 ? errno : *len - from == FILE_BYTES_MAX ? EFBIG : 0;
	close(fd);
	if (error == 0 && memchr(grown + from, '\0', *len - from) != NULL)
		error = EINVAL;
	grown[(*len)++] = '\0';
	errno = error;
	return error == 0;
}

static struct look look_at(const char *path)
{
	struct stat st;
	if (stat(path, &st) != 0)
		return (struct look){0};
	return (struct look){st.st_dev, st.st_ino, st.st_size, st.st_mtim};
}

/* The next "CERT.pem:KEY.pem" of the list. 0: there is none; -1: malformed. */
static int next_pair(const char **rest, char chain[PATH_MAX], char key[PATH_MAX])
{
	const char *from = *rest + strspn(*rest, ", ");
	size_t len = strcspn(from, ",");
	*rest = from + len;
	while (len > 0 && from[len - 1] == ' ')
		len--;
	if (len == 0)
		return 0;
	const char *colon = memchr(from, ':', len);
	if (colon == NULL || colon == from || colon + 1 == from + len || len >= PATH_MAX)
		return -1;
	snprintf(chain, PATH_MAX, "%.*s", (int)(colon - from), from);
	snprintf(key, PATH_MAX, "%.*s", (int)(from + len - colon - 1), colon + 1);
	return 1;
}

/* ---- reading all of them ---- */

static void material_finish(struct material *m)
{
	clear(&m->pairs, m->pairs_len);
	clear(&m->client_ca, m->client_ca_len);
	*m = (struct material){0};
}

static bool refuse(char reason[TLS_FILES_REASON_MAX], const char *path, const char *why)
{
	snprintf(reason, TLS_FILES_REASON_MAX, "%.400s: %.100s", path, why);
	return false;
}

static bool read_pair(struct material *m, const char *chain, const char *key, uint64_t now_ms,
                      char reason[TLS_FILES_REASON_MAX])
{
	struct certificate certificate = {0};
	char why[CERTIFICATE_REASON_ROOM];
	size_t chain_at = m->pairs_len;
	if (!append_file(chain, &m->pairs, &m->pairs_len))
		return refuse(reason, chain, strerror(errno));
	size_t key_at = m->pairs_len;
	if (!append_file(key, &m->pairs, &m->pairs_len))
		return refuse(reason, key, strerror(errno));
	bool good = certificate_read(
	        &certificate, span_of(m->pairs + chain_at, key_at - chain_at - 1),
	        span_of(m->pairs + key_at, m->pairs_len - key_at - 1), now_ms, why);
	if (good) {
		int64_t ends_s = certificate_expires_s(&certificate);
		if (m->count++ == 0 || ends_s < m->expires_s)
			m->expires_s = ends_s;
	}
	certificate_finish(&certificate);
	return good || refuse(reason, chain, why);
}

static bool read_all(const struct settings *s, struct material *m, uint64_t now_ms,
                     char reason[TLS_FILES_REASON_MAX])
{
	char chain[PATH_MAX], key[PATH_MAX];
	int found = 0;
	*m = (struct material){0};
	for (const char *rest = s->tls_certificates; (found = next_pair(&rest, chain, key)) == 1;) {
		if (m->count == PAIRS_MAX ||
		    m->pairs_len > PROTO_LISTEN_PAIRS_MAX - 2 * FILE_BYTES_MAX)
			return refuse(reason, "tls.certificates", "too many");
		if (!read_pair(m, chain, key, now_ms, reason))
			return false;
	}
	if (found < 0)
		return refuse(reason, "tls.certificates",
		              "must be CERT.pem:KEY.pem, several with commas");
	m->clients = strcmp(s->tls_client_certificates, "required") == 0   ? 2
	             : strcmp(s->tls_client_certificates, "optional") == 0 ? 1
	                                                                   : 0;
	return m->clients == 0 ||
	       append_file(s->tls_client_ca_file, &m->client_ca, &m->client_ca_len) ||
	       refuse(reason, s->tls_client_ca_file, strerror(errno));
}

bool tls_files_fit(const struct settings *settings, uint64_t now_ms,
                   char reason[TLS_FILES_REASON_MAX])
{
	struct material m;
	bool good = read_all(settings, &m, now_ms, reason);
	material_finish(&m);
	return good;
}

/* ---- has anything changed? ---- */

static char *what_is_named(const struct settings *s)
{
	char *text;
	check(asprintf(&text, "%s\n%s\n%s", s->tls_certificates, s->tls_client_certificates,
	               s->tls_client_ca_file) >= 0);
	return text;
}

static size_t look_at_all(const struct settings *s, struct look **looks)
{
	char chain[PATH_MAX], key[PATH_MAX];
	size_t count = 0;
	*looks = xcalloc(2 * PAIRS_MAX + 1, sizeof **looks);
	for (const char *rest = s->tls_certificates;
	     count < 2 * PAIRS_MAX && next_pair(&rest, chain, key) == 1;) {
		(*looks)[count++] = look_at(chain);
		(*looks)[count++] = look_at(key);
	}
	if (*s->tls_client_ca_file != '\0')
		(*looks)[count++] = look_at(s->tls_client_ca_file);
	return count;
}

/* Takes the looks over. */
static bool is_new(struct tls_files *files, struct look *looks, size_t count)
{
	char *named = what_is_named(files->settings->newest);
	bool differs = files->named == NULL || strcmp(named, files->named) != 0 ||
	               count != files->looks_count ||
	               memcmp(looks, files->looks, count * sizeof *looks) != 0;
	free(files->named);
	free(files->looks);
	files->named = named;
	files->looks = looks;
	files->looks_count = count;
	return differs;
}

static void take(struct tls_files *files, struct material *m)
{
	material_finish(&files->material);
	files->material = *m;
	files->warned_s = 0;
	if (m->count == 0)
		return;
	char time[40];
	struct span end = timestamp_print(m->expires_s * 1000, time);
	events_emit(files->events, LOG_LEVEL_INFO, "certificates",
	            json_pack("{s:i, s:s%}", "pairs", (int)m->count, "expires_at",
	                      (const char *)end.at, end.len));
}

/* True: there was something new, which has been told. */
static bool look_again(struct tls_files *files)
{
	struct look *looks;
	struct material fresh;
	char reason[TLS_FILES_REASON_MAX];
	size_t count = look_at_all(files->settings->newest, &looks);
	if (!is_new(files, looks, count))
		return false;
	if (!read_all(files->settings->newest, &fresh, clock_wall_ms(), reason)) {
		material_finish(&fresh);
		events_emit(files->events, LOG_LEVEL_ERROR, "certificates-refused",
		            json_pack("{s:s}", "reason", reason));
		return false;
	}
	take(files, &fresh);
	files->on_change(files->arg);
	return true;
}

static void warn_of_the_end(struct tls_files *files)
{
	int64_t now_s = (int64_t)(clock_wall_ms() / 1000),
	        left_s = files->material.expires_s - now_s;
	if (files->material.count == 0 || left_s > WARN_BEFORE_S ||
	    now_s - files->warned_s < WARN_EVERY_S)
		return;
	files->warned_s = now_s;
	events_emit(files->events, LOG_LEVEL_WARN, "certificate-ends",
	            json_pack("{s:I}", "in_s", (json_int_t)left_s));
}

/* ---- ticket keys ---- */

static void rotate(struct tls_files *files)
{
	memmove(files->keys[1], files->keys[0], sizeof files->keys - sizeof files->keys[0]);
	clock_random(files->keys[0], sizeof files->keys[0]);
	if (files->keys_count < TICKET_KEYS_KEPT)
		files->keys_count++;
}

static bool rotate_if_due(struct tls_files *files, uint64_t now_ms)
{
	uint64_t every_ms = files->settings->newest->tls_ticket_rotation_ms;
	if (every_ms == 0) {
		bool had = files->keys_count > 0;
		OPENSSL_cleanse(files->keys, sizeof files->keys);
		files->keys_count = 0;
		files->rotate_due_ms = 0;
		return had;
	}
	if (files->keys_count > 0 && now_ms < files->rotate_due_ms &&
	    files->rotate_due_ms - now_ms <= every_ms)
		return false;
	rotate(files);
	files->rotate_due_ms = now_ms + every_ms;
	return true;
}

/* ---- life ---- */

static void on_timer(uv_timer_t *timer)
{
	struct tls_files *files = timer->data;
	uint64_t now_ms = clock_monotonic_ms(), every_ms = files->settings->newest->tls_watch_ms;
	if (every_ms != 0 && now_ms >= files->look_due_ms) {
		files->look_due_ms = now_ms + every_ms;
		look_again(files);
	}
	warn_of_the_end(files);
	if (rotate_if_due(files, now_ms))
		files->on_change(files->arg);
}

struct tls_files *tls_files_create(uv_loop_t *loop, const struct settings_source *settings,
                                   struct events *events, void (*on_change)(void *arg), void *arg,
                                   char reason[TLS_FILES_REASON_MAX])
{
	struct material first;
	if (!read_all(settings->newest, &first, clock_wall_ms(), reason)) {
		material_finish(&first);
		return NULL;
	}
	struct tls_files *files = xcalloc(1, sizeof *files);
	files->settings = settings;
	files->events = events;
	files->on_change = on_change;
	files->arg = arg;
	struct look *looks;
	size_t count = look_at_all(settings->newest, &looks);
	is_new(files, looks, count);
	take(files, &first);
	rotate_if_due(files, clock_monotonic_ms());
	uv_timer_init(loop, &files->timer);
	files->timer.data = files;
	uv_timer_start(&files->timer, on_timer, TICK_MS, TICK_MS);
	return files;
}

static void on_closed(uv_handle_t *handle)
{
	struct tls_files *files = handle->data;
	material_finish(&files->material);
	OPENSSL_cleanse(files->keys, sizeof files->keys);
	free(files->named);
	free(files->looks);
	free(files);
}

void tls_files_destroy(struct tls_files **files)
{
	if (*files != NULL)
		uv_close((uv_handle_t *)&(*files)->timer, on_closed);
	*files = NULL;
}

bool tls_files_reload(struct tls_files *files)
{
	bool changed = look_again(files);
	if (rotate_if_due(files, clock_monotonic_ms()))
		files->on_change(files->arg);
	return changed;
}

void tls_files_tell(const struct tls_files *files, struct peer *peer, uint64_t tls)
{
	const struct material *m = &files->material;
	peer_put(peer, listen, LISTEN,
	         {.tls = tls,
	          .clients = m->clients,
	          .pairs = span_of(m->pairs, m->pairs_len),
	          .client_ca = span_of(m->client_ca, m->client_ca_len),
	          .ticket_keys = span_of(files->keys, files->keys_count * TICKET_KEY_BYTES)});
}
