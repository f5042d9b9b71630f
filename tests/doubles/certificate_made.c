#include "tests/doubles/certificate_made.h"
#include "common/base/check.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

static char *text_of(BIO *bio)
{
	char *at;
	long len = BIO_get_mem_data(bio, &at);
	char *text = xmemdup_text(at, (size_t)len);
	BIO_free(bio);
	return text;
}

static EVP_PKEY *key_of(enum certificate_kind kind)
{
	switch (kind) {
	case CERTIFICATE_EC:
		return EVP_EC_gen("P-256");
	case CERTIFICATE_RSA:
		return EVP_RSA_gen(2048);
	case CERTIFICATE_RSA_SHORT:
		return EVP_RSA_gen(1024);
	}
	return NULL;
}

struct certificate_made certificate_make(enum certificate_kind kind, const char *names,
                                         int64_t begins_s, int64_t ends_s)
{
	static long serial;
	EVP_PKEY *key = key_of(kind);
	X509 *x = X509_new();
	X509_set_version(x, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(x), ++serial);
	X509_gmtime_adj(X509_getm_notBefore(x), (long)begins_s);
	X509_gmtime_adj(X509_getm_notAfter(x), (long)ends_s);
	X509_set_pubkey(x, key);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
	                           (const uint8_t *)"made for a test", -1, -1, 0);
	X509_set_issuer_name(x, X509_get_subject_name(x));
	if (names != NULL) {
		X509_EXTENSION *extension =
		        X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, names);
		check(extension != NULL && X509_add_ext(x, extension, -1) == 1);
		X509_EXTENSION_free(extension);
	}
	check(X509_sign(x, key, EVP_sha256()) != 0);
	BIO *chain_bio = BIO_new(BIO_s_mem()), *key_bio = BIO_new(BIO_s_mem());
	check(PEM_write_bio_X509(chain_bio, x) == 1);
	check(PEM_write_bio_PrivateKey(key_bio, key, NULL, NULL, 0, NULL, NULL) == 1);
	X509_free(x);
	EVP_PKEY_free(key);
	return (struct certificate_made){text_of(chain_bio), text_of(key_bio)};
}

void certificate_made_finish(struct certificate_made *made)
{
	free(made->chain);
	free(made->key);
	*made = (struct certificate_made){0};
}
