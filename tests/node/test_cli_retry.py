"""pail sends again what has no outcome yet: to whom, with what, and when it gives up."""
import threading
import time

import lib
from lib import eq, test
from played import Played

SESSION = bytes(range(16))


class Keeping(Played):
    """A played node that names sessions, and answers `nothing` times with what is no reply."""

    def __init__(self, box, answer, nothing=0, sessions=True, port=None):
        self.nothing, self.sessions = nothing, sessions
        super().__init__(box, answer, port)

    def reply(self, msgid, method, params):
        if method == "hello":
            return [1, msgid, None, {"features": ["sessions"] if self.sessions else []}]
        if method == "session":
            return [1, msgid, None, SESSION]
        if method == "ack":
            self.requests.append([method, params])
            return [1, msgid, None, True]
        reply = super().reply(msgid, method, params)
        self.nothing -= 1
        return reply if self.nothing < 0 else None


@test()
def writes_are_sent_again_and_acknowledged(box):
    for words, method, result in ((("put", "b", "k", "v"), "put", 7), (("touch", "b", "k"), "touch", 7),
                                  (("delete", "b", "k"), "delete", True), (("create", "b"), "create", True),
                                  (("drop", "b"), "drop", True), (("call", "b", "m", "f"), "call", 1),
                                  (("txn", "b", "put k v"), "txn", {"ok": True, "results": [7]})):
        node = Keeping(box, lambda *_: result, nothing=2)
        r = box.pail(node, *words)
        eq((0, b""), (r.returncode, r.stderr))
        eq([method] * 3 + ["ack"], [m for m, _ in node.requests])
        options = [p[-1] for m, p in node.requests if m == method]
        for o in options:
            eq((SESSION, 1, 1), (o["session"], o["seq"], o["ack"]))
        assert options[1]["timeout"] < 5000, options
        eq([b"b", SESSION, 2], node.requests[-1][1][:3])


@test()
def bench_sends_again_where_it_is_told_to(box):
    def bench(*words):
        node = Keeping(box, lambda method, *_: {"create": True, "drop": True}.get(method, 7))
        answer = node.reply

        def reply(msgid, method, params, left=[2]):
            if method == "put" and params[1].startswith(b"key:") and left[0]:
                left[0] -= 1
                return [1, msgid, ["timeout", "who knows"], None]
            return answer(msgid, method, params)
        node.reply = reply
        r = box.pail(node, "bench", "--clients", "1", "--in-flight", "4", "--batch", "2", "--reads", "0", "--requests", "20", *words)
        return r.returncode, [p[-1] for m, p in node.requests if m == "put" and p[1].startswith(b"key:")]
    code, options = bench()
    eq((1, 20 - 2), (code, len(options)))
    assert not any(isinstance(o, dict) and "session" in o for o in options), options[:3]
    code, options = bench("--retry")
    eq((0, 20, {SESSION}), (code, len(options), {o["session"] for o in options}))


@test()
def what_is_told_not_to_is_sent_once(box):
    node = Keeping(box, lambda *_: 7, nothing=1)
    r = box.pail(node, "put", "--no-retry", "--timeout", "300", "b", "k", "v")
    eq((5, 1), (r.returncode, len(node.requests)))
    assert not isinstance(node.requests[0][1][-1], dict) or "session" not in node.requests[0][1][-1], node.requests
    # A read, only where it is told to.
    node = Keeping(box, lambda *_: [b"v", 7], nothing=1)
    eq(5, box.pail(node, "get", "--timeout", "300", "b", "k").returncode)
    node = Keeping(box, lambda *_: [b"v", 7], nothing=1)
    r = box.pail(node, "get", "--retry", "b", "k")
    eq((0, b"v", 2), (r.returncode, r.stdout, len(node.requests)))


@test()
def a_node_without_sessions_gets_a_write_again_only_if_it_was_refused(box):
    answers = [Exception("busy", "later"), Exception("node_down", "bar"), 7]
    node = Keeping(box, lambda *_: answers.pop(0), sessions=False)
    r = box.pail(node, "put", "b", "k", "v")
    eq((0, b"version 7\n", ["put"] * 3), (r.returncode, r.stdout, [m for m, _ in node.requests]))
    node = Keeping(box, lambda *_: 7, nothing=1, sessions=False)
    eq(5, box.pail(node, "put", "--timeout", "500", "b", "k", "v").returncode)
    eq(1, len(node.requests))


@test()
def another_endpoint_is_tried_and_the_deadline_holds(box):
    node = box.node()
    dead = "127.0.0.1:%d" % box.ports(1)[0]
    silent, other = Keeping(box, lambda *_: 7, nothing=1000), Keeping(box, lambda *_: 7)
    for several in "%s,%s" % (dead, node.endpoint), "%s,%s" % (node.endpoint, dead):
        for words in (("create", "b"), ("put", "b", "k", "v"), ("get", "b", "k"), ("ping",)):
            eq(0, box.run(lib.BUILD + "/pail", *words, env={"PAIL_NODE": several}).returncode)
            eq(0, box.run(lib.BUILD + "/pail", "--node", several, *words).returncode)
    # A socket in the file system that is not there is only one of several; reads are not sent again.
    several = "ipc://%s/no.sock,tcp://%s" % (box.dir, node.endpoint.replace("tcp://", ""))
    eq(0, box.run(lib.BUILD + "/pail", "--node", several, "get", "b", "k").returncode)
    several = "%s,%s,%s" % (dead, silent.endpoint, other.endpoint)
    eq(0, box.run(lib.BUILD + "/pail", "--node", several, "put", "b", "k", "v").returncode)
    eq([["put"], ["put", "ack"]], [[m for m, _ in n.requests] for n in (silent, other)])
    begin = time.monotonic()
    r = box.run(lib.BUILD + "/pail", "--node", silent.endpoint, "put", "--timeout", "600", "b", "k", "v")
    eq(5, r.returncode)
    assert 0.5 < time.monotonic() - begin < 3 * lib.SLOW, time.monotonic() - begin
    r = box.run(lib.BUILD + "/pail", "--node", "127.0.0.1:1,", "ping")
    assert r.returncode == 2 and b"empty" in r.stderr, r
    r = box.run(lib.BUILD + "/pail", "--node", dead, "put", "--timeout", "300", "b", "k", "v")
    eq(4, r.returncode)


@test("kill")
def a_restart_of_the_node_is_no_error(box):
    """Begun while there is no node at all."""
    node = box.node()
    eq(0, box.pail(node, "create", "b").returncode)
    node.stop()
    out = []
    t = threading.Thread(target=lambda: out.append(box.pail(node, "put", "--timeout", "20000", "b", "k", "v")))
    t.start()
    time.sleep(0.5)
    node.start()
    t.join()
    eq((0, b""), (out[0].returncode, out[0].stderr))


@test()
def the_time_is_that_of_connecting_and_asking_together(box):
    port, = box.ports(1)
    out = []
    begin = time.monotonic()
    t = threading.Thread(target=lambda: out.append(box.run(lib.BUILD + "/pail", "--node", "127.0.0.1:%d" % port, "put", "--timeout", "20000", "b", "k", "v")))
    t.start()
    time.sleep(1)  # of its time, in which there is nobody
    node = Keeping(box, lambda *_: 7, port=port)
    t.join()
    eq(0, out[0].returncode)
    left = node.requests[0][1][-1]["timeout"]
    assert 0 < left <= 20000 - 500, left
    assert left >= 20000 - (time.monotonic() - begin) * 1000, left


@test()
def a_shell_goes_on_with_its_connection(box):
    node = Keeping(box, lambda method, _: [b"v", 7] if method == "get" else 7)
    r = box.pail(node, "shell", input=b"put b k v\nget b k\nput b k v\nput --no-retry b k v\nput b k v\n")
    eq((0, b""), (r.returncode, r.stderr))
    eq(["put", "get", "put", "ack", "put", "put", "ack"], [m for m, _ in node.requests])
    eq([1, 2, 1], [p[-1]["seq"] for m, p in node.requests if m == "put" and isinstance(p[-1], dict)])
