"""What the tests of the fleet share: a real broker for each class, and niffler-png's processes for each test.

A test has its own topics, groups, output root and state, so that one broker serves many tests. Every process is started in a
session of its own and killed at the test's end; when a test fails, the last lines of all logs are printed.
"""
import collections
import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import types

import harness

sys.path.insert(0, os.path.join(harness.SOURCE, "tests", "services"))
import kafka  # noqa: E402
import redis  # noqa: E402
import service  # noqa: E402
from service import wait_until  # noqa: E402,F401

JOB_ID = r"[0-9A-HJKMNP-TV-Z]{26}"
OPEN_MARK = os.path.join(".niffler-png", "open")  # there while the output folder has a job that is not complete

# One job takes seconds; a build with sanitizers on a busy machine takes more.
PATIENCE = 240

Message = collections.namedtuple("Message", "partition offset time_ms headers value")


class Process:
    """One niffler-png process, its output in files."""

    def __init__(self, folder, number, command, arguments, stdin=None, prefix=()):
        self.name = "%02d-%s" % (number, command)
        self.stdout_path = os.path.join(folder, self.name + ".stdout")
        self.stderr_path = os.path.join(folder, self.name + ".stderr")
        self.known_port = None
        self.arguments = [*prefix, harness.PROGRAM, command, *arguments]
        with open(self.stdout_path, "wb") as out, open(self.stderr_path, "wb") as err:
            self.popen = subprocess.Popen(self.arguments, stdin=stdin or subprocess.DEVNULL, stdout=out, stderr=err,
                                          cwd=folder, start_new_session=True, preexec_fn=service.die_with_parent)

    @property
    def stdout(self):
        return harness.read_bytes(self.stdout_path).decode("utf-8", "surrogateescape")

    @property
    def stderr(self):
        return harness.read_bytes(self.stderr_path).decode("utf-8", "surrogateescape")

    @property
    def status(self):
        """The exit status; None while it runs."""
        return self.popen.poll()

    def signal(self, number):
        """To the process alone: its decoders are its own business."""
        if self.popen.poll() is None:
            self.popen.send_signal(number)

    def signal_decoders(self, number):
        """-> how many got it; 0 when the worker is gone."""
        count = 0
        try:
            for pid in harness.read_text("/proc/%d/task/%d/children" % (self.popen.pid, self.popen.pid)).split():
                os.kill(int(pid), number)
                count += 1
        except (FileNotFoundError, ProcessLookupError):
            pass
        return count

    def kill9(self):
        self.signal(signal.SIGKILL)
        self.popen.wait()

    def wait(self, seconds):
        try:
            return self.popen.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError("%s still runs after %d s" % (self.name, seconds)) from None

    def tidy(self):
        """Whatever is left of it, decoders among it."""
        try:
            os.killpg(self.popen.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.popen.wait()
        harness.assert_no_forbidden_calls(self.stderr_path)

    def port(self):
        """Where /livez, /readyz and /metrics are, with MetricsListen 127.0.0.1:0."""
        def find():
            if self.status is not None:
                raise AssertionError("%s ended with status %s" % (self.name, self.status))
            found = re.search(r"event=health_listening\b.*\bport=(\d+)", self.stderr)
            return found and int(found.group(1))
        self.known_port = self.known_port or wait_until(find, 60, self.name + " listens for probes")
        return self.known_port

    def get(self, path):
        """-> status, text; (0, reason) where nothing answers."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port(), timeout=10)
        try:
            connection.request("GET", path)
            reply = connection.getresponse()
            return reply.status, reply.read().decode()
        except OSError as error:
            return 0, str(error)
        finally:
            connection.close()

    def metric(self, name):
        """The sum over all labels of a metric; 0 where it is absent."""
        status, text = self.get("/metrics")
        if status != 200:
            raise AssertionError("/metrics of %s: %s %s" % (self.name, status, text))
        values = re.findall(r"^%s(?:\{[^}]*\})? (\S+)" % re.escape(name), text, re.M)
        return sum(float(value) for value in values)


class FleetCase(harness.Case):
    """`self.home` (below `self.input_root`, shared by the class and never written) and `self.out` (below
    `self.output_root`) are as for extract."""

    SAMPLES = ()  # arguments of the sample generator
    BROKER = {}   # of kafka.Kafka
    WITH_REDIS = False  # one for the class, which every process knows of

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.class_folder = tempfile.mkdtemp(prefix="niffler-fleet-")
        cls.addClassCleanup(shutil.rmtree, cls.class_folder, ignore_errors=True)
        cls.broker = cls.bring_up(kafka.Kafka(os.path.join(cls.class_folder, "kafka"), **cls.BROKER))
        cls.class_redis = None
        if cls.WITH_REDIS:
            cls.class_redis = cls.bring_up(redis.Redis(os.path.join(cls.class_folder, "redis")))
        cls.make_input()

    @classmethod
    def make_input(cls):
        cls.class_input_root = os.path.join(cls.class_folder, "in-root")
        os.mkdir(cls.class_input_root)
        cls.class_home = os.path.join(cls.class_input_root, "dicom")
        subprocess.run([harness.SAMPLES, cls.class_home, *cls.SAMPLES], check=True, stdout=subprocess.DEVNULL)

    @classmethod
    def bring_up(cls, served):
        cls.addClassCleanup(served.close)
        return served.start()

    def __init__(self, method="runTest"):
        super().__init__(method)
        test = getattr(self, method)

        def explained(_):
            try:
                test()
            except Exception:
                self.explain()
                raise
        setattr(self, method, types.MethodType(explained, self))

    def setUp(self):
        super().setUp()
        self.processes = []
        self.addCleanup(self.tidy)
        self.input_root = self.class_input_root
        self.home = self.class_home
        self.output_root = os.path.join(self.folder, "out-root")
        self.out = os.path.join(self.output_root, "job")
        self.reference_out = os.path.join(self.folder, "reference")
        self.state = os.path.join(self.folder, "state")
        self.logs = os.path.join(self.folder, "logs")
        for folder in (self.output_root, self.state, self.logs):
            os.mkdir(folder)
        tag = re.sub(r"[^a-z0-9]+", "-", self._testMethodName[len("test_"):].lower())[:40] + "-%d" % (time.time() * 1000)
        self.settings = {
            "KafkaBrokers": self.broker.brokers,
            "KafkaConfigFile": self.write_client_config(),
            "KafkaTasksTopic": "tasks-" + tag,
            "KafkaResultsTopic": "results-" + tag,
            "KafkaDeadTopic": "dead-" + tag,
            "KafkaWorkerGroup": "workers-" + tag,
            "KafkaAggregatorGroup": "aggregators-" + tag,
        }
        if self.class_redis:
            self.settings["RedisUrl"] = self.class_redis.url

    def wait_state(self, job, state, seconds=60):
        """Until Redis shows the job so; -> what it shows."""
        last = []

        def check():
            last[:] = [self.class_redis.hash("niffler:{%s}:job" % job)]
            return last[0].get("state") == state
        wait_until(check, seconds, lambda: "job %s is %s; it is %s" % (job, state, last))
        return last[0]

    def write_client_config(self):
        path = os.path.join(self.folder, "client.conf")
        # A member that was killed is missed after so long; 10 s by default.
        harness.write_text("session.timeout.ms=6000\nheartbeat.interval.ms=1000\n", path)
        return path

    # ---- commands ----

    def flags(self, roots=True, state=False, **more):
        found = dict(self.settings)
        if roots:
            found.update(InputRoot=self.input_root, OutputRoot=self.output_root)
        if state:
            found.update(StateDirectory=self.state)  # None: the default
        found.update(more)
        return [word for key, value in found.items() if value is not None for word in ("--" + key, str(value))]

    def start(self, command, *arguments, stdin=None, prefix=(), **flags):
        """`prefix`: a program, with its arguments, that runs ours in its own place."""
        process = Process(self.logs, len(self.processes), command, [*arguments, *self.flags(**flags)], stdin, prefix)
        self.processes.append(process)
        return process

    def command(self, command, *arguments, status=(0,), seconds=PATIENCE, **more):
        """Run to its end; `status`: the exit statuses allowed."""
        process = self.start(command, *arguments, **more)
        self.assertIn(process.wait(seconds), status, "%s\n%s" % (process.name, process.stderr))
        return process

    def start_produce(self, *arguments, home=None, out=None, partitions=1, **more):
        return self.start("produce", "--DICOMHome", home or self.home, "--OutputDirectory", out or self.out,
                          "--create-topics", "--partitions", str(partitions), "--replication", "1", *arguments, **more)

    def produce(self, *arguments, seconds=PATIENCE, **more):
        """-> the job's id."""
        process = self.start_produce(*arguments, **more)
        self.assertEqual(process.wait(seconds), 0, process.stderr)
        self.assertRegex(process.stdout, r"\A%s\n\Z" % JOB_ID)
        return process.stdout.strip()

    def work(self, *arguments, **more):
        more.setdefault("UseProcesses", "1")
        return self.start("work", *arguments, **more)

    def aggregate(self, *arguments, **more):
        return self.start("aggregate", *arguments, state=True, **more)

    def aggregate_job(self, job, *arguments, status=(0, 1), seconds=PATIENCE, **more):
        """Until the job is complete; -> the process, whose stdout is the summary."""
        return self.command("aggregate", "--job", job, *arguments, status=status, seconds=seconds, state=True, **more)

    def status(self, job, **more):
        """What `status JOB --json` says; it needs RedisUrl."""
        process = self.command("status", job, "--json", **more)
        return json.loads(process.stdout)

    def end(self, *processes, seconds=90, status=0):
        """Ask them to end, and see that they do."""
        for process in processes:
            process.signal(signal.SIGTERM)
        for process in processes:
            self.assertEqual(process.wait(seconds), status, "%s\n%s" % (process.name, process.stderr))

    def wait_complete(self, out=None, seconds=PATIENCE):
        """Until the job in the output folder is over, tables and all."""
        mark = os.path.join(out or self.out, OPEN_MARK)
        wait_until(lambda: not os.path.exists(mark), seconds, mark + " goes")

    def wait_pictures(self, count, seconds=PATIENCE):
        """Until so many PNGs are there, or the job is complete."""
        def enough():
            return len(self.pictures()) >= count or not os.path.exists(os.path.join(self.out, OPEN_MARK))
        wait_until(enough, seconds, "%d pictures" % count, step=0.02)

    def pictures(self):
        return [os.path.join(path, name) for path, _, names in os.walk(os.path.join(self.out, "extracted-images"))
                for name in names if name.endswith(".png")]

    def run_job(self, *flags, workers=1, partitions=1, arguments=()):
        """produce, workers, aggregate; -> the job, the summary."""
        job = self.produce(*flags, partitions=partitions)
        crew = [self.work(*arguments) for _ in range(workers)]
        done = self.aggregate_job(job)
        self.end(*crew)
        return job, done.stdout

    # ---- the oracle ----

    def reference(self, *flags, home=None, times=1):
        """What `extract` writes into the very same folder, set aside; -> its standard output."""
        for _ in range(times):
            done = self.extract(*flags, home=home)
        os.rename(self.out, self.reference_out)
        return done.stdout

    def assertAsExtracted(self):
        self.assertSameOutputs(self.reference_out, self.out)

    # ---- topics ----

    def kcat(self, *arguments):
        done = subprocess.run(["kcat", "-b", self.broker.brokers, *arguments], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=PATIENCE, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def messages(self, setting):
        """Everything in a topic so far (by the setting's name), oldest first in each partition."""
        data = self.kcat("-C", "-t", self.settings[setting], "-o", "beginning", "-e", "-q", "-f", r"%p %o %T %S %h\n%s\n")
        found, at = [], 0
        while at < len(data):
            end = data.index(b"\n", at)
            partition, offset, time_ms, length, headers = data[at:end].decode("utf-8", "replace").split(" ", 4)
            length = max(int(length), 0)
            found.append(Message(int(partition), int(offset), int(time_ms), headers, data[end + 1:end + 1 + length]))
            at = end + length + 2
        return found

    def send(self, setting, value, key=None, partition=0):
        """One message, as it is."""
        with tempfile.NamedTemporaryFile(dir=self.folder) as file:
            file.write(value)
            file.flush()
            self.kcat("-P", "-t", self.settings[setting], "-p", str(partition), *(["-k", key] if key else []), file.name)

    def records(self, job):
        """The records of a job in the results topic, duplicates and all: (message, parsed)."""
        found = []
        for message in self.messages("KafkaResultsTopic"):
            try:
                parsed = json.loads(message.value)
            except (ValueError, RecursionError):  # what tests of wrong messages have sent
                continue
            if isinstance(parsed, dict) and parsed.get("job") == job and "type" not in parsed and "seq" in parsed:
                found.append((message, parsed))
        return found

    def times_done(self, job):
        """seq -> how many records there are of it."""
        return collections.Counter(parsed["seq"] for _, parsed in self.records(job))

    # ---- the end ----

    def explain(self):
        for process in self.processes:
            print("---- %s (status %s): %s" % (process.name, process.status, " ".join(process.arguments[1:])),
                  file=sys.stderr)
            print(service.tail(process.stdout_path, 5), service.tail(process.stderr_path, 40), sep="\n", file=sys.stderr)
        print("---- %s" % self.broker.server_log, service.tail(self.broker.server_log, 8), sep="\n", file=sys.stderr,
              flush=True)

    def tidy(self):
        for process in self.processes:
            process.tidy()
