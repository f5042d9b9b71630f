/* What a picture looks like from far away: brightness at an eighth of its size. Cheap enough for
 * one picture a second (under a millisecond at 720p), not for each. */
#pragma once

#include "worker-capture/picture.h"

struct luma {
	double mean, deviation; /* 0 to 255 */
	uint64_t hash;          /* of the coarse picture */
};

struct luma_meter;

struct luma_meter *luma_meter_create(void);
void luma_meter_destroy(struct luma_meter **meter);

/* False: the picture is not to be decoded. */
bool luma_measure(struct luma_meter *meter, const struct picture *picture, struct luma *luma);
