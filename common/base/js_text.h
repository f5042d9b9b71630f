/* JSON as JSON.stringify writes it. Numbers: the fewest digits that read back as the same double
 * (ECMA-262, Number::toString). Consumers compare feeds byte by byte. */
#pragma once

#include <jansson.h>

enum { JS_NUMBER_ROOM = 32 };

/* Finite values only. */
void js_number(double value, char out[JS_NUMBER_ROOM]);

/* A whole tree, malloc'd: members in their order, no white space, numbers as above. */
char *js_text(const json_t *value);

/* The same, but one text for all spellings of the same value (RFC 8785): members in the order of
 * their names' UTF-16 code units, integers beyond 2^53 as the double that JavaScript makes of
 * them. For digests. */
char *js_text_canonical(const json_t *value);
