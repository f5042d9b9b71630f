/* Sealed passes: what was not sealed is never good, what was is found again, and what stands in one
 * never leads beyond its end. */
#include "common/base/check.h"
#include "worker-sse/edge/pass.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void find_again(const struct pass_keys *keys, const uint8_t *data, size_t size)
{
	struct reader r = {data, data + size, true};
	struct pass pass = {.kind = (enum pass_kind)(reader_uint(&r, 1) & 1), .jwt = true}, found;
	uint8_t *bytes;
	pass.expires_ms = reader_uint(&r, 8);
	pass.key = reader_uint(&r, 8);
	pass.rights = reader_span(&r, PASS_RIGHTS_MAX);
	pass.subject = reader_span(&r, PASS_SUBJECT_MAX);
	pass.maker = span_of(r.at, reader_left(&r));
	char *text = pass_seal(keys, &pass);
	if (text == NULL)
		return;
	enum pass_result result = pass_open(keys, pass.kind, span_str(text), 0, &found, &bytes);
	check(result == (pass.expires_ms > 0 ? PASS_GOOD : PASS_EXPIRED));
	if (result == PASS_GOOD)
		check(span_equal(found.rights, pass.rights) && found.key == pass.key &&
		      span_equal(found.subject, pass.subject) &&
		      span_equal(found.maker, pass.maker));
	free(bytes);
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t secret[PASS_SECRET_BYTES] = {42};
	static struct pass_keys keys;
	static bool made;
	struct pass pass;
	uint8_t *bytes, *copy = xmalloc(size + 1);
	memcpy(copy, data, size);
	if (!made)
		pass_keys_make(secret, &keys);
	made = true;
	for (int kind = 0; kind < 2; kind++)
		check(pass_open(&keys, (enum pass_kind)kind, span_of(copy, size), 0, &pass,
		                &bytes) == PASS_BAD);
	pass = (struct pass){0};
	read_plain(span_of(copy, size), &pass); /* as if it had been sealed */
	find_again(&keys, copy, size);
	free(copy);
	return 0;
}
