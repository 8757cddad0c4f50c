/* libpail against a node that the test plays itself: shapes, lost replies, goaway, closing. */
#include <pthread.h>
#include <stdio.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

#include "include/pail.h"
#include "ipc/wire/reply.h"
#include "ipc/wire/request.h"
#include "ipc/net/socket.h"
#include "tests/unit/lib/unit.h"

static struct socket_context *context;
static struct socket *server;
static char endpoint[SOCKET_ENDPOINT_MAX];
static _Atomic int mode; /* what the played node does */
static _Atomic bool stop;

enum { ANSWER, SILENT, GARBAGE, WRONG_SHAPE, GOAWAY, FOR_EVER, SHORT };

static void freed(void *data, void *arg)
{
	(void)arg;
	free(data);
}

/* One reply to a request, as `mode` says. */
static char *play(char *p, const struct request *q)
{
	if (mode == WRONG_SHAPE && q->method != WIRE_HELLO)
		return write_nil(write_reply_head(p, q->msgid));
	switch (q->method) {
	case WIRE_HELLO:
		return write_map(write_reply_head(p, q->msgid), 0);
	case WIRE_PING:
		return write_text(write_reply_head(p, q->msgid), "pong");
	case WIRE_PUT:
		return write_uint(write_reply_head(p, q->msgid), 7);
	case WIRE_TOUCH: /* how many parameters there were: 3 with options */
		return write_uint(write_reply_head(p, q->msgid), q->param_count);
	case WIRE_GET:
		return write_nil(write_reply_head(p, q->msgid));
	case WIRE_HEAD: /* as mode says: for a while, for ever, or no head */
		p = write_array(write_reply_head(p, q->msgid), mode == SHORT ? 2 : 3);
		p = write_uint(write_uint(p, 1u << 20), 7);
		return mode == SHORT ? p : mode == FOR_EVER ? write_nil(p) : write_uint(p, 1234);
	case WIRE_STATUS: /* {"n": 5, "list": [{"id": 0}, {"id": 1}], "text": "a\"b", "no": nil} */
		p = write_map(write_reply_head(p, q->msgid), 4);
		p = write_uint(write_text(p, "n"), 5);
		p = write_array(write_text(p, "list"), 2);
		for (unsigned i = 0; i < 2; i++)
			p = write_uint(write_text(write_map(p, 1), "id"), i);
		p = write_text(write_text(p, "text"), "a\"b");
		return write_nil(write_text(p, "no"));
	case WIRE_DELETE:
		return write_error(p, q->msgid, true, WIRE_E_CONFLICT, "the version is 12 now");
	default:
		return write_error(p, q->msgid, true, WIRE_E_INTERNAL, "not played");
	}
}

static void *serve(void *arg)
{
	struct socket_message *m;

	(void)arg;
	while (!stop) {
		char *out;
		char *p;

		if (socket_receive(server, 1 << 24, &m) < 0) {
			(void)usleep(200);
			continue;
		}
		if (mode == SILENT)
			continue;
		out = malloc(1 << 20);
		p = out;
		if (mode == GARBAGE)
			*p++ = (char)0xc1;
		for (uint32_t i = 0; i < m->frames && mode != GARBAGE; i++)
			for (const char *at = m->frame[i].p; at < m->frame[i].p + m->frame[i].n;) {
				struct request q;
				const char *why;

				if (request_walk(at, m->frame[i].p + m->frame[i].n, &q, &why) < 0)
					break;
				p = play(p, &q);
				at = q.end;
			}
		if (mode == GOAWAY) {
			p = write_text(write_uint(write_array(p, 3), 2), "goaway");
			p = write_text(write_array(p, 1), "test");
			mode = ANSWER;
		}
		(void)socket_send(server, m->id, m->delimiter, out, (size_t)(p - out), freed, NULL);
	}
	return NULL;
}

static pthread_t thread;

static struct pail *begin(void)
{
	const struct socket_options o = {.linger_ms = 0};
	const struct pail_options options = {
		.size = sizeof(options), .connect_ms = 2000, .batch = 16};
	struct pail *p = NULL;

	mode = ANSWER;
	stop = false;
	EQ(0, socket_context_new(&context));
	EQ(0, socket_bind(context, "tcp://127.0.0.1:*", &o, &server, endpoint));
	EQ(0, pthread_create(&thread, NULL, serve, NULL));
	EQ(PAIL_OK, pail_open(endpoint, &options, &p));
	return p;
}

static void end(struct pail **p)
{
	pail_close(p);
	stop = true;
	EQ(0, pthread_join(thread, NULL));
	socket_close(&server);
	socket_context_free(&context);
}

static void calls_return_what_the_node_says(void)
{
	struct pail *p = begin();
	struct pail_result *r = NULL;
	uint64_t version = 0;

	EQ(PAIL_OK, pail_ping(p));
	EQ(PAIL_OK, pail_put(p, pail_str("b"), pail_str("k"), pail_str("v"), NULL, &version));
	EQ(7, version);
	EQ(PAIL_NOT_FOUND, pail_get(p, pail_str("b"), pail_str("k"), &r));
	TRUE_(!r);
	EQ(PAIL_CONFLICT, pail_delete(p, pail_str("b"), pail_str("k"), NULL, NULL));
	EQ(0, strcmp("the version is 12 now", pail_why(p)));
	EQ(PAIL_INTERNAL, pail_count(p, pail_str("b"), &version));
	end(&p);
	TRUE_(!p);
}

static void nobody_there_is_unreachable(void)
{
	const struct pail_options o = {.size = sizeof(o), .connect_ms = 100};
	struct pail *p = NULL;

	EQ(PAIL_UNREACHABLE, pail_open("tcp://127.0.0.1:1", &o, &p));
	EQ(PAIL_BAD_ARGUMENT, pail_open("nonsense", &o, &p));
	TRUE_(!p);
}

static void thousands_are_in_flight(void)
{
	static struct pail_future *f[5000];
	struct pail *p = begin();
	struct pail_request q = {.size = sizeof(q),
				 .method = PAIL_PUT,
				 .bucket = pail_str("b"),
				 .value = pail_str("v")};
	struct pail_result *r = NULL;

	q.key = pail_str("k");
	for (int i = 0; i < 5000; i++)
		EQ(PAIL_OK, pail_async(p, &q, &f[i]));
	EQ(5000, pail_in_flight(p));
	for (int i = 5000; i-- > 0;) {
		EQ(PAIL_OK, pail_await(&f[i], &r));
		EQ(7, r->number);
		pail_result_free(&r);
	}
	EQ(0, pail_in_flight(p));
	end(&p);
}

static void a_lost_reply_is_a_timeout(void)
{
	struct pail *p = begin();
	struct pail_request q = {.size = sizeof(q), .method = PAIL_PING, .timeout_ms = 1500};
	struct pail_result *r = NULL;

	mode = SILENT;
	EQ(PAIL_TIMEOUT, pail_call(p, &q, &r));
	pail_result_free(&r);
	mode = GARBAGE;
	EQ(PAIL_TIMEOUT, pail_call(p, &q, &r));
	pail_result_free(&r);
	mode = WRONG_SHAPE;
	EQ(PAIL_PROTOCOL, pail_call(p, &q, &r));
	pail_result_free(&r);
	mode = ANSWER;
	EQ(PAIL_OK, pail_ping(p));
	end(&p);
}

static void goaway_loses_nothing(void)
{
	struct pail *p = begin();

	mode = GOAWAY; /* with the next reply */
	EQ(PAIL_OK, pail_ping(p));
	for (int i = 0; i < 10; i++)
		EQ(PAIL_OK, pail_ping(p));
	end(&p);
}

static int called;

static void note(void *arg, const struct pail_result *r)
{
	(void)arg;
	called += r->status == PAIL_CLOSED;
}

static void closing_answers_what_is_in_flight(void)
{
	struct pail *p = begin();
	struct pail_request q = {.size = sizeof(q), .method = PAIL_PING};
	struct pail_future *f = NULL;
	struct pail_future *lost = NULL;
	struct pail_result *r = NULL;

	called = 0;
	mode = SILENT;
	EQ(PAIL_OK, pail_submit(p, &q, note, NULL));
	EQ(PAIL_OK, pail_async(p, &q, &f));
	EQ(PAIL_OK, pail_async(p, &q, &lost));
	pail_future_free(&lost);
	end(&p);
	EQ(1, called);
	TRUE_(pail_future_done(f));
	EQ(PAIL_CLOSED, pail_await(&f, &r));
	pail_result_free(&r);
}

static void a_head_has_size_version_and_what_is_left(void)
{
	struct pail *p = begin();
	struct pail_result *r = NULL;

	EQ(PAIL_OK, pail_head(p, pail_str("b"), pail_str("k"), &r));
	EQ(1u << 20, r->size);
	EQ(7, r->version);
	EQ(1234, r->ttl_ms);
	pail_result_free(&r);
	mode = FOR_EVER;
	EQ(PAIL_OK, pail_head(p, pail_str("b"), pail_str("k"), &r));
	EQ(0, r->ttl_ms);
	pail_result_free(&r);
	mode = SHORT;
	EQ(PAIL_PROTOCOL, pail_head(p, pail_str("b"), pail_str("k"), &r));
	pail_result_free(&r);
	mode = WRONG_SHAPE; /* nil */
	EQ(PAIL_NOT_FOUND, pail_head(p, pail_str("b"), pail_str("k"), &r));
	pail_result_free(&r);
	end(&p);
}

static void a_touch_has_a_version_or_there_is_no_such_key(void)
{
	struct pail *p = begin();
	struct pail_request q = {.size = sizeof(q), .ttl_ms = 5};
	uint64_t version = 0;

	EQ(PAIL_OK, pail_touch(p, pail_str("b"), pail_str("k"), NULL, &version));
	EQ(2, version);
	EQ(PAIL_OK, pail_touch(p, pail_str("b"), pail_str("k"), &q, &version));
	EQ(3, version);
	q = (struct pail_request){.size = sizeof(q), .has_if_version = true};
	version = 0;
	EQ(PAIL_OK, pail_touch(p, pail_str("b"), pail_str("k"), &q, &version));
	EQ(3, version);
	mode = WRONG_SHAPE; /* nil */
	EQ(PAIL_NOT_FOUND, pail_touch(p, pail_str("b"), pail_str("k"), NULL, &version));
	EQ(3, version);
	EQ(0, strcmp("there is no such key", pail_why(p)));
	end(&p);
}

/* A program may have been compiled with an older or a newer pail.h than the library. */
static void structs_of_other_sizes_are_taken(void)
{
	struct newer {
		struct pail_request q;
		uint64_t more;
	} newer = {
		{.size = sizeof(newer), .method = PAIL_PUT, .bucket = pail_str("b")},
                0
        };
	struct pail_request older = {
		.size = offsetof(struct pail_request, if_version),
		.method = PAIL_PUT,
		.bucket = pail_str("b"),
		.if_version = 5,
		.prefix = {NULL, 77}
        }; /* would be refused */
	struct pail_request unset = {.method = PAIL_PING};
	struct pail_options options = {.timeout_ms = 500};
	struct pail *p = begin();
	struct pail *none = NULL;
	struct pail_result *r = NULL;
	uint64_t version = 0;

	EQ(PAIL_OK, pail_call(p, &newer.q, &r));
	pail_result_free(&r);
	newer.more = 1ull << 56;
	EQ(PAIL_BAD_ARGUMENT, pail_call(p, &newer.q, &r));
	TRUE_(!r && strstr(pail_why(p), "older than the program"));
	EQ(PAIL_OK, pail_call(p, &older, &r));
	pail_result_free(&r);
	older.size = sizeof(older);
	EQ(PAIL_BAD_ARGUMENT, pail_call(p, &older, &r));
	EQ(PAIL_BAD_ARGUMENT, pail_call(p, &unset, &r));
	TRUE_(!r);
	EQ(PAIL_BAD_ARGUMENT,
	   pail_put(p, pail_str("b"), pail_str("k"), pail_str("v"), &unset, &version));
	EQ(PAIL_BAD_ARGUMENT, pail_open(endpoint, &options, &none));
	TRUE_(!none);
	options.size = sizeof(options);
	EQ(PAIL_OK, pail_open(endpoint, &options, &none));
	pail_close(&none);
	end(&p);
}

static void a_map_is_read_value_by_value(void)
{
	struct pail *p = begin();
	struct pail_result *r = NULL;
	struct pail_value v;
	struct pail_value list;
	struct pail_bytes b;
	char json[64];

	EQ(PAIL_OK, pail_node_status(p, &r));
	end(&p); /* a result stands alone */
	v = pail_result_value(r);
	EQ(PAIL_VALUE_MAP, pail_value_type(v));
	EQ(4, pail_value_count(v));
	EQ(5, pail_value_number(pail_value_field(v, "n")));
	b = pail_value_bytes(pail_value_name(v, 1));
	SAME((const char *)b.data, b.size, "list");
	list = pail_value_field(v, "list");
	EQ(PAIL_VALUE_LIST, pail_value_type(list));
	EQ(2, pail_value_count(list));
	EQ(1, pail_value_number(pail_value_field(pail_value_item(list, 1), "id")));
	EQ(PAIL_VALUE_NONE, pail_value_type(pail_value_item(list, 2)));
	b = pail_value_bytes(pail_value_field(v, "text"));
	SAME((const char *)b.data, b.size, "a\"b");
	EQ(PAIL_VALUE_NIL, pail_value_type(pail_value_field(v, "no")));
	/* What is not there, or of another type, is nothing. */
	v = pail_value_field(v, "missing");
	EQ(PAIL_VALUE_NONE, pail_value_type(v));
	EQ(0, pail_value_number(v));
	EQ(0, pail_value_count(v));
	TRUE_(!pail_value_bytes(list).data);
	EQ(PAIL_VALUE_NONE, pail_value_type(pail_value_field(list, "id")));
	EQ(PAIL_VALUE_NONE, pail_value_type(pail_value_name(list, 0)));
	EQ(19, pail_value_json(list, json, sizeof(json)));
	EQ(0, strcmp("[{\"id\":0},{\"id\":1}]", json));
	EQ(19, pail_value_json(list, json, 5));
	EQ(0, strcmp("[{\"i", json));
	EQ(4, pail_value_json(v, NULL, 0));
	pail_result_free(&r);
}

UNIT_MAIN(T(a_map_is_read_value_by_value), T(structs_of_other_sizes_are_taken),
	  T(a_head_has_size_version_and_what_is_left),
	  T(a_touch_has_a_version_or_there_is_no_such_key), T(calls_return_what_the_node_says),
	  T(nobody_there_is_unreachable), T(thousands_are_in_flight), T(a_lost_reply_is_a_timeout),
	  T(goaway_loses_nothing), T(closing_answers_what_is_in_flight))
