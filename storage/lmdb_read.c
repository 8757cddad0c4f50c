/* The engine over LMDB: the serving thread's reads. */
#include "storage/engine.h"

#include <errno.h>
#include <stdlib.h>

#include "storage/lmdb_impl.h"

static int item_read(uint64_t bucket, struct span key, const MDB_val *v, struct engine_item *ret)
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
	return item_crc(bucket, ret) == head.crc ? 0 : -EBADMSG;
}

int engine_renew(struct engine *b)
{
	int rc;

	mdb_txn_reset(b->read);
	rc = mdb_txn_renew(b->read);
	if (rc == 0)
		rc = mdb_cursor_renew(b->read, b->get);
	return engine_errno(rc);
}

int engine_get(struct engine *b, uint64_t bucket, struct span key, struct engine_item *ret)
{
	struct key_bytes kb;
	MDB_val k = key_make(&kb, bucket, key);
	MDB_val v;
	int rc = mdb_cursor_get(b->get, &k, &v, MDB_SET);

	if (rc)
		return engine_errno(rc);
	return item_read(bucket, key, &v, ret);
}

int engine_buckets(struct engine *b,
		   int (*row)(void *arg, struct span name, uint64_t id, uint64_t count), void *arg)
{
	MDB_cursor *c;
	MDB_val k;
	MDB_val v;
	int rc = mdb_cursor_open(b->read, b->dbi[DB_DIR], &c);
	int r = 0;

	if (rc)
		return engine_errno(rc);
	for (rc = mdb_cursor_get(c, &k, &v, MDB_FIRST); rc == 0 && r == 0;
	     rc = r ? 0 : mdb_cursor_get(c, &k, &v, MDB_NEXT)) {
		struct dir_row d;

		if (v.mv_size != sizeof(d)) {
			r = -EBADMSG;
			break;
		}
		memcpy(&d, v.mv_data, sizeof(d));
		r = row(arg, (struct span){k.mv_data, k.mv_size}, d.id, d.count);
		if (r)
			break;
	}
	mdb_cursor_close(c);
	return r ? r : rc == MDB_NOTFOUND ? 0 : engine_errno(rc);
}

struct engine_cursor {
	MDB_cursor *c;
	uint64_t bucket;
	bool reverse;
};

int engine_cursor_open(struct engine *b, uint64_t bucket, bool reverse, struct engine_cursor **ret)
{
	struct engine_cursor *c = calloc(1, sizeof(*c));
	int rc;

	if (!c)
		return -ENOMEM;
	rc = mdb_cursor_open(b->read, b->dbi[DB_KEYS], &c->c);
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
	if (k->mv_size < 8 || get_be64(k->mv_data) != c->bucket)
		return -ENOENT;
	return item_read(c->bucket, (struct span){(char *)k->mv_data + 8, k->mv_size - 8}, v, ret);
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

int engine_due(struct engine *b, const struct engine_due *from, uint64_t now_ms,
	       int (*row)(void *arg, const struct engine_due *d), void *arg)
{
	struct key_bytes kb;
	MDB_val k = ttl_key_make(&kb, from->expiry, from->bucket, from->key);
	MDB_val v;
	MDB_cursor *c;
	int rc = mdb_cursor_open(b->read, b->dbi[DB_TTL], &c);
	int r = 0;

	if (rc)
		return engine_errno(rc);
	rc = mdb_cursor_get(c, &k, &v, MDB_SET_RANGE);
	while (rc == 0) {
		struct engine_due d;
		const uint8_t *p = k.mv_data;

		if (k.mv_size < 16 || v.mv_size != 8) {
			r = -EBADMSG;
			break;
		}
		d.expiry = get_be64(p);
		d.bucket = get_be64(p + 8);
		d.key = (struct span){(const char *)p + 16, k.mv_size - 16};
		memcpy(&d.version, v.mv_data, 8);
		if (d.expiry > now_ms)
			break;
		r = row(arg, &d);
		if (r)
			break;
		rc = mdb_cursor_get(c, &k, &v, MDB_NEXT);
	}
	mdb_cursor_close(c);
	return r ? r : rc == MDB_NOTFOUND ? 0 : engine_errno(rc);
}
