/* What ringsidectl may ask, one row per command; the admin socket's dispatch, its checks and
 * ringsidectl's table and help come from here.
 *
 * OWN: the supervisor does it, by on_command_<ident>() of admin_commands.c; ringsidectl asks and
 * prints by ctl_<ident>().
 *     OWN(ident, name, arguments least, most, synopsis, help, more)
 * WORKER: a worker does it, by its table of calls (common/worker/admin_call.h). What there is below
 * the command stands with ctl_<ident>(), and its synopsis and more in ctl_text_<ident>.
 *     WORKER(ident, name, worker, help)
 *
 * `help` is the line in the list of commands, `more` what the command's own help says besides. */
#pragma once

#define ADMIN_COMMANDS(OWN, WORKER)                                                                \
	OWN(status, "status", 0, 0, "", "State of the supervisor and of every worker.",            \
	    "  --json   everything the supervisor knows, as JSON\n")                               \
	OWN(scale, "scale", 2, 2, "sse N", "Run N SSE workers (or auto); scaling down drains.",    \
	    "Returns when the workers are there, or the surplus ones have finished what they "     \
	    "served.\n"                                                                            \
	    "No connection is refused or reset. It lasts until sse_workers changes in the\n"       \
	    "configuration, or until the next start.\n")                                           \
	OWN(restart, "restart", 1, 1, "WORKER",                                                    \
	    "Replace a worker (sse-0, bridge-0) by a fresh process, or all, one by one.",          \
	    "A worker finishes what it serves (at most worker.drain_timeout) and is replaced; "    \
	    "with\n"                                                                               \
	    "all, the next one follows when the former is ready again. A failed worker gets "      \
	    "another\n"                                                                            \
	    "chance.\n")                                                                           \
	OWN(reload, "reload", 0, 0, "", "Read the configuration again, as SIGHUP does.",           \
	    "Prints what changed. Changes that concern the workers restart them one by one; "      \
	    "others\n"                                                                             \
	    "that take effect only at the next start of ringside are named. On any error the "     \
	    "former\n"                                                                             \
	    "configuration stays.\n")                                                              \
	OWN(upgrade, "upgrade", 0, 1, "[PROGRAM | --check]",                                       \
	    "Become another build, without an end and without a refused connection.",              \
	    "PROGRAM is that build's ringside, with its workers beside it; without one, what "     \
	    "stands\n"                                                                             \
	    "where the running one was started from. It takes the supervisor's place in the "      \
	    "same\n"                                                                               \
	    "process, reads the configuration again, and replaces the workers one by one. If "     \
	    "one\n"                                                                                \
	    "does not come up, everything goes back to the build that ran before. Returns when\n"  \
	    "that is decided.\n"                                                                   \
	    "  --check   only ask the program whether it could\n")                                 \
	OWN(drain, "drain", 0, 0, "", "Finish what runs, then end, as SIGTERM does.",              \
	    "Returns when ringside has ended.\n")                                                  \
	OWN(stop, "stop", 0, 0, "",                                                                \
	    "End now; open connections are cut. Nothing acknowledged is lost.",                    \
	    "Returns when ringside has ended.\n")                                                  \
	OWN(log_level, "log-level", 1, 1, "LEVEL",                                                 \
	    "debug, info, warn or error, until log.level changes or the next start.", "")          \
	WORKER(capture, "capture", "capture-0",                                                    \
	       "Look at the browser sessions, and at where their picture goes.")                   \
	WORKER(duels, "duels", "bridge-0", "Look at the duels of the feeds, or cancel one.")       \
	WORKER(markets, "markets", "bridge-0",                                                     \
	       "Look at the markets; decide those that need a person.")                            \
	WORKER(ledger, "ledger", "bridge-0",                                                       \
	       "Look at the ledger's accounts and bets; top one up, or close it.")                 \
	OWN(tokens, "tokens", 1, 5,                                                                \
	    "add NAME [VERB=PATTERN...] [--expires WHEN] [--sha256 HEX] | ls | revoke NAME | "     \
	    "check WHO VERB PATH",                                                                 \
	    "Who has which token, and what it may.",                                               \
	    "  --json             as JSON; of tokens only the beginning of their digest\n"         \
	    "  --expires WHEN     of add: 2026-12-31T00:00:00Z, or 12h or 30d from now\n"          \
	    "  --sha256 HEX       of add: the digest of a token that there is; else one is made\n" \
	    "                     and printed, this once\n"                                        \
	    "add and revoke edit the file of auth.tokens, and are in force at once. revoke "       \
	    "takes\n"                                                                              \
	    "a name, for all its tokens, or the beginning of a digest as ls shows it. check "      \
	    "says\n"                                                                               \
	    "which row and pattern allow it, or exits 1; WHO is a name, anonymous, or - for a\n"   \
	    "token on standard input. Verbs: read append create delete (of streams, and read of\n" \
	    "markets, duels and feeds), render view post bet operate metrics frames. A pattern "   \
	    "is\n"                                                                                 \
	    "a whole path, or stands below its verb's root: read=arena/** is\n"                    \
	    "read=/v1/stream/arena/**; * is one segment, ** any number.\n")                        \
	OWN(events, "events", 0, 1, "[--follow]", "What happened lately; --follow goes on.",       \
	    "One JSON object per line.\n")                                                         \
	OWN(cluster, "cluster", 1, 1, "status | leave",                                            \
	    "Look at how this node follows another, or make it a node of its own.",                \
	    "  --json   of status: as JSON\n"                                                      \
	    "leave is for a node that does not run, and needs --data-dir: the next start "         \
	    "without\n"                                                                            \
	    "cluster.follow is that of a store of its own, which tells clients by a new epoch\n"   \
	    "that something may be missing.\n")                                                    \
	OWN(settings, "settings", 0, 0, "", "The settings in effect; tokens are not shown.",       \
	    "  --json   as JSON\n")
