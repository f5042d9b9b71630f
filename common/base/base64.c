#include "common/base/base64.h"
#include "common/base/check.h"

enum { NOT_BASE64 = 0x40 };

static uint8_t sextet(uint8_t c)
{
	if (c >= 'A' && c <= 'Z')
		return (uint8_t)(c - 'A');
	if (c >= 'a' && c <= 'z')
		return (uint8_t)(c - 'a' + 26);
	if (c >= '0' && c <= '9')
		return (uint8_t)(c - '0' + 52);
	return c == '+' ? 62 : c == '/' ? 63 : NOT_BASE64;
}

static const uint8_t *sextets(void)
{
	static uint8_t table[256];
	if (table['A' + 1] == 0)
		for (unsigned c = 0; c < 256; c++)
			table[c] = sextet((uint8_t)c);
	return table;
}

int64_t base64_decode(struct span text, uint8_t *out)
{
	const uint8_t *table = sextets(), *at = text.at;
	uint8_t *to = out, bad = 0;
	size_t padding = 0;
	if (text.len % 4 != 0)
		return -1;
	while (padding < 2 && padding < text.len && text.at[text.len - 1 - padding] == '=')
		padding++;
	const uint8_t *end = text.at + text.len - (padding != 0 ? 4 : 0);
	for (; at < end; at += 4, to += 3) {
		uint8_t a = table[at[0]], b = table[at[1]], c = table[at[2]], d = table[at[3]];
		bad |= a | b | c | d;
		to[0] = (uint8_t)(a << 2 | b >> 4);
		to[1] = (uint8_t)(b << 4 | c >> 2);
		to[2] = (uint8_t)(c << 6 | d);
	}
	if (padding != 0) {
		uint8_t a = table[at[0]], b = table[at[1]], c = padding == 1 ? table[at[2]] : 0;
		bad |= a | b | c;
		*to++ = (uint8_t)(a << 2 | b >> 4);
		if (padding == 1)
			*to++ = (uint8_t)(b << 4 | c >> 2);
	}
	return bad & NOT_BASE64 ? -1 : to - out;
}

static uint8_t url_sextet(uint8_t c)
{
	return c == '-' ? 62 : c == '_' ? 63 : c == '+' || c == '/' ? NOT_BASE64 : sextet(c);
}

int64_t base64url_decode(struct span text, uint8_t *out)
{
	uint32_t word = 0;
	unsigned bits = 0;
	uint8_t bad = 0, *to = out;
	for (size_t i = 0; i < text.len; i++) {
		uint8_t value = url_sextet(text.at[i]);
		bad |= value;
		word = word << 6 | (value & 63);
		bits += 6;
		if (bits >= 8) {
			bits -= 8;
			*to++ = (uint8_t)(word >> bits);
			word &= (1u << bits) - 1;
		}
	}
	return text.len % 4 == 1 || word != 0 || bad & NOT_BASE64 ? -1 : to - out;
}

char *base64_text(struct span bytes)
{
	static const char digits[] =
	        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	char *text = xmalloc((bytes.len + 2) / 3 * 4 + 1), *to = text;
	for (size_t i = 0; i < bytes.len; i += 3) {
		size_t left = bytes.len - i;
		uint32_t word = (uint32_t)bytes.at[i] << 16;
		word |= left > 1 ? (uint32_t)bytes.at[i + 1] << 8 : 0;
		word |= left > 2 ? bytes.at[i + 2] : 0;
		*to++ = digits[word >> 18];
		*to++ = digits[word >> 12 & 63];
		*to++ = left > 1 ? digits[word >> 6 & 63] : '=';
		*to++ = left > 2 ? digits[word & 63] : '=';
	}
	*to = '\0';
	return text;
}

char *base64url_text(struct span bytes)
{
	char *text = base64_text(bytes);
	for (char *c = text; *c != '\0'; c++) {
		*c = *c == '+' ? '-' : *c == '/' ? '_' : *c;
	}
	text[strcspn(text, "=")] = '\0';
	return text;
}
