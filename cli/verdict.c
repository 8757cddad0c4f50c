/* What pail status begins with: what is wrong with the node. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "cli/cli.h"
#include "cli/human.h"
#include "cli/status.h"

#define WRONG_MOST  8u                  /* said in the verdict */
#define LATE_MS     (10u * 60u * 1000u) /* a checkpoint before that is an old one */
#define LATE_WRITES 1000u               /* if there were so many since */

/* Something that is wrong: at most WRONG_MOST of those. */
static void wrong(struct screen *s, struct pail_value why, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static void wrong(struct screen *s, struct pail_value why, const char *format, ...)
{
	char words[200];
	struct buf b;
	va_list ap;

	if (++s->wrong > WRONG_MOST)
		return;
	va_start(ap, format);
	(void)vsnprintf(words, sizeof(words), format, ap);
	va_end(ap);
	buf_init(&b);
	buf_text(&b, words);
	if (pail_value_bytes(why).size) {
		buf_text(&b, ": ");
		(void)cli_text(&b, pail_value_bytes(why), 3 * SCREEN_COLUMNS);
	}
	if (b.failed)
		s->out.failed = true;
	else
		human_wrap(&s->out, b.data, b.len, 0, 2, SCREEN_COLUMNS);
	buf_fini(&b);
}

static const struct pail_value nothing = {NULL};

static void judge_worker(struct screen *s, struct pail_value w, bool starting)
{
	uint64_t id = screen_number(w, "id");
	struct pail_value death = screen_field(w, "last_death");

	if (screen_is(w, "state", "up"))
		return;
	if (screen_is(w, "state", "failed"))
		wrong(s, death, "worker %" PRIu64 " has failed", id);
	else if (screen_is(w, "state", "backoff"))
		wrong(s, death, "worker %" PRIu64 " has died and will be started again", id);
	else if (screen_is(w, "state", "starting"))
		wrong(s, starting ? nothing : death, "worker %" PRIu64 " starts", id);
	else if (screen_is(w, "state", "down"))
		wrong(s, nothing, "worker %" PRIu64 " is stopped", id);
	else
		wrong(s, nothing, "worker %" PRIu64 " is not up", id);
}

static void name_print(char *out, size_t size, struct pail_value v)
{
	struct buf b;

	buf_init(&b);
	(void)cli_text(&b, pail_value_bytes(v), 60);
	(void)snprintf(out, size, "%.*s", b.failed ? 0 : (int)b.len, b.failed ? "" : b.data);
	buf_fini(&b);
}

/* (Those that only ask come and go as they like.) */
static void judge_peer(struct screen *s, struct pail_value p)
{
	struct pail_value seen = screen_field(p, "last_seen_ms");
	char name[120];
	char since[HUMAN_MAX];

	if (screen_is(p, "state", "up") || screen_is(p, "endpoint", "-"))
		return;
	name_print(name, sizeof(name), screen_field(p, "name"));
	if (screen_is(p, "state", "leaving"))
		wrong(s, nothing, "node %s stops", name);
	else if (screen_is(p, "state", "unknown"))
		wrong(s, nothing, "node %s has not answered yet", name);
	else if (pail_value_type(seen) == PAIL_VALUE_NUMBER)
		wrong(s, screen_field(p, "reason"), "node %s is down since %s", name,
		      human_ms(pail_value_number(seen), since));
	else
		wrong(s, screen_field(p, "reason"), "node %s is down and has never answered", name);
}

/* How many of the workers have checkpoints that do not end, and whose base is nearly full. */
static void judge_disk(struct screen *s, const char *worker, uint64_t uptime_ms)
{
	uint64_t used = screen_sample(s, "pail_base_used_bytes", worker);
	uint64_t map = screen_sample(s, "pail_base_map_bytes", worker);
	uint64_t recent = screen_sample(s, "pail_recent_keys", worker);
	uint64_t last_ms =
		screen_sample(s, "pail_checkpoint_time_seconds", worker); /* its scale is 1000 */
	uint64_t age_ms = s->now_ms > last_ms ? s->now_ms - last_ms : 0;
	char age[HUMAN_MAX];
	char writes[HUMAN_MAX];
	char of[HUMAN_MAX];

	if (map && used >= map / 10 * 9)
		wrong(s, nothing, "base of worker %s is nearly full: %" PRIu64 " %% of %s", worker,
		      used / (map / 100 ? map / 100 : 1), human_bytes(map, of));
	if (recent < LATE_WRITES)
		return;
	human_count(recent, writes);
	if (!last_ms && uptime_ms > LATE_MS)
		wrong(s, nothing, "disk: worker %s has done no checkpoint in %s, %s writes wait",
		      worker, human_ms(uptime_ms, age), writes);
	else if (last_ms && age_ms > LATE_MS)
		wrong(s, nothing,
		      "disk: worker %s's last checkpoint is %s old with %s writes since", worker,
		      human_ms(age_ms, age), writes);
}

static void judge_cluster(struct screen *s)
{
	uint64_t all = screen_sample(s, "pail_cluster_partitions", NULL);
	uint64_t none = screen_sample(s, "pail_cluster_partitions_without_primary", NULL);
	uint64_t few = screen_sample(s, "pail_cluster_partitions_too_few", NULL);
	uint64_t behind = screen_sample(s, "pail_cluster_partitions_not_in_sync", NULL);

	if (pail_value_count(screen_family(s, "pail_cluster_agreement_up")) &&
	    !screen_sample(s, "pail_cluster_agreement_up", NULL))
		wrong(s, nothing,
		      "cluster: etcd does not answer: no partition changes its primary");
	if (none)
		wrong(s, nothing, "cluster: %" PRIu64 " of %" PRIu64 " partitions have no primary",
		      none, all);
	if (few)
		wrong(s, nothing,
		      "cluster: %" PRIu64 " of %" PRIu64
		      " partitions refuse writes: too few copies",
		      few, all);
	if (behind)
		wrong(s, nothing,
		      "cluster: %" PRIu64 " of %" PRIu64 " partitions have copies that lag behind",
		      behind, all);
}

static void judge_rest(struct screen *s)
{
	struct pail_value gateway = screen_field(s->status, "gateway");
	struct pail_value files = screen_field(s->status, "files");
	uint64_t used = screen_number(files, "used");
	uint64_t limit = screen_number(files, "limit");

	if (screen_is(gateway, "state", "failed"))
		wrong(s, screen_field(gateway, "last_death"), "the gateway has failed");
	else if (screen_is(gateway, "state", "backoff"))
		wrong(s, screen_field(gateway, "last_death"),
		      "the gateway has died and will be started again");
	else if (screen_is(gateway, "state", "starting"))
		wrong(s, nothing, "the gateway starts");
	if (screen_field(files, "accepting").at &&
	    !pail_value_bool(screen_field(files, "accepting")))
		wrong(s, nothing, "no file descriptor is left: new clients wait");
	else if (limit && used >= limit / 10 * 9)
		wrong(s, nothing, "%" PRIu64 " of %" PRIu64 " file descriptors are in use", used,
		      limit);
}

static void well(struct screen *s, size_t workers, size_t peers)
{
	buf_text(&s->out, "all is well");
	if (workers)
		buf_fmt(&s->out, ": %zu worker%s", workers, workers == 1 ? "" : "s");
	if (peers)
		buf_fmt(&s->out, "%s%zu peer%s", workers ? ", " : ": ", peers,
			peers == 1 ? "" : "s");
	buf_text(&s->out, "\n");
}

void screen_judge(struct screen *s)
{
	struct pail_value workers = screen_field(s->status, "workers");
	struct pail_value peers = screen_field(s->status, "peers");
	bool starting = screen_is(s->status, "state", "starting");
	size_t asked = 0;

	if (screen_is(s->status, "state", "stopping"))
		wrong(s, nothing, "the node stops");
	if (starting)
		wrong(s, nothing, "started: not all workers are up");
	for (size_t i = 0; i < pail_value_count(workers); i++)
		judge_worker(s, pail_value_item(workers, i), starting);
	judge_cluster(s);
	for (size_t i = 0; i < pail_value_count(peers); i++) {
		judge_peer(s, pail_value_item(peers, i));
		asked += !screen_is(pail_value_item(peers, i), "endpoint", "-");
	}
	for (size_t i = 0; i < pail_value_count(workers); i++) {
		struct pail_value w = pail_value_item(workers, i);
		char worker[24];

		(void)snprintf(worker, sizeof(worker), "%" PRIu64, screen_number(w, "id"));
		judge_disk(s, worker, screen_number(w, "uptime_ms"));
	}
	judge_rest(s);
	if (s->wrong > WRONG_MOST)
		buf_fmt(&s->out, "and %u more\n", s->wrong - WRONG_MOST);
	if (!s->wrong)
		well(s, pail_value_count(workers), asked);
}
