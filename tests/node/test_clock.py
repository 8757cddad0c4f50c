"""The store's clock under a system's clock that steps: no key comes back, and every key goes within its time."""
import os
import struct

from lib import *

HOUR = 3600 * 1000
CENTURY = 100 * 365 * 24 * HOUR
SLACK = 0.4  # seconds between a key's end and its being seen


class Bent:
    """A node whose wall clock the test bends."""

    def __init__(self, box, **kw):
        assert box.run("make", "--no-print-directory", "build/clock.so").returncode == 0
        self.path = os.path.join(box.dir, "clock")
        self.sent = {}
        self.step(0)
        preload = {"LD_PRELOAD": os.path.abspath("build/clock.so"), "PAIL_CLOCK": self.path,
                   "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"}
        self.box = box
        self.node = box.node("--set", "node.workers=1", "--set", "storage.checkpoint_ms=200", env=preload, **kw)
        self.connect()
        self.c.call("create", "b")

    def step(self, ms):
        self.ms = ms
        with open(self.path, "r+b" if os.path.exists(self.path) else "wb") as f:
            f.write(struct.pack("<q", ms))

    def connect(self):
        self.c = self.node.client()

    def put(self, key, ttl=None):
        self.sent[key] = time.monotonic()
        self.c.call("put", "b", key, "v", *([{"ttl": ttl}] if ttl else []))

    def there(self, key):
        return self.c.call("get", "b", key) is not None

    def again(self, how):
        """Another life: after kill -9 of all or of the worker, an orderly stop, a restart of the worker."""
        n = self.node
        if how == "kill":
            n.kill()
            n.start()
        elif how == "stop":
            n.stop()
            n.start()
        elif how == "worker":
            n.kill_worker(0)
            n.up()
        else:
            r = self.box.run(BUILD + "/pail", "--admin", "ipc://%s/admin.sock" % n.data, "worker", "restart", "0")
            eq((0, b""), (r.returncode, r.stderr))
        self.connect()

    def gone(self, key, since, ttl):
        """It goes, and not before its time."""
        while self.there(key):
            assert time.monotonic() - since < ttl / 1000 + SLACK * SLOW, "%s is there after %.2f s" % (key, time.monotonic() - since)
            time.sleep(0.01)
        lived = time.monotonic() - self.sent[key]  # at most: its reply takes a while
        assert lived > ttl / 1000 - 0.02, "%s went after %.2f s" % (key, lived)


LIVES = ("none", "kill", "stop", "worker", "restart")


@test("kill")
def a_clock_that_steps_back_holds_no_ttl_up(box):
    """Two hours back: keys of before and after it end in their time, over every kind of restart."""
    b = Bent(box)
    for i, how in enumerate(LIVES):
        b.step(0)
        ttl = int(1500 * SLOW)
        b.put("before%d" % i, ttl)
        before = time.monotonic()
        b.step(-2 * HOUR * (i + 1))
        if how != "none":
            b.again(how)
        b.put("after%d" % i, 300)
        b.gone("after%d" % i, time.monotonic(), 300)
        b.gone("before%d" % i, before, ttl)
        b.put("stays")
    for i in range(len(LIVES)):
        assert not b.there("before%d" % i) and not b.there("after%d" % i)
    assert b.there("stays")


@test("kill")
def a_clock_that_was_a_century_ahead_stops_no_ttl(box):
    """Once ahead and back: what was over by that clock stays gone, and ttls given since end in their time."""
    b = Bent(box)
    b.put("long", HOUR)
    b.put("stays")
    assert b.there("long")
    b.step(CENTURY)
    until(lambda: not b.there("long"), 5, "a key that is over by the clock to be gone")
    ttl = int(1500 * SLOW)
    b.put("ahead", ttl)
    since = time.monotonic()
    b.step(0)
    for i, how in enumerate(LIVES[1:]):
        b.again(how)
        b.put("back%d" % i, 300)
        b.gone("back%d" % i, time.monotonic(), 300)
        assert not b.there("long") and b.there("stays"), how
    until(lambda: not b.there("ahead"), max(0.01, ttl / 1000 + SLACK - (time.monotonic() - since)), "a key put meanwhile to go")
    eq(1, b.c.call("count", "b"))


@test()
def a_jump_of_the_clock_is_said_aloud(box):
    b = Bent(box)
    log = b.node.output
    b.step(50 * 1000)
    b.step(0)
    b.put("k", 100)
    until(lambda: not b.there("k"), 5, "some ticks")
    assert "system's clock" not in log(), log()
    for ms, words in ((-2 * HOUR, "has stepped back by 7200.0 s"), (HOUR, "has stepped ahead by 10800.0 s")):
        b.step(ms)
        until(lambda: words in log(), 10, "words about " + words)
    begin = time.monotonic()
    b.again("stop")  # no wait is measured by the clock that steps
    assert time.monotonic() - begin < 5 * SLOW, time.monotonic() - begin
    # A clock that is behind at the start is told too: the store's goes on without it.
    b.put("k", 100)
    b.step(0)
    until(lambda: "has stepped back by 3600.0 s" in log(), 10, "words")
    for how in ("kill", "worker"):
        b.again(how)
        until(lambda: log().count("the system's clock is 3600.") == 1 + (how == "worker"), 10, "words about a clock that is behind")


@test("kill")
def steps_and_lives_at_random(box):
    """A model of the clock that never goes back and goes on: keys end by it, whatever is done to clock and node."""
    b = Bent(box)
    ahead = 0  # the store's clock less the one that does not step
    keys = {}  # key: (when it ends by that clock, less ahead)
    now = lambda: time.monotonic()
    begin, n = now(), 0
    while now() - begin < 12 * min(SLOW, 2):
        what = box.random.randrange(10)
        if what < 4:
            ttl = box.random.choice((200, 500, 1000, 3000, 3000, 2 * HOUR, CENTURY))
            n += 1
            before = now()
            b.put("k%d" % n, ttl)
            keys["k%d" % n] = (before + ahead + ttl / 1000, now() + ahead + ttl / 1000)
        elif what < 7:
            b.step(box.random.choice((0, 0, -2 * HOUR, -24 * HOUR, 5000, HOUR, box.random.randrange(-HOUR, HOUR))))
            time.sleep(0.02 * SLOW)  # until it has been seen
            b.put("seen", 1)  # and is in the log: what nobody has been told need not outlive a kill
            ahead = max(ahead, b.ms / 1000)
        elif what < 8:
            b.again(box.random.choice(LIVES[1:]))
        for key, (least, most) in list(keys.items()):
            early = now() + ahead
            there = b.there(key)
            late = now() + ahead
            assert not there or early < most + SLACK * SLOW, "%s is there %.2f s too late" % (key, early - most)
            assert there or late > least - 0.05, "%s went %.2f s too early" % (key, least - late)
            if not there:
                keys[key] = (-1e18, -1e18)  # and must never come back
    assert n > 10, n
