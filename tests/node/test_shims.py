"""What tests break nodes with does what it says: disks that hang, are full, and lose their power; clocks of another pace."""
import http.client
import os
import signal
import time

import lib
from cluster import Etcd
from disk import Clock, Disk
from etcd import b64
from lib import eq, test, until
from net import Net

SETTINGS = ("--set", "node.workers=1", "--set", "storage.checkpoint_ms=100", "--set", "storage.segment=1M", "--set", "limits.log=32M",
            "--set", "limits.value=64K", "--set", "limits.message=1M")


def bent(box, undo=False, build=None):
    data = box.folder("data")
    d = Disk(box, data, undo=undo)
    n = box.node(*SETTINGS, data=data, env=d.env, build=build)
    c = n.client()
    c.call("create", "b")
    return d, n, c


@test()
def a_disk_that_hangs_holds_writes_and_lets_them_go(box):
    d, n, c = bent(box)
    eq(c.call("put", "b", "k", "v"), c.call("get", "b", "k")[1])
    d.hang()
    i = c.send(("put", "b", "k", "w"))[0]
    assert not c.socket.poll(700), "a write was answered while the disk hung"
    d.heal()
    assert c.result(i) > 0
    d.slow(0.2)
    begin = time.monotonic()
    c.call("put", "b", "k", "x")
    assert 0.2 < time.monotonic() - begin, "a sync was not slow"
    d.heal()
    eq(0, n.stop())


@test()
def a_disk_that_is_full_answers_full(box):
    d, n, c = bent(box)
    for i in range(100):
        c.call("put", "b", "old%d" % i, "v")
    d.fill()
    value = os.urandom(60000)
    until(lambda: any(c.wait(i)[2] for i in c.send(*(("put", "b", os.urandom(8), value) for _ in range(10)))), 30, "the disk to be full")
    eq("full", c.code("put", "b", "more", value)[0])
    d.heal()
    # A worker looks at its disk with each checkpoint, and there is none where nothing is written: deletes are.
    for i in range(100):
        c.call("delete", "b", "old%d" % i)
        if c.wait(c.send(("put", "b", "more", value))[0])[2] is None:
            break
        time.sleep(0.1)
    assert c.call("get", "b", "more"), "no room after the disk has some"
    eq(0, n.stop())


def cut(box, rounds, build=None):
    """Sectors that were lost, and writes that were acknowledged and are gone."""
    d, n, c = bent(box, undo=True, build=build)
    acked, lost, gone = {}, [], 0
    for i in range(rounds):
        ids, end = {}, time.monotonic() + 0.3
        for k in range(2000):
            ids.update((x, "%d-%d-%d" % (i, k, j)) for j, x in enumerate(c.send(*(("put", "b", "%d-%d-%d" % (i, k, j), "v") for j in range(8)))))
            while c.socket.poll(0):
                c.take()
            if time.monotonic() > end:
                break
        n.kill()
        for x in list(c.replies):
            acked[ids[x]] = c.replies.pop(x)[3]
        gone += d.power_cut(box.random)[0]
        try:
            n.start()
        except AssertionError:
            return gone, ["it does not start"]
        c = n.client()
        if n.workers()[0]["state"] != "up" or c.wait(c.send(("count", "b"))[0])[2]:
            return gone, ["its worker does not start"]
        there = {}
        while True:
            r = c.call("scan", "b", dict({"limit": 5000}, **({"after": max(there)} if there else {})))
            there.update((k.decode(), version) for k, _, version in r["items"])
            if not r["more"]:
                break
        lost += [k for k, version in acked.items() if there.get(k) != version]
        if lost:
            break
    print("# %d acknowledged, %d sectors gone, %d lost" % (len(acked), gone, len(lost)))
    return gone, lost


@test("kill")
def a_power_cut_takes_sectors_and_nothing_acknowledged(box):
    gone, lost = cut(box, 8)
    eq([], lost[:3])
    assert gone > 0, "no sector was lost: the cut is none"


@test("kill", "broken")
def a_power_cut_takes_what_was_acknowledged_before_the_sync(box):
    build = os.path.join(os.path.dirname(lib.BUILD), "broken-sync")
    assert cut(box, 20, build)[1], "a node that acknowledges before the sync lost nothing"


@test()
def a_clock_of_another_pace_is_the_nodes_own(box):
    clock = Clock(box, ppm=500000)
    n = box.node(*SETTINGS, env=clock.env)
    a, begin = n.status()["uptime_ms"], time.monotonic()
    time.sleep(1)
    took, passed = n.status()["uptime_ms"] - a, (time.monotonic() - begin) * 1000
    assert 1.3 * passed < took < 1.7 * passed, (took, passed)
    c = n.client()
    c.call("create", "b")
    for i in range(50):
        c.call("put", "b", "k%d" % i, "v" * 1000)
    # A suspend of the machine: clocks stand still, but BOOTTIME.
    pids = [n.process.pid] + n.children()
    for p in pids:
        os.kill(p, signal.SIGSTOP)
    a = time.monotonic()
    time.sleep(0.5)
    clock.slept(time.monotonic() - a)
    for p in pids:
        os.kill(p, signal.SIGCONT)
    eq("pong", c.call("ping"))
    c.call("put", "b", "k", "v")
    eq(0, n.stop())


@test("netns")
def a_net_is_cut_in_one_direction_or_both(box):
    """Shown on an etcd: a request that arrives and whose answer does not is done."""
    net = Net(box, ["a", "b", "etcd"])
    e = Etcd(box, net)

    def put(name, value):
        """From there: whether it was answered."""
        with net.within(name):
            try:
                e_post("/v3/kv/put", {"key": b64("k"), "value": b64(value)})
                return True
            except OSError:
                return False

    e_post = lambda path, body: super(Etcd, e).post(path, body, seconds=1)
    there = lambda: e.get("k").value
    eq((True, b"1"), (put("a", "1"), there()))
    eq((True, b"2"), (put("b", "2"), there()))
    net.cut("a", "etcd")
    eq((False, True, b"3"), (put("a", "x"), put("b", "3"), there()))
    net.clear()
    eq((True, b"4"), (put("a", "4"), there()))
    net.slow("a", 0.2)
    begin = time.monotonic()
    eq(True, put("a", "5"))
    assert time.monotonic() - begin > 0.4, "two directions of 0.2 s each"
    net.clear()
    net.island("b")
    eq((False, True), (put("b", "x"), put("a", "6")))
    net.clear()
    net.ways["b", "etcd"].hold = True
    eq((False, b"6"), (put("b", "late"), there()))
    net.clear()
    until(lambda: put("b", "7"), 10, "b to reach it again")
    # What it sends arrives, what it should hear does not: on a connection that was there before.
    with net.within("a"):
        host, port = e.client[0].removeprefix("http://").rsplit(":", 1)
        c = http.client.HTTPConnection(host, int(port), timeout=1)
        body = '{"key": "%s", "value": "%s"}' % (b64("k"), b64("8"))
        c.request("POST", "/v3/kv/put", body)
        eq(200, c.getresponse().read() and 200)
        net.deaf("a", "etcd")
        c.request("POST", "/v3/kv/put", body.replace(b64("8"), b64("9")))
        try:
            c.getresponse()
            raise AssertionError("it heard what it should not")
        except OSError:
            pass
    eq(b"9", there())
