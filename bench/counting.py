#!/usr/bin/env python3
"""What counting costs: a node beside one whose program was built without it, in turns.

    bench/counting.py [ROUNDS]        make bench-counting builds both and runs it

Each round puts both under the same number of requests, at 1, 16 and 256 to a frame, and takes the CPU time of coordinator
and workers for it, which other work on the machine changes less than the time that passes.  Shown are medians, and the
median of the rounds' ratios; a third program, the counting one once more, shows how much of that is the machine's mood.
"""
import os
import statistics
import subprocess
import sys
import tempfile
import time

SHAPES = ((1, 120000), (16, 600000), (256, 1500000))
TICK = os.sysconf("SC_CLK_TCK")


def cpu_s(pid):
    with open("/proc/%d/stat" % pid) as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def children(pid):
    with open("/proc/%d/task/%d/children" % (pid, pid)) as f:
        return [int(x) for x in f.read().split()]


class Node:
    def __init__(self, build, folder, port):
        self.build, self.endpoint = build, "tcp://127.0.0.1:%d" % port
        self.process = subprocess.Popen(
            [build + "/paild", "--dev", "--data", folder, "--port", str(port), "--set", "node.workers=1"],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert self.process.stdout.readline().startswith(b"ready"), "the node did not start"
        self.pids = [self.process.pid] + children(self.process.pid)

    def run(self, batch, requests, reads):
        """CPU of a request in us."""
        before = [cpu_s(p) for p in self.pids]
        subprocess.run([self.build + "/pail", "--node", self.endpoint, "bench", "--batch", str(batch), "--requests", str(requests),
                        "--reads", str(reads), "--in-flight", str(max(256, 4 * batch)), "--keep"], check=True, stdout=subprocess.DEVNULL)
        return sum(cpu_s(p) for p in self.pids) - sum(before)

    def stop(self):
        self.process.terminate()
        self.process.wait()


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    names = ("counted", "uncounted", "counted again")
    builds = ("build/release", "build/uncounted", "build/release")
    port = 21000 + os.getpid() % 8000
    with tempfile.TemporaryDirectory() as folder:
        nodes = [Node(b, os.path.join(folder, str(i)), port + 2 * i) for i, b in enumerate(builds)]
        try:
            print("%-24s %10s %10s %14s %10s %10s" % ("CPU of a request, us", *names, "ratio", "noise"))
            for reads, what in ((0, "puts"), (100, "gets")):
                for batch, requests in SHAPES:
                    for n in nodes:
                        n.run(batch, requests // 10, reads)
                    got = []
                    for i in range(rounds):
                        order = [(i + k) % 3 for k in range(3)]
                        row = {k: nodes[k].run(batch, requests, reads) * 1e6 / requests for k in order}
                        got.append([row[k] for k in range(3)])
                    mid = [statistics.median(g[k] for g in got) for k in range(3)]
                    ratio = statistics.median((g[0] + g[2]) / 2 / g[1] for g in got)
                    noise = statistics.median(g[0] / g[2] for g in got)
                    print("%-24s %10.3f %10.3f %14.3f %10.4f %10.4f" % ("%s, %d a frame" % (what, batch), *mid, ratio, noise), flush=True)
        finally:
            for n in nodes:
                n.stop()


if __name__ == "__main__":
    started = time.monotonic()
    main()
    print("%d s" % (time.monotonic() - started))
