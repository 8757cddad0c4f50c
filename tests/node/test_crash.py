"""Kills at named points and at random, of workers and of everything: answered once, done once, nothing lost."""
import os
import signal
import time

import msgpack

from lib import Client, Error, eq, test, until

SMALL = ("--set", "storage.segment=1M", "--set", "limits.log=32M", "--set", "limits.value=64K",
         "--set", "limits.message=1M")


class Script:
    """One client with a bucket of its own: since its requests take effect in the order sent, each once,
    every single reply can be foretold."""

    def __init__(self, node, random, bucket, conditional=True):
        self.c, self.random, self.bucket = node.client(), random, bucket
        self.keys, self.wait, self.last, self.conditional = {}, {}, 0, conditional
        self.n = self.checked = 0

    def request(self):
        r = self.random
        k = b"k%d" % r.randrange(30)
        have = self.keys.get(k)
        what = r.random()
        self.n += 1
        value = b"%d" % self.n
        if what < 0.4:
            self.keys[k] = [value, None]
            return ("put", self.bucket, k, value), ("version", self.keys[k])
        if what < 0.6:
            return ("get", self.bucket, k), ("value", have)
        if what < 0.75:
            self.keys.pop(k, None)
            return ("delete", self.bucket, k), ("is", have is not None)
        if what < 0.97 and self.conditional:
            if have:
                return ("put", self.bucket, k, value, {"if_absent": True}), ("conflict", have)
            self.keys[k] = [value, None]
            return ("put", self.bucket, k, value, {"if_absent": True}), ("version", self.keys[k])
        return ("count", self.bucket), ("is", len(self.keys))

    def send(self, n):
        batch = [self.request() for _ in range(n)]
        for i, (_, want) in zip(self.c.send(*(q for q, _ in batch)), batch):
            # What is foretold is what holds now: keep the value, not the changing entry.
            kind, x = want
            self.wait[i] = (kind, x, list(x) if isinstance(x, list) else x)

    def check(self, m):
        kind, entry, x = self.wait.pop(m[1])
        self.checked += 1
        if kind == "conflict":
            assert m[2] and m[2][0] == "conflict", m
            if entry[1]:
                assert str(entry[1]) in m[2][1], (m, entry)
            return
        assert m[2] is None, m
        if kind == "version":
            assert m[3] > 0, m
            entry[1] = m[3]
        elif kind == "value":
            eq(x[0] if x else None, m[3][0] if m[3] else None)
            if x and entry[1]:
                eq(entry[1], m[3][1])
        else:
            eq(x, m[3])

    def drain(self, left=0):
        if self.c.notes:  # it obeys a goaway
            left = 0
        while len(self.wait) > left:
            self.c.take(30)
            for i in list(self.c.replies):
                self.check(self.c.replies.pop(i))
        if self.c.notes and not self.wait:
            self.c.again()

    def verify(self):
        items = {k: v for k, v, _ in self.c.call("scan", self.bucket, {"limit": 10000})["items"]}
        eq({k: e[0] for k, e in self.keys.items()}, items)
        eq(len(self.keys), self.c.call("count", self.bucket))


POINTS = ("worker.before_run", "worker.after_append", "worker.after_reply", "worker.after_publish_now",
          "worker.before_hand", "wal.before_write", "wal.after_sync", "wal.after_publish",
          "checkpoint.before_commit", "checkpoint.before_recycle")


def killed_at(box, point):
    """One kill at the n-th passing of a point, for several n."""
    many = [box.random.randrange(10, 200) for _ in range(8 if point == "wal.before_write" else 1)]
    for nth in [1, 2, 7] + many:
        if "checkpoint" in point and nth > 2:
            continue
        n = box.node(*SMALL, "--set", "storage.checkpoint_ms=100", env={"PAIL_FAULT": "%s=kill@%d" % (point, nth)})
        scripts = [Script(n, box.random, b"bucket%d" % i) for i in range(4)]
        for s in scripts:
            eq(True, s.c.call("create", s.bucket))
        end = time.monotonic() + 20
        for i in range(100000):
            if i >= 60 and (time.monotonic() > end or sum(w["restarts"] for w in n.workers())):
                break
            for s in scripts:
                s.send(box.random.randrange(1, 20))
            for s in scripts:
                s.drain(100)
        for s in scripts:
            s.drain()
        until(lambda: sum(w["restarts"] for w in n.workers()) > 0, 20, "the kill at %s" % point)
        n.up()
        for s in scripts:
            s.verify()
        eq(0, n.stop())


def _add(point):
    def f(box):
        killed_at(box, point)
    f.__name__ = "killed_at_" + point.replace(".", "_")
    test("kill")(f)


for p in POINTS:
    _add(p)


@test("kill")
def killed_before_it_is_ready(box):
    n = box.node(env={"PAIL_FAULT": "worker.before_ready=kill#1,worker.before_ready=kill#2"})
    c = n.client()
    c.call("create", "b")
    for i in range(len(n.workers())):
        n.kill_worker(i)
    eq(1, c.call("put", "b", "k", "v", seconds=20) > 0)
    assert sum(w["restarts"] for w in n.up()) >= 2


def storm(box, seconds, build=None):
    """Workers killed many times a second under load; every reply must be the one foretold."""
    n = box.node(*SMALL, "--set", "storage.checkpoint_ms=150", "--set", "limits.cache=1M", build=build)
    scripts = [Script(n, box.random, b"bucket%d" % i) for i in range(6)]
    for s in scripts:
        eq(True, s.c.call("create", s.bucket))
    end = time.monotonic() + seconds
    kills, slowest, pids = 0, 0, [w["pid"] for w in n.workers()]
    next_kill = time.monotonic()
    while time.monotonic() < end:
        for s in scripts:
            s.send(box.random.randrange(1, 60))
        if time.monotonic() > next_kill:
            kids = n.children()
            if kids:
                os.kill(box.random.choice(kids), signal.SIGKILL)
                kills += 1
            next_kill = time.monotonic() + box.random.uniform(0.02, 0.4)
        begin = time.monotonic()
        for s in scripts:
            s.drain(200)
        slowest = max(slowest, time.monotonic() - begin)
    for s in scripts:
        s.drain()
    n.up()
    for s in scripts:
        s.verify()
    print("# %d kills, %d replies checked, longest wait %.2f s" % (kills, sum(s.checked for s in scripts), slowest))
    assert kills > seconds
    eq(0, n.stop())


@test("kill")
def a_storm_of_kills(box):
    storm(box, 8)


@test("kill", "torture")
def a_long_storm_of_kills(box):
    storm(box, float(os.environ.get("TORTURE_S", 3600)))


@test("kill")
def one_kill_is_a_pause_well_under_a_second(box):
    n = box.node()
    c = n.client()
    c.call("create", "b")
    for _ in range(3):
        n.up()
        for i in range(len(n.workers())):
            n.kill_worker(i)
        begin = time.monotonic()
        c.call("put", "b", "k", "v")
        pause = time.monotonic() - begin
    import lib
    assert pause < 0.9 * lib.SLOW, pause


@test("kill")
def everything_killed_loses_no_acknowledged_write(box):
    n = box.node(*SMALL, "--set", "storage.checkpoint_ms=100")
    c = n.client()
    for b in range(4):
        c.call("create", "b%d" % b)
    acked, sent, value = {}, {}, 0
    for life in range(6):
        end = time.monotonic() + box.random.uniform(0.1, 1)
        wait = {}
        while time.monotonic() < end:
            batch = []
            for _ in range(50):
                value += 1
                batch.append(("put", "b%d" % box.random.randrange(4), b"k%d" % box.random.randrange(500), value))
            ids = c.send(*((q[0], q[1], q[2], b"%d" % q[3]) for q in batch))
            for i, (_, b, k, v) in zip(ids, batch):
                wait[i] = (b, k, v)
                sent.setdefault((b, k), []).append(v)
            while c.socket.poll(0) or len(wait) > 500:
                c.take()
                for i in list(c.replies):
                    m = c.replies.pop(i)
                    assert m[2] is None, m
                    b, k, v = wait.pop(i)
                    acked[b, k] = max(v, acked.get((b, k), 0))
        n.kill()
        n.start()
        c = n.client()
        for b in range(4):
            items = {k: int(v) for k, v, _ in c.call("scan", "b%d" % b, {"limit": 10000})["items"]}
            eq(len(items), c.call("count", "b%d" % b))
            for (bb, k), v in acked.items():
                if bb == "b%d" % b:
                    assert k in items and items[k] >= v, (bb, k, v, items.get(k))
            for k, v in items.items():
                assert v in sent["b%d" % b, k]
                acked["b%d" % b, k] = v
    eq(0, n.stop())


@test("kill")
def a_coordinator_killed_alone_is_followed_by_another(box):
    n = box.node()
    c = n.client()
    c.call("create", "b")
    v = c.call("put", "b", "k", "v")
    n.process.kill()
    n.process.wait()
    n.start()  # its predecessor's workers must let go of the folders first
    eq([b"v", v], n.client().call("get", "b", "k"))


@test("kill")
def a_request_that_kills_workers_is_given_up(box):
    n = box.node("--set", "node.workers=1", env={"PAIL_FAULT": ",".join("worker.poison=kill#%d" % i for i in range(9))})
    c = n.client()
    c.call("create", "b")
    eq(("internal", "two workers died in this request"), c.code("put", "b", "poison", "x"))
    c.call("put", "b", "k", "v")
    eq(2, n.workers()[0]["restarts"])


@test("kill")
def a_hung_worker_is_replaced(box):
    n = box.node("--set", "supervisor.hang_ms=1500", "--set", "node.workers=1")
    c = n.client()
    c.call("create", "b")
    n.kill_worker(0, signal.SIGSTOP)
    begin = time.monotonic()
    eq(("timeout",), c.code("put", "b", "k", "v", {"timeout": 300})[:1])
    assert time.monotonic() - begin < 1.4
    i = c.send(("put", "b", "k2", "v"))[0]
    assert c.result(i) > 0  # by the successor
    eq(1, n.up()[0]["restarts"])


@test()
def a_full_queue_is_busy_and_nothing_grows(box):
    n = box.node("--set", "limits.value=32K", "--set", "limits.message=64K", "--set", "limits.queue=64K",
                 "--set", "node.workers=1")
    c = n.client()
    c.call("create", "b")
    pid = n.kill_worker(0, signal.SIGSTOP)
    ids = [i for _ in range(100) for i in c.send(("put", "b", "k", b"x" * 30000, {"timeout": 60000}))]
    until(lambda: c.socket.poll(0), 5, "busy")
    eq("pong", c.call("ping"))
    busy = [m for m in c.replies.values() if m[2] and m[2][0] == "busy"]
    assert len(busy) > 50, len(busy)
    os.kill(pid, signal.SIGCONT)
    done = [c.wait(i) for i in ids]
    eq(100, len(busy) + sum(m[2] is None for m in done))


@test()
def a_client_that_does_not_read_is_cut_off(box):
    n = box.node("--set", "limits.unread=4M", "--set", "limits.unread_ms=1500")
    good, bad = n.client(), n.client()
    good.call("create", "b")
    good.call("put", "b", "k", b"x" * 1000000)
    bad.socket.close()
    import zmq
    bad.socket = zmq.Context.instance().socket(zmq.DEALER)
    bad.socket.linger, bad.socket.rcvhwm, bad.socket.rcvbuf = 0, 1, 4096
    bad.socket.connect(n.endpoint)

    def flood():
        for i in range(50):
            bad.socket.send(msgpack.packb([0, i, "get", ["b", "k"]]), zmq.DONTWAIT)
        eq("pong", good.call("ping"))
        return "cut off a client" in n.output()
    rss = lambda: int(open("/proc/%d/statm" % n.process.pid).read().split()[1]) * 4096
    until(flood, 30, "the client to be cut off")
    import lib
    if lib.SLOW == 1:
        assert rss() < 150 << 20, rss()
    eq(1000000, len(good.call("get", "b", "k")[0]))


@test()
def stopping_tells_clients_and_checkpoints(box):
    n = box.node()
    c = n.client()
    c.call("create", "b")
    v = c.call("put", "b", "k", "v")
    eq(0, n.stop())
    c.take()
    eq([2, "goaway"], c.notes[0][:2])
    n.start()
    s = n.status()
    eq(0, s["storage"]["recent_keys"])
    eq([b"v", v], n.client().call("get", "b", "k"))


@test()
def a_stop_and_start_loses_no_request_of_a_client_that_obeys(box):
    """pail bench obeys goaway: under load the node stops in order and starts again; nothing fails."""
    import subprocess
    n = box.node()
    bench = subprocess.Popen([n.build + "/pail", "bench", "--clients", "3", "--in-flight", "64", "--batch", "8", "--keys", "1000",
                              "--seconds", "6", "--keep", "--timeout", "20000", "-o", "json"],
                             env=dict(os.environ, PAIL_NODE=n.endpoint), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    requests = lambda: n.status()["totals"]["requests"]
    for _ in range(2):
        until(lambda: requests() > 500, 10, "load")
        eq(0, n.stop())
        n.start()
    out, err = bench.communicate(timeout=120)
    import json
    r = json.loads(out)
    eq((0, b""), (r["failed"], err))
    assert r["requests"] > 2000, r


@test()
def a_stalled_worker_finds_its_requests_as_they_were(box):
    """Requests time out while their worker stands still; their places are not given to others before it has passed."""
    n = box.node("--set", "limits.value=32K", "--set", "limits.message=64K", "--set", "limits.queue=64K",
                 "--set", "node.workers=1", "--set", "supervisor.hang_ms=60000")
    c = n.client()
    c.call("create", "b")
    pid = n.kill_worker(0, signal.SIGSTOP)
    size = 30000
    for round in range(6):  # more than the ring holds, twice over
        ids = c.send(*(("put", "b", "k%d.%d" % (round, i), bytes([65 + round]) * size, {"timeout": 150}) for i in range(2)))
        ids += c.send(*(("put", "b", "m%d.%d" % (round, i), bytes([65 + round]) * size, {"timeout": 150}) for i in range(2)))
        codes = {c.wait(i)[2][0] for i in ids}
        assert codes <= {"timeout", "busy"}, codes
    os.kill(pid, signal.SIGCONT)
    v = c.call("put", "b", "after", "x")
    eq([b"x", v], c.call("get", "b", "after"))
    w = n.workers()[0]
    eq((pid, 0), (w["pid"], w["restarts"]))
    for k, value, _ in c.call("scan", "b", {"limit": 1000})["items"]:
        assert k == b"after" or value == bytes([65 + int(k[1:2])]) * size, k


@test("kill")
def what_was_started_is_never_called_expired(box):
    """Two lives die without an answer: the request is in the log, so `expired` (no effect) would be a lie."""
    n = box.node("--set", "node.workers=1", env={"PAIL_FAULT": "wal.after_sync=kill@2," + ",".join("worker.before_answers=kill#%d" % i for i in range(1, 4))})
    c = n.client()
    c.call("create", "b")
    code = c.code("put", "b", "k", "v", {"timeout": 150})[0]
    eq("timeout", code)
    n.up()
    eq(b"v", n.client().call("get", "b", "k")[0])
