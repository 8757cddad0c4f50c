"""A node's disk that can hang, be slow, be full, and lose its power; and a clock of its own pace: tests/disk, tests/clock.

	d = Disk(box, data)           # before the node starts, with env=d.env
	d.hang(); d.fill(); d.slow(0.01); d.heal()
	d.power_cut(random)           # when all its processes are dead: of what was not synced, any part is gone
"""
import os
import shutil
import struct
import subprocess

from lib import eq

UNDO = struct.Struct("=5Q")
SECTOR = 512


def build(*names):
    for name in names:
        r = subprocess.run(["make", "--no-print-directory", "build/" + name], capture_output=True)
        eq((0, b""), (r.returncode, r.stderr))


def preload(env, name):
    """env, with the library put before the node's others."""
    env["LD_PRELOAD"] = ":".join(filter(None, [env.get("LD_PRELOAD"), os.path.abspath("build/" + name)]))
    env["ASAN_OPTIONS"] = os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"


class Disk:
    def __init__(self, box, data, env=None, undo=False):
        build("disk.so")
        self.data, self.undo = data, box.folder("undo") if undo else None
        self.path = box.folder("disk")
        os.makedirs(data, exist_ok=True)
        self.state = [0, 0, 0]
        self.write()
        self.env = {} if env is None else env
        self.env.update({"DISK_STATE": self.path, "DISK_DIR": os.path.realpath(data)})
        if undo:
            os.makedirs(self.undo)
            self.env["DISK_UNDO"] = self.undo
        preload(self.env, "disk.so")

    def write(self):
        with open(self.path, "r+b" if os.path.exists(self.path) else "wb") as f:
            f.write(struct.pack("=iiii", *self.state, 0))

    def hang(self, yes=True):
        """No sync comes back."""
        self.state[0] = int(yes)
        self.write()

    def fill(self, yes=True):
        """No file grows, and nothing is free."""
        self.state[1] = int(yes)
        self.write()

    def slow(self, seconds):
        self.state[2] = int(seconds * 1e6)
        self.write()

    def heal(self):
        self.state = [0, 0, 0]
        self.write()

    def files(self):
        for folder, _, names in os.walk(self.data):
            for name in names:
                path = os.path.join(folder, name)
                if os.path.isfile(path):
                    yield os.stat(path).st_ino, path

    def power_cut(self, random):
        """How many sectors went back to what they were, and of how many that could have."""
        gone = all = 0
        for ino, path in self.files():
            journal = os.path.join(self.undo, str(ino))
            if not os.path.exists(journal):
                continue
            a, b = self.lose(path, unsynced(journal), random)
            gone, all = gone + a, all + b
        shutil.rmtree(self.undo)
        os.makedirs(self.undo)
        return gone, all

    def lose(self, path, writes, random):
        """Each sector is as it was before any of the writes to it, or as it is: disks keep no order."""
        before = {}  # of a sector: its bytes before each write, None where the file ended before
        for offset, n, old in writes:
            for at in range(offset // SECTOR, (offset + n - 1) // SECTOR + 1):
                a, b = max(offset, at * SECTOR), min(offset + n, (at + 1) * SECTOR)
                some = old[a - offset:b - offset]
                before.setdefault(at, []).append((a, some + bytes(b - a - len(some))))
        # Some disks lose all that they may, some next to nothing.
        share, gone = random.choice((1, 1, 0.5, 0.05)), 0
        with open(path, "r+b") as f:
            for at, versions in before.items():
                if random.random() >= share:
                    continue
                for a, some in reversed(versions[random.randrange(len(versions)):]):
                    f.seek(a)
                    f.write(some)
                gone += 1
        return gone, len(before)


def unsynced(journal):
    """(offset, n, old bytes) of each write that no sync was behind, in order."""
    with open(journal, "rb") as f:
        data = f.read()
    writes, synced, at = [], 0, 0
    while at + UNDO.size <= len(data):
        kind, offset, n, old, of_itself = UNDO.unpack_from(data, at)
        begin, at = at, at + UNDO.size
        if kind == ord("S"):
            synced = max(synced, offset)
            continue
        if not of_itself:
            writes.append((begin, offset, n, data[at:at + old]))
        at += old
    return [w[1:] for w in writes if w[0] >= synced]


class Clock:
    """A node's clocks: its wall clock steps, it was suspended, its pace is another."""

    def __init__(self, box, env=None, ppm=0):
        build("clock.so")
        self.path = box.folder("clock")
        self.wall_ms, self.asleep_ms, self.ppm = 0, 0, ppm
        self.write()
        self.env = {} if env is None else env
        self.env["PAIL_CLOCK"] = self.path
        preload(self.env, "clock.so")

    def write(self):
        with open(self.path, "r+b" if os.path.exists(self.path) else "wb") as f:
            f.write(struct.pack("=qqq", self.wall_ms, self.asleep_ms, self.ppm))

    def step(self, ms):
        self.wall_ms = ms
        self.write()

    def slept(self, seconds):
        """While all processes stand still: it was a suspend of the machine, for so much of that time."""
        self.asleep_ms += int(seconds * 1000)
        self.write()
