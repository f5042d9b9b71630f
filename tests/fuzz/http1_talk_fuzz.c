/* Whole connections of HTTP/1: the input is what client and handlers do, one step after another:
 * well-formed requests of all kinds (lengths, chunks, continuations, versions), in a row, some of
 * them damaged, raw bytes between them, slow and impatient readers, time that passes, the end, a
 * reset. Whatever comes: what the server says is HTTP/1.1, answers come in the order of requests,
 * none twice, and the books are even at the end. */
#include "common/base/check.h"
#include "tests/fuzz/http_talk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { BODY_MAX = 300, STEPS_MAX = 200 };

static struct talk_input input;
static struct wire_memory memory;
static unsigned requests;
static bool wild; /* the client has said what need not be a request */

static void give(struct span bytes)
{
	if (memory.wire != NULL && !memory.in_end && !memory.reset)
		wire_memory_give(&memory, bytes);
}

/* ---- what a client says ---- */

static size_t put_chunks(char *at, size_t room, const uint8_t *body, size_t len, uint8_t piece)
{
	size_t n = 0, step = 1u + piece % 40u;
	for (size_t i = 0; i < len; i += step) {
		size_t some = len - i < step ? len - i : step;
		n += (size_t)snprintf(at + n, room - n, piece & 1 ? "%zx\r\n" : "%zX;a=\"b\"\r\n",
		                      some);
		memcpy(at + n, body + i, some);
		n += some;
		n += (size_t)snprintf(at + n, room - n, "\r\n");
	}
	return n + (size_t)snprintf(at + n, room - n, "0\r\n%s\r\n", piece & 2 ? "T: 1\r\n" : "");
}

static void say_request(void)
{
	static const char *const methods[] = {"GET", "POST", "PUT", "HEAD", "DELETE", "OPTIONS"};
	static const char *const more[] = {"",
	                                   "Connection: close\r\n",
	                                   "Connection: keep-alive\r\n",
	                                   "Expect: 100-continue\r\n",
	                                   "Accept-Encoding: gzip, br\r\n",
	                                   "X: \t a \t\r\n",
	                                   "Upgrade: h2c\r\nConnection: upgrade\r\n",
	                                   "Content-Type: text/plain\r\n"};
	char text[8 * BODY_MAX + 1024];
	uint8_t kind = talk_byte(&input), how = talk_byte(&input), fields = talk_byte(&input);
	uint8_t framing = talk_byte(&input), damage = talk_byte(&input);
	struct span body = talk_bytes(&input, talk_byte(&input));
	const char *method = methods[kind % 6];
	bool chunked = framing % 4 == 2, measured = framing % 4 == 1;
	size_t n = (size_t)snprintf(text, sizeof text,
	                            "%s /%u/%u HTTP/1.%d\r\nHost: localhost\r\n%s", method, how % 5,
	                            requests++, kind & 0x80 && !chunked ? 0 : 1, more[fields % 8]);
	if (measured)
		n += (size_t)snprintf(text + n, sizeof text - n, "Content-Length: %zu\r\n",
		                      body.len);
	if (chunked)
		n += (size_t)snprintf(text + n, sizeof text - n, "Transfer-Encoding: chunked\r\n");
	n += (size_t)snprintf(text + n, sizeof text - n, "\r\n");
	if (measured) {
		memcpy(text + n, body.at, body.len);
		n += body.len;
	}
	if (chunked)
		n += put_chunks(text + n, sizeof text - n, body.at, body.len, framing);
	if (damage >= 0xe0) { /* a byte is another one, or what it has is cut short */
		wild = true;
		text[damage * 131u % n] ^= (char)(1 + how);
		n = damage & 1 ? n : n / 2;
	}
	give(span_of(text, n));
}

/* ---- what the server says ---- */

struct answer_head {
	unsigned status;
	size_t bytes; /* with the empty line */
	size_t length;
	bool measured, chunked, closes;
	unsigned number; /* 1 + of x-n; 0: none */
};

static const char *find(const char *at, size_t len, const char *what)
{
	return memmem(at, len, what, strlen(what));
}

/* False: not all of it is there. */
static bool read_head(const char *at, size_t len, struct answer_head *head)
{
	unsigned how, number;
	const char *end = find(at, len, "\r\n\r\n");
	*head = (struct answer_head){0};
	if (len >= 9 && memcmp(at, "HTTP/1.1 ", 9) != 0)
		abort();
	if (end == NULL)
		return false;
	head->bytes = (size_t)(end - at) + 4;
	head->status = (unsigned)strtoul(at + 9, NULL, 10);
	if (head->status < 100 || head->status > 599)
		abort();
	const char *field = find(at, head->bytes, "\r\nContent-Length: ");
	head->measured = field != NULL;
	if (field != NULL)
		head->length = strtoul(field + 18, NULL, 10);
	head->chunked = find(at, head->bytes, "\r\nTransfer-Encoding: chunked\r\n") != NULL;
	head->closes = find(at, head->bytes, "\r\nConnection: close\r\n") != NULL;
	field = find(at, head->bytes, "\r\nx-n: ");
	if (field != NULL && sscanf(field + 7, "/%u/%u", &how, &number) == 2)
		head->number = 1 + number;
	if (head->measured && head->chunked)
		abort();
	return true;
}

/* Bytes of a chunked body, whole; 0: there is more to come. */
static size_t chunked_bytes(const char *at, size_t len)
{
	size_t n = 0;
	for (;;) {
		const char *line = find(at + n, len - n, "\r\n");
		if (line == NULL)
			return 0;
		char *end;
		size_t chunk = strtoul(at + n, &end, 16);
		if (end != line)
			abort();
		n = (size_t)(line - at) + 2;
		if (len - n < chunk + 2)
			return 0;
		n += chunk;
		if (memcmp(at + n, "\r\n", 2) != 0)
			abort();
		n += 2;
		if (chunk == 0)
			return n;
	}
}

static void read_answers(void)
{
	const char *at = (const char *)memory.out;
	size_t len = memory.out_len;
	unsigned last = 0, finals = 0;
	struct answer_head head;
	while (len > 0 && read_head(at, len, &head)) {
		at += head.bytes;
		len -= head.bytes;
		if (head.status < 200)
			continue;
		finals++;
		if (head.number != 0 && head.number <= last && !wild)
			abort(); /* twice, or out of order */
		last = head.number != 0 ? head.number : last;
		bool bodiless = head.status == 204 || head.status == 304;
		/* Whether it was a HEAD is not said; then another answer follows at once. */
		bool next = len >= 9 && memcmp(at, "HTTP/1.1 ", 9) == 0;
		if (bodiless || (next && head.length != 0) || (next && head.chunked))
			continue;
		size_t body = head.chunked ? chunked_bytes(at, len) : head.length;
		if (!head.measured && !head.chunked)
			body = len; /* to the end of the connection */
		if (body > len || (head.chunked && body == 0))
			break;
		at += body;
		len -= body;
	}
	if (finals > requests && !wild)
		abort();
}

/* ---- one connection ---- */

static void step(struct edge_bench *bench)
{
	uint8_t what = talk_byte(&input);
	switch (what % 16) {
	case 0:
		wild = true;
		give(talk_bytes(&input, talk_byte(&input)));
		break;
	case 1:
	case 2:
		talk_answer(talk_byte(&input));
		break;
	case 3: /* a reader who takes little; or all, in the end */
		wire_memory_take(&memory, talk_byte(&input) * 16u);
		break;
	case 4:
		wire_memory_take(&memory, SIZE_MAX);
		break;
	case 5:
		edge_bench_wait(bench, &memory, 25u * (what >> 4));
		break;
	case 6:
		if (what == 0xf6 && memory.wire != NULL)
			wire_memory_give_end(&memory);
		if (what == 0xe6 && memory.wire != NULL)
			wire_memory_give_reset(&memory);
		break;
	default:
		say_request();
		break;
	}
	if ((what & 0x10) != 0)
		edge_bench_turn(bench, &memory);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	input = (struct talk_input){data, data + size};
	memory = (struct wire_memory){0};
	requests = 0;
	wild = false;
	struct edge_bench *bench = edge_bench_create(NULL);
	edge_bench_route()->handler = talk_handler;
	talk_begin();
	edge_bench_connect(bench, &memory);
	for (int i = 0; i < STEPS_MAX && input.at < input.end; i++)
		step(bench);
	if (memory.wire != NULL)
		wire_memory_take(&memory, SIZE_MAX);
	edge_bench_turn(bench, &memory);
	talk_answer_all();
	edge_bench_turn(bench, &memory);
	read_answers();
	edge_close(&bench->edge);
	edge_bench_turn(bench, &memory);
	talk_check_books(bench);
	wire_memory_finish(&memory);
	edge_bench_destroy(bench);
	return 0;
}
