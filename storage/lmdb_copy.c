/* The engine over LMDB: a partition as a whole. */
#include "storage/engine_copy.h"

#include <stdlib.h>

#include "common/fault.h"
#include "storage/lmdb_impl.h"

static const struct span nothing = {"", 0};

/* ---- reading ---- */

struct engine_copy {
	struct engine *e;
	uint32_t partition;
	MDB_txn *txn;
	MDB_cursor *directory;
	MDB_cursor *keys;
	MDB_cursor *sessions;
	MDB_cursor *tail;
	uint64_t bucket; /* the one that was told last */
	bool in_bucket;  /* some of its items have been */
	bool in_directory;
	bool in_sessions;
	bool in_tail;
	struct buf entry;
};

void engine_copy_close(struct engine_copy **cp)
{
	struct engine_copy *c = *cp;

	if (!c)
		return;
	if (c->directory)
		mdb_cursor_close(c->directory);
	if (c->keys)
		mdb_cursor_close(c->keys);
	if (c->sessions)
		mdb_cursor_close(c->sessions);
	if (c->tail)
		mdb_cursor_close(c->tail);
	if (c->txn)
		mdb_txn_abort(c->txn);
	buf_fini(&c->entry);
	free(c);
	*cp = NULL;
}

static int part_of(struct engine_copy *c, struct engine_part *ret, struct log_spans *ret_spans)
{
	struct engine_part part = {0};
	struct log_spans spans = {.count = 0};
	struct key_bytes kb;
	uint32_t partition;
	MDB_val k = partition_key_make(&kb, c->partition, nothing);
	MDB_val v;
	int rc = mdb_get(c->txn, c->e->dbi[DB_PARTS], &k, &v);
	int r = 0;

	if (rc == 0)
		r = part_read(c->e, &spans, &k, &v, &partition, &part);
	else if (rc != MDB_NOTFOUND)
		r = engine_errno(rc);
	if (r < 0)
		return r;
	if (!part.spans && part.settled) /* before there were copies */
		spans_add(&spans, 0, 1, part.settled);
	*ret_spans = spans;
	*ret = part;
	ret->spans = ret_spans;
	return 0;
}

int engine_copy_open(struct engine *e, uint32_t partition, struct engine_copy **ret,
		     struct engine_part *ret_part, struct log_spans *ret_spans)
{
	struct engine_copy *c = calloc(1, sizeof(*c));
	int rc;
	int r;

	if (!c)
		return -ENOMEM;
	c->e = e;
	c->partition = partition;
	buf_init(&c->entry);
	rc = mdb_txn_begin(e->env, NULL, MDB_RDONLY, &c->txn);
	if (rc == 0)
		rc = mdb_cursor_open(c->txn, e->dbi[DB_DIRECTORY], &c->directory);
	if (rc == 0)
		rc = mdb_cursor_open(c->txn, e->dbi[DB_KEYS], &c->keys);
	if (rc == 0)
		rc = mdb_cursor_open(c->txn, e->dbi[DB_SESSIONS], &c->sessions);
	if (rc == 0)
		rc = mdb_cursor_open(c->txn, e->dbi[DB_TAIL], &c->tail);
	r = rc ? engine_errno(rc) : part_of(c, ret_part, ret_spans);
	if (r < 0)
		engine_copy_close(&c);
	else
		*ret = c;
	return r;
}

/* The next row of a sub-database whose keys begin with the partition.  -ENOENT: there are no more. */
static int row_next(struct engine_copy *c, MDB_cursor *at, bool *in, MDB_val *k, MDB_val *v)
{
	struct key_bytes kb;
	int rc;

	if (!*in)
		*k = partition_key_make(&kb, c->partition, nothing);
	rc = mdb_cursor_get(at, k, v, *in ? MDB_NEXT : MDB_SET_RANGE);
	*in = true;
	if (rc)
		return engine_errno(rc);
	if (k->mv_size < PARTITION_KEY_BYTES)
		return -EBADMSG;
	return get_be16(k->mv_data) == c->partition ? 0 : -ENOENT;
}

int engine_copy_bucket(struct engine_copy *c, struct span *ret_name, uint64_t *ret_id,
		       uint64_t *ret_count)
{
	struct directory_row row;
	MDB_val k;
	MDB_val v;
	int r = row_next(c, c->directory, &c->in_directory, &k, &v);

	if (r == 0)
		r = directory_read(c->e, &k, &v, ret_name, &row);
	if (r < 0)
		return r;
	*ret_id = row.id;
	*ret_count = row.count;
	c->bucket = row.id;
	c->in_bucket = false;
	return 0;
}

int engine_copy_item(struct engine_copy *c, struct engine_item *ret)
{
	struct key_bytes kb;
	struct span key;
	MDB_val k;
	MDB_val v;
	int rc;

	if (!c->in_bucket)
		k = key_make(&kb, c->bucket, nothing);
	rc = mdb_cursor_get(c->keys, &k, &v, c->in_bucket ? MDB_NEXT : MDB_SET_RANGE);
	c->in_bucket = true;
	if (rc)
		return engine_errno(rc);
	if (k.mv_size < BUCKET_KEY_BYTES)
		return -EBADMSG;
	if (get_be64(k.mv_data) != c->bucket)
		return -ENOENT;
	key = (struct span){(char *)k.mv_data + BUCKET_KEY_BYTES, k.mv_size - BUCKET_KEY_BYTES};
	return item_read(c->bucket, key, &v, ret);
}

int engine_copy_session(struct engine_copy *c, struct engine_session_row *ret)
{
	MDB_val k;
	MDB_val v;
	int r = row_next(c, c->sessions, &c->in_sessions, &k, &v);

	*ret = (struct engine_session_row){.made_ms = 0};
	return r < 0 ? r : session_row_read(c->e, &k, &v, ret);
}

int engine_copy_tail(struct engine_copy *c, const struct log_entry **ret)
{
	MDB_val k;
	MDB_val v;
	int r = row_next(c, c->tail, &c->in_tail, &k, &v);

	return r < 0 ? r : tail_read(c->e, &k, &v, &c->entry, ret);
}

void engine_copy_tail_again(struct engine_copy *c)
{
	c->in_tail = false;
}

/* ---- writing ---- */

struct wipe {
	struct engine *e;
	unsigned left;
	uint64_t bytes_left;
};

/* Delete the rows of a sub-database whose keys begin with these bytes. */
static int rows_wipe(struct wipe *w, int db, const uint8_t *from, size_t from_size,
		     uint32_t partition, bool by_id)
{
	MDB_cursor *c;
	MDB_val k;
	MDB_val v;
	int rc = mdb_cursor_open(w->e->write, w->e->dbi[db], &c);

	if (rc)
		return engine_errno(rc);
	while (w->left && w->bytes_left) {
		k = (MDB_val){from_size, (void *)(uintptr_t)from};
		rc = mdb_cursor_get(c, &k, &v, MDB_SET_RANGE);
		if (rc == 0 && k.mv_size < from_size)
			rc = MDB_CORRUPTED;
		if (rc || (by_id ? (uint32_t)(get_be64(k.mv_data) >> PARTITION_SHIFT)
				 : get_be16(k.mv_data)) != partition)
			break;
		w->bytes_left -= v.mv_size < w->bytes_left ? v.mv_size : w->bytes_left;
		rc = mdb_cursor_del(c, 0);
		if (rc)
			break;
		w->left--;
	}
	mdb_cursor_close(c);
	return rc == MDB_NOTFOUND ? 0 : engine_errno(rc);
}

int engine_void(struct engine *e, uint32_t partition, uint64_t load_lsn)
{
	static const struct log_spans none = {.count = 0};
	const struct engine_part part = {.load_lsn = load_lsn, .broken = true, .spans = &none};
	struct wipe w = {e, UINT32_MAX, UINT64_MAX};
	uint8_t from[PARTITION_KEY_BYTES];
	int r = fault_at("base.void");

	check(e->write && partition < e->all);
	put_be16(from, partition);
	if (r == 0)
		r = rows_wipe(&w, DB_TAIL, from, sizeof(from), partition, false);
	if (r == 0)
		r = engine_part_put(e, partition, &part);
	engine_put_void(e, partition);
	return r;
}

int engine_wipe(struct engine *e, uint32_t partition, unsigned max, uint64_t max_bytes)
{
	static const int by_id[] = {DB_KEYS, DB_DROPS};
	static const int by_partition[] = {DB_TTL, DB_DIRECTORY, DB_SESSIONS};
	struct wipe w = {e, max, max_bytes};
	uint8_t from[8];
	int r = fault_at("base.wipe");

	check(e->write && partition < e->all);
	put_be64(from, (uint64_t)partition << PARTITION_SHIFT);
	for (unsigned i = 0; i < 2 && r == 0; i++)
		r = rows_wipe(&w, by_id[i], from, sizeof(from), partition, true);
	put_be16(from, partition);
	for (unsigned i = 0; i < 3 && r == 0; i++)
		r = rows_wipe(&w, by_partition[i], from, PARTITION_KEY_BYTES, partition, false);
	return r < 0 ? r : (int)(max - w.left);
}

void engine_put_void(struct engine *e, uint32_t partition)
{
	e->highest[partition] = 0;
}
