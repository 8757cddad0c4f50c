/* A node that has not joined. */
#include "coordinator/cluster/cluster.h"

#include <stdio.h>

void cluster_explain(const struct conf *conf, char *out, size_t size)
{
	if (conf_in_cluster(conf))
		(void)snprintf(
			out, size,
			"this node has not joined the cluster \"%.63s\": it does not know who "
			"has what of it",
			conf_text(conf, CONF_cluster_name));
	else
		(void)snprintf(out, size,
			       "this node belongs to no cluster: cluster.name is not set");
}
