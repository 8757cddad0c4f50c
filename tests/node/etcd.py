"""Debian's etcd for a test: its own processes, ports and folder, whatever else runs on this machine.

	e = Etcd(box, members=3)      # started, and a leader is there
	e.endpoints                   # "http://127.0.0.1:12345,http://…", as [cluster] etcd wants it
	e.kill(0); e.start(0); e.pause(1); e.resume(1)
	e.put("key", b"value"); e.get("key"); e.compare_and_set("key", b"new", mod_revision)

Processes end with the test (its process group), folders with the box.
"""
import base64
import json
import os
import shutil
import signal
import subprocess
import urllib.error
import urllib.request

import lib
from lib import until

PROGRAM = "etcd"


def b64(data):
    return base64.b64encode(data.encode() if isinstance(data, str) else data).decode()


def prefix_end(prefix):
    """The key behind all that begin with `prefix`."""
    p = prefix.encode() if isinstance(prefix, str) else prefix
    return p[:-1] + bytes([p[-1] + 1])


class Item:
    """What is at a key: value None and mod_revision 0 if nothing is; revision: of the answer's header."""

    def __init__(self, revision, kv=None):
        kv = kv or {}
        self.revision = revision
        self.key = base64.b64decode(kv.get("key", "")).decode()
        self.value = base64.b64decode(kv.get("value", "")) if kv else None
        self.mod_revision = int(kv.get("mod_revision", 0))
        self.lease = int(kv.get("lease", 0))


class Etcd:
    """`members` of one cluster on this machine; https with cert=(ca, cert, key) of files, for clients."""

    def __init__(self, box, members=1, start=True, cert=None, flags=()):
        self.box, self.dir, self.cert, self.flags = box, box.folder("etcd"), cert, list(flags)
        os.makedirs(self.dir)
        ports = box.ports(2 * members)
        scheme = "https" if cert else "http"
        self.client = ["%s://127.0.0.1:%d" % (scheme, p) for p in ports[:members]]
        self.peer = ["http://127.0.0.1:%d" % p for p in ports[members:]]
        self.endpoints = ",".join(self.client)
        self.processes = [None] * members
        box.undo.append(self.stop)
        if start:
            for i in range(members):
                self.start(i, wait=False)
            self.wait()

    def start(self, i=0, wait=True):
        """Start member i, with the data that it has."""
        name = lambda k: "m%d" % k
        argv = [PROGRAM, "--name", name(i), "--data-dir", self.data(i),
                "--listen-client-urls", self.client[i], "--advertise-client-urls", self.client[i],
                "--listen-peer-urls", self.peer[i], "--initial-advertise-peer-urls", self.peer[i],
                "--initial-cluster", ",".join("%s=%s" % (name(k), p) for k, p in enumerate(self.peer)),
                "--initial-cluster-token", os.path.basename(self.box.dir), "--logger", "zap",
                "--log-level", "error"]
        if self.cert:
            argv += ["--cert-file", self.cert[1], "--key-file", self.cert[2]]
        env = {k: v for k, v in os.environ.items() if not k.startswith("ETCD_")}
        with open(self.log(i), "ab") as log:
            self.processes[i] = subprocess.Popen(argv + self.flags, stdin=subprocess.DEVNULL, stdout=log,
                                                 stderr=log, env=env)
        if wait:
            self.wait()

    def data(self, i=0):
        return os.path.join(self.dir, "m%d" % i)

    def log(self, i=0):
        return os.path.join(self.dir, "m%d.log" % i)

    def logs(self):
        return "\n".join(open(self.log(i)).read()[-2000:] for i in range(len(self.processes)))

    def wait(self, seconds=30):
        """A linearizable read is answered."""
        def answered():
            for i, p in enumerate(self.processes):
                if p and p.poll() is not None:
                    raise AssertionError("etcd ended with %d:\n%s" % (p.returncode, self.logs()))
            try:
                self.get("/")
                return True
            except OSError:
                return False
        until(answered, seconds, "etcd to answer")
        return self

    def kill(self, i=0, sig=signal.SIGKILL):
        p = self.processes[i]
        if p:
            p.send_signal(signal.SIGCONT)
            p.send_signal(sig)
            p.wait()
            self.processes[i] = None

    def pause(self, i=0):
        self.processes[i].send_signal(signal.SIGSTOP)

    def resume(self, i=0):
        self.processes[i].send_signal(signal.SIGCONT)

    def stop(self):
        for i in range(len(self.processes)):
            self.kill(i)

    def keep(self, i=0):
        """A copy of member i's folder, which restore brings back; it must not run."""
        kept = self.data(i) + ".kept"
        shutil.rmtree(kept, ignore_errors=True)
        shutil.copytree(self.data(i), kept)

    def restore(self, i=0):
        shutil.rmtree(self.data(i))
        shutil.copytree(self.data(i) + ".kept", self.data(i))

    # ---- asking it, by its JSON gateway ----

    def post(self, path, body, seconds=None, member=None):
        """The answer's JSON, of the first member that gives one; else its last error, an OSError."""
        error = OSError("no member of etcd runs")
        for i, p in enumerate(self.processes):
            if not p or member not in (None, i):
                continue
            try:
                request = urllib.request.Request(self.client[i] + path, json.dumps(body).encode(),
                                                 {"Content-Type": "application/json"})
                with urllib.request.urlopen(request, timeout=seconds or 2 * lib.SLOW + 1, context=self.context()) as f:
                    return json.load(f)
            except urllib.error.HTTPError as e:
                error = OSError("%d: %s" % (e.code, e.read().decode(errors="replace")))
            except (OSError, ValueError) as e:
                error = e if isinstance(e, OSError) else OSError(str(e))
        raise error

    def context(self):
        if not self.cert:
            return None
        import ssl
        c = ssl.create_default_context(cafile=self.cert[0])
        c.load_cert_chain(self.cert[1], self.cert[2])  # if it asks for one
        return c

    def get(self, key, seconds=2):
        r = self.post("/v3/kv/range", {"key": b64(key)}, seconds)
        return Item(int(r["header"].get("revision", 0)), (r.get("kvs") or [None])[0])

    def list(self, prefix):
        r = self.post("/v3/kv/range", {"key": b64(prefix), "range_end": b64(prefix_end(prefix))})
        return [Item(int(r["header"]["revision"]), kv) for kv in r.get("kvs", [])]

    def put(self, key, value):
        """The revision of it."""
        return int(self.post("/v3/kv/put", {"key": b64(key), "value": b64(value)})["header"]["revision"])

    def delete(self, key, end=None):
        body = dict({"key": b64(key)}, **({"range_end": b64(end)} if end else {}))
        return int(self.post("/v3/kv/deleterange", body).get("deleted", 0))

    def compare_and_set(self, key, value, mod_revision=0):
        """Whether it was done."""
        return self.post("/v3/kv/txn", {
            "compare": [{"key": b64(key), "target": "MOD", "result": "EQUAL", "modRevision": str(mod_revision)}],
            "success": [{"requestPut": {"key": b64(key), "value": b64(value)}}]}).get("succeeded", False)
