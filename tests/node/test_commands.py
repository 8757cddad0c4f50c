"""pail's commands under clumsy hands: what is said, with which exit status, and what it did."""
import json
import os
import re
import signal
import subprocess
import threading
import time

import lib
from lib import eq, test, until


@test()
def a_scan_tells_what_is_left_to_live(box):
    """The scan option ttl: a fourth element, ms or nil; before a checkpoint and after, here and on another node."""
    nodes = box.cluster({"foo": {"*": "bar"}, "bar": {"*": "bar"}}, more={"foo": {"node.role": "router"}})
    nodes["foo"].linked()
    for n in nodes.values():
        c = n.client()
        c.call("create", "b")
        c.call("put", "b", "ever", "1")
        c.call("put", "b", "long", "2", {"ttl": 1000000})
        c.call("put", "b", "short", "3", {"ttl": 1})
        until(lambda: c.call("count", "b") == 2, 10, "the short one to go")
        items = c.call("scan", "b", {"ttl": True})["items"]
        eq([[b"ever", b"1", None], [b"long", b"2"]], [items[0][:2] + items[0][3:], items[1][:2]])
        assert 990000 < items[1][3] <= 1000000, items
        items = c.call("scan", "b", {"ttl": True, "keys_only": True, "reverse": True})["items"]
        eq([None, None], [i[1] for i in items])
        eq([4, 4], [len(i) for i in items])
        eq([3, 3], [len(i) for i in c.call("scan", "b", {"ttl": False})["items"]])
        eq("bad_argument", c.code("scan", "b", {"ttl": 5})[0])
        eq("bad_argument", c.code("put", "b", "k", "v", {"ttl": True})[0])
        eq("bad_argument", c.code("count", "b", {"ttl": True})[0])
    n = nodes["bar"]
    n.kill()  # from the log, by recovery
    n.start()
    items = n.client().call("scan", "b", {"ttl": True})["items"]
    assert items[0][3] is None and 900000 < items[1][3] <= 1000000, items


@test()
def scan_shows_what_is_left_to_live(box):
    n = box.node()
    c = n.client()
    c.call("create", "b")
    c.call("put", "b", "ever", "1")
    c.call("put", "b", "long", "2", {"ttl": 1000000})
    r = box.pail(n, "scan", "b", "--ttl", "-o", "raw")
    assert re.fullmatch(rb"ever\t1\t-\nlong\t2\t\d{6,7}\n", r.stdout), r.stdout
    r = json.loads(box.pail(n, "scan", "b", "--ttl", "-o", "json").stdout)["items"]
    assert r[0]["ttl"] is None and 900000 < r[1]["ttl"] <= 1000000, r
