/* ringsidectl: what its files share. It speaks to the supervisor over the admin socket and opens
 * the store itself for what concerns streams. */
#pragma once

#include "common/base/settings.h"
#include "common/store/store.h"

#include <jansson.h>

struct ctl {
	const char *run_dir;
	const char *data_dir;              /* --data-dir; NULL: the supervisor's */
	const struct ctl_command *command; /* the one that runs */
};

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

/* ---- the store (ctl_store.c) ---- */

/* Opens the store of --data-dir, else of the running supervisor. An exit code after saying why not,
 * or 0. `data_dir` gets its directory. */
int ctl_open_store(const struct ctl *ctl, struct store **store, char data_dir[4096]);

/* ---- commands: return the exit code; argv without the command's name ---- */

int ctl_status(const struct ctl *ctl, int argc, char **argv);
int ctl_scale(const struct ctl *ctl, int argc, char **argv);
int ctl_restart(const struct ctl *ctl, int argc, char **argv);
int ctl_reload(const struct ctl *ctl, int argc, char **argv);
int ctl_drain(const struct ctl *ctl, int argc, char **argv);
int ctl_stop(const struct ctl *ctl, int argc, char **argv);
int ctl_log_level(const struct ctl *ctl, int argc, char **argv);
int ctl_capture(const struct ctl *ctl, int argc, char **argv);
int ctl_duels(const struct ctl *ctl, int argc, char **argv);
int ctl_markets(const struct ctl *ctl, int argc, char **argv);
int ctl_feed(const struct ctl *ctl, int argc, char **argv);
int ctl_events(const struct ctl *ctl, int argc, char **argv);
int ctl_settings(const struct ctl *ctl, int argc, char **argv);
int ctl_streams(const struct ctl *ctl, int argc, char **argv);
int ctl_store(const struct ctl *ctl, int argc, char **argv);

struct ctl_command {
	const char *name, *synopsis, *help, *more;
	int (*run)(const struct ctl *ctl, int argc, char **argv);
};
