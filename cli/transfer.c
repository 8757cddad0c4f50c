#include "cli/cli.h"
int run_export(struct cli *c)
{
	(void)c;
	return 1;
}
int run_import(struct cli *c)
{
	(void)c;
	return 1;
}
