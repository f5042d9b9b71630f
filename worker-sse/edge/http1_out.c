#include "worker-sse/edge/http1_out.h"
#include "common/base/check.h"

#include <string.h>

const char *http1_status_line(unsigned status)
{
	switch (status) {
#define S(code, text)                                                                              \
	case code:                                                                                 \
		return "HTTP/1.1 " #code " " text "\r\n";
		S(101, "Switching Protocols")
		S(200, "OK")
		S(201, "Created")
		S(202, "Accepted")
		S(204, "No Content")
		S(206, "Partial Content")
		S(304, "Not Modified")
		S(307, "Temporary Redirect")
		S(308, "Permanent Redirect")
		S(400, "Bad Request")
		S(401, "Unauthorized")
		S(402, "Payment Required")
		S(403, "Forbidden")
		S(404, "Not Found")
		S(405, "Method Not Allowed")
		S(406, "Not Acceptable")
		S(408, "Request Timeout")
		S(409, "Conflict")
		S(410, "Gone")
		S(412, "Precondition Failed")
		S(413, "Content Too Large")
		S(414, "URI Too Long")
		S(415, "Unsupported Media Type")
		S(416, "Range Not Satisfiable")
		S(417, "Expectation Failed")
		S(421, "Misdirected Request")
		S(422, "Unprocessable Content")
		S(426, "Upgrade Required")
		S(428, "Precondition Required")
		S(429, "Too Many Requests")
		S(431, "Request Header Fields Too Large")
		S(500, "Internal Server Error")
		S(501, "Not Implemented")
		S(502, "Bad Gateway")
		S(503, "Service Unavailable")
		S(505, "HTTP Version Not Supported")
		S(507, "Insufficient Storage")
#undef S
	default:
		return NULL;
	}
}

void http1_put(struct http1_out *head, const void *at, size_t len)
{
	check(head->len + len <= sizeof head->bytes);
	memcpy(head->bytes + head->len, at, len);
	head->len += len;
}

void http1_put_text(struct http1_out *head, const char *text)
{
	http1_put(head, text, strlen(text));
}

void http1_put_number(struct http1_out *head, uint64_t n)
{
	char digits[24];
	size_t at = sizeof digits;
	do
		digits[--at] = (char)('0' + n % 10);
	while ((n /= 10) != 0);
	http1_put(head, digits + at, sizeof digits - at);
}

/* A value never splits a head: what a client sent may come back in it. */
void http1_put_value(struct http1_out *head, struct span value)
{
	for (size_t i = 0; i < value.len; i++)
		check(value.at[i] != '\r' && value.at[i] != '\n' && value.at[i] != '\0');
	http1_put(head, value.at, value.len);
}
