#include "worker-bridge/book_call.h"
#include "common/base/clock.h"
#include "common/domain/rights.h"

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

/* Whoever asks on behalf of him has said whether he may see what is live (live_right.h). */
uint64_t book_call_until_ms(const struct call *call)
{
	uint64_t delay_ms = book_settings(book_call_book(call))->feeds_spectator_delay_ms;
	bool live = delay_ms == 0 || (call->may & RIGHT(FRAMES)) != 0 || bridge_is_house(call);
	return live ? UINT64_MAX : clock_wall_ms() - delay_ms;
}

void book_call_refuse_stranger(struct call *call, const char *reason)
{
	if (call->principal.len == 0)
		call_header(call, "WWW-Authenticate", "Bearer realm=\"ledger\"");
	call_refuse(call, call->principal.len == 0 ? 401 : 403, reason);
}

/* ---- queries ---- */

struct span book_call_query(const struct call *call, const char *name)
{
	struct span rest = call->query;
	size_t name_len = strlen(name);
	while (rest.len != 0) {
		const uint8_t *amp = memchr(rest.at, '&', rest.len);
		size_t len = amp != NULL ? (size_t)(amp - rest.at) : rest.len;
		if (len > name_len && rest.at[name_len] == '=' &&
		    memcmp(rest.at, name, name_len) == 0)
			return span_of(rest.at + name_len + 1, len - name_len - 1);
		len += amp != NULL;
		rest = span_of(rest.at + len, rest.len - len);
	}
	return (struct span){0};
}

size_t book_call_limit(struct call *call)
{
	struct span text = book_call_query(call, "limit");
	size_t limit = 0;
	if (text.len == 0)
		return BOOK_CALL_PAGE;
	for (size_t i = 0; i < text.len && i < 5; i++)
		limit = text.at[i] >= '0' && text.at[i] <= '9'
		                ? 10 * limit + (size_t)(text.at[i] - '0')
		                : SIZE_MAX / 16;
	if (limit >= 1 && limit <= BOOK_CALL_PAGE_MAX && text.len < 5)
		return limit;
	call_refuse(call, 400, "limit is 1 to 1000");
	return 0;
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
