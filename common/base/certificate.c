#include "common/base/certificate.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <time.h>

enum { RSA_BITS_MIN = 2048, EC_BITS_MIN = 224 };

static bool refuse(char reason[CERTIFICATE_REASON_ROOM], const char *text)
{
	snprintf(reason, CERTIFICATE_REASON_ROOM, "%s", text);
	ERR_clear_error();
	return false;
}

/* Nobody is at a terminal to be asked. */
static int no_passphrase(char *into, int room, int writing, void *arg)
{
	(void)into, (void)room, (void)writing, (void)arg;
	return -1;
}

static bool read_chain(struct certificate *c, struct span pem, char reason[CERTIFICATE_REASON_ROOM])
{
	BIO *bio = BIO_new_mem_buf(pem.at, (int)pem.len);
	X509 *one;
	c->leaf = bio != NULL ? PEM_read_bio_X509(bio, NULL, no_passphrase, NULL) : NULL;
	c->chain = sk_X509_new_null();
	while (c->leaf != NULL && sk_X509_num(c->chain) <= CERTIFICATE_CHAIN_MAX &&
	       (one = PEM_read_bio_X509(bio, NULL, no_passphrase, NULL)) != NULL)
		sk_X509_push(c->chain, one);
	bool ended = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
	BIO_free(bio);
	if (c->leaf == NULL)
		return refuse(reason, "the file has no certificate in PEM");
	if (sk_X509_num(c->chain) > CERTIFICATE_CHAIN_MAX)
		return refuse(reason, "the chain has more than 16 certificates");
	ERR_clear_error();
	return ended || refuse(reason, "one of the chain's certificates cannot be read");
}

static bool read_key(struct certificate *c, struct span pem, char reason[CERTIFICATE_REASON_ROOM])
{
	BIO *bio = BIO_new_mem_buf(pem.at, (int)pem.len);
	c->key = bio != NULL ? PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL) : NULL;
	BIO_free(bio);
	if (c->key == NULL)
		return refuse(reason,
		              "the key file has no private key in PEM, or one with a passphrase");
	if (X509_check_private_key(c->leaf, c->key) != 1)
		return refuse(reason, "the key is not that of the certificate");
	int bits = EVP_PKEY_get_bits(c->key);
	int least = EVP_PKEY_get_base_id(c->key) == EVP_PKEY_RSA ? RSA_BITS_MIN : EC_BITS_MIN;
	return bits >= least ||
	       refuse(reason, "the key is too short to be safe (RSA needs 2048 bits)");
}

bool certificate_read(struct certificate *c, struct span chain, struct span key, uint64_t now_ms,
                      char reason[CERTIFICATE_REASON_ROOM])
{
	*c = (struct certificate){0};
	time_t now = (time_t)(now_ms / 1000);
	if (!read_chain(c, chain, reason) || !read_key(c, key, reason))
		return false;
	return X509_cmp_time(X509_get0_notAfter(c->leaf), &now) > 0 ||
	       refuse(reason, "the certificate has expired");
}

void certificate_finish(struct certificate *c)
{
	X509_free(c->leaf);
	sk_X509_pop_free(c->chain, X509_free);
	EVP_PKEY_free(c->key);
	*c = (struct certificate){0};
}

bool certificate_is_for(const struct certificate *c, struct span host)
{
	return host.len > 0 &&
	       (X509_check_host(c->leaf, (const char *)host.at, host.len, 0, NULL) == 1);
}

int64_t certificate_expires_s(const struct certificate *c)
{
	struct tm tm;
	return ASN1_TIME_to_tm(X509_get0_notAfter(c->leaf), &tm) == 1 ? (int64_t)timegm(&tm) : 0;
}

void certificate_name(const struct certificate *c, char *out, size_t room)
{
	GENERAL_NAMES *names = X509_get_ext_d2i(c->leaf, NID_subject_alt_name, NULL, NULL);
	const GENERAL_NAME *first =
	        sk_GENERAL_NAME_num(names) > 0 ? sk_GENERAL_NAME_value(names, 0) : NULL;
	if (first != NULL && first->type == GEN_DNS)
		snprintf(out, room, "%.*s", ASN1_STRING_length(first->d.dNSName),
		         ASN1_STRING_get0_data(first->d.dNSName));
	else
		X509_NAME_oneline(X509_get_subject_name(c->leaf), out, (int)room);
	GENERAL_NAMES_free(names);
}
