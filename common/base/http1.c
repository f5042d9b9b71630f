#include "common/base/http1.h"

enum {
	CHUNK_LINE_MAX = 256, /* size and extensions; a trailer field */
	EMPTY_LINES_MAX = 4,  /* before a request line (RFC 9112 2.2) */
	HOST_MAX = 320,       /* a name of 253 octets and a port, generously */
};

/* RFC 9110 5.6.2: token. */
static const uint8_t token[256] = {
        ['!'] = 1, ['#'] = 1, ['$'] = 1, ['%'] = 1,         ['&'] = 1,         ['\''] = 1,
        ['*'] = 1, ['+'] = 1, ['-'] = 1, ['.'] = 1,         ['^'] = 1,         ['_'] = 1,
        ['`'] = 1, ['|'] = 1, ['~'] = 1, ['0' ... '9'] = 1, ['A' ... 'Z'] = 1, ['a' ... 'z'] = 1,
};

/* RFC 3986 3.2.2: what a name or an IPv4 address is made of. */
static const uint8_t reg_name[256] = {
        ['-'] = 1, ['.'] = 1,  ['_'] = 1, ['~'] = 1,         ['!'] = 1,         ['$'] = 1,
        ['&'] = 1, ['\''] = 1, ['('] = 1, [')'] = 1,         ['*'] = 1,         ['+'] = 1,
        [';'] = 1, ['='] = 1,  ['%'] = 1, ['0' ... '9'] = 1, ['A' ... 'Z'] = 1, ['a' ... 'z'] = 1,
};

/* The same between brackets: an IPv6 address. */
static const uint8_t ip_literal[256] = {
        [':'] = 1, ['.'] = 1, ['0' ... '9'] = 1, ['A' ... 'F'] = 1, ['a' ... 'f'] = 1,
};

static const uint8_t decimal[256] = {['0' ... '9'] = 1};

struct parse {
	const uint8_t *at, *end;
	struct http1_head *head;
	unsigned *status;
	const char **reason;
	bool host_seen, transfer_seen, connection_close, connection_keep;
};

static enum http1_result refuse(struct parse *p, unsigned status, const char *reason)
{
	*p->status = status;
	*p->reason = reason;
	return HTTP1_REFUSED;
}

/* The line up to CRLF. A bare CR or LF ends nothing here: what two parsers may read differently is
 * refused (RFC 9112 2.2, 11.2). */
static enum http1_result take_line(struct parse *p, struct span *line)
{
	const uint8_t *lf = memchr(p->at, '\n', (size_t)(p->end - p->at));
	const uint8_t *to = lf != NULL ? lf : p->end;
	const uint8_t *cr = memchr(p->at, '\r', (size_t)(to - p->at));
	if (lf == NULL)
		return cr != NULL && cr + 1 != p->end ? refuse(p, 400, "bare CR") : HTTP1_MORE;
	if (cr == NULL || cr + 1 != lf)
		return refuse(p, 400, cr == NULL ? "bare LF" : "bare CR");
	*line = span_of(p->at, (size_t)(cr - p->at));
	p->at = lf + 1;
	return HTTP1_WHOLE;
}

static bool all_of(struct span s, const uint8_t table[256])
{
	for (size_t i = 0; i < s.len; i++)
		if (!table[s.at[i]])
			return false;
	return s.len > 0;
}

/* RFC 9110 7.2: uri-host [ ":" port ], without user information; never empty. */
static bool is_authority(struct span s)
{
	if (s.len == 0 || s.len > HOST_MAX)
		return false;
	bool brackets = s.at[0] == '[';
	const uint8_t *end = s.at + s.len;
	const uint8_t *stop = memchr(s.at, brackets ? ']' : ':', s.len);
	if (brackets && stop == NULL)
		return false;
	const uint8_t *host_end = stop != NULL ? stop : end, *rest = host_end + brackets;
	struct span host = span_of(s.at + brackets, (size_t)(host_end - s.at) - brackets);
	if (!all_of(host, brackets ? ip_literal : reg_name))
		return false;
	if (rest == end)
		return true;
	struct span port = span_of(rest + 1, (size_t)(end - rest) - 1);
	return *rest == ':' && port.len <= 5 && (port.len == 0 || all_of(port, decimal));
}

/* ---- request line (RFC 9112 3) ---- */

static enum http1_result take_version(struct parse *p, struct span version)
{
	if (version.len != 8 || memcmp(version.at, "HTTP/", 5) != 0 || version.at[6] != '.' ||
	    version.at[5] < '0' || version.at[5] > '9' || version.at[7] < '0' ||
	    version.at[7] > '9')
		return refuse(p, 400, "malformed HTTP version");
	if (version.at[5] != '1')
		return refuse(p, 505, "only HTTP/1.0 and HTTP/1.1 are served here");
	p->head->minor = version.at[7] == '0' ? 0 : 1;
	return HTTP1_WHOLE;
}

static void split_query(struct http1_head *head, struct span rest)
{
	const uint8_t *mark = rest.len != 0 ? memchr(rest.at, '?', rest.len) : NULL;
	head->path = rest;
	head->query = (struct span){0};
	if (mark == NULL)
		return;
	head->path.len = (size_t)(mark - rest.at);
	head->query = span_of(mark + 1, rest.len - head->path.len - 1);
}

/* RFC 9112 3.2.2: absolute-form, as sent to proxies, must be accepted. */
static enum http1_result take_absolute(struct parse *p, struct span target)
{
	size_t scheme = 0;
	if (target.len > 7 && span_equal_nocase(span_of(target.at, 7), SPAN("http://")))
		scheme = 7;
	else if (target.len > 8 && span_equal_nocase(span_of(target.at, 8), SPAN("https://")))
		scheme = 8;
	if (scheme == 0)
		return refuse(p, 400, "malformed request target");
	size_t end = scheme;
	while (end < target.len && target.at[end] != '/' && target.at[end] != '?')
		end++;
	p->head->host = span_of(target.at + scheme, end - scheme);
	if (!is_authority(p->head->host))
		return refuse(p, 400, "malformed authority in the request target");
	struct span rest = span_of(target.at + end, target.len - end);
	if (rest.len > 1 && rest.at[0] == '/' && rest.at[1] == '/')
		return refuse(p, 400, "path begins with //");
	split_query(p->head, rest);
	if (p->head->path.len == 0)
		p->head->path = SPAN("/");
	return HTTP1_WHOLE;
}

static enum http1_result take_target(struct parse *p, struct span target, size_t max)
{
	p->head->target = target;
	if (target.len > max)
		return refuse(p, 414, "request target too long");
	for (size_t i = 0; i < target.len; i++)
		if (target.at[i] <= 0x20 || target.at[i] >= 0x7f || target.at[i] == '#')
			return refuse(p, 400, "forbidden character in the request target");
	if (target.len == 1 && target.at[0] == '*') {
		p->head->path = target;
		return span_equal(p->head->method, SPAN("OPTIONS"))
		               ? HTTP1_WHOLE
		               : refuse(p, 400, "malformed request target");
	}
	if (target.len == 0 || target.at[0] != '/')
		return take_absolute(p, target);
	/* "//x" would be an authority to whoever resolves it as a reference. */
	if (target.len > 1 && target.at[1] == '/')
		return refuse(p, 400, "request target begins with //");
	split_query(p->head, target);
	return HTTP1_WHOLE;
}

static enum http1_result take_request_line(struct parse *p, const struct http1_limits *limits)
{
	struct span line;
	enum http1_result result;
	int empty = 0;
	while ((result = take_line(p, &line)) == HTTP1_WHOLE && line.len == 0)
		if (++empty > EMPTY_LINES_MAX)
			return refuse(p, 400, "empty lines before the request");
	if (result != HTTP1_WHOLE)
		return result;
	const uint8_t *first = memchr(line.at, ' ', line.len);
	if (first == NULL)
		return refuse(p, 400, "malformed request line");
	const uint8_t *end = line.at + line.len;
	const uint8_t *second = memchr(first + 1, ' ', (size_t)(end - first - 1));
	if (second == NULL)
		return refuse(p, 400, "malformed request line");
	p->head->method = span_of(line.at, (size_t)(first - line.at));
	if (!all_of(p->head->method, token))
		return refuse(p, 400, "malformed method");
	result = take_version(p, span_of(second + 1, (size_t)(end - second - 1)));
	if (result != HTTP1_WHOLE)
		return result;
	return take_target(p, span_of(first + 1, (size_t)(second - first - 1)),
	                   limits->target_bytes);
}

/* ---- fields (RFC 9112 5, 6) ---- */

static struct span trim(struct span s)
{
	while (s.len > 0 && (s.at[0] == ' ' || s.at[0] == '\t'))
		s = span_of(s.at + 1, s.len - 1);
	while (s.len > 0 && (s.at[s.len - 1] == ' ' || s.at[s.len - 1] == '\t'))
		s.len--;
	return s;
}

static enum http1_result take_length(struct parse *p, struct span value)
{
	uint64_t n = 0;
	if (p->head->length_present)
		return refuse(p, 400, "Content-Length given twice");
	if (value.len == 0 || value.len > 19)
		return refuse(p, 400, "malformed Content-Length");
	for (size_t i = 0; i < value.len; i++) {
		if (value.at[i] < '0' || value.at[i] > '9')
			return refuse(p, 400, "malformed Content-Length");
		n = n * 10 + (uint64_t)(value.at[i] - '0');
	}
	p->head->content_length = n;
	p->head->length_present = true;
	return HTTP1_WHOLE;
}

/* RFC 9112 6.3: a request whose last coding is not chunked has no end that both sides agree on;
 * other codings before it are only unknown here. */
static enum http1_result refuse_coding(struct parse *p, struct span value)
{
	const uint8_t *comma = value.len != 0 ? memrchr(value.at, ',', value.len) : NULL;
	const uint8_t *from = comma != NULL ? comma + 1 : value.at;
	struct span last = trim(span_of(from, value.len - (size_t)(from - value.at)));
	if (comma == NULL || !span_equal_nocase(last, SPAN("chunked")))
		return refuse(p, 400, "Transfer-Encoding does not end in chunked");
	return refuse(p, 501, "only chunked transfer coding is served here");
}

static enum http1_result take_transfer(struct parse *p, struct span value)
{
	if (p->transfer_seen)
		return refuse(p, 400, "Transfer-Encoding given twice");
	p->transfer_seen = true;
	if (p->head->minor == 0)
		return refuse(p, 400, "Transfer-Encoding in HTTP/1.0");
	if (!span_equal_nocase(value, SPAN("chunked")))
		return refuse_coding(p, value);
	p->head->chunked = true;
	return HTTP1_WHOLE;
}

static void take_connection(struct parse *p, struct span value)
{
	while (value.len > 0) {
		const uint8_t *comma = memchr(value.at, ',', value.len);
		size_t len = comma != NULL ? (size_t)(comma - value.at) : value.len;
		struct span option = trim(span_of(value.at, len));
		p->connection_close |= span_equal_nocase(option, SPAN("close"));
		p->connection_keep |= span_equal_nocase(option, SPAN("keep-alive"));
		len += comma != NULL;
		value = span_of(value.at + len, value.len - len);
	}
}

static enum http1_result take_host(struct parse *p, struct span value)
{
	if (p->host_seen)
		return refuse(p, 400, "Host given twice");
	p->host_seen = true;
	if (!is_authority(value))
		return refuse(p, 400, "malformed Host");
	if (p->head->host.at == NULL)
		p->head->host = value;
	return HTTP1_WHOLE;
}

/* The fields that frame the message. */
static enum http1_result take_framing(struct parse *p, const struct http1_field *field)
{
	switch (field->name.len) {
	case 4:
		if (span_equal_nocase(field->name, SPAN("host")))
			return take_host(p, field->value);
		break;
	case 6:
		if (!span_equal_nocase(field->name, SPAN("expect")))
			break;
		if (!span_equal_nocase(field->value, SPAN("100-continue")))
			return refuse(p, 417, "only 100-continue can be expected here");
		p->head->expect_continue = p->head->minor == 1;
		break;
	case 10:
		if (span_equal_nocase(field->name, SPAN("connection")))
			take_connection(p, field->value);
		break;
	case 14:
		if (span_equal_nocase(field->name, SPAN("content-length")))
			return take_length(p, field->value);
		break;
	case 17:
		if (span_equal_nocase(field->name, SPAN("transfer-encoding")))
			return take_transfer(p, field->value);
		break;
	default:
		break;
	}
	return HTTP1_WHOLE;
}

static enum http1_result take_field(struct parse *p, struct span line)
{
	if (line.at[0] == ' ' || line.at[0] == '\t')
		return refuse(p, 400, "folded header field"); /* RFC 9112 5.2 */
	const uint8_t *colon = memchr(line.at, ':', line.len);
	if (colon == NULL)
		return refuse(p, 400, "header field without a colon");
	size_t name_len = (size_t)(colon - line.at);
	struct http1_field field = {.name = span_of(line.at, name_len),
	                            .value = trim(span_of(colon + 1, line.len - name_len - 1))};
	if (!all_of(field.name, token)) /* RFC 9112 5.1: no blank before the colon */
		return refuse(p, 400, "malformed header field name");
	for (size_t i = 0; i < field.value.len; i++)
		if ((field.value.at[i] < 0x20 && field.value.at[i] != '\t') ||
		    field.value.at[i] == 0x7f)
			return refuse(p, 400, "control character in a header field");
	if (p->head->fields_count == p->head->fields_max)
		return refuse(p, 431, "too many header fields");
	p->head->fields[p->head->fields_count++] = field;
	return take_framing(p, &field);
}

static enum http1_result finish(struct parse *p)
{
	struct http1_head *head = p->head;
	if (head->minor == 1 && !p->host_seen)
		return refuse(p, 400, "Host is missing"); /* RFC 9112 3.2 */
	/* RFC 9112 6.1: both together are how requests are smuggled. */
	if (head->chunked && head->length_present)
		return refuse(p, 400, "both Transfer-Encoding and Content-Length");
	head->keep_alive = head->minor == 1 ? !p->connection_close
	                                    : p->connection_keep && !p->connection_close;
	return HTTP1_WHOLE;
}

static enum http1_result parse_all(struct parse *p, const struct http1_limits *limits)
{
	enum http1_result result = take_request_line(p, limits);
	while (result == HTTP1_WHOLE) {
		struct span line;
		result = take_line(p, &line);
		if (result != HTTP1_WHOLE)
			break;
		if (line.len == 0)
			return finish(p);
		result = take_field(p, line);
	}
	return result;
}

enum http1_result http1_parse(struct span bytes, const struct http1_limits *limits,
                              struct http1_head *head, unsigned *status, const char **reason)
{
	struct http1_field *fields = head->fields;
	size_t fields_max = head->fields_max;
	*head = (struct http1_head){.fields = fields, .fields_max = fields_max};
	size_t seen = bytes.len < limits->head_bytes ? bytes.len : limits->head_bytes;
	struct parse p = {.at = bytes.at,
	                  .end = bytes.at + seen,
	                  .head = head,
	                  .status = status,
	                  .reason = reason};
	enum http1_result result = parse_all(&p, limits);
	head->bytes = (size_t)(p.at - bytes.at);
	if (result == HTTP1_MORE && seen == limits->head_bytes) {
		bool in_line = memchr(bytes.at, '\n', seen) == NULL;
		return in_line ? refuse(&p, 414, "request target too long")
		               : refuse(&p, 431, "header fields too large");
	}
	return result;
}

/* ---- chunked bodies ---- */

enum chunk_state {
	SIZE,       /* hexadecimal digits */
	SIZE_BLANK, /* blanks after them: only an extension may follow */
	EXTENSION,  /* from ';' up to CR */
	SIZE_LF,
	DATA,
	DATA_CR,
	DATA_LF,
	TRAILER, /* at the beginning of a line */
	TRAILER_NAME,
	TRAILER_VALUE,
	TRAILER_LF,
	END_LF,
};

static int hex_digit(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool is_text(uint8_t octet)
{
	return octet == '\t' || (octet >= 0x20 && octet != 0x7f);
}

/* RFC 9112 7.1.1: after the size come extensions, blanks before each, or the line's end, and
 * nothing else. */
static bool size_ended(struct http1_chunked *c, uint8_t octet)
{
	bool blank = octet == ' ' || octet == '\t';
	c->state = octet == '\r' ? SIZE_LF : blank ? SIZE_BLANK : EXTENSION;
	return octet == '\r' || octet == ';' || blank;
}

/* One octet of what is not data. False: malformed. */
static bool chunk_step(struct http1_chunked *c, uint8_t octet)
{
	int digit;
	if (c->line_bytes++ > CHUNK_LINE_MAX)
		return false;
	switch ((enum chunk_state)c->state) {
	case SIZE:
		digit = hex_digit(octet);
		if (digit >= 0) {
			c->digits = true;
			bool fits = c->left >> 56 == 0;
			c->left = c->left << 4 | (uint64_t)digit;
			return fits;
		}
		return c->digits && size_ended(c, octet);
	case SIZE_BLANK:
		return octet != '\r' && size_ended(c, octet);
	case EXTENSION:
		if (octet == '\r')
			c->state = SIZE_LF;
		return octet == '\r' || is_text(octet);
	case SIZE_LF:
		c->state = c->left != 0 ? DATA : TRAILER;
		c->line_bytes = 0;
		c->digits = false;
		return octet == '\n';
	case DATA_CR:
		c->state = DATA_LF;
		return octet == '\r';
	case DATA_LF:
		c->state = SIZE;
		c->line_bytes = 0;
		return octet == '\n';
	case TRAILER:
		c->state = octet == '\r' ? END_LF : TRAILER_NAME;
		return octet == '\r' || token[octet];
	case TRAILER_NAME:
		if (octet == ':')
			c->state = TRAILER_VALUE;
		return octet == ':' || token[octet];
	case TRAILER_VALUE:
		if (octet == '\r')
			c->state = TRAILER_LF;
		return octet == '\r' || is_text(octet);
	case TRAILER_LF:
		/* line_bytes goes on: it bounds all trailer fields together. */
		c->state = TRAILER;
		return octet == '\n';
	case DATA:
	case END_LF:
		break;
	}
	return false;
}

enum http1_chunked_result http1_chunked_read(struct http1_chunked *chunked, struct span *in,
                                             struct span *data)
{
	while (in->len > 0) {
		if (chunked->state == DATA) {
			size_t n = chunked->left < in->len ? (size_t)chunked->left : in->len;
			*data = span_of(in->at, n);
			*in = span_of(in->at + n, in->len - n);
			chunked->left -= n;
			if (chunked->left == 0)
				chunked->state = DATA_CR;
			chunked->line_bytes = 0;
			return HTTP1_CHUNKED_DATA;
		}
		uint8_t octet = in->at[0];
		*in = span_of(in->at + 1, in->len - 1);
		if (chunked->state == END_LF)
			return octet == '\n' ? HTTP1_CHUNKED_END : HTTP1_CHUNKED_BAD;
		if (!chunk_step(chunked, octet))
			return HTTP1_CHUNKED_BAD;
	}
	return HTTP1_CHUNKED_MORE;
}
