/* The failing path of check(): one line to stderr, last words to the hook, abort. */
#include "common/check.h"

#include <stdio.h>
#include <stdlib.h>

static void (*check_hook)(void *arg, const char *text);
static void *check_hook_arg;

void check_set_hook(void (*hook)(void *arg, const char *text), void *arg)
{
	check_hook = hook;
	check_hook_arg = arg;
}

void check_failed(const char *expr, const char *file, int line)
{
	char text[200];

	(void)snprintf(text, sizeof(text), "check failed: %s at %s:%d", expr, file, line);
	(void)fprintf(stderr, "%s\n", text);
	if (check_hook)
		check_hook(check_hook_arg, text);
	abort();
}
