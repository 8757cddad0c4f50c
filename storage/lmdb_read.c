/* The engine over LMDB: the serving thread's reads, and what verifies rows. */
#include "storage/engine.h"

#include <stdlib.h>

#include "common/clock.h"
#include "storage/lmdb_impl.h"

/* ---- rows ---- */

int row_read(const MDB_val *k, const MDB_val *v, void *row, size_t size)
{
	uint32_t crc;

	if (v->mv_size != size)
		return -EBADMSG;
	memcpy(row, v->mv_data, size);
	memcpy(&crc, (const char *)row + size - sizeof(crc), sizeof(crc));
	return crc == row_crc(k->mv_data, k->mv_size, row, size) ? 0 : -EBADMSG;
}

int directory_read(const struct engine *e, const MDB_val *k, const MDB_val *v,
		   struct span *ret_name, struct directory_row *ret)
{
	uint32_t partition;
	int r = row_read(k, v, ret, sizeof(*ret));

	if (r < 0)
		return r;
	if (k->mv_size <= PARTITION_KEY_BYTES || k->mv_size > PARTITION_KEY_BYTES + WIRE_BUCKET_MAX)
		return -EBADMSG;
	ret_name->p = (const char *)k->mv_data + PARTITION_KEY_BYTES;
	ret_name->n = k->mv_size - PARTITION_KEY_BYTES;
	partition = get_be16(k->mv_data);
	if (partition >= e->all || partition != ret->id >> PARTITION_SHIFT ||
	    (partition & (e->partitions - 1)) != partition_of(*ret_name, e->partitions))
		return -EBADMSG;
	return 0;
}

int item_head_read(uint64_t bucket, struct span key, const MDB_val *v, struct engine_item *ret)
{
	struct item_head head;

	if (v->mv_size < sizeof(head))
		return -EBADMSG;
	memcpy(&head, v->mv_data, sizeof(head));
	ret->key = key;
	ret->value.p = (const char *)v->mv_data + sizeof(head);
	ret->value.n = v->mv_size - sizeof(head);
	ret->version = head.version;
	ret->expiry = head.expiry;
	return item_head_crc(bucket, ret) == head.head_crc ? 0 : -EBADMSG;
}

int item_read(uint64_t bucket, struct span key, const MDB_val *v, struct engine_item *ret)
{
	struct item_head head;
	int r = item_head_read(bucket, key, v, ret);

	if (r < 0)
		return r;
	memcpy(&head, v->mv_data, sizeof(head));
	return crc32c(head.head_crc, ret->value.p, ret->value.n) == head.crc ? 0 : -EBADMSG;
}

/* A row of the expiry index of a partition that exists. */
static int due_read(const struct engine *e, const MDB_val *k, const MDB_val *v,
		    uint32_t *ret_partition, struct engine_due *ret)
{
	const uint8_t *p = k->mv_data;
	struct ttl_row row;
	int r = k->mv_size > TTL_KEY_BYTES ? row_read(k, v, &row, sizeof(row)) : -EBADMSG;

	if (r < 0)
		return r;
	*ret_partition = get_be16(p);
	ret->expiry = get_be64(p + PARTITION_KEY_BYTES);
	ret->bucket = get_be64(p + PARTITION_KEY_BYTES + 8);
	ret->key = (struct span){(const char *)p + TTL_KEY_BYTES, k->mv_size - TTL_KEY_BYTES};
	ret->version = row.version;
	if (*ret_partition >= e->all || *ret_partition != ret->bucket >> PARTITION_SHIFT)
		return -EBADMSG;
	return 0;
}

/* ---- reading ---- */

uint64_t engine_read_us(const struct engine *e)
{
	return e->read_us;
}

int engine_renew(struct engine *e)
{
	int rc;

	mdb_txn_reset(e->read);
	rc = mdb_txn_renew(e->read);
	e->read_us = clock_us();
	if (rc == 0)
		rc = mdb_cursor_renew(e->read, e->get);
	return engine_errno(rc);
}

int engine_get(struct engine *e, uint64_t bucket, struct span key, struct engine_item *ret)
{
	struct key_bytes kb;
	MDB_val k = key_make(&kb, bucket, key);
	MDB_val v;
	int rc = mdb_cursor_get(e->get, &k, &v, MDB_SET);

	if (rc)
		return engine_errno(rc);
	return item_read(bucket, key, &v, ret);
}

int engine_buckets(struct engine *e,
		   int (*row)(void *arg, struct span name, uint64_t id, uint64_t count), void *arg)
{
	MDB_cursor *c;
	MDB_val k;
	MDB_val v;
	int rc = mdb_cursor_open(e->read, e->dbi[DB_DIRECTORY], &c);
	int r = 0;

	if (rc)
		return engine_errno(rc);
	while (r == 0 && (rc = mdb_cursor_get(c, &k, &v, MDB_NEXT)) == 0) {
		struct directory_row d;
		struct span name;

		r = directory_read(e, &k, &v, &name, &d);
		if (r == 0)
			r = row(arg, name, d.id, d.count);
	}
	mdb_cursor_close(c);
	return r ? r : rc == MDB_NOTFOUND ? 0 : engine_errno(rc);
}

struct engine_cursor {
	MDB_cursor *c;
	uint64_t bucket;
	bool reverse;
};

int engine_cursor_open(struct engine *e, uint64_t bucket, bool reverse, struct engine_cursor **ret)
{
	struct engine_cursor *c = calloc(1, sizeof(*c));
	int rc;

	if (!c)
		return -ENOMEM;
	rc = mdb_cursor_open(e->read, e->dbi[DB_KEYS], &c->c);
	if (rc) {
		free(c);
		return engine_errno(rc);
	}
	c->bucket = bucket;
	c->reverse = reverse;
	*ret = c;
	return 0;
}

void engine_cursor_close(struct engine_cursor **cp)
{
	if (!*cp)
		return;
	mdb_cursor_close((*cp)->c);
	free(*cp);
	*cp = NULL;
}

/* What the cursor stands on, if it is still in the bucket. */
static int cursor_item(struct engine_cursor *c, int rc, const MDB_val *k, const MDB_val *v,
		       struct engine_item *ret)
{
	if (rc)
		return engine_errno(rc);
	if (k->mv_size < BUCKET_KEY_BYTES)
		return -EBADMSG;
	if (get_be64(k->mv_data) != c->bucket)
		return -ENOENT;
	return item_read(
		c->bucket,
		(struct span){(char *)k->mv_data + BUCKET_KEY_BYTES, k->mv_size - BUCKET_KEY_BYTES},
		v, ret);
}

int engine_cursor_seek(struct engine_cursor *c, struct span key, struct engine_item *ret)
{
	struct key_bytes kb;
	MDB_val want = key_make(&kb, c->bucket, key);
	MDB_val k = want;
	MDB_val v;
	int rc;

	if (c->reverse && !key.n) { /* the last key: just before the next bucket */
		want = key_make(&kb, c->bucket + 1, key);
		k = want;
	}
	rc = mdb_cursor_get(c->c, &k, &v, MDB_SET_RANGE);
	if (!c->reverse)
		return cursor_item(c, rc, &k, &v, ret);
	if (rc == MDB_NOTFOUND)
		rc = mdb_cursor_get(c->c, &k, &v, MDB_LAST);
	else if (rc == 0 && (k.mv_size != want.mv_size ||
			     memcmp(k.mv_data, want.mv_data, want.mv_size) != 0 || !key.n))
		rc = mdb_cursor_get(c->c, &k, &v, MDB_PREV);
	return cursor_item(c, rc, &k, &v, ret);
}

int engine_cursor_next(struct engine_cursor *c, struct engine_item *ret)
{
	MDB_val k;
	MDB_val v;
	int rc = mdb_cursor_get(c->c, &k, &v, c->reverse ? MDB_PREV : MDB_NEXT);

	return cursor_item(c, rc, &k, &v, ret);
}

int engine_due(struct engine *e, uint32_t partition, const struct engine_due *from, uint64_t now_ms,
	       int (*row)(void *arg, const struct engine_due *d), void *arg)
{
	struct key_bytes kb;
	MDB_val k = ttl_key_make(&kb, partition, from->expiry, from->bucket, from->key);
	MDB_val v;
	MDB_cursor *c;
	int rc = mdb_cursor_open(e->read, e->dbi[DB_TTL], &c);
	int r = 0;

	if (rc)
		return engine_errno(rc);
	for (rc = mdb_cursor_get(c, &k, &v, MDB_SET_RANGE); rc == 0;
	     rc = mdb_cursor_get(c, &k, &v, MDB_NEXT)) {
		struct engine_due d;
		uint32_t at;

		r = due_read(e, &k, &v, &at, &d);
		if (r < 0 || at != partition || d.expiry > now_ms)
			break;
		r = row(arg, &d);
		if (r)
			break;
	}
	mdb_cursor_close(c);
	return r ? r : rc == MDB_NOTFOUND ? 0 : engine_errno(rc);
}

int engine_due_partition(struct engine *e, uint32_t from, uint32_t *ret_partition,
			 uint64_t *ret_expiry)
{
	static const struct span nothing = {"", 0};
	struct key_bytes kb;
	struct engine_due d;
	uint32_t partition;
	MDB_cursor *c;
	MDB_val k;
	MDB_val v;
	int rc;
	int r;

	if (from >= e->all)
		return -ENOENT;
	rc = mdb_cursor_open(e->read, e->dbi[DB_TTL], &c);
	if (rc)
		return engine_errno(rc);
	k = partition_key_make(&kb, from, nothing);
	r = engine_errno(mdb_cursor_get(c, &k, &v, MDB_SET_RANGE));
	if (r == 0)
		r = due_read(e, &k, &v, &partition, &d);
	mdb_cursor_close(c);
	if (r < 0)
		return r;
	*ret_partition = partition;
	*ret_expiry = d.expiry;
	return 0;
}
