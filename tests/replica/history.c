#include "tests/replica/history.h"

#include "common/check.h"

#define STEPS_MAX    4096u /* of an object in a run */
#define VERSIONS_MAX 8192u

struct told {
	uint64_t version, begin, end;
	uint32_t what;
};

static struct step steps[PARTITIONS][OBJECTS][STEPS_MAX];
static uint32_t steps_count[PARTITIONS][OBJECTS];
static struct told told[PARTITIONS][VERSIONS_MAX];
static uint32_t told_count[PARTITIONS];

void history_begin(void)
{
	for (uint32_t p = 0; p < PARTITIONS; p++) {
		told_count[p] = 0;
		for (uint32_t o = 0; o < OBJECTS; o++)
			steps_count[p][o] = 0;
	}
}

void history_add(uint32_t partition, uint32_t object, const struct step *s)
{
	check(steps_count[partition][object] < STEPS_MAX);
	steps[partition][object][steps_count[partition][object]++] = *s;
}

void history_version(uint32_t partition, uint64_t version, uint32_t what, uint64_t begin,
		     uint64_t end)
{
	check(told_count[partition] < VERSIONS_MAX);
	told[partition][told_count[partition]++] = (struct told){version, begin, end, what};
}

static uint64_t version_of(const struct told *t)
{
	return t->version;
}

static uint64_t begin_of(const struct told *t)
{
	return t->begin;
}

/* They lie nearly in order. */
static void told_sort(struct told *t, uint32_t n, uint64_t (*by)(const struct told *t))
{
	for (uint32_t i = 1; i < n; i++) {
		struct told one = t[i];
		uint32_t k = i;

		for (; k && by(&t[k - 1]) > by(&one); k--)
			t[k] = t[k - 1];
		t[k] = one;
	}
}

/* A version is one write's; and a write that begins when another has ended has a higher one. */
static void versions_check(uint32_t p)
{
	static struct told ended[VERSIONS_MAX];
	uint32_t n = told_count[p], k = 0;
	struct told *t = told[p];
	uint64_t high = 0;

	for (uint32_t i = 0; i < n; i++)
		ended[i] = t[i]; /* in order of their ends, as they were told */
	told_sort(t, n, version_of);
	for (uint32_t i = 1; i < n; i++)
		if (t[i].version == t[i - 1].version && t[i].what != t[i - 1].what)
			violate("version %lu of partition %u told to two writes", t[i].version, p);
	told_sort(t, n, begin_of);
	for (uint32_t i = 0; i < n; i++) {
		for (; k < n && ended[k].end < t[i].begin; k++)
			if (ended[k].version > high)
				high = ended[k].version;
		if (t[i].version <= high)
			violate("version %lu of partition %u after %lu", t[i].version, p, high);
	}
}

void history_check(void)
{
	static const char *const name[OBJECTS] = {"one key", "a pair", "a key with a ttl"};

	for (uint32_t p = 0; p < PARTITIONS; p++) {
		versions_check(p);
		for (uint32_t o = 0; o < OBJECTS; o++) {
			switch (steps_linear(steps[p][o], steps_count[p][o])) {
			case LINEAR_YES:
				break;
			case LINEAR_NO:
				violate("not linearizable: %s of partition %u", name[o], p);
				break;
			case LINEAR_UNDECIDED:
				count(COUNT_UNDECIDED);
			}
		}
	}
}
