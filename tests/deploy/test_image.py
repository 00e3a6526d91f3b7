"""The image of deploy/Dockerfile, run as a careful site runs it: read-only, no capabilities, no new privileges, user 65532."""
import datetime
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tarfile
import time

import engine
import image

sys.path.insert(0, os.path.join(engine.SOURCE, "tests", "e2e"))
import fleet  # noqa: E402
import harness  # noqa: E402
import poison_build  # noqa: E402
from service import wait_until  # noqa: E402

CAREFUL = ("--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges")
USER = 65532


class Case(harness.Case):
    HAS_NETWORK = False

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.engine = engine.Engine(has_network=cls.HAS_NETWORK)
        cls.addClassCleanup(cls.engine.close)
        cls.engine.start()

    def setUp(self):
        super().setUp()
        self.make_out()

    def try_run(self, *arguments, flags=()):
        """niffler-png with these arguments in a container, to its end."""
        return self.engine.try_docker("run", "--rm", *CAREFUL, "--network", "none", *flags, image.IMAGE, *arguments)

    def start_container(self, name, *arguments, flags=()):
        self.addCleanup(self.engine.try_docker, "rm", "-f", "-v", name)
        self.engine.docker("run", "-d", "--name", name, *CAREFUL, *flags, image.IMAGE, *arguments)

    def state(self, name):
        return json.loads(self.engine.docker("inspect", name))[0]["State"]

    def stop(self, name, grace):
        """SIGTERM, and SIGKILL after `grace` seconds; -> exit status, seconds."""
        begun = time.monotonic()
        self.engine.docker("stop", "-t", str(grace), name)
        return self.state(name)["ExitCode"], time.monotonic() - begun

    def logs(self, name):
        done = self.engine.try_docker("logs", name)
        return done.stdout + done.stderr

    def at_home(self):
        """The folders of the test at the same places in the container: their names are in the tables."""
        return ("-v", self.home + ":" + self.home + ":ro", "-v", self.out + ":" + self.out)

    def keep_reference(self, *flags, **more):
        """What the program of this build makes of the same folders, set aside."""
        done = self.extract(*flags, **more)
        shutil.move(self.out, self.out + "-reference")
        self.make_out()
        return done.stdout

    def make_out(self):
        os.mkdir(self.out)
        os.chown(self.out, USER, USER)

    def written(self):
        return sum(name.endswith(".png") for _, _, names in os.walk(os.path.join(self.out, "extracted-images"))
                   for name in names)

    def assertAsExtracted(self):
        self.assertSameOutputs(self.out + "-reference", self.out)


class Contents(Case):
    def inspect(self, tag=image.IMAGE):
        return json.loads(self.engine.docker("image", "inspect", tag))[0]

    def test_configuration(self):
        config = self.inspect()["Config"]
        self.assertEqual(config["User"], "%d:%d" % (USER, USER))
        self.assertEqual(config["Entrypoint"], ["/usr/local/bin/niffler-png"])
        self.assertEqual(config["StopSignal"], "SIGTERM")
        self.assertIsNone(config.get("Healthcheck"))
        self.assertFalse(config.get("Volumes"))
        labels = {key.rpartition(".")[2]: value for key, value in config["Labels"].items()
                  if key.startswith("org.opencontainers.image.")}
        version = self.try_run("--version").stdout.split()[-1]
        self.assertEqual((labels["title"], labels["licenses"], labels["version"]), ("niffler-png", "BSD-3-Clause", version))
        self.assertIn("source", labels)
        head = subprocess.run(["git", "-c", "safe.directory=*", "log", "-1", "--format=%H %ct"], cwd=engine.SOURCE,
                              stdout=subprocess.PIPE, text=True, check=False).stdout.split()
        if head:
            self.assertIn(labels["revision"], (head[0], head[0] + "-modified"))
            created = datetime.datetime.fromisoformat(labels["created"].replace("Z", "+00:00"))
            self.assertEqual(created.timestamp(), int(head[1]))

    def test_files(self):
        """What the image adds to its base: programs, libraries, nothing that built them or tells of the day."""
        archive = os.path.join(self.folder, "image.tar")
        self.engine.docker("save", "-o", archive, image.IMAGE)
        base = len(self.inspect(image.BASE)["RootFS"]["Layers"])
        created = int(datetime.datetime.fromisoformat(
            self.inspect()["Config"]["Labels"]["org.opencontainers.image.created"].replace("Z", "+00:00")).timestamp())
        found = {}
        with tarfile.open(archive) as whole:
            layers = json.load(whole.extractfile("manifest.json"))[0]["Layers"][base:]
            self.assertGreater(len(layers), 0)
            for layer in layers:
                with tarfile.open(fileobj=whole.extractfile(layer)) as files:
                    found.update({"/" + member.name: member for member in files})
        for path in ("/usr/local/bin/niffler-png", "/usr/local/libexec/niffler-png-decoder", "/etc/ssl/certs/ca-certificates.crt",
                     "/usr/local/share/doc/niffler-png/LICENSE", "/etc/niffler-png"):
            self.assertIn(path, found)
            self.assertEqual((found[path].uid, found[path].gid, found[path].mode & 0o022), (0, 0, 0), path)
        state = found["/var/lib/niffler-png"]
        self.assertEqual((state.uid, state.gid, state.mode & 0o7777), (USER, USER, 0o700))
        for path, member in found.items():
            self.assertLessEqual(member.mtime, created, path)
            self.assertFalse(member.isreg() and member.mode & 0o6000, path + " runs as another user")
            self.assertNotRegex(path, r"^/(src|image|mnt/.)|^/usr/(local/)?(bin/(cc|gcc|cmake|ninja|git|curl)$|include/.)"
                                      r"|^/var/(lib/apt/lists|cache/apt|log)/.|aux-cache|\.a$|shadow-?$")

    def test_packages_are_those_that_the_programs_are_linked_with_or_load(self):
        with open(os.path.join(engine.SOURCE, "deploy", "Dockerfile"), encoding="utf-8") as file:
            named = re.search(r"apt-get install.*?--no-install-recommends \\\n(.*?);", file.read().split("AS build\n")[1],
                              re.S).group(1).replace("\\\n", " ").split()
        name = "contents"
        self.start_container(name, "--version")
        with open(os.path.join(engine.SOURCE, "aggregator", "curl_library.c"), encoding="utf-8") as file:
            libraries = {re.search(r'^#define LIBRARY "(.*)"', file.read(), re.M).group(1)}
        for path in ("/usr/local/bin/niffler-png", "/usr/local/libexec/niffler-png-decoder"):
            program = os.path.join(self.folder, os.path.basename(path))
            self.engine.docker("cp", name + ":" + path, program)
            headers = subprocess.run(["readelf", "-d", program], stdout=subprocess.PIPE, text=True, check=True).stdout
            libraries |= set(re.findall(r"\(NEEDED\).*\[(.*)\]", headers))
        done = self.engine.try_docker("run", "--rm", "--network", "none", "--entrypoint", "sh", image.IMAGE, "-c",
                                      "for name in %s; do dpkg -S \"*/$name\"; done" % shlex.join(sorted(libraries)))
        owners = {line.split(":")[0] for line in done.stdout.splitlines()} - {"libc6", "libgcc-s1"}
        self.assertEqual(sorted(owners | {"ca-certificates"}), sorted(named), done.stderr)


class Alone(Case):
    """What needs no broker."""

    def test_user_and_root(self):
        done = self.engine.try_docker("run", "--rm", *CAREFUL, "--entrypoint", "sh", image.IMAGE, "-c",
                                      "id -u; id -g; touch /tmp/x /etc/niffler-png/x /var/lib/niffler-png/x")
        self.assertEqual(done.stdout.split(), [str(USER), str(USER)])
        self.assertEqual(done.stderr.count("Read-only file system"), 3, done.stderr)

    def sandbox(self, text):
        """What `doctor --json` says of the decoders' confinement: state and detail."""
        return next((check["state"], check["detail"]) for check in json.loads(text) if check["check"] == "sandbox")

    def test_decoders_are_confined_as_outside(self):
        inside = self.try_run("doctor", "--json")
        self.assertEqual(inside.returncode, 2, inside.stderr)  # no setting names anything else to check
        outside = subprocess.run([harness.PROGRAM, "doctor", "--json"], stdout=subprocess.PIPE, text=True, check=False).stdout
        self.assertEqual(self.sandbox(inside.stdout)[0], "ok", inside.stdout)
        self.assertEqual(self.sandbox(inside.stdout), self.sandbox(outside))

    def test_extract_gives_what_the_build_outside_gives(self):
        self.samples()
        harness.write_text(json.dumps({"DICOMHome": self.home, "OutputDirectory": self.out}), self.folder, "config.json")
        self.keep_reference()
        done = self.try_run("extract", "--Sandbox", "required", flags=(
            *self.at_home(), "-v", os.path.join(self.folder, "config.json") + ":/etc/niffler-png/config.json:ro"))
        self.assertEqual(done.returncode, 1, done.stderr)  # some samples are broken on purpose
        self.assertAsExtracted()

    def test_sigterm_ends_extract_and_it_goes_on(self):
        self.samples("--ct", "250", "--only", "ct")
        count = len([name for _, _, names in os.walk(self.home) for name in names])
        self.keep_reference()
        flags = ("--network", "none", "--cpus", "0.3", *self.at_home())
        self.start_container("drain", "extract", "--DICOMHome", self.home, "--OutputDirectory", self.out, "--UseProcesses", "1",
                             flags=flags)
        wait_until(lambda: self.written() > 10, 120, lambda: "pictures come\n" + self.logs("drain"), step=0.02)
        status, seconds = self.stop("drain", 60)
        self.assertEqual(status, 3, self.logs("drain"))
        self.assertLess(seconds, 55)
        self.assertLess(self.written(), count, "the job was over before it was to be ended: take more samples")
        done = self.try_run("extract", "--DICOMHome", self.home, "--OutputDirectory", self.out, flags=self.at_home())
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertAsExtracted()

    def test_sigterm_ends_commands_that_do_not_drain(self):
        """As the first process of a container they are spared every signal that they do not handle."""
        self.start_container("waiting", "topics", "--KafkaBrokers", "127.0.0.1:1", flags=("--network", "none"))
        time.sleep(1)  # it asks for a broker for a minute
        self.assertTrue(self.state("waiting")["Running"], self.logs("waiting"))
        status, seconds = self.stop("waiting", 30)
        self.assertEqual(status, 128 + signal.SIGTERM, self.logs("waiting"))
        self.assertLess(seconds, 20)

    def test_a_decoder_that_takes_the_containers_memory_costs_its_file_a_row(self):
        side = 12800  # 164 MB of pixels, packed into 3 MB
        runs = b"\x81\x00" * (side * side // 128)
        changes = {poison_build.ROWS: poison_build.number(poison_build.ROWS, side),
                   poison_build.COLUMNS: poison_build.number(poison_build.COLUMNS, side)}
        stream = b"\1\0\0\0\x40\0\0\0" + bytes(56) + runs
        self.samples("--only", "mr")
        with open(os.path.join(self.home, "huge.dcm"), "wb") as file:
            file.write(poison_build.compressed("HUGE", poison_build.RLE, [stream], changes))
        words = ("extract", "--DICOMHome", self.home, "--OutputDirectory", self.out, "--UseProcesses", "1")
        done = self.try_run(*words, flags=self.at_home())
        self.assertEqual(done.returncode, 0, "where there is memory it is converted\n" + done.stderr)
        self.assertEqual(self.written(), 7)
        shutil.rmtree(self.out)
        self.make_out()
        self.addCleanup(self.engine.try_docker, "rm", "-f", "memory")
        done = self.engine.try_docker("run", "--name", "memory", *CAREFUL, "--network", "none", "--memory", "100m",
                                      "--memory-swap", "100m", *self.at_home(), image.IMAGE, *words)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertTrue(self.state("memory")["OOMKilled"])
        failures = harness.table(self.out, "failures.csv")
        self.assertEqual([(row["category"], row["code"]) for row in failures], [("4", "crash_signal")], failures)
        self.assertEqual(self.written(), 6)


class Fleet(Case):
    """Every role in a container of its own, over a real broker in another one."""

    GRACE = 60  # as in deploy/compose.yaml

    def service(self, name, *command, flags=()):
        self.addCleanup(self.engine.try_docker, "rm", "-f", "-v", name)
        self.engine.docker("run", "-d", "--name", name, "--network", "fleet", *flags, image.SERVICES, *command)

    def setUp(self):
        super().setUp()
        self.samples("--ct", "400", "--only", "ct")
        harness.write_text(json.dumps({
            "InputRoot": self.home, "OutputRoot": self.out, "KafkaBrokers": "kafka:9092",
            "RedisUrl": "redis://redis:6379/0", "MetricsListen": "0.0.0.0:9090"}), self.folder, "config.json")
        self.addCleanup(self.engine.try_docker, "network", "rm", "fleet")
        self.engine.docker("network", "create", "fleet")
        deploy, stand_ins = (os.path.join(engine.SOURCE, *path) for path in (("deploy", "compose", "kafka"),
                                                                             ("tests", "deploy", "compose", "kafka")))
        properties = "/etc/niffler/server.properties"
        self.service("kafka", "sh", "-c", "/opt/kafka/bin/kafka-storage.sh format --cluster-id %s --config %s && "
                     "exec /opt/kafka/bin/kafka-server-start.sh %s" % ("bmlmZmxlci1wbmctMDAwMA", properties, properties),
                     flags=("-v", deploy + ":/etc/niffler:ro", "-v", stand_ins + ":/opt/kafka/bin:ro", "-v",
                            engine.kafka.fetch() + ":/opt/kafka/libs:ro", "-e", "KAFKA_HEAP_OPTS=-Xms256m -Xmx512m"))
        self.service("redis", "redis-server", "--protected-mode", "no", "--save", "")

    def role_flags(self, more=()):
        return ("--network", "fleet", "-v", os.path.join(self.folder, "config.json") + ":/etc/niffler-png/config.json:ro",
                *self.at_home(), *more)

    def command(self, *arguments, status=0):
        """A role that ends by itself; -> its standard output."""
        done = self.engine.try_docker("run", "--rm", *CAREFUL, *self.role_flags(), image.IMAGE, *arguments)
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        return done.stdout

    def role(self, name, *arguments, more=()):
        self.start_container(name, *arguments, flags=self.role_flags(more))

    def health(self, name, *arguments):
        """The command `health` beside the role, as Docker and Kubernetes run it."""
        done = self.engine.try_docker("exec", name, "niffler-png", "health", *arguments)
        return done.returncode, done.stdout.strip()

    def wait_ready(self, name):
        wait_until(lambda: self.health(name) == (0, "ready"), 90, lambda: "%s is ready\n%s" % (name, self.logs(name)))

    def assertDrains(self, name):
        status, seconds = self.stop(name, self.GRACE)
        self.assertEqual(status, 0, self.logs(name))
        self.assertLess(seconds, self.GRACE - 5)
        harness.write_text(self.logs(name), self.folder, "log")
        harness.assert_no_forbidden_calls(os.path.join(self.folder, "log"))

    def test_a_job_goes_through_all_roles_and_workers_drain(self):
        self.keep_reference()
        self.command("topics", "--partitions", "4")
        self.addCleanup(self.engine.try_docker, "volume", "rm", "-f", "state")
        self.role("aggregator", "aggregate", "--StateDirectory", "/var/lib/niffler-png", more=("-v", "state:/var/lib/niffler-png"))
        # A fifth of a core, so that the job lasts until it is to drain.
        self.role("first", "work", "--UseProcesses", "1", more=("--cpus", "0.2"))
        for name in ("aggregator", "first"):
            self.wait_ready(name)
            self.assertEqual(self.health(name, "--live"), (0, "live"))
        self.assertIn("ok    kafka_tasks", self.command("doctor"))
        job = self.command("produce", "--DICOMHome", self.home, "--OutputDirectory", self.out).strip()
        self.assertRegex(job, fleet.JOB_ID)
        wait_until(lambda: self.written() > 5, 120, lambda: "pictures come\n" + self.logs("first"), step=0.02)
        self.assertDrains("first")
        self.assertTrue(self.is_open(), "the job was over before its worker was to drain: take more samples")
        self.role("second", "work", "--UseProcesses", "1")
        wait_until(lambda: not self.is_open(), 240, lambda: "the job is complete\n" + self.logs("aggregator"))
        self.assertAsExtracted()
        wait_until(lambda: json.loads(self.command("status", job, "--json"))["state"] == "complete", 60, "Redis shows it")
        self.command("cancel", job)
        self.command("requeue", job)
        for name in ("second", "aggregator"):
            self.assertDrains(name)

    def is_open(self):
        return os.path.exists(os.path.join(self.out, fleet.OPEN_MARK))


class Reproducible(Case):
    HAS_NETWORK = True

    def layers(self, tag):
        return json.loads(self.engine.docker("image", "inspect", tag))[0]["RootFS"]["Layers"]

    def test_two_builds_have_the_same_layers(self):
        image.build_image(self.engine, "niffler-png:again", "--no-cache")
        self.addCleanup(self.engine.try_docker, "rmi", "niffler-png:again")
        first, again = self.layers(image.IMAGE), self.layers("niffler-png:again")
        self.assertGreater(len(first), 1)
        self.assertEqual(first, again, self.differences("niffler-png:again"))

    def differences(self, tag):
        """Which files they do not share: for whoever is to mend it."""
        listed = {}
        for each in (image.IMAGE, tag):
            archive = os.path.join(self.folder, "image.tar")
            self.engine.docker("save", "-o", archive, each)
            with tarfile.open(archive) as whole:
                for layer in json.load(whole.extractfile("manifest.json"))[0]["Layers"]:
                    with tarfile.open(fileobj=whole.extractfile(layer)) as files:
                        for member in files:
                            content = files.extractfile(member).read() if member.isreg() else member.linkname
                            listed.setdefault(each, {})[member.name] = (member.mtime, member.mode, member.uid, hash(content))
        one, other = listed.values()
        return sorted(name for name in set(one) | set(other) if one.get(name) != other.get(name))[:50]


if __name__ == "__main__":
    engine.become_root()
    if os.path.exists(engine.REASON):
        engine.skip(harness.read_text(engine.REASON))
    harness.main()
