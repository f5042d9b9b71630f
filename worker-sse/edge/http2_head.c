#include "worker-sse/edge/http2_head.h"
#include "common/base/check.h"

#include <stdlib.h>
#include <string.h>

enum { FIELD_COST = 4 }; /* ": " and CRLF of a line */

/* ---- requests ---- */

static void put(struct http2_text *text, const void *at, size_t len)
{
	if (text->len + len + 1 > text->room) {
		text->room = (text->len + len + 1) * 2;
		text->at = xrealloc(text->at, text->room);
	}
	if (len > 0)
		memcpy(text->at + text->len, at, len);
	text->len += len;
}

static void put_text(struct http2_text *text, const char *string)
{
	put(text, string, strlen(string));
}

static void forget(struct http2_text *text)
{
	free(text->at);
	*text = (struct http2_text){0};
}

void http2_head_finish(struct http2_head *head)
{
	forget(&head->method);
	forget(&head->path);
	forget(&head->scheme);
	forget(&head->authority);
	forget(&head->protocol);
	forget(&head->host);
	forget(&head->lines);
	forget(&head->all);
}

void http2_head_begin(struct http2_head *head, size_t bytes_max)
{
	http2_head_finish(head);
	head->bytes = 0;
	head->bytes_max = bytes_max;
}

static struct http2_text *pseudo(struct http2_head *head, struct span name)
{
	const struct {
		struct span name;
		struct http2_text *text;
	} rows[] = {{SPAN(":method"), &head->method},     {SPAN(":path"), &head->path},
	            {SPAN(":scheme"), &head->scheme},     {SPAN(":authority"), &head->authority},
	            {SPAN(":protocol"), &head->protocol}, {SPAN("host"), &head->host}};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		if (span_equal(name, rows[i].name) && rows[i].text->at == NULL)
			return rows[i].text;
	return NULL;
}

/* Of a WebSocket that comes by CONNECT these mean nothing (RFC 8441 5). */
static bool is_of_handshake(struct span name)
{
	return span_equal(name, SPAN("sec-websocket-key")) || span_equal(name, SPAN("upgrade"));
}

bool http2_head_add(struct http2_head *head, struct span name, struct span value)
{
	head->bytes += name.len + value.len + FIELD_COST;
	if (head->bytes > head->bytes_max)
		return false;
	struct http2_text *own = pseudo(head, name);
	if (own != NULL) {
		put(own, value.at, value.len);
		return true;
	}
	if (head->protocol.at != NULL && is_of_handshake(name))
		return true;
	put(&head->lines, name.at, name.len);
	put(&head->lines, ": ", 2);
	put(&head->lines, value.at, value.len);
	put(&head->lines, "\r\n", 2);
	return true;
}

static struct span span_of_text(const struct http2_text *text)
{
	return span_of(text->at, text->len);
}

/* Nothing that would end a line, or be another part of it, in HTTP/1.1. */
static bool one_word(const struct http2_text *text)
{
	for (size_t i = 0; i < text->len; i++)
		if (text->at[i] <= 0x20 || text->at[i] == 0x7f)
			return false;
	return true;
}

bool http2_head_tunnels(const struct http2_head *head)
{
	return head->protocol.at != NULL;
}

static const char *fault_of(const struct http2_head *head)
{
	struct span scheme = span_of_text(&head->scheme);
	if (head->protocol.at != NULL &&
	    !span_equal(span_of_text(&head->protocol), SPAN("websocket")))
		return "no other protocol than websocket is served by CONNECT";
	if (!one_word(&head->method) || !one_word(&head->path) || !one_word(&head->authority) ||
	    !one_word(&head->host))
		return "forbidden character in a pseudo-field";
	if (scheme.at != NULL && !span_equal_nocase(scheme, SPAN("http")) &&
	    !span_equal_nocase(scheme, SPAN("https")))
		return "no other schemes than http and https are served here";
	/* RFC 9113 8.3.1 */
	if (head->authority.at != NULL && head->host.at != NULL &&
	    !span_equal_nocase(span_of_text(&head->authority), span_of_text(&head->host)))
		return ":authority and Host name two servers";
	return NULL;
}

struct span http2_head_text(struct http2_head *head, const char **fault)
{
	bool tunnels = http2_head_tunnels(head);
	const struct http2_text *host = head->authority.at != NULL ? &head->authority : &head->host;
	struct http2_text *all = &head->all;
	*fault = fault_of(head);
	all->len = 0;
	if (tunnels)
		put_text(all, "GET");
	else
		put(all, head->method.at, head->method.len);
	put_text(all, " ");
	if (head->path.at != NULL)
		put(all, head->path.at, head->path.len);
	else
		put_text(all, "/"); /* a CONNECT that names no protocol: nobody serves it */
	put_text(all, " HTTP/1.1\r\nhost: ");
	put(all, host->at, host->len);
	put_text(all, "\r\n");
	if (tunnels) /* RFC 8441 5: these are said by :protocol */
		put_text(all, "upgrade: websocket\r\nconnection: upgrade\r\n"
		              "sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n");
	put(all, head->lines.at, head->lines.len);
	put_text(all, "\r\n");
	return span_of_text(all);
}

/* ---- answers ---- */

static bool is_of_connection(struct span name)
{
	static const struct span names[] = {SPAN("connection"), SPAN("keep-alive"),
	                                    SPAN("transfer-encoding"), SPAN("upgrade"),
	                                    SPAN("sec-websocket-accept")};
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (span_equal(name, names[i]))
			return true;
	return false;
}

static nghttp2_nv field_of(struct span name, struct span value)
{
	/* What is secret, or another each time, is nothing to remember (RFC 7541 7.1.3). */
	bool secret = span_equal(name, SPAN("set-cookie"));
	return (nghttp2_nv){.name = (uint8_t *)(uintptr_t)name.at,
	                    .value = (uint8_t *)(uintptr_t)value.at,
	                    .namelen = name.len,
	                    .valuelen = value.len,
	                    .flags = secret ? NGHTTP2_NV_FLAG_NO_INDEX : NGHTTP2_NV_FLAG_NONE};
}

size_t http2_head_fields(struct span status, struct span lines, nghttp2_nv fields[HTTP2_FIELDS_MAX])
{
	size_t count = 0;
	fields[count++] = field_of(SPAN(":status"), status);
	while (lines.len > 0) {
		const uint8_t *end = memchr(lines.at, '\r', lines.len);
		check(end != NULL);
		const uint8_t *colon = memchr(lines.at, ':', (size_t)(end - lines.at));
		check(colon != NULL && count < HTTP2_FIELDS_MAX);
		struct span name = span_of(lines.at, (size_t)(colon - lines.at)),
		            value = span_of(colon + 2, (size_t)(end - colon) - 2);
		if (!is_of_connection(name))
			fields[count++] = field_of(name, value);
		lines = span_of(end + 2, lines.len - (size_t)(end + 2 - lines.at));
	}
	return count;
}
