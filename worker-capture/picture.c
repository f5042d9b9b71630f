#include "worker-capture/picture.h"
#include "common/base/check.h"

#include <stdlib.h>

struct picture *picture_create(size_t len)
{
	check(len <= UINT32_MAX);
	struct picture *picture = xmalloc(sizeof *picture + len);
	*picture = (struct picture){.refs = 1, .len = (uint32_t)len};
	return picture;
}

void picture_unref(struct picture **picture)
{
	if (*picture != NULL && --(*picture)->refs == 0)
		free(*picture);
	*picture = NULL;
}

/* SOF0 to SOF15 without the three of that range that mean something else (ITU T.81 table B.1). */
static bool is_frame_header(unsigned marker)
{
	return marker >= 0xc0 && marker <= 0xcf && marker != 0xc4 && marker != 0xc8 &&
	       marker != 0xcc;
}

/* Markers that stand alone, without a length. */
static bool is_bare(unsigned marker)
{
	return marker == 0x01 || (marker >= 0xd0 && marker <= 0xd8);
}

bool picture_measure(struct span jpeg, uint32_t *width, uint32_t *height)
{
	struct reader r = {jpeg.at, jpeg.at + jpeg.len, true};
	if (reader_uint(&r, 2) != 0xffd8)
		return false;
	while (r.ok && reader_uint(&r, 1) == 0xff) {
		unsigned marker = (unsigned)reader_uint(&r, 1);
		while (r.ok && marker == 0xff) /* fill bytes */
			marker = (unsigned)reader_uint(&r, 1);
		if (is_bare(marker))
			continue;
		size_t len = (size_t)reader_uint(&r, 2);
		if (!r.ok || len < 2 || marker == 0xd9 || marker == 0xda)
			return false;
		struct span body = reader_bytes(&r, len - 2);
		if (!r.ok)
			return false;
		if (!is_frame_header(marker))
			continue;
		struct reader header = {body.at, body.at + body.len, r.ok};
		reader_uint(&header, 1); /* bits per sample */
		*height = (uint32_t)reader_uint(&header, 2);
		*width = (uint32_t)reader_uint(&header, 2);
		return header.ok && *width != 0 && *height != 0;
	}
	return false;
}
