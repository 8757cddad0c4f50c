"""Lists of all buckets of a cluster: they are whole, whoever leads what, or an error."""
import os
import threading
import time

from cluster import cluster
from lib import eq, test, until


def names(reply):
    return [x.decode() if isinstance(x, bytes) else x for x in reply["items"]]


def pages(c, at, limit, **options):
    """All names, in pages, of which none but the last is short."""
    out, after = [], {}
    x = c.client(at)
    try:
        while True:
            r = x.call("buckets", dict({"limit": limit}, **dict(options, **after)))
            got = names(r)
            assert len(got) <= limit and (len(got) == limit or not r["more"]), (limit, r)
            out += got
            if not r["more"]:
                return out
            after = {"after": got[-1]}
    finally:
        x.close()


def make(c, count, prefix="b"):
    """Buckets over all partitions, made through all nodes."""
    made = ["%s%04d" % (prefix, i) for i in range(count)]
    clients = [c.client(n) for n in c.names]
    ids = [(clients[i % len(clients)], clients[i % len(clients)].send(("create", b, {"timeout": 15000}))[0]) for i, b in enumerate(made)]
    for b, (x, i) in zip(made, ids):
        m = x.wait(i, 20)
        while m[2] and m[2][0] in ("too_few", "busy", "expired"):  # a slow machine: it has not run
            m = x.wait(x.send(("create", b, {"timeout": 15000}))[0], 20)
        eq([None, True], m[2:])
    for x in clients:
        x.close()
    return made


@test("cluster", "distributed", "long")
def every_node_lists_all_buckets_in_pages(box):
    c = cluster(box, workers=2)
    made = sorted(make(c, 300) + make(c, 40, "a"))
    for n in c.names:
        for limit in (1000, 340, 339, 64, 7):
            eq(made, pages(c, n, limit))
        eq(made[40:], pages(c, n, 50, prefix="b"))
        eq([], pages(c, n, 50, prefix="zz"))
        eq(made[-3:], names(c.ask(n, "buckets", {"after": made[-4], "limit": 1000})))
    eq(made[:3], pages(c, "b", 1, prefix="a")[:3])
    if c.real:
        led = {b: c.primary(b) for b in made[::20]}
        own = {n: names(c.ask(n, "buckets", {"local": True, "limit": 1000})) for n in c.names}
        eq(made, sorted(b for some in own.values() for b in some))
        for b, n in led.items():
            assert b in own[n], (b, n)
        c.kill("c")  # from now on two have all
        for n in "ab":
            eq(made, pages(c, n, 200, timeout=10000))
        c.start("c")
        c.ready()
    for b in made[:30]:
        eq(True, c.ask("c", "drop", b))
    for n in c.names:
        eq(made[30:], pages(c, n, 1000))
    x = c.client("a")
    for option in ({"partitions": b"\xff" * 32}, {"set": b"\xff" * 32}, {"names": b""}):
        eq("bad_argument", x.code("buckets", option)[0])
    x.close()
    c.stop()


class Lister(threading.Thread):
    """Asks one node again and again; what came: [(seconds, error or names)]."""

    def __init__(self, c, at, timeout):
        super().__init__(daemon=True)
        self.client, self.timeout, self.end, self.got = c.client(at), timeout, False, []
        self.start()

    def run(self):
        while not self.end:
            begun = time.monotonic()
            i = self.client.send(("buckets", {"limit": 10000, "timeout": self.timeout}))[0]
            reply = self.client.wait(i, self.timeout / 1000 + 5)
            self.got.append((time.monotonic() - begun, reply[2], reply[3] and sorted(names(reply[3]))))

    def stop(self):
        self.end = True
        self.join()
        self.client.close()
        return self.got


@test("cluster", "distributed", "kill", "long")
def lists_are_whole_while_partitions_move_and_nodes_die(box):
    c = cluster(box, workers=2)
    made = sorted(make(c, 500))
    listers = {n: Lister(c, n, 15000) for n in "ab"}
    done = lambda: {n: len(x.got) for n, x in listers.items()}

    def more(count=3):
        before = done()
        until(lambda: all(done()[n] >= before[n] + count for n in before), 30, "lists to be made")

    more()
    if c.real:
        c.drain("b")
        more()
        c.drain("a")
        more()
    c.kill("c")
    more()
    c.start("c")
    c.ready()
    if c.real:
        c.pause("c")  # its links do not break
        more()
        c.resume("c")
        c.ready()
    more()
    for n, x in listers.items():
        got = x.stop()
        print("# %s: %d lists, the slowest took %.2f s" % (n, len(got), max(g[0] for g in got)))
        for seconds, error, items in got:
            eq((None, made), (error, items))
    c.stop()


@test("cluster", "distributed", "kill", "long")
def a_list_waits_for_partitions_that_nobody_serves(box):
    c = cluster(box, factor=2, min_copies=1)
    if not c.real:
        print("# left out: there is one node only")
        return
    made = sorted(make(c, 100))
    c.kill("b")
    c.kill("c")  # what these two had together nobody has
    x = c.client("a")
    begun = time.monotonic()
    error = x.code("buckets", {"timeout": 3000, "limit": 1000})
    eq("expired", error[0])
    assert "partitions" in error[1] and 2.9 < time.monotonic() - begun < 6, (error, time.monotonic() - begun)
    local = names(x.call("buckets", {"local": True, "limit": 1000}))
    assert set(local) < set(made), local
    i = x.send(("buckets", {"timeout": 60000, "limit": 1000}))[0]
    eq("pong", x.call("ping"))
    c.start("b")
    c.start("c")
    eq(made, names(x.wait(i, 60)[3]))
    x.close()
    c.ready()
    c.stop()


@test("cluster", "distributed")
def a_whole_cluster_is_exported_and_imported_through_any_node(box):
    c = cluster(box)
    made = make(c, 60)
    x = c.client("a")
    for b in made:
        x.call("put", b, "k" + b, "v" + b)
    path = os.path.join(box.dir, "all.pail")
    with open(path, "wb") as f:
        r = c.pail("b", "export") if c.real else None
        if r is None:
            print("# left out: there is one node only")
            x.close()
            return
        eq((0, b""), (r.returncode, r.stderr))
        f.write(r.stdout)
    for b in made:
        eq(True, x.call("drop", b))
    eq([], names(x.call("buckets")))
    r = c.pail("c", "import", path)
    eq((0, b""), (r.returncode, r.stderr))
    for b in made:
        eq(("v" + b).encode(), x.call("get", b, "k" + b)[0])
    eq(sorted(made), names(x.call("buckets", {"limit": 1000})))
    x.close()
    c.stop()
