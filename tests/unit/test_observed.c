/* A list of buckets waits until the creates and drops that it shows are on disk. */
#include "tests/unit/lib/store_fixture.h"

static bool name_count(void *arg, struct span name)
{
	(void)name;
	++*(unsigned *)arg;
	return true;
}

static unsigned list(void)
{
	unsigned n = 0;

	store_begin(current, 0);
	store_buckets(current, span_of(""), name_count, &n);
	return n;
}

/* All but the last change is on disk each time: what came before it is not enough. */
static void a_list_waits_for_the_last_change(void)
{
	static const uint32_t numbers[] = {1, 4, 256};

	for (unsigned i = 0; i < 3; i++) {
		partitions = numbers[i];
		fresh();
		EQ(0, reopen());
		for (unsigned n = 1; n <= 8; n++) {
			char name[8];

			(void)snprintf(name, sizeof(name), "b%u", n);
			EQ(0, create(name));
			EQ(n, list());
			EQ(store_lsn(current), store_observed_lsn(current));
			TRUE_(!store_committed(current));
			sync_all();
			EQ(n, list());
			TRUE_(store_committed(current));
		}
		EQ(0, drop("b3"));
		EQ(7, list());
		EQ(store_lsn(current), store_observed_lsn(current));
		TRUE_(!store_committed(current));
		sync_all();
		TRUE_(store_committed(current));
		finish();
	}
}

UNIT_MAIN(T(a_list_waits_for_the_last_change))
