#include "common/base/js_text.h"
#include "common/base/check.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void js_number(double value, char out[JS_NUMBER_ROOM])
{
	char shortest[JS_NUMBER_ROOM], digits[20];
	check(isfinite(value));
	if (value == 0) {
		memcpy(out, "0", 2); /* -0 too */
		return;
	}
	for (int precision = 0; precision <= 16; precision++) {
		snprintf(shortest, sizeof shortest, "%.*e", precision, value);
		if (strtod(shortest, NULL) == value)
			break;
	}
	/* [-]d[.ddd]e[+-]dd: its digits, and where the point stands among them */
	char *at = shortest, *e = strchr(shortest, 'e');
	bool negative = *at == '-';
	size_t count = 0;
	for (at += negative; at < e; at++)
		if (*at != '.')
			digits[count++] = *at;
	int k = (int)count, n = atoi(e + 1) + 1;
	const char *sign = negative ? "-" : "";
	if (k <= n && n <= 21)
		snprintf(out, JS_NUMBER_ROOM, "%s%.*s%.*s", sign, k, digits, n - k,
		         "000000000000000000000");
	else if (0 < n && n <= 21)
		snprintf(out, JS_NUMBER_ROOM, "%s%.*s.%.*s", sign, n, digits, k - n, digits + n);
	else if (-6 < n && n <= 0)
		snprintf(out, JS_NUMBER_ROOM, "%s0.%.*s%.*s", sign, -n, "000000", k, digits);
	else
		snprintf(out, JS_NUMBER_ROOM, "%s%c%s%.*se%c%d", sign, digits[0], k > 1 ? "." : "",
		         k - 1, digits + 1, n - 1 < 0 ? '-' : '+', abs(n - 1));
}

static void put_value(FILE *out, const json_t *value)
{
	const char *name;
	json_t *member;
	size_t i;
	char number[JS_NUMBER_ROOM];
	switch (json_typeof(value)) {
	case JSON_OBJECT: {
		const char *comma = "";
		fputc('{', out);
		json_object_foreach ((json_t *)value, name, member) {
			json_t *key = json_string(name);
			fputs(comma, out);
			put_value(out, key);
			json_decref(key);
			fputc(':', out);
			put_value(out, member);
			comma = ",";
		}
		fputc('}', out);
		break;
	}
	case JSON_ARRAY:
		fputc('[', out);
		json_array_foreach (value, i, member) {
			if (i > 0)
				fputc(',', out);
			put_value(out, member);
		}
		fputc(']', out);
		break;
	case JSON_REAL:
		js_number(json_real_value(value), number);
		fputs(number, out);
		break;
	case JSON_STRING:
	case JSON_INTEGER:
	case JSON_TRUE:
	case JSON_FALSE:
	case JSON_NULL:
		json_dumpf(value, out, JSON_COMPACT | JSON_ENCODE_ANY);
		break;
	}
}

char *js_text(const json_t *value)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);
	check(out != NULL);
	put_value(out, value);
	check(fclose(out) == 0 && text != NULL);
	return text;
}
