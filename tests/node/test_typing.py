"""pail shell at a terminal: keys at any moment, and what becomes of them in the store."""
import fcntl
import os
import signal
import struct
import subprocess
import termios

import lib
from lib import eq, test, until
from test_shell import Terminal, piped

QUIET = {"ASAN_OPTIONS": "detect_leaks=0"}  # libedit never frees the names of added functions


class Shell:
    """A shell at a terminal, told by what it does to the node whether it has read something."""

    def __init__(self, box, node, env=None):
        self.client, self.marks = node.client(), 0
        self.node = node
        env = dict(QUIET, PAIL_HISTORY=os.path.join(box.dir, "history"), **(env or {}))
        self.t = Terminal(box, lib.BUILD + "/pail", "--node", node.endpoint, "--timeout", "20000", "shell", env=env)
        self.ready()

    def ready(self):
        """Keys are taken one by one."""
        until(lambda: not termios.tcgetattr(self.t.fd)[3] & termios.ICANON, 10, "keys to be taken")

    def type(self, *pieces):
        for p in pieces:
            os.write(self.t.fd, p if isinstance(p, bytes) else p.encode())

    def swallow(self):
        """Read what it writes, so that it can write on."""
        os.set_blocking(self.t.fd, False)
        try:
            self.t.text += os.read(self.t.fd, 65536).decode(errors="replace")
        except (BlockingIOError, OSError):
            pass
        os.set_blocking(self.t.fd, True)

    def mark(self):
        """A line whose effect can be seen: whatever was typed before it has been read by then."""
        self.marks += 1
        name = "mark%d" % self.marks
        self.type("create %s\n" % name)

        def there():
            self.swallow()
            return name.encode() in self.buckets()
        until(there, 10, "the shell to go on")
        self.ready()

    def buckets(self):
        return self.client.call("buckets", {"limit": 10000})["items"]

    def keys(self, bucket):
        return [i[0] for i in self.client.call("scan", bucket)["items"]]

    def alive(self):
        eq((0, 0), os.waitpid(self.t.pid, os.WNOHANG))


def is_there(name, shell):
    return name.encode() in shell.buckets()


@test()
def interrupting_a_line_does_nothing(box):
    """^C leaves the line, whatever it is in: no bucket goes, none comes."""
    n = box.node()
    c = n.client()
    c.call("create", "fruit")
    s = Shell(box, n)
    s.type(" drop fruit")  # a line whose first character is a blank, and the very first one
    s.t.expect("drop fruit")
    s.type("\x03")
    s.t.expect("pail>")
    s.ready()
    assert is_there("fruit", s), "the line was run without its first character"
    s.type("drop none\n")
    s.t.expect("none\r\n")
    s.t.expect("pail>")
    s.ready()
    c.call("create", "none")
    s.type("\x03")  # an empty line
    s.t.expect("pail>")
    s.ready()
    s.mark()
    assert is_there("none", s), "an empty line ran the last command again"
    s.type(" drop fruit\x03")  # all of a sudden
    s.mark()
    assert is_there("fruit", s)
    s.type("xdrop fruit", "\x03")
    s.mark()
    s.type("drop fruit", "\x01", "\x03")  # the cursor at its begin
    s.mark()
    s.type("drop fruit", "\x02\x02\x02", "\x03")  # and in the middle
    s.mark()
    assert is_there("fruit", s)
    # an empty line: the last command is not run again
    before = n.status()["totals"]["by_method"]["create"]
    s.type("\x03\x03\x03")
    s.mark()
    eq(before + 1, n.status()["totals"]["by_method"]["create"])
    # with the line of the history that was fetched, or found
    s.type("drop other\n")
    s.mark()
    c.call("create", "other")
    s.type("\x1b[A", "\x1b[A", "\x03")
    s.mark()
    s.type("\x12other", "\x03")
    s.mark()
    s.type("\x12other", "\x07", "\x03")
    s.mark()
    assert is_there("other", s), "a line of the history was run"
    # within a quote, in the middle of a character, and after completion
    s.type("drop 'fru", "\x03")
    s.mark()
    s.type(b"drop fruit\xc3", "\x03")
    s.mark()
    s.type("drop fru\t", "\x03")
    s.mark()
    assert is_there("fruit", s)
    s.type("drop fruit", "\x03", "\x7f\x7f", "\x03", "create after\n")
    s.mark()
    assert is_there("fruit", s) and is_there("after", s)
    s.alive()


@test()
def interrupting_a_command_ends_the_wait(box):
    """^C while a command waits for its reply: the shell goes on, at once."""
    n = box.node("--set", "node.workers=1")
    s = Shell(box, n)
    s.mark()
    pid = n.workers()[0]["pid"]
    os.kill(pid, signal.SIGSTOP)
    try:
        s.type("create waits\n")
        until(lambda: n.workers()[0]["queue"] > 0, 5, "the request to be in the ring")
        s.type("\x03")
        s.ready()
        s.alive()
        s.type("node\n")  # needs no worker
        s.t.expect(n.endpoint)
        s.ready()
    finally:
        os.kill(pid, signal.SIGCONT)
    s.mark()
    # a long list is left in its middle
    c = s.client
    c.call("create", "long")
    for i in range(0, 3000, 1000):
        ids = c.send(*[("put", "long", "key%05d" % k, b"v" * 300) for k in range(i, i + 1000)])
        for k in ids:
            c.result(k)
    s.type("scan long --all\n")
    s.t.expect("key00001")
    s.type("\x03")
    s.mark()
    s.alive()


@test()
def characters_beyond_ascii_are_kept(box):
    """Typed at a terminal, whatever the locale says; from a pipe; as an argument."""
    n = box.node()
    n.client().call("create", "fruit")
    for i, locale in enumerate(({"LC_ALL": "C"}, {"LC_ALL": "C.UTF-8"}, {"LC_ALL": "", "LC_CTYPE": "", "LANG": ""}, {"LC_ALL": "xx_YY.UTF-8"})):
        s = Shell(box, n, locale)
        s.type("put fruit Z\u00fcrich%d \u65e5\u672c\U0001f34e\n" % i)
        s.mark()
        eq(["\u65e5\u672c\U0001f34e".encode(), 0], s.client.call("get", "fruit", "Z\u00fcrich%d" % i)[:1] + [0])
        s.type("drop mark1\n")
        until(lambda: not is_there("mark1", s))
        # bytes that are no text are not taken for others, nor for the end
        s.type(b"put fruit la\xffst 1\n")
        s.mark()
        eq([b"1"], s.client.call("get", "fruit", "last")[:1])
        s.type("drop mark2\n")
        until(lambda: not is_there("mark2", s))
        s.alive()
        s.t.close()
        box.undo.remove(s.t.close)
    code, out, err = piped(box, n, "get fruit Z\u00fcrich0\n")
    eq((0, "\u65e5\u672c\U0001f34e\n", ""), (code, out, err))
    r = box.pail(n, "scan", "fruit", "--prefix", "Z")
    assert "Z\u00fcrich0".encode() in r.stdout and "\u65e5\u672c\U0001f34e".encode() in r.stdout, r.stdout


@test()
def pasted_and_long_lines_are_whole(box):
    n = box.node()
    n.client().call("create", "b")
    s = Shell(box, n)
    s.type("".join("put b key%d v%d\n" % (i, i) for i in range(30)))
    s.mark()
    eq(sorted(b"key%d" % i for i in range(30)), s.keys("b"))
    # longer than any buffer of a terminal's line, and than libedit's first one
    value = "0123456789" * 900
    s.type("put b long ")
    for i in range(0, len(value), 300):
        s.type(value[i:i + 300])
        s.swallow()
    s.type("\n")
    s.mark()
    eq(value.encode(), s.client.call("get", "b", "long")[0])
    s.alive()


@test()
def a_window_may_change_its_size(box):
    n = box.node()
    n.client().call("create", "b")
    s = Shell(box, n)
    for i, (rows, columns) in enumerate(((10, 20), (50, 200), (3, 5), (24, 80))):
        s.type("put b si")
        fcntl.ioctl(s.t.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        os.kill(s.t.pid, signal.SIGWINCH)
        os.kill(s.t.pid, signal.SIGWINCH)
        s.type("ze%d %d\n" % (i, columns))
        s.mark()
        eq(str(columns).encode(), s.client.call("get", "b", "size%d" % i)[0])
    # stopped and continued in the middle of a line
    s.type("put b sto")
    os.kill(s.t.pid, signal.SIGSTOP)
    os.kill(s.t.pid, signal.SIGCONT)
    s.type("pped 1\n")
    s.mark()
    eq(b"1", s.client.call("get", "b", "stopped")[0])
    s.alive()


@test()
def the_end_of_input_runs_no_half_line(box):
    n = box.node()
    n.client().call("create", "fruit")
    s = Shell(box, n)
    s.type("drop fruit", "\x04")  # the end key within a line is none
    s.type("\x03")
    s.mark()
    s.type("drop fruit")
    s.swallow()
    os.close(s.t.fd)  # the terminal goes
    s.t.fd = os.open("/dev/null", os.O_RDONLY)
    until(lambda: os.waitpid(s.t.pid, os.WNOHANG)[0], 10, "the shell to end")
    assert is_there("fruit", s)
    s = Shell(box, n)
    s.type("\x04")
    eq(0, os.waitstatus_to_exitcode(os.waitpid(s.t.pid, 0)[1]))


@test()
def a_shell_measures_too(box):
    """bench in a shell has connections of its own, and leaves the shell's alone."""
    n = box.node()
    code, out, err = piped(box, n, "create b\nbench --requests 500 --clients 3 --keys 10 -o json\ncount b\n"
                                   "bench --requests 10 --keys 10 --clients 1 -o json\nping\n", "-o", "raw")
    eq((0, ""), (code, err))
    assert out.startswith("true\n{") and out.endswith('pong"\n'), out
    eq([b"b"], n.client().call("buckets")["items"])


@test()
def a_piped_shell_answers_line_by_line(box):
    n = box.node()
    code, out, err = piped(box, n, "create b\nput b a 1\nput b c ''\nget b a\nget b c\nget b a -o raw\ncount b\n")
    eq((0, ["created", "version 2", "version 3", "1", "", "1", "2", ""], ""), (code, out.split("\n"), err))
    # the value of a put is on its line: what follows is no value
    code, out, err = piped(box, n, "put b k\nget b a\n")
    eq((2, "1\n"), (code, out))
    assert "the value must be given" in err, err
    code, out, err = piped(box, n, "put b nul\0byte 1\ncount b\n")
    eq((2, "2\n"), (code, out))
    assert "NUL" in err, err
    # any byte by escapes, but not within single quotes
    code, out, err = piped(box, n, r"""put b \x00\xff\x5c "a\x0ab"
put b '\x41' literal
scan b --prefix \x00 -o json
get b "\x00\xff\\" -o json
""")
    eq((0, ""), (code, err))
    c = n.client()
    eq([b"a\nb"], c.call("get", "b", b"\0\xff\\")[:1])
    eq([b"literal"], c.call("get", "b", "\\x41")[:1])
    assert out.count('a\\u000ab') == 2, out
