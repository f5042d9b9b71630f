/* ringsidectl tokens: who has which. A new one is made here, and only its digest goes anywhere. */
#include "common/base/base64.h"
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/hex.h"
#include "common/domain/token_rows.h"
#include "common/store/offset.h"
#include "proto/roles.h"
#include "supervisor/ctl.h"

#include <stdlib.h>

enum { TOKEN_BYTES = 32, RIGHTS_ROOM = 8192 };

/* ---- add ---- */

#define ADD_USAGE "add NAME [VERB=PATTERN...] [--expires WHEN] [--sha256 HEX]"

/* A time, or how long from now (90s, 15m, 12h, 30d), as a time. False: neither. */
static bool read_end(const char *text, char time[40])
{
	static const struct {
		char unit;
		uint64_t ms;
	} units[] = {{'s', 1000}, {'m', 60000}, {'h', 3600000}, {'d', 86400000}};
	size_t digits = strspn(text, "0123456789");
	int64_t unix_ms;
	uint64_t n;
	if (timestamp_parse(span_str(text), &unix_ms)) {
		snprintf(time, 40, "%.39s", text);
		return strlen(text) < 40;
	}
	if (text[digits] == '\0' || text[digits + 1] != '\0' ||
	    !number_parse(span_of(text, digits), 100000000, &n))
		return false;
	for (size_t i = 0; i < sizeof units / sizeof *units; i++)
		if (units[i].unit == text[digits]) {
			uint64_t at_ms = clock_wall_ms() + n * units[i].ms;
			struct span made = timestamp_print((int64_t)at_ms, time);
			time[made.len] = '\0';
			return true;
		}
	return false;
}

/* What "Bearer" may be followed by: "rs_" and base64url. */
static void make_token(char token[64])
{
	uint8_t bytes[TOKEN_BYTES];
	clock_random(bytes, sizeof bytes);
	char *text = base64_text(span_of(bytes, sizeof bytes));
	size_t len = strcspn(text, "=");
	for (size_t i = 0; i < len; i++)
		text[i] = text[i] == '+' ? '-' : text[i] == '/' ? '_' : text[i];
	snprintf(token, 64, "rs_%.*s", (int)len, text);
	free(text);
}

static void print_row(const json_t *row)
{
	const char *expires = ctl_text_of(row, "expires"), *rights = ctl_text_of(row, "rights");
	printf("%-24s %-12s  %-24s  %s%s\n", ctl_text_of(row, "name"), ctl_text_of(row, "sha256"),
	       *expires != '\0' ? expires : "-", *rights != '\0' ? rights : "-",
	       json_is_true(json_object_get(row, "ended")) ? "  ended" : "");
}

static void print_doubts(const char *name, const json_t *answer)
{
	size_t i;
	const json_t *doubt;
	json_array_foreach (json_object_get(answer, "doubts"), i, doubt)
		fprintf(stderr, "doubtful: %s: %s\n", name, json_string_value(doubt));
}

static int add(const struct ctl *ctl, int argc, char **argv, bool as_json)
{
	const char *expires = NULL, *hex = NULL;
	char rights[RIGHTS_ROOM] = "", time[40] = "never", token[64] = "",
	     made[2 * TOKEN_DIGEST_BYTES + 1];
	uint8_t digest[TOKEN_DIGEST_BYTES];
	json_t *answer;
	if (!ctl_take_option(&argc, argv, "--expires", &expires) ||
	    !ctl_take_option(&argc, argv, "--sha256", &hex))
		return ctl_usage(ctl, "--expires and --sha256 need a value");
	if (argc < 1)
		return ctl_usage(ctl, "a name is expected: " ADD_USAGE);
	if (expires != NULL && !read_end(expires, time))
		return ctl_usage(ctl, "--expires is a time such as 2026-12-31T00:00:00Z, or 12h or "
		                      "30d from now");
	size_t len = 0;
	for (int i = 1; i < argc; i++) {
		size_t size = strlen(argv[i]) + 1;
		if (len + size >= sizeof rights)
			return ctl_usage(ctl, "the rights are too long");
		len += (size_t)sprintf(rights + len, "%s%s", i > 1 ? " " : "", argv[i]);
	}
	if (hex == NULL) {
		make_token(token);
		token_digest(span_str(token), digest);
		hex_print(digest, sizeof digest, made);
	}
	const char *const command[] = {"tokens", "add", argv[0], hex != NULL ? hex : made,
	                               rights,   time};
	int code = ctl_ask(ctl, 6, command, &answer);
	if (code != 0)
		return code;
	print_doubts(argv[0], answer);
	if (as_json) {
		if (hex == NULL)
			json_object_set_new(answer, "token", json_string(token));
		return ctl_print_json(answer);
	}
	/* The token alone on standard output, so that a script can take it. */
	fprintf(stderr, "%s: a token for %s, in force now%s\n", ctl_text_of(answer, "file"),
	        argv[0], hex == NULL ? "; it is shown this once:" : "");
	if (hex == NULL)
		puts(token);
	json_decref(answer);
	return EXIT_DONE;
}

/* ---- ls ---- */

/* All pages as one answer. */
static int ask_all(const struct ctl *ctl, json_t **all)
{
	char from[24] = "0";
	int code = 0;
	*all = NULL;
	while (code == 0 && *from != '\0') {
		const char *const command[] = {"tokens", "ls", from};
		json_t *page;
		code = ctl_ask(ctl, 3, command, &page);
		if (code != 0)
			break;
		bool more = json_object_get(page, "next") != NULL;
		snprintf(from, sizeof from, "%lld", ctl_number_of(page, "next"));
		if (!more)
			*from = '\0';
		json_object_del(page, "next");
		if (*all == NULL) {
			*all = page;
			continue;
		}
		json_array_extend(json_object_get(*all, "tokens"), json_object_get(page, "tokens"));
		json_decref(page);
	}
	if (code != 0)
		json_decref(*all);
	return code;
}

static int list(const struct ctl *ctl, bool as_json)
{
	json_t *all, *row;
	size_t i;
	int code = ask_all(ctl, &all);
	if (code != 0 || as_json)
		return code != 0 ? code : ctl_print_json(all);
	printf("%-24s %-12s  %-24s  %s\n", "NAME", "SHA256", "EXPIRES", "RIGHTS");
	json_array_foreach (json_object_get(all, "tokens"), i, row)
		print_row(row);
	const char *anybody = ctl_text_of(all, "public");
	printf("%-24s %-12s  %-24s  %s\n", "anonymous", "-", "-", *anybody != '\0' ? anybody : "-");
	json_decref(all);
	return EXIT_DONE;
}

/* ---- revoke, check ---- */

static int end(const struct ctl *ctl, const char *whose, bool as_json)
{
	const char *const command[] = {"tokens", "revoke", whose};
	json_t *answer, *row;
	size_t i;
	int code = ctl_ask(ctl, 3, command, &answer);
	if (code != 0 || as_json)
		return code != 0 ? code : ctl_print_json(answer);
	json_array_foreach (json_object_get(answer, "revoked"), i, row)
		printf("revoked: %s sha256:%s\n", ctl_text_of(row, "name"),
		       ctl_text_of(row, "sha256"));
	json_decref(answer);
	return EXIT_DONE;
}

/* The digest of the token on standard input: the token goes nowhere. False: there is none. */
static bool read_token(char who[80])
{
	char line[TOKEN_TEXT_MAX + 2];
	uint8_t digest[TOKEN_DIGEST_BYTES];
	if (fgets(line, sizeof line, stdin) == NULL)
		return false;
	size_t len = strcspn(line, "\r\n");
	token_digest(span_of(line, len), digest);
	explicit_bzero(line, sizeof line);
	memcpy(who, "sha256:", 7);
	hex_print(digest, sizeof digest, who + 7);
	return len > 0;
}

static int check_right(const struct ctl *ctl, char **argv, bool as_json)
{
	char hidden[80];
	const char *who = argv[0];
	json_t *answer;
	if (strcmp(who, "-") == 0) {
		if (!read_token(hidden))
			return ctl_usage(ctl, "a token is expected on standard input");
		who = hidden;
	}
	const char *const command[] = {"tokens", "check", who, argv[1], argv[2]};
	int code = ctl_ask(ctl, 5, command, &answer);
	if (code != 0)
		return code;
	bool allowed = json_is_true(json_object_get(answer, "allowed"));
	if (as_json)
		ctl_print_json(answer);
	else
		printf("%s: %s\n", allowed ? "allowed" : "refused",
		       ctl_text_of(answer, allowed ? "by" : "why"));
	if (!as_json)
		json_decref(answer);
	return allowed ? EXIT_DONE : EXIT_FAILED;
}

int ctl_tokens(const struct ctl *ctl, int argc, char **argv)
{
	bool as_json = ctl_take_flag(&argc, argv, "--json");
	if (argc >= 1 && strcmp(argv[0], "add") == 0)
		return add(ctl, argc - 1, argv + 1, as_json);
	if (argc == 1 && strcmp(argv[0], "ls") == 0)
		return list(ctl, as_json);
	if (argc == 2 && strcmp(argv[0], "revoke") == 0)
		return end(ctl, argv[1], as_json);
	if (argc == 4 && strcmp(argv[0], "check") == 0)
		return check_right(ctl, argv + 1, as_json);
	return ctl_usage(ctl, ADD_USAGE ", ls, revoke NAME or check WHO VERB PATH is expected");
}
