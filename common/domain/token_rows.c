#include "common/domain/token_rows.h"
#include "common/base/check.h"
#include "common/base/hash.h"
#include "common/base/hex.h"
#include "common/domain/rights_parts.h"
#include "common/store/offset.h"

#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>

/* Who has a name: the table of names. */
struct subject {
	struct token_row *first, *last;
	UT_hash_handle hh;
};

struct kept {
	struct token_row row;
	UT_hash_handle hh; /* by digest */
};

struct token_rows {
	struct kept **at;
	size_t count, room;
	struct kept *by_digest;
	struct subject *by_name;
	char **sources;
	size_t sources_count;
};

/* ---- words ---- */

static bool is_blank(uint8_t c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

/* len 0: there is no further one before the line or a comment ends. */
static struct span take_word(struct span *line)
{
	size_t from = 0, to;
	while (from < line->len && is_blank(line->at[from]))
		from++;
	for (to = from; to < line->len && !is_blank(line->at[to]); to++) {
	}
	struct span word = span_of(line->at + from, to - from);
	if (word.len > 0 && *word.at == '#')
		word.len = 0;
	*line = word.len > 0 ? span_of(line->at + to, line->len - to) : span_of(line->at, 0);
	return word;
}

static bool starts(struct span *word, const char *with)
{
	size_t len = strlen(with);
	if (word->len < len || memcmp(word->at, with, len) != 0)
		return false;
	*word = span_of(word->at + len, word->len - len);
	return true;
}

static bool is_letter_or_digit(uint8_t c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool consists_of(struct span text, const char *others)
{
	for (size_t i = 0; i < text.len; i++)
		if (!is_letter_or_digit(text.at[i]) &&
		    (text.at[i] == '\0' || strchr(others, text.at[i]) == NULL))
			return false;
	return true;
}

bool token_name_valid(struct span name)
{
	return name.len > 0 && name.len <= TOKEN_NAME_MAX && is_letter_or_digit(*name.at) &&
	       consists_of(name, "._@+-") && !span_equal(name, SPAN("anonymous"));
}

void token_digest(struct span token, uint8_t digest[TOKEN_DIGEST_BYTES])
{
	SHA256(token.at, token.len, digest);
}

static int hex_digit(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool token_digest_read(struct span hex, uint8_t digest[TOKEN_DIGEST_BYTES])
{
	if (hex.len != (size_t)2 * TOKEN_DIGEST_BYTES)
		return false;
	for (size_t i = 0; i < TOKEN_DIGEST_BYTES; i++) {
		int high = hex_digit(hex.at[2 * i]), low = hex_digit(hex.at[2 * i + 1]);
		if (high < 0 || low < 0)
			return false;
		digest[i] = (uint8_t)(high << 4 | low);
	}
	return true;
}

/* ---- one row ---- */

/* NULL: fits. */
static const char *read_credential(struct token_row *row, struct span word)
{
	if (starts(&word, "sha256:"))
		return token_digest_read(word, row->digest)
		               ? NULL
		               : "sha256: is to be followed by 64 hexadecimal digits";
	if (!starts(&word, "token:"))
		return "the second word is sha256:HEX or token:TEXT";
	/* What a Bearer credential may consist of (RFC 6750 §2.1). */
	if (word.len == 0 || !consists_of(word, "-._~+/="))
		return "a token is letters, digits and -._~+/=";
	if (word.len > TOKEN_TEXT_MAX)
		return "the token is longer than 512";
	token_digest(word, row->digest);
	row->token = word;
	return NULL;
}

static const char *read_end(struct token_row *row, struct span word)
{
	int64_t unix_ms;
	if (row->expires_ms != UINT64_MAX)
		return "expires stands twice";
	if (!timestamp_parse(word, &unix_ms) || unix_ms < 0)
		return "expires is a time such as 2026-12-31T00:00:00Z";
	row->expires_ms = (uint64_t)unix_ms;
	return NULL;
}

static const char verbs_are[] = RIGHTS_VERBS_ARE;

/* A word that is no right may be a token. `said`: room for what is wrong with one that is. */
static const char *read_right(struct rights_draft *draft, struct span word,
                              char said[RIGHTS_REASON_ROOM])
{
	const uint8_t *equals = memchr(word.at, '=', word.len);
	enum verb verb;
	if (equals == NULL)
		return "behind the token stand VERB=PATTERN and expires=TIME";
	if (!verb_find(span_of(word.at, (size_t)(equals - word.at)), &verb))
		return verbs_are;
	return rights_draft_add_text(draft, word, said) ? NULL : said;
}

static const char *read_rest(struct token_row *row, struct span line, char said[RIGHTS_REASON_ROOM])
{
	struct rights_draft *draft = rights_draft_create();
	const char *fault = NULL;
	for (struct span word = take_word(&line); fault == NULL && word.len > 0;
	     word = take_word(&line)) {
		struct span value = word;
		fault = starts(&value, "expires=") ? read_end(row, value)
		                                   : read_right(draft, word, said);
	}
	row->rights = rights_draft_finish(&draft);
	return fault;
}

/* Its rights are to be released in either case. */
static const char *read_row(struct token_row *row, struct span line, char said[RIGHTS_REASON_ROOM],
                            struct span *name)
{
	*name = take_word(&line);
	struct span credential = take_word(&line);
	if (!token_name_valid(*name))
		return span_equal(*name, SPAN("anonymous"))
		               ? "anonymous is who shows no token: its rights are auth.public"
		               : "a name is letters, digits and ._@+-, a letter or digit first";
	if (credential.len == 0)
		return "a token is missing: sha256:HEX or token:TEXT";
	const char *fault = read_credential(row, credential);
	return fault != NULL ? fault : read_rest(row, line, said);
}

/* ---- the rows ---- */

struct token_rows *token_rows_create(void)
{
	return xcalloc(1, sizeof(struct token_rows));
}

void token_rows_destroy(struct token_rows **out)
{
	struct token_rows *rows = *out;
	struct subject *subject, *next;
	*out = NULL;
	if (rows == NULL)
		return;
	HASH_ITER (hh, rows->by_name, subject, next) {
		HASH_DEL(rows->by_name, subject);
		free(subject);
	}
	HASH_CLEAR(hh, rows->by_digest);
	for (size_t i = 0; i < rows->count; i++) {
		rights_release(&rows->at[i]->row.rights);
		free((char *)(uintptr_t)rows->at[i]->row.name);
		free(rows->at[i]);
	}
	for (size_t i = 0; i < rows->sources_count; i++)
		free(rows->sources[i]);
	free(rows->sources);
	free(rows->at);
	free(rows);
}

static void keep(struct token_rows *rows, const struct token_row *row)
{
	struct kept *kept = xcalloc(1, sizeof *kept);
	struct subject *subject;
	kept->row = *row;
	if (rows->count == rows->room) {
		rows->room = rows->room > 0 ? 2 * rows->room : 16;
		rows->at = xrealloc(rows->at, rows->room * sizeof(struct kept *));
	}
	rows->at[rows->count++] = kept;
	HASH_ADD(hh, rows->by_digest, row.digest, TOKEN_DIGEST_BYTES, kept);
	HASH_FIND_STR(rows->by_name, row->name, subject);
	if (subject != NULL) {
		subject->last->next = &kept->row;
		subject->last = &kept->row;
		return;
	}
	subject = xcalloc(1, sizeof *subject);
	subject->first = subject->last = &kept->row;
	HASH_ADD_KEYPTR(hh, rows->by_name, row->name, strlen(row->name), subject);
}

static bool fail(char reason[TOKEN_ROWS_REASON_ROOM], const char *source, unsigned line,
                 const char *fault)
{
	snprintf(reason, TOKEN_ROWS_REASON_ROOM, "%.200s:%u: %.280s", source, line, fault);
	return false;
}

static bool add_line(struct token_rows *rows, const char *source, unsigned number, struct span line,
                     char reason[TOKEN_ROWS_REASON_ROOM])
{
	char said[RIGHTS_REASON_ROOM];
	struct token_row row = {.source = source, .line = number, .expires_ms = UINT64_MAX};
	struct span rest = line, name;
	if (line.len > TOKEN_ROW_BYTES_MAX)
		return fail(reason, source, number, "the line is longer than 8192 bytes");
	if (take_word(&rest).len == 0)
		return true;
	const char *fault = read_row(&row, line, said, &name);
	const struct token_row *same = fault == NULL ? token_rows_find(rows, row.digest) : NULL;
	if (same != NULL) {
		snprintf(said, sizeof said, "its token is that of %.100s:%u", same->source,
		         same->line);
		fault = said;
	} else if (fault == NULL && rows->count == TOKEN_ROWS_MAX) {
		fault = "there are more than 10000 rows";
	}
	if (fault != NULL) {
		rights_release(&row.rights);
		return fail(reason, source, number, fault);
	}
	row.name = xmemdup_text(name.at, name.len);
	keep(rows, &row);
	return true;
}

/* Its newline is skipped, and not part of it. */
static struct span take_line(struct span *text)
{
	const uint8_t *end = memchr(text->at, '\n', text->len);
	struct span line = span_of(text->at, end != NULL ? (size_t)(end - text->at) : text->len);
	size_t used = line.len + (end != NULL);
	*text = span_of(text->at + used, text->len - used);
	return line;
}

static const char *keep_source(struct token_rows *rows, const char *source)
{
	rows->sources = xrealloc(rows->sources, (rows->sources_count + 1) * sizeof(char *));
	return rows->sources[rows->sources_count++] = xmemdup_text(source, strlen(source));
}

bool token_rows_read(struct token_rows *rows, const char *source, struct span text,
                     char reason[TOKEN_ROWS_REASON_ROOM])
{
	const char *kept = keep_source(rows, source);
	if (text.len > TOKEN_ROWS_BYTES_MAX) {
		snprintf(reason, TOKEN_ROWS_REASON_ROOM, "%.200s: is longer than 4 MB", source);
		return false;
	}
	for (unsigned number = 1; text.len > 0; number++)
		if (!add_line(rows, kept, number, take_line(&text), reason))
			return false;
	return true;
}

const struct token_row *token_rows_find(const struct token_rows *rows,
                                        const uint8_t digest[TOKEN_DIGEST_BYTES])
{
	struct kept *kept;
	HASH_FIND(hh, rows->by_digest, digest, TOKEN_DIGEST_BYTES, kept);
	return kept != NULL ? &kept->row : NULL;
}

const struct token_row *token_rows_named(const struct token_rows *rows, struct span name)
{
	struct subject *subject = NULL;
	if (name.len > 0)
		HASH_FIND(hh, rows->by_name, name.at, name.len, subject);
	return subject != NULL ? subject->first : NULL;
}

const struct token_row *token_rows_at(const struct token_rows *rows, size_t index)
{
	return index < rows->count ? &rows->at[index]->row : NULL;
}

/* ---- texts ---- */

static void print_row(FILE *out, const struct token_row *row)
{
	char hex[2 * TOKEN_DIGEST_BYTES + 1], time[40];
	char *rights = rights_text(row->rights);
	hex_print(row->digest, TOKEN_DIGEST_BYTES, hex);
	fprintf(out, "%s sha256:%s%s%s", row->name, hex, *rights != '\0' ? " " : "", rights);
	if (row->expires_ms != UINT64_MAX) {
		struct span end = timestamp_print((int64_t)row->expires_ms, time);
		fprintf(out, " expires=%.*s", (int)end.len, (const char *)end.at);
	}
	fputc('\n', out);
	free(rights);
}

char *token_row_text(const struct token_row *row)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);
	check(out != NULL);
	print_row(out, row);
	check(fclose(out) == 0);
	return text;
}

char *token_rows_text(const struct token_rows *rows)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);
	check(out != NULL);
	for (size_t i = 0; i < rows->count; i++)
		print_row(out, &rows->at[i]->row);
	check(fclose(out) == 0);
	return text;
}

char *token_rows_with(struct span text, const char *line)
{
	size_t len = text.len, more = strlen(line);
	bool open = len > 0 && text.at[len - 1] != '\n';
	char *out = xmalloc(len + open + more + 1);
	if (len > 0)
		memcpy(out, text.at, len);
	if (open)
		out[len++] = '\n';
	memcpy(out + len, line, more + 1);
	return out;
}

char *token_rows_without(struct span text, const unsigned *lines, size_t count)
{
	char *out = xmalloc(text.len + 1);
	size_t len = 0;
	for (unsigned number = 1; text.len > 0; number++) {
		const uint8_t *from = text.at;
		take_line(&text);
		if (count > 0 && number == *lines) {
			lines++;
			count--;
			continue;
		}
		memcpy(out + len, from, (size_t)(text.at - from));
		len += (size_t)(text.at - from);
	}
	out[len] = '\0';
	return out;
}
