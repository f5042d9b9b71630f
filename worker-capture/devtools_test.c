/* The client at one end of two socket pairs, the test at the other. */
#include "worker-capture/devtools.h"
#include "common/base/base64.h"
#include "worker-capture/devtools_wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

enum { MESSAGE_MAX = 1 << 20, SOON_MS = 20, NEVER_MS = 600000 };

struct wire {
	uv_loop_t loop;
	struct devtools *devtools;
	int commands, messages; /* our ends */
	unsigned replies, events, frames, gone;
	enum devtools_outcome outcome;
	char reason[128], session[80];
	int64_t value, ack;
	uint32_t width;
};

static void on_event(void *arg, enum devtools_event event, const char *session,
                     const json_t *params)
{
	struct wire *wire = arg;
	wire->events++;
	assert_int_equal(event, DEVTOOLS_EVENT_TARGET_CRASHED);
	snprintf(wire->session, sizeof wire->session, "%s", session);
	wire->value = json_integer_value(json_object_get(params, "n"));
}

static void on_picture(void *arg, const char *session, struct picture *picture, int64_t ack)
{
	struct wire *wire = arg;
	wire->frames++;
	snprintf(wire->session, sizeof wire->session, "%s", session);
	wire->ack = ack;
	wire->width = picture->width;
	picture_unref(&picture);
}

static void on_gone(void *arg, const char *reason)
{
	struct wire *wire = arg;
	wire->gone++;
	snprintf(wire->reason, sizeof wire->reason, "%s", reason);
}

static void on_reply(void *arg, enum devtools_outcome outcome, const json_t *result,
                     const char *reason)
{
	struct wire *wire = arg;
	wire->replies++;
	wire->outcome = outcome;
	wire->value = json_integer_value(json_object_get(result, "n"));
	snprintf(wire->reason, sizeof wire->reason, "%s", reason);
}

static int set_up(void **state)
{
	struct wire *wire = calloc(1, sizeof *wire);
	int commands[2], messages[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, commands), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, messages), 0);
	wire->commands = commands[1];
	wire->messages = messages[1];
	uv_loop_init(&wire->loop);
	const struct devtools_events events = {on_event, on_picture, on_gone, wire};
	wire->devtools =
	        devtools_create(&wire->loop, commands[0], messages[0], MESSAGE_MAX, &events);
	*state = wire;
	return 0;
}

static int tear_down(void **state)
{
	struct wire *wire = *state;
	devtools_destroy(&wire->devtools);
	uv_run(&wire->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&wire->loop), 0);
	close(wire->commands);
	if (wire->messages >= 0)
		close(wire->messages);
	free(wire);
	return 0;
}

static void say(struct wire *wire, const char *text, size_t len)
{
	while (len > 0) {
		ssize_t n = send(wire->messages, text, len, MSG_DONTWAIT);
		if (n > 0) {
			text += n;
			len -= (size_t)n;
		}
		uv_run(&wire->loop, UV_RUN_NOWAIT);
	}
	uv_run(&wire->loop, UV_RUN_NOWAIT);
}

#define SAY(wire, text) say(wire, text, sizeof text) /* with its NUL */

/* Not UV_RUN_ONCE: what its timers do first does not keep it from waiting for the next one. */
static void run_until(struct wire *wire, const unsigned *counter, unsigned least)
{
	while (*counter < least)
		uv_run(&wire->loop, UV_RUN_NOWAIT);
}

/* The next command that was sent. */
static json_t *heard(struct wire *wire)
{
	char text[4096];
	size_t len = 0;
	do
		assert_int_equal(read(wire->commands, text + len, 1), 1);
	while (text[len++] != '\0' && len < sizeof text);
	json_t *command = json_loads(text, 0, NULL);
	assert_non_null(command);
	return command;
}

static void commands_are_sent_and_answered(void **state)
{
	struct wire *wire = *state;
	devtools_command(wire->devtools, DEVTOOLS_PAGE_NAVIGATE, "S1",
	                 json_pack("{s:s}", "url", "x"), NEVER_MS, on_reply, wire);
	json_t *command = heard(wire);
	assert_string_equal(json_string_value(json_object_get(command, "method")), "Page.navigate");
	assert_string_equal(json_string_value(json_object_get(command, "sessionId")), "S1");
	assert_int_equal(json_integer_value(json_object_get(command, "id")), 1);
	json_decref(command);
	SAY(wire, "{\"id\":99,\"result\":{\"n\":1}}"); /* nobody's */
	assert_int_equal(wire->replies, 0);
	SAY(wire, "{\"id\":1,\"result\":{\"n\":7},\"sessionId\":\"S1\"}");
	assert_int_equal(wire->replies, 1);
	assert_int_equal(wire->outcome, DEVTOOLS_OK);
	assert_int_equal(wire->value, 7);
	SAY(wire, "{\"id\":1,\"result\":{}}"); /* once is enough */
	assert_int_equal(wire->replies, 1);
}

static void errors_and_time_are_answers_too(void **state)
{
	struct wire *wire = *state;
	devtools_command(wire->devtools, DEVTOOLS_PAGE_ENABLE, "", NULL, NEVER_MS, on_reply, wire);
	SAY(wire, "{\"id\":1,\"error\":{\"code\":-32000,\"message\":\"no\"}}");
	assert_int_equal(wire->outcome, DEVTOOLS_REFUSED);
	assert_string_equal(wire->reason, "no");
	devtools_command(wire->devtools, DEVTOOLS_PAGE_ENABLE, "", NULL, SOON_MS, on_reply, wire);
	run_until(wire, &wire->replies, 2);
	assert_int_equal(wire->outcome, DEVTOOLS_TIMEOUT);
	SAY(wire, "{\"id\":2,\"result\":{}}");
	assert_int_equal(wire->replies, 2);
}

static void a_forgotten_session_is_gone(void **state)
{
	struct wire *wire = *state;
	devtools_command(wire->devtools, DEVTOOLS_PAGE_ENABLE, "S1", NULL, NEVER_MS, on_reply,
	                 wire);
	devtools_command(wire->devtools, DEVTOOLS_PAGE_ENABLE, "S2", NULL, NEVER_MS, on_reply,
	                 wire);
	devtools_forget(wire->devtools, "S1");
	assert_int_equal(wire->replies, 0); /* not from within */
	run_until(wire, &wire->replies, 1);
	assert_int_equal(wire->outcome, DEVTOOLS_GONE);
	SAY(wire, "{\"id\":2,\"result\":{}}");
	assert_int_equal(wire->replies, 2);
}

static void too_many_calls_are_refused(void **state)
{
	struct wire *wire = *state;
	for (unsigned i = 0; i < DEVTOOLS_COMMANDS_MAX; i++)
		devtools_command(wire->devtools, DEVTOOLS_PAGE_ENABLE, "", NULL, NEVER_MS, NULL,
		                 NULL);
	devtools_command(wire->devtools, DEVTOOLS_PAGE_ENABLE, "", NULL, NEVER_MS, on_reply, wire);
	run_until(wire, &wire->replies, 1);
	assert_int_equal(wire->outcome, DEVTOOLS_REFUSED);
}

static void the_end_answers_everybody(void **state)
{
	struct wire *wire = *state;
	devtools_command(wire->devtools, DEVTOOLS_PAGE_ENABLE, "", NULL, NEVER_MS, on_reply, wire);
	close(wire->messages);
	wire->messages = -1;
	run_until(wire, &wire->gone, 1);
	assert_int_equal(wire->replies, 1);
	assert_int_equal(wire->outcome, DEVTOOLS_GONE);
	devtools_command(wire->devtools, DEVTOOLS_PAGE_ENABLE, "", NULL, NEVER_MS, on_reply, wire);
	run_until(wire, &wire->replies, 2);
	assert_int_equal(wire->outcome, DEVTOOLS_GONE);
	assert_int_equal(wire->gone, 1);
}

static void a_message_beyond_the_limit_ends_it(void **state)
{
	struct wire *wire = *state;
	char *long_text = malloc(MESSAGE_MAX + 1);
	memset(long_text, 'x', MESSAGE_MAX + 1);
	say(wire, long_text, MESSAGE_MAX + 1);
	free(long_text);
	run_until(wire, &wire->gone, 1);
	assert_non_null(strstr(wire->reason, "limit"));
}

static void events_come_in_any_cut(void **state)
{
	static const char text[] =
	        "{\"method\":\"Target.targetCrashed\",\"params\":{\"n\":5},\"sessionId\":\"S\"}"
	        "\0{\"method\":\"Console.noise\",\"params\":{}}\0rubbish\0"
	        "{\"method\":\"Target.targetCrashed\",\"params\":{\"n\":6}}";
	struct wire *wire = *state;
	for (size_t cut = 1; cut < sizeof text; cut++) {
		wire->events = 0;
		say(wire, text, cut);
		say(wire, text + cut, sizeof text - cut);
		run_until(wire, &wire->events, 2);
		assert_int_equal(wire->value, 6);
		assert_string_equal(wire->session, "");
	}
	assert_int_equal(wire->gone, 0);
}

/* A JPEG header of 1280 x 720, then `more` bytes. */
static char *frame_message(size_t more, size_t *len)
{
	static const uint8_t header[] = {0xff, 0xd8, 0xff, 0xc0, 0, 11,   8, 2,
	                                 0xd0, 5,    0,    1,    1, 0x11, 0};
	uint8_t *jpeg = calloc(1, sizeof header + more);
	memcpy(jpeg, header, sizeof header);
	char *data = base64_text(span_of(jpeg, sizeof header + more)), *text;
	int n = asprintf(
	        &text,
	        "{\"method\":\"Page.screencastFrame\",\"params\":{\"data\":\"%s\",\"metadata\":"
	        "{\"timestamp\":12.5},\"sessionId\":42},\"sessionId\":\"PAGE\"}",
	        data);
	free(jpeg);
	free(data);
	*len = (size_t)n + 1;
	return text;
}

static void frames_arrive_decoded(void **state)
{
	struct wire *wire = *state;
	size_t len;
	char *text = frame_message(300000, &len);
	say(wire, text, len);
	say(wire, text, len);
	free(text);
	run_until(wire, &wire->frames, 2);
	assert_string_equal(wire->session, "PAGE");
	assert_int_equal(wire->ack, 42);
	assert_int_equal(wire->width, 1280);
}

static void frames_that_are_none_are_bad(void **state)
{
	static const char *const texts[] = {
	        "{\"method\":\"Page.screencastFrame\"}",
	        "{\"method\":\"Page.screencastFrame\",\"params\":{\"data\":\"",
	        "{\"method\":\"Page.screencastFrame\",\"params\":{\"data\":\"AAAA\"}}",
	        "{\"method\":\"Page.screencastFrame\",\"params\":{\"data\":\"!!!!\",\"sessionId\":"
	        "1}}",
	        "{\"method\":\"Page.screencastFrame\",\"params\":{\"data\":\"/9j/"
	        "4A==\",\"sessionId\":1}}",
	};
	(void)state;
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		struct devtools_message m;
		devtools_message_parse(span_str(texts[i]), &m);
		assert_int_equal(m.kind, DEVTOOLS_KIND_BAD);
		devtools_message_finish(&m);
	}
}

static void every_cut_of_a_frame_is_bounded(void **state)
{
	size_t len;
	char *text = frame_message(30, &len);
	(void)state;
	for (size_t cut = 0; cut + 1 < len; cut++) {
		struct devtools_message m;
		char *copy = malloc(cut != 0 ? cut : 1);
		memcpy(copy, text, cut);
		devtools_message_parse(span_of(copy, cut), &m);
		assert_int_not_equal(m.kind, DEVTOOLS_KIND_FRAME);
		devtools_message_finish(&m);
		free(copy);
	}
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test_setup_teardown(commands_are_sent_and_answered, set_up, tear_down),
	        cmocka_unit_test_setup_teardown(errors_and_time_are_answers_too, set_up, tear_down),
	        cmocka_unit_test_setup_teardown(a_forgotten_session_is_gone, set_up, tear_down),
	        cmocka_unit_test_setup_teardown(too_many_calls_are_refused, set_up, tear_down),
	        cmocka_unit_test_setup_teardown(the_end_answers_everybody, set_up, tear_down),
	        cmocka_unit_test_setup_teardown(a_message_beyond_the_limit_ends_it, set_up,
	                                        tear_down),
	        cmocka_unit_test_setup_teardown(events_come_in_any_cut, set_up, tear_down),
	        cmocka_unit_test_setup_teardown(frames_arrive_decoded, set_up, tear_down),
	        cmocka_unit_test(frames_that_are_none_are_bad),
	        cmocka_unit_test(every_cut_of_a_frame_is_bounded),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
