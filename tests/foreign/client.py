"""pyzmq under asyncio."""
import asyncio
import sys

import msgpack
import zmq
import zmq.asyncio

ENDPOINT, MODE = sys.argv[1:]
BIG = bytes(range(256)) * 4096


def eq(want, got):
    assert want == got, "want %.200r, got %.200r" % (want, got)


class Client:
    def __init__(self):
        self.number, self.waiting, self.goaway = 0, {}, asyncio.Event()
        self.connect()

    def connect(self):
        self.socket = zmq.asyncio.Context.instance().socket(zmq.DEALER)
        self.socket.linger = 0
        self.socket.connect(ENDPOINT)
        self.goaway.clear()
        self.reader = asyncio.create_task(self.read())

    async def read(self):
        while True:
            for frame in await self.socket.recv_multipart():
                unpacker = msgpack.Unpacker(raw=False, max_buffer_size=1 << 28)
                unpacker.feed(frame)
                for m in unpacker:
                    if m[0] == 2:
                        self.goaway.set()
                    else:
                        self.waiting.pop(m[1]).set_result(m)

    def close(self):
        self.reader.cancel()
        self.socket.close()

    def ask(self, method, *params):
        self.number += 1
        self.waiting[self.number] = asyncio.get_running_loop().create_future()
        return self.waiting[self.number], msgpack.packb([0, self.number, method, params])

    async def many(self, *requests, frames=1):
        """The results of requests that are packed into so many frames."""
        asked = [self.ask(*r) for r in requests]
        n = -(-len(asked) // frames)
        await self.socket.send_multipart([b"".join(d for _, d in asked[i:i + n]) for i in range(0, len(asked), n)])
        replies = await asyncio.wait_for(asyncio.gather(*(f for f, _ in asked)), 20)
        for m in replies:
            eq(None, m[2])
        return [m[3] for m in replies]

    async def call(self, *request):
        return (await self.many(request))[0]


async def basics():
    c = Client()
    await c.call("create", "py")
    await c.many(*(("put", "py", "k%03d" % i, b"v%d" % i) for i in range(500)))
    got = await c.many(*(("get", "py", "k%03d" % i) for i in range(500)), frames=2)
    eq([b"v%d" % i for i in range(500)], [v for v, _ in got])
    # As many tasks as there are keys, all on one connection.
    got = await asyncio.gather(*(c.call("get", "py", "k%03d" % i) for i in range(500)))
    eq([b"v%d" % i for i in range(500)], [v for v, _ in got])
    await c.call("put", "py", "big", BIG)
    eq(BIG, (await c.call("get", "py", "big"))[0])
    c.close()
    s = zmq.asyncio.Context.instance().socket(zmq.REQ)
    s.linger = 0
    s.connect(ENDPOINT)
    await s.send(msgpack.packb([0, 1, "ping", []]) + msgpack.packb([0, 2, "count", ["py"]]))
    u = msgpack.Unpacker()
    u.feed(await asyncio.wait_for(s.recv(), 20))
    eq({1: "pong", 2: 501}, {m[1]: m[3] for m in u})
    s.close()


async def fresh(s):
    """The reply to the last request: a late one to one before wakes asyncio, and then there is nothing to receive."""
    while True:
        try:
            return await asyncio.wait_for(s.recv(), 10)
        except zmq.Again:
            await asyncio.sleep(0)


async def correlate():
    s = zmq.asyncio.Context.instance().socket(zmq.REQ)
    s.linger = 0
    s.setsockopt(zmq.REQ_CORRELATE, 1)
    s.setsockopt(zmq.REQ_RELAXED, 1)
    s.connect(ENDPOINT)
    await s.send(msgpack.packb([0, 1, "count", ["no such bucket"]]))  # given up: its reply is skipped
    for i in range(2, 12):
        await s.send(msgpack.packb([0, i, "ping", []]))
        eq([1, i, None, "pong"], msgpack.unpackb(await fresh(s)))
    s.close()


async def steady():
    c = Client()
    await c.call("create", "steady")
    print("ready", flush=True)
    n, left = 0, None
    while left != 0:
        if c.goaway.is_set():
            c.close()
            c.connect()
            left = 50
        await c.call("put", "steady", "k%06d" % n, "v")
        n += 1
        left = left and left - 1
    c.close()
    print("done", n)


asyncio.run({"basics": basics, "correlate": correlate, "steady": steady}[MODE]())
