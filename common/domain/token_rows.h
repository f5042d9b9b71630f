/* The rows that name who has which token: the file of auth.tokens, and the setting auth.token_rows.
 * Pure but for memory.
 *
 * A row is a line:
 *
 *     NAME sha256:HEX|token:TEXT [VERB=PATTERN[,PATTERN...]]... [expires=RFC3339]   # why
 *
 * Blanks part the words; what follows a word that begins with '#' is a comment. A name is letters,
 * digits and ._@+-, a letter or digit first, and not "anonymous"; several rows of one name are one
 * subject, each with a token, rights and an end of its own. Of a token its SHA-256 is kept, by
 * which it is found: how long that takes tells of digests, and nothing of tokens. No token stands
 * twice, and none of a fault's words is repeated in what is said of it, for one of them may be a
 * token.
 *
 * What is read stays as it is until it is destroyed: rows that have ended too, for only the reader
 * knows the time. */
#pragma once

#include "common/domain/rights.h"

enum {
	TOKEN_ROWS_MAX = 10000,
	TOKEN_ROWS_BYTES_MAX = 4 << 20, /* of one text */
	TOKEN_ROW_BYTES_MAX = 8192,     /* of one line */
	TOKEN_NAME_MAX = 128,
	TOKEN_TEXT_MAX = 512, /* of a token itself */
	TOKEN_DIGEST_BYTES = 32,
	TOKEN_ROWS_REASON_ROOM = 512,
};

struct token_row {
	const char *name;
	uint8_t digest[TOKEN_DIGEST_BYTES]; /* SHA-256 of the token */
	struct rights *rights;              /* never NULL; maybe none at all */
	uint64_t expires_ms;                /* Unix; UINT64_MAX: never */
	const char *source;                 /* what token_rows_read() was told */
	unsigned line;                      /* of that text, from 1 */
	struct span token; /* in the text that was read; at NULL: its digest stood there */
	const struct token_row *next; /* of the same name; NULL: none */
};

struct token_rows;

struct token_rows *token_rows_create(void);
/* NULL is fine. */
void token_rows_destroy(struct token_rows **rows);

/* Adds the rows of a text; `source` (copied) names it. False: "SOURCE:LINE: what is wrong"; what
 * stood before is in, and the whole good for nothing any more. */
bool token_rows_read(struct token_rows *rows, const char *source, struct span text,
                     char reason[TOKEN_ROWS_REASON_ROOM]);

/* Borrowed from the rows; NULL: nobody's. Whether it has ended is for the caller to see. */
const struct token_row *token_rows_find(const struct token_rows *rows,
                                        const uint8_t digest[TOKEN_DIGEST_BYTES]);
/* The first of a name; the others by `next`. NULL: there is nobody of that name. */
const struct token_row *token_rows_named(const struct token_rows *rows, struct span name);
/* In the order in which they were read; NULL: there is no further one. */
const struct token_row *token_rows_at(const struct token_rows *rows, size_t index);

static inline bool token_row_ended(const struct token_row *row, uint64_t now_ms)
{
	return row->expires_ms <= now_ms;
}

void token_digest(struct span token, uint8_t digest[TOKEN_DIGEST_BYTES]);
/* 64 hexadecimal digits in either case. */
bool token_digest_read(struct span hex, uint8_t digest[TOKEN_DIGEST_BYTES]);
bool token_name_valid(struct span name);

/* ---- texts; malloc'ed ---- */

/* All rows as they are read again, with digests in place of tokens, one a line. */
char *token_rows_text(const struct token_rows *rows);
/* One such line, its newline included. */
char *token_row_text(const struct token_row *row);

/* The text with one more line at its end; `line` has its newline. */
char *token_rows_with(struct span text, const char *line);
/* The text without the lines of these numbers, which ascend; all else stays, byte by byte. */
char *token_rows_without(struct span text, const unsigned *lines, size_t count);
