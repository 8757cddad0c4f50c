"""A node that a test plays: a ROUTER that notes what comes and answers as it is told."""
import threading

import msgpack
import zmq


class Played:
    """answer(method, params) gives the result of each request; hello and ping are answered by themselves.

    `requests` are [method, params] in the order in which they came, hello left out; `frames` their bytes.
    """

    def __init__(self, box, answer, port=None):
        self.answer = answer
        self.requests, self.frames = [], []
        self.socket = zmq.Context.instance().socket(zmq.ROUTER)
        self.socket.linger = 0
        if port:
            self.socket.bind("tcp://127.0.0.1:%d" % port)
        self.endpoint = "tcp://127.0.0.1:%d" % (port or self.socket.bind_to_random_port("tcp://127.0.0.1"))
        self.end = False
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()
        box.undo.append(self.close)

    def close(self):
        self.end = True
        self.thread.join()
        self.socket.close()

    def reply(self, msgid, method, params):
        if method in ("hello", "ping"):
            return [1, msgid, None, {} if method == "hello" else "pong"]
        self.requests.append([method, params])
        result = self.answer(method, params)
        if isinstance(result, Exception):
            return [1, msgid, list(result.args), None]
        return [1, msgid, None, result]

    def serve(self):
        while not self.end:
            if not self.socket.poll(20):
                continue
            who, *frames = self.socket.recv_multipart()
            for frame in frames:
                u = msgpack.Unpacker(raw=False, strict_map_key=False)
                u.feed(frame)
                for _, msgid, method, params in u:
                    if method not in ("hello", "ping"):
                        self.frames.append(frame)
                    self.socket.send_multipart([who, msgpack.packb(self.reply(msgid, method, params))])
