#include "common/base/settings_jwt.h"
#include "common/base/address.h"
#include "common/base/jwt.h"

size_t settings_list_count(const char *list)
{
	size_t count = *list != '\0';
	for (; *list != '\0'; list++)
		count += *list == ',';
	return count;
}

struct span settings_list_item(const char *list, size_t n)
{
	for (; n > 0 && *list != '\0'; n--) {
		list += strcspn(list, ",");
		list += *list == ',';
	}
	return *list != '\0' ? span_of(list, strcspn(list, ",")) : (struct span){0};
}

/* ---- each ---- */

static const char *keys_fault(const char *value)
{
	enum jwk_fault fault;
	struct jwk_set *set = jwk_set_read(span_str(value), JWK_FROM_US, &fault);
	jwk_set_destroy(&set);
	return fault != JWK_NONE ? jwk_fault_text(fault) : NULL;
}

static const char *secret_fault(const char *value)
{
	enum jwk_fault fault;
	struct jwk_set *set = jwk_set_of_secret(span_str(value), &fault);
	jwk_set_destroy(&set);
	if (fault == JWK_UNSUPPORTED)
		return "is PEM: public keys belong into auth.jwt_keys";
	return fault == JWK_WEAK   ? "must have 32 bytes or more"
	       : fault != JWK_NONE ? "must have 1024 bytes at most"
	                           : NULL;
}

static bool url_fits(struct span url)
{
	struct address_host host;
	if (!address_parse_url(url, &host))
		return false;
	return (url.len > 8 && memcmp(url.at, "https://", 8) == 0) ||
	       address_host_is_loopback(&host);
}

static const char *urls_fault(const char *list)
{
	size_t count = settings_list_count(list);
	bool fit = count <= SETTINGS_JWKS_URLS_MAX;
	for (size_t i = 0; i < count && fit; i++)
		fit = url_fits(settings_list_item(list, i));
	return fit ? NULL
	           : "must be https://..., or http:// on loopback; with commas between, 8 at most";
}

static const char *names_fault(const char *list)
{
	for (size_t i = 0; i < settings_list_count(list); i++) {
		struct span name = settings_list_item(list, i);
		if (name.len == 0 || name.len > JWT_ISSUER_MAX ||
		    memchr(name.at, ' ', name.len) != NULL)
			return "must be names without blanks, commas between them, none empty";
	}
	return NULL;
}

const char *settings_jwt_fault(const char *key, const char *value)
{
	unsigned algs;
	if (*value == '\0')
		return NULL;
	if (strcmp(key, "auth.jwt_keys") == 0)
		return keys_fault(value);
	if (strcmp(key, "auth.jwt_secret") == 0)
		return secret_fault(value);
	if (strcmp(key, "auth.jwt_jwks_url") == 0)
		return urls_fault(value);
	if (strcmp(key, "auth.jwt_issuer") == 0 || strcmp(key, "auth.jwt_audience") == 0)
		return names_fault(value);
	if (strcmp(key, "auth.jwt_algorithms") == 0 && !jws_algs_parse(value, &algs))
		return "must be some of HS256, RS256, PS256, ES256 and EdDSA, with commas between";
	return NULL;
}

/* ---- together ---- */

struct settings_clash settings_jwt_clash(const struct settings *s)
{
	size_t urls = settings_list_count(s->auth_jwt_jwks_url),
	       issuers = settings_list_count(s->auth_jwt_issuer);
	struct settings_clash clash = {"auth.jwt_jwks_url", "auth.jwt_issuer", NULL};
	if (urls > 0 && issuers == 0)
		clash.what =
		        "needs auth.jwt_issuer: what somebody publishes is good for his tokens";
	else if (urls > 1 && urls != issuers)
		clash.what = "must be one, or as many as auth.jwt_issuer has, in its order";
	return clash;
}
