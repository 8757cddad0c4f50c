"""pail's commands under clumsy hands: what is said, with which exit status, and what it did."""
import json
import os
import re
import signal
import subprocess
import threading
import time

import lib
from lib import eq, test, until


@test()
def a_scan_tells_what_is_left_to_live(box):
    """The scan option ttl: a fourth element, ms or nil; before a checkpoint and after, here and on another node."""
    nodes = box.cluster({"foo": {"*": "bar"}, "bar": {"*": "bar"}}, more={"foo": {"node.role": "router"}})
    nodes["foo"].linked()
    for n in nodes.values():
        c = n.client()
        c.call("create", "b")
        c.call("put", "b", "ever", "1")
        c.call("put", "b", "long", "2", {"ttl": 1000000})
        c.call("put", "b", "short", "3", {"ttl": 1})
        until(lambda: c.call("count", "b") == 2, 10, "the short one to go")
        items = c.call("scan", "b", {"ttl": True})["items"]
        eq([[b"ever", b"1", None], [b"long", b"2"]], [items[0][:2] + items[0][3:], items[1][:2]])
        assert 990000 < items[1][3] <= 1000000, items
        items = c.call("scan", "b", {"ttl": True, "keys_only": True, "reverse": True})["items"]
        eq([None, None], [i[1] for i in items])
        eq([4, 4], [len(i) for i in items])
        eq([3, 3], [len(i) for i in c.call("scan", "b", {"ttl": False})["items"]])
        eq("bad_argument", c.code("scan", "b", {"ttl": 5})[0])
        eq("bad_argument", c.code("put", "b", "k", "v", {"ttl": True})[0])
        eq("bad_argument", c.code("count", "b", {"ttl": True})[0])
    n = nodes["bar"]
    n.kill()  # from the log, by recovery
    n.start()
    items = n.client().call("scan", "b", {"ttl": True})["items"]
    assert items[0][3] is None and 900000 < items[1][3] <= 1000000, items


@test()
def scan_shows_what_is_left_to_live(box):
    n = box.node()
    c = n.client()
    c.call("create", "b")
    c.call("put", "b", "ever", "1")
    c.call("put", "b", "long", "2", {"ttl": 1000000})
    r = box.pail(n, "scan", "b", "--ttl", "-o", "raw")
    assert re.fullmatch(rb"ever\t1\t-\nlong\t2\t\d{6,7}\n", r.stdout), r.stdout
    r = json.loads(box.pail(n, "scan", "b", "--ttl", "-o", "json").stdout)["items"]
    assert r[0]["ttl"] is None and 900000 < r[1]["ttl"] <= 1000000, r


def said(r):
    return r.stderr.decode(errors="replace")


@test()
def lists_end_with_a_word(box):
    """100 of more: said on stderr, or all with --all, in every form; a shorter list says nothing."""
    n = box.node()
    c = n.client()
    c.call("create", "b")
    for i in range(0, 12345, 4000):
        for k in c.send(*[("put", "b", "k%05d" % k, "v") for k in range(i, min(i + 4000, 12345))]):
            c.result(k)
    for i in range(120):
        c.call("create", "bucket%03d" % i)
    for form in "raw", "table":
        r = box.pail(n, "scan", "b", "-o", form)
        eq((0, 100 + (form == "table")), (r.returncode, len(r.stdout.splitlines())))
        assert "--all" in said(r) and "100" in said(r), r.stderr
        r = box.pail(n, "buckets", "-o", form)
        assert "--all" in said(r), r.stderr
        r = box.pail(n, "buckets", "--all", "-o", form)
        eq((121 + (form == "table"), b""), (len(r.stdout.splitlines()), r.stderr))
        r = box.pail(n, "scan", "b", "--all", "-o", form)
        eq((0, 12345 + (form == "table"), b""), (r.returncode, len(r.stdout.splitlines()), r.stderr))
        r = box.pail(n, "scan", "b", "--prefix", "k000", "--limit", "100", "-o", form)
        eq(b"", r.stderr)  # it is all
    eq((True, b""), (json.loads(box.pail(n, "scan", "b", "-o", "json").stdout)["more"], box.pail(n, "scan", "b", "-o", "json").stderr))
    r = json.loads(box.pail(n, "scan", "b", "--all", "-o", "json", "--reverse", "--limit", "1000", "--keys-only", "--prefix", "k").stdout)
    eq((12345, False, "k12344", "k00000"), (len(r["items"]), r["more"], r["items"][0]["key"], r["items"][-1]["key"]))


@test()
def any_byte_is_a_key(box):
    n = box.node()
    c = n.client()
    c.call("create", b"b\xff\n")
    key = bytes(range(256))
    typed = "".join("\\x%02x" % x if x < 32 or x > 126 else "\\\\" if x == 92 else chr(x) for x in key)
    eq(0, box.pail(n, "put", "-e", r"b\xff\x0a", "--", typed, r"v\x00w").returncode)
    eq([b"v\0w"], c.call("get", b"b\xff\n", key)[:1])
    eq(b"v\0w", box.pail(n, "get", "-xe", r"b\xff\x0a", key.hex()).stdout)
    eq(0, box.pail(n, "put", "--hex", "--escapes", r"b\xff\x0a", "00FF", "00ff").returncode)
    eq([b"00ff"], c.call("get", b"b\xff\n", b"\0\xff")[:1])
    # what a table shows can be typed again
    r = box.pail(n, "scan", "-e", r"b\xff\x0a", "--keys-only", "--from", r"\x00\xff")
    eq(r"\x00\xff", r.stdout.decode().splitlines()[1].split()[0])
    shown = box.pail(n, "buckets").stdout.decode().splitlines()[1]
    eq(r"b\xff\x0a", shown)
    r = box.pail(n, "scan", "-x", "-e", r"b\xff\x0a", "--prefix", "00ff", "-o", "json")
    eq(1, len(json.loads(r.stdout)["items"]))
    eq(0, box.pail(n, "delete", "-xe", r"b\xff\x0a", "00ff").returncode)
    for wrong in "0", "0g", "xx":
        r = box.pail(n, "get", "--hex", "b", wrong)
        eq(2, r.returncode)
        assert "hexadecimal" in said(r), r.stderr
    # text is shown as it is, but not what would hide something
    c.call("create", "t")
    for i, (k, shown) in enumerate((("Z\u00fcrich", "Z\u00fcrich"), ("\u65e5\u672c", "\u65e5\u672c"), ("a\\b", "a\\\\b"), ("\x1b[2J", "\\x1b[2J"),
                                    ("a\u202eb", "a\\xe2\\x80\\xaeb"), ("\x7f", "\\x7f"))):
        c.call("put", "t", k, "v%d" % i)
        lines = box.pail(n, "scan", "t", "--from", k, "--limit", "1").stdout.decode().splitlines()
        eq([shown, "v%d" % i], [lines[1].split()[0], lines[1].split()[2]])
    lines = box.pail(n, "scan", "t").stdout.decode().splitlines()
    eq(1, len({sum(2 if ord(x) > 0x2e80 else 1 for x in line[:line.rindex(" v")]) for line in lines[1:]}), )  # in columns


@test()
def wrong_lines_say_what_is_right(box):
    n = box.node()
    n.client().call("create", "b")

    def wrong(*args, status=2, env=None):
        r = box.pail(n, *args, env=env or {})
        eq((args, status, b""), (args, r.returncode, r.stdout))
        return said(r)
    for args, words in (
            (("put", "b", "k", "-5"), ("-5", "-- -5")),
            (("scan", "b", "--limit", "20000"), ("--limit 20000", "1 to 10000")),
            (("scan", "b", "--limit", "0"), ("--limit 0", "1 to 10000")),
            (("put", "b", "k", "v", "--ttl", "soon"), ("--ttl soon", "1 or more")),
            (("put", "b", "k", "v", "--if-version", "-1"), ("--if-version -1", "0 or more")),
            (("bench", "--reads", "101"), ("--reads 101", "0 to 100")),
            (("--timeout", "0", "ping"), ("--timeout 0", "1 to 86400000")),
            (("ping", "--timeout"), ("--timeout takes a value",)),
            (("ping", "-o", "xml"), ("xml", "table, json or raw")),
            (("buckets", "--local=yes"), ("--local takes no value",)),
            (("scan", "b", "--limt", "5"), ("--limt", "did you mean --limit?")),
            (("get", "b", "k", "--ttl", "5"), ("it takes no option --ttl",)),
            (("sacn", "b"), ("unknown command: sacn", "did you mean scan?")),
            (("help", "bukets"), ("did you mean buckets?",)),
            (("get", "b"), ("it takes BUCKET KEY",)),
            (("get", "b", "k", "x"), ("unexpected argument: x",)),
            (("--limit", "5", "scan", "b"), ("--limit", "behind its name"))):
        text = wrong(*args)
        for w in words:
            assert w in text, (args, text)
    for far in "xyzzy", "q", "frobnicate", "list":
        assert "did you mean" not in wrong(far), far
    eq(2, box.pail(n).returncode)
    # what is right
    for args, words in ((("--version",), ("pail ",)), (("-V",), ("pail ",)), (("help",), ("Commands:", "--version", "Exit status", "-h")),
                        (("-h",), ("Commands:",)), (("help", "put"), ("usage: pail put BUCKET KEY [VALUE]", "--ttl MS", "1 or more")),
                        (("put", "-h"), ("usage: pail put",)), (("scan", "--help"), ("1 to 10000, default 100",)), (("help", "help"), ("usage: pail help",))):
        r = box.pail(n, *args)
        eq((args, 0, b""), (args, r.returncode, r.stderr))
        for w in words:
            assert w in r.stdout.decode(), (args, r.stdout)
    eq(0, box.pail(n, "put", "b", "k", "--", "-5").returncode)
    eq(b"-5", box.pail(n, "get", "b", "k").stdout)
    eq(0, box.pail(n, "scan", "b", "--lim", "5", "--prefix=k", "-ojson").returncode)  # beginnings, =, and no blank


@test()
def endpoints_are_checked(box):
    n = box.node()
    place = n.endpoint.removeprefix("tcp://")
    port = place.rsplit(":", 1)[1]
    for right in place, n.endpoint, "localhost:" + port, "ipc://%s/admin.sock" % n.data:
        eq((right, 0), (right, box.pail(n, "--node", right, "ping").returncode))
        eq((right, 0), (right, box.run(lib.BUILD + "/pail", "ping", env={"PAIL_NODE": right}).returncode))
        eq((right, b"pong\n"), (right, box.pail(n, "shell", input=b"node %s\nping\n" % right.encode()).stdout))
    eq(0, box.pail(n, "--admin", "ipc://%s/admin.sock" % n.data, "worker", "list").returncode)
    wrongs = ("4040", "localhost", "udp://127.0.0.1:4040", "tcp://127.0.0.1:99999", "127.0.0.1:0", "127.0.0.1:", ":4040", "256.1.1.1:4040",
                  "1.2.3:4040", "tcp://", "ipc://", "tcp://a b:4040", 'tcp://"a":4040', "tcp://[::1:4040", "[::1]", "tcp://a:1;b:2", "a:40x", "a:-1",
                  "ipc://" + "x" * 108, "x" * 400 + ":4040")
    for wrong in wrongs:
        for r, where in ((box.pail(n, "--node", wrong, "ping"), "--node: "), (box.run(lib.BUILD + "/pail", "ping", env={"PAIL_NODE": wrong}), "PAIL_NODE: ")):
            eq((wrong, 2, b""), (wrong, r.returncode, r.stdout))
            assert where in said(r), (wrong, r.stderr)
    assert "--admin: " in said(box.pail(n, "--admin", "4040", "status"))
    r = box.pail(n, "shell", input="".join("node '%s'\n" % w for w in wrongs).encode() + b"node\n")
    eq((2, n.endpoint + "\n", len(wrongs)), (r.returncode, r.stdout.decode(), said(r).count("pail: node: ")))
    eq(4, box.pail(n, "--node", "127.0.0.1:1", "ping").returncode)


@test()
def values_too_large_are_refused_at_once(box):
    n = box.node()
    n.client().call("create", "b")
    for size in (17 << 20) + 1, 40 << 20, (8 << 20) + 1:
        begin = time.monotonic()
        r = box.pail(n, "--timeout", "60000", "put", "b", "k", input=b"x" * size)
        eq(1, r.returncode)
        assert r.stderr.startswith(b"pail: too_large: "), r.stderr
        assert time.monotonic() - begin < 20 * lib.SLOW  # the request's time is a minute
    eq(0, box.pail(n, "put", "b", "k", input=b"x" * (8 << 20)).returncode)
    eq(1, n.client().call("count", "b"))


@test()
def operators_commands_name_their_socket(box):
    n = box.node()
    for c in ("reload",), ("upgrade",), ("upgrade", "--wait"), ("worker", "restart"), ("worker", "stop", "0"), ("worker", "start", "0"), ("worker", "restart", "99"):
        r = box.pail(n, *c)
        eq((c, 1, b""), (c, r.returncode, r.stdout))
        assert said(r).startswith("pail: denied: ") and "admin socket" in said(r), (c, r.stderr)
    eq(["up"] * len(n.workers()), [w["state"] for w in n.workers()])
    # somebody else
    pail = box.dir + "/pail"
    box.run("cp", lib.BUILD + "/pail", pail)
    admin = "ipc://%s/admin.sock" % n.data
    os.chmod(box.dir, 0o711)
    other = dict(user=65534, group=65534, extra_groups=[]) if os.geteuid() == 0 else {}
    if not other:
        os.chmod(n.data, 0)
    begin = time.monotonic()
    r = box.run(pail, "--admin", admin, "status", cwd="/", **other)
    eq((1, b""), (r.returncode, r.stdout))
    assert "no permission on the admin socket" in said(r) and n.data in said(r), r.stderr
    os.chmod(n.data, 0o700)
    r = box.run(pail, "--admin", "ipc://%s/none/admin.sock" % box.dir, "status")
    eq(4, r.returncode)
    assert "there is no admin socket" in said(r), r.stderr
    n.kill()
    r = box.run(pail, "--admin", admin, "status")
    eq(4, r.returncode)
    assert "does not run" in said(r), r.stderr
    assert time.monotonic() - begin < 2 * lib.SLOW  # at once, each


@test()
def a_stopped_worker_is_named(box):
    n = box.node("--set", "node.workers=2")
    admin = ("--admin", "ipc://%s/admin.sock" % n.data)
    eq(0, box.pail(n, *admin, "worker", "stop", "1").returncode)
    r = box.pail(n, "buckets")
    eq((1, b""), (r.returncode, r.stdout))
    assert said(r).startswith("pail: busy: worker 1 is stopped"), r.stderr
    eq(("busy", True), (lambda e: (e[0], "worker 1 is stopped" in e[1]))(n.client().code("buckets")))
    eq(0, box.pail(n, *admin, "worker", "start", "1").returncode)
    eq(0, box.pail(n, "buckets").returncode)


@test()
def bench_leaves_no_trace(box):
    """It refuses what is not its own, drops what it made, also when it is interrupted, and its figures hold."""
    n = box.node()
    c = n.client()
    c.call("create", "mine")
    c.call("put", "mine", "key:000000000001", "precious")
    r = box.pail(n, "bench", "--bucket", "mine", "--keys", "10", "--requests", "100", "--reads", "0")
    eq((1, b""), (r.returncode, r.stdout))
    assert "not of bench's making" in said(r), r.stderr
    eq([b"precious"], c.call("get", "mine", "key:000000000001")[:1])
    c.call("create", "b1")  # one of several: those before it go again
    eq(1, box.pail(n, "bench", "--bucket", "b", "--buckets", "3").returncode)
    eq([b"b1", b"mine"], c.call("buckets")["items"])
    for _ in range(3):
        r = json.loads(box.pail(n, "bench", "--requests", "300", "--keys", "10", "-o", "json").stdout)
        assert r["p50_us"] <= r["p99_us"] <= r["p999_us"] <= r["max_us"], r
    # what it left by --keep it knows again
    for _ in range(2):
        eq(0, box.pail(n, "bench", "--keep", "--bucket", "kept", "--requests", "10", "--keys", "5").returncode)
    assert b"kept" in c.call("buckets")["items"]
    for args in ("--load", "--keys", "100000000"), ("--seconds", "100"), ("--seconds", "100", "--rate", "100"):
        p = subprocess.Popen([lib.BUILD + "/pail", "--node", n.endpoint, "bench", *args, "-o", "json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        done = n.status()["totals"]["requests"]
        until(lambda: n.status()["totals"]["requests"] > done + 50 and b"bench" in c.call("buckets")["items"], 10, "it to run")
        p.send_signal(signal.SIGINT)
        out, err = p.communicate(timeout=20 * lib.SLOW)
        eq((0, b""), (p.returncode, err))
        r = json.loads(out)
        assert r["requests"] > 0 and r["failed"] == 0, r
        assert b"bench" not in c.call("buckets")["items"]


@test()
def what_cannot_be_written_is_said(box):
    """Help too; and what was closed for us is not another file that we have opened."""
    n = box.node()
    n.client().call("create", "b")
    for args in (("help",), ("help", "put"), ("--version",), ("buckets",), ("get", "-h"), ("shell",)):
        with open("/dev/full", "wb") as full:
            r = subprocess.run([lib.BUILD + "/pail", *args], stdout=full, stderr=subprocess.PIPE, input=b"help\n",
                               env=dict(os.environ, PAIL_NODE=n.endpoint), timeout=60)
        eq((args, 1), (args, r.returncode))
        assert b"No space left" in r.stderr, (args, r.stderr)
    for command, said_of in (("put b k <&-", b"Bad file descriptor"), ("import <&-", b"Bad file descriptor"),
                             ("scan b -o json >&-", b"Bad file descriptor")):
        r = box.run("/bin/sh", "-c", "exec %s/pail %s" % (lib.BUILD, command), env={"PAIL_NODE": n.endpoint})
        eq((command, 1), (command, r.returncode))
        assert said_of in r.stderr, (command, r.stderr)


@test()
def bench_with_much_in_flight_is_no_end(box):
    """What the library cannot take for the moment is sent a moment later; and all of the waiting counts."""
    n = box.node()
    r = box.pail(n, "bench", "-o", "json", "--clients", "1", "--in-flight", "100", "--batch", "1", "--value", "1000000",
                 "--keys", "10", "--requests", "130", "--reads", "0", "--timeout", "60000")
    got = json.loads(r.stdout)
    eq(130, got["requests"])
    assert r.returncode == 0 or b"this node's queue is full" in r.stderr, r.stderr  # it has a bound of its own
    r = box.pail(n, "bench", "-o", "json", "--clients", "1", "--in-flight", "100000", "--batch", "4096", "--keys", "10",
                 "--requests", "100000", "--timeout", "60000")
    eq((0, b""), (r.returncode, r.stderr))
    got = json.loads(r.stdout)
    assert got["p50_us"] > 1000, got
    # what can never be sent is a failure
    n = box.node("--set", "limits.message=64K", "--set", "limits.value=32K")
    r = box.pail(n, "bench", "--value", "100000", "--requests", "10", "--reads", "0")
    eq(1, r.returncode)
    assert b"too_large" in r.stderr, r.stderr
