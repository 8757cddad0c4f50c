"""Who is let in, and what he may: docs/protocol.md, section on keys and rights."""
import itertools
import os

import msgpack
import zmq

import lib
from keys import Key, KeyedNodes, curve, pair
from lib import eq, test, until

RIGHTS = ("read", "write", "create", "call", "admin")
B = "orders/1"  # the bucket that is asked for
PING = b"\x94\x00\x01\xa4ping\x90"
WRITES, READS = [["put", "k", "v"]], [["get", "k"]]

# Each method with parameters, and of which rights one is needed; a tuple of sets: of each of them.
METHODS = [
    (("hello",), []),
    (("ping",), []),
    (("session",), []),
    (("buckets",), []),
    (("get", B, "k"), [{"read"}]),
    (("head", B, "k"), [{"read"}]),
    (("scan", B), [{"read"}]),
    (("count", B), [{"read"}]),
    (("route", B), [{"read"}]),
    (("put", B, "k", "v"), [{"write"}]),
    (("touch", B, "k", {"ttl": 100000}), [{"write"}]),
    (("delete", B, "k"), [{"write"}]),
    (("create", B), [{"create"}]),
    (("drop", B), [{"create"}]),
    (("txn", B, {"then": WRITES}), [{"write"}]),
    (("txn", B, {"then": READS}), [{"read"}]),
    (("txn", B, {"else": READS + WRITES}), [{"write"}, {"read"}]),
    (("txn", B, {"if": [["k", "version", "=", 1]], "then": WRITES}), [{"write"}, {"read"}]),
    (("txn", B, {"if": [["k", "version", "=", 1]]}), [{"read"}]),
    (("txn", B), [{"read"}]),
    (("call", B, "m", "f", []), [{"call"}]),
    (("outcome", B, b"0" * 16, 1), [{"write", "call"}]),
    (("ack", B, b"0" * 16, 1), [{"write", "call"}]),
    (("status",), [{"admin"}]),
    (("metrics",), [{"admin"}]),
    (("events", 0, 1), [{"admin"}]),
    (("reload",), [{"admin"}]),
    (("functions",), [{"admin"}]),
    (("cluster_create", ["a"], 1, 0, ""), [{"admin"}]),
    (("cluster_status",), [{"admin"}]),
    (("cluster_drain", "a", True), [{"admin"}]),
    (("worker", "restart", 77), [{"admin"}]),
    (("upgrade",), [{"admin"}]),
]
PATTERNS = {"whole": B, "beginning": "orders/*", "all": "*", "another": "orders/10", "shorter": "orders/", "escaped": "%6frders/1"}
COVERS = {"whole", "beginning", "all", "escaped"}


def subsets():
    return itertools.chain.from_iterable(itertools.combinations(RIGHTS, n) for n in range(1, len(RIGHTS) + 1))


@test()
def every_method_with_every_right(box):
    """All sets of rights, on all kinds of patterns, and all methods, to a bucket that is there and one that is not."""
    clients, of = {}, {}
    for i, (rights, pattern) in enumerate(itertools.product(subsets(), PATTERNS)):
        name = "c%d" % i
        clients[name] = ["%s:%s" % (r, "*" if r == "admin" else PATTERNS[pattern]) for r in rights]
        of[name] = {r for r in rights if r == "admin" or pattern in COVERS}
    k = KeyedNodes(box, {"foo": {"*": "foo"}}, clients)
    tried = 0
    for name, has in of.items():
        c = k.connect("foo", name)
        requests = [(m, [n for n in needs if not n & has]) for m, needs in METHODS]
        # what is allowed and would end the test is another test's
        requests = [(m, lacks) for m, lacks in requests if m[0] != "upgrade" or lacks]
        ids = c.send(*[m for m, lacks in requests])
        for (m, lacks), i in zip(requests, ids):
            reply = c.wait(i)
            tried += 1
            if not lacks:
                assert reply[2] is None or reply[2][0] != "denied", (m, has, reply)
                continue
            on = B if len(m) > 1 and m[1] == B else "*"
            right = " or ".join(r for r in RIGHTS if r in lacks[0])
            eq(["denied", '"%s" lacks %s on "%s"' % (name, right, on)], reply[2][:2])
    print("# %d combinations of rights, patterns and methods" % tried)
    eq(True, tried > 31 * len(PATTERNS) * (len(METHODS) - 1))


class Knock:
    """Somebody at a port, who sends something."""

    def __init__(self, box, endpoint, options, request):
        box.clients.append(self)
        self.socket = zmq.Context.instance().socket(zmq.DEALER)
        self.socket.linger = 0
        for option, value in options.items():
            self.socket.setsockopt(option, value)
        self.socket.connect(endpoint)
        if request:
            self.socket.send(request)

    def close(self):
        self.socket.close()

    def heard(self, seconds):
        """Has anything come back?"""
        return bool(self.socket.poll(int(seconds * 1000)))


@test()
def every_mechanism_with_every_key_at_both_ports(box):
    """What is not the right mechanism, the node's key and a key that it knows for that port gets no byte through."""
    k = KeyedNodes(box, {"foo": {"*": "foo"}, "bar": {"*": "bar"}}, {"shop": ["read:*", "admin:*"]})
    foo = k.nodes["foo"]
    stranger = Key(box, "stranger")
    keys = {"shop": k.key["shop"], "stranger": stranger, "bar": k.own["bar"], "foo": k.own["foo"]}
    servers = {"foo's": k.own["foo"].public, "bar's": k.own["bar"].public, "a made up one": pair()[0]}
    mechanisms = [("NULL", {}), ("PLAIN", {zmq.PLAIN_USERNAME: b"shop", zmq.PLAIN_PASSWORD: k.key["shop"].secret.encode()})]
    mechanisms += [("CURVE as %s to %s" % (n, s), curve(keys[n], servers[s])) for n in keys for s in servers]
    hello = b"\x99\x00\x01\x02\x02\xa3bar\xa1x\x01\x01\x80"  # of bar, between nodes
    right = {"client": "CURVE as shop to foo's", "node": "CURVE as bar to foo's"}
    knocks = [(port, name, Knock(box, endpoint, options, PING if port == "client" else hello))
              for port, endpoint in (("client", foo.endpoint), ("node", foo.peer)) for name, options in mechanisms]
    for port, name, knock in knocks:
        if name == right[port]:
            eq((port, name, True), (port, name, knock.heard(10 * lib.SLOW)))
    refused = until(lambda: (lambda n: n if n >= 6 else 0)(k.connect("foo", "shop").call("status")["security"]["refused"]), 30)
    for port, name, knock in knocks:
        eq((port, name, name == right[port]), (port, name, knock.heard(0.1)))
        knock.close()
    print("# %d combinations of mechanism, key and port; %d refused for their keys" % (len(knocks), refused))
    security = k.connect("foo", "shop").call("status")["security"]
    eq((True, 1), (security["keys"], security["clients"]))


@test()
def a_client_is_told_what_it_may(box):
    k = KeyedNodes(box, {"foo": {"*": "foo"}}, {"shop": ["read:*", "write:orders/*", "create:a%20b", "read:*"], "ops": ["admin:*"]})
    h = k.connect("foo", "shop").call("hello")
    eq("shop", h["client"])
    eq(sorted(["read:*", "write:orders/*", "create:a%20b"]), sorted(h["rights"]))
    eq(["admin:*"], k.connect("foo", "ops").call("hello")["rights"])
    assert "client" not in k.nodes["foo"].client(admin=True).call("hello")


@test()
def nobody_learns_whether_a_bucket_is_there(box):
    k = KeyedNodes(box, {"foo": {"a-m": "foo"}}, {"shop": ["read:mine*"], "all": ["read:*", "create:*"]})
    k.connect("foo", "all").call("create", "hidden")
    c = k.connect("foo", "shop")
    for m in ("get", "head"):
        for b in ("hidden", "absent", "zzz"):  # the last has no route
            eq(("denied", '"shop" lacks read on "%s"' % b), c.code(m, b, "k"))
    eq("no_bucket", c.code("get", "mine", "k")[0])


@test()
def buckets_lists_what_may_be_read(box):
    """With every kind of range, page by page, across two nodes."""
    names = sorted(["a", "ab", "abc", "b", "b%", "b*", "c", "ca", "cb", "d", "zoo", "zoo/1", "zoo/2", "zz"])
    sees = {"one": ["read:ab"], "begin": ["read:zoo*"], "several": ["read:b*", "read:ca", "read:zo*", "read:zoo/*", "write:a"],
            "odd": ["read:b%2A", "read:b%25"], "none": ["write:*"], "gone": ["read:nothing*"], "all": ["read:*", "create:*"]}
    want = {"one": ["ab"], "begin": ["zoo", "zoo/1", "zoo/2"], "several": ["b", "b%", "b*", "ca", "zoo", "zoo/1", "zoo/2"],
            "odd": ["b%", "b*"], "none": [], "gone": [], "all": names}
    k = KeyedNodes(box, {"foo": {"a-m": "foo", "n-z": "bar"}, "bar": {"n-z": "bar", "*": "foo"}}, sees, workers=2)
    k.nodes["foo"].linked("bar")
    k.nodes["bar"].linked("foo")
    make = k.connect("foo", "all")
    for n in names:
        eq(True, make.call("create", n))
    for client, node, limit in itertools.product(sees, ("foo", "bar"), (1, 2, 3, 100)):
        c, got, after = k.connect(node, client), [], None
        for _ in range(len(names) + 1):
            page = c.call("buckets", dict({"limit": limit}, **({"after": after} if after else {})))
            items = [i.decode() if isinstance(i, bytes) else i for i in page["items"]]
            got += items
            if not page["more"]:
                break
            eq(limit, len(items))
            after = items[-1]
        eq((client, node, limit, want[client]), (client, node, limit, got))
        shown = c.call("buckets", {"prefix": "zoo"})["items"]
        eq([n for n in want[client] if n.startswith("zoo")], [i.decode() if isinstance(i, bytes) else i for i in shown])
        c.close()
    eq("bad_argument", make.code("buckets", {"names": b""})[0])


@test()
def replies_go_to_nobody_who_takes_a_routing_id(box):
    """A client asks for what takes a while and goes; who comes with its routing id and another key gets none of it."""
    os.mkdir(os.path.join(box.dir, "functions"))
    with open(os.path.join(box.dir, "functions", "slow.lua"), "w") as f:
        f.write('return {f = function() for i = 1, 400000 do end return "secret" end}')
    k = KeyedNodes(box, {"foo": {"*": "foo"}}, {"shop": ["call:*"], "low": ["read:nothing"]},
                   more={"foo": {"functions.dir": os.path.join(box.dir, "functions"), "functions.time_ms": 900}})
    call = b"".join(msgpack.packb([0, i, "call", ["b", "slow", "f", []]]) for i in range(300))
    for n in range(4):
        claim = {zmq.ROUTING_ID: b"till-%d" % n}
        first = Knock(box, k.nodes["foo"].endpoint, {**curve(k.key["shop"], k.own["foo"].public), **claim}, call)
        assert first.heard(10 * lib.SLOW)
        first.close()
        for _ in range(40):  # it is refused until the first has ended
            low = Knock(box, k.nodes["foo"].endpoint, {**curve(k.key["low"], k.own["foo"].public), **claim}, b"")
            assert not low.heard(0.2), low.socket.recv()
            low.socket.send(PING)
            if low.heard(0.3 * lib.SLOW):
                break
            low.close()
        eq([1, 1, None, "pong"], msgpack.unpackb(low.socket.recv()))
        low.close()
