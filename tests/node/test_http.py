"""HTTP of the gateway: each path, what sockets can do to it, and a node that stops, dies and comes back."""
import json
import os
import re
import signal
import socket
import subprocess
import threading
import time

import cluster
import lib
from lib import eq, test, until

OPENMETRICS = b"Accept: application/openmetrics-text;version=1.0.0,text/plain;q=0.5\r\n"


def start(box, *args, **kw):
    n = box.node("--set", "metrics.http=127.0.0.1:0", *args, **kw)
    address(n)
    return n


def address(n):
    g = until(lambda: (lambda g: g if g["state"] == "up" else None)(n.status()["gateway"]), 10, "the gateway")
    host, port = g["http"].rsplit(":", 1)
    return host, int(port)


class Web:
    """A connection that speaks HTTP by hand."""

    def __init__(self, at):
        self.s = socket.create_connection(at, 10 * lib.SLOW)
        self.rest = b""

    def send(self, data):
        self.s.sendall(data)

    def until(self, end):
        while end not in self.rest:
            more = self.s.recv(1 << 16)
            if not more:
                raise EOFError(self.rest)
            self.rest += more
        part, self.rest = self.rest.split(end, 1)
        return part

    def answer(self, body=True):
        """Status, fields by their small names, and the body."""
        lines = self.until(b"\r\n\r\n").decode().split("\r\n")
        fields = {k.lower(): v for k, v in (x.split(": ", 1) for x in lines[1:])}
        n = int(fields["content-length"]) if body else 0
        while len(self.rest) < n:
            more = self.s.recv(1 << 16)
            if not more:
                raise EOFError(self.rest)
            self.rest += more
        out, self.rest = self.rest[:n], self.rest[n:]
        return int(lines[0].split()[1]), fields, out

    def get(self, path, more=b"", method=b"GET"):
        self.send(method + b" " + path.encode() + b" HTTP/1.1\r\nHost: x\r\n" + more + b"\r\n")
        return self.answer(method != b"HEAD")

    def ended(self):
        """Nothing more comes, and the connection is closed."""
        eq(b"", self.rest)
        try:
            eq(b"", self.s.recv(1))
        except ConnectionResetError:
            pass

    def close(self):
        self.s.close()


def get(at, path, more=b""):
    w = Web(at)
    try:
        return w.get(path, more)
    finally:
        w.close()


def figures(text):
    """Series and their values."""
    return {k: float(v) for k, v in (x.rsplit(" ", 1) for x in text.decode().splitlines() if not x.startswith("#"))}


@test()
def each_path_is_answered(box):
    n = start(box, "--set", "node.workers=2")
    c = n.client()
    c.call("create", "b")
    c.call("put", "b", "k", "v")
    w = Web(address(n))
    eq((200, b"alive\n"), w.get("/healthz")[::2])
    eq((200, b"serving\n"), w.get("/readyz")[::2])
    status, fields, body = w.get("/metrics")
    eq((200, "text/plain; version=0.0.4; charset=utf-8"), (status, fields["content-type"]))
    f = figures(body)
    eq(1, f["pail_ready"])
    eq((1, 1), (f['pail_worker_up{worker="0"}'], f['pail_worker_up{worker="1"}']))
    eq(1, f['pail_request_duration_seconds_count{method="put"}'])
    eq(1, f['pail_request_duration_seconds_bucket{method="put",le="+Inf"}'])
    status, fields, body = w.get("/status.json")
    eq((200, "application/json"), (status, fields["content-type"]))
    s = json.loads(body)
    eq(("serving", None, 2), (s["state"], s["cluster"], len(s["workers"])))
    eq(sorted(e["id"] for e in s["events"]), [e["id"] for e in s["events"]])
    eq(2, sum(e["kind"] == "worker_up" for e in s["events"]))
    eq({w["pid"] for w in n.workers()}, {w["pid"] for w in s["workers"]})
    eq(0, n.status()["totals"]["errors"])  # nothing was asked that is refused
    status, fields, body = w.get("/")
    eq((200, "text/html"), (status, fields["content-type"].split(";")[0]))
    policy = fields["content-security-policy"]
    nonce = re.search(r"script-src 'nonce-(\w{32})'", policy).group(1)
    assert "default-src 'none'" in policy and "unsafe" not in policy, policy
    eq(4, body.count(b'nonce="%s"' % nonce.encode()))
    html = re.sub(rb"<(style|script)[ >].*?</\1>", b"", body, flags=re.S)
    assert not re.search(rb'src=|<link rel="?stylesheet|<script', html), html
    assert b"Permission is hereby granted" in body and len(body) > 100000
    # HEAD tells the same without it
    head = w.get("/", method=b"HEAD")
    eq((200, str(len(body)), b""), (head[0], head[1]["content-length"], w.rest))
    for path in ("/nothing", "/page.js", "/dygraph.css", "/metrics/", "/page.html", "//", "/%2e%2e/etc/passwd", "/../paild"):
        eq(404, w.get(path)[0])
    for method in (b"POST", b"PUT", b"DELETE", b"OPTIONS", b"TRACE", b"CONNECT"):
        x = Web(address(n))
        status, fields, _ = x.get("/metrics", method=method)
        eq((405, "GET, HEAD", "close"), (status, fields["allow"], fields["connection"]))
        x.ended()
        x.close()


@test()
def prometheus_finds_nothing_wrong(box):
    n = start(box, "--set", "node.workers=2")
    c = n.client()
    c.call("create", "b")
    for i in range(50):
        c.call("put", "b", "k%d" % i, "v")
        c.call("get", "b", "k%d" % i)
    at = address(n)
    text = get(at, "/metrics")[2]
    r = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True)
    eq((0, b"", b""), (r.returncode, r.stdout, r.stderr))
    status, fields, om = get(at, "/metrics", OPENMETRICS)
    eq("application/openmetrics-text; version=1.0.0; charset=utf-8", fields["content-type"])
    assert om.endswith(b"# EOF\n"), om[-200:]
    # series are called the same, families of counters are not
    strip = "pail_process_cpu_seconds_total"
    eq(sorted(k for k in figures(text) if strip not in k), sorted(k for k in figures(om) if strip not in k))
    assert b"# TYPE pail_requests counter\n" in om and b"# TYPE pail_requests_total counter\n" in text
    assert b"# UNIT pail_request_duration_seconds seconds\n" in om
    # cumulative, and the same bounds whatever was asked
    counts = [v for k, v in figures(text).items() if k.startswith('pail_request_duration_seconds_bucket{method="put"')]
    eq(sorted(counts), counts)
    eq((28, 50), (len(counts), counts[-1]))


@test()
def junk_long_heads_and_bodies_end_the_connection(box):
    n = start(box)
    at = address(n)
    for data, status in ((b"\r\n\r\n", 400), (b"nonsense\r\n\r\n", 400), (b"GET / HTTP/1.1\r\nA: " + b"x" * 8200, 431),
                         (b"GET / HTTP/1.1\r\nA: " + b"x" * 8170 + b"\r\n\r\n", 431),
                         (b"GET /" + b"x" * 3000 + b" HTTP/1.1\r\n\r\n", 414),
                         (b"GET / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello", 413),
                         (b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 413), (b"GET / HTTP/3.0\r\n\r\n", 505),
                         (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400), (b"GET / HTTP/1.1\r\nA: \0\r\n\r\n", 400)):
        w = Web(at)
        w.send(data)
        eq((status, "close"), (lambda a: (a[0], a[1]["connection"]))(w.answer()))
        w.close()
    for i in range(200):
        w = Web(at)
        try:
            w.send(box.random.randbytes(box.random.randrange(1, 12000)) + (b"\r\n\r\n" if i % 2 else b""))
        except OSError:
            pass  # it may have been cut off by then
        w.close()
    # in pieces, one behind the other, and without the word that more is to come
    w = Web(at)
    for b in b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n":
        w.send(bytes([b]))
    eq(200, w.answer()[0])
    w.send(b"GET /healthz HTTP/1.1\r\n\r\n" * 50 + b"GET /status.json HTTP/1.1\r\n\r\nGET /healthz HTTP/1.0\r\n\r\n")
    eq([200] * 52, [w.answer()[0] for _ in range(52)])
    w.ended()
    w = Web(at)
    w.send(b"GET /status.json HTTP/1.1\r\n\r\n")
    w.s.shutdown(socket.SHUT_WR)
    eq(200, w.answer()[0])
    w.ended()
    eq(0, n.status()["gateway"]["restarts"])


@test()
def more_connections_than_there_may_be(box):
    n = start(box)
    at = address(n)
    silent = [Web(at) for _ in range(200)]  # more than there may be
    eq(200, get(at, "/readyz")[0])
    # the latest are there still, and nobody who says nothing keeps others out
    eq(200, silent[-1].get("/healthz")[0])
    pid = n.status()["gateway"]["pid"]
    assert len(os.listdir("/proc/%d/fd" % pid)) < 64 + 40, os.listdir("/proc/%d/fd" % pid)
    for w in silent:
        w.close()
    # all who ask at once, or one after the other within a second, share an answer
    before, begin = n.status()["totals"]["by_method"]["metrics"], time.monotonic()
    out = []
    threads = [threading.Thread(target=lambda: out.append(get(at, "/metrics")[0])) for _ in range(40)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    eq([200] * 40, out)
    w = Web(at)
    eq([200] * 40, [w.get("/metrics")[0] for _ in range(40)])
    w.close()
    took = time.monotonic() - begin
    asked = n.status()["totals"]["by_method"]["metrics"] - before
    assert asked <= 3 + 1.2 * took, "80 scrapes in %.1f s were asked for %d times" % (took, asked)


@test()
def who_does_not_read_is_cut_off(box):
    n = start(box)
    at = address(n)
    fds = "/proc/%d/fd" % n.status()["gateway"]["pid"]
    get(at, "/healthz")
    before = until(lambda: len(os.listdir(fds)), 5, "descriptors")
    w = Web.__new__(Web)
    w.s, w.rest = socket.socket(), b""
    w.s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    w.s.connect(at)
    w.send(b"GET / HTTP/1.1\r\n\r\n" * 200)
    until(lambda: len(os.listdir(fds)) > before, 5, "the connection")
    eq(200, get(at, "/readyz")[0])  # nobody else waits for it
    until(lambda: len(os.listdir(fds)) <= before, 30, "the end of the connection")
    eq(200, get(at, "/readyz")[0])
    w.close()


@test()
def an_hour_is_kept_and_told_from_where_one_was(box):
    n = start(box)
    at = address(n)
    c = n.client()
    c.call("create", "b")
    stop = time.monotonic() + 60 * lib.SLOW
    rows = []
    while len(rows) < 2 and time.monotonic() < stop:
        for i in range(20):
            c.call("put", "b", "k%d" % i, "v")
            c.call("get", "b", "k%d" % i)
        h = json.loads(get(at, "/status.json")[2])["history"]
        rows = h["samples"]
    at_field = {name: i for i, name in enumerate(h["fields"])}
    last = rows[-1]
    assert last[at_field["writes_s"]] > 1 and last[at_field["reads_s"]] > 1, last
    assert 0 < last[at_field["write_p50_us"]] <= last[at_field["write_p99_us"]] < 60e6, last
    assert last[at_field["log_bytes_s"]] > 0 and last[at_field["syncs_s"]] > 0, last
    later = json.loads(get(at, "/status.json?since=%d" % rows[0][0])[2])["history"]["samples"]
    eq(rows[1:], later[:len(rows) - 1])


@test("kill")
def a_node_that_stops_dies_and_comes_back(box):
    n = box.node("--set", "node.workers=2")
    p = subprocess.Popen([lib.BUILD + "/pail-gateway", "--http", "127.0.0.1:0", "--admin", "ipc://%s/admin.sock" % n.data],
                         stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    box.undo.append(p.kill)
    words = p.stdout.readline().decode().split()
    eq("-", words[-2])
    host, port = words[-1].rsplit(":", 1)
    at = host, int(port)
    eq((200, b"serving\n"), get(at, "/readyz")[::2])
    os.kill(n.process.pid, signal.SIGSTOP)  # silent, but there
    try:
        until(lambda: get(at, "/readyz")[0] == 503, 10, "readyz of a node that says nothing")
        begin = time.monotonic()
        status, _, body = get(at, "/readyz")
        eq(503, status)
        assert time.monotonic() - begin < 2.5 * lib.SLOW, time.monotonic() - begin
        s = json.loads(until(lambda: (lambda a: a[2] if a[0] == 503 else None)(get(at, "/status.json")), 10, "its status"))
        assert s["silent_since_unix_ms"] > 0 and "error" in s and s["history"]["fields"], s
        eq(200, get(at, "/healthz")[0])
    finally:
        os.kill(n.process.pid, signal.SIGCONT)
    until(lambda: get(at, "/readyz")[0] == 200, 20, "readyz again")
    n.kill()
    until(lambda: get(at, "/readyz")[0] == 503, 20, "readyz of a dead node")
    eq(503, get(at, "/metrics")[0])
    eq(200, get(at, "/healthz")[0])
    n.start()
    until(lambda: get(at, "/readyz")[0] == 200, 30, "readyz of the new node")
    rows = json.loads(get(at, "/status.json")[2])["history"]["samples"]
    assert all(x is None or x >= 0 for r in rows for x in r), rows
    # what is told of a stop counts at once
    p.send_signal(signal.SIGUSR1)
    until(lambda: get(at, "/readyz")[::2] == (503, b"stopping\n"), 10, "readyz of a node that stops")
    until(lambda: get(at, "/metrics")[0] == 200, 10, "figures, which go on")
    p.send_signal(signal.SIGTERM)
    eq(0, p.wait(10 * lib.SLOW))


@test()
def options_of_the_gateway(box):
    g = lib.BUILD + "/pail-gateway"
    for args, why in (((), b"neither --text nor --http is given"), (("--http", "127.0.0.1:0"), b"--http and --admin go together"),
                      (("--text", "127.0.0.1:0", "--admin", "ipc://x"), b"--http and --admin go together"),
                      (("--http", "127.0.0.1:0", "--admin", "what://x"), b"is no endpoint")):
        r = box.run(g, *args)
        eq(2, r.returncode)
        assert why in r.stderr, r.stderr
    n = box.node()
    r = box.run(g, "--http", "nowhere", "--admin", "ipc://%s/admin.sock" % n.data)
    eq(2, r.returncode)
    assert b"no address such as 127.0.0.1:4043" in r.stderr, r.stderr
    # with text beside it: two places
    p = subprocess.Popen([g, "--node", n.endpoint, "--text", "127.0.0.1:0", "--http", "[::1]:0", "--admin",
                          "ipc://%s/admin.sock" % n.data], stdout=subprocess.PIPE)
    box.undo.append(p.kill)
    text, http = p.stdout.readline().decode().split()[-2:]
    s = socket.create_connection(("127.0.0.1", int(text.rsplit(":", 1)[1])))
    s.sendall(b"CREATE b\r\n")
    eq(b"OK\r\n", s.recv(100))
    s.close()
    eq(200, get(("::1", int(http.rsplit(":", 1)[1])), "/readyz")[0])
    p.send_signal(signal.SIGTERM)
    eq(0, p.wait(10 * lib.SLOW))


@test("cluster", "distributed")
def a_cluster_is_told(box):
    c = cluster.cluster(box)
    n = c.n["a"]
    p = subprocess.Popen([lib.BUILD + "/pail-gateway", "--http", "127.0.0.1:0", "--admin", "ipc://%s/admin.sock" % n.data],
                         stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    box.undo.append(p.kill)
    host, port = p.stdout.readline().decode().split()[-1].rsplit(":", 1)
    told = until(lambda: json.loads(get((host, int(port)), "/status.json")[2])["cluster"], 20, "the cluster")
    eq({"a", "b", "c"}, {m["name"] for m in told["nodes"]})
