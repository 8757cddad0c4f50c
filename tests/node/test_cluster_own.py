"""Buckets of one node's own, by static routes, beside those of the cluster."""
import lib
from cluster import cluster
from lib import eq, test, until


def own_routes(n, nodes, settings):
    """a and b have a-m for themselves, c goes to a for them."""
    if n == "c":
        settings["peers.a"] = nodes["a"].peer
    return {"a-m": "a" if n == "c" else n, "*": "ring"}


def value(c, at, bucket, key="k"):
    r = c.ask(at, "get", bucket, key)
    return r and r[0]


@test("cluster", "distributed", "long")
def own_buckets_lie_beside_the_rings(box):
    c = cluster(box, routes=own_routes)
    if not c.real:
        return
    for n in "ab":  # two of one name, and what each has is its own
        eq(True, c.ask(n, "create", "books"))
        c.ask(n, "put", "books", "k", "of " + n)
    eq(True, c.ask("a", "create", "songs"))
    c.ask("a", "put", "songs", "k", "of all")
    eq([b"of a", b"of b", b"of a"], [value(c, n, "books") for n in "abc"])
    eq([b"of all"] * 3, [value(c, n, "songs") for n in "abc"])
    eq(["a", "b", "a"], [c.route("books", n)["node"] for n in "abc"])
    c.ask("c", "put", "books", "l", "by c")
    eq([2, 1, 2], [c.ask(n, "count", "books") for n in "abc"])

    for n in "ab":  # a restart: what is whose stays so
        c.n[n].stop()
        c.start(n)
        c.ready()
    eq([b"of a", b"of b", b"of a"], [value(c, n, "books") for n in "abc"])

    c.kill("a")  # the ring's goes on elsewhere, its own is away
    until(lambda: value(c, "b", "songs") == b"of all", 15, "the ring to go on")
    eq(b"of b", value(c, "b", "books"))
    eq("node_down", c.n["c"].client().code("get", "books", "k")[0])
    c.ask("b", "put", "songs", "k", "later")
    c.start("a")
    c.ready()
    eq([b"of a", b"of b", b"of a"], [value(c, n, "books") for n in "abc"])
    eq([b"later"] * 3, [value(c, n, "songs") for n in "abc"])
    c.stop()


@test()
def own_buckets_need_neither_cluster_nor_agreement(box):
    """It has not joined, and there is no etcd: what is its own is served as on any node."""
    conf = box.dir + "/a.conf"
    text = ("[node]\nname = a\nclient = tcp://127.0.0.1:%d\npeer = tcp://127.0.0.1:%d\ndata = %s/data\n" % (*box.ports(2), box.dir) +
            "[cluster]\nname = demo\netcd = http://127.0.0.1:1\n[routes]\n")
    with open(conf, "w") as f:
        f.write(text + "a-m = a\nn-z = ring\n")
    n = lib.Node(box, conf=conf, data=box.dir + "/data")
    for i in range(2):
        ask = n.client()
        eq(not i, ask.call("create", "books"))
        for k in range(100):
            ask.call("put", "books", "key%d" % k, "v%d" % i)
        eq(100, ask.call("count", "books"))
        eq([b"v%d" % i] * 2, [ask.call("get", "books", "key%d" % k)[0] for k in (0, 99)])
        eq("expired", ask.code("get", "songs", "k", {"timeout": 200})[0])
        eq([b"books"], [bytes(x) if not isinstance(x, str) else x.encode() for x in ask.call("buckets", {"prefix": "b"})["items"]])
        if i == 0:
            eq(0, n.stop())
            n.start()
    eq(0, n.stop())


@test("slow")
def own_buckets_outlive_a_worker_an_upgrade_and_another_route(box):
    conf = box.dir + "/a.conf"
    ports = box.ports(2)

    def routes(*lines):
        with open(conf, "w") as f:
            f.write("[node]\nname = a\nclient = tcp://127.0.0.1:%d\npeer = tcp://127.0.0.1:%d\ndata = %s/data\n" % (*ports, box.dir) +
                    "workers = 3\n[cluster]\nname = demo\netcd = http://127.0.0.1:1\n[routes]\n" + "\n".join(lines) + "\n")

    routes("a-m = a", "n-z = ring")
    n = lib.Node(box, conf=conf, data=box.dir + "/data")
    names = ["book%d" % i for i in range(12)]  # of each worker some
    c = n.client()
    for b in names:
        c.call("create", b)

    def stir(disturb):
        """Each put is answered once, and with the version that it has."""
        ids = {i: b for i in range(0, 1200) for b in [names[i % len(names)]]}
        sent = c.send(*(("put", b, "k%d" % i, "v%d" % i) for i, b in ids.items()))
        disturb()
        versions = {i: c.wait(x, 30)[3] for i, x in zip(ids, sent)}
        for i, b in ids.items():
            eq([b"v%d" % i, versions[i]], c.call("get", b, "k%d" % i))

    for w in range(3):
        stir(lambda: n.kill_worker(w))
        n.up()
    stir(lambda: eq(0, box.run(n.build + "/pail", "--admin", "ipc://%s/data/admin.sock" % box.dir, "upgrade", "--wait").returncode))
    stir(lambda: eq(0, box.run(n.build + "/pail", "--admin", "ipc://%s/data/admin.sock" % box.dir, "worker", "restart", "1").returncode))
    c = n.client()
    eq([100] * len(names), [c.call("count", b) for b in names])
    eq([b.encode() for b in sorted(names)], [x if isinstance(x, bytes) else x.encode() for x in c.call("buckets", {"prefix": "b"})["items"]])
    eq("a", c.call("route", "book0")["node"])
    eq(b"v0", c.call("txn", "book0", {"then": [["get", "k0"]]})["results"][0][0])

    routes("a-m = ring", "n-z = ring")  # away while its name leads to the cluster, and back
    n.client(admin=True).call("reload")
    eq("expired", c.code("get", "book0", "k0", {"timeout": 200})[0])
    routes("a-m = a", "n-z = ring")
    n.client(admin=True).call("reload")
    eq(b"v0", c.call("get", "book0", "k0")[0])
    eq([100] * len(names), [c.call("count", b) for b in names])

    c.call("put", "book0", "short", "v", {"ttl": 300})
    until(lambda: c.call("count", "book0") == 100, 10, "what has expired to be deleted")
    eq(0, n.stop())
    with open(conf) as f:
        text = f.read()
    with open(conf, "w") as f:  # no cluster, no half of a folder
        f.write(text[:text.index("[cluster]")])
    n.start(wait=False)
    until(lambda: n.output().count("start it with the [cluster] that it is of") >= 3, 20, "each worker to say why not")
    n.kill()
