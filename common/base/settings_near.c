/* Which setting a mistyped name may have meant. */
#include "common/base/settings.h"

#include <ctype.h>

enum { NAME_MAX_LEN = 63, FAR = 3 };

/* The three spellings of a key are one. */
static char plain(uint8_t c)
{
	return c == '.' || c == '-' ? '_' : (char)tolower(c);
}

/* How many characters are to be put in, left out or changed. */
static size_t distance(struct span name, const char *key, size_t key_len)
{
	uint8_t row[NAME_MAX_LEN + 1];
	for (size_t n = 0; n <= key_len; n++)
		row[n] = (uint8_t)n;
	for (size_t i = 0; i < name.len; i++) {
		uint8_t before = row[0];
		row[0] = (uint8_t)(i + 1);
		for (size_t n = 0; n < key_len; n++) {
			uint8_t cost =
			        (uint8_t)(before + (plain(name.at[i]) != plain((uint8_t)key[n])));
			before = row[n + 1];
			if (row[n] < row[n + 1])
				row[n + 1] = row[n];
			row[n + 1]++;
			if (cost < row[n + 1])
				row[n + 1] = cost;
		}
	}
	return row[key_len];
}

const char *setting_near(struct span name, char text[SETTING_NEAR_ROOM])
{
	const struct setting_row *best = NULL;
	bool best_by_file = false;
	size_t least = FAR;
	size_t candidates = name.len <= NAME_MAX_LEN ? 2 * setting_rows_count : 0;
	for (size_t i = 0; i < candidates; i++) {
		const struct setting_row *row = &setting_rows[i / 2];
		char key[NAME_MAX_LEN + 2];
		bool by_file = i % 2 != 0;
		if (by_file && !setting_is_secret(row->type))
			continue;
		size_t len =
		        (size_t)snprintf(key, sizeof key, "%s%s", row->key, by_file ? "_file" : "");
		size_t far = len <= NAME_MAX_LEN ? distance(name, key, len) : FAR;
		/* A short name is near to many. */
		if (far < least && far * 3 <= len) {
			least = far;
			best = row;
			best_by_file = by_file;
		}
	}
	*text = '\0';
	if (best != NULL)
		snprintf(text, SETTING_NEAR_ROOM, " (is %s%s meant?)", best->key,
		         best_by_file ? "_file" : "");
	return text;
}
