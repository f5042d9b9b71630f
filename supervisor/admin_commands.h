/* What each admin command (supervisor/commands.h) does. */
#pragma once

#include "supervisor/admin.h"

/* As on_request of admin_create(); `supervisor` is a struct supervisor. Finds the command, checks
 * the number of arguments, calls its handler. */
void admin_command(void *supervisor, struct admin_request *request);
