/* ringsidectl: what its files share. It speaks to the supervisor over the admin socket and opens
 * the store itself for what concerns streams. */
#pragma once

#include "common/base/settings.h"
#include "common/store/store.h"
#include "supervisor/commands.h"

#include <jansson.h>

struct ctl {
	const char *run_dir;
	const char *data_dir;              /* --data-dir; NULL: the supervisor's */
	const struct ctl_command *command; /* the one that runs */
};

/* ---- arguments and words (ctl_words.c) ---- */

/* One line on standard error; return their exit codes. */
int ctl_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
int ctl_usage(const struct ctl *ctl, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Takes "--name" out of the arguments; true when it was there. */
bool ctl_take_flag(int *argc, char **argv, const char *name);
/* Takes "--name VALUE" or "--name=VALUE" out, the last wins. False: the value is missing. *value
 * stays as it is when the option is not there. */
bool ctl_take_option(int *argc, char **argv, const char *name, const char **value);

/* "3h12m", "4.2s"; "1.5 MB". Into `text`, which is returned. */
const char *ctl_duration(uint64_t ms, char text[32]);
const char *ctl_size(uint64_t bytes, char text[32]);

/* ---- the admin socket (ctl_client.c) ---- */

struct ctl_reply {
	unsigned status; /* enum admin_status */
	bool last;
	char *body; /* owned */
};

/* A connected socket, or -1 after saying why not (unless `quiet`). */
int ctl_connect(const struct ctl *ctl, bool quiet);
/* Sends one command. False: the supervisor went away. */
bool ctl_send(int fd, int argc, const char *const *argv);
/* Waits for the next reply; reply->body is to be freed. False: end of file. */
bool ctl_receive(int fd, struct ctl_reply *reply);
/* Connects, asks, and gives the answer (a reference) on success; otherwise has said why and returns
 * the exit code. */
int ctl_ask(const struct ctl *ctl, int argc, const char *const *argv, json_t **answer);

/* The same, of a call that a worker answers: method, path, body (taken; NULL: none). */
int ctl_call(const struct ctl *ctl, const char *method, const char *path, json_t *body,
             json_t **answer);

/* ---- answers ---- */

/* "" and 0 where the member is missing. */
const char *ctl_text_of(const json_t *json, const char *key);
long long ctl_number_of(const json_t *json, const char *key);
/* On standard output, indented. `answer` is taken. Returns EXIT_DONE. */
int ctl_print_json(json_t *answer);

/* ---- the store (ctl_store.c) ---- */

/* Opens the store of --data-dir, else of the running supervisor. An exit code after saying why not,
 * or 0. `data_dir` gets its directory. */
int ctl_open_store(const struct ctl *ctl, struct store **store, char data_dir[4096]);

/* ---- commands: return the exit code; argv without the command's name ---- */

/* What the help of one command says. */
struct ctl_text {
	const char *synopsis, *more;
};

#define OWN_COMMAND(ident, name, least, most, synopsis, help, more)                                \
	int ctl_##ident(const struct ctl *ctl, int argc, char **argv);
#define WORKER_COMMAND(ident, name, worker, help)                                                  \
	extern const struct ctl_text ctl_text_##ident;                                             \
	int ctl_##ident(const struct ctl *ctl, int argc, char **argv);
ADMIN_COMMANDS(OWN_COMMAND, WORKER_COMMAND)
/* Those that need no supervisor. */
WORKER_COMMAND(top, , , )
WORKER_COMMAND(feed, , , )
WORKER_COMMAND(agents, , , )
WORKER_COMMAND(streams, , , )
WORKER_COMMAND(store, , , )
#undef OWN_COMMAND
#undef WORKER_COMMAND

struct ctl_command {
	const char *name, *help;
	const struct ctl_text *text;
	int (*run)(const struct ctl *ctl, int argc, char **argv);
};
