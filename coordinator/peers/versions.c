/* What to do comes first in these texts: a long one may be cut. */
#include "coordinator/peers/versions.h"

#include <stdio.h>
#include <string.h>

#include "common/buf.h"
#include "common/config/config.h"
#include "coordinator/node/node.h"
#include "include/wire.h"

void versions_print(struct peer_versions v, char *out, size_t size)
{
	if (v.min == v.max)
		(void)snprintf(out, size, "%llu", (unsigned long long)v.min);
	else
		(void)snprintf(out, size, "%llu to %llu", (unsigned long long)v.min,
			       (unsigned long long)v.max);
}

void versions_explain(const struct node *node, const struct peer_message *h, char *out, size_t size)
{
	const struct peer_versions ours = node->peer_versions;
	const char *self = conf_text(node->conf, CONF_node_name);
	char other[4 * PEER_MESSAGE_NODE_MAX + 1];
	char version[4 * PEER_MESSAGE_NODE_MAX + 1];
	char our_range[VERSIONS_TEXT_MAX];
	char range[VERSIONS_TEXT_MAX];

	(void)buf_printable(other, sizeof(other), h->node.p, h->node.n);
	(void)buf_printable(version, sizeof(version), h->version.p, h->version.n);
	versions_print(ours, our_range, sizeof(our_range));
	versions_print(h->versions, range, sizeof(range));
	if (!h->versions.max)
		(void)snprintf(
			out, size,
			"upgrade \"%.63s\": it is of an older version, Pail %.24s, that tells "
			"no versions of the protocol between nodes; \"%.63s\", Pail %s, "
			"speaks %s",
			other, version, self, WIRE_VERSION, our_range);
	else
		(void)snprintf(out, size,
			       "upgrade \"%.63s\": no version of the protocol between nodes is "
			       "common: \"%.63s\", Pail %.24s, speaks %s; \"%.63s\", Pail %s, "
			       "speaks %s",
			       h->versions.max < ours.min ? other : self, other, version, range,
			       self, WIRE_VERSION, our_range);
}
