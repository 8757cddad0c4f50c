"""Clients that ask for much at a time, and those beside them."""
import os
import random
import signal
import time

import msgpack

import lib
from lib import eq, test, until

BIG = 200_000


def prepare(c, bucket, size, keys=8):
    c.call("create", bucket)
    for k in range(keys):
        c.call("put", bucket, "key%d" % k, b"v" * size)


def much(c, count, method="get", bucket="b", first=1, timeout=60000, value=b"w"):
    """One message of many requests; their msgids are first … first + count - 1."""
    c.socket.send(b"".join(msgpack.packb([0, first + i, method, [bucket, "key%d" % (i % 8)]
                                          + ([value] if method == "put" else []) + [{"timeout": timeout}]])
                           for i in range(count)))


def recv(c, seconds=20):
    """The replies of one message, in their order."""
    assert c.socket.poll(int(seconds * 1000 * lib.SLOW)), "no reply in %s s" % seconds
    out = []
    for frame in c.socket.recv_multipart():
        u = msgpack.Unpacker(raw=False, max_buffer_size=1 << 30)
        u.feed(frame)
        out += u
    return out


def gather(c, count, seconds=25):
    """{msgid: error code, or None} of so many replies, and the order in which they came."""
    got, order = {}, []
    end = time.monotonic() + seconds * lib.SLOW
    while len(got) < count:
        assert time.monotonic() < end, "%d of %d replies" % (len(got), count)
        for r in recv(c, seconds):
            assert r[1] not in got, "answered twice: %r" % (r[1],)
            got[r[1]] = r[2][0] if r[2] else None
            order.append(r[1])
    return got, order


@test("fair")
def nobody_waits_for_all_that_another_asked_for(box):
    """500 values of 200,000 bytes are 100 MB; the other's get comes back while most of them wait."""
    n = box.node("--set", "node.workers=1", "--set", "limits.unread=1G", "--set", "limits.unread_total=1G")
    a, b = n.client(), n.client()
    prepare(a, "b", BIG)
    b.call("put", "b", "small", "v")
    for _ in range(5):  # what its requests take is known
        much(a, 4)
        gather(a, 4)
    much(a, 500)
    until(lambda: a.socket.poll(0), what="the first replies")
    eq(b"v", b.call("get", "b", "small")[0])
    waits = [w["queue"] for w in b.call("status")["workers"]]
    assert waits[0] > 10000, waits  # many of the 500 have not been answered
    got, order = gather(a, 500)
    eq({None}, set(got.values()))
    eq(sorted(order), order)


@test("fair")
def who_asks_for_less_is_through_first(box):
    """One asks for 75 MB, then another for 2: they take turns, and that one is not kept till the end."""
    n = box.node("--set", "node.workers=1", "--set", "limits.unread=1G", "--set", "limits.unread_total=1G")
    a, b, c = n.client(), n.client(), n.client()
    prepare(a, "b", 50_000)
    for x in (a, b):
        for _ in range(5):
            much(x, 4)
            gather(x, 4)
    much(a, 1500)
    much(b, 40)
    eq({None}, set(gather(b, 40)[0].values()))
    queue = c.call("status")["workers"][0]["queue"]
    assert queue > 10000, queue  # most of the other's have not been answered
    eq(1500, len(gather(a, 1500)[0]))


@test("fair")
def order_holds_across_what_waits(box):
    """Puts and gets of one key, far more than go at a time: each get sees the put before it."""
    n = box.node("--set", "node.workers=1")
    c, other = n.client(), n.client()
    prepare(c, "b", 10)
    for message in range(3):
        body = []
        for i in range(2000):
            msgid = 1 + message * 4000 + 2 * i
            body.append(msgpack.packb([0, msgid, "put", ["b", "key0", b"%d" % msgid, {"timeout": 60000}]]))
            body.append(msgpack.packb([0, msgid + 1, "get", ["b", "key0", {"timeout": 60000}]]))
        c.socket.send(b"".join(body))
        other.call("get", "b", "key1")
    seen = {}
    while len(seen) < 12000:
        for r in recv(c):
            assert r[2] is None, r
            seen[r[1]] = r[3]
    for msgid, value in seen.items():
        if msgid % 2 == 0:
            eq(b"%d" % (msgid - 1), value[0])


@test("fair")
def nothing_that_waits_is_lost_with_a_worker(box):
    """Its worker is killed again and again while requests wait: each is answered once, in order."""
    n = box.node("--set", "node.workers=1", "--set", "limits.unread=1G", "--set", "limits.unread_total=1G")
    c, admin = n.client(), n.client()
    prepare(c, "b", 20_000)
    rnd = random.Random(box.seed)
    for round in range(4):
        for k in range(4):
            much(c, 500, "put", first=1 + 1000 * k, value=b"%d-%d" % (round, k))
            much(c, 500, "get", first=501 + 1000 * k)
        time.sleep(rnd.random() * 0.05)
        os.kill(admin.call("status")["workers"][0]["pid"], signal.SIGKILL)
        got, order = gather(c, 4000)
        eq({None}, set(got.values()))
        eq([b"%d-3" % round] * 8, [c.call("get", "b", "key%d" % k)[0] for k in range(8)])


@test("fair")
def a_client_that_leaves_holds_nobody_up(box):
    n = box.node("--set", "node.workers=1")
    for _ in range(3):
        a = n.client()
        prepare(a, "b", BIG)
        much(a, 3000)
        until(lambda: a.socket.poll(0), what="the first replies")
        a.socket.close(0)
    b = n.client()
    until(lambda: b.call("status")["workers"][0]["queue"] == 0, 25, "the queue to be empty")
    b.call("put", "b", "key0", "mine")
    eq(b"mine", b.call("get", "b", "key0")[0])


@test("fair")
def what_waits_too_long_is_expired(box):
    """While a worker stands still, what waits behind its ring expires, and is not run later."""
    n = box.node("--set", "node.workers=1", "--set", "supervisor.hang_ms=60000")
    c, other = n.client(), n.client()
    prepare(other, "b", 10)  # of c nothing is known
    pid = other.call("status")["workers"][0]["pid"]
    os.kill(pid, signal.SIGSTOP)
    try:
        for k in range(4):
            much(c, 4000, "put", first=1 + 4000 * k, timeout=700)
        got, _ = gather(c, 16000)
    finally:
        os.kill(pid, signal.SIGCONT)
    eq({"expired", "timeout"}, set(got.values()))  # timeout: it was in the worker's ring
    eq("expired", got[16000])
    eq(16000, len(got))
    other.call("put", "b", "key7", "after")
    time.sleep(0.2)
    eq(b"after", other.call("get", "b", "key7")[0])


@test("fair")
def what_waits_goes_to_a_successor(box):
    n = box.node("--set", "node.workers=1")
    c, admin = n.client(), n.client()
    prepare(c, "b", 10)
    for k in range(6):
        much(c, 4000, "put", first=1 + 4000 * k, value=b"%d" % k)
    eq("up", n.client(admin=True).call("worker", "restart", 0)["state"])
    got, _ = gather(c, 24000)
    eq({None}, set(got.values()))
    eq(b"5", admin.call("get", "b", "key0")[0])
