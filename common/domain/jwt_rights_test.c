#include "common/domain/jwt_rights.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

static struct rights *rights_of(const char *claims, const char *name)
{
	char reason[RIGHTS_REASON_ROOM];
	json_t *all = json_loads(claims, 0, NULL);
	assert_non_null(all);
	struct rights *rights = jwt_rights(all, name, reason);
	if (rights == NULL)
		assert_true(*reason != '\0');
	json_decref(all);
	return rights;
}

static void assert_words(const char *claims, const char *name, const char *words)
{
	char reason[RIGHTS_REASON_ROOM];
	struct rights *rights = rights_of(claims, name);
	struct rights *meant = rights_of_text(span_str(words), reason);
	assert_non_null(rights);
	assert_non_null(meant);
	char *text = rights_text(rights), *meant_text = rights_text(meant);
	assert_string_equal(text, meant_text);
	free(text);
	free(meant_text);
	rights_release(&rights);
	rights_release(&meant);
}

static void verbs_and_patterns(void **state)
{
	(void)state;
	assert_words("{\"ringside\":{\"read\":[\"arena/**\"],\"append\":[\"chat/*\"]}}", "ringside",
	             "read=arena/** append=chat/*");
	assert_words("{\"ringside\":\"read=arena/** append=chat/*\"}", "ringside",
	             "read=arena/** append=chat/*");
	assert_words("{\"https://example.org/ringside\":{\"view\":[\"*\"]},\"ringside\":{\"read\":["
	             "\"**\"]}}",
	             "https://example.org/ringside", "view=*");
	assert_words("{\"ringside\":{\"read\":[\"**\"]}}", "", "");
	assert_words("{\"scope\":\"read\"}", "ringside", "");
}

static void users_of_mercure_can_move(void **state)
{
	(void)state;
	assert_words("{\"mercure\":{\"subscribe\":[\"https://example.org/books/{id}\"],"
	             "\"publish\":[\"news\"],\"payload\":{\"any\":1}}}",
	             "ringside", "read=books/* append=news create=news");
	assert_words("{\"https://mercure.rocks/\":{\"subscribe\":[\"news\"]}}", "ringside",
	             "read=news");
	assert_words("{\"mercure\":{\"subscribe\":[\"a\"]},\"ringside\":{\"read\":[\"b\"]}}",
	             "ringside", "read=b,a");
	struct rights *all =
	        rights_of("{\"mercure\":{\"publish\":[\"*\"],\"subscribe\":[\"*\"]}}", "ringside");
	assert_true(rights_may(all, VERB_APPEND, SPAN("/v1/stream/any/at/all")));
	assert_true(rights_may(all, VERB_READ, SPAN("/v1/stream/any/at/all")));
	assert_false(rights_any(all, VERB_DELETE));
	assert_false(rights_any(all, VERB_OPERATE));
	assert_false(rights_any(all, VERB_RENDER));
	rights_release(&all);
}

/* Rather nothing than half of what somebody meant. */
static void what_is_malformed_allows_nothing(void **state)
{
	static const char *const claims[] = {
	        "{\"ringside\":[\"read\"]}",
	        "{\"ringside\":null}",
	        "{\"ringside\":true}",
	        "{\"ringside\":{\"reed\":[\"**\"]}}",
	        "{\"ringside\":{\"read\":\"**\"}}",
	        "{\"ringside\":{\"read\":[7]}}",
	        "{\"ringside\":\"read\"}",
	        "{\"mercure\":[]}",
	        "{\"mercure\":{\"subscribe\":\"*\"}}",
	        "{\"mercure\":7,\"ringside\":{\"read\":[\"**\"]}}",
	};
	(void)state;
	for (size_t i = 0; i < sizeof claims / sizeof *claims; i++)
		if (rights_of(claims[i], "ringside") != NULL)
			fail_msg("%s", claims[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(verbs_and_patterns),
	        cmocka_unit_test(users_of_mercure_can_move),
	        cmocka_unit_test(what_is_malformed_allows_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
