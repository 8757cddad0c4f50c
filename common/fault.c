/* Fault points for tests.  In release builds this file is empty. */
#include "common/fault.h"

#ifdef PAIL_FAULTS

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FAULT_MAX 8

struct fault {
	char name[48];
	char action[16];
	unsigned nth;
	bool always;
	unsigned passed;
};

static struct fault faults[FAULT_MAX];
static unsigned fault_count;
static pthread_mutex_t fault_lock = PTHREAD_MUTEX_INITIALIZER;

static void fault_parse(char *item, unsigned life)
{
	struct fault *f = &faults[fault_count];
	unsigned want = 0;
	char *rest;
	size_t n;

	memset(f, 0, sizeof(*f));
	if (sscanf(item, "%47[^=]=%15[A-Za-z]", f->name, f->action) != 2)
		return;
	n = strlen(f->name) + 1 + strlen(f->action);
	rest = item + n;
	f->nth = 1;
	if (*rest == '#')
		want = (unsigned)strtoul(rest + 1, &rest, 10);
	if (*rest == '@')
		f->nth = (unsigned)strtoul(rest + 1, &rest, 10);
	f->always = *rest == '!';
	if (want == life)
		fault_count++;
}

void fault_set(const char *list, unsigned life)
{
	char copy[512];
	char *save = NULL;

	(void)pthread_mutex_lock(&fault_lock);
	fault_count = 0;
	(void)snprintf(copy, sizeof(copy), "%s", list ? list : "");
	for (char *s = strtok_r(copy, ",", &save); s; s = strtok_r(NULL, ",", &save))
		if (fault_count < FAULT_MAX)
			fault_parse(s, life);
	(void)pthread_mutex_unlock(&fault_lock);
}

void fault_init(unsigned life)
{
	fault_set(getenv("PAIL_FAULT"), life);
}

static int fault_act(const char *action)
{
	if (!strcmp(action, "kill"))
		(void)kill(getpid(), SIGKILL);
	else if (!strcmp(action, "stop"))
		(void)kill(getpid(), SIGSTOP);
	else if (!strcmp(action, "abort"))
		abort();
	else if (!strcmp(action, "ENOSPC"))
		return -ENOSPC;
	else if (!strcmp(action, "ENOMEM"))
		return -ENOMEM;
	else if (!strcmp(action, "EBUSY"))
		return -EBUSY;
	else
		return -EIO;
	return 0;
}

int fault_at(const char *name)
{
	char action[sizeof(faults[0].action)] = "";

	(void)pthread_mutex_lock(&fault_lock);
	for (unsigned i = 0; i < fault_count; i++) {
		struct fault *f = &faults[i];

		if (strcmp(f->name, name) != 0)
			continue;
		f->passed++;
		if (f->passed == f->nth || (f->always && f->passed > f->nth))
			memcpy(action, f->action, sizeof(action));
	}
	(void)pthread_mutex_unlock(&fault_lock);
	return *action ? fault_act(action) : 0;
}

#else
typedef int fault_nothing; /* ISO C wants a translation unit not to be empty */
#endif
