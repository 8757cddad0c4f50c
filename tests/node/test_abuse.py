"""What strangers can do to the client port: others are served, memory stays bounded, refusals are clear."""
import os
import signal
import socket
import time

import msgpack

import lib
from lib import Client, eq, test, until

PING = msgpack.packb([0, 1, "ping", []])
SPARE = 4 if "asan" in lib.BUILD else 1


def rss(n):
    with open("/proc/%d/statm" % n.process.pid) as f:
        return int(f.read().split()[1]) * 4096


class Raw:
    """ZMTP by hand: greeting and handshake of a DEALER, then whatever bytes one likes."""
    GREETING = b"\xff" + b"\0" * 8 + b"\x7f" + b"\x03\0" + b"NULL" + b"\0" * 16 + b"\0" + b"\0" * 31

    def __init__(self, box, n, shake=True, identity=b""):
        self.s = socket.create_connection(("127.0.0.1", n.port), 10 * lib.SLOW)
        self.s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        box.clients.append(self)
        if shake:
            self.s.sendall(self.GREETING)
            self.take(64)
            ready = b"\x05READY\x0bSocket-Type\0\0\0\x06DEALER\x08Identity" + len(identity).to_bytes(4, "big") + identity
            self.s.sendall(b"\x04" + bytes([len(ready)]) + ready)
            head = self.take(2)
            self.take(head[1])

    def take(self, n):
        data = b""
        while len(data) < n:
            more = self.s.recv(n - len(data))
            if not more:
                raise EOFError
            data += more
        return data

    def frame(self, data, more=False):
        self.s.sendall((bytes([more, len(data)]) if len(data) < 256 else bytes([2 + more]) + len(data).to_bytes(8, "big")) + data)

    def reply(self):
        head = self.take(2)
        return self.take(head[1] if not head[0] & 2 else int.from_bytes(head[1:] + self.take(7), "big"))

    def close(self):
        self.s.close()


def latency(c, seconds):
    """The longest wait of a client that asks one thing after the other."""
    end, longest = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        begin = time.monotonic()
        eq("pong", c.call("ping"))
        longest = max(longest, time.monotonic() - begin)
    return longest


@test("abuse")
def messages_without_end_are_cut_off(box):
    n = box.node()
    c = n.client()
    eq("pong", c.call("ping"))
    fds = lambda: len(os.listdir("/proc/%d/fd" % n.process.pid))
    before = fds()
    for _ in range(2):
        r = Raw(box, n)
        r.frame(PING)
        eq([1, 1, None, "pong"], msgpack.unpackb(r.reply()))
        sent, begin, most = 0, time.monotonic(), 0
        try:
            while time.monotonic() - begin < 30 * lib.SLOW:
                r.frame(b"x" * 100000, more=True)
                sent += 100000
                if sent % 10000000 == 0:
                    most = max(most, rss(n))
        except (BrokenPipeError, ConnectionResetError):
            pass
        assert sent > 16 << 20 and time.monotonic() - begin < 30 * lib.SLOW, "never cut off"
        assert most < 1 << 30, most
        eq("pong", c.call("ping"))
    assert "bytes that make no message" in n.output()
    until(lambda: fds() <= before, 10, "the connections to be closed")
    # one as large as may be, slowly, is none of that
    r = Raw(box, n)
    for _ in range(20):
        r.frame(b"\xc0" * 100000, more=True)
        time.sleep(0.02)
    r.frame(PING)
    replies = msgpack.Unpacker(raw=False)
    replies.feed(r.reply())
    codes = [(m[2] or ["ok"])[0] for m in replies]
    eq(({"bad_request", "ok"}, 1), (set(codes), codes.count("ok")))
    if SPARE == 1:
        until(lambda: rss(n) < 64 << 20, 10, "the memory to be given back")


@test("abuse")
def a_byte_at_a_time_harms_nobody(box):
    n = box.node()
    c = n.client()
    half = [Raw(box, n, shake=False) for _ in range(50)] + [Raw(box, n) for _ in range(50)]
    end, k = time.monotonic() + 2, 0
    frame = bytes([0, len(PING)]) + PING
    while time.monotonic() < end:
        for i, r in enumerate(half):
            data = Raw.GREETING if i < 50 else frame
            if k < len(data):
                r.s.sendall(data[k:k + 1])
        k += 1
        assert latency(c, 0.1) < 0.2 * lib.SLOW
    for r in half[50:]:
        r.s.sendall(frame[k:] if k < len(frame) else b"")
        eq([1, 1, None, "pong"], msgpack.unpackb(r.reply()))
    # who does not finish the handshake is not waited for
    for r in half[:50]:
        r.s.settimeout(10 * lib.SLOW)
        try:
            while r.s.recv(1000):
                pass
        except ConnectionResetError:
            pass
    eq("pong", c.call("ping"))


@test("abuse")
def thousands_of_identities_come_and_go(box):
    """A node remembers so many clients and no more, and forgets those that wait for nothing."""
    n = box.node("--set", "limits.clients=200")
    c = n.client()
    eq("pong", c.call("ping"))
    before = None
    for i in range(3000):
        r = Raw(box, n, identity=b"%d-%d" % (box.seed, i))
        r.frame(PING)
        eq([1, 1, None, "pong"], msgpack.unpackb(r.reply()))
        r.close()
        if i == 1000:
            before = rss(n)
    assert SPARE > 1 or rss(n) < before + (8 << 20), (before, rss(n))  # ASan keeps what was freed for a while
    assert n.status()["clients"] <= 200
    # two with one identity: the second is not heard, the first is served on
    a, b = Raw(box, n, identity=b"same"), Raw(box, n, identity=b"same")
    b.frame(PING)
    a.frame(PING)
    eq([1, 1, None, "pong"], msgpack.unpackb(a.reply()))
    eq("pong", c.call("ping"))


@test("abuse")
def what_is_no_zeromq_is_not_served(box):
    n = box.node()
    c = n.client()
    rng = box.random
    for i in range(200):
        r = Raw(box, n, shake=False)
        data = [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", rng.randbytes(rng.randrange(1, 300)),
                Raw.GREETING[:rng.randrange(1, 64)] + rng.randbytes(100), Raw.GREETING + rng.randbytes(50)][i % 4]
        try:
            r.s.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass
        r.close()
    for i in range(200):  # after a handshake: frames of any flags, sizes and content
        r = Raw(box, n)
        try:
            r.s.sendall(rng.randbytes(rng.randrange(1, 400)))
            r.frame(rng.randbytes(rng.randrange(0, 300)))
        except (BrokenPipeError, ConnectionResetError):
            pass
        if i % 2:
            r.close()
    assert latency(c, 0.2) < 0.2 * lib.SLOW
    big = Raw(box, n)  # one frame above the limit closes its connection, and nothing of it is kept
    before = rss(n)
    try:
        big.s.sendall(b"\x02" + (1 << 40).to_bytes(8, "big") + b"x" * 1000000)
        while big.s.recv(1000):
            pass
    except (BrokenPipeError, ConnectionResetError):
        pass
    assert rss(n) < before + (16 << 20) * SPARE
    eq("pong", c.call("ping"))


@test("abuse")
def a_flood_turns_into_busy_not_into_growth(box):
    """A worker that stands still, and clients that send on: queues fill, then it is busy, at once and in so many words."""
    n = box.node("--set", "limits.value=64K", "--set", "limits.message=1M", "--set", "limits.queue=1M",
                 "--set", "node.workers=1", "--set", "supervisor.hang_ms=60000")
    clients = [n.client() for _ in range(8)]
    clients[0].call("create", "b")
    pid = n.workers()[0]["pid"]
    os.kill(pid, signal.SIGSTOP)
    before, codes = rss(n), {}
    sent = [[] for _ in clients]
    for _ in range(30):
        for c, ids in zip(clients, sent):
            ids += c.send(*[("put", "b", "k%d" % i, b"x" * 1000, {"timeout": 60000}) for i in range(100)])
        busy = [i for c, ids in zip(clients, sent) for i in ids]
    for c, ids in zip(clients, sent):
        while c.socket.poll(200):
            c.take()
        for i in list(ids):
            if i in c.replies:
                error = c.replies.pop(i)[2]
                codes[error[0]] = codes.get(error[0], 0) + 1
                eq(["busy", "this node's queue is full: try again later"], error)
                ids.remove(i)
    assert codes["busy"] > 20000, codes
    assert rss(n) < before + (64 << 20) * SPARE, (before, rss(n))
    os.kill(pid, signal.SIGCONT)
    for c, ids in zip(clients, sent):
        for i in ids:
            assert c.result(i) > 0
    left = sum(len(ids) for ids in sent)
    eq(24000, left + codes["busy"])
