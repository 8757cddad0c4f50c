/* Requests to bytes. */
#include "client/client.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define ACTION_MAX 64u

/* Nobody has data of such a size; sums of those below do not wrap. */
static bool is_sane(struct pail_bytes b)
{
	return b.size <= UINT32_MAX / 16 && (b.data || !b.size);
}

/* No bytes behind the last field, which a field to come would find set to anything. */
#define HAS_NO_TAIL(type, last)                                                                \
	_Static_assert(sizeof(struct type) ==                                                  \
			       offsetof(struct type, last) + sizeof(((struct type *)0)->last), \
		       "a tail")
HAS_NO_TAIL(pail_request, args);
HAS_NO_TAIL(pail_options, context);

bool struct_take(void *ret, size_t ours, const void *given)
{
	const char *more = given;
	size_t size;

	memcpy(&size, given, sizeof(size));
	memset(ret, 0, ours);
	if (size <= sizeof(size))
		return false;
	for (size_t i = ours; i < size; i++)
		if (more[i])
			return false;
	memcpy(ret, given, size < ours ? size : ours);
	memcpy(ret, &ours, sizeof(ours));
	return true;
}

/* Whether they are one whole array: whatever bytes a program gives, others' requests stay readable. */
static bool is_array(struct pail_bytes b)
{
	const char *end = (const char *)b.data + b.size;
	const char *next;

	return read_whole(b.data, end, &next) && next == end && read_type(b.data) == TYPE_ARRAY;
}

/* Its parameters are all of `args`. */
static bool takes_parameters(const struct pail_request *q)
{
	return q->method == PAIL_CLUSTER_CREATE || q->method == PAIL_CLUSTER_DRAIN ||
	       q->method == PAIL_EVENTS;
}

static int call_refuse(const struct pail_request *q, const char **ret_why)
{
	if (!is_sane(q->module) || !is_sane(q->function) || !is_sane(q->args)) {
		*ret_why = "call: bytes without data, or more than any node takes";
		return q->args.size > UINT32_MAX / 16 ? PAIL_TOO_LARGE : PAIL_BAD_ARGUMENT;
	}
	if (!q->args.data || is_array(q->args))
		return PAIL_OK;
	*ret_why = "call: the arguments are no MessagePack array";
	return PAIL_BAD_ARGUMENT;
}

int request_refuse(const struct pail_request *q, const char **ret_why)
{
	if (q->size != sizeof(*q)) {
		*ret_why =
			"a request's size is not set, or it has a field that this libpail, older "
			"than the program, does not know";
		return PAIL_BAD_ARGUMENT;
	}
	if ((unsigned)q->method >= WIRE_METHOD_COUNT) {
		*ret_why = "there is no such method";
		return PAIL_UNKNOWN_METHOD;
	}
	if (q->method == PAIL_WORKER && (!q->action || strlen(q->action) > ACTION_MAX)) {
		*ret_why = "worker: action must be restart, start or stop";
		return PAIL_BAD_ARGUMENT;
	}
	if (!is_sane(q->bucket) || !is_sane(q->key) || !is_sane(q->value) || !is_sane(q->prefix) ||
	    !is_sane(q->from) || !is_sane(q->to) || !is_sane(q->after)) {
		*ret_why = "bytes without data, or more than any node takes";
		return q->value.size > UINT32_MAX / 16 ? PAIL_TOO_LARGE : PAIL_BAD_ARGUMENT;
	}
	if (q->method == PAIL_TXN)
		return txn_refuse(q->txn, ret_why);
	if (takes_parameters(q) && (!is_sane(q->args) || !q->args.data || !is_array(q->args))) {
		*ret_why = "the parameters of an operators' method are no MessagePack array";
		return PAIL_BAD_ARGUMENT;
	}
	return q->method == PAIL_CALL ? call_refuse(q, ret_why) : PAIL_OK;
}

size_t request_size(const struct pail_request *q)
{
	size_t n =
		256 + q->bucket.size + q->prefix.size + q->from.size + q->to.size + q->after.size;

	if (method_is((int)q->method, METHOD_KEY))
		n += q->key.size;
	if (q->method == PAIL_PUT)
		n += q->value.size;
	if (q->method == PAIL_WORKER)
		n += strlen(q->action);
	if (q->method == PAIL_TXN)
		n += txn_size(q->txn);
	if (q->method == PAIL_CALL)
		n += q->module.size + q->function.size + q->args.size;
	if (takes_parameters(q))
		n += q->args.size;
	return n;
}

static char *option_uint(char *p, const char *name, uint64_t v)
{
	return write_uint(write_text(p, name), v);
}

static char *option_true(char *p, const char *name)
{
	return write_bool(write_text(p, name), true);
}

static char *option_bytes(char *p, const char *name, struct pail_bytes b)
{
	return write_bin(write_text(p, name), b.data, b.size);
}

char *options_write(char *p, const struct pail_request *q, uint32_t timeout_ms, uint32_t *ret_count)
{
	const unsigned takes = wire_methods[q->method].options;
	uint32_t n = 0;

	if (timeout_ms != WIRE_TIMEOUT_MS)
		p = option_uint(p, "timeout", timeout_ms), n++;
	if ((takes & OPT_IF_VERSION) && q->has_if_version)
		p = option_uint(p, "if_version", q->if_version), n++;
	if ((takes & OPT_IF_ABSENT) && q->if_absent)
		p = option_true(p, "if_absent"), n++;
	if ((takes & OPT_TTL) && q->ttl_ms)
		p = option_uint(p, "ttl", q->ttl_ms), n++;
	if ((takes & OPT_PREFIX) && q->prefix.data)
		p = option_bytes(p, "prefix", q->prefix), n++;
	if ((takes & OPT_FROM) && q->from.data)
		p = option_bytes(p, "from", q->from), n++;
	if ((takes & OPT_TO) && q->to.data)
		p = option_bytes(p, "to", q->to), n++;
	if ((takes & OPT_AFTER) && q->after.data)
		p = option_bytes(p, "after", q->after), n++;
	if ((takes & OPT_LIMIT) && q->limit)
		p = option_uint(p, "limit", q->limit), n++;
	if ((takes & OPT_REVERSE) && q->reverse)
		p = option_true(p, "reverse"), n++;
	if ((takes & OPT_KEYS_ONLY) && q->keys_only)
		p = option_true(p, "keys_only"), n++;
	if ((takes & OPT_WITH_TTL) && q->with_ttl)
		p = option_true(p, "ttl"), n++;
	if ((takes & OPT_LOCAL) && q->local)
		p = option_true(p, "local"), n++;
	if (q->method == PAIL_TXN)
		p = txn_write(p, q->txn, &n);
	*ret_count = n;
	return p;
}

static bool has_options(const struct pail_request *q, uint32_t timeout_ms)
{
	return timeout_ms != WIRE_TIMEOUT_MS || q->has_if_version || q->if_absent || q->ttl_ms ||
	       q->prefix.data || q->from.data || q->to.data || q->after.data || q->limit ||
	       q->reverse || q->keys_only || q->with_ttl || q->local || q->method == PAIL_TXN;
}

/* Module, function, arguments. */
static char *call_write(char *p, const struct pail_request *q)
{
	p = write_bin(p, q->module.data, q->module.size);
	p = write_bin(p, q->function.data, q->function.size);
	if (!q->args.data)
		return write_array(p, 0);
	memcpy(p, q->args.data, q->args.size);
	return p + q->args.size;
}

/* How many values `args` has, and where they begin. */
static uint32_t args_count(const struct pail_request *q, const char **ret_first)
{
	*ret_first = q->args.data;
	return read_array(ret_first);
}

/* How many parameters it has besides its options. */
static uint32_t params_count(const struct pail_request *q)
{
	const char *first;

	if (takes_parameters(q))
		return args_count(q, &first);
	return (uint32_t)method_is((int)q->method, METHOD_BUCKET) +
	       (uint32_t)method_is((int)q->method, METHOD_KEY) + (uint32_t)(q->method == PAIL_PUT) +
	       (q->method == PAIL_WORKER ? 2u : 0u) + (q->method == PAIL_CALL ? 3u : 0u);
}

static char *params_write(char *p, const struct pail_request *q)
{
	if (method_is((int)q->method, METHOD_BUCKET))
		p = write_bin(p, q->bucket.data, q->bucket.size);
	if (method_is((int)q->method, METHOD_KEY))
		p = write_bin(p, q->key.data, q->key.size);
	if (q->method == PAIL_PUT)
		p = write_bin(p, q->value.data, q->value.size);
	if (q->method == PAIL_WORKER)
		p = write_uint(write_text(p, q->action), q->worker);
	if (q->method == PAIL_CALL)
		p = call_write(p, q);
	if (takes_parameters(q)) {
		const char *first;
		size_t n;

		(void)args_count(q, &first);
		n = q->args.size - (size_t)(first - (const char *)q->args.data);
		memcpy(p, first, n);
		p += n;
	}
	return p;
}

char *request_write(char *p, uint64_t msgid, const struct pail_request *q, uint32_t timeout_ms)
{
	bool options = has_options(q, timeout_ms);
	uint32_t n;
	char *map;

	p = write_request_head(p, msgid, (enum wire_method)q->method,
			       params_count(q) + (uint32_t)options);
	p = params_write(p, q);
	if (!options)
		return p;
	map = p;
	p = options_write(map + 1, q, timeout_ms, &n);
	(void)write_map(map, n); /* at most 14: one byte */
	return p;
}

/* ---- requests that are encoded once and sent as often as it must be ---- */

bool form_make(struct form *ret, const struct pail_request *q)
{
	char *data = malloc(request_size(q));
	char *p;

	if (!data)
		return false;
	p = params_write(data, q);
	*ret = (struct form){.data = data,
			     .params_size = (size_t)(p - data),
			     .params = params_count(q),
			     .method = (uint8_t)q->method};
	p = options_write(p, q, WIRE_TIMEOUT_MS, &ret->options);
	ret->size = (size_t)(p - data);
	return true;
}

bool form_take(struct form *ret, int method, uint32_t params, const void *data, size_t size)
{
	char *copy = malloc(size + 1);

	if (!copy)
		return false;
	if (size)
		memcpy(copy, data, size);
	*ret = (struct form){.data = copy,
			     .params_size = size,
			     .size = size,
			     .params = params,
			     .method = (uint8_t)method};
	return true;
}

size_t form_size(const struct form *m)
{
	return m->size + 128;
}

char *form_write(char *p, uint64_t msgid, const struct form *m, const struct once *once,
		 uint32_t timeout_ms)
{
	bool timed = timeout_ms != WIRE_TIMEOUT_MS;
	uint32_t n = m->options + (uint32_t)timed + (once ? 3u : 0u);

	p = write_request_head(p, msgid, (enum wire_method)m->method, m->params + (n ? 1u : 0u));
	memcpy(p, m->data, m->params_size);
	p += m->params_size;
	if (!n)
		return p;
	p = write_map(p, n);
	if (timed)
		p = option_uint(p, "timeout", timeout_ms);
	if (once) {
		p = write_bin(write_text(p, "session"), once->session, WIRE_SESSION_BYTES);
		p = option_uint(option_uint(p, "seq", once->seq), "ack", once->ack);
	}
	memcpy(p, m->data + m->params_size, m->size - m->params_size);
	return p + (m->size - m->params_size);
}
