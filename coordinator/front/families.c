/* Families as MessagePack. */
#include "coordinator/front/families.h"

#include <string.h>

#include "ipc/wire/msgpack.h"
#include "ipc/wire/reply.h"

static char *room(struct buf *b, size_t n)
{
	static char nowhere[2048]; /* what is written here after a failure is never sent */
	char *p = buf_room(b, n);

	return p ? p : nowhere;
}

static void add(struct buf *b, const char *end)
{
	if (!b->failed)
		b->len = (size_t)(end - b->data);
}

static void add_text(struct buf *b, const char *v)
{
	size_t n = strlen(v);

	add(b, write_str(room(b, n < 2000 ? n + CODEC_HEAD_MAX : 0), v, n < 2000 ? n : 0));
}

void families_init(struct families *f)
{
	buf_init(&f->all);
	buf_init(&f->samples);
	f->count = f->sample_count = 0;
}

void families_fini(struct families *f)
{
	buf_fini(&f->all);
	buf_fini(&f->samples);
}

#define ROW(id_, kind_, unit_, labels_, help_) \
	[FAMILY_##id_] = {"pail_" #id_, FAMILY_##kind_, FAMILY_##unit_, labels_, help_},

const struct family family_table[FAMILY_COUNT] = {FAMILIES(ROW)};

static void begin(struct families *f, const char *name, enum family_kind kind, enum family_unit of,
		  const char *help)
{
	static const char *const kinds[] = {"counter", "gauge", "histogram"};
	static const struct {
		const char *unit;
		uint64_t scale;
	} units[] = {
		[FAMILY_ONES] = {"",        1      },
		[FAMILY_BYTES] = {"bytes",   1      },
		[FAMILY_SECONDS_MS] = {"seconds", 1000   },
		[FAMILY_SECONDS_US] = {"seconds", 1000000}
        };
	struct buf *b = &f->all;

	add(b, write_map(room(b, 16), 6));
	add_text(b, "name");
	add_text(b, name);
	add_text(b, "kind");
	add_text(b, kinds[kind]);
	add_text(b, "unit");
	add_text(b, units[of].unit);
	add_text(b, "scale");
	add(b, write_uint(room(b, 16), units[of].scale));
	add_text(b, "help");
	add_text(b, help);
	add_text(b, "samples");
	f->samples.len = 0;
	f->sample_count = 0;
	f->count++;
}

void family_begin(struct families *f, enum family_id id)
{
	const struct family *x = &family_table[id];

	begin(f, x->name, x->kind, x->unit, x->help);
}

void family_begin_metric(struct families *f, const struct metric *m)
{
	static const enum family_unit of[] = {[METRIC_ONES] = FAMILY_ONES,
					      [METRIC_BYTES] = FAMILY_BYTES,
					      [METRIC_MS] = FAMILY_SECONDS_MS,
					      [METRIC_US] = FAMILY_SECONDS_US,
					      [METRIC_UNIX_MS] = FAMILY_SECONDS_MS};

	begin(f, m->shown, m->kind == METRIC_COUNTER ? FAMILY_COUNTER : FAMILY_GAUGE, of[m->unit],
	      m->help);
}

void family_end(struct families *f)
{
	add(&f->all, write_array(room(&f->all, 16), f->sample_count));
	buf_add(&f->all, f->samples.data, f->samples.len);
	if (f->samples.failed)
		f->all.failed = true;
}

static void sample_begin(struct families *f, struct family_label a, struct family_label b)
{
	struct buf *s = &f->samples;

	add(s, write_array(room(s, 16), 2));
	add(s, write_map(room(s, 16), (uint32_t)(a.name != NULL) + (uint32_t)(b.name != NULL)));
	if (a.name) {
		add_text(s, a.name);
		add_text(s, a.value);
	}
	if (b.name) {
		add_text(s, b.name);
		add_text(s, b.value);
	}
	f->sample_count++;
}

void family_sample(struct families *f, struct family_label a, struct family_label b, uint64_t v)
{
	sample_begin(f, a, b);
	add(&f->samples, write_uint(room(&f->samples, 16), v));
}

void family_histogram(struct families *f, struct family_label a, const struct histogram *h)
{
	struct buf *s = &f->samples;
	uint64_t count = 0;
	uint32_t filled = 0;

	for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
		count += h->bucket[i];
		filled += h->bucket[i] != 0;
	}
	sample_begin(f, a, NO_LABEL);
	add(s, write_map(room(s, 16), 3));
	add_text(s, "count");
	add(s, write_uint(room(s, 16), count));
	add_text(s, "sum");
	add(s, write_uint(room(s, 16), h->sum));
	add_text(s, "buckets");
	add(s, write_array(room(s, 16), filled));
	for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++)
		if (h->bucket[i])
			add(s,
			    write_uint(write_uint(write_array(room(s, 32), 2), histogram_upper(i)),
				       h->bucket[i]));
}

void family_one(struct families *f, enum family_id id, uint64_t v)
{
	family_begin(f, id);
	family_sample(f, NO_LABEL, NO_LABEL, v);
	family_end(f);
}

void families_write(const struct families *f, struct buf *out)
{
	add_text(out, "families");
	add(out, write_array(room(out, 16), f->count));
	buf_add(out, f->all.data, f->all.len);
	if (f->all.failed)
		out->failed = true;
}
