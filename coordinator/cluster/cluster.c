/* A node that has not joined. */
#include "coordinator/cluster/cluster.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void cluster_files_check(struct conf *conf)
{
	static const struct {
		enum conf_key key;
		const char *name;
	} files[] = {
		{CONF_cluster_etcd_ca,       "etcd_ca"      },
		{CONF_cluster_etcd_cert,     "etcd_cert"    },
		{CONF_cluster_etcd_cert_key, "etcd_cert_key"},
		{CONF_cluster_etcd_password, "etcd_password"}
        };

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		const struct conf_value *v = &conf->value[files[i].key];

		if (*v->text && access(v->text, R_OK) < 0)
			conf_error(conf, v->origin, "cluster.%s = %s: %s", files[i].name, v->text,
				   strerror(errno));
	}
}

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
