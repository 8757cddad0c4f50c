/*
 * Sessions through many lives: each is a process that opens the store, or follows the one that
 * serves and takes over, asks at random what a model knows the answer of, and is closed, killed in
 * the middle of a checkpoint, or handed over.  The model lies in memory that all of them share.
 */
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "common/fault.h"
#include "tests/unit/lib/log_tail.h"
#include "tests/unit/lib/session_fixture.h"

enum { SESSIONS = 12, SEQS = 40, LIVES = 8, STEPS = 900, LIMIT_MS = 20000 };

enum end { LIFE_CLOSED, LIFE_KILLED, LIFE_HANDED_OVER, ENDS };
enum stage { SERVES, HELD, TAILED, RELEASED };
enum state { FREE, RAN, TOLD, RULED };

struct model_request {
	enum state state;
	uint64_t version; /* RAN */
	uint32_t number;  /* TOLD: the result is made of it */
};

struct model_session {
	uint64_t floor;        /* told by an ack */
	uint64_t logged_floor; /* the least that a restart may find */
	struct model_request request[SEQS];
};

static struct world {
	struct model_session session[2][SESSIONS]; /* of two buckets */
	uint64_t random;
	uint64_t wall;
	uint32_t numbers;
	unsigned step;
	_Atomic enum stage stage;
	_Atomic uint64_t synced;
} * world;

static void must_fail(const char *what, int line)
{
	printf("# %s:%d: in step %u: %s\n", __FILE__, line, world ? world->step : 0, what);
	(void)fflush(stdout);
	_exit(1);
}

#define MUST(e) ((e) ? (void)0 : must_fail(#e, __LINE__))

static uint64_t below(uint64_t n)
{
	return unit_random(&world->random) % n;
}

static const char *const names[] = {"b", "another"};

/* Both may be of one partition. */
static uint64_t id_of(unsigned bucket, unsigned n)
{
	return 100 * bucket + n;
}

static struct span result_of(uint32_t number)
{
	static char bytes[9000];
	uint32_t n = number % 7 ? number % 100 + 1 : number % 8000 + 1;

	memset(bytes, (int)('a' + number % 26), n);
	return (struct span){bytes, n};
}

/* Does what is told agree with the model?  `ack` was taken first. */
static void told(const struct model_session *m, unsigned seq, bool outcome_asked, int r)
{
	const struct model_request *q = &m->request[seq];

	if (seq < m->floor) {
		MUST(r == SESSION_STALE);
		return;
	}
	switch (q->state) {
	case FREE:
		MUST(r == (outcome_asked ? SESSION_NEVER : SESSION_RUN));
		return;
	case RULED:
		MUST(r == (outcome_asked ? SESSION_NEVER : SESSION_STALE));
		return;
	case RAN:
		MUST(r == SESSION_DONE && !outcome.result.n && outcome.version == q->version);
		return;
	case TOLD:
		MUST(r == SESSION_DONE && span_equal(outcome.result, result_of(q->number)));
	}
}

static void floor_is(struct model_session *m, uint64_t ack)
{
	m->floor = ack > m->floor ? ack : m->floor;
}

static void run_put(struct model_request *q, const char *name)
{
	struct store_key k;

	store_locate(current, span_of(name), span_of("k"), &k);
	MUST(store_put(current, &k, span_of("value"), 0, &always, &q->version) == 0);
	q->state = RAN;
}

static void run_result(struct model_request *q, const char *name)
{
	q->number = ++world->numbers;
	MUST(store_outcome(current, span_of(name), result_of(q->number)) == 0);
	q->state = TOLD;
}

static void run_group(struct model_request *q, const char *name)
{
	struct store_key k;
	uint64_t version;

	q->number = ++world->numbers;
	store_locate(current, span_of(name), (struct span){NULL, 0}, &k);
	MUST(group_begin(current, &k) == 0);
	for (uint64_t n = 1 + below(5); n--;)
		MUST(group_put(current, span_of("k"), span_of("v"), 0, &always, &version) == 0);
	MUST(group_commit(current, result_of(q->number)) == 0);
	q->state = TOLD;
}

static void step_ask(struct model_session *m, unsigned bucket, unsigned n)
{
	unsigned seq = (unsigned)below(SEQS);
	uint64_t ack = below(4) ? 0 : below(below(8) ? 12 : SEQS);
	struct model_request *q = &m->request[seq];
	int r = ask(names[bucket], id_of(bucket, n), seq, ack);

	floor_is(m, ack);
	told(m, seq, false, r);
	if (r != SESSION_RUN || below(6) == 0)
		return;
	switch (below(4)) {
	case 0:
		run_result(q, names[bucket]);
		break;
	case 1:
		run_group(q, names[bucket]);
		break;
	default:
		run_put(q, names[bucket]);
	}
	m->logged_floor = ack > m->logged_floor ? ack : m->logged_floor;
}

static void step_outcome(struct model_session *m, unsigned bucket, unsigned n)
{
	unsigned seq = (unsigned)below(SEQS);
	int r = ask_outcome(names[bucket], id_of(bucket, n), seq);

	told(m, seq, true, r);
	if (r != SESSION_NEVER || m->request[seq].state == RULED)
		return;
	m->request[seq].state = RULED;
	m->logged_floor = m->floor; /* its record has it */
}

static void tick(uint64_t passed)
{
	world->wall += passed;
	wall = world->wall;
	boot = 1000 + wall - 1700000000000;
	wall_at_open = wall;
	store_submit(current, 0);
	store_freed(current, UINT64_MAX);
	MUST(store_tick(current, wall) == 0);
}

static void compare_all(void)
{
	for (unsigned b = 0; b < 2; b++)
		for (unsigned n = 0; n < SESSIONS; n++)
			for (unsigned seq = 0; seq < SEQS; seq++)
				told(&world->session[b][n], seq, false,
				     ask(names[b], id_of(b, n), seq, 0));
}

static void settle(void)
{
	uint64_t lsn = store_lsn(current);
	int r = store_settle(current, LIMIT_MS);

	MUST(r == 0 || r == -ENOSPC);
	if (r == 0 && store_lsn(current) > lsn) /* it froze with this call */
		for (unsigned b = 0; b < 2; b++)
			for (unsigned n = 0; n < SESSIONS; n++)
				world->session[b][n].logged_floor = world->session[b][n].floor;
}

static void step_fail(void)
{
	fault_set(below(2) ? "base.commit=ENOSPC" : "session.freeze=ENOMEM", 0);
	settle();
	fault_set(NULL, 0);
	compare_all();
	settle();
}

static void step_rare(void)
{
	bool did;

	switch (below(7)) {
	case 0:
	case 1:
		store_checkpoint(current);
		break;
	case 2:
		if (below(3) == 0)
			settle();
		break;
	case 3:
		if (below(4) == 0)
			step_fail();
		break;
	case 4: /* what it was done to is gone */
		MUST(store_drop(current, span_of("b"), &did) == 0);
		MUST(store_create(current, span_of("b"), &did) == 0);
		break;
	default:
		tick(below(600));
	}
}

static void step(bool rare)
{
	unsigned bucket = (unsigned)below(2);
	unsigned n = (unsigned)below(below(2) ? 3 : SESSIONS);
	struct model_session *m = &world->session[bucket][n];
	uint64_t ack;

	world->step++;
	switch (below(16)) {
	case 0:
		store_begin(current, 0);
		if (rare)
			step_rare();
		break;
	case 1:
		ack = below(6) ? below(12) : below(SEQS);
		MUST(acknowledge(names[bucket], id_of(bucket, n), ack) == SESSION_RUN);
		floor_is(m, ack);
		break;
	case 2:
		step_outcome(m, bucket, n);
		break;
	case 3:
		tick(0);
		break;
	default:
		step_ask(m, bucket, n);
	}
}

/* ---- a life ---- */

static void synced_tell(void)
{
	store_submit(current, store_lsn(current));
	while (store_synced(current) < store_lsn(current))
		(void)usleep(100);
	atomic_store(&world->synced, store_synced(current));
}

static void wait_for(enum stage stage)
{
	uint64_t until = clock_ms() + LIMIT_MS;

	while (atomic_load(&world->stage) < stage) {
		MUST(clock_ms() < until);
		(void)usleep(200);
	}
}

static void begin_life(bool follow)
{
	struct store_config c;

	wall = world->wall;
	boot = 1000 + wall - 1700000000000;
	c = session_config();
	c.lock_wait_ms = LIMIT_MS;
	if (!follow) {
		if (store_open(&c, &current, why, sizeof(why)) < 0)
			must_fail(why, __LINE__);
		return;
	}
	if (store_open_follower(&c, &current, why, sizeof(why)) < 0)
		must_fail(why, __LINE__);
	atomic_store(&world->stage, TAILED);
	while (atomic_load(&world->stage) < RELEASED) {
		if (store_tail(current, atomic_load(&world->synced)) < 0)
			must_fail(store_why(current), __LINE__);
		(void)usleep(500);
	}
	wall = world->wall;
	wall_at_open = wall;
	if (store_promote(current, atomic_load(&world->synced)) < 0)
		must_fail(store_why(current), __LINE__);
	atomic_store(&world->stage, SERVES);
}

/* Asked so that nothing changes. */
static bool is_below_floor(const struct model_session *m, unsigned bucket, unsigned n, unsigned seq)
{
	int r = m->request[seq].state == RULED ? ask_outcome(names[bucket], id_of(bucket, n), seq)
					       : ask(names[bucket], id_of(bucket, n), seq, 0);

	return r == SESSION_STALE;
}

/*
 * Acks that stood in no record may be lost: the model goes on with what the store knows.  Outcomes
 * and what is ruled out are all there.
 */
static void floors_find(void)
{
	for (unsigned b = 0; b < 2; b++)
		for (unsigned n = 0; n < SESSIONS; n++) {
			struct model_session *m = &world->session[b][n];
			unsigned floor = 0;

			while (floor < SEQS && is_below_floor(m, b, n, floor))
				floor++;
			MUST(floor >= m->logged_floor && floor <= m->floor);
			m->floor = floor;
			m->logged_floor = floor;
		}
}

static void hand_over(void)
{
	uint64_t until = clock_ms() + LIMIT_MS;

	store_hold(current, true);
	while (!store_held(current)) {
		MUST(clock_ms() < until);
		tick(0);
		(void)usleep(200);
	}
	synced_tell();
	atomic_store(&world->stage, HELD);
	wait_for(TAILED);
	for (unsigned i = 0; i < 300; i++) {
		step(false);
		if (i % 50 == 0)
			synced_tell();
		if (i % 100 == 99)
			(void)usleep(1000);
	}
	synced_tell();
	store_release(current);
	atomic_store(&world->stage, RELEASED);
}

static void life(bool follow, enum end end)
{
	begin_life(follow);
	tick(0);
	floors_find();
	compare_all();
	for (unsigned i = 0; i < STEPS; i++)
		step(true);
	compare_all();
	switch (end) {
	case LIFE_KILLED:
		store_checkpoint(current);
		for (uint64_t n = below(6); n--;) {
			synced_tell();
			tick(0);
			(void)usleep((useconds_t)below(2000));
		}
		synced_tell();
		break;
	case LIFE_HANDED_OVER:
		hand_over();
		break;
	default:
		synced_tell();
		store_close(&current);
	}
	(void)fflush(stdout);
	_exit(0);
}

static pid_t life_begin(bool follow, enum end end)
{
	pid_t pid;

	(void)fflush(stdout);
	pid = fork();
	if (pid == 0)
		life(follow, end);
	TRUE_(pid > 0);
	return pid;
}

static void life_ended(pid_t pid)
{
	int status = -1;

	EQ(pid, waitpid(pid, &status, 0));
	EQ(0, status);
}

static void world_make(void)
{
	world = mmap(NULL, sizeof(*world), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		     0);
	TRUE_(world != MAP_FAILED);
	world->random = unit_seed();
	partitions = below(2) ? 1 : 256;
	session_fresh();
	EQ(0, create("another"));
	sync_all();
	finish();
	world->wall = wall;
}

static void all_lives_know_what_was_told(void)
{
	pid_t pid;
	enum end end;

	world_make();
	end = (enum end)below(ENDS);
	pid = life_begin(false, end);
	for (unsigned i = 0; i < LIVES; i++) {
		enum end next = i + 1 < LIVES ? (enum end)below(ENDS) : LIFE_CLOSED;
		pid_t successor;

		if (end != LIFE_HANDED_OVER) {
			life_ended(pid);
			pid = life_begin(false, next);
		} else {
			while (atomic_load(&world->stage) != HELD &&
			       waitpid(pid, NULL, WNOHANG) == 0)
				(void)usleep(500);
			EQ(HELD, atomic_load(&world->stage));
			successor = life_begin(true, next);
			life_ended(pid);
			pid = successor;
		}
		end = next;
	}
	life_ended(pid);
	(void)munmap(world, sizeof(*world));
	world = NULL;
	partitions = PARTITIONS_DEFAULT;
}

/* ---- cut short ---- */

/* In a process of its own: settled once, changed, and killed in the next checkpoint. */
static void die_in_a_checkpoint(const char *spec)
{
	uint64_t version;

	fresh();
	wall = made;
	session_open();
	MUST(create("b") == 0);
	for (unsigned seq = 1; seq <= 6; seq++)
		MUST(ask_put("b", 1, seq, 0, &version) == SESSION_RUN);
	MUST(store_settle(current, LIMIT_MS) == 0);
	MUST(ask_result("b", 1, 7, 3, span_of("a result")) == SESSION_RUN);
	MUST(ask_outcome("b", 1, 8) == SESSION_NEVER);
	MUST(acknowledge("b", 1, 5) == SESSION_RUN);
	sync_all();
	fault_set(spec, 0);
	MUST(store_settle(current, LIMIT_MS) == 0);
	_exit(0);
}

/* What base has of it is all of it or nothing, and the log has it until then. */
static void a_checkpoint_cut_short_loses_no_outcome(void)
{
	static const char *const specs[] = {"checkpoint.before_commit=kill",
					    "checkpoint.before_recycle=kill"};

	for (unsigned i = 0; i < 2; i++) {
		int status = -1;
		pid_t pid;

		made = 1700000000000;
		session_ms = 0;
		session_limit = 0;
		(void)fflush(stdout);
		pid = fork();
		if (!pid)
			die_in_a_checkpoint(specs[i]);
		EQ(pid, waitpid(pid, &status, 0));
		EQ(SIGKILL, status);
		fresh(); /* the folder that the child took */
		wall = made;
		for (unsigned round = 0; round < 3; round++) {
			if (!round)
				session_open();
			else
				session_again(SETTLED);
			EQ(SESSION_STALE, ask("b", 1, 2, 0));
			/* The ack alone stands in no record, but with i == 1 base has it. */
			EQ(i ? SESSION_STALE : SESSION_DONE, ask("b", 1, 3, 0));
			had_version("b", 1, 5, 6);
			had_version("b", 1, 6, 7);
			had_result("b", 1, 7, span_of("a result"));
			EQ(SESSION_NEVER, ask_outcome("b", 1, 8));
			EQ(SESSION_RUN, ask("b", 1, 9, 0));
		}
		finish();
	}
}

/* ---- torn ---- */

/* A record that is not whole has not run: it is run when it is asked for again. */
static void a_torn_record_has_no_outcome(void)
{
	uint64_t s = unit_seed();

	for (unsigned round = 0; round < 40; round++) {
		size_t size;
		size_t from = 0;
		size_t to = 0;
		uint64_t first;
		uint64_t version;
		char *data;
		int fd;

		session_fresh();
		EQ(SESSION_RUN, ask_put("b", 1, 1, 0, &first));
		if (round % 3 == 0)
			EQ(SESSION_RUN, ask_put("b", 1, 2, 0, &version));
		else if (round % 3 == 1)
			EQ(SESSION_RUN, ask_result("b", 1, 2, 0, span_of("a result")));
		else
			EQ(SESSION_NEVER, ask_outcome("b", 1, 2));
		sync_all();
		finish();
		data = newest_read(&size);
		last_record(data, size, &from, &to);
		data[from + unit_random(&s) % (to - from)] ^= (char)(1 << round % 8);
		fd = open(newest, O_WRONLY);
		EQ(size, write(fd, data, size));
		EQ(0, close(fd));
		free(data);
		session_open();
		had_version("b", 1, 1, first);
		EQ(SESSION_RUN, ask_put("b", 1, 2, 0, &version));
		EQ(first + 1, version);
		session_again(CLOSED);
		had_version("b", 1, 2, version);
		finish();
	}
}

UNIT_MAIN(T(all_lives_know_what_was_told), T(a_checkpoint_cut_short_loses_no_outcome),
	  T(a_torn_record_has_no_outcome))
