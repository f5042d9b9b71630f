/* What kinds of wire over a TCP socket share: what the kernel knows of it. */
#pragma once

#include "worker-sse/edge/wire.h"

/* As the members of struct wire_kind of the same names. */
size_t wire_socket_undelivered(const struct wire *wire);
bool wire_socket_was_reset(const struct wire *wire);
bool wire_socket_address(const struct wire *wire, uint8_t out[16]);
/* Closes socket and handle; events->closed() follows from the loop. */
void wire_socket_close(struct wire *wire);
