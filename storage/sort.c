/* Radix sort of changes; the sort key is the bucket's id, big-endian, and then the key's bytes. */
#include "storage/sort.h"

#include <string.h>

#define SMALL 24u /* fewer are sorted by insertion */

static uint64_t key_size(const struct sort_item *x)
{
	return 8u + x->head->key_len;
}

/* Eight bytes of the sort key from `depth` on as a big-endian number, padded with zeros. */
static uint64_t key_word(const struct sort_item *x, uint64_t depth)
{
	struct span key;
	uint8_t b[8] = {0};
	uint64_t w = 0;

	if (!depth)
		return x->bucket;
	key = log_head_key(x->head);
	depth -= 8;
	if (depth >= key.n)
		return 0;
	if (key.n - depth >= 8) {
		memcpy(&w, key.p + depth, 8);
		return __builtin_bswap64(w);
	}
	memcpy(b, key.p + depth, key.n - depth);
	memcpy(&w, b, 8);
	return __builtin_bswap64(w);
}

static int item_compare(const struct sort_item *a, const struct sort_item *b)
{
	if (a->bucket != b->bucket)
		return a->bucket < b->bucket ? -1 : 1;
	return span_compare(log_head_key(a->head), log_head_key(b->head));
}

static void sort_small(struct sort_item *a, uint64_t n)
{
	for (uint64_t i = 1; i < n; i++) {
		struct sort_item x = a[i];
		uint64_t k = i;

		while (k && item_compare(&a[k - 1], &x) > 0) {
			a[k] = a[k - 1];
			k--;
		}
		a[k] = x;
	}
}

/* Stable sort by `word`, least significant byte first; bytes that are alike in all cost nothing. */
static void sort_words(struct sort_item *a, struct sort_item *scratch, uint64_t n)
{
	uint32_t histogram[8][256];
	struct sort_item *from = a;
	struct sort_item *to = scratch;

	memset(histogram, 0, sizeof(histogram));
	for (uint64_t i = 0; i < n; i++)
		for (unsigned b = 0; b < 8; b++)
			histogram[b][(a[i].word >> (8 * b)) & 255]++;
	for (unsigned b = 0; b < 8; b++) {
		uint32_t *h = histogram[b];
		uint32_t sum = 0;
		struct sort_item *swap;

		if (h[(from[0].word >> (8 * b)) & 255] == n)
			continue;
		for (unsigned i = 0; i < 256; i++) {
			uint32_t c = h[i];

			h[i] = sum;
			sum += c;
		}
		for (uint64_t i = 0; i < n; i++)
			to[h[(from[i].word >> (8 * b)) & 255]++] = from[i];
		swap = from;
		from = to;
		to = swap;
	}
	if (from != a)
		memcpy(a, from, n * sizeof(*a));
}

static void sort_depth(struct sort_item *a, struct sort_item *scratch, uint64_t n, uint64_t depth);

/*
 * Items alike up to depth + 8: those whose key ends there come first, by length; the rest goes on
 * eight bytes further.
 */
static void sort_alike(struct sort_item *a, struct sort_item *scratch, uint64_t n, uint64_t depth)
{
	uint64_t longer = 0;

	for (uint64_t i = 0; i < n; i++) {
		uint64_t size = key_size(&a[i]);

		a[i].word = size <= depth + 8 ? size : depth + 9;
		longer += size > depth + 8;
	}
	sort_words(a, scratch, n);
	if (longer > 1)
		sort_depth(a + (n - longer), scratch, longer, depth + 8);
}

static void sort_depth(struct sort_item *a, struct sort_item *scratch, uint64_t n, uint64_t depth)
{
	if (n < SMALL) {
		sort_small(a, n);
		return;
	}
	for (uint64_t i = 0; i < n; i++) {
		if (i + 8 < n)
			__builtin_prefetch(a[i + 8].head);
		a[i].word = key_word(&a[i], depth);
	}
	sort_words(a, scratch, n);
	for (uint64_t i = 0; i < n;) {
		uint64_t k = i + 1;

		while (k < n && a[k].word == a[i].word)
			k++;
		if (k - i > 1)
			sort_alike(a + i, scratch, k - i, depth);
		i = k;
	}
}

void sort_changes(struct sort_item *items, struct sort_item *scratch, uint64_t n)
{
	if (n > 1)
		sort_depth(items, scratch, n, 0);
}
