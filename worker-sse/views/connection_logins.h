/* How many connections each login has, in the store and over all workers: as the last sweep
 * counted, and what came and went here since. Whoever is nobody in particular ("") is not counted.
 * Pure. */
#pragma once

#include "common/domain/connection.h"

struct connection_login;

/* Zero-initialised. */
struct connection_logins {
	struct connection_login *by_subject;
};

size_t connection_logins_count(const struct connection_logins *logins, const char *subject);
/* One came, or one went. `swept`: a sweep is under way and has been where its row is. */
void connection_logins_add(struct connection_logins *logins, const char *subject, bool swept);
void connection_logins_take(struct connection_logins *logins, const char *subject, bool swept);

/* A sweep: it begins, sees rows, and from its end on what it has seen is what there is. */
void connection_logins_begin(struct connection_logins *logins);
void connection_logins_see(struct connection_logins *logins, const char *subject);
void connection_logins_end(struct connection_logins *logins);
