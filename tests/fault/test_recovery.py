#!/usr/bin/python3
"""What a fleet loses, it gets back or says so: members that come and go, offsets, records and state that are lost, partitions
that are added. Each test names its row of the table in README.md."""
import os
import shutil
import signal
import struct
import time

import crashing
import fleet
import harness
import kafka
import tiny


class Recovery(crashing.CrashCase):
    FILES = 800

    def setUp(self):
        super().setUp()
        self.home = tiny.write(self.class_home, self.FILES, odd_every=20)

    def new_one(self):
        job = self.new_job(self.home)
        self.out = job.out
        return job

    def impatient(self):
        """A KafkaConfigFile: members are missed soon, new partitions are seen soon."""
        path = os.path.join(self.folder, "impatient.conf")
        harness.write_text("session.timeout.ms=6000\nheartbeat.interval.ms=300\ntopic.metadata.refresh.interval.ms=1000\n",
                           path)
        return path

    def finish(self, *crew):
        self.wait_jobs()
        self.end(*crew)
        self.check_jobs()

    # ---- W7 ----

    def test_members_come_and_go(self):
        """One worker, six, one, six, one: something is done at all times, and nobody ends but by request."""
        self.new_one()
        aggregator = self.aggregate()
        crew = []
        for count in (1, 6, 1, 6, 1):
            while len(crew) < count:
                crew.append(self.work(KafkaConfigFile=self.impatient()))
            while len(crew) > count:
                self.end(crew.pop(0))
            before = len(self.pictures())
            fleet.wait_until(lambda: len(self.pictures()) > before + 10 or not self.jobs[-1].is_open(), 60, "progress")
            if not self.jobs[-1].is_open():
                self.new_one()
        self.finish(aggregator, *crew)

    # ---- W12 ----

    def test_the_group_has_lost_its_offsets(self):
        """All tasks come again: those of the closed job are passed over, those of the open one done once more."""
        first = self.new_one()
        aggregator = self.aggregate()
        worker = self.work()
        self.wait_jobs()
        second = self.new_one()
        self.wait_pictures(40)
        worker.kill9()
        done = self.times_done(first.id)
        worker = self.work(KafkaWorkerGroup=self.settings["KafkaWorkerGroup"] + "-anew", MetricsListen="127.0.0.1:0")
        self.wait_jobs()
        fleet.wait_until(lambda: worker.metric("niffler_tasks_skipped_total") >= self.FILES, 60, "the closed job is skipped")
        self.assertEqual(self.times_done(first.id), done)
        self.assertEqual(sorted(self.times_done(second.id)), list(range(self.FILES)))
        self.finish(aggregator, worker)

    def test_the_tasks_are_deleted_before_they_are_read(self):
        """As after too short a retention: the job stays open, is never "complete", and --resume sends them again."""
        job = self.new_one()
        self.delete_records(self.settings["KafkaTasksTopic"])
        aggregator, worker = self.aggregate(), self.work()
        fleet.wait_until(lambda: "event=kafka_assigned" in worker.stderr and "event=job_open" in aggregator.stderr, 60,
                         "both are at work")
        time.sleep(3)
        self.assertTrue(job.is_open())
        self.assertFalse(os.path.exists(os.path.join(job.out, "metadata.csv")))
        self.resume(job)
        self.finish(aggregator, worker)

    def delete_records(self, topic):
        """DeleteRecords, version 1: up to the end of each partition."""
        partitions = b"".join(struct.pack(">iq", number, -1) for number in range(self.PARTITIONS))
        body = (struct.pack(">i", 1) + kafka.text(topic) + struct.pack(">i", self.PARTITIONS) + partitions
                + struct.pack(">i", 10000))
        reply = kafka.ask(self.broker.port, 21, 1, body)
        at = 4 + 4 + 2 + len(topic) + 4  # throttle time, topics, name, partitions
        for _ in range(self.PARTITIONS):
            _, low, error = struct.unpack(">iqh", reply[at:at + 14])
            self.assertEqual(error, 0)
            self.assertGreater(low, 0)
            at += 14

    # ---- B2 ----

    def test_partitions_are_added_during_a_job(self):
        """The job that runs is done, and so is the next one, which is spread over all of them."""
        self.new_one()
        crew = [self.aggregate(), self.work(KafkaConfigFile=self.impatient()), self.work(KafkaConfigFile=self.impatient())]
        self.wait_pictures(30)
        self.add_partitions(self.settings["KafkaTasksTopic"], 8)
        topic = self.settings["KafkaTasksTopic"].encode()
        fleet.wait_until(lambda: b'topic "%s" with 8 partitions' % topic in self.kcat("-L"), 60, "eight partitions")
        self.new_one()
        self.assertEqual({message.partition for message in self.messages("KafkaTasksTopic")}, set(range(8)))
        self.finish(*crew)

    def add_partitions(self, topic, count):
        """CreatePartitions, version 0."""
        body = struct.pack(">i", 1) + kafka.text(topic) + struct.pack(">iiib", count, -1, 20000, 0)
        reply = kafka.ask(self.broker.port, 37, 0, body)
        at = 4 + 4 + 2 + len(topic)
        self.assertEqual(struct.unpack(">h", reply[at:at + 2])[0], 0)

    # ---- A3 ----

    def stores(self):
        """The database, and what was not yet moved into it."""
        return [os.path.join(path, name) for path, _, names in os.walk(self.state) for name in names
                if name.endswith((".db", ".db-wal"))]

    def interrupt(self):
        """An aggregator is killed in the middle of a job; -> the worker, which goes on."""
        aggregator, worker = self.aggregate(), self.work()
        self.wait_pictures(60)
        known = os.path.join(self.state, "jobs", self.jobs[-1].id)
        fleet.wait_until(lambda: os.path.exists(known), 60, "the aggregator knows the job, and its store holds it")
        self.assertTrue(any(os.path.getsize(path) > 0 for path in self.stores() if path.endswith(".db")))
        aggregator.kill9()
        self.assertTrue(self.jobs[-1].is_open())
        return worker

    def resume(self, job):
        resumed = self.start_produce("--resume", job.id, home=self.home, out=job.out, partitions=self.PARTITIONS)
        self.assertEqual(resumed.wait(fleet.PATIENCE), 0, resumed.stderr)

    def test_the_state_directory_is_lost(self):
        """The job is not known any more: it stays open until its producer's word comes again."""
        job = self.new_one()
        worker = self.interrupt()
        shutil.rmtree(self.state)
        os.mkdir(self.state)
        aggregator = self.aggregate()
        time.sleep(3)
        self.assertFalse(os.path.exists(os.path.join(job.out, "metadata.csv")))
        self.resume(job)
        self.finish(aggregator, worker)

    def test_the_store_is_damaged(self):
        """Never a wrong table: the aggregator says so, and ends; without the file the job can be done anew."""
        job = self.new_one()
        worker = self.interrupt()
        for path in self.stores():
            size = os.path.getsize(path)
            with open(path, "r+b") as file:
                for at in range(0, size, 4096):
                    file.seek(at)
                    file.write(os.urandom(min(2048, size - at)))
        aggregator = self.aggregate()
        self.assertNotIn(aggregator.wait(60), (0, 1))
        self.assertRegex(aggregator.stderr, "state database is (damaged|no database)")
        self.assertFalse(os.path.exists(os.path.join(job.out, "metadata.csv")))
        for path in self.stores():
            os.unlink(path)
        aggregator = self.aggregate()
        self.resume(job)
        self.finish(aggregator, worker)


if __name__ == "__main__":
    crashing.main()
