"""Every method, limit and error of docs/protocol.md."""
import re
import time

import msgpack
import zmq

from lib import Error, eq, test, until

BIG = 8 << 20


@test()
def methods(box):
    c = box.node().client()
    h = c.call("hello", {"client": "test"})
    eq(("pail", 1, "pail", "all"), (h["server"], h["protocol"], h["node"], h["role"]))
    eq(8 << 20, h["limits"]["value"])
    eq("pong", c.call("ping"))
    eq(True, c.call("create", "fruit"))
    eq(False, c.call("create", "fruit"))
    v = c.call("put", "fruit", "apple", "red")
    eq([b"red", v], c.call("get", "fruit", "apple"))
    eq(None, c.call("get", "fruit", "pear"))
    w = c.call("put", "fruit", b"apple", b"green")
    assert w > v
    eq([b"green", w], c.call("get", b"fruit", "apple"))
    eq(1, c.call("count", "fruit"))
    eq(True, c.call("delete", "fruit", "apple"))
    eq(False, c.call("delete", "fruit", "apple"))
    eq(0, c.call("count", "fruit"))
    eq({"node": "pail", "entry": "*", "hops": 0}, c.call("route", "anything"))
    eq(True, c.call("drop", "fruit"))
    eq(False, c.call("drop", "fruit"))
    for m in (("put", "fruit", "k", "v"), ("get", "fruit", "k"), ("delete", "fruit", "k"),
              ("scan", "fruit"), ("count", "fruit")):
        eq(("no_bucket", 'no bucket "fruit"'), c.code(*m))


@test()
def versions_and_conditions(box):
    c = box.node().client()
    c.call("create", "b")
    eq("conflict", c.code("put", "b", "k", "v", {"if_version": 7})[0])
    v = c.call("put", "b", "k", "v", {"if_absent": True})
    code, text = c.code("put", "b", "k", "v", {"if_absent": True})
    eq(("conflict", True), (code, str(v) in text))
    eq(v, c.error("put", "b", "k", "v", {"if_absent": True}).data)
    eq(0, c.error("delete", "b", "none", {"if_version": 3}).data)
    eq("conflict", c.code("put", "b", "k", "v", {"if_version": 0})[0])
    eq("conflict", c.code("put", "b", "k", "v", {"if_version": v + 1})[0])
    w = c.call("put", "b", "k", "w", {"if_version": v})
    assert w > v
    eq("conflict", c.code("delete", "b", "k", {"if_version": v})[0])
    eq(True, c.call("delete", "b", "k", {"if_version": w}))
    x = c.call("put", "b", "k", "v", {"if_version": 0})
    assert x > w
    eq("0" in c.code("delete", "b", "none", {"if_version": 3})[1], True)
    code, text = c.code("put", "b", "k", "v", {"if_version": 1, "if_absent": True})
    eq("bad_argument", code)
    # A dropped bucket's versions are never used again.
    c.call("drop", "b")
    c.call("create", "b")
    assert c.call("put", "b", "k", "v") > x


@test()
def ttl(box):
    c = box.node().client()
    c.call("create", "b")
    c.call("put", "b", "k", "v", {"ttl": 400})
    c.call("put", "b", "stays", "v", {"ttl": 400})
    c.call("put", "b", "stays", "w")
    eq(2, c.call("count", "b"))
    until(lambda: c.call("get", "b", "k") is None, 5, "the key to expire")
    eq(1, c.call("count", "b"))
    eq([[b"stays", b"w"]], [i[:2] for i in c.call("scan", "b")["items"]])
    eq(False, c.call("delete", "b", "k"))
    c.call("put", "b", "k", "again", {"if_absent": True})
    eq("bad_argument", c.code("put", "b", "k", "v", {"ttl": 0})[0])


@test()
def scans(box):
    c = box.node().client()
    c.call("create", "b")
    keys = sorted({b"%d" % box.random.randrange(10000) for _ in range(500)} | {b"a", b"a\0", b"b", b"\xff", b"\xff\xff"})
    shuffled = keys[:]
    box.random.shuffle(shuffled)
    for i in c.send(*(("put", "b", k, b"v" + k) for k in shuffled)):
        c.result(i)

    def scan(**o):
        r = c.call("scan", "b", o)
        return [i[0] for i in r["items"]], r["more"]

    eq((keys[:100], True), scan())
    eq((keys, False), scan(limit=10000))
    eq((keys[::-1], False), scan(limit=10000, reverse=True))
    eq(([k for k in keys if k.startswith(b"12")], False), scan(prefix="12", limit=10000))
    eq(([k for k in keys if k.startswith(b"12")][::-1], False), scan(prefix="12", limit=10000, reverse=True))
    eq(([k for k in keys if b"3" <= k < b"5"], False), scan(**{"from": "3", "to": "5", "limit": 10000}))
    eq(([k for k in keys if b"3" <= k < b"5"][::-1], False), scan(**{"from": "3", "to": "5", "limit": 10000, "reverse": True}))
    eq(([b"\xff\xff"], False), scan(prefix=b"\xff\xff", reverse=True))
    eq(([], False), scan(**{"from": "5", "to": "3"}))
    got, after, more = [], None, True
    while more:
        page, more = scan(limit=7, **({"after": after} if after is not None else {}))
        got += page
        after = page[-1] if page else None
    eq(keys, got)
    got, after, more = [], None, True
    while more:
        page, more = scan(limit=7, reverse=True, **({"after": after} if after is not None else {}))
        got += page
        after = page[-1] if page else None
    eq(keys[::-1], got)
    r = c.call("scan", "b", {"keys_only": True, "limit": 1})
    eq([keys[0], None], r["items"][0][:2])
    for o in ({"limit": 0}, {"limit": 10001}, {"limit": "x"}, {"reverse": 1}, {"from": 5}, {"nonsense": 1}):
        code, text = c.code("scan", "b", o)
        eq(("bad_argument", True), (code, '"%s"' % list(o)[0] in text))


@test()
def scans_stop_at_a_megabyte_but_give_one_item(box):
    c = box.node().client()
    c.call("create", "b")
    for i in range(5):
        c.call("put", "b", "k%d" % i, b"x" * 400000)
    r = c.call("scan", "b")
    eq((2, True), (len(r["items"]), r["more"]))
    c.call("put", "b", "a", b"y" * BIG)
    r = c.call("scan", "b", {"limit": 5})
    eq((1, True, BIG), (len(r["items"]), r["more"], len(r["items"][0][1])))


@test()
def buckets_of_all_workers_in_order(box):
    c = box.node("--set", "node.workers=3").client()
    names = sorted(b"bucket %d" % i for i in range(250)) + [b"z", b"\xff"]
    for i in c.send(*(("create", n) for n in names)):
        eq(True, c.result(i))
    eq({"items": names, "more": False}, c.call("buckets", {"limit": 1000}))
    eq({"items": names[:100], "more": True}, c.call("buckets"))
    eq([b"z"], c.call("buckets", {"prefix": "z", "local": True})["items"])
    got, more, o = [], True, {"limit": 33}
    while more:
        r = c.call("buckets", o)
        got, more = got + r["items"], r["more"]
        o["after"] = got[-1]
    eq(names, got)
    eq({"items": [], "more": False}, c.call("buckets", {"prefix": "none"}))


@test()
def limits_at_n_minus_1_n_and_n_plus_1(box):
    c = box.node().client()
    for n, want in ((1, None), (254, None), (255, None), (256, "too_large")):
        if want:
            eq(want, c.code("create", b"b" * n)[0])
        else:
            eq(True, c.call("create", b"b" * n))
    eq("bad_argument", c.code("create", "")[0])
    c.call("create", "k")
    for n in (1, 479, 480):
        c.call("put", "k", b"k" * n, "v")
        eq(b"v", c.call("get", "k", b"k" * n)[0])
    for m in (("put", "k", b"k" * 481, "v"), ("get", "k", b"k" * 481), ("delete", "k", b"k" * 481)):
        eq("too_large", c.code(*m)[0])
    for m in (("put", "k", "", "v"), ("get", "k", ""), ("delete", "k", "")):
        eq("bad_argument", c.code(*m)[0])
    for n in (0, BIG - 1, BIG):
        c.call("put", "k", "v", b"v" * n)
        eq(n, len(c.call("get", "k", "v")[0]))
    eq("too_large", c.code("put", "k", "v", b"v" * (BIG + 1))[0])
    eq(BIG, len(c.call("get", "k", "v")[0]))


@test()
def messages_over_a_limit_run_nothing(box):
    n = box.node()
    c = n.client()
    c.call("create", "b")
    for count in (4095, 4096):
        ids = c.send(*(("put", "b", "k", "v") for _ in range(count)))
        for i in ids:
            c.result(i)
    before = c.call("get", "b", "k")
    r = c.raw(b"".join(msgpack.packb([0, i, "put", ["b", "k", "changed"]]) for i in range(4097)))
    eq([[1, None]], [m[:2] for m in r])
    eq("too_large", r[0][2][0])
    eq(before, c.call("get", "b", "k"))
    # Two frames that are too much only together.
    half = msgpack.packb([0, 1, "put", ["b", "k", b"x" * (BIG - 100)]])
    r = c.raw(half, half[:-1] + b"y" + b"\xc0" * 400)
    eq("too_large", r[0][2][0])
    eq(before, c.call("get", "b", "k"))
    # One frame above the limit closes its connection, and only that one.
    d = n.client()
    eq("pong", d.call("ping"))
    d.socket.send(b"\x94" * ((16 << 20) + 1))
    time.sleep(0.2)
    eq("pong", c.call("ping"))


@test()
def bad_requests_harm_nobody(box):
    n = box.node()
    c = n.client()
    good = msgpack.packb([0, 5, "ping", []])
    for bad, msgid in ((b"\xc1", None), (b"\x93\x00\x07\xa4ping", 7), (b"\x00", None),
                       (msgpack.packb([0, -1, "ping", []]), None), (msgpack.packb([0, "x", "ping", []]), None),
                       (msgpack.packb([0, 9, 9, []]), 9), (msgpack.packb([0, 9, "ping", {}]), 9),
                       (msgpack.packb([1, 9, "ping", []]), None), (b"\x94\x00\x09\xa4ping\xdd\xff\xff\xff\xff", None)):
        r = c.raw(good + bad + good)
        # The first is served, the bad one named, the rest of the frame dropped.
        eq(sorted([repr([1, 5, None, "pong"]), "bad"]),
           sorted(repr(m) if m[2] is None else "bad" for m in r))
        m = next(m for m in r if m[2])
        eq([1, msgid, "bad_request"], [m[0], m[1], m[2][0]])
    r = c.raw(b"\xc1", good)  # the next frame is served
    eq({"bad_request", None}, {m[2] and m[2][0] for m in r})
    valid = msgpack.packb([0, 3, "put", ["b", "key", b"value", {"ttl": 1000}]])
    for i in range(1, len(valid)):
        r = c.raw(valid[:i])
        eq([1, "bad_request"], [r[0][0], r[0][2][0]])
    for args, code in ((("nosuch",), "unknown_method"), (("get", "b"), "bad_argument"), (("get", "b", "k", {}, 1), "bad_argument"),
                       (("ping", 1), "bad_argument"), (("get", 5, "k"), "bad_argument"), (("get", "b", 5), "bad_argument"),
                       (("put", "b", "k", 5), "bad_argument"), (("get", "b", "k", {"ttl": 1}), "bad_argument"),
                       (("get", "b", "k", 5), "bad_argument"), (("put", "b", "k", "v", {5: 1}), "bad_argument")):
        eq(code, c.code(*args)[0])


@test()
def envelopes_are_mirrored(box):
    n = box.node()
    r = n.client(req=True)
    r.call("create", "b")
    # All requests of a REQ are answered in one message, whoever answers them.
    ids = r.send(("put", "b", "k", "v"), ("ping",), ("get", "b", "k"), ("nosuch",), ("get", "none", "k"))
    r.take()
    eq(set(ids), set(r.replies))
    eq(b"v", r.replies[ids[2]][3][0])
    d = n.client()
    d.socket.send_multipart([b"", msgpack.packb([0, 1, "ping", []]), msgpack.packb([0, 2, "get", ["b", "k"]])])
    assert d.socket.poll(5000)
    parts = d.socket.recv_multipart()
    eq((2, b""), (len(parts), parts[0]))
    d.socket.send_multipart([b"", b""])
    assert d.socket.poll(5000)
    parts = d.socket.recv_multipart()
    eq(b"", parts[0])
    eq("bad_request", msgpack.unpackb(parts[1])[2][0])
    eq("bad_request", d.raw(b"")[0][2][0])


@test()
def requests_in_flight_with_one_msgid_are_both_answered(box):
    c = box.node().client()
    c.socket.send(msgpack.packb([0, 4, "ping", []]) * 2)
    got = 0
    while got < 2:
        assert c.socket.poll(5000)
        u = msgpack.Unpacker()
        u.feed(c.socket.recv())
        got += len(list(u))
    eq(2, got)


@test()
def order_and_large_msgids(box):
    c = box.node().client()
    c.call("create", "b")
    ids = c.send(*(("put", "b", "k", "%d" % i) for i in range(1000)), ("get", "b", "k"))
    eq(b"999", c.result(ids[-1])[0])
    versions = [c.result(i) for i in ids[:-1]]
    eq(sorted(versions), versions)
    r = c.raw(msgpack.packb([0, 2 ** 64 - 1, "ping", []]))
    eq([1, 2 ** 64 - 1, None, "pong"], r[0])


@test()
def routes_and_status(box):
    n = box.node("--set", "node.peer=tcp://127.0.0.1:0", "--set", "peers.bar=tcp://127.0.0.1:9", "--set", "routes.a-m=pail", "--set", "routes.n-z=bar",
                 "--set", "routes.0x00-0x10=pail")
    c = n.client()
    eq({"node": "pail", "entry": "a-m", "hops": 0}, c.call("route", "hello"))
    eq("node_down", c.code("create", "world")[0])
    code, text = c.code("get", b"\xff", "k")
    eq(("no_route", 'could not find entry for "\\xff" in table [a-m = pail, n-z = bar, 0x00-0x10 = pail]'), (code, text))
    s = c.call("status")
    eq([{"entry": "a-m", "node": "pail"}, {"entry": "n-z", "node": "bar"}, {"entry": "0x00-0x10", "node": "pail"}], s["routes"])
    eq(["bar"], [p["name"] for p in s["peers"]])
    for k in ("node", "role", "version", "pid", "started", "uptime_ms", "protocol", "totals", "storage"):
        assert k in s, k
    for k in ("id", "pid", "state", "restarts", "uptime_ms", "requests", "buckets", "keys", "queue"):
        assert k in s["workers"][0], k


@test()
def the_documented_vectors_hold(box):
    """docs/protocol.md has byte-for-byte exchanges: each is sent and its reply compared."""
    text = open("docs/protocol.md").read()
    blocks = re.findall(r"```vector\n(.*?)```", text, re.S)
    assert len(blocks) >= 12, len(blocks)
    c = box.node("--set", "node.workers=1").client()
    session, place = None, " ".join("s%x" % i for i in range(16))  # an id is another one each time
    for b in blocks:
        sent, want = (" ".join(re.findall(r"^%s (.*)$" % mark, b, re.M)) for mark in "><")
        c.socket.send(bytes.fromhex(sent.replace(place, session or place)))
        assert c.socket.poll(5000), b
        got = c.socket.recv().hex(" ")
        if place in want and not session:
            session = got.split(" ", want.split(" ").index("s0"))[-1]
        eq(want.replace(place, session or place), got)
    assert session and len(session) == 47, session
