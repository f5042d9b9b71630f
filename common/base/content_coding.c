#include "common/base/content_coding.h"
#include "common/base/address.h"

#include <string.h>

#define CODING_NAME(NAME, text) [CODING_##NAME] = text,
static const char *const names[CODING_COUNT] = {CONTENT_CODINGS(CODING_NAME)};
#undef CODING_NAME

const char *content_coding_name(enum content_coding coding)
{
	return coding < CODING_COUNT ? names[coding] : "identity";
}

enum content_coding content_coding_find(struct span name)
{
	enum content_coding coding = 0;
	if (span_equal_nocase(name, SPAN("x-gzip"))) /* RFC 9110 8.4.1.3 */
		return CODING_GZIP;
	while (coding < CODING_COUNT && !span_equal_nocase(name, span_str(names[coding])))
		coding++;
	return coding;
}

bool content_coding_list(const char *list, unsigned *codings)
{
	struct span name;
	*codings = 0;
	if (strcmp(list, "off") == 0)
		return true;
	while (address_list_next(&list, &name)) {
		enum content_coding coding = content_coding_find(name);
		if (coding == CODING_COUNT)
			return false;
		*codings |= 1u << coding;
	}
	return *codings != 0;
}
