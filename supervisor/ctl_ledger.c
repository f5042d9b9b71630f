/* ringsidectl ledger: accounts and what they bet. Asked as calls, the same that HTTP has. */
#include "proto/roles.h"
#include "supervisor/ctl.h"

#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const struct ctl_text ctl_text_ledger = {
        "ls [AFTER] | show ACCOUNT | bets ACCOUNT [BEFORE] | top-up ACCOUNT AMOUNT REASON | "
        "close ACCOUNT REASON | sums",
        "  --json   as JSON\n"
        "ls and bets show a hundred; their last line says how to go on. top-up gives units that\n"
        "are made for it, close is for good and takes what is left in the account. REASON (10 to\n"
        "500 bytes) and your name are kept. sums says whether what is in accounts, in pools and\n"
        "with the house is nothing together, as it must be.\n"};

static const char *actor(char name[128])
{
	const struct passwd *user = getpwuid(getuid());
	snprintf(name, 128, "ringsidectl:%.100s", user != NULL ? user->pw_name : "unknown");
	return name;
}

static int list_accounts(const struct ctl *ctl, const char *after, bool as_json)
{
	char path[256];
	json_t *answer, *a;
	size_t i;
	snprintf(path, sizeof path, "/v1/ledger/accounts?after=%.100s", after);
	int code = ctl_call(ctl, "GET", path, NULL, &answer);
	if (code != 0 || as_json)
		return code != 0 ? code : ctl_print_json(answer);
	printf("%-28s %16s %10s %16s %16s %-7s %s\n", "ACCOUNT", "BALANCE", "BETS", "STAKED",
	       "RETURNED", "STATE", "NAME");
	json_array_foreach (json_object_get(answer, "accounts"), i, a)
		printf("%-28s %16lld %10lld %16lld %16lld %-7s %s\n", ctl_text_of(a, "id"),
		       ctl_number_of(a, "balance"), ctl_number_of(a, "bets"),
		       ctl_number_of(a, "staked"), ctl_number_of(a, "returned"),
		       ctl_number_of(a, "closedAt") != 0 ? "closed" : "open",
		       ctl_text_of(a, "name"));
	if (json_is_string(json_object_get(answer, "next")))
		printf("more: ls %s\n", ctl_text_of(answer, "next"));
	json_decref(answer);
	return EXIT_DONE;
}

static const char *brought(const json_t *bet, char text[32])
{
	const json_t *paid = json_object_get(bet, "paid");
	if (json_is_integer(paid))
		snprintf(text, 32, "%lld", (long long)json_integer_value(paid));
	else
		snprintf(text, 32, "-");
	return text;
}

static int list_bets(const struct ctl *ctl, const char *id, const char *before, bool as_json)
{
	char path[256];
	json_t *answer, *bet;
	size_t i;
	snprintf(path, sizeof path, "/v1/ledger/accounts/%.100s/bets?before=%.20s", id, before);
	int code = ctl_call(ctl, "GET", path, NULL, &answer);
	if (code != 0 || as_json)
		return code != 0 ? code : ctl_print_json(answer);
	printf("%10s %-46s %-4s %16s %16s  %s\n", "BET", "DUEL", "SIDE", "STAKED", "PAID",
	       "MARKET");
	json_array_foreach (json_object_get(answer, "bets"), i, bet) {
		char paid[32];
		printf("%10lld %-46s %-4s %16lld %16s  %s\n", ctl_number_of(bet, "ownNumber"),
		       ctl_text_of(bet, "duelId"), ctl_text_of(bet, "side"),
		       ctl_number_of(bet, "amount"), brought(bet, paid),
		       ctl_text_of(json_object_get(bet, "result"), "state"));
	}
	if (json_is_integer(json_object_get(answer, "next")))
		printf("more: bets %s %lld\n", id, ctl_number_of(answer, "next"));
	json_decref(answer);
	return EXIT_DONE;
}

/* Takes `body`. */
static int change(const struct ctl *ctl, const char *id, const char *what, json_t *body,
                  bool as_json)
{
	char path[256];
	json_t *answer;
	snprintf(path, sizeof path, "/v1/ledger/accounts/%.100s/%s", id, what);
	int code = ctl_call(ctl, "POST", path, body, &answer);
	if (code != 0 || as_json)
		return code != 0 ? code : ctl_print_json(answer);
	printf("%s has %lld%s\n", ctl_text_of(answer, "id"), ctl_number_of(answer, "balance"),
	       ctl_number_of(answer, "closedAt") != 0 ? " and is closed" : "");
	json_decref(answer);
	return EXIT_DONE;
}

static int top_up(const struct ctl *ctl, const char *id, const char *amount, const char *reason,
                  bool as_json)
{
	char name[128], *end;
	long long units = strtoll(amount, &end, 10);
	if (*amount == '\0' || *end != '\0' || units < 1)
		return ctl_usage(ctl, "AMOUNT is a whole number of at least 1");
	return change(ctl, id, "top-up",
	              json_pack("{s:I,s:s,s:s}", "amount", (json_int_t)units, "actor", actor(name),
	                        "reason", reason),
	              as_json);
}

static int show(const struct ctl *ctl, const char *path)
{
	json_t *answer;
	int code = ctl_call(ctl, "GET", path, NULL, &answer);
	return code != 0 ? code : ctl_print_json(answer);
}

int ctl_ledger(const struct ctl *ctl, int argc, char **argv)
{
	bool as_json = ctl_take_flag(&argc, argv, "--json");
	const char *what = argc > 0 ? argv[0] : "";
	char path[256], name[128];
	if (argc <= 2 && strcmp(what, "ls") == 0)
		return list_accounts(ctl, argc == 2 ? argv[1] : "", as_json);
	if (argc == 1 && strcmp(what, "sums") == 0)
		return show(ctl, "/v1/ledger/sums");
	if (argc == 2 && strcmp(what, "show") == 0) {
		snprintf(path, sizeof path, "/v1/ledger/accounts/%.100s", argv[1]);
		return show(ctl, path);
	}
	if (argc >= 2 && argc <= 3 && strcmp(what, "bets") == 0)
		return list_bets(ctl, argv[1], argc == 3 ? argv[2] : "", as_json);
	if (argc == 4 && strcmp(what, "top-up") == 0)
		return top_up(ctl, argv[1], argv[2], argv[3], as_json);
	if (argc == 3 && strcmp(what, "close") == 0)
		return change(ctl, argv[1], "close",
		              json_pack("{s:s,s:s}", "actor", actor(name), "reason", argv[2]),
		              as_json);
	return ctl_usage(ctl,
	                 "ls [AFTER], show ACCOUNT, bets ACCOUNT [BEFORE], top-up ACCOUNT AMOUNT "
	                 "REASON, close ACCOUNT REASON or sums is expected");
}
