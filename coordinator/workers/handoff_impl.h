/* What a handoff and those who ask for one have of one another. */
#ifndef PAIL_HANDOFF_IMPL_H
#define PAIL_HANDOFF_IMPL_H

#include "coordinator/workers/handoff.h"

/* ---- handoff.c ---- */

/* Hand w's place over, for `a`, or say why not. */
void restart_begin(struct handoff *h, struct worker *w, struct worker_ask *a);

/* ---- admin.c ---- */

/* Answer an ask, if that has not been done. */
void ask_error(struct handoff *h, struct worker_ask *a, enum wire_error e, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
/* `{id, pid, state, took_ms, pause_us}` */
void ask_done(struct handoff *h, struct worker_ask *a, const struct worker *w, uint64_t took_ms,
	      uint64_t pause_us);
/* Answer those who wait for what has come. */
void asks_look(struct handoff *h);
/* Nobody can wait for worker `id`, or for any (UINT32_MAX), to come up any more. */
void starts_refuse(struct handoff *h, uint32_t id, const char *why);

#endif
