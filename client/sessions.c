/* Sessions: one is taken before the first write, numbered through, and acknowledged at the end. */
#include <stdio.h>
#include <stdlib.h>

#include "client/failover.h"

#define ASK_MS       2000u /* a session is waited for so long, then asked for again */
#define WAIT_MS      100u  /* behind a refusal */
#define ACK_MS       2000u
#define ACKS_AT_ONCE 64u

/* ---- taking one ---- */

static void session_came(void *arg, const struct pail_result *r)
{
	struct failover *f = arg;
	struct session_taken *s = NULL;

	f->asking = NULL;
	if (r->status == PAIL_OK && r->value.size == WIRE_SESSION_BYTES)
		s = calloc(1, sizeof(*s));
	if (!s) {
		f->ask_ms = f->now_ms + WAIT_MS;
		(void)snprintf(f->ask_why, sizeof(f->ask_why), "no session could be had: %.150s",
			       r->status == PAIL_OK ? "the node sent none" : r->text);
		due_by(f, f->ask_ms);
		return;
	}
	memcpy(s->id, r->value.data, WIRE_SESSION_BYTES);
	s->seq = 1;
	written_init(&s->written);
	f->session = s;
	f->ask_why[0] = '\0';
	due_by(f, f->now_ms);
}

static void session_ask(struct failover *f)
{
	struct form form;

	if (f->asking || f->now_ms < f->ask_ms || !form_take(&form, WIRE_SESSION, 0, NULL, 0))
		return;
	f->asking = waiting_own(f, &form, ASK_MS, session_came, f);
}

/* ---- acknowledging ---- */

uint64_t session_floor(const struct session_taken *s)
{
	return s->first ? s->first->seq : s->seq;
}

/* Tell the bucket that was written to longest ago that nothing below `n` is asked for. */
static bool ack_send(struct failover *f, struct session_taken *s, uint64_t n)
{
	const struct written_bucket *b = written_oldest(&s->written);
	char params[WIRE_BUCKET_MAX + WIRE_SESSION_BYTES + 3 * CODEC_HEAD_MAX];
	struct form form;
	char *p;

	p = write_bin(params, b->name, b->name_size);
	p = write_bin(p, s->id, WIRE_SESSION_BYTES);
	p = write_uint(p, n);
	written_remove_oldest(&s->written);
	return form_take(&form, WIRE_ACK, 3, params, (size_t)(p - params)) &&
	       waiting_own(f, &form, ACK_MS, NULL, NULL);
}

/* Room for another bucket.  False: all are being written to. */
static bool written_room(struct failover *f, struct session_taken *s)
{
	uint64_t floor = session_floor(s);
	unsigned n = 0;

	while (n < ACKS_AT_ONCE && written_oldest(&s->written) &&
	       written_oldest(&s->written)->seq < floor) {
		(void)ack_send(f, s, floor);
		n++;
	}
	return n > 0;
}

unsigned session_acknowledge(struct failover *f)
{
	struct session_taken *s = f->session;
	unsigned n = 0;

	while (s && written_oldest(&s->written))
		n += ack_send(f, s, s->seq);
	return n;
}

/* ---- being one of it ---- */

bool session_join(struct failover *f, struct waiting *w)
{
	struct session_taken *s = f->session;
	const char *p = w->form.data;
	struct span bucket;

	if (!s) {
		session_ask(f);
		return false;
	}
	if (s->seq - session_floor(s) >= WINDOW_MAX)
		return false;
	bucket = read_bytes(&p);
	if (!written_add(&s->written, bucket, s->seq) &&
	    !(written_room(f, s) && written_add(&s->written, bucket, s->seq)))
		return false;
	w->session = s;
	w->seq = s->seq++;
	w->earlier = s->last;
	w->later = NULL;
	*(s->last ? &s->last->later : &s->first) = w;
	s->last = w;
	return true;
}

static void session_drop(struct session_taken *s)
{
	written_free(&s->written);
	free(s);
}

void session_leave(struct waiting *w)
{
	struct session_taken *s = w->session;

	if (!s)
		return;
	*(w->earlier ? &w->earlier->later : &s->first) = w->later;
	*(w->later ? &w->later->earlier : &s->last) = w->earlier;
	w->session = NULL;
	if (s != w->of->session && !s->first)
		session_drop(s);
}

void session_forget(struct failover *f, const struct session_taken *s)
{
	if (f->session == s)
		f->session = NULL;
}

void session_free(struct failover *f)
{
	if (f->session)
		session_drop(f->session);
	f->session = NULL;
}
