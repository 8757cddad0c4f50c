/* The engine over LMDB: opening, closing, figures. */
#include "storage/engine.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/file.h"
#include "storage/lmdb_impl.h"

#define BASE_READERS 126u /* LMDB's default; the lock file fixes it for all */

static const char *const db_names[DB_COUNT] = {"meta", "parts", "directory", "keys",
					       "ttl",  "drops", "sessions",  "tail"};

int engine_errno(int rc)
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

void engine_close(struct engine **ep)
{
	struct engine *e = *ep;

	if (!e)
		return;
	if (e->get)
		mdb_cursor_close(e->get);
	if (e->read)
		mdb_txn_abort(e->read);
	engine_abort(e);
	if (e->env)
		mdb_env_close(e->env);
	free(e->highest);
	free(e);
	*ep = NULL;
}

void engine_measure(struct engine *e, MDB_txn *txn)
{
	MDB_envinfo info;
	MDB_stat st;
	uint64_t pages = 2;
	uint64_t page_size = 4096;

	for (int i = 0; i < DB_COUNT; i++)
		if (mdb_stat(txn, e->dbi[i], &st) == 0) {
			pages += st.ms_branch_pages + st.ms_leaf_pages + st.ms_overflow_pages;
			page_size = st.ms_psize;
		}
	e->used = pages * page_size;
	if (mdb_env_info(e->env, &info) == 0)
		e->file_bytes = (info.me_last_pgno + 1) * page_size;
}

/* ---- is it one of ours? ---- */

/* Made by a version of Pail before this one: say how its data come over. */
static int too_old(const char *dir, char *why, size_t why_size)
{
	(void)snprintf(why, why_size,
		       "\"%.80s\" was made by an older version of Pail: to bring its data over, "
		       "start that version, `pail export`, start this one on a new folder, `pail "
		       "import`",
		       dir);
	return -EPROTO;
}

static int too_new(const char *dir, const char *what, char *why, size_t why_size)
{
	(void)snprintf(why, why_size,
		       "\"%.100s\" was written by a newer version of Pail (%s): start that one",
		       dir, what);
	return -EPROTO;
}

static int damaged(const char *dir, const char *what, char *why, size_t why_size)
{
	(void)snprintf(why, why_size, "base in \"%.100s\" is damaged: %s", dir, what);
	return -EBADMSG;
}

int engine_meta_put(struct engine *e, MDB_txn *txn, const struct engine_meta *meta)
{
	struct meta_row row = {BASE_FORMAT, 0, *meta, e->partitions, 0};
	MDB_val key = meta_key();
	MDB_val val = {sizeof(row), &row};

	row.crc = meta_crc(row.format, &row, sizeof(row));
	return engine_errno(mdb_put(txn, e->dbi[DB_META], &key, &val, 0));
}

/* The row of the whole.  -ENOENT: there is none. */
static int meta_load(struct engine *e, MDB_txn *txn, const char *dir, char *why, size_t why_size)
{
	struct meta_row row = {0};
	char what[32];
	MDB_val key = meta_key();
	MDB_val val;
	int rc = mdb_get(txn, e->dbi[DB_META], &key, &val);

	if (rc)
		return engine_errno(rc);
	memcpy(&row, val.mv_data, val.mv_size < sizeof(row) ? val.mv_size : sizeof(row));
	if (val.mv_size < META_ROW_MIN || row.crc != meta_crc(row.format, val.mv_data, val.mv_size))
		return damaged(dir, "its meta row is not what was written", why, why_size);
	if (row.format < BASE_FORMAT)
		return too_old(dir, why, why_size);
	if (row.format > BASE_FORMAT) {
		(void)snprintf(what, sizeof(what), "format %u", row.format);
		return too_new(dir, what, why, why_size);
	}
	if (val.mv_size != sizeof(row))
		return damaged(dir, "its meta row has a wrong size", why, why_size);
	if (row.partitions != e->partitions) {
		(void)snprintf(why, why_size,
			       "\"%.80s\" was made with %u partitions, not %u, and that stays: for "
			       "another number `pail export` and `pail import` into a new folder",
			       dir, row.partitions, e->partitions);
		return -EPROTO;
	}
	e->meta = row.meta;
	return 0;
}

static int entries(MDB_txn *txn, MDB_dbi dbi, uint64_t *ret)
{
	MDB_stat st;
	int rc = mdb_stat(txn, dbi, &st);

	if (rc == 0)
		*ret = st.ms_entries;
	return rc;
}

static int part_rows_check(struct engine *e, MDB_txn *txn)
{
	struct log_spans spans;
	struct engine_part part;
	uint32_t partition;
	MDB_cursor *c;
	MDB_val k;
	MDB_val v;
	int rc = mdb_cursor_open(txn, e->dbi[DB_PARTS], &c);
	int r = 0;

	if (rc)
		return engine_errno(rc);
	while (r == 0 && (rc = mdb_cursor_get(c, &k, &v, MDB_NEXT)) == 0)
		r = part_read(e, &spans, &k, &v, &partition, &part);
	mdb_cursor_close(c);
	return r < 0 ? r : rc == MDB_NOTFOUND ? 0 : engine_errno(rc);
}

static int tail_rows_check(struct engine *e, MDB_txn *txn)
{
	const struct log_entry *x;
	struct buf room;
	MDB_cursor *c;
	MDB_val k;
	MDB_val v;
	int rc = mdb_cursor_open(txn, e->dbi[DB_TAIL], &c);
	int r = 0;

	if (rc)
		return engine_errno(rc);
	buf_init(&room);
	while (r == 0 && (rc = mdb_cursor_get(c, &k, &v, MDB_NEXT)) == 0)
		r = tail_read(e, &k, &v, &room, &x);
	buf_fini(&room);
	mdb_cursor_close(c);
	return r < 0 ? r : rc == MDB_NOTFOUND ? 0 : engine_errno(rc);
}

/* Rows that every later step relies on: of partitions, and of what is set aside. */
static int rows_check(struct engine *e, MDB_txn *txn, const char *dir, char *why, size_t why_size)
{
	uint64_t n = 0;
	int rc = entries(txn, e->dbi[DB_TAIL], &n);
	int r;

	if (rc)
		return engine_errno(rc);
	e->tails = n > 0;
	r = part_rows_check(e, txn);
	if (r == -EPROTO)
		return too_new(dir, "rows of parts", why, why_size);
	if (r == -EBADMSG)
		return damaged(dir, "a row of parts is not what was written", why, why_size);
	if (r == 0 && n)
		r = tail_rows_check(e, txn);
	if (r == -EBADMSG)
		return damaged(dir, "a row of tail is not what was written", why, why_size);
	return r;
}

/* Open what is there.  -ENOENT: nothing is. */
static int dbs_find(struct engine *e, MDB_txn *txn, const char *dir, char *why, size_t why_size)
{
	char format_1[] = "dir"; /* the directory's name in it */
	MDB_val key = {3, format_1};
	MDB_val val;
	MDB_dbi names;
	uint64_t n = 0;
	int rc = mdb_dbi_open(txn, NULL, 0, &names);
	int r;

	if (rc == 0)
		rc = entries(txn, names, &n);
	if (rc || !n)
		return rc ? engine_errno(rc) : -ENOENT;
	if (mdb_get(txn, names, &key, &val) == 0)
		return too_old(dir, why, why_size);
	/* `meta` is the first: what of another format has not is not missed. */
	for (int i = 0; i < DB_COUNT; i++) {
		rc = mdb_dbi_open(txn, db_names[i], 0, &e->dbi[i]);
		r = rc ? engine_errno(rc) : i ? 0 : meta_load(e, txn, dir, why, why_size);
		if (r == -ENOENT)
			return damaged(dir, "a part of it is missing", why, why_size);
		if (r < 0)
			return r;
	}
	return rows_check(e, txn, dir, why, why_size);
}

/* Make all that a new environment has, at once. */
static int dbs_make(struct engine *e)
{
	MDB_txn *txn;
	int rc = mdb_txn_begin(e->env, NULL, 0, &txn);
	int r;

	if (rc)
		return engine_errno(rc);
	for (int i = 0; i < DB_COUNT && rc == 0; i++)
		rc = mdb_dbi_open(txn, db_names[i], MDB_CREATE, &e->dbi[i]);
	r = rc ? engine_errno(rc) : engine_meta_put(e, txn, &e->meta);
	if (r < 0) {
		mdb_txn_abort(txn);
		return r;
	}
	engine_measure(e, txn);
	return engine_errno(mdb_txn_commit(txn));
}

/* By a reading transaction: who only reads beside another need not wait for his writing. */
static int dbs_open(struct engine *e, const char *dir, char *why, size_t why_size)
{
	MDB_txn *txn;
	int rc = mdb_txn_begin(e->env, NULL, MDB_RDONLY, &txn);
	int r;

	if (rc)
		return engine_errno(rc);
	r = dbs_find(e, txn, dir, why, why_size);
	if (r < 0) {
		mdb_txn_abort(txn);
		return r == -ENOENT ? dbs_make(e) : r;
	}
	engine_measure(e, txn);
	return engine_errno(mdb_txn_commit(txn)); /* with it the handles become all transactions' */
}

/* ---- opening ---- */

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
	r = engine_errno(rc);
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

static int env_open(struct engine *e, const char *dir)
{
	int dead;
	int rc = mdb_env_create(&e->env);

	if (rc == 0)
		rc = mdb_env_set_mapsize(e->env, e->map_bytes);
	if (rc == 0)
		rc = mdb_env_set_maxdbs(e->env, DB_COUNT);
	if (rc == 0)
		rc = mdb_env_set_maxreaders(e->env, BASE_READERS);
	if (rc == 0)
		rc = mdb_env_open(e->env, dir, MDB_NOTLS | MDB_NORDAHEAD, 0640);
	if (rc == 0)
		(void)mdb_reader_check(e->env, &dead); /* readers that were killed */
	return rc;
}

static int open_all(struct engine *e, const char *dir, const char *path, char *why, size_t why_size)
{
	uint64_t size;
	int rc = 0;
	int r = look_first(dir, path, &size, why, why_size);

	if (r < 0)
		return r;
	/* A map smaller than the file would hide what is in it. */
	if (size > e->map_bytes)
		e->map_bytes = size;
	if (!size) {
		r = make_new(dir, path, e->map_bytes);
		if (r < 0) {
			(void)snprintf(why, why_size, "make \"%.150s\": %s", path, strerror(-r));
			return r;
		}
	}
	rc = env_open(e, dir);
	r = rc ? engine_errno(rc) : dbs_open(e, dir, why, why_size);
	if (r == 0) {
		rc = mdb_txn_begin(e->env, NULL, MDB_RDONLY, &e->read);
		e->read_us = clock_us();
		if (rc == 0)
			rc = mdb_cursor_open(e->read, e->dbi[DB_KEYS], &e->get);
		r = engine_errno(rc);
	}
	if (r < 0 && !why[0])
		(void)snprintf(why, why_size, "base: %.150s: %s", path,
			       rc ? mdb_strerror(rc) : strerror(-r));
	return r;
}

int engine_open(const char *dir, uint64_t map_bytes, uint32_t partitions, struct engine **ret,
		char *why, size_t why_size)
{
	struct engine *e = calloc(1, sizeof(*e));
	char path[1100];
	int r;

	check(partitions && partitions <= PARTITIONS_MAX && !(partitions & (partitions - 1)));
	why[0] = '\0';
	if (!e)
		return -ENOMEM;
	(void)snprintf(path, sizeof(path), "%s/data.mdb", dir);
	e->map_bytes = map_bytes;
	e->partitions = partitions;
	e->all = partitions <= PARTITIONS_MAX / 2 ? 2 * partitions : partitions;
	e->highest = calloc(e->all, sizeof(*e->highest));
	r = e->highest ? open_all(e, dir, path, why, why_size) : -ENOMEM;
	if (r < 0)
		engine_close(&e);
	else
		*ret = e;
	return r;
}

void engine_meta(const struct engine *e, struct engine_meta *ret)
{
	*ret = e->meta;
}

int engine_refresh(struct engine *e, struct engine_meta *ret)
{
	char why[256];
	int dead;
	int r;

	(void)mdb_reader_check(e->env, &dead);
	r = engine_renew(e);
	if (r == 0)
		r = meta_load(e, e->read, "", why, sizeof(why));
	*ret = e->meta;
	return r;
}

uint64_t engine_used(const struct engine *e)
{
	return e->used;
}

uint64_t engine_file_bytes(const struct engine *e)
{
	return e->file_bytes;
}

uint64_t engine_map_bytes(const struct engine *e)
{
	return e->map_bytes;
}
