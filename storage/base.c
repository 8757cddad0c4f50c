/* Base over LMDB. */
#include "storage/base.h"

#include <errno.h>
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/check.h"
#include "common/fault.h"
#include "common/file.h"
#include "include/wire.h"
#include "storage/base_format.h"

#define BASE_FORMAT  1u
#define BASE_READERS 126u /* LMDB's default; the lock file fixes it for all */

enum { DB_META, DB_DIR, DB_KEYS, DB_TTL, DB_DROPS, DB_COUNT };

static const char *const db_names[DB_COUNT] = {"meta", "dir", "keys", "ttl", "drops"};

struct base {
	MDB_env *env;
	MDB_dbi dbi[DB_COUNT];
	MDB_txn *read;   /* the serving thread's */
	MDB_cursor *get; /* of `read`, over keys */
	MDB_txn *write;  /* the checkpoint thread's */
	MDB_cursor *put; /* of `write`, over keys */
	bool ttl_any;    /* the expiry index has rows, as `write` sees it */
	struct base_meta meta;
	uint64_t map_bytes;
	_Atomic uint64_t used;
	_Atomic uint64_t file_bytes;
};

static char meta_key[] = "base";

static int base_errno(int rc)
{
	switch (rc) {
	case MDB_SUCCESS:
		return 0;
	case MDB_NOTFOUND:
		return -ENOENT;
	case MDB_MAP_FULL:
		return -ENOSPC;
	case MDB_READERS_FULL:
		return -EAGAIN;
	case MDB_CORRUPTED:
	case MDB_PAGE_NOTFOUND:
	case MDB_INVALID:
	case MDB_PANIC:
	case MDB_VERSION_MISMATCH:
	case MDB_BAD_VALSIZE:
		return -EBADMSG;
	default:
		return rc > 0 ? -rc : -EIO;
	}
}

static MDB_val key_make(struct key_bytes *k, uint64_t bucket, struct span key)
{
	check(key.n <= WIRE_KEY_MAX);
	put_be64(k->data, bucket);
	if (key.n)
		memcpy(k->data + 8, key.p, key.n);
	k->n = 8 + key.n;
	return (MDB_val){k->n, k->data};
}

static MDB_val ttl_key_make(struct key_bytes *k, uint64_t expiry, uint64_t bucket, struct span key)
{
	put_be64(k->data, expiry);
	put_be64(k->data + 8, bucket);
	if (key.n)
		memcpy(k->data + 16, key.p, key.n);
	k->n = 16 + key.n;
	return (MDB_val){k->n, k->data};
}

static int item_read(uint64_t bucket, struct span key, const MDB_val *v, struct base_item *ret)
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

/* ---- opening ---- */

void base_close(struct base **bp)
{
	struct base *b = *bp;

	if (!b)
		return;
	if (b->get)
		mdb_cursor_close(b->get);
	if (b->read)
		mdb_txn_abort(b->read);
	base_abort(b);
	if (b->env)
		mdb_env_close(b->env);
	free(b);
	*bp = NULL;
}

static void measure(struct base *b, MDB_txn *txn)
{
	MDB_envinfo info;
	MDB_stat st;
	uint64_t pages = 2;
	uint64_t page_size = 4096;

	for (int i = 0; i < DB_COUNT; i++)
		if (mdb_stat(txn, b->dbi[i], &st) == 0) {
			pages += st.ms_branch_pages + st.ms_leaf_pages + st.ms_overflow_pages;
			page_size = st.ms_psize;
		}
	b->used = pages * page_size;
	if (mdb_env_info(b->env, &info) == 0)
		b->file_bytes = (info.me_last_pgno + 1) * page_size;
}

static int meta_load(struct base *b, MDB_txn *txn, char *why, size_t why_size)
{
	struct meta_row row;
	MDB_val key = {4, meta_key};
	MDB_val val;
	int rc = mdb_get(txn, b->dbi[DB_META], &key, &val);

	if (rc == MDB_NOTFOUND)
		return 0; /* new */
	if (rc)
		return base_errno(rc);
	if (val.mv_size != sizeof(row)) {
		(void)snprintf(why, why_size, "base: the meta row has %zu bytes", val.mv_size);
		return -EBADMSG;
	}
	memcpy(&row, val.mv_data, sizeof(row));
	if (row.format != BASE_FORMAT ||
	    row.crc != crc32c(row.format, &row.meta, sizeof(row.meta))) {
		(void)snprintf(why, why_size, "base: the meta row is damaged or of format %u",
			       row.format);
		return -EBADMSG;
	}
	b->meta = row.meta;
	return 0;
}

static int dbs_open(struct base *b, char *why, size_t why_size)
{
	MDB_txn *txn;
	int rc = mdb_txn_begin(b->env, NULL, 0, &txn);
	int r;

	if (rc)
		return base_errno(rc);
	for (int i = 0; i < DB_COUNT && rc == 0; i++)
		rc = mdb_dbi_open(txn, db_names[i], MDB_CREATE, &b->dbi[i]);
	r = base_errno(rc);
	if (r == 0)
		r = meta_load(b, txn, why, why_size);
	if (r < 0) {
		mdb_txn_abort(txn);
		return r;
	}
	measure(b, txn);
	return base_errno(mdb_txn_commit(txn));
}

/*
 * LMDB writes a new file's first pages and syncs neither them nor the folder: a power cut could
 * leave half of them, which no later start would take for an environment.  So it is made by another
 * name and gets its own when it is whole.
 */
static int make_new(const char *dir, const char *path, uint64_t map_bytes)
{
	char temp[1110];
	MDB_env *env = NULL;
	int rc;
	int r;

	(void)snprintf(temp, sizeof(temp), "%s.new", path);
	if (unlink(temp) < 0 && errno != ENOENT)
		return -errno;
	rc = mdb_env_create(&env);
	if (rc == 0)
		rc = mdb_env_set_mapsize(env, map_bytes);
	if (rc == 0)
		rc = mdb_env_open(env, temp, MDB_NOSUBDIR | MDB_NOLOCK, 0640);
	if (rc == 0)
		rc = mdb_env_sync(env, 1);
	if (env)
		mdb_env_close(env);
	r = base_errno(rc);
	if (r == 0 && rename(temp, path) < 0)
		r = -errno;
	return r < 0 ? r : file_sync_dir(dir);
}

/*
 * LMDB opens its files by itself, and writes into whatever it finds there: look first.  `path` is
 * the data file's, of which *ret_bytes is the size, 0 if there is none.
 */
static int look_first(const char *dir, const char *path, uint64_t *ret_bytes, char *why,
		      size_t why_size)
{
	char lock[1100];
	struct stat st;
	int r = file_check(path);
	const char *what = path;

	*ret_bytes = 0;
	if (r == 0 && stat(path, &st) == 0)
		*ret_bytes = (uint64_t)st.st_size;
	if (r == 0 || r == -ENOENT) {
		(void)snprintf(lock, sizeof(lock), "%s/lock.mdb", dir);
		what = lock;
		r = file_check(lock);
	}
	if (r == 0 || r == -ENOENT)
		return 0;
	(void)snprintf(why, why_size, "open \"%.150s\": %s", what, file_reason(r));
	return r;
}

int base_open(const char *dir, uint64_t map_bytes, struct base **ret, char *why, size_t why_size)
{
	struct base *b = calloc(1, sizeof(*b));
	uint64_t size;
	char path[1100];
	int rc;
	int r;

	if (!b)
		return -ENOMEM;
	(void)snprintf(path, sizeof(path), "%s/data.mdb", dir);
	r = look_first(dir, path, &size, why, why_size);
	if (r < 0) {
		base_close(&b);
		return r;
	}
	/* A map smaller than the file would hide what is in it. */
	b->map_bytes = size > map_bytes ? size : map_bytes;
	if (!size) {
		r = make_new(dir, path, map_bytes);
		if (r < 0) {
			(void)snprintf(why, why_size, "make \"%.150s\": %s", path, strerror(-r));
			base_close(&b);
			return r;
		}
	}
	rc = mdb_env_create(&b->env);
	if (rc == 0)
		rc = mdb_env_set_mapsize(b->env, b->map_bytes);
	if (rc == 0)
		rc = mdb_env_set_maxdbs(b->env, DB_COUNT);
	if (rc == 0)
		rc = mdb_env_set_maxreaders(b->env, BASE_READERS);
	if (rc == 0)
		rc = mdb_env_open(b->env, dir, MDB_NOTLS | MDB_NORDAHEAD, 0640);
	r = base_errno(rc);
	if (r == 0) {
		int dead;

		(void)mdb_reader_check(b->env, &dead); /* readers that were killed */
		r = dbs_open(b, why, why_size);
	}
	if (r == 0)
		r = base_errno(mdb_txn_begin(b->env, NULL, MDB_RDONLY, &b->read));
	if (r == 0)
		r = base_errno(mdb_cursor_open(b->read, b->dbi[DB_KEYS], &b->get));
	if (r < 0) {
		if (!why[0])
			(void)snprintf(why, why_size, "base: %.150s: %s", path,
				       rc ? mdb_strerror(rc) : strerror(-r));
		base_close(&b);
		return r;
	}
	*ret = b;
	return 0;
}

void base_meta(const struct base *b, struct base_meta *ret)
{
	*ret = b->meta;
}

uint64_t base_used(const struct base *b)
{
	return b->used;
}

uint64_t base_file_bytes(const struct base *b)
{
	return b->file_bytes;
}

uint64_t base_map_bytes(const struct base *b)
{
	return b->map_bytes;
}

/* ---- reading ---- */

int base_renew(struct base *b)
{
	int rc;

	mdb_txn_reset(b->read);
	rc = mdb_txn_renew(b->read);
	if (rc == 0)
		rc = mdb_cursor_renew(b->read, b->get);
	return base_errno(rc);
}

int base_refresh(struct base *b, struct base_meta *ret)
{
	char why[256];
	int dead;
	int r;

	(void)mdb_reader_check(b->env, &dead);
	r = base_renew(b);
	if (r == 0)
		r = meta_load(b, b->read, why, sizeof(why));
	*ret = b->meta;
	return r;
}

int base_get(struct base *b, uint64_t bucket, struct span key, struct base_item *ret)
{
	struct key_bytes kb;
	MDB_val k = key_make(&kb, bucket, key);
	MDB_val v;
	int rc = mdb_cursor_get(b->get, &k, &v, MDB_SET);

	if (rc)
		return base_errno(rc);
	return item_read(bucket, key, &v, ret);
}

int base_buckets(struct base *b,
		 int (*row)(void *arg, struct span name, uint64_t id, uint64_t count), void *arg)
{
	MDB_cursor *c;
	MDB_val k;
	MDB_val v;
	int rc = mdb_cursor_open(b->read, b->dbi[DB_DIR], &c);
	int r = 0;

	if (rc)
		return base_errno(rc);
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
	return r ? r : rc == MDB_NOTFOUND ? 0 : base_errno(rc);
}

struct base_cursor {
	MDB_cursor *c;
	uint64_t bucket;
	bool reverse;
};

int base_cursor_open(struct base *b, uint64_t bucket, bool reverse, struct base_cursor **ret)
{
	struct base_cursor *c = calloc(1, sizeof(*c));
	int rc;

	if (!c)
		return -ENOMEM;
	rc = mdb_cursor_open(b->read, b->dbi[DB_KEYS], &c->c);
	if (rc) {
		free(c);
		return base_errno(rc);
	}
	c->bucket = bucket;
	c->reverse = reverse;
	*ret = c;
	return 0;
}

void base_cursor_close(struct base_cursor **cp)
{
	if (!*cp)
		return;
	mdb_cursor_close((*cp)->c);
	free(*cp);
	*cp = NULL;
}

/* What the cursor stands on, if it is still in the bucket. */
static int cursor_item(struct base_cursor *c, int rc, const MDB_val *k, const MDB_val *v,
		       struct base_item *ret)
{
	if (rc)
		return base_errno(rc);
	if (k->mv_size < 8 || get_be64(k->mv_data) != c->bucket)
		return -ENOENT;
	return item_read(c->bucket, (struct span){(char *)k->mv_data + 8, k->mv_size - 8}, v, ret);
}

int base_cursor_seek(struct base_cursor *c, struct span key, struct base_item *ret)
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

int base_cursor_next(struct base_cursor *c, struct base_item *ret)
{
	MDB_val k;
	MDB_val v;
	int rc = mdb_cursor_get(c->c, &k, &v, c->reverse ? MDB_PREV : MDB_NEXT);

	return cursor_item(c, rc, &k, &v, ret);
}

int base_due(struct base *b, const struct base_due *from, uint64_t now_ms,
	     int (*row)(void *arg, const struct base_due *d), void *arg)
{
	struct key_bytes kb;
	MDB_val k = ttl_key_make(&kb, from->expiry, from->bucket, from->key);
	MDB_val v;
	MDB_cursor *c;
	int rc = mdb_cursor_open(b->read, b->dbi[DB_TTL], &c);
	int r = 0;

	if (rc)
		return base_errno(rc);
	rc = mdb_cursor_get(c, &k, &v, MDB_SET_RANGE);
	while (rc == 0) {
		struct base_due d;
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
	return r ? r : rc == MDB_NOTFOUND ? 0 : base_errno(rc);
}

/* ---- writing ---- */

int base_begin(struct base *b)
{
	MDB_stat st;
	int rc;

	check(!b->write);
	rc = mdb_txn_begin(b->env, NULL, 0, &b->write);
	if (rc) {
		b->write = NULL;
		return base_errno(rc);
	}
	rc = mdb_cursor_open(b->write, b->dbi[DB_KEYS], &b->put);
	if (rc == 0)
		rc = mdb_stat(b->write, b->dbi[DB_TTL], &st);
	if (rc) {
		base_abort(b);
		return base_errno(rc);
	}
	b->ttl_any = st.ms_entries > 0;
	return 0;
}

void base_abort(struct base *b)
{
	if (b->put)
		mdb_cursor_close(b->put);
	b->put = NULL;
	if (b->write)
		mdb_txn_abort(b->write);
	b->write = NULL;
}

int base_commit(struct base *b, const struct base_meta *meta)
{
	int rc = 0;
	int f = fault_at("base.commit");

	if (f < 0) {
		base_abort(b);
		return f;
	}
	if (meta) {
		struct meta_row row = {BASE_FORMAT, 0, *meta};
		MDB_val key = {4, meta_key};
		MDB_val val = {sizeof(row), &row};

		row.crc = crc32c(row.format, &row.meta, sizeof(row.meta));
		rc = mdb_put(b->write, b->dbi[DB_META], &key, &val, 0);
	}
	if (rc) {
		base_abort(b);
		return base_errno(rc);
	}
	mdb_cursor_close(b->put);
	b->put = NULL;
	measure(b, b->write);
	rc = mdb_txn_commit(b->write);
	b->write = NULL;
	if (rc == 0 && meta)
		b->meta = *meta;
	return base_errno(rc);
}

/* The row of the expiry index that belongs to the item which the put cursor stands on. */
static int ttl_drop(struct base *b, uint64_t bucket, struct span key, const MDB_val *old)
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
	return rc == MDB_NOTFOUND ? 0 : base_errno(rc);
}

int base_put(struct base *b, uint64_t bucket, const struct base_item *item)
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
			return base_errno(rc);
		}
		k = (MDB_val){kb.n, kb.data};
	}
	rc = mdb_cursor_put(b->put, &k, &v, MDB_RESERVE);
	if (rc)
		return base_errno(rc);
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
	return base_errno(rc);
}

int base_delete(struct base *b, uint64_t bucket, struct span key)
{
	struct key_bytes kb;
	MDB_val k = key_make(&kb, bucket, key);
	MDB_val old;
	int rc = mdb_cursor_get(b->put, &k, &old, MDB_SET);
	int r;

	if (rc)
		return rc == MDB_NOTFOUND ? 0 : base_errno(rc);
	r = b->ttl_any ? ttl_drop(b, bucket, key, &old) : 0;
	if (r < 0)
		return r;
	return base_errno(mdb_cursor_del(b->put, 0));
}

int base_bucket_add(struct base *b, struct span name, uint64_t id, int64_t delta, bool create)
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
		return base_errno(rc);
	} else if (!create) {
		return 0;
	}
	d.count += (uint64_t)delta;
	v = (MDB_val){sizeof(d), &d};
	return base_errno(mdb_put(b->write, b->dbi[DB_DIR], &k, &v, 0));
}

int base_bucket_drop(struct base *b, struct span name, uint64_t id)
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
		return base_errno(rc);
	put_be64(idb, id);
	k = (MDB_val){sizeof(idb), idb};
	v = (MDB_val){0, NULL};
	return base_errno(mdb_put(b->write, b->dbi[DB_DROPS], &k, &v, 0));
}

int base_purge(struct base *b, unsigned most)
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
		return base_errno(rc);
	rc = mdb_cursor_get(c, &k, &v, MDB_FIRST);
	id = rc == 0 && k.mv_size == 8 ? get_be64(k.mv_data) : 0;
	mdb_cursor_close(c);
	if (rc)
		return rc == MDB_NOTFOUND ? 0 : base_errno(rc);
	put_be64(idb, id);
	k = (MDB_val){8, idb};
	rc = mdb_cursor_get(b->put, &k, &v, MDB_SET_RANGE);
	while (rc == 0 && r == 0 && n < most && k.mv_size >= 8 && get_be64(k.mv_data) == id) {
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
		return r < 0 ? r : base_errno(rc);
	if (n < most) {
		k = (MDB_val){8, idb};
		rc = mdb_del(b->write, b->dbi[DB_DROPS], &k, NULL);
		if (rc)
			return base_errno(rc);
		n++;
	}
	return (int)n;
}
