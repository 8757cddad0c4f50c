/* The engine over LMDB: the checkpoint thread's transactions. */
#include "storage/engine.h"

#include <stdlib.h>

#include "common/fault.h"
#include "storage/lmdb_impl.h"

int engine_begin(struct engine *e)
{
	MDB_stat st;
	int rc;

	check(!e->write);
	rc = mdb_txn_begin(e->env, NULL, 0, &e->write);
	if (rc) {
		e->write = NULL;
		return engine_errno(rc);
	}
	rc = mdb_cursor_open(e->write, e->dbi[DB_KEYS], &e->put);
	if (rc == 0)
		rc = mdb_stat(e->write, e->dbi[DB_TTL], &st);
	if (rc) {
		engine_abort(e);
		return engine_errno(rc);
	}
	e->ttl_any = st.ms_entries > 0;
	return 0;
}

/* What a transaction keeps beside LMDB's own. */
static void txn_end(struct engine *e)
{
	if (e->put)
		mdb_cursor_close(e->put);
	e->put = NULL;
	free(e->value);
	e->value = NULL;
	e->value_room = 0;
}

void engine_abort(struct engine *e)
{
	txn_end(e);
	if (e->write)
		mdb_txn_abort(e->write);
	e->write = NULL;
}

void put_seen(struct engine *e, uint64_t bucket, uint64_t sequence)
{
	uint64_t *highest = &e->highest[id_partition(e, bucket)];

	check(e->write);
	check(sequence && sequence < 1ull << PARTITION_SHIFT);
	if (*highest < sequence)
		*highest = sequence;
}

/* Is everything settled that was put since the last time, as its partition's row says? */
static int parts_check(struct engine *e)
{
	struct engine_part part;

	for (uint32_t p = 0; p < e->all; p++) {
		int r;

		if (!e->highest[p])
			continue;
		r = part_fetch(e, p, &part);
		if (r < 0)
			return r;
		check(part.settled >= e->highest[p]);
	}
	return 0;
}

static int meta_put(struct engine *e, const struct engine_meta *meta)
{
	int r = parts_check(e);

	if (r < 0)
		return r;
	check(meta->settled_lsn >= e->meta.settled_lsn);
	check(meta->clock_ms >= e->meta.clock_ms);
	check(meta->epoch_min >= e->meta.epoch_min);
	return engine_meta_put(e, e->write, meta);
}

int engine_commit(struct engine *e, const struct engine_meta *meta)
{
	int r = fault_at("base.commit");
	bool tails;

	check(e->write && e->put);
	if (r == 0 && meta)
		r = meta_put(e, meta);
	if (r < 0) {
		engine_abort(e);
		return r;
	}
	txn_end(e);
	engine_measure(e, e->write);
	tails = engine_tails_in(e, e->write);
	r = engine_errno(mdb_txn_commit(e->write));
	e->write = NULL;
	if (r == 0)
		e->tails = tails;
	if (r == 0 && meta) {
		e->meta = *meta;
		memset(e->highest, 0, e->all * sizeof(*e->highest));
	}
	return r;
}

/* ---- items ---- */

/* The row of the expiry index that belongs to an item which is about to go or to be replaced. */
static int ttl_drop(struct engine *e, uint64_t bucket, const struct engine_item *old)
{
	struct key_bytes kb;
	MDB_val k;
	int rc;

	if (!old->expiry)
		return 0;
	k = ttl_key_make(&kb, id_partition(e, bucket), old->expiry, bucket, old->key);
	rc = mdb_del(e->write, e->dbi[DB_TTL], &k, NULL);
	return rc == MDB_NOTFOUND ? 0 : engine_errno(rc);
}

static int ttl_put(struct engine *e, uint64_t bucket, const struct engine_item *item)
{
	struct ttl_row row = {item->version, 0};
	struct key_bytes kb;
	MDB_val v = {sizeof(row), &row};
	MDB_val k;

	if (!item->expiry)
		return 0;
	e->ttl_any = true;
	k = ttl_key_make(&kb, id_partition(e, bucket), item->expiry, bucket, item->key);
	row.crc = row_crc(k.mv_data, k.mv_size, &row, sizeof(row));
	return engine_errno(mdb_put(e->write, e->dbi[DB_TTL], &k, &v, 0));
}

/* Write item and row, whatever there was before. */
static int item_put(struct engine *e, uint64_t bucket, const struct engine_item *item)
{
	struct item_head head = {item->version, item->expiry, item_head_crc(bucket, item), 0};
	struct key_bytes kb;
	MDB_val k = key_make(&kb, bucket, item->key);
	MDB_val v = {sizeof(head) + item->value.n, NULL};
	int rc;

	head.crc = crc32c(head.head_crc, item->value.p, item->value.n);
	rc = mdb_cursor_put(e->put, &k, &v, MDB_RESERVE);
	if (rc)
		return engine_errno(rc);
	memcpy(v.mv_data, &head, sizeof(head));
	if (item->value.n)
		memcpy((char *)v.mv_data + sizeof(head), item->value.p, item->value.n);
	return ttl_put(e, bucket, item);
}

/* Have the put cursor on an item, its head verified.  Returns 0, -ENOENT or an error. */
static int item_find(struct engine *e, uint64_t bucket, struct span key, MDB_val *ret,
		     struct engine_item *ret_old)
{
	struct key_bytes kb;
	MDB_val k = key_make(&kb, bucket, key);
	int rc = mdb_cursor_get(e->put, &k, ret, MDB_SET);

	return rc ? engine_errno(rc) : item_head_read(bucket, key, ret, ret_old);
}

int engine_put(struct engine *e, uint64_t bucket, const struct engine_item *item)
{
	struct engine_item old;
	MDB_val v;
	int r = 0;

	put_seen(e, bucket, item->version);
	if (e->ttl_any) {
		r = item_find(e, bucket, item->key, &v, &old);
		check(r || item->version >= old.version); /* equal: done again */
		if (r == 0)
			r = ttl_drop(e, bucket, &old);
	}
	return r == 0 || r == -ENOENT ? item_put(e, bucket, item) : r;
}

int engine_delete(struct engine *e, uint64_t bucket, struct span key)
{
	struct engine_item old;
	MDB_val v;
	int r;

	check(e->write);
	r = item_find(e, bucket, key, &v, &old);
	if (r == 0)
		r = ttl_drop(e, bucket, &old);
	if (r == 0)
		r = engine_errno(mdb_cursor_del(e->put, 0));
	return r == -ENOENT ? 0 : r;
}

/* A value as it is in base is gone with the first change of the transaction: copy it. */
static int value_copy(struct engine *e, struct span *value)
{
	if (value->n > e->value_room) {
		char *room = realloc(e->value, value->n);

		if (!room)
			return -ENOMEM;
		e->value = room;
		e->value_room = value->n;
	}
	if (value->n)
		memcpy(e->value, value->p, value->n);
	value->p = e->value;
	return 0;
}

int engine_touch(struct engine *e, uint64_t bucket, struct span key, uint64_t version,
		 uint64_t expiry, uint64_t *ret_bytes)
{
	struct engine_item item;
	MDB_val v;
	int r;

	put_seen(e, bucket, version);
	r = item_find(e, bucket, key, &v, &item);
	if (r == 0)
		r = item_read(bucket, key, &v, &item);
	if (r == 0)
		r = value_copy(e, &item.value);
	if (r == 0)
		r = ttl_drop(e, bucket, &item);
	if (r < 0)
		return r;
	check(version >= item.version); /* equal: a checkpoint that was cut short is done again */
	item.version = version;
	item.expiry = expiry;
	*ret_bytes = item.value.n;
	return item_put(e, bucket, &item);
}

/* ---- buckets ---- */

/* The row of a name; -ENOENT: none. */
static int directory_get(struct engine *e, MDB_val k, struct directory_row *ret)
{
	struct span name;
	MDB_val v;
	int rc = mdb_get(e->write, e->dbi[DB_DIRECTORY], &k, &v);

	return rc ? engine_errno(rc) : directory_read(e, &k, &v, &name, ret);
}

int engine_bucket_add(struct engine *e, struct span name, uint64_t id, int64_t delta, bool create)
{
	struct directory_row row = {id, 0, 0, 0};
	struct directory_row have;
	struct key_bytes kb;
	MDB_val v = {sizeof(row), &row};
	MDB_val k;
	int r;

	check(name.n && name.n <= WIRE_BUCKET_MAX);
	check((id_partition(e, id) & (e->partitions - 1)) == partition_of(name, e->partitions));
	k = partition_key_make(&kb, id_partition(e, id), name);
	r = directory_get(e, k, &have);
	if (r < 0 && r != -ENOENT)
		return r;
	if (r == 0 && have.id == id)
		row = have;
	else if (!create)
		return 0; /* dropped, and its name may be another's by now */
	put_seen(e, id, id & ((1ull << PARTITION_SHIFT) - 1));
	row.count += (uint64_t)delta;
	check((int64_t)row.count >= 0);
	row.crc = row_crc(k.mv_data, k.mv_size, &row, sizeof(row));
	return engine_errno(mdb_put(e->write, e->dbi[DB_DIRECTORY], &k, &v, 0));
}

int engine_bucket_drop(struct engine *e, struct span name, uint64_t id)
{
	struct directory_row have;
	struct drop_row row;
	struct key_bytes kb;
	uint8_t idb[8];
	MDB_val v = {sizeof(row), &row};
	MDB_val k;
	int r;

	check(name.n && name.n <= WIRE_BUCKET_MAX);
	check((id_partition(e, id) & (e->partitions - 1)) == partition_of(name, e->partitions));
	k = partition_key_make(&kb, id_partition(e, id), name);
	r = directory_get(e, k, &have);
	if (r == 0 && have.id == id)
		r = engine_errno(mdb_del(e->write, e->dbi[DB_DIRECTORY], &k, NULL));
	if (r < 0 && r != -ENOENT)
		return r;
	put_be64(idb, id);
	row.crc = row_crc(idb, sizeof(idb), &row, sizeof(row));
	k = (MDB_val){sizeof(idb), idb};
	return engine_errno(mdb_put(e->write, e->dbi[DB_DROPS], &k, &v, 0));
}

/* The first dropped bucket whose keys are still there.  -ENOENT: none. */
static int drop_first(struct engine *e, uint64_t *ret_id)
{
	struct drop_row row;
	MDB_cursor *c;
	MDB_val k;
	MDB_val v;
	int rc = mdb_cursor_open(e->write, e->dbi[DB_DROPS], &c);

	if (rc)
		return engine_errno(rc);
	rc = mdb_cursor_get(c, &k, &v, MDB_FIRST);
	if (rc == 0 && (k.mv_size != 8 || v.mv_size != sizeof(row)))
		rc = MDB_CORRUPTED;
	if (rc == 0) {
		memcpy(&row, v.mv_data, sizeof(row));
		*ret_id = get_be64(k.mv_data);
		if (row.crc != row_crc(k.mv_data, k.mv_size, &row, sizeof(row)) ||
		    *ret_id >> PARTITION_SHIFT >= e->all)
			rc = MDB_CORRUPTED;
	}
	mdb_cursor_close(c);
	return engine_errno(rc);
}

/* Have the put cursor on the first key of a bucket that is left.  -ENOENT: none. */
static int purge_seek(struct engine *e, uint64_t id, MDB_val *ret_k, MDB_val *ret_v)
{
	static const struct span nothing = {"", 0};
	struct key_bytes kb;
	int rc;

	*ret_k = key_make(&kb, id, nothing);
	rc = mdb_cursor_get(e->put, ret_k, ret_v, MDB_SET_RANGE);
	return engine_errno(rc);
}

/* Delete what the put cursor stands on, and go on to what is behind it. */
static int purge_key(struct engine *e, uint64_t id, MDB_val *k, MDB_val *v)
{
	struct engine_item old;
	struct span key = {(char *)k->mv_data + BUCKET_KEY_BYTES, k->mv_size - BUCKET_KEY_BYTES};
	int r = 0;
	int rc;

	/* Of a head that is damaged the row is not known: it stays, and is nobody's. */
	if (e->ttl_any && item_head_read(id, key, v, &old) == 0)
		r = ttl_drop(e, id, &old);
	if (r < 0)
		return r;
	rc = mdb_cursor_del(e->put, 0);
	if (rc == 0)
		rc = mdb_cursor_get(e->put, k, v, MDB_GET_CURRENT);
	/* Behind the page's last key GET_CURRENT fails; look again from the bucket's begin. */
	if (rc == EINVAL || rc == MDB_NOTFOUND)
		return purge_seek(e, id, k, v);
	return engine_errno(rc);
}

int engine_purge(struct engine *e, unsigned max)
{
	unsigned n = 0;
	uint8_t idb[8];
	uint64_t id = 0;
	MDB_val k;
	MDB_val v;
	int r = fault_at("base.purge");

	if (r == 0)
		r = drop_first(e, &id);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	r = purge_seek(e, id, &k, &v);
	for (; r == 0 && n < max && k.mv_size >= BUCKET_KEY_BYTES && get_be64(k.mv_data) == id; n++)
		r = purge_key(e, id, &k, &v);
	if (r < 0 && r != -ENOENT)
		return r;
	if (n < max) {
		put_be64(idb, id);
		k = (MDB_val){sizeof(idb), idb};
		r = engine_errno(mdb_del(e->write, e->dbi[DB_DROPS], &k, NULL));
		if (r < 0)
			return r;
		n++;
	}
	return (int)n;
}
