"""pail-agent alone, as paild talks to it: messages of ipc/wire/agent_message.h over a pair of sockets."""
import os
import select
import socket
import subprocess
import time

import lib
import msgpack
from lib import eq, until

BEGIN, GET, CAS, LIST, LIVE, FOLLOW, CREATE, FLOOR, VALUE, OUTCOME, ITEMS, UNKNOWN, CHANGED, STATE = range(14)
STATES = ("up", "away", "set back", "wrong cluster")


class Answer:
    """value: key's value and mod_revision; outcome: also done; items: a dict; unknown: why."""

    def __init__(self, kind, revision=0, mod_revision=0, value=None, done=None, items=None, why=None):
        self.kind, self.revision, self.mod_revision, self.value = kind, revision, mod_revision, value
        self.done, self.items, self.why = done, items, why

    def __repr__(self):
        return "<%s %s>" % (("value", "outcome", "items", "unknown")[self.kind - VALUE],
                            {k: v for k, v in self.__dict__.items() if v is not None and k != "kind"})


def triples(flat):
    return {flat[i]: (flat[i + 1], flat[i + 2]) for i in range(0, len(flat), 3)}


class Agent:
    def __init__(self, box, endpoints, prefix="/pail/demo/", floor=0, cluster=0, ca="", cert="", cert_key="",
                 user="", password="", begin=True):
        self.box, self.next = box, 0
        self.answers, self.changes, self.states, self.parts = {}, [], [], {}
        self.revision = self.cluster = 0
        self.socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.log = open(os.path.join(box.dir, "agent-%d.log" % len(box.undo)), "ab+")
        self.process = subprocess.Popen(
            [lib.BUILD + "/pail-agent"], preexec_fn=lambda: os.dup2(theirs.fileno(), 3), pass_fds=[3],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        theirs.close()
        box.undo.append(self.close)
        if begin:
            self.send([BEGIN, prefix, endpoints.split(","), floor, cluster, ca, cert, cert_key, user, password])

    def close(self):
        """The pair ends, and so does the agent; what sanitizers say is an error."""
        self.socket.close()
        code = self.process.wait(10 * lib.SLOW)
        for sign in ("Sanitizer", "runtime error:", "check failed"):
            if sign in self.output():
                raise AssertionError(self.output()[:6000])
        return code

    def output(self):
        self.log.seek(0)
        return self.log.read().decode(errors="replace")

    def kill(self):
        self.process.kill()
        self.process.wait()

    def send(self, message):
        self.socket.send(msgpack.packb(message))

    # ---- asking: each returns an id ----

    def ask(self, kind, *rest):
        self.next += 1
        self.send([kind, self.next, *rest])
        return self.next

    def get(self, key):
        return self.ask(GET, key)

    def cas(self, key, compared, old, value):
        return self.ask(CAS, key, compared, old, value)

    def list(self, prefix, since=0):
        return self.ask(LIST, prefix, since)

    def create(self, guards, items):
        return self.ask(CREATE, [x for g in guards.items() for x in g], [x for i in items.items() for x in i])

    # ---- answers ----

    def take(self, seconds):
        """One message, or False: none came."""
        if not select.select([self.socket], [], [], seconds)[0]:
            return False
        try:
            data = self.socket.recv(1 << 17)
        except ConnectionResetError:  # it has not read all that it was sent
            data = b""
        if not data:
            raise AssertionError("the agent has ended, %s: " % self.process.wait() + self.output())
        assert len(data) <= 65536, len(data)
        m = msgpack.unpackb(data, raw=False, strict_map_key=False)
        kind = m[0]
        if kind == VALUE:
            self.answer(m[1], Answer(kind, m[2], m[3], m[4]))
        elif kind == OUTCOME:
            self.answer(m[1], Answer(kind, m[3], m[4], m[5], done=m[2]))
        elif kind == ITEMS:
            self.parts.setdefault(m[1], {}).update(triples(m[4]))
            if not m[2]:
                self.answer(m[1], Answer(kind, m[3], items=self.parts.pop(m[1])))
        elif kind == UNKNOWN:
            self.answer(m[1], Answer(kind, why=m[2]))
        elif kind == CHANGED:
            self.changes.append((m[1], m[2], m[3], triples(m[4])))
        else:
            eq(STATE, kind)
            self.states.append((STATES[m[1]], m[4]))
            self.revision, self.cluster = m[2], m[3]
        return True

    def answer(self, i, a):
        assert i not in self.answers and i <= self.next, "answered twice, or never asked: %d" % i
        self.answers[i] = a

    def wait(self, i, seconds=15):
        end = time.monotonic() + seconds * lib.SLOW
        while i not in self.answers:
            if not self.take(max(0, end - time.monotonic())) and time.monotonic() > end:
                raise AssertionError("no answer to %d; %s" % (i, self.output()))
        return self.answers[i]

    def until(self, condition, seconds=10, what="condition"):
        def looked():
            while self.take(0):
                pass
            return condition()
        return until(looked, seconds, what)

    def state(self):
        while self.take(0):
            pass
        return self.states[-1][0] if self.states else None
