#include "worker-capture/devtools.h"
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/hash.h"
#include "common/base/log.h"
#include "worker-capture/devtools_wire.h"

#include <stdlib.h>
#include <unistd.h>

enum {
	BUFFER_BYTES = 256 << 10,
	READ_BYTES_MIN = 64 << 10,
	UNSENT_BYTES_MAX = 4 << 20, /* to a browser that does not read */
};

struct asked {
	uint64_t id, due_ms;
	enum devtools_method method;
	enum devtools_outcome outcome; /* DEVTOOLS_OK: open; else it is answered at the next turn */
	const char *reason;            /* constant, with an outcome */
	char session[DEVTOOLS_SESSION_MAX + 1];
	devtools_on_reply *on_reply;
	void *arg;
	UT_hash_handle hh;
};

struct devtools {
	uv_pipe_t commands, messages;
	uv_timer_t timer;
	uint64_t timer_due_ms;
	struct devtools_events events;
	struct asked *open;
	uint64_t last_id;
	size_t message_bytes_max;
	uint8_t *buffer;
	size_t room, len, scanned;
	unsigned handles; /* open ones */
	bool gone, destroyed;
};

#define METHOD_NAME(NAME, text) [DEVTOOLS_##NAME] = text,
static const char *const method_names[] = {DEVTOOLS_METHODS(METHOD_NAME)};
#undef METHOD_NAME

/* ---- calls ---- */

static void answer(struct devtools *d, struct asked *asked, enum devtools_outcome outcome,
                   const json_t *result, const char *reason)
{
	HASH_DEL(d->open, asked);
	if (outcome != DEVTOOLS_OK)
		log_debug("devtools call failed", "method=%s reason=\"%s\"",
		          method_names[asked->method], reason);
	if (asked->on_reply != NULL)
		asked->on_reply(asked->arg, outcome, result, reason);
	free(asked);
}

static struct asked *first_due(struct devtools *d, uint64_t now_ms, uint64_t *next_ms)
{
	*next_ms = UINT64_MAX;
	for (struct asked *asked = d->open; asked != NULL; asked = asked->hh.next) {
		if (asked->due_ms <= now_ms)
			return asked;
		*next_ms = asked->due_ms < *next_ms ? asked->due_ms : *next_ms;
	}
	return NULL;
}

static void on_timer(uv_timer_t *timer);

static void wake_at(struct devtools *d, uint64_t due_ms, uint64_t now_ms)
{
	d->timer_due_ms = due_ms;
	uv_timer_start(&d->timer, on_timer, due_ms > now_ms ? due_ms - now_ms : 0, 0);
}

static void on_timer(uv_timer_t *timer)
{
	struct devtools *d = timer->data;
	uint64_t now_ms = clock_monotonic_ms(), next_ms;
	struct asked *asked;
	d->timer_due_ms = UINT64_MAX;
	while (!d->destroyed && (asked = first_due(d, now_ms, &next_ms)) != NULL) {
		if (asked->outcome == DEVTOOLS_OK)
			answer(d, asked, DEVTOOLS_TIMEOUT, NULL, "no answer in time");
		else
			answer(d, asked, asked->outcome, NULL, asked->reason);
	}
	if (!d->destroyed && next_ms != UINT64_MAX)
		wake_at(d, next_ms, now_ms);
}

/* Callbacks come from the loop: whoever called need not expect its own to run already. */
static void answer_later(struct devtools *d, struct asked *asked, enum devtools_outcome outcome,
                         const char *reason)
{
	asked->outcome = outcome;
	asked->reason = reason;
	asked->due_ms = 0;
	wake_at(d, 0, 0);
}

static void answer_all(struct devtools *d, const char *reason)
{
	while (d->open != NULL)
		answer(d, d->open, DEVTOOLS_GONE, NULL, reason);
}

struct sent {
	uv_write_t write;
	char text[];
};

static void on_sent(uv_write_t *write, int status)
{
	(void)status; /* the other pipe tells when it is over */
	free(write->data);
}

/* The terminating NUL is part of the message. */
static bool send_text(struct devtools *d, const char *text)
{
	size_t len = strlen(text) + 1, done = 0;
	uv_buf_t buf = uv_buf_init((char *)text, (unsigned)len);
	size_t unsent = uv_stream_get_write_queue_size((uv_stream_t *)&d->commands);
	if (unsent + len > UNSENT_BYTES_MAX)
		return false;
	if (unsent == 0) {
		int n = uv_try_write((uv_stream_t *)&d->commands, &buf, 1);
		done = n > 0 ? (size_t)n : 0;
	}
	if (done == len)
		return true;
	struct sent *sent = xmalloc(sizeof *sent + len - done);
	memcpy(sent->text, text + done, len - done);
	sent->write.data = sent;
	buf = uv_buf_init(sent->text, (unsigned)(len - done));
	if (uv_write(&sent->write, (uv_stream_t *)&d->commands, &buf, 1, on_sent) == 0)
		return true;
	free(sent);
	return false;
}

static bool send_command(struct devtools *d, const struct asked *asked, json_t *params)
{
	json_t *command = json_pack("{s:I, s:s, s:o}", "id", (json_int_t)asked->id, "method",
	                            method_names[asked->method], "params",
	                            params != NULL ? params : json_object());
	if (*asked->session != '\0')
		json_object_set_new(command, "sessionId", json_string(asked->session));
	char *text = json_dumps(command, JSON_COMPACT);
	bool sent = text != NULL && send_text(d, text);
	free(text);
	json_decref(command);
	return sent;
}

void devtools_command(struct devtools *d, enum devtools_method method, const char *session,
                      json_t *params, uint64_t timeout_ms, devtools_on_reply *on_reply, void *arg)
{
	uint64_t now_ms = clock_monotonic_ms();
	struct asked *asked = xcalloc(1, sizeof *asked);
	*asked = (struct asked){.id = ++d->last_id,
	                        .due_ms = now_ms + timeout_ms,
	                        .method = method,
	                        .on_reply = on_reply,
	                        .arg = arg};
	snprintf(asked->session, sizeof asked->session, "%s", session);
	bool full = HASH_COUNT(d->open) >= DEVTOOLS_COMMANDS_MAX;
	HASH_ADD(hh, d->open, id, sizeof asked->id, asked);
	if (d->gone || full) {
		json_decref(params);
		answer_later(d, asked, d->gone ? DEVTOOLS_GONE : DEVTOOLS_REFUSED,
		             d->gone ? "the browser is gone" : "too many calls are open");
	} else if (!send_command(d, asked, params)) {
		answer_later(d, asked, DEVTOOLS_REFUSED, "the browser does not read");
	} else if (asked->due_ms < d->timer_due_ms) {
		wake_at(d, asked->due_ms, now_ms);
	}
}

void devtools_forget(struct devtools *d, const char *session)
{
	for (struct asked *asked = d->open; asked != NULL; asked = asked->hh.next)
		if (strcmp(asked->session, session) == 0)
			answer_later(d, asked, DEVTOOLS_GONE, "the page is gone");
}

/* ---- messages ---- */

static void take_reply(struct devtools *d, const struct devtools_message *m)
{
	struct asked *asked;
	HASH_FIND(hh, d->open, &m->id, sizeof m->id, asked);
	if (asked == NULL || asked->outcome != DEVTOOLS_OK)
		return; /* too late */
	answer(d, asked, m->body != NULL ? DEVTOOLS_OK : DEVTOOLS_REFUSED, m->body, m->error);
}

static void take_message(struct devtools *d, struct span text)
{
	struct devtools_message m;
	struct picture *picture;
	devtools_message_parse(text, &m);
	switch (m.kind) {
	case DEVTOOLS_KIND_REPLY:
		take_reply(d, &m);
		break;
	case DEVTOOLS_KIND_EVENT:
		d->events.on_event(d->events.arg, m.event, m.session, m.body);
		break;
	case DEVTOOLS_KIND_FRAME:
		picture = m.picture;
		m.picture = NULL;
		d->events.on_picture(d->events.arg, m.session, picture, m.ack);
		break;
	case DEVTOOLS_KIND_IGNORED:
		break;
	case DEVTOOLS_KIND_BAD:
		log_warn("devtools message not understood", "bytes=%zu begins=\"%.*s\"", text.len,
		         (int)(text.len < 60 ? text.len : 60), (const char *)text.at);
		break;
	}
	devtools_message_finish(&m);
}

static void end(struct devtools *d, const char *reason)
{
	if (d->gone)
		return;
	d->gone = true;
	uv_read_stop((uv_stream_t *)&d->messages);
	answer_all(d, reason);
	if (!d->destroyed)
		d->events.on_gone(d->events.arg, reason);
}

/* Bytes before `scanned` hold no NUL. */
static void take_messages(struct devtools *d)
{
	size_t from = 0;
	const uint8_t *nul;
	while (!d->destroyed && !d->gone &&
	       (nul = memchr(d->buffer + d->scanned, 0, d->len - d->scanned)) != NULL) {
		size_t to = (size_t)(nul - d->buffer);
		take_message(d, span_of(d->buffer + from, to - from));
		from = d->scanned = to + 1;
	}
	d->len -= from;
	if (from != 0 && d->len != 0)
		memmove(d->buffer, d->buffer + from, d->len);
	d->scanned = d->len;
	if (d->len == 0 && d->room > 4 * BUFFER_BYTES) {
		d->room = BUFFER_BYTES;
		d->buffer = xrealloc(d->buffer, d->room);
	}
	if (d->len > d->message_bytes_max)
		end(d, "the browser sent a message beyond the limit");
}

static void give_room(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
	struct devtools *d = handle->data;
	(void)suggested;
	if (d->room - d->len < READ_BYTES_MIN) {
		d->room *= 2;
		d->buffer = xrealloc(d->buffer, d->room);
	}
	*buf = uv_buf_init((char *)d->buffer + d->len, (unsigned)(d->room - d->len));
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
	struct devtools *d = stream->data;
	(void)buf;
	if (n > 0) {
		d->len += (size_t)n;
		take_messages(d);
	} else if (n < 0) {
		end(d, "the browser closed its pipe");
	}
}

/* ---- life ---- */

struct devtools *devtools_create(uv_loop_t *loop, int commands_fd, int messages_fd,
                                 size_t message_bytes_max, const struct devtools_events *events)
{
	struct devtools *d = xcalloc(1, sizeof *d);
	*d = (struct devtools){.events = *events,
	                       .message_bytes_max = message_bytes_max,
	                       .buffer = xmalloc(BUFFER_BYTES),
	                       .room = BUFFER_BYTES,
	                       .timer_due_ms = UINT64_MAX,
	                       .handles = 3};
	uv_pipe_init(loop, &d->commands, 0);
	uv_pipe_init(loop, &d->messages, 0);
	uv_timer_init(loop, &d->timer);
	d->commands.data = d->messages.data = d->timer.data = d;
	check(uv_pipe_open(&d->commands, commands_fd) == 0);
	check(uv_pipe_open(&d->messages, messages_fd) == 0);
	check(uv_read_start((uv_stream_t *)&d->messages, give_room, on_read) == 0);
	return d;
}

static void on_closed(uv_handle_t *handle)
{
	struct devtools *d = handle->data;
	if (--d->handles > 0)
		return;
	free(d->buffer);
	free(d);
}

void devtools_destroy(struct devtools **out)
{
	struct devtools *d = *out;
	*out = NULL;
	if (d == NULL || d->destroyed)
		return;
	d->destroyed = true;
	d->gone = true;
	answer_all(d, "the browser is being ended");
	uv_close((uv_handle_t *)&d->commands, on_closed);
	uv_close((uv_handle_t *)&d->messages, on_closed);
	uv_close((uv_handle_t *)&d->timer, on_closed);
}
