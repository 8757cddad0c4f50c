"""Histories of a cluster in network namespaces, checked, while nodes, wires, disks, clocks and etcd fail.

Three kinds of clients at once, each asking any node: single requests (history.py), transfers by transactions and by functions
(groups.py), and sessions that send again until they are answered (test_exactly_once.py).
"""
import collections
import os
import pickle
import random
import shutil
import signal
import subprocess
import time

import groups
import history
import lib
import test_exactly_once as once
import test_transfers as bank
from cluster import FAKE, cluster
from lib import eq, test, until
from test_history import BUCKETS, GIVE_UP_S, KEYS, Recorder, spawn

# How often each happens, and what it needs: NET, DISKS, CLOCKS.
ACTIONS = {"kill_worker": 4, "kill_coordinator": 2, "kill_node": 4, "stop_node": 2, "pause_node": 3, "pause_worker": 2,
           "restart": 2, "upgrade": 2, "drain": 1, "kill_etcd": 1, "pause_etcd": 1}
NET = {"island": 3, "cut": 4, "deaf": 4, "slow": 2, "lossy": 2, "no_etcd": 2, "blink": 2}
DISKS = {"hang": 2, "power": 1, "power_of_one": 1}
CLOCKS = {"suspend": 2, "step": 1}
SETTLED_S = 30  # after the last fault all is in sync again


class Anywhere(Recorder):
    """A recorder that asks another node with each connection."""

    def __init__(self, endpoints, name, rng):
        self.endpoints = endpoints
        super().__init__(endpoints[0], name, rng)

    def connect(self):
        self.endpoint = self.random.choice(self.endpoints)
        super().connect()


def singles(endpoints, seed, stop, path, kind=Anywhere):
    rng = random.Random(seed)
    all = [kind(endpoints, "%d-%d" % (seed, i), rng) for i in range(5)]
    while not os.path.exists(stop):
        for r in all:
            if r.may_send():
                r.send(rng.randrange(1, 5))
        time.sleep(rng.uniform(0, 0.02))
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
        pickle.dump(([op for r in all for op in r.ops], [x for r in all for x in r.refused]), f)


class Fate:
    """Does something bad every now and then, and some of it is over after a while.  Not more than `most` nodes are away at once;
    what goes over the wire may be as bad as it likes."""

    def __init__(self, c, actions, most=1):
        self.c, self.random, self.most = c, c.box.random, most
        self.names = [name for name, weight in actions.items() for _ in range(weight)]
        self.done, self.later, self.commands = collections.Counter(), [], []
        self.events, self.last = [], None  # what was done when, and to whom, as far as that is one node

    def after(self, seconds, f, *args):
        self.later.append((time.monotonic() + seconds, f, args))

    def any(self):
        up = self.c.up()
        self.last = self.random.choice(up) if up else None
        return self.last

    def spare(self):
        """One more node that may go away."""
        if not self.c.real:
            return self.c.names[0] if self.c.up() else None
        return self.any() if len(self.c.names) - len(self.c.up()) < self.most else None

    def run(self, seconds, least, most):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(self.random.uniform(least, most))
            self.over(time.monotonic())
            name = self.random.choice(self.names)
            try:
                begin = time.monotonic()
                if getattr(self, name)() is not False:
                    self.done[name] += 1
                    self.events.append("%.3f %s %s" % (begin, name, self.last))
            except (ProcessLookupError, FileNotFoundError):  # it has just died
                continue
        self.over(float("inf"))
        for p in self.commands:
            p.wait()
        self.c.heal()

    def over(self, now):
        due, self.later = [x for x in self.later if x[0] <= now], [x for x in self.later if x[0] > now]
        for _, f, args in sorted(due, key=lambda x: x[0]):
            try:
                f(*args)
            except ProcessLookupError:
                pass

    # ---- processes ----

    def up_again(self, n):
        if not self.c.n[n].alive():
            self.c.start(n, wait=False)

    def kill_worker(self):
        n = self.any()
        kids = self.c.n[n].children() if n else []
        if not kids:
            return False
        os.kill(self.random.choice(kids), signal.SIGKILL)  # of the agent too

    def kill_coordinator(self):
        n = self.any()
        if not n or (self.c.disk and self.c.disk[n].state[0]):  # its workers could not go
            return False
        for p in self.c.n[n].children():  # those that stand still a service manager would kill
            os.kill(p, signal.SIGCONT)
        self.c.n[n].process.kill()
        self.c.n[n].process.wait()
        self.c.start(n, wait=not self.c.real)

    def kill_node(self):
        n = self.spare()
        if not n:
            return False
        self.c.kill(n)
        self.after(self.random.choice((0, 0.5, 2, 4)), self.up_again, n)

    def stop_node(self):
        n = self.spare()
        if not n or not self.c.real:
            return False
        self.c.n[n].process.send_signal(signal.SIGTERM)
        self.after(self.random.uniform(1.5, 4), self.ended, n)
        self.c.stopped.add(n)

    def ended(self, n):
        self.c.stopped.discard(n)
        try:
            self.c.n[n].process.wait(20 * lib.SLOW)
        except subprocess.TimeoutExpired:
            self.c.kill(n)
        self.up_again(n)

    def pause_node(self):
        n = self.spare()
        if not n:
            return False
        self.c.pause(n)
        self.after(self.random.choice((0.1, 0.6, 1.1, 2, 4)), self.go_on, n)

    def go_on(self, n, slept=0):
        if n in self.c.stopped and self.c.n[n].alive():
            self.c.resume(n, slept)

    def pause_worker(self):
        n = self.any()
        kids = self.c.n[n].children() if n else []
        if not kids:
            return False
        pid = self.random.choice(kids)
        os.kill(pid, signal.SIGSTOP)
        self.after(self.random.choice((0.05, 0.3, 1, 5)), os.kill, pid, signal.SIGCONT)

    def command(self, *words):
        n = self.any()
        self.commands = [p for p in self.commands if p.poll() is None]
        if not n or len(self.commands) > 1:
            return False
        self.commands.append(subprocess.Popen([lib.BUILD + "/pail", "--admin", "ipc://%s/admin.sock" % self.c.n[n].data, *words, "--timeout", "3000"],
                                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))

    def restart(self):
        return self.command("worker", "restart", "--all")

    def upgrade(self):
        return self.command("upgrade", "--wait")

    def drain(self):
        n = self.any()
        if not n or not self.c.real:
            return False
        self.after(self.random.uniform(0.5, 2), self.command, "cluster", "drain", n, "--off")
        return self.command("cluster", "drain", n)

    # ---- etcd ----

    def kill_etcd(self):
        if not self.c.real:
            return False
        i = self.random.randrange(len(self.c.etcd.processes))
        if not self.c.etcd.processes[i]:
            return False
        self.c.etcd.kill(i)
        self.after(self.random.choice((0.3, 2, 5)), self.c.etcd.start, i, False)

    def pause_etcd(self):
        if not self.c.real:
            return False
        i = self.random.randrange(len(self.c.etcd.processes))
        if not self.c.etcd.processes[i]:
            return False
        self.c.etcd.pause(i)
        self.after(self.random.choice((0.5, 1.6, 4)), self.etcd_on, i)

    def etcd_on(self, i):
        if self.c.etcd.processes[i]:
            self.c.etcd.resume(i)

    # ---- wires ----

    def clear_later(self, ways):
        def clear():
            for w in ways:
                w.clear()
        self.after(self.random.choice((0.2, 0.8, 1.3, 3)), clear)

    def two(self):
        return self.random.sample(self.c.names, 2)

    def island(self):
        n = self.random.choice(self.c.names)
        self.c.net.island(n, self.random.choice((None, self.c.names)))
        self.clear_later(self.c.net.between(n))

    def cut(self):
        a, b = self.two()
        self.c.net.cut(a, b)
        self.clear_later([self.c.net.ways[a, b], self.c.net.ways[b, a]])

    def deaf(self):
        a, b = self.two()
        self.c.net.deaf(a, b)
        self.clear_later([self.c.net.ways[b, a]])

    def slow(self):
        n = self.random.choice(self.c.names)
        self.c.net.slow(n, self.random.choice((0.02, 0.2, 0.9)))
        self.clear_later(self.c.net.between(n))

    def lossy(self):
        n = self.random.choice(self.c.names)
        self.c.net.lossy(n, self.random.choice((0.05, 0.3)))
        self.clear_later(self.c.net.between(n))

    def no_etcd(self):
        n = self.random.choice(self.c.names)
        ways = [self.c.net.ways[n, "etcd"], self.c.net.ways["etcd", n]]
        for w in self.random.choice((ways, ways[1:])):  # its requests arrive, and it never hears what became of them
            w.drop = True
        self.clear_later(ways)

    def blink(self):
        """Packets are held, and all come late at once: frames of a primary that is none any more."""
        a, b = self.two()
        self.c.net.ways[a, b].hold = True
        self.clear_later([self.c.net.ways[a, b]])

    # ---- disks and clocks ----

    def hang(self):
        n = self.any()
        if not n:
            return False
        self.c.disk[n].hang()
        self.after(self.random.choice((0.2, 1, 2, 4)), self.c.disk[n].hang, False)

    def power(self):
        self.c.power_cut()
        for n in self.c.names:
            self.after(self.random.uniform(0, 1), self.up_again, n)

    def power_of_one(self):
        n = self.spare()
        if not n:
            return False
        self.c.power_cut([n])
        self.after(self.random.choice((0, 1, 3)), self.up_again, n)

    def suspend(self):
        n = self.spare()
        if not n:
            return False
        self.c.pause(n)
        seconds = self.random.choice((0.5, 1.2, 3))
        self.after(seconds, self.go_on, n, seconds - 0.1)

    def step(self):
        n = self.random.choice(self.c.names)
        self.c.clock[n].step(self.random.choice((0, -700, 700, -5000, 5000)))


def opened(box, names, net, build, ppm=None, **kw):
    d = os.path.join(box.dir, "functions")
    os.makedirs(d)
    with open(os.path.join(d, "bank.lua"), "w") as f:
        f.write(bank.BANK)
    shutil.copy(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../conf/functions/counter.lua"), d)
    # Paces within what is promised: 1 %.
    ppm = ppm or {n: box.random.choice((-9000, 0, 9000)) for n in names}
    more = dict(kw.pop("more", {}), **{"functions.dir": d})
    c = cluster(box, names, net=net, undo=True, clocks=True, ppm=ppm, build=build, workers=2, more=more, **kw)
    first = bank.Customer([c.n[names[0]].endpoint], "first", box.random)
    x = c.client(names[0])
    for b in range(BUCKETS):
        x.call("create", b"b%d" % b)
    for bucket in bank.BUCKETS:
        x.call("create", bucket)
        put = tuple(("put", k, b"%d first" % bank.FIRST) for k in bank.ACCOUNTS) + (("put", b"touched", b"0 first"), ("put", b"last", b"z first"))
        bank.ask(first, first.transaction(bucket, (), put, ()))
    return c, first


class Verdict:
    """What the checkers have to say, and figures."""

    def __init__(self):
        self.lines, self.figures, self.requests = [], collections.Counter(), 0


def collect(paths):
    out = []
    for p in paths:
        with open(p, "rb") as f:
            out.append(pickle.load(f))
    return out


def cluster_history(box, seconds, names="abc", net=True, build=None, actions=None, least=0.05, most=0.6, away=1, **kw):
    net = net and not FAKE
    if actions is None:
        actions = dict(ACTIONS, **DISKS, **CLOCKS, **(NET if net else {}))
    c, first = opened(box, names, net, build, **kw)
    endpoints, stop = [c.n[n].endpoint for n in names], os.path.join(box.dir, "stop")
    paths = [os.path.join(box.dir, "history-%d" % i) for i in range(3)]
    pids = [spawn(f, endpoints, box.seed + i, stop, p) for i, (f, p) in enumerate(zip((singles, bank.customers, once.sessions), paths))]
    fate = Fate(c, actions, away)
    fate.run(seconds, least, most)
    v, healed = Verdict(), time.monotonic()
    try:
        if c.real:
            c.ready(SETTLED_S)
    except AssertionError:
        print("# what was done: " + "; ".join(fate.events))
        raise
    settled = time.monotonic() - healed
    with open(stop, "w"):
        pass
    eq([0] * len(pids), [os.waitpid(p, 0)[1] for p in pids])
    (ops, refused), (moves, sums), (resent, figures, counted, _) = collect(paths)
    begin = time.monotonic()
    ops += last_looks(box, c, endpoints)
    v.lines += done_after_all(ops, refused) + history.check(ops)
    v.lines += sessions_verdict(box, c, moves + resent, first, counted)
    v.figures, v.requests = figures, len(ops) + len(moves) + len(resent)
    epochs = sum(c.epochs().values()) - len(c.views()) if c.real else 0
    print("# %d single requests, %d of them without a known outcome; %d transactions and calls, the sum seen %d times; %d by sessions, %d sent again; "
          "%s; %d changes of primary; in sync %.1f s after the last fault; %s; checked in %.1f s, seed %d"
          % (len(ops), sum(o.result is None for o in ops), len(moves), sums, len(resent), figures["resends"],
             ", ".join("%d x %s" % (n, k) for k, n in sorted(fate.done.items())), epochs, settled,
             v.lines[0] if v.lines else "linearizable", time.monotonic() - begin, box.seed))
    if v.lines and c.real:
        print("# what was done: " + "; ".join(fate.events))
        c.keep_logs()
    c.stop()
    return v, fate.done


def done_after_all(ops, refused):
    """What was refused must not be seen."""
    of = {x[2][0] if x[1] == "version" else x[2]: x for x in refused if x[2] is not None}
    return ["%r was refused, but seen by %r" % (of[o.result[1]], o) for o in ops if o.result and o.result[0] == "value" and o.result[1] in of]


def last_looks(box, c, endpoints):
    """What each node answers in the end belongs to it."""
    out = []
    for e in endpoints:
        r = Recorder(e, "last", box.random)
        for b in range(BUCKETS):
            for k in range(KEYS):
                key = (b"b%d" % b, b"k%d" % k)
                begin = time.monotonic()
                m = r.c.wait(r.c.send(("get",) + key)[0], 30)
                assert m[2] is None, m
                r.note(key, "get", None, begin, 0, time.monotonic(), r.result(key, "get", m))
        out += r.ops
        r.c.close()
    return out


def sessions_verdict(box, c, ops, first, done):
    lines = []
    for n in c.names:
        last = bank.Customer([c.n[n].endpoint], "last-" + n, box.random)
        for bucket in bank.BUCKETS:
            bank.ask(last, last.transaction(bucket, (), (("scan", b""),), ()))
            items = last.ops[-1].result[1][0]
            eq(bank.SUM, bank.total(items))
            for key in once.COUNTERS:
                there = next((int(value) for k, value, _ in items if k == key), 0)
                if there != done.get((bucket, key), 0):
                    lines.append("%r of %r is %d, but %d were done" % (key, bucket, there, done.get((bucket, key), 0)))
        ops = ops + last.ops
    never = {x for o in ops if o.result == "never" for x in groups.tags(o)}
    ops = [o for o in ops if o.result != "never"]
    for o in ops:
        for key, value, _ in groups.reads(o):
            lines += ["%r was never done, but seen: %r" % (x, o) for x in never if x[0] == key and x[1] in groups.tags_of(value)]
    return lines[:20] + groups.check(ops + first.ops)


def sound(box, seconds, **kw):
    v, done = cluster_history(box, seconds, **kw)
    assert not v.lines, "not linearizable:\n" + "\n".join(v.lines[:40])
    assert v.requests > 30 * seconds / lib.SLOW, v.requests
    assert sum(done.values()) > seconds / 2, done
    return v, done


@test("cluster", "history", "kill", "netns", "distributed")
def every_request_to_a_cluster_is_done_once_whatever_fails(box):
    sound(box, float(os.environ.get("CLUSTER_S", 25)))


@test("cluster", "history", "kill", "distributed", "long")
def histories_of_two_copies_of_which_one_goes_on(box):
    """Without a net: processes, disks, clocks and etcd."""
    sound(box, float(os.environ.get("CLUSTER_S", 25)) / 3, names="ab", factor=2, min_copies=1, net=False)


@test("cluster", "history", "kill", "torture_cluster", "netns", "distributed")
def hours_of_a_cluster(box):
    """Rounds of half a minute, each with a seed, three to five nodes, and faults that come faster or slower, until TORTURE_S are over."""
    total, faults, begin = collections.Counter(), collections.Counter(), time.monotonic()

    def some(inner, seconds, most):
        names = inner.random.choice(("abc", "abcd", "abcde"))
        total["rounds"] += 1
        v, done = sound(inner, seconds, names=names, factor=inner.random.choice((2, 3)), min_copies=1, most=most, away=len(names) - 2,
                        members=inner.random.choice((1, 3)))
        total.update(sound=1, requests=v.requests, resends=v.figures["resends"])
        faults.update(done)
    print("# PAIL_SEED=%d" % box.seed)
    try:
        lib.rounds(box, "ring", some, 30)
    finally:
        print("# seed %d, %.0f s: %d of %d rounds sound; in these %d requests, %d sent again; %d faults: %s"
              % (box.seed, time.monotonic() - begin, total["sound"], total["rounds"], total["requests"], total["resends"],
                 sum(faults.values()), ", ".join("%d x %s" % (n, k) for k, n in sorted(faults.items())) or "none"))


# What each rule taken out is found out by.
BROKEN = {
    "copies": "last_writes",
    "lease": "left_alone",
    "pace": "slow_one_alone",  # no build: clocks that break the promise
}
# Beyond it, and no further than it takes: what links think of their delay suffers too.
PACES = {"a": -150000, "b": 150000, "c": 150000}
ROUNDS, SECONDS = 3, 14


class Reader(Anywhere):
    """Of one that has most to say where nobody writes."""

    def request(self):
        key = (b"b%d" % self.random.randrange(BUCKETS), b"k%d" % self.random.randrange(KEYS))
        return key, "get", None, ("get",) + key + ({"timeout": 300},)


class Aim(Fate):
    """What shows a rule's absence soonest, one at a time and with time to recover: else nobody leads for most of the time."""

    def last_writes(self):
        """What it answers goes to nobody, and then it dies."""
        n = self.random.choice(self.c.names)
        ways = [self.c.net.ways[n, x] for x in self.c.others(n)]
        for w in ways:
            w.drop = True
        time.sleep(self.random.choice((0.1, 0.3)))
        self.c.kill(n)
        time.sleep(1)
        for w in ways:
            w.clear()
        self.up_again(n)
        time.sleep(2)

    def left_alone(self):
        """The others lead what it led, and it is asked all the while."""
        self.alone(self.random.choice(self.c.names))

    def slow_one_alone(self):
        self.alone("a")

    def alone(self, n):
        self.c.net.island(n)
        time.sleep(2)
        self.c.net.clear()
        time.sleep(2)


def single_history(box, seconds, build, aim, **kw):
    """What the checker has to say of single requests alone.  Nobody waits for copies to be in sync, or for answers of those that
    have none: that nodes without a rule stand still is no proof that it is missed."""
    c = cluster(box, "abc", net=True, undo=True, clocks=True, build=build, workers=2, **kw)
    x = c.client("a")
    for b in range(BUCKETS):
        x.call("create", b"b%d" % b)
    endpoints, stop = [c.n[n].endpoint for n in c.names], os.path.join(box.dir, "stop")
    paths = [os.path.join(box.dir, "history-%d" % i) for i in range(4)]
    pids = [spawn(singles, endpoints, box.seed, stop, paths[0])]
    pids += [spawn(singles, [e], box.seed + i + 1, stop, p, Reader) for i, (e, p) in enumerate(zip(endpoints, paths[1:]))]
    fate = Aim(c, {aim: 1})
    fate.run(seconds, 0.02, 0.3)
    time.sleep(2 * lib.SLOW)  # and what is told after the last one
    with open(stop, "w"):
        pass
    eq([0] * len(pids), [os.waitpid(p, 0)[1] for p in pids])
    ops = [o for some, _ in collect(paths) for o in some]
    lines = history.check(ops)
    print("# %d single requests, %d of them without a known outcome; %s; %s, seed %d"
          % (len(ops), sum(o.result is None for o in ops), ", ".join("%d x %s" % (n, k) for k, n in sorted(fate.done.items())),
             lines[0] if lines else "linearizable", box.seed))
    assert len(ops) > 30 * seconds / lib.SLOW, len(ops)
    return lines


def broken(box, what):
    build, ppm = os.path.join(os.path.dirname(lib.BUILD), "broken-" + what), None
    if what == "pace":
        build, ppm = None, PACES
    elif not os.path.exists(build + "/paild"):
        raise AssertionError("there is no %s: make broken-ring" % build)
    for attempt in range(ROUNDS):
        inner = lib.Box(what)
        try:
            lines = single_history(inner, SECONDS, build, BROKEN[what], ppm=ppm)
        finally:
            inner.close()
        if lines:
            print("# found in round %d: %s" % (attempt + 1, lines[0][:300]))
            return
    raise AssertionError("nodes without the rule pass for sound")


@test("cluster", "history", "kill", "netns", "distributed", "broken_cluster", "long")
def nodes_with_all_rules_pass_what_broken_ones_do_not(box):
    for aim in sorted(set(BROKEN.values())):
        inner = lib.Box(aim)
        try:
            lines = single_history(inner, SECONDS, None, aim)
        finally:
            inner.close()
        assert not lines, "not linearizable:\n" + "\n".join(lines[:40])
    eq([], late_frames(box, None))


@test("cluster", "history", "kill", "netns", "distributed", "broken_cluster", "long")
def a_primary_that_answers_before_its_backups_is_found_out(box):
    broken(box, "copies")


@test("cluster", "history", "kill", "netns", "distributed", "broken_cluster", "long")
def a_primary_that_reads_without_a_lease_is_found_out(box):
    broken(box, "lease")


def late_frames(box, build):
    """What a primary had sent comes when another leads that has just died.  If the last copy lets itself be told by the first,
    what the second had answered with is lost; or, where it knew that it was committed, the copy is damaged and answers no more."""
    c = cluster(box, "abc", net=True, build=build, workers=2, min_copies=1, more={"links.dead_ms": 20000})
    buckets = c.led_by("a", 60)
    x = c.client("a")
    for b in buckets:
        x.call("put", b, b"k", b"first")
    for n in "bc":
        c.net.ways["a", n].hold = True
    c.net.ways["a", "etcd"].drop = c.net.ways["etcd", "a"].drop = True
    for b in buckets:
        x.send(("put", b, b"k", b"of a", {"timeout": 20000}))
    time.sleep(0.1)
    y, told = c.client("c"), set()
    put = lambda b: ("put", b, b"k", b"of its successor", {"timeout": 10000})
    sent = dict(zip(y.send(*map(put, buckets)), buckets))

    def take():
        """What went to a has no outcome when another leads: it is sent again, at once."""
        y.take()
        for i, m in list(y.replies.items()):
            b = sent[y.replies.pop(i)[1]]
            if m[2] is None:
                told.add(b)
            else:
                sent[y.send(put(b))[0]] = b
    while len(told) < len(buckets) // 4:
        take()
    c.kill("b")
    for n in "bc":
        c.net.ways["a", n].clear()
    while y.socket.poll(300):
        take()
        if len(told) == len(buckets):
            break
    lines, answers, z = [], {}, c.client("c")
    end = time.monotonic() + 12 * lib.SLOW
    while len(answers) < len(told) and time.monotonic() < end:
        left = sorted(told - set(answers))
        for b, i in zip(left, z.send(*(("get", b, b"k", {"timeout": 1000}) for b in left))):
            m = z.wait(i, 5)
            if m[2] is None:
                answers[b] = m[3][0] if m[3] else None
    for b in sorted(told):
        if b not in answers:
            lines.append("%s was written, and nobody has it" % b)
        elif answers[b] != b"of its successor":
            lines.append("%s was written, and is %r" % (b, answers[b]))
    print("# %d told, %d answered; %s" % (len(told), len(answers), lines[0] if lines else "all there"))
    return lines


@test("cluster", "history", "kill", "netns", "distributed", "broken_cluster", "long")
def a_backup_that_listens_to_a_deposed_primary_is_found_out(box):
    build = os.path.join(os.path.dirname(lib.BUILD), "broken-fence")
    for attempt in range(2 * ROUNDS):
        inner = lib.Box("fence")
        try:
            if late_frames(inner, build):
                return
        finally:
            inner.close()
    raise AssertionError("nodes without the rule pass for sound")


@test("cluster", "history", "kill", "netns", "distributed", "broken_cluster", "long")
def clocks_beyond_what_is_promised_are_found_out(box):
    """A lease by a slow clock, waited for by a fast one: the histories do show old values where there are some."""
    broken(box, "pace")
