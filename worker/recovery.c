/* Taking over a predecessor's unanswered requests. */
#include "worker/recovery.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/check.h"
#include "worker/replication.h"
#include "worker/loop.h"
#include "worker/ops.h"

#define KEPT_MAX (64u << 20) /* bytes of replies kept; reads beyond it run after the replay */

/* What is known of a reply; the whole of it is made when it is sent. */
enum known {
	NOTHING, /* yet */
	REPLY,   /* of a read, whole */
	RESULT,  /* what is behind the msgid */
	VERSION  /* of the one change that was made: the method tells the rest */
};

struct left {
	uint64_t identity;
	uint64_t record;
	uint32_t index;
	uint8_t method;
	bool writes;
	bool answered;
	enum known known;
	char *data; /* a reply, a result */
	size_t size;
	uint64_t version;
	uint64_t sequence; /* of the record that tells its reply, or before which it was run */
};

struct recovery {
	struct left *left; /* by identity */
	uint64_t count;
	uint64_t room;
	uint64_t next_read; /* reads before this index have been run or passed */
	uint64_t end;
	uint64_t kept;
	struct buf scratch;
};

void recovery_free(struct recovery **tp)
{
	struct recovery *t = *tp;

	if (!t)
		return;
	for (uint64_t i = 0; i < t->count; i++)
		free(t->left[i].data);
	free(t->left);
	buf_fini(&t->scratch);
	free(t);
	*tp = NULL;
}

static int left_add(struct recovery *t, struct left l)
{
	if (t->count == t->room) {
		uint64_t room = t->room ? 2 * t->room : 256;
		struct left *p = realloc(t->left, room * sizeof(*p));

		if (!p)
			return -ENOMEM;
		t->left = p;
		t->room = room;
	}
	t->left[t->count++] = l;
	return 0;
}

int recovery_new(struct worker *w, struct recovery **ret)
{
	struct ring *ring = &w->segment->request;
	struct recovery *t = calloc(1, sizeof(*t));
	uint64_t head = ring_head(ring);
	int r = 0;

	*ret = NULL;
	if (!t)
		return -ENOMEM;
	buf_init(&t->scratch);
	for (uint64_t at = ring_tail(ring); at < head && r == 0;) {
		const struct request_record *rec = ring_at(ring, at);

		for (uint32_t i = 0; i < rec->count && r == 0; i++)
			if (atomic_load_explicit(&rec->entry[i].state, memory_order_relaxed) ==
			    ENTRY_OPEN)
				r = left_add(t,
					     (struct left){.identity = at + i,
							   .record = at,
							   .index = i,
							   .method = rec->entry[i].method,
							   .writes = entry_writes(&rec->entry[i])});
		at += rec->size;
	}
	check(r < 0 || t->count <= t->room);
	t->end = head;
	if (r < 0 || !t->count)
		recovery_free(&t);
	*ret = t;
	return r;
}

static int keep(struct recovery *t, struct left *l, enum known known, const char *data, size_t n)
{
	check(l->known == NOTHING && n > 0);
	l->data = malloc(n);
	if (!l->data)
		return -ENOMEM;
	memcpy(l->data, data, n);
	l->known = known;
	l->size = n;
	t->kept += n;
	return 0;
}

/* An `outcome` that has ruled out what it asked about: by now that may be acknowledged. */
static int keep_never(struct recovery *t, struct left *l)
{
	char result[32];

	*result = (char)0xc0; /* no error */
	return keep(t, l, RESULT, result, (size_t)(op_never_result(result + 1) - result));
}

/* With copies elsewhere a partition's records are applied when it is led, whatever others do. */
static bool is_other(const struct worker *w, const struct request_record *rec, const struct left *l,
		     uint32_t partition)
{
	return w->segment->header->settings.replicated &&
	       (!rec->entry[l->index].bucket_len || rec->entry[l->index].partition != partition);
}

/* Run the reads that were sent before the request `identity`. */
static int reads_before(struct recovery *t, struct worker *w, uint64_t identity, uint32_t partition,
			uint64_t sequence)
{
	for (; t->next_read < t->count; t->next_read++) {
		struct left *l = &t->left[t->next_read];
		const struct request_record *rec = ring_at(&w->segment->request, l->record);
		struct op op;
		int r;

		if (l->identity >= identity)
			return 0;
		if (l->known || l->writes || t->kept >= KEPT_MAX || is_other(w, rec, l, partition))
			continue;
		op_prepare(w, &op, rec, l->record, l->index);
		r = op_read_into(w, &op, &t->scratch);
		if (r == 0)
			r = keep(t, l, REPLY, t->scratch.data, t->scratch.len);
		l->sequence = sequence;
		if (r < 0)
			return r;
	}
	return 0;
}

int recovery_before(struct recovery *t, struct worker *w, const struct log_record *r, bool same)
{
	uint64_t id = r->frame->request_id;

	return same && id ? reads_before(t, w, id - 1, r->entry->partition, r->entry->sequence) : 0;
}

static struct left *left_find(const struct recovery *t, uint64_t identity)
{
	uint64_t low = 0;
	uint64_t high = t->count;

	while (low < high) {
		uint64_t mid = low + (high - low) / 2;

		if (t->left[mid].identity < identity)
			low = mid + 1;
		else
			high = mid;
	}
	return low < t->count && t->left[low].identity == identity ? &t->left[low] : NULL;
}

static uint64_t left_msgid(const struct worker *w, const struct left *l)
{
	const struct request_record *rec = ring_at(&w->segment->request, l->record);

	return rec->entry[l->index].msgid;
}

/*
 * What the record of a request says its reply was: its result, which a group always has, or the
 * version of its one change.
 */
int recovery_after(struct recovery *t, const struct log_record *r, bool same)
{
	uint64_t id = r->frame->request_id;
	struct left *l = same && id ? left_find(t, id - 1) : NULL;
	struct span result = log_result_read(r->entry);

	if (!l || l->known)
		return 0;
	l->sequence = log_entry_last(r->entry);
	if (result.n)
		return keep(t, l, RESULT, result.p, result.n);
	if (r->entry->kind == LOG_RULED_OUT)
		return keep_never(t, l);
	if (r->entry->kind != LOG_CHANGE)
		return 0; /* run again it comes to the same */
	if (r->entry->count > 1)
		return -EBADMSG; /* whoever wrote a group gave it a result */
	l->known = VERSION;
	l->version = r->entry->sequence;
	return 0;
}

/* A kept reply at `p`, where there is room for left_room bytes.  Returns its end. */
static char *left_write(const struct worker *w, const struct left *l, char *p)
{
	if (l->known == VERSION)
		return op_change_result(write_reply_head(p, left_msgid(w, l)), l->method,
					l->version);
	if (l->known == RESULT)
		p = write_reply_msgid(p, left_msgid(w, l));
	memcpy(p, l->data, l->size);
	return p + l->size;
}

static void left_done(struct left *l)
{
	l->answered = true;
	free(l->data);
	l->data = NULL;
}

/* A kept reply into the ring. */
static int left_answer(struct worker *w, struct left *l)
{
	char *p;

	w->replies.begun_us = w->now_us; /* its predecessor's clock is not known */
	p = worker_room(w, RING_DURABLE, l->record, l->index, l->size + CODEC_REPLY_MAX);
	if (!p)
		return -EPIPE;
	replies_done(&w->replies, RING_DURABLE, left_write(w, l, p));
	left_done(l);
	return 0;
}

int recovery_lead(struct recovery *t, struct worker *w, uint32_t partition)
{
	for (uint64_t i = 0; i < t->count; i++) {
		struct left *l = &t->left[i];
		const struct request_record *rec = ring_at(&w->segment->request, l->record);
		char *p;

		if (!l->known || l->answered || !rec->entry[l->index].bucket_len ||
		    rec->entry[l->index].partition != partition)
			continue;
		t->scratch.len = 0;
		p = buf_room(&t->scratch, l->size + CODEC_REPLY_MAX);
		if (!p)
			return -ENOMEM;
		p = left_write(w, l, p);
		if (!replication_recovered(w->replication, rec, l->record, l->index, l->sequence,
					   l->known != REPLY, t->scratch.data,
					   (size_t)(p - t->scratch.data)))
			return -EPIPE;
		left_done(l);
	}
	return 0;
}

int recovery_answer(struct recovery *t, struct worker *w, uint32_t first)
{
	for (uint64_t i = 0; i < t->count; i++) {
		struct left *l = &t->left[i];
		const struct request_record *rec = ring_at(&w->segment->request, l->record);
		int r = 0;

		if (l->known && rec->entry[l->index].partition >= first)
			r = left_answer(w, l);

		if (r < 0)
			return r;
	}
	return 0;
}

bool recovery_answered(const struct recovery *t, uint64_t identity)
{
	const struct left *l = left_find(t, identity);

	/* Those that are not in the list had been answered before. */
	return !l || l->answered;
}

uint64_t recovery_count(const struct recovery *t)
{
	return t->count;
}

uint64_t recovery_end(const struct recovery *t)
{
	return t->end;
}
