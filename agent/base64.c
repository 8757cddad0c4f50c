/* Base64. */
#include "agent/base64.h"

#include <stdint.h>
#include <stdlib.h>

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

char *base64_write(struct span s)
{
	char *text = malloc((s.n + 2) / 3 * 4 + 1);
	char *q = text;

	if (!text)
		return NULL;
	for (size_t i = 0; i < s.n; i += 3) {
		size_t left = s.n - i;
		uint32_t v = (uint32_t)(uint8_t)s.p[i] << 16;

		v |= left > 1 ? (uint32_t)(uint8_t)s.p[i + 1] << 8 : 0;
		v |= left > 2 ? (uint32_t)(uint8_t)s.p[i + 2] : 0;
		*q++ = digits[v >> 18];
		*q++ = digits[v >> 12 & 63];
		*q++ = left > 1 ? digits[v >> 6 & 63] : '=';
		*q++ = left > 2 ? digits[v & 63] : '=';
	}
	*q = '\0';
	return text;
}

static int digit(char c)
{
	const char *at = c ? strchr(digits, c) : NULL;

	return at ? (int)(at - digits) : -1;
}

char *base64_read(const char *text, size_t n, size_t *ret_n)
{
	size_t pad = 0;
	char *bytes;
	size_t k = 0;

	while (pad < 2 && pad < n && text[n - 1 - pad] == '=')
		pad++;
	bytes = n % 4 == 0 ? malloc(n / 4 * 3 + 1) : NULL;
	if (!bytes)
		return NULL;
	for (size_t i = 0; i < n; i += 4) {
		uint32_t v = 0;

		for (size_t j = i; j < i + 4; j++) {
			int d = j < n - pad ? digit(text[j]) : 0;

			if (d < 0) {
				free(bytes);
				return NULL;
			}
			v = v << 6 | (uint32_t)d;
		}
		for (int shift = 16; shift >= 0; shift -= 8)
			bytes[k++] = (char)(v >> shift);
	}
	*ret_n = k - pad;
	return bytes;
}
