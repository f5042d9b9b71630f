/* An old registry's sessions.json, found in the data directory: taken over once, and kept. What
 * cannot be read ends the start, for it would be lost by going on; what of it does not fit is named
 * in the log and stays in the file. */
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/json_take.h"
#include "common/base/log.h"
#include "common/base/process.h"
#include "worker-sse/views/conversation_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	FILE_BYTES_MAX = 256 << 20,
	BATCH = 64,       /* entries of one transaction */
	TRIES_MAX = 100,  /* of a batch that another worker takes over, too */
	FAULTS_SAID = 20, /* in the log; the rest is counted */
	NAMES_MAX = 100,
};

struct import {
	struct sse_worker *worker;
	char path[4096];
	json_t *entries, *seen; /* an object of the ids that stand further behind */
	size_t taken, known, unfit;
};

static int cannot(const struct import *import, int error, const char *what)
{
	if (process_exit_code(error) == EXIT_FAILED) {
		log_error("the old registry cannot be taken over", "file=\"%s\" why=\"%s: %s\"",
		          import->path, what, strerror(error));
		return EXIT_FAILED;
	}
	return worker_cannot_start(import->worker->worker, "%s: %s: %s", import->path, what,
	                           strerror(error));
}

/* NULL: errno says why. */
static uint8_t *read_whole(int fd, size_t len)
{
	uint8_t *bytes = xmalloc(len + 1);
	for (size_t have = 0; have < len;) {
		ssize_t n = read(fd, bytes + have, len - have);
		if (n > 0) {
			have += (size_t)n;
			continue;
		}
		if (n < 0 && errno == EINTR)
			continue;
		errno = n == 0 ? EIO : errno; /* it grew shorter under our hands */
		free(bytes);
		return NULL;
	}
	return bytes;
}

/* *code 0 and no entries: there is no file. */
static void load(struct import *import, int *code)
{
	struct stat st;
	json_error_t error;
	*code = 0;
	int fd = open(import->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0 && errno == ENOENT)
		return;
	if (fd < 0 || fstat(fd, &st) != 0) {
		*code = cannot(import, errno, "cannot be opened");
	} else if (!S_ISREG(st.st_mode) || st.st_size > FILE_BYTES_MAX) {
		*code = worker_cannot_start(import->worker->worker,
		                            "%s: no file, or larger than 256 MB", import->path);
	} else {
		uint8_t *bytes = read_whole(fd, (size_t)st.st_size);
		if (bytes == NULL) {
			*code = cannot(import, errno, "cannot be read");
		} else {
			import->entries =
			        json_take(span_of(bytes, (size_t)st.st_size), 0, NULL, &error);
			if (!json_is_array(import->entries))
				*code = worker_cannot_start(
				        import->worker->worker,
				        "%s: no array of sessions: %s (line %d). Nothing was "
				        "changed; mend it, or move it away to start without",
				        import->path,
				        import->entries == NULL ? error.text : "something else",
				        import->entries == NULL ? error.line : 1);
			free(bytes);
		}
	}
	if (fd >= 0)
		close(fd);
}

/* ---- entries ---- */

static void put_entry(struct import *import, struct txn *txn, const struct conversation *row)
{
	char key[CONVERSATION_KEY_ROOM];
	char *text = conversation_text(row);
	txn_put(txn, conversation_key(row->id, key), (struct span){0}, span_str(text));
	free(text);
	txn_put_always(txn, conversation_time_key(row->id, row->created_ms, key), SPAN("1"));
	json_t *change = conversation_change("created", row);
	text = json_dumps(change, JSON_COMPACT);
	check(text != NULL);
	txn_publish(txn, CONVERSATION_CHANGES, span_str(text));
	free(text);
	json_decref(change);
	import->taken++;
}

static bool is_known(struct import *import, const char *id)
{
	char key[CONVERSATION_KEY_ROOM];
	struct span value;
	return state_kv_get(store_view(import->worker->store), conversation_key(id, key), &value);
}

static void say_unfit(struct import *import, size_t i, const char *fault)
{
	if (import->unfit++ < FAULTS_SAID)
		log_warn("a session of the old registry is left in its file",
		         "file=\"%s\" entry=%zu why=\"%s\"", import->path, i, fault);
}

/* Entries [from, to), from the last on: of several with one id the last counts, as it did there. */
static size_t put_entries(struct import *import, struct txn *txn, size_t from, size_t to)
{
	size_t count = 0;
	for (size_t i = to; i-- > from;) {
		struct conversation row;
		const char *fault = conversation_import(json_array_get(import->entries, i),
		                                        clock_wall_ms(), &row);
		if (fault != NULL) {
			say_unfit(import, i, fault);
		} else if (json_object_get(import->seen, row.id) == NULL) {
			json_object_set_new(import->seen, row.id, json_integer((json_int_t)i));
			if (is_known(import, row.id)) {
				import->known++;
				continue;
			}
			put_entry(import, txn, &row);
			count++;
		}
	}
	return count;
}

/* Another worker may take over the same ones: who is later finds them there. */
static enum verdict take_batch(struct import *import, size_t from, size_t to)
{
	enum verdict verdict = VERDICT_OK;
	for (unsigned tries = 0; tries < TRIES_MAX; tries++) {
		struct import before = *import;
		before.seen = json_copy(import->seen);
		struct txn *txn = txn_create();
		size_t count = put_entries(import, txn, from, to);
		verdict = VERDICT_OK;
		if (count > 0)
			verdict = txn_execute(&txn, import->worker->store);
		txn_destroy(&txn);
		while (store_advance(import->worker->store, 0)) {
		}
		if (verdict != VERDICT_KV_CONFLICT) {
			json_decref(before.seen);
			return verdict;
		}
		json_decref(import->seen);
		*import = before;
	}
	return verdict;
}

/* ---- the file afterwards ---- */

/* It stays, under another name: what was deleted since then must not come back with it. */
static int put_aside(const struct import *import)
{
	char name[sizeof import->path + 32];
	const char *how = import->unfit > 0 ? "partly-imported" : "imported";
	for (unsigned n = 1; n < NAMES_MAX; n++) {
		int len = snprintf(name, sizeof name, "%s.%s", import->path, how);
		if (n > 1)
			snprintf(name + len, sizeof name - (size_t)len, "-%u", n);
		if (renameat2(AT_FDCWD, import->path, AT_FDCWD, name, RENAME_NOREPLACE) == 0) {
			log_info("an old registry was taken over",
			         "file=\"%s\" sessions=%zu known=%zu left=%zu kept_as=\"%s\"",
			         import->path, import->taken, import->known, import->unfit, name);
			return 0;
		}
		if (errno == ENOENT)
			return 0; /* another worker did */
		if (errno != EEXIST)
			break;
	}
	return cannot(import, errno, "cannot be renamed");
}

static int sync_dir(const struct import *import)
{
	int fd = open(import->worker->settings->data_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int code = fd < 0 || fsync(fd) != 0 ? cannot(import, errno, "cannot be synced") : 0;
	if (fd >= 0)
		close(fd);
	return code;
}

static int take_over(struct import *import)
{
	size_t count = json_array_size(import->entries);
	import->seen = json_object();
	for (size_t to = count; to > 0;) {
		size_t from = to > BATCH ? to - BATCH : 0;
		enum verdict verdict = take_batch(import, from, to);
		if (verdict != VERDICT_OK) {
			log_error("the old registry cannot be taken over", "file=\"%s\" why=\"%s\"",
			          import->path, verdict_name(verdict));
			return EXIT_FAILED;
		}
		to = from;
	}
	int code = put_aside(import);
	return code != 0 ? code : sync_dir(import);
}

int conversation_import_file(struct sse_worker *w)
{
	struct import import = {.worker = w};
	int code;
	snprintf(import.path, sizeof import.path, "%s/sessions.json", w->settings->data_dir);
	load(&import, &code);
	if (code == 0 && import.entries != NULL)
		code = take_over(&import);
	json_decref(import.entries);
	json_decref(import.seen);
	return code;
}
