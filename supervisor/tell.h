/* What running workers are told beside their start and end. */
#pragma once

#include "supervisor/fleet.h"

/* Gives changed LIVE settings to running workers; other keys stay as each was started with. */
void tell_settings(struct fleet *fleet);
/* What their sockets speak, to those who listen. */
void tell_listen(struct fleet *fleet);
void tell_log_level(struct fleet *fleet, const char *level);
void tell_log_reopen(struct fleet *fleet);
