"""Keys and rights that change while a node runs: whom a connection belongs to, and what becomes of it."""
import os
import signal
import time

import msgpack
import zmq

import lib
from curve import Hand, properties
from keys import Key, KeyedNodes, curve
from lib import Client, eq, test, until


def with_id(k, name, routing_id, node="foo"):
    options = {**curve(k.key[name], k.own[node].public), zmq.ROUTING_ID: routing_id}
    c = Client(k.nodes[node].endpoint, options=options)
    k.box.clients.append(c)
    return c


def heard(k, name, routing_id):
    """The client's hello, once its connection is the one of that id: libzmq passes over a second one as long as the first is there."""
    while True:
        c = with_id(k, name, routing_id)
        [i] = c.send(("hello",))
        if c.socket.poll(300):
            return c, c.result(i)
        c.close()


@test()
def a_routing_id_is_nobodys_name(box):
    """Who takes the routing id of a client that has gone has no more than its own rights."""
    k = KeyedNodes(box, {"foo": {"*": "foo"}}, {"ops": ["admin:*", "create:*"], "low": ["read:x"]})
    for n in range(3):
        ops, hello = heard(k, "ops", b"id-%d" % n)
        eq("ops", hello["client"])
        ops.close()
        low, hello = heard(k, "low", b"id-%d" % n)
        eq("low", hello["client"])
        eq("denied", low.code("status")[0])
        eq("denied", low.code("create", "x")[0])
        low.close()


@test()
def a_client_with_an_id_of_its_own_comes_again(box):
    """By a connection whose descriptor has the number of the one before: its first request is answered as any other."""
    k = KeyedNodes(box, {"foo": {"*": "foo"}}, {"ops": ["admin:*"]})
    served = 0
    while served < 6:
        c = with_id(k, "ops", b"mine")
        c.send(("ping",))
        if c.socket.poll(300 * lib.SLOW):
            served += 1
        else:  # libzmq had the connection before still, and passes over this one; or the reply was lost
            c.send(("ping",))
            assert not c.socket.poll(300 * lib.SLOW), "the first request was lost"
        c.close()


@test()
def what_a_client_says_of_itself_is_not_its_key(box):
    k = KeyedNodes(box, {"foo": {"*": "foo"}}, {"ops": ["admin:*"], "low": ["read:x"]})
    said = {"Socket-Type": b"DEALER", "Identity": b"", "User-Id": k.key["ops"].public.encode(), "__fd": b"3"}
    for metadata in (said, dict(reversed(said.items()))):
        h = Hand(k.nodes["foo"].endpoint, k.own["foo"].public, k.key["low"]).open(properties(**metadata))
        reply = msgpack.unpackb(h.ask(msgpack.packb([0, 1, "hello", []])))
        eq("low", reply[3]["client"])
        h.close()


def reload(k, node="foo"):
    """Through the admin socket; the lines of what has changed."""
    return k.nodes[node].client(admin=True).call("reload")["changed"]


def closed(h, seconds=10):
    """Whether the other side has closed the connection, at once; nothing came before."""
    h.socket.settimeout(seconds * lib.SLOW)
    try:
        return h.socket.recv(1) == b""
    except ConnectionError:
        return True


def silent(c, ms=300):
    return not c.socket.poll(ms)


@test()
def a_key_that_is_taken_out_is_cut_off_at_once(box):
    """Idle connections too, at the moment of the reload; nothing is answered any more, others do not notice."""
    most = ["read:*", "write:*", "create:*"]
    k = KeyedNodes(box, {"foo": {"*": "foo"}}, {"ops": ["admin:*"], "shop": most, "gone": most})
    foo = k.nodes["foo"]
    shop, gone = k.connect("foo", "shop"), k.connect("foo", "gone")
    req = k.connect("foo", "gone", req=True)
    eq(True, shop.call("create", "b"))
    hands = [Hand(foo.endpoint, k.own["foo"].public, k.key["gone"]).open() for _ in range(3)]
    for h in hands:
        h.ask(msgpack.packb([0, 1, "ping", []]))
    for _ in range(5):  # those that have left are not counted
        left = k.connect("foo", "gone")
        eq("pong", left.call("ping"))
        left.close()
    mute = Hand(foo.endpoint, k.own["foo"].public, k.key["gone"]).open()  # says its first word after its end
    eq("pong", gone.call("ping"))
    eq("pong", req.call("ping"))
    # requests that wait in a stopped worker when the key goes, both clients'
    pid = foo.kill_worker(0, signal.SIGSTOP)
    theirs = gone.send(*[("put", "b", "theirs%d" % i, "v") for i in range(50)])
    gathering = req.send(*[("put", "b", "req%d" % i, "v") for i in range(50)])
    until(lambda: foo.workers()[0]["queue"] >= 100, 10, "requests in the ring")
    ours = shop.send(*[("put", "b", "ours%d" % i, "v") for i in range(50)])
    until(lambda: foo.workers()[0]["queue"] >= 150, 10, "requests in the ring")
    rights = k.clients.pop("gone")
    k.write()
    began = time.monotonic()
    said = [line for line in reload(k) if line.startswith("clients:")]
    eq(["clients: 2, of them 0 new and 0 with another name or other rights; 1 are gone; connections cut off: 5"], said)
    for h in hands:
        assert closed(h)
    print("# cut off within %.0f ms" % ((time.monotonic() - began) * 1000))
    assert time.monotonic() - began < 2 * lib.SLOW
    mute.send(mute.message(msgpack.packb([0, 1, "ping", []])))
    assert closed(mute)
    os.kill(pid, signal.SIGCONT)
    for i in ours:
        assert shop.result(i) > 0
    # nobody hears of what was asked under the old key, nor of more; libzmq's own reconnecting does not help
    gone.send(("put", "b", "more", "v"))
    assert silent(gone, 1000) and silent(req) and silent(k.connect("foo", "gone", key=k.key["gone"]), 100)
    eq(None, shop.call("get", "b", "more"))
    eq(50, len([i for i in shop.call("scan", "b", {"prefix": "ours"})["items"]]))
    refused = k.connect("foo", "ops").call("status")["security"]["refused"]
    assert refused > 0
    # let in again, with a socket of its own: libzmq does not try again with one that was told no
    k.clients["gone"] = rights
    k.write()
    reload(k)
    eq("pong", k.connect("foo", "gone").call("ping"))


@test()
def rights_count_from_the_next_request(box):
    k = KeyedNodes(box, {"foo": {"*": "foo"}}, {"shop": ["read:a*"], "other": ["read:*", "create:*"]})
    c, other = k.connect("foo", "shop"), k.connect("foo", "other")
    other.call("create", "a1")
    eq("denied", c.code("put", "a1", "k", "v")[0])
    k.clients["shop"] = ["write:a*", "create:b"]
    k.write()
    eq(["clients: 2, of them 0 new and 1 with another name or other rights; 0 are gone; connections cut off: 0"],
       [line for line in reload(k) if line.startswith("clients:")])
    eq([], reload(k))
    assert c.call("put", "a1", "k", "v") > 0
    eq(('denied', '"shop" lacks read on "a1"'), c.code("get", "a1", "k"))
    eq(["create:b", "write:a*"], sorted(c.call("hello")["rights"]))
    # another name for the same key, and the same name for another key
    k.key["moved"], k.clients = k.key["shop"], {"moved": ["read:a1"], "other": ["read:*"]}
    k.write()
    reload(k)
    eq(('denied', '"moved" lacks write on "a1"'), c.code("put", "a1", "k", "v"))
    eq("denied", other.code("create", "x")[0])
    k.key["other"] = Key(box, "other-2")
    k.write()
    reload(k)
    other.send(("ping",))
    assert silent(other, 500)
    eq("other", k.connect("foo", "other").call("hello")["client"])


@test()
def who_reloads_itself_out(box):
    """In the middle of a message of many requests, from a DEALER and from a REQ: what comes behind it is not done."""
    k = KeyedNodes(box, {"foo": {"*": "foo"}}, {"ops": ["admin:*", "create:*"], "stays": ["read:*", "create:*", "admin:*"]})
    stays = k.connect("foo", "stays")
    for n, req in enumerate((False, True)):
        k.clients["ops"] = ["admin:*", "create:*"]
        k.write()
        reload(k)
        c = k.connect("foo", "ops", req=req)
        eq("pong", c.call("ping"))
        # rights taken away by its own reload
        k.clients["ops"] = ["admin:*", "create:only*"]
        k.write()
        ids = c.send(("create", "first%d" % n), ("reload",), ("create", "second%d" % n), ("create", "only%d" % n), ("hello",), ("status",))
        replies = [c.wait(i)[2:] for i in ids]
        eq([None, None, ["denied", '"ops" lacks create on "second%d"' % n], None, None, None], [r[0] for r in replies])
        eq(["admin:*", "create:only*"], replies[4][1]["rights"])
        # all of them: it hears nothing more
        del k.clients["ops"]
        k.write()
        c.send(("create", "only-a%d" % n), ("reload",), ("create", "only-b%d" % n), ("status",), ("buckets",), ("hello",), ("reload",))
        assert silent(c, 1000)
        until(lambda: k.nodes["foo"].status()["security"]["clients"] == 1)
        names = [b.decode() for b in stays.call("buckets")["items"]]
        assert "only-b%d" % n not in names and "second%d" % n not in names, names
        assert "first%d" % n in names and "only%d" % n in names, names
    k.nodes["foo"].up()


@test()
def a_file_that_is_wrong_changes_nothing(box):
    k = KeyedNodes(box, {"foo": {"*": "foo"}}, {"shop": ["read:*"], "gone": ["read:*"]})
    foo, shop, gone = k.nodes["foo"], k.connect("foo", "shop"), k.connect("foo", "gone")
    admin = foo.client(admin=True)
    eq("pong", shop.call("ping"))
    eq("pong", gone.call("ping"))
    k.clients = {"shop": ["read:*", "create:*"]}
    good = "shop %s read:* create:*\n" % k.key["shop"].public
    secret = k.key["shop"].secret
    rows = [("other %s reed:*\n" % k.key["gone"].public, ":2: "), (good, ":2: "), ("x\n", ":2: "),
            ("name = shop\nsecret = %s\n" % secret, ":2: "), ("x %s read:a*b\n" % k.key["gone"].public, ":2: "),
            ("self %s read:*\n" % k.own["foo"].public, "key of this node itself"), ("y %s read:*" % k.key["shop"].public, ":2: ")]
    for text, why in rows:
        with open(k.file, "w") as f:
            f.write(good + text)
        e = admin.error("reload")
        eq("bad_argument", e.code)
        assert why in e.text and k.file in e.text or why.startswith("key of") and why in e.text, e.text
        assert "nothing has changed" in e.text and secret not in e.text, e.text
    os.unlink(k.file)
    assert "cannot read it" in admin.error("reload").text
    os.mkdir(k.file)
    assert "cannot read it" in admin.error("reload").text
    os.rmdir(k.file)
    # the node's own file, too: gone, of others, of another pair's halves
    with open(k.file, "w") as f:
        f.write(good)
    own = k.own["foo"]
    with open(own.path) as f:
        text = f.read()
    os.chmod(own.path, 0o644)
    assert "chmod 600" in admin.error("reload").text
    os.chmod(own.path, 0o600)
    with open(own.path, "w") as f:
        f.write(text.replace(own.public, k.key["shop"].public))
    e = admin.error("reload")
    assert "public is not the key" in e.text and own.secret not in e.text, e.text
    os.unlink(own.path)
    assert own.path in admin.error("reload").text
    eq("pong", gone.call("ping"))
    eq("denied", shop.code("create", "x")[0])
    eq(2, foo.status()["security"]["clients"])
    eq(0, foo.status()["reloads"])
    own.write()
    reload(k)
    eq(True, shop.call("create", "x"))
    assert secret not in foo.output() and own.secret not in foo.output()


@test()
def keys_are_not_switched_off_by_a_reload(box):
    """[security] taken out, or put in: only a restart does that, and says so; until then all stays as it is."""
    k = KeyedNodes(box, {"foo": {"*": "foo"}}, {"shop": ["read:*"]})
    foo, shop = k.nodes["foo"], k.connect("foo", "shop")
    eq("pong", shop.call("ping"))
    with open(foo.conf) as f:
        text = f.read()
    with open(foo.conf, "w") as f:
        f.write("".join(line for line in text.splitlines(True) if not line.startswith(("key =", "clients =", "[security]"))))
    assert "only a restart" in foo.client(admin=True).error("reload").text
    r = box.run(lib.BUILD + "/pail", "--admin", "ipc://%s/admin.sock" % foo.data, "upgrade", "--wait")
    assert r.returncode == 78 and b"only a restart" in r.stderr, r
    eq("pong", shop.call("ping"))
    with open(foo.conf, "w") as f:
        f.write(text)
    eq([], reload(k))


@test()
def by_a_socket_file_keys_are_asked_for_too(box):
    """ipc:// for clients: a stranger is not heard, and a key that is taken out is cut off."""
    path = os.path.join(box.dir, "clients.sock")
    k = KeyedNodes(box, {"foo": {"*": "foo"}}, {"shop": ["read:*", "create:*"], "gone": ["create:*"]},
                   more={"foo": {"node.client": "ipc://" + path}})
    foo = k.nodes["foo"]
    shop, gone = k.connect("foo", "shop"), k.connect("foo", "gone")
    monitor = gone.socket.get_monitor_socket(zmq.EVENT_DISCONNECTED)
    for c in (shop, gone):
        eq("pong", c.call("ping"))
    for key in (None, Key(box, "stranger")):
        c = Client(foo.endpoint, options=curve(key, k.own["foo"].public) if key else None)
        box.clients.append(c)
        c.send(("create", "evil"))
        assert silent(c, 500)
    del k.clients["gone"]
    k.write()
    reload(k)
    assert monitor.poll(5000 * lib.SLOW), "it was not disconnected"
    gone.socket.disable_monitor()
    gone.send(("create", "evil"))
    assert silent(gone, 500)
    eq([], shop.call("buckets")["items"])


@test()
def a_table_that_is_full_forgets_no_rights(box):
    """More clients than limits.clients: who was forgotten has its own rights again with its next word, or none if its key is gone."""
    k = KeyedNodes(box, {"foo": {"*": "foo"}}, {"one": ["read:one"], "two": ["read:two"]}, more={"foo": {"limits.clients": 16}})
    clients = [(n, k.connect("foo", n)) for _ in range(20) for n in ("one", "two")]
    for _ in range(3):
        for n, c in clients:
            eq(n, c.call("hello")["client"])
    del k.clients["two"]
    k.write()
    reload(k)
    for n, c in clients:
        if n == "two":
            c.send(("hello",))
    assert all(silent(c, 20) for n, c in clients if n == "two")
    for n, c in clients:
        if n == "one":
            eq("one", c.call("hello")["client"])
