"""Money moves between accounts by transactions and by functions: the sum is the same at every moment, whatever is killed."""
import os
import pickle
import random
import shutil
import time

import fake_histories
import groups
import lib
from history import INF, Op
from lib import eq, test
from test_history import GIVE_UP_S, Nemesis, Recorder, UNKNOWN, spawn

BANK = """
local M = {}
local function balance(value) return math.tointeger(tonumber(value:match("^%-?%d+"))) end
local function chained(what, tag, replaced)  -- as in groups.py
  local out, n = what .. " " .. tag, 1
  for word in replaced:match(" (.*)$"):gmatch("%S+") do
    n = n + 1
    if n > 6 then break end
    out = out .. " " .. word
  end
  return out
end
function M.transfer(b, from, to, amount, tag)
  local a, va = b:get(from)
  local c, vc = b:get(to)
  local x, y = balance(a), balance(c)
  if x < amount then return {false, a, va, c, vc} end
  local wa = b:put(from, chained(x - amount, tag, a))
  return {true, a, va, c, vc, wa, b:put(to, chained(y + amount, tag, c))}
end
return M
"""
ACCOUNTS, FIRST = [b"account%d" % i for i in range(6)], 100
MARKS = [b"mark%d" % i for i in range(3)]
SUM = len(ACCOUNTS) * FIRST
BUCKETS = (b"aaa", b"zzz")  # of two nodes
SETTINGS = {"storage.segment": "1M", "limits.log": "32M", "limits.value": "64K", "limits.message": "1M", "limits.cache": "1M",
            "storage.checkpoint_ms": 100, "supervisor.hang_ms": 1000}


def frozen(x):
    return tuple(frozen(y) for y in x) if isinstance(x, list) else x


def as_bytes(x):
    return x.encode() if isinstance(x, str) else x


def total(items):
    """What is on the accounts, if all of them are there."""
    found = {k: int(value.split()[0]) for k, value, _ in items if k in ACCOUNTS}
    return sum(found.values()) if len(found) == len(ACCOUNTS) else None


class Customer(Recorder):
    """Transfers and looks at accounts, and writes down what it sent and got."""

    def __init__(self, endpoints, name, rng):
        self.endpoints, self.sums = endpoints, 0
        super().__init__(endpoints[0], name, rng)

    def connect(self):
        self.endpoint = self.random.choice(self.endpoints)
        super().connect()

    def request(self):
        r = self.random
        self.n += 1
        bucket, tag, what = r.choice(BUCKETS), b"%s:%d" % (self.name.encode(), self.n), r.random()
        a, b = r.sample(ACCOUNTS, 2)
        if what < 0.33 and (bucket, a) in self.seen and (bucket, b) in self.seen:
            return self.by_transaction(bucket, a, b, tag)
        if what < 0.7:
            amount = r.randrange(1, FIRST // 2)
            return bucket, "call", ("transfer", a, b, amount, tag), ("call", bucket, "bank", "transfer", [a, b, amount, tag], {"timeout": 2000})
        if what < 0.8:
            return self.transaction(bucket, (), (("scan", r.choice((b"", b"account"))),), ())
        if what < 0.9:
            return self.transaction(bucket, (), tuple(("get", k) for k in ACCOUNTS), ())
        return self.of_marks(bucket, tag)

    def by_transaction(self, bucket, a, b, tag):
        (x, xv), (y, yv) = self.seen[bucket, a], self.seen[bucket, b]
        there = int(x.split()[0])
        amount = self.random.randrange(0, there + 1)
        then = (("put", a, groups.chained(b"%d" % (there - amount), tag, x)),
                ("put", b, groups.chained(b"%d" % (int(y.split()[0]) + amount), tag, y)))
        if self.random.random() < 0.3:
            then += (("get", a), ("get", self.random.choice(ACCOUNTS)))
        return self.transaction(bucket, ((a, "version", "=", xv), (b, "version", "=", yv)), then, (("get", a), ("get", b)))

    def of_marks(self, bucket, tag):
        """All that a transaction can do.  Those that delete and touch tell whom they follow: the checker has less to guess."""
        r = self.random
        mark, (last, n) = r.choice(MARKS), self.seen.get((bucket, b"last"), (b"", 0))
        if r.random() < 0.3:
            then = (("put", r.choice(MARKS), b"x " + tag), ("get", r.choice(MARKS)), ("put", mark, b"y " + tag))
            return self.transaction(bucket, ((mark, "version", r.choice(("=", "!=")), self.seen.get((bucket, mark), (0, 0))[1]),), then,
                                    (("get", mark),))
        then = [("put", mark, b"x " + tag), ("delete", r.choice(MARKS)), ("get", r.choice(MARKS)), ("count",), ("scan", b"mark"),
                ("touch", b"touched"), ("put", b"last", groups.chained(b"z", tag, last))]
        r.shuffle(then)
        return self.transaction(bucket, ((b"last", "version", "=", n),), tuple(then), (("get", b"last"),))

    def transaction(self, bucket, conditions, then, els):
        wire = lambda ops: [["scan", {"prefix": x[1], "limit": 1000}] if x[0] == "scan" else list(x) for x in ops]
        t = {"if": [list(c) for c in conditions], "then": wire(then), "else": wire(els), "timeout": 2000}
        return bucket, "txn", (conditions, then, els), ("txn", bucket, t)

    def result(self, bucket, kind, m):
        code = m[2][0] if m[2] else None
        if code in UNKNOWN:
            return None
        if code:
            return False
        if kind == "call":
            return frozen(m[3])
        return m[3]["ok"], tuple(frozen(x["items"]) if isinstance(x, dict) else frozen(x) for x in m[3]["results"])

    def note(self, bucket, kind, arg, begin, n, end, result):
        op = Op(self.who, bucket, kind, arg, begin, INF if result is None else end, result, n)
        if result is False or (result is None and not groups.may_write(op)):
            return
        self.ops.append(op)
        items = groups.reads(op)
        for k, value, version in items:
            self.seen[bucket, k] = (value, version)
        if kind == "txn" and not groups.may_write(op):
            there = total(items)
            assert there in (SUM, None), "%d instead of %d: %r" % (there, SUM, op)
            self.sums += there is not None


def customers(endpoints, seed, stop, path):
    rng = random.Random(seed)
    all = [Customer(endpoints, "%d-%d" % (seed, i), rng) for i in range(3)]
    while not os.path.exists(stop):
        for r in all:
            if not r.c.notes and len(r.wait) < 3:
                r.send(rng.randrange(1, 4))
        time.sleep(rng.uniform(0, 0.006))
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
        pickle.dump(([op for r in all for op in r.ops], sum(r.sums for r in all)), f)


class Nemeses(Nemesis):
    """Something bad to one of several nodes."""
    COMMAND_MS = 3000

    def __init__(self, box, nodes, actions):
        super().__init__(box, nodes[0], actions)
        self.nodes = nodes

    def before(self):
        self.n = self.random.choice(self.nodes)

    def reload(self):
        self.command("reload")

    def kill_coordinator(self):
        self.n.process.kill()
        self.n.process.wait()
        self.wake(INF)
        self.n.start()


ALL = {"kill_worker": 8, "stop_worker": 1, "restart": 3, "upgrade": 2, "reload": 2, "kill_coordinator": 1}


def opened(box, build=None, relay=None, **more):
    """Two nodes, with a bank on each, and what was done to open it.  With a relay they reach each other by lines of it."""
    d = os.path.join(box.dir, "functions")
    os.makedirs(d)
    with open(os.path.join(d, "bank.lua"), "w") as f:
        f.write(BANK)
    shutil.copy(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../conf/functions/counter.lua"), d)
    settings = dict(SETTINGS, **{"functions.dir": d}, **more)
    nodes = box.cluster({n: {"a-m": "a", "n-z": "b"} for n in "ab"}, more={"a": settings, "b": settings}, workers=2, build=build, start=False)
    for n in nodes.values():
        if relay:
            n.at = {name: (client, peer if name == n.name else relay.line(peer).endpoint) for name, (client, peer) in n.at.items()}
        n.configure()
        n.start(wait=False)
    for n in nodes.values():
        n.wait_ready()
    nodes = list(nodes.values())
    c = nodes[0].linked().client()
    nodes[1].linked()
    first = Customer([nodes[0].endpoint], "first", box.random)
    for bucket in BUCKETS:
        c.call("create", bucket)
        put = tuple(("put", k, b"%d first" % FIRST) for k in ACCOUNTS) + (("put", b"touched", b"0 first"), ("put", b"last", b"z first"))
        ask(first, first.transaction(bucket, (), put, ()))
    return nodes, first


def ask(customer, request):
    bucket, kind, arg, wire = request
    begin = time.monotonic()
    customer.sent += 1
    m = customer.c.wait(customer.c.send(wire)[0], 30)
    assert m[2] is None, m
    customer.note(bucket, kind, arg, begin, customer.sent, time.monotonic(), customer.result(bucket, kind, m))


def transfers(box, seconds, actions=ALL, processes=3, build=None, least=0.03, most=0.3):
    """Load and nemesis; the lines that the checker has to say."""
    nodes, first = opened(box, build)
    stop = os.path.join(box.dir, "stop")
    paths = [os.path.join(box.dir, "history-%d" % i) for i in range(processes)]
    pids = [spawn(customers, [n.endpoint for n in nodes], box.seed + i, stop, p) for i, p in enumerate(paths)]
    nemesis = Nemeses(box, nodes, actions)
    nemesis.run(seconds, least, most)
    with open(stop, "w"):
        pass
    ended = [os.waitpid(p, 0)[1] for p in pids]
    eq([0] * processes, ended)
    ops, sums = [], 0
    for p in paths:
        with open(p, "rb") as f:
            some, n = pickle.load(f)
            ops, sums = ops + some, sums + n
    for n in nodes:
        n.up()
        n.linked()
        last = Customer([n.endpoint], "last", box.random)
        for bucket in BUCKETS:
            ask(last, last.transaction(bucket, (), (("scan", b""),), ()))
        eq(len(BUCKETS), last.sums)
        ops += last.ops
    begin = time.monotonic()
    lines = groups.check(ops + first.ops)
    moved = sum(o.result is not None and groups.may_write(o) for o in ops)
    print("# %d requests, %d of them write, %d without a known outcome; the sum seen %d times; %s; checked in %.1f s, seed %d"
          % (len(ops), moved, sum(o.result is None for o in ops), sums,
             ", ".join("%d x %s" % (v, k) for k, v in sorted(nemesis.done.items())), time.monotonic() - begin, box.seed))
    for n in nodes:
        eq(0, n.stop())
    return lines, ops, nemesis.done


def sound(box, seconds, actions=ALL, **kw):
    lines, ops, done = transfers(box, seconds, actions, **kw)
    assert not lines, "not linearizable:\n" + "\n".join(lines[:40])
    assert len(ops) > 100 * seconds / lib.SLOW, len(ops)
    assert set(done) >= set(actions) or seconds < 30, done


@test("history")
def the_checker_of_groups_knows_right_from_wrong(box):
    fake_histories.self_test()


@test("history", "kill", "distributed")
def the_sum_of_all_accounts_is_the_same_at_every_moment(box):
    sound(box, float(os.environ.get("TRANSFERS_S", 8)))


@test("history", "kill", "torture", "distributed")
def hours_of_transfers(box):
    """Rounds of half a minute with a seed each, until TORTURE_S are over."""
    lib.rounds(box, "transfers", sound, 30)
