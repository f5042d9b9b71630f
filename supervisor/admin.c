#include "supervisor/admin.h"
#include "common/base/check.h"
#include "common/base/log.h"
#include "supervisor/fleet.h"

#include <errno.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

struct admin_client {
	struct admin *admin;
	struct peer *peer; /* NULL: free */
	uint32_t uid;
	bool follows;
	uint64_t follow_id;
};

/* A request to be answered when the workers have settled. */
struct waiting {
	struct admin_client *client; /* NULL: free */
	struct peer *peer;           /* the client's when it asked: a later one is somebody else */
	uint64_t id;
	json_t *body;
};

/* A request that a worker has. */
struct forwarded {
	struct admin_client *client; /* NULL: free */
	struct peer *peer;           /* as above */
	uint64_t id, generation;     /* the client's; the worker's */
	const struct child *child;
};

struct admin {
	const struct fleet *fleet;
	void (*on_request)(void *arg, struct admin_request *request);
	void *arg;
	int fd;
	uv_poll_t poll;
	char path[128];
	struct admin_client clients[ADMIN_CLIENTS_MAX];
	struct waiting waiting[ADMIN_WAITING_MAX];
	struct forwarded forwarded[ADMIN_FORWARDED_MAX];
};

#define CTX struct admin_client
PROTO_INBOX_ADMINISTERED(PROTO_HANDLER)
#undef CTX

/* ---- replies ---- */

static void reply(struct admin_client *client, uint64_t id, enum admin_status status, bool last,
                  const char *text)
{
	size_t len = strlen(text), max = PROTO_MAX_ADMIN_REPLY - 32;
	if (client->peer != NULL)
		peer_put(client->peer, admin_reply, ADMIN_REPLY,
		         {.id = id,
		          .status = (uint8_t)status,
		          .last = last,
		          .body = span_of(text, len < max ? len : max)});
}

static void reply_json(struct admin_client *client, uint64_t id, json_t *body)
{
	char *text = json_dumps(body, JSON_COMPACT);
	check(text != NULL);
	reply(client, id, ADMIN_OK, true, text);
	free(text);
	json_decref(body);
}

void admin_answer(struct admin_request *request, json_t *body)
{
	reply_json(request->client, request->id, body);
}

void admin_refuse(struct admin_request *request, enum admin_status status, const char *format, ...)
{
	char text[1024];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	reply(request->client, request->id, status, true, text);
}

void admin_line(struct admin_client *client, uint64_t id, const char *line)
{
	reply(client, id, ADMIN_OK, false, line);
}

void admin_answer_settled(struct admin_request *request, json_t *body)
{
	struct admin *admin = request->client->admin;
	for (size_t i = 0; i < ADMIN_WAITING_MAX; i++)
		if (admin->waiting[i].client == NULL) {
			admin->waiting[i] = (struct waiting){.client = request->client,
			                                     .peer = request->client->peer,
			                                     .id = request->id,
			                                     .body = body};
			admin_settled(admin);
			return;
		}
	json_decref(body);
	admin_refuse(request, ADMIN_FAILED, "done, but too many wait for the outcome already");
}

/* ---- passed on ---- */

static void end_forwarded(struct forwarded *forwarded, enum admin_status status, const char *text)
{
	struct forwarded f = *forwarded;
	*forwarded = (struct forwarded){0};
	if (f.client->peer == f.peer)
		reply(f.client, f.id, status, true, text);
}

/* False: the arguments are too long. */
static bool send_forwarded(const struct forwarded *forwarded, uint64_t id,
                           const struct admin_request *request)
{
	uint8_t line[8192];
	struct writer w = {line, line + sizeof line, true};
	for (unsigned i = 0; i < request->argc; i++)
		writer_bytes(&w, span_of(request->argv[i], strlen(request->argv[i]) + 1));
	if (!w.ok)
		return false;
	const struct span arguments = span_of(line, (size_t)(w.at - line));
	peer_put(forwarded->child->peer, worker_command, WORKER_COMMAND,
	         {.id = id, .line = arguments});
	return true;
}

void admin_forward(struct admin_request *request, struct child *worker)
{
	struct admin *admin = request->client->admin;
	if (worker == NULL || worker->peer == NULL || worker->state != CHILD_READY) {
		admin_refuse(request, ADMIN_FAILED,
		             "the worker for this does not run (bridge.workers, capture.workers)");
		return;
	}
	for (size_t i = 0; i < ADMIN_FORWARDED_MAX; i++)
		if (admin->forwarded[i].client == NULL) {
			admin->forwarded[i] = (struct forwarded){.client = request->client,
			                                         .peer = request->client->peer,
			                                         .id = request->id,
			                                         .generation = worker->generation,
			                                         .child = worker};
			if (!send_forwarded(&admin->forwarded[i], i, request))
				end_forwarded(&admin->forwarded[i], ADMIN_USAGE,
				              "the arguments are too long");
			return;
		}
	admin_refuse(request, ADMIN_FAILED, "the worker has too many requests already");
}

void admin_forwarded(struct admin *admin, const struct proto_worker_answer *answer)
{
	if (answer->id >= ADMIN_FORWARDED_MAX || admin->forwarded[answer->id].client == NULL)
		return;
	char *text = xmemdup_text(answer->body.at, answer->body.len);
	enum admin_status status = answer->status == ADMIN_OK      ? ADMIN_OK
	                           : answer->status == ADMIN_USAGE ? ADMIN_USAGE
	                                                           : ADMIN_FAILED;
	end_forwarded(&admin->forwarded[answer->id], status, text);
	free(text);
}

void admin_refuse_lost(struct admin *admin)
{
	for (size_t i = 0; i < ADMIN_FORWARDED_MAX; i++) {
		struct forwarded *f = &admin->forwarded[i];
		if (f->client != NULL &&
		    (f->child->peer == NULL || f->child->generation != f->generation))
			end_forwarded(f, ADMIN_FAILED, "the worker has ended meanwhile");
	}
}

static void answer_waiting(struct waiting *waiting, const struct fleet *fleet)
{
	struct fleet_tally tally = fleet_tally(fleet);
	struct waiting w = *waiting;
	*waiting = (struct waiting){0};
	json_object_set_new(w.body, "sse", json_integer(tally.listening_wanted));
	json_object_set_new(w.body, "ready", json_integer(tally.ready));
	json_object_set_new(w.body, "failed", json_integer(tally.failed));
	json_object_set_new(w.body, "halted", json_boolean(fleet->halted));
	if (w.client->peer == w.peer)
		reply_json(w.client, w.id, w.body);
	else
		json_decref(w.body);
}

void admin_settled(struct admin *admin)
{
	if (!fleet_tally(admin->fleet).settled)
		return;
	for (size_t i = 0; i < ADMIN_WAITING_MAX; i++)
		if (admin->waiting[i].client != NULL)
			answer_waiting(&admin->waiting[i], admin->fleet);
}

void admin_follow(struct admin_request *request)
{
	request->client->follows = true;
	request->client->follow_id = request->id;
}

void admin_event(struct admin *admin, const char *line)
{
	for (size_t i = 0; i < ADMIN_CLIENTS_MAX; i++)
		if (admin->clients[i].follows)
			admin_line(&admin->clients[i], admin->clients[i].follow_id, line);
}

/* ---- requests ---- */

static void on_admin_request(struct admin_client *client, const struct party *from,
                             const struct proto_admin_request *m)
{
	(void)from;
	const struct admin *admin = client->admin;
	struct admin_request request = {.client = client, .id = m->id, .uid = client->uid};
	char *line = xmemdup_text(m->line.at, m->line.len);
	const char *end = line + m->line.len;
	bool fits = m->line.len > 0;
	for (const char *at = line; fits && at < end; at += strlen(at) + 1) {
		fits = request.argc < ADMIN_ARGUMENTS_MAX;
		if (fits)
			request.argv[request.argc++] = at;
	}
	if (fits)
		admin->on_request(admin->arg, &request);
	else
		admin_refuse(&request, ADMIN_USAGE,
		             "a command and at most %d arguments are expected",
		             ADMIN_ARGUMENTS_MAX - 1);
	free(line);
}

static enum proto_verdict dispatch(struct admin_client *ctx, const struct party *from,
                                   unsigned type, struct span body)
{
	switch (type) {
		PROTO_INBOX_ADMINISTERED(PROTO_DISPATCH)
	default:
		return PROTO_NOT_MINE;
	}
}

static enum proto_verdict on_frame(void *arg, struct peer *peer, unsigned type, struct span body,
                                   int fd)
{
	if (fd >= 0)
		close(fd);
	return dispatch(arg, peer_party(peer), type, body);
}

static void on_client_gone(void *arg, struct peer *peer)
{
	struct admin_client *client = arg;
	(void)peer;
	client->peer = NULL;
	client->follows = false;
}

/* ---- connections ---- */

/* A worker has no business here: one that was taken over would have ours done. Who comes from
 * outside our PID namespace has the number 0 in it. */
static bool may_enter(const struct admin *admin, int fd, uint32_t *uid)
{
	struct ucred who;
	socklen_t len = sizeof who;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) != 0)
		return false;
	*uid = who.uid;
	bool worker = who.pid != 0 && fleet_owns(admin->fleet, who.pid);
	if ((who.uid == geteuid() || who.uid == 0) && !worker)
		return true;
	log_warn("admin client refused", "uid=%u pid=%d", (unsigned)who.uid, (int)who.pid);
	return false;
}

static void take_client(struct admin *admin, int fd, uint32_t uid)
{
	struct peer_events events = {.on_frame = on_frame,
	                             .on_close = on_client_gone,
	                             .queue_bytes_max = fleet_ceilings(admin->fleet).bus_bytes};
	for (unsigned i = 0; i < ADMIN_CLIENTS_MAX; i++) {
		struct admin_client *client = &admin->clients[i];
		if (client->peer != NULL)
			continue;
		events.arg = client;
		client->admin = admin;
		client->uid = uid;
		client->follows = false;
		client->peer = peer_create(admin->fleet->life.loop, fd,
		                           (struct party){.role = ROLE_ADMIN, .slot = i}, &events);
		return;
	}
	log_warn("admin client refused", "reason=\"%d are connected\"", ADMIN_CLIENTS_MAX);
	close(fd);
}

static void on_connect(uv_poll_t *poll, int status, int events)
{
	struct admin *admin = poll->data;
	(void)events;
	for (;;) {
		int fd = status == 0 ? accept4(admin->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)
		                     : -1;
		if (fd < 0)
			return;
		uint32_t uid;
		if (may_enter(admin, fd, &uid))
			take_client(admin, fd, uid);
		else
			close(fd);
	}
}

static int listen_at(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -1;
	snprintf(address.sun_path, sizeof address.sun_path, "%.107s", path);
	unlink(path); /* we hold the run directory's lock: it is nobody's */
	mode_t before = umask(0177);
	bool ok = bind(fd, (struct sockaddr *)&address, sizeof address) == 0 &&
	          listen(fd, ADMIN_CLIENTS_MAX) == 0;
	int error = errno;
	umask(before);
	if (ok)
		return fd;
	close(fd);
	errno = error;
	return -1;
}

struct admin *admin_create(const struct fleet *fleet, const char *run_dir, int fd,
                           void (*on_request)(void *arg, struct admin_request *request), void *arg,
                           char *reason, size_t room)
{
	struct admin *admin = xcalloc(1, sizeof *admin);
	admin->fleet = fleet;
	admin->on_request = on_request;
	admin->arg = arg;
	snprintf(admin->path, sizeof admin->path, "%s/admin.sock", run_dir);
	admin->fd = fd >= 0 ? fd : listen_at(admin->path);
	if (admin->fd < 0) {
		snprintf(reason, room, "cannot make %s: %s", admin->path, strerror(errno));
		free(admin);
		return NULL;
	}
	check(uv_poll_init(fleet->life.loop, &admin->poll, admin->fd) == 0);
	admin->poll.data = admin;
	uv_poll_start(&admin->poll, UV_READABLE, on_connect);
	return admin;
}

int admin_fd(const struct admin *admin)
{
	return admin->fd;
}

static void on_closed(uv_handle_t *handle)
{
	struct admin *admin = handle->data;
	close(admin->fd);
	free(admin);
}

void admin_destroy(struct admin **out)
{
	struct admin *admin = *out;
	*out = NULL;
	if (admin == NULL)
		return;
	unlink(admin->path);
	for (size_t i = 0; i < ADMIN_CLIENTS_MAX; i++)
		peer_destroy(&admin->clients[i].peer);
	for (size_t i = 0; i < ADMIN_WAITING_MAX; i++)
		json_decref(admin->waiting[i].body);
	uv_close((uv_handle_t *)&admin->poll, on_closed);
}
