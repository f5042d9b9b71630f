/* A frame as spectators have it. Pure. */
#pragma once

#include "proto/bytes.h"

#include <jansson.h>

/* The members that are for spectators, in the frame's order; malloc'd JSON. What is not known here
 * is not told: a member that frames get anew has to be named to be. */
char *spectator_frame_text(const json_t *frame);
