/* Who is asked to make a cluster of what: what is refused before anything is asked of the agreement. */
#include <stdlib.h>
#include <string.h>

#include "coordinator/cluster/membership_impl.h"
#include "tests/unit/lib/unit.h"

static struct node own;
static struct supervisor supervisor;
static struct peers logs;
static struct membership m;
static char said[512];

static void replies(void *arg, struct reply_to o, const uint16_t *index, uint32_t count,
		    const char *bytes, size_t n, bool stays)
{
	size_t k = n < sizeof(said) - 1 ? n : sizeof(said) - 1;

	(void)arg;
	(void)o;
	(void)index;
	(void)count;
	(void)stays;
	for (size_t i = 0; i < k; i++)
		said[i] = (char)(bytes[i] ? bytes[i] : '.');
	said[k] = '\0';
}

static struct reply_sink sink = {.replies = replies};

/* This node is `self`, with so many workers; a and b have copies, d is a door. */
static void begin(const char *self, uint32_t workers)
{
	memset(&m, 0, sizeof(m));
	EQ(0, conf_new(&own.conf));
	conf_set(own.conf, "node.name", self, "test");
	conf_set(own.conf, "cluster.name", "demo", "test");
	own.partitions = 16;
	supervisor.count = workers;
	m.parts.node = &own;
	m.parts.sink = &sink;
	m.parts.supervisor = &supervisor;
	m.parts.logs = &logs;
	m.listed = true;
	for (uint32_t i = 0; i < REPLICA_NODES_MAX; i++)
		m.of_number[i] = NODE_NONE;
	m.nodes = 3;
	m.node[0] = (struct cluster_node){.name = "a", .store = 1, .partitions = 16};
	m.node[1] = (struct cluster_node){.name = "b", .store = 2, .partitions = 16};
	m.node[2] = (struct cluster_node){.name = "d", .partitions = 16, .door = true};
}

static const char *asked(const char *x, const char *y)
{
	struct cluster_create c = {.count = y ? 2 : 1, .factor = 1};

	c.node[0] = span_of(x);
	if (y)
		c.node[1] = span_of(y);
	said[0] = '\0';
	create_begin(&m, (struct reply_to){0, 0, 0}, 7, &c);
	EQ(CREATE_NONE, m.creation.step);
	return said;
}

static void a_door_is_refused_by_name_and_reason(void)
{
	static const char why[] = "node \"d\" has no workers (node.role = router), so it cannot "
				  "have copies";

	begin("a", 2);
	TRUE_(strstr(asked("d", NULL), why)); /* though there is no link to it */
	TRUE_(strstr(asked("a", "d"), why));
	TRUE_(strstr(asked("a", "b"), "node \"b\" has registered, but is not connected"));
	conf_free(&own.conf);
	begin("d", 0);
	TRUE_(strstr(asked("d", NULL), why));
	TRUE_(strstr(asked("a", NULL), "node \"a\" has registered, but is not connected"));
	conf_free(&own.conf);
}

static void a_door_has_nothing_to_hand_over(void)
{
	begin("d", 0);
	said[0] = '\0';
	drain_begin(&m, (struct reply_to){0, 0, 0}, 7, true);
	TRUE_(strstr(said, "it leads nothing"));
	TRUE_(!m.drain_asked);
	TRUE_(membership_drain(&m)); /* so a stop waits for nobody */
	conf_free(&own.conf);
}

UNIT_MAIN(T(a_door_is_refused_by_name_and_reason), T(a_door_has_nothing_to_hand_over))
