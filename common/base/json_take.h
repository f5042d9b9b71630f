/* JSON of others, read by jansson whatever is valid in it (RFC 8259). By itself jansson takes no
 * integer beyond 64 bits, no U+0000, no half of a surrogate pair and no number beyond all doubles,
 * each of which a web page or a game may well send: without this the whole text would be lost for
 * one of them. Pure but for memory. */
#pragma once

#include "proto/bytes.h"

#include <jansson.h>

/* What could not be taken as it was; numbers that are read as the nearest double are not among it.
 */
enum json_loss {
	JSON_LOSS_SURROGATE = 1, /* half of a pair became U+FFFD */
	JSON_LOSS_NUL =
	        2, /* U+0000 in a name, or in a text without JSON_ALLOW_NUL, became U+FFFD */
	JSON_LOSS_NUMBER = 4, /* one beyond all doubles became null, as JSON.stringify writes it */
};

/* As json_loadb(). NULL: it is no JSON, or nested deeper than jansson goes. *losses may be NULL. */
json_t *json_take(struct span text, size_t flags, unsigned *losses, json_error_t *error);
/* What is lost, in words; static. */
const char *json_loss_text(unsigned losses);

/* Has a text with U+0000 in it, except below members called `except` (NULL: none)? C strings end
 * there. */
bool json_has_nul(const json_t *value, const char *except);
