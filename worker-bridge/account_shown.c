#include "worker-bridge/account_shown.h"

#include <stddef.h>

json_t *account_shown(json_t *account, bool house)
{
	static const char *const totals[] = {"bets", "staked", "returned", "toppedUp"};
	size_t i;
	json_t *one;
	json_object_del(account, "owner");
	for (i = 0; i < sizeof totals / sizeof *totals; i++)
		if (json_object_get(account, totals[i]) ==
		    NULL) /* of a release before, or none yet */
			json_object_set_new(account, totals[i], json_integer(0));
	if (json_object_get(account, "displayName") == NULL)
		json_object_set_new(account, "displayName", json_null());
	json_array_foreach (json_object_get(account, "topUps"), i, one) {
		json_object_del(one, "keyHash");
		if (!house)
			json_object_del(one, "actor");
	}
	return account;
}
