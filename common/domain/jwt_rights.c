#include "common/domain/jwt_rights.h"

static bool add_own(struct rights_draft *draft, const json_t *value,
                    char reason[RIGHTS_REASON_ROOM])
{
	if (json_is_string(value))
		return rights_draft_add_text(
		        draft, span_of(json_string_value(value), json_string_length(value)),
		        reason);
	return rights_draft_add_json(draft, value, reason);
}

/* Mercure, "Authorization": a claim whose short name is taken may have the long one. */
static const json_t *mercure_of(const json_t *claims)
{
	const json_t *claim = json_object_get(claims, "mercure");
	return claim != NULL ? claim : json_object_get(claims, "https://mercure.rocks/");
}

struct rights *jwt_rights(const json_t *claims, const char *claim, char reason[RIGHTS_REASON_ROOM])
{
	struct rights_draft *draft = rights_draft_create();
	const json_t *own = *claim != '\0' ? json_object_get(claims, claim) : NULL;
	const json_t *mercure = mercure_of(claims);
	if ((own == NULL || add_own(draft, own, reason)) &&
	    (mercure == NULL || rights_draft_add_mercure(draft, mercure, reason)))
		return rights_draft_finish(&draft);
	rights_draft_destroy(&draft);
	return NULL;
}
