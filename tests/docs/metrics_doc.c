/* The tables of docs/metrics.md, from those that the figures are made of. */
#include <stdio.h>

#include "coordinator/front/family_table.h"
#include "ipc/shm/metrics.h"

static void row(const char *name, const char *labels, const char *kind, const char *help)
{
	(void)printf("| `%s` | %s | %s | %s |\n", name, labels, kind, help);
}

int main(void)
{
	static const char *const kinds[] = {"counter", "gauge", "histogram"};

	(void)printf("## Figures of the node\n\n| name | labels | kind | what it is |\n"
		     "| --- | --- | --- | --- |\n");
	for (unsigned i = 0; i < FAMILY_COUNT; i++)
		row(family_table[i].name, family_table[i].labels, kinds[family_table[i].kind],
		    family_table[i].help);
	(void)printf("\n## Figures of each worker\n\nThe label of all of them is `worker`, its "
		     "number.\n\n"
		     "| name | labels | kind | what it is |\n| --- | --- | --- | --- |\n");
	for (unsigned i = 0; i < METRIC_COUNT; i++)
		if (*metrics[i].shown)
			row(metrics[i].shown, "worker",
			    metrics[i].kind == METRIC_COUNTER ? "counter" : "gauge",
			    metrics[i].help);
	return fflush(stdout) != 0;
}
