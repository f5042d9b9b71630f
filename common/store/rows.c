#include "common/store/rows.h"
#include "common/base/check.h"
#include "common/base/hash.h"

#include <stdlib.h>

struct row {
	struct span before, now; /* owned; at NULL: absent */
	bool kept;               /* goes into the transaction */
	bool unreadable;         /* and must not */
	bool lost;               /* the store could not say whether it is there */
	UT_hash_handle hh;
	char key[];
};

struct rows {
	struct state *view;
	struct row *all;
};

struct rows *rows_create(struct state *view)
{
	struct rows *rows = xcalloc(1, sizeof *rows);
	rows->view = view;
	return rows;
}

static struct span copy(struct span value)
{
	return value.at != NULL ? span_of(xmemdup_text(value.at, value.len), value.len) : value;
}

static void drop(struct span *value)
{
	free((void *)(uintptr_t)value->at);
	*value = (struct span){0};
}

static void forget_all(struct rows *rows)
{
	struct row *row, *next;
	HASH_ITER (hh, rows->all, row, next) {
		HASH_DEL(rows->all, row);
		drop(&row->before);
		drop(&row->now);
		free(row);
	}
}

void rows_destroy(struct rows **rows_at)
{
	struct rows *rows = *rows_at;
	*rows_at = NULL;
	if (rows == NULL)
		return;
	forget_all(rows);
	free(rows);
}

static struct row *add(struct rows *rows, const char *key)
{
	size_t len = strlen(key);
	struct row *row = xcalloc(1, sizeof *row + len + 1);
	memcpy(row->key, key, len);
	HASH_ADD_STR(rows->all, key, row);
	return row;
}

static struct row *find(struct rows *rows, const char *key)
{
	struct row *row;
	struct span value;
	HASH_FIND_STR(rows->all, key, row);
	if (row != NULL)
		return row;
	row = add(rows, key);
	if (state_kv_get(rows->view, span_str(key), &value))
		row->before = copy(value);
	else
		row->lost = rows->view->unreadable;
	row->now = copy(row->before);
	return row;
}

void rows_expect(struct rows *rows, const char *key, struct span before)
{
	struct row *row;
	HASH_FIND_STR(rows->all, key, row);
	check(row == NULL);
	row = add(rows, key);
	row->before = copy(before);
	row->now = copy(before);
}

struct span rows_get(struct rows *rows, const char *key)
{
	return find(rows, key)->now;
}

enum row_found rows_find(struct rows *rows, const char *key, struct span *value)
{
	struct row *row = find(rows, key);
	*value = row->now;
	if (row->now.at != NULL)
		return ROW_PRESENT;
	row->unreadable = row->unreadable || row->lost;
	return row->lost ? ROW_UNREADABLE : ROW_ABSENT;
}

enum row_found rows_json(struct rows *rows, const char *key, json_t **json)
{
	struct span value;
	enum row_found found = rows_find(rows, key, &value);
	*json = NULL;
	if (found != ROW_PRESENT)
		return found;
	*json = json_loadb((const char *)value.at, value.len, JSON_DECODE_ANY, NULL);
	if (*json != NULL)
		return ROW_PRESENT;
	rows_mark(rows, key);
	return ROW_UNREADABLE;
}

void rows_mark(struct rows *rows, const char *key)
{
	find(rows, key)->unreadable = true;
}

const char *rows_marked(const struct rows *rows)
{
	for (const struct row *row = rows->all; row != NULL; row = row->hh.next)
		if (row->unreadable)
			return row->key;
	return NULL;
}

void rows_alert(const struct rows *rows, struct counters_slot *counters)
{
	for (const struct row *row = rows->all; row != NULL; row = row->hh.next)
		if (row->unreadable)
			row_alert(counters, row->key);
}

void rows_put(struct rows *rows, const char *key, struct span value)
{
	struct row *row = find(rows, key);
	check(!row->unreadable); /* it would be lost */
	struct span fresh = copy(value);
	drop(&row->now);
	row->now = fresh;
	row->kept = true;
}

void rows_put_json(struct rows *rows, const char *key, json_t *value)
{
	char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
	check(text != NULL);
	rows_put(rows, key, span_str(text));
	free(text);
	json_decref(value);
}

size_t rows_bytes(const struct rows *rows)
{
	size_t bytes = 0;
	for (const struct row *row = rows->all; row != NULL; row = row->hh.next)
		bytes += row->kept ? strlen(row->key) + row->before.len + row->now.len : 0;
	return bytes;
}

void rows_add(struct rows *rows, struct txn *txn)
{
	for (struct row *row = rows->all; row != NULL; row = row->hh.next)
		if (row->kept)
			txn_put(txn, span_str(row->key), row->before, row->now);
	forget_all(rows);
}
