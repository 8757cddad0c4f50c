"""Copies that neither their own disk nor the logs of others help learn all of it anew, whatever happens meanwhile."""
import os
import re
import time

import lib
from cluster import Cluster, cluster
from lib import eq, test, until

SMALL_LOG = {"limits.log": "8M"}
LARGE = os.urandom(20000)


class Model:
    """What a cluster is to have: buckets with keys, and what they have is checked wherever they are led."""

    def __init__(self, c, client, random):
        self.c, self.x, self.random, self.there, self.unknown = c, client, random, {}, set()

    def create(self, bucket):
        self.x.call("create", bucket, {"timeout": 20000})
        self.there[bucket] = {}

    def drop(self, bucket):
        self.x.call("drop", bucket, {"timeout": 20000})
        self.there.pop(bucket)

    def many(self, requests, client=None):
        """(bucket, key, value or None) each, in one frame; what is refused is sent again."""
        x = client or self.x
        while requests:
            again = []
            ids = x.send(*(("put", b, k, v, {"timeout": 20000}) if v is not None else ("delete", b, k, {"timeout": 20000})
                           for b, k, v in requests))
            for i, r in zip(ids, requests):
                m = x.wait(i, 40)
                b, k, v = r
                if m[2] and m[2][0] in ("busy", "too_few"):
                    again.append(r)
                elif m[2] and m[2][0] in ("timeout", "internal", "node_down", "expired"):
                    self.unknown.add((b, k))
                else:
                    eq(None, m[2])
                    self.unknown.discard((b, k))
                    self.there[b].pop(k, None)
                    if v is not None:
                        self.there[b][k] = v
            requests = again

    def fill(self, bucket, n, size=20000, name="k"):
        """More than a small log keeps; of keys that come again."""
        for at in range(0, n, 20):
            self.many([(bucket, "%s%d" % (name, (at + j) % 400), LARGE[j % 100:size + j % 100]) for j in range(20)])

    def some(self, n=20):
        """A bit of everything."""
        r, out = self.random, []
        for _ in range(n):
            b = r.choice(sorted(self.there))
            keys = sorted(self.there[b])
            if keys and r.random() < 0.3:
                out.append((b, r.choice(keys), None))
            else:
                out.append((b, "s%d" % r.randrange(2000), b"v%d" % r.randrange(1 << 30)))
        seen = set()
        self.many([o for o in out if (o[0], o[1]) not in seen and not seen.add((o[0], o[1]))])

    def check(self, client):
        for b, want in self.there.items():
            got, after = {}, None
            while True:
                r = client.call("scan", b, dict({"limit": 1000, "timeout": 20000}, **({"after": after} if after else {})), seconds=40)
                got.update((k.decode(), v) for k, v, _ in r["items"])
                if not r["more"]:
                    break
                after = r["items"][-1][0]
            keys = {k for k in set(got) ^ set(want) if (b, k) not in self.unknown}
            eq((b, set()), (b, keys))
            for k in want:
                assert (b, k) in self.unknown or got[k] == want[k], "%s %s is another value" % (b, k)
            if not any(u[0] == b for u in self.unknown):
                eq((b, len(want)), (b, client.call("count", b, {"timeout": 20000})))


def lagging(box, lost="c", wipe=False, **kw):
    """A cluster of which `lost` is killed, and the others have written more than their logs keep; two copies may be one."""
    kw.setdefault("more", SMALL_LOG)
    c = cluster(box, min_copies=1, **kw)
    if not c.real:
        return c, None
    m = Model(c, c.client(c.others(lost)[0]), box.random)
    for b in c.led_by("a", 2) + [c.led_by("b"), c.led_by("c")]:
        m.there[b] = {}
    for b in list(m.there):
        m.many([(b, "before%d" % k, b"v") for k in range(60)])
    m.create("to-be-dropped")
    m.many([("to-be-dropped", "k%d" % k, b"v") for k in range(60)])
    c.kill(lost)
    until(lambda: all(lost not in v[2] and v[1] != lost for v in c.views().values()), 20, lost + " to be out")
    for b in list(m.there):
        m.many([(b, "before%d" % k, None) for k in range(0, 60, 3)])
    m.drop("to-be-dropped")
    m.create("new")
    for b in sorted(m.there):
        m.fill(b, 400)
    if wipe:
        box.run("rm", "-rf", c.n[lost].data)
    return c, m


def unless_busy(x, request):
    m = x.wait(x.send(request)[0], 30)
    assert not m[2] or m[2][0] == "busy", m
    return m[3]


def learned(c, name):
    """How many partitions it has been taught, as those say that did it."""
    return sum(len(re.findall(r"node \d+ has learned anew", c.n[n].output())) for n in c.others(name))


def begun(c, name):
    return sum(len(re.findall(r"node \d+ learns anew", c.n[n].output())) for n in c.others(name))


def alone(c, m, name):
    """All others are gone: it has all."""
    c.ready(60)
    m.check(c.client(c.others(name)[0]))
    only(c, name)
    m.check(c.client(name))


def only(c, name):
    """One after the other dies, when it is sure that the last one counts."""
    for gone in c.others(name):
        until(lambda: all(name in v[2] for v in c.views().values()), 60, name + " to be in sync")
        c.kill(gone)
        until(lambda: all(gone not in v[2] and v[1] != gone for v in c.views().values()), 20, gone + " to be out")
    until(c.answers, 20, "answers")


@test("cluster", "distributed", "kill", "long")
def a_copy_learns_while_everything_goes_on(box):
    """Writes, deletes, drops, ttls and sessions meanwhile."""
    c, m = lagging(box, workers=2)
    if not c.real:
        return
    x = m.x
    session = x.call("session")
    bucket = sorted(m.there)[0]
    once = ("put", bucket, "in-session", "one", {"session": session, "seq": 0, "timeout": 20000})
    first = until(lambda: unless_busy(x, once), 20, "room in the log")
    m.there[bucket]["in-session"] = b"one"
    c.start("c", wait=False)
    n, end = 0, time.monotonic() + 60 * lib.SLOW
    while not c.in_sync() and time.monotonic() < end:
        m.some()
        n += 1
        m.create("meanwhile%d" % n)
        m.many([("meanwhile%d" % n, "k", b"v")])
        for key, ttl in ("short", 1), ("long", 3600000):
            until(lambda: unless_busy(x, ("put", bucket, "%s%d" % (key, n), "v", {"ttl": ttl, "timeout": 20000})), 20, "room in the log")
        m.there[bucket]["long%d" % n] = b"v"
        if n % 2:
            m.drop("meanwhile%d" % n)
    print("# %d rounds, %d partitions learned anew" % (n, learned(c, "c")))
    assert learned(c, "c") > 0
    alone(c, m, "c")
    y = c.client("c")
    eq(first, y.call("put", bucket, "in-session", "one", {"session": session, "seq": 0, "timeout": 20000}))
    eq([b"one", first], y.call("get", bucket, "in-session"))
    eq(None, y.call("get", bucket, "short%d" % n))


def killed(box, which, times=3, **kw):
    """Somebody is killed in the middle of it, several times."""
    c, m = lagging(box, wipe=True, **kw)
    if not c.real:
        return
    c.start("c", wait=False)
    for _ in range(times):
        before = begun(c, "c")
        until(lambda: begun(c, "c") > before or c.in_sync(), 40, "a copy to begin to learn")
        which(c)
        m.some()
    assert begun(c, "c") > 0
    alone(c, m, "c")


@test("cluster", "distributed", "kill", "long")
def the_senders_worker_is_killed_in_the_middle(box):
    def kill(c):
        for n in "ab":
            c.n[n].kill_worker(0)
    killed(box, kill)


@test("cluster", "distributed", "kill", "long")
def the_receivers_worker_is_killed_in_the_middle(box):
    def kill(c):
        until(lambda: c.answers_ping("c"), 20, "c to answer")
        c.n["c"].kill_worker(0)
    killed(box, kill)


@test("cluster", "distributed", "kill", "long")
def the_primarys_node_is_killed_in_the_middle(box):
    """b takes over what a led, and goes on with it."""
    def kill(c):
        until(lambda: c.answers_ping("c"), 20, "c to answer")
        for n in "ab":
            if any(v[1] == n for v in c.views().values()):
                other = "b" if n == "a" else "a"
                until(lambda: all(set("ab") <= set(v[2]) for v in c.views().values()), 60, "two copies at least")
                c.kill(n)
                until(lambda: all(v[1] != n for v in c.views().values()), 20, other + " to lead")
                c.start(n)
                return
    killed(box, kill, times=2)


@test("cluster", "distributed", "long")
def large_values_and_a_bucket_with_many_keys_are_learned(box):
    """Values of more than a piece; 60,000 keys; and as many workers as each node likes."""
    own = dict(SMALL_LOG, **{"limits.value": "1M", "limits.message": "2M", "limits.log": "32M"})
    c, m = lagging(box, wipe=True, more={"a": dict(own, **{"node.workers": 2}), "b": dict(own, **{"node.workers": 1}),
                                         "c": dict(own, **{"node.workers": 3})})
    if not c.real:
        return
    large = os.urandom(900000)
    m.create("large")
    for k in range(30):
        m.many([("large", "k%d" % k, large[k:])])
    m.create("many")
    for at in range(0, 60000, 500):
        m.many([("many", "key%d" % k, b"") for k in range(at, at + 500)])
    for b in sorted(m.there)[:3]:
        m.fill(b, 400)
    c.start("c", wait=False)
    begin = time.monotonic()
    alone(c, m, "c")
    print("# in sync after %.1f s" % (time.monotonic() - begin))
    assert learned(c, "c") > 0


@test("cluster", "distributed", "long")
def a_disk_that_is_full_takes_it_in_when_there_is_room(box):
    c, m = lagging(box, disks=True)
    if not c.real:
        return
    c.start("c", wait=False)
    until(lambda: c.answers_ping("c"), 20, "c to answer")
    c.disk["c"].fill()
    time.sleep(3 * lib.SLOW)
    m.some()  # the others go on
    assert not c.in_sync(), "a full disk has taken it in"
    c.disk["c"].heal()
    alone(c, m, "c")


@test("cluster", "distributed", "long")
def status_says_who_learns(box):
    c, m = lagging(box, wipe=True)
    if not c.real:
        return
    c.start("c", wait=False)
    until(lambda: [n for n in c.status("a")["nodes"] if n["name"] == "c" and n["learning"] > 0], 20, "c to be learning")
    assert "not in sync" in c.status("a")["verdict"] or "fewer" in c.status("a")["verdict"], c.status("a")["verdict"]
    c.ready(60)
    eq([0], [n["learning"] for n in c.status("a")["nodes"] if n["name"] == "c"])
    until(lambda: c.verdict("a")[0], 10, "all to be well")


@test("cluster", "distributed", "long")
def a_node_that_had_data_before_brings_it_along(box):
    """`create --keep`: in term 0, more than its log has; the others learn all of it."""
    c = Cluster(box, "abc", create=False, more=SMALL_LOG)
    a = c.n["a"]
    a.stop()
    with open(a.conf) as f:
        own = f.read()
    with open(a.conf, "w") as f:
        f.write(re.sub(r"(?s)\[cluster\].*?(?=\[|$)", "", own.replace("* = ring", "* = a")))
    a.start()
    m = Model(c, a.client(), box.random)
    for i in range(40):
        m.create("mine%d" % i)
        m.many([("mine%d" % i, "k%d" % k, b"v%d" % k) for k in range(50)])
    for i in range(0, 40, 2):
        m.fill("mine%d" % i, 60)
    m.drop("mine39")
    session = m.x.call("session")
    version = m.x.call("put", "mine0", "in-session", "one", {"session": session, "seq": 0})
    m.there["mine0"]["in-session"] = b"one"
    a.stop()
    with open(a.conf, "w") as f:
        f.write(own)
    a.start()
    c.create(list("abc"), min_copies=1, keep="a")
    c.ready(60)
    m.x = c.client("b")
    m.check(m.x)
    m.some()
    only(c, "c")
    x = c.client("c")
    m.check(x)
    eq(version, x.call("put", "mine0", "in-session", "one", {"session": session, "seq": 0, "timeout": 20000}))
    assert learned(c, "c") + learned(c, "b") > 0


@test("cluster", "distributed", "kill", "long")
def a_disk_that_was_set_back_learns_what_it_has_forgotten(box):
    """A copy of its folder from before is put in its place while all are down: others know better, and nothing is lost."""
    c = cluster(box)
    if not c.real:
        return
    m = Model(c, c.client("a"), box.random)
    for b in (c.led_by("a"), c.led_by("b"), c.led_by("c")):
        m.there[b] = {}
        m.many([(b, "before%d" % k, b"v") for k in range(60)])
    c.kill("c")
    box.run("cp", "-a", c.n["c"].data, c.n["c"].data + ".old")
    c.start("c")
    c.ready()
    for _ in range(10):
        m.some()
    time.sleep(0.5)  # what is committed is told
    for n in "abc":
        c.kill(n)
    box.run("rm", "-rf", c.n["c"].data)
    box.run("mv", c.n["c"].data + ".old", c.n["c"].data)
    for n in "abc":
        c.start(n, wait=False)
    until(lambda: all(c.answers_ping(n) for n in "abc"), 30, "all to answer")
    c.ready(60)
    for n in "abc":
        c.drain(n)
        c.ready(60)
        m.check(c.client(n))
    c.stop()
