#include "worker-sse/edge/cors.h"
#include "common/base/check.h"

#include <stdio.h>
#include <stdlib.h>

/* What a stream's address says (a ticket, a name) is nobody's who is linked to from here. */
#define CORS_ALWAYS "x-content-type-options: nosniff\r\nreferrer-policy: no-referrer\r\n"

static const char exposed[] =
        "access-control-expose-headers: stream-next-offset, stream-cursor, stream-up-to-date, "
        "stream-closed, producer-epoch, producer-seq, producer-expected-seq, "
        "producer-received-seq, etag, link, location, content-type, content-encoding, vary, "
        "stream-sse-data-encoding, stream-ttl, stream-expires-at, retry-after\r\n";

/* allow: NULL: nobody. */
static struct cors_text make(const char *allow, bool credentials, bool embeds, bool varies)
{
	struct cors_text text = {0};
	FILE *out = open_memstream(&text.at, &text.len);
	check(out != NULL);
	fprintf(out, "%scross-origin-resource-policy: %s\r\n", CORS_ALWAYS,
	        embeds ? "cross-origin" : "same-origin");
	if (allow != NULL)
		fprintf(out, "access-control-allow-origin: %s\r\n%s%s", allow,
		        credentials ? "access-control-allow-credentials: true\r\n" : "", exposed);
	if (varies)
		fputs("vary: origin\r\n", out);
	check(fclose(out) == 0);
	return text;
}

/* Under dev a page needs no token: "*", the default, would let every page in the developer's
 * browser in. And "null" is whoever wants to be it. */
void cors_init(struct cors *cors, const struct settings *settings)
{
	origins_init(&cors->origins, settings->http_allowed_origin);
	const struct origins *origins = &cors->origins;
	bool all = origins->any && !settings->dev;
	cors->texts = xcalloc(origins->count + 1, sizeof *cors->texts);
	cors->texts[0] = make(all ? "*" : NULL, false, all || !origins->any, !origins->any);
	for (size_t i = 0; i < origins->count; i++)
		cors->texts[i + 1] =
		        make(origins->texts[i], strcmp(origins->texts[i], "null") != 0, true, true);
}

void cors_finish(struct cors *cors)
{
	for (size_t i = 0; i <= cors->origins.count; i++)
		free(cors->texts[i].at);
	free(cors->texts);
	origins_finish(&cors->origins);
}

struct span cors_headers(const struct cors *cors, struct span origin)
{
	const struct cors_text *text = &cors->texts[origins_find(&cors->origins, origin)];
	return span_of(text->at, text->len);
}

struct span cors_bare_headers(void)
{
	return SPAN(CORS_ALWAYS);
}
