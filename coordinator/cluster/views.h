/*
 * What stands in the agreement about a cluster, as the agent hands it over: MessagePack values of
 * keys below /pail/CLUSTER/.
 *
 *	config		{drift_ppm, factor, format, id, lease_ms, min_copies, partitions}
 *	node/NAME	{client, data, [door,] key, node, number, partitions, state, store}
 *	part/XXXX	{by, epoch, frozen, isr, primary, released}: the view of a partition
 *	target		{copies, plan, table}
 *
 * `door` is there if it is true.
 * `frozen` is nil or [term, sequence, what of it was committed].  Numbers of 64 bits that are ids are texts of 16 hexadecimal digits.  A member is [number, store].
 */
#ifndef PAIL_CLUSTER_VIEWS_H
#define PAIL_CLUSTER_VIEWS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/key.h"
#include "common/span.h"
#include "ipc/net/socket.h"
#include "ipc/wire/peer_message.h"
#include "replica/view.h"

#define VIEWS_FORMAT    1u
#define VIEWS_VALUE_MAX 1024u /* bytes of a config's, a node's or a view's */

struct cluster_config {
	uint64_t id; /* random: another cluster of the same name is another one */
	uint32_t partitions;
	uint32_t factor;
	uint32_t min_copies;
	uint32_t lease_ms;
	uint32_t drift_ppm;
};

struct cluster_node {
	char name[PEER_MESSAGE_NODE_MAX + 1];
	uint32_t number; /* 0: it has none yet */
	uint64_t store;
	char node[SOCKET_ENDPOINT_MAX];   /* where nodes connect */
	char client[SOCKET_ENDPOINT_MAX]; /* where clients do; "": nowhere */
	char key[KEY_TEXT + 1];           /* its public one; "": it has none */
	uint64_t revision;                /* of its key */
	bool leaving;
	uint32_t partitions; /* of its folder; 0: it has not said */
	bool data;           /* there were buckets in its folder, before the cluster was created */
	bool door;           /* it has no workers, so no copies: it only hands on */
};

/*
 * Each reads the value `v`; 0, or -EBADMSG: it is no such value, and *ret_why says in what.  What is
 * not known in a map is passed over.
 */
int views_config_read(struct span v, struct cluster_config *ret, const char **ret_why);
int views_node_read(struct span v, struct cluster_node *ret, const char **ret_why);
/* All but the revision, which is the key's. */
int views_view_read(struct span v, struct view *ret, const char **ret_why);

/* Each writes into VIEWS_VALUE_MAX bytes, returns the place behind. */
char *views_config_write(char *p, const struct cluster_config *c);
char *views_node_write(char *p, const struct cluster_node *n);
char *views_view_write(char *p, const struct view *v);

/* Bytes of a target's value, at most. */
static inline size_t views_target_bytes(uint32_t partitions, uint32_t factor)
{
	return 128 + 2ul * partitions * factor;
}

/* `table` has the numbers of `copies` nodes for each partition, the wanted primary first. */
char *views_target_write(char *p, const uint8_t *table, uint32_t partitions, uint32_t copies);
/* *ret_copies and up to partitions * REPLICA_MEMBERS_MAX numbers into `table`. */
int views_target_read(struct span v, uint32_t partitions, uint8_t *table, uint32_t *ret_copies,
		      const char **ret_why);

/* A 64-bit number as 16 hexadecimal digits, and back.  False: it is none. */
void views_id_write(char out[17], uint64_t id);
bool views_id_read(struct span text, uint64_t *ret);

/*
 * A table of first copies: partition p is on `factor` of the `count` nodes, beginning with p's, so
 * that primaries and copies are spread evenly.
 */
void views_table_make(const uint32_t *numbers, uint32_t count, uint32_t partitions, uint32_t factor,
		      uint8_t *table);

#endif
