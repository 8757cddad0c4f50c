"""Frames whose requests go to different primaries, some of which are moving or dying."""
import os
import time

import lib
from cluster import cluster
from lib import Client, eq, test, until

UNKNOWN = ("timeout",)
NOT_RUN = ("too_few", "busy", "expired", "node_down")


def real(c):
    if not c.real:
        print("# left out: there is one node only")
    return c.real


class Stream:
    """One client's puts and gets, many to a frame, over buckets of all nodes.

    Of each bucket it counts one key up, which is its own; `told` are the replies in the order in which they must have taken effect."""

    def __init__(self, c, at, buckets, frame=256):
        self.client, self.key, self.buckets, self.frame = c.client(at), "k" + at, buckets, frame
        self.n, self.sent, self.told = 0, {}, []

    def go(self, timeout=6000):
        """A frame, of which each bucket has a part, in order: put n, get, put n + 1, get, …"""
        requests, keys = [], []
        for k in range(self.frame // 2):
            bucket = self.buckets[k % len(self.buckets)]
            self.n += 1
            requests += [("put", bucket, self.key, str(self.n), {"timeout": timeout}), ("get", bucket, self.key, {"timeout": timeout})]
            keys += [(bucket, self.n, True), (bucket, self.n, False)]
        for i, key in zip(self.client.send(*requests), keys):
            self.sent[i] = key

    def take(self, seconds=30):
        """All replies to what was sent: each msgid once."""
        for i, (bucket, n, write) in self.sent.items():
            m = self.client.wait(i, seconds)
            self.told.append((bucket, n, write, m[2] and m[2][0], m[3]))
        self.sent = {}
        eq({}, self.client.replies)

    def check(self):
        """In order: what a get saw is the last put before it that can have been, and versions grow.

        A put whose outcome is not known may be seen or not, but not undone, and not come late: as soon as a later
        put of the bucket is acknowledged it is history.  A get has no outcome only before such a put."""
        unknown = codes = 0
        state = {b: (0, {0}) for b in self.buckets}  # version that was told last, what may be there
        last_unknown = {bucket: n for bucket, n, write, code, _ in self.told if write and code in UNKNOWN}
        for bucket, n, write, code, result in self.told:
            version, may = state[bucket]
            codes += code is not None
            if write and code is None:
                assert result > version, (bucket, n, result, version)
                state[bucket] = (result, {n})
            elif write and code in UNKNOWN:
                unknown += 1
                state[bucket] = (version, may | {n})
            elif write:
                assert code in NOT_RUN, (bucket, n, code)
            elif code is None:
                seen = 0 if result is None else int(result[0])
                assert seen in may, "%s: get behind put %d saw %d, not one of %r" % (bucket, n, seen, sorted(may))
                state[bucket] = (max(version, result[1] if result else 0), {seen} | {x for x in may if x > seen})
            elif code in UNKNOWN:
                unknown += 1
                assert n < last_unknown.get(bucket, 0), "%s: get behind put %d has no outcome" % (bucket, n)
            else:
                assert code in NOT_RUN, (bucket, n, code)
        print("# %d requests, %d errors, %d unknown" % (len(self.told), codes, unknown))
        return codes, unknown


def opened(box, **kw):
    c = cluster(box, **kw)
    return c, [b for n in c.names for b in c.led_by(n, 3)] if c.real else ["b%d" % i for i in range(9)]


def many(streams, seconds, gap=0.02):
    end = time.monotonic() + seconds * lib.SLOW
    while time.monotonic() < end:
        for s in streams:
            s.go()
        time.sleep(gap)
        for s in streams:
            if len(s.sent) > 4000:
                s.take()


@test("cluster", "distributed", "pauses")
def frames_keep_their_order_while_partitions_are_handed_over(box):
    """Nothing is lost and nothing overtakes: a planned change shows no error at all."""
    c, buckets = opened(box, workers=2)
    if not real(c):
        return
    streams = [Stream(c, n, buckets) for n in c.names]
    for n in ("a", "b", "c"):
        many(streams, 0.5)
        c.command(n, "drain", n)
        many(streams, 1)
        until(lambda: all(v[1] != n for v in c.views().values()), 10, "%s to lead nothing" % n)
        c.command(n, "drain", n, "--off")
        many(streams, 0.5)
    for s in streams:
        s.take()
        eq((0, 0), s.check())
    c.stop()


@test("cluster", "distributed", "kill")
def frames_keep_their_order_while_a_node_dies(box):
    c, buckets = opened(box, workers=2, min_copies=1)
    if not real(c):
        return
    streams = [Stream(c, n, buckets) for n in "ab"]
    many(streams, 0.5)
    c.kill("c")
    many(streams, 3)
    for s in streams:
        s.take()
        s.check()
    c.start("c")
    c.ready()
    many(streams, 0.5)
    for s in streams:
        s.take()
        s.check()
    c.stop()


@test("cluster", "distributed", "kill", "long")
def frames_keep_their_order_when_a_replaced_primary_wakes_up(box):
    """What had come to it before must not be done by its successor behind what was sent later."""
    c, buckets = opened(box, workers=2)
    if not real(c):
        return
    streams = [Stream(c, n, buckets) for n in "ab"]
    for _ in range(2):
        many(streams, 0.3)
        c.pause("c")
        many(streams, 2)
        c.resume("c")
        many(streams, 1)
        for s in streams:
            s.take()
        c.ready()
    for s in streams:
        s.check()
    c.stop()


@test("cluster", "distributed", "kill")
def a_req_client_gets_all_replies_of_its_frame_in_one_message(box):
    """Requests for three primaries, one of which is dead, and replies of several MiB."""
    c, buckets = opened(box, more={"limits.value": "1M", "limits.message": "8M", "limits.log": "128M"})
    if not real(c):
        return
    x = c.client("a")
    large = os.urandom(700 << 10)
    for b in buckets:
        x.call("put", b, "k", large)
    c.kill("c")
    r = Client(c.n["a"].endpoint, req=True)
    wants = []
    for b in buckets:
        wants += [("get", b, "k", {"timeout": 10000}), ("count", b, {"timeout": 10000}), ("route", b, {"timeout": 10000})]
    ids = r.send(*wants)
    r.take(20)
    eq(sorted(ids), sorted(r.replies))  # of one message
    for i, (method, bucket, *_) in zip(ids, wants):
        m = r.replies.pop(i)
        eq(None, m[2])
        if method == "get":
            eq(large, m[3][0])
        elif method == "count":
            eq(1, m[3])
        else:
            assert m[3]["node"] in "ab", m
    r.close()
    x.close()
    c.start("c")
    c.ready()
    c.stop()


@test("cluster", "distributed", "kill")
def txn_session_and_touch_go_where_their_bucket_is(box):
    """In one frame, through a node that leads none of them, and again, over a failover."""
    c, buckets = opened(box, min_copies=1)
    if not real(c):
        return
    x = c.client("a")
    session = x.call("session")
    buckets = [b for b in buckets if b.startswith("of-b") or b.startswith("of-c")]

    def frame():
        return [q for i, b in enumerate(buckets) for q in (
            ("txn", b, {"then": [["put", "t", "1"], ["put", "u", "2"]], "session": session, "seq": 10 * i, "timeout": 10000}),
            ("put", b, "p", "3", {"session": session, "seq": 10 * i + 1, "timeout": 10000}),
            ("touch", b, "p", {"ttl": 600000, "session": session, "seq": 10 * i + 2, "timeout": 10000}),
            ("call", b, "node", "ping", [], {"session": session, "seq": 10 * i + 3, "timeout": 10000}),
            ("head", b, "p", {"timeout": 10000}))]

    first = [x.wait(i, 15) for i in x.send(*frame())]
    eq([None] * len(first), [m[2] for m in first])
    c.kill("c")
    again = [x.wait(i, 20) for i in x.send(*frame())]
    for before, after, q in zip(first, again, frame()):
        eq(None, after[2])
        if q[0] != "head":  # what is left to live is less
            eq(before[3], after[3])
    for i, b in enumerate(buckets):
        eq("done", x.call("outcome", b, session, 10 * i + 1)["state"])
        eq("never", x.call("outcome", b, session, 10 * i + 9)["state"])
        eq(True, x.call("ack", b, session, 10 * i + 10))
        eq(3, x.call("count", b))
    x.close()
    c.start("c")
    c.ready()
    c.stop()


@test("cluster", "distributed", "netns")
def a_frame_that_was_long_on_the_wire_is_not_done_late(box):
    """Its node has been replaced and leads again when it comes: by then others have written behind it."""
    c = cluster(box, net=True, more={"links.dead_ms": 20000})
    if not real(c):
        return
    bucket = c.led_by("c")
    partition = c.route(bucket)["partition"]

    def set_is(*names):
        until(lambda: set(c.views()[partition][2]) == set(names), 15, "%s to be the set" % (names,))

    def leads(name):
        until(lambda: c.views()[partition][1] == name, 15, "%s to lead" % name)

    x = c.client("a")
    x.call("put", bucket, "k", "first")
    c.net.ways["a", "c"].hold = True
    early, = x.send(("put", bucket, "k", "early", {"timeout": 60000}))
    set_is("b", "c")
    c.command("c", "drain", "c")
    leads("b")
    x.call("put", bucket, "k", "late", {"timeout": 60000}, seconds=30)
    eq("timeout", x.wait(early, 30)[2][0])  # it may or may not have taken effect: not later on
    c.command("c", "drain", "c", "--off")
    c.net.cut("a", "b")
    set_is("b", "c")
    c.command("b", "drain", "b")
    leads("c")
    c.net.ways["a", "c"].hold = False
    until(lambda: "a" in c.views()[partition][2], 15, "a to be in sync: its frames have come")
    eq(b"late", c.client("b").call("get", bucket, "k")[0])
    c.command("b", "drain", "b", "--off")
    c.heal()
    c.ready()
    eq(b"late", c.client("b").call("get", bucket, "k")[0])
    c.stop()
