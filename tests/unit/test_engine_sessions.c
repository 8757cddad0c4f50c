/* What the engine keeps of sessions: what goes with what, and rows that are not what was written. */
#include "tests/unit/lib/engine_fixture.h"

static const uint8_t one[16] = {1};
static const uint8_t two[16] = {2};

static int outcome_put(uint32_t partition, const uint8_t id[16], uint64_t number,
		       const char *result)
{
	const struct engine_outcome o = {number, 7 * number, 3, number == 13, span_of(result)};

	return engine_outcome_put(e, partition, id, &o);
}

static char text[4096];

static int row_text(void *arg, const struct engine_session_row *r)
{
	size_t n = strlen(text);
	const struct engine_outcome *o = &r->outcome;

	(void)arg;
	n += (size_t)snprintf(text + n, sizeof(text) - n, "%u", r->partition);
	switch (r->kind) {
	case ENGINE_FORGOTTEN:
		(void)snprintf(text + n, sizeof(text) - n, "<%llu ",
			       (unsigned long long)r->made_ms);
		return 0;
	case ENGINE_FLOOR:
		(void)snprintf(text + n, sizeof(text) - n, ".%u>=%llu ", r->id[0],
			       (unsigned long long)r->floor);
		return 0;
	default:
		EQ(7 * o->number, o->fingerprint);
		EQ(3, o->sequence);
		EQ(o->number == 13, o->ruled_out);
		(void)snprintf(text + n, sizeof(text) - n, ".%u.%llu=%.*s ", r->id[0],
			       (unsigned long long)o->number, (int)o->result.n, o->result.p);
		return 0;
	}
}

static const char *sessions(void)
{
	text[0] = '\0';
	EQ(0, engine_sessions(e, row_text, NULL));
	return text;
}

static void what_is_acknowledged_or_forgotten_goes(void)
{
	fresh();
	EQ(0, open_for(4));
	TEXT("", sessions());
	EQ(0, engine_begin(e));
	for (uint32_t p = 1; p < 3; p++) {
		EQ(0, engine_session_put(e, p, one, 0));
		EQ(0, outcome_put(p, one, 0, "a"));
		EQ(0, outcome_put(p, one, 256, "c"));
		EQ(0, outcome_put(p, one, 13, ""));
		EQ(0, outcome_put(p, one, UINT64_MAX, "d"));
		EQ(0, engine_session_put(e, p, two, 5));
		EQ(0, outcome_put(p, two, 5, "e"));
	}
	EQ(0, engine_forgotten_put(e, 2, 99));
	EQ(0, commit_all(4));
	TEXT("1.1>=0 1.1.0=a 1.1.13= 1.1.256=c 1.1.18446744073709551615=d 1.2>=5 1.2.5=e "
	     "2<99 2.1>=0 2.1.0=a 2.1.13= 2.1.256=c 2.1.18446744073709551615=d 2.2>=5 2.2.5=e ",
	     sessions());
	EQ(0, engine_begin(e));
	EQ(0, engine_session_put(e, 1, one, 256));
	EQ(0, engine_session_delete(e, 2, one));
	EQ(0, engine_session_delete(e, 3, one));
	EQ(0, engine_forgotten_put(e, 2, 100));
	EQ(0, commit_all(4));
	TEXT("1.1>=256 1.1.256=c 1.1.18446744073709551615=d 1.2>=5 1.2.5=e 2<100 2.2>=5 2.2.5=e ",
	     sessions());
	engine_close(&e);
	EQ(0, open_for(4));
	TEXT("1.1>=256 1.1.256=c 1.1.18446744073709551615=d 1.2>=5 1.2.5=e 2<100 2.2>=5 2.2.5=e ",
	     sessions());
	engine_close(&e);
}

static int none(void *arg, const struct engine_session_row *r)
{
	(void)arg;
	(void)r;
	return 0;
}

static void make_one(unsigned kind)
{
	fresh();
	EQ(0, open_for(4));
	EQ(0, engine_begin(e));
	if (kind == ENGINE_FORGOTTEN)
		EQ(0, engine_forgotten_put(e, 1, 99));
	if (kind == ENGINE_FLOOR)
		EQ(0, engine_session_put(e, 1, one, 5));
	if (kind == ENGINE_OUTCOME)
		EQ(0, outcome_put(1, one, 9, "result"));
	EQ(0, commit_all(4));
	engine_close(&e);
}

static void a_flipped_bit_of_a_sessions_row_is_found(void)
{
	for (unsigned kind = 0; kind <= ENGINE_OUTCOME; kind++) {
		struct raw_row row;
		size_t bit = 0;

		make_one(kind);
		do {
			row = rot("sessions", bit);
			EQ(0, open_for(4));
			EQ(-EBADMSG, engine_sessions(e, none, NULL));
			unrot("sessions", &row);
		} while (++bit < 8 * (row.key_size + row.value_size));
		for (size_t size = 0; size < row.value_size; size++) { /* and one cut short */
			struct raw_row cut = row;

			raw_begin();
			(void)raw_take("sessions", 0);
			cut.value_size = size;
			raw_give("sessions", &cut);
			raw_end();
			EQ(0, open_for(4));
			EQ(-EBADMSG, engine_sessions(e, none, NULL));
			unrot("sessions", &row);
		}
		EQ(0, open_for(4));
		EQ(0, engine_sessions(e, none, NULL));
		engine_close(&e);
	}
}

static void an_outcome_settles_with_its_record(void)
{
	int status;
	pid_t pid;

	for (uint64_t settled = 2; settled <= 3; settled++) {
		fresh();
		pid = fork();
		if (pid == 0) {
			(void)fclose(stderr);
			if (open_for(4) == 0 && engine_begin(e) == 0 &&
			    outcome_put(1, one, 9, "result") == 0 &&
			    engine_part_put(
				    e, 1,
				    &(struct engine_part){.settled = settled, .clock_ms = 0}) == 0)
				(void)engine_commit(e, &(struct engine_meta){9, 0, 0});
			_exit(0);
		}
		EQ(pid, waitpid(pid, &status, 0));
		EQ(settled < 3, WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	}
}

UNIT_MAIN(T(what_is_acknowledged_or_forgotten_goes), T(a_flipped_bit_of_a_sessions_row_is_found),
	  T(an_outcome_settles_with_its_record))
