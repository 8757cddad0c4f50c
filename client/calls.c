/* Futures, and one call a method, over pail_submit. */
#include <stdlib.h>

#include "client/client.h"

struct pail_future {
	struct pail *p;
	struct pail_result *result; /* NULL: none yet, or no memory for it */
	bool done;
	bool orphan; /* nobody waits for it any more */
};

static void future_done(void *arg, const struct pail_result *r)
{
	struct pail_future *f = arg;

	if (f->orphan) {
		free(f); /* it holds the connection no more */
		return;
	}
	f->result = result_copy(r);
	f->done = true;
}

int pail_async(struct pail *p, const struct pail_request *q, struct pail_future **ret)
{
	struct pail_future *f = calloc(1, sizeof(*f));
	int r;

	*ret = NULL;
	if (!f) {
		(void)client_fail(p, PAIL_NO_MEMORY, "no memory");
		return PAIL_NO_MEMORY;
	}
	f->p = p;
	r = pail_submit(p, q, future_done, f);
	if (r != PAIL_OK) {
		free(f);
		return r;
	}
	p->holds++;
	*ret = f;
	return PAIL_OK;
}

bool pail_future_done(const struct pail_future *f)
{
	return f->done;
}

/* One future less leads to the connection. */
static void future_forget(struct pail *p)
{
	p->holds--;
	client_release(p);
}

void pail_future_free(struct pail_future **fp)
{
	struct pail_future *f = *fp;

	if (!f)
		return;
	*fp = NULL;
	future_forget(f->p);
	if (!f->done) {
		f->orphan = true;
		return;
	}
	pail_result_free(&f->result);
	free(f);
}

int pail_await(struct pail_future **fp, struct pail_result **ret)
{
	struct pail_future *f = *fp;
	struct pail *p = f->p;
	int status;

	*ret = NULL;
	if (!f->done && p->inside)
		return client_fail(p, PAIL_BUSY, "a callback cannot wait");
	/* Every request has a deadline, so this ends. */
	while (!f->done)
		(void)pail_wait(p, -1);
	*fp = NULL;
	*ret = f->result;
	free(f);
	status = *ret ? (*ret)->status : PAIL_NO_MEMORY;
	if (status != PAIL_OK)
		(void)client_fail(p, status, *ret ? (*ret)->text : "no memory");
	future_forget(p);
	return status;
}

int pail_call(struct pail *p, const struct pail_request *q, struct pail_result **ret)
{
	struct pail_future *f;
	int r;

	*ret = NULL;
	if (p->inside)
		return client_fail(p, PAIL_BUSY, "a callback cannot wait");
	r = pail_async(p, q, &f);
	return r == PAIL_OK ? pail_await(&f, ret) : r;
}

/* ---- one call a method ---- */

/* Call and keep nothing but what the pointers want. */
static int call_plain(struct pail *p, const struct pail_request *q, bool *ret_yes,
		      uint64_t *ret_number)
{
	struct pail_result *result = NULL;
	int r = pail_call(p, q, &result);

	if (r == PAIL_OK && ret_yes)
		*ret_yes = result->yes;
	if (r == PAIL_OK && ret_number)
		*ret_number = result->number;
	pail_result_free(&result);
	return r;
}

/* Call and hand the result over only if all went well. */
static int call_result(struct pail *p, const struct pail_request *q, struct pail_result **ret)
{
	int r = pail_call(p, q, ret);

	if (r != PAIL_OK)
		pail_result_free(ret);
	return r;
}

static struct pail_request request(enum pail_method m, const struct pail_request *options)
{
	struct pail_request q = {.size = sizeof(q)};

	if (options)
		(void)struct_take(&q, sizeof(q), options); /* if not: pail_submit refuses it */
	q.method = m;
	return q;
}

int pail_ping(struct pail *p)
{
	struct pail_request q = request(PAIL_PING, NULL);

	return call_plain(p, &q, NULL, NULL);
}

int pail_create(struct pail *p, struct pail_bytes bucket, bool *ret_created)
{
	struct pail_request q = request(PAIL_CREATE, NULL);

	q.bucket = bucket;
	return call_plain(p, &q, ret_created, NULL);
}

int pail_drop(struct pail *p, struct pail_bytes bucket, bool *ret_dropped)
{
	struct pail_request q = request(PAIL_DROP, NULL);

	q.bucket = bucket;
	return call_plain(p, &q, ret_dropped, NULL);
}

int pail_put(struct pail *p, struct pail_bytes bucket, struct pail_bytes key,
	     struct pail_bytes value, const struct pail_request *options, uint64_t *ret_version)
{
	struct pail_request q = request(PAIL_PUT, options);

	q.bucket = bucket;
	q.key = key;
	q.value = value;
	return call_plain(p, &q, NULL, ret_version);
}

int pail_get(struct pail *p, struct pail_bytes bucket, struct pail_bytes key,
	     struct pail_result **ret)
{
	struct pail_request q = request(PAIL_GET, NULL);

	q.bucket = bucket;
	q.key = key;
	return call_result(p, &q, ret);
}

int pail_head(struct pail *p, struct pail_bytes bucket, struct pail_bytes key,
	      struct pail_result **ret)
{
	struct pail_request q = request(PAIL_HEAD, NULL);

	q.bucket = bucket;
	q.key = key;
	return call_result(p, &q, ret);
}

int pail_touch(struct pail *p, struct pail_bytes bucket, struct pail_bytes key,
	       const struct pail_request *options, uint64_t *ret_version)
{
	struct pail_request q = request(PAIL_TOUCH, options);

	q.bucket = bucket;
	q.key = key;
	return call_plain(p, &q, NULL, ret_version);
}

int pail_delete(struct pail *p, struct pail_bytes bucket, struct pail_bytes key,
		const struct pail_request *options, bool *ret_deleted)
{
	struct pail_request q = request(PAIL_DELETE, options);

	q.bucket = bucket;
	q.key = key;
	return call_plain(p, &q, ret_deleted, NULL);
}

int pail_scan(struct pail *p, struct pail_bytes bucket, const struct pail_request *range,
	      struct pail_result **ret)
{
	struct pail_request q = request(PAIL_SCAN, range);

	q.bucket = bucket;
	return call_result(p, &q, ret);
}

int pail_buckets(struct pail *p, const struct pail_request *range, struct pail_result **ret)
{
	struct pail_request q = request(PAIL_BUCKETS, range);

	return call_result(p, &q, ret);
}

int pail_count(struct pail *p, struct pail_bytes bucket, uint64_t *ret)
{
	struct pail_request q = request(PAIL_COUNT, NULL);

	q.bucket = bucket;
	return call_plain(p, &q, NULL, ret);
}

int pail_txn_run(struct pail *p, struct pail_bytes bucket, const struct pail_txn *t,
		 struct pail_result **ret)
{
	struct pail_request q = request(PAIL_TXN, NULL);

	q.bucket = bucket;
	q.txn = t;
	return call_result(p, &q, ret);
}

int pail_function(struct pail *p, struct pail_bytes bucket, struct pail_bytes module,
		  struct pail_bytes function, struct pail_bytes args, struct pail_result **ret)
{
	struct pail_request q = request(PAIL_CALL, NULL);

	q.bucket = bucket;
	q.module = module;
	q.function = function;
	q.args = args;
	return call_result(p, &q, ret);
}

int pail_route(struct pail *p, struct pail_bytes bucket, struct pail_result **ret)
{
	struct pail_request q = request(PAIL_ROUTE, NULL);

	q.bucket = bucket;
	return call_result(p, &q, ret);
}

int pail_hello(struct pail *p, struct pail_result **ret)
{
	struct pail_request q = request(PAIL_HELLO, NULL);

	return call_result(p, &q, ret);
}

int pail_node_status(struct pail *p, struct pail_result **ret)
{
	struct pail_request q = request(PAIL_STATUS, NULL);

	return call_result(p, &q, ret);
}

int pail_reload(struct pail *p, struct pail_result **ret)
{
	struct pail_request q = request(PAIL_RELOAD, NULL);

	return call_result(p, &q, ret);
}

int pail_worker(struct pail *p, const char *action, uint32_t worker, struct pail_result **ret)
{
	struct pail_request q = request(PAIL_WORKER, NULL);

	q.action = action;
	q.worker = worker;
	return call_result(p, &q, ret);
}

int pail_upgrade(struct pail *p, struct pail_result **ret)
{
	struct pail_request q = request(PAIL_UPGRADE, NULL);

	return call_result(p, &q, ret);
}

int pail_functions(struct pail *p, struct pail_result **ret)
{
	struct pail_request q = request(PAIL_FUNCTIONS, NULL);

	return call_result(p, &q, ret);
}

/* ---- the cluster ---- */

static struct pail_bytes text_bytes(const char *s)
{
	return (struct pail_bytes){s, strlen(s)};
}

/* Call `m` with what is in `a`, which is freed. */
static int call_parameters(struct pail *p, enum pail_method m, struct pail_args *a,
			   struct pail_result **ret)
{
	struct pail_request q = request(m, NULL);
	int r;

	q.args = pail_args_packed(a);
	if (!q.args.data)
		r = client_fail(p, PAIL_BAD_ARGUMENT, pail_args_why(a));
	else
		r = call_result(p, &q, ret);
	pail_args_free(&a);
	return r;
}

int pail_cluster_create(struct pail *p, const char *const *nodes, size_t count, uint32_t factor,
			uint32_t min_copies, const char *keep, struct pail_result **ret)
{
	struct pail_args *a;

	*ret = NULL;
	if (pail_args_new(&a) != PAIL_OK)
		return client_fail(p, PAIL_NO_MEMORY, "no memory");
	(void)pail_args_list(a);
	for (size_t i = 0; i < count; i++)
		(void)pail_args_bytes(a, text_bytes(nodes[i]));
	(void)pail_args_end(a);
	(void)pail_args_integer(a, factor);
	(void)pail_args_integer(a, min_copies);
	(void)pail_args_bytes(a, text_bytes(keep ? keep : ""));
	return call_parameters(p, PAIL_CLUSTER_CREATE, a, ret);
}

int pail_cluster_status(struct pail *p, struct pail_result **ret)
{
	struct pail_request q = request(PAIL_CLUSTER_STATUS, NULL);

	return call_result(p, &q, ret);
}

int pail_cluster_drain(struct pail *p, const char *node, bool on, struct pail_result **ret)
{
	struct pail_args *a;

	*ret = NULL;
	if (pail_args_new(&a) != PAIL_OK)
		return client_fail(p, PAIL_NO_MEMORY, "no memory");
	(void)pail_args_bytes(a, text_bytes(node));
	(void)pail_args_bool(a, on);
	return call_parameters(p, PAIL_CLUSTER_DRAIN, a, ret);
}

int pail_metrics(struct pail *p, struct pail_result **ret)
{
	struct pail_request q = request(PAIL_METRICS, NULL);

	return call_result(p, &q, ret);
}

int pail_events(struct pail *p, uint64_t after, uint32_t limit, struct pail_result **ret)
{
	struct pail_args *a;

	*ret = NULL;
	if (after > INT64_MAX)
		after = INT64_MAX; /* no node has told so many */
	if (pail_args_new(&a) != PAIL_OK)
		return client_fail(p, PAIL_NO_MEMORY, "no memory");
	(void)pail_args_integer(a, (int64_t)after);
	(void)pail_args_integer(a, limit);
	return call_parameters(p, PAIL_EVENTS, a, ret);
}
