/* STUN and TURN servers by which viewers outside of this network find a session's browser (RFC
 * 8489, RFC 8656). Pure: what sessions.ice_servers says, as browsers, clients and WHEP want it.
 *
 *     stun:HOST[:PORT]   turn:HOST[:PORT][?transport=udp]|USER|PASSWORD
 *
 * with blanks or commas between them. UDP only: nothing else but what a page may reach leaves its
 * browser. */
#pragma once

#include "proto/bytes.h"

#include <jansson.h>

enum { ICE_SERVERS_MAX = 8, ICE_LINK_ROOM = 3072 };

struct ice_servers {
	json_t *list; /* array of {urls, username?, credential?}, as RTCConfiguration has it */
	char *hosts;  /* comma-separated HOST or [IPV6] */
};

/* False: the reason says what is wrong, without secrets; there are none then. Either way to be
 * finished. */
bool ice_servers_read(struct ice_servers *servers, const char *text, char reason[160]);
void ice_servers_finish(struct ice_servers *servers);

/* The value of WHEP's Link header (draft-ietf-wish-whep, 4.6); "" without servers. */
void ice_servers_link(const struct ice_servers *servers, char out[ICE_LINK_ROOM]);
