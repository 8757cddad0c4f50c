"""What operators do to a node with keys: through the client port, and upgrades under load."""
import os
import shutil
import threading

import lib
from keys import Key, KeyedNodes
from lib import eq, test, until


def admin(n):
    return "ipc://%s/admin.sock" % n.data


def upgrade(box, n):
    return box.run(n.build + "/pail", "--admin", admin(n), "upgrade", "--wait")


class Load(threading.Thread):
    """A client that puts one thing after the other, and obeys goaway; what it did is written down."""

    def __init__(self, k, name, bucket):
        super().__init__(daemon=True)
        self.k, self.name_, self.bucket = k, name, bucket
        self.end, self.failed, self.n, self.connections = False, None, 0, 1
        self.c = k.connect("foo", name)
        self.start()

    def run(self):
        try:
            while not self.end:
                ids = self.c.send(*[("put", self.bucket, "k%d" % (self.n + i), str(self.n + i)) for i in range(10)])
                for i in ids:
                    eq(None, self.c.wait(i, 30)[2])
                self.n += 10
                if self.c.notes:
                    self.c.close()
                    self.c = self.k.connect("foo", self.name_)
                    self.connections += 1
        except Exception as e:
            self.failed = e

    def check(self):
        self.end = True
        self.join()
        if self.failed:
            raise self.failed
        eq(self.n, self.c.call("count", self.bucket))


@test()
def operators_by_the_client_port(box):
    """All of their methods, by a client with admin:*; an upgrade under load loses nothing, and clients come back with their keys."""
    k = KeyedNodes(box, {"foo": {"*": "foo"}}, {"ops": ["admin:*"], "shop": ["read:*", "write:*", "create:*"]}, workers=2)
    foo, ops, shop = k.nodes["foo"], k.connect("foo", "ops"), k.connect("foo", "shop")
    for b in "ab":
        shop.call("create", b)
    status = ops.call("status")
    eq(("foo", True), (status["node"], status["security"]["keys"]))
    ops.call("functions")
    eq([], ops.call("reload")["changed"])
    loads = [Load(k, "shop", b) for b in "ab"]
    pids = [w["pid"] for w in status["workers"]]
    ops.call("worker", "restart", 0, seconds=60)
    until(lambda: ops.call("status")["workers"][0]["pid"] not in pids, 20, "another worker")
    for n in range(3):
        ops.send(("upgrade",))
        until(lambda: foo.output().count("upgraded to version") == n + 1, 30, "an upgrade")
        ops = k.connect("foo", "ops")
        eq("ops", ops.call("hello")["client"])
    # a stranger does not get in by an upgrade
    stranger = k.connect("foo", None, key=Key(box, "stranger"))
    stranger.send(("ping",))
    eq(0, stranger.socket.poll(500))
    for x in loads:
        x.check()
        assert x.connections >= 3, x.connections
    print("# %d puts" % sum(x.n for x in loads))
    eq(0, foo.stop())


@test()
def a_key_file_that_cannot_be_read_is_no_upgrade(box):
    k = KeyedNodes(box, {"foo": {"*": "foo"}}, {"shop": ["read:*", "admin:*"]})
    foo, own, shop = k.nodes["foo"], k.own["foo"], k.connect("foo", "shop")
    eq("pong", shop.call("ping"))

    def refused(*parts):
        r = upgrade(box, foo)
        eq(78, r.returncode)
        for p in parts + ("nothing has changed",):
            assert p.encode() in r.stderr, (p, r.stderr)
        eq("pong", shop.call("ping"))
        assert own.secret.encode() not in r.stderr

    os.chmod(own.path, 0o640)
    refused(own.path, "chmod 600")
    os.chmod(own.path, 0o600)
    os.rename(own.path, own.path + ".away")
    refused(own.path)
    os.rename(own.path + ".away", own.path)
    with open(k.file, "a") as f:
        f.write("x y z\n")
    refused(k.file + ":3: ")
    k.write()
    # another path, which a running node does not take: the file that it goes on with is what counts
    with open(foo.conf) as f:
        text = f.read()
    shutil.copy(own.path, own.path + ".2")
    with open(foo.conf, "w") as f:
        f.write(text.replace(own.path, own.path + ".2"))
    os.rename(own.path, own.path + ".away")
    refused(own.path)
    os.rename(own.path + ".away", own.path)
    r = upgrade(box, foo)
    eq((0, 1), (r.returncode, foo.status()["upgrades"]))
    # another pair in the same file: an upgrade takes it, and those that know it get in
    again = Key(box, "foo")
    r = upgrade(box, foo)
    eq(0, r.returncode)
    eq("shop", k.connect("foo", "shop", server=again.public).call("hello")["client"])
    old = k.connect("foo", "shop")
    old.send(("ping",))
    eq(0, old.socket.poll(500))


@test("distributed")
def each_role_asks_for_keys(box):
    """A router without a folder, which only its clients with admin:* can operate, in front of a node that stores and has no clients."""
    tables = {"front": {"*": "back"}, "back": {"*": "back"}}
    more = {"front": {"node.role": "router", "node.data": ""}, "back": {"node.role": "storage"}}
    k = KeyedNodes(box, tables, {"ops": ["admin:*"], "shop": ["read:a*", "write:a*", "create:*"]}, more=more)
    front, ops, shop = k.nodes["front"], k.connect("front", "ops"), k.connect("front", "shop")
    until(lambda: [p for p in ops.call("status")["peers"] if p["name"] == "back" and p["state"] == "up"], 20, "the link")
    eq(True, shop.call("create", "ab"))
    version = shop.call("put", "ab", "k", "v")
    eq([b"v", version], shop.call("get", "ab", "k"))
    eq(True, shop.call("create", "hidden"))
    eq("denied", shop.code("get", "hidden", "k")[0])
    eq([b"ab"], shop.call("buckets")["items"])
    eq(None, k.nodes["back"].endpoint)
    del k.clients["shop"]
    k.write()
    eq(1, len([line for line in ops.call("reload")["changed"] if line.startswith("clients: 1, of them 0 new")]))
    shop.send(("ping",))
    eq(0, shop.socket.poll(300))
    ops.send(("upgrade",))
    until(lambda: "upgraded to version" in front.output(), 20, "an upgrade")
    eq(1, k.connect("front", "ops").call("status")["upgrades"])
