"""Nodes of different versions: hello and welcome as docs/protocol.md has them, from raw sockets of other ranges."""
import os
import re
import time

import msgpack
import zmq

import lib
from lib import *

MORE = {"colour": "red", "shades": [1, {"deep": None}]}


class Raw:
    """A DEALER that says one hello to a node's port for nodes, or whatever bytes it is given."""

    def __init__(self, box, node, *frame, name="bar", versions=(2, 2), more=MORE):
        self.socket = zmq.Context.instance().socket(zmq.DEALER)
        self.socket.linger = 0
        self.socket.connect(node.peer)
        box.clients.append(self)
        self.socket.send(frame[0] if frame else msgpack.packb(
            [0, 5, *versions, name, "9.9.9", int(time.time() * 1000), 1, more]))

    def close(self):
        self.socket.close()

    def take(self):
        assert self.socket.poll(5000 * lib.SLOW), "no answer"
        u = msgpack.Unpacker(raw=False)
        for f in self.socket.recv_multipart():
            u.feed(f)
        return list(u)

    def refused(self, *words):
        m = self.take()
        eq((1, 2, 0), (len(m), m[0][0], m[0][2]))
        for w in words:
            assert w in m[0][1], (w, m[0][1])
        assert len(m[0][1]) <= 300
        self.close()
        return m[0][1]


def digest(n):
    return n.status()["functions"]["digest"]


def told(n, name):
    """What a node's list of functions says of a peer's."""
    p = {p["name"]: p for p in n.client(admin=True).call("functions")["peers"]}[name]
    eq({"name", "state", "digest", "same"}, set(p))
    return p["state"], p["digest"], p["same"]


def server(box, *args):
    """A node that lets bar and front ask."""
    return box.node("--set", "node.name=foo", "--set", "node.peer=tcp://127.0.0.1:0", "--set", "peers.bar=-", "--set", "peers.front=-", *args)


def asker(n, name):
    return {p["name"]: p for p in n.status()["peers"]}[name]


@test("distributed")
def a_node_takes_the_highest_version_that_both_speak(box):
    n = server(box)
    eq((None, "unknown"), (asker(n, "bar")["protocol"], asker(n, "bar")["state"]))
    for versions in (2, 2), (1, 2), (2, 9), (1, 2 ** 64 - 1):
        a = Raw(box, n, versions=versions)
        m = a.take()
        eq((1, [1, 2, "foo"], {"functions": digest(n)}), (len(m), m[0][:3], m[0][5]))
        assert m[0][4] >= 16 << 20, m
        eq((2, "up", ""), tuple(asker(n, "bar")[k] for k in ("protocol", "state", "reason")))
        a.close()
    assert "warning" not in n.output()


@test("distributed")
def the_documented_greeting_holds(box):
    """docs/protocol.md has foo's hello and bar's welcome, byte for byte."""
    n = box.node("--set", "node.name=bar", "--set", "node.peer=tcp://127.0.0.1:0", "--set", "peers.foo=-")
    with open("docs/protocol.md") as f:
        block, = re.findall(r"```greeting\n(.*?)```", f.read(), re.S)
    sent, want = (bytes.fromhex("".join(re.findall(r"^%s (.*)$" % c, block, re.M))) for c in "><")
    a = Raw(box, n, sent)
    assert a.socket.poll(5000 * lib.SLOW), "no answer"
    eq(want.hex(" "), a.socket.recv().hex(" "))
    eq(("up", "0123456789abcdef", False), told(n, "foo"))


@test("distributed")
def a_node_without_a_common_version_is_refused_with_what_to_do(box):
    n = server(box)
    c = n.client()
    text = Raw(box, n, versions=(3, 40)).refused(
        'upgrade "foo": ', '"bar", Pail 9.9.9, speaks 3 to 40; "foo", Pail %s, speaks 2' % n.status()["version"])
    eq(("down", text, None), tuple(asker(n, "bar")[k] for k in ("state", "reason", "protocol")))
    # of before ranges: as every node said hello then
    old = Raw(box, n, msgpack.packb([0, 5, 1, "front", "0.0.9", int(time.time() * 1000), 1])).refused(
        'upgrade "front": it is of an older version, Pail 0.0.9', '"foo"', "speaks 2")
    eq(("down", old), tuple(asker(n, "front")[k] for k in ("state", "reason")))
    for _ in range(200):
        Raw(box, n, versions=(1, 1)).refused('upgrade "bar": ', "speaks 1;")
    # who is not in [peers] learns no more than that
    Raw(box, n, name="baz", versions=(3, 4)).refused("does not have that one in its [peers]")
    # told once a minute and counted, however often it is tried
    eq(1, len(re.findall("turned away node .*upgrade", n.output())))
    assert 'turned away node "bar": ' + text in n.output(), n.output()
    # no requests are taken from any of them, and it is let in when it has been upgraded
    a = Raw(box, n, versions=(3, 3))
    a.take()
    a.socket.send(msgpack.packb([5, 1, 5, ["bar"], [1000], msgpack.packb([0, 1, "create", ["b"]])]))
    eq(2, a.take()[0][0])
    eq([], c.call("buckets")["items"])
    eq(1, Raw(box, n, versions=(2, 3)).take()[0][0])
    eq(("up", ""), tuple(asker(n, "bar")[k] for k in ("state", "reason")))


@test("distributed")
def a_hello_that_makes_no_sense_is_refused_and_said_why(box):
    n = server(box)
    hello = [0, 5, 2, 2, "bar", "x", 7, 1]
    key = "k" * 64
    rows = [([*hello, 7], "what ends it is no map"), ([*hello, [1]], "what ends it is no map"),
            ([*hello, {1: 2}], "texts"), ([*hello, {"": 2}], "texts"), ([*hello, {key + "k": 2}], "texts"),
            ([*hello, {"k%d" % i: i for i in range(33)}], "more than 32 entries"),
            ([*hello, {"k": "v" * 4096}], "more than 4096 bytes"), ([*hello, {"k": [["v"] * 100] * 100}], "more than 4096 bytes"),
            ([0, 5, 3, 2, *hello[4:], {}], "no range"), ([0, 5, 0, 2, *hello[4:], {}], "no range"),
            ([0, 5, "2", 2, *hello[4:], {}], "types"), ([0, 5, 2, 2, "", *hello[5:], {}], "types"),
            ([*hello, {}, {}], "number of elements"), (hello, "number of elements"), ([0], "number of elements")]
    for m, why in rows:
        Raw(box, n, msgpack.packb(m)).refused("it got what is no message between nodes: ", why)
    twice = msgpack.packb(hello)[1:] + b"\x82\xa1k\x01\xc4\x01k\x02"
    Raw(box, n, b"\x99" + twice).refused("different texts")
    Raw(box, n, (b"\x99" + twice)[:-1]).refused("cut short")
    # a map of a million entries, and one that says that it has four thousand million
    Raw(box, n, msgpack.packb([*hello, {"%07d" % i: i for i in range(1000000)}])).refused("more than 4096 bytes")
    Raw(box, n, b"\x99" + msgpack.packb(hello)[1:] + b"\xdf\xff\xff\xff\xff").refused("cut short")
    eq(1, n.output().count("no message between nodes"))
    assert "what ends it is no map" in n.output()
    # all that is right at its bounds
    eq(1, Raw(box, n, more={"k%062d" % i + "x": i for i in range(32)}).take()[0][0])
    eq(1, Raw(box, n, more={"k": "v" * 4000}).take()[0][0])
    eq("pong", n.client().call("ping"))


class Listener:
    """A ROUTER where a node looks for its peer bar."""

    def __init__(self, box, endpoint):
        self.socket = zmq.Context.instance().socket(zmq.ROUTER)
        self.socket.linger = 0
        self.socket.bind(endpoint)
        box.clients.append(self)

    def close(self):
        self.socket.close()

    def answer(self, *message):
        """To the next hello, which is returned."""
        end = time.monotonic() + 10 * lib.SLOW
        while True:
            assert self.socket.poll(max(0, int((end - time.monotonic()) * 1000))), "no hello"
            to, frame = self.socket.recv_multipart()
            h = msgpack.unpackb(frame, raw=False)
            if h[0] == 0:
                self.socket.send_multipart([to, msgpack.packb(list(message))])
                return h


@test("distributed")
def a_welcome_that_cannot_be_is_refused_and_said_why(box):
    """The node is told by its peer what cannot be: it says so in its log, once a reason, and in status, and tries on."""
    port = box.ports(1)[0]
    n = box.node("--set", "node.name=foo", "--set", "node.peer=tcp://127.0.0.1:0", "--set", "peers.bar=tcp://127.0.0.1:%d" % port)
    until(lambda: "nobody listens there" in n.output(), 10, "that nobody is there")  # told before: what comes is told too
    p = Listener(box, "tcp://127.0.0.1:%d" % port)

    def reason():
        return asker(n, "bar")["reason"]
    rows = [([1, 3, "bar", "x", 1 << 20, {}], "it chose version 3 of the protocol between nodes, and this node speaks 2"),
            ([1, 1, "bar", "x", 1 << 20, {}], "it chose version 1"),
            ([1, 1, "bar", "x", 1 << 20], "number of elements"),  # as it was before ranges
            ([1, 2, "bar", "x", 1 << 20, 7], "what ends it is no map"),
            ([1, 2, "bar", "x", 1 << 20, {"k": "v" * 5000}], "more than 4096 bytes"),
            ([2, 'upgrade "foo": so it is\n\x1b[31m', 0], 'upgrade "foo": so it is\\x0a')]
    for m, why in rows:
        begin = time.monotonic()
        h = p.answer(*m)
        eq([0, 2, 2, "foo", {"functions": digest(n)}], [h[0], h[2], h[3], h[4], h[8]])
        assert time.monotonic() - begin < 4 * lib.SLOW, "it is tried again, within seconds"
        until(lambda: why in reason(), 10, why)
        eq(("down", None), tuple(asker(n, "bar")[k] for k in ("state", "protocol")))
    until(lambda: len(re.findall("warning: peer bar at .* is down", n.output())) >= 7, 10, "a line for each")
    for m, why in rows:
        eq((why, 1), (why, n.output().count(why)))
    p.answer(1, 2, "bar", "x", 1 << 20, MORE)
    until(lambda: asker(n, "bar")["state"] == "up", 10, "the link")
    eq(2, asker(n, "bar")["protocol"])


@test("distributed")
def a_refused_node_does_not_try_in_a_hurry(box):
    port = box.ports(1)[0]
    p = Listener(box, "tcp://127.0.0.1:%d" % port)
    n = box.node("--set", "node.name=foo", "--set", "node.peer=tcp://127.0.0.1:0", "--set", "peers.bar=tcp://127.0.0.1:%d" % port)
    epochs, begin = [], time.monotonic()
    while time.monotonic() - begin < 5:
        epochs.append(p.answer(2, 'upgrade "foo": so it is', 0)[7])
    assert len(epochs) < 15, "%d hellos in 5 s" % len(epochs)
    eq(sorted(set(epochs)), epochs)
    eq(1, n.output().count("so it is"))


@test("distributed")
def what_is_told_of_functions_is_kept_as_far_as_it_is_a_digest(box):
    """A raw asker: its hello's entry, said again on the same link, left out, of another form; what it is told when ours change."""
    d = box.folder("functions")
    os.mkdir(d)
    n = server(box, "--set", "functions.dir=" + d)
    own, other = digest(n), "0123456789abcdef"
    eq([("unknown", None, None)] * 2, [told(n, name) for name in ("bar", "front")])
    a = Raw(box, n, more={"functions": own})
    eq({"functions": own}, a.take()[0][5])
    eq(("up", own, True), told(n, "bar"))
    started = int(time.time() * 1000) + 1000
    hello = lambda epoch, more: a.socket.send(msgpack.packb([0, 5, 2, 2, "bar", "9.9.9", started, epoch, more]))
    hello(2, {"functions": other})
    eq(1, a.take()[0][0])
    eq(("up", other, False), told(n, "bar"))
    # again, for what is the same link: taken in, and not answered
    for more, want in (({"functions": own}, (own, True)), (dict(MORE, functions=other.encode()), (other, False)), ({}, (None, None)),
                       ({"functions": other}, (other, False)), ({"functions": 7}, (None, None)), ({"functions": other + "0"}, (None, None))):
        hello(2, more)
        until(lambda: told(n, "bar") == ("up", *want), 5, (more, want))
    assert not a.socket.poll(200)
    # one that does not tell is not told again, one that does is, on the same link
    with open(d + "/m.lua", "w") as f:
        f.write("return {f = function() return 1 end}")
    n.client(admin=True).call("reload")
    assert not a.socket.poll(200)
    hello(2, {"functions": other})
    until(lambda: told(n, "bar") == ("up", other, False), 5, "the digest")
    os.unlink(d + "/m.lua")
    n.client(admin=True).call("reload")
    m = a.take()
    eq((1, [1, 2, "foo"], {"functions": own}), (len(m), m[0][:3], m[0][5]))
    # nothing has changed: nothing is said
    n.client(admin=True).call("reload")
    assert not a.socket.poll(200)
    # it is gone: what it said last, and that it is
    a.close()
    until(lambda: told(n, "bar") == ("down", other, False), 10, "that it is down")


@test("distributed")
def a_node_of_before_functions_is_linked_and_hears_one_hello(box):
    """A raw ROUTER that tells no digest, then one, then another on the open link."""
    port = box.ports(1)[0]
    d = box.folder("functions")
    os.mkdir(d)
    n = box.node("--set", "node.name=foo", "--set", "node.peer=tcp://127.0.0.1:0", "--set", "peers.bar=tcp://127.0.0.1:%d" % port,
                 "--set", "functions.dir=" + d, "--set", "links.dead_ms=60000")
    own, admin = digest(n), n.client(admin=True)
    p = Listener(box, "tcp://127.0.0.1:%d" % port)

    def change(text):
        with open(d + "/m.lua", "w") as f:
            f.write(text)
        admin.call("reload")

    def hellos(seconds):
        """Those that come within so long, pings left out."""
        got, end = [], time.monotonic() + seconds
        while p.socket.poll(max(0, int((end - time.monotonic()) * 1000))):
            to, frame = p.socket.recv_multipart()
            m = msgpack.unpackb(frame, raw=False)
            if m[0] == 0:
                got.append((to, m))
        return got
    p.answer(1, 2, "bar", "x", 1 << 20, {"functions": 7})
    until(lambda: told(n, "bar") == ("up", None, None), 10, "the link")
    change("return {f = function() end}")
    eq([], hellos(1))
    eq("up", asker(n, "bar")["state"])
    # a link with one that tells
    n.client(admin=True).call("upgrade")
    until(lambda: n.status()["upgrades"] == 1, 20, "the upgrade")
    admin = n.client(admin=True)
    h = p.answer(1, 2, "bar", "x", 1 << 20, {"functions": own})
    eq({"functions": digest(n)}, h[8])
    until(lambda: told(n, "bar") == ("up", own, False), 10, "the digest")
    change("return {g = function() end}")
    (to, again), = hellos(1)
    eq(h[2:8], again[2:8])  # for the same link
    eq({"functions": digest(n)}, again[8])
    assert digest(n) != h[8]["functions"]
    p.socket.send_multipart([to, msgpack.packb([1, 2, "bar", "x", 1 << 20, {"functions": digest(n)}])])
    until(lambda: told(n, "bar") == ("up", digest(n), True), 10, "that it is the same")
    eq(0, asker(n, "bar")["broke"])
