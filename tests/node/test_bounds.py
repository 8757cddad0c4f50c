"""Nobody takes more than his share: of memory, of the node's time, of descriptors; and what is late is called so."""
import os
import signal
import socket
import time

import msgpack

import lib
from lib import eq, test, until
from test_abuse import Raw

BIG = 8 << 20
SPARE = 4 if "asan" in lib.BUILD else 1


def memory(pid, what="VmHWM"):
    """Of a process, in MiB; VmHWM is its peak."""
    with open("/proc/%d/status" % pid) as f:
        return int(next(line for line in f if line.startswith(what)).split()[1]) >> 10


def stopped(pid):
    with open("/proc/%d/stat" % pid) as f:
        return f.read().rsplit(")", 1)[1].split()[0] == "T"


@test("abuse")
def a_reply_after_its_time_is_late_and_not_corrupt(box):
    """The put has run and its time is over before its reply can be told: its record is gone when the reply comes."""
    n = box.node("--set", "node.workers=1", "--set", "supervisor.hang_ms=60000",
                 env={"PAIL_FAULT": "worker.before_hand=stop@2"})
    c = n.client()
    c.call("create", "b")
    pid = n.workers()[0]["pid"]
    i = c.send(("put", "b", "k", "v", {"timeout": 200}))[0]
    until(lambda: stopped(pid), 10, "the worker to stop before its put is synced")
    eq("timeout", c.wait(i)[2][0])
    until(lambda: n.workers()[0]["queue"] == 0, 10, "the record to be freed")
    os.kill(pid, signal.SIGCONT)
    eq(b"v", c.call("get", "b", "k")[0])
    w = n.workers()[0]
    eq((pid, 0), (w["pid"], w["restarts"]))


def requests(*rows):
    return b"".join(msgpack.packb([0, i, r[0], list(r[1:])]) for i, r in enumerate(rows))


def codes_of(frame):
    """How often each error, None for none, is in a frame of replies; and the frame's replies by msgid."""
    u, count, replies = msgpack.Unpacker(raw=False, max_buffer_size=1 << 30), {}, {}
    u.feed(frame)
    for m in u:
        code = m[2] and m[2][0]
        count[code] = count.get(code, 0) + 1
        replies[m[1]] = m
    return count, replies


def longest_wait(c, until_there, *asked):
    """The longest that a client waits who asks one thing after the other."""
    longest, k = 0, 0
    while not until_there():
        begin = time.monotonic()
        c.call(*asked[k % len(asked)], seconds=60)
        longest, k = max(longest, time.monotonic() - begin), k + 1
    return longest


@test("abuse")
def one_message_takes_no_more_than_its_client_may_leave_unread(box):
    """Reads of large values behind one delimiter: what is over the limit is busy, nobody is stalled, nobody killed."""
    n = box.node("--set", "node.workers=2")
    c = n.client()
    c.call("create", "b")
    c.call("put", "b", "k", b"x" * BIG)
    c.call("get", "b", "k")
    before = memory(n.process.pid)
    patient, base = {"timeout": 60000}, None
    for row, count in ((("get", "b", "k"), 16), (("get", "b", "k"), 4096), (("scan", "b"), 4096)):
        d = n.client()
        d.socket.send_multipart([b"", requests(*[row + (patient,)] * count)])
        wait = longest_wait(c, lambda: d.socket.poll(0), ("ping",), ("get", "b", "none", patient), ("put", "b", "other", "v", patient))
        delimiter, frame = d.socket.recv_multipart()
        codes, replies = codes_of(frame)
        eq((b"", count, {None, "busy"}), (delimiter, len(replies), set(codes)))
        eq(8, codes[None])  # that many are 64 MiB
        assert len(frame) < (66 << 20), len(frame)
        base = base or wait  # others wait for what is answered, not for what is asked
        assert wait < 2 * lib.SLOW + 5 * base, (wait, base)
        d.close()
    grown = memory(n.process.pid) - before
    assert grown < 128 * SPARE, grown
    eq([0, 0], [w["restarts"] for w in n.workers()])


@test("abuse")
def lists_and_states_are_reads_too(box):
    n = box.node("--set", "node.workers=2", "--set", "limits.unread=1M")
    c = n.client()
    ids = c.send(*[("create", "%05d" % i + "n" * 250) for i in range(2000)])
    for i in ids:
        c.result(i)
    before = memory(n.process.pid)
    for row in (("buckets", {"limit": 10000}), ("status",)):
        d = n.client()
        d.socket.send_multipart([b"", requests(*[row] * 4096)])
        assert longest_wait(c, lambda: d.socket.poll(0), ("ping",), ("count", "00000" + "n" * 250)) < 2 * lib.SLOW
        codes, replies = codes_of(d.socket.recv_multipart()[1])
        eq((4096, {None, "busy"}), (len(replies), set(codes)))
    assert memory(n.process.pid) - before < 100 * SPARE, memory(n.process.pid) - before


@test("abuse")
def a_write_has_room_for_its_reply_before_it_runs(box):
    n = box.node("--set", "limits.unread=64K")
    d = n.client()
    d.call("create", "b")
    d.socket.send_multipart([b"", requests(*[("put", "b", "k%d" % i, b"v") for i in range(2000)])])
    assert d.socket.poll(10000 * lib.SLOW)
    codes, replies = codes_of(d.socket.recv_multipart()[1])
    eq((2000, {None, "busy"}), (len(replies), set(codes)))
    done = {b"k%d" % i for i, m in replies.items() if m[2] is None}
    got = {k for k, _, _ in d.call("scan", "b", {"limit": 2000, "keys_only": True})["items"]}
    eq(done, got)


@test("abuse")
def what_gathers_is_not_held_against_who_cannot_read_it_yet(box):
    """A reply that waits for a slow worker longer than a client may leave replies unread."""
    n = box.node("--set", "node.workers=1", "--set", "limits.unread_ms=300", "--set", "supervisor.hang_ms=60000")
    d = n.client(req=True)
    d.call("create", "b")
    pid = n.workers()[0]["pid"]
    os.kill(pid, signal.SIGSTOP)
    ids = d.send(("ping",), ("put", "b", "k", "v", {"timeout": 60000}))
    time.sleep(1)  # that is three times as long
    os.kill(pid, signal.SIGCONT)
    eq("pong", d.result(ids[0]))
    assert d.result(ids[1]) > 0


@test("abuse")
def all_clients_together_leave_so_much_unread_and_no_more(box):
    n = box.node("--set", "limits.unread_total=64M", "--set", "limits.unread_ms=60000", "--set", "node.workers=2")
    c = n.client()
    c.call("create", "b")
    c.call("put", "b", "k", b"x" * BIG)
    before = memory(n.process.pid)
    raw = [Raw(box, n) for _ in range(24)]
    for r in raw:
        r.frame(requests(*[("get", "b", "k")] * 6))
    def busy():
        try:
            c.call("ping")
        except lib.Error as e:
            eq(("busy", "clients leave too many replies unread: try again later"), (e.code, e.text))
            return True
    until(busy, 20, "the node to be busy")
    eq("pong", n.client(admin=True).call("ping"))  # operators are served
    grown = memory(n.process.pid) - before
    assert grown < 64 + 2 * 16 + 64 * SPARE, grown  # the rings are touched too
    for r in raw:
        r.close()
    until(lambda: not busy(), 20, "the node to be free again")
    eq(BIG, len(c.call("get", "b", "k")[0]))


def flood(raws, data, limit, seconds=60):
    """Send it again and again over all of those connections until each is cut off or has sent so many bytes."""
    sent, alive, begin = {r: 0 for r in raws}, set(raws), time.monotonic()
    for r in raws:
        r.s.setblocking(False)
    while alive and time.monotonic() - begin < seconds * lib.SLOW:
        for r in list(alive):
            try:
                sent[r] += r.s.send(data[:limit - sent[r]])
            except BlockingIOError:
                pass
            except OSError:
                alive.discard(r)
            if sent[r] >= limit:
                alive.discard(r)
    assert not alive, "neither cut off nor done"
    return [sent[r] for r in raws]


def is_cut(r):
    r.s.settimeout(5 * lib.SLOW)
    try:
        return r.s.recv(1) == b""
    except ConnectionResetError:
        return True
    except TimeoutError:
        return False


TINY = b"\x01\x00" * 32768  # empty frames, each said to be followed by another


@test("abuse")
def tiny_frames_without_end_are_bounded_and_their_memory_goes_back(box):
    n = box.node("--set", "limits.message=4M", "--set", "limits.value=1M")
    c = n.client()
    c.call("ping")
    before = memory(n.process.pid)
    r = Raw(box, n)
    flood([r], TINY, 200 << 20)
    assert is_cut(r)
    assert memory(n.process.pid) - before < 350 * SPARE, memory(n.process.pid) - before
    eq("pong", c.call("ping"))
    if SPARE == 1:
        until(lambda: memory(n.process.pid, "VmRSS") < before + 64, 20, "the memory to be given back")


@test("abuse")
def all_connections_together_have_a_bound_of_unfinished_bytes(box):
    """Four that stay just below what one may have: the largest are cut off; when the others go, so does the memory."""
    n = box.node("--set", "limits.message=2M", "--set", "limits.value=1M")
    c = n.client()
    c.call("ping")
    before = memory(n.process.pid)
    raws = [Raw(box, n) for _ in range(4)]
    flood(raws, TINY, 2 << 20)
    until(lambda: "all together too many" in n.output(), 20, "some to be cut off")
    assert memory(n.process.pid) - before < 300 * SPARE, memory(n.process.pid) - before
    eq("pong", c.call("ping"))
    cut = [is_cut(r) for r in raws]
    assert 1 <= sum(cut) <= 3, cut
    for r in raws:
        r.close()
    if SPARE == 1:
        until(lambda: memory(n.process.pid, "VmRSS") < before + 64, 20, "the memory to be given back")


@test("abuse")
def many_large_values_at_a_time_are_no_flood(box):
    """Slow, honest clients, far more in all than small frames may have."""
    n = box.node()
    c = n.client()
    c.call("create", "b")
    raws = [Raw(box, n) for _ in range(8)]
    put = [msgpack.packb([0, 1, "put", ["b", "k%d" % i, bytes([i]) * BIG, {"timeout": 60000}]]) for i in range(len(raws))]
    half = len(put[0]) - 1000
    for r, data in zip(raws, put):
        r.s.sendall(b"\x02" + len(data).to_bytes(8, "big") + data[:half])
    time.sleep(1)  # ten looks of the node's
    for r, data in zip(raws, put):
        r.s.sendall(data[half:])
    for r in raws:
        r.s.settimeout(60 * lib.SLOW)
        error = msgpack.unpackb(r.reply(), raw=False)[2]
        assert error is None or error[0] == "busy", error  # so many at once fill the worker's queue
    assert "cut off" not in n.output()


@test("abuse")
def a_message_of_very_many_frames_is_too_large(box):
    """It is taken in parts; what follows it on the same connection is served."""
    n = box.node()
    r = Raw(box, n)
    r.s.sendall(TINY[2:] * 8 + b"\x00\x00")
    r.frame(requests(("ping",)))
    r.s.settimeout(60 * lib.SLOW)
    eq(b"", r.reply())  # the first of its frames was a delimiter
    eq("too_large", msgpack.unpackb(r.reply(), raw=False)[2][0])
    eq([1, 0, None, "pong"], msgpack.unpackb(r.reply(), raw=False))
    eq("pong", n.client().call("ping"))


def cpu_s(pid):
    with open("/proc/%d/stat" % pid) as f:
        return sum(map(int, f.read().rsplit(")", 1)[1].split()[11:13])) / os.sysconf("SC_CLK_TCK")


@test("abuse")
def without_file_descriptors_the_node_says_so_and_naps(box):
    n = box.node("--set", "node.workers=1", inside=["prlimit", "--nofile=160:160"])
    c = n.client()
    eq(True, c.call("create", "b"))
    eq(True, c.call("status")["files"]["accepting"])
    raws = []
    for _ in range(200):  # more than it can have; the kernel completes the others and lets them wait
        s = socket.create_connection(("127.0.0.1", n.port), 10 * lib.SLOW)
        s.sendall(Raw.GREETING[:10])
        raws.append(s)
    until(lambda: not c.call("status")["files"]["accepting"], 10, "the node to accept no more")
    assert "all 160 file descriptors are in use" in n.output()
    before, begin = cpu_s(n.process.pid), time.monotonic()
    time.sleep(1.5)  # while nothing is asked of it
    share = (cpu_s(n.process.pid) - before) / (time.monotonic() - begin)
    assert share < 0.1, share
    files = n.client(admin=True).call("status")["files"]  # operators have the reserve
    eq((False, 160, 1), (files["accepting"], files["limit"], files["pauses"]))
    n.kill_worker(0)  # so have workers
    until(lambda: c.call("status")["workers"][0]["restarts"] == 1 and c.call("status")["workers"][0]["state"] == "up", 20, "a new worker")
    assert c.call("put", "b", "k", "v") > 0
    for s in raws:
        s.close()
    eq("pong", n.client().call("ping", seconds=20))
    until(lambda: c.call("status")["files"]["accepting"], 10, "the node to go on")
    eq(1, n.output().count("file descriptors are free again"))


@test("limits")
def buckets_are_counted_for_the_node_and_not_by_worker(box):
    n = box.node("--set", "limits.buckets=100", "--set", "node.workers=5")
    c = n.client()
    for i in range(100):  # one after the other: there is nothing in flight to be over the limit
        eq(True, c.call("create", "b%d" % i))
    eq(("full", "the limit of 100 buckets is reached"), c.code("create", "one more"))
    eq(False, c.call("create", "b7"))
    eq(True, c.call("drop", "b7"))
    eq(True, c.call("create", "one more"))
    eq("full", c.code("create", "b7")[0])
    for i in range(5):
        n.kill_worker(i)
    n.up()
    eq("full", c.code("create", "b7")[0])
    # Many at once may be over it by what is in flight, and no more.
    ids = c.send(*[("drop", "b%d" % i) for i in range(50)])
    eq(49, sum(c.result(i) for i in ids))
    ids = c.send(*[("create", "c%d" % i) for i in range(400)])
    made = sum(c.wait(i)[2] is None for i in ids)
    assert 49 <= made <= 49 * 5, made
    eq("full", c.code("create", "the last")[0])
