/* TLS over a TCP socket as a wire (OpenSSL). The handshake is part of reading: until it is done,
 * read() gives WIRE_AGAIN and write() takes nothing. Loop thread only. */
#pragma once

#include "worker-sse/edge/wire.h"

#include <openssl/ssl.h>

/* As wire_plain_open(). Takes a reference of `context` (edge/tls.h), so that a change of
 * certificates leaves those who are connected alone. False: the loop does not take the socket, or
 * there is no memory; the socket is the caller's. */
bool wire_tls_open(struct wire *wire, uv_loop_t *loop, int fd, const struct wire_events *events,
                   SSL_CTX *context);
