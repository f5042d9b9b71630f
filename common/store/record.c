#include "common/store/record.h"
#include "common/base/check.h"

#include <string.h>

/* ---- judging ---- */

static bool text_fits(const struct record_field *field, const json_t *value)
{
	const char *text = json_string_value(value);
	if (text == NULL)
		return false;
	size_t len = json_string_length(value);
	return strlen(text) == len && (field->kind == RECORD_STRING || len < field->size);
}

static bool whole_fits(const struct record_field *field, const json_t *value)
{
	if (!json_is_integer(value))
		return false;
	json_int_t given = json_integer_value(value);
	if (field->max > field->min)
		return given >= field->min && given <= field->max;
	if (field->kind == RECORD_NUMBER)
		return given >= 0 && (field->size != sizeof(uint32_t) || given <= UINT32_MAX);
	return field->size != sizeof(int) || (given >= INT32_MIN && given <= INT32_MAX);
}

/* names_count: it is none of them. */
static size_t name_of(const struct record_field *field, const json_t *value)
{
	size_t i = 0;
	while (i < field->names_count &&
	       (!json_is_string(value) || strcmp(json_string_value(value), field->names[i]) != 0))
		i++;
	return i;
}

static bool value_fits(const struct record_field *field, const json_t *value)
{
	switch (field->kind) {
	case RECORD_TEXT:
	case RECORD_STRING:
		return text_fits(field, value);
	case RECORD_NUMBER:
	case RECORD_SIGNED:
		return whole_fits(field, value);
	case RECORD_MAYBE:
		return json_is_null(value) || whole_fits(field, value);
	case RECORD_REAL:
		return json_is_number(value);
	case RECORD_FLAG:
		return json_is_boolean(value);
	case RECORD_NAME:
		return name_of(field, value) < field->names_count;
	case RECORD_OBJECT:
		return json_is_object(value);
	case RECORD_ARRAY:
		return json_is_array(value);
	}
	return false;
}

/* 0: of one that this release does not know. */
static unsigned format_of(const struct record *record, const json_t *row)
{
	if (record->format_name == NULL)
		return 1;
	json_int_t format = json_integer_value(json_object_get(row, record->format_name));
	return format >= 1 && format <= (json_int_t)record->format ? (unsigned)format : 0;
}

static bool row_fits(const struct record *record, const json_t *row)
{
	unsigned format = format_of(record, row);
	if (!json_is_object(row) || format == 0)
		return false;
	for (size_t i = 0; i < record->count; i++) {
		const struct record_field *field = &record->fields[i];
		const json_t *value = json_object_get(row, field->name);
		if (value != NULL ? !value_fits(field, value)
		                  : field->since != 0 && field->since <= format)
			return false;
	}
	return true;
}

/* ---- reading ---- */

static void put_whole(const struct record_field *field, void *at, int64_t value)
{
	const int32_t small = (int32_t)value; /* an unsigned one keeps its bits */
	const bool flag = value != 0;
	if (field->kind == RECORD_FLAG)
		memcpy(at, &flag, sizeof flag);
	else if (field->size == sizeof small)
		memcpy(at, &small, sizeof small);
	else
		memcpy(at, &value, sizeof value);
}

/* `value` fits, or is NULL: the default. */
static void take(const struct record_field *field, const json_t *value, void *at)
{
	const char *text = value != NULL ? json_string_value(value) : field->text;
	const double real = json_number_value(value);
	int64_t whole = field->standard;
	switch (field->kind) {
	case RECORD_TEXT:
		text = text != NULL ? text : "";
		check(strlen(text) < field->size);
		strcpy(at, text);
		return;
	case RECORD_REAL:
		memcpy(at, &real, sizeof real);
		return;
	case RECORD_NUMBER:
	case RECORD_SIGNED:
		whole = value != NULL ? json_integer_value(value) : whole;
		break;
	case RECORD_MAYBE:
		whole = json_is_integer(value) ? json_integer_value(value)
		        : value != NULL        ? RECORD_NULL
		                               : whole;
		break;
	case RECORD_FLAG:
		whole = value != NULL ? json_is_true(value) : whole;
		break;
	case RECORD_NAME:
		whole = value != NULL ? (int64_t)name_of(field, value) : whole;
		break;
	case RECORD_STRING:
	case RECORD_OBJECT:
	case RECORD_ARRAY:
		return;
	}
	put_whole(field, at, whole);
}

enum row_found record_read(const struct record *record, const json_t *row, void *into)
{
	if (row == NULL)
		return ROW_ABSENT;
	if (!row_fits(record, row))
		return ROW_UNREADABLE;
	for (size_t i = 0; into != NULL && i < record->count; i++) {
		const struct record_field *field = &record->fields[i];
		take(field, json_object_get(row, field->name), (char *)into + field->offset);
	}
	return ROW_PRESENT;
}

/* ---- writing ---- */

static int64_t whole_at(const struct record_field *field, const void *at)
{
	int64_t whole;
	int32_t small;
	uint32_t natural;
	bool flag;
	if (field->kind == RECORD_FLAG) {
		memcpy(&flag, at, sizeof flag);
		return flag;
	}
	if (field->size == sizeof small) {
		memcpy(&small, at, sizeof small);
		memcpy(&natural, at, sizeof natural);
		return field->kind == RECORD_SIGNED ? (int64_t)small : (int64_t)natural;
	}
	memcpy(&whole, at, sizeof whole);
	check(field->kind != RECORD_NUMBER || whole >= 0); /* JSON has no more */
	return whole;
}

static json_t *whole_json(const struct record_field *field, int64_t whole)
{
	switch (field->kind) {
	case RECORD_FLAG:
		return json_boolean(whole);
	case RECORD_NAME:
		check(whole >= 0 && (size_t)whole < field->names_count);
		return json_string(field->names[whole]);
	case RECORD_MAYBE:
		return whole == RECORD_NULL ? json_null() : json_integer(whole);
	case RECORD_NUMBER:
	case RECORD_SIGNED:
		return json_integer(whole);
	case RECORD_TEXT:
	case RECORD_STRING:
	case RECORD_REAL:
	case RECORD_OBJECT:
	case RECORD_ARRAY:
		break;
	}
	check(false);
}

/* NULL: nothing is to be written. */
static json_t *value_of(const struct record_field *field, const void *at)
{
	double real;
	const char *text;
	int64_t whole;
	switch (field->kind) {
	case RECORD_TEXT:
		text = field->text != NULL ? field->text : "";
		return field->sparse && strcmp(at, text) == 0 ? NULL : json_string(at);
	case RECORD_REAL:
		memcpy(&real, at, sizeof real);
		return field->sparse && real == 0 ? NULL : json_real(real);
	case RECORD_NUMBER:
	case RECORD_SIGNED:
	case RECORD_MAYBE:
	case RECORD_FLAG:
	case RECORD_NAME:
		whole = whole_at(field, at);
		return field->sparse && whole == field->standard ? NULL : whole_json(field, whole);
	case RECORD_STRING:
	case RECORD_OBJECT:
	case RECORD_ARRAY:
		return NULL;
	}
	return NULL;
}

static bool is_anothers(const struct record_field *field)
{
	return field->kind == RECORD_STRING || field->kind == RECORD_OBJECT ||
	       field->kind == RECORD_ARRAY;
}

void record_write(const struct record *record, const void *from, json_t *row)
{
	if (record->format_name != NULL)
		json_object_set_new(row, record->format_name, json_integer(record->format));
	for (size_t i = 0; i < record->count; i++) {
		const struct record_field *field = &record->fields[i];
		json_t *value = value_of(field, (const char *)from + field->offset);
		check(value != NULL || field->since == 0 || is_anothers(field));
		if (value != NULL)
			check(json_object_set_new(row, field->name, value) == 0);
	}
}

static json_t *default_of(const struct record_field *field)
{
	switch (field->kind) {
	case RECORD_TEXT:
	case RECORD_STRING:
		return json_string(field->text != NULL ? field->text : "");
	case RECORD_REAL:
		return json_real(0);
	case RECORD_OBJECT:
		return json_object();
	case RECORD_ARRAY:
		return json_array();
	case RECORD_NUMBER:
	case RECORD_SIGNED:
	case RECORD_MAYBE:
	case RECORD_FLAG:
	case RECORD_NAME:
		break;
	}
	return whole_json(field, field->standard);
}

void record_complete(const struct record *record, json_t *row)
{
	for (size_t i = 0; i < record->count; i++) {
		const struct record_field *field = &record->fields[i];
		if (!field->sparse && json_object_get(row, field->name) == NULL)
			check(json_object_set_new(row, field->name, default_of(field)) == 0);
	}
}
