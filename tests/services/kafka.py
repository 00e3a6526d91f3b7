#!/usr/bin/python3
"""A real Kafka broker on loopback (one node, KRaft), for tests and for the local fleet.

usage: kafka.py fetch
       kafka.py run FOLDER [--port-file FILE] [--tls-scram] [--property NAME=VALUE]...

fetch   downloads the broker's jars with Maven, once for this machine: into $NIFFLER_CACHE, or else
        ${XDG_CACHE_HOME:-~/.cache}/niffler-png. Does nothing when they are there.
run     starts a broker that keeps everything in FOLDER (a new or an empty one, or the one of an earlier run), prints
        host:port on one line when it serves, and runs until its standard input ends or it is terminated. FILE gets the same
        line. With --tls-scram a second line names a listener with TLS and SCRAM, and FOLDER/client.conf is for
        KafkaConfigFile.
"""
import argparse
import fcntl
import glob
import os
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time

import service

VERSION = "3.9.1"
POM = """<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>org.example.niffler</groupId>
  <artifactId>test-broker</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>%s</version></dependency>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka-tools</artifactId><version>%s</version></dependency>
    <dependency><groupId>org.slf4j</groupId><artifactId>slf4j-reload4j</artifactId><version>1.7.36</version></dependency>
    <dependency><groupId>ch.qos.reload4j</groupId><artifactId>reload4j</artifactId><version>1.2.25</version></dependency>
  </dependencies>
</project>
""" % (VERSION, VERSION)
COPY_DEPENDENCIES = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies"

LOG4J = """log4j.rootLogger=INFO, file
log4j.appender.file=org.apache.log4j.FileAppender
log4j.appender.file.File=%s
log4j.appender.file.layout=org.apache.log4j.PatternLayout
log4j.appender.file.layout.ConversionPattern=%%d %%p %%m (%%c)%%n
"""

PROPERTIES = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": "PLAINTEXT",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "4",
    "group.initial.rebalance.delay.ms": "0",  # 3 s by default
    "group.min.session.timeout.ms": "1000",
    "broker.session.timeout.ms": "2000",  # back 5 s after a SIGKILL, and not 19
    "broker.heartbeat.interval.ms": "400",
    "auto.create.topics.enable": "false",  # a wrong name of a topic must be an error
    "log.cleaner.dedupe.buffer.size": "2097152",
}

USER, PASSWORD = "fleet", "correct-horse"


# ---- the jars ----

def cache_folder():
    base = os.environ.get("NIFFLER_CACHE")
    if not base:
        base = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "niffler-png")
    return os.path.abspath(base)


def fetch():
    """Make sure that the jars are there, those of the command-line tools among them; -> their folder. Two that fetch at the same
    time download once."""
    cache = cache_folder()
    jars = os.path.join(cache, "kafka-and-tools-" + VERSION)
    if os.path.isdir(jars):
        return jars
    os.makedirs(cache, exist_ok=True)
    with open(os.path.join(cache, "lock"), "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if os.path.isdir(jars):
            return jars
        place = tempfile.mkdtemp(prefix="fetching-", dir=cache)
        try:
            download(place)
            os.rename(os.path.join(place, "jars"), jars)
        finally:
            shutil.rmtree(place, ignore_errors=True)
    return jars


def download(place):
    with open(os.path.join(place, "pom.xml"), "w", encoding="ascii") as file:
        file.write(POM)
    command = ["mvn", "-q", "-B", COPY_DEPENDENCIES, "-DincludeScope=runtime", "-DoutputDirectory=jars"]
    for attempt in (1, 2, 3):  # a mirror may fail once
        done = subprocess.run(command, cwd=place, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, errors="replace", check=False)
        if done.returncode == 0:
            break
        print("kafka.py: Maven, attempt %d: %s" % (attempt, done.stdout[-2000:]), file=sys.stderr)
    else:
        raise service.ServiceError("Maven cannot get the jars of Kafka %s:\n%s" % (VERSION, done.stdout[-4000:]))
    found = glob.glob(os.path.join(place, "jars", "kafka_2.13-%s.jar" % VERSION))
    if not found:
        raise service.ServiceError("Maven copied no kafka_2.13-%s.jar" % VERSION)


def java():
    found = shutil.which("java") or next(iter(sorted(glob.glob("/usr/lib/jvm/java-17-openjdk-*/bin/java"))), None)
    if not found:
        raise service.ServiceError("no java: deploy/install-packages.sh test installs it")
    return found


# ---- questions to the broker, in its own protocol: whether it serves, without a client library ----

def ask(port, api, version, body):
    """One request; -> the reply behind the correlation id. Fails with OSError."""
    header = struct.pack(">hhih", api, version, 7, 5) + b"tests"
    with socket.create_connection(("127.0.0.1", port), 5) as connection:
        connection.settimeout(10)
        connection.sendall(struct.pack(">i", len(header) + len(body)) + header + body)
        length = struct.unpack(">i", read(connection, 4))[0]
        return read(connection, length)[4:]


def read(connection, length):
    data = b""
    while len(data) < length:
        piece = connection.recv(length - len(data))
        if not piece:
            raise OSError("the broker closed the connection")
        data += piece
    return data


def has_brokers(port):
    """Metadata, version 0, of no topic in particular: begins with the number of brokers."""
    return struct.unpack(">i", ask(port, 3, 0, struct.pack(">i", 0))[:4])[0] > 0


def has_coordinator(port):
    """FindCoordinator, version 0: asked for, the topic of the offsets is made; 0 when the coordinator is there."""
    return struct.unpack(">h", ask(port, 10, 0, text("is-it-ready"))[:2])[0] == 0


def text(word):
    return struct.pack(">h", len(word)) + word.encode("utf-8")


def knows_topic(port, name):
    """Metadata, version 0, of one topic: brokers, then the topic's error, its name and its partitions."""
    reply = ask(port, 3, 0, struct.pack(">i", 1) + text(name))
    at = 4
    for _ in range(struct.unpack(">i", reply[:4])[0]):
        at += 4 + 2 + struct.unpack(">h", reply[at + 4:at + 6])[0] + 4
    return struct.unpack(">h", reply[at + 4:at + 6])[0] == 0


def create_topics(port, names, partitions, configs):
    """CreateTopics, version 2, and wait until the broker tells of them. Fails with ServiceError where it refuses one."""
    body = struct.pack(">i", len(names))
    for name in names:
        body += text(name) + struct.pack(">ihi", partitions, 1, 0) + struct.pack(">i", len(configs))
        body += b"".join(text(key) + text(value) for key, value in configs.items())
    reply = ask(port, 19, 2, body + struct.pack(">ib", 20000, 0))
    count, at = struct.unpack(">i", reply[4:8])[0], 8
    for _ in range(count):
        length = struct.unpack(">h", reply[at:at + 2])[0]
        name = reply[at + 2:at + 2 + length].decode()
        error, message = struct.unpack(">hh", reply[at + 2 + length:at + 6 + length])
        at += 6 + length + max(message, 0)
        if error != 0:
            raise service.ServiceError("the broker does not make the topic %s: error %d" % (name, error))
    for _ in range(300):
        if all(knows_topic(port, name) for name in names):
            return
        time.sleep(0.1)
    raise service.ServiceError("the broker made topics, and does not tell of them")


# ---- the broker ----

class Kafka(service.Service):
    """`brokers` is what KafkaBrokers wants. With tls_scram there is a second listener, `tls_brokers`, which takes
    client_config()'s user; the plain one stays, for the broker itself and for the tests' own tools."""

    name = "kafka"
    ready_seconds = 180

    def __init__(self, folder=None, tls_scram=False, properties=None):
        super().__init__(folder)
        self.tls_scram = tls_scram
        self.more = dict(properties or {})
        self.is_formatted = os.path.exists(os.path.join(self.folder, "server.properties"))
        self.port, self.controller_port, self.tls_port = (service.free_port() for _ in range(3))
        if self.is_formatted:
            self.read_ports()
        self.server_log = os.path.join(self.folder, "server.log")
        self.data = os.path.join(self.folder, "data")

    @property
    def brokers(self):
        return "127.0.0.1:%d" % self.port

    @property
    def tls_brokers(self):
        return "127.0.0.1:%d" % self.tls_port

    def logs(self):
        return [self.server_log, self.output]

    def start(self):
        self.prepare()
        return super().start()

    def prepare(self):
        """Write the configuration and format the data, once."""
        if self.is_formatted:
            return
        if self.tls_scram:
            make_certificates(self.folder)
        with open(self.place("log4j.properties"), "w", encoding="utf-8") as file:
            file.write(LOG4J % self.server_log)
        with open(self.place("server.properties.part"), "w", encoding="utf-8") as file:
            file.writelines("%s=%s\n" % pair for pair in self.properties().items())
        os.chmod(file.name, 0o600)
        cluster = self.tool("random-uuid").split()[-1]
        user = ["--add-scram", "SCRAM-SHA-512=[name=%s,password=%s]" % (USER, PASSWORD)] if self.tls_scram else []
        self.tool("format", "--cluster-id", cluster, "--config", file.name, "--ignore-formatted", *user)
        os.rename(file.name, self.place("server.properties"))
        self.is_formatted = True

    def properties(self):
        listeners = [("PLAINTEXT", "PLAINTEXT", self.port)]
        found = dict(PROPERTIES)
        if self.tls_scram:
            listeners.append(("SASL_SSL", "SASL_SSL", self.tls_port))
            found.update({
                "sasl.enabled.mechanisms": "SCRAM-SHA-512",
                "listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config":
                    "org.apache.kafka.common.security.scram.ScramLoginModule required;",
                "ssl.keystore.type": "PEM",
                "ssl.keystore.location": self.place("server-all.pem"),
                "ssl.truststore.type": "PEM",
                "ssl.truststore.location": self.place("ca.pem"),
            })
        addresses = ["%s://127.0.0.1:%d" % (name, port) for name, _, port in listeners]
        found.update({
            "controller.quorum.voters": "1@127.0.0.1:%d" % self.controller_port,
            "listeners": ",".join(addresses + ["CONTROLLER://127.0.0.1:%d" % self.controller_port]),
            "advertised.listeners": ",".join(addresses),
            "listener.security.protocol.map": ",".join(["%s:%s" % pair[:2] for pair in listeners]
                                                       + ["CONTROLLER:PLAINTEXT"]),
            "log.dirs": self.data,
        })
        found.update(self.more)
        return found

    def read_ports(self):
        """Those of an earlier run in this folder."""
        with open(self.place("server.properties"), encoding="utf-8") as file:
            settings = dict(line.rstrip("\n").split("=", 1) for line in file if "=" in line)
        ports = {address.split("://")[0]: int(address.rpartition(":")[2]) for address in settings["listeners"].split(",")}
        self.port, self.controller_port = ports["PLAINTEXT"], ports["CONTROLLER"]
        self.tls_port = ports.get("SASL_SSL", self.tls_port)
        self.tls_scram = "SASL_SSL" in ports

    def place(self, name):
        return os.path.join(self.folder, name)

    def java_command(self, main, *arguments):
        return [java(), "-Xms256m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:ActiveProcessorCount=2",
                "-Djava.io.tmpdir=" + self.folder,  # where lz4's library is unpacked, and stays after a kill
                "-Dlog4j.configuration=file:" + self.place("log4j.properties"), "-cp", os.path.join(fetch(), "*"), main,
                *arguments]

    def tool(self, *arguments):
        done = subprocess.run(self.java_command("kafka.tools.StorageTool", *arguments), stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=120, check=False)
        if done.returncode != 0:
            raise service.ServiceError("StorageTool %s: %s%s" % (arguments[0], done.stdout, done.stderr))
        return done.stdout

    def command(self):
        return self.java_command("kafka.Kafka", self.place("server.properties"))

    def is_ready(self):
        try:
            return has_brokers(self.port) and has_coordinator(self.port)
        except (OSError, struct.error):
            return False

    def create_topics(self, *names, partitions=1, **configs):
        """configs: as max_message_bytes="2000000"."""
        create_topics(self.port, names, partitions, {key.replace("_", "."): value for key, value in configs.items()})

    def client_config(self, path, password=PASSWORD, more=()):
        """Write a KafkaConfigFile for the listener with TLS and SCRAM; -> its path."""
        lines = ["security.protocol=SASL_SSL", "ssl.ca.location=" + self.place("ca.pem"), "sasl.mechanism=SCRAM-SHA-512",
                 "sasl.username=" + USER, "sasl.password=" + password, *more]
        with open(path, "w", encoding="utf-8") as file:
            file.writelines(line + "\n" for line in lines)
        os.chmod(path, 0o600)
        return path


def make_certificates(folder):
    """An authority (ca.pem) and a certificate by it for 127.0.0.1; server-all.pem holds all that a server needs."""
    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    new_key = ("-newkey", "rsa:2048", "-nodes")
    openssl("req", "-x509", *new_key, "-days", "2", "-subj", "/CN=Test authority", "-keyout", "ca.key", "-out", "ca.pem")
    openssl("req", "-new", *new_key, "-subj", "/CN=127.0.0.1", "-keyout", "server.key", "-out", "server.csr")
    with open(os.path.join(folder, "server.ext"), "w", encoding="ascii") as file:
        file.write("subjectAltName=IP:127.0.0.1,DNS:localhost\n")
    openssl("x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2",
            "-extfile", "server.ext", "-out", "server.pem")
    with open(os.path.join(folder, "server-all.pem"), "w", encoding="ascii") as whole:
        os.chmod(whole.name, 0o600)
        for name in ("server.key", "server.pem", "ca.pem"):
            with open(os.path.join(folder, name), encoding="ascii") as part:
                whole.write(part.read())


# ---- command line ----

def run(options):
    broker = Kafka(os.path.abspath(options.folder), options.tls_scram, dict(pair.split("=", 1) for pair in options.property))

    def describe(_):
        if not broker.tls_scram:
            return broker.brokers + "\n"
        broker.client_config(broker.place("client.conf"))
        return "%s\n%s\n" % (broker.brokers, broker.tls_brokers)

    service.run(broker, describe, options.port_file)


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("fetch")
    running = commands.add_parser("run")
    running.add_argument("folder")
    running.add_argument("--port-file")
    running.add_argument("--tls-scram", action="store_true")
    running.add_argument("--property", action="append", default=[])
    options = parser.parse_args()
    if options.command == "run":
        run(options)
        return
    try:
        print("kafka: " + fetch())
    except service.ServiceError as error:
        sys.exit("kafka.py: %s" % error)


if __name__ == "__main__":
    main()
