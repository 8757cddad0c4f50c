/* Calls of one function, written in place, and what they must give. */
#ifndef PAIL_FUNCTION_CALLS_H
#define PAIL_FUNCTION_CALLS_H

#include "tests/unit/lib/unit.h"
#include "tests/unit/lib/function_fixture.h"

static struct fixture_bucket bucket;
static struct fixture_reply got;
static char text[FIXTURE_TEXT_BYTES];

/* ---- calls ---- */

static struct functions_config config = FIXTURE_CONFIG;

/* Call m.f(bucket, args…) of these modules: its status. */
static enum functions_status call_of(const struct functions_source *sources, size_t n,
				     const char *args)
{
	struct functions *f = NULL;
	char why[FUNCTIONS_WHY_MAX];

	if (functions_new(&config, sources, n, &f, why, sizeof(why)) < 0) {
		(void)printf("# %s\n", why);
		CU_FAIL_FATAL("it does not load");
	}
	fixture_call(f, &bucket, "m", "f", args, &got);
	functions_free(&f);
	TRUE_(fixture_text(&got, text));
	return got.status;
}

static enum functions_status call(const char *body, const char *args)
{
	static char source[1u << 16];
	struct functions_source s = {
		"m", {source, 0}
        };

	TRUE_(strlen(body) < sizeof(source) - 100);
	(void)snprintf(source, sizeof(source), "return {f = function(bucket, ...)\n%s\nend}", body);
	s.text.n = strlen(source);
	return call_of(&s, 1, args);
}

static void check_text(const char *body, const char *want, const char *found, int line)
{
	if (strcmp(want, found) == 0)
		return;
	(void)printf("# %s\n#   want: %s\n#   got:  %s\n", body, want, found);
	unit_fail(__FILE__, line, body, 0, 1);
	CU_FAIL_FATAL("another result");
}

static void gives_at(const char *body, const char *args, const char *want, int line)
{
	if (call(body, args) != FUNCTIONS_OK)
		check_text(body, want, got.reply.why, line);
	check_text(body, want, text, line);
}

static void fails_at(const char *body, const char *args, enum functions_status status,
		     const char *want, int line)
{
	if (call(body, args) == FUNCTIONS_OK)
		check_text(body, want, text, line);
	check_text(body, want, got.reply.why, line);
	EQ(status, got.status);
	EQ(0, got.reply.n);
}

#define NONE                              "\x90"
#define GIVES(body, want)                 gives_at(body, NONE, want, __LINE__)
#define TAKES(body, args, want)           gives_at(body, args, want, __LINE__)
#define FAILS(body, want)                 fails_at(body, NONE, FUNCTIONS_FAILED, want, __LINE__)
#define REFUSES(body, args, status, want) fails_at(body, args, status, want, __LINE__)

static void setup(void)
{
	if (!bucket.item)
		fixture_init(&bucket);
	fixture_clear(&bucket);
	bucket.there = true;
	bucket.version = 0;
	bucket.now_ms = FIXTURE_NOW_MS;
	config = (struct functions_config)FIXTURE_CONFIG;
	config.time_ms = 5000; /* nothing here is about time, unless it says so */
}

#endif
