#include "coordinator/cluster/notes.h"

#include <stdio.h>
#include <string.h>

#include "common/check.h"

#define NAMED_MAX 8u /* of more partitions than these, some are named and all are counted */

bool notes_add(struct notes *n, uint32_t partition, const char *text, uint64_t now_ms)
{
	struct note *x = n->note;

	check(partition < PARTITIONS_MAX);
	while (x < n->note + n->count && strcmp(x->text, text) != 0)
		x++;
	if (x == n->note + n->count) {
		if (n->count == NOTES_TEXTS)
			return false;
		*x = (struct note){.text = text, .since_ms = now_ms};
		n->count++;
	}
	x->times++;
	x->partitions[partition / 64] |= UINT64_C(1) << partition % 64;
	return true;
}

uint64_t notes_due_ms(const struct notes *n)
{
	return n->count ? n->note[0].since_ms + NOTES_GATHER_MS : UINT64_MAX;
}

/* The partitions that said it: how many, and the first NAMED_MAX of them in `named`. */
static uint32_t partitions_of(const struct note *x, uint32_t named[NAMED_MAX])
{
	uint32_t count = 0;

	for (uint32_t p = 0; p < PARTITIONS_MAX; p++) {
		if (!(x->partitions[p / 64] >> p % 64 & 1))
			continue;
		if (count < NAMED_MAX)
			named[count] = p;
		count++;
	}
	return count;
}

/* "3, 9 and 12" if these are all of them, else "3, 9, 12, …". */
static void names_write(const uint32_t *named, uint32_t count, char *out, size_t size)
{
	uint32_t told = count < NAMED_MAX ? count : NAMED_MAX;
	size_t at = 0;

	out[0] = '\0';
	for (uint32_t i = 0; i < told; i++) {
		const char *before = !i ? "" : i + 1 == count ? " and " : ", ";
		int n = snprintf(out + at, size - at, "%s%u", before, named[i]);

		check(n > 0 && (size_t)n < size - at);
		at += (size_t)n;
	}
	if (told < count)
		(void)snprintf(out + at, size - at, ", ...");
}

bool notes_take(struct notes *n, uint64_t now_ms, char out[NOTES_LINE_MAX])
{
	const struct note *x = &n->note[0];
	uint32_t named[NAMED_MAX];
	char names[NAMED_MAX * 8];
	char times[24] = "";
	uint32_t count;

	if (now_ms < notes_due_ms(n) || !n->count)
		return false;
	count = partitions_of(x, named);
	names_write(named, count, names, sizeof(names));
	if (x->times > count)
		(void)snprintf(times, sizeof(times), "; %u times", x->times);
	if (count <= NAMED_MAX)
		(void)snprintf(out, NOTES_LINE_MAX, "partition%s %s: %s%s", count == 1 ? "" : "s",
			       names, x->text, times);
	else
		(void)snprintf(out, NOTES_LINE_MAX, "%u partitions (%s): %s%s", count, names,
			       x->text, times);
	memmove(n->note, n->note + 1, (n->count - 1) * sizeof(n->note[0]));
	n->count--;
	return true;
}
