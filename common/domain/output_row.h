/* An output on paper: a row of the store's small values, under "output/FEED/NAME".
 *
 * The capture worker writes them (worker-capture/outputs.c); HTTP workers only read the one member
 * that they need, the directory that an HLS output fills:
 *     {"added":true,"url":"rtmp://..."}
 *         added while Ringside runs; the url is secret
 *     {"added":false,"digest":"9f...","removed":false}
 *         of capture.outputs; the digest is of its text there
 * and in both "paused", and, for HLS, "hls":"/directory". */
#pragma once

#include "proto/bytes.h"

#define OUTPUT_ROW_PREFIX "output/"

enum { OUTPUT_ROW_KEY_ROOM = 7 + 64 + 1 + 32 + 1 };

/* What a playlist and its segments are called in that directory, and nothing else in it is:
 * index.m3u8 and nine or more digits with ".ts". */
#define OUTPUT_ROW_PLAYLIST "index.m3u8"
enum { OUTPUT_ROW_DIGITS_MIN = 9, OUTPUT_ROW_DIGITS_MAX = 18 };
