"""Every command of the runbook (deploy/README.md) is run, as it stands and in its order, by one shell, on a fleet with a real
broker and Redis. What the blocks are for is set up before them, and looked at behind them, by the methods before_NAME and
after_NAME.

The words behind ```sh say what becomes of a block: `fleet NAME` is run here; `by TEST` by that test of ctest; `settings` gives the
variables of the others.
"""
import collections
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "e2e"))
import fleet  # noqa: E402  also finds tests/services
import harness  # noqa: E402
import kafka  # noqa: E402
import service  # noqa: E402

RUNBOOK = os.path.join(harness.SOURCE, "deploy", "README.md")
TOOL = os.path.join(harness.SOURCE, "tests", "deploy", "kafka_tool.sh")
TOOLS = ("topics", "consumer-groups", "console-consumer", "get-offsets", "delete-records")
PATIENT = b"PAT0001"  # a PatientID of the samples, and a folder of theirs

PRODUCE = 'JOB=$(niffler-png produce --config fleet.json --DICOMHome "$INPUT/$STUDY" --OutputDirectory "$OUTPUT/$STUDY")'

Block = collections.namedtuple("Block", "words text")


def blocks():
    """Those of the runbook: (words behind the fence, text), in order."""
    found = re.findall(r"^```(.*)\n((?:.*\n)*?)```$", harness.read_text(RUNBOOK), re.M)
    return [Block(words.split(), text) for words, text in found]


class Document(unittest.TestCase):
    def test_every_block_is_run_here_or_by_a_test_that_exists(self):
        listed = subprocess.run(["ctest", "--test-dir", harness.BUILD, "-N"], stdout=subprocess.PIPE, text=True, check=True).stdout
        tests = set(re.findall(r"^ +Test +#\d+: (\S+)$", listed, re.M))
        self.assertGreater(len(tests), 100)
        names = []
        for block in blocks():
            if block.words[0] == "said":  # by a script that no run of the tests can wait for
                self.assertTrue(os.path.exists(os.path.join(os.path.dirname(os.path.abspath(__file__)), block.words[1])), block)
                continue
            self.assertEqual(block.words[0], "sh", block)
            if block.words[1] == "by":
                self.assertIn(block.words[2], tests)
            elif block.words[1] == "fleet":
                names.append(block.words[2])
            else:
                self.assertEqual(block.words[1:], ["settings"])
        self.assertEqual(len(set(names)), len(names))
        for method in dir(Fleet):
            kind, _, name = method.partition("_")
            if kind in ("before", "after"):
                self.assertIn(name.replace("_", "-"), names)

    def test_no_command_hides_outside_of_a_block(self):
        text = re.sub(r"^```.*\n(?:.*\n)*?```$", "", harness.read_text(RUNBOOK), flags=re.M)
        self.assertEqual(re.findall(r"^(?: {4}|\t)\S.*|^```.*", text, re.M), [])


class Links(unittest.TestCase):
    def test_they_lead_somewhere(self):
        """Within this page, and to files."""
        text = harness.read_text(RUNBOOK)
        anchors = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in re.findall(r"^#+ (.+)$", text, re.M)}
        links = re.findall(r"\]\(([^)\s]+)\)", text)
        self.assertGreater(len(links), 20)
        for link in links:
            path, _, anchor = link.partition("#")
            if path:
                self.assertTrue(os.path.exists(os.path.join(os.path.dirname(RUNBOOK), path)), link)
            elif anchor:
                self.assertIn(anchor, anchors)


class Shell:
    """One shell, which is fed bit by bit, and ends where a command fails."""

    def __init__(self, folder, environment):
        self.feed_path = os.path.join(folder, "feed")
        self.log = os.path.join(folder, "shell.log")
        os.mkfifo(self.feed_path)
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(["sh", "-eu", self.feed_path], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            cwd=folder, env=environment, start_new_session=True,
                                            preexec_fn=service.die_with_parent)
        self.feed = open(self.feed_path, "w", encoding="utf-8")  # pylint: disable=consider-using-with
        self.count = 0

    def run(self, text, seconds=fleet.PATIENCE):
        """-> what it printed, on both outputs."""
        self.count += 1
        begun = os.path.getsize(self.log)
        mark = "==done %d==" % self.count
        self.feed.write("%s\necho '%s'\n" % (text.rstrip("\n"), mark))
        self.feed.flush()

        def printed():
            with open(self.log, "rb") as log:
                log.seek(begun)
                return log.read().decode("utf-8", "surrogateescape")
        service.wait_until(lambda: mark in printed() or self.process.poll() is not None, seconds,
                           lambda: "the shell is done with\n%s\n%s" % (text, printed()))
        if mark not in printed():
            raise AssertionError("the shell ended with status %s in\n%s\n%s" % (self.process.returncode, text, printed()))
        return printed().replace(mark + "\n", "")

    def close(self):
        self.feed.close()
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()


class Fleet(fleet.FleetCase):
    SAMPLES = ("--ct", "100")
    WITH_REDIS = True
    BROKER = {"properties": {"log.segment.delete.delay.ms": "1000"}}

    def setUp(self):
        super().setUp()
        self.folder_of = {name: os.path.join(self.folder, name) for name in ("bin", "run")}
        for folder in self.folder_of.values():
            os.mkdir(folder)
        for tool in TOOLS:
            os.symlink(TOOL, os.path.join(self.folder_of["bin"], "kafka-%s.sh" % tool))
        os.symlink(harness.PROGRAM, os.path.join(self.folder_of["bin"], "niffler-png"))
        self.run_folder = self.folder_of["run"]
        self.home = os.path.join(self.input_root, "dicom")
        self.out = os.path.join(self.output_root, "dicom")
        self.new_state = os.path.join(self.folder, "new-state")
        self.variables = {
            "BOOTSTRAP": self.broker.brokers, "REPLICAS": "1", "REDIS": self.class_redis.url, "INPUT": self.input_root,
            "OUTPUT": self.output_root, "STATE": self.state, "BACKUP": os.path.join(self.folder, "backup"),
            "NEW_STATE": self.new_state, "STUDY": "dicom", "AGGREGATOR": "127.0.0.1:%d" % service.free_port(),
            "WORKER": "127.0.0.1:%d" % service.free_port(),
        }
        # Topics, groups and the prefix of Redis are as they are unless set: the commands name them.
        settings = {"InputRoot": self.input_root, "OutputRoot": self.output_root, "StateDirectory": self.state,
                    "KafkaBrokers": self.broker.brokers, "RedisUrl": self.class_redis.url, "UseProcesses": 1,
                    "KafkaConfigFile": self.write_client_config()}
        harness.write_text(json.dumps(settings), self.run_folder, "fleet.json")
        self.settings.update(KafkaTasksTopic="niffler-tasks", KafkaResultsTopic="niffler-results", KafkaDeadTopic="niffler-dead")
        harness.write_text("log4j.rootLogger=WARN, err\nlog4j.appender.err=org.apache.log4j.ConsoleAppender\n"
                           "log4j.appender.err.Target=System.err\nlog4j.appender.err.layout=org.apache.log4j.SimpleLayout\n",
                           self.run_folder, "log4j.properties")
        environment = dict(os.environ, PATH=self.folder_of["bin"] + ":" + os.environ["PATH"], KAFKA_JARS=kafka.fetch(),
                           KAFKA_JAVA=kafka.java(), KAFKA_LOG4J=os.path.join(self.run_folder, "log4j.properties"),
                           **self.variables)
        self.shell = Shell(self.run_folder, environment)
        self.addCleanup(self.shell.close)

    def explain(self):
        super().explain()
        for name in ("aggregator.log", "worker.log", "shell.log"):
            path = os.path.join(self.run_folder, name)
            print("---- %s" % name, service.tail(path, 60) if os.path.exists(path) else "(none)", sep="\n", file=sys.stderr)

    def pid(self, name):
        return int(harness.read_text(self.run_folder, name + ".pid"))

    def job(self):
        return self.shell.run('echo "$JOB"').strip()

    def wait_over(self, job, state="complete"):
        return self.wait_state(job, state, fleet.PATIENCE)

    def test_the_runbook(self):
        """The whole page, from the first topic to the last purge."""
        self.reference()
        for block in blocks():
            if block.words[1] == "settings":
                given = re.findall(r"(?:^| )([A-Z_]+)=", block.text, re.M)
                self.assertEqual(sorted(given), sorted(self.variables))
            if block.words[1] != "fleet":
                continue
            name = block.words[2]
            method = name.replace("-", "_")
            began = time.monotonic()
            getattr(self, "before_" + method, lambda: None)()
            printed = self.shell.run(block.text)
            getattr(self, "after_" + method, lambda _: None)(printed)
            print("%5.1f s  %s" % (time.monotonic() - began, name), flush=True)

    # ---- what the blocks are to show ----

    def after_topics(self, printed):
        for topic in ("niffler-tasks", "niffler-results", "niffler-dead"):
            self.assertIn("Created topic %s." % topic, printed)

    def after_functions(self, printed):
        self.assertEqual(printed.count("ready"), 2, printed)

    def after_job(self, printed):
        self.assertIn("complete", printed)
        self.assertAsExtracted()

    def after_lag(self, printed):
        lags = [int(lag) for lag in re.findall(r"^niffler-(?:workers|aggregator) +\S+ +\d+ +\d+ +\d+ +(\d+) ", printed, re.M)]
        self.assertEqual(lags, [0] * len(lags))
        self.assertGreaterEqual(len(lags), 16)
        counts = [int(count) for count in re.findall(r"niffler-tasks:\d+:(\d+)$", printed, re.M)]
        self.assertEqual(len(counts), 16)
        self.assertLessEqual(max(counts) - min(counts), 1)

    def after_metrics(self, printed):
        for line in ("niffler_files_left 0", "niffler_ready 1", "niffler_inflight 0", 'niffler_jobs{state="running"} 0',
                     'niffler_sandbox_in_force{part="seccomp"} 1'):
            self.assertIn("\n%s\n" % line, "\n" + printed)

    def after_requeue(self, _):
        job = self.job()
        failed = [row for row in harness.table(self.reference_out, "failures.csv") if row["category"] == "2"]
        self.assertTrue(failed)
        fleet.wait_until(lambda: sum(parsed.get("round", 0) == 1 for _, parsed in self.records(job)) == len(failed), 60,
                         "the failed files are done again")
        fleet.wait_until(lambda: "event=job_again" in harness.read_text(self.run_folder, "aggregator.log"), 60, "it was open again")
        self.wait_complete()
        self.wait_over(job)
        self.assertAsExtracted()

    def before_cancel(self):
        """A job of which no file is done: the worker sleeps."""
        os.kill(self.pid("worker"), signal.SIGSTOP)
        self.shell.run('JOB=$(niffler-png produce --config fleet.json --DICOMHome "$INPUT/$STUDY" --OutputDirectory "$OUTPUT/other")')

    def after_cancel(self, _):
        self.wait_over(self.job(), "cancelled")
        os.kill(self.pid("worker"), signal.SIGCONT)

    def before_upgrade(self):
        self.old = [self.pid(name) for name in ("worker", "aggregator")]

    def after_upgrade(self, printed):
        self.assertRegex(printed, r"event=drained files=\d+ left=0")
        self.assertTrue(all(self.pid(name) not in self.old for name in ("worker", "aggregator")))

    def before_dead(self):
        """A task of a version to come, and a record with a patient in it that cannot be read."""
        self.send("KafkaTasksTopic", b'{"v":2,"job":"01HZX3K5T7Q9V1B2C4D6E8F0GH"}')
        self.send("KafkaResultsTopic", b'{"v":1,"job":"01HZX3K5T7Q9V1B2C4D6E8F0GH","path":"' + PATIENT + b'"', partition=3)
        fleet.wait_until(lambda: len(self.messages("KafkaDeadTopic")) >= 2, 60, "two letters")

    def after_dead(self, printed):
        self.assertIn("task: task of version 2, this program knows 1\n", printed)
        self.assertRegex(printed, r"\nrecord: \S")
        self.assertNotIn(PATIENT.decode(), printed)

    def stand_still_in_a_job(self):
        """A job is begun, and in its middle the worker's decoder stands still."""
        worker = self.pid("worker")
        self.decoder = int(harness.read_text("/proc/%d/task/%d/children" % (worker, worker)).split()[0])
        shutil.rmtree(self.out)
        self.shell.run(PRODUCE)
        self.wait_pictures(10)
        os.kill(self.decoder, signal.SIGSTOP)
        self.assertTrue(os.path.exists(os.path.join(self.out, fleet.OPEN_MARK)), "the job was over before it could be held")

    def go_on_to_the_end(self):
        os.kill(self.decoder, signal.SIGCONT)
        self.wait_complete()
        self.wait_over(self.job())
        # An idle worker gives its drafts back after a second.
        drafts = os.path.join(self.out, "extracted-images", ".incoming")
        fleet.wait_until(lambda: not os.path.exists(drafts), 30, "the worker has no drafts there")
        self.assertAsExtracted()

    def before_backup(self):
        self.stand_still_in_a_job()

    def after_backup(self, printed):
        self.assertRegex(printed, r"(^|\n)ok\n")
        self.go_on_to_the_end()
        self.assertTrue(os.path.exists(os.path.join(self.variables["BACKUP"], "jobs", self.job())), "it was open in the backup")

    def before_restore(self):
        """The disk with the state is gone, and somebody has removed the tables with it."""
        for name in ("metadata.csv", "mapping.csv", "failures.csv"):
            os.remove(os.path.join(self.out, name))

    def after_restore(self, printed):
        self.assertIn("niffler_files_left", printed)
        fleet.wait_until(lambda: os.path.exists(os.path.join(self.state, "closed", self.job())), 60, "the job ends once more")
        self.assertAsExtracted()

    def before_start_over(self):
        self.stand_still_in_a_job()

    def after_start_over(self, _):
        self.go_on_to_the_end()

    def after_move(self, _):
        fleet.wait_until(lambda: os.path.exists(os.path.join(self.new_state, "lock")), 60, "it is in the new place")
        self.assertFalse(os.path.exists(self.state))

    def before_rebuild(self):
        os.remove(os.path.join(self.out, "metadata.csv"))

    def after_rebuild(self, _):
        self.assertAsExtracted()

    def holds_patient(self, *folders):
        return [os.path.join(path, name) for folder in folders for path, _, names in os.walk(folder) for name in names
                if PATIENT in harness.read_bytes(path, name)]

    def before_purge_job(self):
        self.assertTrue(self.holds_patient(self.new_state))
        self.assertTrue(self.holds_patient(self.out))
        self.assertTrue(self.class_redis.keys("niffler:{%s}:*" % self.job()))

    def after_purge_job(self, _):
        job = self.job()
        self.assertFalse(os.path.exists(self.out))
        self.assertEqual([path for path in self.holds_patient(self.new_state) if job in harness.read_bytes(path).decode("latin-1")], [])
        self.assertEqual(self.class_redis.keys("niffler:{%s}:*" % job), [])
        self.assertNotIn(job.encode(), self.class_redis.ask("ZRANGE", "niffler:jobs", 0, -1))

    def before_purge_messages(self):
        self.assertTrue(any(PATIENT in message.value for message in self.messages("KafkaResultsTopic")))

    def after_purge_messages(self, _):
        for topic in ("KafkaTasksTopic", "KafkaResultsTopic", "KafkaDeadTopic"):
            self.assertEqual(self.messages(topic), [])

    def after_purge_topics(self, _):
        def left():
            return [path for path in self.holds_patient(self.broker.data) if "niffler-" in path]
        fleet.wait_until(lambda: not left(), 90, lambda: "the broker forgets: %s" % left(), step=1)
        # The fleet is as it was.
        self.shell.run(PRODUCE)
        self.wait_complete()
        self.wait_over(self.job())
        self.assertAsExtracted()
        self.shell.run("stop worker\nstop aggregator")


if __name__ == "__main__":
    harness.main()
