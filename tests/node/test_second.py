"""Costs and limits that one request, a reload or a full machine change."""
import time

import msgpack

from lib import eq, test, until


@test("abuse")
def a_message_of_status_stalls_nobody(box):
    n = box.node("--set", "node.workers=1")
    idle = [n.client() for _ in range(200)]
    for x in idle:
        x.call("ping")
    c, other = n.client(), n.client()
    other.call("ping")
    for k in range(4):
        c.socket.send(b"".join(msgpack.packb([0, i, "status", []]) for i in range(4096)))
    begin = time.monotonic()
    other.call("ping", seconds=60)
    took = time.monotonic() - begin
    print("# %.2f s" % took)
    begin = time.monotonic()
    other.call("ping", seconds=60)
    took = max(took, time.monotonic() - begin)
    print("# %.2f s" % took)
    assert took < 2, took
