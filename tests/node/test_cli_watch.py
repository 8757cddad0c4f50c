"""pail top and pail events: at a terminal, in a pipe, while the node comes and goes."""
import fcntl
import json
import os
import re
import signal
import struct
import subprocess
import termios
import time

import lib
from lib import eq, test, until
from test_shell import Terminal


def spawned(box, n, *args):
    """A `pail` that goes on; what it has written is read by lines."""
    p = subprocess.Popen([lib.BUILD + "/pail", "--node", n.endpoint, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
    box.undo.append(lambda: (p.kill(), p.wait(), p.stdout.close(), p.stderr.close()))
    os.set_blocking(p.stderr.fileno(), False)
    return p


def ended(p, sig, seconds=10):
    p.send_signal(sig)
    return p.wait(timeout=seconds * lib.SLOW)


@test("single", "kill")
def events_are_shown_and_followed_over_a_restart(box):
    n = box.node("--set", "node.workers=1")
    r = box.pail(n, "events")
    eq((0, b""), (r.returncode, r.stderr))
    lines = r.stdout.decode().splitlines()
    assert all(re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}  (info|warning|error) +\S", x) for x in lines), lines
    assert any("node pail listens on" in x for x in lines), lines
    events = json.loads(box.pail(n, "events", "-o", "json").stdout)
    eq(len(lines), len(events))
    eq(events[-1:], json.loads(box.pail(n, "events", "-o", "json", "--limit", "1").stdout))
    p = spawned(box, n, "events", "--follow", "--limit", "1", "-o", "json")
    eq(events[-1], json.loads(p.stdout.readline()))
    n.kill_worker(0)
    eq(["worker_died", "worker_up"], [json.loads(p.stdout.readline())["kind"] for _ in range(2)])
    port = n.endpoint.rsplit(":", 1)[1]
    n.stop()
    said = until(lambda: p.stderr.read(), 10, "word that the node is away").decode()
    eq("pail: the node does not answer: waiting for it\n", said)
    n.port = int(port)
    n.start()
    until(lambda: json.loads(p.stdout.readline())["kind"] == "start", 10, "its new start")  # behind a stop, perhaps
    eq(0, ended(p, signal.SIGINT))


@test("single")
def who_follows_into_a_closed_pipe_ends(box):
    n = box.node("--set", "node.workers=1")
    p = spawned(box, n, "events", "--follow")
    p.stdout.readline()
    p.stdout.close()
    n.kill_worker(0)
    assert p.wait(timeout=15 * lib.SLOW) != 0
    p.stdout = open(os.devnull)


@test("single", "kill")
def top_in_a_pipe_is_one_look_without_escapes(box):
    n = box.node("--set", "node.workers=3")
    c = n.client()
    c.call("create", "b")
    p = spawned(box, n, "top", "--once", "--interval", "2")
    until(lambda: c.call("put", "b", "k", "v") and c.call("get", "b", "k") and p.poll() is not None, 20, "top to end")
    text = p.stdout.read().decode()
    eq((0, b""), (p.returncode, p.stderr.read()))
    assert "\x1b" not in text and max(len(x) for x in text.splitlines()) <= 80, text
    row = {x.split()[0]: x.split()[1:] for x in text.splitlines() if x.split()}
    for kind in "reads", "writes":
        assert float(row[kind][0].rstrip("k")) > 0 and "-" not in row[kind], row[kind]
    eq(["up"] * 3, [row[str(i)][0] for i in range(3)])
    eq(text.splitlines()[0].split()[:2], ["node", "pail"])


@test("single", "kill")
def top_as_json_counts_what_was_done(box):
    n = box.node("--set", "node.workers=2")
    c = n.client()
    c.call("create", "b")
    p = spawned(box, n, "top", "-o", "json", "--interval", "1")
    done, seen = 0, []

    def enough():
        nonlocal done
        c.call("put", "b", "k%d" % (done % 9), "v")
        c.call("get", "b", "k0")
        done += 1
        return len(seen) > 2
    os.set_blocking(p.stdout.fileno(), False)

    def look():
        enough()
        line = p.stdout.readline()
        if line.endswith(b"\n"):
            seen.append(json.loads(line))
        return len(seen) > 2
    until(look, 30, "three looks")
    last = seen[-1]
    eq(("pail", "serving", [0, 1]), (last["node"], last["state"], [w["id"] for w in last["workers"]]))
    total = sum(s["writes"]["per_s"] * s["interval_ms"] / 1000 for s in seen)
    assert 0 < total <= done + 2, (total, done)
    assert 0 < last["writes"]["p50_us"] <= last["writes"]["p99_us"] <= last["writes"]["p999_us"], last
    eq(None, last["others"]["p50_us"]) if not last["others"]["per_s"] else None
    # A node that is not there, and is back: no rate is below 0, and none is what was done in all before.
    port = n.endpoint.rsplit(":", 1)[1]
    n.stop()
    n.port = int(port)
    n.start()
    c = n.client()
    before = len(seen)

    def back():
        line = p.stdout.readline()
        if line.endswith(b"\n"):
            seen.append(json.loads(line))
        return len(seen) > before + 2
    until(back, 30, "looks at the new one")
    for s in seen[before:]:
        assert 0 <= s["writes"]["per_s"] <= 2 * done, s
    eq(0, ended(p, signal.SIGINT))


class Top(Terminal):
    def __init__(self, box, n, rows=24, columns=80, *args):
        super().__init__(box, lib.BUILD + "/pail", "--node", n.endpoint, "top", "--interval", "1", *args)
        self.resize(rows, columns)
        self.raw = ""

    def resize(self, rows, columns):
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def settings(self):
        return termios.tcgetattr(self.fd)[3] & (termios.ICANON | termios.ECHO)

    def wait(self, seconds=10):
        end = time.monotonic() + seconds * lib.SLOW
        while time.monotonic() < end:
            try:
                self.raw += os.read(self.fd, 65536).decode(errors="replace")
            except OSError:
                break
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


@test("single", "kill")
def top_gives_the_terminal_back(box):
    n = box.node("--set", "node.workers=1")
    for leave in "q", "\x03", signal.SIGTERM:
        t = Top(box, n)
        t.expect("node pail")
        until(lambda: not t.settings(), 10, "keys to be taken one by one")
        if isinstance(leave, str):
            t.type(leave)
        else:
            os.kill(t.pid, leave)
        eq((leave, 0), (leave, t.wait()))
        assert t.raw.endswith("\x1b[?25h\x1b[?1049l"), t.raw[-200:]


@test("single", "kill")
def top_goes_on_when_its_node_comes_back(box):
    n = box.node("--set", "node.workers=1")
    port = n.endpoint.rsplit(":", 1)[1]
    t = Top(box, n, 40, 100)
    t.expect("serving")
    n.stop()
    t.expect("no answer for")
    n.port = int(port)
    n.start()
    t.expect("serving")
    n.kill_worker(0)
    t.expect("died: killed by signal 9")
    t.type("q")
    eq(0, t.wait())


@test("single")
def what_they_cannot_do_is_said(box):
    n = box.node("--set", "node.workers=1")
    eq(2, box.pail(n, "events", "--limit", "257").returncode)
    eq(2, box.pail(n, "top", "--interval", "0").returncode)
    for what in "top", "events":
        r = box.run(lib.BUILD + "/pail", "--node", "127.0.0.1:1", what)
        eq(4, r.returncode)
        assert b"127.0.0.1:1" in r.stderr, r.stderr
