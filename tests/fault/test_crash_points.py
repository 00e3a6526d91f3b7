#!/usr/bin/python3
"""Processes of the fleet die (SIGKILL) at every labelled place, three times with different counts: what comes out in the end
is byte for byte what `extract` writes."""
import os
import re
import signal
import subprocess
import time

import crashing
import fleet
import harness
import smtp
import tiny
from crashing import labels

# The places of the queue that a role comes to, too.
QUEUE = labels("queue")
# Tasks that a worker announces.
LOOKAHEAD = int(re.search(r"#define LOOKAHEAD (\d+)", harness.read_text(harness.SOURCE, "common", "queue_kafka_commit.c"))[1])


def says(process, event):
    return "event=" + event in process.stderr


class Worker(crashing.CrashCase):
    """One worker that dies, its supervisor, and an aggregator that lives. Jobs follow one another until every place has had
    its three deaths."""

    FILES = 360
    PARTITIONS = 1  # so that what a worker died of comes first in the next life: see pass_on()
    AT_END = {"worker.stopping", "worker.drained", "worker.answers_awaited", "worker.closing", "worker.left_group",
              "worker.decoders_ended", "queue.peace_committed", "queue.revoked", "queue.left"}
    AT_START = {"worker.decoders_started", "queue.assigned", "queue.left_read"}
    BY_STORAGE = {"worker.storage_held", "worker.storage_back"}
    BY_DECODER = {"worker.decoder_died", "worker.taken_back", "worker.lone_waits", "worker.lone_begun"}
    BY_REBALANCE = {"queue.revoking"}
    FIRST = {"worker.dead_letter_sent": 0, "worker.skipped": 1}  # neither looks at the deaths before
    RARE = {"worker.frame_asked", "worker.frame_failed", "worker.failed_copied", "worker.record_spilled"}

    def setUp(self):
        super().setUp()
        self.home = tiny.write(self.class_home, self.FILES, odd_every=4)
        self.helper = None
        self.poked = 0.0

    def start_victim(self):
        self.poked = 0.0
        return self.start("work", UseProcesses=2, StorageProbeSeconds=1, DrainSeconds=5, member="victim")

    def plan(self):
        """(label, n), each label in each of three rounds."""
        found = labels("worker") + QUEUE
        self.assertGreaterEqual(len(labels("worker")), 25)
        few = self.AT_END | self.AT_START | self.BY_STORAGE | self.BY_DECODER | self.BY_REBALANCE | {
            "worker.dead_letter_sent"}
        numbers = {label: (1, 2, 3) if label in few else (1, 2, 5) if label in self.RARE else (1, 4, 11) for label in found}
        plan = [(label, numbers[label][(turn + place) % 3]) for turn in range(3) for place, label in enumerate(found)]
        return sorted(plan, key=lambda setting: self.FIRST.get(setting[0], 2))

    # ---- what brings it to the rarer places ----

    def every(self, seconds):
        if time.monotonic() - self.poked < seconds:
            return False
        self.poked = time.monotonic()
        return True

    def poke(self, label, process):
        self.ensure_job()
        if label in self.AT_END | self.AT_START and says(process, "kafka_assigned") and time.monotonic() - process.started > 0.7:
            if self.every(30):
                process.signal(signal.SIGTERM)
        elif label in self.BY_STORAGE:
            self.disturb_storage()
        elif label in self.BY_DECODER and says(process, "kafka_assigned"):
            self.kill_decoder(process)
        elif label in self.BY_REBALANCE and says(process, "kafka_assigned") and self.every(1.5):
            self.change_members()

    def incoming(self):
        """Of jobs that are over, too: one may end just when it has a file there, which no sweep of ours removes."""
        return [os.path.join(job.out, "extracted-images", ".incoming") for job in self.jobs]

    def jobs_by_place(self, place):
        return next(job for job in self.jobs if place.startswith(job.out + os.sep))

    def disturb_storage(self):
        """The folder of the drafts is a file for half a second, and a folder again for two."""
        for place in self.incoming():
            if os.path.isdir(place):
                if self.jobs_by_place(place).is_open() and self.every(2):
                    self.close_storage(place)
            elif os.path.exists(place) and self.every(0.5):
                os.unlink(place)

    def close_storage(self, place):
        for _ in range(100):
            try:
                for name in os.listdir(place):
                    crashing.remove(os.path.join(place, name))
                os.rmdir(place)
                with open(place, "xb"):
                    return
            except OSError:  # somebody works there
                continue

    def open_storage(self):
        for place in self.incoming():
            if os.path.isfile(place):
                os.unlink(place)

    def ensure_job(self):
        if not any(job.is_open() for job in self.jobs):
            self.new_job(self.home)

    def begin_anew(self):
        """One job is open, all of its files are still to be done, and none of them is a suspect yet. Who dies leaves as such
        all that he had announced, of tasks that were still to come, too: those are behind the jobs done here."""
        worker = self.start_victim()
        for _ in range(1 + LOOKAHEAD // self.FILES):
            self.new_job(self.home)
        self.wait_jobs()
        self.end(worker)
        self.new_job(self.home)

    def progress(self):
        """Grows; it may be compared."""
        return len(self.jobs), sum(len(names) for _, _, names in os.walk(os.path.join(self.jobs[-1].out, "extracted-images")))

    def is_beyond(self, before, count):
        jobs, pictures = self.progress()
        return jobs > before[0] or pictures >= before[1] + count or not self.jobs[-1].is_open()

    def pass_on(self):
        """A healthy life. A file that three workers die of, while they have it alone, is set aside by right: so nobody
        here may die three times without a life that brings the file behind it."""
        worker = self.start_victim()
        before = self.progress()
        # The job may be over at once, and who is asked to end in its first milliseconds does not know how yet.
        fleet.wait_until(lambda: "event=started" in worker.stderr, crashing.NEVER_S, "a healthy worker starts", step=0.02)
        fleet.wait_until(lambda: self.is_beyond(before, 8), crashing.NEVER_S, "a healthy worker goes on", step=0.02)
        self.end(worker)

    def kill_decoder(self, process):
        """Freeze a decoder, so that it surely has a file in its hands, and kill it. Another one only when a good many files
        were done since: a file that loses two decoders is a failure."""
        if not self.every(0.5) or (self.killed_at is not None and not self.is_beyond(self.killed_at, 30)):
            return
        done = subprocess.run(["pgrep", "-P", str(process.popen.pid)], stdout=subprocess.PIPE, text=True, check=False)
        children = [int(word) for word in done.stdout.split()]
        if children:
            self.stop_and_kill(children[0])
            self.killed_at = self.progress()

    def stop_and_kill(self, pid):
        try:
            os.kill(pid, signal.SIGSTOP)
            time.sleep(0.3)
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass

    def change_members(self):
        if self.helper is None:
            self.helper = self.work()
        elif self.helper.status is None and says(self.helper, "kafka_assigned"):
            self.helper.signal(signal.SIGTERM)
        elif self.helper.status is not None:
            self.helper = None

    # ---- the test ----

    def make_cancelled_job(self):
        job = self.new_job(self.home)
        self.command("cancel", job.id, roots=False)
        self.wait_jobs()
        job.is_cancelled = True

    def test_a_worker_that_dies_at_every_place(self):
        for partition in range(self.PARTITIONS):
            for letter in range(5):
                self.send("KafkaTasksTopic", b"no task %d" % letter, partition=partition)
        aggregator = self.aggregate(member="aggregator")
        self.make_cancelled_job()
        plan = self.plan()
        for count, (label, number) in enumerate(plan):
            if count % 2 == 0 and label not in self.FIRST:
                self.ensure_job()
                self.pass_on()
            if label == "queue.given_alone":  # from the second death on, and only what the job has left
                self.begin_anew()
                for number_before in (2, 3):
                    self.live("worker.task_read", number_before, self.start_victim, lambda process: self.ensure_job())
            self.killed_at = None
            self.live(label, number, self.start_victim, lambda process, label=label: self.poke(label, process))
            self.open_storage()
            if self.helper is not None and label not in self.BY_REBALANCE:
                self.end(self.helper)
                self.helper = None
        self.assertEqual(len(set(plan)), 3 * len(set(label for label, _ in plan)))
        last = self.start_victim()
        self.wait_jobs()
        self.open_storage()
        self.end(last, aggregator)
        self.assertFalse([process.name for process in self.processes if says(process, "quarantined")])
        self.assertGreaterEqual(len(self.messages("KafkaDeadTopic")), 5 * self.PARTITIONS)
        self.check_jobs()


class Aggregator(crashing.CrashCase):
    """One aggregator that dies, a worker that lives, and as many tiny jobs as it takes."""

    AT_END = {"aggregator.stopping", "aggregator.left_group", "queue.peace_committed", "queue.revoked", "queue.left"}
    AT_START = {"aggregator.state_taken", "aggregator.queues_open", "queue.assigned", "queue.left_read"}
    BY_LOAD = {"aggregator.job_loaded"}
    BY_REQUEUE = {"aggregator.round_begun", "aggregator.job_reopened", "aggregator.requeue_marked",
                  "aggregator.requeue_sent", "aggregator.requeue_published"}
    BY_LETTER = {"aggregator.dead_letter_sent", "queue.sent", "queue.answered", "queue.answer_taken"}
    BY_CANCEL = {"aggregator.cancelled"}
    BY_STALE = {"aggregator.stale_removed"}
    BY_REBUILD = {"aggregator.rebuilt"}
    OFTEN = {"aggregator.received", "aggregator.record_read", "aggregator.record_stored", "aggregator.acknowledged",
             "aggregator.notice_read", "aggregator.table_renamed", "queue.message_taken", "queue.given", "queue.acknowledged"}
    # Suspects are the workers' business, and a second aggregator waits for the lock before it joins the group.
    NOT_HERE = {"queue.given_alone", "queue.revoking"}
    AGAIN = ("aggregator.complete", "aggregator.names_settled", "aggregator.drafts_written", "aggregator.tables_written",
             "aggregator.tables_noted", "aggregator.table_renamed", "aggregator.tables_published")  # with --rebuild

    def setUp(self):
        super().setUp()
        self.home = tiny.write(os.path.join(self.class_home, "a"), 7, odd_every=1)
        self.other_home = tiny.write(os.path.join(self.class_home, "b"), 4, first=2)
        self.sink = smtp.Smtp(os.path.join(self.folder, "smtp"))
        self.addCleanup(self.sink.close)
        self.sink.start()
        self.poked = 0.0
        self.deaths = 0
        self.replaced = None

    def start_victim(self, *arguments):
        self.poked = 0.0
        return self.aggregate(*arguments, member="aggregator", SmtpUrl=self.sink.url, SmtpStartTls="off",
                              MailFrom="from@example.com")

    def every(self, seconds):
        if time.monotonic() - self.poked < seconds:
            return False
        self.poked = time.monotonic()
        return True

    def open_jobs(self):
        return [job for job in self.jobs if job.is_open()]

    def feed(self, most=2):
        if len(self.open_jobs()) < most:
            self.new_job(self.home, YourEmail="to@example.org")

    def poke(self, label, process):
        is_member = says(process, "kafka_assigned")
        if label in self.BY_LOAD:
            self.feed(1)
        if label in self.AT_END | self.AT_START | self.BY_LOAD:
            if is_member and time.monotonic() - process.started > 0.7 and self.every(30):
                self.send("KafkaResultsTopic", b"no record")  # so that there is something to commit
                time.sleep(0.1)
                process.signal(signal.SIGTERM)
        elif label in self.BY_REQUEUE:
            if is_member and not self.open_jobs() and self.every(1):
                self.command("requeue", self.jobs[-1].id, roots=False)
        elif label in self.BY_LETTER:
            if self.every(0.3):
                self.send("KafkaResultsTopic", b"no record")
        elif label in self.BY_CANCEL:
            if not self.open_jobs():
                job = self.new_job(self.home)
                job.is_cancelled = True
                self.command("cancel", job.id, roots=False)
        elif label in self.BY_STALE:
            if not self.open_jobs():
                self.replace_job()
        else:
            self.feed()

    def replace_job(self):
        """Another input for the output folder of one job."""
        if self.replaced is None:
            self.replaced = self.new_job(self.home, YourEmail="to@example.org")
            return
        job = self.replaced
        job.homes.append(self.other_home if job.homes[-1] == self.home else self.home)
        job.id = self.produce(home=job.homes[-1], out=job.out, YourEmail="to@example.org")

    def die(self, label, number, start=None, ended=(0,)):
        self.live(label, number, start or self.start_victim, lambda process: self.poke(label, process), ended=ended)
        self.deaths += 1

    def check_mails(self):
        """One for each job at least, and no more than one for each death too many; under the same name."""
        def missing():
            mails = [mail["Message-ID"] for mail in self.sink.mails()]
            return [job.id for job in self.jobs if not job.is_cancelled and not any(job.id in name for name in mails)]
        fleet.wait_until(lambda: not missing(), fleet.PATIENCE, lambda: "mails of %s" % missing(), step=1)
        names = [mail["Message-ID"] for mail in self.sink.mails()]
        self.assertLessEqual(len(names) - len(set(names)), self.deaths)

    def test_an_aggregator_that_dies_at_every_place(self):
        mine = labels("aggregator")
        self.assertGreaterEqual(len(mine), 20)
        for number in (1, 2, 3):
            for label in self.BY_CANCEL:
                self.die(label, number)
        worker = self.work(member="worker")
        others = self.BY_CANCEL | self.BY_REBUILD | self.BY_LOAD | self.NOT_HERE
        for turn in range(3):
            for label in mine + QUEUE:
                if label not in others:
                    self.die(label, ((1, 4, 11) if label in self.OFTEN else (1, 2, 3))[turn])
        worker.signal(signal.SIGSTOP)
        for number in (1, 2, 3):
            for label in self.BY_LOAD:
                self.die(label, number)
        worker.signal(signal.SIGCONT)
        last = self.start_victim()
        self.wait_jobs()
        self.check_mails()
        self.end(last, worker)
        self.die_rebuilding()
        self.check_jobs()

    def die_rebuilding(self):
        """With the tables of the last job, which stay as they were."""
        job = self.jobs[-1]
        for label in self.AGAIN + tuple(self.BY_REBUILD):
            for number in (1, 2, 3):
                self.live(label, number, lambda: self.start_victim("--rebuild", job.id), ended=(0, 1))
        self.command("aggregate", "--rebuild", job.id, status=(0, 1), state=True)


class Producer(crashing.CrashCase):
    """Producers that die, and whatever is needed so that their jobs come to their end: another attempt, or --resume."""

    OFTEN = {"producer.file_found", "producer.task_sent", "queue.sent", "queue.answered", "queue.answer_taken"}
    HERE = ["queue.sent", "queue.answered", "queue.answer_taken"]
    RESUMED = "producer.resumed"

    def setUp(self):
        super().setUp()
        self.home = tiny.write(self.class_home, 14, odd_every=2)
        self.current = None

    def start_one(self, *arguments):
        return self.start_produce(*arguments, home=self.home, out=self.current.out, partitions=self.PARTITIONS)

    def start_victim(self):
        """Another attempt at the present job; or the next job."""
        if self.current is None:
            self.current = crashing.Job(self, "job%03d" % len(self.jobs), self.home)
            self.jobs.append(self.current)
        mark = self.current.mark()
        return self.start_one("--resume", mark) if mark else self.start_one()

    def start_resumed(self):
        if self.current is None or self.current.mark() is None:
            with crashing.environment(NIFFLER_CRASH="producer.open_marked:1", NIFFLER_CRASH_COUNTS=None):
                self.current = None
                died = self.start_victim()
            self.assertEqual(died.wait(fleet.PATIENCE), -signal.SIGKILL, died.stderr)
        return self.start_victim()

    def is_sealed(self, process):
        if process.status != 0:  # the one before had sealed it, and died
            self.assertIn("no job is open", process.stderr)
        self.current = None

    def test_a_producer_that_dies_at_every_place(self):
        mine = labels("producer")
        self.assertGreaterEqual(len(mine), 10)
        crew = [self.work(), self.aggregate()]
        for turn in range(3):
            for label in mine + self.HERE:
                number = ((1, 4, 11) if label in self.OFTEN else (1, 2, 3))[turn]
                self.live(label, number, self.start_resumed if label == self.RESUMED else self.start_victim,
                          between=self.is_sealed, ended=(0, 2))
        while self.current is not None:
            last = self.start_victim()
            self.assertIn(last.wait(fleet.PATIENCE), (0, 2), last.stderr)
            self.is_sealed(last)
        self.wait_jobs()
        self.end(*crew)
        self.check_jobs()


if __name__ == "__main__":
    crashing.main()
