/* ringsidectl duels, markets and feed: what the bridge runs. Asked as calls, the same that HTTP
 * has. */
#include "common/base/check.h"
#include "proto/roles.h"
#include "supervisor/ctl.h"

#include <pwd.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static const char *clock_text(long long ms, char text[16])
{
	time_t s = (time_t)(ms / 1000);
	struct tm tm;
	if (ms == 0 || strftime(text, 16, "%H:%M:%S", localtime_r(&s, &tm)) == 0)
		snprintf(text, 16, "-");
	return text;
}

/* ---- duels ---- */

const struct ctl_text ctl_text_duels = {
        "ls | show [FEED] | abort FEED REASON | recount FEED",
        "  --json   as JSON\n"
        "FEED may be left out where there is one only. abort ends the duel as cancelled: REASON\n"
        "is a word of [a-z0-9_.:-], told to all, and markets give the stakes back. recount\n"
        "counts the standings anew, from the oldest result that is kept.\n"};

static void print_feed(const json_t *feed)
{
	if (json_is_true(json_object_get(feed, "unreadable"))) {
		printf("%-12s unreadable: its row is another release's or damaged; see the log\n",
		       ctl_text_of(feed, "feed"));
		return;
	}
	const json_t *duel = json_object_get(feed, "duel");
	char close[16];
	bool present = json_is_object(duel);
	printf("%-12s %-10s %-13s %-46s %9s %8lld  %s\n", ctl_text_of(feed, "feed"),
	       ctl_text_of(feed, "mode"), present ? ctl_text_of(duel, "phase") : "IDLE",
	       present ? ctl_text_of(duel, "duelId") : "-",
	       clock_text(ctl_number_of(duel, "betCloseTime"), close), ctl_number_of(feed, "seq"),
	       json_is_true(json_object_get(feed, "rendererReady"))
	               ? "ready"
	               : ctl_text_of(feed, "rendererReason"));
	const char *names[] = {"agent1", "agent2"};
	for (size_t i = 0; present && i < 2; i++) {
		const json_t *agent = json_object_get(duel, names[i]);
		printf("  %-20s hp %.6g of %.6g, dealt %.6g\n", ctl_text_of(agent, "name"),
		       json_number_value(json_object_get(agent, "hp")),
		       json_number_value(json_object_get(agent, "maxHp")),
		       json_number_value(json_object_get(agent, "damageDealtThisFight")));
	}
}

static int list_duels(const struct ctl *ctl, bool as_json)
{
	json_t *answer, *feed;
	size_t i;
	int code = ctl_call(ctl, "GET", "/v1/duels", NULL, &answer);
	if (code != 0 || as_json)
		return code != 0 ? code : ctl_print_json(answer);
	printf("%-12s %-10s %-13s %-46s %9s %8s  %s\n", "FEED", "MODE", "PHASE", "DUEL", "BETS END",
	       "FRAME", "PICTURE");
	json_array_foreach (json_object_get(answer, "feeds"), i, feed)
		print_feed(feed);
	json_decref(answer);
	return EXIT_DONE;
}

int ctl_duels(const struct ctl *ctl, int argc, char **argv)
{
	bool as_json = ctl_take_flag(&argc, argv, "--json");
	char path[256];
	json_t *answer;
	if (argc == 1 && strcmp(argv[0], "ls") == 0)
		return list_duels(ctl, as_json);
	if (argc >= 1 && argc <= 2 && strcmp(argv[0], "show") == 0) {
		snprintf(path, sizeof path, "/v1/duels/%s", argc == 2 ? argv[1] : "arena");
		int code = ctl_call(ctl, "GET", path, NULL, &answer);
		return code != 0 ? code : ctl_print_json(answer);
	}
	if (argc == 3 && strcmp(argv[0], "abort") == 0) {
		snprintf(path, sizeof path, "/v1/duels/%s/abort", argv[1]);
		int code =
		        ctl_call(ctl, "POST", path, json_pack("{s:s}", "reason", argv[2]), &answer);
		if (code != 0)
			return code;
		if (as_json)
			return ctl_print_json(answer);
		printf("cancelled; the feed is at frame %lld\n", ctl_number_of(answer, "seq"));
		json_decref(answer);
		return EXIT_DONE;
	}
	if (argc == 2 && strcmp(argv[0], "recount") == 0) {
		snprintf(path, sizeof path, "/v1/duels/%s/recount", argv[1]);
		int code = ctl_call(ctl, "POST", path, NULL, &answer);
		if (code != 0 || as_json)
			return code != 0 ? code : ctl_print_json(answer);
		printf("the standings of %s are counted anew; show says how far it is\n", argv[1]);
		json_decref(answer);
		return EXIT_DONE;
	}
	return ctl_usage(ctl, "ls, show [FEED], abort FEED REASON or recount FEED is expected");
}

/* ---- markets ---- */

const struct ctl_text ctl_text_markets = {
        "ls | show DUEL | bets DUEL | retry DUEL REASON | resolve DUEL --manual OUTCOME REASON",
        "  --json   as JSON\n"
        "DUEL is a duelId as ls shows it. retry takes up the step that was given up. resolve\n"
        "needs --manual, for it overrules the feed: OUTCOME is A (agent1 won), B, draw or\n"
        "cancelled. REASON (10 to 500 bytes) and your name go into the audit.\n"};

static int list_markets(const struct ctl *ctl, bool as_json)
{
	json_t *answer, *m;
	size_t i;
	int code = ctl_call(ctl, "GET", "/v1/markets", NULL, &answer);
	if (code != 0 || as_json)
		return code != 0 ? code : ctl_print_json(answer);
	printf("%-46s %-13s %9s %10s %10s %6s %8s  %s\n", "DUEL", "STATE", "BETS END", "POOL A",
	       "POOL B", "BETS", "ATTEMPTS", "OUTCOME");
	json_array_foreach (json_object_get(answer, "markets"), i, m) {
		char close[16];
		printf("%-46s %-13s %9s %10lld %10lld %6lld %8lld  %s%s%s%s%s\n",
		       ctl_text_of(m, "duelId"), ctl_text_of(m, "state"),
		       clock_text(ctl_number_of(m, "betCloseTime"), close),
		       ctl_number_of(m, "poolA"), ctl_number_of(m, "poolB"),
		       ctl_number_of(m, "bets"), ctl_number_of(m, "attempts"),
		       ctl_text_of(m, "outcome"), *ctl_text_of(m, "winnerSide") != '\0' ? " " : "",
		       ctl_text_of(m, "winnerSide"), *ctl_text_of(m, "error") != '\0' ? "  " : "",
		       ctl_text_of(m, "error"));
	}
	json_array_foreach (json_object_get(answer, "unreadable"), i, m)
		printf("%-46s unreadable: its row is another release's or damaged; see the log\n",
		       ctl_text_of(m, "duelId"));
	json_decref(answer);
	return EXIT_DONE;
}

static const char *actor(char name[128])
{
	const struct passwd *user = getpwuid(getuid());
	snprintf(name, 128, "ringsidectl:%.100s", user != NULL ? user->pw_name : "unknown");
	return name;
}

static int decide(const struct ctl *ctl, const char *duel, const char *what, json_t *body)
{
	char path[256];
	json_t *answer;
	snprintf(path, sizeof path, "/v1/markets/%s/%s", duel, what);
	int code = ctl_call(ctl, "POST", path, body, &answer);
	if (code != 0)
		return code;
	printf("%s is %s\n", ctl_text_of(answer, "duelId"), ctl_text_of(answer, "state"));
	json_decref(answer);
	return EXIT_DONE;
}

static int resolve(const struct ctl *ctl, const char *duel, const char *outcome, const char *reason)
{
	char name[128];
	bool win = strcmp(outcome, "A") == 0 || strcmp(outcome, "B") == 0;
	return decide(ctl, duel, "resolve",
	              json_pack("{s:s,s:s,s:s,s:s}", "actor", actor(name), "reason", reason,
	                        "outcome", win ? "win" : outcome, "winnerSide",
	                        win ? outcome : ""));
}

int ctl_markets(const struct ctl *ctl, int argc, char **argv)
{
	bool as_json = ctl_take_flag(&argc, argv, "--json"),
	     manual = ctl_take_flag(&argc, argv, "--manual");
	char path[256], name[128];
	json_t *answer;
	if (argc == 1 && strcmp(argv[0], "ls") == 0)
		return list_markets(ctl, as_json);
	if (argc == 2 && (strcmp(argv[0], "show") == 0 || strcmp(argv[0], "bets") == 0)) {
		snprintf(path, sizeof path, "/v1/markets/%s%s", argv[1],
		         *argv[0] == 'b' ? "/bets" : "");
		int code = ctl_call(ctl, "GET", path, NULL, &answer);
		return code != 0 ? code : ctl_print_json(answer);
	}
	if (argc == 3 && strcmp(argv[0], "retry") == 0)
		return decide(ctl, argv[1], "retry",
		              json_pack("{s:s,s:s}", "actor", actor(name), "reason", argv[2]));
	if (argc == 4 && strcmp(argv[0], "resolve") == 0)
		return manual ? resolve(ctl, argv[1], argv[2], argv[3])
		              : ctl_usage(ctl, "resolve overrules the feed: say --manual");
	return ctl_usage(ctl, "ls, show DUEL, bets DUEL, retry DUEL REASON or resolve DUEL "
	                      "--manual OUTCOME REASON is "
	                      "expected");
}

/* ---- feed ---- */

const struct ctl_text ctl_text_feed = {
        "tail [FEED] [--follow] [--offset O]",
        "The same as streams tail feeds/FEED/frames; without FEED: arena.\n"};

int ctl_feed(const struct ctl *ctl, int argc, char **argv)
{
	char path[128];
	char *arguments[8];
	int count = 0;
	bool named = argc > 1 && *argv[1] != '-';
	if (argc < 1 || argc > 6 || strcmp(argv[0], "tail") != 0)
		return ctl_usage(ctl, "tail [FEED] is expected");
	snprintf(path, sizeof path, "feeds/%.64s/frames", named ? argv[1] : "arena");
	arguments[count++] = argv[0];
	arguments[count++] = path;
	for (int i = named ? 2 : 1; i < argc; i++)
		arguments[count++] = argv[i];
	return ctl_streams(ctl, count, arguments);
}
