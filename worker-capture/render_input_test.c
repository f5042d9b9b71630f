#include "worker-capture/render_input.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

struct row {
	const char *event;
	enum render_input_result result;
	const char *steps; /* method:params of each, "page", or the reason */
};

static const struct row rows[] = {
        {"{\"type\":\"interaction\",\"data\":{\"action\":\"click\",\"position\":{\"x\":10,\"y\":20."
         "5}}}",
         RENDER_INPUT_OK,
         "mouse:{\"type\":\"mousePressed\",\"x\":10.0,\"y\":20.5,\"button\":\"left\","
         "\"clickCount\":1} "
         "mouse:{\"type\":\"mouseReleased\",\"x\":10.0,\"y\":20.5,\"button\":\"left\","
         "\"clickCount\":1} "},
        {"{\"type\":\"interaction\",\"data\":{\"action\":\"mousedown\",\"button\":\"right\","
         "\"position\":{\"x\":0,\"y\":0}}}",
         RENDER_INPUT_OK,
         "mouse:{\"type\":\"mousePressed\",\"x\":0.0,\"y\":0.0,\"button\":\"right\",\"clickCount\":"
         "1} "},
        {"{\"type\":\"interaction\",\"data\":{\"action\":\"wheel\",\"deltaY\":-120,"
         "\"position\":{\"x\":0,\"y\":0}}}",
         RENDER_INPUT_OK,
         "mouse:{\"type\":\"mouseWheel\",\"x\":0.0,\"y\":0.0,\"button\":\"none\",\"clickCount\":0,"
         "\"deltaX\":0.0,\"deltaY\":-120.0} "},
        {"{\"type\":\"interaction\",\"data\":{\"action\":\"keypress\",\"key\":\"a\"}}",
         RENDER_INPUT_OK,
         "key:{\"type\":\"keyDown\",\"key\":\"a\",\"windowsVirtualKeyCode\":65,\"text\":\"a\"} "
         "key:{\"type\":\"keyUp\",\"key\":\"a\",\"windowsVirtualKeyCode\":65} "},
        {"{\"type\":\"interaction\",\"data\":{\"action\":\"keydown\",\"key\":\"Enter\"}}",
         RENDER_INPUT_OK,
         "key:{\"type\":\"keyDown\",\"key\":\"Enter\",\"windowsVirtualKeyCode\":13,\"text\":"
         "\"\\r\"} "},
        {"{\"type\":\"interaction\",\"data\":{\"action\":\"text\",\"text\":\"h\xc3\xa9\"}}",
         RENDER_INPUT_OK, "text:{\"text\":\"h\xc3\xa9\"} "},
        {"{\"type\":\"interaction\",\"data\":{\"action\":\"select\",\"entityId\":\"e1\"}}",
         RENDER_INPUT_OK, "page"},
        {"{\"type\":\"command\",\"data\":{\"command\":\"pause\",\"args\":[1]}}", RENDER_INPUT_OK,
         "page"},
        {"{\"type\":\"interaction\",\"data\":{\"action\":\"click\"}}", RENDER_INPUT_MALFORMED,
         "data.position is {x, y}"},
        {"{\"type\":\"interaction\",\"data\":{\"action\":\"click\",\"position\":{\"x\":640,\"y\":0}"
         "}}",
         RENDER_INPUT_UNSUITABLE, "data.position lies outside the picture"},
        {"{\"type\":\"interaction\",\"data\":{\"action\":\"click\",\"position\":{\"x\":-1,\"y\":0}}"
         "}",
         RENDER_INPUT_UNSUITABLE, "data.position lies outside the picture"},
        {"{\"type\":\"interaction\",\"data\":{\"action\":\"keypress\",\"key\":\"Hyper\"}}",
         RENDER_INPUT_UNSUITABLE, "data.key is no key that is known here"},
        {"{\"type\":\"interaction\",\"data\":{\"action\":\"keypress\"}}", RENDER_INPUT_MALFORMED,
         "data.key is the name of a key"},
        {"{\"type\":\"interaction\",\"data\":{}}", RENDER_INPUT_MALFORMED,
         "data.action is a string"},
        {"{\"type\":\"command\",\"data\":{}}", RENDER_INPUT_MALFORMED, "data.command is a string"},
        {"{\"type\":\"dance\",\"data\":{}}", RENDER_INPUT_MALFORMED,
         "type is interaction or command"},
        {"{\"type\":\"command\"}", RENDER_INPUT_MALFORMED, "an input event is {type, data}"},
        {"[]", RENDER_INPUT_MALFORMED, "an input event is {type, data}"},
};

static const char *method_name(enum devtools_method method)
{
	return method == DEVTOOLS_INPUT_MOUSE ? "mouse"
	       : method == DEVTOOLS_INPUT_KEY ? "key"
	                                      : "text";
}

static void test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		json_t *event = json_loads(rows[i].event, 0, NULL);
		struct render_input input;
		char reason[160], steps[1024] = "";
		size_t len = 0;
		assert_non_null(event);
		enum render_input_result result =
		        render_input_read(&input, event, 640, 360, reason);
		assert_int_equal(result, rows[i].result);
		for (size_t k = 0; k < input.count; k++) {
			char *text = json_dumps(input.steps[k].params, JSON_COMPACT);
			len += (size_t)snprintf(steps + len, sizeof steps - len, "%s:%s ",
			                        method_name(input.steps[k].method), text);
			free(text);
		}
		assert_string_equal(result != RENDER_INPUT_OK ? reason
		                    : input.for_page          ? "page"
		                                              : steps,
		                    rows[i].steps);
		render_input_finish(&input);
		json_decref(event);
	}
}

/* Two clicks, of which the second is counted as such. */
static void test_double_click(void **state)
{
	(void)state;
	json_t *event = json_loads("{\"type\":\"interaction\",\"data\":{\"action\":\"dblclick\","
	                           "\"position\":{\"x\":1,\"y\":1}}}",
	                           0, NULL);
	struct render_input input;
	char reason[160];
	assert_int_equal(render_input_read(&input, event, 640, 360, reason), RENDER_INPUT_OK);
	assert_int_equal(input.count, 4);
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(
		        json_integer_value(json_object_get(input.steps[i].params, "clickCount")),
		        i < 2 ? 1 : 2);
	render_input_finish(&input);
	json_decref(event);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_rows),
	        cmocka_unit_test(test_double_click),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
