/* Connections of a client that sends again. */
#include <time.h>

#include "tests/unit/lib/fake_nodes.h"

static int put_within(struct pail *p, const char *key, uint32_t timeout_ms)
{
	const struct pail_request o = {.size = sizeof(o), .timeout_ms = timeout_ms};

	return pail_put(p, pail_str("b"), pail_str(key), pail_str("v"), &o, NULL);
}

/* What this thread has computed; the nodes are another. */
static uint64_t cpu_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void end(struct pail **p)
{
	pail_close(p);
	fakes_end();
}

/* It takes connections and says nothing: who waits for it sleeps. */
static void waiting_for_a_silent_node_computes_nothing(void)
{
	struct pail_options o = {.size = sizeof(o), .connect_ms = 1500, .retry = 1};
	struct pail *p;
	uint64_t begin_ms;

	fakes_begin(1);
	p = client(1, 5000, 1);
	EQ(PAIL_OK, put_within(p, "a", 2000));
	fake[0].silent = true;
	begin_ms = cpu_ms();
	EQ(PAIL_TIMEOUT, put_within(p, "b", 3000));
	TRUE_(cpu_ms() - begin_ms < 400);
	pail_close(&p);
	begin_ms = cpu_ms();
	EQ(PAIL_UNREACHABLE, pail_open(fake[0].endpoint, &o, &p));
	TRUE_(cpu_ms() - begin_ms < 400);
	end(&p);
}

UNIT_MAIN(T(waiting_for_a_silent_node_computes_nothing))
