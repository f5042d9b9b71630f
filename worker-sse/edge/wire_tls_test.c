/* TLS as a wire, with OpenSSL as its client. */
#include "worker-sse/edge/wire_tls.h"
#include "common/base/check.h"
#include "common/base/clock.h"
#include "tests/doubles/certificate_made.h"
#include "worker-sse/edge/tls.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

enum { DAY_S = 86400, TURNS_MAX = 200000 };

static uv_loop_t loop;
static struct wire wire;
static SSL *client;
static SSL_CTX *client_context;
static SSL_SESSION *session; /* the newest that a client was given */
static int peer;
static unsigned closed;
/* The holder: reads what there is, writes what it is to. */
static uint8_t *in, *to_write;
static size_t in_len, in_room, write_len, written;
static size_t read_most; /* at a call */
static bool ended, broken, blocked;

/* ---- the holder of the wire ---- */

static void want(void)
{
	if (!uv_is_closing((uv_handle_t *)&wire.poll))
		wire.kind->want(&wire, (ended || broken ? 0u : WIRE_READABLE) |
		                               (blocked ? WIRE_WRITABLE : 0u));
}

/* In uneven pieces, and more of them than are looked at. */
static void write_on(void)
{
	struct iovec iov[100];
	while (written < write_len && !blocked && !broken && wire.kind->settled(&wire)) {
		int count = 0;
		size_t at = written;
		for (; count < 100 && at < write_len; count++) {
			size_t n = 1 + (at * 7919) % 700;
			n = n < write_len - at ? n : write_len - at;
			iov[count] = (struct iovec){to_write + at, n};
			at += n;
		}
		ssize_t n = wire.kind->write(&wire, iov, count);
		broken |= n < 0;
		if (n > 0)
			written += (size_t)n;
		blocked = n == 0;
	}
	want();
}

static void on_readable(struct wire *of)
{
	uint8_t bytes[65536];
	ssize_t n = of->kind->read(of, bytes, read_most);
	if (n > 0) {
		if (in_len + (size_t)n > in_room) {
			in_room = (in_len + (size_t)n) * 2;
			in = xrealloc(in, in_room);
		}
		memcpy(in + in_len, bytes, (size_t)n);
		in_len += (size_t)n;
	}
	ended |= n == 0;
	broken |= n == WIRE_BROKEN;
	write_on();
}

static void on_writable(struct wire *of)
{
	(void)of;
	blocked = false;
	write_on();
}

static void on_closed(struct wire *of)
{
	(void)of;
	closed++;
}

static const struct wire_events events = {
        .readable = on_readable, .writable = on_writable, .closed = on_closed};

/* ---- both ends ---- */

static SSL_CTX *serve(const struct certificate_made *made, size_t count, const char *ca,
                      enum tls_clients clients, bool h2)
{
	static const uint8_t keys[TLS_TICKET_KEY_BYTES] = "0123456789abcdef the rest is a secret";
	char text[16384], reason[CERTIFICATE_REASON_ROOM];
	size_t len = 0;
	int64_t expires_s;
	for (size_t i = 0; i < count; i++)
		for (int half = 0; half < 2; half++) {
			const char *pem = half == 0 ? made[i].chain : made[i].key;
			memcpy(text + len, pem, strlen(pem) + 1);
			len += strlen(pem) + 1;
		}
	const struct tls_material material = {.pairs = span_of(text, len),
	                                      .client_ca = span_str(ca),
	                                      .clients = clients,
	                                      .ticket_keys = span_of(keys, sizeof keys),
	                                      .h2 = h2};
	SSL_CTX *context = tls_context(&material, clock_wall_ms(), &expires_s, reason);
	if (context == NULL)
		fail_msg("%s", reason);
	return context;
}

static int on_session(SSL *ssl, SSL_SESSION *given)
{
	(void)ssl;
	SSL_SESSION_free(session);
	session = given;
	return 1;
}

static void connect_to(SSL_CTX *context)
{
	struct sockaddr_in name = {.sin_family = AF_INET,
	                           .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof name;
	const int small = 4096;
	int listener = socket(AF_INET, SOCK_STREAM, 0);
	peer = socket(AF_INET, SOCK_STREAM, 0);
	setsockopt(peer, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
	assert_int_equal(bind(listener, (struct sockaddr *)&name, sizeof name), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&name, &len), 0);
	assert_int_equal(connect(peer, (struct sockaddr *)&name, sizeof name), 0);
	fcntl(peer, F_SETFL, O_NONBLOCK);
	int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
	close(listener);
	in_len = write_len = written = closed = 0;
	ended = broken = blocked = false;
	read_most = 65536;
	assert_int_equal(uv_loop_init(&loop), 0);
	assert_true(wire_tls_open(&wire, &loop, fd, &events, context));
	SSL_CTX_free(context); /* the wire has its own reference */
	assert_false(wire.kind->settled(&wire));
	want();
	client_context = SSL_CTX_new(TLS_client_method());
	SSL_CTX_set_session_cache_mode(client_context,
	                               SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(client_context, on_session);
	SSL_CTX_set_mode(client_context,
	                 SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	client = SSL_new(client_context);
	SSL_set_fd(client, peer);
	SSL_set_connect_state(client);
}

static void turn(void)
{
	uv_run(&loop, UV_RUN_NOWAIT);
}

/* False: the server, or the client, does not go on. */
static bool shake_hands(void)
{
	for (int i = 0; i < TURNS_MAX && !broken; i++) {
		ERR_clear_error();
		int result = SSL_do_handshake(client);
		turn();
		if (result == 1 && wire.kind->settled(&wire))
			return true;
		int error = result == 1 ? SSL_ERROR_WANT_READ : SSL_get_error(client, result);
		if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE)
			return false;
	}
	return false;
}

static void hang_up(void)
{
	SSL_free(client);
	SSL_CTX_free(client_context);
	close(peer);
	if (wire.fd >= 0)
		wire.kind->close(&wire);
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(closed, 1);
	assert_int_equal(uv_loop_close(&loop), 0);
	free(in);
	in = NULL;
	in_room = 0;
}

static struct certificate_made made[2];

static int make(void **state)
{
	(void)state;
	made[0] = certificate_make(CERTIFICATE_EC, "DNS:first.example", 0, DAY_S);
	made[1] = certificate_make(CERTIFICATE_RSA, "DNS:*.second.example", 0, DAY_S);
	return 0;
}

static int unmake(void **state)
{
	(void)state;
	certificate_made_finish(&made[0]);
	certificate_made_finish(&made[1]);
	SSL_SESSION_free(session);
	session = NULL;
	return 0;
}

static SSL_CTX *plain_context(void)
{
	return serve(made, 2, "", TLS_CLIENTS_NONE, true);
}

/* ---- bytes ---- */

static void send_all(const void *bytes, size_t len)
{
	for (size_t at = 0, n; at < len;) {
		if (SSL_write_ex(client, (const uint8_t *)bytes + at, len - at, &n) == 1)
			at += n;
		turn();
	}
}

static void bytes_come_in_as_they_were_sent(void **state)
{
	(void)state;
	static uint8_t bytes[300000];
	for (size_t i = 0; i < sizeof bytes; i++)
		bytes[i] = (uint8_t)(i * 31 + i / 251);
	static const size_t mosts[] = {65536, 16384, 1000, 1};
	for (size_t i = 0; i < sizeof mosts / sizeof *mosts; i++) {
		size_t len = mosts[i] == 1 ? 3000 : sizeof bytes;
		connect_to(plain_context());
		read_most = mosts[i];
		assert_true(shake_hands());
		send_all(bytes, len);
		for (int t = 0; t < TURNS_MAX && in_len < len; t++)
			turn();
		assert_int_equal(in_len, len);
		assert_memory_equal(in, bytes, len);
		hang_up();
	}
}

/* The peer reads now and then, so that records are left lying in the middle of what is written. */
static void bytes_go_out_as_they_were_written(void **state)
{
	(void)state;
	static uint8_t bytes[1000000], got[sizeof bytes];
	size_t len = 0, n;
	for (size_t i = 0; i < sizeof bytes; i++)
		bytes[i] = (uint8_t)(i * 17 + i / 253);
	connect_to(plain_context());
	assert_true(shake_hands());
	to_write = bytes;
	write_len = sizeof bytes;
	write_on();
	assert_true(blocked);
	for (int t = 0; t < TURNS_MAX * 10 && len < sizeof got && !broken; t++) {
		if (t % 3 == 0 && SSL_read_ex(client, got + len, sizeof got - len, &n) == 1)
			len += n;
		turn();
	}
	assert_int_equal(written, sizeof bytes);
	assert_int_equal(len, sizeof got);
	assert_memory_equal(got, bytes, len);
	assert_false(blocked);
	hang_up();
}

static void what_was_written_arrives_before_the_end(void **state)
{
	(void)state;
	char got[64];
	size_t n = 0;
	connect_to(plain_context());
	assert_true(shake_hands());
	to_write = (uint8_t *)"the last words";
	write_len = 14;
	write_on();
	assert_true(wire.kind->shut(&wire));
	for (int t = 0; t < TURNS_MAX && SSL_read_ex(client, got, sizeof got, &n) != 1; t++)
		turn();
	assert_int_equal(n, 14);
	assert_memory_equal(got, "the last words", 14);
	assert_int_equal(SSL_read_ex(client, got, sizeof got, &n), 0);
	assert_int_equal(SSL_get_error(client, 0), SSL_ERROR_ZERO_RETURN); /* said, not cut */
	hang_up();
}

static void an_end_is_an_end_said_or_not(void **state)
{
	(void)state;
	for (int said = 0; said < 2; said++) {
		connect_to(plain_context());
		assert_true(shake_hands());
		send_all("bye", 3);
		if (said)
			SSL_shutdown(client);
		shutdown(peer, SHUT_WR);
		for (int t = 0; t < TURNS_MAX && !ended && !broken; t++)
			turn();
		assert_true(ended);
		assert_false(broken);
		assert_int_equal(in_len, 3);
		hang_up();
	}
}

static void what_is_no_tls_breaks_it(void **state)
{
	(void)state;
	static const char request[] = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
	connect_to(plain_context());
	assert_int_equal(send(peer, request, sizeof request - 1, 0), sizeof request - 1);
	for (int t = 0; t < TURNS_MAX && !broken; t++)
		turn();
	assert_true(broken);
	assert_false(wire.kind->settled(&wire));
	hang_up();
}

/* ---- hands ---- */

static char *shown_name(void)
{
	static char name[256];
	struct certificate shown = {.leaf = SSL_get1_peer_certificate(client)};
	certificate_name(&shown, name, sizeof name);
	X509_free(shown.leaf);
	return name;
}

static void the_name_that_is_asked_for_picks_the_certificate(void **state)
{
	(void)state;
	static const struct {
		const char *asked, *shown;
	} rows[] = {{NULL, "first.example"},
	            {"first.example", "first.example"},
	            {"a.second.example", "*.second.example"},
	            {"nobody.example", "first.example"}};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
			connect_to(plain_context());
			SSL_set_max_proto_version(client, version);
			if (rows[i].asked != NULL)
				SSL_set_tlsext_host_name(client, rows[i].asked);
			assert_true(shake_hands());
			assert_int_equal(SSL_version(client), version);
			assert_string_equal(shown_name(), rows[i].shown);
			hang_up();
		}
}

static void the_protocol_is_agreed_on(void **state)
{
	(void)state;
	static const struct {
		const char *offered, *taken;
		bool h2;
	} rows[] = {{"\x02h2\x08http/1.1", "h2", true},
	            {"\x08http/1.1\x02h2", "h2", true},
	            {"\x08http/1.1", "http/1.1", true},
	            {"\x02h2\x08http/1.1", "http/1.1", false},
	            {"\x02h2", NULL, false},
	            {"\x06spdy/1", NULL, true},
	            {"", "", true}};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		const unsigned char *taken;
		unsigned len;
		connect_to(serve(made, 1, "", TLS_CLIENTS_NONE, rows[i].h2));
		SSL_set_alpn_protos(client, (const uint8_t *)rows[i].offered,
		                    (unsigned)strlen(rows[i].offered));
		assert_int_equal(shake_hands(), rows[i].taken != NULL);
		SSL_get0_alpn_selected(client, &taken, &len);
		if (rows[i].taken != NULL) {
			assert_int_equal(len, strlen(rows[i].taken));
			assert_memory_equal(taken, rows[i].taken, len);
		}
		hang_up();
	}
}

static void what_is_old_or_weak_is_refused(void **state)
{
	(void)state;
	connect_to(plain_context());
	SSL_set_security_level(client, 0);
	SSL_set_min_proto_version(client, TLS1_VERSION);
	SSL_set_max_proto_version(client, TLS1_1_VERSION);
	assert_false(shake_hands());
	hang_up();
	static const char *const weak[] = {"AES128-SHA", "AES128-GCM-SHA256",
	                                   "ECDHE-RSA-AES128-SHA", "ECDHE-ECDSA-AES128-SHA256"};
	for (size_t i = 0; i < sizeof weak / sizeof *weak; i++) {
		connect_to(plain_context());
		SSL_set_security_level(client, 0);
		SSL_set_max_proto_version(client, TLS1_2_VERSION);
		assert_int_equal(SSL_set_cipher_list(client, weak[i]), 1);
		assert_false(shake_hands());
		hang_up();
	}
}

/* By another context of the same keys, as another worker, or this one after a change, has it. */
static void a_session_is_resumed_by_whoever_has_the_keys(void **state)
{
	(void)state;
	for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
		SSL_SESSION_free(session);
		session = NULL;
		for (int time = 0; time < 2; time++) {
			char byte;
			size_t n;
			connect_to(plain_context());
			SSL_set_max_proto_version(client, version);
			if (time > 0)
				assert_int_equal(SSL_set_session(client, session), 1);
			assert_true(shake_hands());
			assert_int_equal(SSL_session_reused(client), time);
			SSL_read_ex(client, &byte, 1,
			            &n); /* the ticket comes behind the handshake */
			assert_non_null(session);
			SSL_shutdown(client); /* else it were no good any more */
			hang_up();
		}
	}
}

static void a_client_shows_who_it_is(void **state)
{
	(void)state;
	for (int shows = 0; shows < 3; shows++) /* nothing, one of ours, one of nobody's */
		for (enum tls_clients clients = TLS_CLIENTS_MAY; clients <= TLS_CLIENTS_MUST;
		     clients++) {
			struct certificate_made *mine = shows == 1 ? &made[1] : &made[0];
			struct certificate_made theirs = made[1];
			connect_to(serve(made, 1, theirs.chain, clients, true));
			SSL_set_max_proto_version(client, TLS1_2_VERSION); /* hears of it at once */
			if (shows > 0) {
				BIO *chain = BIO_new_mem_buf(mine->chain, -1),
				    *key = BIO_new_mem_buf(mine->key, -1);
				X509 *leaf = PEM_read_bio_X509(chain, NULL, NULL, NULL);
				EVP_PKEY *secret = PEM_read_bio_PrivateKey(key, NULL, NULL, NULL);
				SSL_use_certificate(client, leaf);
				SSL_use_PrivateKey(client, secret);
				X509_free(leaf);
				EVP_PKEY_free(secret);
				BIO_free(chain);
				BIO_free(key);
			}
			bool good = shows == 1 || (shows == 0 && clients == TLS_CLIENTS_MAY);
			assert_int_equal(shake_hands(), good);
			hang_up();
		}
}

/* A session from before clients had to show a certificate, or had to show another, is none. */
static void a_session_is_of_who_might_come_in_then(void **state)
{
	(void)state;
	const struct {
		const char *ca;
		enum tls_clients clients;
		bool comes_in;
	} rows[] = {{"", TLS_CLIENTS_NONE, true},
	            {made[1].chain, TLS_CLIENTS_MAY, true},
	            {made[1].chain, TLS_CLIENTS_MUST, false},
	            {made[0].chain, TLS_CLIENTS_MUST, false}};
	for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++)
		for (size_t to = 0; to < sizeof rows / sizeof *rows; to++) {
			char byte;
			size_t n;
			SSL_SESSION_free(session);
			session = NULL;
			connect_to(plain_context());
			SSL_set_max_proto_version(client, version);
			assert_true(shake_hands());
			SSL_read_ex(client, &byte, 1, &n);
			assert_non_null(session);
			SSL_shutdown(client);
			hang_up();
			connect_to(serve(made, 1, rows[to].ca, rows[to].clients, true));
			SSL_set_max_proto_version(client, version);
			assert_int_equal(SSL_set_session(client, session), 1);
			bool settled = shake_hands();
			assert_int_equal(settled && SSL_session_reused(client), to == 0);
			assert_int_equal(wire.kind->settled(&wire), rows[to].comes_in);
			hang_up();
		}
}

static void a_change_leaves_the_connected_alone(void **state)
{
	(void)state;
	char reason[CERTIFICATE_REASON_ROOM];
	int64_t expires_s;
	connect_to(plain_context()); /* whose only reference is the wire's */
	assert_true(shake_hands());
	send_all("still", 5);
	for (int t = 0; t < TURNS_MAX && in_len < 5; t++)
		turn();
	assert_memory_equal(in, "still", 5);
	hang_up();
	char text[16384];
	size_t chain_len = strlen(made[0].chain) + 1, key_len = strlen(made[1].key) + 1;
	memcpy(text, made[0].chain, chain_len);
	memcpy(text + chain_len, made[1].key, key_len);
	const struct tls_material wrong = {.pairs = span_of(text, chain_len + key_len)};
	assert_null(tls_context(&wrong, clock_wall_ms(), &expires_s, reason));
	assert_string_equal(reason, "the key is not that of the certificate");
	assert_null(tls_context(&(struct tls_material){0}, clock_wall_ms(), &expires_s, reason));
	assert_string_equal(reason, "there is no certificate");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(bytes_come_in_as_they_were_sent),
	        cmocka_unit_test(bytes_go_out_as_they_were_written),
	        cmocka_unit_test(what_was_written_arrives_before_the_end),
	        cmocka_unit_test(an_end_is_an_end_said_or_not),
	        cmocka_unit_test(what_is_no_tls_breaks_it),
	        cmocka_unit_test(the_name_that_is_asked_for_picks_the_certificate),
	        cmocka_unit_test(the_protocol_is_agreed_on),
	        cmocka_unit_test(what_is_old_or_weak_is_refused),
	        cmocka_unit_test(a_session_is_resumed_by_whoever_has_the_keys),
	        cmocka_unit_test(a_client_shows_who_it_is),
	        cmocka_unit_test(a_session_is_of_who_might_come_in_then),
	        cmocka_unit_test(a_change_leaves_the_connected_alone),
	};
	return cmocka_run_group_tests(tests, make, unmake);
}
