/* The bytes of one connection: TCP as it is, TLS, or in tests memory. What protocol they are is
 * the business of whoever holds it. Loop thread only.
 *
 * Life: wire_plain_open() or wire_tls_open() ... close() ... events->closed(), after which its
 * memory is the holder's again. It is part of a struct of the holder's, which finds itself by
 * offsetof. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <uv.h>

struct wire;

struct wire_events {
	/* There is something to read, or the end, or it broke: read() says. */
	void (*readable)(struct wire *wire);
	/* It takes bytes again, or broke: write() says. */
	void (*writable)(struct wire *wire);
	/* It is no more. */
	void (*closed)(struct wire *wire);
};

enum { WIRE_READABLE = 1, WIRE_WRITABLE = 2 }; /* for want() */
enum { WIRE_AGAIN = -1, WIRE_BROKEN = -2 };    /* instead of a number of bytes */

struct wire_kind {
	/* Number of bytes; 0: the other side sends no more; WIRE_AGAIN: nothing at present;
	 * WIRE_BROKEN. Never waits. */
	ssize_t (*read)(struct wire *wire, void *into, size_t room);
	/* As many as it takes now, from 0; WIRE_BROKEN. Never waits. */
	ssize_t (*write)(struct wire *wire, const struct iovec *iov, int count);
	/* From now on the holder hears of these events, each time the loop turns while they last;
	 * 0: of none. Cheap when nothing changes. */
	void (*want)(struct wire *wire, unsigned events);
	/* No more is written; what was is delivered, and the other side may go on. False: it broke.
	 */
	bool (*shut)(struct wire *wire);
	/* Has the other side been heard out as far as the wire itself goes? False: it is still
	 * shaking hands, and none of its bytes have come through. */
	bool (*settled)(const struct wire *wire);
	/* Has the other side asked for HTTP/2, while shaking hands? */
	bool (*speaks_http2)(const struct wire *wire);
	/* Bytes written that the other side's kernel does not have. */
	size_t (*undelivered)(const struct wire *wire);
	/* Did the other side reset it? Also while nothing is read. */
	bool (*was_reset)(const struct wire *wire);
	/* Who is there (client_address.h). False: not to be known, and zeros. */
	bool (*address)(const struct wire *wire, uint8_t out[16]);
	/* At once. No event but closed() comes any more. */
	void (*close)(struct wire *wire);
};

struct wire {
	const struct wire_kind *kind;
	const struct wire_events *events;
	void *state;    /* of kinds with more than a socket */
	uv_poll_t poll; /* of its socket */
	int fd;
	unsigned wants;
};

/* A TCP socket that does not block; it is the wire's from here on. False: the loop does not take
 * it, and the socket is the caller's. */
bool wire_plain_open(struct wire *wire, uv_loop_t *loop, int fd, const struct wire_events *events);
