"""A node with [cluster] in its configuration: what is checked before it starts, and what it refuses until it has joined."""
import os

import lib
from lib import eq, test



def text_of(box, more):
    return "[node]\nname = a\ndata = %s/data\nworkers = 1\nclient = tcp://127.0.0.1:0\npeer = tcp://127.0.0.1:0\n" \
           "[storage]\nreserve = 1M\nmap = 1G\n%s" % (box.dir, more)


def write(box, text):
    path = os.path.join(box.dir, "a.conf")
    with open(path, "w") as f:
        f.write(text)
    return path


def check(box, path, status):
    r = box.run(lib.BUILD + "/paild", "--config", path, "--check-config")
    eq((status, r.stderr), (r.returncode, r.stderr))
    return r.stderr.decode()


@test()
def what_is_wrong_with_a_cluster_is_said_with_its_line(box):
    demo = "[cluster]\nname = demo\netcd = http://127.0.0.1:2379\n"
    for more, status, want in (
            (demo + "[routes]\n* = ring\n", 0, ""),
            ("[routes]\n* = ring\n", 78, "a.conf:11: route to the cluster (ring), but this node belongs to none"),
            (demo + "[routes]\na-m = a\nn-z = ring\n", 0, ""),
            (demo + "[routes]\na-m = a\nn-z = ring\n[storage]\npartitions = 4096\n", 78,
             "a.conf:14: route to this node, which is one of a cluster: beside more than 2048 partitions"),
            ("[cluster]\nname = demo\n", 78, "a.conf:11: cluster.name = demo, but cluster.etcd is not set"),
            ("[cluster]\nname = demo\netcd = 127.0.0.1\n", 78, "a.conf:12: cluster.etcd = 127.0.0.1: it is written http://HOST:PORT"),
            ("[peers]\nring = tcp://h:1\n", 78, "a.conf:11: peer \"ring\" is what [routes] calls the cluster")):
        out = check(box, write(box, text_of(box, more)), status)
        assert want in out and bool(want) == bool(out), (more, want, out)


@test()
def the_sample_of_a_cluster_is_a_configuration(box):
    r = box.run(lib.BUILD + "/paild", "--config", "conf/cluster.conf", "--check-config")
    eq((0, b"", b""), (r.returncode, r.stdout.replace(b"configuration OK\n", b""), r.stderr))
    r = box.run(lib.BUILD + "/paild", "--config", "conf/cluster.conf", "--print-config")
    assert b"* = ring\n" in r.stdout and b"name = demo\n" in r.stdout, r.stdout


@test()
def what_the_cluster_has_waits_until_it_is_known_whose_it_is(box):
    """Each request for it, and a list of all buckets."""
    write(box, text_of(box, "[cluster]\nname = demo\netcd = http://127.0.0.1:1\n[routes]\n* = ring\n"))
    n = lib.Node(box, conf=box.dir + "/a.conf", data=box.dir + "/data")
    c = n.client()
    assert "cluster" in c.call("hello")["features"]
    eq(1, len([r for r in c.call("status")["routes"] if r["node"] == "ring"]))
    short = {"timeout": 200}
    for request in (("create", "world", short), ("get", "world", "k", short), ("put", "world", "k", "v", short), ("count", "world", short),
                    ("scan", "world", short), ("drop", "world", short)):
        eq("expired", c.code(*request)[0])
    why = "its time was over before all 256 partitions were listed: nobody serves 0 and 255 others"
    for request in (("buckets", short), ("buckets", dict(short, prefix="w"))):
        eq(("expired", why), c.code(*request))
    eq(0, n.stop())


@test()
def a_node_that_runs_is_taken_into_no_cluster(box):
    demo = "[cluster]\nname = demo\netcd = http://127.0.0.1:1\n[routes]\n* = ring\n"
    path = write(box, text_of(box, ""))
    n = lib.Node(box, conf=path, data=box.dir + "/data")
    ask = n.client(admin=True)
    assert "cluster" not in ask.call("hello")["features"]
    write(box, text_of(box, demo))
    for method in "reload", "upgrade":
        e = ask.error(method)
        assert "this node runs outside of any cluster, only a restart takes it into one" in e.text, e.text
    eq(True, n.client().call("create", "world"))
    eq(0, n.stop())
    n.start()
    ask = n.client(admin=True)
    eq("expired", n.client().code("get", "world", "k", {"timeout": 200})[0])
    write(box, text_of(box, ""))
    e = ask.error("reload")
    assert "this node runs in the cluster demo, only a restart changes that" in e.text, e.text
    write(box, text_of(box, demo.replace("* = ring", "a-m = b\n* = ring") + "[peers]\nb = tcp://127.0.0.1:1\n"))
    eq(["peers: b = tcp://127.0.0.1:1", "routes: a-m = b, * = ring"], sorted(ask.call("reload")["changed"]))
    eq("expired", n.client().code("get", "world", "k", {"timeout": 200})[0])
    eq(0, n.stop())
