#include "tests/fuzz/http_talk.h"

#include <stdio.h>
#include <stdlib.h>

enum { HELD_MAX = 64, PIECES = 3 };

/* Those who are not answered to the end. */
static struct held {
	struct request *request;
	unsigned pieces; /* still to be written; 0: a whole answer */
} held[HELD_MAX];
static unsigned held_count;

uint8_t talk_byte(struct talk_input *input)
{
	return input->at < input->end ? *input->at++ : 0;
}

struct span talk_bytes(struct talk_input *input, size_t len)
{
	size_t left = (size_t)(input->end - input->at);
	struct span bytes = span_of(input->at, len < left ? len : left);
	input->at += bytes.len;
	return bytes;
}

void talk_begin(void)
{
	held_count = 0;
}

static void answer(struct request *request)
{
	char number[32] = "";
	snprintf(number, sizeof number, "%.*s",
	         (int)(request->path.len > 24 ? 24 : request->path.len), request->path.at);
	const struct header headers[] = {{"x-n", span_str(number)}};
	reply(request, 200, headers, 1, span_of(request->body, request->body_len));
}

static void drop(unsigned i)
{
	held[i] = held[--held_count];
}

static void on_gone(struct request *request)
{
	for (unsigned i = 0; i < held_count; i++)
		if (held[i].request == request) {
			drop(i);
			return;
		}
	abort(); /* it was answered, or never came */
}

static void hold(struct request *request, unsigned pieces)
{
	request->on_gone = on_gone;
	held[held_count++] = (struct held){request, pieces};
}

void talk_answer(unsigned which)
{
	static uint8_t piece[5000];
	if (held_count == 0)
		return;
	unsigned i = which % held_count;
	struct request *request = held[i].request;
	const struct iovec iov = {piece, 1 + which * 37 % (sizeof piece - 1)};
	if (held[i].pieces == 0) {
		drop(i);
		answer(request);
	} else if (--held[i].pieces == 0) {
		drop(i);
		reply_end(request);
	} else {
		reply_write(request, &iov, 1);
	}
}

void talk_answer_all(void)
{
	while (held_count > 0)
		talk_answer(0);
}

void talk_handler(struct request *request)
{
	uint8_t how = request->path.len > 1 ? request->path.at[1] : '0';
	if (how == '1' && held_count < HELD_MAX) {
		hold(request, 0);
	} else if (how == '2' && held_count < HELD_MAX) {
		reply_start(request, 200, NULL, 0, UINT64_MAX);
		hold(request, 1 + PIECES);
	} else if (how == '3') {
		reply_error(request, 409, "not now");
	} else if (how == '4') {
		reply_abort(request);
	} else {
		answer(request);
	}
}

void talk_check_books(struct edge_bench *bench)
{
	if (held_count != 0 || bench->edge.waiting.in_bytes != 0 || bench->edge.body_bytes != 0 ||
	    counter_get(&bench->counters, http2_streams) != 0 ||
	    counter_get(&bench->counters, http2_connections) != 0 ||
	    counter_get(&bench->counters, http2_queued_bytes) != 0)
		abort();
}
