/*
 * Every family of figures that a node tells, but those of single workers that ipc/shm/metrics.h has.  From
 * these two tables follow `metrics`, what the gateway shows, and docs/metrics.md (make docs).  Names are
 * kept for ever.
 *
 *	id      its name without "pail_"
 *	kind    COUNTER: only grows, until the node is started anew; GAUGE; HISTOGRAM
 *	unit    of its numbers, and what they are counted in: ONES, BYTES, SECONDS_MS, SECONDS_US
 *	labels  of each sample, for people
 *	help    a sentence
 */
#ifndef PAIL_FAMILY_TABLE_H
#define PAIL_FAMILY_TABLE_H

/* clang-format off */
#define FAMILIES(X) \
	X(requests_total, COUNTER, ONES, "method, result", \
	  "Requests that were answered here, by method and result; one that another node ran for this one counts at both.") \
	X(request_duration_seconds, HISTOGRAM, SECONDS_US, "method", \
	  "Time from the arrival of a request that was run, here or on another node, until its reply is sent.") \
	X(clients, GAUGE, ONES, "", \
	  "Clients that are connected.") \
	X(clients_unread_bytes, GAUGE, BYTES, "", \
	  "Bytes of replies that clients have not read yet.") \
	X(clients_refused_total, COUNTER, ONES, "", \
	  "Connections that were refused for their key.") \
	X(clients_cut_off_total, COUNTER, ONES, "reason", \
	  "Connections that the node closed: too much was left unread, or what they sent made no message.") \
	X(files_open, GAUGE, ONES, "", \
	  "File descriptors of the coordinator that are in use.") \
	X(files_limit, GAUGE, ONES, "", \
	  "File descriptors that the coordinator may use.") \
	X(accept_pauses_total, COUNTER, ONES, "", \
	  "Times that no connection was accepted for want of file descriptors.") \
	X(build_info, GAUGE, ONES, "version", \
	  "1; the version is its label.") \
	X(start_time_seconds, GAUGE, SECONDS_MS, "", \
	  "When the node was started, by the wall clock.") \
	X(ready, GAUGE, ONES, "", \
	  "1: the node serves; 0: it starts or stops.") \
	X(reloads_total, COUNTER, ONES, "", \
	  "Times that the configuration was read again and taken.") \
	X(upgrades_total, COUNTER, ONES, "", \
	  "Times that the coordinator was replaced by the program on disk.") \
	X(upgrades_refused_total, COUNTER, ONES, "", \
	  "Upgrades that were refused before anything had changed.") \
	X(functions_modules, GAUGE, ONES, "", \
	  "Modules of functions.") \
	X(gateway_up, GAUGE, ONES, "", \
	  "1: the gateway serves.") \
	X(gateway_restarts_total, COUNTER, ONES, "", \
	  "Times that the gateway had ended.") \
	X(worker_restarts_total, COUNTER, ONES, "worker, reason", \
	  "Times that a worker was started again: somebody had killed it, it hung, or it had ended by itself.") \
	X(worker_ring_bytes, GAUGE, BYTES, "worker, ring", \
	  "Bytes that lie in a ring between coordinator and worker.") \
	X(worker_up, GAUGE, ONES, "worker", \
	  "1: the worker serves.") \
	X(worker_queue_bytes, GAUGE, BYTES, "worker", \
	  "Bytes of requests that wait for a worker, or for its replies.") \
	X(base_free_bytes, GAUGE, BYTES, "worker", \
	  "How much base's file may still grow.") \
	X(cluster_agreement_up, GAUGE, ONES, "", \
	  "1: etcd answers; 0: no partition can change its primary.") \
	X(cluster_partitions, GAUGE, ONES, "", \
	  "Partitions of the cluster; 0: none is known.") \
	X(cluster_partitions_leading, GAUGE, ONES, "", \
	  "Partitions whose primary this node is.") \
	X(cluster_partitions_without_primary, GAUGE, ONES, "", \
	  "Partitions of the cluster that nobody serves, as this node sees it.") \
	X(cluster_partitions_not_in_sync, GAUGE, ONES, "", \
	  "Partitions of the cluster with fewer copies in sync than they are to have.") \
	X(cluster_partitions_too_few, GAUGE, ONES, "", \
	  "Partitions of the cluster that refuse writes, since too few copies are in sync.") \
	X(cluster_copies, GAUGE, ONES, "state", \
	  "Copies that this node has: in sync, or learning.") \
	X(process_cpu_seconds_total, COUNTER, SECONDS_US, "process", \
	  "CPU that each of the node's processes has used; it begins anew with the process.") \
	X(process_resident_bytes, GAUGE, BYTES, "process", \
	  "Memory of each process that is in RAM, what it shares included.") \
	X(process_open_fds, GAUGE, ONES, "process", \
	  "File descriptors that each process has open.") \
	X(request_ring_seconds, HISTOGRAM, SECONDS_US, "", \
	  "Time that requests waited until their worker began with them.") \
	X(request_run_seconds, HISTOGRAM, SECONDS_US, "", \
	  "Time in which requests were run, with those that were run together with them.") \
	X(request_sync_seconds, HISTOGRAM, SECONDS_US, "", \
	  "Time that replies then waited for the disk, for other copies and for being sent.") \
	X(request_parked_seconds, HISTOGRAM, SECONDS_US, "", \
	  "Time that requests had waited before, since nobody was known to serve their bucket.") \
	X(peer_up, GAUGE, ONES, "peer", \
	  "1: the link to that node is up.") \
	X(peer_in_flight_requests, GAUGE, ONES, "peer", \
	  "Requests that the node was sent and has not answered.") \
	X(peer_queue_bytes, GAUGE, BYTES, "peer", \
	  "Bytes that wait to be handed to its link.") \
	X(peer_forwarded_total, COUNTER, ONES, "peer", \
	  "Requests that it was sent.") \
	X(peer_breaks_total, COUNTER, ONES, "peer", \
	  "Times that the link was up and broke.") \
	X(peer_round_trip_seconds, GAUGE, SECONDS_US, "peer", \
	  "Time that its last answer to a ping took; 0: it has answered none.")
/* clang-format on */

enum family_id {
#define X(id, ...) FAMILY_##id,
	FAMILIES(X)
#undef X
		FAMILY_COUNT
};

enum family_kind { FAMILY_COUNTER, FAMILY_GAUGE, FAMILY_HISTOGRAM };
enum family_unit { FAMILY_ONES, FAMILY_BYTES, FAMILY_SECONDS_MS, FAMILY_SECONDS_US };

struct family {
	const char *name;
	enum family_kind kind;
	enum family_unit unit;
	const char *labels;
	const char *help;
};

/* By enum family_id (families.c). */
extern const struct family family_table[FAMILY_COUNT];

#endif
