/* Making a log, and the end of it. */
#include "storage/log/wal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/mirror.h"
#include "storage/log/log_impl.h"

int wal_new(const struct wal_config *config, struct wal **ret)
{
	struct wal *w = calloc(1, sizeof(*w));
	uint64_t common = config->put_max ? config->put_max : config->record_max;
	uint64_t size = 1u << 20;
	int r;

	if (!w)
		return -ENOMEM;
	w->config = *config;
	(void)snprintf(w->dir, sizeof(w->dir), "%s", config->dir);
	w->fd = -1;
	atomic_store(&w->retained, UINT64_MAX);
	buf_init(&w->rewrite);
	(void)pthread_mutex_init(&w->lock, NULL);
	(void)pthread_cond_init(&w->submitted_more, NULL);
	clock_cond_init(&w->drained_more);
	/* One can be staged while another is written; the largest may wait until all is. */
	while (size < 2 * common || size < config->record_max)
		size *= 2;
	w->stage_size = size;
	r = mirror_new(size, (void **)&w->stage);
	if (r < 0) {
		wal_free(&w);
		return r;
	}
	*ret = w;
	return 0;
}

void wal_free(struct wal **wp)
{
	struct wal *w = *wp;

	if (!w)
		return;
	if (w->thread_runs) {
		(void)pthread_mutex_lock(&w->lock);
		w->submitted = w->append;
		w->submitted_lsn = w->lsn;
		w->stop = true;
		(void)pthread_cond_signal(&w->submitted_more);
		(void)pthread_mutex_unlock(&w->lock);
		(void)pthread_join(w->thread, NULL);
	}
	if (w->fd >= 0)
		(void)close(w->fd);
	mirror_unmap(w->stage, w->stage_size);
	buf_fini(&w->rewrite);
	free(w->cursor);
	(void)pthread_cond_destroy(&w->drained_more);
	(void)pthread_cond_destroy(&w->submitted_more);
	(void)pthread_mutex_destroy(&w->lock);
	free(w);
	*wp = NULL;
}
