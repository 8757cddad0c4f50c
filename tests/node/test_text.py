"""The text gateway under people who do not wait for their answers."""
import os
import signal
import time

import lib
from lib import eq, test
from test_gateway import Line, gateway, start


def rss(pid):
    with open("/proc/%d/statm" % pid) as f:
        return int(f.read().split()[1]) * 4096


@test()
def lines_behind_a_slow_one_take_no_memory(box):
    """A worker stands still, so one GET is not answered; behind it come lines that need no node."""
    n = start(box, "--set", "node.workers=1", "--set", "supervisor.hang_ms=60000")
    g = gateway(n)["pid"]
    a = Line(box, n)
    a.send(b"CREATE b\r\nPUT b k v\r\n")
    eq([b"OK", b"OK"], [a.line(), a.line()])
    before = rss(g)
    os.kill(n.workers()[0]["pid"], signal.SIGSTOP)
    a.send(b"GET b k\r\n")
    a.s.setblocking(False)
    data, sent, end = b"\n" * (1 << 16), 0, time.monotonic() + 3
    while sent < 16 << 20 and time.monotonic() < end:
        try:
            sent += a.s.send(data)
        except BlockingIOError:
            time.sleep(0.01)
    assert rss(g) - before < (64 << 20) * (4 if "asan" in lib.BUILD else 1), (sent, rss(g) - before)
    os.kill(n.workers()[0]["pid"], signal.SIGCONT)
    a.s.settimeout(20 * lib.SLOW)
    eq([b"v", b"OK"], [a.line(), a.line()])
    for _ in range(10000):
        eq(b"UNKNOWN COMMAND", a.line())


@test()
def a_refusal_has_its_own_name(box):
    """A line that the node would never take as a message."""
    n = start(box, "--set", "limits.message=64K", "--set", "limits.value=16K", "--set", "gateway.line=1M")
    a = Line(box, n)
    a.send(b"CREATE b\nPUT b k " + b"v" * 70000 + b"\nPUT b k " + b"v" * 20000 + b"\nGET b k\n")
    eq(b"OK", a.line())
    assert a.line().startswith(b"ERROR too_large: the request has 70"), "not by the gateway"
    assert a.line().startswith(b"ERROR too_large: put: value has 20000 bytes"), "not by the node"
    eq([b"", b"OK"], [a.line(), a.line()])
