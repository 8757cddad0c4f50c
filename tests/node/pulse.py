"""How long nobody answers: a steady load of puts and gets in a process of its own, each request of which is written down.

	p = Pulse(box, endpoints, {"lost": bucket, "other": bucket})
	...something happens...
	p.end()
	p.pause("lost", "put")            # the longest time without an answer that is none but an error
	p.codes("lost", "get")            # errors, by code
	p.audit(client)                   # what was acknowledged is there, as it was told
"""
import collections
import os
import pickle
import time

import lib
from test_history import spawn

UNKNOWN = ("timeout", "internal")
EVERY_S = 0.01


class Asker:
    """One bucket by one connection: puts of ever new keys, gets of the last one that was acknowledged."""

    def __init__(self, endpoint, bucket, name, timeout):
        self.endpoint, self.bucket, self.name, self.timeout = endpoint, bucket, name, timeout
        self.c, self.n, self.open, self.out, self.acked = lib.Client(endpoint), 0, {}, [], None

    def send(self):
        if self.c.notes:  # told to go: what it waits for is still read
            if not self.open:
                self.c.again()
            return
        self.n += 1
        key = "%s-%d" % (self.name, self.n)
        requests = [("put", key, None, ("put", self.bucket, key, key, {"timeout": self.timeout}))]
        if self.acked:
            requests.append(("get", self.acked[0], self.acked[1], ("get", self.bucket, self.acked[0], {"timeout": self.timeout})))
        now = time.monotonic()
        for r, i in zip(requests, self.c.send(*(r[3] for r in requests))):
            self.open[i] = r[:3] + (now,)

    def take(self):
        while self.c.socket.poll(0):
            self.c.take()
        now = time.monotonic()
        for i in [i for i in self.c.replies if i in self.open]:
            (kind, key, version, begin), m = self.open.pop(i), self.c.replies.pop(i)
            code = m[2][0] if m[2] else None
            if kind == "put" and not code:
                self.acked = (key, m[3])
            if kind == "get" and not code and m[3] != [key.encode(), version]:
                code = "wrong"  # a write that was acknowledged before this was sent
            self.out.append((kind, key, begin, now, code, m[3] if kind == "put" else None))

    def close(self):
        for kind, key, _, begin in self.open.values():
            self.out.append((kind, key, begin, None, "silent", None))


def pulse(endpoints, buckets, seed, stop, path, timeout):
    askers = {what: [Asker(e, b, "%d-%d" % (seed, k), timeout) for k, e in enumerate(endpoints)] for what, b in buckets.items()}
    next_s, turn, last, stall = time.monotonic(), 0, time.monotonic(), 0
    while not os.path.exists(stop):
        for some in askers.values():
            some[turn % len(some)].send()
        turn += 1
        next_s += EVERY_S
        while True:
            for some in askers.values():
                for a in some:
                    a.take()
            now = time.monotonic()
            stall, last = max(stall, now - last), now
            left = next_s - now
            if left <= 0:
                break
            time.sleep(min(left, 0.002))
        next_s = max(next_s, time.monotonic() - 1)
    end = time.monotonic() + timeout / 1000 + 2 * lib.SLOW
    while any(a.open for some in askers.values() for a in some) and time.monotonic() < end:
        for some in askers.values():
            for a in some:
                a.take()
        time.sleep(0.005)
    for some in askers.values():
        for a in some:
            a.close()
    with open(path, "wb") as f:
        pickle.dump(({what: [x for a in some for x in a.out] for what, some in askers.items()}, stall), f)


class Pulse:
    def __init__(self, box, endpoints, buckets, timeout=8000):
        self.buckets = buckets
        self.stop, self.path = box.folder("pulse-stop"), box.folder("pulse")
        self.pid = spawn(pulse, list(endpoints), buckets, box.random.randrange(1 << 30), self.stop, self.path, timeout)
        self.begin = time.monotonic()
        time.sleep(0.5)

    def end(self, after=1):
        """Let it go on for so long, then take its notes."""
        time.sleep(after)
        with open(self.stop, "w"):
            pass
        lib.eq(0, os.waitpid(self.pid, 0)[1])
        with open(self.path, "rb") as f:
            self.out, self.stall = pickle.load(f)
        return self

    def some(self, what, kind):
        return [x for x in self.out[what] if x[0] == kind]

    def good(self, what, kind):
        return [x for x in self.some(what, kind) if x[4] is None]

    def pause(self, what, kind):
        """From one answer that is no error to the next; an end without one counts."""
        ends = sorted(x[3] for x in self.good(what, kind))
        sent = [x[2] for x in self.some(what, kind)]
        assert ends, "no %s of %s was answered: %r" % (kind, what, self.codes(what, kind))
        return max(b - a for a, b in zip([min(sent)] + ends, ends + [max(sent)]))

    def codes(self, what, kind):
        return dict(collections.Counter(x[4] for x in self.some(what, kind) if x[4]))

    def say(self):
        said = ["%ss of %s: %d, pause %.2f s, %s" % (k, w, len(self.good(w, k)), self.pause(w, k), self.codes(w, k) or "no error")
                for w in self.out for k in ("put", "get")]
        print("# %s; its own %.2f s" % ("; ".join(said), self.stall))

    def audit(self, client):
        for what, some in self.out.items():
            there, after, bucket = {}, None, self.buckets[what]
            while True:
                r = client.call("scan", bucket, dict({"limit": 5000}, **({"after": after} if after else {})), seconds=30)
                there.update((k.decode(), (v.decode(errors="replace"), version)) for k, v, version in r["items"])
                if not r["more"]:
                    break
                after = r["items"][-1][0]
            for kind, key, _, _, code, version in some:
                if kind == "get":
                    continue
                if code is None:
                    lib.eq((key, (key, version)), (key, there.get(key)))
                elif code not in UNKNOWN + ("silent",):
                    assert key not in there, "%s was answered %s, but it was done" % (key, code)
        return self

    def held(self, what, put, get=None, codes=("timeout",)):
        """Pauses at most so long, and what this process itself once had to wait, on a machine that others load; no error of a get,
        and of puts only those; no answer that was wrong, none that did not come."""
        lib.eq({}, self.codes(what, "get"))
        bad = {k: n for k, n in self.codes(what, "put").items() if k not in codes}
        lib.eq({}, bad)
        for kind, most in (("put", put), ("get", put if get is None else get)):
            took = self.pause(what, kind)
            assert took <= most * lib.SLOW + self.stall, "%ss of %s: %.2f s without an answer, %.2f is promised, %.2f was this process's own" % (
                kind, what, took, most, self.stall)
        return self
