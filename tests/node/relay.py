"""TCP connections that can be cut and stalled: what stands between clients and nodes, and between nodes."""
import select
import socket
import struct
import threading
import time

MOST = 1 << 20  # bytes that wait in one direction


class Line:
    """Connections to one port on their way to another."""

    def __init__(self, target):
        host, port = target.removeprefix("tcp://").rsplit(":", 1)
        self.target = (host, int(port))
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=100)
        self.listener.setblocking(False)
        self.endpoint = "tcp://127.0.0.1:%d" % self.listener.getsockname()[1]
        self.pairs, self.waiting = {}, {}  # a socket's other end; what waits to be sent on it
        self.refused_until = self.stalled_until = 0

    def accept(self):
        s, _ = self.listener.accept()
        if time.monotonic() < self.refused_until:
            reset(s)
            return
        try:
            other = socket.create_connection(self.target, timeout=1)
        except OSError:
            reset(s)
            return
        for x, y in ((s, other), (other, s)):
            x.setblocking(False)
            x.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.pairs[x], self.waiting[x] = y, b""

    def close(self, s):
        for x in (s, self.pairs.get(s)):
            if x in self.pairs:
                del self.pairs[x], self.waiting[x]
                reset(x)

    def read(self, s):
        try:
            data = s.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.close(s)
            return
        other = self.pairs[s]
        self.waiting[other] += data
        self.write(other)

    def write(self, s):
        try:
            self.waiting[s] = self.waiting[s][s.send(self.waiting[s]):]
        except BlockingIOError:
            pass
        except OSError:
            self.close(s)


def reset(s):
    try:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    except OSError:
        pass
    s.close()


class Relay:
    """A thread that serves lines.  cut and stall may be called from another."""

    def __init__(self, box):
        self.lines, self.orders, self.end = [], [], False
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()
        box.undo.append(self.close)

    def line(self, target):
        line = Line(target)
        self.lines.append(line)
        return line

    def cut(self, line, seconds):
        """All its connections are reset, and none is taken for so long."""
        line.refused_until = time.monotonic() + seconds
        self.orders.append(line)

    def stall(self, line, seconds):
        """Nothing goes through for so long; then what has waited does."""
        line.stalled_until = time.monotonic() + seconds

    def close(self):
        self.end = True
        self.thread.join()
        for line in self.lines:
            for s in list(line.pairs):
                line.close(s)
            line.listener.close()

    def serve(self):
        while not self.end:
            while self.orders:
                line = self.orders.pop()
                for s in list(line.pairs):
                    line.close(s)
            now = time.monotonic()
            lines = [x for x in list(self.lines) if now >= x.stalled_until]
            of = {x.listener: x for x in lines}
            of.update((s, x) for x in lines for s in x.pairs)
            readable = [s for s, x in of.items() if s is x.listener or len(x.waiting[x.pairs[s]]) < MOST]
            writable = [s for s, x in of.items() if s is not x.listener and x.waiting[s]]
            ready = select.select(readable, writable, [], 0.01)
            for s in ready[0]:
                line = of[s]
                if s is line.listener:
                    line.accept()
                elif s in line.pairs:
                    line.read(s)
            for s in ready[1]:
                if s in of[s].pairs:
                    of[s].write(s)
