/* What partitions say for the log is gathered: each text once, with all who said it. */
#include <stdio.h>
#include <string.h>

#include "coordinator/cluster/notes.h"
#include "tests/unit/lib/unit.h"

#define STR(want, got) SAME(got, strlen(got), want)

static struct notes notes;
static char line[NOTES_LINE_MAX];

static void add(uint32_t partition, const char *text, uint64_t now_ms)
{
	TRUE_(notes_add(&notes, partition, text, now_ms));
}

static void begin(void)
{
	memset(&notes, 0, sizeof(notes));
}

static void one_partition_has_its_line_in_time(void)
{
	begin();
	TRUE_(notes_due_ms(&notes) == UINT64_MAX);
	TRUE_(!notes_take(&notes, UINT64_MAX, line));
	add(7, "resigns", 1000);
	TRUE_(notes_due_ms(&notes) == 1000 + NOTES_GATHER_MS);
	TRUE_(!notes_take(&notes, 999 + NOTES_GATHER_MS, line));
	TRUE_(notes_take(&notes, 1000 + NOTES_GATHER_MS, line));
	STR("partition 7: resigns", line);
	TRUE_(!notes_take(&notes, UINT64_MAX, line));
	TRUE_(notes_due_ms(&notes) == UINT64_MAX);
}

static void some_are_named_and_many_are_counted(void)
{
	begin();
	add(12, "resigns", 1000);
	add(3, "resigns", 1001);
	TRUE_(notes_take(&notes, UINT64_MAX, line));
	STR("partitions 3 and 12: resigns", line);
	for (uint32_t p = 0; p < 8; p++)
		add(4095 - p, "resigns", 1000);
	TRUE_(notes_take(&notes, UINT64_MAX, line));
	STR("partitions 4088, 4089, 4090, 4091, 4092, 4093, 4094 and 4095: resigns", line);
	for (uint32_t p = 0; p < 9; p++)
		add(4095 - p, "resigns", 1000);
	TRUE_(notes_take(&notes, UINT64_MAX, line));
	STR("9 partitions (4087, 4088, 4089, 4090, 4091, 4092, 4093, 4094, ...): resigns", line);
	for (uint32_t p = 0; p < PARTITIONS_MAX; p++)
		add(p, "resigns", 1000);
	TRUE_(notes_take(&notes, UINT64_MAX, line));
	STR("4096 partitions (0, 1, 2, 3, 4, 5, 6, 7, ...): resigns", line);
}

static void who_said_it_more_than_once_is_one_partition(void)
{
	begin();
	for (int i = 0; i < 5; i++)
		add(2, "the change is done", 1000);
	TRUE_(notes_take(&notes, UINT64_MAX, line));
	STR("partition 2: the change is done; 5 times", line);
	add(2, "the change is done", 3000); /* what was told is not told again */
	TRUE_(notes_take(&notes, UINT64_MAX, line));
	STR("partition 2: the change is done", line);
}

static void texts_are_told_in_their_order_each_at_its_time(void)
{
	char same[] = "resigns"; /* by what it says, not by where it lies */

	begin();
	add(1, "resigns", 1000);
	add(1, "the change is done", 1200);
	add(2, same, 1300);
	TRUE_(notes_take(&notes, 1000 + NOTES_GATHER_MS, line));
	STR("partitions 1 and 2: resigns", line);
	TRUE_(!notes_take(&notes, 1000 + NOTES_GATHER_MS, line));
	TRUE_(notes_due_ms(&notes) == 1200 + NOTES_GATHER_MS);
	TRUE_(notes_take(&notes, 1200 + NOTES_GATHER_MS, line));
	STR("partition 1: the change is done", line);
}

static void a_full_table_says_so_and_keeps_what_it_has(void)
{
	static char text[NOTES_TEXTS][8];

	begin();
	for (uint32_t i = 0; i < NOTES_TEXTS; i++) {
		(void)snprintf(text[i], sizeof(text[i]), "t%u", i);
		add(i, text[i], 1000);
	}
	TRUE_(!notes_add(&notes, 5, "another", 1000));
	add(9, "t3", 1000); /* those that are there have room */
	for (uint32_t i = 0; i < NOTES_TEXTS; i++) {
		char want[NOTES_LINE_MAX];

		if (i == 3)
			(void)snprintf(want, sizeof(want), "partitions 3 and 9: t3");
		else
			(void)snprintf(want, sizeof(want), "partition %u: t%u", i, i);
		TRUE_(notes_take(&notes, UINT64_MAX, line));
		STR(want, line);
	}
	TRUE_(notes_add(&notes, 5, "another", 1000));
}

UNIT_MAIN(T(one_partition_has_its_line_in_time), T(some_are_named_and_many_are_counted),
	  T(who_said_it_more_than_once_is_one_partition),
	  T(texts_are_told_in_their_order_each_at_its_time),
	  T(a_full_table_says_so_and_keeps_what_it_has))
