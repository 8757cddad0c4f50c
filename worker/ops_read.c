/* What the methods that read do: each writes a whole reply into a buffer. */
#include "worker/ops_impl.h"

#include <errno.h>

#include "common/partition.h"
#include "ipc/wire/names.h"
#include "worker/replication.h"

/* Into `out`, which has been emptied.  Returns 0 or the store's error. */
static int read_get(struct worker *w, struct op *op, struct buf *out)
{
	struct store_item item;
	int r = store_get(w->store, &op->key, &item);
	char *p;

	if (r < 0 && r != -ENOENT)
		return r;
	p = buf_room(out, CODEC_REPLY_MAX + (r ? 0 : item.value.n));
	if (!p)
		return -ENOMEM;
	if (r == -ENOENT)
		p = write_nil(write_reply_head(p, op->entry->msgid));
	else
		p = write_value_reply(p, op->entry->msgid, item.value, item.version);
	out->len = (size_t)(p - out->data);
	return 0;
}

static int read_head(struct worker *w, struct op *op, struct buf *out)
{
	struct store_item item;
	int r = store_get(w->store, &op->key, &item);
	char *p = buf_room(out, CODEC_REPLY_MAX + 3 * CODEC_HEAD_MAX);

	if (r < 0 && r != -ENOENT)
		return r;
	if (!p)
		return -ENOMEM;
	p = write_reply_head(p, op->entry->msgid);
	if (r == -ENOENT) {
		p = write_nil(p);
	} else {
		p = write_uint(write_uint(write_array(p, 3), item.value.n), item.version);
		p = item.ttl_ms ? write_uint(p, item.ttl_ms) : write_nil(p);
	}
	out->len = (size_t)(p - out->data);
	return 0;
}

static int read_count(struct worker *w, struct op *op, struct buf *out)
{
	uint64_t n;
	int r = store_count(w->store, &op->key, &n);
	char *p = buf_room(out, CODEC_REPLY_MAX);

	if (r < 0)
		return r;
	if (!p)
		return -ENOMEM;
	out->len = (size_t)(reply_uint(op, p, n) - out->data);
	return 0;
}

/* A list that grows item by item until it is long enough. */
struct list {
	const struct op *op;
	uint32_t limit;
	bool keys_only;
	bool with_ttl;
	struct buf *out;
	uint64_t count;
	size_t begin;
	bool more;
	const struct name_range *range; /* buckets: of names that count; NULL: all do */
	struct replication *led;        /* of partitions that are led; NULL: all are */
	struct span asked;              /* buckets: partitions that count; .n 0: all do */
	uint32_t partitions;
};

/* Begin `{items: [`; the number of items is filled in later. */
static int list_begin(struct list *l, struct op *op, struct buf *out, size_t *ret_count_at)
{
	const struct entry_options *o = op->options;
	char *p = buf_room(out, 64);

	if (!p)
		return -ENOMEM;
	p = write_map(write_reply_head(p, op->entry->msgid), o->given & OPT_PARTITIONS ? 3 : 2);
	p = write_text(p, "items");
	*ret_count_at = (size_t)(p - out->data);
	p = write_array32(p, 0);
	out->len = (size_t)(p - out->data);
	*l = (struct list){.op = op,
			   .limit = o->limit,
			   .keys_only = o->on & OPT_KEYS_ONLY,
			   .with_ttl = o->on & OPT_WITH_TTL,
			   .out = out,
			   .begin = out->len};
	return 0;
}

static int list_end(struct list *l, size_t count_at)
{
	char *p = buf_room(l->out, 16);

	if (!p)
		return -ENOMEM;
	(void)write_array32(l->out->data + count_at, (uint32_t)l->count);
	p = write_bool(write_text(p, "more"), l->more);
	l->out->len = (size_t)(p - l->out->data);
	return 0;
}

/* May an item of `n` more bytes go in?  The first one always may. */
static bool list_takes(struct list *l, size_t n)
{
	if (l->count < l->limit && (!l->count || l->out->len - l->begin + n <= WIRE_SCAN_BYTES_MAX))
		return true;
	l->more = true;
	return false;
}

static bool scan_item(void *arg, const struct store_item *i)
{
	struct list *l = arg;
	size_t n = i->key.n + (l->keys_only ? 0 : i->value.n) + 5 * CODEC_HEAD_MAX;
	char *p;

	if (!list_takes(l, n))
		return false;
	p = buf_room(l->out, n);
	if (!p)
		return false;
	p = write_bin(write_array(p, 3u + l->with_ttl), i->key.p, i->key.n);
	p = l->keys_only ? write_nil(p) : write_bin(p, i->value.p, i->value.n);
	p = write_uint(p, i->version);
	if (l->with_ttl)
		p = i->ttl_ms ? write_uint(p, i->ttl_ms) : write_nil(p);
	l->out->len = (size_t)(p - l->out->data);
	l->count++;
	return true;
}

static int read_scan(struct worker *w, struct op *op, struct buf *out)
{
	const struct entry_options *o = op->options;
	struct store_range range = {
		.prefix = op_span(op, o->prefix),
		.from = op_span(op, o->from),
		.to = op_span(op, o->to),
		.after = op_span(op, o->after),
		.has_to = o->given & OPT_TO,
		.has_after = o->given & OPT_AFTER,
		.reverse = o->on & OPT_REVERSE,
	};
	struct list l;
	size_t count_at;
	int r = list_begin(&l, op, out, &count_at);

	if (r == 0)
		r = store_scan(w->store, &op->key, &range, scan_item, &l);
	if (r == 0 && out->failed)
		r = -ENOMEM;
	return r < 0 ? r : list_end(&l, count_at);
}

static bool partition_listed(const struct list *l, uint32_t partition)
{
	return (!l->asked.n || set_has(l->asked.p, partition)) &&
	       (!l->led || replication_lead(l->led, partition));
}

static bool bucket_name(void *arg, struct span name)
{
	struct list *l = arg;
	const struct entry_options *o = l->op->options;
	struct span prefix = op_span(l->op, o->prefix);
	char *p;

	if (!span_begins(name, prefix))
		return span_compare(name, prefix) < 0;
	if (l->range && !name_in_range(l->range, name))
		return span_compare(name, l->range->begin) < 0;
	if ((o->given & OPT_AFTER) && span_compare(name, op_span(l->op, o->after)) <= 0)
		return true;
	if ((o->given & OPT_SET) && !set_has(op_span(l->op, o->set).p, (uint8_t)name.p[0]))
		return true;
	if (!partition_listed(l, partition_of(name, l->partitions)))
		return true;
	if (!list_takes(l, name.n + CODEC_HEAD_MAX))
		return false;
	p = buf_room(l->out, name.n + CODEC_HEAD_MAX);
	if (!p)
		return false;
	l->out->len = (size_t)(write_bin(p, name.p, name.n) - l->out->data);
	l->count++;
	return true;
}

/* Only those of some ranges, one after the other. */
static void read_ranges(struct worker *w, struct span names, struct span from, struct list *l)
{
	struct name_range r;

	l->range = &r;
	while (!l->more && !l->out->failed && names_next(&names, &r))
		store_buckets(w->store, span_compare(r.begin, from) > 0 ? r.begin : from,
			      bucket_name, l);
	l->range = NULL;
}

/* Whoever asks for partitions is told which of them are in the list: those that are led here. */
static bool listed_write(struct list *l)
{
	char *p = buf_room(l->out, l->asked.n + 32);
	char *set;

	if (!p)
		return false;
	p = write_bin(write_text(p, "partitions"), l->asked.p, l->asked.n);
	set = p - l->asked.n;
	for (uint32_t i = 0; i < l->partitions; i++)
		if (!partition_listed(l, i))
			set_remove(set, i);
	l->out->len = (size_t)(p - l->out->data);
	return true;
}

static int read_buckets(struct worker *w, struct op *op, struct buf *out)
{
	struct span prefix = op_span(op, op->options->prefix);
	struct span after = op_span(op, op->options->after);
	struct span from = span_compare(after, prefix) > 0 ? after : prefix;
	struct list l;
	size_t count_at;
	int r = list_begin(&l, op, out, &count_at);

	if (r < 0)
		return r;
	l.led = op->entry->partition < w->own_first ? w->replication : NULL;
	l.partitions = w->segment->header->settings.partitions;
	if (op->options->given & OPT_PARTITIONS)
		l.asked = op_span(op, op->options->partitions);
	if (!(op->options->given & OPT_NAMES))
		store_buckets(w->store, from, bucket_name, &l);
	else
		read_ranges(w, op_span(op, op->options->names), from, &l);
	r = out->failed ? -ENOMEM : list_end(&l, count_at);
	return r == 0 && l.asked.n && !listed_write(&l) ? -ENOMEM : r;
}

int op_read(struct worker *w, struct op *op, struct buf *out)
{
	out->len = 0;
	out->failed = false;
	switch (op->entry->method) {
	case WIRE_GET:
		return read_get(w, op, out);
	case WIRE_SCAN:
		return read_scan(w, op, out);
	case WIRE_HEAD:
		return read_head(w, op, out);
	case WIRE_COUNT:
		return read_count(w, op, out);
	case WIRE_BUCKETS:
		return read_buckets(w, op, out);
	case WIRE_TXN:
		return op_group_read(w, op, out);
	default:
		return -EINVAL;
	}
}

int op_read_into(struct worker *w, struct op *op, struct buf *out)
{
	int r;
	char *p;

	atomic_store_explicit(&w->status->executing, op_identity(op) + 1, memory_order_relaxed);
	store_begin(w->store, op_identity(op) + 1);
	r = op_read(w, op, out);
	if (r == 0)
		return 0;
	out->len = 0;
	out->failed = false;
	p = buf_room(out, REPLY_SMALL);
	if (!p)
		return -ENOMEM;
	p = op_store_error(w, op, p, r);
	out->len = (size_t)(p - out->data);
	return w->error;
}
