#!/usr/bin/python3
"""How long nobody answers when the node that leads a bucket is killed, and when one that has only a copy is: puts and gets of a
steady load through the nodes that stay, in a table with the median and the worst of ROUNDS kills each.

    bench/failover.py [ROUNDS]
"""
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../tests/node"))
import lib  # noqa: E402

os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
lib.BUILD = os.path.abspath(os.environ.get("BUILD", "build/release"))
from cluster import cluster  # noqa: E402
from pulse import Pulse  # noqa: E402


def row(what, seconds):
    seconds = sorted(seconds)
    print("| %s | %.2f | %.2f |" % (what, seconds[len(seconds) // 2], seconds[-1]), flush=True)


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    box = lib.Box("failover")
    took = {}
    try:
        c = cluster(box)
        buckets = {n: c.led_by(n) for n in c.names}
        for i in range(rounds):
            # Whoever leads the first bucket by now is killed; of the second, which another leads, it has a copy.
            gone = c.primary(buckets["a"])
            copied = next((b for b in buckets.values() if c.primary(b) != gone), None)
            if not copied:  # it has got all of them: the others take them, and one is missed by some
                c.drain(gone)
                c.ready()
                gone = c.primary(buckets["a"])
                copied = next((b for b in buckets.values() if c.primary(b) != gone), None) or c.led_by(c.others(gone)[0])
            p = Pulse(box, [c.n[n].endpoint for n in c.others(gone)], {"led": buckets["a"], "copied": copied})
            if c.real or i == 0:
                c.kill(gone)
                time.sleep(3 if c.real else 0.5)
                c.start(gone)
            p.end(2)
            p.audit(c.client())
            for w in ("led", "copied"):
                for kind in ("put", "get"):
                    took.setdefault((w, kind), []).append(p.pause(w, kind))
            if c.real:
                c.ready()
        c.stop()
    finally:
        box.close()
    print("| no answer, in seconds, of %d kills | median | worst |\n| --- | --- | --- |" % rounds)
    row("puts into a bucket that the killed node led", took["led", "put"])
    row("gets of it", took["led", "get"])
    row("puts into a bucket that it had a copy of", took["copied", "put"])
    row("gets of it", took["copied", "get"])


main()
