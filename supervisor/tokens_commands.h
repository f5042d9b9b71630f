/* The admin command "tokens": add, ls, revoke, check. */
#pragma once

struct supervisor;
struct admin_request;

void tokens_command(struct supervisor *supervisor, struct admin_request *request);
