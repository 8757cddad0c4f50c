/* The engine over LMDB: the checkpoint thread's transactions. */
#include "storage/engine.h"

#include <errno.h>

#include "common/fault.h"
#include "storage/lmdb_impl.h"

int engine_begin(struct engine *b)
{
	MDB_stat st;
	int rc;

	check(!b->write);
	rc = mdb_txn_begin(b->env, NULL, 0, &b->write);
	if (rc) {
		b->write = NULL;
		return engine_errno(rc);
	}
	rc = mdb_cursor_open(b->write, b->dbi[DB_KEYS], &b->put);
	if (rc == 0)
		rc = mdb_stat(b->write, b->dbi[DB_TTL], &st);
	if (rc) {
		engine_abort(b);
		return engine_errno(rc);
	}
	b->ttl_any = st.ms_entries > 0;
	return 0;
}

void engine_abort(struct engine *b)
{
	if (b->put)
		mdb_cursor_close(b->put);
	b->put = NULL;
	if (b->write)
		mdb_txn_abort(b->write);
	b->write = NULL;
}

int engine_commit(struct engine *b, const struct engine_meta *meta)
{
	int rc = 0;
	int f = fault_at("base.commit");

	check(b->write && b->put);

	if (f < 0) {
		engine_abort(b);
		return f;
	}
	if (meta) {
		struct meta_row row = {BASE_FORMAT, 0, *meta};
		MDB_val key = meta_key();
		MDB_val val = {sizeof(row), &row};

		row.crc = crc32c(row.format, &row.meta, sizeof(row.meta));
		rc = mdb_put(b->write, b->dbi[DB_META], &key, &val, 0);
	}
	if (rc) {
		engine_abort(b);
		return engine_errno(rc);
	}
	mdb_cursor_close(b->put);
	b->put = NULL;
	engine_measure(b, b->write);
	rc = mdb_txn_commit(b->write);
	b->write = NULL;
	if (rc == 0 && meta)
		b->meta = *meta;
	return engine_errno(rc);
}

/* The row of the expiry index that belongs to the item which the put cursor stands on. */
static int ttl_drop(struct engine *b, uint64_t bucket, struct span key, const MDB_val *old)
{
	struct item_head head;
	struct key_bytes kb;
	MDB_val k;
	int rc;

	if (old->mv_size < sizeof(head))
		return -EBADMSG;
	memcpy(&head, old->mv_data, sizeof(head));
	if (!head.expiry)
		return 0;
	k = ttl_key_make(&kb, head.expiry, bucket, key);
	rc = mdb_del(b->write, b->dbi[DB_TTL], &k, NULL);
	return rc == MDB_NOTFOUND ? 0 : engine_errno(rc);
}

int engine_put(struct engine *b, uint64_t bucket, const struct engine_item *item)
{
	struct item_head head = {item->version, item->expiry, item_crc(bucket, item), 0};
	struct key_bytes kb;
	struct key_bytes tb;
	MDB_val k = key_make(&kb, bucket, item->key);
	MDB_val v = {sizeof(head) + item->value.n, NULL};
	MDB_val old;
	int rc;

	if (b->ttl_any) {
		rc = mdb_cursor_get(b->put, &k, &old, MDB_SET);
		if (rc == 0) {
			int r = ttl_drop(b, bucket, item->key, &old);

			if (r < 0)
				return r;
		} else if (rc != MDB_NOTFOUND) {
			return engine_errno(rc);
		}
		k = (MDB_val){kb.n, kb.data};
	}
	rc = mdb_cursor_put(b->put, &k, &v, MDB_RESERVE);
	if (rc)
		return engine_errno(rc);
	memcpy(v.mv_data, &head, sizeof(head));
	if (item->value.n)
		memcpy((char *)v.mv_data + sizeof(head), item->value.p, item->value.n);
	if (item->expiry) {
		uint64_t version = item->version;
		MDB_val tk = ttl_key_make(&tb, item->expiry, bucket, item->key);
		MDB_val tv = {sizeof(version), &version};

		b->ttl_any = true;
		rc = mdb_put(b->write, b->dbi[DB_TTL], &tk, &tv, 0);
	}
	return engine_errno(rc);
}

int engine_delete(struct engine *b, uint64_t bucket, struct span key)
{
	struct key_bytes kb;
	MDB_val k = key_make(&kb, bucket, key);
	MDB_val old;
	int rc = mdb_cursor_get(b->put, &k, &old, MDB_SET);
	int r;

	if (rc)
		return rc == MDB_NOTFOUND ? 0 : engine_errno(rc);
	r = b->ttl_any ? ttl_drop(b, bucket, key, &old) : 0;
	if (r < 0)
		return r;
	return engine_errno(mdb_cursor_del(b->put, 0));
}

int engine_bucket_add(struct engine *b, struct span name, uint64_t id, int64_t delta, bool create)
{
	struct dir_row d = {id, 0};
	char copy[WIRE_BUCKET_MAX];
	MDB_val k = {name.n, copy};
	MDB_val v;
	int rc;

	check(name.n <= sizeof(copy));
	memcpy(copy, name.p, name.n);
	rc = mdb_get(b->write, b->dbi[DB_DIR], &k, &v);
	if (rc == 0 && v.mv_size == sizeof(d)) {
		struct dir_row have;

		memcpy(&have, v.mv_data, sizeof(have));
		if (have.id == id)
			d = have;
		else if (!create)
			return 0; /* of an earlier bucket of that name */
	} else if (rc == 0) {
		return -EBADMSG;
	} else if (rc != MDB_NOTFOUND) {
		return engine_errno(rc);
	} else if (!create) {
		return 0;
	}
	d.count += (uint64_t)delta;
	v = (MDB_val){sizeof(d), &d};
	return engine_errno(mdb_put(b->write, b->dbi[DB_DIR], &k, &v, 0));
}

int engine_bucket_drop(struct engine *b, struct span name, uint64_t id)
{
	struct dir_row have;
	char copy[WIRE_BUCKET_MAX];
	uint8_t idb[8];
	MDB_val k = {name.n, copy};
	MDB_val v;
	int rc;

	check(name.n <= sizeof(copy));
	memcpy(copy, name.p, name.n);
	rc = mdb_get(b->write, b->dbi[DB_DIR], &k, &v);
	if (rc == 0 && v.mv_size == sizeof(have)) {
		memcpy(&have, v.mv_data, sizeof(have));
		if (have.id == id)
			rc = mdb_del(b->write, b->dbi[DB_DIR], &k, NULL);
	}
	if (rc && rc != MDB_NOTFOUND)
		return engine_errno(rc);
	put_be64(idb, id);
	k = (MDB_val){sizeof(idb), idb};
	v = (MDB_val){0, NULL};
	return engine_errno(mdb_put(b->write, b->dbi[DB_DROPS], &k, &v, 0));
}

int engine_purge(struct engine *b, unsigned max)
{
	uint8_t idb[8];
	MDB_val none = {0, NULL};
	MDB_val k = none;
	MDB_val v;
	MDB_cursor *c;
	unsigned n = 0;
	uint64_t id;
	int r = 0;
	int f = fault_at("base.purge");
	int rc = f < 0 ? -f : mdb_cursor_open(b->write, b->dbi[DB_DROPS], &c);

	if (rc)
		return engine_errno(rc);
	rc = mdb_cursor_get(c, &k, &v, MDB_FIRST);
	id = rc == 0 && k.mv_size == 8 ? get_be64(k.mv_data) : 0;
	mdb_cursor_close(c);
	if (rc)
		return rc == MDB_NOTFOUND ? 0 : engine_errno(rc);
	put_be64(idb, id);
	k = (MDB_val){8, idb};
	rc = mdb_cursor_get(b->put, &k, &v, MDB_SET_RANGE);
	while (rc == 0 && r == 0 && n < max && k.mv_size >= 8 && get_be64(k.mv_data) == id) {
		if (b->ttl_any)
			r = ttl_drop(b, id, (struct span){(char *)k.mv_data + 8, k.mv_size - 8},
				     &v);
		if (r == 0)
			rc = mdb_cursor_del(b->put, 0);
		n++;
		if (r == 0 && rc == 0)
			rc = mdb_cursor_get(b->put, &k, &v, MDB_GET_CURRENT);
		/* Behind the page's last key GET_CURRENT fails; look again from the bucket's begin.
		 */
		if (rc == EINVAL || rc == MDB_NOTFOUND) {
			k = (MDB_val){8, idb};
			rc = mdb_cursor_get(b->put, &k, &v, MDB_SET_RANGE);
		}
	}
	if (r < 0 || (rc && rc != MDB_NOTFOUND))
		return r < 0 ? r : engine_errno(rc);
	if (n < max) {
		k = (MDB_val){8, idb};
		rc = mdb_del(b->write, b->dbi[DB_DROPS], &k, NULL);
		if (rc)
			return engine_errno(rc);
		n++;
	}
	return (int)n;
}
