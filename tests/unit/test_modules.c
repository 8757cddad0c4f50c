/* A set of modules in a sealed memfd, and how it comes to a worker. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ipc/shm/control.h"
#include "ipc/shm/modules.h"
#include "tests/unit/lib/unit.h"

static const struct modules_limits limits = {
	.node = "one", .memory_bytes = 64 << 20, .value_max = 1000, .time_ms = 50};

static struct modules *make(const struct modules_source *s, uint32_t n, struct span list)
{
	struct modules *m = NULL;

	EQ(0, modules_make(&limits, 7, s, n, list, &m));
	return m;
}

static struct modules_source source(const char *name, const char *text)
{
	struct modules_source s = {.text = span_of(text)};

	(void)snprintf(s.name, sizeof(s.name), "%s", name);
	return s;
}

static void what_was_packed_comes_out(void)
{
	const struct modules_source s[] = {source("a", "return {}"), source("empty", ""),
					   source("z9_", "-- z")};
	struct modules *m = make(s, 3, span_of("list"));
	struct modules *again = NULL;

	EQ(0, modules_attach(fcntl(m->fd, F_DUPFD_CLOEXEC, 3), &again));
	EQ(3, again->header->count);
	EQ(7, again->header->generation);
	EQ(50, again->header->limits.time_ms);
	for (uint32_t i = 0; i < 3; i++) {
		struct modules_source got = modules_get(again, i);

		EQ(0, strcmp(s[i].name, got.name));
		TRUE_(span_equal(s[i].text, got.text));
	}
	TRUE_(span_equal(span_of("list"), modules_list(again)));
	modules_free(&again);
	modules_free(&m);
	modules_free(&m);
}

static void it_cannot_be_changed(void)
{
	const struct modules_source s = source("a", "return {}");
	struct modules *m = make(&s, 1, span_of(""));

	EQ(-1, pwrite(m->fd, "x", 1, 200));
	EQ(-1, ftruncate(m->fd, 0));
	TRUE_(mmap(NULL, 100, PROT_READ | PROT_WRITE, MAP_SHARED, m->fd, 0) == MAP_FAILED);
	EQ(-1, fcntl(m->fd, F_ADD_SEALS, F_SEAL_GROW));
	modules_free(&m);
}

static void the_digest_tells_names_and_texts_apart(void)
{
	const struct modules_source s[] = {source("a", "bc"), source("ab", "c"), source("a", "bd"),
					   source("a", "bc")};
	char digest[4][MODULES_DIGEST_LEN + 1];

	for (int i = 0; i < 4; i++) {
		struct modules *m = make(&s[i], 1, span_of(i ? "another list" : ""));

		modules_digest(m, digest[i]);
		EQ(MODULES_DIGEST_LEN, strlen(digest[i]));
		modules_free(&m);
	}
	TRUE_(strcmp(digest[0], digest[1]) != 0);
	TRUE_(strcmp(digest[0], digest[2]) != 0);
	EQ(0, strcmp(digest[0], digest[3]));
}

/* A memfd of other bytes than modules_make writes. */
static int forged(const struct modules *m, size_t at, uint32_t value, unsigned seals)
{
	int fd = memfd_create("forged", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	size_t n = m->header->size;

	EQ(n, write(fd, m->header, n));
	EQ(sizeof(value), pwrite(fd, &value, sizeof(value), (off_t)at));
	EQ(0, fcntl(fd, F_ADD_SEALS, seals));
	return fd;
}

static void what_is_no_set_is_refused(void)
{
	const unsigned sealed = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
	const struct modules_source s = source("a", "return {}");
	struct modules *m = make(&s, 1, span_of("list"));
	const size_t text = sizeof(struct modules_header) + offsetof(struct modules_entry, text_at);
	const struct {
		size_t at;
		uint32_t value;
		unsigned seals;
		int want;
	} cases[] = {
		{offsetof(struct modules_header, magic),     0,          sealed,   -EBADMSG                     },
		{offsetof(struct modules_header, version),   99,         sealed,   -EPROTO                      },
		{offsetof(struct modules_header, count),     1000,       sealed,   -EBADMSG                     },
		{offsetof(struct modules_header, count),     200,        sealed,   -EBADMSG                     },
		{offsetof(struct modules_header, list_at),   1u << 30,   sealed,   -EBADMSG                     },
		{offsetof(struct modules_header, list_size), UINT32_MAX, sealed,   -EBADMSG                     },
		{text,			   UINT32_MAX, sealed,     -EBADMSG},
		{text + 4,                      1u << 20,     sealed,   -EBADMSG        },
		{offsetof(struct modules_header,                             generation),                  7,   sealed ^ F_SEAL_WRITE,         -EBADMSG                             },
		{offsetof(struct modules_header,                             generation),                                 7,          sealed,         0},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int fd = forged(m, cases[i].at, cases[i].value, cases[i].seals);
		struct modules *got = NULL;

		EQ(cases[i].want, modules_attach(fd, &got));
		if (got)
			modules_free(&got);
		else
			(void)close(fd);
	}
	modules_free(&m);
}

static void lists_are_read_as_they_were_written(void)
{
	char room[200];
	char *p = modules_list_write(room, span_of("a"), span_of("first"));
	struct span list;
	struct span module;
	struct span function;

	p = modules_list_write(p, span_of("a"), span_of(""));
	p = modules_list_write(p, span_of("b"), span_of("two\nlines"));
	list = (struct span){room, (size_t)(p - room)};
	TRUE_(modules_list_next(&list, &module, &function));
	SAME(function.p, function.n, "first");
	TRUE_(modules_list_next(&list, &module, &function));
	EQ(0, function.n);
	list.n--; /* cut short */
	EQ(0, modules_list_next(&list, &module, &function));
	list.n++;
	TRUE_(modules_list_next(&list, &module, &function));
	SAME(module.p, module.n, "b");
	SAME(function.p, function.n, "two\nlines");
	EQ(0, modules_list_next(&list, &module, &function));
}

/* A descriptor comes with its message and with no other; one that nobody asks for is closed. */
static void a_descriptor_comes_with_its_message(void)
{
	const struct modules_source s = source("a", "return {}");
	struct modules *m = make(&s, 1, span_of(""));
	struct modules *got = NULL;
	int pair[2];
	int fd;
	int unused;

	EQ(0, control_pair(pair));
	EQ(0, control_send(pair[0], CONTROL_HOLD));
	EQ(0, control_send_fd(pair[0], CONTROL_FUNCTIONS, m->fd));
	EQ(0, control_send_fd(pair[0], CONTROL_FUNCTIONS, m->fd));
	EQ(CONTROL_HOLD, control_receive_fd(pair[1], &fd));
	EQ(-1, fd);
	EQ(CONTROL_FUNCTIONS, control_receive_fd(pair[1], &fd));
	TRUE_(fd >= 0 && fd != m->fd);
	TRUE_(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	EQ(0, modules_attach(fd, &got));
	EQ(7, got->header->generation);
	unused = dup(pair[0]);
	EQ(CONTROL_FUNCTIONS, control_receive(pair[1]));
	EQ(unused + 1, dup(pair[0])); /* the next number is free: nothing was left open */
	EQ(0, control_receive_fd(pair[1], &fd));
	modules_free(&got);
	modules_free(&m);
}

UNIT_MAIN(T(what_was_packed_comes_out), T(it_cannot_be_changed),
	  T(the_digest_tells_names_and_texts_apart), T(what_is_no_set_is_refused),
	  T(lists_are_read_as_they_were_written), T(a_descriptor_comes_with_its_message))
