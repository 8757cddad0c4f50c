"""Power cuts: a store at work is written down write by write, and the disk rebuilt as a cut at any moment could have left it.

At every sync, before and behind it, and at moments in between: with everything that was written, with nothing that was not
synced, and with some of it, in any order, torn at sectors; names that were made, moved and removed since the folder was synced
come and go in any order too, but for what was done to one name.  Each image is opened: every acknowledged write is there, what is
there is what was written up to some moment behind the last acknowledgement (of a group of changes all or nothing), what is known
of each session's requests is what they were told, no more and no less, and the store works on.
"""
import argparse
import os
import random
import shutil
import struct
import subprocess
import sys
import tempfile
import time

from copies import Copies
from ledger import Ledger

HEAD = struct.Struct("<c3xIQQQ")
SECTOR = 512


def events(path):
    with open(path, "rb") as f:
        data = f.read()
    at = 0
    while at < len(data):
        kind, path_len, ino, offset, n = HEAD.unpack_from(data, at)
        at += HEAD.size
        name = data[at:at + path_len].decode()
        at += path_len
        yield kind.decode(), name, ino, offset, data[at:at + n]
        at += n


class File:
    def __init__(self, content=b""):
        self.durable, self.pending = bytearray(content), []


def apply(content, offset, data):
    if data is None:  # truncate
        del content[offset:]
        content.extend(bytes(offset - len(content)))
        return
    if len(content) < offset:
        content.extend(bytes(offset - len(content)))
    content[offset:offset + len(data)] = data


class Disk:
    """What is certainly there, and what is on its way.  A name is safe when its folder was synced, bytes when their file was."""

    def __init__(self):
        self.names, self.durable_names, self.moves, self.acked = {}, {}, [], 0
        self.by_ino = {}

    def load(self, folder):
        for name in os.listdir(folder):
            path = os.path.join(folder, name)
            if name in ("lock.mdb", "lock"):
                continue
            with open(path, "rb") as f:
                file = File(f.read())
            self.names[name] = self.durable_names[name] = file
            self.by_ino[os.stat(path).st_ino] = file

    def move(self, kind, name, other):
        f = self.names[name] if kind != "C" else other
        if kind == "C":
            self.names[name] = f
        elif kind == "R":
            self.names[other] = self.names.pop(name)
        else:
            self.names.pop(name)
        self.moves.append((kind, name, other))

    @staticmethod
    def moved(names, moves):
        names = dict(names)
        for kind, name, other in moves:
            if kind == "C":
                names[name] = other
            elif kind == "R":
                if name in names:
                    names[other] = names.pop(name)
            else:
                names.pop(name, None)
        return names

    @staticmethod
    def some(moves, keep, rng):
        """Those that reached the disk: what follows upon one that did not, did not either."""
        out, lost = [], set()
        for kind, name, other in moves:
            names = {name, other} if kind == "R" else {name}
            if names & lost or rng.random() >= keep:
                lost |= names
            else:
                out.append((kind, name, other))
        return out

    def take(self, kind, name, ino, offset, data):
        if name in ("lock.mdb", "lock"):
            return
        if name == "acks":
            if kind in "WY":
                self.acked = struct.unpack("<Q", data)[0]
            return
        if kind == "C":
            f = File()
            self.by_ino[ino] = f
            self.move("C", name, f)
        elif kind == "R":
            self.move("R", name, data.decode())
        elif kind == "U":
            self.move("U", name, None)
        elif kind == "D":
            self.durable_names = self.moved(self.durable_names, self.moves)
            self.moves = []
        elif kind == "S":
            f = self.by_ino[ino]
            for w in f.pending:
                apply(f.durable, *w)
            f.pending = []
        elif kind == "T":
            self.by_ino[ino].pending.append((offset, None))
        elif kind == "Y":  # the write is safe when it returns, others are not
            apply(self.by_ino[ino].durable, offset, data)
        else:
            self.by_ino[ino].pending.append((offset, data))

    def unsure(self):
        return bool(self.moves) or any(f.pending for f in self.by_ino.values())

    def image(self, how, rng):
        """Names and contents after a cut now."""
        moves = self.some(self.moves, {"all": 1.0, "none": 0.0}.get(how, rng.choice((0.2, 0.5, 0.8))), rng)
        keep = {"all": 1.0, "none": 0.0}.get(how, rng.choice((0.1, 0.5, 0.9)))
        out = {}
        for name, f in self.moved(self.durable_names, moves).items():
            content = bytearray(f.durable)
            for offset, data in f.pending:
                if data is None:
                    if rng.random() < keep:
                        apply(content, offset, None)
                    continue
                at = 0
                while at < len(data):
                    end = len(data) if keep == 1.0 else min(len(data), (offset + at) // SECTOR * SECTOR + SECTOR - offset)
                    if rng.random() < keep:
                        apply(content, offset + at, data[at:end])
                    at = end
            out[name] = content
        return out


class Model:
    """What the store must hold after the first `seq` writes, as one life of it sees that."""

    def __init__(self, lines, before=None):
        words = [line.split() for line in lines]
        start = next((int(w[1]) for w in words if w[0] == "L"), None)
        mine = [(int(w[1]), w[0], w[2:]) for w in words if w[0] != "L"]
        # What the life before wrote and nobody found again was never there.
        self.ops = [op for op in before.ops if start is None or op[0] <= start] if before else []
        self.ops = sorted(self.ops + mine)
        self.states, self.known, self.last = {}, {}, self.ops[-1][0] if self.ops else 0

    def at(self, seq):
        if seq not in self.states:
            buckets = {}
            for n, op, rest in self.ops:
                if n > seq:
                    break
                if op == "C":
                    buckets[rest[0]] = {}
                elif op == "X":
                    buckets.pop(rest[0])
                elif op in "NA":
                    pass
                elif op == "S":
                    if rest[4] != "-":
                        buckets[rest[0]][rest[4]] = (n, 0)
                elif op == "G":
                    for what, key, number in zip(*[iter(rest[1:])] * 3):
                        if what == "C":
                            buckets[rest[0]] = {}
                        elif what == "P":
                            buckets[rest[0]][key] = (int(number), 0)
                        elif what == "T":
                            buckets[rest[0]][key] = (buckets[rest[0]][key][0], int(number))
                        else:
                            buckets[rest[0]].pop(key)
                elif op == "P":
                    buckets[rest[0]][rest[1]] = (n, 0)
                elif op == "T":
                    buckets[rest[0]][rest[1]] = (buckets[rest[0]][rest[1]][0], int(rest[2]))
                else:
                    buckets[rest[0]].pop(rest[1])
            self.states[seq] = buckets
        return self.states[seq]

    def check(self, lines, acked, what):
        """What a store that was opened tells: all that there was at one moment, no earlier than what was acknowledged."""
        seq, got, counts, sessions = None, {}, {}, {}
        for words in lines:
            if words[0] == "seq":
                seq = int(words[1])
            elif words[0] == "F":
                sessions[words[1], words[2]] = (int(words[3]), {})
            elif words[0] == "Q":
                sessions[words[1], words[2]][1][int(words[3])] = words[4]
            elif words[0] == "B":
                got[words[1]], counts[words[1]] = {}, int(words[2])
            else:
                assert words[4] == "whole", (what, words)
                got[words[1]][words[2]] = (int(words[3]), int(words[5]))
        assert acked <= seq, "%s: acknowledged up to %d, there is only %d" % (what, acked, seq)
        assert seq <= self.last, "%s: %d was never written" % (what, seq)
        want = self.at(seq)
        assert got == want, "%s: at %d: %r instead of %r" % (what, seq, diff(got, want), diff(want, got))
        for session, (outcomes, (logged, told)) in self.sessions(seq).items():
            floor, known = sessions[session]
            assert logged <= floor, "%s: at %d: %r has the floor %d instead of %d" % (what, seq, session, floor, logged)
            assert floor <= told, "%s: at %d: %r has the floor %d, which nobody told: %d" % (what, seq, session, floor, told)
            kept = {n: o for n, o in outcomes.items() if n >= floor}
            assert known == kept, "%s: at %d: %r knows %r instead of %r" % (what, seq, session, known, kept)
        assert counts == {b: len(k) for b, k in want.items()}, (what, counts)


    def sessions(self, seq):
        """By session: outcomes, the floor that the log has, and the highest that was told (base may have it)."""
        if seq not in self.known:
            sessions = {}
            for n, op, rest in self.ops:
                if n > seq or op not in "SA":
                    continue
                outcomes, floors = sessions.setdefault((rest[0], rest[1]), ({}, [0, 0]))
                if op == "S":
                    outcomes[int(rest[2])] = rest[5]
                    floors[0] = max(floors[0], int(rest[3]))
                else:
                    floors[1] = max(floors[1], int(rest[2]))
            self.known[seq] = sessions
        return self.known[seq]


class Checker:
    def __init__(self, program, folder):
        self.process = subprocess.Popen([program, "check"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.folder, self.images = folder, 0

    def write(self, image):
        shutil.rmtree(self.folder, ignore_errors=True)
        os.mkdir(self.folder)
        for name, content in image.items():
            with open(os.path.join(self.folder, name), "wb") as f:
                f.write(content)

    def check(self, image, model, acked, what):
        self.write(image)
        self.images += 1
        self.process.stdin.write((self.folder + "\n").encode())
        self.process.stdin.flush()
        lines = []
        while True:
            words = self.process.stdout.readline().decode().split()
            if not words:
                raise AssertionError("%s: the store died: %d" % (what, self.process.wait()))
            if words[0] == "end":
                break
            if words[0] == "error":
                raise AssertionError("%s: %s" % (what, " ".join(words)))
            lines.append(words)
        model.check(lines, acked, what)

    def close(self):
        self.process.stdin.close()
        assert self.process.wait() == 0, "the checker ended badly"


# What is cut off, and what it must hold.
PROGRAMS = {"store": Model, "transfers": Ledger, "copies": Copies}


def diff(a, b):
    return {k: {x: y for x, y in v.items() if b.get(k, {}).get(x) != y} for k, v in a.items() if b.get(k) != v}


def traced(o, folder, trace, *args, fault=""):
    env = dict(os.environ, LD_PRELOAD=os.path.join(o.build, "shim.so"), POWER_DIR=folder, POWER_TRACE=trace, PAIL_FAULT=fault)
    r = subprocess.run([os.path.join(o.build, o.program)] + list(args), env=env, capture_output=True)
    assert r.returncode in (0, -9) if fault else r.returncode == 0, (args, r.stderr)
    return r.stdout.decode().splitlines(), r.returncode


def cuts(disk, all_events, rng, between):
    """The moments: (event number, kind), each with the disk as it is then."""
    for i, e in enumerate(all_events):
        at_sync = e[0] in "SDY" and e[1] != "acks"
        if at_sync or rng.random() < between:
            yield i, "before " + e[0]
        disk.take(*e)
        if at_sync:
            yield i, "behind " + e[0]


def one_run(o, seed, work):
    """Some lives, all but the last killed, some of them with a log that is written and not synced."""
    rng = random.Random(seed)
    data, trace = os.path.join(work, "data"), os.path.join(work, "trace")
    os.mkdir(data)
    checker = Checker(os.path.join(o.build, o.program), os.path.join(work, "image"))
    disk, model, again, killed, syncs, total = Disk(), None, 0, 0, 0, 0
    end = time.monotonic() + o.seconds
    share = 1.0
    for life in range(o.lives):
        point = rng.choice(("wal.sync", "wal.after_sync", "wal.before_retired", "checkpoint.before_commit", "checkpoint.before_recycle"))
        fault = "%s=kill#%d@%d" % (point, life, rng.randint(1, 60 if "sync" in point else 6)) if life + 1 < o.lives else ""
        lines, code = traced(o, data, trace, "run", data, str(seed + life), str(o.operations // o.lives), str(life), fault=fault)
        model = PROGRAMS[o.program](lines, model)
        all_events = list(events(trace))
        killed, syncs, total = killed + (code == -9), syncs + sum(e[0] in "SDY" for e in all_events), total + len(all_events)
        for i, when in cuts(disk, all_events, rng, o.between):
            if time.monotonic() > end:
                share = 0.05  # no time for all of them: some until the end
            if rng.random() > share:
                continue
            for how in ("all", "none", "some", "some") if disk.unsure() else ("all",):
                what = "seed %d, life %d, %s event %d of %d, %s" % (seed, life, when, i, len(all_events), how)
                image = disk.image(how, rng)
                checker.check(image, model, disk.acked, what)
                if rng.random() < o.again:
                    cut_again(o, checker, model, disk.acked, image, work, rng, what)
                    again += 1
    checker.close()
    print("# %s, seed %d: %d lives, %d of them killed; %d events, %d syncs; %d images%s, %d of recoveries cut off in turn"
          % (o.program, seed, o.lives, killed, total, syncs, checker.images, "" if share == 1.0 else " (not all: no time)", again))
    return checker.images


def cut_again(o, checker, model, acked, image, work, rng, what):
    """The recovery is cut off too."""
    data, trace = os.path.join(work, "again"), os.path.join(work, "trace-again")
    shutil.rmtree(data, ignore_errors=True)
    os.mkdir(data)
    for name, content in image.items():
        with open(os.path.join(data, name), "wb") as f:
            f.write(content)
    disk = Disk()
    disk.load(data)
    traced(o, data, trace, "open", data)
    for i, when in cuts(disk, list(events(trace)), rng, 0.02):
        for how in ("none", "some"):
            checker.check(disk.image(how, rng), model, acked, "%s; recovery cut off %s event %d, %s" % (what, when, i, how))


def main():
    a = argparse.ArgumentParser()
    a.add_argument("--build", default="build/debug/tests/power")
    a.add_argument("--program", choices=PROGRAMS, help="this one alone; if left out, store, copies less, and transfers a third as often")
    a.add_argument("--seed", type=int, default=int(os.environ.get("PAIL_SEED", random.SystemRandom().randrange(1 << 32))))
    a.add_argument("--operations", type=int, default=3000)
    a.add_argument("--lives", type=int, default=6)
    a.add_argument("--runs", type=int, default=3)
    a.add_argument("--seconds", type=float, default=10)
    a.add_argument("--between", type=float, default=0.05)
    a.add_argument("--again", type=float, default=0.005)
    o = a.parse_args()
    o.build = os.path.abspath(o.build)
    images = 0
    chosen = [o.program] * o.runs if o.program else ["store"] * o.runs + ["transfers"] * -(-o.runs // 3) + ["copies"] * -(-o.runs * 2 // 3)
    for run, o.program in enumerate(chosen):
        with tempfile.TemporaryDirectory(prefix="pail-power-", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as work:
            try:
                images += one_run(o, o.seed + run, work)
            except AssertionError as e:
                print("# " + str(e)[:3000])
                print("not ok power_cuts (PAIL_SEED=%d)" % (o.seed + run))
                return 1
    print("ok power_cuts (%d images)" % images)
    return 0


if __name__ == "__main__":
    sys.exit(main())
