/* RFC 9112 by table: what is a request, what is refused and with which status; the same however the
 * bytes are cut. */
#include "common/base/http1.h"

#include <stdarg.h>
#include <setjmp.h>
#include <stdlib.h>
#include <cmocka.h>

enum { FIELDS_MAX = 16 };

static const struct http1_limits limits = {.head_bytes = 1024, .target_bytes = 128};

/* In memory of its own size, so that a sanitizer sees one byte too many. */
static enum http1_result parse(struct span bytes, struct http1_head *head, unsigned *status)
{
	static struct http1_field fields[FIELDS_MAX];
	static uint8_t *copy;
	const char *reason = NULL;
	free(copy); /* the former one: the caller is done with its spans */
	copy = malloc(bytes.len + (bytes.len == 0));
	assert_non_null(copy);
	memcpy(copy, bytes.at, bytes.len);
	*head = (struct http1_head){.fields = fields, .fields_max = FIELDS_MAX};
	*status = 0;
	enum http1_result result =
	        http1_parse(span_of(copy, bytes.len), &limits, head, status, &reason);
	assert_true((result == HTTP1_REFUSED) == (*status != 0));
	assert_true((result == HTTP1_REFUSED) == (reason != NULL));
	return result;
}

static void assert_span(struct span s, const char *text)
{
	if (text == NULL) {
		assert_null(s.at);
		return;
	}
	assert_non_null(s.at);
	assert_int_equal(s.len, strlen(text));
	assert_memory_equal(s.at, text, s.len);
}

/* ---- refused ---- */

#define H    "Host: x\r\n"
#define GET  "GET / HTTP/1.1\r\n"
#define POST "POST / HTTP/1.1\r\n" H

struct refused {
	unsigned status;
	struct span bytes;
};
#define R(status, text)                                                                            \
	{                                                                                          \
		status, SPAN(text)                                                                 \
	}

static const struct refused refused[] = {
        /* 2.2: lines end in CRLF; neither CR nor LF stands alone */
        R(400, "GET / HTTP/1.1\nHost: x\n\n"),
        R(400, "GET / HTTP/1.1\r\nHost: x\n\r\n"),
        R(400, "GET / HTTP/1.1\rHost: x\r\n\r\n"),
        R(400, GET "Host: x\r\nA: b\rc\r\n\r\n"),
        R(400, "\r\n\r\n\r\n\r\n\r\n" GET H "\r\n"),
        R(400, "\n" GET H "\r\n"),
        R(400, " GET / HTTP/1.1\r\n" H "\r\n"),
        /* 2.3: version */
        R(400, "GET /\r\n" H "\r\n"),
        R(400, "GET / http/1.1\r\n" H "\r\n"),
        R(400, "GET / HTTP/1.1 \r\n" H "\r\n"),
        R(400, "GET / HTTP/11\r\n" H "\r\n"),
        R(400, "GET / HTTP/1.10\r\n" H "\r\n"),
        R(400, "GET / HTTP/x.1\r\n" H "\r\n"),
        R(505, "GET / HTTP/2.0\r\n" H "\r\n"),
        R(505, "GET / HTTP/0.9\r\n" H "\r\n"),
        R(505, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        /* 3: request line */
        R(400, "GET\r\n" H "\r\n"),
        R(400, "GET  / HTTP/1.1\r\n" H "\r\n"),
        R(400, "GET /  HTTP/1.1\r\n" H "\r\n"),
        R(400, "GET / x HTTP/1.1\r\n" H "\r\n"),
        R(400, "GET\t/\tHTTP/1.1\r\n" H "\r\n"),
        R(400, "G(T / HTTP/1.1\r\n" H "\r\n"),
        R(400, "G\0T / HTTP/1.1\r\n" H "\r\n"),
        R(400, "/ HTTP/1.1\r\n" H "\r\n"),
        /* 3.2: target */
        R(400, "GET // HTTP/1.1\r\n" H "\r\n"),
        R(400, "GET //x/y HTTP/1.1\r\n" H "\r\n"),
        R(400, "GET x HTTP/1.1\r\n" H "\r\n"),
        R(400, "GET ?x HTTP/1.1\r\n" H "\r\n"),
        R(400, "GET /#x HTTP/1.1\r\n" H "\r\n"),
        R(400, "GET /\x7f HTTP/1.1\r\n" H "\r\n"),
        R(400, "GET /\xc3\xa4 HTTP/1.1\r\n" H "\r\n"),
        R(400, "GET /\0 HTTP/1.1\r\n" H "\r\n"),
        R(400, "GET * HTTP/1.1\r\n" H "\r\n"),
        R(400, "OPTIONS ** HTTP/1.1\r\n" H "\r\n"),
        R(400, "CONNECT x:443 HTTP/1.1\r\n" H "\r\n"),
        R(400, "GET ftp://x/ HTTP/1.1\r\n" H "\r\n"),
        R(400, "GET http:///x HTTP/1.1\r\n" H "\r\n"),
        R(400, "GET http://a@b/ HTTP/1.1\r\n" H "\r\n"),
        R(400, "GET http://a//b HTTP/1.1\r\n" H "\r\n"),
        R(400, "GET http:// HTTP/1.1\r\n" H "\r\n"),
        /* 3.2: Host */
        R(400, GET "\r\n"),
        R(400, GET "A: b\r\n\r\n"),
        R(400, "GET http://x/ HTTP/1.1\r\n\r\n"),
        R(400, GET "Host: a\r\nHost: a\r\n\r\n"),
        R(400, GET "Host: a\r\nhOST: b\r\n\r\n"),
        R(400, GET "Host:\r\n\r\n"),
        R(400, GET "Host: a b\r\n\r\n"),
        R(400, GET "Host: a,b\r\n\r\n"),
        R(400, GET "Host: a/b\r\n\r\n"),
        R(400, GET "Host: a@b\r\n\r\n"),
        R(400, GET "Host: :80\r\n\r\n"),
        R(400, GET "Host: a:b\r\n\r\n"),
        R(400, GET "Host: a:1:2\r\n\r\n"),
        R(400, GET "Host: a:123456\r\n\r\n"),
        R(400, GET "Host: [::1\r\n\r\n"),
        R(400, GET "Host: [::1]x\r\n\r\n"),
        R(400, GET "Host: []\r\n\r\n"),
        R(400, GET "Host: a]\r\n\r\n"),
        R(400, GET "Host: [a b]\r\n\r\n"),
        /* 5: fields */
        R(400, GET H "A : b\r\n\r\n"),
        R(400, GET H ": b\r\n\r\n"),
        R(400, GET H "A\r\n\r\n"),
        R(400, GET H "A b: c\r\n\r\n"),
        R(400, GET H "A\0: b\r\n\r\n"),
        R(400, GET H "A: b\0\r\n\r\n"),
        R(400, GET H "A: \x01\r\n\r\n"),
        R(400, GET H "A: \x7f\r\n\r\n"),
        R(400, GET H "\xc3\xa4: b\r\n\r\n"),
        /* 5.2: folding */
        R(400, GET H "A: b\r\n c\r\n\r\n"),
        R(400, GET H "A: b\r\n\tc\r\n\r\n"),
        R(400, GET " Host: x\r\n\r\n"),
        /* 6.2: Content-Length */
        R(400, POST "Content-Length: 3\r\nContent-Length: 3\r\n\r\n"),
        R(400, POST "Content-Length: 3\r\nContent-Length: 4\r\n\r\n"),
        R(400, POST "Content-Length: 3, 3\r\n\r\n"),
        R(400, POST "Content-Length: +3\r\n\r\n"),
        R(400, POST "Content-Length: -3\r\n\r\n"),
        R(400, POST "Content-Length: 0x3\r\n\r\n"),
        R(400, POST "Content-Length: 3 3\r\n\r\n"),
        R(400, POST "Content-Length: 3.0\r\n\r\n"),
        R(400, POST "Content-Length:\r\n\r\n"),
        R(400, POST "Content-Length: 18446744073709551616\r\n\r\n"),
        /* 6.1, 6.3: transfer codings */
        R(400, POST "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"),
        R(400, POST "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n"),
        R(400, POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"),
        R(400, POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n"),
        R(400, POST "Transfer-Encoding: gzip\r\n\r\n"),
        R(400, POST "Transfer-Encoding: identity\r\n\r\n"),
        R(400, POST "Transfer-Encoding: chunked, gzip\r\n\r\n"),
        R(400, POST "Transfer-Encoding: chunked,\r\n\r\n"),
        R(400, POST "Transfer-Encoding: xchunked\r\n\r\n"),
        R(400, POST "Transfer-Encoding: \x0b"
                    "chunked\r\n\r\n"),
        R(400, POST "Transfer-Encoding : chunked\r\n\r\n"),
        R(400, POST "Transfer-Encoding:\r\n\r\n"),
        R(400, "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"),
        R(501, POST "Transfer-Encoding: gzip, chunked\r\n\r\n"),
        R(501, POST "Transfer-Encoding: chunked, chunked\r\n\r\n"),
        /* RFC 9110 10.1.1 */
        R(417, POST "Expect: tea\r\n\r\n"),
};

static void test_refused(void **unused)
{
	(void)unused;
	for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
		struct http1_head head;
		unsigned status;
		enum http1_result result = parse(refused[i].bytes, &head, &status);
		if (result != HTTP1_REFUSED || status != refused[i].status)
			fail_msg("row %zu, %.*s: result %d, status %u", i,
			         (int)refused[i].bytes.len, (const char *)refused[i].bytes.at,
			         (int)result, status);
	}
}

/* Cut anywhere, a refused head is never whole, and once refused it stays so. */
static void test_refused_is_never_whole_before(void **unused)
{
	(void)unused;
	for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
		bool before = false;
		for (size_t len = 0; len <= refused[i].bytes.len; len++) {
			struct http1_head head;
			unsigned status;
			enum http1_result result =
			        parse(span_of(refused[i].bytes.at, len), &head, &status);
			assert_int_not_equal(result, HTTP1_WHOLE);
			assert_true(!before || result == HTTP1_REFUSED);
			before = result == HTTP1_REFUSED;
		}
	}
}

/* ---- accepted ---- */

struct whole {
	struct span bytes;
	const char *method, *path, *query, *host;
	unsigned minor;
	bool keep_alive, chunked, expect;
	int64_t length; /* -1: none */
	size_t fields;
};

static const struct whole whole[] = {
        {SPAN(GET H "\r\n"), "GET", "/", NULL, "x", 1, true, false, false, -1, 1},
        {SPAN("\r\n\r\n" GET H "\r\n"), "GET", "/", NULL, "x", 1, true, false, false, -1, 1},
        {SPAN("GET /a/b?c=d?e HTTP/1.1\r\n" H "\r\n"), "GET", "/a/b", "c=d?e", "x", 1, true, false,
         false, -1, 1},
        {SPAN("GET /? HTTP/1.1\r\n" H "\r\n"), "GET", "/", "", "x", 1, true, false, false, -1, 1},
        {SPAN("GET /a//b HTTP/1.1\r\n" H "\r\n"), "GET", "/a//b", NULL, "x", 1, true, false, false,
         -1, 1},
        {SPAN("GET http://h:1/p?q HTTP/1.1\r\nHost: x\r\n\r\n"), "GET", "/p", "q", "h:1", 1, true,
         false, false, -1, 1},
        {SPAN("GET HTTPS://h HTTP/1.1\r\nHost: x\r\n\r\n"), "GET", "/", NULL, "h", 1, true, false,
         false, -1, 1},
        {SPAN("GET http://h?q HTTP/1.1\r\nHost: x\r\n\r\n"), "GET", "/", "q", "h", 1, true, false,
         false, -1, 1},
        {SPAN("OPTIONS * HTTP/1.1\r\n" H "\r\n"), "OPTIONS", "*", NULL, "x", 1, true, false, false,
         -1, 1},
        {SPAN(GET "hOsT:\t [::1]:80 \t\r\n\r\n"), "GET", "/", NULL, "[::1]:80", 1, true, false,
         false, -1, 1},
        {SPAN(GET "Host: a:\r\n\r\n"), "GET", "/", NULL, "a:", 1, true, false, false, -1, 1},
        {SPAN("GET / HTTP/1.0\r\n\r\n"), "GET", "/", NULL, NULL, 0, false, false, false, -1, 0},
        {SPAN("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n"), "GET", "/", NULL, NULL, 0, true,
         false, false, -1, 1},
        {SPAN("GET / HTTP/1.2\r\n" H "\r\n"), "GET", "/", NULL, "x", 1, true, false, false, -1, 1},
        {SPAN(GET H "Connection: upgrade , CLOSE\r\n\r\n"), "GET", "/", NULL, "x", 1, false, false,
         false, -1, 2},
        {SPAN(GET H "Connection: keep-alive\r\nConnection: close\r\n\r\n"), "GET", "/", NULL, "x",
         1, false, false, false, -1, 3},
        {SPAN(POST "Content-Length: 0\r\n\r\n"), "POST", "/", NULL, "x", 1, true, false, false, 0,
         2},
        {SPAN(POST "content-length:0042\r\n\r\n"), "POST", "/", NULL, "x", 1, true, false, false,
         42, 2},
        {SPAN(POST "Transfer-Encoding: Chunked\r\n\r\n"), "POST", "/", NULL, "x", 1, true, true,
         false, -1, 2},
        {SPAN(POST "Expect: 100-Continue\r\nContent-Length: 5\r\n\r\n"), "POST", "/", NULL, "x", 1,
         true, false, true, 5, 3},
        {SPAN("POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"), "POST", "/",
         NULL, NULL, 0, false, false, false, 5, 2},
        {SPAN(GET H "A: \xc3\xa4\tb\r\nB:\r\n\r\n"), "GET", "/", NULL, "x", 1, true, false, false,
         -1, 3},
        {SPAN("M-SEARCH / HTTP/1.1\r\n" H "\r\n"), "M-SEARCH", "/", NULL, "x", 1, true, false,
         false, -1, 1},
};

static void assert_whole(const struct whole *row, const struct http1_head *head)
{
	assert_span(head->method, row->method);
	assert_span(head->path, row->path);
	assert_span(head->query, row->query);
	assert_span(head->host, row->host);
	assert_int_equal(head->minor, row->minor);
	assert_int_equal(head->keep_alive, row->keep_alive);
	assert_int_equal(head->chunked, row->chunked);
	assert_int_equal(head->expect_continue, row->expect);
	assert_int_equal(head->length_present, row->length >= 0);
	assert_int_equal(head->content_length, row->length >= 0 ? (uint64_t)row->length : 0);
	assert_int_equal(head->fields_count, row->fields);
	assert_int_equal(head->bytes, row->bytes.len);
}

static void test_split_at_every_byte(void **unused)
{
	(void)unused;
	for (size_t i = 0; i < sizeof whole / sizeof *whole; i++) {
		struct http1_head head;
		unsigned status;
		for (size_t len = 0; len < whole[i].bytes.len; len++)
			assert_int_equal(parse(span_of(whole[i].bytes.at, len), &head, &status),
			                 HTTP1_MORE);
		assert_int_equal(parse(whole[i].bytes, &head, &status), HTTP1_WHOLE);
		assert_whole(&whole[i], &head);
	}
}

static void test_what_follows_the_head_is_left_alone(void **unused)
{
	uint8_t bytes[512];
	(void)unused;
	for (size_t i = 0; i < sizeof whole / sizeof *whole; i++) {
		struct http1_head head;
		unsigned status;
		size_t len = whole[i].bytes.len;
		memcpy(bytes, whole[i].bytes.at, len);
		memcpy(bytes + len, "\0\n body", 7);
		assert_int_equal(parse(span_of(bytes, len + 7), &head, &status), HTTP1_WHOLE);
		assert_whole(&whole[i], &head);
	}
}

/* ---- limits ---- */

static enum http1_result parse_text(char *text, unsigned *status)
{
	struct http1_head head;
	enum http1_result result = parse(span_str(text), &head, status);
	free(text);
	return result;
}

static char *head_with(const char *before, char fill, size_t count, const char *after)
{
	size_t from = strlen(before);
	char *text = malloc(from + count + strlen(after) + 1);
	assert_non_null(text);
	memcpy(text, before, from);
	memset(text + from, fill, count);
	strcpy(text + from + count, after);
	return text;
}

static void test_limits(void **unused)
{
	unsigned status;
	(void)unused;
	const char *end = " HTTP/1.1\r\n" H "\r\n";
	assert_int_equal(parse_text(head_with("GET /", 'a', 127, end), &status), HTTP1_WHOLE);
	assert_int_equal(parse_text(head_with("GET /", 'a', 128, end), &status), HTTP1_REFUSED);
	assert_int_equal(status, 414);
	assert_int_equal(parse_text(head_with("GET /", 'a', 5000, ""), &status), HTTP1_REFUSED);
	assert_int_equal(status, 414);
	const char *field = GET H "A: ";
	size_t room = 1024 - strlen(field) - 4;
	assert_int_equal(parse_text(head_with(field, 'a', room, "\r\n\r\n"), &status), HTTP1_WHOLE);
	assert_int_equal(parse_text(head_with(field, 'a', room + 1, "\r\n\r\n"), &status),
	                 HTTP1_REFUSED);
	assert_int_equal(status, 431);
	assert_int_equal(parse_text(head_with(GET "Host: ", 'a', 321, "\r\n\r\n"), &status),
	                 HTTP1_REFUSED);
	assert_int_equal(status, 400);
}

static void test_too_many_fields(void **unused)
{
	char text[1024] = GET H;
	unsigned status;
	struct http1_head head;
	(void)unused;
	for (int i = 1; i < FIELDS_MAX; i++)
		strcat(text, "A: b\r\n");
	size_t len = strlen(text);
	strcat(text, "\r\n");
	assert_int_equal(parse(span_str(text), &head, &status), HTTP1_WHOLE);
	assert_int_equal(head.fields_count, FIELDS_MAX);
	strcpy(text + len, "A: b\r\n\r\n");
	assert_int_equal(parse(span_str(text), &head, &status), HTTP1_REFUSED);
	assert_int_equal(status, 431);
}

/* ---- chunked ---- */

/* Decodes in two pieces. Returns how it ended; `left` what was not consumed. */
static enum http1_chunked_result decode(struct span bytes, size_t cut, char *out, size_t *left)
{
	struct http1_chunked chunked = {0};
	struct span pieces[2] = {span_of(bytes.at, cut), span_of(bytes.at + cut, bytes.len - cut)};
	enum http1_chunked_result result = HTTP1_CHUNKED_MORE;
	*out = '\0';
	*left = 0;
	for (int i = 0; i < 2; i++) {
		struct span data;
		while ((result = http1_chunked_read(&chunked, &pieces[i], &data)) ==
		       HTTP1_CHUNKED_DATA) {
			assert_true(data.len > 0);
			strncat(out, (const char *)data.at, data.len);
		}
		if (result != HTTP1_CHUNKED_MORE)
			break;
		assert_int_equal(pieces[i].len, 0);
	}
	*left = pieces[0].len + pieces[1].len;
	return result;
}

static void test_chunked_split_at_every_byte(void **unused)
{
	static const struct {
		struct span bytes;
		const char *body;
		size_t left;
	} rows[] = {
	        {SPAN("0\r\n\r\n"), "", 0},
	        {SPAN("000\r\n\r\nGET "), "", 4},
	        {SPAN("3\r\nabc\r\n0\r\n\r\n"), "abc", 0},
	        {SPAN("3\r\nabc\r\n0A\r\n0123456789\r\n0\r\n\r\nx"), "abc0123456789", 1},
	        {SPAN("3;x\r\nabc\r\n2 ; y=\"z;\"\r\nde\r\n0;last\r\n\r\n"), "abcde", 0},
	        {SPAN("1 \t;\r\n\r\r\n0\r\n\r\n"), "\r", 0},
	        {SPAN("1\r\na\r\n0\r\nT: v\r\nU:\r\n\r\n"), "a", 0},
	};
	(void)unused;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		for (size_t cut = 0; cut <= rows[i].bytes.len - rows[i].left; cut++) {
			char body[64];
			size_t left;
			assert_int_equal(decode(rows[i].bytes, cut, body, &left),
			                 HTTP1_CHUNKED_END);
			assert_string_equal(body, rows[i].body);
			assert_int_equal(left, rows[i].left);
		}
}

static void test_chunked_malformed(void **unused)
{
	static const struct span rows[] = {
	        SPAN("\r\n"),
	        SPAN("g\r\n"),
	        SPAN("1 \r\na\r\n"),
	        SPAN("1\t\r\na\r\n"),
	        SPAN(" 1\r\na\r\n"),
	        SPAN("-1\r\n"),
	        SPAN("+1\r\n"),
	        SPAN("0x1\r\na\r\n"),
	        SPAN(";x\r\n"),
	        SPAN("1\na\r\n"),
	        SPAN("1\r\r\n"),
	        SPAN("1 x\r\na\r\n"),
	        SPAN("1;\x01\r\na\r\n"),
	        SPAN("1;a\nb\r\n"),
	        SPAN("1\r\nab\r\n"),
	        SPAN("1\r\na\n"),
	        SPAN("1\r\na\rx"),
	        SPAN("ffffffffffffffffff\r\n"),
	        SPAN("0\r\n\n"),
	        SPAN("0\r\n\rx"),
	        SPAN("0\r\nno colon\r\n"),
	        SPAN("0\r\nT\r\n\r\n"),
	        SPAN("0\r\n: v\r\n"),
	        SPAN("0\r\n T: v\r\n"),
	        SPAN("0\r\nT: \0\r\n"),
	        SPAN("0\r\nT: v\n"),
	};
	(void)unused;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		for (size_t cut = 0; cut <= rows[i].len; cut++) {
			char body[64];
			size_t left;
			if (decode(rows[i], cut, body, &left) != HTTP1_CHUNKED_BAD)
				fail_msg("row %zu cut at %zu", i, cut);
		}
}

/* Extensions and trailers cost the sender, not us: both are bounded. */
static void test_chunked_bounds(void **unused)
{
	static const char *const begins[] = {"1;", "1 ", "0\r\nT: ", "000"};
	(void)unused;
	for (size_t i = 0; i < sizeof begins / sizeof *begins; i++) {
		char *text = head_with(begins[i], i == 3 ? '0' : i == 1 ? ' ' : 'a', 300, "");
		char body[64];
		size_t left;
		assert_int_equal(decode(span_str(text), 7, body, &left), HTTP1_CHUNKED_BAD);
		free(text);
	}
	char many[2048] = "0\r\n";
	for (int i = 0; i < 100; i++)
		strcat(many, "T: v\r\n");
	char body[64];
	size_t left;
	assert_int_equal(decode(span_str(many), 0, body, &left), HTTP1_CHUNKED_BAD);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_refused),
	        cmocka_unit_test(test_refused_is_never_whole_before),
	        cmocka_unit_test(test_split_at_every_byte),
	        cmocka_unit_test(test_what_follows_the_head_is_left_alone),
	        cmocka_unit_test(test_limits),
	        cmocka_unit_test(test_too_many_fields),
	        cmocka_unit_test(test_chunked_split_at_every_byte),
	        cmocka_unit_test(test_chunked_malformed),
	        cmocka_unit_test(test_chunked_bounds),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
