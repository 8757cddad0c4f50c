"""Costs and limits that one request, a reload or a full machine change."""
import os
import socket
import time

import msgpack

import lib
from lib import eq, test, until
from test_abuse import Raw


@test("abuse")
def a_message_of_status_stalls_nobody(box):
    """Four of the largest messages, on a node with many connections; another client asks meanwhile."""
    n = box.node("--set", "node.workers=1")
    idle = [n.client() for _ in range(200)]
    for x in idle:
        x.call("ping")
    c, other = n.client(), n.client()
    other.call("ping")
    for _ in range(4):
        c.socket.send(b"".join(msgpack.packb([0, i, "status", []]) for i in range(4096)))
    longest = 0
    for _ in range(2):
        begin = time.monotonic()
        other.call("ping", seconds=60)
        longest = max(longest, time.monotonic() - begin)
    assert longest < 5 * lib.SLOW, longest


def bursts(box, n):
    """Eight connections that send 1.5 MiB of a frame that never ends, at once."""
    for r in [Raw(box, n) for _ in range(8)]:
        r.s.sendall(b"\x02" + (2 << 20).to_bytes(8, "big") + b"x" * (1536 << 10))


def cuts(n):
    return n.output().count("cut off a connection")


LIMITS = ("--set", "node.workers=1", "--set", "limits.value=1M", "--set", "limits.message=2M")


@test("abuse")
def what_comes_in_the_first_moment_of_a_connection_counts(box):
    """Bursts that are over before anybody has looked at their connections."""
    n = box.node(*LIMITS, "--set", "limits.unread_total=1M")
    bursts(box, n)
    c = n.client()
    until(lambda: cuts(n) >= 6 or None, 15, "all but twice a message to be cut off")
    eq("pong", c.call("ping"))
    time.sleep(0.5)
    eq(6, cuts(n))


@test("abuse")
def a_reload_bounds_what_is_unfinished_too(box):
    """Large frames that never end: fine within an eighth of the memory, too much once the bound is twice a message."""
    conf = os.path.join(box.dir, "node.conf")
    port, data = box.ports(1)[0], box.folder("data")

    def configure(total):
        with open(conf, "w") as f:
            f.write("[node]\nclient = tcp://127.0.0.1:%d\ndata = %s\nworkers = 1\n[storage]\nmap = 1G\n"
                    "[limits]\nvalue = 1M\nmessage = 2M\ncache = 64M\nlog = 1G\nunread_total = %s\n"
                    % (port, data, total))

    configure("1G")
    n = box.node(conf=conf, data=data)
    bursts(box, n)
    c = n.client()
    eq("pong", c.call("ping"))
    time.sleep(0.5)
    eq("pong", c.call("ping"))
    eq(0, cuts(n))
    configure("1M")
    eq(1, len(n.client(admin=True).call("reload")["changed"]))
    until(lambda: cuts(n) >= 6 or None, 15, "the largest unfinished messages to be cut off")
    eq("pong", c.call("ping"))
    eq(6, cuts(n))


@test("upgrade")
def an_upgrade_at_the_limit_of_descriptors_goes_on_listening(box):
    """Nobody who connects meanwhile is refused, though clients have all descriptors but the reserve."""
    n = box.node("--set", "node.workers=1", inside=["prlimit", "--nofile=160:160"])
    c = n.client()
    raws = []
    for _ in range(200):
        s = socket.create_connection(("127.0.0.1", n.port), 10 * lib.SLOW)
        s.sendall(Raw.GREETING[:10])
        raws.append(s)
    until(lambda: not c.call("status")["files"]["accepting"], 10, "the node to accept no more")
    n.client(admin=True).call("upgrade", seconds=30)
    until(lambda: "upgraded to version" in n.output(), 20, "the new program to serve")
    eq(0, n.output().count("it will be bound again"))
    for s in raws:
        s.close()
    eq("pong", n.client().call("ping", seconds=20))


@test("netns")
def a_node_without_device_files_accepts_all_the_same(box):
    """Descriptors are counted, not files that may be missing in a bare root."""
    bare = "mount -t tmpfs none /dev && exec \"$@\""
    n = box.node("--set", "node.workers=1", inside=["unshare", "-rm", "sh", "-c", bare, "sh"])
    c = n.client()
    eq("pong", c.call("ping"))
    time.sleep(1)
    eq(True, n.client().call("status")["files"]["accepting"])
    eq(0, n.output().count("file descriptors are in use"))


@test("conf")
def root_looks_at_the_settings_of_another_users_node(box):
    """--check-config and --print-config as in operations.md; to start a node on such a folder is refused."""
    d = box.folder("data")
    os.mkdir(d, 0o750)
    if os.geteuid() == 0:  # else it is one's own
        os.chown(d, 65534, 65534)
    run = [lib.BUILD + "/paild", "--config", "/dev/null", "--data", d]
    for flag, says in (("--check-config", b"configuration OK"), ("--print-config", b"[limits]")):
        r = box.run(*run, flag)
        eq((0, b"", True), (r.returncode, r.stderr, says in r.stdout))
    if os.geteuid() == 0:
        r = box.run(*run)
        eq((78, True), (r.returncode, b"belongs to user 65534" in r.stderr))
