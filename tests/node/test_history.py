"""Every request takes effect once, at one moment, in order: histories of clients, checked, while everything that can be killed is."""
import ctypes
import os
import pickle
import random
import signal
import subprocess
import time
import traceback

import lib
from history import INF, Op, check, self_test
from lib import eq, test

BUCKETS, KEYS = 4, 12
GIVE_UP_S = 3  # without a reply its outcome is unknown
SETTINGS = ("--set", "storage.segment=1M", "--set", "limits.log=32M", "--set", "limits.value=64K", "--set", "limits.message=1M",
            "--set", "limits.cache=1M", "--set", "storage.checkpoint_ms=100", "--set", "supervisor.hang_ms=1000", "--set", "node.workers=2")
UNKNOWN = ("timeout", "internal")


class Recorder:
    """A client that writes down what it sent and got."""

    def __init__(self, endpoint, name, rng):
        self.endpoint, self.name, self.random = endpoint, name, rng
        self.connections, self.n, self.sent, self.seen = 0, 0, 0, {}
        self.wait, self.ops, self.c = {}, [], None
        self.refused, self.why = [], None  # what has not been done, as its reply says
        self.connect()

    def connect(self):
        if self.c:
            self.c.close()
        self.connections += 1
        self.c = lib.Client(self.endpoint)
        self.who = "%s.%d" % (self.name, self.connections)

    def request(self):
        r = self.random
        key = (b"b%d" % r.randrange(BUCKETS), b"k%d" % r.randrange(KEYS))
        self.n += 1
        value = ("%s:%d" % (self.name, self.n)).encode()
        what = r.random()
        options = {"timeout": 2000}
        if what < 0.35:
            return key, "get", None, ("get",) + key + (options,)
        if what < 0.60:
            return key, "put", value, ("put",) + key + (value, options)
        if what < 0.75:
            return key, "absent", value, ("put",) + key + (value, dict(options, if_absent=True))
        if what < 0.85 and key in self.seen:
            n = self.seen[key]
            return key, "version", (value, n), ("put",) + key + (value, dict(options, if_version=n))
        if what < 0.92:
            return key, "touch", None, ("touch",) + key + (options if r.random() < 0.5 else dict(options, ttl=3600000),)
        return key, "delete", None, ("delete",) + key + (options,)

    def send(self, count):
        batch = [self.request() for _ in range(count)]
        begin = time.monotonic()
        for (key, kind, arg, _), i in zip(batch, self.c.send(*(x[3] for x in batch))):
            self.sent += 1
            self.wait[i] = (key, kind, arg, begin, self.sent)

    def result(self, key, kind, m):
        """What a reply tells; False: that nothing happened."""
        code, text = m[2][:2] if m[2] else (None, None)
        if code in UNKNOWN:
            return None
        if code == "conflict":
            words = [int(w) for w in text.replace(":", " ").replace(",", " ").split() if w.isdigit()]
            return ("conflict", words[-1] if words else None)
        if code:
            return False
        if kind == "get":
            if m[3] is None:
                return ("none",)
            self.seen[key] = m[3][1]
            return ("value", m[3][0], m[3][1])
        if kind == "delete":
            return ("was", m[3])
        if kind == "touch" and m[3] is None:
            return ("none",)
        self.seen[key] = m[3]
        return ("ok", m[3])

    def note(self, key, kind, arg, begin, n, end, result):
        if result is False:
            self.refused.append((key, kind, arg, begin, end, self.why))
        if result is not False and not (result is None and kind == "get"):
            self.ops.append(Op(self.who, key, kind, arg, begin, INF if result is None else end, result, n))

    def take(self):
        while self.c.socket.poll(0):
            self.c.take()
            end = time.monotonic()
            for i, m in self.c.replies.items():
                if i in self.wait:
                    key, kind, arg, begin, n = self.wait.pop(i)
                    self.why = m[2]
                    self.note(key, kind, arg, begin, n, end, self.result(key, kind, m))
            self.c.replies.clear()
        now = time.monotonic()
        if any(now - w[3] > GIVE_UP_S * lib.SLOW for w in self.wait.values()):
            self.give_up()
        elif self.c.notes and not self.wait:
            self.connect()

    def give_up(self):
        for key, kind, arg, begin, n in self.wait.values():
            self.note(key, kind, arg, begin, n, INF, None)
        self.wait.clear()
        self.connect()

    def may_send(self):
        return not self.c.notes and len(self.wait) < 8


def client_process(endpoint, seed, stop, path, pace):
    """Load until the file `stop` is there; then the history is in `path`."""
    rng = random.Random(seed)
    all = [Recorder(endpoint, "%d-%d" % (seed, i), rng) for i in range(4)]
    while not os.path.exists(stop):
        for r in all:
            if r.may_send():
                r.send(rng.randrange(1, 5))
        time.sleep(rng.uniform(0, pace))
        for r in all:
            r.take()
    end = time.monotonic() + GIVE_UP_S * lib.SLOW + 1
    while any(r.wait for r in all) and time.monotonic() < end:
        for r in all:
            r.take()
        time.sleep(0.01)
    for r in all:
        r.give_up()
    with open(path, "wb") as f:
        pickle.dump([op for r in all for op in r.ops], f)


def spawn(f, *args):
    """A child that runs f and ends; with its parent if that ends before: it would ask the next test's nodes."""
    parent, pid = os.getpid(), os.fork()
    if pid:
        return pid
    code = 1
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    if os.getppid() != parent:
        os._exit(1)
    try:
        f(*args)
        code = 0
    except BaseException:
        traceback.print_exc()
    os._exit(code)


class Nemesis:
    """Does something bad every now and then."""
    COMMAND_MS = 20000  # so long an operator waits

    def __init__(self, box, n, actions):
        self.box, self.n, self.random = box, n, box.random
        self.actions, self.done, self.commands, self.stopped = actions, {}, [], []

    def kill_worker(self):
        kids = self.n.children()
        if kids:
            os.kill(self.random.choice(kids), signal.SIGKILL)

    def stop_worker(self):
        kids = self.n.children()
        if kids:
            pid = self.random.choice(kids)
            os.kill(pid, signal.SIGSTOP)
            # Some go on soon, some only when they have been found hung and killed.
            self.stopped.append((time.monotonic() + self.random.choice((0.05, 0.3, 30)), pid))

    def command(self, *args):
        self.commands = [p for p in self.commands if p.poll() is None]
        if len(self.commands) < 2:
            self.commands.append(subprocess.Popen([lib.BUILD + "/pail", "--admin", "ipc://%s/admin.sock" % self.n.data, *args, "--timeout", str(self.COMMAND_MS)],
                                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))

    def restart(self):
        self.command("worker", "restart", "--all")

    def upgrade(self):
        self.command("upgrade", "--wait")

    def kill_coordinator(self):
        """Its workers find out by themselves; those that stand still a service manager would kill: here they wake up."""
        self.n.process.kill()
        self.n.process.wait()
        self.wake(INF)
        self.n.start()

    def before(self):
        """Where the next one strikes: there is one node."""

    def run(self, seconds, least=0.03, most=0.5):
        end = time.monotonic() + seconds
        names = [name for name, weight in self.actions.items() for _ in range(weight)]
        while time.monotonic() < end:
            time.sleep(self.random.uniform(least, most))
            self.wake(time.monotonic())
            self.before()
            name = self.random.choice(names)
            try:
                getattr(self, name)()
            except ProcessLookupError:
                continue
            self.done[name] = self.done.get(name, 0) + 1
        self.wake(INF)
        for p in self.commands:
            p.wait()

    def wake(self, now):
        for until_s, pid in self.stopped:
            if until_s <= now:
                try:
                    os.kill(pid, signal.SIGCONT)
                except ProcessLookupError:
                    pass
        self.stopped = [x for x in self.stopped if x[0] > now]


ALL = {"kill_worker": 8, "stop_worker": 2, "restart": 3, "upgrade": 3, "kill_coordinator": 1}


def history(box, seconds, actions, processes=3, build=None, pace=0.004, least=0.03, most=0.3):
    """Load and nemesis; the lines that the checker has to say."""
    n = box.node(*SETTINGS, build=build)
    c = n.client()
    for b in range(BUCKETS):
        c.call("create", b"b%d" % b)
    stop = os.path.join(box.dir, "stop")
    paths = [os.path.join(box.dir, "history-%d" % i) for i in range(processes)]
    pids = [spawn(client_process, n.endpoint, box.seed + i, stop, p, pace) for i, p in enumerate(paths)]
    nemesis = Nemesis(box, n, actions)
    nemesis.run(seconds, least, most)
    with open(stop, "w"):
        pass
    for p in pids:
        eq(0, os.waitpid(p, 0)[1])
    ops = []
    for p in paths:
        with open(p, "rb") as f:
            ops += pickle.load(f)
    n.up()
    # What is there in the end belongs to it: nothing acknowledged is missing, nothing was done twice.
    r = Recorder(n.endpoint, "last", box.random)
    for b in range(BUCKETS):
        for k in range(KEYS):
            key = (b"b%d" % b, b"k%d" % k)
            begin = time.monotonic()
            i = r.c.send(("get",) + key)[0]
            r.note(key, "get", None, begin, 0, time.monotonic(), r.result(key, "get", r.c.wait(i, 30)))
    begin = time.monotonic()
    lines = check(ops + r.ops)
    checkpoints = n.status()["storage"]["checkpoints"]
    print("# %d requests, %d of them without a known outcome, %s, %d checkpoints; checked in %.1f s, seed %d"
          % (len(ops), sum(o.result is None for o in ops), ", ".join("%d x %s" % (v, k) for k, v in sorted(nemesis.done.items())),
             checkpoints, time.monotonic() - begin, box.seed))
    eq(0, n.stop())
    return lines, ops, nemesis.done


def sound(box, seconds, actions=ALL, **kw):
    lines, ops, done = history(box, seconds, actions, **kw)
    assert not lines, "not linearizable:\n" + "\n".join(lines[:40])
    assert len(ops) > 300 * seconds / lib.SLOW, len(ops)
    assert set(done) == set(actions) or seconds < 10, done


@test("history")
def the_checker_knows_right_from_wrong(box):
    self_test()


@test("history", "kill")
def every_request_is_done_once_whatever_is_killed(box):
    sound(box, float(os.environ.get("HISTORY_S", 25)))


@test("history", "kill", "torture")
def hours_of_kills_restarts_and_upgrades(box):
    """Rounds of a minute with a seed each, until TORTURE_S are over."""
    lib.rounds(box, "torture", sound)


def broken(box, name, actions):
    """A build with one rule taken out must not pass: a test of the test."""
    build = os.path.join(os.path.dirname(lib.BUILD), name)
    if not os.path.exists(build + "/pail-worker"):
        raise AssertionError("there is no %s: make broken" % build)
    for attempt in range(6):
        inner = lib.Box(name)
        try:
            lines, _, _ = history(inner, 5, actions, build=build, least=0.02, most=0.1)
        finally:
            inner.close()
        if lines:
            print("# found in attempt %d: %s" % (attempt + 1, lines[0]))
            return
    raise AssertionError("a node that is %s passes for sound" % name)


@test("history", "kill", "broken")
def a_worker_that_answers_before_the_sync_is_found_out(box):
    broken(box, "broken-sync", {"kill_worker": 1})


@test("history", "kill", "broken")
def a_log_that_forgets_ring_positions_is_found_out(box):
    broken(box, "broken-position", {"kill_worker": 1})
