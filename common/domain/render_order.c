/* What a client asks for when it wants a render session. */
#include "common/base/check.h"
#include "common/domain/render_session.h"

#include <stdio.h>
#include <stdlib.h>

enum { WIDTH_MAX = 3840, HEIGHT_MAX = 2160, SIDE_MIN = 16, FPS_MAX = 60, FPS_DEFAULT = 30 };

struct named_size {
	const char *name;
	uint32_t width, height;
};

static const struct named_size sizes[] = {
        {"720p", 1280, 720},
        {"1080p", 1920, 1080},
        {"1440p", 2560, 1440},
        {"4k", 3840, 2160},
};

static enum render_order_result say(char reason[160], enum render_order_result result,
                                    const char *text)
{
	snprintf(reason, 160, "%s", text);
	return result;
}

/* "WxH" or a name; even, because video is. */
static enum render_order_result read_resolution(struct render_order *order, const char *text,
                                                char reason[160])
{
	unsigned width = 0, height = 0;
	int end = 0;
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
		if (strcmp(text, sizes[i].name) == 0) {
			order->width = sizes[i].width;
			order->height = sizes[i].height;
			return RENDER_ORDER_OK;
		}
	if (strlen(text) > 9 || sscanf(text, "%4ux%4u%n", &width, &height, &end) != 2 ||
	    text[end] != '\0')
		return say(reason, RENDER_ORDER_UNSUITABLE,
		           "renderOptions.resolution is WIDTHxHEIGHT, 720p, 1080p, 1440p or 4k");
	if (width < SIDE_MIN || width > WIDTH_MAX || height < SIDE_MIN || height > HEIGHT_MAX ||
	    (width | height) % 2 != 0)
		return say(reason, RENDER_ORDER_UNSUITABLE,
		           "renderOptions.resolution is even, from 16x16 to 3840x2160");
	order->width = width;
	order->height = height;
	return RENDER_ORDER_OK;
}

static enum render_order_result read_option(struct render_order *order, const char *name,
                                            const json_t *value, char reason[160])
{
	if (strcmp(name, "resolution") == 0) {
		if (!json_is_string(value))
			return say(reason, RENDER_ORDER_MALFORMED,
			           "renderOptions.resolution is a string");
		return read_resolution(order, json_string_value(value), reason);
	}
	if (strcmp(name, "targetFps") == 0) {
		json_int_t fps = json_integer_value(value);
		if (!json_is_integer(value))
			return say(reason, RENDER_ORDER_MALFORMED,
			           "renderOptions.targetFps is an integer");
		if (fps < 1 || fps > FPS_MAX)
			return say(reason, RENDER_ORDER_UNSUITABLE,
			           "renderOptions.targetFps is 1 to 60");
		order->fps = (uint32_t)fps;
		return RENDER_ORDER_OK;
	}
	json_array_append_new(order->ignored, json_string(name));
	return RENDER_ORDER_OK;
}

enum render_order_result render_order_options(struct render_order *order, const json_t *options,
                                              char reason[160])
{
	const char *name;
	json_t *value;
	if (options != NULL && !json_is_object(options))
		return say(reason, RENDER_ORDER_MALFORMED, "renderOptions is an object");
	json_array_clear(order->ignored);
	json_object_foreach ((json_t *)options, name, value) {
		enum render_order_result result = read_option(order, name, value, reason);
		if (result != RENDER_ORDER_OK)
			return result;
	}
	return RENDER_ORDER_OK;
}

/* Only that it is http or https at all: whether it may be reached is the browser's keeper to say.
 */
static enum render_order_result read_url(struct render_order *order, const json_t *body,
                                         char reason[160])
{
	const json_t *url = json_object_get(body, "targetUrl");
	if (url == NULL)
		url = json_object_get(body, "renderUrl");
	if (!json_is_string(url))
		return say(reason, RENDER_ORDER_MALFORMED, "targetUrl is a string");
	const char *text = json_string_value(url);
	if (strlen(text) > RENDER_URL_MAX)
		return say(reason, RENDER_ORDER_UNSUITABLE, "targetUrl has at most 2048 bytes");
	if (strncmp(text, "http://", 7) != 0 && strncmp(text, "https://", 8) != 0)
		return say(reason, RENDER_ORDER_UNSUITABLE,
		           "targetUrl begins with https:// or http://");
	for (const char *at = text; *at != '\0'; at++)
		if ((unsigned char)*at <= ' ' || (unsigned char)*at == 0x7f)
			return say(reason, RENDER_ORDER_UNSUITABLE,
			           "targetUrl holds no space or control");
	memcpy(order->target_url, text, strlen(text) + 1);
	return RENDER_ORDER_OK;
}

enum render_order_result render_order_read(struct render_order *order, const json_t *body,
                                           uint32_t width, uint32_t height, char reason[160])
{
	*order = (struct render_order){
	        .width = width, .height = height, .fps = FPS_DEFAULT, .ignored = json_array()};
	*reason = '\0';
	if (!json_is_object(body))
		return say(reason, RENDER_ORDER_MALFORMED, "the body is an object");
	enum render_order_result result = read_url(order, body, reason);
	if (result != RENDER_ORDER_OK)
		return result;
	json_t *data = json_object_get(body, "initialData");
	if (data != NULL && !json_is_object(data) && !json_is_null(data))
		return say(reason, RENDER_ORDER_MALFORMED, "initialData is an object");
	if (json_is_object(data))
		order->initial_data = json_deep_copy(data);
	return render_order_options(order, json_object_get(body, "renderOptions"), reason);
}

void render_order_finish(struct render_order *order)
{
	json_decref(order->initial_data);
	json_decref(order->ignored);
	order->initial_data = order->ignored = NULL;
}
