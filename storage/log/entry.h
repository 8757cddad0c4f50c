/*
 * What is in the log.  A file holds records back to back; a record is a frame, which is this file's
 * alone, around an entry, which never changes on its way: the same bytes lie in every copy of a
 * partition, whatever files they are in.
 *
 *	frame	crc (of the file's epoch, the frame, and the entry's crc), lsn, whose request it was,
 *		how far the log was on disk at its writing
 *	entry	crc (of all behind it), size, term, sequence, partition, kind, flags, count; then, as
 *		flags and kind say: a session, the changes or the kind's own payload, a result
 *	change	lengths, op and flags; the bucket's id (if it is named), the expiry (if there is
 *		one); the bucket's name, key, value
 *
 * Each of these begins at a multiple of 8 and is filled up with zeros.  The lsn is contiguous in a
 * worker's log; the sequence is contiguous in a partition, and the version of what it wrote.
 *
 * A copy of a partition on another node has the same entries.  TERM is one of them; CUT, COMMIT, LOAD
 * and FORGET say what has become of this copy, take no sequence, and are never sent.
 */
#ifndef PAIL_LOG_ENTRY_H
#define PAIL_LOG_ENTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "common/check.h"
#include "common/partition.h"
#include "common/span.h"
#include "storage/log/spans.h"

#define LOG_KEY_MAX  480u /* bytes; more is no key */
#define LOG_VIEW_MAX 512u /* bytes of what a term begins with */

/* ---- on disk ---- */

struct log_frame {
	uint32_t crc;
	uint32_t lsn;         /* its low 32 bits: a file's header has the first one whole */
	uint64_t request_id;  /* identity of the request in its generation, plus 1; 0: nobody's */
	uint32_t unsynced;    /* lsn less the highest known to be on disk at writing */
	uint32_t commit_back; /* the entry's last sequence less that up to which all was known to be
			       * committed; 0 in term 0, where what is on disk is
			       */
};
_Static_assert(sizeof(struct log_frame) == 24, "layout on disk");

enum log_kind {
	LOG_CHANGE = 1,     /* one change; or a group of them, which is whole or not there at all */
	LOG_OUTCOME,        /* the result of a request that changed nothing */
	LOG_CLOCK,          /* what the time is, before somebody is told what depends on it */
	LOG_RULED_OUT,      /* a request of a session that has not run, and will not */
	LOG_FORGET_SESSION, /* sessions made until then are not known any more */
	LOG_TERM,           /* a primary begins to write */
	LOG_CUT,            /* what lies before this and is above a sequence is void */
	LOG_LOAD,           /* what lies before this is void: the copy comes from another node */
	LOG_FORGET,         /* likewise: there is no copy here any more */
	LOG_COMMIT,         /* so far all is committed, though no record follows to say so */
	LOG_KIND_END
};

/*
 * Flags of an entry.
 *
 *	kind		session	result	takes
 *	CHANGE		may	a group: always; one change: where it does not tell its reply	count
 *	OUTCOME		may	always	1 with a session, else 0
 *	CLOCK		no	no	1
 *	RULED_OUT	always	no	1
 *	FORGET_SESSION	no	no	1
 *	TERM		no	no	1
 *	CUT, LOAD, FORGET, COMMIT	no	no	0
 */
#define LOG_HAS_SESSION 1u
#define LOG_HAS_RESULT  2u

struct log_entry {
	uint32_t crc;
	uint32_t size;     /* of the entry, a multiple of 8 */
	uint64_t term;     /* 0 without replicas */
	uint64_t sequence; /* of its first change; if it takes none, the partition's last one */
	uint16_t partition;
	uint8_t kind;
	uint8_t flags;
	uint32_t count; /* how many sequences it takes */
	char data[];
};
_Static_assert(sizeof(struct log_entry) == 32, "layout on disk");

/* Behind the entry's head with LOG_HAS_SESSION: which request of which session it was. */
struct log_session {
	uint8_t id[16];
	uint64_t sequence;     /* the request's number in its session, not one of a partition */
	uint64_t acknowledged; /* nothing below it will be asked for again */
	uint64_t fingerprint;  /* of what was asked */
};
_Static_assert(sizeof(struct log_session) == 40, "layout on disk");

enum log_op {
	LOG_PUT = 1,
	LOG_DELETE,
	LOG_TOUCH, /* another version and expiry for what is there; it has no value of its own */
	LOG_CREATE,
	LOG_DROP,
	LOG_SWEEP, /* a delete of an expired key, by nobody's request */
	LOG_OP_END
};

/* A change's op is in the low four bits; these are beside it. */
#define LOG_OP_MASK     15u
#define LOG_HAS_EXPIRY  16u
#define LOG_COUNTS_ONE  32u /* the bucket has one key more */
#define LOG_COUNTS_LESS 64u /* one less */

/*
 * With a name (the first of an entry always) it names its bucket; else it is that of the last one.
 * All buckets of an entry are of its partition; the id of one that a change makes is that change's
 * sequence.
 */
struct log_change_head {
	uint32_t value_len;
	uint16_t key_len;
	uint8_t name_len;
	uint8_t op_flags;
	uint64_t number[]; /* the bucket's id, the expiry in unix ms */
};
_Static_assert(sizeof(struct log_change_head) == 8, "layout on disk");

/* The payload of LOG_CLOCK. */
struct log_clock {
	uint64_t clock_ms;   /* the store's clock; see pace.h */
	uint64_t boot_ms;    /* CLOCK_BOOTTIME then */
	uint8_t boot_id[16]; /* of which boot; zeros: not known */
};
_Static_assert(sizeof(struct log_clock) == 32, "layout on disk");

/* The payload of LOG_FORGET_SESSION. */
struct log_forget {
	uint64_t made_ms; /* unix ms: the latest making of a session that is forgotten */
};
_Static_assert(sizeof(struct log_forget) == 8, "layout on disk");

/* The payload of LOG_TERM: bytes that are the owner's, as those of a result. */
struct log_term_head {
	uint32_t size;
	uint32_t zero;
};
_Static_assert(sizeof(struct log_term_head) == 8, "layout on disk");

/* The payload of LOG_CUT (the last record that stays) and of LOG_COMMIT is a struct log_place. */

/* The payload of LOG_LOAD. */
struct log_load {
	struct log_place at; /* whole: up to here all is in base */
	uint64_t whole;      /* 0: it begins; 1: it has ended */
};
_Static_assert(sizeof(struct log_load) == 24, "layout on disk");

/*
 * A result is what a reply has behind its msgid: error and result, two MessagePack objects, in
 * whatever reply to whomever that asks.  Its length stands before its bytes.
 */
struct log_result_head {
	uint32_t size;
	uint32_t zero;
};
_Static_assert(sizeof(struct log_result_head) == 8, "layout on disk");

/* ---- in memory ---- */

/* A change as it is written and as it is read. */
struct log_change {
	enum log_op op;
	int delta;        /* change of the bucket's count: -1, 0, 1 */
	uint64_t bucket;  /* partition << PARTITION_SHIFT | the sequence of its making */
	uint64_t expiry;  /* unix ms; 0: never */
	struct span name; /* of the bucket; written only if it is not empty */
	struct span key;
	struct span value;
};

/* A record as it was read: it points into the file. */
struct log_record {
	uint64_t lsn;
	const struct log_frame *frame;
	const struct log_entry *entry;
};

static inline uint64_t log_round(uint64_t n)
{
	return (n + 7u) & ~(uint64_t)7;
}

/* ---- writing: begin, a session, changes or what the kind has, a result, end ---- */

/* Bytes that a record takes beside its entry's changes, payload and result. */
#define LOG_RECORD_BYTES (sizeof(struct log_frame) + sizeof(struct log_entry))

static inline uint64_t log_change_size(const struct log_change *c)
{
	return log_round(sizeof(struct log_change_head) + (c->name.n ? 8 + c->name.n : 0) +
			 (c->expiry ? 8 : 0) + c->key.n + c->value.n);
}

static inline uint64_t log_result_size(struct span result)
{
	return log_round(sizeof(struct log_result_head) + result.n);
}

/* Bytes of the record of one put, as storage accounts for it. */
static inline uint64_t log_put_size(size_t name_len, size_t key_len, size_t value_len)
{
	return LOG_RECORD_BYTES +
	       log_round(sizeof(struct log_change_head) + 16 + name_len + key_len + value_len);
}

/* The entry of a record for which there is room; what follows it is written at what this returns.
 */
static inline char *log_entry_begin(struct log_frame *f, enum log_kind kind, uint32_t partition,
				    uint64_t sequence, uint32_t count)
{
	struct log_entry *e = (struct log_entry *)(f + 1);

	f->commit_back = 0;
	e->term = 0;
	e->sequence = sequence;
	e->partition = (uint16_t)partition;
	e->kind = (uint8_t)kind;
	e->flags = 0;
	e->count = count;
	return e->data;
}

/* Each writes at `p` and returns where the next part goes. */
char *log_session_write(struct log_frame *f, char *p, const struct log_session *x);
char *log_change_write(char *p, const struct log_change *c);
char *log_clock_write(char *p, const struct log_clock *c);
char *log_forget_write(char *p, const struct log_forget *x);
char *log_result_write(struct log_frame *f, char *p, struct span result);
char *log_term_write(char *p, struct span view);
char *log_place_write(char *p, const struct log_place *x); /* of a cut or a commit */
char *log_load_write(char *p, const struct log_load *x);

/* It is whole, and ends at `p`: size and checksum. */
void log_entry_end(struct log_frame *f, const char *p);

/* What the checksums of a file's frames begin with. */
uint32_t log_epoch_crc(uint64_t epoch);
/* The checksum of a frame, whose entry has ended, in a file of which `epoch_crc` is that. */
uint32_t log_frame_crc(const struct log_frame *f, uint32_t epoch_crc);

/* ---- reading ---- */

static inline const struct log_entry *log_frame_entry(const struct log_frame *f)
{
	return (const struct log_entry *)(f + 1);
}

/* Bytes of the whole record. */
static inline uint64_t log_record_size(const struct log_frame *f)
{
	return sizeof(*f) + log_frame_entry(f)->size;
}

/*
 * Whether a whole record lies at `p`, of which `room` bytes may be read: its checksums are right.
 * What is in it is log_entry_check's.
 */
bool log_record_valid(const void *p, uint64_t room, uint32_t epoch_crc);

/*
 * Can this version read the entry?  0; or -EBADMSG: it is of a kind, or has flags, lengths or an
 * op, that nobody writes in this version, and *ret_why says which in a few words.
 */
int log_entry_check(const struct log_entry *e, const char **ret_why);

/* What is behind the entry's head and its session. */
static inline const char *log_entry_body(const struct log_entry *e)
{
	return e->data + (e->flags & LOG_HAS_SESSION ? sizeof(struct log_session) : 0);
}

/* Its session; NULL: it has none. */
static inline const struct log_session *log_session_read(const struct log_entry *e)
{
	return e->flags & LOG_HAS_SESSION ? (const struct log_session *)e->data : NULL;
}

/* The changes of an entry, in order; none if it is not of LOG_CHANGE. */
struct log_changes {
	const char *at;
	const char *end;
	uint32_t left;
	uint64_t sequence; /* of the change that came last */
	uint64_t bucket;
	struct span name;
	const struct log_change_head *head; /* of the change that came last */
};

void log_changes_begin(struct log_changes *i, const struct log_entry *e);
/* 1: *ret is the next one; 0: there are no more; -EBADMSG: it does not lie within the entry. */
int log_changes_next(struct log_changes *i, struct log_change *ret);

/* What LOG_CLOCK says. */
static inline void log_clock_read(const struct log_entry *e, struct log_clock *ret)
{
	check(e->kind == LOG_CLOCK);
	memcpy(ret, e->data, sizeof(*ret));
}

/* What LOG_FORGET_SESSION says. */
static inline void log_forget_read(const struct log_entry *e, struct log_forget *ret)
{
	check(e->kind == LOG_FORGET_SESSION);
	memcpy(ret, e->data, sizeof(*ret));
}

/* What LOG_TERM begins with. */
struct span log_term_read(const struct log_entry *e);

/* What LOG_CUT and LOG_COMMIT say. */
static inline void log_place_read(const struct log_entry *e, struct log_place *ret)
{
	check(e->kind == LOG_CUT || e->kind == LOG_COMMIT);
	memcpy(ret, e->data, sizeof(*ret));
}

/* What LOG_LOAD says. */
static inline void log_load_read(const struct log_entry *e, struct log_load *ret)
{
	check(e->kind == LOG_LOAD);
	memcpy(ret, e->data, sizeof(*ret));
}

/* The last sequence that it takes; of one that takes none, the partition's last. */
static inline uint64_t log_entry_last(const struct log_entry *e)
{
	return e->sequence + e->count - !!e->count;
}

/*
 * Is this, of which `room` bytes may be read, an entry as copies of a partition send it to each
 * other: whole, readable by this version, and of a kind that takes a sequence?  0 or -EBADMSG.
 */
int log_entry_check_sent(const void *p, uint64_t room, const char **ret_why);

/* The result of an entry that has been checked; empty: it has none. */
struct span log_result_read(const struct log_entry *e);

/* Of a change in an entry that has been checked. */
static inline enum log_op log_head_op(const struct log_change_head *h)
{
	return (enum log_op)(h->op_flags & LOG_OP_MASK);
}

static inline uint64_t log_head_expiry(const struct log_change_head *h)
{
	return h->op_flags & LOG_HAS_EXPIRY ? h->number[h->name_len ? 1 : 0] : 0;
}

static inline struct span log_head_name(const struct log_change_head *h)
{
	return (struct span){
		(const char *)&h->number[!!h->name_len + !!(h->op_flags & LOG_HAS_EXPIRY)],
		h->name_len};
}

static inline struct span log_head_key(const struct log_change_head *h)
{
	return (struct span){log_head_name(h).p + h->name_len, h->key_len};
}

static inline struct span log_head_value(const struct log_change_head *h)
{
	return (struct span){log_head_key(h).p + h->key_len, h->value_len};
}

static inline uint64_t log_head_size(const struct log_change_head *h)
{
	return log_round((uint64_t)(log_head_value(h).p - (const char *)h) + h->value_len);
}

#endif
