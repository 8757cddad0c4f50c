"""The port for nodes with keys: a key speaks for one name, and who has none does nothing."""
import os
import shutil
import signal
import threading
import time

import msgpack
import zmq

import lib
from curve import Hand
from keys import Key, KeyedNodes, curve
from lib import Error, eq, test, until
from test_routing import Asker

NOW = "now"
FAR = 2 ** 62  # newer than any real link


def pair_of(box, **kw):
    """foo and bar, linked, each with half of all buckets; clients may everything."""
    tables = {"foo": {"a-m": "foo", "n-z": "bar"}, "bar": {"n-z": "bar", "a-m": "foo"}}
    return KeyedNodes(box, tables, {"shop": ["read:*", "write:*", "create:*", "admin:*"]}, **kw)


def reload(node):
    return node.client(admin=True).call("reload")["changed"]


def quiet(a, ms=400):
    return not a.socket.poll(ms)


def request(*r):
    return msgpack.packb([0, 7, *r])


# What is said at the port for nodes: name, whether hello is said before, messages.
SAYINGS = [
    ("hello", True, []),
    ("ping", True, [[3, NOW]]),
    ("create", True, [[5, 1, NOW, ["bar"], [5000], request("create", ["a-evil"])]]),
    ("create, without a hello", False, [[5, 1, NOW, ["bar"], [5000], request("create", ["a-evil-2"])]]),
    ("drop", True, [[5, 1, NOW, ["bar"], [5000], request("drop", ["a-good"])]]),
    ("put", True, [[5, 1, NOW, ["bar"], [5000], request("put", ["a-kept", "k", "evil"])]]),
    ("get", True, [[5, 1, NOW, ["bar"], [5000], request("get", ["a-kept", "k"])]]),
    ("buckets", True, [[5, 1, NOW, ["bar"], [5000], request("buckets", [])]]),
    ("operators' methods", True,
     [[5, 1, NOW, ["bar"], [5000] * 3, request("status", []) + request("reload", []) + request("upgrade", [])]]),
    ("replies", True, [[6, 1, b"\0\0", msgpack.packb([1, 7, None, "evil"])]]),
    ("goaway", True, [[2, "go away", 0]]),
    ("welcome", True, [[1, 2, "foo", "x", 1 << 20, {}]]),
    ("nonsense", False, [[9, 9, 9]]),
]


def effects(box, cluster, options):
    """Say all of it as bar at foo's port; what each has changed, and what came back."""
    foo, bar = cluster["foo"], cluster["bar"]
    admin = foo.client(admin=True)
    for b in ("a-good", "a-kept"):
        admin.call("create", b)
    out = {}
    for i, (name, hello, messages) in enumerate(SAYINGS):
        if options or name == "hello":
            bar.linked("foo")
        if name == "put":
            admin.call("put", "a-kept", "k", "good")
        before = sorted(admin.call("buckets", {"local": True})["items"])
        value = admin.call("get", "a-kept", "k")
        broke = bar.output().count("is down")
        a = Asker(box, foo, name="bar", epoch=FAR + i, started=FAR, options=options, hello=hello)
        for m in messages:
            a.send(*(a.now() if x == NOW else x for x in m))
        a.socket.poll(200)
        time.sleep(0.1)
        got = []
        while a.socket.poll(50):
            u = msgpack.Unpacker(raw=False)
            for f in a.socket.recv_multipart():
                u.feed(f)
            got += [m[0] for m in u]
        a.close()
        done = []
        if sorted(admin.call("buckets", {"local": True})["items"]) != before:
            done.append("buckets changed")
        if admin.call("get", "a-kept", "k") != value:
            done.append("a value changed")
        if bar.output().count("is down") > broke:
            done.append("bar's link broke")
        out[name] = (done, ["hello", "welcome", "goaway", "ping", "pong", "batch", "replies"][max(got)] if got else "")
    return out


@test("distributed")
def what_a_stranger_does_at_the_port_for_nodes(box):
    """Without keys whoever says that he is bar may do all that bar may; with keys nothing, whatever he says and has for keys."""
    tables = {"foo": {"a-m": "foo", "n-z": "bar"}, "bar": {"n-z": "bar", "a-m": "foo"}}
    nodes = box.cluster(tables)
    plain = effects(box, nodes, {})
    for name in ("create", "drop"):
        assert "buckets changed" in plain[name][0], plain
    assert "a value changed" in plain["put"][0], plain
    assert "bar's link broke" in plain["hello"][0], plain
    for n in nodes.values():
        n.kill()
        shutil.rmtree(n.data)
    k = pair_of(box)
    foo, bar = k.nodes["foo"], k.nodes["bar"]
    foo.linked("bar")
    bar.linked("foo")
    broke = bar.output().count("is down")
    whole = {n: curve(key, k.own["foo"].public) if key else {} for n, key in
             (("no keys", None), ("a stranger's", Key(box, "stranger")), ("a client's", k.key["shop"]), ("the node's own", k.own["foo"]))}
    for who, options in whole.items():
        keyed = effects(box, k.nodes, options)
        eq((who, {n: ([], "") for n, _, _ in SAYINGS}), (who, keyed))
        eq("up", bar.peers()["foo"]["state"])
    print("# without keys: " + "; ".join("%s: %s" % (n, ", ".join(d + ([b] if b else [])) or "nothing") for n, (d, b) in plain.items()))
    print("# with keys: nothing, %d times" % (len(whole) * len(SAYINGS)))
    eq(broke, bar.output().count("is down"))
    eq(0, foo.output().count("no message between nodes"))


@test("distributed")
def a_key_speaks_for_its_name_only(box):
    """bar's key as foo: a goaway, and nothing else, before and after; a routing id of another's is no help."""
    k = pair_of(box)
    foo = k.nodes["foo"]
    front = Key(box, "front")
    with open(foo.conf, "a") as f:
        f.write("[peers]\nfront = - %s\n" % front.public)
    k.nodes["bar"].stop()
    reload(foo)
    as_bar, as_front = curve(k.own["bar"], k.own["foo"].public), curve(front, k.own["foo"].public)
    a = Asker(box, foo, name="front", options=as_bar)
    eq([2, "the key is not the one of that name"], a.take()[0][:2])
    for _ in range(3):
        eq(2, a.ask(["create", ["a-evil"]])[0])
    a.send(3, 5)
    assert quiet(a)
    # the same connection as itself
    a.hello("bar")
    eq(1, a.take()[0][0])
    eq(True, a.ask(["create", ["a-good"]])[0][3])
    # what is the operators' own is nothing that another node may
    for m in (["reload", []], ["upgrade", []], ["functions", []], ["worker", ["restart", 0]]):
        eq("denied", a.ask(m)[0][2][0])
    # and then as another again: what it was stays
    a.hello("front")
    eq(2, a.take()[0][0])
    eq(True, a.ask(["create", ["a-good-2"]])[0][3])
    # front's last connection had a routing id, which bar comes with
    for epoch in range(1, 30):
        b = Asker(box, foo, name="front", epoch=epoch, options={**as_front, zmq.ROUTING_ID: b"front-1"})
        if b.socket.poll(300):
            break
        b.close()
    eq(1, b.take()[0][0])
    b.close()
    for _ in range(30):
        c = Asker(box, foo, hello=False, name="front", options={**as_bar, zmq.ROUTING_ID: b"front-1"})
        c.send(5, 1, c.now(), ["front"], [5000], request("create", ["a-evil"]))
        if c.socket.poll(300):
            break
        c.close()
    eq(2, c.take()[0][0])
    c.hello("front")
    eq([2, "the key is not the one of that name"], c.take()[0][:2])
    eq([b"a-good", b"a-good-2"], foo.client(admin=True).call("buckets", {"local": True})["items"])
    assert foo.output().count("with a key that is not that one's") == 1, foo.output()


@test("distributed")
def keys_of_peers_change_with_a_reload(box):
    """Moved to another name, taken out, changed: at once."""
    k = KeyedNodes(box, {"foo": {"*": "foo"}}, {"shop": ["read:*"]})
    foo = k.nodes["foo"]
    one, two = Key(box, "one"), Key(box, "two")
    with open(foo.conf) as f:
        text = f.read()

    def peers(*lines):
        with open(foo.conf, "w") as f:
            f.write(text + "[peers]\n" + "".join(line + "\n" for line in lines))
        return reload(foo)

    def asker(key, name, **kw):
        return Asker(box, foo, name=name, options=curve(key, k.own["foo"].public), **kw)

    # a port for nodes is opened by the reload that names the first
    peers("bar = - %s" % one.public, "baz = - %s" % two.public)
    foo.peer = foo.peer or foo.at["foo"][1]
    bar, baz = asker(one, "bar"), asker(two, "baz")
    for a in (bar, baz):
        eq(1, a.take()[0][0])
    eq(True, bar.ask(["create", ["b"]])[0][3])
    # keys change places: both are turned away, and are the other from now on
    peers("bar = - %s" % two.public, "baz = - %s" % one.public)
    for a, other in ((bar, "baz"), (baz, "bar")):
        eq(2, a.take()[0][0])
        eq(2, a.ask(["create", ["evil"]])[0])
        a.hello(other, epoch=9)
        eq(1, a.take()[0][0])
        eq(None, a.ask(["get", ["b", "k"]])[0][2])
    # a second key beside the first: nobody notices
    peers("bar = - %s %s" % (two.public, pair_public()), "baz = - %s" % one.public)
    for a in (bar, baz):
        eq(None, a.ask(["get", ["b", "k"]])[0][2])
    # one is taken out: its connections are closed, one that has said nothing yet too when it does
    hand = Hand(foo.peer, k.own["foo"].public, two).open()
    hand.send(hand.message(msgpack.packb([3, 5])))
    mute = Hand(foo.peer, k.own["foo"].public, two).open()
    time.sleep(0.3)
    peers("baz = - %s" % one.public)
    eq(b"", ended(hand))
    mute.send(mute.message(msgpack.packb([0, 5, 2, 2, "bar", "x", 5, 99, {}])))
    eq(b"", ended(mute))
    baz.send(5, 77, baz.now(), ["bar"], [5000], request("create", ["evil"]))
    eq(None, bar.ask(["get", ["b", "k"]])[0][2])
    eq([b"b"], foo.client(admin=True).call("buckets", {"local": True})["items"])
    late = asker(two, "bar")
    assert quiet(late, 1000)


def pair_public():
    return zmq.curve_keypair()[0].decode()


def ended(h):
    """What comes until the other side closes the connection."""
    h.socket.settimeout(10 * lib.SLOW)
    out = b""
    try:
        while True:
            part = h.socket.recv(65536)
            if not part:
                return out
            out += part
    except ConnectionError:
        return out


def bound(s, endpoint):
    try:
        s.bind(endpoint)
        return True
    except zmq.ZMQError:
        return False


@test("distributed")
def who_sits_at_a_peers_address_hears_nothing(box):
    """In bar's place somebody without keys, or with others: foo sends no request there, and says why."""
    k = pair_of(box)
    foo, bar = k.nodes["foo"], k.nodes["bar"]
    foo.linked("bar")
    shop = k.connect("foo", "shop")
    shop.call("create", "zoo")
    bar.stop()
    wrong = pair()
    for options in ({}, {zmq.CURVE_SERVER: 1, zmq.CURVE_SECRETKEY: wrong[1]}, {zmq.PLAIN_SERVER: 1}):
        s = zmq.Context.instance().socket(zmq.ROUTER)
        s.linger = 0
        for option, value in options.items():
            s.setsockopt(option, value)
        until(lambda: bound(s, bar.peer), 10, "the address")  # ZeroMQ closes the one before when it comes to it
        end = time.monotonic() + 2
        while time.monotonic() < end:
            eq("node_down", shop.code("get", "zoo", "k")[0])
            eq(0, s.poll(50))
        assert "has not the key" in foo.peers()["bar"]["reason"] or "keys" in foo.peers()["bar"]["reason"], foo.peers()["bar"]
        s.close()
    bar.start()
    foo.linked("bar")
    eq(None, shop.call("get", "zoo", "k"))


def pair():
    return zmq.curve_keypair()


class Load(threading.Thread):
    """Puts through foo into a bucket of bar's, one after the other; the codes of those that failed, by how often."""

    def __init__(self, k):
        super().__init__(daemon=True)
        self.c = k.connect("foo", "shop")
        self.end, self.done, self.codes, self.unanswered = False, 0, {}, None
        self.start()

    def run(self):
        n = 0
        while not self.end:
            try:
                self.c.call("put", "zoo", "k%d" % n, "v", seconds=20)
                self.done += 1
            except Error as e:
                self.codes[e.code] = self.codes.get(e.code, 0) + 1
            except AssertionError as e:
                self.unanswered = e
                return
            n += 1

    def check(self, allowed=()):
        self.end = True
        self.join()
        assert self.unanswered is None, self.unanswered
        assert set(self.codes) <= set(allowed), self.codes
        return "%d puts, %s" % (self.done, self.codes or "no error")


@test("distributed")
def a_nodes_key_is_changed_without_a_pause(box):
    """OLD, OLD NEW, an upgrade of bar with NEW, NEW: each request is answered, and none fails but at most while bar is made anew."""
    k = pair_of(box)
    foo, bar = k.nodes["foo"], k.nodes["bar"]
    foo.linked("bar")
    shop = k.connect("foo", "shop")
    shop.call("create", "zoo")
    old, new = k.own["bar"].public, Key(box, "bar-new")
    before = Key(box, "bar-before")
    before.public, before.secret = old, k.own["bar"].secret
    loads = [Load(k) for _ in range(3)]

    def step(node, keys):
        node.keys = dict(node.keys, bar=keys)
        node.configure()
        said = reload(node)
        assert any("peers:" in line for line in said), said
        node.linked()
        done = [x.done for x in loads]
        until(lambda: all(x.done > d + 20 for x, d in zip(loads, done)), 20, "load to go on")

    step(foo, "%s %s" % (old, new.public))
    print("# with two keys: " + "; ".join("%d puts, %s" % (x.done, x.codes) for x in loads))
    own = k.own["bar"]
    own.public, own.secret = new.public, new.secret
    own.write()
    r = box.run(bar.build + "/pail", "--admin", "ipc://%s/admin.sock" % bar.data, "upgrade", "--wait")
    eq(0, r.returncode)
    foo.linked("bar")
    bar.linked("foo")
    print("# bar has the new one: " + "; ".join("%d puts, %s" % (x.done, x.codes) for x in loads))
    step(foo, new.public)
    print("# " + "; ".join(x.check(allowed=("node_down",)) for x in loads))
    # who still has the old one is nobody
    assert quiet(Asker(box, foo, name="bar", epoch=FAR, started=FAR, options=curve(before, k.own["foo"].public)), 1000)


@test("distributed")
def what_was_forwarded_for_a_key_that_has_gone(box):
    """Its requests were judged when they came and are done; nobody hears of them, and those of others on the same link are answered."""
    k = pair_of(box)
    foo, bar = k.nodes["foo"], k.nodes["bar"]
    k.key["gone"], k.clients["gone"] = Key(box, "client-gone"), ["write:*", "create:*", "read:*"]
    k.write()
    reload(foo)
    foo.linked("bar")
    shop, gone, req = k.connect("foo", "shop"), k.connect("foo", "gone"), k.connect("foo", "gone", req=True)
    shop.call("create", "zoo")
    eq("pong", gone.call("ping"))
    eq("pong", req.call("ping"))
    pid = bar.kill_worker(0, signal.SIGSTOP)
    gone.send(("put", "zoo", "theirs", "v"), ("buckets",))
    req.send(("put", "zoo", "req", "v"), ("buckets",))
    ours = shop.send(("put", "zoo", "ours", "v"), ("get", "zoo", "ours"), ("buckets",))
    until(lambda: bar.workers()[0]["queue"] >= 4, 10, "requests at bar")
    del k.clients["gone"]
    k.write()
    said = reload(foo)
    assert "clients: 1, of them 0 new and 0 with another name or other rights; 1 are gone; connections cut off: 2" in said, said
    os.kill(pid, signal.SIGCONT)
    version = shop.result(ours[0])
    eq([b"v", version], shop.result(ours[1]))
    eq([b"zoo"], shop.result(ours[2])["items"])
    assert quiet(gone) and quiet(req)
    eq([b"ours", b"req", b"theirs"], [i[0] for i in shop.call("scan", "zoo")["items"]])
    foo.up()
    eq("up", foo.peers()["bar"]["state"])
