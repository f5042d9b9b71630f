/* Keys as PEM (RFC 7468): "PUBLIC KEY" (section 13) and "CERTIFICATE" (section 5). */
#include "common/base/check.h"
#include "common/base/jwk_parts.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

bool jwk_is_pem(struct span text)
{
	static const char begin[] = "-----BEGIN ";
	return memmem(text.at, text.len, begin, sizeof begin - 1) != NULL;
}

static EVP_PKEY *key_of_certificate(const uint8_t *der, long len)
{
	X509 *certificate = d2i_X509(NULL, &der, len);
	EVP_PKEY *key = certificate != NULL ? X509_get_pubkey(certificate) : NULL;
	X509_free(certificate);
	return key;
}

static void add_block(struct jwk_set *set, const char *name, const uint8_t *der, long len)
{
	static const char private[] = "PRIVATE KEY";
	const uint8_t *at = der;
	EVP_PKEY *key = NULL;
	if (strstr(name, private) != NULL) {
		jwk_set_skip(set, JWK_PRIVATE);
		return;
	}
	if (strcmp(name, "PUBLIC KEY") == 0) {
		key = d2i_PUBKEY(NULL, &at, len);
	} else if (strcmp(name, "CERTIFICATE") == 0) {
		key = key_of_certificate(der, len);
	} else {
		jwk_set_skip(set, JWK_UNSUPPORTED);
		return;
	}
	enum jwk_fault fault = JWK_MALFORMED;
	if (key != NULL)
		fault = jwk_set_add_public(set, key, ~0u, (struct span){0});
	if (fault != JWK_NONE)
		jwk_set_skip(set, fault);
}

void jwk_set_add_pem(struct jwk_set *set, struct span text)
{
	char *name, *header;
	uint8_t *der;
	long len;
	BIO *bio = BIO_new_mem_buf(text.at, (int)text.len);
	check(bio != NULL);
	while (PEM_read_bio(bio, &name, &header, &der, &len) == 1) {
		add_block(set, name, der, len);
		OPENSSL_free(name);
		OPENSSL_free(header);
		OPENSSL_clear_free(der, (size_t)len);
	}
	/* Cut off in the middle of a key? */
	if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
		jwk_set_skip(set, JWK_MALFORMED);
	BIO_free(bio);
	ERR_clear_error();
}
