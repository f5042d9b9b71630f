#include "worker-sse/edge/tls.h"
#include "common/base/check.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Mozilla's "intermediate", without DHE. */
static const char ciphers[] =
        "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"
        "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";

/* What the callbacks of one context need: it belongs to the first pair's. */
struct tls_set {
	SSL_CTX *first;
	size_t count;
	struct tls_named {
		SSL_CTX *context;
		struct certificate certificate;
	} named[TLS_PAIRS_MAX];
	size_t keys_count;
	uint8_t keys[TLS_TICKET_KEYS_MAX][TLS_TICKET_KEY_BYTES];
	uint8_t scope[SHA256_DIGEST_LENGTH]; /* sessions of another are none of ours */
	bool h2;
};
_Static_assert((int)SHA256_DIGEST_LENGTH <= SSL_MAX_SID_CTX_LENGTH, "OpenSSL takes it");

/* ---- a set lives as long as its first context ---- */

static int set_index(void);

/* A connection that is being freed lets go of the first context before the one of its name: which
 * is to know nothing of us then. */
static void set_free(struct tls_set *set)
{
	for (size_t i = 0; i < set->count; i++) {
		if (i > 0) {
			SSL_CTX_set_ex_data(set->named[i].context, set_index(), NULL);
			SSL_CTX_free(set->named[i].context);
		}
		certificate_finish(&set->named[i].certificate);
	}
	OPENSSL_cleanse(set->keys, sizeof set->keys);
	free(set);
}

static void on_context_freed(void *parent, void *value, CRYPTO_EX_DATA *data, int index, long argl,
                             void *argp)
{
	struct tls_set *set = value;
	(void)data, (void)index, (void)argl, (void)argp;
	if (set != NULL && set->first == parent)
		set_free(set);
}

static int set_index(void)
{
	static int index = -1; /* OpenSSL's number for our pointer */
	if (index < 0)
		index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, on_context_freed);
	return index;
}

static struct tls_set *set_of(const SSL *ssl)
{
	return SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), set_index());
}

/* ---- what OpenSSL asks ---- */

static int on_server_name(SSL *ssl, int *alert, void *arg)
{
	struct tls_set *set = arg;
	const char *host = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
	(void)alert;
	if (host == NULL)
		return SSL_TLSEXT_ERR_NOACK;
	for (size_t i = 0; i < set->count; i++)
		if (certificate_is_for(&set->named[i].certificate, span_str(host))) {
			SSL_set_SSL_CTX(ssl, set->named[i].context);
			break;
		}
	return SSL_TLSEXT_ERR_OK;
}

static int on_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                   const unsigned char *in, unsigned in_len, void *arg)
{
	static const unsigned char offered[] = "\x02h2\x08http/1.1";
	const struct tls_set *set = arg;
	size_t skip = set->h2 ? 0 : 3;
	(void)ssl;
	/* RFC 7301 3.2: nothing in common is fatal. */
	return SSL_select_next_proto((unsigned char **)(uintptr_t)out, out_len, offered + skip,
	                             (unsigned)(sizeof offered - 1 - skip), in,
	                             in_len) == OPENSSL_NPN_NEGOTIATED
	               ? SSL_TLSEXT_ERR_OK
	               : SSL_TLSEXT_ERR_ALERT_FATAL;
}

/* RFC 5077 4: name, IV, state, MAC. Sealed with the first key; one that an older key opens is
 * renewed. */
static int on_ticket(SSL *ssl, unsigned char name[16], unsigned char *iv, EVP_CIPHER_CTX *cipher,
                     EVP_MAC_CTX *mac, int seal)
{
	struct tls_set *set = set_of(ssl);
	size_t i = 0;
	if (set->keys_count == 0)
		return 0;
	if (seal) {
		if (RAND_bytes(iv, EVP_CIPHER_get_iv_length(EVP_aes_256_cbc())) != 1)
			return -1;
		memcpy(name, set->keys[0], 16);
	} else {
		while (i < set->keys_count && memcmp(name, set->keys[i], 16) != 0)
			i++;
		if (i == set->keys_count)
			return 0;
	}
	char digest[] = "SHA256";
	OSSL_PARAM parameters[] = {
	        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, set->keys[i] + 48, 32),
	        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
	        OSSL_PARAM_construct_end()};
	if (EVP_MAC_CTX_set_params(mac, parameters) != 1 ||
	    EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), NULL, set->keys[i] + 16, iv, seal) != 1)
		return -1;
	return i == 0 ? 1 : 2;
}

/* ---- making one ---- */

/* Whoever resumes a session shows no certificate again: one that began when clients had to show
 * none, or another, is not resumed. */
static void name_scope(const struct tls_material *material, uint8_t scope[SHA256_DIGEST_LENGTH])
{
	uint8_t named[1 + SHA256_DIGEST_LENGTH] = {(uint8_t)material->clients};
	SHA256(material->client_ca.at, material->client_ca.len, named + 1);
	SHA256(named, sizeof named, scope);
}

static bool trust_clients(SSL_CTX *context, const struct tls_material *material)
{
	if (material->clients == TLS_CLIENTS_NONE)
		return true;
	BIO *bio = BIO_new_mem_buf(material->client_ca.at, (int)material->client_ca.len);
	X509_STORE *store = SSL_CTX_get_cert_store(context);
	X509 *authority;
	int count = 0;
	while (bio != NULL && (authority = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL) {
		count += X509_STORE_add_cert(store, authority);
		SSL_CTX_add_client_CA(context, authority);
		X509_free(authority);
	}
	BIO_free(bio);
	ERR_clear_error();
	SSL_CTX_set_verify(context,
	                   SSL_VERIFY_PEER | (material->clients == TLS_CLIENTS_MUST
	                                              ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT
	                                              : 0),
	                   NULL);
	return count > 0;
}

static SSL_CTX *make_context(struct tls_set *set, const struct certificate *certificate,
                             const struct tls_material *material)
{
	SSL_CTX *context = SSL_CTX_new(TLS_server_method());
	check(context != NULL);
	check(SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) == 1);
	check(SSL_CTX_set_cipher_list(context, ciphers) == 1);
	SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
	                                     SSL_OP_IGNORE_UNEXPECTED_EOF |
	                                     (set->keys_count == 0 ? SSL_OP_NO_TICKET : 0));
	SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE |
	                                  SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
	                                  SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
	check(SSL_CTX_set_session_id_context(context, set->scope, sizeof set->scope) == 1);
	SSL_CTX_set_num_tickets(context, set->keys_count == 0 ? 0 : 1);
	SSL_CTX_set_tlsext_ticket_key_evp_cb(context, on_ticket);
	SSL_CTX_set_tlsext_servername_callback(context, on_server_name);
	SSL_CTX_set_tlsext_servername_arg(context, set);
	SSL_CTX_set_alpn_select_cb(context, on_alpn, set);
	check(SSL_CTX_set_ex_data(context, set_index(), set) == 1);
	if (SSL_CTX_use_certificate(context, certificate->leaf) != 1 ||
	    SSL_CTX_set1_chain(context, certificate->chain) != 1 ||
	    SSL_CTX_use_PrivateKey(context, certificate->key) != 1 ||
	    !trust_clients(context, material)) {
		ERR_clear_error();
		SSL_CTX_set_ex_data(context, set_index(), NULL);
		SSL_CTX_free(context);
		return NULL;
	}
	return context;
}

static struct span next_text(struct span *rest)
{
	const uint8_t *end = rest->len > 0 ? memchr(rest->at, '\0', rest->len) : NULL;
	struct span text = span_of(rest->at, end != NULL ? (size_t)(end - rest->at) : rest->len);
	*rest = end != NULL ? span_of(end + 1, rest->len - text.len - 1) : (struct span){0};
	return text;
}

static bool add_pair(struct tls_set *set, const struct tls_material *material, struct span chain,
                     struct span key, uint64_t now_ms, char reason[CERTIFICATE_REASON_ROOM])
{
	struct tls_named *named = &set->named[set->count];
	if (!certificate_read(&named->certificate, chain, key, now_ms, reason)) {
		certificate_finish(&named->certificate);
		return false;
	}
	named->context = make_context(set, &named->certificate, material);
	if (named->context == NULL) {
		snprintf(reason, CERTIFICATE_REASON_ROOM,
		         "OpenSSL takes the certificate, or the clients' authorities, for none");
		certificate_finish(&named->certificate);
		return false;
	}
	set->count++;
	return true;
}

static void abandon(struct tls_set *set)
{
	if (set->count == 0)
		set_free(set);
	else
		SSL_CTX_free(set->first); /* which frees the set */
}

SSL_CTX *tls_context(const struct tls_material *material, uint64_t now_ms, int64_t *expires_s,
                     char reason[CERTIFICATE_REASON_ROOM])
{
	struct tls_set *set = xcalloc(1, sizeof *set);
	struct span rest = material->pairs;
	set->h2 = material->h2;
	name_scope(material, set->scope);
	set->keys_count = material->ticket_keys.len / TLS_TICKET_KEY_BYTES;
	if (set->keys_count > TLS_TICKET_KEYS_MAX)
		set->keys_count = TLS_TICKET_KEYS_MAX;
	if (set->keys_count > 0)
		memcpy(set->keys, material->ticket_keys.at, set->keys_count * TLS_TICKET_KEY_BYTES);
	*expires_s = INT64_MAX;
	snprintf(reason, CERTIFICATE_REASON_ROOM, "there is no certificate");
	while (rest.len > 0 && set->count < TLS_PAIRS_MAX) {
		struct span chain = next_text(&rest), key = next_text(&rest);
		if (!add_pair(set, material, chain, key, now_ms, reason)) {
			abandon(set);
			return NULL;
		}
		set->first = set->named[0].context;
		int64_t ends = certificate_expires_s(&set->named[set->count - 1].certificate);
		*expires_s = ends < *expires_s ? ends : *expires_s;
	}
	if (set->count == 0) {
		set_free(set);
		return NULL;
	}
	return set->first;
}
