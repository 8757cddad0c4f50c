/* Figures and events on their way to whoever asks. */
#include "coordinator/front/metrics.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/config/config.h"
#include "coordinator/clients/files.h"
#include "coordinator/clients/outgoing.h"
#include "coordinator/cluster/membership.h"
#include "coordinator/front/families.h"
#include "coordinator/front/status.h"
#include "coordinator/node/figures.h"
#include "coordinator/process/helper.h"
#include "coordinator/process/usage.h"
#include "coordinator/security/security.h"
#include "ipc/shm/metrics.h"
#include "ipc/shm/modules.h"
#include "ipc/wire/reply.h"

static const struct family_label none = {NULL, NULL};

static struct worker_status *status_of(const struct front *front, uint32_t worker)
{
	return front->supervisor->worker[worker].queue.segment->status;
}

/* ---- requests ---- */

/* By method and error: of the workers, and of what the coordinator answered or handed on. */
static void results_count(const struct front *front, uint64_t all[FIGURES_METHODS][FIGURES_ERRORS])
{
	memcpy(all, front->node->figures->results, sizeof(front->node->figures->results));
	for (unsigned m = 0; m < WIRE_METHOD_COUNT; m++) {
		uint64_t errors = 0;

		/* What no worker runs is counted when it comes. */
		for (unsigned e = 1; e < WIRE_ERROR_COUNT; e++)
			errors += all[m][e];
		if (!method_is((int)m, METHOD_BUCKET))
			all[m][WIRE_OK] = front->requests[m] - errors;
	}
	for (uint32_t i = 0; i < front->supervisor->count; i++) {
		struct worker_status *s = status_of(front, i);

		for (unsigned m = 0; m < WIRE_METHOD_COUNT; m++)
			if (method_is((int)m, METHOD_BUCKET))
				all[m][WIRE_OK] += status_get(&s->by_method[m]);
		for (unsigned k = 0; k < STATUS_ERRORS_MAX; k++) {
			uint32_t what =
				atomic_load_explicit(&s->errors_of[k].what, memory_order_relaxed);
			unsigned m = (what - 1) / ERRORS_MAX;
			uint64_t n = status_get(&s->errors_of[k].count);

			if (!what || m >= WIRE_METHOD_COUNT)
				continue;
			all[m][(what - 1) % ERRORS_MAX] += n;
			/* A count that is not there yet is no reason to go below 0. */
			all[m][WIRE_OK] -= n < all[m][WIRE_OK] ? n : all[m][WIRE_OK];
		}
	}
}

static const char *method_name(unsigned m)
{
	return m < WIRE_METHOD_COUNT ? wire_method_name((enum wire_method)m) : "none";
}

static void requests_add(const struct front *front, struct families *f)
{
	static uint64_t all[FIGURES_METHODS][FIGURES_ERRORS];
	const struct figures *n = front->node->figures;

	results_count(front, all);
	family_begin(
		f, "pail_requests_total", FAMILY_COUNTER, "", 1,
		"Requests that were answered here, by method and result; one that another node "
		"ran for this one counts at both.");
	for (unsigned m = 0; m < FIGURES_METHODS; m++)
		for (unsigned e = 0; e < WIRE_ERROR_COUNT; e++)
			if (all[m][e] || (e == WIRE_OK && m < WIRE_METHOD_COUNT))
				family_sample(
					f, LABEL("method", method_name(m)),
					LABEL("result", e == WIRE_OK ? "ok" : wire_error_name(e)),
					all[m][e]);
	family_end(f);
	family_begin(
		f, "pail_request_duration_seconds", FAMILY_HISTOGRAM, "seconds", 1000000,
		"Time from the arrival of a request that was run, here or on another node, until "
		"its reply is sent.");
	for (unsigned m = 0; m < WIRE_METHOD_COUNT; m++)
		family_histogram(f, LABEL("method", method_name(m)), &n->duration[m]);
	family_end(f);
}

static void stage_add(struct families *f, const char *name, const char *help,
		      const struct histogram *h)
{
	family_begin(f, name, FAMILY_HISTOGRAM, "seconds", 1000000, help);
	family_histogram(f, none, h);
	family_end(f);
}

static void stages_add(const struct front *front, struct families *f)
{
	const struct figures *n = front->node->figures;

	stage_add(f, "pail_request_ring_seconds",
		  "Time that requests waited until their worker began with them.", &n->ring);
	stage_add(f, "pail_request_run_seconds",
		  "Time in which requests were run, with those that were run together with them.",
		  &n->run);
	stage_add(
		f, "pail_request_sync_seconds",
		"Time that replies then waited for the disk, for other copies and for being sent.",
		&n->sync);
	stage_add(f, "pail_request_parked_seconds",
		  "Time that requests had waited before, since nobody was known to serve their "
		  "bucket.",
		  &n->parked);
}

/* ---- the node ---- */

static void clients_add(struct front *front, struct families *f)
{
	const struct figures *n = front->node->figures;

	family_one(f, "pail_clients", FAMILY_GAUGE, "", 1, "Clients that are connected.",
		   status_connected(front));
	family_one(f, "pail_clients_unread_bytes", FAMILY_GAUGE, "bytes", 1,
		   "Bytes of replies that clients have not read yet.",
		   clients_waiting(front->clients));
	family_one(f, "pail_clients_refused_total", FAMILY_COUNTER, "", 1,
		   "Connections that were refused for their key.",
		   security_refused(front->security));
	family_begin(
		f, "pail_clients_cut_off_total", FAMILY_COUNTER, "", 1,
		"Connections that the node closed: too much was left unread, or what they sent "
		"made no message.");
	family_sample(f, LABEL("reason", "unread"), none, n->cut_off_unread);
	family_sample(f, LABEL("reason", "message"), none, n->cut_off_message);
	family_end(f);
	family_one(f, "pail_files_open", FAMILY_GAUGE, "", 1,
		   "File descriptors of the coordinator that are in use.", front->files->used);
	family_one(f, "pail_files_limit", FAMILY_GAUGE, "", 1,
		   "File descriptors that the coordinator may use.", front->files->limit);
	family_one(f, "pail_accept_pauses_total", FAMILY_COUNTER, "", 1,
		   "Times that no connection was accepted for want of file descriptors.",
		   front->files->pauses);
}

static void node_add(struct front *front, struct families *f)
{
	const struct figures *n = front->node->figures;

	family_begin(f, "pail_build_info", FAMILY_GAUGE, "", 1, "1; the version is its label.");
	family_sample(f, LABEL("version", WIRE_VERSION), none, 1);
	family_end(f);
	family_one(f, "pail_start_time_seconds", FAMILY_GAUGE, "seconds", 1000,
		   "When the node was started, by the wall clock.", front->node->started_wall_ms);
	family_one(f, "pail_ready", FAMILY_GAUGE, "", 1,
		   "1: the node serves; 0: it starts or stops.",
		   !strcmp(status_state(front), "serving"));
	family_one(f, "pail_reloads_total", FAMILY_COUNTER, "", 1,
		   "Times that the configuration was read again and taken.", front->node->reloads);
	family_one(f, "pail_upgrades_total", FAMILY_COUNTER, "", 1,
		   "Times that the coordinator was replaced by the program on disk.",
		   front->node->upgrades);
	family_one(f, "pail_upgrades_refused_total", FAMILY_COUNTER, "", 1,
		   "Upgrades that were refused before anything had changed.", n->upgrades_refused);
	family_one(f, "pail_functions_modules", FAMILY_GAUGE, "", 1, "Modules of functions.",
		   (*front->functions)->header->count);
	if (front->gateway->argv[0]) {
		family_one(f, "pail_gateway_up", FAMILY_GAUGE, "", 1, "1: the gateway serves.",
			   front->gateway->up);
		family_one(f, "pail_gateway_restarts_total", FAMILY_COUNTER, "", 1,
			   "Times that the gateway had ended.", front->gateway->restarts);
	}
}

/* ---- workers ---- */

#define EACH_WORKER(front, i, label)                                                \
	for (uint32_t i = 0; i < (front)->supervisor->count &&                      \
			     snprintf(label, sizeof(label), "%u", (unsigned)i) > 0; \
	     i++)

/* A counter or gauge of each worker. */
static void worker_figure(const struct front *front, struct families *f, const struct metric *m)
{
	static const struct {
		const char *unit;
		uint64_t scale;
	} of[] = {
		[METRIC_ONES] = {"",        1      },
		[METRIC_BYTES] = {"bytes",   1      },
		[METRIC_MS] = {"seconds", 1000   },
		[METRIC_US] = {"seconds", 1000000},
		[METRIC_UNIX_MS] = {"seconds", 1000   }
        };
	char label[12];

	family_begin(f, m->shown, m->kind == METRIC_COUNTER ? FAMILY_COUNTER : FAMILY_GAUGE,
		     of[m->unit].unit, of[m->unit].scale, m->help);
	EACH_WORKER(front, i, label)
	family_sample(f, LABEL("worker", label), none, metric_get(m, status_of(front, i)));
	family_end(f);
}

static void restarts_add(const struct front *front, struct families *f)
{
	static const struct {
		const char *reason;
		enum metric_id id;
	} of[] = {
		{"killed", METRIC_restarts_killed},
		{"hung",   METRIC_restarts_hung  },
		{"failed", METRIC_restarts_failed}
        };
	char label[12];

	family_begin(
		f, "pail_worker_restarts_total", FAMILY_COUNTER, "", 1,
		"Times that a worker was started again: somebody had killed it, it hung, or it had "
		"ended by itself.");
	EACH_WORKER(front, i, label)
	for (unsigned k = 0; k < sizeof(of) / sizeof(of[0]); k++)
		family_sample(f, LABEL("worker", label), LABEL("reason", of[k].reason),
			      metric_get(&metrics[of[k].id], status_of(front, i)));
	family_end(f);
}

static void rings_add(const struct front *front, struct families *f)
{
	char label[12];

	family_begin(f, "pail_worker_ring_bytes", FAMILY_GAUGE, "bytes", 1,
		     "Bytes that lie in a ring between coordinator and worker.");
	EACH_WORKER(front, i, label)
	{
		const struct queue *q = &front->supervisor->worker[i].queue;
		const struct ring *r = &q->segment->request;

		family_sample(f, LABEL("worker", label), LABEL("ring", "request"),
			      r->write - ring_tail(r));
		family_sample(f, LABEL("worker", label), LABEL("ring", "immediate"),
			      ring_head(&q->segment->immediate) - q->immediate_read);
		family_sample(f, LABEL("worker", label), LABEL("ring", "durable"),
			      ring_head(&q->segment->durable) - q->durable_read);
	}
	family_end(f);
}

static void workers_add(const struct front *front, struct families *f)
{
	char label[12];

	family_begin(f, "pail_worker_up", FAMILY_GAUGE, "", 1, "1: the worker serves.");
	EACH_WORKER(front, i, label)
	family_sample(f, LABEL("worker", label), none,
		      front->supervisor->worker[i].state == WORKER_UP);
	family_end(f);
	restarts_add(front, f);
	family_begin(f, "pail_worker_queue_requests", FAMILY_GAUGE, "", 1,
		     "Requests that wait for a worker, or for its replies.");
	EACH_WORKER(front, i, label)
	family_sample(f, LABEL("worker", label), none,
		      queue_waiting(&front->supervisor->worker[i].queue));
	family_end(f);
	rings_add(front, f);
	for (unsigned i = 0; i < METRIC_COUNT; i++)
		if (*metrics[i].shown)
			worker_figure(front, f, &metrics[i]);
	family_begin(f, "pail_base_free_bytes", FAMILY_GAUGE, "bytes", 1,
		     "How much base's file may still grow.");
	EACH_WORKER(front, i, label)
	{
		struct worker_status *s = status_of(front, i);
		uint64_t map = status_get(&s->map_bytes);
		uint64_t used = status_get(&s->base_bytes);

		family_sample(f, LABEL("worker", label), none, map > used ? map - used : 0);
	}
	family_end(f);
}

/* ---- other nodes ---- */

enum peer_figure { PEER_IS_UP, IN_FLIGHT, QUEUE_BYTES, FORWARDED, BROKE, ROUND_TRIP, PEER_FIGURES };

static uint64_t peer_figure(const struct peer *p, enum peer_figure which)
{
	switch (which) {
	case PEER_IS_UP:
		return p->state == PEER_UP;
	case IN_FLIGHT:
		return p->requests;
	case QUEUE_BYTES:
		return p->queued;
	case FORWARDED:
		return p->forwarded;
	case BROKE:
		return p->broke;
	default:
		return p->round_trip_us;
	}
}

static void peers_add(const struct front *front, struct families *f)
{
	static const struct {
		const char *name;
		enum family_kind kind;
		const char *unit;
		uint64_t scale;
		const char *help;
	} of[PEER_FIGURES] = {
		{"pail_peer_up",                 FAMILY_GAUGE,   "",        1,       "1: the link to that node is up."},
		{"pail_peer_in_flight_requests", FAMILY_GAUGE,   "",        1,
		 "Requests that the node was sent and has not answered."                                              },
		{"pail_peer_queue_bytes",        FAMILY_GAUGE,   "bytes",   1,
		 "Bytes that wait to be handed to its link."                                                          },
		{"pail_peer_forwarded_total",    FAMILY_COUNTER, "",        1,       "Requests that it was sent."     },
		{"pail_peer_breaks_total",       FAMILY_COUNTER, "",        1,
		 "Times that the link was up and broke."							      },
		{"pail_peer_round_trip_seconds", FAMILY_GAUGE,   "seconds", 1000000,
		 "Time that its last answer to a ping took; 0: it has answered none."                                 },
	};

	if (!front->peers->count)
		return;
	for (unsigned k = 0; k < PEER_FIGURES; k++) {
		family_begin(f, of[k].name, of[k].kind, of[k].unit, of[k].scale, of[k].help);
		for (uint32_t i = 0; i < front->peers->count; i++)
			if (!front->peers->peer[i]->retired)
				family_sample(
					f, LABEL("peer", front->peers->peer[i]->name), none,
					peer_figure(front->peers->peer[i], (enum peer_figure)k));
		family_end(f);
	}
}

static void cluster_add(struct front *front, struct families *f, pid_t *ret_agent)
{
	struct membership_figures m;

	*ret_agent = 0;
	if (!front->membership)
		return;
	membership_figures(front->membership, &m);
	*ret_agent = m.agent;
	family_one(f, "pail_cluster_agreement_up", FAMILY_GAUGE, "", 1,
		   "1: etcd answers; 0: no partition can change its primary.", m.agreement_up);
	family_one(f, "pail_cluster_partitions", FAMILY_GAUGE, "", 1,
		   "Partitions of the cluster; 0: none is known.", m.partitions);
	family_one(f, "pail_cluster_partitions_leading", FAMILY_GAUGE, "", 1,
		   "Partitions whose primary this node is.", m.leading);
	family_one(f, "pail_cluster_partitions_without_primary", FAMILY_GAUGE, "", 1,
		   "Partitions of the cluster that nobody serves, as this node sees it.",
		   m.without_primary);
	family_one(f, "pail_cluster_partitions_not_in_sync", FAMILY_GAUGE, "", 1,
		   "Partitions of the cluster with fewer copies in sync than they are to have.",
		   m.not_in_sync);
	family_one(
		f, "pail_cluster_partitions_too_few", FAMILY_GAUGE, "", 1,
		"Partitions of the cluster that refuse writes, since too few copies are in sync.",
		m.too_few);
	family_begin(f, "pail_cluster_copies", FAMILY_GAUGE, "", 1,
		     "Copies that this node has: in sync, or learning.");
	family_sample(f, LABEL("state", "in_sync"), none, m.in_sync);
	family_sample(f, LABEL("state", "learning"), none, m.learning);
	family_end(f);
}

/* ---- processes ---- */

#define PROCESSES_MAX (64u + 3u)

struct process {
	char name[24];
	struct usage usage;
};

static void process_look(struct process *all, uint32_t *n, const char *name, pid_t pid)
{
	if (*n == PROCESSES_MAX || pid <= 0 || usage_read(pid, &all[*n].usage) < 0)
		return;
	(void)snprintf(all[*n].name, sizeof(all[*n].name), "%s", name);
	++*n;
}

static void processes_add(const struct front *front, struct families *f, pid_t agent)
{
	static struct process all[PROCESSES_MAX];
	char name[24];
	uint32_t n = 0;

	process_look(all, &n, "coordinator", getpid());
	for (uint32_t i = 0; i < front->supervisor->count; i++) {
		(void)snprintf(name, sizeof(name), "worker-%u", (unsigned)i);
		process_look(all, &n, name, front->supervisor->worker[i].pid);
	}
	process_look(all, &n, "gateway", front->gateway->pid);
	process_look(all, &n, "agent", agent);
	family_begin(
		f, "pail_process_cpu_seconds_total", FAMILY_COUNTER, "seconds", 1000000,
		"CPU that each of the node's processes has used; it begins anew with the process.");
	for (uint32_t i = 0; i < n; i++)
		family_sample(f, LABEL("process", all[i].name), none, all[i].usage.cpu_us);
	family_end(f);
	family_begin(f, "pail_process_resident_bytes", FAMILY_GAUGE, "bytes", 1,
		     "Memory of each process that is in RAM, what it shares included.");
	for (uint32_t i = 0; i < n; i++)
		family_sample(f, LABEL("process", all[i].name), none, all[i].usage.resident_bytes);
	family_end(f);
	family_begin(f, "pail_process_open_fds", FAMILY_GAUGE, "", 1,
		     "File descriptors that each process has open.");
	for (uint32_t i = 0; i < n; i++)
		family_sample(f, LABEL("process", all[i].name), none, all[i].usage.files);
	family_end(f);
}

/* ---- the replies ---- */

static void add(struct buf *b, const char *end)
{
	if (!b->failed && end)
		b->len = (size_t)(end - b->data);
}

void metrics_write(struct front *front, uint64_t msgid, struct buf *out)
{
	const char *node = conf_text(front->node->conf, CONF_node_name);
	char *p = buf_room(out, 256 + strlen(node));
	struct families f;
	pid_t agent;

	if (!p)
		return;
	p = write_map(write_reply_head(p, msgid), 4);
	p = write_text(write_text(p, "node"), node);
	p = write_text(write_text(p, "version"), WIRE_VERSION);
	p = write_uint(write_text(p, "unix_ms"), clock_wall_ms());
	add(out, p);
	families_init(&f);
	node_add(front, &f);
	requests_add(front, &f);
	stages_add(front, &f);
	clients_add(front, &f);
	workers_add(front, &f);
	peers_add(front, &f);
	cluster_add(front, &f, &agent);
	processes_add(front, &f, agent);
	families_write(&f, out);
	families_fini(&f);
}

static bool uint_param(const struct request *q, uint32_t i, uint64_t *ret)
{
	const char *p = i < q->param_count ? q->param[i] : NULL;

	if (!p || read_type(p) != TYPE_UINT)
		return false;
	*ret = read_uint(&p);
	return true;
}

static char *event_write(char *p, const struct event *e)
{
	p = write_map(p, 6);
	p = write_uint(write_text(p, "id"), e->id);
	p = write_uint(write_text(p, "unix_ms"), e->wall_ms);
	p = write_text(write_text(p, "kind"), figures_event_kind(e));
	p = write_text(write_text(p, "level"), figures_event_level(e));
	p = write_text(write_text(p, "subject"), e->subject);
	return write_text(write_text(p, "text"), e->text);
}

bool metrics_events(const struct front *front, const struct request *q, struct buf *out)
{
	const struct figures *f = front->node->figures;
	uint64_t first = f->events < EVENTS_KEPT ? 1 : f->events - EVENTS_KEPT + 1;
	uint64_t after;
	uint64_t limit;
	char *p;

	if (!uint_param(q, 0, &after) || !uint_param(q, 1, &limit) || !limit || limit > EVENTS_KEPT)
		return false;
	after = after > f->events ? f->events : after < first - 1 ? first - 1 : after;
	if (f->events - after > limit)
		after = f->events - limit;
	p = buf_room(out, 128 + (f->events - after) * (sizeof(struct event) + 128));
	if (!p)
		return true;
	p = write_map(write_reply_head(p, q->msgid), 3);
	p = write_uint(write_text(p, "first"), first);
	p = write_uint(write_text(p, "last"), f->events);
	p = write_array(write_text(p, "events"), (uint32_t)(f->events - after));
	for (uint64_t id = after + 1; id <= f->events; id++)
		p = event_write(p, &f->event[(id - 1) % EVENTS_KEPT]);
	add(out, p);
	return true;
}
