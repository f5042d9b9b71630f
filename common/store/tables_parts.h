/* Inside tables*.c: what their files share. Nobody else includes this. */
#pragma once

#include "common/store/tables.h"

enum { PAGE_BYTES = 4096 };

static inline MDB_val val(const void *at, size_t len)
{
	return (MDB_val){len, (void *)(uintptr_t)at};
}

static inline MDB_val val_span(struct span s)
{
	return val(s.at, s.len);
}

/* Rows of a table from `from` on, while `take` wants more. False: not all could be read. */
bool tables_each_row(struct tables_reader *reader, MDB_dbi table, struct span from,
                     bool (*take)(void *arg, const MDB_val *key, const MDB_val *value), void *arg);
