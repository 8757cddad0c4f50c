/* Entries of the log as bytes: what they take, what comes back, what is refused. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/hash.h"
#include "common/log_size.h"
#include "storage/log/log_impl.h"
#include "storage/log/wal.h"
#include "tests/unit/lib/unit.h"

static _Alignas(8) char bytes[64 << 10];
static struct log_frame *const frame = (struct log_frame *)bytes;
static struct log_entry *const entry = (struct log_entry *)(bytes + sizeof(struct log_frame));

static void a_put_costs_at_most_80_bytes_more_than_its_data(void)
{
	static char data[1000];
	uint64_t s = unit_seed();
	uint64_t most = 0;

	for (int i = 0; i < 2000; i++) {
		struct log_change c = {
			.op = LOG_PUT, .delta = 1, .bucket = 7, .name = {data, 0}
                };
		uint64_t n;

		c.name.n = 1 + unit_random(&s) % 255;
		c.key = (struct span){data, 1 + unit_random(&s) % LOG_KEY_MAX};
		c.value = (struct span){data, unit_random(&s) % sizeof(data)};
		log_entry_end(frame,
			      log_change_write(log_entry_begin(frame, LOG_CHANGE, 0, 1, 1), &c));
		n = log_record_size(frame) - c.name.n - c.key.n - c.value.n;
		most = n > most ? n : most;
		EQ(LOG_RECORD_BYTES + log_change_size(&c), log_record_size(frame));
		/* What a put is admitted for is enough, with a ttl too. */
		TRUE_(log_record_size(frame) <= log_put_size(c.name.n, c.key.n, c.value.n));
		c.expiry = 1;
		TRUE_(LOG_RECORD_BYTES + log_change_size(&c) <=
		      log_put_size(c.name.n, c.key.n, c.value.n));
	}
	TRUE_(most <= 80);
}

static void span_random(uint64_t *s, struct span *x, size_t most, const char *from)
{
	*x = (struct span){from + unit_random(s) % 100, unit_random(s) % (most + 1)};
}

/* Of any op, lengths and expiry, in groups too, in buckets that differ or not. */
static void what_is_written_comes_back(void)
{
	static char data[4096];
	uint64_t s = unit_seed();

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (char)unit_random(&s);
	for (int round = 0; round < 2000; round++) {
		struct log_change want[6];
		struct log_change got;
		struct log_changes i;
		uint32_t n = 1 + (uint32_t)(unit_random(&s) % 6);
		char *p = log_entry_begin(frame, LOG_CHANGE, 17, 1000, n);

		for (uint32_t k = 0; k < n; k++) {
			struct log_change *c = &want[k];
			bool named = !k || unit_random(&s) % 2;

			c->op = (enum log_op)(1 + unit_random(&s) % (LOG_OP_END - 1));
			c->delta = (int)(unit_random(&s) % 3) - 1;
			c->bucket = unit_random(&s);
			c->expiry = unit_random(&s) % 2 ? unit_random(&s) : 0;
			span_random(&s, &c->name, 254, data);
			c->name.n = named ? c->name.n + 1 : 0;
			span_random(&s, &c->key, LOG_KEY_MAX, data);
			span_random(&s, &c->value, 700, data);
			p = log_change_write(p, c);
			if (!named) {
				c->name = want[k - 1].name;
				c->bucket = want[k - 1].bucket;
			}
		}
		log_entry_end(frame, p);
		frame->crc = log_frame_crc(frame, log_epoch_crc(5));
		TRUE_(log_record_valid(bytes, sizeof(bytes), log_epoch_crc(5)));
		TRUE_(!log_record_valid(bytes, sizeof(bytes), log_epoch_crc(6)));
		TRUE_(!log_record_valid(bytes, log_record_size(frame) - 8, log_epoch_crc(5)));
		log_changes_begin(&i, entry);
		for (uint32_t k = 0; k < n; k++) {
			EQ(1, log_changes_next(&i, &got));
			EQ(want[k].op, got.op);
			EQ(want[k].delta, got.delta);
			EQ(want[k].bucket, got.bucket);
			EQ(want[k].expiry, got.expiry);
			TRUE_(span_equal(want[k].name, got.name));
			TRUE_(span_equal(want[k].key, got.key));
			TRUE_(span_equal(want[k].value, got.value));
			EQ(1000 + k, i.sequence);
		}
		EQ(0, log_changes_next(&i, &got));
		TRUE_(i.at == i.end);
	}
}

/* A bit that turns, wherever it is, is noticed. */
static void each_bit_counts(void)
{
	const struct log_change c = {LOG_PUT,       1, 7, 99, span_of("bucket"), span_of("key"),
				     span_of("val")};
	size_t n;

	memset(bytes, 0, 512);
	log_entry_end(frame, log_change_write(log_entry_begin(frame, LOG_CHANGE, 0, 1, 1), &c));
	frame->lsn = 77;
	frame->request_id = 0x1234;
	frame->unsynced = 3;
	frame->commit_back = 0;
	frame->crc = log_frame_crc(frame, log_epoch_crc(1));
	n = log_record_size(frame);
	for (size_t bit = 0; bit < 8 * n; bit++) {
		bytes[bit / 8] = (char)(bytes[bit / 8] ^ 1 << bit % 8);
		TRUE_(!log_record_valid(bytes, sizeof(bytes), log_epoch_crc(1)));
		bytes[bit / 8] = (char)(bytes[bit / 8] ^ 1 << bit % 8);
	}
	TRUE_(log_record_valid(bytes, sizeof(bytes), log_epoch_crc(1)));
}

/* ---- what is refused ---- */

static char dir[300];
static unsigned dirs;

static void synced(void *arg, uint64_t mark, uint64_t lsn)
{
	(void)arg;
	(void)mark;
	(void)lsn;
}

static int take(void *arg, const struct log_record *r, bool same)
{
	(void)same;
	*(uint64_t *)arg = r->lsn;
	return 0;
}

/* Read the folder's log.  What is wrong with it, or "". */
static const char *replay(uint64_t *ret_last)
{
	static char why[256];
	const struct wal_config c = {dir, 128 << 10, 64 << 20, 16 << 10, 7, synced, NULL, NULL, 0};
	struct wal *w = NULL;
	uint64_t clock;
	int r;

	why[0] = '\0';
	*ret_last = 0;
	EQ(0, wal_new(&c, &w));
	r = wal_replay(w, 0, 0, 0, take, ret_last, &clock, why, sizeof(why));
	EQ(why[0] ? -EBADMSG : 0, r);
	wal_free(&w);
	return why;
}

static void segment_write(uint32_t version, const char *data, size_t n)
{
	struct wal_header h = {.magic = WAL_MAGIC,
			       .version = version,
			       .epoch = 1,
			       .generation = 7,
			       .first_lsn = 1,
			       .size = 128 << 10};
	char path[400];
	int fd;

	(void)snprintf(dir, sizeof(dir), "%s/entry-%u", unit_folder(), dirs++);
	EQ(0, mkdir(dir, 0700));
	h.crc = wal_header_crc(&h);
	wal_path(dir, 1, path, sizeof(path));
	fd = open(path, O_RDWR | O_CREAT, 0600);
	EQ(0, ftruncate(fd, 128 << 10));
	EQ(sizeof(h), pwrite(fd, &h, sizeof(h), 0));
	EQ(n, pwrite(fd, data, n, WAL_HEADER_BYTES));
	EQ(0, close(fd));
}

static void a_log_of_another_version_is_refused_with_what_to_do(void)
{
	uint64_t last;
	const char *why;

	segment_write(WAL_VERSION, "", 0);
	EQ(0, strlen(replay(&last)));
	for (uint32_t version = 1; version < WAL_VERSION; version++) {
		segment_write(version, "", 0);
		why = replay(&last);
		TRUE_(strstr(why, "wal-0000000000000001: made by an older version of Pail"));
		TRUE_(strstr(why, "`pail export`") && strstr(why, "`pail import`"));
	}
	segment_write(WAL_VERSION + 1, "", 0);
	TRUE_(strstr(replay(&last), "written by a newer version of Pail"));
}

/* A record of this version, which `change` makes one of another. */
struct other {
	const char *says;
	void (*change)(struct log_entry *e);
};

static struct log_change_head *head_of(struct log_entry *e)
{
	return (struct log_change_head *)e->data;
}

/* clang-format off */
static void kind_term(struct log_entry *e) { e->kind = LOG_TERM; }
static void kind_cut(struct log_entry *e) { e->kind = LOG_CUT; }
static void kind_load(struct log_entry *e) { e->kind = LOG_LOAD; }
static void kind_forget(struct log_entry *e) { e->kind = LOG_FORGET; }
static void kind_commit(struct log_entry *e) { e->kind = LOG_COMMIT; }
static void kind_new(struct log_entry *e) { e->kind = LOG_KIND_END; }
static void kind_none(struct log_entry *e) { e->kind = 0; }
static void flag_new(struct log_entry *e) { e->flags |= 4; }
static void group(struct log_entry *e) { e->count = 2; }
static void nothing(struct log_entry *e) { e->count = 0; }
static void op_new(struct log_entry *e) { head_of(e)->op_flags = LOG_OP_END; }
static void op_none(struct log_entry *e) { head_of(e)->op_flags = 0; }
static void change_flag_new(struct log_entry *e) { head_of(e)->op_flags |= 128; }
static void nameless(struct log_entry *e) { head_of(e)->name_len = 0; }
static void key_none(struct log_entry *e) { head_of(e)->key_len = 0; }
static void key_long(struct log_entry *e) { head_of(e)->key_len = LOG_KEY_MAX + 1; head_of(e)->value_len -= LOG_KEY_MAX; }
static void value_long(struct log_entry *e) { head_of(e)->value_len += 4096; }
static void value_short(struct log_entry *e) { head_of(e)->value_len -= 8; }
static void elsewhere(struct log_entry *e) { head_of(e)->number[0] += 1ull << PARTITION_SHIFT; }
static void both_ways(struct log_entry *e) { head_of(e)->op_flags |= LOG_COUNTS_LESS | LOG_COUNTS_ONE; }
static void value_of_delete(struct log_entry *e) { head_of(e)->op_flags = LOG_DELETE; }
static void value_of_touch(struct log_entry *e) { head_of(e)->op_flags = LOG_TOUCH; }
static void clock_short(struct log_entry *e) { e->kind = LOG_CLOCK; }
static void outcome_counted(struct log_entry *e) { e->kind = LOG_OUTCOME; }

static const struct other others[] = {
	{"a term without its number", kind_term}, {"lengths", kind_cut}, {"lengths", kind_load},
	{"lengths", kind_forget}, {"lengths", kind_commit},
	{"an entry of another kind", kind_new}, {"an entry of another kind", kind_none},
	{"flags of another", flag_new},
	{"a group without its result", group}, {"no change", nothing},
	{"a change of another kind", op_new}, {"a change of another kind", op_none},
	{"a change of another kind", change_flag_new}, {"makes no sense", nameless},
	{"makes no sense", key_none}, {"makes no sense", key_long},
	{"lengths", value_long}, {"lengths", value_short}, {"makes no sense", elsewhere},
	{"makes no sense", both_ways}, {"makes no sense", value_of_delete}, {"makes no sense", value_of_touch},
	{"lengths", clock_short}, {"an outcome with", outcome_counted},
};
/* clang-format on */

/* Two records, of which the second is of another version: not a torn tail, and not passed over. */
static void what_nobody_writes_yet_is_refused_by_name(void)
{
	static const char value[1000];
	const struct log_change c = {
		LOG_PUT,
		1,
		3ull << PARTITION_SHIFT | 2,
		0,
		span_of("b"),
		span_of("k"),
		{value, sizeof(value)}
        };
	static char file[8192];

	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		uint64_t at = 0;
		uint64_t last;
		const char *why;
		char where[64];

		for (uint64_t lsn = 1; lsn <= 2; lsn++) {
			log_entry_end(frame,
				      log_change_write(
					      log_entry_begin(frame, LOG_CHANGE, 3, lsn, 1), &c));
			if (lsn == 2) {
				(void)snprintf(where, sizeof(where), "offset %llu (lsn 2)",
					       (unsigned long long)(WAL_HEADER_BYTES + at));
				others[i].change(entry);
			}
			entry->crc = crc32c(0, &entry->size, entry->size - 4);
			memset(frame, 0, sizeof(*frame));
			frame->lsn = (uint32_t)lsn;
			frame->unsynced = 1;
			frame->crc = log_frame_crc(frame, log_epoch_crc(1));
			memcpy(file + at, bytes, log_record_size(frame));
			at += log_record_size(frame);
		}
		segment_write(WAL_VERSION, file, at);
		why = replay(&last);
		EQ(1, last);
		if (!strstr(why, others[i].says))
			(void)fprintf(stderr, "%zu: \"%s\" and not \"%s\"\n", i, why,
				      others[i].says);
		TRUE_(strstr(why, others[i].says));
		TRUE_(strstr(why, where));
		TRUE_(strstr(why, "wal-0000000000000001"));
		TRUE_(strstr(why, "newer version of Pail"));
	}
}

/* ---- the form that each kind has ---- */

static const struct log_session asked = {"0123456789abcde", 1ull << 40, 77, 0xfeed};
static const struct log_forget forgotten = {1700000000000};
static const struct log_place place = {7ull << 16 | 2, 1ull << 50};
static const struct log_load load = {
	{5, 6},
        1
};

enum { CHANGES_MOST = 40, RESULT_MOST = 300 };

/* What is in an entry, whatever its kind: made at random, written, read. */
struct form {
	uint8_t kind;
	bool session;
	bool result;
	uint32_t changes;
	uint32_t count;
	size_t result_n;
};

static struct form form_random(uint64_t *s)
{
	static const uint8_t kinds[] = {LOG_CHANGE,    LOG_CHANGE,         LOG_CHANGE, LOG_OUTCOME,
					LOG_RULED_OUT, LOG_FORGET_SESSION, LOG_CLOCK,  LOG_TERM,
					LOG_CUT,       LOG_COMMIT,         LOG_LOAD,   LOG_FORGET};
	struct form f = {.kind = kinds[unit_random(s) % sizeof(kinds)], .count = 1};

	f.result_n = unit_random(s) % RESULT_MOST;
	if (f.kind == LOG_CHANGE) {
		f.changes = unit_random(s) % 3 ? 1 + (uint32_t)(unit_random(s) % CHANGES_MOST) : 1;
		f.count = f.changes;
		f.session = unit_random(s) % 2;
		f.result = f.changes > 1 || unit_random(s) % 2;
	} else if (f.kind == LOG_OUTCOME) {
		f.session = unit_random(s) % 2;
		f.count = f.session;
		f.result = true;
	} else {
		f.session = f.kind == LOG_RULED_OUT;
		f.count = f.kind == LOG_CUT || f.kind == LOG_COMMIT || f.kind == LOG_LOAD ||
					  f.kind == LOG_FORGET
				  ? 0
				  : 1;
	}
	return f;
}

static struct log_change change_of(uint32_t i)
{
	static const char data[256] = "what is in keys and values, of which there is enough";
	struct log_change c = {
		.op = LOG_PUT,
		.delta = 1,
		.bucket = 3ull << PARTITION_SHIFT | (i / 7 + 1),
		.key = {data, 1 + i}
        };

	if (i % 7 == 0)
		c.name = (struct span){data, 1 + i};
	if (i % 3 == 1)
		c.expiry = 99 + i;
	if (i % 5 == 2) {
		c.op = LOG_DELETE;
		c.delta = -1;
		c.expiry = 0;
	} else {
		c.value = (struct span){data, 5 * i};
	}
	return c;
}

static struct span result_of(const struct form *f)
{
	static char data[RESULT_MOST];

	memset(data, 'r', sizeof(data));
	return (struct span){data, f->result_n};
}

static void form_write(const struct form *f)
{
	static const struct log_clock clock = {.clock_ms = 5};
	char *p;

	memset(bytes, 0xee, sizeof(bytes)); /* each byte of it is written */
	memset(frame, 0, sizeof(*frame));
	p = log_entry_begin(frame, (enum log_kind)f->kind, 3, 1000, f->count);
	if (f->session)
		p = log_session_write(frame, p, &asked);
	for (uint32_t i = 0; i < f->changes; i++) {
		struct log_change c = change_of(i);

		p = log_change_write(p, &c);
	}
	if (f->kind == LOG_CLOCK)
		p = log_clock_write(p, &clock);
	if (f->kind == LOG_FORGET_SESSION)
		p = log_forget_write(p, &forgotten);
	if (f->kind == LOG_TERM) {
		entry->term = 3;
		p = log_term_write(p, result_of(f));
	}
	if (f->kind == LOG_CUT || f->kind == LOG_COMMIT)
		p = log_place_write(p, &place);
	if (f->kind == LOG_LOAD)
		p = log_load_write(p, &load);
	if (f->result)
		p = log_result_write(frame, p, result_of(f));
	log_entry_end(frame, p);
}

static bool is_refused(void)
{
	const char *says = NULL;
	int r = log_entry_check(entry, &says);

	TRUE_(r == (says ? -EBADMSG : 0));
	return r < 0;
}

static void form_read(const struct form *f)
{
	const struct log_session *x = log_session_read(entry);
	struct log_changes i;
	struct log_change c;
	struct log_forget forget;
	struct span r = log_result_read(entry);
	uint32_t n = 0;

	EQ(f->session, x != NULL);
	TRUE_(!x || !memcmp(x, &asked, sizeof(asked)));
	log_changes_begin(&i, entry);
	while (log_changes_next(&i, &c) == 1) {
		struct log_change want = change_of(n);

		EQ(want.op, c.op);
		EQ(want.bucket, c.bucket);
		EQ(want.expiry, c.expiry);
		TRUE_(span_equal(change_of(n / 7 * 7).name, c.name));
		TRUE_(span_equal(want.key, c.key));
		TRUE_(span_equal(want.value, c.value));
		EQ(1000 + n, i.sequence);
		n++;
	}
	EQ(f->changes, n);
	EQ(f->result, !!(entry->flags & LOG_HAS_RESULT));
	TRUE_(span_equal(f->result ? result_of(f) : span_of(""), r));
	if (f->kind == LOG_FORGET_SESSION) {
		log_forget_read(entry, &forget);
		EQ(forgotten.made_ms, forget.made_ms);
	}
	if (f->kind == LOG_TERM)
		TRUE_(span_equal(result_of(f), log_term_read(entry)));
	if (f->kind == LOG_CUT || f->kind == LOG_COMMIT) {
		struct log_place at;

		log_place_read(entry, &at);
		TRUE_(!memcmp(&at, &place, sizeof(at)));
	}
	if (f->kind == LOG_LOAD) {
		struct log_load at;

		log_load_read(entry, &at);
		TRUE_(!memcmp(&at, &load, sizeof(at)));
	}
}

static void each_kind_comes_back_with_all_it_has(void)
{
	uint64_t s = unit_seed();

	for (int round = 0; round < 2000; round++) {
		struct form f = form_random(&s);

		form_write(&f);
		TRUE_(!is_refused());
		form_read(&f);
	}
}

/* One field is another: what then is there, nobody has written. */
static void what_a_kind_must_have_is_asked_for(void)
{
	uint64_t s = unit_seed();

	for (int round = 0; round < 2000; round++) {
		struct form f = form_random(&s);

		form_write(&f);
		entry->size += 8;
		TRUE_(is_refused());
		entry->size -= 16;
		TRUE_(is_refused());
		entry->size += 8;
		entry->count++;
		TRUE_(is_refused());
		entry->count -= 2; /* none may be UINT32_MAX then */
		TRUE_(is_refused());
		entry->count++;
		if (f.kind != LOG_CHANGE) {
			entry->flags ^= LOG_HAS_SESSION;
			TRUE_(is_refused());
			entry->flags ^= LOG_HAS_SESSION | LOG_HAS_RESULT;
			TRUE_(is_refused());
			entry->flags ^= LOG_HAS_RESULT;
		} else if (f.changes > 1 || f.result) { /* what is a result would be a change */
			entry->flags ^= LOG_HAS_RESULT;
			TRUE_(is_refused());
			entry->flags ^= LOG_HAS_RESULT;
		}
		TRUE_(!is_refused());
	}
}

/* What comes from another node must be whole, and of a kind that is sent. */
static void what_is_sent_is_looked_at_whole(void)
{
	uint64_t s = unit_seed();
	const char *says;

	for (int round = 0; round < 500; round++) {
		struct form f = form_random(&s);
		uint64_t size;
		char *at;

		form_write(&f);
		size = entry->size;
		EQ(f.count ? 0 : -EBADMSG, log_entry_check_sent(entry, size, &says));
		TRUE_(f.count ? !says : !strcmp(says, "a kind that is not sent"));
		EQ(f.count ? 0 : -EBADMSG, log_entry_check_sent(entry, size + 8, &says));
		EQ(-EBADMSG, log_entry_check_sent(entry, size - 1, &says));
		EQ(-EBADMSG, log_entry_check_sent(entry, unit_random(&s) % size, &says));
		at = (char *)entry + unit_random(&s) % size;
		*at = (char)(*at ^ 1 << unit_random(&s) % 8);
		EQ(-EBADMSG, log_entry_check_sent(entry, size, &says));
	}
}

/* A view as long as it may be, and one byte more, which somebody else must have written. */
static void a_view_has_its_bound(void)
{
	static char view[LOG_VIEW_MAX + 8];
	struct log_term_head *h = (struct log_term_head *)entry->data;

	for (size_t n = 0; n <= LOG_VIEW_MAX; n++) {
		char *p = log_entry_begin(frame, LOG_TERM, 3, 9, 1);

		entry->term = 1;
		log_entry_end(frame, log_term_write(p, (struct span){view, n}));
		TRUE_(!is_refused());
		EQ(n, log_term_read(entry).n);
		entry->term = 0;
		TRUE_(is_refused());
	}
	entry->term = 1;
	entry->size += 8;
	h->size += 1;
	TRUE_(is_refused());
}

/* Whatever bytes lie there: it is refused, or can be read to its end and not beyond. */
static void rotten_ones_are_read_within_their_bounds(void)
{
	uint64_t s = unit_seed();

	for (int round = 0; round < 20000; round++) {
		struct form f = form_random(&s);
		struct log_change c;
		struct log_changes i;
		struct log_entry *tight;
		const char *says;
		uint64_t n;

		form_write(&f);
		n = entry->size;
		for (unsigned k = 0; k < 3; k++)
			bytes[sizeof(*frame) + 16 + unit_random(&s) % (n - 16)] ^=
				(char)(1 << unit_random(&s) % 8);
		tight = malloc(n); /* what is read behind it, the sanitizer sees */
		memcpy(tight, entry, n);
		if (log_entry_check(tight, &says) == 0) {
			struct span r = log_result_read(tight);

			TRUE_(!r.n || r.p + r.n <= (const char *)tight + n);
			log_changes_begin(&i, tight);
			while (log_changes_next(&i, &c) == 1)
				TRUE_(c.value.p + c.value.n <= (const char *)tight + n);
		}
		free(tight);
	}
}

UNIT_MAIN(T(a_put_costs_at_most_80_bytes_more_than_its_data), T(what_is_written_comes_back),
	  T(each_bit_counts), T(a_log_of_another_version_is_refused_with_what_to_do),
	  T(what_nobody_writes_yet_is_refused_by_name), T(each_kind_comes_back_with_all_it_has),
	  T(what_is_sent_is_looked_at_whole), T(a_view_has_its_bound),
	  T(what_a_kind_must_have_is_asked_for), T(rotten_ones_are_read_within_their_bounds))
