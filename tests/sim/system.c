/* Descriptors that are numbers in a table, processes that are structs, a clock that is a variable.
 */
#include "tests/sim/system.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/check.h"
#include "common/clock.h"
#include "coordinator/clients/files.h"
#include "coordinator/workers/spawn.h"
#include "ipc/shm/control.h"
#include "tests/sim/node.h"
#include "tests/sim/process.h"
#include "tests/sim/world.h"
#include "tests/sim/wrapped.h"

#define FD_FIRST      (1 << 20) /* no real one is as high */
#define FDS_MAX       8192u
#define CHANNEL_WAITS 16u
#define WALL_MS       1700000000000ull /* when the world began */

enum fd_kind { FD_FREE, FD_EVENT, FD_SIGNAL, FD_CHANNEL, FD_PID, FD_SOCKET, FD_SOCKET_EVENTS };

struct channel {
	struct process *process; /* the worker's end */
	struct sim_node *node;   /* the coordinator's */
	uint64_t incarnation;
	int message[2][CHANNEL_WAITS]; /* to the coordinator, to the worker */
	uint32_t count[2];
	bool closed[2]; /* the coordinator's end, the worker's */
};

struct descriptor {
	enum fd_kind kind;
	uint64_t count; /* event: what was written; signal: which is pending */
	struct channel *channel;
	int side; /* of a channel: 0 the coordinator's */
	const struct socket *socket;
	struct process *process;
	struct sim_node *node; /* that made it */
};

struct sim_node *system_node;
static struct descriptor table[FDS_MAX];
static uint32_t used;
static uint32_t free_list[FDS_MAX];
static uint32_t frees;
static uint32_t pids;
static bool simulates;

void system_open(void)
{
	memset(table, 0, sizeof(table));
	used = 0;
	frees = 0;
	pids = 1000;
	system_node = NULL;
}

void system_close(void)
{
	processes_close();
}

/* ---- descriptors ---- */

static struct descriptor *of(int fd)
{
	return fd >= FD_FIRST && fd < FD_FIRST + (int)FDS_MAX ? &table[fd - FD_FIRST] : NULL;
}

static int fd_new(enum fd_kind kind)
{
	uint32_t i = frees ? free_list[--frees] : used++;

	check(i < FDS_MAX);
	table[i] = (struct descriptor){.kind = kind, .node = system_node};
	return FD_FIRST + (int)i;
}

void system_fd_free(int fd)
{
	struct descriptor *d = of(fd);

	if (!d || d->kind == FD_FREE)
		return;
	d->kind = FD_FREE;
	free_list[frees++] = (uint32_t)(d - table);
}

int system_fd_socket(const struct socket *s, bool events)
{
	int fd = fd_new(events ? FD_SOCKET_EVENTS : FD_SOCKET);

	of(fd)->socket = s;
	return fd;
}

struct socket_context *system_context_new(void)
{
	struct socket_context *c = world_alloc(sizeof(*c));

	c->host = system_node->index;
	c->wake = node_wake;
	c->arg = system_node;
	system_node->context = c;
	return c;
}

/* Endpoints are ipc:///sim/<node>-<what>. */
uint32_t system_host_of(const char *endpoint)
{
	for (uint32_t i = 0; i < cluster.nodes; i++) {
		size_t n = strlen(cluster.node[i].name);

		if (!strncmp(endpoint, "ipc:///sim/", 11) &&
		    !strncmp(endpoint + 11, cluster.node[i].name, n) && endpoint[11 + n] == '-')
			return i;
	}
	check_failed("an endpoint of a node", __FILE__, __LINE__);
}

int __wrap_eventfd(unsigned count, int flags)
{
	(void)flags;
	(void)count;
	return fd_new(FD_EVENT);
}

int __wrap_signalfd(int fd, const sigset_t *mask, int flags)
{
	(void)fd;
	(void)mask;
	(void)flags;
	system_node->signal_fd = fd_new(FD_SIGNAL);
	return system_node->signal_fd;
}

int __wrap_close(int fd)
{
	struct descriptor *d = of(fd);

	if (!d)
		return __real_close(fd);
	if (d->kind == FD_CHANNEL && d->side == 0) {
		d->channel->closed[0] = true;
		if (d->channel->process)
			process_wake(d->channel->process);
	}
	system_fd_free(fd);
	return 0;
}

ssize_t __wrap_read(int fd, void *data, size_t n)
{
	struct descriptor *d = of(fd);

	if (!d)
		return __real_read(fd, data, n);
	if (!d->count) {
		errno = EAGAIN;
		return -1;
	}
	if (d->kind == FD_SIGNAL) {
		struct signalfd_siginfo *s = data;

		check(n == sizeof(*s));
		memset(s, 0, sizeof(*s));
		s->ssi_signo = (uint32_t)d->count;
	} else {
		check(d->kind == FD_EVENT && n == sizeof(d->count));
		memcpy(data, &d->count, n);
	}
	d->count = 0;
	return (ssize_t)n;
}

ssize_t __wrap_write(int fd, const void *data, size_t n)
{
	struct descriptor *d = of(fd);

	if (d) {
		check(d->kind == FD_EVENT && n == sizeof(d->count));
		d->count++;
		if (d->process)
			process_wake(d->process);
		return (ssize_t)n;
	}
	if (fd == STDERR_FILENO && system_node) { /* the node's log */
		world_note("%s log: %.*s", system_node->name, (int)n - 1, (const char *)data);
		return (ssize_t)n;
	}
	return __real_write(fd, data, n);
}

void system_wake(int fd)
{
	struct descriptor *d = of(fd);

	if (!d || d->kind != FD_EVENT)
		return; /* its coordinator is gone */
	d->count++;
	node_wake(d->node);
}

void system_signal(struct sim_node *n, int signal)
{
	of(n->signal_fd)->count = (uint64_t)signal;
	node_wake(n);
}

static bool is_ready(const struct descriptor *d)
{
	switch (d->kind) {
	case FD_EVENT:
	case FD_SIGNAL:
		return d->count;
	case FD_CHANNEL:
		return d->channel->count[d->side] || d->channel->closed[!d->side];
	case FD_PID:
		return d->process->state == PROCESS_DEAD;
	case FD_SOCKET:
		return net_readable(d->socket);
	case FD_SOCKET_EVENTS:
		return net_event_pending(d->socket);
	default:
		return false;
	}
}

/* Nobody waits here: a node that is ready to wait has its turn later. */
int __wrap_poll(struct pollfd *p, nfds_t n, int timeout_ms)
{
	int ready = 0;

	for (nfds_t i = 0; i < n; i++) {
		const struct descriptor *d = of(p[i].fd);

		check(d || p[i].fd < 0);
		p[i].revents = d && is_ready(d) ? POLLIN : 0;
		ready += p[i].revents != 0;
	}
	check(timeout_ms == 0);
	return ready;
}

/* ---- time and chance ---- */

void system_simulates(bool on)
{
	simulates = on;
}

uint64_t system_real_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

uint64_t system_real_random(void)
{
	uint64_t n = 0;

	check(__real_getrandom(&n, sizeof(n), 0) == sizeof(n));
	return n;
}

uint64_t clock_us(void)
{
	return world.now_us + (system_node ? system_node->clock_offset_us : 0);
}

uint64_t clock_ms(void)
{
	return clock_us() / WORLD_MS;
}

uint64_t clock_wall_ms(void)
{
	return WALL_MS + world.now_us / WORLD_MS;
}

uint64_t clock_boot_ms(void)
{
	return clock_ms();
}

void clock_boot_id(uint8_t ret[CLOCK_BOOT_ID_BYTES])
{
	memset(ret, 1, CLOCK_BOOT_ID_BYTES);
}

void clock_cond_init(pthread_cond_t *c)
{
	(void)c;
	check_failed("no thread waits in a simulation", __FILE__, __LINE__);
}

#define FORBIDDEN(type, name, parameter)                                              \
	type __wrap_##name(parameter __attribute__((unused)))                         \
	{                                                                             \
		check_failed(#name " is called in a simulation", __FILE__, __LINE__); \
	}
#define FORBIDDEN_2(type, name, parameter, second)                                            \
	type __wrap_##name(parameter __attribute__((unused)), second __attribute__((unused))) \
	{                                                                                     \
		check_failed(#name " is called in a simulation", __FILE__, __LINE__);         \
	}

int __wrap_clock_gettime(clockid_t id, struct timespec *t)
{
	check(!simulates);
	return __real_clock_gettime(id, t);
}

FORBIDDEN_2(int, gettimeofday, struct timeval *t, void *zone)
FORBIDDEN(time_t, time, time_t *t)
FORBIDDEN_2(int, nanosleep, const struct timespec *t, struct timespec *left)
FORBIDDEN(int, usleep, useconds_t us)
FORBIDDEN(unsigned, sleep, unsigned s)

pid_t __wrap_fork(void)
{
	check_failed("fork is called in a simulation", __FILE__, __LINE__);
}

ssize_t __wrap_getrandom(void *data, size_t n, unsigned flags)
{
	uint8_t *p = data;

	(void)flags;
	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)world_random(256);
	return (ssize_t)n;
}

/* ---- processes ---- */

int __wrap_sigprocmask(int how, const sigset_t *set, sigset_t *old)
{
	(void)how;
	(void)set;
	(void)old;
	return 0; /* the simulation can be interrupted */
}

int __wrap_kill(pid_t pid, int signal)
{
	struct process *p = process_find(pid);

	check(p && signal == SIGKILL);
	process_kill(p);
	return 0;
}

int __wrap_waitid(idtype_t type, id_t id, siginfo_t *info, int options)
{
	struct process *p = process_of_pidfd((int)id);

	(void)options;
	check(type == P_PIDFD && p);
	memset(info, 0, sizeof(*info));
	if (p->state != PROCESS_DEAD || p->reaped)
		return 0;
	p->reaped = true;
	info->si_pid = p->pid;
	info->si_code = p->killed ? CLD_KILLED : CLD_EXITED;
	info->si_status = p->exit_status;
	return 0;
}

int spawn_find(const char *name, char *out, size_t size)
{
	(void)snprintf(out, size, "/simulated/%s", name);
	return 0;
}

int spawn_worker(const char *path, const char *how, const int *fd, struct spawned *ret)
{
	struct descriptor *control = of(fd[0]);
	struct process *p;

	(void)path;
	check(!strcmp(how, "--serve"));
	p = process_new(system_node, fd[1], fd[2], fd[3], control->channel);
	p->pid = (pid_t)++pids;
	p->pidfd = fd_new(FD_PID);
	of(p->pidfd)->process = p;
	of(fd[2])->process = p;
	control->channel->process = p;
	*ret = (struct spawned){p->pid, p->pidfd};
	return 0;
}

int spawn_program(char *const *argv, int fd, struct spawned *ret)
{
	(void)argv;
	(void)fd;
	(void)ret;
	return -ENOSYS;
}

/* ---- control sockets ---- */

int control_pair(int ret_fd[2])
{
	struct channel *c = world_alloc(sizeof(*c));

	c->node = system_node;
	for (int side = 0; side < 2; side++) {
		ret_fd[side] = fd_new(FD_CHANNEL);
		of(ret_fd[side])->channel = c;
		of(ret_fd[side])->side = side;
	}
	return 0;
}

static int put(struct channel *c, int to, int message)
{
	if (c->closed[to])
		return -EPIPE;
	check(c->count[to] < CHANNEL_WAITS);
	c->message[to][c->count[to]++] = message;
	return 0;
}

static int get(struct channel *c, int side)
{
	int m;

	if (!c->count[side])
		return c->closed[!side] ? -EPIPE : 0;
	m = c->message[side][0];
	memmove(c->message[side], c->message[side] + 1,
		--c->count[side] * sizeof(c->message[side][0]));
	return m;
}

int control_send(int fd, enum control_type type)
{
	struct channel *c = of(fd)->channel;
	int r = put(c, 1, (int)type);

	if (r == 0 && c->process)
		process_wake(c->process);
	return r;
}

int control_send_fd(int fd, enum control_type type, int passed)
{
	(void)passed; /* simulated workers run no functions */
	return control_send(fd, type);
}

int control_receive(int fd)
{
	return get(of(fd)->channel, 0);
}

int channel_send(struct channel *c, int message)
{
	int r = put(c, 0, message);

	if (r == 0)
		node_wake(c->node);
	return r;
}

int channel_receive(struct channel *c)
{
	return get(c, 1);
}

void channel_close(struct channel *c)
{
	c->closed[1] = true;
	if (!c->closed[0])
		node_wake(c->node);
}

/* ---- what is not simulated: how many descriptors are left ---- */

void files_init(struct files *f)
{
	memset(f, 0, sizeof(*f));
}

void files_fini(struct files *f)
{
	(void)f;
}

void files_tick(struct files *f, struct socket *const link[FILES_LINKS], uint64_t now_ms)
{
	(void)f;
	(void)link;
	(void)now_ms;
}

/* Nothing that matters is on a real disk, and rings that stay empty need no memory. */
int __wrap_posix_fallocate(int fd, off_t offset, off_t n)
{
	return ftruncate(fd, offset + n) < 0 ? errno : 0;
}

int __wrap_fsync(int fd)
{
	(void)fd;
	return 0;
}

int __wrap_fdatasync(int fd)
{
	(void)fd;
	return 0;
}
