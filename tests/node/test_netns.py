"""Nodes apart: in network namespaces, with the wire between them cut, deaf one way, slow, and lossy."""
import os
import time

import lib
import wire
from lib import eq, test, until


class Load:
    """Puts of ever new keys into one bucket, many in flight; what became of each is kept."""

    def __init__(self, client, bucket, timeout):
        self.c, self.bucket, self.timeout = client, bucket, timeout
        self.first = client.call("put", bucket, "first", "x")
        self.open, self.acked, self.unknown, self.refused = {}, {}, set(), {}
        self.n, self.longest = 0, 0

    def step(self, window=400, frame=20):
        if len(self.open) < window:
            requests = [("put", self.bucket, "k%d" % (self.n + i), "v%d" % (self.n + i), {"timeout": self.timeout})
                        for i in range(frame)]
            now = time.monotonic()
            for k, i in enumerate(self.c.send(*requests)):
                self.open[i] = (self.n + k, now)
            self.n += frame
        while self.c.socket.poll(0 if len(self.open) < window else 5):
            self.c.take()
        for i in [i for i in self.c.replies if i in self.open]:
            key, begin = self.open.pop(i)
            error, result = self.c.replies.pop(i)[2:]
            self.longest = max(self.longest, time.monotonic() - begin)
            if error is None:
                self.acked[key] = result
            elif error[0] in ("timeout", "internal"):
                self.unknown.add(key)
            else:
                self.refused.setdefault(error[0], set()).add(key)

    def run(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.step()

    def finish(self):
        """Everything is answered: nothing waits for ever."""
        end = time.monotonic() + self.timeout / 1000 + 5 * lib.SLOW
        while self.open:
            assert time.monotonic() < end, "%d requests without an answer" % len(self.open)
            self.step(window=0)

    def audit(self, client):
        """By the node that has the bucket: what was acknowledged is there as it was told, what was refused is not, and
        as many writes were done as there are keys: nothing was done twice."""
        there, after = {}, None
        while True:
            r = client.call("scan", self.bucket, dict({"limit": 5000}, **({"after": after} if after else {})), seconds=30)
            there.update({k.decode(): (v.decode(), version) for k, v, version in r["items"]})
            if not r["more"]:
                break
            after = r["items"][-1][0]
        del there["first"]
        for key, version in self.acked.items():
            eq(("v%d" % key, version), there.get("k%d" % key))
        for code, keys in self.refused.items():
            for key in keys:
                assert "k%d" % key not in there, "%s, but it was done" % code
        eq(set(), set(there) - {"k%d" % k for k in set(self.acked) | self.unknown})
        last = client.call("put", self.bucket, "last", "x")
        eq(len(there), last - self.first - 1)


def apart(box, **more):
    w = wire.Wire(box)
    timeout = more.pop("timeout", 1500)
    settings = dict({"links.ping_ms": 100, "links.dead_ms": 1000, "links.connect_ms": 500, "security.open": "yes"}, **more)
    table = {"a-m": "foo", "n-z": "bar"}
    n = box.cluster({"foo": table, "bar": table}, hosts=dict(zip(("foo", "bar"), w.hosts)), start=False,
                    more={x: dict(settings, **{"node.client": "ipc://%s/%s.sock" % (box.dir, x)}) for x in ("foo", "bar")})
    for side, x in enumerate(("foo", "bar")):
        n[x].inside = w.inside(side)
        n[x].start(wait=False)
    for x in n.values():
        x.wait_ready()
    for x in n.values():
        x.linked()
    foo, bar = n["foo"].client(), n["bar"].client()
    foo.call("create", "zulu")
    bar.call("create", "alpha")
    # each loads the other's bucket, through its own node
    return w, n, [Load(foo, "zulu", timeout), Load(bar, "alpha", timeout)]


def both_run(loads, seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for x in loads:
            x.step()


def both_end(n, loads):
    for x in loads:
        x.finish()
    for x in n.values():
        x.linked()
    loads[0].audit(n["bar"].client())
    loads[1].audit(n["foo"].client())
    for x in loads:
        assert x.longest < x.timeout / 1000 + 1 * lib.SLOW, x.longest
        assert len(x.acked) > 100, len(x.acked)
    print("# acknowledged %s, unknown %s, refused %s, longest wait %.2f s" % (
        [len(x.acked) for x in loads], [len(x.unknown) for x in loads],
        [{c: len(k) for c, k in x.refused.items()} for x in loads], max(x.longest for x in loads)))


@test("distributed", "netns")
def a_cut_wire_loses_nothing_that_was_acknowledged(box):
    w, n, loads = apart(box)
    both_run(loads, 1)
    for _ in range(2):
        w.cut()
        both_run(loads, 2.5)
        eq(["down", "down"], [n["foo"].peers()["bar"]["state"], n["bar"].peers()["foo"]["state"]])
        w.clear()
        for x in n.values():
            x.linked()
        both_run(loads, 1)
    both_end(n, loads)
    assert all(x.unknown and x.refused["node_down"] for x in loads)


@test("distributed", "netns")
def a_short_cut_is_ridden_out(box):
    """Shorter than what makes a peer dead: requests are late, none fails."""
    w, n, loads = apart(box, **{"links.dead_ms": 10000, "timeout": 10000})
    both_run(loads, 0.5)
    w.cut()
    both_run(loads, 0.7)
    w.clear()
    both_run(loads, 1)
    both_end(n, loads)
    eq([set(), {}] * 2, [loads[0].unknown, loads[0].refused, loads[1].unknown, loads[1].refused])


@test("distributed", "netns")
def loss_in_one_direction_is_noticed_and_harmless(box):
    w, n, loads = apart(box)
    both_run(loads, 0.5)
    for way in w.ways:
        way.drop = True
        both_run(loads, 2.5)
        # neither link lives: each needs both directions
        eq(["down", "down"], [n["foo"].peers()["bar"]["state"], n["bar"].peers()["foo"]["state"]])
        w.clear()
        for x in n.values():
            x.linked()
        both_run(loads, 0.7)
    both_end(n, loads)


@test("distributed", "netns")
def delay_and_loss_slow_requests_and_fail_none(box):
    w, n, loads = apart(box, **{"links.dead_ms": 20000, "timeout": 20000})
    for way in w.ways:
        way.delay_s, way.loss = 0.04, 0.01
    both_run(loads, 4)
    w.clear()
    both_end(n, loads)
    eq([set(), {}] * 2, [loads[0].unknown, loads[0].refused, loads[1].unknown, loads[1].refused])
    assert min(x.longest for x in loads) > 0.08


@test("distributed", "netns")
def what_comes_too_late_is_not_done(box):
    """Packets are held back for longer than the requests have time, then they all arrive: by then nobody waits any more,
    and none of them is carried out."""
    w, n, loads = apart(box, **{"links.dead_ms": 60000})
    foo, bar = n["foo"].client(), n["bar"].client()
    w.ways[0].hold = True  # from foo to bar
    ids = foo.send(*[("put", "zulu", "late%d" % i, "x", {"timeout": 400}) for i in range(50)])
    for i in ids:
        eq("timeout", foo.wait(i)[2][0])
    begin = time.monotonic()
    w.clear()
    eq(b"x", foo.call("get", "zulu", "first")[0])
    assert time.monotonic() - begin < 3 * lib.SLOW
    eq([b"first"], [i[0] for i in bar.call("scan", "zulu")["items"]])


@test("distributed", "netns")
def a_node_killed_behind_a_cut_wire_comes_back_clean(box):
    """bar is killed and started again while the wire is cut: what was on the way to the one before does not reach it."""
    w, n, loads = apart(box)
    both_run(loads, 0.5)
    w.cut()
    both_run(loads[:1], 0.3)
    n["bar"].kill()
    n["bar"].start(wait=False)
    n["bar"].wait_ready()
    both_run(loads[:1], 1.5)
    w.clear()
    n["foo"].linked()
    both_run(loads[:1], 0.7)
    loads[0].finish()
    bar = n["bar"].client()
    loads[0].audit(bar)
    assert loads[0].unknown and loads[0].refused["node_down"]
