/* An output on paper: a row of the store's small values, under "output/FEED/NAME".
 *
 * The capture worker writes them (worker-capture/outputs.c); HTTP workers only read them, for the
 * directory that an HLS output fills:
 *     {"added":true,"own":false,"url":"rtmp://..."}
 *         added while Ringside runs; the url is secret
 *     {"added":false,"own":true,"digest":"9f...","removed":false}
 *         of capture.outputs; the digest is of its text there
 * and in both "paused", and, for HLS, "hls":"/directory". */
#pragma once

#include "common/store/row.h"

#define OUTPUT_ROW_PREFIX "output/"

enum {
	OUTPUT_ROW_KEY_ROOM = 7 + 64 + 1 + 32 + 1,
	OUTPUT_ROW_URL_MAX = 1024 + 8, /* with "hls:" or "file:" before it */
	OUTPUT_ROW_DIR_MAX = 1024,
	OUTPUT_ROW_DIGEST_ROOM = 17,
};

struct output_row {
	bool added;                          /* else of the settings */
	bool own;                            /* by whoever runs the suite */
	char url[OUTPUT_ROW_URL_MAX + 1];    /* of an added one; else "" */
	char digest[OUTPUT_ROW_DIGEST_ROOM]; /* of one of the settings; else "" */
	char hls[OUTPUT_ROW_DIR_MAX + 1];    /* "": none of HLS */
	bool paused, removed;
};

/* ROW_PRESENT or ROW_UNREADABLE. Whether the url means anything is for the capture worker to say.
 */
enum row_found output_row_read(struct output_row *row, struct span value);
/* malloc'd. */
char *output_row_text(const struct output_row *row);

/* What a playlist and its segments are called in that directory, and nothing else in it is:
 * index.m3u8 and nine or more digits with ".ts". */
#define OUTPUT_ROW_PLAYLIST "index.m3u8"
/* Segments that a playlist lists; and what one has at least. */
enum { OUTPUT_ROW_HLS_LISTED = 6, OUTPUT_ROW_HLS_SEGMENT_S = 2 };
enum { OUTPUT_ROW_DIGITS_MIN = 9, OUTPUT_ROW_DIGITS_MAX = 18 };
