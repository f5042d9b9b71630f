/* JSON as JSON.stringify writes it. Numbers: the fewest digits that read back as the same double
 * (ECMA-262, Number::toString). Consumers compare feeds byte by byte. */
#pragma once

#include <jansson.h>

enum { JS_NUMBER_ROOM = 32 };

/* Finite values only. */
void js_number(double value, char out[JS_NUMBER_ROOM]);

/* A whole tree, malloc'd: members in their order, no white space, numbers as above. */
char *js_text(const json_t *value);
