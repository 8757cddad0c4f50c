"""Real nodes, and a client written from docs/protocol.md alone: raw ZeroMQ and MessagePack.

A test is a function with @test(tags...); it gets a Box, whose nodes, folders and processes end with
it.  Nothing sleeps for luck: `until` waits for a condition, with a limit.
"""
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import msgpack
import zmq

TESTS = []
BUILD = "build/debug"
SLOW = 1  # time limits are stretched under sanitizers


def test(*tags):
    def add(f):
        TESTS.append((f.__name__, f.__module__, set(tags) | {f.__module__.removeprefix("test_")}, f))
        return f
    return add


def until(condition, seconds=10, what="condition"):
    end = time.monotonic() + seconds * SLOW
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError("waited in vain for " + what)
        time.sleep(0.01)


def eq(want, got):
    if want != got:
        raise AssertionError("want %.300r, got %.300r" % (want, got))


class Error(Exception):
    def __init__(self, code, text):
        super().__init__("%s: %s" % (code, text))
        self.code, self.text = code, text


class Client:
    """A DEALER, or a REQ with req=True."""

    def __init__(self, endpoint, req=False):
        self.socket = zmq.Context.instance().socket(zmq.REQ if req else zmq.DEALER)
        self.socket.linger = 0
        self.socket.connect(endpoint)
        self.next = 0
        self.notes = []
        self.replies = {}

    def close(self):
        self.socket.close()

    def pack(self, method, *params):
        self.next += 1
        return self.next, msgpack.packb([0, self.next, method, list(params)])

    def send(self, *requests):
        """Requests as (method, params...), packed into one frame; their msgids."""
        ids, frame = [], b""
        for r in requests:
            i, data = self.pack(*r)
            ids.append(i)
            frame += data
        self.socket.send(frame)
        return ids

    def take(self, seconds=15):
        """Receive one message into self.replies."""
        if not self.socket.poll(int(seconds * SLOW * 1000)):
            raise AssertionError("no reply in %s s" % (seconds * SLOW))
        for frame in self.socket.recv_multipart():
            u = msgpack.Unpacker(raw=False, strict_map_key=False, max_buffer_size=1 << 30)
            u.feed(frame)
            for m in u:
                if m[0] == 2:
                    self.notes.append(m)
                else:
                    self.replies[m[1]] = m

    def wait(self, i, seconds=15):
        end = time.monotonic() + seconds * SLOW
        while i not in self.replies:
            self.take(max(0.01, (end - time.monotonic()) / SLOW))
        return self.replies.pop(i)

    def result(self, i, seconds=15):
        m = self.wait(i, seconds)
        eq(4, len(m))
        eq(1, m[0])
        if m[2] is not None:
            eq(None, m[3])
            raise Error(*m[2])
        return m[3]

    def call(self, *request, seconds=15):
        return self.result(self.send(request)[0], seconds)

    def code(self, *request):
        """The error code of a request that must fail, and its text."""
        try:
            r = self.call(*request)
        except Error as e:
            return e.code, e.text
        raise AssertionError("%r worked: %r" % (request[:2], r))

    def raw(self, *frames):
        """Send frames as they are; the messages of the next reply."""
        self.socket.send_multipart(list(frames))
        out = []
        if not self.socket.poll(10000 * SLOW):
            raise AssertionError("no reply")
        for frame in self.socket.recv_multipart():
            u = msgpack.Unpacker(raw=False)
            u.feed(frame)
            out += list(u)
        return out


class Node:
    def __init__(self, box, *args, data=None, env=None, wait=True, build=None):
        self.box = box
        self.build = build or BUILD
        self.data = data or box.folder("data")
        self.args = list(args)
        self.env = dict(os.environ, **(env or {}))
        self.env.setdefault("PAIL_STORAGE_RESERVE", "1M")
        self.port = 0
        self.start(wait)

    def start(self, wait=True):
        self.log = open(os.path.join(self.box.dir, "paild-%d.log" % len(self.box.nodes)), "ab+")
        self.process = subprocess.Popen(
            [self.build + "/paild", "--dev", "--data", self.data, "--port", str(self.port)] + self.args,
            stdout=subprocess.PIPE, stderr=self.log, stdin=subprocess.DEVNULL, env=self.env)
        self.box.nodes.append(self)
        if wait:
            line = self.process.stdout.readline().decode()
            m = re.match(r"ready: node (\S+) listens on (\S+)\n", line)
            if not m:
                raise AssertionError("node did not start: %r\n%s" % (line, self.output()))
            self.endpoint = m.group(2)
            self.port = int(self.endpoint.rsplit(":", 1)[1])

    def output(self):
        self.log.seek(0)
        return self.log.read().decode(errors="replace")

    def client(self, req=False):
        c = Client(self.endpoint, req)
        self.box.clients.append(c)
        return c

    def status(self):
        c = self.client()
        try:
            return c.call("status")
        finally:
            c.close()

    def workers(self):
        return self.status()["workers"]

    def up(self):
        """All workers serve again."""
        def all_up():
            workers = self.workers()
            return workers if all(w["state"] == "up" for w in workers) else None
        return until(all_up, 30, "workers to be up")

    def kill_worker(self, i, sig=signal.SIGKILL):
        pid = self.workers()[i]["pid"]
        if pid:
            os.kill(pid, sig)
        return pid

    def children(self):
        pid = self.process.pid
        with open("/proc/%d/task/%d/children" % (pid, pid)) as f:
            return [int(x) for x in f.read().split()]

    def kill(self):
        """kill -9 of everything at once."""
        pids = self.children()
        for p in [self.process.pid] + pids:
            try:
                os.kill(p, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.process.wait()

    def stop(self, seconds=30):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds * SLOW)


class Box:
    def __init__(self, name):
        self.dir = tempfile.mkdtemp(prefix="pail-%s-" % name[:20])
        self.nodes, self.clients, self.folders, self.undo = [], [], 0, []
        self.seed = int(os.environ.get("PAIL_SEED", random.SystemRandom().randrange(1 << 32)))
        self.random = random.Random(self.seed)

    def folder(self, name):
        self.folders += 1
        return os.path.join(self.dir, "%s-%d" % (name, self.folders))

    def node(self, *args, **kw):
        return Node(self, *args, **kw)

    def run(self, *argv, input=b"", env=None, timeout=60, **kw):
        return subprocess.run(argv, input=input, capture_output=True, timeout=timeout * SLOW,
                              env=dict(os.environ, **(env or {})), **kw)

    def pail(self, node, *args, **kw):
        e = dict({"PAIL_NODE": node.endpoint}, **kw.pop("env", {}))
        return self.run(BUILD + "/pail", *args, env=e, **kw)

    def close(self):
        for c in self.clients:
            c.close()
        bad = []
        for n in self.nodes:
            if n.process.poll() is None:
                n.kill()
            text = n.output()
            for sign in ("AddressSanitizer", "ThreadSanitizer", "LeakSanitizer", "runtime error:",
                         "check failed", "corrupted its reply ring"):
                if sign in text:
                    bad.append(text)
        for f in reversed(self.undo):
            f()
        shutil.rmtree(self.dir, ignore_errors=True)
        if bad:
            raise AssertionError("a node complained:\n" + bad[0][:6000])

    def logs(self):
        return "\n".join(n.output()[-3000:] for n in self.nodes)
