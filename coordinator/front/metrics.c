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
	family_begin(f, FAMILY_requests_total);
	for (unsigned m = 0; m < FIGURES_METHODS; m++)
		for (unsigned e = 0; e < WIRE_ERROR_COUNT; e++)
			if (all[m][e] || (e == WIRE_OK && m < WIRE_METHOD_COUNT))
				family_sample(
					f, LABEL("method", method_name(m)),
					LABEL("result", e == WIRE_OK ? "ok" : wire_error_name(e)),
					all[m][e]);
	family_end(f);
	family_begin(f, FAMILY_request_duration_seconds);
	for (unsigned m = 0; m < WIRE_METHOD_COUNT; m++)
		family_histogram(f, LABEL("method", method_name(m)), &n->duration[m]);
	family_end(f);
}

static void stage_add(struct families *f, enum family_id id, const struct histogram *h)
{
	family_begin(f, id);
	family_histogram(f, none, h);
	family_end(f);
}

static void stages_add(const struct front *front, struct families *f)
{
	const struct figures *n = front->node->figures;

	stage_add(f, FAMILY_request_ring_seconds, &n->ring);
	stage_add(f, FAMILY_request_run_seconds, &n->run);
	stage_add(f, FAMILY_request_sync_seconds, &n->sync);
	stage_add(f, FAMILY_request_parked_seconds, &n->parked);
}

/* ---- the node ---- */

static void clients_add(struct front *front, struct families *f)
{
	const struct figures *n = front->node->figures;

	family_one(f, FAMILY_clients, status_connected(front));
	family_one(f, FAMILY_clients_unread_bytes, clients_waiting(front->clients));
	family_one(f, FAMILY_clients_refused_total, security_refused(front->security));
	family_begin(f, FAMILY_clients_cut_off_total);
	family_sample(f, LABEL("reason", "unread"), none, n->cut_off_unread);
	family_sample(f, LABEL("reason", "message"), none, n->cut_off_message);
	family_end(f);
	family_one(f, FAMILY_files_open, front->files->used);
	family_one(f, FAMILY_files_limit, front->files->limit);
	family_one(f, FAMILY_accept_pauses_total, front->files->pauses);
}

static void node_add(struct front *front, struct families *f)
{
	const struct figures *n = front->node->figures;

	family_begin(f, FAMILY_build_info);
	family_sample(f, LABEL("version", WIRE_VERSION), none, 1);
	family_end(f);
	family_one(f, FAMILY_start_time_seconds, front->node->started_wall_ms);
	family_one(f, FAMILY_ready, !strcmp(status_state(front), "serving"));
	family_one(f, FAMILY_reloads_total, front->node->reloads);
	family_one(f, FAMILY_upgrades_total, front->node->upgrades);
	family_one(f, FAMILY_upgrades_refused_total, n->upgrades_refused);
	family_one(f, FAMILY_functions_modules, (*front->functions)->header->count);
	if (front->gateway->argv[0]) {
		family_one(f, FAMILY_gateway_up, front->gateway->up);
		family_one(f, FAMILY_gateway_restarts_total, front->gateway->restarts);
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
	char label[12];

	family_begin_metric(f, m);
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

	family_begin(f, FAMILY_worker_restarts_total);
	EACH_WORKER(front, i, label)
	for (unsigned k = 0; k < sizeof(of) / sizeof(of[0]); k++)
		family_sample(f, LABEL("worker", label), LABEL("reason", of[k].reason),
			      metric_get(&metrics[of[k].id], status_of(front, i)));
	family_end(f);
}

static void rings_add(const struct front *front, struct families *f)
{
	char label[12];

	family_begin(f, FAMILY_worker_ring_bytes);
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

	family_begin(f, FAMILY_worker_up);
	EACH_WORKER(front, i, label)
	family_sample(f, LABEL("worker", label), none,
		      front->supervisor->worker[i].state == WORKER_UP);
	family_end(f);
	restarts_add(front, f);
	family_begin(f, FAMILY_worker_queue_bytes);
	EACH_WORKER(front, i, label)
	family_sample(f, LABEL("worker", label), none,
		      queue_waiting(&front->supervisor->worker[i].queue));
	family_end(f);
	rings_add(front, f);
	for (unsigned i = 0; i < METRIC_COUNT; i++)
		if (*metrics[i].shown)
			worker_figure(front, f, &metrics[i]);
	family_begin(f, FAMILY_base_free_bytes);
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

static uint64_t peer_figure(const struct peer *p, enum family_id which)
{
	switch (which) {
	case FAMILY_peer_up:
		return p->state == PEER_UP;
	case FAMILY_peer_in_flight_requests:
		return p->requests;
	case FAMILY_peer_queue_bytes:
		return p->queued;
	case FAMILY_peer_forwarded_total:
		return p->forwarded;
	case FAMILY_peer_breaks_total:
		return p->broke;
	default:
		return p->round_trip_us;
	}
}

static void peers_add(const struct front *front, struct families *f)
{
	if (!front->peers->count)
		return;
	for (unsigned k = FAMILY_peer_up; k <= FAMILY_peer_round_trip_seconds; k++) {
		family_begin(f, (enum family_id)k);
		for (uint32_t i = 0; i < front->peers->count; i++)
			if (!front->peers->peer[i]->retired)
				family_sample(
					f, LABEL("peer", front->peers->peer[i]->name), none,
					peer_figure(front->peers->peer[i], (enum family_id)k));
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
	family_one(f, FAMILY_cluster_agreement_up, m.agreement_up);
	family_one(f, FAMILY_cluster_partitions, m.partitions);
	family_one(f, FAMILY_cluster_partitions_leading, m.leading);
	family_one(f, FAMILY_cluster_partitions_without_primary, m.without_primary);
	family_one(f, FAMILY_cluster_partitions_not_in_sync, m.not_in_sync);
	family_one(f, FAMILY_cluster_partitions_too_few, m.too_few);
	family_begin(f, FAMILY_cluster_copies);
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
	family_begin(f, FAMILY_process_cpu_seconds_total);
	for (uint32_t i = 0; i < n; i++)
		family_sample(f, LABEL("process", all[i].name), none, all[i].usage.cpu_us);
	family_end(f);
	family_begin(f, FAMILY_process_resident_bytes);
	for (uint32_t i = 0; i < n; i++)
		family_sample(f, LABEL("process", all[i].name), none, all[i].usage.resident_bytes);
	family_end(f);
	family_begin(f, FAMILY_process_open_fds);
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
