/* The engine over LMDB: what is kept of sessions. */
#include "storage/engine.h"

#include "storage/lmdb_impl.h"

/* ---- rows ---- */

static MDB_val session_key(struct key_bytes *k, uint32_t partition, const uint8_t id[16])
{
	return partition_key_make(k, partition, (struct span){(const char *)id, 16});
}

static MDB_val outcome_key(struct key_bytes *k, uint32_t partition, const uint8_t id[16],
			   uint64_t number)
{
	(void)session_key(k, partition, id);
	put_be64(k->data + SESSION_KEY_BYTES, number);
	k->n = OUTCOME_KEY_BYTES;
	return (MDB_val){k->n, k->data};
}

static uint32_t outcome_crc(const MDB_val *k, const struct outcome_head *head, struct span result)
{
	return crc32c(row_crc(k->mv_data, k->mv_size, head, sizeof(*head)), result.p, result.n);
}

static int outcome_read(const MDB_val *k, const MDB_val *v, struct engine_outcome *ret)
{
	struct outcome_head head;

	if (v->mv_size < sizeof(head))
		return -EBADMSG;
	memcpy(&head, v->mv_data, sizeof(head));
	ret->number = get_be64((const uint8_t *)k->mv_data + SESSION_KEY_BYTES);
	ret->fingerprint = head.fingerprint;
	ret->sequence = head.sequence;
	ret->ruled_out = head.ruled_out != 0;
	ret->result.p = (const char *)v->mv_data + sizeof(head);
	ret->result.n = v->mv_size - sizeof(head);
	return head.ruled_out <= 1 && head.crc == outcome_crc(k, &head, ret->result) ? 0 : -EBADMSG;
}

/* What it is, its key says by its length. */
int session_row_read(const struct engine *e, const MDB_val *k, const MDB_val *v,
		     struct engine_session_row *ret)
{
	const uint8_t *p = k->mv_data;
	struct forgotten_row forgotten;
	struct floor_row floor;
	int r;

	if (k->mv_size < PARTITION_KEY_BYTES || get_be16(p) >= e->all)
		return -EBADMSG;
	ret->partition = get_be16(p);
	if (k->mv_size >= SESSION_KEY_BYTES)
		memcpy(ret->id, p + PARTITION_KEY_BYTES, sizeof(ret->id));
	switch (k->mv_size) {
	case PARTITION_KEY_BYTES:
		ret->kind = ENGINE_FORGOTTEN;
		r = row_read(k, v, &forgotten, sizeof(forgotten));
		ret->made_ms = r < 0 ? 0 : forgotten.made_ms;
		return r;
	case SESSION_KEY_BYTES:
		ret->kind = ENGINE_FLOOR;
		r = row_read(k, v, &floor, sizeof(floor));
		ret->floor = r < 0 ? 0 : floor.floor;
		return r;
	case OUTCOME_KEY_BYTES:
		ret->kind = ENGINE_OUTCOME;
		return outcome_read(k, v, &ret->outcome);
	default:
		return -EBADMSG;
	}
}

int engine_sessions(struct engine *e, int (*row)(void *arg, const struct engine_session_row *r),
		    void *arg)
{
	MDB_cursor *c;
	MDB_val k;
	MDB_val v;
	int rc = mdb_cursor_open(e->read, e->dbi[DB_SESSIONS], &c);
	int r = 0;

	if (rc)
		return engine_errno(rc);
	while (r == 0 && (rc = mdb_cursor_get(c, &k, &v, MDB_NEXT)) == 0) {
		struct engine_session_row x = {.made_ms = 0};

		r = session_row_read(e, &k, &v, &x);
		if (r == 0)
			r = row(arg, &x);
	}
	mdb_cursor_close(c);
	return r ? r : rc == MDB_NOTFOUND ? 0 : engine_errno(rc);
}

/* ---- writing ---- */

/* Outcomes of a session go up to that of the number `last`. */
static int outcomes_delete(struct engine *e, uint32_t partition, const uint8_t id[16],
			   uint64_t last)
{
	struct key_bytes kb;
	MDB_cursor *c;
	MDB_val first;
	MDB_val k;
	MDB_val v;
	int rc = mdb_cursor_open(e->write, e->dbi[DB_SESSIONS], &c);

	if (rc)
		return engine_errno(rc);
	first = outcome_key(&kb, partition, id, 0);
	for (;;) {
		k = first;
		rc = mdb_cursor_get(c, &k, &v, MDB_SET_RANGE);
		if (rc || k.mv_size != OUTCOME_KEY_BYTES ||
		    memcmp(k.mv_data, first.mv_data, SESSION_KEY_BYTES) != 0 ||
		    get_be64((const uint8_t *)k.mv_data + SESSION_KEY_BYTES) > last)
			break;
		rc = mdb_cursor_del(c, 0);
		if (rc)
			break;
	}
	mdb_cursor_close(c);
	return rc == MDB_NOTFOUND ? 0 : engine_errno(rc);
}

int engine_session_put(struct engine *e, uint32_t partition, const uint8_t id[16], uint64_t floor)
{
	struct floor_row row = {floor, 0, 0};
	struct key_bytes kb;
	MDB_val v = {sizeof(row), &row};
	MDB_val k;
	int rc;

	check(e->write && partition < e->all);
	k = session_key(&kb, partition, id);
	row.crc = row_crc(k.mv_data, k.mv_size, &row, sizeof(row));
	rc = mdb_put(e->write, e->dbi[DB_SESSIONS], &k, &v, 0);
	return rc || !floor ? engine_errno(rc) : outcomes_delete(e, partition, id, floor - 1);
}

int engine_outcome_put(struct engine *e, uint32_t partition, const uint8_t id[16],
		       const struct engine_outcome *o)
{
	struct outcome_head head = {o->fingerprint, o->sequence, o->ruled_out, 0};
	struct key_bytes kb;
	MDB_val v = {sizeof(head) + o->result.n, NULL};
	MDB_val k;
	int rc;

	check(partition < e->all);
	put_seen(e, (uint64_t)partition << PARTITION_SHIFT, o->sequence);
	k = outcome_key(&kb, partition, id, o->number);
	head.crc = outcome_crc(&k, &head, o->result);
	rc = mdb_put(e->write, e->dbi[DB_SESSIONS], &k, &v, MDB_RESERVE);
	if (rc)
		return engine_errno(rc);
	memcpy(v.mv_data, &head, sizeof(head));
	if (o->result.n)
		memcpy((char *)v.mv_data + sizeof(head), o->result.p, o->result.n);
	return 0;
}

int engine_session_delete(struct engine *e, uint32_t partition, const uint8_t id[16])
{
	struct key_bytes kb;
	MDB_val k;
	int rc;

	check(e->write && partition < e->all);
	k = session_key(&kb, partition, id);
	rc = mdb_del(e->write, e->dbi[DB_SESSIONS], &k, NULL);
	if (rc && rc != MDB_NOTFOUND)
		return engine_errno(rc);
	return outcomes_delete(e, partition, id, UINT64_MAX);
}

int engine_forgotten_put(struct engine *e, uint32_t partition, uint64_t made_ms)
{
	static const struct span nothing = {"", 0};
	struct forgotten_row row = {made_ms, 0, 0};
	struct key_bytes kb;
	MDB_val v = {sizeof(row), &row};
	MDB_val k;

	check(e->write && partition < e->all);
	k = partition_key_make(&kb, partition, nothing);
	row.crc = row_crc(k.mv_data, k.mv_size, &row, sizeof(row));
	return engine_errno(mdb_put(e->write, e->dbi[DB_SESSIONS], &k, &v, 0));
}
