#include "worker-capture/ice_servers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

static void what_is_read(void **state)
{
	static const struct {
		const char *text, *list, *hosts, *link;
	} rows[] = {
	        {"", "[]", "", ""},
	        {" , ", "[]", "", ""},
	        {"stun:stun.example", "[{\"urls\":\"stun:stun.example\"}]", "stun.example,",
	         "<stun:stun.example>; rel=\"ice-server\""},
	        {"stun:192.0.2.1:19302,turn:[2001:db8::1]:3478?transport=udp|me|s3cret",
	         "[{\"urls\":\"stun:192.0.2.1:19302\"},{\"urls\":\"turn:[2001:db8::1]:3478?"
	         "transport=udp\","
	         "\"username\":\"me\",\"credential\":\"s3cret\"}]",
	         "192.0.2.1,[2001:db8::1],",
	         "<stun:192.0.2.1:19302>; rel=\"ice-server\", "
	         "<turn:[2001:db8::1]:3478?transport=udp>; "
	         "rel=\"ice-server\"; username=\"me\"; credential=\"s3cret\"; "
	         "credential-type=\"password\""},
	        {"turn:t.example|a|b|c",
	         "[{\"urls\":\"turn:t.example\",\"username\":\"a\",\"credential\":\"b|c\"}]",
	         "t.example,",
	         "<turn:t.example>; rel=\"ice-server\"; username=\"a\"; credential=\"b|c\"; "
	         "credential-type=\"password\""},
	};
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct ice_servers servers;
		char reason[160] = "", link[ICE_LINK_ROOM];
		assert_true(ice_servers_read(&servers, rows[i].text, reason));
		char *list = json_dumps(servers.list, JSON_COMPACT | JSON_PRESERVE_ORDER);
		ice_servers_link(&servers, link);
		assert_string_equal(list, rows[i].list);
		assert_string_equal(servers.hosts, rows[i].hosts);
		assert_string_equal(link, rows[i].link);
		free(list);
		ice_servers_finish(&servers);
	}
}

static void what_is_refused(void **state)
{
	static const char *const rows[] = {
	        "stun.example",
	        "stun:",
	        "stun:a:",
	        "stun:a:x",
	        "stun:a:1234567",
	        "stun:[::1",
	        "stun:a?transport=udp",
	        "stun:a|hush|hush",
	        "turn:a",
	        "turn:a|hush",
	        "turn:a||hush",
	        "turn:a|hush|",
	        "turns:a|hush|hush",
	        "turn:a?transport=tcp|hush|hush",
	        "turn:a|hu\"sh|hush",
	        "turn:a|hush|hu\\sh",
	        "stun:<a>",
	        "https://a",
	        "stun:1 stun:2 stun:3 stun:4 stun:5 stun:6 stun:7 stun:8 stun:9",
	};
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct ice_servers servers;
		char reason[160] = "", link[ICE_LINK_ROOM];
		assert_false(ice_servers_read(&servers, rows[i], reason));
		assert_true(*reason != '\0' && strstr(reason, "hush") == NULL);
		ice_servers_link(&servers, link);
		assert_string_equal(link, "");
		assert_string_equal(servers.hosts, "");
		ice_servers_finish(&servers);
	}
}

/* The longest setting of all fits into a header. */
static void the_longest_fits(void **state)
{
	char text[1025] = "", reason[160], link[ICE_LINK_ROOM];
	struct ice_servers servers;
	(void)state;
	for (int i = 0; i < 8; i++)
		sprintf(text + strlen(text), "turn:h%d|u|%0*d ", i, 116, 0);
	assert_in_range(strlen(text), 1000, 1024);
	assert_true(ice_servers_read(&servers, text, reason));
	ice_servers_link(&servers, link);
	ice_servers_finish(&servers);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(what_is_read),
	        cmocka_unit_test(what_is_refused),
	        cmocka_unit_test(the_longest_fits),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
