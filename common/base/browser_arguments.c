#include "common/base/browser_arguments.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum kind {
	PLAIN,  /* no value */
	ONE_OF, /* words, parted by '|' */
	COUNT,  /* whole, from `min` to `max` */
	LOCALE, /* de, pt-BR */
};

struct row {
	const char *name;
	enum kind kind;
	const char *words;
	unsigned long min, max;
};

static const struct row rows[] = {
        {.name = "--lang", .kind = LOCALE},
        {.name = "--force-color-profile",
         .kind = ONE_OF,
         .words = "srgb|display-p3-d65|rec2020|color-spin-gamma24|scrgb-linear"},
        {.name = "--font-render-hinting", .kind = ONE_OF, .words = "none|slight|medium|full|max"},
        {.name = "--use-gl", .kind = ONE_OF, .words = "angle|egl|desktop"},
        {.name = "--use-angle",
         .kind = ONE_OF,
         .words = "default|swiftshader|gl|gl-egl|gles|gles-egl|vulkan"},
        {.name = "--disable-gpu"},
        {.name = "--enable-gpu-rasterization"},
        {.name = "--disable-gpu-rasterization"},
        {.name = "--ignore-gpu-blocklist"},
        {.name = "--disable-accelerated-2d-canvas"},
        {.name = "--disable-accelerated-video-decode"},
        {.name = "--disable-accelerated-video-encode"},
        {.name = "--disable-lcd-text"},
        {.name = "--disable-font-subpixel-positioning"},
        {.name = "--disable-smooth-scrolling"},
        {.name = "--force-dark-mode"},
        {.name = "--force-prefers-reduced-motion"},
        {.name = "--num-raster-threads", .kind = COUNT, .min = 1, .max = 4},
        {.name = "--renderer-process-limit", .kind = COUNT, .min = 1, .max = 64},
        {.name = "--max-gum-fps", .kind = COUNT, .min = 1, .max = 60},
};

static bool is_one_of(const char *words, const char *value)
{
	size_t len = strlen(value);
	for (const char *at = words; len > 0; at++) {
		size_t word = strcspn(at, "|");
		if (word == len && memcmp(at, value, len) == 0)
			return true;
		at += word;
		if (*at == '\0')
			return false;
	}
	return false;
}

static bool is_count(const struct row *row, const char *value)
{
	size_t len = strspn(value, "0123456789");
	if (len == 0 || len > 3 || value[len] != '\0' || *value == '0')
		return false;
	unsigned long n = strtoul(value, NULL, 10);
	return n >= row->min && n <= row->max;
}

static bool is_locale(const char *value)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
	size_t language = strspn(value, letters);
	if (language < 2 || language > 3)
		return false;
	if (value[language] == '\0')
		return true;
	const char *region = value + language + 1;
	size_t len = strspn(region, letters);
	return value[language] == '-' && len >= 2 && len <= 4 && region[len] == '\0';
}

/* `value` NULL: none was given. */
static bool takes(const struct row *row, const char *value)
{
	switch (row->kind) {
	case PLAIN:
		return value == NULL;
	case ONE_OF:
		return value != NULL && is_one_of(row->words, value);
	case COUNT:
		return value != NULL && is_count(row, value);
	case LOCALE:
		return value != NULL && is_locale(value);
	}
	return false;
}

static const struct row *row_of(const char *argument, const char **value)
{
	size_t len = strcspn(argument, "=");
	*value = argument[len] == '=' ? argument + len + 1 : NULL;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		if (strlen(rows[i].name) == len && memcmp(rows[i].name, argument, len) == 0)
			return &rows[i];
	return NULL;
}

static bool is_there(const struct browser_arguments *arguments, const char *argument)
{
	size_t len = strcspn(argument, "=");
	for (size_t i = 0; i < arguments->count; i++)
		if (strcspn(arguments->at[i], "=") == len &&
		    memcmp(arguments->at[i], argument, len) == 0)
			return true;
	return false;
}

static bool take(struct browser_arguments *arguments, const char *argument, char reason[160])
{
	const char *value;
	const struct row *row = row_of(argument, &value);
	if (row == NULL)
		snprintf(reason, 160, "'%s' is none of those that may be given", argument);
	else if (!takes(row, value))
		snprintf(reason, 160, "'%s': %s", argument,
		         row->kind == PLAIN ? "takes no value" : "is no value that it takes");
	else if (is_there(arguments, argument))
		snprintf(reason, 160, "'%s' is given twice", argument);
	else if (arguments->count == BROWSER_ARGUMENTS_MAX)
		snprintf(reason, 160, "at most %d may be given", BROWSER_ARGUMENTS_MAX);
	else
		strcpy(arguments->at[arguments->count++], argument);
	return *reason == '\0';
}

bool browser_arguments_read(struct browser_arguments *arguments, const char *text, char reason[160])
{
	char one[BROWSER_ARGUMENT_ROOM];
	arguments->count = 0;
	*reason = '\0';
	for (const char *at = text;;) {
		at += strspn(at, " \t");
		size_t len = strcspn(at, " \t");
		if (len == 0)
			return true;
		if (len >= sizeof one) {
			snprintf(reason, 160, "'%.40s...' is none of those that may be given", at);
			return false;
		}
		memcpy(one, at, len);
		one[len] = '\0';
		if (!take(arguments, one, reason))
			return false;
		at += len;
	}
}
