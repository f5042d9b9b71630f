#include "worker-capture/egress.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static void only_listed_hosts_and_ports_are_allowed(void **state)
{
	struct egress egress;
	char reason[EGRESS_REASON_MAX];
	(void)state;
	assert_true(egress_init(&egress, "https://arena.example/live#token",
	                        "cdn.example, api.example:8443", "[2606:4700::1]:443", "", reason));
	static const struct {
		const char *url;
		bool allowed;
	} cases[] = {
	        {"https://arena.example/other", true},  {"http://arena.example/", false},
	        {"https://arena.example:8443/", false}, {"https://sub.arena.example/", false},
	        {"http://cdn.example/", true},          {"https://cdn.example/", true},
	        {"https://cdn.example:444/", false},    {"https://api.example:8443/", true},
	        {"https://api.example/", false},        {"https://[2606:4700::1]/", true},
	        {"https://arena.example.evil/", false}, {"about:blank", false},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		assert_int_equal(egress_allows(&egress, span_str(cases[i].url)), cases[i].allowed);
}

static void bad_lists_say_what_is_wrong(void **state)
{
	struct egress egress;
	char reason[EGRESS_REASON_MAX] = "";
	(void)state;
	assert_false(egress_init(&egress, "https://a.example/", "http://x", "", "", reason));
	assert_non_null(strstr(reason, "'http://x' is no HOST"));
	assert_false(egress_init(&egress, "file:///x", "", "", "", reason));
	assert_non_null(strstr(reason, "http or https"));
	char many[EGRESS_HOSTS_MAX * 8 + 8] = "";
	for (unsigned i = 0; i < EGRESS_HOSTS_MAX; i++)
		snprintf(many + strlen(many), sizeof many - strlen(many), "h%u.x,", i);
	assert_false(egress_init(&egress, "https://a.example/", many, "", "", reason));
	assert_non_null(strstr(reason, "more than"));
}

static void private_literals_need_their_word(void **state)
{
	static const struct {
		const char *url, *open;
		bool allowed;
	} cases[] = {
	        {"http://127.0.0.1:80/", "", false},
	        {"http://127.0.0.1/", "127.0.0.1", true},
	        {"http://127.0.0.1/", "*", true},
	        {"http://127.0.0.1/", "127.0.0.2", false},
	        {"http://10.1.2.3/", "", false},
	        {"http://192.168.1.1/", "*", true},
	        {"http://169.254.169.254/", "*", false},
	        {"http://169.254.169.254/", "", false},
	        {"http://169.254.169.254/", "169.254.169.254", true},
	        {"http://[::1]/", "", false},
	        {"http://[::1]/", "[::1]", true},
	        {"http://[fe80::1]/", "*", false},
	        {"http://[fd00:ec2::254]/", "*", false},
	        {"http://[::ffff:127.0.0.1]/", "", false},
	        {"http://[::ffff:169.254.169.254]/", "*", false},
	        {"http://127.0.0.1:22/", "127.0.0.1:80", false},
	        {"http://127.0.0.1:22/", "127.0.0.1:22", true},
	        {"http://[::1]:22/", "[::1]:80", false},
	        {"http://8.8.8.8/", "", true},
	        {"http://0.0.0.0/", "", false},
	};
	struct egress egress;
	char reason[EGRESS_REASON_MAX];
	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		if (egress_init(&egress, cases[i].url, "", "", cases[i].open, reason) !=
		    cases[i].allowed)
			fail_msg("%s with '%s'", cases[i].url, cases[i].open);
}

static bool pin(const char *name, const char *open, const char *first, const char *second,
                struct egress *egress)
{
	char url[64], reason[EGRESS_REASON_MAX];
	struct sockaddr_in addresses[2] = {{.sin_family = AF_INET}, {.sin_family = AF_INET}};
	struct addrinfo found[2] = {
	        {.ai_family = AF_INET,
	         .ai_addr = (struct sockaddr *)&addresses[0],
	         .ai_next = &found[1]},
	        {.ai_family = AF_INET, .ai_addr = (struct sockaddr *)&addresses[1]}};
	snprintf(url, sizeof url, "https://%s/", name);
	assert_true(egress_init(egress, url, "", "", open, reason));
	inet_pton(AF_INET, first, &addresses[0].sin_addr);
	inet_pton(AF_INET, second, &addresses[1].sin_addr);
	return egress_pin(egress, name, found, reason);
}

static void names_are_judged_by_where_they_lead(void **state)
{
	struct egress egress;
	(void)state;
	assert_true(pin("a.example", "", "10.0.0.1", "93.184.216.34", &egress));
	assert_string_equal(egress.hosts[0].address, "93.184.216.34");
	assert_false(pin("a.example", "", "10.0.0.1", "127.0.0.1", &egress));
	assert_true(pin("a.example", "a.example", "10.0.0.1", "127.0.0.1", &egress));
	assert_string_equal(egress.hosts[0].address, "10.0.0.1");
	/* A name that leads to the metadata service never opens it. */
	assert_false(pin("a.example", "a.example", "169.254.169.254", "169.254.0.1", &egress));
}

/* One port of a name that is open opens no other: the browser knows one address for all of them. */
static void all_ports_of_a_name_are_at_one_address(void **state)
{
	struct sockaddr_in private = {.sin_family = AF_INET}, public = {.sin_family = AF_INET};
	struct addrinfo second = {.ai_family = AF_INET, .ai_addr = (struct sockaddr *)&public};
	struct addrinfo found = {
	        .ai_family = AF_INET, .ai_addr = (struct sockaddr *)&private, .ai_next = &second};
	struct egress egress;
	char reason[EGRESS_REASON_MAX] = "";
	(void)state;
	inet_pton(AF_INET, "10.0.0.1", &private.sin_addr);
	inet_pton(AF_INET, "93.184.216.34", &public.sin_addr);
	assert_true(egress_init(&egress, "http://a.example:8080/", "a.example:22", "",
	                        "a.example:8080", reason));
	assert_true(egress_is_first(&egress, 0) && !egress_is_first(&egress, 1));
	assert_true(egress_pin(&egress, "a.example", &found, reason));
	assert_string_equal(egress.hosts[0].address, "93.184.216.34");
	assert_string_equal(egress.hosts[1].address, "93.184.216.34");
	found.ai_next = NULL;
	assert_false(egress_pin(&egress, "a.example", &found, reason));
	assert_non_null(strstr(reason, "capture.allow_private"));
	/* Without a port a host has two. */
	assert_true(egress_init(&egress, "http://a.example:8080/", "a.example", "",
	                        "a.example:8080,a.example:80", reason));
	assert_false(egress_pin(&egress, "a.example", &found, reason));
	assert_true(egress_init(&egress, "http://a.example/", "a.example", "",
	                        "a.example:443,a.example:80", reason));
	assert_true(egress_pin(&egress, "a.example", &found, reason));
}

static void flags_name_each_host(void **state)
{
	struct egress egress;
	char reason[EGRESS_REASON_MAX];
	(void)state;
	assert_true(egress_init(&egress, "http://127.0.0.1:9000/", "a.example", "[::1]:5",
	                        "127.0.0.1,[::1]", reason));
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
	inet_pton(AF_INET6, "2606:4700::1", &v6.sin6_addr);
	struct addrinfo found = {.ai_family = AF_INET6, .ai_addr = (struct sockaddr *)&v6};
	assert_true(egress_pin(&egress, "a.example", &found, reason));
	char *rules = egress_resolver_rules(&egress), *bypass = egress_bypass_list(&egress);
	assert_string_equal(rules,
	                    "EXCLUDE 127.0.0.1 , MAP a.example [2606:4700::1] , EXCLUDE [::1] , "
	                    "MAP * ~NOTFOUND");
	assert_string_equal(bypass,
	                    "<-loopback>;127.0.0.1:9000;a.example:443;a.example:80;[::1]:5");
	free(rules);
	free(bypass);
}

/* Servers of viewers: resolved, private ones as well, and still no place to go. */
static void peers_are_resolved_and_not_reached(void **state)
{
	struct egress egress;
	char reason[EGRESS_REASON_MAX] = "";
	(void)state;
	assert_true(egress_init(&egress, "https://1.1.1.1/", "", "", "", reason));
	assert_true(egress_add_peers(&egress, "stun.example,10.0.0.1,[fd00::1],", reason));
	assert_int_equal(egress.count, 4);
	assert_true(egress.hosts[1].reach == REACH_PRIVATE && !egress.hosts[1].at.literal);
	strcpy(egress.hosts[1].address, "203.0.113.9");
	char *rules = egress_resolver_rules(&egress), *bypass = egress_bypass_list(&egress);
	assert_string_equal(rules,
	                    "EXCLUDE 1.1.1.1 , MAP stun.example 203.0.113.9 , EXCLUDE 10.0.0.1 , "
	                    "EXCLUDE [fd00::1] , MAP * ~NOTFOUND");
	assert_string_equal(bypass, "<-loopback>;1.1.1.1:443");
	assert_true(egress_allows(&egress, SPAN("https://1.1.1.1/x")));
	assert_false(egress_allows(&egress, SPAN("https://stun.example/")));
	assert_false(egress_allows(&egress, SPAN("http://10.0.0.1/")));
	assert_false(egress_add_peers(&egress, "a_b:x", reason));
	assert_false(egress_add_peers(&egress, "169.254.169.254",
	                              reason)); /* where clouds keep their secrets */
	free(rules);
	free(bypass);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(only_listed_hosts_and_ports_are_allowed),
	        cmocka_unit_test(bad_lists_say_what_is_wrong),
	        cmocka_unit_test(private_literals_need_their_word),
	        cmocka_unit_test(names_are_judged_by_where_they_lead),
	        cmocka_unit_test(all_ports_of_a_name_are_at_one_address),
	        cmocka_unit_test(flags_name_each_host),
	        cmocka_unit_test(peers_are_resolved_and_not_reached),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
