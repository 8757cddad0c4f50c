"""`touch`: a key lives on, its value stays, its version is a new one; and what is killed in the middle of it."""
import json
import os
import threading
import time

import lib
from lib import eq, test, until
from test_crash import SMALL, Script

MINUTE = 60000


def left(c, bucket, key):
    """What a key has left to live, or None: for ever."""
    return c.call("head", bucket, key)[2]


def near(ms, want):
    assert ms is not None and want - 30000 * lib.SLOW < ms <= want, (ms, want)


def settled(n):
    until(lambda: n.status()["storage"]["recent_keys"] == 0, 20, "a checkpoint")


@test("protocol")
def touch_changes_the_end_and_the_version_but_not_the_value(box):
    n = box.node()
    c = n.client()
    eq("no_bucket", c.code("touch", "b", "k")[0])
    c.call("create", "b")
    eq(None, c.call("touch", "b", "k"))
    eq(None, c.call("touch", "b", "k", {"ttl": MINUTE}))
    eq(0, c.call("count", "b"))
    v = [c.call("put", "b", "k", b"x" * 1000)]
    v.append(c.call("touch", "b", "k", {"ttl": 10 * MINUTE}))
    near(left(c, "b", "k"), 10 * MINUTE)
    v.append(c.call("touch", b"b", b"k", {b"ttl": 20 * MINUTE}))  # prolonged; bin as well as str
    near(left(c, "b", "k"), 20 * MINUTE)
    v.append(c.call("touch", "b", "k", {"ttl": 5 * MINUTE}))  # shortened
    near(left(c, "b", "k"), 5 * MINUTE)
    v.append(c.call("touch", "b", "k"))  # for ever
    eq(None, left(c, "b", "k"))
    eq(sorted(set(v)), v)
    eq([b"x" * 1000, v[-1]], c.call("get", "b", "k"))
    eq([[b"k", b"x" * 1000, v[-1], None]], c.call("scan", "b", {"ttl": True})["items"])
    eq(1, c.call("count", "b"))
    c.call("put", "b", "empty", b"")
    assert c.call("touch", "b", "empty") > v[-1]
    eq(b"", c.call("get", "b", "empty")[0])
    c.call("touch", "b", "k", {"ttl": 2**64 - 1})  # beyond all time: it saturates
    assert left(c, "b", "k") > 2**62
    eq(True, c.call("delete", "b", "k"))
    eq(None, c.call("touch", "b", "k"))
    eq(None, c.call("get", "b", "k"))
    c.call("drop", "b")
    eq("no_bucket", c.code("touch", "b", "empty")[0])
    c.call("create", "b")
    eq(None, c.call("touch", "b", "empty"))
    eq(12, n.status()["totals"]["by_method"]["touch"])


@test("protocol")
def what_has_expired_is_not_touched_and_what_is_touched_does_not_expire(box):
    c = box.node().client()
    c.call("create", "b")
    short = int(400 * lib.SLOW)
    for key in "gone", "kept", "ever":
        c.call("put", "b", key, key, {"ttl": short})
    c.call("put", "b", "stays", "stays")
    begin = time.monotonic()
    kept, ever = c.call("touch", "b", "kept", {"ttl": MINUTE}), c.call("touch", "b", "ever")
    brief = c.call("touch", "b", "stays", {"ttl": short})
    assert time.monotonic() - begin < short / 1000, "too slow a machine for this test"
    until(lambda: c.call("get", "b", "gone") is None and c.call("get", "b", "stays") is None, 10, "two keys to go")
    eq((None, None), (c.call("touch", "b", "gone"), c.call("touch", "b", "stays", {"ttl": MINUTE})))
    eq("conflict", c.code("touch", "b", "stays", {"if_version": brief})[0])
    eq([b"kept", kept], c.call("get", "b", "kept"))
    eq([b"ever", ever], c.call("get", "b", "ever"))
    until(lambda: c.call("count", "b") == 2, 10, "what has expired to be counted out")
    eq([b"ever", b"kept"], [i[0] for i in c.call("scan", "b")["items"]])


@test("protocol")
def a_condition_that_does_not_hold_touches_nothing(box):
    c = box.node().client()
    c.call("create", "b")
    v = c.call("put", "b", "k", "v", {"ttl": 10 * MINUTE})
    w = c.call("touch", "b", "k", {"if_version": v, "ttl": 20 * MINUTE})
    assert w > v
    e = c.code("touch", "b", "k", {"if_version": v})
    eq(("conflict", "the version is %d now" % w), tuple(e[:2]))
    m = c.wait(c.send(("touch", "b", "k", {"if_version": v}))[0])
    eq(["conflict", "the version is %d now" % w, w], m[2])
    near(left(c, "b", "k"), 20 * MINUTE)
    eq([b"v", w], c.call("get", "b", "k"))
    eq("conflict", c.code("touch", "b", "k", {"if_version": 0})[0])
    # where there is no key its version is 0, as everywhere
    m = c.wait(c.send(("touch", "b", "none", {"if_version": w}))[0])
    eq(["conflict", "the version is 0 now", 0], m[2])
    eq(None, c.call("touch", "b", "none", {"if_version": 0}))
    c.call("put", "b", "k", "w", {"if_version": w})


@test("protocol")
def touch_refuses_what_delete_refuses(box):
    c = box.node().client()
    c.call("create", "b")
    c.call("put", "b", "k", "v")
    for params in (["b"], ["b", "k", {}, 1], ["", "k"], ["b", ""], ["b", 5], [5, "k"], ["b", "k" * 481], ["b" * 256, "k"],
                   ["b", "k", {"if_absent": True}], ["b", "k", {"if_version": -1}], ["b", "k", {"timeout": 0}], ["b", "k", {"limit": 1}]):
        code, text = c.code("touch", *params)
        assert text.startswith("touch: "), text
        eq((code, text.replace("touch", "delete", 1)), tuple(c.code("delete", *params)))
    for ttl in 0, -1, "1", True, 1.5:
        code, text = c.code("touch", "b", "k", {"ttl": ttl})
        eq((code, text.replace("touch", "put", 1)), tuple(c.code("put", "b", "k", "v", {"ttl": ttl})))
        eq("bad_argument", code)
    eq(None, left(c, "b", "k"))


@test("distributed")
def touch_is_answered_where_the_bucket_is(box):
    table = {"a-m": "foo", "n-z": "bar"}
    n = box.cluster({"foo": table, "bar": table})
    for x in n.values():
        x.linked()
    here, there = n["foo"].client(), n["bar"].client()
    there.call("create", "world")
    last = there.call("put", "world", "k", "value")
    for c in here, there, here:
        v = c.call("touch", "world", "k", {"ttl": 10 * MINUTE, "if_version": last})
        assert v > last
        near(left(c, "world", "k"), 10 * MINUTE)
        eq("conflict", c.code("touch", "world", "k", {"if_version": last})[0])
        last = v
        eq(None, c.call("touch", "world", "none"))
        eq("no_bucket", c.code("touch", "nothing", "k")[0])
    eq([b"value", last], here.call("get", "world", "k"))


@test()
def touch_from_the_command_line(box):
    n = box.node()
    c = n.client()
    c.call("create", "b")
    v = c.call("put", "b", "k", "v")
    r = box.pail(n, "touch", "b", "k", "--ttl", str(10 * MINUTE))
    w = c.call("get", "b", "k")[1]
    assert w > v
    eq((0, "version %d\n" % w), (r.returncode, r.stdout.decode()))
    near(left(c, "b", "k"), 10 * MINUTE)
    r = box.pail(n, "touch", "b", "k", "--if-version", str(v))
    eq((8, b""), (r.returncode, r.stdout))
    assert b"the version is %d now" % w in r.stderr, r.stderr
    r = json.loads(box.pail(n, "touch", "b", "6b", "--hex", "--if-version", str(w), "-o", "json").stdout)
    eq({"version": c.call("get", "b", "k")[1]}, r)
    eq(None, left(c, "b", "k"))
    r = box.pail(n, "touch", "b", "k", "-o", "raw")
    eq("%d\n" % c.call("get", "b", "k")[1], r.stdout.decode())
    for args, status in ((("b", "none"), 3), (("none", "k"), 3), (("b", "k", "--ttl", "0"), 2), (("b", "k", "--if-absent"), 2), (("b",), 2)):
        r = box.pail(n, "touch", *args)
        eq((status, b""), (r.returncode, r.stdout))
        assert r.stderr, args
    r = box.run(lib.BUILD + "/pail", "shell", input=b"touch b k --ttl 600000\ntouch b none\n", env={"PAIL_NODE": n.endpoint})
    assert b"version %d\n" % c.call("get", "b", "k")[1] in r.stdout and b"there is no such key" in r.stderr, r
    near(left(c, "b", "k"), 10 * MINUTE)


TTL = {"prolonged": (5 * MINUTE, 50 * MINUTE), "shortened": (50 * MINUTE, 5 * MINUTE), "ended": (None, 5 * MINUTE), "freed": (5 * MINUTE, None)}


def put(c, key, value, ttl):
    return c.call("put", "b", key, value, *([{"ttl": ttl}] if ttl else []))


@test("kill")
def touched_keys_last_wherever_they_lie(box):
    """In base alone and not in the cache, in the log, in both: before a checkpoint, after one, after a kill and after a restart."""
    n = box.node(*SMALL, "--set", "limits.cache=1M", "--set", "storage.checkpoint_ms=200", "--set", "node.workers=1")
    c = n.client()
    c.call("create", "b")
    values = {name: name.encode() * (6000 if name != "ended" else 1) for name in TTL}
    for name, (before, _) in TTL.items():
        put(c, name, values[name], before)
    for i in range(100):  # more than the cache: what is settled is let go
        c.call("put", "b", "fill%02d" % i, b"x" * 50000)
    settled(n)
    n.kill()
    n.start()  # a cold cache: they are in base alone
    c = n.client()
    versions = {}

    def whole():
        for name, (_, after) in TTL.items():
            eq([values[name], versions[name]], c.call("get", "b", name))
            ms = left(c, "b", name)
            near(ms, after) if after else eq(None, ms)
        eq(104, c.call("count", "b"))
        items = c.call("scan", "b", {"prefix": "s", "ttl": True})["items"]
        eq([[b"shortened", values["shortened"], versions["shortened"]]], [i[:3] for i in items])

    for life in "base", "base again", "log":
        if life == "log":  # put and touched within one log
            for name, (before, _) in TTL.items():
                put(c, name, values[name], before)
        for name, (_, after) in TTL.items():
            v = c.call("touch", "b", name, *([{"ttl": after}] if after else []))
            assert v > versions.get(name, 0)
            versions[name] = v
        whole()
        n.kill()  # in the middle of it: the log is read
        n.start()
        c = n.client()
        whole()
        settled(n)
        whole()
        eq(0, n.stop())
        n.start()
        c = n.client()
        whole()
    eq(0, n.stop())


def written(pid):
    with open("/proc/%d/io" % pid) as f:
        return int(dict(line.split(": ") for line in f.read().splitlines())["wchar"])


@test()
def a_touch_writes_no_value(box):
    """A thousand touches of a megabyte: what the worker writes meanwhile, empty log files too, is less than a tenth of that."""
    n = box.node("--set", "node.workers=1", "--set", "storage.checkpoint_ms=600000")
    c = n.client()
    c.call("create", "b")
    value = os.urandom(1 << 20)
    c.call("put", "b", "k", value)
    pid = n.workers()[0]["pid"]
    before = written(pid)
    for round in range(10):
        for i in c.send(*(("touch", "b", "k", {"ttl": 10 * MINUTE + round}) for _ in range(100))):
            v = c.result(i)
    assert written(pid) - before < 100 << 20, written(pid) - before
    n.kill()
    n.start()
    c = n.client()
    eq([value, v], c.call("get", "b", "k"))
    near(left(c, "b", "k"), 10 * MINUTE + 9)


class Toucher(Script):
    """Its requests are touches half of the time."""

    def request(self):
        k = b"k%d" % self.random.randrange(30)
        have = self.keys.get(k)
        if self.random.random() < 0.5:
            return super().request()
        self.n += 1
        options = self.random.choice(({}, {"ttl": 60 * MINUTE}, {"if_version": 0}))
        if have and "if_version" in options:
            return ("touch", self.bucket, k, options), ("conflict", have)
        if not have:
            return ("touch", self.bucket, k, options), ("is", None)
        self.keys[k] = [have[0], None]
        return ("touch", self.bucket, k, options), ("version", self.keys[k])


POINTS = ("worker.before_run", "worker.after_append", "worker.after_reply", "wal.before_write", "wal.after_sync", "wal.after_publish",
          "checkpoint.before_commit")


def touchers(n, box, count=4):
    all = [Toucher(n, box.random, b"bucket%d" % i) for i in range(count)]
    for s in all:
        eq(True, s.c.call("create", s.bucket))
    return all


def finish(n, all):
    for s in all:
        s.drain()
    n.up()
    for s in all:
        s.verify()
    touches = n.status()["totals"]["by_method"]["touch"]
    assert touches > 100, touches
    eq(0, n.stop())


def killed_at(box, point):
    for nth in (1, 2) if "checkpoint" in point else (3, box.random.randrange(10, 200), box.random.randrange(200, 600)):
        n = box.node(*SMALL, "--set", "storage.checkpoint_ms=100", env={"PAIL_FAULT": "%s=kill@%d" % (point, nth)})
        all = touchers(n, box)
        end = time.monotonic() + 20
        rounds = 0
        while rounds < 40 or (time.monotonic() < end and not sum(w["restarts"] for w in n.workers())):
            rounds += 1
            for s in all:
                s.send(box.random.randrange(1, 20))
            for s in all:
                s.drain(100)
        for s in all:
            s.drain()
        until(lambda: sum(w["restarts"] for w in n.workers()) > 0, 20, "the kill at %s" % point)
        finish(n, all)


def _add(point):
    def f(box):
        killed_at(box, point)
    f.__name__ = "touched_and_killed_at_" + point.replace(".", "_")
    test("kill")(f)


for p in POINTS:
    _add(p)


@test("kill")
def touches_go_on_through_restarts_and_upgrades(box):
    """Workers handed over and the coordinator replaced, while half of the load is touches: every reply is the one foretold."""
    n = box.node(*SMALL, "--set", "storage.checkpoint_ms=150", "--set", "limits.cache=1M")
    all = touchers(n, box)
    said = []

    def roll():
        for what in (("worker", "restart"), ("upgrade", "--wait"), ("worker", "restart")):
            r = box.run(lib.BUILD + "/pail", "--admin", "ipc://%s/admin.sock" % n.data, *what)
            said.append((r.returncode, r.stderr))

    t = threading.Thread(target=roll)
    t.start()
    while t.is_alive():
        for s in all:
            s.send(box.random.randrange(1, 40))
        for s in all:
            s.drain(200)
    t.join()
    eq([(0, b"")] * 3, said)
    for _ in range(5):
        for s in all:
            s.send(20)
    finish(n, all)


@test("kill")
def a_nil_stays_nil_when_its_worker_is_killed(box):
    """delete, touch, put in one message: the touch is nil, also when it is answered by another worker than the one that found nothing."""
    for point in "worker.after_append", "wal.before_write", "wal.after_sync", "wal.after_publish":
        for nth in 5, 6, 7, 8:
            n = box.node("--set", "node.workers=1", env={"PAIL_FAULT": "%s=kill@%d" % (point, nth)})
            c = n.client()
            c.call("create", "b")
            c.call("put", "b", "k", "v0")
            for round in range(8):
                ids = c.send(("delete", "b", "k"), ("touch", "b", "k"), ("put", "b", "k", "v%d" % round), ("touch", "b", "k"))
                deleted, nil, put, touched = (c.result(i) for i in ids)
                eq((True, None), (deleted, nil))
                assert touched > put, (put, touched)
                eq([b"v%d" % round, touched], c.call("get", "b", "k"))
            eq(1, n.up()[0]["restarts"])
            eq(0, n.stop())


del _add, p
