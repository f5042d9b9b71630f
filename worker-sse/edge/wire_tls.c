#include "worker-sse/edge/wire_tls.h"
#include "common/base/check.h"
#include "worker-sse/edge/wire_socket.h"

#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum {
	RECORD_BYTES = 16384, /* RFC 8446 5.1 */
	GATHER_MAX = 64,      /* pieces looked at: what a holder surely shows again the next time */
	DIRECT_BYTES = 4096,  /* pieces from here on are not worth copying together */
};

struct tls_state {
	SSL *ssl;
	size_t retry; /* a record of so many bytes waits for the socket: it must be shown again */
	bool read_wants_write, write_wants_read;
	bool pending; /* decrypted bytes that read() had no room for */
};

static struct tls_state *state_of(const struct wire *wire)
{
	return wire->state;
}

/* ---- events ---- */

static bool reads_on(const struct wire *wire, int events)
{
	const struct tls_state *s = state_of(wire);
	return wire->wants & WIRE_READABLE &&
	       ((events & UV_READABLE && !s->read_wants_write) ||
	        (events & UV_WRITABLE && (s->read_wants_write || s->pending)));
}

static bool writes_on(const struct wire *wire, int events)
{
	return wire->wants & WIRE_WRITABLE &&
	       events & (state_of(wire)->write_wants_read ? UV_READABLE : UV_WRITABLE);
}

static void on_poll(uv_poll_t *poll, int status, int events);

/* What has to be asked of the kernel for what is wanted. */
static void poll_again(struct wire *wire)
{
	const struct tls_state *s = state_of(wire);
	int events = 0;
	if (wire->wants & WIRE_READABLE)
		events |= (s->read_wants_write ? 0 : UV_READABLE) |
		          (s->read_wants_write || s->pending ? UV_WRITABLE : 0);
	if (wire->wants & WIRE_WRITABLE)
		events |= s->write_wants_read ? UV_READABLE : UV_WRITABLE;
	if (events == 0)
		uv_poll_stop(&wire->poll);
	else
		uv_poll_start(&wire->poll, events, on_poll);
}

/* An error is no event for libuv, which then polls no more: reading or writing tells what it is. */
static void on_poll(uv_poll_t *poll, int status, int events)
{
	struct wire *wire = (struct wire *)((uint8_t *)poll - offsetof(struct wire, poll));
	bool reads = status < 0 ? (wire->wants & WIRE_READABLE) != 0 : reads_on(wire, events);
	bool writes = status < 0 ? !reads : writes_on(wire, events);
	if (status < 0)
		wire->wants = 0;
	if (reads)
		wire->events->readable(wire);
	if (writes && !uv_is_closing((uv_handle_t *)poll))
		wire->events->writable(wire);
}

static void tls_want(struct wire *wire, unsigned events)
{
	if (wire->wants == events)
		return;
	wire->wants = events;
	poll_again(wire);
}

/* A direction waits for another event than before. */
static void set_flag(struct wire *wire, bool *flag, bool value)
{
	if (*flag == value)
		return;
	*flag = value;
	if (wire->wants != 0)
		poll_again(wire);
}

/* ---- reading ---- */

/* Whoever closes TCP without a word has sent all he had: HTTP tells whether that was enough. */
static ssize_t read_failed(struct wire *wire, int result)
{
	struct tls_state *s = state_of(wire);
	int error = SSL_get_error(s->ssl, result);
	set_flag(wire, &s->read_wants_write, error == SSL_ERROR_WANT_WRITE);
	if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE)
		return WIRE_AGAIN;
	return error == SSL_ERROR_ZERO_RETURN ? 0 : WIRE_BROKEN;
}

static ssize_t tls_read(struct wire *wire, void *into, size_t room)
{
	struct tls_state *s = state_of(wire);
	size_t total = 0, n;
	ERR_clear_error();
	while (total < room) {
		int result = SSL_read_ex(s->ssl, (uint8_t *)into + total, room - total, &n);
		if (result <= 0) {
			ssize_t why = read_failed(wire, result);
			set_flag(wire, &s->pending, false);
			return total > 0 ? (ssize_t)total : why;
		}
		total += n;
	}
	set_flag(wire, &s->pending, SSL_has_pending(s->ssl) == 1);
	set_flag(wire, &s->read_wants_write, false);
	return (ssize_t)total;
}

/* ---- writing ---- */

/* A place in what is to be written. */
struct place {
	const struct iovec *iov;
	int count;
	size_t at; /* in the first */
};

static void place_skip(struct place *place, size_t bytes)
{
	place->at += bytes;
	while (place->count > 0 && place->at >= place->iov->iov_len) {
		place->at -= place->iov->iov_len;
		place->iov++;
		place->count--;
	}
}

/* The next record's bytes: where they lie, or small pieces copied together. At least `least` where
 * there are so many. */
static struct iovec gather(struct place place, size_t least, uint8_t copy[RECORD_BYTES])
{
	size_t left = place.iov->iov_len - place.at, len = 0;
	if ((left >= DIRECT_BYTES && left >= least) || place.count == 1)
		return (struct iovec){(uint8_t *)place.iov->iov_base + place.at,
		                      left < RECORD_BYTES ? left : RECORD_BYTES};
	while (place.count > 0 && len < RECORD_BYTES) {
		size_t n = place.iov->iov_len - place.at;
		n = n < RECORD_BYTES - len ? n : RECORD_BYTES - len;
		memcpy(copy + len, (uint8_t *)place.iov->iov_base + place.at, n);
		len += n;
		place_skip(&place, n);
	}
	return (struct iovec){copy, len};
}

static ssize_t write_failed(struct wire *wire, size_t len)
{
	struct tls_state *s = state_of(wire);
	int error = SSL_get_error(s->ssl, 0);
	set_flag(wire, &s->write_wants_read, error == SSL_ERROR_WANT_READ);
	if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE)
		return WIRE_BROKEN;
	s->retry = len;
	return 0;
}

/* A record that the socket did not take is OpenSSL's, and counts as not taken: it is shown again,
 * first, and the holder shows what follows it in the same order. Hence GATHER_MAX: of more pieces
 * the next call might show fewer. */
static ssize_t tls_write(struct wire *wire, const struct iovec *iov, int count)
{
	static uint8_t copy[RECORD_BYTES]; /* loop thread only */
	struct tls_state *s = state_of(wire);
	struct place place = {iov, count < GATHER_MAX ? count : GATHER_MAX, 0};
	size_t total = 0, n;
	place_skip(&place, 0);
	ERR_clear_error();
	while (place.count > 0) {
		struct iovec next = gather(place, s->retry, copy);
		if (SSL_write_ex(s->ssl, next.iov_base, next.iov_len, &n) <= 0) {
			ssize_t why = write_failed(wire, next.iov_len);
			return total > 0 ? (ssize_t)total : why;
		}
		s->retry = 0;
		total += n;
		place_skip(&place, n);
	}
	set_flag(wire, &s->write_wants_read, false);
	return (ssize_t)total;
}

/* ---- the rest ---- */

static bool tls_shut(struct wire *wire)
{
	ERR_clear_error();
	if (SSL_is_init_finished(state_of(wire)->ssl))
		SSL_shutdown(state_of(wire)->ssl);
	return shutdown(wire->fd, SHUT_WR) == 0;
}

static bool tls_settled(const struct wire *wire)
{
	return SSL_is_init_finished(state_of(wire)->ssl) == 1;
}

/* RFC 7301 */
static bool tls_speaks_http2(const struct wire *wire)
{
	const unsigned char *name;
	unsigned len;
	SSL_get0_alpn_selected(state_of(wire)->ssl, &name, &len);
	return len == 2 && memcmp(name, "h2", 2) == 0;
}

static void tls_close(struct wire *wire)
{
	struct tls_state *s = state_of(wire);
	SSL_free(s->ssl);
	free(s);
	wire->state = NULL;
	wire_socket_close(wire);
}

bool wire_tls_open(struct wire *wire, uv_loop_t *loop, int fd, const struct wire_events *events,
                   SSL_CTX *context)
{
	static const struct wire_kind tls = {.read = tls_read,
	                                     .write = tls_write,
	                                     .want = tls_want,
	                                     .shut = tls_shut,
	                                     .settled = tls_settled,
	                                     .speaks_http2 = tls_speaks_http2,
	                                     .undelivered = wire_socket_undelivered,
	                                     .was_reset = wire_socket_was_reset,
	                                     .address = wire_socket_address,
	                                     .close = tls_close};
	SSL *ssl = SSL_new(context);
	if (ssl == NULL)
		return false;
	if (SSL_set_fd(ssl, fd) != 1 || uv_poll_init(loop, &wire->poll, fd) != 0) {
		SSL_free(ssl);
		return false;
	}
	SSL_set_accept_state(ssl);
	struct tls_state *s = xcalloc(1, sizeof *s);
	s->ssl = ssl;
	wire->kind = &tls;
	wire->events = events;
	wire->state = s;
	wire->fd = fd;
	wire->wants = 0;
	return true;
}
