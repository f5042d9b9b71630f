/* Handlers for fuzzed connections: the path says how they answer ("/0" at once, "/1" later, "/2" in
 * pieces, "/3" with an error, "/4" cut off, anything else at once), and how a client is made to say
 * when. Each 200 names its request by the header x-n, so that answers can be told apart. */
#pragma once

#include "tests/doubles/edge_bench.h"

/* Bytes of the input, and zeros behind it. */
struct talk_input {
	const uint8_t *at, *end;
};
uint8_t talk_byte(struct talk_input *input);
struct span talk_bytes(struct talk_input *input, size_t len);

void talk_begin(void);
void talk_handler(struct request *request);
/* One of those who wait is answered, or goes on. */
void talk_answer(unsigned which);
/* All of them; before the end. */
void talk_answer_all(void);
/* The edge's books, once all connections are closed: aborts when they are not even. */
void talk_check_books(struct edge_bench *bench);
