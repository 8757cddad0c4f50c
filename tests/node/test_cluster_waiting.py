"""Requests that wait for a partition to have a primary, while the node where they wait is upgraded, or stopped."""
import signal

import lib
from cluster import cluster
from lib import eq, test

PUTS = 40
WAIT_MS = 20000


def waiting(box, then, after=lambda c: None, **kw):
    """The node that leads a bucket dies; puts to it are sent to b, which is told something as long as they wait there."""
    c = cluster(box, **kw)
    if not c.real:
        print("# left out: there is one node only")
        return
    bucket = c.led_by("a")
    client = c.client("b")
    c.kill("a")
    ids = client.send(*(("put", bucket, "k%d" % i, b"v%d" % i, {"timeout": int(WAIT_MS * lib.SLOW)}) for i in range(PUTS)))
    then(c)
    for i in ids:
        client.result(i, WAIT_MS * lib.SLOW / 1000 + 5)
    client.close()
    after(c)
    other = c.client("c")
    for i in range(PUTS):
        eq(b"v%d" % i, other.call("get", bucket, "k%d" % i)[0])
    other.close()
    c.heal()
    c.stop()


@test("cluster", "distributed", "upgrade")
def what_waits_for_a_primary_outlives_an_upgrade(box):
    def upgrade(c):
        r = box.run(lib.BUILD + "/pail", "--admin", "ipc://%s/admin.sock" % c.n["b"].data, "upgrade", "--wait")
        eq((0, b""), (r.returncode, r.stderr))
    waiting(box, upgrade)


@test("cluster", "distributed", "restart")
def what_waits_for_a_primary_is_answered_before_a_stop(box):
    """With copies of which one may be alone."""
    waiting(box, lambda c: c.n["b"].process.send_signal(signal.SIGTERM), lambda c: c.n["b"].process.wait(30 * lib.SLOW), min_copies=1)
