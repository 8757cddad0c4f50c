"""Network namespaces on one network, each way between two of which can be cut, slowed, made lossy, or held.

As wire.py, for any number: each namespace has a TUN device, and a thread here carries the packets.  It is the slowest
part of whatever runs there, so nothing that goes over it is measured.
"""
import fcntl
import heapq
import os
import random
import select
import struct
import subprocess
import threading
import time
from contextlib import contextmanager

from wire import IFF_NO_PI, IFF_TUN, TUNSETIFF, Way, run, setns


class Net:
    def __init__(self, box, names):
        tag = "%x" % random.SystemRandom().randrange(1 << 24)
        self.names = list(names)
        self.spaces = {n: "pail-%s-%s" % (tag, n) for n in names}
        self.hosts = {n: "10.99.0.%d" % (i + 1) for i, n in enumerate(names)}
        self.ways = {(a, b): Way() for a in names for b in names if a != b}
        self.random = random.Random(box.seed)
        self.home = os.open("/proc/self/ns/net", os.O_RDONLY)
        self.tun, self.of = {}, {}
        for n in names:
            run("ip", "netns", "add", self.spaces[n])
            box.undo.append(lambda space=self.spaces[n]: subprocess.run(["ip", "netns", "del", space], capture_output=True))
            with self.within(n):
                fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
                fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", b"wire", IFF_TUN | IFF_NO_PI))
            self.tun[n], self.of[fd] = fd, n
            for cmd in ("link set lo up", "addr add %s/24 dev wire" % self.hosts[n], "link set wire mtu 1500 up"):
                run("ip", "-n", self.spaces[n], *cmd.split())
        self.at = {bytes(map(int, self.hosts[n].split("."))): n for n in names}
        self.end = False
        self.bytes = {way: 0 for way in self.ways}  # that were handed over, IP's headers included
        self.thread = threading.Thread(target=self.carry, daemon=True)
        self.thread.start()
        box.undo.append(self.close)

    @contextmanager
    def within(self, name):
        """What this thread opens meanwhile is in that namespace."""
        there = os.open("/run/netns/" + self.spaces[name], os.O_RDONLY)
        setns(there)
        try:
            yield
        finally:
            setns(self.home)
            os.close(there)

    def inside(self, name):
        """A command to run another by."""
        return ["ip", "netns", "exec", self.spaces[name]]

    def close(self):
        self.end = True
        self.thread.join()
        for fd in self.tun.values():
            os.close(fd)
        os.close(self.home)

    # ---- what is done to it; `among` leaves others out of it ----

    def clear(self):
        for w in self.ways.values():
            w.clear()

    def between(self, name, among=None):
        """Both ways between one and all others, or some of them."""
        others = [n for n in (among or self.names) if n != name]
        return [self.ways[x] for n in others for x in ((name, n), (n, name))]

    def island(self, name, among=None):
        for w in self.between(name, among):
            w.drop = True

    def cut(self, a, b):
        self.ways[a, b].drop = self.ways[b, a].drop = True

    def deaf(self, a, b):
        """What b sends does not reach a."""
        self.ways[b, a].drop = True

    def slow(self, name, seconds, among=None):
        for w in self.between(name, among):
            w.delay_s = seconds

    def lossy(self, name, share, among=None):
        for w in self.between(name, among):
            w.loss = share

    # ---- the thread ----

    def put(self, fd, packet):
        try:
            os.write(fd, packet)
        except OSError:
            pass  # a full queue loses packets, as any wire does

    def carry(self):
        late, held, n = [], [], 0
        poll = select.poll()
        for fd in self.of:
            poll.register(fd, select.POLLIN)
        while not self.end:
            wait = max(0, late[0][0] - time.monotonic()) if late else 0.02
            for fd, _ in poll.poll(min(wait, 0.02) * 1000):
                for _ in range(64):
                    try:
                        packet = os.read(fd, 65536)
                    except BlockingIOError:
                        break
                    to = self.at.get(packet[16:20]) if packet[0] >> 4 == 4 else None
                    if to is None or to == self.of[fd]:
                        continue
                    n += 1
                    which = (self.of[fd], to)
                    way = self.ways[which]
                    if way.drop or (way.loss and self.random.random() < way.loss):
                        continue
                    self.bytes[which] += len(packet)
                    if way.hold:
                        held.append((way, self.tun[to], packet))
                    elif way.delay_s:
                        heapq.heappush(late, (time.monotonic() + way.delay_s, n, self.tun[to], packet))
                    else:
                        self.put(self.tun[to], packet)
            if held:
                for way, to, packet in held:
                    if not way.hold:
                        self.put(to, packet)
                held = [x for x in held if x[0].hold]
            now = time.monotonic()
            while late and late[0][0] <= now:
                _, _, to, packet = heapq.heappop(late)
                self.put(to, packet)
