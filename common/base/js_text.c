#include "common/base/js_text.h"
#include "common/base/check.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
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

static void put_value(FILE *out, const json_t *value, bool canonical);

static void put_member(FILE *out, const char *name, const json_t *value, bool canonical)
{
	json_t *key = json_string(name);
	put_value(out, key, canonical);
	json_decref(key);
	fputc(':', out);
	put_value(out, value, canonical);
}

/* Bytes of UTF-8 are in the order of code points; in UTF-16 those above U+FFFF, which begin with a
 * surrogate, come before U+E000. */
static int compare_names(const void *one, const void *other)
{
	const unsigned char *a = *(const unsigned char *const *)one,
	                    *b = *(const unsigned char *const *)other;
	for (; *a == *b && *a != '\0'; a++, b++) {
	}
	bool swapped = (*a >= 0xf0 && (*b | 1) == 0xef) || (*b >= 0xf0 && (*a | 1) == 0xef);
	return swapped ? *b - *a : *a - *b;
}

static void put_sorted(FILE *out, const json_t *object)
{
	size_t count = json_object_size(object), at = 0;
	const char **names = xcalloc(count + 1, sizeof *names), *name;
	json_t *member;
	json_object_foreach ((json_t *)(uintptr_t)object, name, member)
		names[at++] = name;
	qsort(names, count, sizeof *names, compare_names);
	for (size_t i = 0; i < count; i++) {
		if (i > 0)
			fputc(',', out);
		put_member(out, names[i], json_object_get(object, names[i]), true);
	}
	free(names);
}

static void put_members(FILE *out, const json_t *object)
{
	const char *name, *comma = "";
	json_t *member;
	json_object_foreach ((json_t *)(uintptr_t)object, name, member) {
		fputs(comma, out);
		put_member(out, name, member, false);
		comma = ",";
	}
}

static void put_number(FILE *out, double value)
{
	char number[JS_NUMBER_ROOM];
	js_number(value, number);
	fputs(number, out);
}

static void put_value(FILE *out, const json_t *value, bool canonical)
{
	json_t *member;
	size_t i;
	switch (json_typeof(value)) {
	case JSON_OBJECT:
		fputc('{', out);
		if (canonical)
			put_sorted(out, value);
		else
			put_members(out, value);
		fputc('}', out);
		break;
	case JSON_ARRAY:
		fputc('[', out);
		json_array_foreach (value, i, member) {
			if (i > 0)
				fputc(',', out);
			put_value(out, member, canonical);
		}
		fputc(']', out);
		break;
	case JSON_REAL:
		put_number(out, json_real_value(value));
		break;
	case JSON_INTEGER:
		if (canonical)
			put_number(out, json_number_value(value));
		else
			json_dumpf(value, out, JSON_COMPACT | JSON_ENCODE_ANY);
		break;
	case JSON_STRING:
	case JSON_TRUE:
	case JSON_FALSE:
	case JSON_NULL:
		json_dumpf(value, out, JSON_COMPACT | JSON_ENCODE_ANY);
		break;
	}
}

static char *text_of(const json_t *value, bool canonical)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);
	check(out != NULL);
	put_value(out, value, canonical);
	check(fclose(out) == 0 && text != NULL);
	return text;
}

char *js_text(const json_t *value)
{
	return text_of(value, false);
}

char *js_text_canonical(const json_t *value)
{
	return text_of(value, true);
}
