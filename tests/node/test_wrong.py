"""Requests that are wrong in every way that can be listed, and every ZMTP there is."""
import socket

import msgpack

import lib
from lib import eq, test

B, K, V = "bucket", "key", "value"
# What each method takes: parameters, then its options.  Values that are right, for each.
PARAMS = {
    "hello": [], "ping": [], "create": [B], "drop": [B], "buckets": [], "put": [B, K, V], "get": [B, K],
    "delete": [B, K], "scan": [B], "count": [B], "route": [B], "status": [],
}
OPTIONS = {
    "put": {"if_version": 1, "if_absent": True, "ttl": 5}, "delete": {"if_version": 1},
    "scan": {"prefix": "p", "from": "a", "to": "b", "after": "c", "limit": 7, "reverse": True, "keys_only": True, "ttl": True},
    "buckets": {"prefix": "p", "after": "a", "limit": 7, "local": True}, "hello": {"client": "x"},
}
TYPES = [None, True, False, 0, 1, -1, 1 << 63, 1.5, "", "text", b"", b"bytes", [], [1], {}, {"a": 1},
         msgpack.ExtType(1, b"x"), msgpack.Timestamp(1)]
KIND = {"if_version": "uint", "ttl": "uint", "limit": "uint", "timeout": "uint", "if_absent": "bool", "reverse": "bool",
        "keys_only": "bool", "local": "bool", "prefix": "bytes", "from": "bytes", "to": "bytes", "after": "bytes",
        "client": "any"}
LEAST = {"ttl": 1, "limit": 1, "timeout": 1}
MOST = {"limit": 10000, "timeout": 86400000}


def is_bytes(v):
    return isinstance(v, (str, bytes))


def fits(method, name, v):
    """Whether an option may have that value."""
    kind = "bool" if (method, name) == ("scan", "ttl") else KIND[name]
    if kind == "uint":
        return isinstance(v, int) and not isinstance(v, bool) and LEAST.get(name, 0) <= v <= MOST.get(name, (1 << 64) - 1)
    return kind == "any" or (isinstance(v, bool) if kind == "bool" else is_bytes(v))


def wrong_parameters():
    """(method, params, the codes that are right)."""
    for method, params in PARAMS.items():
        least, most = len(params), len(params) + 1
        for n in list(range(0, least)) + [most + 1, most + 2, 20]:
            yield method, (params + [{}] + [1] * 20)[:n], {"bad_argument"}
        for i, p in enumerate(params):
            for v in TYPES:
                wrong = params[:i] + [v] + params[i + 1:]
                if not is_bytes(v) or (not v and p != V):
                    yield method, wrong, {"bad_argument"}
            if p != V:
                yield method, params[:i] + [b"x" * (256 if p == B else 481)] + params[i + 1:], {"too_large"}
        for v in TYPES:  # in the options' place
            if not isinstance(v, dict):
                yield method, params + [v], {"bad_argument"}


def wrong_options():
    for method, params in PARAMS.items():
        own = dict(OPTIONS.get(method, {}), timeout=1000)
        for name in KIND:
            for v in TYPES + [10001, 86400001, (1 << 64) - 1]:
                if name not in own or not fits(method, name, v):
                    yield method, params + [{name: v}], {"bad_argument"}
        for name in ("", "Timeout", "timeout\0", "time", b"nonsense", "x" * 300, 1, None, True, 1.5):
            yield method, params + [{name: 1}], {"bad_argument"}
        for name, v in own.items():  # a right one and a wrong one, either way round
            yield method, params + [{name: v, "nonsense": 1}], {"bad_argument"}
            yield method, params + [{"nonsense": 1, name: v}], {"bad_argument"}


def wrong_methods():
    for name in ("", "Ping", "ping ", "ping\0", "pin", "pingping", "x" * 1000, "\xff", "get\n", "txn ", "PUT"):
        yield name, [], {"unknown_method"}
        yield name, [B, K, V, {"timeout": 5}], {"unknown_method"}
    for method in ("reload", "upgrade"):
        yield method, [], {"denied"}
    yield "worker", ["restart", 0], {"denied"}


def wrong_forms():
    """Objects that are no request: (bytes, the msgid that could be read)."""
    for v in TYPES:
        if not isinstance(v, (list,)):
            yield v, None
        yield [v], None
        if v is not False and (v != 0 or isinstance(v, bool)):
            yield [v, 5, "ping", []], None
        if not isinstance(v, int) or isinstance(v, bool) or v < 0:
            yield [0, v, "ping", []], None
        if not is_bytes(v):
            yield [0, 5, v, []], 5
        if not isinstance(v, list):
            yield [0, 5, "ping", v], 5
        yield [0, 5, "ping", [], v], 5
    for n in range(4):
        yield [0, 5, "ping", []][:n], 5 if n > 1 else None
    yield [1, 5, None, "pong"], None
    yield [2, "goaway", []], None


@test()
def each_wrong_request_has_one_right_answer(box):
    """All of them in frames of many: whatever is wrong with one, those around it are served."""
    node = box.node()
    c = node.client()
    cases = [x for f in (wrong_parameters, wrong_options, wrong_methods) for x in f()]
    assert len(cases) > 2500, len(cases)
    box.random.shuffle(cases)
    for at in range(0, len(cases), 200):
        part = cases[at:at + 200]
        frame, want = b"", {}
        for method, params, codes in part:
            i, data = c.pack(method, *params)
            j, ping = c.pack("ping")
            want[i], want[j] = (method, params, codes), None
            frame += data + ping
        c.socket.send(frame)
        for i, case in want.items():
            m = c.wait(i)
            if case is None:
                eq([1, i, None, "pong"], m)
            else:
                assert m[2] and m[2][0] in case[2] and len(m[2]) in (2, 3) and m[2][1] and m[3] is None, (case, m)
    eq({}, c.replies)  # nothing was answered twice
    eq([], c.call("buckets")["items"])  # and nothing took effect
    eq("pong", c.call("ping"))


@test()
def each_thing_that_is_no_request_is_a_bad_one(box):
    c = box.node().client()
    for object, msgid in wrong_forms():
        data = msgpack.packb(object)
        # With a request before it, which is served, and one behind it, which is dropped with the rest of the frame.
        c.socket.send(msgpack.packb([0, 1, "ping", []]) + data + msgpack.packb([0, 2, "ping", []]))
        while len(c.replies) < 2:
            c.take()
        eq([1, 1, None, "pong"], c.replies.pop(1))
        eq([1, msgid, "bad_request"], [x if i < 2 else x[0] for i, x in enumerate(c.replies.pop(msgid)[:3])])
        eq({}, c.replies)
    eq("pong", c.call("ping"))


# ---- ZMTP by hand ----

PING = msgpack.packb([0, 7, "ping", []])
PONG = [1, 7, None, "pong"]


class Wire:
    def __init__(self, box, node):
        self.s = socket.create_connection(("127.0.0.1", node.port), 10 * lib.SLOW)
        box.clients.append(self)

    def close(self):
        self.s.close()

    def take(self, n):
        data = b""
        while len(data) < n:
            more = self.s.recv(n - len(data))
            assert more, "the node closed the connection"
            data += more
        return data

    def frame(self):
        """A frame of ZMTP 2 and 3: flags and data."""
        flags = self.take(1)[0]
        return flags, self.take(int.from_bytes(self.take(8), "big") if flags & 2 else self.take(1)[0])


def pong(data):
    eq(PONG, msgpack.unpackb(data))


@test()
def zmtp_1_is_spoken(box):
    """Length, flags, data; the first frame is the identity, an empty one."""
    w = Wire(box, box.node())
    w.s.sendall(b"\x01\x00")  # anonymous
    eq(b"\xff", w.take(1))  # libzmq greets as 2 and 3 do: ten bytes that begin as a long frame of ZMTP 1
    w.s.sendall(bytes([len(PING) + 1, 0]) + PING)
    rest = w.take(9)
    eq((b"\0" * 7 + b"\x01", 0x7f), (rest[:8], rest[8]))
    n, flags = w.take(2)
    eq(0, flags)
    pong(w.take(n - 1))


@test()
def zmtp_2_is_spoken(box):
    w = Wire(box, box.node())
    w.s.sendall(b"\xff" + b"\0" * 7 + b"\x01\x7f" + b"\x01" + b"\x05" + b"\x00\x00")  # revision, DEALER, identity
    w.take(10)
    revision = w.take(1)[0]
    assert revision >= 1, revision
    w.take(1)  # its type
    eq((0, b""), w.frame())  # and its identity
    for _ in range(3):
        w.s.sendall(bytes([0, len(PING)]) + PING)
        flags, data = w.frame()
        eq(0, flags)
        pong(data)


def zmtp_3(box, minor, kind=b"DEALER"):
    w = Wire(box, box.node())
    w.s.sendall(b"\xff" + b"\0" * 8 + b"\x7f\x03" + bytes([minor]) + b"NULL".ljust(20, b"\0") + b"\0" * 32)
    eq(3, w.take(64)[10])
    ready = b"\x05READY\x0bSocket-Type" + len(kind).to_bytes(4, "big") + kind + b"\x08Identity\0\0\0\0"
    w.s.sendall(bytes([4, len(ready)]) + ready)
    flags, data = w.frame()
    eq((4, True), (flags, b"ROUTER" in data))
    return w


@test()
def zmtp_3_0_is_spoken(box):
    w = zmtp_3(box, 0)
    w.s.sendall(bytes([0, len(PING)]) + PING)
    pong(w.frame()[1])
    w.s.sendall(bytes([2]) + len(PING).to_bytes(8, "big") + PING)  # a long frame that need not be one
    pong(w.frame()[1])
    w.s.sendall(b"\1\0" + bytes([1, len(PING)]) + PING + bytes([0, len(PING)]) + PING)  # as a REQ, two frames
    eq((1, b""), w.frame())
    u = msgpack.Unpacker(raw=False)
    u.feed(w.frame()[1])
    eq([PONG, PONG], list(u))


@test()
def zmtp_3_1_is_spoken(box):
    """Its own commands are PING and PONG."""
    w = zmtp_3(box, 1)
    w.s.sendall(bytes([4, 10]) + b"\x04PING\x00\x0aabc")
    eq((4, b"\x04PONGabc"), w.frame())
    w.s.sendall(bytes([0, len(PING)]) + PING)
    pong(w.frame()[1])


@test()
def zmtp_by_req_is_spoken(box):
    w = zmtp_3(box, 1, b"REQ")
    w.s.sendall(b"\1\0" + bytes([0, len(PING)]) + PING)
    eq((1, b""), w.frame())
    pong(w.frame()[1])
