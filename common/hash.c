/* CRC32C by instruction or table, and the hash of names and keys. */
#include "common/hash.h"

#include <pthread.h>
#include <string.h>

#define CRC32C_POLY 0x82f63b78u /* reversed 0x1edc6f41 */

static uint32_t crc_table[256];
static pthread_once_t crc_table_once = PTHREAD_ONCE_INIT;

static void crc_table_fill(void)
{
	for (uint32_t i = 0; i < 256; i++) {
		uint32_t c = i;

		for (int k = 0; k < 8; k++)
			c = c & 1 ? (c >> 1) ^ CRC32C_POLY : c >> 1;
		crc_table[i] = c;
	}
}

uint32_t crc32c_table(uint32_t crc, const void *data, size_t len)
{
	const uint8_t *p = data;

	(void)pthread_once(&crc_table_once, crc_table_fill);
	crc = ~crc;
	while (len--)
		crc = crc_table[(crc ^ *p++) & 0xff] ^ (crc >> 8);
	return ~crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t crc32c_sse(uint32_t crc, const void *data,
							     size_t len)
{
	const uint8_t *p = data;
	uint64_t c = (uint32_t)~crc;

	uint64_t w[4];

	while (len >= sizeof(w)) {
		memcpy(w, p, sizeof(w));
		c = __builtin_ia32_crc32di(c, w[0]);
		c = __builtin_ia32_crc32di(c, w[1]);
		c = __builtin_ia32_crc32di(c, w[2]);
		c = __builtin_ia32_crc32di(c, w[3]);
		p += sizeof(w);
		len -= sizeof(w);
	}
	while (len >= 8) {
		memcpy(w, p, 8);
		c = __builtin_ia32_crc32di(c, w[0]);
		p += 8;
		len -= 8;
	}
	if (len >= 4) {
		uint32_t half;

		memcpy(&half, p, 4);
		c = __builtin_ia32_crc32si((uint32_t)c, half);
		p += 4;
		len -= 4;
	}
	while (len--)
		c = __builtin_ia32_crc32qi((uint32_t)c, *p++);
	return ~(uint32_t)c;
}
#endif

uint32_t crc32c(uint32_t crc, const void *data, size_t len)
{
#if defined(__x86_64__)
	if (__builtin_cpu_supports("sse4.2"))
		return crc32c_sse(crc, data, len);
#endif
	return crc32c_table(crc, data, len);
}

static uint64_t fold(uint64_t a, uint64_t b)
{
	__extension__ typedef unsigned __int128 wide;
	wide m = (wide)a * b;

	return (uint64_t)m ^ (uint64_t)(m >> 64);
}

/* The last `rest` bytes, 1 to 7, of `len` as a little-endian number; `p` is the first of them. */
static uint64_t tail_word(const uint8_t *p, size_t rest, size_t len)
{
	uint32_t low;
	uint32_t high;
	uint64_t w;

	if (len >= 8) { /* from what is before them, and without that */
		memcpy(&w, p + rest - 8, 8);
		return w >> (64 - 8 * rest);
	}
	if (rest >= 4) { /* two halves, which overlap in bytes that are alike */
		memcpy(&low, p, 4);
		memcpy(&high, p + rest - 4, 4);
		return low | (uint64_t)high << (8 * rest - 32);
	}
	return p[0] | (uint64_t)p[rest / 2] << (8 * (rest / 2)) |
	       (uint64_t)p[rest - 1] << (8 * (rest - 1));
}

uint64_t hash64(uint64_t seed, const void *data, size_t len)
{
	const uint8_t *p = data;
	uint64_t h = seed ^ 0x9e3779b97f4a7c15u ^ (uint64_t)len;
	size_t rest = len;
	uint64_t w;

	while (rest >= 8) {
		memcpy(&w, p, 8);
		h = fold(h ^ w, 0xd6e8feb86659fd93u);
		p += 8;
		rest -= 8;
	}
	w = rest ? tail_word(p, rest, len) : 0;
	h = fold(h ^ w, 0xa0761d6478bd642fu);
	return h ^ (h >> 29);
}
