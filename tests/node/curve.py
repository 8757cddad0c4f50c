"""ZMTP 3.1 with CURVE by hand, step by step (ZeroMQ RFCs 23 and 26): what a program may say that libzmq would not."""
import ctypes
import ctypes.util
import os
import socket
import struct

from zmq.utils import z85

SODIUM = ctypes.CDLL("libsodium.so.23")  # libzmq's own
HELLO, WELCOME, INITIATE, READY, MESSAGE = b"\x05HELLO", b"\x07WELCOME", b"\x08INITIATE", b"\x05READY", b"\x07MESSAGE"


def box(plain, nonce, public, secret):
    out = ctypes.create_string_buffer(len(plain) + 16)
    assert SODIUM.crypto_box_easy(out, plain, ctypes.c_ulonglong(len(plain)), nonce, public, secret) == 0
    return out.raw


def unbox(sealed, nonce, public, secret):
    out = ctypes.create_string_buffer(max(1, len(sealed) - 16))
    assert SODIUM.crypto_box_open_easy(out, sealed, ctypes.c_ulonglong(len(sealed)), nonce, public, secret) == 0
    return out.raw[:len(sealed) - 16]


def pair():
    public, secret = ctypes.create_string_buffer(32), ctypes.create_string_buffer(32)
    SODIUM.crypto_box_keypair(public, secret)
    return public.raw, secret.raw


def greeting(mechanism=b"CURVE", as_server=0, major=3, minor=1, signature=b"\xff" + bytes(8) + b"\x7f"):
    return signature + bytes([major, minor]) + mechanism.ljust(20, b"\0") + bytes([as_server]) + bytes(31)


def frame(body, flags=4):
    """A frame; a command, if flags are not given."""
    return bytes([flags, len(body)]) + body if len(body) < 256 else bytes([flags | 2]) + struct.pack(">Q", len(body)) + body


def properties(**kw):
    return b"".join(bytes([len(k)]) + k.encode() + struct.pack(">I", len(v)) + v for k, v in kw.items())


class Hand:
    """One connection, with a pair of its own (of nobody, if none is given), and the server's public key.  Nothing is done by itself."""

    def __init__(self, endpoint, server, key=None, timeout=10):
        host, port = endpoint.removeprefix("tcp://").rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), timeout=timeout)
        self.server = z85.decode(server.encode())
        self.public, self.secret = (z85.decode(key.public.encode()), z85.decode(key.secret.encode())) if key else pair()
        self.short_public, self.short_secret = pair()
        self.nonce = 0
        self.sent = b""

    def close(self):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)
        self.sent += data

    def take(self, n):
        out = b""
        while len(out) < n:
            part = self.socket.recv(n - len(out))
            if not part:
                raise EOFError("closed after %d of %d bytes" % (len(out), n))
            out += part
        return out

    def take_frame(self):
        flags = self.take(1)[0]
        n = struct.unpack(">Q", self.take(8))[0] if flags & 2 else self.take(1)[0]
        return flags, self.take(n)

    def short_nonce(self):
        self.nonce += 1
        return struct.pack(">Q", self.nonce)

    # what is said, as bytes

    def hello(self):
        n = self.short_nonce()
        return frame(HELLO + b"\x01\x00" + bytes(72) + self.short_public + n +
                     box(bytes(64), b"CurveZMQHELLO---" + n, self.server, self.short_secret))

    def welcomed(self, body):
        assert body.startswith(WELCOME), body
        plain = unbox(body[24:], b"WELCOME-" + body[8:24], self.server, self.short_secret)
        self.short_server, self.cookie = plain[:32], plain[32:]

    def initiate(self, metadata=None):
        n, v = self.short_nonce(), os.urandom(16)
        vouch = box(self.short_public + self.server, b"VOUCH---" + v, self.short_server, self.secret)
        plain = self.public + v + vouch + (properties(**{"Socket-Type": b"DEALER", "Identity": b""}) if metadata is None else metadata)
        return frame(INITIATE + self.cookie + n + box(plain, b"CurveZMQINITIATE" + n, self.short_server, self.short_secret))

    def message(self, payload, flags=0):
        n = self.short_nonce()
        return frame(MESSAGE + n + box(bytes([flags]) + payload, b"CurveZMQMESSAGEC" + n, self.short_server, self.short_secret), 0)

    def opened(self, body):
        """What a message or ready has in it, without its flags."""
        if body.startswith(READY):
            return unbox(body[14:], b"CurveZMQREADY---" + body[6:14], self.short_server, self.short_secret)
        assert body.startswith(MESSAGE), body[:20]
        return unbox(body[16:], b"CurveZMQMESSAGES" + body[8:16], self.short_server, self.short_secret)[1:]

    # steps, each up to where the other side has answered

    def greet(self, **kw):
        self.send(greeting(**kw))
        self.take(64)
        return self

    def say_hello(self):
        self.send(self.hello())
        self.welcomed(self.take_frame()[1])
        return self

    def say_initiate(self, metadata=None):
        self.send(self.initiate(metadata))
        flags, body = self.take_frame()
        return self.opened(body)

    def open(self, metadata=None):
        self.greet().say_hello().say_initiate(metadata)
        return self

    def ask(self, payload):
        self.send(self.message(payload))
        return self.opened(self.take_frame()[1])
