"""Nodes and clients with keys."""
import os

import zmq

from lib import Client


def pair():
    """A public and a secret key, Z85."""
    return tuple(k.decode() for k in zmq.curve_keypair())


class Key:
    def __init__(self, box, name, server=()):
        self.box, self.name = box, name
        self.public, self.secret = pair()
        self.path = os.path.join(box.dir, name + ".key")
        self.write(server)

    def write(self, server=()):
        with open(os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as f:
            f.write("name = %s\npublic = %s\nsecret = %s\n" % (self.name, self.public, self.secret))
            f.writelines("server = %s\n" % s for s in server)


class KeyedNodes:
    """A cluster whose nodes have keys, and clients that they know: {name: [right, ...]}, the same at each."""

    def __init__(self, box, tables, clients, more=None, start=True, **kw):
        self.box, self.clients = box, dict(clients)
        self.own = {n: Key(box, n) for n in tables}
        self.key = {n: Key(box, "client-" + n) for n in clients}
        self.file = os.path.join(box.dir, "clients")
        self.write()
        more = {n: dict((more or {}).get(n, {}), **{"security.key": self.own[n].path, "security.clients": self.file})
                for n in tables}
        self.nodes = box.cluster(tables, more=more, start=False, **kw)
        for node in self.nodes.values():
            node.keys = {n: k.public for n, k in self.own.items()}
            node.configure()
        if start:
            self.start()

    def start(self):
        for node in self.nodes.values():
            node.start(wait=False)
        for node in self.nodes.values():
            node.wait_ready()

    def write(self):
        """The file of clients, as self.clients says."""
        with open(self.file + ".new", "w") as f:
            f.write("# who, with which key, may what\n")
            f.writelines("%s %s %s\n" % (n, self.key[n].public, " ".join(r)) for n, r in self.clients.items())
        os.rename(self.file + ".new", self.file)

    def connect(self, node, name, port="client", **kw):
        """As one of the clients; or with another key, as `key`."""
        return connect(self.box, self.nodes[node].endpoint if port == "client" else self.nodes[node].peer,
                       kw.pop("key", None) or self.key[name], kw.pop("server", None) or self.own[node].public, **kw)


def curve(key, server):
    """The options of a socket with that pair, which believes that node."""
    return {zmq.CURVE_PUBLICKEY: key.public.encode(), zmq.CURVE_SECRETKEY: key.secret.encode(),
            zmq.CURVE_SERVERKEY: server.encode()}


def connect(box, endpoint, key, server, req=False):
    c = Client(endpoint, req, options=curve(key, server))
    box.clients.append(c)
    return c
