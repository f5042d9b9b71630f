#include "worker-capture/luma.h"
#include "common/base/check.h"

#include <math.h>
#include <stdlib.h>
#include <turbojpeg.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

enum { PIXELS_MAX = 512 * 512 }; /* of the small picture: 4096 x 4096 at an eighth */

struct luma_meter {
	tjhandle decoder;
	uint8_t pixels[PIXELS_MAX];
};

struct luma_meter *luma_meter_create(void)
{
	struct luma_meter *meter = xmalloc(sizeof *meter);
	meter->decoder = tjInitDecompress();
	check(meter->decoder != NULL);
	return meter;
}

void luma_meter_destroy(struct luma_meter **meter)
{
	if (*meter != NULL)
		tjDestroy((*meter)->decoder);
	free(*meter);
	*meter = NULL;
}

bool luma_measure(struct luma_meter *meter, const struct picture *picture, struct luma *luma)
{
	int width = ((int)picture->width + 7) / 8, height = ((int)picture->height + 7) / 8;
	size_t count = (size_t)width * (size_t)height;
	uint64_t sum = 0, squares = 0;
	if (count == 0 || count > PIXELS_MAX ||
	    tjDecompress2(meter->decoder, picture->bytes, picture->len, meter->pixels, width, 0,
	                  height, TJPF_GRAY, TJFLAG_FASTDCT) != 0)
		return false;
	for (size_t i = 0; i < count; i++) {
		uint8_t pixel = meter->pixels[i];
		sum += pixel;
		squares += (uint64_t)pixel * pixel;
	}
	double mean = (double)sum / (double)count;
	*luma = (struct luma){.mean = mean,
	                      .deviation =
	                              sqrt(fmax((double)squares / (double)count - mean * mean, 0)),
	                      .hash = XXH3_64bits(meter->pixels, count)};
	return true;
}
