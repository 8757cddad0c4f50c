#!/usr/bin/python3
"""How long one client waits while others ask for as much as they may.

    bench/fair.py [--build build/release] [--seconds 4] [CASE...]

Each case starts a node (two, where requests go through another one) and clients that keep messages
of many requests on their way, all for one worker; beside them one client does one get after the
other, of a small value, for the same worker.  Told is how long those took.  Fails if any case's
largest wait is over LIMIT_MS, unless --report.
"""
import argparse
import multiprocessing
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time

import msgpack
import zmq

LIMIT_MS = 50
KIB, MIB = 1 << 10, 1 << 20
# name: greedy clients, bytes of a value, requests a message, messages on their way, method, what else
CASES = {
    "alone":          (0, 0, 0, 0, "get", {}),
    "get-100":        (1, 100, 4096, 8, "get", {}),
    "get-4K":         (1, 4 * KIB, 4096, 4, "get", {}),
    "get-64K":        (1, 64 * KIB, 4096, 1, "get", {}),
    "get-64K-x4":     (1, 64 * KIB, 1024, 4, "get", {}),
    "get-1M":         (1, MIB, 4096, 1, "get", {}),
    "get-1M-x64":     (1, MIB, 64, 64, "get", {}),
    "get-8M":         (1, 8 * MIB, 4096, 1, "get", {}),
    "get-64K-2":      (2, 64 * KIB, 4096, 1, "get", {}),
    "get-64K-8":      (8, 64 * KIB, 4096, 1, "get", {}),
    "get-64K-same":   (1, 64 * KIB, 4096, 1, "get", {"same": True}),
    "get-64K-whole":  (1, 64 * KIB, 1000, 2, "get", {"delimiter": True}),
    "scan":           (1, KIB, 512, 2, "scan", {}),
    "put-100":        (1, 100, 4096, 8, "put", {}),
    "put-64K":        (1, 64 * KIB, 200, 8, "put", {}),
    "put-1M":         (1, MIB, 8, 8, "put", {}),
    "put-8M":         (1, 7 * MIB, 1, 8, "put", {}),
    "put-64K-8":      (8, 64 * KIB, 200, 2, "put", {}),
    "peer-64K":       (1, 64 * KIB, 1000, 4, "get", {"peer": True}),
    "peer-both":      (1, 64 * KIB, 1000, 4, "get", {"peer": "both"}),
    "get-64K-w12":    (1, 64 * KIB, 4096, 1, "get", {"workers": 12}),
}


def socket_to(endpoint):
    s = zmq.Context.instance().socket(zmq.DEALER)
    s.linger = 0
    s.sndhwm = s.rcvhwm = 0
    s.connect(endpoint)
    return s


def ask(s, msgid, method, *params):
    s.send(msgpack.packb([0, msgid, method, list(params)]))
    if not s.poll(30000):
        raise SystemExit("no reply")
    return msgpack.unpackb(s.recv(), strict_map_key=False)


def over(b, at):
    """The place behind one MessagePack object of a reply: what is large is stepped over, not read."""
    c = b[at]
    if c < 0x80 or c >= 0xe0 or c in (0xc0, 0xc2, 0xc3):
        return at + 1
    if 0xa0 <= c < 0xc0:
        return at + 1 + (c & 31)
    if c in (0xc4, 0xd9):
        return at + 2 + b[at + 1]
    if c in (0xc5, 0xda):
        return at + 3 + int.from_bytes(b[at + 1:at + 3], "big")
    if c in (0xc6, 0xdb):
        return at + 5 + int.from_bytes(b[at + 1:at + 5], "big")
    if 0xcc <= c <= 0xcf:
        return at + 1 + (1 << (c - 0xcc))
    if 0x90 <= c < 0xa0 or 0x80 <= c < 0x90:
        n, at = c & 15 if c >= 0x90 else 2 * (c & 15), at + 1
    elif c == 0xdd:
        n, at = int.from_bytes(b[at + 1:at + 5], "big"), at + 5
    else:
        raise ValueError(c)
    for _ in range(n):
        at = over(b, at)
    return at


def replies_in(frame, large):
    """How many replies it holds, and how many of them are errors."""
    n = errors = at = 0
    if large:
        while at < len(frame):
            msgid = over(frame, at + 2)
            errors += frame[msgid] != 0xc0
            at = over(frame, at)
            n += 1
        return n, errors
    u = msgpack.Unpacker(strict_map_key=False, max_buffer_size=0)
    u.feed(frame)
    for r in u:
        n += 1
        errors += r[2] is not None
    return n, errors


def greedy(endpoint, number, size, count, flight, method, more, seconds, ready, out):
    s = socket_to(endpoint)
    bucket = "shared" if more.get("same") else "greedy-%d" % number
    value = random.Random(number).randbytes(size)
    keys = max(1, min(16, 64 * MIB // max(size, 1)))
    ask(s, 0, "create", bucket)
    for k in range(keys):
        ask(s, k, "put", bucket, "key%d" % k, value)
    msgid = 1
    waiting = {}
    done = refused = 0

    def send():
        nonlocal msgid
        body = []
        for i in range(count):
            key = "key%d" % (i % keys)
            p = {"get": [bucket, key], "put": [bucket, key, value], "scan": [bucket, {"limit": 10000}]}[method]
            body.append(msgpack.packb([0, msgid, method, p + ([] if method == "scan" else [{"timeout": 60000}])]))
            msgid += 1
        s.send_multipart([b""] * bool(more.get("delimiter")) + [b"".join(body)])

    ready.wait()
    end = time.monotonic() + seconds
    left = 0
    for _ in range(flight):
        send()
        left += count
    while time.monotonic() < end:
        if not s.poll(100):
            continue
        for frame in s.recv_multipart(copy=False):
            n, errors = replies_in(frame.buffer, size > 2000)
            done += n - errors
            refused += errors
            left -= n
        while left <= (flight - 1) * count:
            send()
            left += count
    out.put((done, refused))


def node(build, dir, name, workers, conf=None):
    data = os.path.join(dir, name)
    where = ["--config", conf] if conf else ["--dev", "--data", data, "--port", "0"]
    p = subprocess.Popen([build + "/paild"] + where + ["--set", "node.workers=%d" % workers,
                         "--set", "limits.cache=512M", "--set", "node.log=error"],
                         stdout=subprocess.PIPE, env=dict(os.environ, PAIL_STORAGE_RESERVE="1M"))
    line = p.stdout.readline().decode()
    return p, re.search(r" on (tcp://\S+?),?\s", line).group(1)


def free_ports(n):
    s = [zmq.Context.instance().socket(zmq.DEALER) for _ in range(n)]
    r = [x.bind_to_random_port("tcp://127.0.0.1") for x in s]
    for x in s:
        x.close(0)
    return r


def pair(build, dir, workers):
    """Two nodes: `far` has no buckets, `near` has all."""
    p = free_ports(4)
    out = []
    for i, name in enumerate(("near", "far")):
        conf = os.path.join(dir, name + ".conf")
        with open(conf, "w") as f:
            f.write("[node]\nname = %s\nclient = tcp://127.0.0.1:%d\npeer = tcp://127.0.0.1:%d\ndata = %s\n"
                    "[peers]\n%s = tcp://127.0.0.1:%d\n[routes]\n* = %s\n[gateway]\n"
                    % (name, p[2 * i], p[2 * i + 1], os.path.join(dir, name), ("far", "near")[i], p[3 - 2 * i], "near"))
        out.append(node(build, dir, name, workers, conf))
    return out


def measure(build, case, seconds):
    clients, size, count, flight, method, more = CASES[case]
    dir = tempfile.mkdtemp(prefix="pail-fair-")
    nodes, processes = [], []
    try:
        if more.get("peer"):
            nodes = pair(build, dir, more.get("workers", 1))
            near, far = nodes[0][1], nodes[1][1]
        else:
            nodes = [node(build, dir, "node", more.get("workers", 1))]
            near = far = nodes[0][1]
        s = socket_to(far if more.get("peer") == "both" else near)
        for _ in range(200):
            r = ask(s, 0, "create", "shared")
            if not r[2]:
                break
            time.sleep(0.05)
        ask(s, 0, "put", "shared", "other", b"v")
        ready, out = multiprocessing.Event(), multiprocessing.Queue()
        for i in range(clients):
            processes.append(multiprocessing.Process(target=greedy, args=(
                far, i, size, count, flight, method, more, seconds + 1, ready, out)))
            processes[-1].start()
        time.sleep(0.3 + 0.2 * clients)
        ready.set()
        time.sleep(0.3)
        took, end, errors = [], time.monotonic() + seconds, {}
        while time.monotonic() < end:
            begun = time.monotonic()
            r = ask(s, 1, "get", "shared", "other", {"timeout": 60000})
            took.append(1000 * (time.monotonic() - begun))
            if took[-1] > 50 and os.environ.get("FAIR_SHOW"):
                print("at %.2f: %.0f ms" % (begun - end + seconds, took[-1]))
            if r[2]:
                errors[r[2][0]] = errors.get(r[2][0], 0) + 1
            time.sleep(0.001)
        got = [out.get(timeout=60) for _ in processes]
    finally:
        for p in processes:
            p.kill()
            p.join()
        for p, _ in nodes:
            p.kill()
            p.wait()
        shutil.rmtree(dir, ignore_errors=True)
    took.sort()
    return took, [sum(x) / (seconds + 1) for x in zip(*got)] or [0, 0], errors


def main():
    a = argparse.ArgumentParser()
    a.add_argument("--build", default="build/release")
    a.add_argument("--seconds", type=float, default=4)
    a.add_argument("--report", action="store_true", help="do not judge")
    a.add_argument("cases", nargs="*")
    a = a.parse_args()
    bad = 0
    print("%-14s %8s %8s %8s %8s %10s %10s" % ("case", "gets", "p50 ms", "p99 ms", "max ms", "greedy/s", "refused/s"))
    for case in a.cases or CASES:
        took, rate, errors = measure(a.build, case, a.seconds)
        print("%-14s %8d %8.1f %8.1f %8.1f %10.0f %10.0f %s" % (
            case, len(took), took[len(took) // 2], took[len(took) * 99 // 100], took[-1], *rate, errors or ""), flush=True)
        bad += took[-1] > LIMIT_MS
    if bad and not a.report:
        sys.exit("%d cases above %d ms" % (bad, LIMIT_MS))


if __name__ == "__main__":
    multiprocessing.set_start_method("fork")
    main()
