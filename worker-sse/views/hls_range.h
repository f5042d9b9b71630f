/* RFC 9110 §14: the one range of a file that is asked for. Pure. */
#pragma once

#include "proto/bytes.h"

#include <stdbool.h>

enum hls_range_result {
	HLS_RANGE_WHOLE, /* none, or one that we need not understand: the whole file */
	HLS_RANGE_PART,
	HLS_RANGE_OUTSIDE, /* 416 */
};

/* `header` is the Range field, at NULL when absent. Several ranges are answered with the whole
 * file, as §14.2 lets us. *from and *len are set with HLS_RANGE_PART and HLS_RANGE_WHOLE. */
enum hls_range_result hls_range(struct span header, uint64_t size, uint64_t *from, uint64_t *len);

/* The file's name within its directory: the playlist or a segment. */
bool hls_name_valid(struct span name);
