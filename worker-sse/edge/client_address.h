/* Whom limits by address mean: the /64 of a client's IPv6 address, or its IPv4 address as
 * ::ffff:a.b.c.d; and how many connections each has. */
#pragma once

#include "proto/bytes.h"

#include <stdbool.h>
#include <stdint.h>

struct address;

/* Of the other side of this socket. False: not to be known, and zeros. */
bool client_address_of(int fd, uint8_t out[16]);
/* What the nearest proxy says in X-Forwarded-For. False: no address; `out` is as it was. */
bool client_address_forwarded(struct span list, uint8_t out[16]);

/* One connection more from there, in the hash `all`. NULL: it has `max` (above 0) already. */
struct address *client_address_hold(struct address **all, const uint8_t bytes[16], uint64_t max);
/* One less. NULL is fine. */
void client_address_release(struct address **all, struct address *address);
