"""The text gateway: the tutorial's dialogue, byte for byte, and what lines and sockets can do to it."""
import os
import signal
import socket
import struct
import time

import lib
from keys import KeyedNodes, pair
from lib import eq, test, until


def start(box, *args, **kw):
    n = box.node("--set", "gateway.text=127.0.0.1:0", *args, **kw)
    gateway(n)
    return n


def gateway(n):
    return until(lambda: (lambda g: g if g["state"] == "up" else None)(n.status()["gateway"]), 10, "the gateway")


class Line:
    def __init__(self, box, n):
        host, port = gateway(n)["endpoint"].rsplit(":", 1)
        self.s = socket.create_connection((host, int(port)), 10 * lib.SLOW)
        self.rest = b""
        box.clients.append(self)

    def close(self):
        self.s.close()

    def send(self, data):
        self.s.sendall(data)

    def line(self):
        while b"\r\n" not in self.rest:
            more = self.s.recv(1 << 20)
            if not more:
                raise EOFError(self.rest)
            self.rest += more
        line, self.rest = self.rest.split(b"\r\n", 1)
        return line

    def ask(self, data, *answers):
        self.send(data)
        for a in answers:
            eq(a, self.line())


@test()
def the_tutorials_dialogue(box):
    n = start(box)
    t = Line(box, n)
    t.ask(b"CREATE shopping\r\n", b"OK")
    t.ask(b"PUT shopping milk 1\r\n", b"OK")
    t.ask(b"PUT shopping eggs 3\r\n", b"OK")
    t.ask(b"GET shopping milk\r\n", b"1", b"OK")
    t.ask(b"DELETE shopping eggs\r\n", b"OK")
    t.ask(b"GET shopping eggs\r\n", b"", b"OK")
    t.ask(b"GET unknown eggs\r\n", b"NOT FOUND")
    t.ask(b"PUT unknown eggs 1\r\n", b"NOT FOUND")
    t.ask(b"DELETE unknown eggs\r\n", b"NOT FOUND")
    t.ask(b"DELETE shopping none\r\n", b"OK")
    t.ask(b"CREATE shopping\r\n", b"OK")
    for odd in (b"UNKNOWN shopping\r\n", b"CREATE\r\n", b"CREATE a b\r\n", b"GET shopping\r\n", b"put shopping a b\r\n",
                b"\r\n", b"PUT shopping milk two words\r\n"):
        t.ask(odd, b"UNKNOWN COMMAND")
    t.ask(b"  GET \t shopping   milk \r\n", b"1", b"OK")
    t.ask(b"GET shopping milk\n", b"1", b"OK")  # LF alone will do
    # what was put here is there for everybody
    eq(b"1", n.client().call("get", "shopping", "milk")[0])
    n.client().call("put", "shopping", "e", b"")
    t.ask(b"GET shopping e\r\n", b"", b"OK")


@test()
def lines_may_come_in_any_pieces_and_numbers(box):
    n = start(box)
    t = Line(box, n)
    for b in b"CREATE b\r\nPUT b k v\r\nGET b k\r\n":
        t.send(bytes([b]))
    eq([b"OK", b"OK", b"v", b"OK"], [t.line() for _ in range(4)])
    # thousands of lines at once: answers in their order
    count = 5000
    t.send(b"".join(b"PUT b k%d v%d\r\nGET b k%d\r\nNONSENSE\r\n" % (i, i, i) for i in range(count)))
    for i in range(count):
        eq([b"OK", b"v%d" % i, b"OK", b"UNKNOWN COMMAND"], [t.line() for _ in range(4)])


@test()
def many_connections_at_once(box):
    n = start(box, "--set", "gateway.connections=200")
    c = n.client()
    c.call("create", "b")
    lines = [Line(box, n) for _ in range(200)]
    late = Line(box, n)  # waits to be accepted
    late.send(b"PUT b late 1\r\n")
    for i, t in enumerate(lines):
        t.send(b"PUT b k%d %d\r\nGET b k%d\r\n" % (i, i, i))
    for i, t in enumerate(lines):
        eq([b"OK", b"%d" % i, b"OK"], [t.line() for _ in range(3)])
    eq(200, c.call("count", "b"))
    lines[0].close()
    eq(b"OK", late.line())


@test()
def long_lines_and_half_closed_sockets(box):
    n = start(box, "--set", "gateway.line=1000")
    t = Line(box, n)
    t.ask(b"CREATE b\r\n", b"OK")
    t.ask(b"PUT b k " + b"x" * 992 + b"\r\n", b"OK")  # as long as may be
    t.ask(b"PUT b k " + b"y" * 993 + b"\r\n", b"ERROR too_large: a line may have 1000 bytes")
    t.ask(b"PUT b k " + b"y" * 993 + b"\n", b"ERROR too_large: a line may have 1000 bytes")
    t.s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    other = Line(box, n)
    for _ in range(20):  # its end may come in two parts
        t.send(b"PUT b k " + b"x" * 992 + b"\r")
        other.ask(b"GET b none\n", b"", b"OK")
        t.ask(b"\n", b"OK")
    t.send(b"PUT b k " + b"z" * 300000)
    t.send(b"z\r\nGET b k\r\n")
    eq([b"ERROR too_large: a line may have 1000 bytes", b"x" * 992, b"OK"], [t.line() for _ in range(3)])
    t.ask(b"PUT b " + b"k" * 481 + b" v\r\n", b"ERROR too_large: put: key has 481 bytes, the limit is 480")
    # it sends no more, and reads on: every whole line is answered, half a line is none
    t.send(b"GET b k\r\n" * 3 + b"PUT b half 1")
    t.s.shutdown(socket.SHUT_WR)
    eq([b"x" * 992, b"OK"] * 3, [t.line() for _ in range(6)])
    eq(b"", t.s.recv(1))
    eq(None, n.client().call("get", "b", "half"))
    t = Line(box, n)
    t.send(b"".join(b"PUT b k%d %d\n" % (i, i) for i in range(3000)) + b"GET b k2999\n")
    t.s.shutdown(socket.SHUT_WR)
    eq([b"OK"] * 3000 + [b"2999", b"OK"], [t.line() for _ in range(3002)])
    eq(b"", t.s.recv(1))
    # resets in the middle harm nobody
    for _ in range(20):
        x = Line(box, n)
        x.send(b"GET b k\r\n" * 100)
        x.s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        x.close()
    Line(box, n).ask(b"GET b k\r\n", b"x" * 992, b"OK")


@test()
def who_does_not_read_is_not_read(box):
    """Answers are bounded in memory, and nobody else waits."""
    n = start(box)
    c = n.client()
    c.call("create", "b")
    c.call("put", "b", "k", b"x" * 1000000)
    t = Line(box, n)
    t.s.settimeout(0.2)
    sent = 0
    try:
        while sent < 50000000:
            t.send(b"GET b k\r\n" * 1000)
            sent += 9000
    except (BlockingIOError, socket.timeout):
        pass
    assert sent < 50000000
    Line(box, n).ask(b"PUT b l 1\r\n", b"OK")
    with open("/proc/%d/statm" % gateway(n)["pid"]) as f:
        rss = int(f.read().split()[1]) * 4096
    assert rss < 150e6 * (4 if "asan" in lib.BUILD else 1), rss
    t.s.settimeout(20 * lib.SLOW)
    for _ in range(20):
        eq(1000000, len(t.line()))
        eq(b"OK", t.line())


@test()
def its_crash_touches_nobody_and_it_comes_back(box):
    n = start(box)
    c = n.client()
    c.call("create", "b")
    for i in range(3):
        t = Line(box, n)
        t.ask(b"PUT b k %d\r\n" % i, b"OK")
        g = gateway(n)
        os.kill(g["pid"], signal.SIGKILL)
        eq(b"%d" % i, c.call("get", "b", "k")[0])
        try:
            eq(b"", t.s.recv(1))
        except ConnectionResetError:
            pass
        until(lambda: n.status()["gateway"]["restarts"] == i + 1 and gateway(n)["pid"] != g["pid"])
        assert "killed by signal 9" in n.status()["gateway"]["last_death"]
        Line(box, n).ask(b"GET b k\r\n", b"%d" % i, b"OK")
    pid = gateway(n)["pid"]
    t = Line(box, n)
    t.send(b"GET b k\r\n")
    eq(b"2", t.line())
    eq(0, n.stop())
    until(lambda: not os.path.exists("/proc/%d" % pid), what="the gateway to end with its node")


@test("distributed")
def it_is_a_client_of_its_node_and_reaches_every_other(box):
    n = box.cluster({"foo": {"a-m": "foo", "n-z": "bar"}, "bar": {"*": "bar"}},
                    more={"foo": {"gateway.text": "127.0.0.1:0"}})
    n["foo"].linked()
    t = Line(box, n["foo"])
    t.ask(b"CREATE zulu\r\nPUT zulu k 1\r\nGET zulu k\r\n", b"OK", b"OK", b"1", b"OK")
    t.ask(b"GET 9 k\r\n", b"ERROR no_route: could not find entry for \"9\" in table [a-m = foo, n-z = bar]")
    n["bar"].kill()
    until(lambda: n["foo"].peers()["bar"]["state"] == "down")
    t.send(b"GET zulu k\r\n")
    line = t.line()
    assert line.startswith(b'ERROR node_down: node "bar" is not connected'), line


@test()
def its_options_are_checked(box):
    run = lambda *a: box.run(lib.BUILD + "/pail-gateway", *a)
    eq(0, run("--help").returncode)
    eq(2, run().returncode)
    eq(2, run("--text", "x", "--line", "0").returncode)
    n = box.node()
    r = run("--node", n.endpoint, "--text", "nowhere")
    eq(2, r.returncode)
    assert b"no address such as" in r.stderr
    r = run("--node", "tcp://127.0.0.1:1", "--text", "127.0.0.1:0")
    eq(1, r.returncode)
    assert b"unreachable" in r.stderr
    r = box.run(lib.BUILD + "/paild", "--dev", "--set", "node.role=storage", "--set", "gateway.text=127.0.0.1:0",
                "--check-config")
    eq(78, r.returncode)
    assert b"serves no clients" in r.stderr

@test()
def the_gateway_comes_with_a_key_of_its_own(box):
    """It may what its key may, be it that its file names the node's key or not; without its line nobody is served."""
    k = KeyedNodes(box, {"foo": {"*": "foo"}}, {"all": ["create:*", "read:*"], "gate": ["read:shop*", "write:shop*"]}, start=False)
    foo = k.nodes["foo"]
    foo.more.update({"gateway.text": "127.0.0.1:0", "gateway.key": k.key["gate"].path})
    foo.configure()
    for server in ((), (k.own["foo"].public,), (pair()[0], k.own["foo"].public)):
        k.key["gate"].write(server)
        k.start()
        for b in ("shop", "till"):
            k.connect("foo", "all").call("create", b)
        t = Line(box, foo)
        t.ask(b"PUT shop k 1\r\n", b"OK")
        t.ask(b"GET shop k\r\n", b"1", b"OK")
        t.ask(b"PUT till k 1\r\n", b'ERROR denied: "gate" lacks write on "till"')
        t.close()
        foo.stop()
