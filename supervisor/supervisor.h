/* The supervisor itself: what its files share, and what it can be asked to do. run.c wires it. */
#pragma once

#include "supervisor/admin.h"
#include "supervisor/fleet.h"
#include "supervisor/instance.h"
#include "supervisor/notify.h"
#include "supervisor/options.h"
#include "supervisor/programs.h"
#include "supervisor/upgrade.h"

enum { SUPERVISOR_SIGNALS = 5, SUPERVISOR_FOREIGN_MAX = 64 };

struct supervisor {
	uv_loop_t *loop;
	struct options options;
	const struct settings *loaded; /* what the configuration said last; kept */
	/* In effect: START keys as at the start, scale and log-level on top. */
	struct settings_source settings;
	struct events events;
	struct fleet fleet;
	struct programs programs; /* started for the hub */
	struct upgrade upgrade;
	struct tls_files *tls;
	struct admin *admin;
	struct instance instance;
	struct notify notify;
	uv_signal_t signals[SUPERVISOR_SIGNALS];
	uv_timer_t upkeep, watchdog, rereading;
	uv_work_t reaping;                 /* stale reader slots, off the loop */
	const struct settings *reaping_in; /* kept while it goes on; NULL: it does not */
	/* Children from before an exec made this process what it is: not ours to kill. */
	pid_t foreign[SUPERVISOR_FOREIGN_MAX];
	unsigned foreign_count;
	bool announced; /* "ready" was said */
	bool reloading; /* RELOADING=1 was said, READY=1 not yet */
	bool stopping;
	int exit_code;
	int console_fd;      /* standard error as it was before log.file, until ready; -1 */
	uint64_t started_ms; /* monotonic */
	char status[128];    /* last STATUS= */
};

/* Drains and ends; the second time it kills what is left. */
void supervisor_stop(struct supervisor *supervisor, const char *why);
/* Kills what is left and ends. */
void supervisor_kill(struct supervisor *supervisor, const char *why);

/* Reopens the log file, here and in the workers. */
void supervisor_reopen_log(struct supervisor *supervisor);

/* Reads the configuration again (supervisor/reload.h). On any error the old one stays, the reason
 * is logged and left in `reason`, and false is returned. Otherwise LIVE keys are in effect, a key
 * of class WORKERS has begun a restart one by one, and *report (the caller's reference) names them.
 */
bool supervisor_reload(struct supervisor *supervisor, json_t **report,
                       char reason[SETTINGS_REASON_MAX]);

/* As on_change of struct fleet; `supervisor` is a struct supervisor. Tells the outside, and acts on
 * what no worker's restart can mend. */
void supervisor_look(void *supervisor);
