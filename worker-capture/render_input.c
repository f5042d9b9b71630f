#include "worker-capture/render_input.h"
#include "common/base/check.h"

#include <stdio.h>
#include <string.h>

/* What an action does with the mouse: the event's type, or two for a click, and how often. */
struct mouse_row {
	const char *action, *first, *second;
	int clicks;
};

static const struct mouse_row mouse_rows[] = {
        {"click", "mousePressed", "mouseReleased", 1},
        {"tap", "mousePressed", "mouseReleased", 1},
        {"dblclick", "mousePressed", "mouseReleased", 2},
        {"mousedown", "mousePressed", NULL, 1},
        {"pointerdown", "mousePressed", NULL, 1},
        {"mouseup", "mouseReleased", NULL, 1},
        {"pointerup", "mouseReleased", NULL, 1},
        {"mousemove", "mouseMoved", NULL, 0},
        {"pointermove", "mouseMoved", NULL, 0},
        {"hover", "mouseMoved", NULL, 0},
        {"wheel", "mouseWheel", NULL, 0},
        {"scroll", "mouseWheel", NULL, 0},
};

struct key_action_row {
	const char *action;
	bool down, up;
};

static const struct key_action_row key_action_rows[] = {
        {"keypress", true, true},
        {"key", true, true},
        {"keydown", true, false},
        {"keyup", false, true},
};

/* Keys that are no character, by their DOM names (UI Events). */
struct key_row {
	const char *key, *text;
	int code;
};

static const struct key_row key_rows[] = {
        {"Enter", "\r", 13},     {"Tab", "\t", 9},      {"Backspace", NULL, 8},
        {"Escape", NULL, 27},    {"Delete", NULL, 46},  {"Home", NULL, 36},
        {"End", NULL, 35},       {"PageUp", NULL, 33},  {"PageDown", NULL, 34},
        {"ArrowLeft", NULL, 37}, {"ArrowUp", NULL, 38}, {"ArrowRight", NULL, 39},
        {"ArrowDown", NULL, 40}, {"Shift", NULL, 16},   {"Control", NULL, 17},
        {"Alt", NULL, 18},       {"Meta", NULL, 91},    {"Insert", NULL, 45},
        {"F1", NULL, 112},       {"F2", NULL, 113},     {"F3", NULL, 114},
        {"F4", NULL, 115},       {"F5", NULL, 116},     {"F6", NULL, 117},
        {"F7", NULL, 118},       {"F8", NULL, 119},     {"F9", NULL, 120},
        {"F10", NULL, 121},      {"F11", NULL, 122},    {"F12", NULL, 123},
};

static enum render_input_result say(char reason[160], enum render_input_result result,
                                    const char *text)
{
	snprintf(reason, 160, "%s", text);
	return result;
}

static void add(struct render_input *input, enum devtools_method method, json_t *params)
{
	check(input->count < RENDER_INPUT_STEPS_MAX && params != NULL);
	input->steps[input->count].method = method;
	input->steps[input->count++].params = params;
}

/* ---- mouse ---- */

static double member(const json_t *data, const char *name)
{
	return json_number_value(json_object_get(data, name));
}

static enum render_input_result read_position(const json_t *data, uint32_t width, uint32_t height,
                                              double *x, double *y, char reason[160])
{
	const json_t *position = json_object_get(data, "position");
	if (!json_is_number(json_object_get(position, "x")) ||
	    !json_is_number(json_object_get(position, "y")))
		return say(reason, RENDER_INPUT_MALFORMED, "data.position is {x, y}");
	*x = member(position, "x");
	*y = member(position, "y");
	if (!(*x >= 0 && *x < width && *y >= 0 && *y < height))
		return say(reason, RENDER_INPUT_UNSUITABLE,
		           "data.position lies outside the picture");
	return RENDER_INPUT_OK;
}

static const char *button_of(const json_t *data, const char *type)
{
	static const char *const names[] = {"left", "middle", "right"};
	const char *button = json_string_value(json_object_get(data, "button"));
	for (size_t i = 0; button != NULL && i < 3; i++)
		if (strcmp(button, names[i]) == 0)
			return names[i];
	return strcmp(type, "mouseMoved") == 0 || strcmp(type, "mouseWheel") == 0 ? "none" : "left";
}

static void add_mouse(struct render_input *input, const json_t *data, const char *type, double x,
                      double y, int clicks)
{
	json_t *params = json_pack("{s:s, s:f, s:f, s:s, s:i}", "type", type, "x", x, "y", y,
	                           "button", button_of(data, type), "clickCount", clicks);
	if (strcmp(type, "mouseWheel") == 0) {
		json_object_set_new(params, "deltaX", json_real(member(data, "deltaX")));
		json_object_set_new(params, "deltaY", json_real(member(data, "deltaY")));
	}
	add(input, DEVTOOLS_INPUT_MOUSE, params);
}

/* A double click is two clicks, the second of which says that it is (UI Events, click count). */
static enum render_input_result read_mouse(struct render_input *input, const struct mouse_row *row,
                                           const json_t *data, uint32_t width, uint32_t height,
                                           char reason[160])
{
	double x, y;
	enum render_input_result result = read_position(data, width, height, &x, &y, reason);
	if (result != RENDER_INPUT_OK)
		return result;
	int click = row->second != NULL ? 1 : row->clicks;
	do {
		add_mouse(input, data, row->first, x, y, click);
		if (row->second != NULL)
			add_mouse(input, data, row->second, x, y, click);
	} while (++click <= row->clicks);
	return RENDER_INPUT_OK;
}

/* ---- keys ---- */

static size_t utf8_len(uint8_t first)
{
	return first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
}

static int virtual_code(const char *key)
{
	char c = *key;
	if (key[1] != '\0')
		return 0;
	return c >= 'a' && c <= 'z'                                           ? c - 'a' + 'A'
	       : (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == ' ' ? c
	                                                                      : 0;
}

static void add_key(struct render_input *input, const char *type, const char *key, const char *text,
                    int code)
{
	json_t *params = json_pack("{s:s, s:s, s:i}", "type", type, "key", key,
	                           "windowsVirtualKeyCode", code);
	if (text != NULL && strcmp(type, "keyDown") == 0)
		json_object_set_new(params, "text", json_string(text));
	add(input, DEVTOOLS_INPUT_KEY, params);
}

static enum render_input_result read_key(struct render_input *input,
                                         const struct key_action_row *row, const json_t *data,
                                         char reason[160])
{
	const char *key = json_string_value(json_object_get(data, "key")), *text = NULL;
	int code = 0;
	if (key == NULL || *key == '\0')
		return say(reason, RENDER_INPUT_MALFORMED, "data.key is the name of a key");
	bool known = strlen(key) == utf8_len((uint8_t)*key);
	if (known) {
		text = key;
		code = virtual_code(key);
	}
	for (size_t i = 0; !known && i < sizeof key_rows / sizeof *key_rows; i++)
		if (strcmp(key_rows[i].key, key) == 0) {
			known = true;
			text = key_rows[i].text;
			code = key_rows[i].code;
		}
	if (!known)
		return say(reason, RENDER_INPUT_UNSUITABLE,
		           "data.key is no key that is known here");
	if (row->down)
		add_key(input, "keyDown", key, text, code);
	if (row->up)
		add_key(input, "keyUp", key, text, code);
	return RENDER_INPUT_OK;
}

static enum render_input_result read_text(struct render_input *input, const json_t *data,
                                          char reason[160])
{
	const char *text = json_string_value(json_object_get(data, "text"));
	if (text == NULL || strlen(text) > RENDER_INPUT_TEXT_MAX)
		return say(reason, RENDER_INPUT_MALFORMED,
		           "data.text is a string of at most 4096 bytes");
	add(input, DEVTOOLS_INPUT_TEXT, json_pack("{s:s}", "text", text));
	return RENDER_INPUT_OK;
}

/* ---- events ---- */

static enum render_input_result read_interaction(struct render_input *input, const json_t *data,
                                                 uint32_t width, uint32_t height, char reason[160])
{
	const char *action = json_string_value(json_object_get(data, "action"));
	if (action == NULL)
		return say(reason, RENDER_INPUT_MALFORMED, "data.action is a string");
	for (size_t i = 0; i < sizeof mouse_rows / sizeof *mouse_rows; i++)
		if (strcmp(action, mouse_rows[i].action) == 0)
			return read_mouse(input, &mouse_rows[i], data, width, height, reason);
	for (size_t i = 0; i < sizeof key_action_rows / sizeof *key_action_rows; i++)
		if (strcmp(action, key_action_rows[i].action) == 0)
			return read_key(input, &key_action_rows[i], data, reason);
	if (strcmp(action, "text") == 0 || strcmp(action, "type") == 0)
		return read_text(input, data, reason);
	input->for_page = true;
	return RENDER_INPUT_OK;
}

enum render_input_result render_input_read(struct render_input *input, const json_t *event,
                                           uint32_t width, uint32_t height, char reason[160])
{
	const char *type = json_string_value(json_object_get(event, "type"));
	const json_t *data = json_object_get(event, "data");
	*input = (struct render_input){0};
	*reason = '\0';
	if (type == NULL || !json_is_object(data))
		return say(reason, RENDER_INPUT_MALFORMED, "an input event is {type, data}");
	if (strcmp(type, "interaction") == 0)
		return read_interaction(input, data, width, height, reason);
	if (strcmp(type, "command") != 0)
		return say(reason, RENDER_INPUT_MALFORMED, "type is interaction or command");
	if (!json_is_string(json_object_get(data, "command")))
		return say(reason, RENDER_INPUT_MALFORMED, "data.command is a string");
	input->for_page = true;
	return RENDER_INPUT_OK;
}

void render_input_finish(struct render_input *input)
{
	for (size_t i = 0; i < input->count; i++)
		json_decref(input->steps[i].params);
	input->count = 0;
}
