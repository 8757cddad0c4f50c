"""Two network namespaces, and between them a wire that can be cut, slowed, or made deaf one way.

Each namespace has a TUN device; a thread here carries the packets from one to the other.  That is what
`tc netem` does too, but in every kernel, and packets can also be held back and let go later.
"""
import ctypes
import fcntl
import heapq
import os
import random
import select
import struct
import subprocess
import threading
import time

TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 1, 0x1000
CLONE_NEWNET = 0x40000000
LIBC = ctypes.CDLL(None, use_errno=True)


def setns(fd):
    if LIBC.setns(fd, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


def run(*argv):
    subprocess.run(argv, check=True, capture_output=True)


class Way:
    """One direction: what happens to its packets."""

    def __init__(self):
        self.clear()

    def clear(self):
        self.drop, self.hold, self.delay_s, self.loss = False, False, 0, 0


class Wire:
    def __init__(self, box):
        tag = "%x" % random.SystemRandom().randrange(1 << 24)
        self.names = ["pail-%s-%s" % (tag, side) for side in "ab"]
        self.hosts = ["10.99.0.1", "10.99.0.2"]
        self.ways = [Way(), Way()]  # from a to b, from b to a
        self.random = random.Random(box.seed)
        self.tun = []
        home = os.open("/proc/self/ns/net", os.O_RDONLY)
        for name, host, peer in zip(self.names, self.hosts, reversed(self.hosts)):
            run("ip", "netns", "add", name)
            box.undo.append(lambda name=name: subprocess.run(["ip", "netns", "del", name], capture_output=True))
            there = os.open("/run/netns/" + name, os.O_RDONLY)
            setns(there)
            try:
                fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
                fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", b"wire", IFF_TUN | IFF_NO_PI))
            finally:
                setns(home)
                os.close(there)
            self.tun.append(fd)
            for cmd in ("link set lo up", "addr add %s peer %s dev wire" % (host, peer), "link set wire mtu 1500 up"):
                run("ip", "-n", name, *cmd.split())
        os.close(home)
        self.end = False
        self.thread = threading.Thread(target=self.carry, daemon=True)
        self.thread.start()
        box.undo.append(self.close)

    def close(self):
        self.end = True
        self.thread.join()
        for fd in self.tun:
            os.close(fd)

    def inside(self, side):
        return ["ip", "netns", "exec", self.names[side]]

    def clear(self):
        for w in self.ways:
            w.clear()

    def cut(self):
        for w in self.ways:
            w.drop = True

    def put(self, fd, packet):
        try:
            os.write(fd, packet)
        except (BlockingIOError, OSError):
            pass  # a full queue loses packets, as any wire does

    def carry(self):
        late, held, n = [], [[], []], 0
        while not self.end:
            wait = max(0, late[0][0] - time.monotonic()) if late else 0.02
            ready = select.select(self.tun, [], [], min(wait, 0.02))[0]
            for side in 0, 1:
                way, to = self.ways[side], self.tun[1 - side]
                if held[side] and not way.hold:
                    for packet in held[side]:
                        self.put(to, packet)
                    held[side] = []
                if self.tun[side] not in ready:
                    continue
                for _ in range(64):
                    try:
                        packet = os.read(self.tun[side], 65536)
                    except BlockingIOError:
                        break
                    n += 1
                    if way.drop or (way.loss and self.random.random() < way.loss):
                        continue
                    if way.hold:
                        held[side].append(packet)
                    elif way.delay_s:
                        heapq.heappush(late, (time.monotonic() + way.delay_s, n, to, packet))
                    else:
                        self.put(to, packet)
            now = time.monotonic()
            while late and late[0][0] <= now:
                _, _, to, packet = heapq.heappop(late)
                self.put(to, packet)
