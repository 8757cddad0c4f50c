/*
 * How far partitions were at some places of the log, so that whoever wants to read a partition from
 * some sequence on need not read all that there is.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "storage/store_impl.h"

void lsn_marks_free(struct lsn_marks *m)
{
	for (uint32_t i = 0; i < m->count; i++)
		free(m->mark[i]);
	free(m->mark);
	*m = (struct lsn_marks){.mark = NULL};
}

/* Those of files that are no more. */
static void forget_old(struct lsn_marks *m, uint64_t oldest)
{
	uint32_t n = 0;

	while (n < m->count && m->mark[n]->lsn + 1 < oldest)
		free(m->mark[n++]);
	m->count -= n;
	memmove(m->mark, m->mark + n, m->count * sizeof(struct lsn_mark *));
}

int lsn_mark_note(struct store *s, uint64_t lsn)
{
	struct lsn_marks *m = &s->lsn_marks;
	uint64_t size = s->partitions * sizeof(uint64_t);
	struct lsn_mark *x;

	if (lsn % LSN_MARK_EVERY)
		return 0;
	if (m->count && s->checkpoint)
		forget_old(m, wal_first(s->wal));
	if (m->count == m->room) {
		uint32_t room = m->room ? 2 * m->room : 16;
		struct lsn_mark **p = realloc(m->mark, room * sizeof(struct lsn_mark *));

		if (!p)
			return -ENOMEM;
		m->mark = p;
		m->room = room;
	}
	x = malloc(sizeof(*x) + size);
	if (!x)
		return -ENOMEM;
	x->lsn = lsn;
	memcpy(x->at, s->newest->at, size);
	m->mark[m->count++] = x;
	return 0;
}

/*
 * The newest mark at which the partition had not come so far: the record that has `sequence` now came
 * later.  Had it come before, a cut would have taken it back.
 */
uint64_t store_lsn_before(const struct store *s, uint32_t partition, uint64_t sequence)
{
	const struct lsn_marks *m = &s->lsn_marks;
	const struct tail_record *r;
	uint64_t first = wal_first(s->wal);

	check(s->replica && partition < s->copied);
	if (sequence > s->newest->at[partition])
		return wal_lsn(s->wal) + 1;
	r = tail_find(&s->replica[partition].tail, sequence);
	if (r && r->lsn)
		return r->lsn;
	for (uint32_t i = m->count; i-- > 0;)
		if (m->mark[i]->at[partition] < sequence)
			return m->mark[i]->lsn + 1 > first ? m->mark[i]->lsn + 1 : first;
	return first;
}

void store_retain(struct store *s, uint64_t lsn)
{
	wal_retain(s->wal, lsn);
}
