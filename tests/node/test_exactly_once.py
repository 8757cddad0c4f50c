"""Requests of sessions are sent again and again, through any node, until they are answered: each was done once, whatever happens."""
import collections
import os
import pickle
import random
import time

import groups
import lib
from history import Op
from lib import eq, test, until
from relay import Relay
from test_history import spawn
from test_transfers import ACCOUNTS, BUCKETS, Customer, Nemeses, ask, opened, total

AGAIN = ("timeout", "node_down", "busy", "expired", "too_few")  # another copy may be sent
PATIENCE_S = 1.0  # without a reply another copy is sent
COUNTERS = [b"counter%d" % i for i in range(2)]
ALL = {"kill_worker": 8, "stop_worker": 1, "restart": 2, "upgrade": 2, "reload": 1, "kill_coordinator": 2, "cut": 6, "stall": 3}


class Wanted:
    """A request until it is answered, and its copies."""

    def __init__(self, seq, request, begin):
        self.seq, self.begin = seq, begin
        self.bucket, self.kind, self.arg, self.wire = request
        self.op = Op(None, self.bucket, self.kind, self.arg, begin, 0, None, seq)
        self.writes = groups.may_write(self.op)
        self.copies, self.sent, self.unsure, self.asked, self.reply, self.patience = 0, 0, False, False, None, PATIENCE_S


class Persistent(Customer):
    """A session."""

    def __init__(self, endpoints, name, rng):
        self.at = [lib.Client(e) for e in endpoints]
        super().__init__(endpoints, name, rng)
        self.session, self.seq, self.open, self.ids = None, 0, {}, {}
        self.done, self.figures, self.answers = {}, collections.Counter(), collections.Counter()
        self.past = collections.deque(maxlen=20)  # writes that were answered, and not acknowledged

    def connect(self):
        self.who = None  # there is no order among requests that are sent again

    def begin_session(self):
        """Of whichever node answers."""
        while True:
            c = self.random.choice(self.at)
            try:
                self.session = c.call("session", seconds=1)
                return
            except (AssertionError, lib.Error):
                pass

    def request(self):
        r = self.random
        if r.random() < 0.3:
            bucket, key = r.choice(BUCKETS), r.choice(COUNTERS)
            self.n += 1
            return bucket, "call", ("add", key, 1), ("call", bucket, "counter", "add", [key, 1], {"timeout": 1500})
        return super().request()

    def new(self):
        w = Wanted(self.seq, self.request(), time.monotonic())
        self.seq += 1
        self.open[w.seq] = w
        self.figures["requests"] += 1
        self.copy(w)

    def copy(self, w):
        """Send it, once more."""
        i = self.random.randrange(len(self.at))
        if w.asked:
            request = ("outcome", w.bucket, self.session, w.seq, {"timeout": 1000})
        else:
            request = w.wire
            if w.writes:
                options = {"session": self.session, "seq": w.seq}
                if self.random.random() < 0.5:
                    options["ack"] = min([w.seq for w in self.past] + list(self.open))
                request = request[:-1] + (dict(request[-1], **options),)
        w.copies += not w.asked
        w.sent = time.monotonic()
        w.patience = PATIENCE_S * lib.SLOW * self.random.uniform(0.3, 2)
        self.ids[i, self.at[i].send(request)[0]] = (w, w.asked, w.sent)

    def again(self, w):
        self.figures["outcomes asked for" if w.asked else "resends"] += 1
        self.copy(w)

    def once_more(self):
        """One that has been answered: nobody knows better what it must be told."""
        if self.past:
            self.figures["sent again though answered"] += 1
            self.copy(self.random.choice(self.past))

    def maybe_ask(self, w):
        """Some are given up: what became of them `outcome` says, and that it will stay so."""
        if w.writes and not w.asked and self.random.random() < 0.2:
            w.asked = True
            self.figures["given up"] += 1

    def take(self):
        for i, c in enumerate(self.at):
            while c.socket.poll(0):
                c.take()
            for msgid in list(c.replies):
                m = c.replies.pop(msgid)
                if (i, msgid) in self.ids:
                    self.answer(*self.ids.pop((i, msgid))[:2], m)
            if c.notes:
                c.again()
                self.figures["goaways"] += 1
        now = time.monotonic()
        for w in list(self.open.values()):
            if now - w.sent > w.patience:
                self.figures["no reply"] += 1
                w.unsure = True
                self.maybe_ask(w)
                self.again(w)
        for at in [at for at, x in self.ids.items() if now - x[2] > 30 * lib.SLOW]:
            del self.ids[at]

    def answer(self, w, asked, m):
        error, result = m[2], m[3]
        self.answers[error[0] if error else "ok"] += 1
        if w.reply is not None:
            self.late(w, asked, error, result)
        elif asked:
            self.outcome(w, error, result)
        elif error and error[0] in AGAIN:
            w.unsure |= error[0] == "timeout"
            self.maybe_ask(w)
            if w.unsure or not w.asked:
                w.sent, w.patience = time.monotonic(), self.random.uniform(0, 0.05)
        elif error and error[0] == "internal":
            w.asked = w.writes
            w.patience = 0
        elif error and w.asked and error[0] == "stale":
            pass  # `outcome` was before it, and says so
        else:
            self.end(w, "done", error, result)

    def outcome(self, w, error, result):
        if error:
            assert error[0] in AGAIN, (w.op, error)
            w.sent, w.patience = time.monotonic(), self.random.uniform(0, 0.05)
        elif result["state"] == "never":
            self.end(w, "never", None, None)
        else:
            eq("done", result["state"])
            self.end(w, "done", result["error"], result["result"])

    def late(self, w, asked, error, result):
        """Another copy's reply: the same, if it is one."""
        if not w.writes or (error and error[0] in AGAIN + ("internal",)):
            return
        if error and error[0] == "stale" and (w.reply[0] == "never" or w not in self.past):
            return  # ruled out, or acknowledged
        if asked:
            got = (result["state"], result.get("error"), result.get("result"))
        else:
            got = ("done", error, result)
        assert got == w.reply, "%r was answered %r, and then %r" % (w.op, w.reply, got)
        self.figures["late replies, the same"] += 1

    def end(self, w, state, error, result):
        # A machine that stands still lets a function run for too long: an outcome too, that it has done nothing.
        assert not error or error[0] == "too_long", (w.op, state, error)
        del self.open[w.seq]
        w.reply = (state, error, result)
        if w.writes:
            self.past.append(w)
        self.figures["too long" if error else state] += 1
        self.figures["outcomes that were done"] += w.asked and state == "done"
        if error or state == "never":
            self.ops.append(w.op._replace(result="never"))
            return
        self.note(w.bucket, w.kind, w.arg, w.begin, w.seq, time.monotonic(), self.result(w.bucket, w.kind, [0, 0, error, result]))
        if w.arg[0] == "add":
            self.done[w.bucket, w.arg[1]] = self.done.get((w.bucket, w.arg[1]), 0) + 1


def sessions(endpoints, seed, stop, path):
    rng = random.Random(seed)
    all = [Persistent(endpoints, "%d-%d" % (seed, i), rng) for i in range(3)]
    for r in all:
        r.begin_session()
    while not os.path.exists(stop):
        for r in all:
            if len(r.open) < 5:
                r.new()
            if rng.random() < 0.1:
                r.once_more()
        time.sleep(rng.uniform(0, 0.012))
        for r in all:
            r.take()
    end = time.monotonic() + 40 * lib.SLOW
    while any(r.open for r in all):
        assert time.monotonic() < end, "no answer: %r" % [(w.op, w.asked, w.copies) for r in all for w in r.open.values()][:3]
        for r in all:
            r.take()
        time.sleep(0.005)
    for r in all:
        for key, n in collections.Counter(r.answers).items():
            r.figures["replies: " + key] = n
    with open(path, "wb") as f:
        pickle.dump(([op for r in all for op in r.ops], sum((r.figures for r in all), collections.Counter()),
                     sum((collections.Counter(r.done) for r in all), collections.Counter()), sum(r.sums for r in all)), f)


class Cutter(Nemeses):
    def __init__(self, box, nodes, actions, relay):
        super().__init__(box, nodes, actions)
        self.relay = relay

    def cut(self):
        self.relay.cut(self.random.choice(self.relay.lines), self.random.uniform(0, 0.4))

    def stall(self):
        self.relay.stall(self.random.choice(self.relay.lines), self.random.uniform(0.1, 1))


def exactly_once(box, seconds, actions=ALL, processes=3, build=None, least=0.03, most=0.3, more=None):
    relay = Relay(box)
    nodes, first = opened(box, build, relay, **(more or {}))
    endpoints = [relay.line(n.endpoint).endpoint for n in nodes]
    stop = os.path.join(box.dir, "stop")
    paths = [os.path.join(box.dir, "history-%d" % i) for i in range(processes)]
    pids = [spawn(sessions, endpoints, box.seed + i, stop, p) for i, p in enumerate(paths)]
    nemesis = Cutter(box, nodes, actions, relay)
    nemesis.run(seconds, least, most)
    with open(stop, "w"):
        pass
    eq([0] * processes, [os.waitpid(p, 0)[1] for p in pids])
    ops, figures, done = [], collections.Counter(), collections.Counter()
    for p in paths:
        with open(p, "rb") as f:
            some, more, counted, _ = pickle.load(f)
            ops, figures, done = ops + some, figures + more, done + counted
    begin = time.monotonic()
    lines = verdict(box, nodes, ops, first, done)
    print("# %s; %s; %s; checked in %.1f s, seed %d" % (", ".join("%d %s" % (n, what) for what, n in sorted(figures.items())),
                                     ", ".join("%d x %s" % x[::-1] for x in sorted(nemesis.done.items())),
                                     lines[0] if lines else "each was done once", time.monotonic() - begin, box.seed))
    for n in nodes:
        eq(0, n.stop())
    return lines, figures, nemesis.done


def verdict(box, nodes, ops, first, done):
    """Lines that say what is wrong: by a count, and by the checker."""
    lines = []
    for n in nodes:
        n.up()
        n.linked()
        last = Customer([n.endpoint], "last", box.random)
        for bucket in BUCKETS:
            ask(last, last.transaction(bucket, (), (("scan", b""),), ()))
            items = last.ops[-1].result[1][0]
            eq(len(ACCOUNTS) * 100, total(items))
            for key in COUNTERS:
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


def sound(box, seconds, actions=ALL, **kw):
    lines, figures, done = exactly_once(box, seconds, actions, **kw)
    assert not lines, "not exactly once:\n" + "\n".join(lines[:40])
    assert figures["requests"] > 10 * seconds / lib.SLOW and figures["resends"] > seconds / lib.SLOW, figures
    assert set(done) >= set(actions) or seconds < 30, done


@test("history", "kill", "distributed")
def what_is_sent_again_is_done_once_whatever_is_killed_and_cut(box):
    sound(box, float(os.environ.get("SESSIONS_S", 8)))


@test("distributed")
def what_is_sent_again_too_late_is_told_so_and_not_done(box):
    functions = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../conf/functions")
    more = {"functions.dir": functions, "limits.session_ms": 1500}
    nodes = box.cluster({n: {"*": "b"} for n in "ab"}, more={"a": more, "b": more})
    c = nodes["a"].linked().client()
    c.call("create", "x")
    session = c.call("session")
    add = ("call", "x", "counter", "add", ["n", 1], {"session": session, "seq": 0})
    eq(1, c.call(*add))
    eq(1, c.call(*add))
    until(lambda: nodes["b"].workers()[0]["sessions"] == 0, 10, "the session to be forgotten")
    for again in (None, nodes["b"].kill, nodes["b"].stop):
        if again:
            again()
            nodes["b"].start()
            nodes["a"].linked()
        for n in nodes.values():
            x = n.client()
            m = x.wait(x.send(add)[0])
            # A kill may take along that it has been forgotten: then it is known, as before.
            assert (m[2] and m[2][0] == "no_session") or (again and m[3] == 1), m
        eq([b"1"], c.call("get", "x", "n")[:1])


@test("history", "kill", "torture", "distributed")
def hours_of_resends(box):
    """Rounds of a minute with a seed each, until TORTURE_S are over."""
    lib.rounds(box, "resends", sound)
