/* Content on its way out, made smaller piece by piece: zstd (libzstd), br (libbrotli) and gzip
 * (zlib) behind one door. Levels and windows are such that a piece of 64 KiB costs a millisecond
 * of the loop at most, and an encoder at most ENCODER_BYTES of memory. */
#pragma once

#include "common/base/content_coding.h"

#include <stddef.h>

enum { ENCODER_BYTES = 2 << 20 };

struct encoder;

/* Not of CODING_IDENTITY. Without memory the process ends, as by xmalloc(). */
struct encoder *encoder_create(enum content_coding coding);
/* NULL is fine. */
void encoder_destroy(struct encoder **encoder);

/* Takes a piece; what comes out is given to put() in pieces of up to 64 KiB, none or several times.
 * `last`: no more comes, and the end of the coding is put too. False: the library failed, and what
 * was put is not to be relied on. */
bool encoder_take(struct encoder *encoder, struct span piece, bool last,
                  void (*put)(void *arg, struct span coded), void *arg);
