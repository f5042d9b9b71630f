/* Rows of tokens from hostile text. What is taken over survives being printed and read again, and
 * lines are cut out of it one by one until nothing is left. */
#include "common/domain/token_rows.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct token_rows *read_all(struct span text)
{
	char reason[TOKEN_ROWS_REASON_ROOM] = "";
	struct token_rows *rows = token_rows_create();
	if (token_rows_read(rows, "file", text, reason))
		return rows;
	if (*reason == '\0')
		abort();
	token_rows_destroy(&rows);
	return NULL;
}

static void round_trip(const struct token_rows *rows)
{
	char *text = token_rows_text(rows);
	struct token_rows *again = read_all(span_str(text));
	if (again == NULL && strlen(text) <= TOKEN_ROW_BYTES_MAX)
		abort(); /* a longer line may have grown beyond its limit */
	if (again == NULL) {
		free(text);
		return;
	}
	char *twice = token_rows_text(again);
	if (strcmp(text, twice) != 0)
		abort();
	for (size_t i = 0; token_rows_at(rows, i) != NULL; i++)
		if (token_rows_find(again, token_rows_at(rows, i)->digest) == NULL)
			abort();
	free(twice);
	free(text);
	token_rows_destroy(&again);
}

static void cut(struct span text, const struct token_rows *rows)
{
	const struct token_row *row = token_rows_at(rows, 0);
	if (row == NULL)
		return;
	char *left = token_rows_without(text, &row->line, 1);
	struct token_rows *fewer =
	        memchr(text.at, '\0', text.len) == NULL ? read_all(span_str(left)) : NULL;
	if (fewer != NULL && token_rows_find(fewer, row->digest) != NULL)
		abort();
	if (fewer == NULL && memchr(text.at, '\0', text.len) == NULL)
		abort();
	token_rows_destroy(&fewer);
	free(left);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span text = span_of(data, size);
	struct token_rows *rows = read_all(text);
	if (rows == NULL)
		return 0;
	round_trip(rows);
	cut(text, rows);
	token_rows_destroy(&rows);
	return 0;
}
