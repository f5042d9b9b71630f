/* What ringsidectl may ask of the supervisor, one row per command; the admin socket's dispatch, its
 * checks and ringsidectl's help come from here.
 *
 * C(ident, name, arguments least, most, synopsis, help) */
#pragma once

#define ADMIN_COMMANDS(C)                                                                          \
	C(status, "status", 0, 0, "", "State of the supervisor and of every worker.")              \
	C(scale, "scale", 2, 2, "sse N", "Run N SSE workers (or auto); scaling down drains.")      \
	C(restart, "restart", 1, 1, "WORKER",                                                      \
	  "Replace a worker (sse-0, bridge-0) by a fresh process, or all, one by one.")            \
	C(reload, "reload", 0, 0, "", "Read the configuration again, as SIGHUP does.")             \
	C(drain, "drain", 0, 0, "", "Finish what runs, then end, as SIGTERM does.")                \
	C(stop, "stop", 0, 0, "",                                                                  \
	  "End now; open connections are cut. Nothing acknowledged is lost.")                      \
	C(log_level, "log-level", 1, 1, "LEVEL",                                                   \
	  "debug, info, warn or error, until the next start.")                                     \
	C(capture, "capture", 1, 6,                                                                \
	  "ls | show [ID] | restart [ID] | screenshot [ID] FILE | outputs [ls | add NAME=URL | "   \
	  "rm NAME]",                                                                              \
	  "Look at the browser sessions, and at where their picture goes.")                        \
	C(duels, "duels", 2, 3, "ls | show [FEED] | abort FEED REASON",                            \
	  "Look at the duels of the feeds, or cancel one.")                                        \
	C(markets, "markets", 2, 3,                                                                \
	  "ls | show DUEL | bets DUEL | retry DUEL REASON | resolve DUEL --manual OUTCOME REASON", \
	  "Look at the markets; decide those that need a person.")                                 \
	C(events, "events", 0, 1, "[--follow]", "What happened lately; --follow goes on.")         \
	C(settings, "settings", 0, 0, "", "The settings in effect; tokens are not shown.")
