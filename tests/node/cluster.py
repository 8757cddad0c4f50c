"""A cluster of nodes with copies, on a real etcd, and all that can happen to it.

	c = cluster(box, "abc", factor=3)           # started, created, every copy in sync
	c = cluster(box, "abcde", net=True)         # each node, and etcd, in a network namespace: see net.py
	c.primary("bucket"); c.led_by("a"); c.views(); c.status()
	c.kill("a"); c.start("a"); c.pause("a"); c.resume("a"); c.disk["a"].hang(); c.net.island("a")
	c.etcd.kill(); c.etcd.start(); c.power_cut(); c.ready()

What it knows of copies it reads where the design has it written down: the views in etcd (`views`), the reply of
`route`, and `pail cluster status -o json` (`status`).

PAIL_CLUSTER_FAKE=1: all names stand for one node without [cluster], so that clients, loads and checkers can be tried
where nodes have no copies; what needs several (`c.real`) is left out.
"""
import collections
import json
import os
import re
import select
import signal
import time

import etcd
import lib
from disk import Clock, Disk
from lib import eq, until
from net import Net

FAKE = os.environ.get("PAIL_CLUSTER_FAKE") == "1"
ETCD = "etcd"  # its place in the net
# Each checkpoint ends a segment, however little is in it: half of limits.log must last a worker for as long as tests keep nodes away.
SETTINGS = {"storage.segment": "1M", "limits.log": "256M", "limits.value": "64K", "limits.message": "1M", "limits.cache": "16M",
            "storage.map": "1G", "storage.checkpoint_ms": 1000, "supervisor.hang_ms": 1000,
            "links.ping_ms": 100, "links.dead_ms": 1000, "links.connect_ms": 500}


class Etcd(etcd.Etcd):
    """One whose members live at a place of a net."""

    def __init__(self, box, net=None, members=1):
        self.net = net
        super().__init__(box, members, start=False)
        if net:
            here = lambda urls: [u.replace("127.0.0.1", net.hosts[ETCD]) for u in urls]
            self.client, self.peer = here(self.client), here(self.peer)
            self.endpoints = ",".join(self.client)
        for i in range(members):
            self.start(i, wait=False)
        self.wait()

    def start(self, i=0, wait=True):
        if not self.net:
            return super().start(i, wait)
        with self.net.within(ETCD):  # a child is where its parent was
            super().start(i, wait=False)
        if wait:
            self.wait()

    def post(self, *args, **kw):
        if not self.net:
            return super().post(*args, **kw)
        with self.net.within(ETCD):
            return super().post(*args, **kw)

    def all(self, what):
        for i in range(len(self.processes)):
            getattr(self, what)(i)


class ClusterNode(lib.Node):
    def __init__(self, cluster, name, client, peer):
        box = cluster.box
        super().__init__(box, conf=os.path.join(box.dir, name + ".conf"), data=os.path.join(box.dir, name), start=False,
                         build=cluster.build, env=cluster.env[name], inside=cluster.net.inside(name) if cluster.net else ())
        self.cluster, self.name, self.endpoint, self.peer = cluster, name, client, peer
        self.process = None

    def configure(self, settings, routes):
        """Its file: no [peers]."""
        s = {"node.name": self.name, "node.client": self.endpoint, "node.peer": self.peer, "node.data": self.data}
        s.update(settings)
        sections = {}
        for k, v in s.items():
            section, key = k.split(".", 1)
            sections.setdefault(section, []).append("%s = %s" % (key, v))
        sections["routes"] = ["%s = %s" % kv for kv in routes.items()]
        with open(self.conf, "w") as f:
            for section, lines in sections.items():
                f.write("[%s]\n%s\n" % (section, "\n".join(lines)))

    def wait_ready(self):
        """The line may be late: a node that comes back asks etcd first."""
        end = time.monotonic() + 30 * lib.SLOW
        while not select.select([self.process.stdout], [], [], 0.1)[0]:
            if self.process.poll() is not None or time.monotonic() > end:
                raise AssertionError("node %s did not start\n%s" % (self.name, self.output()))
        line = self.process.stdout.readline().decode()
        if not line.startswith("ready: node %s " % self.name):
            raise AssertionError("node did not start: %r\n%s" % (line, self.output()))

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def pids(self):
        return [self.process.pid] + self.children()

    def kill(self):
        """kill -9 of paild, its workers and its other children; of those that stand still too."""
        for p in self.pids():
            try:
                os.kill(p, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.process.wait()


class Cluster:
    real = True

    def __init__(self, box, names="abc", factor=3, net=False, members=1, workers=1, min_copies=None, more=None, disks=False, undo=False,
                 clocks=None, ppm=None, build=None, routes=None, create=True, outside=()):
        """disks: each can be broken; undo: and lose its power; clocks, ppm: {name: pace}: they can be bent.  outside: nodes of
        the cluster that `create` does not name.  more: settings of all nodes, or {name: settings}.
        routes: of all nodes, or made by routes(name, nodes, settings)."""
        self.box, self.names, self.build, self.random = box, list(names), build, box.random
        self.factor = min(factor, len(self.names) - len(outside))
        self.net = Net(box, self.names + [ETCD]) if net else None
        self.etcd = Etcd(box, self.net, members)
        self.env, self.disk, self.clock, self.name = {n: {} for n in self.names}, {}, {}, "demo"
        self.stopped, self.n, self.unanswered = set(), {}, ""
        free = box.ports(2 * len(self.names))
        for i, n in enumerate(self.names):
            if disks or undo:
                self.disk[n] = Disk(box, os.path.join(box.dir, n), self.env[n], undo)
            if clocks or ppm:
                self.clock[n] = Clock(box, self.env[n], (ppm or {}).get(n, 0))
            host = self.net.hosts[n] if net else "127.0.0.1"
            client = "ipc://%s/%s.sock" % (box.dir, n) if net else "tcp://127.0.0.1:%d" % free[2 * i]
            node = ClusterNode(self, n, client, "tcp://%s:%d" % (host, free[2 * i + 1]))
            own = dict(SETTINGS, **{"node.workers": workers, "cluster.name": self.name, "cluster.etcd": self.etcd.endpoints})
            if net:
                own["security.open"] = "yes"
            own.update((more or {}).get(n, more or {}) if not any(isinstance(v, dict) for v in (more or {}).values()) or n in more else {})
            self.n[n] = node
            self.told = getattr(self, "told", {})
            self.told[n] = own
        for n, node in self.n.items():
            node.configure(self.told[n], routes(n, self.n, self.told[n]) if callable(routes) else routes or {"*": "ring"})
        for node in self.n.values():
            node.start(wait=False)
        for node in self.n.values():
            node.wait_ready()
        if create:
            self.create([n for n in self.names if n not in outside], min_copies)
            self.ready()

    # ---- the command line ----

    def pail(self, name, *args, timeout=60):
        return self.box.run(lib.BUILD + "/pail", "--config", self.n[name].conf, *args, timeout=timeout)

    def command(self, name, *args):
        r = self.pail(name, "cluster", *args)
        if r.returncode:
            raise AssertionError("pail cluster %s: %d\n%s%s" % (" ".join(args), r.returncode, r.stdout.decode(), r.stderr.decode()))
        return r.stdout.decode()

    def create(self, names, min_copies=None, keep=None):
        args = ["create", "--factor", str(self.factor)] + (["--min-copies", str(min_copies)] if min_copies else [])
        args = ["cluster"] + args + (["--keep", keep] if keep else []) + names
        # They have just been started: that one may not have heard of all of them yet.
        r = until(lambda: [r for r in [self.pail(names[0], *args)] if b"not been read" not in r.stderr and b"not registered" not in r.stderr
                                   and b"not connected" not in r.stderr],
                  20, "the nodes to know of each other")[0]
        eq((0, b""), (r.returncode, r.stderr))

    def status(self, name=None):
        """{verdict, agreement: {state, revision, text}, nodes: [{name, leading, copies, in_sync, learning, …}], …}"""
        r = self.pail(name or self.up()[0], "cluster", "status", "-o", "json")
        return json.loads(r.stdout)

    def verdict(self, name=None):
        """Whether all is well, and the lines, of which the first one says it."""
        lines = self.command(name or self.up()[0], "status").splitlines()
        return lines[0].startswith("all is well"), lines

    def agreement(self, name=None):
        return self.status(name)["agreement"]["state"]

    def drain(self, name):
        """It leads nothing, and may lead again from now on."""
        self.command(name, "drain", name)
        until(lambda: all(v[1] != name for v in self.views().values()), 10, "%s to lead nothing" % name)
        self.command(name, "drain", name, "--off")

    # ---- what is where ----

    def up(self):
        """Nodes that run and do not stand still."""
        return [n for n in self.names if self.n[n].alive() and n not in self.stopped]

    def view_key(self, partition):
        return "/pail/%s/part/%04x" % (self.name, partition)

    def numbers(self):
        """{number: name}, as etcd has them."""
        return {json.loads(x.value)["number"]: x.key.rsplit("/", 1)[1] for x in self.etcd.list("/pail/%s/node/" % self.name)}

    def views(self):
        """{partition: (epoch, primary's name, [names in sync])}."""
        names, out = self.numbers(), {}
        for x in self.etcd.list("/pail/%s/part/" % self.name):
            v = json.loads(x.value)
            out[int(x.key.rsplit("/", 1)[1], 16)] = (v["epoch"], names.get(v["primary"][0]), [names.get(m[0]) for m in v["isr"]])
        return out

    def epochs(self):
        return {p: v[0] for p, v in self.views().items()}

    def in_sync(self, count=None):
        """Every partition's set has so many members."""
        views = self.views()
        return bool(views) and all(v[1] and len(v[2]) >= (count or self.factor) for v in views.values())

    def keep_logs(self):
        """All of them, in the folder that PAIL_CLUSTER_LOGS names."""
        if os.environ.get("PAIL_CLUSTER_LOGS"):
            for n in self.names:
                with open(os.path.join(os.environ["PAIL_CLUSTER_LOGS"], n + ".log"), "w") as f:
                    f.write(self.n[n].output())

    def why(self, count=None):
        """For a failure's message: what is not in sync, and why, as the nodes have it and as their logs do."""
        views, reasons, lines = self.views(), collections.defaultdict(list), []
        few = {p: v for p, v in views.items() if not v[1] or len(v[2]) < (count or self.factor)}
        lines.append("%d of %d partitions; led: %r" % (len(few), len(views), dict(collections.Counter(v[1] for v in views.values()))))
        for n in self.names:
            if n not in self.up():
                lines.append("node %s does not run" % n)
                continue
            try:
                s = self.status(n)
            except (AssertionError, ValueError) as e:
                lines.append("node %s does not tell its status: %s" % (n, e))
                continue
            lines.append("node %s: %s; agreement %s, at %s" % (n, s["verdict"], s["agreement"]["state"], s["agreement"]["revision"]))
            for x in s.get("behind", ()):
                reasons[n, x["node"], x["why"]].append(x["partition"])
        for (n, of, why), parts in reasons.items():
            lines.append("led by %s, the copy of %s: %s: %d, %s" % (n, of, why, len(parts), parts[:8]))
        told = {x for v in reasons.values() for x in v}
        untold = [(p, v) for p, v in sorted(few.items()) if p not in told]
        if untold:
            lines.append("%d of which their primaries do not say why, like %r" % (len(untold), untold[:3]))
        logs = collections.Counter()
        for n in self.names:
            for line in self.n[n].output().splitlines():
                if re.search(r"warn|error|last words|assert|check", line):
                    logs[re.sub(r"\b\d+\b", "N", line.split("T: ")[-1])[:160]] += 1
        lines += ["%d x %s" % (k, x) for x, k in logs.most_common(40)]
        self.keep_logs()
        return "\n".join(lines[:120])

    def client(self, name=None):
        return self.n[name or self.up()[0]].client()

    def ask(self, name, *request, seconds=15):
        c = self.client(name)
        try:
            return c.call(*request, seconds=seconds)
        finally:
            c.close()

    def answers(self):
        """No partition is without a primary, and through every node that is up a good part of them answer, whoever leads them."""
        for n in self.up():
            c = self.client(n)
            try:
                without = self.real and self.status(n)["without_primary"]
                if without:
                    self.unanswered = "node %s knows %d partitions without a primary" % (n, without)
                    return False
                for i in c.send(*(("count", "probe%d" % i, {"timeout": 1500}) for i in range(100))):
                    m = c.wait(i, 3)
                    if m[2][0] != "no_bucket":
                        self.unanswered = "node %s: %r" % (n, m[2])
                        return False
            except AssertionError as e:
                self.unanswered = "node %s: %s" % (n, e)
                return False
            finally:
                c.close()
        return True

    def ready(self, seconds=30, count=None):
        """All partitions have a primary that answers, and all their copies are in sync."""
        until(lambda: self.in_sync(count), seconds, lambda: "all copies to be in sync: " + self.why(count))
        until(self.answers, seconds, lambda: "all nodes to answer for all partitions; last " + self.unanswered)
        return self

    def route(self, bucket, name=None):
        return self.ask(name, "route", bucket)

    def primary(self, bucket, name=None):
        return self.route(bucket, name)["node"]

    def led_by(self, name, count=1):
        """Buckets whose primary that node is, made now; one, or a list."""
        out, i = [], 0
        c = self.client()
        while len(out) < count:
            bucket = "of-%s-%d" % (name, i)
            i += 1
            if c.call("route", bucket)["node"] == name:
                c.call("create", bucket)
                out.append(bucket)
            assert i < 2000, "no bucket is led by %s" % name
        c.close()
        return out[0] if count == 1 else out

    def others(self, *names):
        return [n for n in self.names if n not in names]

    # ---- what happens to it ----

    def kill(self, name):
        self.stopped.discard(name)
        self.n[name].kill()

    def start(self, name, wait=True):
        self.n[name].start(wait)

    def pause(self, name):
        """SIGSTOP of the whole node."""
        self.stopped.add(name)
        for p in self.n[name].pids():
            os.kill(p, signal.SIGSTOP)

    def resume(self, name, slept=0):
        """slept: seconds for which not the processes but the machine stood still."""
        if slept:
            self.clock[name].slept(slept)
        self.stopped.discard(name)
        for p in self.n[name].pids():
            os.kill(p, signal.SIGCONT)

    def power_cut(self, names=None):
        """Of all at one moment; (sectors that were lost, that could have been)."""
        names, lost = names or [n for n in self.names if self.n[n].alive()], (0, 0)
        pids = [p for n in names for p in self.n[n].pids()]
        for p in pids:
            try:
                os.kill(p, signal.SIGKILL)
            except ProcessLookupError:
                pass
        for n in names:
            self.n[n].kill()
            gone = self.disk[n].power_cut(self.random)
            lost = (lost[0] + gone[0], lost[1] + gone[1])
            self.stopped.discard(n)
        return lost

    def heal(self):
        """Whatever is wrong from outside is no more, and all processes run."""
        if self.net:
            self.net.clear()
        for d in self.disk.values():
            d.heal()
        for n in list(self.stopped):
            self.resume(n)
        for i, p in enumerate(self.etcd.processes):
            if p is None:
                self.etcd.start(i, wait=False)
            else:
                self.etcd.resume(i)
        self.etcd.wait()
        for n in self.names:
            if not self.n[n].alive():
                self.start(n, wait=False)
        for n in self.names:
            until(lambda: self.answers_ping(n), 30, "node %s to answer" % n)

    def answers_ping(self, name):
        try:
            return self.ask(name, "ping", seconds=1) == "pong"
        except AssertionError:
            return False

    def stop(self):
        """All of them, orderly and at once."""
        for n in self.names:
            self.n[n].process.send_signal(signal.SIGTERM)
        eq([0] * len(self.names), [self.n[n].process.wait(30 * lib.SLOW) for n in self.names])


class NoEtcd:
    """Of one node without a cluster: it does not miss it."""

    def all(self, what):
        pass

    kill = start = pause = resume = wait = lambda self, i=0: None


class Fake(Cluster):
    """One node under all names."""
    real = False

    def __init__(self, box, names="abc", factor=3, workers=1, more=None, disks=False, undo=False, clocks=None, ppm=None, build=None, **_):
        self.box, self.names, self.build, self.random, self.factor, self.net = box, list(names), build, box.random, factor, None
        self.etcd, self.stopped, self.name, env, data = NoEtcd(), set(), "demo", {}, os.path.join(box.dir, "one")
        self.disk = dict.fromkeys(names, Disk(box, data, env, undo)) if disks or undo else {}
        self.clock = dict.fromkeys(names, Clock(box, env, max(ppm.values()) if ppm else 0)) if clocks or ppm else {}
        args = [x for k, v in dict(SETTINGS, **dict({"node.workers": workers}, **(more or {}))).items()
                if not k.startswith(("storage.map", "cluster.")) for x in ("--set", "%s=%s" % (k, v))]
        node = box.node(*args, data=data, env=env, build=build)
        node.pids = lambda: [node.process.pid] + node.children()
        node.alive = lambda: node.process.poll() is None
        self.n = dict.fromkeys(names, node)

    def views(self):
        return {0: (1, self.names[0], self.names)}

    def status(self, name=None):
        return {"verdict": "all is well", "agreement": {"state": "up"}}

    def primary(self, bucket, name=None):
        return self.names[0]

    def led_by(self, name, count=1):
        out = ["of-%s-%d" % (name, i) for i in range(count)]
        c = self.client()
        for bucket in out:
            c.call("create", bucket)
        c.close()
        return out[0] if count == 1 else out

    def kill(self, name):
        if self.n[name].alive():
            super().kill(name)

    def start(self, name, wait=True):
        if not self.n[name].alive():
            super().start(name, wait=True)

    def pause(self, name):
        self.stopped.update(self.names)
        super().pause(name)

    def resume(self, name, slept=0):
        super().resume(name, slept)
        self.stopped.clear()

    def power_cut(self, names=None):
        lost = super().power_cut(self.names[:1])
        return lost

    def heal(self):
        for d in self.disk.values():
            d.heal()
        if self.stopped:
            self.resume(self.names[0])
        self.start(self.names[0])

    def stop(self):
        eq(0, self.n[self.names[0]].stop())


def cluster(box, *args, **kw):
    return (Fake if FAKE else Cluster)(box, *args, **kw)
