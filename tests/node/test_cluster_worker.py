"""What worked on one node works on every copy: workers killed and exchanged, upgrades, reloads, stops, under load and unnoticed."""
import os
import signal
import time

import lib
from cluster import cluster
from lib import eq, test, until
from pulse import Pulse

PAUSE_S, KILLED_S = 0.5, 0.8  # as on one node, with the room that a shared machine needs
SWITCH_S = 1.0  # of a planned change of primary


def opened(box, **kw):
    c = cluster(box, workers=2, **kw)
    return c, {n: c.led_by(n) for n in c.names}


def comm(pid):
    """The name of a process; "": it has ended."""
    try:
        with open("/proc/%d/comm" % pid) as f:
            return f.read()
    except OSError:
        return ""


def quietly(box, what, pause=PAUSE_S, times=2, **kw):
    """Done to each node in turn under load: no error, no change of primary, and no longer a pause than on one node."""
    c, buckets = opened(box, **kw)
    before = c.views()
    p = Pulse(box, [c.n[n].endpoint for n in c.names], buckets)
    for _ in range(times):
        for n in c.names:
            what(c, n)
            time.sleep(0.3)
    p.end()
    p.say()
    for w in buckets:
        p.held(w, pause, codes=())
    c.ready()  # a slow machine's backup may have been out of a set for a moment; no primary changes
    after = c.views()
    eq({}, {p: (v, after[p]) for p, v in before.items() if v[:2] != after[p][:2]})
    p.audit(c.client())
    c.stop()


def admin(c, name, *words):
    node = c.n[name]
    r = c.box.run(lib.BUILD + "/pail", "--admin", "ipc://%s/admin.sock" % node.data, *words)
    eq((0, b""), (r.returncode, r.stderr))


def family(node):
    """(pid, name, state) of a node's children."""
    out = []
    for p in node.children():
        try:
            with open("/proc/%d/stat" % p) as f:
                head, rest = f.read().rsplit(")", 1)
        except FileNotFoundError:
            continue  # it has ended, and was waited for
        out.append((p, head.split("(", 1)[1], rest.split()[0]))
    return sorted(out)


def killed_worker(c, n, i):
    """And another one is there."""
    pid = c.n[n].kill_worker(i)
    until(lambda: c.n[n].workers()[i]["pid"] != pid, 10, "another worker")
    c.n[n].up()


@test("cluster", "distributed", "kill")
def workers_of_copies_are_killed_and_nobody_is_told(box):
    """Those of the primary and those of backups."""
    def killed(c, n):
        killed_worker(c, n, c.random.randrange(2))
    quietly(box, killed, KILLED_S, 3)


@test("cluster", "distributed", "kill")
def all_workers_of_all_copies_are_killed_at_once(box):
    def killed(c, _):
        for n in c.names:
            for w in c.n[n].workers():
                try:
                    os.kill(w["pid"] or 1 << 30, signal.SIGKILL)
                except ProcessLookupError:
                    pass
        for n in c.names:
            c.n[n].up()
    quietly(box, killed, 1.0, 1)


@test("cluster", "distributed", "restart", "long")
def workers_of_copies_are_exchanged_unnoticed(box):
    quietly(box, lambda c, n: admin(c, n, "worker", "restart", "--all"))


@test("cluster", "distributed", "upgrade", "alone", "pauses")
def coordinators_of_copies_are_upgraded_unnoticed(box):
    """Views, what was granted, and changes on their way go through it. The agent is another one; the old one is gone, not a zombie."""
    named = lambda node, name: [p for p, x, _ in family(node) if x == name]

    def upgraded(c, n):
        agents, workers = named(c.n[n], "pail-agent"), named(c.n[n], "pail-worker")
        admin(c, n, "upgrade", "--wait")
        if c.real:
            now = until(lambda: named(c.n[n], "pail-agent"), 5, "an agent")
            eq((1, 1, True), (len(agents), len(now), agents != now))
        eq([], [x for x in family(c.n[n]) if x[2] == "Z"])
        eq(workers, named(c.n[n], "pail-worker"))
    quietly(box, upgraded)


@test("cluster", "distributed", "long")
def configurations_of_copies_are_read_again_unnoticed(box):
    quietly(box, lambda c, n: admin(c, n, "reload"))


@test("cluster", "distributed", "kill", "long")
def the_agent_is_killed_and_started_again(box):
    """It keeps nothing: what was on its way is unknown, and asked for again."""
    def killed(c, n):
        if c.real:
            agents = lambda: [p for p in c.n[n].children() if comm(p).startswith("pail-agent")]
            for p in agents():
                os.kill(p, signal.SIGKILL)
            until(agents, 10, "another agent")
    quietly(box, killed, times=3)


@test("cluster", "distributed", "restart", "alone", "pauses")
def a_drained_node_leads_nothing_and_nobody_is_told(box):
    c, buckets = opened(box)
    if not c.real:
        print("# left out: there is one node only")
        return
    p = Pulse(box, [c.n[n].endpoint for n in c.names], buckets)
    for n in c.names:
        c.drain(n)
        c.ready()
    p.end()
    p.say()
    for w in buckets:
        p.held(w, SWITCH_S, codes=())
    p.audit(c.client())
    c.stop()


@test("cluster", "distributed", "restart", "long")
def a_stopped_node_hands_over_first(box):
    """SIGTERM: its partitions are led by others before it goes; then it comes back and is in sync. A rolling restart of all."""
    c, buckets = opened(box)
    if not c.real:
        print("# left out: there is one node only")
        return
    pulses = {}
    for n in c.names:
        before = c.epochs()
        p = Pulse(box, [c.n[x].endpoint for x in c.others(n)], buckets)
        eq(0, c.n[n].stop())
        views = c.views()
        eq([], [x for x, v in views.items() if v[1] == n])
        moved = sum(v[0] != before[x] for x, v in views.items())
        c.start(n)
        c.ready()
        pulses[n] = p.end()
        print("# %s stopped: %d of %d partitions changed their primary" % (n, moved, len(views)))
    for n, p in pulses.items():
        p.say()
        for w in buckets:
            p.held(w, SWITCH_S, codes=())
        p.audit(c.client())
    c.stop()


@test("cluster", "distributed", "restart", "alone", "pauses")
def a_rolling_restart_of_all_nodes_is_no_error_for_libpail(box):
    """pail bench with no retries of its own sees errors; what libpail sends again, by sessions, is done once."""
    c, _ = opened(box)
    if not c.real:
        print("# left out: there is one node only")
        return
    endpoints = ",".join(c.n[n].endpoint for n in c.names)
    stop, failed, done = time.monotonic() + 12, [], 0
    c.ask("a", "create", "rolling")
    turn, step_s = 0, time.monotonic() + 1
    while time.monotonic() < stop:
        r = box.run(lib.BUILD + "/pail", "--node", endpoints, "put", "--timeout", "15000", "rolling", "k%d" % done, "v")
        done += 1
        if r.returncode:
            failed.append((done, r.returncode, r.stderr))
        if time.monotonic() > step_s and turn < 3:
            n = c.names[turn]
            eq(0, c.n[n].stop())
            c.start(n)
            turn, step_s = turn + 1, time.monotonic() + 2
    eq([], failed)
    eq(done, c.ask("b", "count", "rolling"))
    c.ready()
    c.stop()


@test("cluster", "distributed", "restart", "long")
def a_stop_of_all_nodes_at_once_and_a_start_lose_nothing(box):
    """Nobody is left to hand over to."""
    c, buckets = opened(box)
    p = Pulse(box, [c.n[n].endpoint for n in c.names], buckets, timeout=3000)
    time.sleep(1)
    c.stop()
    p.end(0.2)
    for n in c.names:
        c.start(n)
    if c.real:
        c.ready()
    p.audit(c.client())
    c.stop()


@test("cluster", "distributed", "kill", "long")
def every_process_dies_once_under_load(box):
    """paild alone (its workers outlive it for a moment), then each worker, of each node, one after the other."""
    c, buckets = opened(box)
    p = Pulse(box, [c.n[n].endpoint for n in c.names], buckets)
    for n in c.names:
        c.n[n].process.kill()
        c.n[n].process.wait()
        c.start(n)
        if c.real:
            c.ready()
        for i in range(2):
            killed_worker(c, n, i)
    p.end()
    p.say()
    for w in buckets:
        eq(set(), {k for kind in ("put", "get") for k in p.codes(w, kind)} - {"timeout", "silent"})
        eq(0, p.codes(w, "get").get("wrong", 0))
    p.audit(c.client())
    c.stop()
