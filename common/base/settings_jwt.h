/* What the settings auth.jwt_* may be: part of the validation of settings. Pure. */
#pragma once

#include "common/base/settings.h"

enum { SETTINGS_JWKS_URLS_MAX = 8 };

/* NULL: the value fits the key, or it is another's key; else what it must be. */
const char *settings_jwt_fault(const char *key, const char *value);

/* Two of them that do not go together. `what` NULL: there are none. */
struct settings_clash {
	const char *key, *other, *what;
};
struct settings_clash settings_jwt_clash(const struct settings *settings);

/* Of a comma-separated list: how many, and the n-th from 0; at NULL: there are not so many. */
size_t settings_list_count(const char *list);
struct span settings_list_item(const char *list, size_t n);
