#include "tests/replica/disk.h"

#include <string.h>

#include "tests/replica/world.h"

void disk_init(struct disk *d)
{
	*d = (struct disk){.capacity = 1024};
	d->op = keep(d->capacity * sizeof(*d->op));
}

uint64_t disk_append(struct disk *d, struct disk_op op)
{
	if (d->count == d->capacity) {
		struct disk_op *more = keep(2 * d->capacity * sizeof(*more));

		memcpy(more, d->op, d->count * sizeof(*more));
		d->op = more;
		d->capacity *= 2;
	}
	d->op[d->count++] = op;
	return d->count;
}

void disk_tear(struct disk *d)
{
	d->count = (uint32_t)chance_range(d->synced, d->count);
	d->synced = d->count;
	d->wanted = 0;
}

void disk_wipe(struct disk *d)
{
	d->count = d->synced = d->wanted = 0;
}

uint64_t disk_sync_us(const struct disk *d)
{
	uint64_t us = chance_range(200, 500);

	if (!world.calm && (world.now < d->slow_until || chance_ppm(3 * PERCENT)))
		us = chance_range(20 * MS, 500 * MS);
	return us;
}
