#include "worker-sse/views/signal_message.h"
#include "common/base/check.h"
#include "common/base/json_take.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

enum { CANDIDATE_MAX = 1024, NAME_MAX = 256 };

static struct signal_message bad(const char *reason)
{
	return (struct signal_message){SIGNAL_BAD, (char *)(uintptr_t)reason};
}

static struct signal_message read_answer(const json_t *message)
{
	const json_t *sdp = json_object_get(message, "sdp");
	const json_t *text = json_is_object(sdp) ? json_object_get(sdp, "sdp") : sdp;
	if (!json_is_string(text) || json_string_length(text) == 0)
		return bad("an answer has sdp: {type, sdp}");
	return (struct signal_message){
	        SIGNAL_ANSWER, xmemdup_text(json_string_value(text), json_string_length(text))};
}

/* Goes into one line of a fragment. */
static bool is_word(const char *text, size_t max)
{
	size_t len = text != NULL ? strlen(text) : 0;
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)text[i] < ' ' || text[i] == 0x7f)
			return false;
	return len > 0 && len <= max;
}

static struct signal_message read_candidate(const json_t *message)
{
	static const char prefix[] = "candidate:";
	const json_t *candidate = json_object_get(message, "candidate");
	const char *text = json_string_value(json_object_get(candidate, "candidate"));
	const char *mid = json_string_value(json_object_get(candidate, "sdpMid"));
	const char *ufrag = json_string_value(json_object_get(candidate, "usernameFragment"));
	if (json_is_null(candidate) || (text != NULL && *text == '\0'))
		return (struct signal_message){SIGNAL_NOTHING, NULL};
	if (!is_word(text, CANDIDATE_MAX) || strncmp(text, prefix, sizeof prefix - 1) != 0 ||
	    (mid != NULL && !is_word(mid, NAME_MAX)) ||
	    (ufrag != NULL && !is_word(ufrag, NAME_MAX)))
		return bad("an ice-candidate has candidate: {candidate, sdpMid}");
	struct signal_message out = {SIGNAL_CANDIDATE, NULL};
	/* One media section is all that we offer. */
	check(asprintf(&out.text, "%s%s%sa=mid:%s\r\na=%s\r\n", ufrag != NULL ? "a=ice-ufrag:" : "",
	               ufrag != NULL ? ufrag : "", ufrag != NULL ? "\r\n" : "",
	               mid != NULL ? mid : "0", text) > 0);
	return out;
}

struct signal_message signal_message_read(struct span json)
{
	json_t *message = json_take(json, JSON_REJECT_DUPLICATES, NULL, NULL);
	const char *type = json_string_value(json_object_get(message, "type"));
	struct signal_message out;
	if (type != NULL && strcmp(type, "answer") == 0)
		out = read_answer(message);
	else if (type != NULL && strcmp(type, "ice-candidate") == 0)
		out = read_candidate(message);
	else
		out = bad("a message is {type: answer, sdp} or {type: ice-candidate, candidate}");
	json_decref(message);
	return out;
}

void signal_message_finish(struct signal_message *message)
{
	if (message->kind != SIGNAL_BAD)
		free(message->text);
	*message = (struct signal_message){SIGNAL_NOTHING, NULL};
}

static char *text_of(json_t *message)
{
	check(message != NULL);
	char *text = json_dumps(message, JSON_COMPACT);
	check(text != NULL);
	json_decref(message);
	return text;
}

char *signal_message_offer(const char *sdp)
{
	return text_of(json_pack("{s:s, s:{s:s, s:s}}", "type", "offer", "sdp", "type", "offer",
	                         "sdp", sdp));
}

char *signal_message_error(const char *reason)
{
	return text_of(json_pack("{s:s, s:s}", "type", "error", "message", reason));
}
