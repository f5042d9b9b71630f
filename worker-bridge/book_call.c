#include "worker-bridge/book_call.h"

#include <string.h>

const char book_call_unreadable[] = "what this needs is in the store, but this release cannot read "
                                    "it (see the log and rows_unreadable): "
                                    "it is left as it is";

struct book *book_call_book(const struct call *call)
{
	return ((struct bridge *)call->context)->book;
}

struct state *book_call_view(const struct call *call)
{
	return store_view(book_store(book_call_book(call)));
}

static void alert(const struct call *call, const char *key)
{
	row_alert(((struct bridge *)call->context)->worker->mine, key);
}

enum row_found book_call_row(const struct call *call, const char *key, json_t **row)
{
	enum row_found found = row_json(book_call_view(call), key, row);
	if (found == ROW_UNREADABLE)
		alert(call, key);
	return found;
}

enum row_found book_call_not_ours(const struct call *call, const char *key, json_t **row)
{
	alert(call, key);
	json_decref(*row);
	*row = NULL;
	return ROW_UNREADABLE;
}

void book_call_refuse_stranger(struct call *call, const char *reason)
{
	if (call->principal.len == 0)
		call_header(call, "WWW-Authenticate", "Bearer realm=\"ledger\"");
	call_refuse(call, call->principal.len == 0 ? 401 : 403, reason);
}

/* ---- paths ---- */

struct span book_call_below(struct span path, const char *prefix)
{
	size_t len = strlen(prefix);
	return path.len >= len ? span_of(path.at + len, path.len - len) : (struct span){path.at, 0};
}

struct span book_call_segment(struct span *rest)
{
	const uint8_t *slash = rest->len != 0 ? memchr(rest->at, '/', rest->len) : NULL;
	struct span first =
	        span_of(rest->at, slash != NULL ? (size_t)(slash - rest->at) : rest->len);
	*rest = slash != NULL ? span_of(slash + 1, rest->len - first.len - 1)
	                      : (struct span){rest->at, 0};
	return first;
}

bool book_call_text(struct span from, char *into, size_t room)
{
	if (from.len == 0 || from.len >= room)
		return false;
	memcpy(into, from.at, from.len);
	into[from.len] = '\0';
	return true;
}
