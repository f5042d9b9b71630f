#include "worker-sse/edge/pass.h"
#include "common/base/base64.h"
#include "common/base/check.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <stdlib.h>

enum {
	VERSION = 1,
	SEAL_BYTES = 32,
	MARK_LEN = 4,
	HEAD_BYTES = 1 + SEAL_BYTES,
	PLAIN_MAX = 1 + 8 + PASS_DIGEST_BYTES + 8 + 3 * 4 + PASS_SUBJECT_MAX + 2 * PASS_RIGHTS_MAX,
};

static const struct {
	const char *mark, *seal, *hide; /* what it begins with; what its keys are for */
} kinds[] = {
        [PASS_COOKIE] = {"rsc_", "ringside pass 1 cookie seal", "ringside pass 1 cookie hide"},
        [PASS_TICKET] = {"rst_", "ringside pass 1 ticket seal", "ringside pass 1 ticket hide"}};

/* ---- keys ---- */

static void derive(const uint8_t secret[PASS_SECRET_BYTES], const char *purpose, uint8_t out[32])
{
	EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
	EVP_KDF_CTX *context = EVP_KDF_CTX_new(kdf);
	const OSSL_PARAM params[] = {
	        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST,
	                                         (char *)(uintptr_t) "SHA256", 0),
	        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)(uintptr_t)secret,
	                                          PASS_SECRET_BYTES),
	        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, (void *)(uintptr_t)purpose,
	                                          strlen(purpose)),
	        OSSL_PARAM_construct_end()};
	check(context != NULL && EVP_KDF_derive(context, out, 32, params) == 1);
	EVP_KDF_CTX_free(context);
	EVP_KDF_free(kdf);
}

void pass_keys_make(const uint8_t secret[PASS_SECRET_BYTES], struct pass_keys *keys)
{
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
		derive(secret, kinds[i].seal, keys->kinds[i].seal);
		derive(secret, kinds[i].hide, keys->kinds[i].hide);
	}
}

static void seal_of(const struct pass_key *key, struct span plain, uint8_t seal[SEAL_BYTES])
{
	unsigned len = SEAL_BYTES;
	check(HMAC(EVP_sha256(), key->seal, sizeof key->seal, plain.at, plain.len, seal, &len) !=
	      NULL);
}

/* Both ways. */
static void hide(const struct pass_key *key, const uint8_t seal[SEAL_BYTES], struct span in,
                 uint8_t *out)
{
	EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
	int len = 0;
	check(context != NULL &&
	      EVP_EncryptInit_ex(context, EVP_aes_256_ctr(), NULL, key->hide, seal) == 1 &&
	      EVP_EncryptUpdate(context, out, &len, in.at, (int)in.len) == 1 &&
	      (size_t)len == in.len);
	EVP_CIPHER_CTX_free(context);
}

/* ---- making ---- */

static size_t print(const struct pass *pass, uint8_t *out, size_t room)
{
	struct writer w = {out, out + room, true};
	writer_uint(&w, pass->jwt, 1);
	writer_uint(&w, pass->expires_ms, 8);
	writer_bytes(&w, span_of(pass->digest, sizeof pass->digest));
	writer_span(&w, pass->rights, PASS_RIGHTS_MAX);
	if (pass->jwt) {
		writer_uint(&w, pass->key, 8);
		writer_span(&w, pass->subject, PASS_SUBJECT_MAX);
		writer_span(&w, pass->maker, PASS_RIGHTS_MAX);
	}
	return w.ok ? (size_t)(w.at - out) : 0;
}

char *pass_seal(const struct pass_keys *keys, const struct pass *pass)
{
	const struct pass_key *key = &keys->kinds[pass->kind];
	uint8_t *plain = xmalloc(PLAIN_MAX), *bytes = NULL;
	char *text = NULL, *whole = NULL;
	size_t len = print(pass, plain, PLAIN_MAX);
	if (len > 0) {
		bytes = xmalloc(HEAD_BYTES + len);
		bytes[0] = VERSION;
		seal_of(key, span_of(plain, len), bytes + 1);
		hide(key, bytes + 1, span_of(plain, len), bytes + HEAD_BYTES);
		text = base64url_text(span_of(bytes, HEAD_BYTES + len));
		if (MARK_LEN + strlen(text) <= PASS_TEXT_MAX)
			check(asprintf(&whole, "%s%s", kinds[pass->kind].mark, text) > 0);
	}
	free(text);
	free(bytes);
	free(plain);
	return whole;
}

/* ---- opening ---- */

/* One spelling: what decodes to the same is not the same text. */
static uint8_t *decode(enum pass_kind kind, struct span text, size_t *len)
{
	if (text.len <= MARK_LEN || text.len > PASS_TEXT_MAX ||
	    memcmp(text.at, kinds[kind].mark, MARK_LEN) != 0)
		return NULL;
	struct span rest = span_of(text.at + MARK_LEN, text.len - MARK_LEN);
	uint8_t *bytes = xmalloc(rest.len + 4);
	int64_t decoded = base64url_decode(rest, bytes);
	if (decoded > HEAD_BYTES && bytes[0] == VERSION) {
		*len = (size_t)decoded;
		return bytes;
	}
	free(bytes);
	return NULL;
}

static bool read_plain(struct span plain, struct pass *pass)
{
	struct reader r = {plain.at, plain.at + plain.len, true};
	uint64_t jwt = reader_uint(&r, 1);
	pass->jwt = jwt == 1;
	pass->expires_ms = reader_uint(&r, 8);
	struct span digest = reader_bytes(&r, PASS_DIGEST_BYTES);
	if (r.ok)
		memcpy(pass->digest, digest.at, digest.len);
	pass->rights = reader_span(&r, PASS_RIGHTS_MAX);
	if (pass->jwt) {
		pass->key = reader_uint(&r, 8);
		pass->subject = reader_span(&r, PASS_SUBJECT_MAX);
		pass->maker = reader_span(&r, PASS_RIGHTS_MAX);
	}
	return r.ok && jwt <= 1 && reader_left(&r) == 0;
}

enum pass_result pass_open(const struct pass_keys *keys, enum pass_kind kind, struct span text,
                           uint64_t now_ms, struct pass *pass, uint8_t **bytes)
{
	const struct pass_key *key = &keys->kinds[kind];
	uint8_t seal[SEAL_BYTES];
	size_t len = 0;
	uint8_t *sealed = decode(kind, text, &len);
	*pass = (struct pass){.kind = kind};
	*bytes = NULL;
	if (sealed == NULL)
		return PASS_BAD;
	struct span plain = span_of(sealed + HEAD_BYTES, len - HEAD_BYTES);
	hide(key, sealed + 1, plain, sealed + HEAD_BYTES);
	seal_of(key, plain, seal);
	bool good = CRYPTO_memcmp(seal, sealed + 1, SEAL_BYTES) == 0 && read_plain(plain, pass);
	if (good && now_ms < pass->expires_ms) {
		*bytes = sealed;
		return PASS_GOOD;
	}
	free(sealed);
	*pass = (struct pass){.kind = kind};
	return good ? PASS_EXPIRED : PASS_BAD;
}
