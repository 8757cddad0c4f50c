/* The engine over LMDB: opening, closing, figures. */
#include "storage/engine.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/file.h"
#include "storage/lmdb_impl.h"

#define BASE_READERS 126u /* LMDB's default; the lock file fixes it for all */

static const char *const db_names[DB_COUNT] = {"meta", "dir", "keys", "ttl", "drops"};

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

void engine_close(struct engine **bp)
{
	struct engine *b = *bp;

	if (!b)
		return;
	if (b->get)
		mdb_cursor_close(b->get);
	if (b->read)
		mdb_txn_abort(b->read);
	engine_abort(b);
	if (b->env)
		mdb_env_close(b->env);
	free(b);
	*bp = NULL;
}

void engine_measure(struct engine *b, MDB_txn *txn)
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

static int meta_load(struct engine *b, MDB_txn *txn, char *why, size_t why_size)
{
	struct meta_row row;
	MDB_val key = meta_key();
	MDB_val val;
	int rc = mdb_get(txn, b->dbi[DB_META], &key, &val);

	if (rc == MDB_NOTFOUND)
		return 0; /* new */
	if (rc)
		return engine_errno(rc);
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

static int dbs_open(struct engine *b, char *why, size_t why_size)
{
	MDB_txn *txn;
	int rc = mdb_txn_begin(b->env, NULL, 0, &txn);
	int r;

	if (rc)
		return engine_errno(rc);
	for (int i = 0; i < DB_COUNT && rc == 0; i++)
		rc = mdb_dbi_open(txn, db_names[i], MDB_CREATE, &b->dbi[i]);
	r = engine_errno(rc);
	if (r == 0)
		r = meta_load(b, txn, why, why_size);
	if (r < 0) {
		mdb_txn_abort(txn);
		return r;
	}
	engine_measure(b, txn);
	return engine_errno(mdb_txn_commit(txn));
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

int engine_open(const char *dir, uint64_t map_bytes, struct engine **ret, char *why,
		size_t why_size)
{
	struct engine *b = calloc(1, sizeof(*b));
	uint64_t size;
	char path[1100];
	int rc;
	int r;

	if (!b)
		return -ENOMEM;
	(void)snprintf(path, sizeof(path), "%s/data.mdb", dir);
	r = look_first(dir, path, &size, why, why_size);
	if (r < 0) {
		engine_close(&b);
		return r;
	}
	/* A map smaller than the file would hide what is in it. */
	b->map_bytes = size > map_bytes ? size : map_bytes;
	if (!size) {
		r = make_new(dir, path, map_bytes);
		if (r < 0) {
			(void)snprintf(why, why_size, "make \"%.150s\": %s", path, strerror(-r));
			engine_close(&b);
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
	r = engine_errno(rc);
	if (r == 0) {
		int dead;

		(void)mdb_reader_check(b->env, &dead); /* readers that were killed */
		r = dbs_open(b, why, why_size);
	}
	if (r == 0)
		r = engine_errno(mdb_txn_begin(b->env, NULL, MDB_RDONLY, &b->read));
	if (r == 0)
		r = engine_errno(mdb_cursor_open(b->read, b->dbi[DB_KEYS], &b->get));
	if (r < 0) {
		if (!why[0])
			(void)snprintf(why, why_size, "base: %.150s: %s", path,
				       rc ? mdb_strerror(rc) : strerror(-r));
		engine_close(&b);
		return r;
	}
	*ret = b;
	return 0;
}

void engine_meta(const struct engine *b, struct engine_meta *ret)
{
	*ret = b->meta;
}

int engine_refresh(struct engine *b, struct engine_meta *ret)
{
	char why[256];
	int dead;
	int r;

	(void)mdb_reader_check(b->env, &dead);
	r = engine_renew(b);
	if (r == 0)
		r = meta_load(b, b->read, why, sizeof(why));
	*ret = b->meta;
	return r;
}

uint64_t engine_used(const struct engine *b)
{
	return b->used;
}

uint64_t engine_file_bytes(const struct engine *b)
{
	return b->file_bytes;
}

uint64_t engine_map_bytes(const struct engine *b)
{
	return b->map_bytes;
}
