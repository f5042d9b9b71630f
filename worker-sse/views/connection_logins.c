#include "worker-sse/views/connection_logins.h"
#include "common/base/check.h"
#include "common/base/hash.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct connection_login {
	char subject[CONNECTION_SUBJECT_ROOM];
	size_t count;
	size_t seen; /* by the sweep that is under way */
	UT_hash_handle hh;
};

static struct connection_login *find(const struct connection_logins *logins, const char *subject)
{
	struct connection_login *login;
	HASH_FIND_STR(logins->by_subject, subject, login);
	return login;
}

static struct connection_login *find_or_make(struct connection_logins *logins, const char *subject)
{
	struct connection_login *login = find(logins, subject);
	if (login != NULL)
		return login;
	login = xcalloc(1, sizeof *login);
	snprintf(login->subject, sizeof login->subject, "%s", subject);
	HASH_ADD_STR(logins->by_subject, subject, login);
	return login;
}

static void forget_empty(struct connection_logins *logins, struct connection_login *login)
{
	if (login->count > 0 || login->seen > 0)
		return;
	HASH_DEL(logins->by_subject, login);
	free(login);
}

size_t connection_logins_count(const struct connection_logins *logins, const char *subject)
{
	const struct connection_login *login = find(logins, subject);
	return login != NULL ? login->count : 0;
}

void connection_logins_add(struct connection_logins *logins, const char *subject, bool swept)
{
	if (*subject == '\0')
		return;
	struct connection_login *login = find_or_make(logins, subject);
	login->count++;
	login->seen += swept;
}

void connection_logins_take(struct connection_logins *logins, const char *subject, bool swept)
{
	struct connection_login *login = find(logins, subject);
	if (login == NULL)
		return;
	login->count -= login->count > 0;
	login->seen -= swept && login->seen > 0;
	forget_empty(logins, login);
}

void connection_logins_begin(struct connection_logins *logins)
{
	for (struct connection_login *login = logins->by_subject; login != NULL;
	     login = login->hh.next)
		login->seen = 0;
}

void connection_logins_see(struct connection_logins *logins, const char *subject)
{
	if (*subject != '\0')
		find_or_make(logins, subject)->seen++;
}

void connection_logins_end(struct connection_logins *logins)
{
	struct connection_login *login, *next;
	HASH_ITER (hh, logins->by_subject, login, next) {
		login->count = login->seen;
		login->seen = 0;
		forget_empty(logins, login);
	}
}
