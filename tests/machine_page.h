/* For tests of state machines: the table of common/base/machine.h as a page shows it. Included
 * after cmocka.h; the test is built with source_root_dep. */
#pragma once

#include "common/base/check.h"
#include "common/base/machine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static inline char *machine_page_table(const struct machine *m)
{
	char *text;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	assert_non_null(out);
	fprintf(out, "| %s | what may happen |\n|---|---|\n", m->name);
	for (unsigned state = 0; state < m->states_count; state++) {
		fprintf(out, "| `%s` |", m->states[state]);
		const char *before = " ";
		for (unsigned event = 0; event < m->events_count; event++)
			if (machine_allows(m, state, event)) {
				fprintf(out, "%s%s → `%s`", before, m->events[event],
				        m->states[machine_step(m, state, event)]);
				before = ", ";
			}
		fputs(*before == ',' ? " |\n" : " nothing; it is freed |\n", out);
	}
	assert_int_equal(fclose(out), 0);
	return text;
}

/* `page` below the root of the sources has exactly this table; else it is printed. */
static inline void machine_page_shows(const struct machine *m, const char *page)
{
	char path[512], *table = machine_page_table(m), *text = xcalloc(1, 1 << 20);
	snprintf(path, sizeof path, "%s/%s", SOURCE_ROOT, page);
	FILE *file = fopen(path, "rb");
	assert_non_null(file);
	assert_true(fread(text, 1, (1 << 20) - 1, file) > 0);
	fclose(file);
	if (strstr(text, table) == NULL)
		printf("%s should have:\n\n%s\n", page, table);
	assert_non_null(strstr(text, table));
	free(table);
	free(text);
}
