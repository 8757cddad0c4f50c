/* The functions in conf/functions do what they say, on a bucket in memory. */
#include "tests/unit/lib/unit.h"
#include "tests/unit/lib/function_fixture.h"

static struct fixture_bucket bucket;
static struct fixture_reply got;
static struct functions *functions;
static char text[FIXTURE_TEXT_BYTES];

static void load(const char *module)
{
	static const struct functions_config config = FIXTURE_CONFIG;
	static char source[1u << 16];
	struct functions_source s = {
		module, {source, 0}
        };
	char path[200];
	char why[FUNCTIONS_WHY_MAX];
	FILE *f;

	(void)snprintf(path, sizeof(path), "conf/functions/%s.lua", module);
	f = fopen(path, "r");
	if (!f)
		(void)printf("# run this from the project's folder: there is no %s\n", path);
	TRUE_(f);
	s.text.n = fread(source, 1, sizeof(source), f);
	(void)fclose(f);
	if (functions_new(&config, &s, 1, &functions, why, sizeof(why)) < 0)
		(void)printf("# %s\n", why);
	TRUE_(functions);
	if (!bucket.item)
		fixture_init(&bucket);
	fixture_clear(&bucket);
	bucket.there = true;
	bucket.version = 0;
	bucket.now_ms = FIXTURE_NOW_MS;
}

static void unload(void)
{
	functions_free(&functions);
}

/* Call; `want` is the result, or what the error says. */
static void call_at(const char *module, const char *function, const char *args, const char *want,
		    int line)
{
	const char *found;

	fixture_call(functions, &bucket, module, function, args, &got);
	TRUE_(fixture_text(&got, text));
	found = got.status == FUNCTIONS_OK ? text : got.reply.why;
	if (strcmp(found, want) == 0)
		return;
	(void)printf("# %s.%s\n#   want: %s\n#   got:  %s\n", module, function, want, found);
	unit_fail(__FILE__, line, function, 0, 1);
	CU_FAIL_FATAL("another result");
}

#define CALL(module, function, args, want) call_at(module, function, args, want, __LINE__)

static const char *value_of(const char *key)
{
	const struct fixture_item *i = fixture_find(&bucket, span_of(key));

	return i ? i->value : "(none)";
}

static void counters_count(void)
{
	load("counter");
	CALL("counter", "read", "\x91\xa1n", "0");
	CALL("counter", "add", "\x91\xa1n", "1");
	CALL("counter", "add", "\x92\xa1n\x29", "42");
	CALL("counter", "add", "\x92\xa1n\xfe", "40");
	CALL("counter", "read", "\x91\xc4\x01n", "40");
	TRUE_(!strcmp(value_of("n"), "40"));
	CALL("counter", "read", "\x91\xa1m", "0");
	CALL("counter", "add", "\x92\xa1n\xa1x", "n must be an integer");
	CALL("counter", "add", "\x92\xa1n\xcb\x3f\xf8\x00\x00\x00\x00\x00\x00",
	     "n must be an integer");
	(void)fixture_put(&bucket, span_of("t"), span_of("text"), 0,
			  &(struct functions_condition){false, false, 0},
			  &(struct functions_item){.version = 0}, NULL);
	CALL("counter", "add", "\x91\xa1t", "\"t\" is not a counter");
	EQ(FUNCTIONS_FAILED, got.status);
	TRUE_(!strcmp(value_of("t"), "text"));
	bucket.there = false;
	fixture_call(functions, &bucket, "counter", "add", "\x91\xa1n", &got);
	EQ(FUNCTIONS_OP, got.status);
	EQ(FIXTURE_NO_BUCKET, got.reply.code);
	unload();
}

static void carts_add_up(void)
{
	load("cart");
	fixture_call(functions, &bucket, "cart", "total",
		     "\x91\xa3"
		     "ann",
		     &got);
	TRUE_(fixture_text(&got, text));
	TRUE_(strstr(text, "\"lines\":0") && strstr(text, "\"cents\":0"));
	CALL("cart", "set",
	     "\x94\xa3"
	     "ann\xa4pear\x03\x19",
	     "true");
	CALL("cart", "set",
	     "\x94\xa3"
	     "ann\xa5"
	     "a/b/c\x01\x02",
	     "true");
	CALL("cart", "set",
	     "\x94\xa4"
	     "anna\xa4pear\x64\x64",
	     "true");
	TRUE_(!strcmp(value_of("ann/pear"), "3 25"));
	fixture_call(functions, &bucket, "cart", "total",
		     "\x91\xa3"
		     "ann",
		     &got);
	TRUE_(fixture_text(&got, text));
	TRUE_(strstr(text, "\"lines\":2") && strstr(text, "\"items\":4") &&
	      strstr(text, "\"cents\":77"));
	CALL("cart", "set",
	     "\x93\xa3"
	     "ann\xa5"
	     "a/b/c\x00",
	     "true");
	CALL("cart", "set",
	     "\x93\xa3"
	     "ann\xa5"
	     "a/b/c\x00",
	     "false");
	CALL("cart", "set",
	     "\x94\xa3"
	     "a/b\xa1x\x01\x01",
	     "a cart's name is a string without a slash");
	CALL("cart", "set",
	     "\x94\xa3"
	     "ann\xa1x\xff\x01",
	     "count must be an integer, 0 at least");
	CALL("cart", "set",
	     "\x93\xa3"
	     "ann\xa1x\x01",
	     "cents must be an integer, 0 at least");
	fixture_call(functions, &bucket, "cart", "checkout",
		     "\x91\xa3"
		     "ann",
		     &got);
	TRUE_(fixture_text(&got, text));
	TRUE_(strstr(text, "\"lines\":1") && strstr(text, "\"cents\":75"));
	EQ(1, bucket.count); /* anna's is hers */
	unload();
}

static void limits_hold_for_a_window(void)
{
	static const char args[] = "\x93\xa1w\x03\xcd\x03\xe8"; /* w, 3, 1000 ms */

	load("limiter");
	bucket.now_ms = 1700000000400;
	for (int left = 2; left >= 0; left--) {
		char want[30];

		(void)snprintf(want, sizeof(want), "\"left\":%d", left);
		fixture_call(functions, &bucket, "limiter", "allow", args, &got);
		TRUE_(fixture_text(&got, text));
		TRUE_(strstr(text, "\"allowed\":true") && strstr(text, want));
	}
	fixture_call(functions, &bucket, "limiter", "allow", args, &got);
	TRUE_(fixture_text(&got, text));
	TRUE_(strstr(text, "\"allowed\":false") && strstr(text, "\"wait_ms\":600"));
	EQ(3, bucket.version); /* a refusal writes nothing */
	/* another is not concerned */
	fixture_call(functions, &bucket, "limiter", "allow", "\x93\xa1v\x03\xcd\x03\xe8", &got);
	TRUE_(fixture_text(&got, text));
	TRUE_(strstr(text, "\"allowed\":true"));
	bucket.now_ms += 600;
	TRUE_(!fixture_find(&bucket, span_of("w/1000/1700000000")));
	fixture_call(functions, &bucket, "limiter", "allow", args, &got);
	TRUE_(fixture_text(&got, text));
	TRUE_(strstr(text, "\"allowed\":true") && strstr(text, "\"left\":2"));
	unload();
}

static void queues_lease_what_they_give(void)
{
	load("queue");
	CALL("queue", "pop", "\x91\xa1q", "nil");
	CALL("queue", "push", "\x92\xa1q\xa3one", "1");
	CALL("queue", "push", "\x92\xa1q\xa3two", "2");
	CALL("queue", "push", "\x92\xa1r\xa5other", "1");
	CALL("queue", "length", "\x91\xa1q", "2");
	fixture_call(functions, &bucket, "queue", "pop", "\x92\xa1q\xcd\x03\xe8", &got);
	TRUE_(fixture_text(&got, text));
	TRUE_(strstr(text, "\"id\":1") && strstr(text, "\"message\":b\"one\""));
	fixture_call(functions, &bucket, "queue", "pop", "\x92\xa1q\xcd\x03\xe8", &got);
	TRUE_(fixture_text(&got, text));
	TRUE_(strstr(text, "\"id\":2"));
	CALL("queue", "pop", "\x91\xa1q", "nil");
	CALL("queue", "ack", "\x92\xa1q\x02", "true");
	CALL("queue", "ack", "\x92\xa1q\x02", "false");
	bucket.now_ms += 999;
	CALL("queue", "pop", "\x91\xa1q", "nil");
	bucket.now_ms += 1; /* nobody has acknowledged the first one */
	fixture_call(functions, &bucket, "queue", "pop", "\x91\xa1q", &got);
	TRUE_(fixture_text(&got, text));
	TRUE_(strstr(text, "\"id\":1") && strstr(text, "\"message\":b\"one\""));
	CALL("queue", "ack", "\x92\xa1q\x01", "true");
	CALL("queue", "length", "\x91\xa1q", "0");
	CALL("queue", "push", "\x92\xa1q\xa5three", "3"); /* numbers are not used again */
	CALL("queue", "length", "\x91\xa1r", "1");
	CALL("queue", "push",
	     "\x92\xa3"
	     "a/b\xa1x",
	     "a queue's name is a string without a slash");
	unload();
}

UNIT_MAIN(T(counters_count), T(carts_add_up), T(limits_hold_for_a_window),
	  T(queues_lease_what_they_give))
