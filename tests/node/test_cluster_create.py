"""A cluster is created: who may be in it, what breaks it off, and what a node answers before it knows of one."""
import json
import re
import shutil
import subprocess
import time

import etcd
import keys
import lib
from cluster import cluster
from lib import eq, test, until
from test_agent import certificates


def ask(c, name, *words):
    r = c.pail(name, "cluster", "create", *words)
    return r.returncode, r.stderr.decode()


def begin(c, name, *words):
    return subprocess.Popen([lib.BUILD + "/pail", "--config", c.n[name].conf, "cluster", "create", *words], stderr=subprocess.PIPE)


def known(c):
    """The nodes have heard of each other."""
    until(lambda: all(all(x["state"] == "up" or not x["number"] for x in c.status(n)["nodes"]) and len(c.status(n)["nodes"]) == len(c.names)
                      for n in c.names), 20, "the nodes to know of each other")
    until(lambda: all(p["state"] == "up" for n in c.names for p in peers(c, n)), 20, "links")


def peers(c, n):
    return c.ask(n, "status")["peers"]


def refused(c, name, words, *texts):
    code, said = ask(c, name, *words)
    assert code not in (0, 2) and all(t in said for t in texts), (words, code, said)
    eq(None, c.etcd.get("/pail/demo/config").value)


@test("cluster", "distributed")
def who_cannot_be_in_a_cluster_is_said_before_it_is_created(box):
    c = cluster(box, "abcd", create=False, more={"d": {"storage.partitions": 64}})
    if not c.real:
        return
    known(c)
    abc = ["a", "b", "c"]
    refused(c, "a", ["--factor", "2", "a", "b", "x"], 'node "x" has not registered')
    refused(c, "a", ["--factor", "2", "a", "b", "a"], 'node "a" is named twice')
    refused(c, "a", ["--factor", "4", *abc], "factor 4")
    refused(c, "a", ["--factor", "2", "--min-copies", "3", *abc], "min_copies 3")
    refused(c, "a", ["--factor", "2", "--keep", "d", *abc], "not among the nodes")
    refused(c, "a", ["--factor", "2", "a", "b", "d"], 'node "d" has 64 partitions, this one 256')
    refused(c, "d", ["--factor", "1", "d", "a"], 'node "a" has 256 partitions, this one 64')
    c.kill("c")
    until(lambda: {"up"} != {p["state"] for p in peers(c, "a")}, 10, "c to be missed")
    refused(c, "a", ["--factor", "2", *abc], 'node "c" has registered, but is not connected')
    refused(c, "a", ["--factor", "2", "--keep", "c", *abc], 'node "c" has registered, but is not connected')
    c.start("c")
    known(c)
    c.create(abc)
    # The one that is not of it says so, and at once.
    until(lambda: "not one of" in c.verdict("d")[1][0], 10, "d to hear of it")
    begin_s = time.monotonic()
    eq(("node_down", 'this node is not one of the cluster "demo"'), c.client("d").code("get", "x", "k"))
    assert time.monotonic() - begin_s < 3 * lib.SLOW
    assert c.verdict("d")[1][0].startswith("this node is not one of the cluster"), c.verdict("d")
    c.stop()


@test("cluster", "distributed")
def a_node_with_buckets_is_not_taken_unless_they_are_kept(box):
    c = cluster(box, create=False)
    if not c.real:
        return
    with open(c.n["b"].conf) as f:
        text = f.read()
    eq(0, c.n["b"].stop())
    with open(c.n["b"].conf, "w") as f:
        f.write(text.split("[cluster]")[0] + "[routes]\n* = b\n")
    c.start("b")
    c.client("b").call("create", "mine")
    c.client("b").call("put", "mine", "k", "v")
    eq(0, c.n["b"].stop())
    with open(c.n["b"].conf, "w") as f:
        f.write(text)
    c.start("b")
    known(c)
    until(lambda: b'"data": true' in c.etcd.get("/pail/demo/node/b").value or b'"data":true' in c.etcd.get("/pail/demo/node/b").value, 10, "b to tell")
    for words in (["a", "b", "c"], ["--keep", "a", "a", "b", "c"]):
        until(lambda: "has buckets" in ask(c, "a", "--factor", "2", *words)[1], 10, "a to have heard of it")
        refused(c, "a", ["--factor", "2", *words], 'node "b" has buckets', "--keep b")
    c.create(["a", "b", "c"], keep="b")
    c.ready(60)
    eq(b"v", c.ask("a", "get", "mine", "k")[0])
    c.stop()


@test("cluster", "distributed")
def two_nodes_asked_at_once_make_one_cluster(box):
    c = cluster(box, create=False)
    if not c.real:
        return
    known(c)
    rs = [begin(c, n, "--factor", f, *c.names) for n, f in (("a", "3"), ("b", "2"))]
    out = [(p.wait(), p.stderr.read().decode()) for p in rs]
    eq(1, [code for code, _ in out].count(0))
    assert any(t in (out[0][1] + out[1][1]) for t in ("another node", "already")), out
    factor = 3 if out[0][0] == 0 else 2
    c.factor = factor
    c.ready()
    eq({factor}, {c.status(n)["factor"] for n in c.names})
    code, said = ask(c, "c", "--factor", "2", *c.names)
    assert code and "created already" in said, (code, said)
    c.stop()


@test("cluster", "distributed", "kill", "long")
def a_creation_that_breaks_off_is_begun_again(box):
    """The node is killed half way, at another moment each time; then etcd stands still in the middle of one."""
    c = cluster(box, create=False)
    if not c.real:
        return
    known(c)
    for i in range(4):
        p = begin(c, "a", "--factor", "3", *c.names)
        until(lambda: c.etcd.get("/pail/demo/creating").mod_revision or p.poll() is not None, 10, "it to begin")
        time.sleep(i * 0.005)
        c.kill("a")
        p.kill()
        p.wait()
        if c.etcd.get("/pail/demo/config").value:
            print("# it was created before the kill, after %d" % i)
            break
        c.start("a")
        known(c)
        c.etcd.post("/v3/kv/deleterange", {"key": etcd.b64("/pail/demo/creating")})
    else:
        p = begin(c, "b", "--factor", "3", *c.names)
        until(lambda: c.etcd.get("/pail/demo/creating").mod_revision or p.poll() is not None, 10, "it to begin")
        c.etcd.pause()
        time.sleep(1)
        c.etcd.resume()
        if p.wait():
            assert b"try again" in p.stderr.read()
            c.create(c.names)
    if not c.n["a"].alive():
        c.start("a")
    c.ready(60)
    c.stop()


@test("cluster", "distributed", "restart", "long")
def a_node_that_has_read_nothing_yet_lets_requests_wait(box):
    """Its etcd does not answer: it cannot know that it is not of the cluster."""
    c = cluster(box)
    if not c.real:
        return
    c.ask("b", "create", "x")
    c.ask("b", "put", "x", "k", "v")
    eq(0, c.n["a"].stop())
    c.etcd.pause()
    try:
        c.start("a")
        x = c.client("a")
        assert c.verdict("a")[1][0].startswith("the agreement has not been read yet"), c.verdict("a")
        eq("expired", x.code("get", "x", "k", {"timeout": 500})[0])
        i = x.send(("get", "x", "k", {"timeout": 15000}))[0]
        time.sleep(0.5)
        eq({}, x.replies)
    finally:
        c.etcd.resume()
    m = x.wait(i, 15)
    eq((None, b"v"), (m[2], m[3][0]))
    c.ready()
    c.stop()


@test("cluster", "distributed")
def requests_that_waited_are_told_when_there_is_no_cluster(box):
    c = cluster(box, "a", create=False)
    if not c.real:
        return
    eq(0, c.n["a"].stop())
    c.etcd.pause()
    try:
        c.start("a")
        x = c.client("a")
        i = x.send(("get", "x", "k", {"timeout": 30000}))[0]
        time.sleep(0.3)
        eq({}, x.replies)
    finally:
        c.etcd.resume()
    m = x.wait(i, 10)
    eq("node_down", m[2][0])
    assert "has not been created yet" in m[2][1], m
    c.stop()


@test("cluster", "distributed", "long")
def an_etcd_with_certificates_and_users_is_asked_by_its_rules(box):
    """TLS both ways and a user of etcd's; who has it not is away, and says why. What only a restart changes is said by a reload."""
    cert = certificates(box)
    c = cluster(box, create=False)
    if not c.real:
        return
    for n in c.names:
        eq(0, c.n[n].stop())
    c.etcd.stop()
    c.etcd = etcd.Etcd(box, cert=cert, flags=["--client-cert-auth", "--trusted-ca-file", cert[0]])
    post = lambda path, **kw: c.etcd.post("/v3/auth/" + path, kw)
    for user in "root", "pail":
        post("user/add", name=user, password="secret of " + user)
        post("role/add", name=user)
    post("role/grant", name="pail", perm={"permType": 2, "key": etcd.b64("/pail/"), "range_end": etcd.b64("/pail0")})
    for user in "root", "pail":
        post("user/grant", user=user, role=user)
    post("enable")
    with open(box.dir + "/password", "w") as f:
        f.write("secret of pail\n")
    lines = {"etcd": c.etcd.endpoints, "etcd_ca": cert[0], "etcd_cert": cert[1], "etcd_cert_key": cert[2], "etcd_user": "pail",
             "etcd_password": box.dir + "/password"}
    for n in c.names:
        shutil.rmtree(c.n[n].data)  # it remembers which etcd was the cluster's
        with open(c.n[n].conf) as f:
            text = f.read()
        with open(c.n[n].conf, "w") as f:
            f.write(re.sub(r"(?m)^etcd = .*$", "\n".join("%s = %s" % kv for kv in lines.items()), text))
        c.start(n)
    until(lambda: c.verdict("a")[1][0].startswith("the cluster \"demo\" has not been created"), 20, "a to have read it")
    r = until(lambda: [r for r in [ask(c, "a", "--factor", "3", *c.names)] if "not registered" not in r[1] and "not connected" not in r[1]], 20,
              "the nodes")[0]
    eq((0, ""), r)
    until(lambda: "all is well" in c.verdict("a")[1][0], 30, "all to be well")
    c.ask("b", "create", "x")
    c.ask("b", "put", "x", "k", "v")
    eq(b"v", c.ask("c", "get", "x", "k")[0])
    # A reload names what a restart needs; a file that cannot be read is found before it.
    with open(c.n["a"].conf) as f:
        text = f.read()
    with open(c.n["a"].conf, "w") as f:
        f.write(text.replace("etcd_user = pail", "etcd_user = root"))
    said = c.n["a"].client(admin=True).call("reload")
    assert "cluster.etcd_user" in str(said), said
    with open(c.n["a"].conf, "w") as f:
        f.write(text.replace("/password", "/none"))
    r = box.run(lib.BUILD + "/paild", "--config", c.n["a"].conf, "--check-config")
    assert r.returncode == 78 and b"cluster.etcd_password = " in r.stderr and b"No such file" in r.stderr, r
    # A wrong password: the node says so.
    with open(box.dir + "/password", "w") as f:
        f.write("wrong\n")
    with open(c.n["a"].conf, "w") as f:
        f.write(text)
    eq(0, c.n["a"].stop())
    c.start("a")
    until(lambda: c.status("a")["agreement"]["state"] == "away" and "auth" in c.status("a")["agreement"]["text"].lower(), 20,
          "the wrong password to be told: %r" % c.status("a")["agreement"])
    c.stop()


@test("cluster", "distributed")
def nodes_know_each_other_by_the_keys_that_they_have_registered(box):
    """No [peers]: a stranger is not let in, nor who comes with a key of before."""
    own = {n: keys.Key(box, n) for n in "abc"}
    with open(box.dir + "/clients", "w") as f:
        f.write("shop %s read:* write:* create:*\n" % keys.Key(box, "shop").public)
    c = cluster(box, create=False, more={n: {"security.key": own[n].path, "security.clients": box.dir + "/clients"} for n in "abc"})
    if not c.real:
        return
    well = lambda: all(c.verdict(n)[0] for n in c.names)
    c.create(c.names)
    until(well, 30, "all to be well")
    admin = lambda n: c.n[n].client(admin=True)
    for i in range(10):
        admin("a").call("create", "x%d" % i)
        admin("b").call("put", "x%d" % i, "k", "v")
        eq(b"v", admin("c").call("get", "x%d" % i, "k")[0])

    def refused(key):
        """a does not let it in at its port for nodes."""
        times = lambda: admin("a").call("status")["security"]["refused"]
        before = times()
        x = keys.connect(box, c.n["a"].peer, key, own["a"].public)
        x.send(("hello",))
        until(lambda: times() > before, 10, "it to be refused")
        eq(False, bool(x.socket.poll(200)))
    refused(keys.Key(box, "stranger"))
    until(lambda: "is in no line of [peers], and registered for no node of the cluster" in c.n["a"].output(), 10, "it to be told")
    # Another key for b: it registers it, and the old one is nobody's.
    old, own["b"] = own["b"], keys.Key(box, "b")
    eq(0, c.n["b"].stop())
    c.start("b")
    until(well, 30, "all to be well with another key")
    eq(own["b"].public, json.loads(c.etcd.get("/pail/demo/node/b").value)["key"])
    for i in range(10):
        admin("b").call("put", "x%d" % i, "k", "w")
        eq(b"w", admin("a").call("get", "x%d" % i, "k")[0])
    refused(old)
    c.stop()
