#include "worker-sse/edge/accept_encoding.h"
#include "worker-sse/edge/query.h"

#include <stdio.h>
#include <string.h>

enum { Q_NONE = -1, Q_ONE = 1000 };

static struct span trim(struct span s)
{
	while (s.len > 0 && (*s.at == ' ' || *s.at == '\t'))
		s = span_of(s.at + 1, s.len - 1);
	while (s.len > 0 && (s.at[s.len - 1] == ' ' || s.at[s.len - 1] == '\t'))
		s.len--;
	return s;
}

/* qvalue, in thousandths: "0" or "1" with at most three decimals (RFC 9110 12.4.2). */
static int qvalue(struct span text)
{
	static const int weights[] = {1000, 0, 100, 10, 1};
	int q = 0;
	if (text.len == 0 || text.len > 5 || (text.at[0] != '0' && text.at[0] != '1') ||
	    (text.len > 1 && text.at[1] != '.'))
		return Q_NONE;
	for (size_t i = 0; i < text.len; i++) {
		if (i == 1)
			continue;
		if (text.at[i] < '0' || text.at[i] > '9')
			return Q_NONE;
		q += (text.at[i] - '0') * weights[i];
	}
	return q <= Q_ONE ? q : Q_NONE;
}

/* "gzip;q=0.5": its name and weight. Q_NONE: malformed. */
static int read_element(struct span element, struct span *name)
{
	const uint8_t *semicolon = memchr(element.at, ';', element.len);
	if (semicolon == NULL) {
		*name = element;
		return Q_ONE;
	}
	size_t at = (size_t)(semicolon - element.at);
	*name = trim(span_of(element.at, at));
	struct span weight = trim(span_of(semicolon + 1, element.len - at - 1));
	if (weight.len < 2 || (weight.at[0] | 0x20) != 'q' || weight.at[1] != '=')
		return Q_NONE;
	return qvalue(span_of(weight.at + 2, weight.len - 2));
}

enum content_coding accept_encoding_choose(struct span accept, unsigned have)
{
	int q[CODING_COUNT + 1], others = Q_NONE;
	struct span element, name;
	for (size_t i = 0; i <= CODING_COUNT; i++)
		q[i] = Q_NONE;
	while (accept.len > 0 && list_next(&accept, &element)) {
		int weight = element.len > 0 ? read_element(element, &name) : Q_NONE;
		enum content_coding coding = CODING_COUNT;
		if (weight == Q_NONE)
			continue;
		if (span_equal(name, SPAN("*")))
			others = weight;
		else if ((coding = content_coding_find(name)) < CODING_COUNT ||
		         span_equal_nocase(name, SPAN("identity")))
			q[coding] = weight;
	}
	/* Plain content that nobody speaks of is fine, but comes last (RFC 9110 12.5.3). */
	enum content_coding best = CODING_IDENTITY;
	int most = q[CODING_IDENTITY] > 0 ? q[CODING_IDENTITY] - 1 : 0;
	for (enum content_coding i = 0; i < CODING_COUNT; i++) {
		int weight = q[i] != Q_NONE ? q[i] : others;
		if ((have & 1u << i) && weight > most) {
			best = i;
			most = weight;
		}
	}
	return best;
}

/* ---- content ---- */

static bool begins(struct span s, const char *text)
{
	size_t len = strlen(text);
	return s.len >= len && span_equal_nocase(span_of(s.at, len), span_of(text, len));
}

static bool ends(struct span s, const char *text)
{
	size_t len = strlen(text);
	return s.len >= len &&
	       span_equal_nocase(span_of(s.at + s.len - len, len), span_of(text, len));
}

bool accept_encoding_worth(struct span type)
{
	static const char *const known[] = {"application/json",     "application/javascript",
	                                    "application/xml",      "application/yaml",
	                                    "application/x-ndjson", "application/ndjson",
	                                    "application/wasm",     "application/jsonl"};
	const uint8_t *semicolon = type.len > 0 ? memchr(type.at, ';', type.len) : NULL;
	if (semicolon != NULL)
		type.len = (size_t)(semicolon - type.at);
	type = trim(type);
	for (size_t i = 0; i < sizeof known / sizeof *known; i++)
		if (span_equal_nocase(type, span_str(known[i])))
			return true;
	return begins(type, "text/") || ends(type, "+json") || ends(type, "+xml") ||
	       ends(type, "+yaml");
}

struct span accept_encoding_etag(struct span etag, enum content_coding coding,
                                 char out[ACCEPT_ENCODING_ETAG_ROOM])
{
	if (coding >= CODING_COUNT || etag.len < 2 || etag.len + 8 > ACCEPT_ENCODING_ETAG_ROOM)
		return etag;
	int len = snprintf(out, ACCEPT_ENCODING_ETAG_ROOM, "%.*s-%s\"", (int)(etag.len - 1),
	                   etag.at, content_coding_name(coding));
	return span_of(out, (size_t)len);
}
