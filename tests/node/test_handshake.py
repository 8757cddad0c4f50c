"""Strangers at ports with keys: those who stop in the middle of a handshake, and those who say what nobody says."""
import contextlib
import os
import resource
import struct
import threading
import time

import msgpack

import lib
from curve import Hand, frame, greeting, HELLO, INITIATE, MESSAGE, READY
from keys import Key, KeyedNodes
from lib import eq, test, until

AT_A_TIME = 1000
AT_ONCE = 3  # states, of so many each
SPARE = 400 if "asan" in lib.BUILD else 128  # MiB that the allocator may keep
CLOSES_S = 5  # what a node waits for a handshake
WELCOME_BYTES, GREETING_BYTES = 2 + 8 + 16 + 144, 64
MAKE = msgpack.packb([0, 1, "create", ["made"]])
BAR = msgpack.packb([0, 5, 2, 2, "bar", "9", 1, 1, {}])  # hello of bar, between nodes
NULL_READY = frame(READY + b"\x0bSocket-Type\0\0\0\x06DEALER\x08Identity\0\0\0\0")

# How far a stranger goes, and how many bytes it has heard then.
STALLS = {
    "nothing": lambda h: 0,
    "a byte": lambda h: h.send(greeting()[:1]),
    "a signature": lambda h: h.send(greeting()[:10]),
    "half a greeting": lambda h: h.send(greeting()[:40]),
    "a greeting": lambda h: h.send(greeting()),
    "half a hello": lambda h: h.send(greeting() + h.hello()[:100]),
    "a hello": lambda h: h.send(greeting() + h.hello()),
    "half an initiate": lambda h: h.greet().say_hello().send(h.initiate()[:200]),
    "the head of an initiate": lambda h: h.greet().say_hello().send(h.initiate()[:3]),
}


def rss(n):
    with open("/proc/%d/statm" % n.process.pid) as f:
        return int(f.read().split()[1]) * 4096


def files(n):
    return n.status()["files"]["used"]


def heard(s, seconds):
    """All that comes until the other side closes, or the time is over; and whether it has closed."""
    out, end = b"", time.monotonic() + seconds
    while time.monotonic() < end:
        s.settimeout(max(0.001, end - time.monotonic()))
        try:
            part = s.recv(65536)
        except TimeoutError:
            break
        except ConnectionError:
            return out, True
        if not part:
            return out, True
        out += part
    return out, False


class Asking(threading.Thread):
    """A client that asks one thing after the other; the longest wait, and how many it asked."""

    def __init__(self, c):
        super().__init__(daemon=True)
        self.c, self.end, self.longest, self.n, self.failed = c, False, 0, 0, None
        self.start()

    def run(self):
        try:
            while not self.end:
                began = time.monotonic()
                eq(None, self.c.call("get", "b", "k", seconds=60))
                self.longest = max(self.longest, time.monotonic() - began)
                self.n += 1
        except Exception as e:
            self.failed = e

    def close(self):
        self.end = True
        self.join()
        if self.failed:
            raise self.failed


def one_node(box, **settings):
    """A node with a bucket and a client that may read and create, and a key for a peer bar."""
    k = KeyedNodes(box, {"foo": {"*": "foo"}, "bar": {"*": "bar"}}, {"shop": ["read:*", "create:*", "admin:*"]},
                   more={"foo": {"limits." + n: v for n, v in settings.items()}})
    k.nodes["bar"].stop()
    k.connect("foo", "shop").call("create", "b")
    return k, k.nodes["foo"]


@test()
def strangers_who_stop_in_each_state_of_the_handshake(box):
    """A thousand in each state, half of them at each port: a client is served meanwhile, others get in, and all is given back."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(20000, resource.getrlimit(resource.RLIMIT_NOFILE)[1]),) * 2)
    k, foo = one_node(box)
    before, memory = files(foo), rss(foo)
    asking = Asking(k.connect("foo", "shop"))
    slowest, most, opened = 0, 0, []
    for state, go in STALLS.items():
        hands = []
        for i in range(AT_A_TIME):
            h = Hand(foo.peer if i % 2 else foo.endpoint, k.own["foo"].public, timeout=30 * lib.SLOW)
            go(h)
            hands.append(h)
        opened.append((state, hands))
        began = time.monotonic()
        c = k.connect("foo", "shop")
        eq("pong", c.call("ping"))
        slowest = max(slowest, time.monotonic() - began)
        c.close()
        most = max(most, files(foo))
        if len(opened) == AT_ONCE:
            all_closed(*opened.pop(0))
    for group in opened:
        all_closed(*group)
    asking.close()
    until(lambda: files(foo) <= before + 2, 20, "descriptors of strangers to be given back")
    print("# %d requests meanwhile, the longest took %.0f ms; the slowest to get in %.0f ms; %d descriptors at most, %d before, "
          "%d after; %d KiB more" % (asking.n, asking.longest * 1000, slowest * 1000, most, before, files(foo), (rss(foo) - memory) // 1024))
    assert most >= before + AT_A_TIME * 0.9, most
    assert asking.n > 100 and asking.longest < 1 * lib.SLOW and slowest < 3 * lib.SLOW, (asking.longest, slowest)
    assert rss(foo) - memory < SPARE << 20, rss(foo) - memory
    eq(0, k.connect("foo", "shop").call("status")["security"]["refused"])


def all_closed(state, hands):
    """Each of them is, and none has heard more than the handshake's own."""
    for h in hands:
        data, closed = heard(h.socket, CLOSES_S + 20 * lib.SLOW)
        eq((state, True), (state, closed))
        assert len(data) <= GREETING_BYTES + WELCOME_BYTES, (state, len(data))
        h.close()


def old_greeting(revision, socket_type=5):
    """ZMTP 2.0: a signature, a revision, a socket type; then an identity and messages without any handshake."""
    return b"\xff" + bytes(8) + b"\x7f" + bytes([revision, socket_type])


def sayings(h):
    """What a stranger may say at once: name, bytes."""
    plain = lambda payload: frame(payload, 0)
    for what in (MAKE, BAR):
        yield "NULL", greeting(b"NULL") + NULL_READY + plain(what)
        yield "NULL, minor 0", greeting(b"NULL", minor=0) + NULL_READY + plain(what)
        yield "NULL as server", greeting(b"NULL", 1) + NULL_READY + plain(what)
        yield "PLAIN", greeting(b"PLAIN") + frame(b"\x05HELLO\x04shop\x00") + frame(b"\x08INITIATE") + plain(what)
        yield "GSSAPI", greeting(b"GSSAPI") + plain(what)
        yield "no mechanism", greeting(b"") + NULL_READY + plain(what)
        yield "ZMTP 1.0", b"\x01\x00" + bytes([len(what) + 1, 0]) + what
        yield "ZMTP 1.0, long", b"\xff" + struct.pack(">Q", 1) + b"\0" + b"\xff" + struct.pack(">Q", len(what) + 1) + b"\0" + what
        for revision in (0, 1, 2):
            yield "ZMTP 2.0, revision %d" % revision, old_greeting(revision) + b"\0\0" + plain(what)
        yield "CURVE, and then as NULL", greeting() + NULL_READY + plain(what)
        yield "CURVE, and then a message", greeting() + plain(what)
        yield "CURVE, a hello and then a message", greeting() + h.hello() + plain(what)
        yield "CURVE, a hello and then ready", greeting() + h.hello() + NULL_READY + plain(what)
        yield "CURVE as server", greeting(as_server=1) + NULL_READY + plain(what)
        yield "CURVE of version 4", greeting(major=4, minor=0) + NULL_READY + plain(what)
        yield "a message in clear with the head of a sealed one", greeting() + h.hello() + plain(MESSAGE + bytes(8) + bytes(16) + what)
    yield "HTTP", b"GET /metrics HTTP/1.1\r\nHost: foo\r\n\r\n" * 10
    yield "TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + os.urandom(600)
    yield "noise", os.urandom(3000)
    yield "noise behind a signature", greeting()[:10] + os.urandom(3000)
    yield "noise behind a greeting", greeting() + os.urandom(3000)
    yield "noise behind a hello", greeting() + h.hello() + os.urandom(3000)
    yield "nothing but zeros", bytes(3000)
    yield "hello twice", greeting() + h.hello() + h.hello()
    yield "initiate first", greeting() + frame(INITIATE + bytes(96 + 8 + 144))
    yield "initiate too short", greeting() + h.hello() + frame(INITIATE + bytes(50))
    yield "initiate with a made up cookie", greeting() + h.hello() + frame(INITIATE + bytes(96 + 8 + 200))
    yield "hello too short", greeting() + frame(HELLO + b"\x01\x00")
    yield "hello too long", greeting() + frame(HELLO + b"\x01\x00" + bytes(1000))
    yield "hello of version 2", greeting() + h.hello().replace(b"HELLO\x01", b"HELLO\x02")
    yield "hello with a wrong box", greeting() + h.hello()[:-1] + b"x"
    yield "a command of 2^62 bytes", greeting() + b"\x06" + struct.pack(">Q", 1 << 62)
    yield "a command of 2^64 - 1 bytes", greeting() + b"\x06" + b"\xff" * 8
    yield "a command of no bytes", greeting() + b"\x04\x00" * 100
    yield "a command without a name", greeting() + b"\x04\x02\xffx" * 100
    yield "ping", greeting() + frame(b"\x04PING\0\0")
    yield "error", greeting() + frame(b"\x05ERROR\xff")


@test()
def what_strangers_say_is_not_heard(box):
    """Nothing happens, and nothing comes back but what begins a handshake."""
    k, foo = one_node(box)
    hands = []
    for endpoint in (foo.endpoint, foo.peer):
        for name, data in sayings(Hand(endpoint, k.own["foo"].public)):
            h = Hand(endpoint, k.own["foo"].public)
            with contextlib.suppress(ConnectionError):
                h.send(data)
            hands.append((name, h))
    for name, h in hands:
        data, closed = heard(h.socket, CLOSES_S + 10 * lib.SLOW)
        eq((name, True), (name, closed))
        rest = data[GREETING_BYTES:]
        if rest.startswith(b"\x04\xa8\x07WELCOME"):
            rest = rest[2 + 168:]
        # a mechanism of one's own may be told an error; what was asked for is not answered
        assert rest == b"" or rest.startswith(b"\x04") and b"ERROR" in rest[:10], (name, data)
    eq([b"b"], k.connect("foo", "shop").call("buckets")["items"])
    eq("unknown", foo.peers().get("bar", {"state": "unknown"})["state"])
    print("# %d sayings" % len(hands))


@test()
def a_stranger_gets_as_far_as_no_with_each_kind_of_key(box):
    """A whole handshake with a key that is nobody's, or that is another's: refused, nothing is read behind it."""
    k, foo = one_node(box)
    shop, bar = k.key["shop"], k.own["bar"]
    stolen = Key(box, "stolen")
    stolen.public = shop.public  # the name without the secret
    stolen_bar = Key(box, "stolen-bar")
    stolen_bar.public = bar.public
    tries = [(port, who, key) for port, right in (("client", "shop"), ("node", "bar"))
             for who, key in (("stranger", Key(box, "stranger")), ("shop", shop), ("bar", bar), ("foo", k.own["foo"]),
                              ("shop without its secret", stolen), ("bar without its secret", stolen_bar)) if who != right]
    for port, who, key in tries:
        h = Hand(foo.endpoint if port == "client" else foo.peer, k.own["foo"].public, key).greet().say_hello()
        h.send(h.initiate() + h.message(MAKE if port == "client" else BAR))
        data, closed = heard(h.socket, CLOSES_S + 10 * lib.SLOW)
        eq((port, who, True), (port, who, closed))
        assert not data or data.startswith(b"\x04\x0a\x05ERROR\x03400"[:8]), (port, who, data)
    eq([b"b"], k.connect("foo", "shop").call("buckets")["items"])
    eq(len([t for t in tries if "without" not in t[1]]), k.connect("foo", "shop").call("status")["security"]["refused"])
    # as themselves they are let in
    h = Hand(foo.endpoint, k.own["foo"].public, shop).open()
    eq([1, 1, None, True], msgpack.unpackb(h.ask(MAKE)))
    h = Hand(foo.peer, k.own["foo"].public, bar).open()
    eq(1, msgpack.unpackb(h.ask(BAR))[0])


@test()
def a_session_that_was_recorded_does_nothing(box):
    k, foo = one_node(box)
    h = Hand(foo.endpoint, k.own["foo"].public, k.key["shop"]).open()
    eq([1, 1, None, True], msgpack.unpackb(h.ask(MAKE)))
    eq(True, k.connect("foo", "shop").call("drop", "made"))
    for pause in (False, True):  # all at once, or with the other side's answers in between
        again = Hand(foo.endpoint, k.own["foo"].public)
        for i in range(0, len(h.sent), 64 if pause else len(h.sent)):
            with contextlib.suppress(ConnectionError):
                again.send(h.sent[i:i + (64 if pause else len(h.sent))])
            time.sleep(0.05 * pause)
        data, closed = heard(again.socket, CLOSES_S + 10 * lib.SLOW)
        eq(True, closed)
        assert len(data) <= GREETING_BYTES + WELCOME_BYTES, data
    # nor does a message of the same session, sent twice
    made = h.message(MAKE)
    h.send(made)
    eq([1, 1, None, True], msgpack.unpackb(h.opened(h.take_frame()[1])))
    eq(True, k.connect("foo", "shop").call("drop", "made"))
    h.send(made)
    eq((b"", True), heard(h.socket, CLOSES_S + 10 * lib.SLOW))
    eq([b"b"], k.connect("foo", "shop").call("buckets")["items"])


@test()
def commands_of_many_bytes_cost_no_more_than_messages_may(box):
    """Before anybody is known: what strangers send that never makes a handshake is bounded, one and all together."""
    k, foo = one_node(box, unread_total="128M")  # of all unfinished messages together
    memory, asking = rss(foo), Asking(k.connect("foo", "shop"))
    hands, most, end = [], 0, time.monotonic() + 4
    for i in range(60):
        h = Hand(foo.peer if i % 2 else foo.endpoint, k.own["foo"].public)
        h.send(greeting() + b"\x06" + struct.pack(">Q", (16 << 20) - 1))
        h.socket.setblocking(False)
        hands.append(h)
    while time.monotonic() < end:
        for h in hands:
            with contextlib.suppress(OSError):
                h.socket.send(bytes(1 << 20))
        most = max(most, rss(foo))
    for h in hands:
        h.close()
    asking.close()
    print("# %d MiB more at most; the longest request took %.0f ms" % ((most - memory) >> 20, asking.longest * 1000))
    assert most - memory < (272 + SPARE) << 20, most - memory
    assert asking.longest < 10 * lib.SLOW, asking.longest  # the wire is full of them
    until(lambda: rss(foo) - memory < SPARE << 20, 20, "memory to be given back")
