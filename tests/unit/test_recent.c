/* Entries in memory, the oldest of whatever line going first: as a model says. */
#include <stdlib.h>
#include <string.h>

#include "tests/unit/lib/unit.h"
#include "worker/recent.h"

#define LINES 5u
#define BYTES 65536u

struct row {
	uint64_t other; /* lines lie in something larger */
	struct recent_line line;
};

static struct recent *recent;
static struct row row[LINES];
static uint64_t next[LINES]; /* sequence */

static uint32_t count_of(uint32_t line, uint64_t sequence)
{
	return 1 + (uint32_t)((sequence * 31 + line) % 3);
}

static uint32_t size_of(uint64_t sequence)
{
	return (uint32_t)sizeof(struct log_entry) + (uint32_t)(sequence % 41) * 8;
}

static void add(uint32_t line)
{
	static union {
		struct log_entry e;
		char bytes[1024];
	} x;

	x.e = (struct log_entry){.size = size_of(next[line]),
				 .sequence = next[line],
				 .partition = (uint16_t)line,
				 .count = count_of(line, next[line])};
	memset(x.e.data, (int)next[line], x.e.size - sizeof(x.e));
	recent_add(recent, &row[0].line, sizeof(row[0]), line, &x.e);
	next[line] += x.e.count;
}

static void check_entry(const struct log_entry *e, uint32_t line, uint64_t sequence)
{
	EQ(line, e->partition);
	EQ(sequence, e->sequence);
	EQ(size_of(sequence), e->size);
	for (uint32_t i = 0; i < e->size - sizeof(*e); i++)
		EQ((char)sequence, e->data[i]);
}

/* From whichever entry on, each is followed by the next, up to the newest. */
static void walk(uint32_t line, uint64_t from)
{
	const struct log_entry *e = recent_find(recent, &row[line].line, from);

	TRUE_(e != NULL);
	for (; e; e = recent_next(recent, e)) {
		check_entry(e, line, from);
		from += e->count;
	}
	EQ(next[line], from);
}

static void it_does_what_a_model_does(void)
{
	uint64_t s = unit_seed();
	uint64_t gone = 0;

	EQ(0, recent_new(BYTES, &recent));
	memset(row, 0, sizeof(row));
	for (uint32_t i = 0; i < LINES; i++)
		next[i] = 1 + 1000 * i;
	for (uint32_t n = 0; n < 60000; n++) {
		uint32_t line = (uint32_t)(unit_random(&s) % (n % 400 ? LINES - 1 : LINES));
		struct recent_line *l = &row[line].line;

		if (unit_random(&s) % 3000 == 0) { /* it begins anew, perhaps elsewhere */
			recent_clear(l);
			TRUE_(!recent_find(recent, l, next[line] - 1));
			next[line] += unit_random(&s) % 2 ? 100 : 0;
			continue;
		}
		add(line);
		TRUE_(!recent_find(recent, l, next[line])); /* not yet */
		if (unit_random(&s) % 50)
			continue;
		TRUE_(l->last != 0);
		walk(line, l->from);
		gone += l->from > 1;
		TRUE_(!recent_find(recent, l, l->from - 1));
		walk(line, l->from); /* back again */
	}
	TRUE_(gone > 100);
	recent_free(&recent);
}

static void what_is_too_large_is_not_kept(void)
{
	static union {
		struct log_entry e;
		char bytes[2 * BYTES];
	} x;

	EQ(0, recent_new(BYTES, &recent));
	memset(row, 0, sizeof(row));
	next[0] = 1;
	add(0);
	x.e = (struct log_entry){.size = BYTES, .sequence = next[0], .count = 1};
	recent_add(recent, &row[0].line, sizeof(row[0]), 0, &x.e);
	TRUE_(!recent_find(recent, &row[0].line, 1)); /* it would not lead to the next one */
	TRUE_(!recent_find(recent, &row[0].line, next[0]));
	next[0]++;
	add(0);
	walk(0, row[0].line.from);
	recent_free(&recent);
}

UNIT_MAIN(T(it_does_what_a_model_does), T(what_is_too_large_is_not_kept))
