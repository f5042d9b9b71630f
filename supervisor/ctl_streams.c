/* ringsidectl streams: what is in the store, read beside the running workers. */
#include "common/base/check.h"
#include "common/base/clock.h"
#include "proto/roles.h"
#include "supervisor/ctl.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>

enum {
	TAIL_MESSAGES = 10,
	TAIL_BYTES = 256 << 10, /* looked back at most for them */
	SCAN_BYTES = 1 << 20,   /* read at a time */
	LOADED_MAX = 1000,      /* streams kept in memory while listing */
	POLL_MS = 50,
};

static const char root[] = "/v1/stream/";

/* As it stands in a URL: below the root unless it begins with '/'. */
static char *whole_path(const char *path)
{
	size_t len = strlen(path), root_len = *path == '/' ? 0 : sizeof root - 1;
	char *whole = xmalloc(root_len + len + 1);
	memcpy(whole, root, root_len);
	memcpy(whole + root_len, path, len + 1);
	return whole;
}

static void print_offset(char text[40], const struct stream *s, uint64_t at)
{
	snprintf(text, 40, "%016llu_%016llu", (unsigned long long)(at != 0 ? s->lineage : 0),
	         (unsigned long long)at);
}

static const char *state_of(const struct stream *s)
{
	return s->deleted                           ? "deleted"
	       : stream_expired(s, clock_wall_ms()) ? "expired"
	       : s->closed                          ? "closed"
	                                            : "open";
}

static json_t *stream_json(struct store *store, const struct stream *s)
{
	char tail[40], first[40];
	uint64_t begins = stream_first(store_view(store), s), expires_ms = stream_expires_ms(s);
	print_offset(tail, s, s->tail);
	print_offset(first, s, begins);
	json_t *json =
	        json_pack("{s:s, s:s, s:s, s:I, s:s, s:s, s:I, s:I, s:i}", "path", s->path, "state",
	                  state_of(s), "content_type", s->content_type, "bytes",
	                  (json_int_t)(s->tail - begins), "first_offset", first, "next_offset",
	                  tail, "created_at_ms", (json_int_t)s->created_ms, "appended_at_ms",
	                  (json_int_t)s->appended_ms, "forks", (int)s->refs);
	if (json == NULL) /* a path is bytes; JSON is UTF-8 */
		return json_pack("{s:s, s:I}", "state", "path is not UTF-8", "id",
		                 (json_int_t)s->id);
	if (s->ttl_present)
		json_object_set_new(json, "ttl_s", json_integer((json_int_t)s->ttl_s));
	if (expires_ms != UINT64_MAX)
		json_object_set_new(json, "expires_at_ms", json_integer((json_int_t)expires_ms));
	if (s->source_id != 0)
		json_object_set_new(json, "forked_from", json_string(s->fork_source));
	return json;
}

/* ---- ls ---- */

struct found {
	char *path;
	uint64_t id;
};
struct listing {
	struct span prefix;
	struct found *found;
	size_t count, room;
};

static bool collect(void *arg, struct span path, uint64_t id)
{
	struct listing *l = arg;
	if (l->count == l->room) {
		l->room = l->room != 0 ? 2 * l->room : 256;
		l->found = xrealloc(l->found, l->room * sizeof *l->found);
	}
	l->found[l->count++] = (struct found){xmemdup_text(path.at, path.len), id};
	return true;
}

static int by_path(const void *a, const void *b)
{
	const struct found *x = a, *y = b;
	return strcmp(x->path, y->path);
}

static void print_row(struct store *store, const struct stream *s, bool as_json)
{
	char tail[40], size[32];
	if (as_json) {
		json_t *json = stream_json(store, s);
		json_dumpf(json, stdout, JSON_COMPACT);
		putchar('\n');
		json_decref(json);
		return;
	}
	print_offset(tail, s, s->tail);
	printf("%-8s %10s  %s  %-24s %s\n", state_of(s),
	       ctl_size(s->tail - stream_first(store_view(store), s), size), tail, s->content_type,
	       s->path);
}

static int list(const struct ctl *ctl, int argc, char **argv)
{
	bool as_json = ctl_take_flag(&argc, argv, "--json");
	const char *prefix = "";
	struct store *store;
	char data_dir[4096];
	if (!ctl_take_option(&argc, argv, "--prefix", &prefix))
		return ctl_usage(ctl, "--prefix needs a value");
	if (argc > 0)
		return ctl_usage(ctl, "unexpected argument '%s'", argv[0]);
	int code = ctl_open_store(ctl, &store, data_dir);
	if (code != 0)
		return code;
	char *whole = whole_path(prefix);
	struct listing l = {.prefix = *prefix ? span_str(whole) : (struct span){0}};
	struct state *view = store_view(store);
	state_path_each(view, l.prefix, collect, &l);
	qsort(l.found, l.count, sizeof *l.found, by_path);
	for (size_t i = 0; i < l.count; i++) {
		struct store_status status;
		struct stream *s = state_find_id(view, l.found[i].id);
		if (s != NULL)
			print_row(store, s, as_json);
		free(l.found[i].path);
		if (i % LOADED_MAX == LOADED_MAX - 1) {
			store_status(store, &status);
			state_evict(view, status.checkpoint, 0);
		}
	}
	free(l.found);
	free(whole);
	store_close(&store);
	return EXIT_DONE;
}

/* ---- stat ---- */

static void print_field(const char *name, const json_t *value)
{
	if (json_is_string(value))
		printf("%-16s %s\n", name, json_string_value(value));
	else
		printf("%-16s %lld\n", name, (long long)json_integer_value(value));
}

static int show(const struct ctl *ctl, int argc, char **argv)
{
	bool as_json = ctl_take_flag(&argc, argv, "--json");
	struct store *store;
	char data_dir[4096];
	const char *key;
	json_t *value;
	if (argc != 1)
		return ctl_usage(ctl, "one path is expected");
	int code = ctl_open_store(ctl, &store, data_dir);
	if (code != 0)
		return code;
	char *path = whole_path(argv[0]);
	const struct stream *s = state_find(store_view(store), span_str(path));
	if (s == NULL) {
		code = ctl_fail("there is no stream %s", path);
	} else {
		json_t *json = stream_json(store, s);
		if (as_json) {
			json_dumpf(json, stdout, JSON_INDENT(2));
			putchar('\n');
		} else {
			json_object_foreach (json, key, value)
				print_field(key, value);
		}
		json_decref(json);
	}
	free(path);
	store_close(&store);
	return code;
}

/* ---- tail ---- */

struct tail {
	struct store *store;
	const char *path;
	bool json;
	uint64_t at;                  /* printed up to here */
	uint64_t kept[TAIL_MESSAGES]; /* where the last messages begin */
	uint64_t messages;
};

/* JSON text has no line ends but between tokens. */
static void print_json_line(struct span bytes)
{
	for (size_t i = 0; i < bytes.len; i++)
		putchar(bytes.at[i] == '\n' || bytes.at[i] == '\r' ? ' ' : bytes.at[i]);
	putchar('\n');
}

static bool print_message(void *arg, const struct store_message *message)
{
	struct tail *t = arg;
	if (t->json)
		print_json_line(message->bytes);
	else
		fwrite(message->bytes.at, 1, message->bytes.len, stdout);
	t->at = message->ends_at;
	return true;
}

static bool note_message(void *arg, const struct store_message *message)
{
	struct tail *t = arg;
	t->kept[t->messages++ % TAIL_MESSAGES] = t->at;
	t->at = message->ends_at;
	return true;
}

static bool scan_to(struct tail *t, const struct stream *s,
                    bool (*visit)(void *arg, const struct store_message *))
{
	while (t->at < s->tail) {
		uint64_t from = t->at;
		if (store_scan(t->store, s, from, s->tail, SCAN_BYTES, visit, t) != STORE_READ_OK ||
		    t->at == from)
			return false;
	}
	return true;
}

/* Goes to where the last messages begin. */
static bool go_back(struct tail *t, const struct stream *s)
{
	uint64_t first = stream_first(store_view(t->store), s);
	t->at = first;
	if (s->tail - first > TAIL_BYTES)
		t->at = store_page_end(t->store, s, first, s->tail,
		                       (size_t)(s->tail - first - TAIL_BYTES));
	if (!scan_to(t, s, note_message))
		return false;
	if (t->messages > 0)
		t->at = t->kept[t->messages > TAIL_MESSAGES ? t->messages % TAIL_MESSAGES : 0];
	return true;
}

/* An offset of this stream as the protocol writes it, or a byte position. */
static bool parse_offset(const char *text, const struct stream *s, uint64_t *at)
{
	unsigned long long lineage = s->lineage, position;
	char rest;
	if (strlen(text) == 33 && text[16] == '_') {
		if (sscanf(text, "%16llu_%16llu%c", &lineage, &position, &rest) != 2)
			return false;
	} else if (!isdigit((unsigned char)*text) ||
	           sscanf(text, "%llu%c", &position, &rest) != 1) {
		return false;
	}
	*at = position;
	return position <= s->tail && (lineage == s->lineage || (lineage == 0 && position == 0));
}

static int begin(struct tail *t, const struct stream *s, const char *offset)
{
	uint64_t first = stream_first(store_view(t->store), s);
	t->json = s->json;
	if (offset == NULL)
		return go_back(t, s) ? 0
		                     : ctl_fail("%s cannot be read; see 'ringsidectl store check'",
		                                t->path);
	if (strcmp(offset, "-1") == 0)
		t->at = first;
	else if (strcmp(offset, "now") == 0)
		t->at = s->tail;
	else if (!parse_offset(offset, s, &t->at) || !store_boundary(t->store, s, t->at))
		return ctl_fail("%s is no offset of %s", offset, t->path);
	if (t->at < first)
		return ctl_fail("%s is before what is kept of %s: say --offset -1", offset,
		                t->path);
	return 0;
}

/* Prints what there is, and with `follow` what comes, until the stream is closed. */
static int print_from(struct tail *t, bool follow)
{
	const struct timespec pause = {.tv_nsec = POLL_MS * 1000000l};
	for (;;) {
		const struct stream *s =
		        state_find(store_view(t->store), span_of(t->path, strlen(t->path)));
		if (s == NULL || s->deleted)
			return ctl_fail("%s was deleted", t->path);
		if (!scan_to(t, s, print_message))
			return ctl_fail("%s cannot be read on: retention overtook, or see "
			                "'ringsidectl store check'",
			                t->path);
		if (fflush(stdout) != 0)
			return ctl_fail("cannot write: %s", strerror(errno));
		if (!follow || s->closed)
			return EXIT_DONE;
		while (store_advance(t->store, 0)) {
		}
		nanosleep(&pause, NULL);
	}
}

static int tail(const struct ctl *ctl, int argc, char **argv)
{
	bool follow = ctl_take_flag(&argc, argv, "--follow");
	const char *offset = NULL;
	char data_dir[4096];
	struct tail t = {0};
	if (!ctl_take_option(&argc, argv, "--offset", &offset))
		return ctl_usage(ctl, "--offset needs a value");
	if (argc != 1)
		return ctl_usage(ctl, "one path is expected");
	int code = ctl_open_store(ctl, &t.store, data_dir);
	if (code != 0)
		return code;
	char *path = whole_path(argv[0]);
	t.path = path;
	const struct stream *s = state_find(store_view(t.store), span_str(path));
	code = s == NULL || s->deleted ? ctl_fail("there is no stream %s", path)
	                               : begin(&t, s, offset);
	if (code == 0)
		code = print_from(&t, follow);
	free(path);
	store_close(&t.store);
	return code;
}

const struct ctl_text ctl_text_streams = {
        "ls [--prefix P] [--json] | stat PATH [--json] | tail PATH [--follow] [--offset O]",
        "A PATH that does not begin with / is below /v1/stream/. tail prints the last ten\n"
        "messages, or everything from --offset on: an offset as the protocol gives it, a byte\n"
        "position, -1 (the beginning) or now. JSON streams print one message per line.\n"
        "Works without a supervisor when --data-dir says where the store is.\n"};

int ctl_streams(const struct ctl *ctl, int argc, char **argv)
{
	if (argc > 0 && strcmp(argv[0], "ls") == 0)
		return list(ctl, argc - 1, argv + 1);
	if (argc > 0 && strcmp(argv[0], "stat") == 0)
		return show(ctl, argc - 1, argv + 1);
	if (argc > 0 && strcmp(argv[0], "tail") == 0)
		return tail(ctl, argc - 1, argv + 1);
	return ctl_usage(ctl, "ls, stat or tail is expected");
}
