/* Values of the agreement: what is written is read, and nothing else. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/cluster/views.h"
#include "ipc/wire/msgpack.h"
#include "tests/unit/lib/unit.h"

static char value[VIEWS_VALUE_MAX];

static struct span upto(const char *end)
{
	return (struct span){value, (size_t)(end - value)};
}

static const struct cluster_config config = {0xfedcba9876543210, 256, 3, 2, 1000, 10000};

static struct cluster_node node_make(void)
{
	struct cluster_node n = {.number = 255, .store = 1, .leaving = true};

	memset(n.node, 'e', sizeof(n.node) - 1);
	memset(n.client, 'c', sizeof(n.client) - 1);
	memset(n.key, 'k', sizeof(n.key) - 1);
	return n;
}

/* The largest one. */
static struct view view_make(void)
{
	struct view v = {
		.epoch = UINT32_MAX,
		.released = true,
		.by = UINT64_MAX,
		.frozen = {UINT64_MAX, 7},
		.isr_count = REPLICA_MEMBERS_MAX
        };

	for (uint32_t i = 0; i < REPLICA_MEMBERS_MAX; i++)
		v.isr[i] = (struct member){UINT64_MAX - i, i + 1, 0};
	v.primary = v.isr[3];
	return v;
}

static void what_is_written_is_read(void)
{
	struct cluster_config c;
	struct cluster_node n, n2 = node_make();
	struct view v, v2 = view_make();
	const char *why;

	EQ(0, views_config_read(upto(views_config_write(value, &config)), &c, &why));
	EQ(0, memcmp(&config, &c, sizeof(c)));
	EQ(0, views_node_read(upto(views_node_write(value, &n2)), &n, &why));
	EQ(0, memcmp(&n2, &n, sizeof(n)));
	n2.door = true;
	EQ(0, views_node_read(upto(views_node_write(value, &n2)), &n, &why));
	EQ(0, memcmp(&n2, &n, sizeof(n)));
	EQ(0, views_view_read(upto(views_view_write(value, &v2)), &v, &why));
	EQ(0, memcmp(&v2, &v, sizeof(v)));
	v2.frozen = (struct place){0, 0};
	v2.released = false;
	EQ(0, views_view_read(upto(views_view_write(value, &v2)), &v, &why));
	EQ(0, memcmp(&v2, &v, sizeof(v)));
}

/* Whatever is cut off or changed: an error that says why, or a value within its bounds. */
static void no_bytes_are_too_much(void)
{
	static uint8_t table[256 * REPLICA_MEMBERS_MAX];
	struct cluster_node n2 = node_make();
	struct view v2 = view_make();
	uint64_t s = unit_seed();

	for (unsigned kind = 0; kind < 3; kind++) {
		char *end = kind == 0   ? views_config_write(value, &config)
			    : kind == 1 ? views_node_write(value, &n2)
					: views_view_write(value, &v2);
		size_t size = (size_t)(end - value);

		for (unsigned i = 0; i < 20000; i++) {
			size_t cut = i < size ? i : size;
			char *copy = malloc(cut ? cut : 1);
			struct cluster_config c;
			struct cluster_node n;
			struct view v;
			uint32_t copies;
			const char *why = NULL;
			int r;

			TRUE_(copy);
			memcpy(copy, value, cut);
			for (unsigned k = i < size ? 0 : 1 + i % 3; k; k--)
				copy[unit_random(&s) % size] = (char)unit_random(&s);
			r = kind == 0   ? views_config_read((struct span){copy, cut}, &c, &why)
			    : kind == 1 ? views_node_read((struct span){copy, cut}, &n, &why)
					: views_view_read((struct span){copy, cut}, &v, &why);
			EQ(r != 0, why != NULL);
			TRUE_(cut == size || r == -EBADMSG);
			(void)views_target_read((struct span){copy, cut}, 256, table, &copies,
						&why);
			free(copy);
		}
	}
}

/* ---- each field ---- */

static char *text_of(char *p, const char *text)
{
	return write_text(p, text);
}

/* A map of these pairs; a text, or a number behind '#'. */
static struct span map_of(const char *const *pair, unsigned n, const char *name, const char *other)
{
	char *p = write_map(value, n - (name && !other));

	for (unsigned i = 0; i < n; i++) {
		const char *v = pair[2 * i + 1];

		if (name && !strcmp(pair[2 * i], name)) {
			if (!other)
				continue;
			v = other;
		}
		p = text_of(p, pair[2 * i]);
		p = *v == '#' ? write_uint(p, strtoull(v + 1, NULL, 10)) : text_of(p, v);
	}
	return upto(p);
}

static const char *const config_pairs[] = {
	"drift_ppm",        "#10000",   "factor", "#3",         "format", "#1",         "id",
	"0123456789abcdef", "lease_ms", "#1000",  "min_copies", "#2",     "partitions", "#256"};
static const char *const node_pairs[] = {"client", "tcp://1", "key",    "k",
					 "node",   "tcp://2", "number", "#3",
					 "state",  "member",  "store",  "0123456789abcdef"};

struct bad {
	const char *name;
	const char *other; /* NULL: it is left out */
};

static void each_field_of_a_config_is_checked(void)
{
	static const struct bad bad[] = {
		{"drift_ppm",  NULL              },
		{"drift_ppm",  "#100001"         },
		{"factor",     NULL              },
		{"factor",     "#0"              },
		{"factor",     "#8"              },
		{"factor",     "three"           },
		{"format",     NULL              },
		{"format",     "#2"              },
		{"id",         NULL              },
		{"id",         "#1"              },
		{"id",         "0123456789abcdeF"},
		{"id",         "0123"            },
		{"id",         "0000000000000000"},
		{"lease_ms",   NULL              },
		{"lease_ms",   "#99"             },
		{"lease_ms",   "#60001"          },
		{"min_copies", NULL              },
		{"min_copies", "#0"              },
		{"min_copies", "#4"              },
		{"partitions", NULL              },
		{"partitions", "#0"              },
		{"partitions", "#255"            },
		{"partitions", "#8192"           },
	};
	struct cluster_config c;
	const char *why;

	EQ(0, views_config_read(map_of(config_pairs, 7, NULL, NULL), &c, &why));
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		why = NULL;
		EQ(-EBADMSG,
		   views_config_read(map_of(config_pairs, 7, bad[i].name, bad[i].other), &c, &why));
		/* It says which field it is. */
		TRUE_(why && strstr(why, bad[i].name));
	}
}

static void each_field_of_a_node_is_checked(void)
{
	static char long_text[SOCKET_ENDPOINT_MAX + 1];
	static const struct bad bad[] = {
		{"client", NULL              },
		{"client", "#1"              },
		{"client", long_text         },
		{"key",    NULL              },
		{"key",    long_text         },
		{"node",   NULL              },
		{"node",   "#1"              },
		{"node",   long_text         },
		{"number", NULL              },
		{"number", "#256"            },
		{"number", "x"               },
		{"state",  NULL              },
		{"state",  "dead"            },
		{"state",  ""                },
		{"store",  NULL              },
		{"store",  "#1"              },
		{"store",  "0123456789abcdeg"},
	};
	static const char *const doors[] = {"door", "x", "door", "#1"};
	struct cluster_node n;
	const char *why;

	memset(long_text, 'x', SOCKET_ENDPOINT_MAX);
	EQ(0, views_node_read(map_of(node_pairs, 6, NULL, NULL), &n, &why));
	TRUE_(!n.leaving);
	EQ(0, views_node_read(map_of(node_pairs, 6, "state", "leaving"), &n, &why));
	TRUE_(n.leaving);
	TRUE_(!n.door); /* nothing is said of it */
	for (unsigned i = 0; i < 2; i++) {
		const char *pairs[14];

		memcpy(pairs, node_pairs, sizeof(node_pairs));
		memcpy(&pairs[12], &doors[2 * (size_t)i], 2 * sizeof(doors[0]));
		EQ(-EBADMSG, views_node_read(map_of(pairs, 7, NULL, NULL), &n, &why));
		TRUE_(strstr(why, "door"));
	}
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		why = NULL;
		EQ(-EBADMSG,
		   views_node_read(map_of(node_pairs, 6, bad[i].name, bad[i].other), &n, &why));
		TRUE_(why && strstr(why, bad[i].name));
	}
}

static void no_member_twice_and_none_without_a_number(void)
{
	struct view v = view_make();
	struct view got;
	const char *why = NULL;

	v.isr[1] = v.isr[0];
	EQ(-EBADMSG, views_view_read(upto(views_view_write(value, &v)), &got, &why));
	TRUE_(strstr(why, "isr"));
	v = view_make();
	v.isr[5].node = v.isr[0].node; /* one node cannot have two copies */
	EQ(-EBADMSG, views_view_read(upto(views_view_write(value, &v)), &got, &why));
	v = view_make();
	v.isr[1].node = 0;
	EQ(-EBADMSG, views_view_read(upto(views_view_write(value, &v)), &got, &why));
	v = view_make();
	v.isr[1].node = REPLICA_NODES_MAX;
	EQ(-EBADMSG, views_view_read(upto(views_view_write(value, &v)), &got, &why));
	v = view_make();
	v.isr_count = 0;
	EQ(-EBADMSG, views_view_read(upto(views_view_write(value, &v)), &got, &why));
	v = view_make();
	v.epoch = 0;
	EQ(-EBADMSG, views_view_read(upto(views_view_write(value, &v)), &got, &why));
	TRUE_(strstr(why, "epoch"));
	v = view_make();
	v.primary = (struct member){1, 200, 0};
	EQ(-EBADMSG, views_view_read(upto(views_view_write(value, &v)), &got, &why));
	TRUE_(strstr(why, "primary"));
}

static void a_table_is_spread_evenly_and_read_as_it_was_written(void)
{
	static char bytes[128 + 2 * 4096 * 7];
	static uint8_t table[4096 * REPLICA_MEMBERS_MAX], got[4096 * REPLICA_MEMBERS_MAX];
	uint32_t numbers[20];
	const char *why;

	for (uint32_t i = 0; i < 20; i++)
		numbers[i] = 255 - i;
	for (uint32_t count = 1; count <= 20; count++)
		for (uint32_t factor = 1; factor <= count && factor < REPLICA_MEMBERS_MAX;
		     factor++) {
			uint32_t leads[256] = {0}, has[256] = {0}, copies;
			char *end;

			views_table_make(numbers, count, 256, factor, table);
			for (uint32_t p = 0; p < 256; p++) {
				leads[table[p * factor]]++;
				for (uint32_t i = 0; i < factor; i++) {
					has[table[p * factor + i]]++;
					for (uint32_t k = 0; k < i; k++)
						TRUE_(table[p * factor + i] !=
						      table[p * factor + k]);
				}
			}
			for (uint32_t i = 0; i < count; i++) {
				TRUE_(leads[numbers[i]] >= 256 / count &&
				      leads[numbers[i]] <= 256 / count + 1);
				TRUE_(has[numbers[i]] >= 256 * factor / count * 8 / 10 &&
				      has[numbers[i]] <= 256 * factor / count * 12 / 10 + factor);
			}
			end = views_target_write(bytes, table, 256, factor);
			EQ(0, views_target_read((struct span){bytes, (size_t)(end - bytes)}, 256,
						got, &copies, &why));
			EQ(factor, copies);
			EQ(0, memcmp(table, got, 256 * factor));
			/* Another number of partitions, or a node twice: it is none. */
			EQ(-EBADMSG, views_target_read((struct span){bytes, (size_t)(end - bytes)},
						       128, got, &copies, &why));
			if (factor > 1) {
				table[1] = table[0];
				end = views_target_write(bytes, table, 256, factor);
				EQ(-EBADMSG,
				   views_target_read((struct span){bytes, (size_t)(end - bytes)},
						     256, got, &copies, &why));
			}
		}
}

UNIT_MAIN(T(what_is_written_is_read), T(no_bytes_are_too_much),
	  T(each_field_of_a_config_is_checked), T(each_field_of_a_node_is_checked),
	  T(no_member_twice_and_none_without_a_number),
	  T(a_table_is_spread_evenly_and_read_as_it_was_written))
