/* Records of the rings: what the coordinator writes down of a request is what the worker finds. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "coordinator/queue/queue.h"
#include "ipc/shm/records.h"
#include "ipc/wire/request.h"
#include "tests/unit/lib/unit.h"
#include "worker/replies.h"

#define RING_BYTES (1u << 20)
#define VALUE_MAX  70000u
#define COUNT_MAX  8u

static struct node node = {.now_ms = 7, .now_us = 7123};
static struct queue queue;

/* A request, its bytes of its own, as the front makes an item of it. */
struct made {
	char *data;
	struct request request;
	struct options options;
	struct request_parts parts;
};

static void open_queue(void)
{
	static const struct settings settings = {.workers = 1, .value_max = VALUE_MAX};

	queue = (struct queue){.node = &node, .wake = -1, .due_ms = UINT64_MAX};
	EQ(0, segment_create(&settings, &(struct segment_room){RING_BYTES, RING_BYTES, 0, 0},
			     &queue.segment));
}

/* Bytes in each of the forms that MessagePack has for them. */
static char *write_any(char *p, const char *data, size_t n, unsigned form)
{
	if (form == 0 && n < 32)
		return write_str(p, data, n);
	if (form <= 1 && n < 256)
		return write_bin(p, data, n);
	*p++ = (char)(form == 2 ? 0xc6 : 0xdb); /* a length of four bytes, as bin and as str */
	for (int shift = 24; shift >= 0; shift -= 8)
		*p++ = (char)(n >> shift);
	memcpy(p, data, n);
	return p + n;
}

static void take_in(struct made *m, const char *end)
{
	const char *bad;
	char why[256];

	EQ(0, request_walk(m->data, end, &m->request, &bad));
	EQ(WIRE_OK, request_check(&m->request, &m->options, why, sizeof(why)));
	EQ(WIRE_OK,
	   request_parts(&m->request, &m->options, VALUE_MAX, &m->parts, why, sizeof(why)));
}

static struct item item_of(const struct made *m, uint32_t index)
{
	return (struct item){
		.data = m->data,
		.size = (uint32_t)(m->request.end - m->data),
		.timeout_ms = (uint32_t)m->options.timeout_ms,
		.next = index + 1,
		.msgid = m->request.msgid,
		.index = (uint16_t)(100 + index),
		.method = (uint8_t)m->request.method,
		.options = m->options.given & ~(unsigned)OPT_TIMEOUT ? &m->options : NULL,
		.partition = (uint16_t)(index * 501),
		.bucket = m->request.bucket,
		.key = m->parts.key,
		.value = m->parts.value,
	};
}

static struct span leads_to(const struct request_record *rec, uint32_t i, struct entry_span s)
{
	const struct request_entry *e = &rec->entry[i];

	TRUE_(e->offset + s.at + s.size <= rec->size);
	return (struct span){record_bytes(rec, e) + s.at, s.size};
}

static void same_options(const struct request_record *rec, uint32_t i, const struct options *o)
{
	const struct entry_options *e = record_options(rec, &rec->entry[i]);

	EQ(!(o->given & ~(unsigned)OPT_TIMEOUT), !e);
	if (!e)
		return;
	EQ(0, (uintptr_t)e % _Alignof(struct entry_options));
	EQ(o->given, e->given);
	EQ(o->if_absent, !!(e->on & OPT_IF_ABSENT));
	EQ(o->reverse, !!(e->on & OPT_REVERSE));
	EQ(o->keys_only, !!(e->on & OPT_KEYS_ONLY));
	EQ(o->with_ttl, !!(e->on & OPT_WITH_TTL));
	EQ(o->if_version, e->if_version);
	EQ(o->ttl_ms, e->ttl_ms);
	EQ(o->limit, e->limit);
	TRUE_(span_equal(o->prefix, leads_to(rec, i, e->prefix)));
	TRUE_(span_equal(o->from, leads_to(rec, i, e->from)));
	TRUE_(span_equal(o->to, leads_to(rec, i, e->to)));
	TRUE_(span_equal(o->after, leads_to(rec, i, e->after)));
	TRUE_(span_equal(o->names, leads_to(rec, i, e->names)));
	TRUE_(span_equal(o->partitions, leads_to(rec, i, e->partitions)));
	TRUE_(span_equal(o->set, leads_to(rec, i, e->set)));
}

/* The request's own bytes are gone by then: nothing may lead out of the record. */
static void same(const struct request_record *rec, uint32_t i, const struct item *it,
		 const struct options *o)
{
	const struct request_entry *e = &rec->entry[i];

	TRUE_(record_fits(rec, i));
	EQ(it->msgid, e->msgid);
	EQ(it->method, e->method);
	EQ(it->index, e->index);
	EQ(it->timeout_ms, e->timeout_ms);
	EQ(it->partition, e->partition);
	EQ(ENTRY_OPEN, atomic_load(&e->state));
	EQ(0, e->flags & ENTRY_SESSION);
	TRUE_(span_equal(it->bucket, record_bucket(rec, e)));
	TRUE_(span_equal(it->key, record_key(rec, e)));
	TRUE_(span_equal(it->value, record_value(rec, e)));
	same_options(rec, i, o);
}

/* Push `count` requests as one record, look at it, free it. */
static void round_trip(struct made *made, uint32_t count)
{
	struct ring *ring = &queue.segment->request;
	struct item item[COUNT_MAX];
	uint64_t at = ring->write;
	const struct request_record *rec;
	uint64_t bytes = 0;

	for (uint32_t i = 0; i < count; i++) {
		item[i] = item_of(&made[i], i);
		bytes += queue_item_bytes(&item[i]);
	}
	EQ(0, queue_push(&queue, (struct reply_to){3, 0, 9}, item, 0, count, bytes, 5, true));
	EQ(5, ((struct request_record *)ring_at(ring, at))->turn);
	rec = ring_at(ring, at);
	EQ(count, rec->count);
	EQ(count, rec->open);
	EQ(7123, rec->recv_us);
	EQ(7, record_recv_ms(rec));
	EQ(ring->write, at + rec->size);
	TRUE_(rec->size <= ring_round(queue_record_bytes(bytes)));
	for (uint32_t i = 0; i < count; i++)
		same(rec, i, &item[i], &made[i].options);
	ring_free(ring, ring->write);
}

static char bytes_of[VALUE_MAX + 64]; /* runs of any length begin a little behind its begin */

static size_t some_length(uint64_t *s, size_t most)
{
	static const size_t lengths[] = {0,   1,   7,   31,    32,    33,
					 255, 256, 480, 65535, 65536, VALUE_MAX};
	size_t n = lengths[unit_random(s) % (sizeof(lengths) / sizeof(lengths[0]))];

	return n <= most ? n : 1 + unit_random(s) % most;
}

static char *some_options(char *p, uint64_t *s, int method)
{
	static const struct {
		const char *name;
		enum option_bit bit;
	} all[] = {
		{"timeout",    OPT_TIMEOUT   },
		{"if_version", OPT_IF_VERSION},
		{"if_absent",  OPT_IF_ABSENT },
		{"ttl",        OPT_TTL       },
		{"ttl",        OPT_WITH_TTL  },
		{"prefix",     OPT_PREFIX    },
		{"from",       OPT_FROM      },
		{"to",         OPT_TO        },
		{"after",      OPT_AFTER     },
		{"limit",      OPT_LIMIT     },
		{"reverse",    OPT_REVERSE   },
		{"keys_only",  OPT_KEYS_ONLY },
		{"set",        OPT_SET       },
		{"names",      OPT_NAMES     },
		{"partitions", OPT_PARTITIONS}
        };
	const unsigned bools = OPT_IF_ABSENT | OPT_WITH_TTL | OPT_REVERSE | OPT_KEYS_ONLY;
	const unsigned spans =
		OPT_PREFIX | OPT_FROM | OPT_TO | OPT_AFTER | OPT_NAMES | OPT_PARTITIONS;
	uint64_t chosen = unit_random(s);
	char *head = p++;
	uint32_t n = 0;

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		if (!method_takes(method, all[i].bit) || !(chosen >> i & 1) ||
		    (all[i].bit == OPT_IF_ABSENT && chosen >> 1 & 1))
			continue;
		n++;
		p = write_text(p, all[i].name);
		if (all[i].bit & bools)
			p = write_bool(p, chosen >> (20 + i) & 1);
		else if (all[i].bit == OPT_SET)
			p = write_bin(p, bytes_of, CODEC_SET_BYTES);
		else if (all[i].bit & spans)
			p = write_any(p, bytes_of + i, some_length(s, 300), chosen >> 40 & 3);
		else
			p = write_uint(p, 1 + (chosen >> 20 & 1023));
	}
	*head = (char)(0x80 | n);
	return p;
}

static void some_request(struct made *m, uint64_t *s)
{
	static const int methods[] = {WIRE_PUT,  WIRE_GET,    WIRE_DELETE, WIRE_SCAN,   WIRE_COUNT,
				      WIRE_HEAD, WIRE_CREATE, WIRE_DROP,   WIRE_BUCKETS};
	static char data[2 * VALUE_MAX];
	int method = methods[unit_random(s) % (sizeof(methods) / sizeof(methods[0]))];
	uint64_t r = unit_random(s);
	bool options = r & 1;
	char *p = write_request_head(data, r >> (r & 63), (enum wire_method)method,
				     wire_methods[method].most - !options);

	if (method_is(method, METHOD_BUCKET))
		p = write_any(p, bytes_of + 1, 1 + unit_random(s) % WIRE_BUCKET_MAX, r >> 8 & 3);
	if (method_is(method, METHOD_KEY))
		p = write_any(p, bytes_of + 2, 1 + unit_random(s) % WIRE_KEY_MAX, r >> 10 & 3);
	if (method_is(method, METHOD_VALUE))
		p = write_any(p, bytes_of + 3, some_length(s, VALUE_MAX), r >> 12 & 3);
	if (options)
		p = some_options(p, s, method);
	m->data = malloc((size_t)(p - data)); /* its own, so that a sanitizer sees its ends */
	memcpy(m->data, data, (size_t)(p - data));
	take_in(m, m->data + (p - data));
}

static void any_request_comes_out_as_it_went_in(void)
{
	uint64_t s = unit_seed();

	for (size_t i = 0; i < sizeof(bytes_of); i++)
		bytes_of[i] = (char)unit_random(&s);
	open_queue();
	for (int round = 0; round < 3000; round++) {
		struct made made[COUNT_MAX];
		uint32_t count = 1 + (uint32_t)(unit_random(&s) % COUNT_MAX);

		for (uint32_t i = 0; i < count; i++)
			some_request(&made[i], &s);
		round_trip(made, count);
		for (uint32_t i = 0; i < count; i++)
			free(made[i].data);
	}
	segment_free(&queue.segment);
}

/* `method` of the bucket b with what follows in its session, as the worker finds it.  NULL: it finds
 * none. */
static const struct entry_session *session_in(enum wire_method method, uint32_t params,
					      const char *more, size_t n)
{
	char data[256];
	struct made m = {.data = data};
	char *p = write_text(write_request_head(data, 1, method, params), "b");
	struct ring *ring = &queue.segment->request;
	uint64_t at = ring->write;
	const struct request_record *rec = ring_at(ring, at);
	struct item item;

	memcpy(p, more, n);
	take_in(&m, p + n);
	m.options.fingerprint = 77;
	item = item_of(&m, 0);
	EQ(0, queue_push(&queue, (struct reply_to){3, 0, 9}, &item, 0, 1, queue_item_bytes(&item),
			 5, true));
	TRUE_(record_fits(rec, 0));
	TRUE_(rec->size <= ring_round(queue_record_bytes(queue_item_bytes(&item))));
	EQ(item_writes(&item), entry_writes(&rec->entry[0]));
	ring_free(ring, ring->write); /* nobody writes over it before it has been looked at */
	return record_session(rec, &rec->entry[0]);
}

#define ID         \
	"\xc4\x10" \
	"0123456789abcdef"
#define SESSION "\xa7session" ID
#define SEQ     "\xa3seq\xcd\x01\x02"
#define ACK    \
	"\xa3" \
	"ack\x07"
#define IN(method, params, more) session_in(method, params, more, sizeof(more) - 1)

static void same_session(const struct entry_session *e, uint64_t seq, uint64_t ack,
			 uint64_t fingerprint)
{
	TRUE_(e);
	EQ(0, (uintptr_t)e % _Alignof(struct entry_session));
	SAME((const char *)e->id, sizeof(e->id), "0123456789abcdef");
	EQ(seq, e->seq);
	EQ(ack, e->ack);
	EQ(fingerprint, e->fingerprint);
}

static void a_session_goes_with_its_request(void)
{
	open_queue();
	same_session(IN(WIRE_CREATE, 2, "\x82" SESSION SEQ), 258, 0, 77);
	same_session(IN(WIRE_DROP, 2, "\x83" ACK SESSION SEQ), 258, 7, 77);
	same_session(IN(WIRE_PUT, 4, "\xa1k\xa1v\x84" SEQ ACK SESSION "\xa3ttl\x05"), 258, 7, 77);
	same_session(IN(WIRE_TXN, 2,
			"\x83" SEQ SESSION "\xa4then\x91\x92\xa6"
			"delete\xa1k"),
		     258, 0, 77);
	same_session(IN(WIRE_CALL, 5,
			"\xa1m\xa1"
			"f\x90\x82" SEQ SESSION),
		     258, 0, 77);
	same_session(IN(WIRE_OUTCOME, 3, ID "\x09"), 9, 0, 0);
	same_session(IN(WIRE_ACK, 3, ID "\x09"), 0, 9, 0);
	/* What only reads has nothing to say but what it acknowledges. */
	TRUE_(!IN(WIRE_TXN, 2, "\x83" SEQ SESSION "\xa4then\x91\x92\xa3get\xa1k"));
	same_session(IN(WIRE_TXN, 2, "\x84" SEQ SESSION ACK "\xa4then\x91\x92\xa3get\xa1k"), 258, 7,
		     77);
	TRUE_(!IN(WIRE_PUT, 4, "\xa1k\xa1v\x81\xa3ttl\x05"));
	segment_free(&queue.segment);
}

/* A put of `n` bytes.  Returns what its record takes beyond bucket, key and value. */
static uint64_t beyond(size_t n, uint64_t *ret_size)
{
	char data[512];
	struct made m = {.data = data};
	char *p = write_request_head(data, 1, WIRE_PUT, 3);
	uint64_t at = queue.segment->request.write;
	const struct request_record *rec;

	p = write_bin(write_text(write_text(p, "fruit"), "apple"), bytes_of, n);
	take_in(&m, p);
	round_trip(&m, 1);
	rec = ring_at(&queue.segment->request, at);
	*ret_size = rec->size;
	return entry_size(&rec->entry[0]) - 5 - 5 - n;
}

static void a_small_put_takes_little(void)
{
	uint64_t size;

	open_queue();
	EQ(3, beyond(100, &size));
	EQ(32 + 32 + 5 + 5 + 100 + 3 + 7, size); /* record, entry, data, gaps, up to eight */
	EQ(3, beyond(0, &size));
	EQ(32 + 32 + 5 + 5 + 3 + 3, size);
	segment_free(&queue.segment);
}

/* The worker believes a record as far as this: what leads out of it is found. */
static void what_leads_out_of_a_record_is_noticed(void)
{
	static uint64_t room[64];
	struct request_record *rec = (struct request_record *)room;
	struct request_entry *e = &rec->entry[0];
	struct request_entry good = {.offset = 64,
				     .bucket_len = 4,
				     .key_gap = 1,
				     .key_len = 2,
				     .value_gap = 2,
				     .value_len = 7};

	rec->size = 80;
	rec->count = 1;
	*e = good;
	TRUE_(record_fits(rec, 0));
	TRUE_(!record_fits(rec, 1));
	e->offset = 65;
	TRUE_(!record_fits(rec, 0));
	e->offset = 63; /* inside of its own entry */
	TRUE_(!record_fits(rec, 0));
	*e = good;
	e->offset = UINT32_MAX;
	TRUE_(!record_fits(rec, 0));
	*e = good;
	e->value_len = 8;
	TRUE_(!record_fits(rec, 0));
	e->value_len = UINT32_MAX;
	TRUE_(!record_fits(rec, 0));
	*e = good;
	e->flags = ENTRY_OPTIONS; /* they would have to lie where the entry does */
	TRUE_(!record_fits(rec, 0));
	e->flags = ENTRY_SESSION;
	TRUE_(!record_fits(rec, 0));
	rec->size += sizeof(struct entry_options);
	e->flags = ENTRY_OPTIONS;
	e->offset += (uint32_t)sizeof(struct entry_options);
	TRUE_(record_fits(rec, 0));
	e->flags |= ENTRY_SESSION;
	TRUE_(!record_fits(rec, 0));
}

static const char *refused(int method, const struct options *o, const char *key, size_t key_len,
			   size_t value_len, enum wire_error want)
{
	static char why[256];
	static char data[2 * VALUE_MAX];
	char *p = write_request_head(data, 1, (enum wire_method)method,
				     method_is(method, METHOD_VALUE) ? 3 : 2);
	struct request_parts parts;
	struct request q;
	const char *bad;

	p = write_text(p, "b");
	p = key ? write_bin(p, key, key_len) : write_nil(p);
	if (value_len == SIZE_MAX)
		p = write_uint(p, 5);
	else if (method_is(method, METHOD_VALUE))
		p = write_bin(p, bytes_of, value_len);
	EQ(0, request_walk(data, p, &q, &bad));
	why[0] = '\0';
	EQ(want, request_parts(&q, o, 1000, &parts, why, sizeof(why)));
	return why;
}

#define TEXT(want, got)                             \
	do {                                        \
		const char *text_ = (got);          \
		SAME(text_, strlen(text_), (want)); \
	} while (0)

static void each_wrong_part_is_named(void)
{
	const struct options both = {.given = OPT_IF_VERSION | OPT_IF_ABSENT};

	TEXT("", refused(WIRE_PUT, NULL, bytes_of, 480, 1000, WIRE_OK));
	TEXT("", refused(WIRE_GET, NULL, bytes_of, 1, 0, WIRE_OK));
	TEXT("get: key must be str or bin",
	     refused(WIRE_GET, NULL, NULL, 0, 0, WIRE_E_BAD_ARGUMENT));
	TEXT("delete: key is empty, it must be 1 to 480 bytes",
	     refused(WIRE_DELETE, NULL, bytes_of, 0, 0, WIRE_E_BAD_ARGUMENT));
	TEXT("put: key has 481 bytes, the limit is 480", /* before its value, which is wrong too */
	     refused(WIRE_PUT, NULL, bytes_of, 481, SIZE_MAX, WIRE_E_TOO_LARGE));
	TEXT("put: value must be str or bin",
	     refused(WIRE_PUT, &both, bytes_of, 1, SIZE_MAX, WIRE_E_BAD_ARGUMENT));
	TEXT("put: value has 1001 bytes, the limit is 1000",
	     refused(WIRE_PUT, &both, bytes_of, 1, 1001, WIRE_E_TOO_LARGE));
	TEXT("put: if_version and if_absent exclude each other",
	     refused(WIRE_PUT, &both, bytes_of, 1, 1, WIRE_E_BAD_ARGUMENT));
}

static void blocks_tell_when_they_were_made(void)
{
	struct replies r = {.begun_us = 0};
	const struct reply_block *b;
	uint64_t now_us = 100;
	char *p;

	open_queue();
	replies_init(&r, queue.segment, &now_us);
	for (uint32_t i = 0; i < 3; i++) { /* three requests of one record, 10 us each */
		r.begun_us = now_us;
		now_us += 10;
		p = replies_room(&r, RING_IMMEDIATE, 0, i, 1);
		replies_done(&r, RING_IMMEDIATE, write_nil(p));
	}
	r.begun_us = now_us;
	p = replies_room(&r, RING_IMMEDIATE, 64, 0, 1); /* of the next record */
	now_us += 5;
	replies_done(&r, RING_IMMEDIATE, write_nil(p));
	replies_close(&r);
	b = ring_at(&queue.segment->immediate, 0);
	EQ(3, b->count);
	EQ(100, b->begun_us);
	EQ(130, b->done_us);
	b = ring_at(&queue.segment->immediate, b->size);
	EQ(130, b->begun_us);
	EQ(135, b->done_us);
	segment_free(&queue.segment);
}

/* Room that was asked for before something else is done, which may publish what lies before it. */
static void room_is_held_until_something_is_published(void)
{
	struct replies r;
	uint64_t now_us = 0;
	const struct reply_block *b;
	char *p;

	open_queue();
	replies_init(&r, queue.segment, &now_us);
	p = replies_room(&r, RING_DURABLE, 0, 0, 64);
	TRUE_(replies_holds(&r, RING_DURABLE, p));
	replies_close(&r); /* nothing was in it */
	TRUE_(!replies_holds(&r, RING_DURABLE, p));
	p = replies_room(&r, RING_DURABLE, 0, 0, 64);
	replies_done(&r, RING_DURABLE, write_nil(p));
	TRUE_(!replies_holds(&r, RING_DURABLE, p));
	p = replies_room(&r, RING_DURABLE, 0, 1, 64);
	TRUE_(replies_holds(&r, RING_DURABLE, p));
	TRUE_(!replies_holds(&r, RING_IMMEDIATE, p));
	replies_close(&r);
	TRUE_(!replies_holds(&r, RING_DURABLE, p));
	b = ring_at(&queue.segment->durable, 0);
	EQ(1, b->count);
	segment_free(&queue.segment);
}

UNIT_MAIN(T(any_request_comes_out_as_it_went_in), T(a_small_put_takes_little),
	  T(a_session_goes_with_its_request), T(what_leads_out_of_a_record_is_noticed),
	  T(each_wrong_part_is_named), T(blocks_tell_when_they_were_made),
	  T(room_is_held_until_something_is_published))
