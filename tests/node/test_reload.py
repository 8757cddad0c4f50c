"""Changing a running node: routes, peers and settings, all or nothing, and nobody notices."""
import json
import os
import signal
import time

import lib
from lib import eq, test, until


def reload(box, node, *args, status=0):
    r = box.run(lib.BUILD + "/pail", "--config", node.conf, "reload", *args)
    eq((status, node.conf), (r.returncode, node.conf) if r.returncode == status else (r.returncode, r.stderr))
    return (r.stdout if status == 0 else r.stderr).decode()


class Stream:
    """Puts to keys of some buckets, many in flight; each must work, and versions must grow."""

    def __init__(self, client, buckets, timeout=5000):
        self.c, self.buckets, self.n = client, buckets, 0
        self.waiting, self.seen = [], {b: 0 for b in buckets}
        self.timeout = timeout

    def push(self, frames=1):
        for _ in range(frames):
            requests = []
            for b in self.buckets:
                self.n += 1
                requests.append(("put", b, "k", str(self.n), {"timeout": self.timeout}))
            for r, i in zip(requests, self.c.send(*requests)):
                self.waiting.append((i, r[1], r[3]))

    def pull(self, left=0):
        while len(self.waiting) > left:
            i, b, value = self.waiting.pop(0)
            v = self.c.result(i)
            assert v > self.seen[b], "a request overtook another"
            self.seen[b], self.last = v, value

    def check(self, client):
        self.pull()
        for k, b in enumerate(self.buckets):
            eq([str(self.n - len(self.buckets) + k + 1).encode(), self.seen[b]], client.call("get", b, "k"))


@test("distributed")
def routes_change_under_load_and_nothing_overtakes(box):
    """n to z go to bar straight, or by way of baz: back and forth, with hundreds in flight."""
    n = box.cluster({"foo": {"a-m": "foo", "n-z": "bar"}, "bar": {"*": "bar"}, "baz": {"*": "bar"}},
                    peers={"foo": ["bar", "baz"]}, workers=2)
    foo = n["foo"]
    for x in n.values():
        x.linked()
    c = foo.client()
    s = Stream(c, ["alpha", "november", "zulu"], timeout=30000)
    for b in s.buckets:
        c.call("create", b)
    ways = [{"a-m": "foo", "n-z": "baz"}, {"a-m": "foo", "n-z": "bar"}]
    for k in range(10):
        s.push(30)
        foo.table = ways[k % 2]
        foo.configure()
        until(lambda: box.run(lib.BUILD + "/pail", "--config", foo.conf, "reload").returncode == 0, what="the reload")
        s.push(30)
        s.pull(60)
    s.check(c)
    eq(10, foo.status()["reloads"])
    eq(("bar", 1), tuple(c.call("route", "zulu")[k] for k in ("node", "hops")))


@test("distributed")
def requests_wait_for_those_on_the_old_way(box):
    """bar stands still with requests in it: what comes after the change waits, other buckets do not."""
    n = box.cluster({"foo": {"a-m": "foo", "n-z": "bar"}, "bar": {"*": "bar"}, "baz": {"*": "bar"}},
                    peers={"foo": ["bar", "baz"]}, more={"foo": {"links.dead_ms": 60000}})
    foo, bar = n["foo"], n["bar"]
    for x in n.values():
        x.linked()
    c, other = foo.client(), foo.client()
    c.call("create", "alpha")
    s = Stream(c, ["november", "zulu"], timeout=60000)
    for b in s.buckets:
        c.call("create", b)
    worker = bar.workers()[0]["pid"]
    os.kill(worker, signal.SIGSTOP)
    s.push(5)
    foo.table = {"a-m": "foo", "n-z": "baz"}
    foo.configure()
    out = reload(box, foo)
    assert "routes: a-m = foo, n-z = baz" in out, out
    s.push(5)
    short = c.send(("put", "zulu", "x", "1", {"timeout": 300}))[0]
    other.call("put", "alpha", "k", "v")
    eq("expired", c.wait(short)[2][0])
    assert "still settling" in reload(box, foo, status=1)
    eq("foo", other.call("route", "alpha")["node"])
    os.kill(worker, signal.SIGCONT)
    s.check(bar.client())
    eq(None, bar.client().call("get", "zulu", "x"))
    foo.table = {"a-m": "foo", "n-z": "bar"}
    foo.configure()
    until(lambda: box.run(lib.BUILD + "/pail", "--config", foo.conf, "reload").returncode == 0, what="the reload")


@test("distributed")
def peers_come_and_go(box):
    n = box.cluster({"foo": {"*": "foo"}, "bar": {"*": "bar"}, "baz": {"*": "baz"}})
    foo = n["foo"]
    c = foo.client()
    foo.table, foo.named = {"a-m": "foo", "n-z": "bar"}, ["bar"]
    foo.configure()
    out = reload(box, foo)
    assert "peers: bar = " in out and "routes: a-m = foo, n-z = bar" in out, out
    eq(True, c.call("create", "zulu"))  # at once: it waits for the link that is being made
    eq("bar", c.call("route", "zulu")["node"])
    ids = c.send(*[("put", "zulu", "k%d" % i, "v") for i in range(1000)])
    foo.table, foo.named = {"a-m": "foo", "n-z": "baz"}, ["baz"]
    foo.configure()
    reload(box, foo)
    assert all(c.result(i) for i in ids), "those on the way to a peer that goes are answered"
    eq("baz", c.call("route", "zulu")["node"])
    eq("no_bucket", c.code("get", "zulu", "k1")[0])
    eq(["baz"], list(foo.peers()))
    eq(1000, n["bar"].client().call("count", "zulu"))
    eq("nothing to change\n", reload(box, foo))


@test()
def all_or_nothing(box):
    n = box.cluster({"foo": {"*": "foo"}}, more={"foo": {"limits.unread": "1M"}})
    foo = n["foo"]
    c = foo.client()
    before = foo.status()
    with open(foo.conf, "a") as f:
        f.write("[limits]\nunread_ms = 5000\nqueue = lots\n[routes]\nz-a = foo\nb = nobody\n")
    err = reload(box, foo, status=78)
    for part in ("bad_argument", 'limits.queue = "lots"', '"z-a" is no range', 'route to "nobody"', "nothing has changed",
                 foo.conf + ":"):
        assert part in err, (part, err)
    after = foo.status()
    eq([before[k] for k in ("routes", "peers", "reloads")], [after[k] for k in ("routes", "peers", "reloads")])
    os.rename(foo.conf, foo.conf + ".away")
    r = box.run(lib.BUILD + "/pail", "--admin", "ipc://%s/admin.sock" % foo.data, "reload")
    eq(78, r.returncode)
    assert b"cannot open" in r.stderr, r.stderr
    foo.more.update({"limits.unread": "2M", "limits.value": "4M", "node.log": "debug"})
    foo.table = {"a-z": "foo"}
    foo.configure()
    r = json.loads(reload(box, foo, "-o", "json"))
    eq(["node.log = debug (was info)", "limits.unread = 2M (was 1M)", "routes: a-z = foo", "a restart is needed for:",
        "limits.value = 4M (was 8M)"], r["changed"])
    eq("no_route", c.code("get", "0", "k")[0])
    eq(8 << 20, c.call("hello")["limits"]["value"])
    eq(1, len(foo.workers()))
    # drop-ins and the environment count as they do at the start
    os.mkdir(os.path.join(os.path.dirname(foo.conf), "conf.d"))
    with open(os.path.join(os.path.dirname(foo.conf), "conf.d", "x.conf"), "w") as f:
        f.write("[limits]\nunread = 3M\n")
    assert "limits.unread = 3M (was 2M)" in reload(box, foo)


@test()
def a_signal_reloads_too_and_clients_may_not(box):
    n = box.cluster({"foo": {"*": "foo"}})
    foo = n["foo"]
    c = foo.client()
    eq(("denied", "reload: only through the node's admin socket: pail --config FILE reload"), c.code("reload"))
    r = box.pail(foo, "reload")
    eq(1, r.returncode)
    assert b"denied" in r.stderr
    foo.table = {"a-z": "foo"}
    foo.configure()
    os.kill(foo.process.pid, signal.SIGHUP)
    until(lambda: foo.status()["reloads"] == 1)
    eq("no_route", c.code("get", "0", "k")[0])
    a = foo.client(admin=True)
    eq("pong", a.call("ping"))  # what clients may, operators may
    eq({"changed": []}, a.call("reload"))
    mode = os.stat(foo.data + "/admin.sock").st_mode & 0o777
    eq(0o660, mode)
    r = box.run(lib.BUILD + "/pail", "--config", foo.conf + "x", "status")
    eq(78, r.returncode)
    # limits that changed are in force: an unread client gets busy earlier
    c.call("create", "b")
    c.call("put", "b", "k", b"x" * 500000)
    foo.more["limits.unread"] = "64K"
    foo.configure()
    reload(box, foo)
    ids = c.send(*[("get", "b", "k") for _ in range(200)])
    codes = [(c.wait(i)[2] or ["ok"])[0] for i in ids]
    assert "busy" in codes and "ok" in codes, set(codes)


@test()
def the_service_manager_is_told(box):
    """What systemd hears of a unit with Type=notify: ready, reloading, signs of life, stopping."""
    import socket
    path = box.dir + "/notify"
    s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    s.bind(path)
    s.settimeout(10 * lib.SLOW)
    n = box.node(env={"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "400000"})

    def hear(what):
        heard = []
        while not any(what in x for x in heard):
            heard.append(s.recv(4096).decode())
        return heard[-1]
    first = hear("READY=1")
    assert "MAINPID=%d" % n.process.pid in first and "STATUS=listens on" in first, first
    begin = time.monotonic()
    for _ in range(5):
        hear("WATCHDOG=1")
    assert 0.7 < time.monotonic() - begin < 1.5 * lib.SLOW
    now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    os.kill(n.process.pid, signal.SIGHUP)
    m = hear("RELOADING=1")
    at = int(m.split("MONOTONIC_USEC=")[1].split()[0])
    assert 0 <= at - now < 5000000 * lib.SLOW, (at, now)
    hear("READY=1")
    n.process.send_signal(signal.SIGTERM)
    hear("STOPPING=1")
    eq(0, n.process.wait(30 * lib.SLOW))
