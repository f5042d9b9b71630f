#include "proto/roles.h"

#define ROLE_ROW(bit, NAME, name, slots, count, traits, knows, answers, asks)                      \
	{bit, name, slots, offsetof(struct role_places, NAME), traits, knows, answers, asks},
const struct role roles[ROLE_COUNT] = {ROLES(ROLE_ROW)};
#undef ROLE_ROW

bool roles_know_each_other(const struct role *a, const struct role *b)
{
	return (a->knows & b->bit) != 0 || (b->knows & a->bit) != 0;
}

bool role_answers(const struct role *role, const struct role *asker)
{
	return (role->answers & asker->bit) != 0 || (asker->asks & role->bit) != 0;
}

const struct role *role_of(unsigned bit)
{
	for (size_t i = 0; i < ROLE_COUNT; i++)
		if (roles[i].bit == bit)
			return &roles[i];
	return NULL;
}

const char *role_name(unsigned bit)
{
	const struct role *role = role_of(bit);
	return role != NULL             ? role->name
	       : bit == ROLE_SUPERVISOR ? "ringside"
	       : bit == ROLE_ADMIN      ? "admin"
	                                : "unknown";
}
