/* rights [ROUNDS]: what a right costs a request with 1,000 rows of tokens and 100 patterns in each.
 * The digest of the token, the row of the digest, and the check, of a path that the last pattern
 * allows and of one that none does. Nanoseconds, the best of five runs each. Exit 1: row and check
 * took more than 2 us. */
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/domain/token_rows.h"

#include <stdio.h>
#include <stdlib.h>

enum { ROWS = 1000, PATTERNS = 100, RUNS = 5, LIMIT_NS = 2000 };

/* Patterns of one kind, `%d` their number; the last is what is asked for. */
static const struct {
	const char *name, *pattern, *allowed, *refused;
} kinds[] = {
        {"whole paths", "arena/duels/round-%d/events", "/v1/stream/arena/duels/round-99/events",
         "/v1/stream/arena/duels/round-x/events"},
        {"trees", "arena/duels/round-%d/**", "/v1/stream/arena/duels/round-99/a/b/c",
         "/v1/stream/arena/duels/round-x/a/b/c"},
        {"a star each", "arena/*/round-%d/events", "/v1/stream/arena/duels/round-99/events",
         "/v1/stream/arena/duels/round-x/events"},
        {"stars and trees", "arena/*/**/round-%d/*", "/v1/stream/arena/duels/a/b/round-99/events",
         "/v1/stream/arena/duels/a/b/round-x/events"},
};

static struct token_rows *make_rows(const char *pattern)
{
	char *text = NULL, reason[TOKEN_ROWS_REASON_ROOM];
	size_t len;
	FILE *out = open_memstream(&text, &len);
	check(out != NULL);
	for (int row = 0; row < ROWS; row++) {
		fprintf(out, "n%d token:token-%d read=", row, row);
		for (int i = 0; i < PATTERNS; i++) {
			char one[128];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
			snprintf(one, sizeof one, pattern, i);
#pragma GCC diagnostic pop
			fprintf(out, "%s%s", i > 0 ? "," : "", one);
		}
		fputc('\n', out);
	}
	check(fclose(out) == 0);
	struct token_rows *rows = token_rows_create();
	if (!token_rows_read(rows, "rows", span_str(text), reason))
		fatal("%s", reason);
	free(text);
	return rows;
}

struct cost {
	double digest, row, allowed, refused;
};

static double least(double former, uint64_t began_ns, unsigned long rounds)
{
	double ns = (double)(clock_monotonic_ns() - began_ns) / (double)rounds;
	return former == 0 || ns < former ? ns : former;
}

static void measure(const struct token_rows *rows, size_t kind, unsigned long rounds,
                    struct cost *cost)
{
	uint8_t digests[ROWS][TOKEN_DIGEST_BYTES];
	const struct token_row *row = token_rows_at(rows, ROWS - 1);
	unsigned long seen = 0;
	uint64_t began = clock_monotonic_ns();
	for (unsigned long i = 0; i < rounds; i++) {
		char token[32];
		int len = snprintf(token, sizeof token, "token-%lu", i % ROWS);
		token_digest(span_of(token, (size_t)len), digests[i % ROWS]);
	}
	cost->digest = least(cost->digest, began, rounds);
	began = clock_monotonic_ns();
	for (unsigned long i = 0; i < rounds; i++)
		seen += token_rows_find(rows, digests[i * 7 % ROWS]) != NULL;
	cost->row = least(cost->row, began, rounds);
	check(seen == rounds);
	struct span allowed = span_str(kinds[kind].allowed),
	            refused = span_str(kinds[kind].refused);
	began = clock_monotonic_ns();
	for (unsigned long i = 0; i < rounds; i++)
		seen -= rights_may(row->rights, VERB_READ, allowed);
	cost->allowed = least(cost->allowed, began, rounds);
	check(seen == 0);
	began = clock_monotonic_ns();
	for (unsigned long i = 0; i < rounds; i++)
		seen += rights_may(row->rights, VERB_READ, refused);
	cost->refused = least(cost->refused, began, rounds);
	check(seen == 0);
}

int main(int argc, char **argv)
{
	unsigned long rounds = argc > 1 ? strtoul(argv[1], NULL, 10) : 20000;
	bool within = true;
	check(rounds >= ROWS);
	printf("%d rows, %d patterns in each; ns\n%-16s %8s %8s %8s %8s\n", ROWS, PATTERNS,
	       "patterns", "digest", "row", "allowed", "refused");
	for (size_t kind = 0; kind < sizeof kinds / sizeof *kinds; kind++) {
		struct token_rows *rows = make_rows(kinds[kind].pattern);
		struct cost cost = {0};
		for (int run = 0; run < RUNS; run++)
			measure(rows, kind, rounds, &cost);
		double most = cost.allowed > cost.refused ? cost.allowed : cost.refused;
		within = within && cost.row + most <= LIMIT_NS;
		printf("%-16s %8.0f %8.0f %8.0f %8.0f\n", kinds[kind].name, cost.digest, cost.row,
		       cost.allowed, cost.refused);
		token_rows_destroy(&rows);
	}
	printf("row and check: %s 2 us\n", within ? "within" : "above");
	return !within;
}
