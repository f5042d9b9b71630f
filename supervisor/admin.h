/* The admin socket: RUN_DIR/admin.sock, mode 0600, peers of our own uid or root. Frames of
 * ADMIN_REQUEST and ADMIN_REPLY; commands in supervisor/commands.h, done by admin_commands.c.
 * Clients are bounded in number and in what may be queued for them: one that does not read is
 * dropped. */
#pragma once

#include "proto/codec.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

enum {
	ADMIN_CLIENTS_MAX = 32,
	ADMIN_ARGUMENTS_MAX = 8,
	ADMIN_WAITING_MAX = 64,   /* requests answered when the workers have settled */
	ADMIN_FORWARDED_MAX = 64, /* requests that workers answer */
};

enum admin_status { ADMIN_OK, ADMIN_FAILED, ADMIN_USAGE };

struct admin;
struct admin_client;
struct child;
struct fleet;

/* One request; argv[0] is the command. Lives until the handler returns. */
struct admin_request {
	struct admin_client *client;
	uint64_t id;
	uint32_t uid; /* of who asks */
	unsigned argc;
	const char *argv[ADMIN_ARGUMENTS_MAX];
};

/* `on_request` does what is asked. The fleet, whose loop it is on, lives longer. `fd`: a socket
 * that listens there already, taken over; -1: one is made. NULL: reason, and errno. */
struct admin *admin_create(const struct fleet *fleet, const char *run_dir, int fd,
                           void (*on_request)(void *arg, struct admin_request *request), void *arg,
                           char *reason, size_t room);
/* Removes the socket and closes all clients; sets it to NULL; NULL is fine. */
void admin_destroy(struct admin **admin);

/* Its listening socket, still its own. */
int admin_fd(const struct admin *admin);

/* The workers may have settled: answers who waits for that. */
void admin_settled(struct admin *admin);
/* Passes a request on to a worker, whose answer ends it; so does its death. */
void admin_forward(struct admin_request *request, struct child *worker);
/* That answer. */
void admin_forwarded(struct admin *admin, const struct proto_worker_answer *answer);
/* Answers what a worker took with it. */
void admin_refuse_lost(struct admin *admin);
/* One event for those who follow. */
void admin_event(struct admin *admin, const char *line);

/* ---- for on_request ---- */

/* Ends the request with `body` (the reference is taken). */
void admin_answer(struct admin_request *request, json_t *body);
void admin_refuse(struct admin_request *request, enum admin_status status, const char *format, ...)
        __attribute__((format(printf, 3, 4)));
/* Sends one line of several. */
void admin_line(struct admin_client *client, uint64_t id, const char *line);
/* Ends the request, `body` (taken) completed by the outcome, once the workers have settled. */
void admin_answer_settled(struct admin_request *request, json_t *body);
/* Sends every further event as a line of this request. */
void admin_follow(struct admin_request *request);
