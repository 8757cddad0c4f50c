/* Making the set of modules. */
#include "worker/functions_set.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "ipc/shm/control.h"
#include "ipc/shm/modules.h"
#include "worker/loop.h"

_Static_assert(MODULES_NAME_SIZE > FUNCTIONS_NAME_MAX, "a module's name fits");

/* Its modules have been loaded before, by who accepted them: here it is only repeated. */
static int set_new(const struct modules *m, struct functions **ret, char *why)
{
	const struct modules_limits *l = &m->header->limits;
	const struct functions_config c = {
		.node = l->node,
		.time_ms = l->time_ms,
		.memory_bytes = l->memory_bytes,
		.value_max = l->value_max,
	};
	const uint32_t n = m->header->count;
	struct modules_source *of = calloc(n + 1, sizeof(*of));
	struct functions_source *source = calloc(n + 1, sizeof(*source));
	int r = of && source ? 0 : -ENOMEM;

	(void)snprintf(why, FUNCTIONS_WHY_MAX, "no memory");
	for (uint32_t i = 0; r == 0 && i < n; i++) {
		of[i] = modules_get(m, i);
		source[i] = (struct functions_source){of[i].name, of[i].text};
	}
	if (r == 0)
		r = functions_new(&c, source, n, ret, why, FUNCTIONS_WHY_MAX);
	free(source);
	free(of);
	return r;
}

/* ---- in a worker ---- */

void worker_functions_take(struct worker *w, int fd)
{
	struct modules *m = NULL;
	int r = modules_attach(fd, &m);

	if (r < 0) {
		log_error("take other modules: %s", strerror(-r));
		(void)close(fd);
		return;
	}
	modules_free(&w->modules);
	w->modules = m;
}

/* The newest there is: once the coordinator says that it is another one, it has been sent. */
static void modules_renew(struct worker *w)
{
	uint32_t newest =
		atomic_load_explicit(&w->segment->header->settings.functions, memory_order_acquire);

	if (!w->modules)
		worker_functions_take(w, FD_FUNCTIONS);
	while (w->modules && (uint32_t)w->modules->header->generation != newest &&
	       worker_poll(w) > 0)
		;
}

struct functions *worker_functions(struct worker *w, char *why)
{
	struct functions *f = NULL;

	modules_renew(w);
	if (!w->modules) {
		(void)snprintf(why, FUNCTIONS_WHY_MAX, "this worker was born without modules");
		return NULL;
	}
	if (w->functions && w->functions_generation == w->modules->header->generation)
		return w->functions;
	worker_beat(w, PHASE_SERVE); /* it takes a while */
	if (set_new(w->modules, &f, why) < 0) {
		log_error("load the modules of functions: %s", why);
		return NULL;
	}
	functions_free(&w->functions);
	w->functions = f;
	w->functions_generation = w->modules->header->generation;
	worker_beat(w, PHASE_SERVE);
	return f;
}

/* ---- the check ---- */

struct list {
	char *p;
	size_t n;
	bool full;
};

static void list_add(void *arg, const char *module, const char *function)
{
	struct list *l = arg;
	struct span m = span_of(module);
	struct span f = span_of(function);

	if (!strcmp(module, "node")) /* which is always there */
		return;
	if (f.n > UINT16_MAX || MODULES_LIST_HEAD + m.n + f.n > MODULES_LIST_MAX - l->n) {
		l->full = true;
		return;
	}
	l->n = (size_t)(modules_list_write(l->p + l->n, m, f) - l->p);
}

static bool say(const char *p, size_t n)
{
	while (n) {
		ssize_t k = write(FD_CONTROL, p, n);

		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0)
			return false;
		p += k;
		n -= (size_t)k;
	}
	return true;
}

int worker_functions_check(void)
{
	struct list l = {malloc(MODULES_LIST_MAX), 0, false};
	struct functions *f = NULL;
	struct modules *m = NULL;
	char why[FUNCTIONS_WHY_MAX];
	int r = l.p ? modules_attach(FD_FUNCTIONS, &m) : -ENOMEM;

	(void)snprintf(why, sizeof(why), "take the modules: %s", strerror(-r));
	if (r == 0)
		r = set_new(m, &f, why);
	if (r == 0)
		functions_list(f, list_add, &l);
	if (r == 0 && l.full) {
		(void)snprintf(why, sizeof(why),
			       "the names of the modules' functions have more than %u bytes",
			       MODULES_LIST_MAX);
		r = -E2BIG;
	}
	if (r < 0 || !say(l.p, l.n)) {
		(void)say(why, strlen(why));
		r = -EIO;
	}
	functions_free(&f);
	modules_free(&m);
	free(l.p);
	return r < 0 ? WORKER_FAILED : WORKER_DONE;
}
