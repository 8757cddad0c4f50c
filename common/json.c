/* JSON strings from bytes. */
#include "common/json.h"

/* Length of the UTF-8 sequence at p, or 0 if it is none. */
static size_t utf8_length(const unsigned char *p, size_t n)
{
	size_t k = p[0] < 0x80                   ? 1
		   : p[0] >= 0xc2 && p[0] < 0xe0 ? 2
		   : p[0] >= 0xe0 && p[0] < 0xf0 ? 3
		   : p[0] >= 0xf0 && p[0] < 0xf5 ? 4
						 : 0;

	if (!k || k > n)
		return 0;
	for (size_t i = 1; i < k; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] >= 0xa0) ||
	    (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] >= 0x90))
		return 0;
	return k;
}

bool json_is_text(struct span s)
{
	for (size_t i = 0; i < s.n;) {
		size_t k = utf8_length((const unsigned char *)s.p + i, s.n - i);

		if (!k)
			return false;
		i += k;
	}
	return true;
}

void json_string(struct buf *out, struct span s)
{
	buf_text(out, "\"");
	for (size_t i = 0; i < s.n;) {
		const unsigned char *p = (const unsigned char *)s.p + i;
		size_t k = utf8_length(p, s.n - i);

		if (k && *p >= 0x20 && *p != '"' && *p != '\\' && *p != 0x7f) {
			buf_add(out, p, k);
			i += k;
		} else {
			if (*p == '"' || *p == '\\')
				buf_fmt(out, "\\%c", *p);
			else
				buf_fmt(out, "\\u%04x", *p);
			i++;
		}
	}
	buf_text(out, "\"");
}

void json_base64(struct buf *out, struct span s)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const unsigned char *p = (const unsigned char *)s.p;

	buf_text(out, "\"");
	for (size_t i = 0; i < s.n; i += 3) {
		size_t left = s.n - i;
		unsigned w = (unsigned)p[i] << 16 | (left > 1 ? (unsigned)p[i + 1] << 8 : 0) |
			     (left > 2 ? p[i + 2] : 0u);
		char four[4] = {digits[w >> 18], digits[w >> 12 & 63],
				left > 1 ? digits[w >> 6 & 63] : '=',
				left > 2 ? digits[w & 63] : '='};

		buf_add(out, four, 4);
	}
	buf_text(out, "\"");
}
