/* From families to figures. */
#include "cli/figures.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is(struct pail_value v, const char *text)
{
	struct pail_bytes b = pail_value_bytes(v);

	return b.size == strlen(text) && !memcmp(b.data, text, b.size);
}

static void text_take(struct pail_value v, char *out, size_t size)
{
	struct pail_bytes b = pail_value_bytes(v);

	(void)snprintf(out, size, "%.*s", (int)b.size, b.data ? (const char *)b.data : "");
}

static enum figures_class class_of(struct pail_value method)
{
	static const char *const reads[] = {"get", "head", "scan", "count", "buckets", NULL};
	static const char *const writes[] = {"put",   "delete", "create", "drop",
					     "touch", "txn",    "call",   NULL};

	for (unsigned i = 0; reads[i]; i++)
		if (is(method, reads[i]))
			return FIGURES_READS;
	for (unsigned i = 0; writes[i]; i++)
		if (is(method, writes[i]))
			return FIGURES_WRITES;
	return FIGURES_OTHERS;
}

static void histogram_take(struct pail_value v, struct histogram *h)
{
	struct pail_value buckets = pail_value_field(v, "buckets");

	h->sum += pail_value_number(pail_value_field(v, "sum"));
	for (size_t i = 0; i < pail_value_count(buckets); i++) {
		struct pail_value b = pail_value_item(buckets, i);

		h->bucket[histogram_place(pail_value_number(pail_value_item(b, 0)))] +=
			pail_value_number(pail_value_item(b, 1));
	}
}

static void requests_take(struct pail_value labels, struct pail_value v, struct figures_moment *m)
{
	uint64_t n = pail_value_number(v);

	m->requests[class_of(pail_value_field(labels, "method"))] += n;
	if (!is(pail_value_field(labels, "result"), "ok"))
		m->errors += n;
}

static struct worker_figures *worker_of(struct figures_moment *m, const char *number)
{
	unsigned long i = strtoul(number, NULL, 10);

	if (i >= FIGURES_WORKERS)
		return NULL;
	if (i >= m->workers)
		m->workers = (uint32_t)i + 1;
	return &m->worker[i];
}

/* Whose one number is: a row for each family of workers. */
static const struct {
	const char *family;
	size_t at;
} of_worker[] =
	{
#define AT(family, field)                                      \
	{                                                      \
		family, offsetof(struct worker_figures, field) \
	}
		AT("pail_worker_up", up),
		AT("pail_worker_requests_total", requests),
		AT("pail_worker_queue_bytes", queue_bytes),
		AT("pail_worker_restarts_total", restarts),
		AT("pail_keys", keys),
		AT("pail_cache_hits_total", hits),
		AT("pail_cache_misses_total", misses),
		AT("pail_log_syncs_total", syncs),
		AT("pail_log_written_bytes_total", log_written_bytes),
		AT("pail_log_bytes", log_bytes),
		AT("pail_base_used_bytes", base_bytes),
		AT("pail_base_map_bytes", map_bytes),
		AT("pail_recent_keys", recent_keys),
		AT("pail_checkpoint_time_seconds", checkpoint_wall_ms),
#undef AT
},
  of_peer[] = {
#define AT(family, field)                                    \
	{                                                    \
		family, offsetof(struct peer_figures, field) \
	}
	  AT("pail_peer_up", up),
	  AT("pail_peer_in_flight_requests", in_flight),
	  AT("pail_peer_forwarded_total", forwarded),
	  AT("pail_peer_round_trip_seconds", round_trip_us),
#undef AT
};

static void worker_take(struct pail_value name, struct pail_value labels, struct pail_value v,
			struct figures_moment *m)
{
	char number[16];
	struct worker_figures *w;

	text_take(pail_value_field(labels, "worker"), number, sizeof(number));
	w = worker_of(m, number);
	for (unsigned i = 0; w && i < sizeof(of_worker) / sizeof(of_worker[0]); i++)
		if (is(name, of_worker[i].family))
			*(uint64_t *)((char *)w + of_worker[i].at) += pail_value_number(v);
}

static void peer_take(struct pail_value name, struct pail_value labels, struct pail_value v,
		      struct figures_moment *m)
{
	char peer[FIGURES_NAME];
	uint32_t i = 0;

	text_take(pail_value_field(labels, "peer"), peer, sizeof(peer));
	while (i < m->peers && strcmp(m->peer[i].name, peer) != 0)
		i++;
	if (i == FIGURES_PEERS)
		return;
	if (i == m->peers)
		memcpy(m->peer[m->peers++].name, peer, sizeof(peer));
	for (unsigned k = 0; k < sizeof(of_peer) / sizeof(of_peer[0]); k++)
		if (is(name, of_peer[k].family))
			*(uint64_t *)((char *)&m->peer[i] + of_peer[k].at) = pail_value_number(v);
}

static void process_take(struct pail_value name, struct pail_value labels, struct pail_value v,
			 struct figures_moment *m)
{
	bool cpu = is(name, "pail_process_cpu_seconds_total");
	struct worker_figures *w;
	char process[32];

	if (!cpu && !is(name, "pail_process_resident_bytes"))
		return;
	text_take(pail_value_field(labels, "process"), process, sizeof(process));
	if (cpu && !strcmp(process, "coordinator"))
		m->cpu_us = pail_value_number(v);
	if (strncmp(process, "worker-", 7) != 0 || !(w = worker_of(m, process + 7)))
		return;
	*(cpu ? &w->cpu_us : &w->resident_bytes) = pail_value_number(v);
}

static void sample_take(struct pail_value name, struct pail_value labels, struct pail_value v,
			struct figures_moment *m)
{
	if (is(name, "pail_requests_total"))
		requests_take(labels, v, m);
	else if (is(name, "pail_request_duration_seconds"))
		histogram_take(v, &m->duration[class_of(pail_value_field(labels, "method"))]);
	else if (is(name, "pail_clients"))
		m->clients = pail_value_number(v);
	else if (is(name, "pail_clients_unread_bytes"))
		m->unread_bytes = pail_value_number(v);
	else if (pail_value_type(pail_value_field(labels, "worker")) == PAIL_VALUE_BYTES)
		worker_take(name, labels, v, m);
	else if (pail_value_type(pail_value_field(labels, "peer")) == PAIL_VALUE_BYTES)
		peer_take(name, labels, v, m);
	else if (pail_value_type(pail_value_field(labels, "process")) == PAIL_VALUE_BYTES)
		process_take(name, labels, v, m);
}

void figures_read(struct pail_value v, struct figures_moment *ret)
{
	struct pail_value families = pail_value_field(v, "families");

	memset(ret, 0, sizeof(*ret));
	ret->unix_ms = pail_value_number(pail_value_field(v, "unix_ms"));
	for (size_t i = 0; i < pail_value_count(families); i++) {
		struct pail_value f = pail_value_item(families, i);
		struct pail_value samples = pail_value_field(f, "samples");

		for (size_t k = 0; k < pail_value_count(samples); k++) {
			struct pail_value s = pail_value_item(samples, k);

			sample_take(pail_value_field(f, "name"), pail_value_item(s, 0),
				    pail_value_item(s, 1), ret);
		}
	}
}

static uint64_t grown(uint64_t before, uint64_t now)
{
	return now >= before ? now - before : now;
}

double figures_rate(uint64_t before, uint64_t now, uint64_t ms)
{
	return ms ? (double)grown(before, now) * 1000 / (double)ms : 0;
}

int64_t figures_quantile(const struct histogram *before, const struct histogram *now, double q)
{
	uint64_t n[HISTOGRAM_BUCKETS];
	uint64_t all = 0;
	uint64_t seen = 0;

	for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++)
		all += n[i] = grown(before->bucket[i], now->bucket[i]);
	for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
		seen += n[i];
		if (seen && (double)seen >= q * (double)all)
			return histogram_upper(i) > INT64_MAX ? INT64_MAX
							      : (int64_t)histogram_upper(i);
	}
	return -1;
}
