#include "common/domain/render_session.h"
#include "common/base/json_patch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

static json_t *parse(const char *text)
{
	json_t *value = json_loads(text, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, NULL);
	assert_non_null(value);
	return value;
}

struct row {
	const char *body;
	enum render_order_result result;
	uint32_t width, height, fps; /* or the reason */
	const char *reason;
};

static void test_order(void **state)
{
	(void)state;
	static const struct row rows[] = {
	        {"{\"targetUrl\":\"https://a/b\"}", RENDER_ORDER_OK, 1280, 720, 30, ""},
	        {"{\"renderUrl\":\"http://"
	         "a\",\"renderOptions\":{\"resolution\":\"1080p\",\"targetFps\":60}}",
	         RENDER_ORDER_OK, 1920, 1080, 60, ""},
	        {"{\"targetUrl\":\"https://a\",\"renderOptions\":{\"resolution\":\"640x360\"}}",
	         RENDER_ORDER_OK, 640, 360, 30, ""},
	        {"{\"targetUrl\":\"https://a\",\"initialData\":{\"a\":1},\"extra\":1}",
	         RENDER_ORDER_OK, 1280, 720, 30, ""},
	        {"[]", RENDER_ORDER_MALFORMED, 0, 0, 0, "the body is an object"},
	        {"{}", RENDER_ORDER_MALFORMED, 0, 0, 0, "targetUrl is a string"},
	        {"{\"targetUrl\":7}", RENDER_ORDER_MALFORMED, 0, 0, 0, "targetUrl is a string"},
	        {"{\"targetUrl\":\"file:///etc/passwd\"}", RENDER_ORDER_UNSUITABLE, 0, 0, 0,
	         "targetUrl begins with https:// or http://"},
	        {"{\"targetUrl\":\"https://a b\"}", RENDER_ORDER_UNSUITABLE, 0, 0, 0,
	         "targetUrl holds no space or control"},
	        {"{\"targetUrl\":\"https://a\",\"initialData\":[]}", RENDER_ORDER_MALFORMED, 0, 0,
	         0, "initialData is an object"},
	        {"{\"targetUrl\":\"https://a\",\"renderOptions\":[]}", RENDER_ORDER_MALFORMED, 0, 0,
	         0, "renderOptions is an object"},
	        {"{\"targetUrl\":\"https://a\",\"renderOptions\":{\"resolution\":\"8x8\"}}",
	         RENDER_ORDER_UNSUITABLE, 0, 0, 0,
	         "renderOptions.resolution is even, from 16x16 to 3840x2160"},
	        {"{\"targetUrl\":\"https://a\",\"renderOptions\":{\"resolution\":\"641x360\"}}",
	         RENDER_ORDER_UNSUITABLE, 0, 0, 0,
	         "renderOptions.resolution is even, from 16x16 to 3840x2160"},
	        {"{\"targetUrl\":\"https://a\",\"renderOptions\":{\"resolution\":\"640x360 \"}}",
	         RENDER_ORDER_UNSUITABLE, 0, 0, 0,
	         "renderOptions.resolution is WIDTHxHEIGHT, 720p, 1080p, 1440p or 4k"},
	        {"{\"targetUrl\":\"https://a\",\"renderOptions\":{\"targetFps\":0}}",
	         RENDER_ORDER_UNSUITABLE, 0, 0, 0, "renderOptions.targetFps is 1 to 60"},
	        {"{\"targetUrl\":\"https://a\",\"renderOptions\":{\"targetFps\":1.5}}",
	         RENDER_ORDER_MALFORMED, 0, 0, 0, "renderOptions.targetFps is an integer"},
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		json_t *body = parse(rows[i].body);
		struct render_order order;
		char reason[160];
		assert_int_equal(render_order_read(&order, body, 1280, 720, reason),
		                 rows[i].result);
		assert_string_equal(reason, rows[i].reason);
		if (rows[i].result == RENDER_ORDER_OK) {
			assert_int_equal(order.width, rows[i].width);
			assert_int_equal(order.height, rows[i].height);
			assert_int_equal(order.fps, rows[i].fps);
		}
		render_order_finish(&order);
		json_decref(body);
	}
}

static void test_ignored_options(void **state)
{
	(void)state;
	json_t *body = parse(
	        "{\"targetUrl\":\"https://a\",\"renderOptions\":{\"quality\":\"high\",\"x\":1}}");
	struct render_order order;
	char reason[160];
	assert_int_equal(render_order_read(&order, body, 1280, 720, reason), RENDER_ORDER_OK);
	json_t *wanted = parse("[\"quality\",\"x\"]");
	assert_true(json_equal(order.ignored, wanted));
	json_decref(wanted);
	render_order_finish(&order);
	json_decref(body);
}

static struct render_session *fresh(uint64_t now_ms)
{
	json_t *body = parse("{\"targetUrl\":\"https://a/\",\"initialData\":{\"k\":[1]}}");
	struct render_order order;
	char reason[160];
	assert_int_equal(render_order_read(&order, body, 1280, 720, reason), RENDER_ORDER_OK);
	struct render_session *s = render_session_create("01234567-89ab-4cde-8f01-23456789abcd",
	                                                 "owner", &order, now_ms);
	render_order_finish(&order);
	json_decref(body);
	return s;
}

static const struct json_patch_limits roomy = {1000, 10000, 100};

/* Every revision follows from the one before by its patch, and the document always holds the last.
 */
static void test_revisions(void **state)
{
	(void)state;
	struct render_session *s = fresh(1000000);
	json_t *first = render_session_first(s),
	       *client = json_deep_copy(json_object_get(first, "state"));
	json_decref(first);
	assert_null(render_session_patch(s));
	for (int i = 1; i <= 50; i++) {
		char reason[JSON_PATCH_REASON_ROOM];
		render_session_set(s, "metadata",
		                   json_pack("{s:i, s:i}", "tick", i, "a/b~c", i % 3));
		if (i == 20)
			render_session_status(s, RENDER_ERROR, "no such host");
		if (i == 30)
			render_session_status(s, RENDER_STREAMING, "");
		json_t *event = render_session_patch(s);
		assert_non_null(event);
		assert_int_equal(json_integer_value(json_object_get(event, "rev")), i);
		assert_int_equal(
		        json_patch_apply(&client, json_object_get(event, "patch"), &roomy, reason),
		        JSON_PATCH_OK);
		assert_true(json_equal(client, s->published));
		json_decref(event);
		char *document = render_session_document(s);
		struct render_session *other = render_session_load(span_str(document), 5);
		assert_non_null(other);
		assert_true(json_equal(other->state, client));
		assert_int_equal(other->rev, i);
		assert_int_equal(other->status, s->status);
		assert_int_equal(other->order.width, 1280);
		assert_true(json_equal(other->order.initial_data, s->order.initial_data));
		char *again = render_session_document(other);
		assert_string_equal(document, again);
		free(again);
		free(document);
		render_session_destroy(&other);
	}
	json_decref(client);
	render_session_destroy(&s);
}

/* What is not published yet is not in the document: a crash between the two loses no patch. */
static void test_document_is_published_state(void **state)
{
	(void)state;
	struct render_session *s = fresh(0);
	char *before = render_session_document(s);
	render_session_set(s, "clientConnected", json_true());
	char *after = render_session_document(s);
	assert_string_equal(before, after);
	free(before);
	free(after);
	render_session_destroy(&s);
}

static void test_bad_documents(void **state)
{
	(void)state;
	static const char *const rows[] = {
	        "",
	        "[]",
	        "{}",
	        "{\"id\":\"x\"}",
	        ("{\"id\":\"x\",\"owner\":\"\",\"retryKey\":\"\","
	         "\"state\":{\"targetUrl\":\"http://a\",\"status\":\"odd\"}}"),
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		assert_null(render_session_load(span_str(rows[i]), 1));
}

static void test_signals_and_end(void **state)
{
	(void)state;
	struct render_session *s = fresh(0);
	json_t *signal = parse("{\"type\":\"bye\"}");
	json_t *one = render_session_signal(s, signal), *two = render_session_signal(s, signal);
	assert_int_equal(json_integer_value(json_object_get(one, "n")), 1);
	assert_int_equal(json_integer_value(json_object_get(two, "n")), 2);
	render_session_status(s, RENDER_TERMINATED, "");
	json_t *patch = render_session_patch(s), *end = render_session_end(s, "deleted");
	assert_non_null(patch);
	char *text = json_dumps(end, JSON_COMPACT);
	assert_string_equal(text, "{\"rev\":1,\"end\":\"deleted\"}");
	free(text);
	json_t *third = render_session_signal(s, signal);
	assert_int_equal(json_integer_value(json_object_get(third, "n")), 1);
	json_decref(one);
	json_decref(two);
	json_decref(third);
	json_decref(patch);
	json_decref(end);
	json_decref(signal);
	render_session_destroy(&s);
}

static void test_overdue(void **state)
{
	(void)state;
	const struct render_times times = {.idle_ms = 300, .lifetime_ms = 10000};
	struct render_session *s = fresh(1000);
	assert_null(render_session_overdue(s, &times, false, 1299));
	assert_string_equal(render_session_overdue(s, &times, false, 1300), "idle");
	assert_null(render_session_overdue(s, &times, true, 1300));
	render_session_touch(s, 2000);
	assert_null(render_session_overdue(s, &times, false, 2299));
	assert_string_equal(render_session_overdue(s, &times, false, 2300), "idle");
	assert_null(render_session_overdue(s, &times, true, 10999));
	assert_string_equal(render_session_overdue(s, &times, true, 11000), "lifetime");
	render_session_destroy(&s);
}

/* Within a minute it is no change. */
static void test_activity_is_rounded(void **state)
{
	(void)state;
	struct render_session *s = fresh(120000);
	render_session_touch(s, 179999);
	assert_null(render_session_patch(s));
	render_session_touch(s, 180000);
	json_t *patch = render_session_patch(s);
	assert_non_null(patch);
	json_decref(patch);
	render_session_destroy(&s);
}

static void test_marks(void **state)
{
	(void)state;
	struct render_mark mark;
	uint64_t lineage;
	assert_true(render_mark_read(SPAN("{\"rev\":12,\"patch\":[]}"), &mark));
	assert_int_equal(mark.rev, 12);
	assert_int_equal(mark.n, 0);
	assert_true(render_mark_read(SPAN("{\"rev\":12,\"n\":3,\"signal\":{}}"), &mark));
	assert_int_equal(mark.n, 3);
	assert_false(render_mark_read(SPAN("{\"a\":1}"), &mark));
	assert_false(render_mark_read(SPAN("{\"rev\":"), &mark));
	char text[RENDER_MARK_ROOM];
	assert_int_equal(render_mark_print(7, (struct render_mark){3, 2}, text), 5);
	assert_string_equal(text, "7-3.2");
	assert_true(render_mark_parse(span_str(text), &lineage, &mark));
	assert_int_equal(lineage, 7);
	assert_int_equal(mark.rev, 3);
	assert_int_equal(mark.n, 2);
	static const char *const bad[] = {
	        "",      "7",    "7-",    "-3",   "7-3.",
	        "7-3.x", "7-3 ", "7-3-1", " 7-3", "9999999999999999999-1"};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_false(render_mark_parse(span_str(bad[i]), &lineage, &mark));
	assert_true(render_mark_compare((struct render_mark){1, 9}, (struct render_mark){2, 0}) <
	            0);
	assert_true(render_mark_compare((struct render_mark){2, 1}, (struct render_mark){2, 0}) >
	            0);
	assert_int_equal(
	        render_mark_compare((struct render_mark){2, 1}, (struct render_mark){2, 1}), 0);
}

static void test_events_read(void **state)
{
	(void)state;
	static const struct {
		const char *event, *data;
		enum render_event kind;
		struct render_mark mark;
	} rows[] = {
	        {"{\"rev\":0,\"state\":{\"a\":1}}",
	         "{\"rev\":0,\"state\":{\"a\":1}}",
	         RENDER_EVENT_STATE,
	         {0, 0}},
	        {"{\"rev\":3,\"patch\":[{}]}", "[{}]", RENDER_EVENT_PATCH, {3, 0}},
	        {"{\"rev\":3,\"n\":2,\"signal\":{\"type\":\"x\"}}",
	         "{\"type\":\"x\"}",
	         RENDER_EVENT_SIGNAL,
	         {3, 2}},
	        {"{\"rev\":9,\"end\":\"idle\"}", "\"idle\"", RENDER_EVENT_END, {9, 0}},
	};
	enum render_event kind;
	struct render_mark mark;
	struct span data;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		assert_true(render_event_read(span_str(rows[i].event), &kind, &mark, &data));
		assert_int_equal(kind, rows[i].kind);
		assert_int_equal(render_mark_compare(mark, rows[i].mark), 0);
		assert_true(span_equal(data, span_str(rows[i].data)));
	}
	static const char *const bad[] = {"",
	                                  "{}",
	                                  "{\"rev\":1}",
	                                  "{\"rev\":1,\"patch\":",
	                                  "{\"rev\":1,\"odd\":1}",
	                                  "{\"rev\":1,\"patch\":}"};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_false(render_event_read(span_str(bad[i]), &kind, &mark, &data));
}

static void test_names(void **state)
{
	(void)state;
	char a[RENDER_SESSION_ID_MAX + 1], b[RENDER_SESSION_ID_MAX + 1], path[RENDER_PATH_ROOM];
	render_session_id(a);
	render_session_id(b);
	assert_string_not_equal(a, b);
	assert_true(render_session_id_valid(span_str(a)));
	assert_int_equal(a[14], '4');
	assert_false(render_session_id_valid(SPAN("0123")));
	assert_false(render_session_id_valid(SPAN("0123456789ABCDEF0123456789abcdef0123")));
	size_t len = render_session_path(a, path);
	assert_int_equal(len, strlen(path));
	assert_string_equal(render_status_name(RENDER_TERMINATED), "terminated");
	assert_string_equal(render_status_client_name(RENDER_TERMINATED), "ended");
}

/* Nobody is told from another in dev alone, and there only if nobody else is asked who may. */
static void test_owners(void **state)
{
	static const char
	        one[] = "1111111111111111111111111111111111111111111111111111111111111111",
	        two[] = "2222222222222222222222222222222222222222222222222222222222222222";
	static const struct {
		bool dev, validated;
		const char *owner, *principal, *former;
		bool is;
	} rows[] = {
	        {true, false, "", "", "", true},     {false, false, "", "", "", false},
	        {true, true, "", "", "", false},     {false, true, "", "", "", false},
	        {true, false, one, "", "", false},   {true, false, "", one, "", false},
	        {false, false, one, one, "", true},  {true, true, one, one, "", true},
	        {false, true, one, two, "", false},  {false, false, one, two, one, true},
	        {false, false, "", two, one, false},
	};
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		char none[] = "", url[] = "https://a.b/";
		const struct settings settings = {.dev = rows[i].dev,
		                                  .sessions_validate_url =
		                                          rows[i].validated ? url : none};
		struct render_session session = {0};
		strcpy(session.owner, rows[i].owner);
		assert_int_equal(render_session_is_of(&session, &settings,
		                                      span_str(rows[i].principal),
		                                      span_str(rows[i].former)),
		                 rows[i].is);
	}
}

static void test_where_it_is_found(void **state)
{
	static const struct {
		const char *base, *path, *meant;
	} rows[] = {
	        {"", "/stream", "/stream"},
	        {"", "/render/stream", "/render/stream"},
	        {"/render", "/render/stream", "/stream"},
	        {"/render", "/render/stream/a/b", "/stream/a/b"},
	        {"/render", "/stream/a", "/stream/a"},
	        {"/render", "/render/streams/a", "/render/streams/a"},
	        {"/render", "/render/strea", "/render/strea"},
	        {"/render", "/render", "/render"},
	        {"/render", "/renderx/stream", "/renderx/stream"},
	        {"/render", "/render/v1/stream/a", "/render/v1/stream/a"},
	        {"/a/b", "/a/b/stream/x", "/stream/x"},
	};
	char location[RENDER_LOCATION_ROOM], base[32];
	struct settings settings = {.sessions_base_path = base};
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		strcpy(base, rows[i].base);
		struct span meant = render_session_meant(&settings, span_str(rows[i].path));
		assert_true(span_equal(meant, span_str(rows[i].meant)));
	}
	strcpy(base, "/a/b");
	assert_int_equal(render_session_location(&settings, "7", location), 13);
	assert_string_equal(location, "/a/b/stream/7");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_order),
	        cmocka_unit_test(test_where_it_is_found),
	        cmocka_unit_test(test_ignored_options),
	        cmocka_unit_test(test_revisions),
	        cmocka_unit_test(test_document_is_published_state),
	        cmocka_unit_test(test_bad_documents),
	        cmocka_unit_test(test_signals_and_end),
	        cmocka_unit_test(test_overdue),
	        cmocka_unit_test(test_activity_is_rounded),
	        cmocka_unit_test(test_marks),
	        cmocka_unit_test(test_events_read),
	        cmocka_unit_test(test_names),
	        cmocka_unit_test(test_owners),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
