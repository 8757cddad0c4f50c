"""The forms that a request may have: str or bin, options once and in their range, envelopes."""
import msgpack
import zmq

from lib import eq, test

METHODS = {"hello": [], "ping": [], "create": ["b"], "drop": ["b"], "buckets": [], "put": ["b", "k", "v"], "get": ["b", "k"],
           "delete": ["b", "k"], "scan": ["b"], "count": ["b"], "route": ["b"], "status": [],
           "reload": [], "worker": ["stop", 0], "upgrade": []}


def twice(name, value):
    """A map that holds one key two times."""
    return b"\x82" + 2 * (msgpack.packb(name) + msgpack.packb(value))


def request(msgid, method, params, options=b""):
    return (b"\x94\x00" + msgpack.packb(msgid) + msgpack.packb(method) + bytes([0x90 + len(params) + bool(options)])
            + b"".join(msgpack.packb(p) for p in params) + options)


@test("protocol")
def methods_and_option_names_are_str_or_bin(box):
    c = box.node().client()
    c.call("create", "b")
    eq([[1, 1, None, "pong"]], c.raw(request(1, b"ping", [])))
    for method in ("put", b"put"):
        for ttl in ("ttl", b"ttl"):
            r = c.raw(request(2, method, ["b", "k", "v"], msgpack.packb({ttl: 100000})))
            eq([2, None], r[0][1:3])
    eq([b"k"], [i[0] for i in c.raw(request(3, b"scan", [b"b"], msgpack.packb({b"keys_only": True, b"limit": 5})))[0][3]["items"]])
    r = c.raw(request(4, b"fetch", []))[0]
    eq(("unknown_method", 'unknown method "fetch"'), tuple(r[2]))
    eq("bad_request", c.raw(request(5, 7, []))[0][2][0])


@test("protocol")
def an_option_twice_or_out_of_its_range_is_named(box):
    c = box.node().client()
    c.call("create", "b")
    for name, value in (("ttl", 1000), ("timeout", 1000), ("if_version", 0), ("if_absent", True)):
        for options in (twice(name, value), b"\x82" + msgpack.packb(name) + msgpack.packb(value) + msgpack.packb(name.encode()) + msgpack.packb(value)):
            r = c.raw(request(9, "put", ["b", "k", "v"], options))[0]
            eq([1, 9, ["bad_argument", 'put: option "%s" is given twice' % name], None], r)
    eq(None, c.call("get", "b", "k"))
    for method, params in METHODS.items():
        r = c.raw(request(3, method, params, msgpack.packb({"timeout": 0})))[0]
        eq(["bad_argument", '%s: option "timeout" must be 1 to 86400000' % method], r[2])
    eq("scan: option \"limit\" must be 1 to 10000", c.code("scan", "b", {"limit": 10001})[1])


@test("protocol")
def unknown_names_are_shown_with_escapes(box):
    c = box.node().client()
    for name, shown in ((b"ping\0", r"ping\x00"), (b"\xff" * 3, r"\xff\xff\xff"), ("t\u00e4".encode(), r"t\xc3\xa4"), (b"a\nb", r"a\x0ab")):
        u = msgpack.unpackb
        c.socket.send(request(1, name, []))
        assert c.socket.poll(5000)
        eq(["unknown_method", 'unknown method "%s"' % shown], u(c.socket.recv(), raw=False)[2])
        c.socket.send(request(1, "ping", [], msgpack.packb({name: 1})))
        assert c.socket.poll(5000)
        eq(["bad_argument", 'ping: unknown option "%s"' % shown], u(c.socket.recv(), raw=False)[2])
    code, text = c.code("x" * 100000)
    eq(("unknown_method", True), (code, len(text) < 200))
