/* An account's row as it is shown to its owner, or to the house. */
#pragma once

#include <jansson.h>
#include <stdbool.h>

/* In place: without its secrets, with every total. The house sees who topped it up, too. */
json_t *account_shown(json_t *account, bool house);
