#include "worker-sse/views/pages.h"
#include "common/base/check.h"
#include "worker-sse/client_pages.h"
#include "worker-sse/web_pages.h"

/* Nothing but its own origin, no inline script or style, framed by whoever is named. */
#define POLICY(ancestors)                                                                          \
	"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "    \
	"media-src 'self' blob:; connect-src 'self'; frame-src 'self'; base-uri 'none'; "          \
	"form-action 'none'; frame-ancestors " ancestors
/* A scene that a game brings: no origin, no network, no storage; it may draw. */
#define SCENE_POLICY                                                                               \
	"sandbox allow-scripts; default-src 'none'; script-src 'self'; style-src 'self'; "         \
	"base-uri 'none'; form-action 'none'; frame-ancestors 'self'"

#define HTML   "text/html; charset=utf-8"
#define SCRIPT "text/javascript; charset=utf-8"

#define PAGES(P)                                                                                   \
	P("/", HTML, web_index_html)                                                               \
	P("/arena/", HTML, web_arena_html)                                                         \
	P("/scene/", HTML, web_scene_html)                                                         \
	P("/page/scene.css", "text/css; charset=utf-8", web_scene_css)                             \
	P("/page/scene.js", SCRIPT, web_scene_js)                                                  \
	P("/page/scenes/dice.js", SCRIPT, web_dice_js)                                             \
	P("/embed/", HTML, web_index_html)                                                         \
	P("/ops", HTML, web_ops_html)                                                              \
	P("/page/page.css", "text/css; charset=utf-8", web_page_css)                               \
	P("/page/icon.svg", "image/svg+xml", web_icon_svg)                                         \
	P("/page/main.js", SCRIPT, web_main_js)                                                    \
	P("/page/feed.js", SCRIPT, web_feed_js)                                                    \
	P("/page/blows.js", SCRIPT, web_blows_js)                                                  \
	P("/page/board.js", SCRIPT, web_board_js)                                                  \
	P("/page/chess.js", SCRIPT, web_chess_js)                                                  \
	P("/page/course.js", SCRIPT, web_course_js)                                                \
	P("/page/history.js", SCRIPT, web_history_js)                                              \
	P("/page/lists.js", SCRIPT, web_lists_js)                                                  \
	P("/page/news.js", SCRIPT, web_news_js)                                                    \
	P("/page/past.js", SCRIPT, web_past_js)                                                    \
	P("/page/patient.js", SCRIPT, web_patient_js)                                              \
	P("/page/payout.js", SCRIPT, web_payout_js)                                                \
	P("/page/replay.js", SCRIPT, web_replay_js)                                                \
	P("/page/ring.js", SCRIPT, web_ring_js)                                                    \
	P("/page/scene_frame.js", SCRIPT, web_scene_frame_js)                                      \
	P("/page/scenes.js", SCRIPT, web_scenes_js)                                                \
	P("/page/score.js", SCRIPT, web_score_js)                                                  \
	P("/page/shared.js", SCRIPT, web_shared_js)                                                \
	P("/page/stage.js", SCRIPT, web_stage_js)                                                  \
	P("/page/text.js", SCRIPT, web_text_js)                                                    \
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

static bool is_name(struct span name)
{
	for (size_t i = 0; i < name.len; i++) {
		uint8_t c = name.at[i];
		bool letter = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
		if (!letter && (c != '-' || i == 0))
			return false;
	}
	return name.len >= 1 && name.len <= 64;
}

/* Pages of a feed or of a scene: its name is the path's last segment. */
static const struct page *find(struct span path)
{
	static const char *const named[] = {"/arena/", "/embed/", "/scene/"};
	for (size_t i = 0; i < sizeof named / sizeof *named; i++) {
		size_t len = strlen(named[i]);
		if (path.len < len || memcmp(path.at, named[i], len) != 0)
			continue;
		if (!is_name(span_of(path.at + len, path.len - len)))
			return NULL;
		path.len = len;
	}
	for (size_t i = 0; i < sizeof pages / sizeof *pages; i++)
		if (span_equal(path, span_str(pages[i].path)))
			return &pages[i];
	return NULL;
}

static struct span policy_of(const struct page *page)
{
	if (strcmp(page->path, "/scene/") == 0)
		return SPAN(SCENE_POLICY);
	return strcmp(page->path, "/embed/") == 0 ? SPAN(POLICY("*")) : SPAN(POLICY("'self'"));
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
	                                 {"content-security-policy", policy_of(page)}};
	struct span known = request->headers[HEADER_IF_NONE_MATCH];
	bool same = known.at != NULL && span_equal(known, span_str(page->tag));
	request_bare_headers(request);
	reply(request, same ? 304 : 200, headers, sizeof headers / sizeof *headers,
	      same ? (struct span){0} : span_of(page->bytes, page->len));
}
