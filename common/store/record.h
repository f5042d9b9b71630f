/* Records: what a row of the store consists of, declared once. A table says each member's name,
 * type, limits, default, and since which format rows have it; writing, reading and judging come
 * from it. Pure.
 *
 *     static const struct record_field fields[] = {
 *             {RECORD_MEMBER("duelId", struct market, duel_id), RECORD_NEEDED},
 *             {RECORD_MEMBER("feePpm", struct market, fee_ppm), .max = 1000000},
 *     };
 *     static const struct record record = {RECORD_FIELDS(fields)};
 *
 * Members are written in the order of the table. A row with members that the table does not have is
 * fine: a newer release knows them. A member of the wrong type, too long or beyond its limits is
 * never taken for one that is missing: the row is unreadable (row.h). */
#pragma once

#include "common/store/row.h"

#include <stddef.h>

enum record_kind {
	RECORD_TEXT,   /* char[size]: a string without NUL that fits */
	RECORD_STRING, /* of any length: judged, but taken and written by its owner */
	RECORD_NUMBER, /* uint64_t or uint32_t: a whole number, not below 0 */
	RECORD_SIGNED, /* int64_t or int: a whole number */
	RECORD_MAYBE,  /* int64_t: a whole number, or null, which is RECORD_NULL */
	RECORD_REAL,   /* double: any number */
	RECORD_FLAG,   /* bool */
	RECORD_NAME,   /* an enum: the text that `names` has at its value */
	RECORD_OBJECT, /* an object, an array: the same; what is in it is its owner's, too */
	RECORD_ARRAY,
};
#define RECORD_NULL INT64_MIN

struct record_field {
	const char *name;
	enum record_kind kind;
	/* Since which format each row has it: one of that format or a later one is unreadable
	 * without it. 0: a row may always lack it. Where it is missing it has its default. */
	unsigned since;
	bool sparse;         /* not written while it is its default */
	size_t offset, size; /* of the struct's member; unused where no struct is read or written */
	int64_t min, max; /* of whole numbers, where max is above min; else what their type holds */
	int64_t standard; /* the default of whole numbers, flags and names */
	const char *text; /* the default of texts; NULL: "" */
	const char *const *names;
	size_t names_count;
};

struct record {
	const struct record_field *fields;
	size_t count;
	/* The member that says of which format a row is, from 1 to `format`, which this release
	 * writes. NULL: rows do not say, and all are of format 1. */
	const char *format_name;
	unsigned format;
};

#define RECORD_NEEDED        .since = 1
#define RECORD_FIELDS(table) .fields = (table), .count = sizeof(table) / sizeof *(table)
#define RECORD_KIND(value)                                                                         \
	_Generic((value),                                                                          \
	        char *: RECORD_TEXT,                                                               \
	        bool: RECORD_FLAG,                                                                 \
	        uint64_t: RECORD_NUMBER,                                                           \
	        uint32_t: RECORD_NUMBER,                                                           \
	        int64_t: RECORD_SIGNED,                                                            \
	        int: RECORD_SIGNED,                                                                \
	        double: RECORD_REAL)
#define RECORD_PLACE(type, member)                                                                 \
	.offset = offsetof(type, member), .size = sizeof(((type *)0)->member)
/* What the member's C type makes it. */
#define RECORD_MEMBER(label, type, member)                                                         \
	.name = (label), .kind = RECORD_KIND(((type *)0)->member), RECORD_PLACE(type, member)
/* An enum that counts from 0; `table` has its texts. */
#define RECORD_ENUM(label, type, member, table)                                                    \
	.name = (label), .kind = RECORD_NAME, RECORD_PLACE(type, member), .names = (table),        \
	.names_count = sizeof(table) / sizeof *(table)

/* ROW_ABSENT: `row` is NULL. ROW_PRESENT: `into` has all members of the table. Else it is as it
 * was. `into` may be NULL: then the row is only judged. */
enum row_found record_read(const struct record *record, const json_t *row, void *into);

/* Adds the members, strings, objects and arrays excepted, to the object `row`. A text that is not
 * UTF-8 (it was cut) is left out; it must not be a needed one. */
void record_write(const struct record *record, const void *from, json_t *row);

/* Gives a row that is kept as JSON the defaults of what it lacks; not of sparse members. */
void record_complete(const struct record *record, json_t *row);
