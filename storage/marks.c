/* Marks as arrays. */
#include "storage/marks.h"

#include <stdlib.h>
#include <string.h>

struct marks *marks_new(uint32_t partitions, const struct marks *newest)
{
	struct marks *m = calloc(1, sizeof(*m) + partitions * sizeof(m->at[0]));

	if (!m)
		return NULL;
	m->partitions = partitions;
	m->newest = newest;
	return m;
}

void marks_set(struct marks *m, const struct marks *from)
{
	check(m->partitions == from->partitions);
	memcpy(m->at, from->at, m->partitions * sizeof(m->at[0]));
}
