"""pail shell: from a pipe, and at a terminal."""
import os
import pty
import re
import select
import signal
import subprocess
import termios
import time

import lib
from lib import eq, test, until


def piped(box, node, text, *args):
    r = box.run(lib.BUILD + "/pail", "--node", node.endpoint, "shell", *args, input=text.encode())
    return r.returncode, r.stdout.decode(), r.stderr.decode()


@test()
def a_shell_works_from_a_pipe(box):
    n, other = box.node(), box.node("--set", "node.name=other")
    code, out, err = piped(box, n, "# a comment\n\ncreate fruit\nput fruit 'an apple' red\nget fruit an\\ apple -o json # so\ncount fruit\n")
    eq((0, 'created\nversion 2\n{"value":"red","version":2}\n1\n', ""), (code, out, err))
    # it goes on after an error, and says at the end that there was one
    code, out, err = piped(box, n, "get fruit none\nnonsense\nput fruit 'open\nping\n")
    eq((2, "pong\n"), (code, out))
    assert "not_found" in err and "unknown command: nonsense" in err and "an open quote" in err, err
    # another node from the middle on; exit ends it
    code, out, err = piped(box, n, "node\nnode %s\nstatus -o json\nexit\nping\n" % other.endpoint)
    eq(0, code)
    assert out.startswith(n.endpoint + "\n{") and '"node":"other"' in out and "pong" not in out, out
    code, out, err = piped(box, n, "help\nget --help\nshell\n")
    assert "make a bucket" in out and "usage: pail get" in out and "this is one already" in err
    # a node that goes and comes back is reached again
    p = subprocess.Popen([lib.BUILD + "/pail", "--node", n.endpoint, "--timeout", "3000", "shell"], stdin=subprocess.PIPE,
                         stdout=subprocess.PIPE)
    p.stdin.write(b"ping\n")
    p.stdin.flush()
    eq(b"pong\n", p.stdout.readline())
    n.kill()
    n.start()
    p.stdin.write(b"get fruit 'an apple' -o json\n")
    p.stdin.close()
    eq(b'{"value":"red","version":2}\n', p.stdout.readline())
    eq(0, p.wait(20 * lib.SLOW))


class Terminal:
    def __init__(self, box, *argv, env=None):
        pid, self.fd = pty.fork()
        if not pid:
            os.environ.update(env or {}, TERM="xterm")
            os.execv(argv[0], argv)
        self.pid, self.text = pid, ""
        box.undo.append(self.close)

    def close(self):
        try:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        except (ProcessLookupError, ChildProcessError):
            pass
        os.close(self.fd)

    def type(self, text):
        os.write(self.fd, text.encode())

    def expect(self, text):
        """Read until the text has been shown; what came up to it goes."""
        end = time.monotonic() + 10 * lib.SLOW
        while text not in self.text:
            if time.monotonic() > end:
                raise AssertionError("waited in vain for %r in %r" % (text, self.text))
            if select.select([self.fd], [], [], 0.1)[0]:
                data = os.read(self.fd, 65536).decode(errors="replace")
                self.text += re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", data)
        self.text = self.text[self.text.index(text) + len(text):]

    def prompt(self):
        """The prompt, and then the moment from which on keys are keys: libedit shows it a little before."""
        self.expect("pail foo> ")
        until(lambda: not termios.tcgetattr(self.fd)[3] & termios.ICANON, 10, "keys to be taken one by one")


@test()
def a_shell_completes_and_remembers(box):
    n = box.node("--set", "node.name=foo")
    c = n.client()
    for b in "fruit", "frugal", "vegetables":
        c.call("create", b)
    history = os.path.join(box.dir, "history")
    env = {"PAIL_HISTORY": history, "ASAN_OPTIONS": "detect_leaks=0"}  # libedit never frees the names of added functions
    t = Terminal(box, lib.BUILD + "/pail", "--node", n.endpoint, "shell", env=env)
    t.prompt()
    t.type("cou\tveg\t\n")
    t.expect("\n0\r\n")
    t.prompt()
    t.type("put fru\t\t")
    t.expect("frugal  fruit")
    t.type("i\tapple red\n")
    t.expect("version ")
    t.prompt()
    t.type("get half a li\x03")  # interrupted: a new line
    t.prompt()
    t.type("ping\n")
    t.expect("pong")
    t.prompt()
    t.type("\x1b[A\n")  # the line before once more
    t.expect("pong")
    t.prompt()
    t.type("\x04")
    eq(0, os.waitstatus_to_exitcode(os.waitpid(t.pid, 0)[1]))
    with open(history) as f:
        assert "fruit\\040apple" in f.read()  # as libedit writes it
    t = Terminal(box, lib.BUILD + "/pail", "--node", n.endpoint, "shell", env=env)
    t.prompt()
    t.type("\x1b[A\n")
    t.expect("pong")
    t.type("exit\n")
    eq(0, os.waitstatus_to_exitcode(os.waitpid(t.pid, 0)[1]))
