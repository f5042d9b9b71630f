#include "common/base/base58.h"
#include "common/base/check.h"

#include <string.h>

static const char alphabet[] = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";

void base58_print(const uint8_t *bytes, size_t count, char out[BASE58_TEXT_ROOM])
{
	uint8_t digits[BASE58_TEXT_ROOM]; /* least significant first */
	size_t zeros = 0, used = 0;
	check(count <= BASE58_BYTES_MAX);
	while (zeros < count && bytes[zeros] == 0)
		zeros++;
	for (size_t i = zeros; i < count; i++) {
		unsigned carry = bytes[i];
		for (size_t k = 0; k < used || carry != 0; k++) {
			carry += k < used ? (unsigned)digits[k] << 8 : 0;
			digits[k] = (uint8_t)(carry % 58);
			carry /= 58;
			used += k == used;
		}
	}
	memset(out, '1', zeros);
	for (size_t k = 0; k < used; k++)
		out[zeros + k] = alphabet[digits[used - 1 - k]];
	out[zeros + used] = '\0';
}

bool base58_read(const char *text, uint8_t *out, size_t count)
{
	uint8_t bytes[BASE58_BYTES_MAX + 1]; /* least significant first */
	size_t zeros = strspn(text, "1"), used = 0;
	check(count <= BASE58_BYTES_MAX);
	if (zeros > count)
		return false;
	for (const char *c = text + zeros; *c != '\0'; c++) {
		const char *digit = strchr(alphabet, *c);
		if (digit == NULL)
			return false;
		unsigned carry = (unsigned)(digit - alphabet);
		for (size_t k = 0; k < used || carry != 0; k++) {
			if (zeros + k >= count)
				return false;
			carry += k < used ? (unsigned)bytes[k] * 58 : 0;
			bytes[k] = (uint8_t)carry;
			carry >>= 8;
			used += k == used;
		}
	}
	if (zeros + used != count)
		return false;
	memset(out, 0, zeros);
	for (size_t k = 0; k < used; k++)
		out[zeros + k] = bytes[used - 1 - k];
	return true;
}
