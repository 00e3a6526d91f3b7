#!/usr/bin/python3
"""A real redis-server on loopback, for tests and for the local fleet, and a client of a few lines to look into it.

usage: redis.py run FOLDER [--port-file FILE] [--user NAME] [--password TEXT]

run     starts a server that keeps nothing, prints its URL on one line when it serves (FILE gets the same line), and runs
        until its standard input ends or it is terminated.
"""
import argparse
import os
import socket

import service


class RedisError(Exception):
    """What the server answered in place of a reply."""


class Client:
    """One connection. Replies are bytes, int, None or lists of them."""

    def __init__(self, address, user=None, password=None, timeout=5):
        kind = socket.AF_INET if isinstance(address, tuple) else socket.AF_UNIX
        self.connection = socket.socket(kind)
        self.connection.settimeout(timeout)
        self.file = self.connection.makefile("rb")
        try:
            self.connection.connect(address)
            if password is not None:
                self.ask("AUTH", *([user] if user else []), password)
        except (OSError, RedisError):
            self.close()
            raise

    def ask(self, *words):
        coded = [word if isinstance(word, bytes) else str(word).encode() for word in words]
        self.connection.sendall(b"*%d\r\n" % len(coded) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in coded))
        return self.reply()

    def reply(self):
        line = self.file.readline()
        if not line.endswith(b"\r\n"):
            raise OSError("Redis closed the connection")
        kind, rest = line[:1], line[1:-2]
        if kind == b"+":
            return rest
        if kind == b"-":
            raise RedisError(rest.decode())
        if kind == b":":
            return int(rest)
        if kind == b"$":
            return None if rest == b"-1" else self.file.read(int(rest) + 2)[:-2]
        if kind == b"*":
            return None if rest == b"-1" else [self.reply() for _ in range(int(rest))]
        raise OSError("Redis answered %r" % line)

    def hash(self, key):
        """A hash as a dictionary of text; empty where there is none."""
        flat = [item.decode() for item in self.ask("HGETALL", key)]
        return dict(zip(flat[::2], flat[1::2]))

    def close(self):
        self.file.close()
        self.connection.close()


class Redis(service.Service):
    """`url` and `unix_url` are what RedisUrl wants; the password is for RedisPasswordFile. `user` needs `password`; without
    it the password is that of everybody."""

    name = "redis"

    def __init__(self, folder=None, user=None, password=None):
        super().__init__(folder)
        self.port = service.free_port()
        self.user = user
        self.password = password
        self.socket = os.path.join(self.folder, "redis.sock")
        self.log = os.path.join(self.folder, "redis.log")

    @property
    def url(self):
        return "redis://%s127.0.0.1:%d/0" % (self.user + "@" if self.user else "", self.port)

    @property
    def unix_url(self):
        return "unix://%s?db=0" % self.socket

    def logs(self):
        return [self.log, self.output]

    def command(self):
        lines = ["bind 127.0.0.1", "port %d" % self.port, "unixsocket %s" % self.socket, "unixsocketperm 700",
                 "dir %s" % self.folder, "logfile %s" % self.log, 'save ""', "appendonly no", "daemonize no"]
        if self.user:
            lines += ["user default off", "user %s on >%s ~* &* +@all" % (self.user, self.password)]
        elif self.password:
            lines.append("requirepass %s" % self.password)
        path = os.path.join(self.folder, "redis.conf")
        with open(path, "w", encoding="utf-8") as file:
            os.chmod(path, 0o600)
            file.writelines(line + "\n" for line in lines)
        return ["redis-server", path]

    def client(self, timeout=5):
        return Client(("127.0.0.1", self.port), self.user, self.password, timeout)

    def ask(self, *words):
        client = self.client()
        try:
            return client.ask(*words)
        finally:
            client.close()

    def hash(self, key):
        client = self.client()
        try:
            return client.hash(key)
        finally:
            client.close()

    def keys(self, pattern="*"):
        return sorted(key.decode() for key in self.ask("KEYS", pattern))

    def ttl(self, key):
        return self.ask("TTL", key)

    def is_ready(self):
        try:
            return self.ask("PING") == b"PONG"
        except (OSError, RedisError):
            return False

    # ---- faults; each has its way back ----

    def flush(self):
        self.ask("FLUSHALL")

    def fill(self):
        """No room for anything: every write is answered with OOM."""
        self.ask("CONFIG", "SET", "maxmemory-policy", "noeviction")
        self.ask("CONFIG", "SET", "maxmemory", "1")

    def unfill(self):
        self.ask("CONFIG", "SET", "maxmemory", "0")

    def make_replica(self):
        """Of a server that is not there: every write is answered with READONLY."""
        self.ask("REPLICAOF", "127.0.0.1", service.free_port())

    def make_master(self):
        self.ask("REPLICAOF", "NO", "ONE")


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    running = parser.add_subparsers(dest="command", required=True).add_parser("run")
    running.add_argument("folder")
    running.add_argument("--port-file")
    running.add_argument("--user")
    running.add_argument("--password")
    options = parser.parse_args()
    service.run(Redis(os.path.abspath(options.folder), options.user, options.password),
                lambda redis: redis.url + "\n", options.port_file)


if __name__ == "__main__":
    main()
