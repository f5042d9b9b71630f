#include "worker-capture/output_target.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

static bool parse(const char *text, struct output_target *target)
{
	char reason[256] = "";
	bool ok = output_target_parse(target, span_str(text), reason);
	assert_int_equal(ok, *reason == '\0');
	assert_null(strstr(reason, "secret"));
	return ok;
}

static void each_kind_is_known(void **state)
{
	static const struct {
		const char *text;
		enum output_kind kind;
		const char *url, *shown;
	} cases[] = {
	        {"twitch=rtmp://live.example/app/secret", OUTPUT_RTMP,
	         "rtmp://live.example/app/secret", "rtmp://live.example/…"},
	        {"a-1=rtmps://live.example:443/app/secret?x", OUTPUT_RTMP,
	         "rtmps://live.example:443/app/secret?x", "rtmps://live.example:443/…"},
	        {"u=udp://@239.0.0.1:9", OUTPUT_MPEGTS, "udp://@239.0.0.1:9",
	         "udp://@239.0.0.1:9/…"},
	        {"s=srt://h:9?streamid=secret", OUTPUT_MPEGTS, "srt://h:9?streamid=secret",
	         "srt://h:9/…"},
	        {"h=hls:/srv/hls", OUTPUT_HLS, "/srv/hls", "hls:/srv/hls"},
	        {"f=file:/srv/x.mkv", OUTPUT_FILE, "/srv/x.mkv", "file:/srv/x.mkv"},
	};
	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct output_target target;
		char shown[256];
		assert_true(parse(cases[i].text, &target));
		assert_int_equal(target.kind, cases[i].kind);
		assert_string_equal(target.url, cases[i].url);
		output_target_public(&target, shown);
		assert_string_equal(shown, cases[i].shown);
	}
}

static void what_is_no_output_is_refused(void **state)
{
	static const char *const texts[] = {
	        "",
	        "rtmp://live.example/secret",
	        "=rtmp://x/secret",
	        "A=rtmp://x/secret",
	        "-a=rtmp://x/secret",
	        "a=http://x/secret",
	        "a=rtmp://",
	        "a=file:relative.mkv",
	        "a=file:/secret.exe",
	        "a=hls:/%secret",
	        "a=rtmp://x/sec ret",
	        "a=pipe:1",
	        "a=tee:secret",
	        "a=rtmp://u:secret@h/app/key",
	        "a=rtmps://secret@h/app/key",
	        "a=srt://u:secret@h:1",
	};
	struct output_target target;
	(void)state;
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
		assert_false(parse(texts[i], &target));
}

static bool has(const struct output_command *command, const char *argument)
{
	for (unsigned i = 0; i < command->count; i++)
		if (strcmp(command->argv[i], argument) == 0)
			return true;
	return false;
}

static void commands_take_the_rate_and_end_at_their_place(void **state)
{
	const struct output_quality quality = {.fps = 25, .kbps = 1234};
	struct output_target target;
	struct output_command command;
	(void)state;
	assert_true(parse("h=hls:/srv/hls", &target));
	output_command_init(&command, "/usr/bin/ffmpeg", "/ca", &target, "", &quality);
	assert_string_equal(command.argv[0], "/usr/bin/ffmpeg");
	assert_true(has(&command, "25") && has(&command, "1234k") && has(&command, "50"));
	assert_true(has(&command, "/srv/hls/%09d.ts"));
	assert_string_equal(command.argv[command.count - 1], "/srv/hls/index.m3u8");
	assert_null(command.argv[command.count]);
	assert_true(has(&command, "6"));
	output_command_finish(&command);
	/* Whoever sees it later has as much to see. */
	const struct output_quality late = {.fps = 25, .kbps = 1234, .late_ms = 15001};
	output_command_init(&command, "/usr/bin/ffmpeg", "/ca", &target, "", &late);
	assert_true(has(&command, "15") && !has(&command, "6"));
	output_command_finish(&command);
	assert_true(parse("f=file:/x.mp4", &target));
	output_command_init(&command, "/f", "/ca", &target, "", &quality);
	assert_true(has(&command, "frag_keyframe+empty_moov"));
	assert_string_equal(command.argv[command.count - 1], "file:/x.mp4");
	output_command_finish(&command);
}

static void sound_is_recorded_where_there_is_some(void **state)
{
	static const char *const each_kind[] = {"a=rtmps://h/app/key", "a=srt://h:1",
	                                        "a=hls:/srv/hls", "a=file:/x.mp4"};
	const struct output_quality silent = {.fps = 30, .kbps = 1}, heard = {30, 1, "unix:/s", 0};
	struct output_target target;
	struct output_command command;
	(void)state;
	for (size_t i = 0; i < sizeof each_kind / sizeof *each_kind; i++) {
		assert_true(parse(each_kind[i], &target));
		output_command_init(&command, "/f", "/ca", &target, "", &silent);
		assert_string_equal(command.argv[0], "/f");
		assert_true(has(&command, "lavfi") && !has(&command, "pulse"));
		output_command_finish(&command);
		output_command_init(&command, "/f", "/ca", &target, "", &heard);
		assert_string_equal(command.argv[1], "/f"); /* behind NAME=VALUE */
		assert_true(has(&command, "pulse") && has(&command, "unix:/s") &&
		            !has(&command, "lavfi"));
		output_command_finish(&command);
	}
}

static void stream_keys_are_in_no_command_line(void **state)
{
	static const struct {
		const char *text, *last, *preset;
	} cases[] = {
	        {"a=rtmp://h:1/app/secret", "rtmp://h:1/", "rtmp_app=app\nrtmp_playpath=secret\n"},
	        {"a=rtmps://h/app/secret?a=b/c", "rtmps://h/",
	         "rtmp_app=app\nrtmp_playpath=secret?a=b/c\n"},
	        {"a=rtmp://h/app/inst/secret", "rtmp://h/",
	         "rtmp_app=app/inst\nrtmp_playpath=secret\n"},
	        {"a=rtmp://h/app/mp4:x/secret", "rtmp://h/",
	         "rtmp_app=app\nrtmp_playpath=mp4:x/secret\n"},
	        {"a=rtmp://h/secret", "rtmp://h/", "rtmp_app=secret\n"},
	        {"a=rtmp://h/secret?x=1", "rtmp://h/", "rtmp_app=secret?x=1\n"},
	        {"a=rtmp://h/secret/", "rtmp://h/", "rtmp_app=secret\n"},
	        {"a=rtmp://h?secret", "rtmp://h/", "rtmp_app=secret\n"},
	        {"a=rtmp://h", "rtmp://h/", NULL},
	        {"a=rtmp://h/", "rtmp://h/", NULL},
	        {"a=udp://h:1", "udp://h:1", NULL},
	        {"a=srt://h:1", "srt://h:1", NULL},
	        {"a=srt://h:1?mode=caller", "srt://h:1?mode=caller", NULL},
	        {"a=srt://h:1?passphrase=secret&latency=9", "srt://h:1?latency=9",
	         "passphrase=secret\n"},
	        {"a=srt://h:1?latency=9&streamid=secret%2f%0a1+%2", "srt://h:1?latency=9",
	         "streamid=secret/%0a1 %2\n"},
	        {"a=srt://h:1?passphrase=se%63ret+&&streamid=", "srt://h:1",
	         "passphrase=se%63ret \nstreamid=\n"},
	};
	const struct output_quality quality = {.fps = 25, .kbps = 1234};
	struct output_target target;
	struct output_command command;
	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		assert_true(parse(cases[i].text, &target));
		output_command_init(&command, "/f", "/ca", &target, "", &quality);
		assert_string_equal(command.argv[command.count - 1], cases[i].last);
		for (unsigned n = 0; n < command.count; n++)
			assert_null(strstr(command.argv[n], "secret"));
		if (cases[i].preset == NULL)
			assert_null(command.preset);
		else
			assert_string_equal(command.preset, cases[i].preset);
		assert_int_equal(has(&command, "-fpre"), cases[i].preset != NULL);
		assert_int_equal(has(&command, "/ca"), strncmp(cases[i].text, "a=rtmps", 7) == 0);
		output_command_finish(&command);
	}
}

/* The address that was judged is the one that ffmpeg connects to; keys stay out of its command
 * line. */
static void a_name_is_replaced_by_the_address_that_was_judged(void **state)
{
	static const struct {
		const char *text, *address, *last, *preset;
	} cases[] = {
	        {"a=rtmp://h.x/app/secret", "1.2.3.4", "rtmp://1.2.3.4/",
	         "rtmp_app=app\nrtmp_playpath=secret\nrtmp_tcurl=rtmp://h.x:1935/app\n"},
	        {"a=rtmp://H.x:99/secret", "::1", "rtmp://[::1]:99/",
	         "rtmp_app=secret\nrtmp_tcurl=rtmp://h.x:99/secret\n"},
	        {"a=rtmp://h.x", "1.2.3.4", "rtmp://1.2.3.4/", "rtmp_tcurl=rtmp://h.x:1935/\n"},
	        {"a=rtmp://9.9.9.9/app/secret", "9.9.9.9", "rtmp://9.9.9.9/",
	         "rtmp_app=app\nrtmp_playpath=secret\n"},
	        {"a=rtmps://h.x/app/secret", "1.2.3.4", "rtmps://h.x/",
	         "rtmp_app=app\nrtmp_playpath=secret\n"},
	        {"a=srt://h.x:9?latency=1&passphrase=secret", "1.2.3.4",
	         "srt://1.2.3.4:9?latency=1", "passphrase=secret\n"},
	        {"a=udp://h.x:9?ttl=1", "fd00::1", "udp://[fd00::1]:9?ttl=1", NULL},
	        {"a=udp://@h.x:9", "239.0.0.1", "udp://@239.0.0.1:9", NULL},
	        {"a=srt://:9?mode=listener", "", "srt://:9?mode=listener", NULL},
	};
	const struct output_quality quality = {.fps = 25, .kbps = 1234};
	struct output_target target;
	struct output_command command;
	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		assert_true(parse(cases[i].text, &target));
		output_command_init(&command, "/f", "/ca", &target, cases[i].address, &quality);
		assert_string_equal(command.argv[command.count - 1], cases[i].last);
		for (unsigned n = 0; n < command.count; n++)
			assert_null(strstr(command.argv[n], "secret"));
		if (cases[i].preset == NULL)
			assert_null(command.preset);
		else
			assert_string_equal(command.preset, cases[i].preset);
		output_command_finish(&command);
	}
}

static void only_those_that_send_have_a_host(void **state)
{
	struct output_target target;
	struct address_host host;
	(void)state;
	assert_true(parse("a=rtmp://h.x/app", &target));
	assert_true(output_target_sends(&target) && output_target_host(&target, &host));
	assert_int_equal(host.port, 1935);
	assert_true(parse("a=udp://@239.0.0.1:9", &target));
	assert_true(output_target_host(&target, &host) && host.literal);
	assert_int_equal(host.port, 9);
	assert_true(parse("a=srt://:9?mode=listener", &target));
	assert_true(output_target_sends(&target) && !output_target_host(&target, &host));
	assert_true(parse("a=rtmp://0x7f.1/app", &target));
	assert_false(output_target_host(&target, &host));
	assert_true(parse("a=hls:/srv/hls", &target));
	assert_false(output_target_sends(&target) || output_target_host(&target, &host));
}

static void files_stay_below_their_directory(void **state)
{
	static const struct {
		const char *text, *dir;
		bool within;
	} cases[] = {
	        {"a=hls:/srv/v/x", "/srv/v", true},
	        {"a=hls:/srv/v/x", "/srv/v/", true},
	        {"a=file:/srv/v/x.ts", "/srv/v", true},
	        {"a=file:/srv/vx/x.ts", "/srv/v", false},
	        {"a=file:/srv/v/../x.ts", "/srv/v", false},
	        {"a=hls:/srv/v/..", "/srv/v", false},
	        {"a=hls:/srv/v", "/srv/v", false},
	        {"a=hls:/srv/v/", "/srv/v", false},
	        {"a=file:/x.ts", "", false},
	        {"a=rtmp://h/a/b", "", true},
	        {"a=file:/x.ts", "/", true},
	        {"a=file:/x.ts", "relative", false},
	};
	struct output_target target;
	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		assert_true(parse(cases[i].text, &target));
		assert_int_equal(output_target_within(&target, cases[i].dir), cases[i].within);
	}
}

static void lists_are_walked(void **state)
{
	const char *list = " a=1,, b=2 ,";
	struct span item;
	(void)state;
	assert_true(output_target_next(&list, &item));
	assert_true(span_equal(item, SPAN("a=1")));
	assert_true(output_target_next(&list, &item));
	assert_true(span_equal(item, SPAN("b=2")));
	assert_false(output_target_next(&list, &item));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(each_kind_is_known),
	        cmocka_unit_test(what_is_no_output_is_refused),
	        cmocka_unit_test(commands_take_the_rate_and_end_at_their_place),
	        cmocka_unit_test(sound_is_recorded_where_there_is_some),
	        cmocka_unit_test(stream_keys_are_in_no_command_line),
	        cmocka_unit_test(a_name_is_replaced_by_the_address_that_was_judged),
	        cmocka_unit_test(only_those_that_send_have_a_host),
	        cmocka_unit_test(files_stay_below_their_directory),
	        cmocka_unit_test(lists_are_walked),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
