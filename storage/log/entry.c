/* Entries and their changes as bytes. */
#include "storage/log/entry.h"

#include <errno.h>

#include "common/hash.h"

/* ---- writing ---- */

static char *bytes_put(char *p, struct span s)
{
	if (s.n)
		memcpy(p, s.p, s.n);
	return p + s.n;
}

char *log_session_write(struct log_frame *f, char *p, const struct log_session *x)
{
	struct log_entry *e = (struct log_entry *)(f + 1);

	check_slow(p == e->data && e->kind != LOG_CLOCK && e->kind != LOG_FORGET_SESSION);
	e->flags |= LOG_HAS_SESSION;
	memcpy(p, x, sizeof(*x));
	return p + sizeof(*x);
}

char *log_change_write(char *p, const struct log_change *c)
{
	struct log_change_head *h = (struct log_change_head *)p;
	char *end = p + log_change_size(c);
	unsigned numbers = 0;
	unsigned flags = (unsigned)c->op;

	memset(end - 8, 0, 8); /* what the rest leaves of it */
	h->value_len = (uint32_t)c->value.n;
	h->key_len = (uint16_t)c->key.n;
	h->name_len = (uint8_t)c->name.n;
	if (c->name.n)
		h->number[numbers++] = c->bucket;
	if (c->expiry) {
		h->number[numbers++] = c->expiry;
		flags |= LOG_HAS_EXPIRY;
	}
	if (c->delta)
		flags |= c->delta > 0 ? LOG_COUNTS_ONE : LOG_COUNTS_LESS;
	h->op_flags = (uint8_t)flags;
	p = bytes_put((char *)&h->number[numbers], c->name);
	p = bytes_put(p, c->key);
	(void)bytes_put(p, c->value);
	return end;
}

char *log_clock_write(char *p, const struct log_clock *c)
{
	memcpy(p, c, sizeof(*c));
	return p + sizeof(*c);
}

char *log_forget_write(char *p, const struct log_forget *x)
{
	memcpy(p, x, sizeof(*x));
	return p + sizeof(*x);
}

char *log_result_write(struct log_frame *f, char *p, struct span result)
{
	struct log_result_head *h = (struct log_result_head *)p;
	char *end = p + log_result_size(result);

	memset(end - 8, 0, 8);
	((struct log_entry *)(f + 1))->flags |= LOG_HAS_RESULT;
	h->size = (uint32_t)result.n;
	h->zero = 0;
	(void)bytes_put((char *)(h + 1), result);
	return end;
}

char *log_term_write(char *p, struct span view)
{
	struct log_term_head *h = (struct log_term_head *)p;
	char *end = p + log_round(sizeof(*h) + view.n);

	check(view.n <= LOG_VIEW_MAX);
	memset(end - 8, 0, 8);
	h->size = (uint32_t)view.n;
	h->zero = 0;
	(void)bytes_put((char *)(h + 1), view);
	return end;
}

char *log_place_write(char *p, const struct log_place *x)
{
	memcpy(p, x, sizeof(*x));
	return p + sizeof(*x);
}

char *log_load_write(char *p, const struct log_load *x)
{
	memcpy(p, x, sizeof(*x));
	return p + sizeof(*x);
}

void log_entry_end(struct log_frame *f, const char *p)
{
	struct log_entry *e = (struct log_entry *)(f + 1);

	e->size = (uint32_t)(p - (const char *)e);
	check_slow(e->size >= sizeof(*e) && e->size % 8 == 0);
	e->crc = crc32c(0, &e->size, e->size - offsetof(struct log_entry, size));
}

uint32_t log_epoch_crc(uint64_t epoch)
{
	return crc32c(0, &epoch, sizeof(epoch));
}

uint32_t log_frame_crc(const struct log_frame *f, uint32_t epoch_crc)
{
	/* The rest of the frame, and the entry's checksum, which lies right behind it. */
	return crc32c(epoch_crc, &f->lsn, sizeof(*f) - sizeof(f->crc) + sizeof(uint32_t));
}

/* ---- reading ---- */

bool log_record_valid(const void *p, uint64_t room, uint32_t epoch_crc)
{
	const struct log_frame *f = p;
	const struct log_entry *e = log_frame_entry(f);

	if (room < LOG_RECORD_BYTES || e->size < sizeof(*e) || e->size > room - sizeof(*f) ||
	    e->size % 8 || f->crc != log_frame_crc(f, epoch_crc))
		return false;
	return crc32c(0, &e->size, e->size - offsetof(struct log_entry, size)) == e->crc;
}

static const char *entry_end(const struct log_entry *e)
{
	return (const char *)e + e->size;
}

void log_changes_begin(struct log_changes *i, const struct log_entry *e)
{
	i->at = log_entry_body(e);
	i->end = entry_end(e);
	i->left = e->kind == LOG_CHANGE ? e->count : 0;
	i->sequence = e->sequence - 1;
	i->bucket = 0;
	i->name = (struct span){"", 0};
	i->head = NULL;
}

int log_changes_next(struct log_changes *i, struct log_change *ret)
{
	const struct log_change_head *h = (const struct log_change_head *)i->at;
	size_t room = (size_t)(i->end - i->at);

	if (!i->left)
		return 0;
	/* First the fixed part, then what it says of itself. */
	if (room < sizeof(*h) || (size_t)(log_head_name(h).p - i->at) > room ||
	    log_head_size(h) > room)
		return -EBADMSG;
	if (h->name_len) {
		i->bucket = h->number[0];
		i->name = log_head_name(h);
	}
	ret->op = log_head_op(h);
	ret->delta = !!(h->op_flags & LOG_COUNTS_ONE) - !!(h->op_flags & LOG_COUNTS_LESS);
	ret->bucket = i->bucket;
	ret->expiry = log_head_expiry(h);
	ret->name = i->name;
	ret->key = log_head_key(h);
	ret->value = log_head_value(h);
	i->head = h;
	i->at += log_head_size(h);
	i->sequence++;
	i->left--;
	return 1;
}

struct span log_result_read(const struct log_entry *e)
{
	const struct log_result_head *h;
	struct log_changes i;
	struct log_change c;

	if (!(e->flags & LOG_HAS_RESULT))
		return (struct span){"", 0};
	check(e->kind == LOG_OUTCOME || e->kind == LOG_CHANGE);
	log_changes_begin(&i, e);
	while (log_changes_next(&i, &c) == 1)
		; /* it lies behind the last one */
	h = (const struct log_result_head *)i.at;
	return (struct span){(const char *)(h + 1), h->size};
}

struct span log_term_read(const struct log_entry *e)
{
	const struct log_term_head *h = (const struct log_term_head *)e->data;

	check(e->kind == LOG_TERM);
	return (struct span){(const char *)(h + 1), h->size};
}

/* ---- what this version can read ---- */

static bool change_is_sane(const struct log_change *c, const struct log_change_head *h,
			   uint32_t partition, uint64_t sequence)
{
	bool of_bucket = c->op == LOG_CREATE || c->op == LOG_DROP;

	return c->name.n && c->bucket >> PARTITION_SHIFT == partition &&
	       (h->op_flags & (LOG_COUNTS_ONE | LOG_COUNTS_LESS)) !=
		       (LOG_COUNTS_ONE | LOG_COUNTS_LESS) &&
	       (c->op != LOG_CREATE ||
		c->bucket == ((uint64_t)partition << PARTITION_SHIFT | sequence)) &&
	       of_bucket == !c->key.n && c->key.n <= LOG_KEY_MAX &&
	       (c->op == LOG_PUT || !c->value.n) &&
	       (c->op == LOG_PUT || c->op == LOG_TOUCH || !c->expiry);
}

/* Does a result lie at `at`, and nothing behind it? */
static bool result_fits(const struct log_entry *e, const char *at)
{
	const struct log_result_head *h = (const struct log_result_head *)at;
	uint64_t room = (uint64_t)(entry_end(e) - at);

	return room >= sizeof(*h) && !h->zero && log_round(sizeof(*h) + (uint64_t)h->size) == room;
}

static const char *changes_check(const struct log_entry *e)
{
	bool result = e->flags & LOG_HAS_RESULT;
	struct log_changes i;
	struct log_change c;
	int r;

	if (e->count < 1)
		return "no change";
	if (e->count > 1 && !result)
		return "a group without its result";
	log_changes_begin(&i, e);
	while ((r = log_changes_next(&i, &c)) == 1) {
		if (c.op < LOG_PUT || c.op >= LOG_OP_END ||
		    i.head->op_flags &
			    ~(LOG_OP_MASK | LOG_HAS_EXPIRY | LOG_COUNTS_ONE | LOG_COUNTS_LESS))
			return "a change of another kind";
		if (!change_is_sane(&c, i.head, e->partition, i.sequence))
			return "a change that makes no sense";
	}
	if (r < 0 || (result ? !result_fits(e, i.at) : i.at != i.end))
		return "lengths that do not fit";
	return NULL;
}

static const char *outcome_check(const struct log_entry *e)
{
	if (e->count != !!(e->flags & LOG_HAS_SESSION))
		return "an outcome with a sequence of its own";
	return e->flags & LOG_HAS_RESULT && result_fits(e, log_entry_body(e))
		       ? NULL
		       : "lengths that do not fit";
}

static const char *term_check(const struct log_entry *e)
{
	const struct log_term_head *h = (const struct log_term_head *)e->data;
	uint64_t room = (uint64_t)(entry_end(e) - e->data);

	if (!e->term)
		return "a term without its number";
	return e->count == 1 && room >= sizeof(*h) && !h->zero && h->size <= LOG_VIEW_MAX &&
			       log_round(sizeof(*h) + (uint64_t)h->size) == room
		       ? NULL
		       : "lengths that do not fit";
}

/* What a kind has of these, and its own payload. */
struct shape {
	uint8_t may; /* flags */
	uint8_t must;
	uint8_t payload; /* bytes; changes, results and views are looked at themselves */
	uint8_t count;   /* sequences that it takes, if it is its payload alone */
};

/* clang-format off */
static const struct shape shapes[LOG_KIND_END] = {
	/*                      may                                must             payload                    count */
	[LOG_CHANGE]         = {LOG_HAS_SESSION | LOG_HAS_RESULT,  0,               0,                         0},
	[LOG_OUTCOME]        = {LOG_HAS_SESSION | LOG_HAS_RESULT,  0,               0,                         0},
	[LOG_CLOCK]          = {0,                                 0,               sizeof(struct log_clock),  1},
	[LOG_RULED_OUT]      = {LOG_HAS_SESSION,                   LOG_HAS_SESSION, 0,                         1},
	[LOG_FORGET_SESSION] = {0,                                 0,               sizeof(struct log_forget), 1},
	[LOG_TERM]           = {0,                                 0,               0,                         0},
	[LOG_CUT]            = {0,                                 0,               sizeof(struct log_place),  0},
	[LOG_LOAD]           = {0,                                 0,               sizeof(struct log_load),   0},
	[LOG_FORGET]         = {0,                                 0,               0,                         0},
	[LOG_COMMIT]         = {0,                                 0,               sizeof(struct log_place),  0},
};
/* clang-format on */

static const char *payload_check(const struct log_entry *e)
{
	const struct shape *x = &shapes[e->kind];
	struct log_load load;

	if (e->count != x->count || log_entry_body(e) + x->payload != entry_end(e))
		return "lengths that do not fit";
	if (e->kind == LOG_LOAD) {
		log_load_read(e, &load);
		if (load.whole > 1)
			return "a load of another kind";
	}
	return NULL;
}

static const char *entry_fault(const struct log_entry *e)
{
	if (!e->kind || e->kind >= LOG_KIND_END)
		return "an entry of another kind";
	if (e->flags & ~shapes[e->kind].may ||
	    (e->flags & shapes[e->kind].must) != shapes[e->kind].must)
		return "flags of another version";
	if (e->partition >= PARTITIONS_MAX)
		return "a partition that there cannot be";
	if (log_entry_body(e) > entry_end(e))
		return "lengths that do not fit";
	switch (e->kind) {
	case LOG_CHANGE:
		return changes_check(e);
	case LOG_OUTCOME:
		return outcome_check(e);
	case LOG_TERM:
		return term_check(e);
	default:
		return payload_check(e);
	}
}

int log_entry_check(const struct log_entry *e, const char **ret_why)
{
	*ret_why = entry_fault(e);
	return *ret_why ? -EBADMSG : 0;
}

int log_entry_check_sent(const void *p, uint64_t room, const char **ret_why)
{
	const struct log_entry *e = p;

	*ret_why = "not what was sent";
	if (room < sizeof(*e) || e->size < sizeof(*e) || e->size % 8 || e->size > room ||
	    e->crc != crc32c(0, &e->size, e->size - offsetof(struct log_entry, size)))
		return -EBADMSG;
	if (log_entry_check(e, ret_why) < 0)
		return -EBADMSG;
	*ret_why = e->count ? NULL : "a kind that is not sent";
	return e->count ? 0 : -EBADMSG;
}
