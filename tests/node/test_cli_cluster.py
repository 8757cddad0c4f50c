"""pail cluster, against a node that a test plays: what it asks, and what it shows of the answers."""
import json

import lib
from lib import eq, test
from played import Played

NODE = {"name": "a", "number": 1, "state": "up", "leading": 86, "copies": 256, "in_sync": 256, "learning": 0, "lag_ms": 3}
STATUS = {"verdict": "5 of 256 partitions have no primary: requests for them wait", "ok": False, "name": "demo", "id": "00000000000000ab",
          "partitions": 256, "factor": 3, "min_copies": 2, "without_primary": 5, "too_few": 1, "in_sync": 200,
          "agreement": {"state": "away", "revision": 77, "text": "nobody answers\n"},
          "nodes": [NODE, dict(NODE, name="d", number=0, door=True, leading=0, copies=0, in_sync=0, lag_ms=None), dict(NODE, name="b" * 20, state="down", leading=0, in_sync=0, learning=256, lag_ms=None)]}
TABLE = """5 of 256 partitions have no primary: requests for them wait

node              state    leading  copies  in sync  learning  lag ms
a                 up            86     256      256         0       3
d                 up             0       0        0         0       -  door
bbbbbbbbbbbbbbbbbbbb  down           0     256        0       256       -

cluster: demo, 256 partitions, 3 copies of each, writes need 2
without primary: 5; below what writes need: 1
agreement: away, revision 77: nobody answers\\x0a
"""


def cluster(box, node, *words):
    return box.run(lib.BUILD + "/pail", "--node", node.endpoint, "cluster", *words)


@test()
def the_state_of_a_cluster_is_shown_verdict_first(box):
    n = Played(box, lambda m, p: STATUS)
    r = cluster(box, n, "status")
    eq((0, TABLE), (r.returncode, r.stdout.decode()))
    r = cluster(box, n, "status", "-o", "json")
    eq((0, STATUS), (r.returncode, json.loads(r.stdout)))
    eq([["cluster_status", []]] * 2, n.requests)


@test()
def a_cluster_is_asked_for_with_what_was_said(box):
    n = Played(box, lambda m, p: {"name": "demo", "id": "00000000000000ab", "partitions": 256, "factor": 3, "min_copies": 2})
    r = cluster(box, n, "create", "--factor", "3", "a", "b", "c")
    eq((0, b"cluster demo created: 256 partitions, 3 copies of each on 3 nodes, writes need 2\n"), (r.returncode, r.stdout))
    r = cluster(box, n, "create", "--factor", "8", "--min-copies", "1", "--keep", "b", "a", "b", "-o", "json", "--timeout", "5000")
    eq((0, "demo"), (r.returncode, json.loads(r.stdout)["name"]))
    eq(["cluster_create", [[b"a", b"b", b"c"], 3, 0, b"", {"timeout": 60000}]], n.requests[0])
    eq(["cluster_create", [[b"a", b"b"], 8, 1, b"b"]], n.requests[1])


@test()
def a_node_is_drained_and_may_lead_again(box):
    n = Played(box, lambda m, p: {"node": "a", "drained": p[1], "leading": 0})
    eq((0, b"a is drained: it leads 0 partitions\n"), (lambda r: (r.returncode, r.stdout))(cluster(box, n, "drain", "a")))
    eq((0, b"a may lead again\n"), (lambda r: (r.returncode, r.stdout))(cluster(box, n, "drain", "a", "--off")))
    eq([[b"a", True], [b"a", False]], [p[:2] for _, p in n.requests])


@test()
def what_the_cluster_refuses_has_an_exit_status(box):
    for code, status in (("bad_argument", 1), ("conflict", 8), ("busy", 1), ("timeout", 5), ("node_down", 4), ("too_few", 1)):
        n = Played(box, lambda m, p: RuntimeError(code, "why"))
        for words in ("status",), ("drain", "a"), ("create", "--factor", "1", "a"):
            r = cluster(box, n, *words)
            eq((status, b"", b"pail: %s: why\n" % code.encode()), (r.returncode, r.stdout, r.stderr))
        eq(3, len(n.requests))  # nothing is asked twice


@test()
def operators_alone_ask_for_it(box):
    n = box.node()
    c = n.client()
    for request in ("cluster_status",), ("cluster_drain", "a", True), ("cluster_create", ["a"], 1, 0, ""):
        name = request[0]
        eq(("denied", "%s: only through the node's admin socket: pail --config FILE %s" % (name, name.replace("_", " "))), c.code(*request))
        eq(("bad_argument", "this node belongs to no cluster: cluster.name is not set"), n.client(admin=True).code(*request))
