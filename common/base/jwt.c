#include "common/base/jwt.h"
#include "common/base/base64.h"
#include "common/base/check.h"

#include <stdlib.h>

/* The end of the year 9999. What lies beyond was meant in milliseconds. */
static const double TIME_S_MAX = 253402300799.0;

#define FAULT_ROW(NAME, text) [JWT_##NAME] = text,
static const char *const fault_texts[] = {JWT_FAULTS(FAULT_ROW)};
#undef FAULT_ROW

const char *jwt_fault_text(enum jwt_fault fault)
{
	return fault_texts[fault];
}

/* ---- its parts ---- */

struct parts {
	struct span header, payload, signature; /* as they were sent */
	struct span signed_text;
};

static bool split(struct span token, struct parts *parts)
{
	struct span *all[] = {&parts->header, &parts->payload, &parts->signature};
	const uint8_t *at = token.at, *end = at + token.len;
	for (size_t i = 0; i < 3; i++) {
		const uint8_t *dot = i < 2 ? memchr(at, '.', (size_t)(end - at)) : end;
		if (dot == NULL)
			return false;
		*all[i] = span_of(at, (size_t)(dot - at));
		at = dot + 1;
	}
	parts->signed_text = span_of(token.at, parts->header.len + 1 + parts->payload.len);
	return memchr(parts->signature.at, '.', parts->signature.len) == NULL;
}

/* The text of an object begins with a brace, in base64 with these. */
bool jwt_is_meant(struct span token)
{
	struct parts parts;
	return token.len > 0 && split(token, &parts) && parts.header.len > 2 &&
	       parts.payload.len > 0 && token.at[0] == 'e' &&
	       strchr("wxyz0123456789-_", token.at[1]) != NULL && token.at[1] != '\0';
}

/* NULL: no object, or not as it must be written. */
static json_t *read_object(struct span text)
{
	uint8_t *bytes = xmalloc(text.len + 4);
	int64_t len = base64url_decode(text, bytes);
	json_t *object = NULL;
	/* jansson takes a NUL for the end, and what stood behind it was signed too. */
	if (len > 0 && memchr(bytes, '\0', (size_t)len) == NULL)
		object = json_loadb((const char *)bytes, (size_t)len, JSON_REJECT_DUPLICATES, NULL);
	free(bytes);
	if (object != NULL && !json_is_object(object)) {
		json_decref(object);
		object = NULL;
	}
	return object;
}

/* ---- the header ---- */

struct header {
	enum jws_alg alg;
	struct span kid; /* at NULL: none */
};

/* A text member; at NULL: there is none, or it is no text. */
static struct span text_of(const json_t *object, const char *name)
{
	const json_t *value = json_object_get(object, name);
	return span_of(json_string_value(value), json_string_length(value));
}

/* RFC 7515, 4.1.9: case does not count, and "application/" may be left out. */
static bool type_fits(const json_t *header)
{
	static const char prefix[] = "application/";
	struct span typ = text_of(header, "typ");
	size_t len = sizeof prefix - 1;
	if (json_object_get(header, "typ") == NULL)
		return true;
	if (typ.len > len && span_equal_nocase(span_of(typ.at, len), SPAN(prefix)))
		typ = span_of(typ.at + len, typ.len - len);
	return span_equal_nocase(typ, SPAN("JWT")) || span_equal_nocase(typ, SPAN("at+jwt"));
}

static enum jwt_fault read_header(const struct jwt_expectations *expected, const json_t *json,
                                  struct header *header)
{
	struct span alg = text_of(json, "alg");
	header->kid = text_of(json, "kid");
	if (alg.at == NULL || (header->kid.at == NULL && json_object_get(json, "kid") != NULL))
		return JWT_MALFORMED;
	/* RFC 7515, 4.1.11; RFC 7797, 7. */
	if (json_object_get(json, "crit") != NULL || json_object_get(json, "b64") != NULL)
		return JWT_CRITICAL;
	if (!type_fits(json))
		return JWT_TYPE;
	if (!jws_alg_find(alg, &header->alg) || (expected->algs & jws_bit(header->alg)) == 0)
		return JWT_ALG;
	return JWT_VALID;
}

/* ---- the signature ---- */

struct search {
	const struct jwt_expectations *expected;
	const struct header *header;
	struct span issuer, text, signature;
	unsigned tries;
};

static const struct jwk *try_keys(struct search *s, enum jwk_which which)
{
	for (size_t i = 0; i < s->expected->keys_count; i++) {
		const struct jwt_keys *keys = &s->expected->keys[i];
		const struct jwk *jwk;
		size_t at = 0;
		if (keys->issuer != NULL && !span_equal(s->issuer, span_str(keys->issuer)))
			continue;
		while ((jwk = jwk_set_next(keys->set, &at, s->header->alg, which,
		                           s->header->kid)) != NULL) {
			if (s->tries++ == JWT_TRIES_MAX)
				return NULL;
			if (jws_verify(&jwk->key, s->header->alg, s->text, s->signature))
				return jwk;
		}
	}
	return NULL;
}

/* Who is named is meant, and it alone; keys without a name come in question only where none is
 * called so. */
static enum jwt_fault find_key(struct search *s, const struct jwk **jwk)
{
	bool named = s->header->kid.at != NULL;
	*jwk = try_keys(s, named ? JWK_NAMED : JWK_ANY);
	if (*jwk == NULL && named && s->tries > 0)
		return JWT_SIGNATURE;
	if (*jwk == NULL && named)
		*jwk = try_keys(s, JWK_NAMELESS);
	return *jwk != NULL ? JWT_VALID : JWT_KEY_UNKNOWN;
}

static enum jwt_fault check_signature(const struct jwt_expectations *expected,
                                      const struct header *header, const struct parts *parts,
                                      struct jwt_claims *claims)
{
	const struct jwk *jwk = NULL;
	uint8_t *signature = xmalloc(parts->signature.len + 4);
	int64_t len = base64url_decode(parts->signature, signature);
	enum jwt_fault fault = JWT_MALFORMED;
	if (len >= 0) {
		struct search search = {.expected = expected,
		                        .header = header,
		                        .issuer = span_str(claims->issuer),
		                        .text = parts->signed_text,
		                        .signature = span_of(signature, (size_t)len)};
		fault = find_key(&search, &jwk);
	}
	if (jwk != NULL)
		memcpy(claims->key_id, jwk->id, sizeof claims->key_id);
	free(signature);
	return fault;
}

/* ---- claims ---- */

static bool listed(const char *list, struct span text)
{
	for (;; list++) {
		size_t len = strcspn(list, ",");
		if (len > 0 && span_equal(span_of(list, len), text))
			return true;
		list += len;
		if (*list == '\0')
			return false;
	}
}

/* A text of one line, at most `max` bytes; "": there is none. */
static bool read_name(const json_t *all, const char *name, size_t max, bool blanks,
                      const char **out)
{
	const json_t *value = json_object_get(all, name);
	struct span text = text_of(all, name);
	*out = "";
	if (value == NULL)
		return true;
	for (size_t i = 0; i < text.len; i++)
		if (text.at[i] < ' ' || text.at[i] == 0x7f || (text.at[i] == ' ' && !blanks))
			return false;
	if (text.len == 0 || text.len > max)
		return false;
	*out = json_string_value(value);
	return true;
}

/* A NumericDate (RFC 7519, 2) in Unix ms, `absent` where there is none. */
static bool read_time(const json_t *all, const char *name, uint64_t absent, uint64_t *out_ms)
{
	const json_t *value = json_object_get(all, name);
	double s = json_number_value(value);
	*out_ms = absent;
	if (value == NULL)
		return true;
	if (!json_is_number(value) || !(s >= 0 && s <= TIME_S_MAX))
		return false;
	*out_ms = (uint64_t)(s * 1000);
	return true;
}

static enum jwt_fault check_audience(const char *audiences, const json_t *all)
{
	const json_t *aud = json_object_get(all, "aud"), *one;
	bool found = false;
	size_t i;
	if (aud == NULL)
		return *audiences == '\0' ? JWT_VALID : JWT_AUDIENCE;
	if (!json_is_string(aud) && !json_is_array(aud))
		return JWT_CLAIM;
	if (json_is_string(aud))
		found = listed(audiences, text_of(all, "aud"));
	json_array_foreach (aud, i, one) {
		if (!json_is_string(one))
			return JWT_CLAIM;
		found |=
		        listed(audiences, span_of(json_string_value(one), json_string_length(one)));
	}
	return found ? JWT_VALID : JWT_AUDIENCE;
}

static enum jwt_fault check_times(const struct jwt_expectations *expected, const json_t *all,
                                  uint64_t now_ms, struct jwt_claims *claims)
{
	uint64_t begins_ms, issued_ms;
	if (!read_time(all, "exp", UINT64_MAX, &claims->expires_ms) ||
	    !read_time(all, "nbf", 0, &begins_ms) || !read_time(all, "iat", 0, &issued_ms))
		return JWT_CLAIM;
	if (claims->expires_ms == UINT64_MAX) {
		if (!expected->expiry_optional)
			return JWT_EXPIRY_MISSING;
	} else {
		claims->expires_ms += expected->leeway_ms;
	}
	if (now_ms >= claims->expires_ms) /* RFC 7519, 4.1.4: on or after */
		return JWT_EXPIRED;
	uint64_t latest_ms = now_ms + expected->leeway_ms;
	return begins_ms > latest_ms || issued_ms > latest_ms ? JWT_EARLY : JWT_VALID;
}

static enum jwt_fault check_claims(const struct jwt_expectations *expected, uint64_t now_ms,
                                   struct jwt_claims *claims)
{
	/* A principal's name stands in one line behind its issuer's, with a blank between them. */
	if (!read_name(claims->all, "sub", JWT_SUBJECT_MAX, true, &claims->subject))
		return JWT_CLAIM;
	enum jwt_fault fault = check_audience(expected->audiences, claims->all);
	return fault != JWT_VALID ? fault : check_times(expected, claims->all, now_ms, claims);
}

static enum jwt_fault check_issuer(const struct jwt_expectations *expected,
                                   struct jwt_claims *claims)
{
	if (!read_name(claims->all, "iss", JWT_ISSUER_MAX, false, &claims->issuer))
		return JWT_CLAIM;
	return *expected->issuers == '\0' || listed(expected->issuers, span_str(claims->issuer))
	               ? JWT_VALID
	               : JWT_ISSUER;
}

/* ---- all of it ---- */

static enum jwt_fault verify(const struct jwt_expectations *expected, const struct parts *parts,
                             const json_t *json, uint64_t now_ms, struct jwt_claims *claims)
{
	struct header header;
	enum jwt_fault fault = read_header(expected, json, &header);
	if (fault == JWT_VALID)
		fault = check_issuer(expected, claims);
	if (fault == JWT_VALID)
		fault = check_signature(expected, &header, parts, claims);
	if (fault == JWT_VALID)
		fault = check_claims(expected, now_ms, claims);
	return fault;
}

enum jwt_fault jwt_verify(const struct jwt_expectations *expected, struct span token,
                          uint64_t now_ms, struct jwt_claims *claims)
{
	struct parts parts;
	enum jwt_fault fault = JWT_MALFORMED;
	*claims = (struct jwt_claims){.issuer = "", .subject = "", .expires_ms = UINT64_MAX};
	if (token.len > expected->bytes_max)
		return JWT_TOO_LARGE;
	if (token.len == 0 || !split(token, &parts))
		return JWT_MALFORMED;
	json_t *header = read_object(parts.header);
	claims->all = header != NULL ? read_object(parts.payload) : NULL;
	if (claims->all != NULL)
		fault = verify(expected, &parts, header, now_ms, claims);
	json_decref(header);
	if (fault != JWT_VALID)
		jwt_claims_finish(claims);
	return fault;
}

void jwt_claims_finish(struct jwt_claims *claims)
{
	json_decref(claims->all);
	*claims = (struct jwt_claims){.issuer = "", .subject = ""};
}
