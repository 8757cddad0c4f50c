"""The forms that a request may have: str or bin, options once and in their range, envelopes."""
import msgpack
import zmq

from lib import eq, test

METHODS = {"hello": [], "ping": [], "create": ["b"], "drop": ["b"], "buckets": [], "put": ["b", "k", "v"], "get": ["b", "k"],
           "head": ["b", "k"], "touch": ["b", "k"], "delete": ["b", "k"], "scan": ["b"], "count": ["b"], "route": ["b"], "status": [],
           "reload": [], "worker": ["stop", 0], "upgrade": [], "functions": [], "cluster_create": [["a"], 1, 0, ""], "cluster_status": [],
           "cluster_drain": ["a", True], "metrics": [], "events": [0, 1], "txn": ["b"],
           "call": ["b", "node", "ping", []], "session": [], "outcome": ["b", b"s" * 16, 0], "ack": ["b", b"s" * 16, 0]}

ONCE = ["session", "seq", "ack"]
RANGE = ["prefix", "after", "limit"]
# Which options a client's method takes besides timeout, a value of each, and such as are of the wrong type or range.
OPTIONS = {"hello": ["client"], "create": ONCE, "drop": ONCE, "buckets": RANGE + ["local"],
           "put": ["if_version", "if_absent", "ttl"] + ONCE, "delete": ["if_version"] + ONCE,
           "scan": RANGE + ["from", "to", "reverse", "keys_only", "ttl"], "touch": ["if_version", "ttl"] + ONCE,
           "txn": ["if", "then", "else"] + ONCE, "call": ONCE}
VALUES = {"timeout": 1000, "client": {}, "if_version": 0, "if_absent": True, "ttl": 1000, "prefix": "", "after": "", "limit": 1,
          "local": True, "set": b"s" * 32,  # of nodes alone
          "from": "", "to": "", "reverse": True, "keys_only": True, "if": [], "then": [["count"]],
          "else": [], "session": b"s" * 16, "seq": 1, "ack": 0}
WRONG = {"limit": [0, "1", None], "from": [1, None], "if": [{}, None, "x"], "session": [b"s" * 15, 1]}
FLAGS = ["if_absent", "local", "reverse", "keys_only"]


def value_of(method, name):
    return True if (method, name) == ("scan", "ttl") else VALUES[name]


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
def each_method_takes_its_options_and_no_others(box):
    c = box.node().client()
    c.call("create", "b")
    of = lambda m: {"timeout", *OPTIONS.get(m, [])}
    ask = lambda m, options: c.raw(request(3, m, METHODS[m], options))[0][2]
    for method in METHODS:
        unknown = [n for n in VALUES if n not in of(method)] + ["", "timeou", "timeoutt", "Timeout", "timeout\0"]
        for name in unknown:
            shown = name.replace("\0", r"\x00")
            eq(["bad_argument", '%s: unknown option "%s"' % (method, shown)], ask(method, msgpack.packb({name: VALUES.get(name, 1)})))
        for name in of(method):
            eq(["bad_argument", '%s: option "%s" is given twice' % (method, name)], ask(method, twice(name, value_of(method, name))))
            wrong = WRONG.get({"after": "from", "prefix": "from", "to": "from", "then": "if", "else": "if"}.get(name, name), [])
            wrong = [None, 1, "true"] if name in FLAGS or (method, name) == ("scan", "ttl") else wrong
            wrong = [-1, 1.5, "1", None] if not wrong and name != "client" else wrong
            for value in wrong:
                code, text = ask(method, msgpack.packb({name: value}))
                eq(("bad_argument", '%s: option "%s" must be ' % (method, name)), (code, text[:len('%s: option "%s" must be ' % (method, name))]))
        for options in (b"\xc0", b"\x90", b"\xa0", b"\x01"):  # nil, a list, a text, a number
            code, text = ask(method, options)
            eq(("bad_argument", True), (code, "options, must be a map" in text))


@test("protocol")
def each_method_is_done_with_each_of_its_options(box):
    c = box.node().client()
    admin = {"reload", "worker", "upgrade", "functions", "cluster_create", "cluster_status", "cluster_drain"}
    session = c.call("session")
    for method in [m for m in METHODS if m not in admin]:
        own = [n for n in ("timeout", *OPTIONS.get(method, [])) if n not in ONCE]  # which need each other
        for name in [None, *own]:
            for key in (name, name and name.encode()):
                c.raw(request(1, "drop", ["b"]))
                c.raw(request(2, "create", ["b"]))
                options = msgpack.packb({key: value_of(method, name)}) if name else b"\x80"
                params = [session if p == VALUES["session"] else p for p in METHODS[method]]
                eq([1, 3, None], c.raw(request(3, method, params, options))[0][:3])


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


def frames_of(c, frames, seconds=5):
    c.socket.send_multipart(frames)
    assert c.socket.poll(seconds * 1000), "no reply to %.200r" % frames
    return c.socket.recv_multipart()


@test("protocol")
def every_frame_up_to_the_first_empty_one_is_mirrored(box):
    c = box.node().client()
    ping = request(1, "ping", [])
    pong = msgpack.packb([1, 1, None, "pong"])
    for n in range(9):  # also with frames of the largest size, and such as could be requests
        for front in ([b"%d" % i for i in range(n)], [bytes([i]) * 255 for i in range(n)], [ping] * n):
            eq(front + [b"", pong], frames_of(c, front + [b"", ping]))
            eq(front + [b"", pong + pong], frames_of(c, front + [b"", ping, ping]))
            r = frames_of(c, front + [b""])  # a delimiter and no request
            eq(front + [b""], r[:-1])
            eq("bad_request", msgpack.unpackb(r[-1], raw=False)[2][0])
    # more, or larger ones, are no envelope: then they are requests, or not
    r = frames_of(c, [ping] * 9 + [b"", ping])
    eq([pong * 10], r)
    r = frames_of(c, [b"\xc1" * 256, b"", ping])
    eq((1, ["bad_request", None]), (len(r), sorted(codes(r[0]), key=str, reverse=True)))


def codes(frame):
    u = msgpack.Unpacker(raw=False)
    u.feed(frame)
    return [m[2] and m[2][0] for m in u]


@test("protocol")
def req_sockets_that_correlate_and_proxies_are_served(box):
    n = box.node()
    context = zmq.Context.instance()
    front, back = context.socket(zmq.ROUTER), context.socket(zmq.DEALER)
    port = front.bind_to_random_port("tcp://127.0.0.1")
    back.connect(n.endpoint)

    def carry(seconds):
        """Whatever lies on either side of the proxy to the other."""
        poller = zmq.Poller()
        poller.register(front, zmq.POLLIN)
        poller.register(back, zmq.POLLIN)
        for s, _ in poller.poll(seconds * 1000):
            (back if s is front else front).send_multipart(s.recv_multipart())

    def ask(s, *frames, through=False):
        s.send_multipart(list(frames))
        for _ in range(2 if through else 0):
            carry(5)
        assert s.poll(5000), "no reply"
        return s.recv_multipart()

    direct, relaxed, plain, dealer = (context.socket(t) for t in (zmq.REQ, zmq.REQ, zmq.REQ, zmq.DEALER))
    for s in (direct, relaxed):
        s.setsockopt(zmq.REQ_CORRELATE, 1)
        s.setsockopt(zmq.REQ_RELAXED, 1)
    direct.connect(n.endpoint)
    for s in (relaxed, plain, dealer):
        s.connect("tcp://127.0.0.1:%d" % port)
    for s in (front, back, direct, relaxed, plain, dealer):
        s.linger = 0
        box.clients.append(s)
    pong = msgpack.packb([1, 1, None, "pong"])
    for _ in range(3):
        eq([pong], ask(direct, request(1, "ping", [])))
        eq([pong], ask(relaxed, request(1, "ping", []), through=True))
        eq([pong], ask(plain, request(1, "ping", []), through=True))
        eq([b"", pong], ask(dealer, b"", request(1, "ping", []), through=True))
    direct.send(request(1, "ping", []))  # given up, and asked again: the first reply is not the second's
    eq([msgpack.packb([1, 2, None, "pong"])], ask(direct, request(2, "ping", [])))
