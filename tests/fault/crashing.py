"""What the tests with killed processes share: labels read from the sources, lives that end where they are told to, tiny jobs,
and the comparison of every job with what `extract` writes.

Every life of a process under test has the same name in its group, so that the next one is back at once.
"""
import contextlib
import os
import re
import shutil
import signal
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "e2e"))
import fleet  # noqa: E402
import harness  # noqa: E402
import tiny  # noqa: E402

PLACE = re.compile(r'CRASH_POINT\("([a-z]+\.[a-z_]+)"\)')
NEVER_S = 150  # no place is reached later than that, on whatever machine


def labels(prefix):
    """Those of the sources, in their order."""
    found = []
    for folder in ("common", "producer", "worker", "aggregator"):
        for name in sorted(os.listdir(os.path.join(harness.SOURCE, folder))):
            if name.endswith(".c"):
                found += PLACE.findall(harness.read_text(harness.SOURCE, folder, name))
    return list(dict.fromkeys(label for label in found if label.startswith(prefix + ".")))


@contextlib.contextmanager
def environment(**more):
    """Of the processes that are started meanwhile. None: not set."""
    before = {name: os.environ.get(name) for name in more}
    try:
        for name, value in more.items():
            set_variable(name, value)
        yield
    finally:
        for name, value in before.items():
            set_variable(name, value)


def set_variable(name, value):
    if value is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = value


def remove(path):
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


class Job:
    """An output folder with a job, and what it must look like in the end."""

    def __init__(self, case, name, home, ident=None, is_cancelled=False):
        self.case = case
        self.homes = [home]  # one after the other, into the same output folder
        self.out = os.path.join(case.output_root, name)
        self.id = ident
        self.is_cancelled = is_cancelled

    def is_open(self):
        return os.path.exists(os.path.join(self.out, fleet.OPEN_MARK))

    def mark(self):
        """The id in the mark for producers; None where there is none."""
        try:
            return harness.read_text(self.out, fleet.OPEN_MARK).strip()
        except FileNotFoundError:
            return None


class CrashCase(fleet.FleetCase):
    """`self.jobs` are compared by check_jobs(), at the end: only then nobody looks into their folders any more."""

    PARTITIONS = 3
    MESSAGE_BYTES = 5120  # so that the record of a "long" file is spilled

    @classmethod
    def make_input(cls):
        cls.class_input_root = os.path.join(cls.class_folder, "in-root")
        cls.class_home = os.path.join(cls.class_input_root, "dicom")

    def setUp(self):
        super().setUp()
        self.jobs = []
        self.counts = os.path.join(self.folder, "counts")
        os.mkdir(self.counts)
        self.broker.create_topics(self.settings["KafkaTasksTopic"], partitions=self.PARTITIONS)
        self.broker.create_topics(self.settings["KafkaResultsTopic"], self.settings["KafkaDeadTopic"],
                                  max_message_bytes=str(self.MESSAGE_BYTES))
        topics = [value.encode() for name, value in self.settings.items() if name.endswith("Topic")]
        fleet.wait_until(lambda: all(topic in self.kcat("-L") for topic in topics), 60, "the broker tells of the topics")

    def start(self, command, *arguments, member=None, **more):
        """`member`: its name in the group, which the next life shall have, too."""
        with environment(NIFFLER_CRASH_MEMBER=member):
            return super().start(command, *arguments, **more)

    # ---- jobs ----

    def new_job(self, home, **more):
        """Produced by a healthy producer."""
        job = Job(self, "job%03d" % len(self.jobs), home)
        self.jobs.append(job)
        job.id = self.produce(home=home, out=job.out, partitions=self.PARTITIONS, **more)
        return job

    def wait_jobs(self, seconds=fleet.PATIENCE):
        def waiting():
            return [job for job in self.jobs if job.is_open()]
        fleet.wait_until(lambda: not waiting(), seconds, lambda: "jobs end: %s" % [job.out for job in waiting()])

    def check_jobs(self):
        for job in self.jobs:
            if not os.path.exists(job.out):
                continue
            mine, reference = job.out + ".fleet", job.out + ".reference"
            os.rename(job.out, mine)
            if job.is_cancelled:
                self.assertEqual(harness.table(mine, "failures.csv"), [])
                continue
            for home in job.homes:
                self.extract(home=home, out=job.out)
            os.rename(job.out, reference)
            self.assertSameOutputs(reference, mine)
            shutil.rmtree(reference)
            shutil.rmtree(mine)

    # ---- lives ----

    def live(self, label, number, start, poke=lambda process: None, between=lambda process: None, over_lives=True, ended=(0,)):
        """Lives of a process that end at the n-th visit of a place. start() begins one; poke(process) is called while it
        lives, between(process) after one that ended by itself, with a status in `ended`."""
        for name in os.listdir(self.counts):
            os.unlink(os.path.join(self.counts, name))
        end = time.monotonic() + NEVER_S
        for life in range(20):
            with environment(NIFFLER_CRASH="%s:%d" % (label, number),
                             NIFFLER_CRASH_COUNTS=self.counts if over_lives else None):
                process = start()
            process.started = time.monotonic()
            while process.status is None:
                poke(process)
                time.sleep(0.02)
                if time.monotonic() > end:
                    self.fail("%s is not reached %d times: %s" % (label, number, self.visits(label)))
            if process.status == -signal.SIGKILL:
                print("%s:%d %s, %.1f s" % (label, number, process.name, time.monotonic() - process.started), flush=True)
                return process
            self.assertIn(process.status, ended, "%s:%d life %d: %s" % (label, number, life, process.stderr))
            between(process)
        return self.fail("%s is not reached %d times: %s" % (label, number, self.visits(label)))

    def visits(self, label):
        try:
            return "%d visits" % os.path.getsize(os.path.join(self.counts, label))
        except OSError:
            return "no visit"


def main():
    harness.main()
