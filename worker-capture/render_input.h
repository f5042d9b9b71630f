/* What a client does, as what the browser is to do: stream-kit's input events to DevTools commands.
 * Pure.
 *
 *     {"type":"interaction","data":{"action":"click","position":{"x":10,"y":20}}}
 *         mouse, keys, text
 *     {"type":"command","data":{"command":"pause","args":[]}}
 *         to the page itself
 *
 * Interactions with an action of the table in render_input.c are real input: the page sees trusted
 * events. Everything else goes to the page as a "ringside:input" event. */
#pragma once

#include "worker-capture/devtools.h"

enum { RENDER_INPUT_STEPS_MAX = 4, RENDER_INPUT_TEXT_MAX = 4096 };

enum render_input_result {
	RENDER_INPUT_OK,
	RENDER_INPUT_MALFORMED,  /* 400 */
	RENDER_INPUT_UNSUITABLE, /* 422: a position outside the picture */
};

struct render_input {
	bool for_page; /* hand the whole event to the page; no steps */
	size_t count;
	struct {
		enum devtools_method method;
		json_t *params;          /* owned until taken */
	} steps[RENDER_INPUT_STEPS_MAX]; /* to be sent in order */
};

/* `width` and `height` are the picture's: positions are its pixels. */
enum render_input_result render_input_read(struct render_input *input, const json_t *event,
                                           uint32_t width, uint32_t height, char reason[160]);
void render_input_finish(struct render_input *input);
