#include "common/base/address.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static struct sockaddr_storage address_of(const char *text)
{
	struct sockaddr_storage storage = {0};
	struct sockaddr_in *v4 = (struct sockaddr_in *)&storage;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&storage;
	if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
		storage.ss_family = AF_INET;
	} else {
		assert_int_equal(inet_pton(AF_INET6, text, &v6->sin6_addr), 1);
		storage.ss_family = AF_INET6;
	}
	return storage;
}

static void each_address_has_its_kind(void **state)
{
	static const struct {
		const char *text;
		enum address_kind kind;
	} rows[] = {
	        {"93.184.216.34", ADDRESS_PUBLIC},
	        {"1.1.1.1", ADDRESS_PUBLIC},
	        {"192.0.66.2", ADDRESS_PUBLIC},
	        {"172.32.0.1", ADDRESS_PUBLIC},
	        {"100.128.0.1", ADDRESS_PUBLIC},
	        {"223.255.255.255", ADDRESS_PUBLIC},
	        {"127.0.0.1", ADDRESS_LOOPBACK},
	        {"127.255.0.9", ADDRESS_LOOPBACK},
	        {"0.0.0.0", ADDRESS_PRIVATE},
	        {"0.1.2.3", ADDRESS_PRIVATE},
	        {"10.0.0.1", ADDRESS_PRIVATE},
	        {"100.64.0.1", ADDRESS_PRIVATE},
	        {"172.16.0.1", ADDRESS_PRIVATE},
	        {"172.31.255.255", ADDRESS_PRIVATE},
	        {"192.168.1.1", ADDRESS_PRIVATE},
	        {"192.0.0.1", ADDRESS_PRIVATE},
	        {"198.19.0.1", ADDRESS_PRIVATE},
	        {"224.0.0.1", ADDRESS_PRIVATE},
	        {"239.1.1.1", ADDRESS_PRIVATE},
	        {"240.0.0.1", ADDRESS_PRIVATE},
	        {"255.255.255.255", ADDRESS_PRIVATE},
	        {"203.0.113.1", ADDRESS_PRIVATE},
	        {"169.254.169.254", ADDRESS_METADATA},
	        {"169.254.0.1", ADDRESS_METADATA},
	        {"100.100.100.200", ADDRESS_METADATA},
	        {"168.63.129.16", ADDRESS_METADATA},
	        {"192.0.0.192", ADDRESS_METADATA},
	        {"2606:2800:220:1::1", ADDRESS_PUBLIC},
	        {"2a00::1", ADDRESS_PUBLIC},
	        {"::1", ADDRESS_LOOPBACK},
	        {"::", ADDRESS_PRIVATE},
	        {"fd12::1", ADDRESS_PRIVATE},
	        {"fc00::1", ADDRESS_PRIVATE},
	        {"fec0::1", ADDRESS_PRIVATE},
	        {"ff02::1", ADDRESS_PRIVATE},
	        {"100::1", ADDRESS_PRIVATE},
	        {"4000::1", ADDRESS_PRIVATE},
	        {"2001:db8::1", ADDRESS_PRIVATE},
	        {"2001:0:4136:e378:8000:63bf:3fff:fdd2", ADDRESS_PRIVATE}, /* Teredo */
	        {"fe80::1", ADDRESS_METADATA},
	        {"febf::1", ADDRESS_METADATA},
	        {"fd00:ec2::254", ADDRESS_METADATA},
	        {"fd20:ce::254", ADDRESS_METADATA},
	        /* An IPv4 address in another dress is what it leads to. */
	        {"::ffff:127.0.0.1", ADDRESS_LOOPBACK},
	        {"::ffff:10.0.0.1", ADDRESS_PRIVATE},
	        {"::ffff:169.254.169.254", ADDRESS_METADATA},
	        {"::ffff:1.1.1.1", ADDRESS_PUBLIC},
	        {"::127.0.0.1", ADDRESS_LOOPBACK},
	        {"::10.0.0.1", ADDRESS_PRIVATE},
	        {"::ffff:0:10.0.0.1", ADDRESS_PRIVATE},
	        {"::ffff:0:169.254.1.1", ADDRESS_METADATA},
	        {"64:ff9b::10.0.0.1", ADDRESS_PRIVATE},
	        {"64:ff9b::127.0.0.1", ADDRESS_PRIVATE},
	        {"64:ff9b::a9fe:a9fe", ADDRESS_METADATA},
	        {"64:ff9b::1.1.1.1", ADDRESS_PUBLIC},
	        {"64:ff9b:1::1.1.1.1", ADDRESS_PRIVATE},
	        {"2002:a00:1::", ADDRESS_PRIVATE},
	        {"2002:7f00:1::", ADDRESS_PRIVATE},
	        {"2002:a9fe:a9fe::", ADDRESS_METADATA},
	        {"2002:101:101::1", ADDRESS_PUBLIC},
	        {"2a00::5efe:10.0.0.1", ADDRESS_PRIVATE},
	        {"2a00::200:5efe:169.254.169.254", ADDRESS_METADATA},
	};
	struct sockaddr other = {.sa_family = AF_UNIX};
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct sockaddr_storage address = address_of(rows[i].text);
		if (address_kind((struct sockaddr *)&address) != rows[i].kind)
			fail_msg("%s is %d", rows[i].text,
			         (int)address_kind((struct sockaddr *)&address));
	}
	assert_int_equal(address_kind(&other), ADDRESS_OTHER);
	assert_false(address_allowed(REACH_ANY, &other));
}

static enum address_reach reach(const char *host, const char *open, bool loopback, bool own)
{
	const struct address_fence fence = {.open = open, .loopback = loopback, .own = own};
	struct address_host parsed;
	assert_true(address_parse_host(span_str(host), &parsed));
	return address_reach(&fence, &parsed);
}

/* allow_private: HOST:PORT opens that port and no other of the host. */
static void a_list_with_a_port_opens_that_port_alone(void **state)
{
	(void)state;
	assert_int_equal(reach("a.lan:80", "a.lan:80", false, false), REACH_PRIVATE);
	assert_int_equal(reach("a.lan:81", "a.lan:80", false, false), REACH_PUBLIC);
	assert_int_equal(reach("a.lan", "a.lan:80", false, false), REACH_PUBLIC);
	assert_int_equal(reach("127.0.0.1:22", "127.0.0.1:80", false, false), REACH_PUBLIC);
	assert_int_equal(reach("[::1]:80", "[0:0::1]:80", false, false), REACH_ANY);
	assert_int_equal(reach("[::1]:81", "[::1]:80", false, false), REACH_PUBLIC);
	assert_int_equal(reach("a.lan:81", "b.lan, A.lan", false, false), REACH_PRIVATE);
	assert_int_equal(reach("b.a.lan:81", "a.lan", false, false), REACH_PUBLIC);
}

static void fences_open_step_by_step(void **state)
{
	(void)state;
	assert_int_equal(reach("a.lan", NULL, false, false), REACH_PUBLIC);
	assert_int_equal(reach("a.lan", NULL, true, false), REACH_LOOPBACK);
	assert_int_equal(reach("a.lan", "*", false, false), REACH_PRIVATE);
	assert_int_equal(reach("a.lan", "", false, true), REACH_PRIVATE);
	assert_int_equal(reach("169.254.169.254", "*", false, false), REACH_PRIVATE);
	assert_int_equal(reach("169.254.169.254", "169.254.169.254", false, false), REACH_ANY);
	assert_int_equal(address_reach_of_own("http://10.0.0.1/x"), REACH_ANY);
	assert_int_equal(address_reach_of_own("https://a.lan/"), REACH_PRIVATE);
	assert_int_equal(address_reach_of_own("https://me:it@a.lan/"), REACH_PRIVATE);
}

/* By row: the address; by column: REACH_PUBLIC, LOOPBACK, PRIVATE, ANY. */
static void what_is_reached_depends_on_the_address(void **state)
{
	static const struct {
		const char *text;
		bool allowed[4];
	} rows[] = {
	        {"1.1.1.1", {true, true, true, true}},
	        {"127.0.0.1", {false, true, true, true}},
	        {"::ffff:127.0.0.1", {false, true, true, true}},
	        {"64:ff9b::7f00:1", {false, false, true, true}},
	        {"0.0.0.0", {false, false, true, true}},
	        {"10.0.0.1", {false, false, true, true}},
	        {"169.254.169.254", {false, false, false, true}},
	        {"::ffff:169.254.169.254", {false, false, false, true}},
	        {"fe80::1", {false, false, false, true}},
	};
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct sockaddr_storage address = address_of(rows[i].text);
		for (size_t n = 0; n < 4; n++)
			if (address_allowed((enum address_reach)n, (struct sockaddr *)&address) !=
			    rows[i].allowed[n])
				fail_msg("%s by %zu", rows[i].text, n);
	}
}

static bool host_allowed(const char *host, enum address_reach by)
{
	struct address_host parsed;
	assert_true(address_parse_host(span_str(host), &parsed));
	return address_host_allowed(by, &parsed);
}

static void some_hosts_are_judged_before_they_are_looked_up(void **state)
{
	(void)state;
	assert_false(host_allowed("10.0.0.1", REACH_PUBLIC));
	assert_false(host_allowed("[::ffff:7f00:1]:80", REACH_PUBLIC));
	assert_true(host_allowed("[2a00::1]", REACH_PUBLIC));
	assert_false(host_allowed("LOCALHOST:80", REACH_PUBLIC));
	assert_false(host_allowed("x.localhost", REACH_PUBLIC));
	assert_false(host_allowed("metadata.google.internal", REACH_PRIVATE));
	assert_true(host_allowed("localhost", REACH_LOOPBACK));
	assert_true(host_allowed("notlocalhost", REACH_PUBLIC));
	assert_true(host_allowed("anything.lan", REACH_PUBLIC));
}

static void urls_are_taken_apart(void **state)
{
	struct address_host url;
	(void)state;
	assert_true(address_parse_url(SPAN("https://Arena.Example/x?y#z"), &url));
	assert_string_equal(url.name, "arena.example");
	assert_int_equal(url.port, 443);
	assert_true(address_parse_url(SPAN("http://127.0.0.1:8080"), &url));
	assert_true(url.literal);
	assert_int_equal(url.port, 8080);
	assert_true(address_parse_url(SPAN("http://[2001:DB8::1]:81/"), &url));
	assert_string_equal(url.name, "2001:db8::1");
	assert_true(url.ipv6);
	assert_int_equal(url.port, 81);
	assert_true(address_parse_url(SPAN("http://a-b_c.d?q"), &url));
	assert_int_equal(url.port, 80);
}

static void what_is_no_plain_url_is_refused(void **state)
{
	static const char *const urls[] = {
	        "",
	        "http://",
	        "https:///x",
	        "ftp://a.b/",
	        "file:///etc/passwd",
	        "data:text/html,x",
	        "chrome://gpu",
	        "javascript:1",
	        "http//a",
	        "http://user@a.b/",
	        "http://u:p@a.b/",
	        "http://a.b:0/",
	        "http://a.b:65536/",
	        "http://a.b:8x/",
	        "http://a.b:/\\",
	        "http://a..b/",
	        "http://.a/",
	        "http://a b/",
	        "http://a\\b/",
	        "http://a\tb/",
	        "http://0x7f.1/",
	        "http://2130706433/",
	        "http://127.1/",
	        "http://1.2.3.4.5/",
	        "http://[::1/",
	        "http://::1/",
	        "http://[::1]x/",
	        "http://[zz]/",
	        "http://a.b%2ec/",
	        "http://a.b,c/",
	        "http://localhost./",
	};
	struct address_host url;
	(void)state;
	for (size_t i = 0; i < sizeof urls / sizeof *urls; i++)
		if (address_parse_url(span_str(urls[i]), &url))
			fail_msg("%s was taken", urls[i]);
}

static void lists_say_what_is_none(void **state)
{
	struct span bad;
	(void)state;
	assert_true(address_list_fits("", &bad));
	assert_true(address_list_fits(" *, a.lan,10.0.0.1:80 ,[::1],[::1]:5", &bad));
	assert_false(address_list_fits("a.lan,10.0.0.0/8", &bad));
	assert_true(span_equal(bad, SPAN("10.0.0.0/8")));
	assert_false(address_list_fits("http://a.lan", &bad));
}

static void of_a_url_that_is_a_secret_scheme_host_and_an_id_are_shown(void **state)
{
	static const struct {
		const char *url, *shown; /* before the id */
	} rows[] = {
	        {"https://example.org/hush?hush", "https://example.org/#"},
	        {"https://EXAMPLE.org?hush", "https://example.org/#"},
	        {"https://example.org:443/hush", "https://example.org/#"},
	        {"https://example.org:8443/hush", "https://example.org:8443/#"},
	        {"http://example.org:80#hush", "http://example.org/#"},
	        {"http://127.0.0.1:9/hush/@x", "http://127.0.0.1:9/#"},
	        {"http://[::1]:9/hush", "http://[::1]:9/#"},
	        {"https://hush@example.org/", "https://example.org/#"},
	        {"https://hush:hush@hush@example.org:1/hush", "https://example.org:1/#"},
	        {"https://hush:hush/@example.org/", "#"},
	        {"https://example.org\\@hush/", "https://example.org/#"},
	        {"https://example.org:hush/", "#"},
	        {"ftp://hush/", "#"},
	        {"hush", "#"},
	        {"", "#"},
	};
	char out[ADDRESS_URL_SHOWN_ROOM], again[ADDRESS_URL_SHOWN_ROOM];
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		size_t len = strlen(rows[i].shown);
		address_url_shown(rows[i].url, out);
		address_url_shown(rows[i].url, again);
		assert_string_equal(out, again);
		assert_memory_equal(out, rows[i].shown, len);
		assert_int_equal(strlen(out), len + 8);
		assert_int_equal(strspn(out + len, "0123456789abcdef"), 8);
		assert_null(strstr(out, "hush"));
	}
	address_url_shown("https://example.org/a", out);
	address_url_shown("https://example.org/b", again);
	assert_string_not_equal(out, again);
}

static void the_longest_host_has_room(void **state)
{
	char url[8 + ADDRESS_NAME_MAX + 16] = "https://", out[ADDRESS_URL_SHOWN_ROOM];
	(void)state;
	for (size_t i = 0; i < ADDRESS_NAME_MAX; i++)
		url[8 + i] = i % 50 == 49 ? '.' : 'a';
	memcpy(url + 8 + ADDRESS_NAME_MAX, ":65535/x", 9);
	address_url_shown(url, out);
	assert_int_equal(strlen(out), 8 + ADDRESS_NAME_MAX + 6 + 2 + 8);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(each_address_has_its_kind),
	        cmocka_unit_test(a_list_with_a_port_opens_that_port_alone),
	        cmocka_unit_test(fences_open_step_by_step),
	        cmocka_unit_test(what_is_reached_depends_on_the_address),
	        cmocka_unit_test(some_hosts_are_judged_before_they_are_looked_up),
	        cmocka_unit_test(urls_are_taken_apart),
	        cmocka_unit_test(what_is_no_plain_url_is_refused),
	        cmocka_unit_test(lists_say_what_is_none),
	        cmocka_unit_test(of_a_url_that_is_a_secret_scheme_host_and_an_id_are_shown),
	        cmocka_unit_test(the_longest_host_has_room),
	};
	return cmocka_run_group_tests_name("address", tests, NULL, NULL);
}
