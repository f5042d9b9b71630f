/* What a client of the stream-kit says while a picture is negotiated, and what it is told. Pure.
 *
 *     {"type":"answer","sdp":{"type":"answer","sdp":"v=0..."}}       or "sdp" as a plain string
 *     {"type":"ice-candidate","candidate":{"candidate":"candidate:...","sdpMid":"0"}}
 *     {"type":"ice-candidate","candidate":null}                      no more; as an empty one
 *
 *     {"type":"offer","sdp":{"type":"offer","sdp":"v=0..."}}         to the client
 *     {"type":"error","message":"..."} */
#pragma once

#include "proto/bytes.h"

enum signal_kind {
	SIGNAL_BAD,       /* `text` is a constant reason */
	SIGNAL_ANSWER,    /* `text` is SDP */
	SIGNAL_CANDIDATE, /* `text` is a trickle-ice-sdpfrag (RFC 8840) */
	SIGNAL_NOTHING,   /* understood, and nothing to do */
};

struct signal_message {
	enum signal_kind kind;
	char *text;
};

struct signal_message signal_message_read(struct span json);
void signal_message_finish(struct signal_message *message);

/* To be freed. */
char *signal_message_offer(const char *sdp);
char *signal_message_error(const char *reason);
