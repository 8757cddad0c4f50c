"""An etcd that misbehaves: the part of its JSON gateway that pail-agent uses, in one process, with faults.

	f = FakeEtcd(box)
	f.plan.append("lose")       # what the next request to it that writes meets; "get:late" names reads
	f.keep(); f.restore()       # it goes back in time
	f.cluster = 77              # it lies about who it is

Faults: `late` does it and answers after f.late_s; `slow` does it at once and answers after f.late_s; `lose` does it and closes without an answer; `later` closes, and
does it after f.late_s; `refuse` closes without doing it; `half` does it and closes in the middle of the
answer; `twice` does it and answers two times; `close` does it, answers and closes; `error` 503 without
doing it; `error_done` 503 though it is done; `garbage` does it and answers no JSON; `hang` does nothing
until f.release(); `lie` does nothing and says it was done; `deny` does it and says it was not.
"""
import base64
import copy
import json
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from etcd import b64


class FakeEtcd:
    def __init__(self, box, cluster=4711):
        self.lock = threading.RLock()
        self.cluster, self.revision, self.items = cluster, 1, {}  # key: (value, mod_revision)
        self.plan, self.late_s, self.kept = [], 0.3, None
        self.requests, self.written, self.tokens, self.password, self.refusals_s = [], 0, set(), None, []
        self.stopped, self.hanging = False, threading.Event()
        self.connections = set()
        self.start(box.ports(1)[0])
        box.undo.append(self.stop)

    def start(self, port):
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def setup(self):
                super().setup()
                fake.connections.add(self.connection)

            def finish(self):
                fake.connections.discard(self.connection)
                try:
                    super().finish()
                except OSError:
                    pass

            def log_message(self, *args):
                pass

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                try:
                    fake.serve(self, self.path, body)
                except OSError:
                    self.close_connection = True

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, request, address):
                pass

        self.server = Server(("127.0.0.1", port), Handler)
        self.endpoints = "http://127.0.0.1:%d" % port
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()

    def stop(self):
        """Nobody listens any more, and what was connected is not."""
        if self.stopped:
            return
        self.stopped = True
        self.hanging.set()
        self.server.shutdown()
        self.server.server_close()
        self.cut()

    def again(self):
        self.stopped = False
        self.hanging = threading.Event()
        self.start(int(self.endpoints.rsplit(":", 1)[1]))

    def cut(self):
        for c in list(self.connections):
            try:
                c.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def release(self):
        self.hanging.set()
        self.hanging = threading.Event()

    def keep(self):
        with self.lock:
            self.kept = self.revision, copy.copy(self.items)

    def restore(self):
        with self.lock:
            self.revision, self.items = self.kept[0], copy.copy(self.kept[1])

    # ---- what a test looks at or does by itself ----

    def put(self, key, value):
        with self.lock:
            self.revision += 1
            self.items[key] = (value, self.revision)
            return self.revision

    def value(self, key):
        with self.lock:
            return self.items.get(key, (None, 0))

    # ---- the gateway ----

    def header(self, out):
        return dict({"header": {"cluster_id": str(self.cluster), "member_id": "1", "raft_term": "2",
                                "revision": str(self.revision)}}, **out)

    def kv(self, key):
        value, mod = self.items[key]
        return {"key": b64(key), "value": b64(value), "create_revision": "2", "mod_revision": str(mod), "version": "1"}

    def range(self, q):
        key, end = self.key(q), base64.b64decode(q.get("range_end", "")).decode()
        keys = sorted(k for k in self.items if (key <= k < end if end else k == key))
        keys = [k for k in keys if self.items[k][1] >= int(q.get("min_mod_revision", 0))]
        return {"kvs": [self.kv(k) for k in keys], "count": str(len(keys))} if keys else {}

    @staticmethod
    def key(q):
        return base64.b64decode(q["key"]).decode()

    def holds(self, c):
        value, mod = self.items.get(self.key(c), (None, 0))
        if c["target"] == "MOD":
            return mod == int(c.get("mod_revision", 0))
        return value is not None and value == base64.b64decode(c.get("value", ""))

    def txn(self, q, pretend=False):
        ok = pretend or all(self.holds(c) for c in q.get("compare", []))
        ops = q.get("success" if ok else "failure", [])
        if any("request_put" in o for o in ops) and not pretend:
            self.revision += 1
            self.written += 1
        out = []
        for o in ops:
            if "request_put" in o:
                if not pretend:
                    p = o["request_put"]
                    self.items[self.key(p)] = (base64.b64decode(p["value"]), self.revision)
                out.append({"response_put": {"header": {"revision": str(self.revision)}}})
            else:
                out.append({"response_range": dict(self.header({}), **self.range(o["request_range"]))})
        return dict({"responses": out}, **({"succeeded": True} if ok else {}))

    def apply(self, path, q, pretend=False):
        with self.lock:
            if path == "/v3/kv/range":
                out = self.range(q)
            elif path == "/v3/kv/txn":
                out = self.txn(q, pretend)
            elif path == "/v3/auth/authenticate":
                token = "t%d" % len(self.requests)
                self.tokens.add(token)
                out = {"token": token}
            else:
                out = {}
            return self.header(out)

    def fault(self, path):
        with self.lock:
            if path in ("/v3/kv/range", "/v3/kv/txn") and self.plan:
                want, _, fault = self.plan[0].rpartition(":")
                if (want or "txn") == ("txn" if path == "/v3/kv/txn" else "get"):
                    self.plan.pop(0)
                    return fault
        return ""

    def serve(self, h, path, q):
        with self.lock:
            self.requests.append((path, q))
        if self.password and path != "/v3/auth/authenticate" and h.headers.get("Authorization") not in self.tokens:
            time.sleep(self.refusals_s.pop(0) if self.refusals_s else 0)
            return self.answer(h, 401, {"error": "etcdserver: invalid auth token", "code": 16})
        if path == "/v3/auth/authenticate" and q.get("password") != self.password:
            return self.answer(h, 400, {"error": "etcdserver: authentication failed, invalid user ID or password", "code": 3})
        fault = self.fault(path)
        h.close_connection = fault in ("lose", "later", "refuse", "half", "hang", "close")
        if fault == "hang":
            self.hanging.wait()
            return
        if fault == "late":
            time.sleep(self.late_s)
        if fault == "error":
            return self.answer(h, 503, {"error": "etcdserver: request timed out", "code": 14})
        if fault == "later":
            h.connection.shutdown(socket.SHUT_RDWR)
            time.sleep(self.late_s)
        out = self.apply(path, q, pretend=fault == "lie") if fault != "refuse" else None
        if fault == "error_done":
            return self.answer(h, 500, {"error": "context deadline exceeded", "code": 2})
        if fault == "deny":
            out = self.header({"responses": [{"response_range": {}}]})
        if fault in ("lose", "later", "refuse"):
            return
        if fault == "slow":
            time.sleep(self.late_s)
        for _ in range(2 if fault == "twice" else 1):
            self.answer(h, 200, out, garbage=fault == "garbage", half=fault == "half")

    def answer(self, h, status, out, garbage=False, half=False):
        """In chunks whose borders mean nothing, as Go's server sends them."""
        data = b"<html>" if garbage else json.dumps(out).encode()
        h.send_response(status)
        h.send_header("Content-Type", "application/json")
        h.send_header("Transfer-Encoding", "chunked")
        h.end_headers()
        step = max(1, len(data) // 3)
        pieces = [data[i:i + step] for i in range(0, len(data), step)]
        for piece in pieces[:1] if half else pieces:
            h.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        if not half:
            h.wfile.write(b"0\r\n\r\n")
        h.wfile.flush()
