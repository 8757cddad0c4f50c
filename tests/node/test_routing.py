"""Nodes that route: real ones, each with its own table."""
import json
import os
import random
import signal
import threading
import time

import msgpack
import zmq

import lib
from lib import Client, Error, eq, test, until

TUTORIAL = {"foo": {"a-m": "foo", "n-z": "bar"}, "bar": {"a-m": "foo", "n-z": "bar"}}


def both(box, **kw):
    n = box.cluster(TUTORIAL, **kw)
    for x in n.values():
        x.linked()
    return n["foo"], n["bar"]


@test("distributed")
def hello_is_on_foo_and_world_on_bar(box):
    foo, bar = both(box)
    for node, hops in (foo, (0, 1)), (bar, (1, 0)):
        c = node.client()
        eq({"node": "foo", "entry": "a-m", "hops": hops[0]}, c.call("route", "hello"))
        eq({"node": "bar", "entry": "n-z", "hops": hops[1]}, c.call("route", "world"))
        eq(("no_route", 'could not find entry for "\\x00" in table [a-m = foo, n-z = bar]'), c.code("route", b"\0"))
        eq("no_route", c.code("put", b"\xff", "k", "v")[0])
    r = box.pail(foo, "route", "hello")
    assert b"node: foo" in r.stdout and b"entry: a-m" in r.stdout and b"hops: 0" in r.stdout, r
    r = box.pail(foo, "route", "world", "-o", "json")
    eq({"node": "bar", "entry": "n-z", "hops": 1}, json.loads(r.stdout))
    r = box.pail(foo, "route", "\x01")
    eq(1, r.returncode)
    assert b"could not find entry" in r.stderr


@test("distributed")
def any_node_answers_for_any_bucket(box):
    """The same answers from either side: every method, versions, conditions, all sizes of values."""
    foo, bar = both(box)
    a, b = foo.client(), bar.client()
    for bucket in "hello", "world":
        eq(True, a.call("create", bucket))
        eq(False, b.call("create", bucket))
        eq(("no_bucket", 'no bucket "%sX"' % bucket), a.code("get", bucket + "X", "k"))
        v = a.call("put", bucket, "k", b"1", {"if_absent": True})
        eq([b"1", v], b.call("get", bucket, "k"))
        eq("conflict", b.code("put", bucket, "k", b"2", {"if_version": v + 99})[0])
        w = b.call("put", bucket, "k", b"2", {"if_version": v})
        eq([b"2", w], a.call("get", bucket, "k"))
        for size in 0, 1, 100000, (8 << 20) - 1, 8 << 20:
            value = os.urandom(16) * (size // 16) + b"x" * (size % 16)
            v = a.call("put", bucket, "big", value)
            eq([value, v], b.call("get", bucket, "big"))
            eq([value, v], a.call("get", bucket, "big"))
        eq("too_large", a.code("put", bucket, "big", b"x" * ((8 << 20) + 1))[0])
        eq("bad_argument", a.code("get", bucket, "k", {"colour": 1})[0])
        eq(True, b.call("delete", bucket, "big"))
        a.call("put", bucket, "t", b"x", {"ttl": 1})
        until(lambda: b.call("get", bucket, "t") is None, what="the key to expire")
        items = b.call("scan", bucket)["items"]
        eq([[b"k", b"2", w]], items)
        eq(items, a.call("scan", bucket)["items"])
        eq(1, a.call("count", bucket))
        eq(True, b.call("drop", bucket))
        eq(False, a.call("drop", bucket))


@test("distributed")
def req_clients_and_packed_messages_are_routed_too(box):
    foo, bar = both(box)
    c = foo.client()
    ids = c.send(("create", "alpha"), ("create", "zulu"), ("put", "zulu", "k", b"z"), ("put", "alpha", "k", b"a"),
                 ("get", "zulu", "k"), ("get", "alpha", "k"), ("get", b"\x01", "k"), ("ping",))
    eq([True, True], [c.result(i) for i in ids[:2]])
    v = [c.result(i) for i in ids[2:4]]
    eq([[b"z", v[0]], [b"a", v[1]]], [c.result(i) for i in ids[4:6]])
    eq("no_route", c.wait(ids[6])[2][0])
    eq("pong", c.result(ids[7]))
    r = bar.client(req=True)
    parts = b"".join(msgpack.packb([0, i, "get", [b, "k"]]) for i, b in enumerate(("zulu", "alpha", "none", "nope")))
    got = {m[1]: m for m in r.raw(parts)}  # one message with all four
    eq([b"z", v[0]], got[0][3])
    eq([b"a", v[1]], got[1][3])
    eq(["no_bucket", "no_bucket"], [got[2][2][0], got[3][2][0]])
    # two requests in flight with one msgid are both answered
    same = b"".join(msgpack.packb([0, 7, "get", [b, "k"]]) for b in ("zulu", "zulu"))
    got = c.raw(same)
    while len(got) < 2:
        assert c.socket.poll(5000 * lib.SLOW)
        got += [msgpack.unpackb(f) for f in c.socket.recv_multipart()]
    eq([[1, 7, None, [b"z", v[0]]]] * 2, got)


@test("distributed")
def requests_stay_in_order_per_bucket(box):
    """Thousands in flight over the link, many to a frame: each bucket sees its own in the order sent."""
    foo, bar = both(box, workers=2)
    c = foo.client()
    buckets = ["n%d" % i for i in range(6)]
    for b in buckets:
        c.call("create", b)
    sent = []
    for i in range(40):
        requests = [("put", box.random.choice(buckets), "k", str(i * 100 + k)) for k in range(100)]
        sent += list(zip(c.send(*requests), requests))
    last, seen = {}, {}
    for i, (_, b, _, value) in sent:
        v = c.result(i)
        assert v > seen.get(b, 0), "an earlier put got a later version"
        seen[b], last[b] = v, value
    for b in buckets:
        eq([last[b].encode(), seen[b]], bar.client().call("get", b, "k"))


@test("distributed")
def tables_may_differ_and_send_on(box):
    """foo knows only that n to z is bar's; bar splits it further; the hops show the way."""
    n = box.cluster({"foo": {"a-m": "foo", "n-z": "bar"}, "bar": {"n-q": "bar", "r-z": "baz"}, "baz": {"*": "baz"}})
    for x in n.values():
        x.linked()
    c = n["foo"].client()
    eq(("bar", "n-q", 1), tuple(c.call("route", "papa")[k] for k in ("node", "entry", "hops")))
    eq(("baz", "*", 2), tuple(c.call("route", "zulu")[k] for k in ("node", "entry", "hops")))
    for b in "alpha", "papa", "zulu":
        c.call("create", b)
        v = c.call("put", b, "k", b)
        eq([b.encode(), v], c.call("get", b, "k"))
    eq([b"zulu"], n["baz"].client().call("buckets", {"local": True})["items"])
    eq(("no_route", 'could not find entry for "alpha" in table [n-q = bar, r-z = baz]'),
       n["bar"].client().code("get", "alpha", "k"))
    eq([b"alpha", b"papa", b"zulu"], c.call("buckets")["items"])


@test("distributed")
def circles_and_long_ways_are_route_loop(box):
    n = box.cluster({"foo": {"a": "bar", "b": "foo"}, "bar": {"a": "foo", "b": "bar"}})
    for x in n.values():
        x.linked()
    code, text = n["foo"].client().code("put", "a", "k", "v")
    eq("route_loop", code)
    assert "foo -> bar -> foo" in text, text
    # nodes in a row: the last that 8 hops reach, and one more
    names = ["n%d" % i for i in range(10)]
    tables = {x: {"*": names[min(i + 1, 9)]} for i, x in enumerate(names)}
    row = box.cluster(tables, workers=1)
    for x in row.values():
        x.linked()
    eq(8, row["n1"].client().call("route", "x")["hops"])
    code, text = row["n0"].client().code("route", "x")
    eq("route_loop", code)
    assert text.startswith("more than 8 hops: n0 -> n1"), text


@test("distributed")
def a_node_that_is_down_is_named_and_comes_back(box):
    n = box.cluster(TUTORIAL, start=False)
    foo, bar = n["foo"], n["bar"]
    foo.start()
    c = foo.client()
    c.call("create", "alpha")
    code, text = c.code("get", "zulu", "k")  # it waits a moment for a link that is being made
    eq("node_down", code)
    assert 'node "bar" is not connected' in text, text
    eq("down", foo.peers()["bar"]["state"])
    bar.start()
    foo.linked()
    c.call("create", "zulu")
    v = c.call("put", "zulu", "k", b"1")
    for how in signal.SIGKILL, signal.SIGTERM:
        if how == signal.SIGKILL:
            bar.kill()
        else:
            eq(0, bar.stop())
        begin = time.monotonic()
        until(lambda: foo.peers()["bar"]["state"] == "down", 5)
        code, text = c.code("get", "zulu", "k")
        eq("node_down", code)
        assert time.monotonic() - begin < 2 * lib.SLOW
        eq(None, c.call("get", "alpha", "k"))  # nobody else is troubled
        r = box.pail(foo, "get", "zulu", "k")
        eq(4, r.returncode)
        assert b'node_down: node "bar" is not connected' in r.stderr, r.stderr
        bar.start()
        foo.linked()
        eq([b"1", v], c.call("get", "zulu", "k"))
    eq(2, foo.peers()["bar"]["broke"])


@test("distributed")
def a_dead_peer_delays_nobody_and_answers_come_in_time(box):
    """bar stands still: requests for it get timeout in their time, foo's own go on as if nothing were."""
    foo, bar = both(box, more={"foo": {"links.dead_ms": 60000, "links.ping_ms": 100}})
    c, other = foo.client(), foo.client()
    c.call("create", "zulu")
    other.call("create", "alpha")
    pids = [bar.process.pid] + bar.children()
    for p in pids:
        os.kill(p, signal.SIGSTOP)
    begin = time.monotonic()
    ids = [c.send(*[("put", "zulu", "k%d" % (100 * r + i), "x", {"timeout": 1000}) for i in range(100)]) for r in range(20)]
    slowest = 0
    while time.monotonic() - begin < 0.8:
        t = time.monotonic()
        other.call("put", "alpha", "k", "v")
        slowest = max(slowest, time.monotonic() - t)
    assert slowest < 0.25 * lib.SLOW, slowest
    for batch in ids:
        for i in batch:
            m = c.wait(i)
            eq("timeout", m[2][0])
            assert 'node "bar"' in m[2][1], m
    took = time.monotonic() - begin
    assert 0.99 < took < 1.0 + 0.5 * lib.SLOW, took
    # what was on the way is too late when bar goes on: it is not run
    for p in pids:
        os.kill(p, signal.SIGCONT)
    eq(0, c.call("count", "zulu", seconds=20))


@test("distributed")
def a_silent_peer_is_found_by_pings(box):
    foo, bar = both(box, more={"foo": {"links.dead_ms": 400, "links.ping_ms": 100}})
    c = foo.client()
    c.call("create", "zulu")
    pids = [bar.process.pid] + bar.children()
    for p in pids:
        os.kill(p, signal.SIGSTOP)
    i = c.send(("put", "zulu", "k", "x", {"timeout": 60000}))[0]
    m = c.wait(i, 10)
    eq("timeout", m[2][0])
    assert "broke before its reply" in m[2][1], m
    eq("down", foo.peers()["bar"]["state"])
    assert "nothing has come from it" in foo.peers()["bar"]["reason"] or "nobody" in foo.peers()["bar"]["reason"]
    eq("node_down", c.code("put", "zulu", "k", "x")[0])
    for p in pids:
        os.kill(p, signal.SIGCONT)
    foo.linked()
    c.call("put", "zulu", "k", "y")
    eq(b"y", c.call("get", "zulu", "k")[0])


@test("distributed")
def roles(box):
    """A router without a store, two storage nodes without clients, and both kinds at once."""
    n = box.cluster({"front": {"a-m": "left", "n-z": "right"}, "left": {"*": "left"}, "right": {"*": "right"}},
                    more={"front": {"node.role": "router"}, "left": {"node.role": "storage"},
                          "right": {"node.role": "storage"}})
    front, left, right = n["front"], n["left"], n["right"]
    front.linked()
    eq([], front.children())
    eq(None, left.endpoint)
    c = front.client()
    eq("router", c.call("hello")["role"])
    for b in "alpha", "zulu":
        c.call("create", b)
        v = c.call("put", b, "k", b)
        eq([b.encode(), v], c.call("get", b, "k"))
    eq([b"alpha", b"zulu"], c.call("buckets")["items"])
    eq([], c.call("buckets", {"local": True})["items"])
    eq("left", c.call("route", "alpha")["node"])
    # clients find nothing at a storage node's client port, operators its admin socket
    import socket
    s = socket.socket()
    port = int(left.at["left"][0].rsplit(":", 1)[1])
    assert s.connect_ex(("127.0.0.1", port)) != 0
    r = box.run(lib.BUILD + "/pail", "--config", left.conf, "status", "-o", "json")
    eq(("left", "storage"), tuple(json.loads(r.stdout)[k] for k in ("node", "role")))
    # and what is no message between nodes does not harm the node port
    d = Client(left.peer)
    box.clients.append(d)
    d.socket.send(msgpack.packb([0, 1, "put", ["alpha", "k", "evil"]]))
    d.socket.send(b"\xc1\xc1\xc1")
    d.socket.send_multipart([b"", b""])
    eq([b"alpha"], [c.call("get", "alpha", "k")[0]])
    left.kill()
    until(lambda: front.peers()["left"]["state"] == "down")
    eq("node_down", c.code("get", "alpha", "k")[0])
    eq(b"zulu", c.call("get", "zulu", "k")[0])
    left.start()
    front.linked()
    eq(b"alpha", c.call("get", "alpha", "k")[0])
    for x in front, left, right:
        eq(0, x.stop())


@test("distributed")
def buckets_are_those_that_can_be_reached(box):
    n = box.cluster({"foo": {"a-m": "foo", "n-s": "bar", "t-z": "baz"}, "bar": {"*": "bar"}, "baz": {"a-y": "baz", "z": "bar"}},
                    workers=2)
    for x in n.values():
        x.linked()
    c = n["foo"].client()
    rng = box.random
    names = sorted({bytes([rng.choice(b"abcmnopstuz")]) + bytes([rng.choice(b"abc\xff")] * rng.randrange(4)) for _ in range(400)})
    for name in names:
        c.call("create", name)
    # leftovers that foo's table does not lead to: bar's own a, baz's own n
    n["bar"].client().call("create", "a-left")
    n["baz"].client().call("create", "n-left")

    def pages(client, **options):
        out, more = [], True
        while more:
            r = client.call("buckets", dict(options, limit=7, **({"after": out[-1]} if out else {})))
            out += r["items"]
            more = r["more"]
            assert len(r["items"]) == 7 or not more
        return out
    eq(names, pages(c))
    eq([x for x in names if x.startswith(b"n")], pages(c, prefix="n"))
    eq([x for x in names if x[:1] <= b"m"], pages(c, local=True))
    eq([x for x in names if x.startswith(b"z")], [x for x in pages(n["baz"].client()) if x.startswith(b"z")])
    eq([], c.call("buckets", {"prefix": b"x" * 300})["items"])
    eq("bad_argument", c.code("buckets", {"set": b"\0" * 32})[0])
    n["baz"].kill()
    until(lambda: n["foo"].peers()["baz"]["state"] == "down")
    code, text = c.code("buckets")
    eq("node_down", code)
    assert '"baz"' in text, text
    eq([x for x in names if x.startswith(b"n")], pages(c, prefix="n"))  # baz need not be asked for those
    eq([x for x in names if x[:1] <= b"m"], pages(c, local=True))


# ---- a peer of our own, to see what a node does with a strange one ----

class Peer:
    """Speaks what docs/protocol.md says nodes speak, at the endpoint where a node looks for its peer."""

    def __init__(self, box, endpoint, name="bar", frame_max=32 << 20, rcvhwm=1000):
        self.name, self.frame_max = name, frame_max
        self.socket = zmq.Context.instance().socket(zmq.ROUTER)
        self.socket.linger, self.socket.rcvhwm = 0, rcvhwm
        self.socket.bind(endpoint)
        box.clients.append(self)
        self.batches, self.hellos, self.pings = [], [], 0

    def close(self):
        self.socket.close()

    def send(self, to, *message):
        self.socket.send_multipart([to, msgpack.packb(list(message))])

    def serve(self, until_what, seconds=5, quiet=False):
        """Greet and pong until a condition holds."""
        end = time.monotonic() + seconds * lib.SLOW
        while not until_what():
            assert time.monotonic() < end, ("waited in vain", self.hellos, self.batches, self.pings)
            if not self.socket.poll(20):
                continue
            to, frame = self.socket.recv_multipart()
            u = msgpack.Unpacker(raw=False, strict_map_key=False)
            u.feed(frame)
            for m in u:
                if m[0] == 0:
                    self.hellos.append((to, m))
                    if not quiet:
                        self.send(to, 1, 2, self.name, "x", self.frame_max, {})
                elif m[0] == 3:
                    self.pings += 1
                    self.send(to, 4)
                elif m[0] == 5:
                    self.batches.append((to, m))


def with_peer(box, **kw):
    n = box.cluster({"foo": {"a-m": "foo", "n-z": "bar"}, "bar": {"*": "bar"}}, start=False,
                    more={"foo": {"links.ping_ms": 100, "links.dead_ms": kw.pop("dead", 1000), "links.hold_ms": kw.pop("hold", 0)}})
    foo = n["foo"]
    p = Peer(box, foo.at["bar"][1], **kw)
    foo.start()
    return foo, p


def answer(m, index=None, code=None):
    """Replies to a batch's requests, or those of index."""
    u = msgpack.Unpacker(raw=False)
    u.feed(m[5])
    ids = [r[1] for r in u]
    index = range(len(ids)) if index is None else index
    replies = b"".join(msgpack.packb([1, ids[i], code and [code, "so it is"], None if code else "r%d" % i]) for i in index)
    return [6, m[1], b"".join(bytes([i >> 8, i & 255]) for i in index), replies]


@test("distributed")
def a_forwarded_request_carries_bytes_way_and_time(box):
    foo, p = with_peer(box)
    c = foo.client()
    p.serve(lambda: foo_up(foo))
    to, h = p.hellos[0]
    eq([0, 2, 2, "foo", ["functions"]], [h[0], h[2], h[3], h[4], list(h[8])])
    bytes_ = msgpack.packb([0, 12345, "put", ["zulu", "k", b"v", {"timeout": 700}]], use_bin_type=True)
    c.socket.send(bytes_ + bytes_)
    p.serve(lambda: p.batches)
    _, m = p.batches[0]
    eq([5, ["foo"], [700, 700], bytes_ * 2], [m[0], m[3], m[4], m[5]])
    p.send(to, *answer(m, [1]))
    eq([1, 12345, None, "r1"], c.wait(12345))
    p.send(to, *answer(m, [0]))
    eq([1, 12345, None, "r0"], c.wait(12345))
    p.send(to, *answer(m, [0]))  # once more: nobody waits for it
    eq("pong", c.call("ping"))
    assert not c.replies


def foo_up(foo):
    """Asked by a thread of its own, as the peer must go on answering."""
    if not hasattr(foo, "asker"):
        foo.asker = {"up": False}

        def ask():
            foo.linked()
            foo.asker["up"] = True
        threading.Thread(target=ask, daemon=True).start()
    return foo.asker["up"]


@test("distributed")
def what_breaks_a_link_loses_nothing_silently(box):
    """A peer that sends what makes no sense, or goes: each request is answered, none is sent again."""
    foo, p = with_peer(box)
    c = foo.client()
    p.serve(lambda: foo_up(foo))
    for evil in ([6, "x", b"", b""], [9], lambda m: [6, m[1], b"\0\x05", b"\xc0"], lambda m: [6, m[1], b"\0\0\0\0", b"\xc0\xc0"],
                 lambda m: [6, m[1], b"\0\0", b"\xc1"], lambda m: [6, m[1], b"\0\0", b"\xc0\xc0"]):
        hellos = len(p.hellos)
        i = c.send(("put", "zulu", "k", "v"), ("get", "zulu", "k"))
        p.serve(lambda: p.batches)
        to, m = p.batches.pop()
        p.send(to, *(evil(m) if callable(evil) else evil))
        for k in i:
            got = c.wait(k)
            eq("timeout", got[2][0])
        p.serve(lambda: len(p.hellos) > hellos)
        epochs = [h[7] for _, h in p.hellos]
        eq(sorted(set(epochs)), epochs)  # each link has a higher one
        eq("foo", c.call("route", "alpha")["node"])
        p.serve(lambda: up(foo, p))
        assert not p.batches, "sent again"


def up(foo, p):
    r = {}
    t = threading.Thread(target=lambda: r.update(s=foo.peers()["bar"]))
    t.start()
    while t.is_alive():
        if p.socket.poll(5):
            p.serve(lambda: True)
            to, frame = p.socket.recv_multipart()
            m = msgpack.unpackb(frame, raw=False, strict_map_key=False)
            if m[0] == 0:
                p.hellos.append((to, m))
                p.send(to, 1, 2, p.name, "x", p.frame_max, {})
            elif m[0] == 3:
                p.send(to, 4)
            elif m[0] == 5:
                p.batches.append((to, m))
    p.reason = r["s"]["reason"]
    return r["s"]["state"] == "up"


@test("distributed")
def a_peer_of_another_name_or_version_is_not_linked(box):
    foo, p = with_peer(box, name="quux")
    p.serve(lambda: len(p.hellos) >= 2 and not up(foo, p) and 'named "quux"' in p.reason)
    eq("node_down", foo.client().code("get", "zulu", "k")[0])


@test("distributed")
def a_goaway_of_a_node_is_obeyed(box):
    foo, p = with_peer(box)
    c = foo.client()
    p.serve(lambda: up(foo, p))
    i = c.send(("get", "zulu", "k"))[0]
    p.serve(lambda: p.batches)
    to, m = p.batches.pop()
    p.send(to, 2, "it is mended", 5000)
    until(lambda: not up(foo, p))
    # what comes now waits for the node to be back, as it said that it would be
    later = c.send(("get", "zulu", "later"))[0]
    eq("pong", c.call("ping"))
    p.send(to, *answer(m))
    eq("r0", c.result(i))
    hellos = len(p.hellos)
    p.serve(lambda: len(p.hellos) > hellos and p.batches)
    to, m = p.batches.pop()
    p.send(to, *answer(m))
    eq("r0", c.result(later))
    # and without such a promise it is refused
    p.send(to, 2, "it stops", 0)
    until(lambda: not up(foo, p), 5)


@test("distributed")
def too_much_for_a_peer_is_refused(box):
    foo, p = with_peer(box, frame_max=100000, rcvhwm=2, dead=60000)
    c = foo.client()
    p.serve(lambda: up(foo, p))
    code, text = c.code("put", "zulu", "k", b"x" * 100000)
    eq("too_large", code)
    assert '"bar" takes 100000 bytes' in text, text
    # it takes nothing in for a while: the queue is bounded, what does not fit is busy at once
    big = b"x" * 90000
    ids = []
    begin = time.monotonic()
    codes = {}
    for r in range(40):
        ids += c.send(*[("put", "zulu", "k", big, {"timeout": 2000}) for _ in range(20)])
    for i in ids:
        code = c.wait(i)[2][0]
        codes[code] = codes.get(code, 0) + 1
        if len(codes) == 1 and "busy" in codes:
            assert time.monotonic() - begin < 2 * lib.SLOW
    assert codes.get("busy") and codes.get("timeout"), codes
    eq(len(ids), sum(codes.values()))


# ---- a node of our own that asks ----

class Asker:
    def __init__(self, box, node, name="quux", epoch=1, started=None, options=None, hello=True):
        self.name, self.next = name, 0
        self.clock = int(time.monotonic() * 1000) + 77777
        self.begin = time.monotonic()
        self.socket = zmq.Context.instance().socket(zmq.DEALER)
        self.socket.linger = 0
        for option, value in (options or {}).items():
            self.socket.setsockopt(option, value)
        self.socket.connect(node.peer)
        box.clients.append(self)
        if hello:
            self.hello(name, epoch, started)

    def hello(self, name, epoch=1, started=None):
        self.name = name
        self.send(0, self.now(), 2, 2, name, "x", started or int(time.time() * 1000), epoch, {})

    def close(self):
        self.socket.close()

    def now(self):
        return self.clock + int((time.monotonic() - self.begin) * 1000)

    def send(self, *message):
        self.socket.send(msgpack.packb(list(message)))

    def take(self, seconds=5):
        """Messages until there is one; pongs and welcomes too."""
        assert self.socket.poll(int(seconds * 1000 * lib.SLOW)), "no answer"
        u = msgpack.Unpacker(raw=False)
        for f in self.socket.recv_multipart():
            u.feed(f)
        return list(u)

    def ask(self, *requests, visited=None, left=5000, stamp=None):
        self.next += 1
        data = b"".join(msgpack.packb([0, i, *r]) for i, r in enumerate(requests))
        self.send(5, self.next, self.now() if stamp is None else stamp, visited or [self.name], [left] * len(requests), data)
        got = {}
        while len(got) < len(requests):
            for m in self.take():
                if m[0] == 2:
                    return m
                if m[0] == 6 and m[1] == self.next:
                    u = msgpack.Unpacker(raw=False)
                    u.feed(m[3])
                    for k, r in enumerate(u):
                        got[m[2][2 * k] << 8 | m[2][2 * k + 1]] = r
        return [got[i] for i in range(len(requests))]


@test("distributed")
def batches_are_served_in_time_or_not_at_all(box):
    n = box.node("--set", "node.peer=tcp://127.0.0.1:0", "--set", "peers.quux=-")
    a = Asker(box, n)
    eq(1, a.take()[0][0])
    r = a.ask(["create", ["b"]], ["put", ["b", "k", "v"]], ["get", ["b", "k"]], ["fetch", []], ["get", ["b"]], ["ping", []])
    eq([True, 2, [b"v", 2]], [x[3] for x in r[:3]])
    eq(["unknown_method", "bad_argument"], [x[2][0] for x in r[3:5]])
    eq("pong", r[5][3])
    # written a second ago, with less than that left: it is not run
    eq("expired", a.ask(["put", ["b", "k", "late"]], left=900, stamp=a.now() - 1000)[0][2][0])
    eq(b"v", a.ask(["get", ["b", "k"]], left=1500, stamp=a.now() - 1000)[0][3][0])
    eq("expired", a.ask(["put", ["b", "k", "late"]], left=0)[0][2][0])
    # a newer link of the same node: what still comes on the old one is dropped
    b = Asker(box, n, epoch=2, started=int(time.time() * 1000) + 5)
    eq(1, b.take()[0][0])
    eq(2, a.take()[0][0])
    eq(2, a.ask(["put", ["b", "k", "stale"]])[0])
    eq(b"v", b.ask(["get", ["b", "k"]])[0][3][0])
    # an older one that was delayed does not take its place
    old = Asker(box, n, epoch=1, started=1)
    eq([2, "a newer link of that name is there"], old.take()[0][:2])
    eq(b"v", b.ask(["get", ["b", "k"]])[0][3][0])
    # without a hello, of the node's own name, with a loop, over the hops
    eq([2, "two nodes have the same name"], Asker(box, n, name="pail").take()[0][:2])
    eq(0, b.ask(["route", ["b"]], visited=["x"])[0][3]["hops"] - 1)
    c = n.client()
    eq("pong", c.call("ping"))


@test("distributed")
def nonsense_from_a_node_is_turned_away(box):
    n = box.node("--set", "node.peer=tcp://127.0.0.1:0", "--set", "peers.x=-")
    c = n.client()
    c.call("create", "b")
    rng = box.random
    good = msgpack.packb([5, 1, 1, ["x"], [1000], msgpack.packb([0, 1, "put", ["b", "k", "evil"]])])
    for i in range(300):
        if i % 30 == 0:
            a = Asker(box, n, name="x", epoch=i + 1)
            a.take()
        data = bytearray(good)
        for _ in range(rng.randrange(1, 4)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        a.socket.send(bytes(data[:rng.randrange(1, len(data) + 1)]))
    for k, bad in enumerate(([5, 1, 1, ["x"], [1000, 1000], msgpack.packb([0, 1, "ping", []])], [5, 1, 1, ["x"], [1000], b"\xc1"],
                [6, 1, b"\0\0", b"\xc0"], [1, 2, "x", "y", 5, {}])):
        a = Asker(box, n, name="x", epoch=1000 + k)
        a.take()
        a.send(*bad)
        eq(2, a.take()[0][0])
    eq("pong", c.call("ping"))
    n.up()
    eq(0, n.stop())


@test("distributed")
def only_named_nodes_may_ask(box):
    """Strangers are turned away, and that is said once a minute with a count; one that only asks is let in."""
    n = box.cluster({"foo": {"*": "foo"}, "bar": {"*": "bar"}}, peers={"foo": ["bar"], "bar": ["foo"]}, start=False)
    foo = n["foo"]
    foo.configure()
    with open(foo.conf, "a") as f:
        f.write("[peers]\nfront = -\n")
    foo.start()
    for k in range(300):
        a = Asker(box, foo, name="stranger%d" % (k % 7), epoch=k + 1)
        if k % 50 == 0:
            eq([2, "this node does not have that one in its [peers]"], a.take()[0][:2])
            eq(2, a.ask(["create", ["b"]])[0])
    out = foo.output()
    eq(1, out.count("which is not in [peers]"))
    assert 'turned away node "stranger' in out, out
    for k in range(20):
        Asker(box, foo, name="\x1b[31mbad\n%d" % k)
    eq(1, foo.output().count("[peers]"))
    eq([], foo.client().call("buckets", {"local": True})["items"])
    front = Asker(box, foo, name="front")
    eq(1, front.take()[0][0])
    eq(True, front.ask(["create", ["b"]])[0][3])
    state = {p["name"]: p for p in foo.status()["peers"]}["front"]
    eq(("-", "up"), (state["endpoint"], state["state"]))
    # no way leads there
    with open(foo.conf) as f:
        text = f.read()
    with open(foo.conf, "w") as f:
        f.write(text + "[routes]\nx = front\n")
    r = box.run(lib.BUILD + "/pail", "--config", foo.conf, "reload")
    eq(78, r.returncode)
    assert b"route to a peer that only asks" in r.stderr, r.stderr
    # who is taken out of the table is turned away at once
    with open(foo.conf, "w") as f:
        f.write(text.replace("front = -\n", ""))
    eq(0, box.run(lib.BUILD + "/pail", "--config", foo.conf, "reload").returncode)
    eq([2, "this node does not have that one in its [peers]"], front.take()[0][:2])
    eq(2, front.ask(["get", ["b", "k"]])[0])


@test("distributed")
def a_stranger_cannot_shut_a_node_out(box):
    """Whoever says hello by a name that is not in [peers], with whatever epoch, changes nothing for those that are."""
    n = box.cluster({"foo": {"*": "foo"}, "bar": {"*": "foo"}}, start=False)
    n["foo"].askers = False  # foo knows nobody, bar asks it
    n["foo"].configure()
    n["foo"].start()
    a = Asker(box, n["foo"], name="bar", epoch=2 ** 63, started=2 ** 63)
    eq(2, a.take()[0][0])
    n["foo"].askers = True
    n["foo"].configure()
    eq(0, box.run(lib.BUILD + "/pail", "--config", n["foo"].conf, "reload").returncode)
    n["bar"].start()
    n["bar"].linked()
    eq("foo", n["bar"].client().call("route", "b")["node"])


@test("distributed")
def replies_to_what_was_never_sent_break_the_link(box):
    """A reply to a batch that still waits here is a lie: else the client would be told of what is yet to come."""
    foo, p = with_peer(box, hold=60000)
    c = foo.client()
    p.serve(lambda: p.hellos, quiet=True)
    i = c.send(("put", "zulu", "k", "v", {"timeout": 20000}))[0]
    until(lambda: foo.peers()["bar"]["in_flight"] == 1)
    to = p.hellos[0][0]
    for n in range(1, 4):  # ids are the count of batches, and where they lie
        p.send(to, 6, n << 16, b"\0\0", msgpack.packb([1, i, None, 666]))
    hellos = len(p.hellos)
    p.serve(lambda: len(p.hellos) > hellos and p.batches, seconds=10)
    to, m = p.batches[0]
    p.send(to, 6, m[1], b"\0\0", msgpack.packb([1, i, None, 3]))
    eq(3, c.result(i))
