/* From a method and its bucket to the rights that it needs. */
#include "coordinator/front/permission.h"

#include <stdio.h>
#include <string.h>

#include "coordinator/security/rights.h"

/* A txn needs a right for each kind of thing it does; one that does nothing is as one that reads. */
static unsigned txn_lacking(const struct options *o, unsigned has)
{
	unsigned needs =
		(o->writes ? RIGHT_WRITE : 0u) | (o->reads || !o->writes ? RIGHT_READ : 0u);

	return needs & ~has;
}

/* The rights of which one is missing, or 0. */
static unsigned lacking(const struct message *m, const struct request *q, const struct options *o)
{
	unsigned needs = wire_methods[q->method].rights;
	unsigned has;

	if (!needs)
		return 0;
	has = rights_of(m->who, q->bucket);
	if (q->method == WIRE_TXN)
		return txn_lacking(o, has);
	return needs & has ? 0 : needs;
}

enum wire_error permission_check(const struct message *m, const struct request *q,
				 const struct options *o, char *text, size_t size)
{
	char command[32];
	unsigned right;

	/* Another node has judged what its clients may; operators' methods are asked of none. */
	if (m->admin || (m->from_node && !method_is(q->method, METHOD_ADMIN)))
		return WIRE_OK;
	if (m->keys && !m->who) {
		(void)snprintf(text, size, "the key of this client is not known any more");
		return WIRE_E_DENIED;
	}
	if (m->keys) {
		right = lacking(m, q, o);
		if (!right)
			return WIRE_OK;
		if (q->method == WIRE_TXN) /* the first that is missing is named */
			right &= RIGHT_WRITE & right ? RIGHT_WRITE : RIGHT_READ;
		rights_explain(m->who, right, q->bucket, text, size);
		return WIRE_E_DENIED;
	}
	if (!method_is(q->method, METHOD_ADMIN))
		return WIRE_OK;
	(void)snprintf(command, sizeof(command), "%s", wire_methods[q->method].name);
	if (strchr(command, '_')) /* cluster_status: cluster status */
		*strchr(command, '_') = ' ';
	(void)snprintf(text, size,
		       "%s: only through the node's admin socket: pail --config FILE %s",
		       wire_methods[q->method].name, command);
	return WIRE_E_DENIED;
}
