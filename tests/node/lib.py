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
import socket
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
            raise AssertionError("waited in vain for " + (what() if callable(what) else what))
        time.sleep(0.01)


def eq(want, got):
    if want != got:
        raise AssertionError("want %.300r, got %.300r" % (want, got))


class Error(Exception):
    def __init__(self, code, text, data=None):
        super().__init__("%s: %s" % (code, text))
        self.code, self.text, self.data = code, text, data


class Client:
    """A DEALER, or a REQ with req=True."""

    def __init__(self, endpoint, req=False, options=None):
        """options: of the socket, set before it connects."""
        self.socket = zmq.Context.instance().socket(zmq.REQ if req else zmq.DEALER)
        self.socket.linger = 0
        for option, value in (options or {}).items():
            self.socket.setsockopt(option, value)
        self.socket.connect(endpoint)
        self.endpoint = endpoint
        self.next = 0
        self.notes = []
        self.replies = {}

    def close(self):
        self.socket.close()

    def again(self):
        """Told to go away, and nothing is awaited: connect again."""
        self.socket.close()
        self.socket = zmq.Context.instance().socket(zmq.DEALER)
        self.socket.linger = 0
        self.socket.connect(self.endpoint)
        self.notes = []

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
        e = self.error(*request)
        return e.code, e.text

    def error(self, *request):
        try:
            r = self.call(*request)
        except Error as e:
            return e
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
    def __init__(self, box, *args, data=None, env=None, wait=True, build=None, conf=None, inside=(),
                 start=True):
        """With conf: of that file alone.  inside: a command to run it by, such as ip netns exec X."""
        self.box = box
        self.build = build or BUILD
        self.data = data or box.folder("data")
        self.args = list(args)
        self.conf, self.inside, self.askers, self.keys = conf, list(inside), True, {}
        self.env = dict(os.environ, **(env or {}))
        self.env.setdefault("PAIL_STORAGE_RESERVE", "1M")
        self.port = 0
        if start:
            self.start(wait)

    def configure(self):
        """Write the file of a node of a cluster."""
        settings = {"node.name": self.name, "node.client": self.at[self.name][0], "node.peer": self.at[self.name][1],
                    "node.data": self.data, "storage.map": "1G", "limits.cache": "64M", "limits.log": "1G"}
        settings.update(self.more)
        sections = {}
        for k, v in settings.items():
            section, key = k.split(".")
            sections.setdefault(section, []).append("%s = %s" % (key, v))
        key = lambda n: " " + self.keys[n] if n in self.keys else ""
        sections["peers"] = ["%s = %s%s" % (n, self.at.get(n, (0, "tcp://127.0.0.1:1"))[1], key(n)) for n in self.named]
        # those that this one does not ask may still ask it, as in [peers] of a whole cluster
        sections["peers"] += ["%s = -%s" % (n, key(n)) for n in self.at if n not in self.named and n != self.name and self.askers]
        sections["routes"] = ["%s = %s" % kv for kv in self.table.items()]
        with open(self.conf, "w") as f:
            for section, lines in sections.items():
                f.write("[%s]\n%s\n" % (section, "\n".join(lines)))

    def start(self, wait=True):
        self.log = open(os.path.join(self.box.dir, "paild-%d.log" % len(self.box.nodes)), "ab+")
        what = ["--config", self.conf] if self.conf else ["--dev", "--data", self.data, "--port", str(self.port)]
        self.process = subprocess.Popen(
            self.inside + [self.build + "/paild"] + what + self.args,
            stdout=subprocess.PIPE, stderr=self.log, stdin=subprocess.DEVNULL, env=self.env)
        if self not in self.box.nodes:
            self.box.nodes.append(self)
        if wait:
            self.wait_ready()

    def wait_ready(self):
        line = self.process.stdout.readline().decode()
        m = re.match(r"ready: node (\S+) listens (?:on ([^\s,]+))?(?:,? ?for nodes on (\S+))?\n", line)
        if not m:
            raise AssertionError("node did not start: %r\n%s" % (line, self.output()))
        self.endpoint, self.peer = m.group(2), m.group(3)
        if self.endpoint and self.endpoint.startswith("tcp:"):
            self.port = int(self.endpoint.rsplit(":", 1)[1])

    def output(self):
        self.log.seek(0)
        return self.log.read().decode(errors="replace")

    def client(self, req=False, admin=False):
        c = Client("ipc://%s/admin.sock" % self.data if admin else self.endpoint, req)
        self.box.clients.append(c)
        return c

    def status(self):
        c = self.client(admin=not self.endpoint or bool(self.keys))
        try:
            return c.call("status")
        finally:
            c.close()

    def peers(self):
        return {p["name"]: p for p in self.status()["peers"] if p["endpoint"] != "-"}

    def linked(self, *names):
        """The links to those peers (all, if none is named) are up."""
        until(lambda: all(p["state"] == "up" for n, p in self.peers().items() if not names or n in names),
              10, "peers of %s to be up" % self.data)
        return self

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

    def ports(self, n):
        """Ports that are free now, below those that the kernel gives out."""
        out = []
        while len(out) < n:
            p = self.random.randrange(10000, 30000)
            with socket.socket() as s:
                try:
                    s.bind(("127.0.0.1", p))
                except OSError:
                    continue
            if p not in out:
                out.append(p)
        return out

    def cluster(self, tables, peers=None, more=None, hosts=None, start=True, workers=1, build=None):
        """Nodes by name, each with its own table; peers are those that the table names, or as given.

        tables: {name: {range: node}}; more: {name: {"section.key": value}}; hosts: {name: address}.
        """
        hosts = hosts or {}
        names = list(tables)
        free = self.ports(2 * len(names))
        at = {n: ("tcp://%s:%d" % (hosts.get(n, "127.0.0.1"), free[2 * i]),
                  "tcp://%s:%d" % (hosts.get(n, "127.0.0.1"), free[2 * i + 1])) for i, n in enumerate(names)}
        nodes = {}
        for n in names:
            path = os.path.join(self.dir, n + ".conf")
            node = Node(self, conf=path, data=os.path.join(self.dir, n), wait=False, start=False, build=build)
            node.name, node.at, node.more = n, at, dict((more or {}).get(n, {}), **{"node.workers": workers})
            node.table = tables[n]
            node.named = (peers or {}).get(n, sorted(set(tables[n].values()) - {n}))
            node.configure()
            nodes[n] = node
        if start:
            for node in nodes.values():
                node.start(wait=False)
            for node in nodes.values():
                node.wait_ready()
        return nodes

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


def rounds(box, name, sound, seconds=60):
    """sound(box, seconds, most) again and again, in a box and with a seed of its own each, until TORTURE_S are over."""
    end, n = time.monotonic() + float(os.environ.get("TORTURE_S", 3600)), 0
    while time.monotonic() < end:
        inner = Box(name)
        inner.seed = box.seed + n
        inner.random = random.Random(inner.seed)
        try:
            sound(inner, max(5, min(seconds, end - time.monotonic())), most=box.random.choice((0.1, 0.5, 2)))
        except BaseException:
            print("# round %d, PAIL_SEED=%d" % (n, inner.seed))
            print("\n".join("# | " + line for line in inner.logs().splitlines()[-60:]))
            raise
        finally:
            inner.close()
        n += 1
    print("# %d rounds" % n)
