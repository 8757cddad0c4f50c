/* The engine over LMDB: how far each partition is settled, and what is set aside of its log. */
#include "storage/engine.h"

#include <stdatomic.h>

#include "storage/lmdb_impl.h"

/* ---- how far each is ---- */

#define COPY_ROW_MAX \
	(sizeof(struct copy_row) + sizeof(struct log_span) * LOG_SPANS_MAX + sizeof(struct row_end))

/* One that has copies elsewhere. */
static int copy_read(const MDB_val *k, const MDB_val *v, struct log_spans *spans,
		     struct engine_part *ret)
{
	const char *p = v->mv_data;
	struct copy_row row;
	struct row_end end;

	if (v->mv_size < sizeof(row) + sizeof(end) || v->mv_size > COPY_ROW_MAX)
		return -EBADMSG;
	memcpy(&row, p, sizeof(row));
	memcpy(&end, p + v->mv_size - sizeof(end), sizeof(end));
	if (end.crc != row_crc(k->mv_data, k->mv_size, p, v->mv_size) || row.broken > 1 ||
	    v->mv_size != sizeof(row) + row.spans * sizeof(struct log_span) + sizeof(end))
		return -EBADMSG;
	spans->count = row.spans;
	memcpy(spans->at, p + sizeof(row), row.spans * sizeof(struct log_span));
	*ret = (struct engine_part){.settled = row.settled,
				    .clock_ms = row.clock_ms,
				    .load_lsn = row.load_lsn,
				    .broken = row.broken,
				    .spans = spans};
	return spans_are_sane(spans) ? 0 : -EBADMSG;
}

static int plain_read(const MDB_val *k, const MDB_val *v, struct engine_part *ret)
{
	struct part_row row;
	int r = row_read(k, v, &row, sizeof(row));

	if (r == 0 && row.zero)
		r = -EPROTO;
	if (r == 0)
		*ret = (struct engine_part){.settled = row.settled, .clock_ms = row.clock_ms};
	return r;
}

int part_read(const struct engine *e, struct log_spans *spans, const MDB_val *k, const MDB_val *v,
	      uint32_t *ret_partition, struct engine_part *ret)
{
	int r;

	if (k->mv_size != PARTITION_KEY_BYTES || get_be16(k->mv_data) >= e->all)
		return -EBADMSG;
	r = v->mv_size == sizeof(struct part_row) ? plain_read(k, v, ret)
						  : copy_read(k, v, spans, ret);
	if (r == 0)
		*ret_partition = get_be16(k->mv_data);
	return r;
}

int engine_parts(struct engine *e,
		 int (*row)(void *arg, uint32_t partition, const struct engine_part *part),
		 void *arg)
{
	MDB_cursor *c;
	MDB_val k;
	MDB_val v;
	int rc = mdb_cursor_open(e->read, e->dbi[DB_PARTS], &c);
	int r = 0;

	if (rc)
		return engine_errno(rc);
	while (r == 0 && (rc = mdb_cursor_get(c, &k, &v, MDB_NEXT)) == 0) {
		struct engine_part part;
		struct log_spans spans;
		uint32_t partition;

		r = part_read(e, &spans, &k, &v, &partition, &part);
		if (r == 0)
			r = row(arg, partition, &part);
	}
	mdb_cursor_close(c);
	return r ? r : rc == MDB_NOTFOUND ? 0 : engine_errno(rc);
}

int part_fetch(struct engine *e, uint32_t partition, struct engine_part *ret)
{
	static const struct span nothing = {"", 0};
	struct log_spans spans;
	struct key_bytes kb;
	MDB_val k = partition_key_make(&kb, partition, nothing);
	MDB_val v;
	int rc = mdb_get(e->write, e->dbi[DB_PARTS], &k, &v);
	int r = 0;

	*ret = (struct engine_part){0};
	if (rc == 0)
		r = part_read(e, &spans, &k, &v, &partition, ret);
	ret->spans = NULL; /* they were only looked at */
	return rc == 0 ? r : rc == MDB_NOTFOUND ? 0 : engine_errno(rc);
}

static int plain_put(struct engine *e, MDB_val k, const struct engine_part *part)
{
	struct part_row row = {part->settled, part->clock_ms, 0, 0};
	MDB_val v = {sizeof(row), &row};

	row.crc = row_crc(k.mv_data, k.mv_size, &row, sizeof(row));
	return engine_errno(mdb_put(e->write, e->dbi[DB_PARTS], &k, &v, 0));
}

static int copy_put(struct engine *e, MDB_val k, const struct engine_part *part)
{
	const struct copy_row row = {part->settled, part->clock_ms, part->load_lsn, part->broken,
				     part->spans->count};
	size_t size = row.spans * sizeof(struct log_span);
	struct row_end end = {0, 0};
	char bytes[COPY_ROW_MAX];
	MDB_val v = {sizeof(row) + size + sizeof(end), bytes};

	check(spans_are_sane(part->spans));
	memcpy(bytes, &row, sizeof(row));
	memcpy(bytes + sizeof(row), part->spans->at, size);
	memcpy(bytes + sizeof(row) + size, &end, sizeof(end));
	end.crc = row_crc(k.mv_data, k.mv_size, bytes, v.mv_size);
	memcpy(bytes + sizeof(row) + size, &end, sizeof(end));
	return engine_errno(mdb_put(e->write, e->dbi[DB_PARTS], &k, &v, 0));
}

int engine_part_put(struct engine *e, uint32_t partition, const struct engine_part *part)
{
	static const struct span nothing = {"", 0};
	struct engine_part have;
	struct key_bytes kb;
	MDB_val k;
	int r;

	check(e->write && partition < e->all);
	r = part_fetch(e, partition, &have);
	if (r < 0)
		return r;
	check(part->load_lsn >= have.load_lsn);
	check(part->broken || part->settled >= have.settled);
	check(part->broken || part->clock_ms >= have.clock_ms);
	k = partition_key_make(&kb, partition, nothing);
	return part->spans ? copy_put(e, k, part) : plain_put(e, k, part);
}

/* ---- what is set aside ---- */

static MDB_val tail_key_make(struct key_bytes *k, uint32_t partition, uint64_t sequence)
{
	put_be16(k->data, partition);
	put_be64(k->data + PARTITION_KEY_BYTES, sequence);
	k->n = TAIL_KEY_BYTES;
	return (MDB_val){k->n, k->data};
}

int tail_read(const struct engine *e, const MDB_val *k, const MDB_val *v, struct buf *room,
	      const struct log_entry **ret)
{
	const struct log_entry *x;
	const uint8_t *p = k->mv_data;
	const char *why;

	room->len = 0;
	buf_add(room, v->mv_data, v->mv_size);
	if (room->failed)
		return -ENOMEM;
	x = (const struct log_entry *)room->data;

	if (k->mv_size != TAIL_KEY_BYTES || log_entry_check_sent(x, v->mv_size, &why) < 0 ||
	    x->size != v->mv_size || x->partition >= e->all || x->partition != get_be16(p) ||
	    x->sequence != get_be64(p + PARTITION_KEY_BYTES))
		return -EBADMSG;
	*ret = x;
	return 0;
}

bool engine_tails_in(const struct engine *e, MDB_txn *txn)
{
	MDB_stat st;

	return mdb_stat(txn, e->dbi[DB_TAIL], &st) == 0 && st.ms_entries > 0;
}

bool engine_has_tails(const struct engine *e)
{
	return atomic_load(&e->tails);
}

int engine_tails(struct engine *e, int (*row)(void *arg, const struct log_entry *x), void *arg)
{
	const struct log_entry *x;
	struct buf room;
	MDB_cursor *c;
	MDB_txn *txn;
	MDB_val k;
	MDB_val v;
	int rc;
	int r = 0;

	if (!engine_has_tails(e))
		return 0;
	rc = mdb_txn_begin(e->env, NULL, MDB_RDONLY, &txn);
	if (rc)
		return engine_errno(rc);
	buf_init(&room);
	rc = mdb_cursor_open(txn, e->dbi[DB_TAIL], &c);
	if (rc == 0) {
		while (r == 0 && (rc = mdb_cursor_get(c, &k, &v, MDB_NEXT)) == 0) {
			r = tail_read(e, &k, &v, &room, &x);
			if (r == 0)
				r = row(arg, x);
		}
		mdb_cursor_close(c);
	}
	buf_fini(&room);
	mdb_txn_abort(txn);
	return r ? r : rc == MDB_NOTFOUND ? 0 : engine_errno(rc);
}

int engine_tail_put(struct engine *e, const struct log_entry *x)
{
	struct key_bytes kb;
	MDB_val k = tail_key_make(&kb, x->partition, x->sequence);
	MDB_val v = {x->size, (void *)(uintptr_t)x};

	check(e->write && x->count && x->partition < e->all);
	return engine_errno(mdb_put(e->write, e->dbi[DB_TAIL], &k, &v, 0));
}

int engine_tail_delete(struct engine *e, uint32_t partition, uint64_t sequence)
{
	struct key_bytes kb;
	MDB_val k = tail_key_make(&kb, partition, sequence);
	int rc;

	check(e->write && partition < e->all);
	rc = mdb_del(e->write, e->dbi[DB_TAIL], &k, NULL);
	return rc == MDB_NOTFOUND ? 0 : engine_errno(rc);
}
