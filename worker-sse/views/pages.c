#include "worker-sse/views/pages.h"
#include "common/base/check.h"
#include "worker-sse/client_pages.h"
#include "worker-sse/web_pages.h"

/* Nothing but its own origin, no inline script or style, in nobody's frame but ours. */
#define POLICY                                                                                     \
	"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "    \
	"media-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; "        \
	"frame-ancestors 'self'"

#define HTML   "text/html; charset=utf-8"
#define SCRIPT "text/javascript; charset=utf-8"

#define PAGES(P)                                                                                   \
	P("/", HTML, web_index_html)                                                               \
	P("/arena/", HTML, web_arena_html)                                                         \
	P("/page/page.css", "text/css; charset=utf-8", web_page_css)                               \
	P("/page/icon.svg", "image/svg+xml", web_icon_svg)                                         \
	P("/page/main.js", SCRIPT, web_main_js)                                                    \
	P("/page/feed.js", SCRIPT, web_feed_js)                                                    \
	P("/page/board.js", SCRIPT, web_board_js)                                                  \
	P("/page/market.js", SCRIPT, web_market_js)                                                \
	P("/page/picture.js", SCRIPT, web_picture_js)                                              \
	P("/page/operations.js", SCRIPT, web_operations_js)                                        \
	P("/page/talk.js", SCRIPT, web_talk_js)                                                    \
	P("/page/visitor.js", SCRIPT, web_visitor_js)                                              \
	P("/page/arena.js", SCRIPT, web_arena_js)                                                  \
	P("/page/client/api.js", SCRIPT, client_api_js)                                            \
	P("/page/client/cid.js", SCRIPT, client_cid_js)                                            \
	P("/page/client/clock.js", SCRIPT, client_clock_js)                                        \
	P("/page/client/connection.js", SCRIPT, client_connection_js)                              \
	P("/page/client/feed.js", SCRIPT, client_feed_js)                                          \
	P("/page/client/follow.js", SCRIPT, client_follow_js)                                      \
	P("/page/client/market.js", SCRIPT, client_market_js)                                      \
	P("/page/client/memory.js", SCRIPT, client_memory_js)                                      \
	P("/page/client/mjpeg.js", SCRIPT, client_mjpeg_js)                                        \
	P("/page/client/outbox.js", SCRIPT, client_outbox_js)                                      \
	P("/page/client/path.js", SCRIPT, client_path_js)                                          \
	P("/page/client/producer.js", SCRIPT, client_producer_js)                                  \
	P("/page/client/retry.js", SCRIPT, client_retry_js)                                        \
	P("/page/client/sending.js", SCRIPT, client_sending_js)                                    \
	P("/page/client/sse.js", SCRIPT, client_sse_js)                                            \
	P("/page/client/streams.js", SCRIPT, client_streams_js)                                    \
	P("/page/client/uuid.js", SCRIPT, client_uuid_js)                                          \
	P("/page/client/viewer.js", SCRIPT, client_viewer_js)                                      \
	P("/page/client/whep.js", SCRIPT, client_whep_js)

#define PAGE_ROW(path, type, name) {path, type, name##_tag, name, name##_len},
static const struct page {
	const char *path, *type, *tag;
	const uint8_t *bytes;
	size_t len;
} pages[] = {PAGES(PAGE_ROW)};
#undef PAGE_ROW

static bool is_feed_name(struct span name)
{
	for (size_t i = 0; i < name.len; i++) {
		uint8_t c = name.at[i];
		bool letter = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
		if (!letter && (c != '-' || i == 0))
			return false;
	}
	return name.len >= 1 && name.len <= 64;
}

static const struct page *find(struct span path)
{
	static const char arena[] = "/arena/";
	size_t len = sizeof arena - 1;
	if (path.len > len && memcmp(path.at, arena, len) == 0)
		path = is_feed_name(span_of(path.at + len, path.len - len)) ? span_of(path.at, len)
		                                                            : SPAN("");
	else if (path.len == len && memcmp(path.at, arena, len) == 0)
		return NULL;
	for (size_t i = 0; i < sizeof pages / sizeof *pages; i++)
		if (span_equal(path, span_str(pages[i].path)))
			return &pages[i];
	return NULL;
}

void pages_handle(struct request *request)
{
	const struct page *page = find(request->path);
	if (page == NULL) {
		reply_error(request, 404, "no such page");
		return;
	}
	const struct header headers[] = {{"content-type", span_str(page->type)},
	                                 {"etag", span_str(page->tag)},
	                                 {"cache-control", SPAN("no-cache")},
	                                 {"content-security-policy", SPAN(POLICY)}};
	struct span known = request->headers[HEADER_IF_NONE_MATCH];
	bool same = known.at != NULL && span_equal(known, span_str(page->tag));
	request_bare_headers(request);
	reply(request, same ? 304 : 200, headers, sizeof headers / sizeof *headers,
	      same ? (struct span){0} : span_of(page->bytes, page->len));
}
