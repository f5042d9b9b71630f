/* How easily somebody guesses a token. Pure. */
#pragma once

#include "proto/bytes.h"

enum {
	TOKEN_LEN_MIN = 8,   /* shorter ones are refused by check-config */
	TOKEN_LEN_GOOD = 16, /* shorter ones are doubtful */
};

/* What is wrong with it, for the end of a sentence that does not repeat it: "is a placeholder",
 * "is shorter than 8 characters". NULL: nothing that is certain. */
const char *weak_token(struct span token);
/* The same of what is merely doubtful. */
const char *doubtful_token(struct span token);

/* The next placeholder of those that are known word by word, for whoever has digests only; NULL: no
 * further one. */
const char *placeholder_token(size_t index);
