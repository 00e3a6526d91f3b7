"""What goes wrong around a fleet: the broker, the storage, processes that are killed or asked to end. The outputs stay those
of `extract`, and what is not needed is not done twice."""
import os
import random
import re
import shutil
import signal
import subprocess
import tempfile
import time

import fleet
import harness

READY = "127.0.0.1:0"
COMMIT_MS = 500
TOPICS = ("KafkaTasksTopic", "KafkaResultsTopic", "KafkaDeadTopic")


class FaultCase(fleet.FleetCase):
    def setUp(self):
        super().setUp()
        if not self.broker.is_running():  # the test before failed
            self.broker.start()
        self.broker.cont()

    def make_topics(self, partitions=1):
        self.broker.create_topics(*(self.settings[key] for key in TOPICS), partitions=partitions)

    def wait_readiness(self, process, code, seconds=60):
        fleet.wait_until(lambda: process.get("/readyz")[0] == code, seconds,
                         lambda: "%s: /readyz gives %s; it gave %s" % (process.name, code, process.get("/readyz")))

    def assertAlive(self, *processes):
        for process in processes:
            self.assertIsNone(process.status, process.name)
            if "--MetricsListen" in process.arguments:
                self.assertEqual(process.get("/livez")[0], 200)


class Broker(FaultCase):
    SAMPLES = ("--ct", "60")

    def test_absent_when_workers_and_aggregator_start(self):
        self.reference()
        self.make_topics()
        self.broker.kill9()
        worker, aggregator = self.work(MetricsListen=READY), self.aggregate(MetricsListen=READY)
        for process in (worker, aggregator):
            self.assertEqual(process.get("/livez")[0], 200)
        time.sleep(5)
        self.assertAlive(worker, aggregator)
        self.assertEqual(worker.get("/readyz")[0], 503)
        self.broker.start()
        self.wait_readiness(worker, 200, 120)
        self.produce()
        self.wait_complete()
        self.end(worker, aggregator)
        self.assertAsExtracted()

    def test_absent_when_the_producer_starts(self):
        self.reference()
        self.make_topics()
        self.broker.kill9()
        producer = self.start_produce()
        time.sleep(12)  # longer than one request lasts
        self.assertIsNone(producer.status, producer.stderr)
        self.broker.start()
        self.assertEqual(producer.wait(fleet.PATIENCE), 0, producer.stderr)
        worker = self.work()
        self.aggregate_job(producer.stdout.strip())
        self.end(worker)
        self.assertAsExtracted()

    def during_a_job(self, fault):
        self.reference()
        job = self.produce(partitions=4)
        crew = [self.work(MetricsListen=READY), self.work(MetricsListen=READY), self.aggregate(MetricsListen=READY)]
        self.wait_pictures(10)
        fault(crew)
        self.wait_complete()
        self.assertAlive(*crew)
        self.end(*crew)
        self.assertAsExtracted()
        files = harness.ledger(self.aggregate_job(job).stdout)[0]
        self.assertEqual(sorted(self.times_done(job)), list(range(files)))

    def test_killed_and_started_again_during_a_job(self):
        def fault(crew):
            self.broker.kill9()
            time.sleep(3)
            self.assertAlive(*crew)
            self.broker.start()
        self.during_a_job(fault)

    def test_killed_three_times_during_a_job(self):
        def fault(crew):
            for _ in range(3):
                self.broker.restart()
                time.sleep(1)
                self.assertAlive(*crew)
        self.during_a_job(fault)

    def test_frozen_for_eight_seconds_during_a_job(self):
        def fault(crew):
            self.broker.stop()
            time.sleep(8)
            self.assertAlive(*crew)
            self.broker.cont()
        self.during_a_job(fault)

    def test_gone_for_longer_than_a_session_lasts(self):
        """The members have given up their session, and the broker still remembers it: it must not wait for its end."""
        self.reference()
        seconds = 20
        harness.write_text("session.timeout.ms=%d000\nheartbeat.interval.ms=1000\n" % seconds,
                           self.settings["KafkaConfigFile"])
        self.make_topics(4)
        crew = [self.work(MetricsListen=READY), self.work(MetricsListen=READY), self.aggregate(MetricsListen=READY)]
        for process in crew:
            self.wait_readiness(process, 200)
        before = [self.resident_kb(process) for process in crew]
        self.produce(partitions=4)
        self.wait_pictures(10)
        self.broker.kill9()
        for process in crew:
            self.wait_readiness(process, 503)
        time.sleep(1.2 * seconds)
        self.assertAlive(*crew)
        self.broker.start()
        back = time.monotonic()
        self.produce(out=os.path.join(self.output_root, "next"), partitions=4)
        self.wait_complete()
        self.wait_complete(os.path.join(self.output_root, "next"))
        took = time.monotonic() - back
        print("complete %.1f s after the broker was back" % took)
        self.assertLess(took, 0.8 * seconds)  # of which it is to begin within 5 s
        for process, kb in zip(crew, before):
            self.assertLess(self.resident_kb(process), kb + 64 * 1024, process.name)
        self.end(*crew)
        self.assertAsExtracted()

    @staticmethod
    def resident_kb(process):
        return int(re.search(r"VmRSS:\s+(\d+)", harness.read_text("/proc/%d/status" % process.popen.pid)).group(1))

    def test_a_worker_is_asked_to_end_while_the_broker_is_frozen_or_gone(self):
        self.produce(partitions=2)
        for gone in (False, True):
            worker = self.work(DrainSeconds="5", MetricsListen=READY)
            self.wait_readiness(worker, 200)
            if gone:
                self.broker.kill9()
            else:
                self.broker.stop()
            worker.signal(signal.SIGTERM)
            # DrainSeconds, then 10 s for records that nobody takes, then 5 s for a close that nobody answers.
            status = worker.wait(40)
            self.assertIn(status, (0, 3), worker.stderr)
            if gone:
                self.broker.start()
            else:
                self.broker.cont()


def mount_tmpfs(folder, megabytes):
    """Whether that is allowed here."""
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=%dm,mode=0755" % megabytes, "tmpfs", folder],
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    return done.returncode == 0


class Storage(FaultCase):
    """Storage that is full, read-only or closed makes workers wait, and no file fails for it."""

    SAMPLES = ("--ct", "20")
    MEGABYTES = 64

    def use_tmpfs(self):
        if os.geteuid() != 0 or not mount_tmpfs(self.output_root, self.MEGABYTES):
            self.skipTest("needs the right to mount")
        self.addCleanup(subprocess.run, ["umount", "-l", self.output_root], check=False)

    def remount(self, how):
        subprocess.run(["mount", "-o", "remount," + how, self.output_root], check=True)

    def fill(self):
        with open(os.path.join(self.output_root, "filler"), "wb", buffering=0) as file:
            for size in (1 << 20, 4096):
                try:
                    while file.write(b"x" * size) == size:
                        pass
                except OSError:
                    pass

    def unfill(self):
        os.remove(os.path.join(self.output_root, "filler"))

    def outlasts(self, fault, cure, prefix=()):
        self.job = self.produce(partitions=2)
        fault()
        aggregator = self.aggregate()
        worker = self.work(MetricsListen=READY, StorageProbeSeconds="1", prefix=prefix)
        self.wait_readiness(worker, 503)
        fleet.wait_until(lambda: worker.metric("niffler_storage_breaker_open") == 1, 60, "the worker waits for its storage")
        self.wait_readiness(worker, 503)
        time.sleep(3)
        self.assertAlive(worker, aggregator)
        self.assertEqual(self.failed_for_storage(), [])
        cure()
        self.wait_readiness(worker, 200)
        self.wait_complete()
        self.assertEqual(worker.metric("niffler_storage_breaker_open"), 0)
        self.assertEqual(self.failed_for_storage(), [])
        self.end(worker, aggregator)
        self.assertAsExtracted()

    def failed_for_storage(self):
        return [parsed for _, parsed in self.records(self.job)
                if parsed.get("failure", {}).get("code", "").startswith("output_")]

    def test_full(self):
        self.reference()
        self.use_tmpfs()
        self.outlasts(self.fill, self.unfill)

    def test_read_only(self):
        self.reference()
        self.use_tmpfs()
        self.outlasts(lambda: self.remount("ro"), lambda: self.remount("rw"))

    def test_closed(self):
        self.reference()
        # Else root may write wherever it likes.
        prefix = ("setpriv", "--bounding-set", "-dac_override") if os.geteuid() == 0 else ()
        self.outlasts(lambda: os.chmod(self.out, 0o500), lambda: os.chmod(self.out, 0o700), prefix)

    def use_mount(self, folder):
        """The folder is that of a mount, which can go and come again with all that it holds; -> its two faults."""
        backing = tempfile.mkdtemp(dir=self.folder)

        def come():
            subprocess.run(["mount", "--bind", backing, folder], check=True)

        def go():
            subprocess.run(["umount", "-l", folder], check=True)
        if os.geteuid() != 0:
            self.skipTest("needs the right to mount")
        come()
        self.addCleanup(subprocess.run, ["umount", "-l", folder], check=False, stderr=subprocess.DEVNULL)
        return go, come

    def goes_and_comes(self, go, come, waits_for):
        """Worker and aggregator are ready when there are files, and what these need is not there."""
        self.make_topics(2)
        aggregator = self.aggregate(MetricsListen=READY, StorageProbeSeconds="1")
        worker = self.work(MetricsListen=READY, StorageProbeSeconds="1")
        for process in (worker, aggregator):
            self.wait_readiness(process, 200)
        for process in (worker, aggregator):
            process.signal(signal.SIGSTOP)
        self.job = self.produce()
        go()
        for process in (worker, aggregator):
            process.signal(signal.SIGCONT)
        time.sleep(4)
        self.assertAlive(worker, aggregator)
        for process in waits_for(worker, aggregator):
            self.wait_readiness(process, 503)
        come()
        self.wait_complete()
        for process in (worker, aggregator):
            self.wait_readiness(process, 200)
        self.end(worker, aggregator)
        statuses = {parsed["seq"]: parsed["status"] for _, parsed in self.records(self.job)}
        self.assertEqual(len(statuses), self.files)
        self.assertAsExtracted()

    def test_output_gone_for_a_while(self):
        self.files = harness.ledger(self.reference())[0]
        go, come = self.use_mount(self.output_root)
        self.goes_and_comes(go, come, lambda worker, aggregator: (worker,))

    def test_output_and_state_in_it_gone_for_a_while(self):
        self.files = harness.ledger(self.reference())[0]
        go, come = self.use_mount(self.output_root)
        self.state = None  # its default is in OutputRoot
        self.goes_and_comes(go, come, lambda worker, aggregator: (worker, aggregator))

    def test_input_gone_for_a_while(self):
        """Files that are not there because nothing is do not count as missing."""
        self.files = harness.ledger(self.reference())[0]
        self.input_root = os.path.join(self.folder, "in-root")
        os.mkdir(self.input_root)
        go, come = self.use_mount(self.input_root)
        subprocess.run(["cp", "-a", self.home, self.input_root], check=True)
        self.home = os.path.join(self.input_root, os.path.basename(self.home))
        shutil.rmtree(self.reference_out)
        self.reference()
        self.goes_and_comes(go, come, lambda worker, aggregator: (worker,))

    def test_state_full_gone_or_read_only_for_a_while(self):
        """The aggregator waits; it does not forget what it has, nor begin anew in the empty folder below."""
        self.reference()
        for fault in ("full", "gone", "ro"):
            shutil.rmtree(self.out, ignore_errors=True)
            shutil.rmtree(self.state)
            os.mkdir(self.state)
            filler = os.path.join(self.state, "filler")
            go, come = self.use_mount(self.state)
            if fault != "gone":
                go()
                self.assertTrue(mount_tmpfs(self.state, 8))
            if fault == "ro":  # not while somebody writes there: the kernel would refuse it
                subprocess.run(["mount", "-o", "remount,ro", self.state], check=True)
            job = self.produce(partitions=2)
            aggregator = self.aggregate(MetricsListen=READY, StorageProbeSeconds="1")
            self.wait_readiness(aggregator, 503 if fault == "ro" else 200)
            if fault != "ro":
                fleet.wait_until(lambda j=job: os.path.exists(os.path.join(self.state, "jobs", j)), 60, "it knows the job")
            if fault == "full":
                with open(filler, "wb", buffering=0) as file:
                    try:
                        while file.write(b"x" * 4096):
                            pass
                    except OSError:
                        pass
            elif fault == "gone":
                go()
                self.wait_readiness(aggregator, 503)  # within a second; a quick worker would be done before
            worker = self.work()
            self.wait_readiness(aggregator, 503)
            time.sleep(3)
            self.assertAlive(worker, aggregator)
            self.assertTrue(os.path.exists(os.path.join(self.out, fleet.OPEN_MARK)))
            if fault == "full":
                os.remove(filler)
            elif fault == "ro":
                subprocess.run(["mount", "-o", "remount,rw", self.state], check=True)
            else:
                come()
            self.wait_complete()
            self.end(worker, aggregator)
            self.assertAsExtracted()
            go()

    def test_full_in_the_middle(self):
        self.reference()
        self.use_tmpfs()
        self.job = self.produce()
        aggregator = self.aggregate()
        worker = self.work(MetricsListen=READY, StorageProbeSeconds="1")
        self.wait_pictures(3)
        self.fill()
        time.sleep(4)
        self.assertAlive(worker, aggregator)
        self.unfill()
        self.wait_complete()
        self.assertEqual(self.failed_for_storage(), [])
        self.end(worker, aggregator)
        self.assertAsExtracted()

    def test_full_when_the_tables_are_written(self):
        files = harness.ledger(self.reference())[0]
        self.use_tmpfs()
        job = self.produce()
        worker = self.work()
        fleet.wait_until(lambda: len(self.times_done(job)) == files, fleet.PATIENCE, "all records are sent", step=1)
        self.end(worker)
        self.fill()
        aggregator = self.aggregate()
        time.sleep(6)
        self.assertTrue(os.path.exists(os.path.join(self.out, fleet.OPEN_MARK)), "complete on a full disk")
        self.unfill()
        if aggregator.status is not None:  # to stop with a clear sentence is right as well; started again, it goes on
            self.assertEqual(aggregator.status, 3, aggregator.stderr)
            aggregator = self.aggregate()
        self.wait_complete()
        self.end(aggregator)
        self.assertAsExtracted()


class Drain(FaultCase):
    SAMPLES = ("--ct", "100")

    def assertDoneOnce(self, job):
        twice = {seq: times for seq, times in self.times_done(job).items() if times != 1}
        self.assertEqual(twice, {})

    def test_asked_to_end_when_idle(self):
        self.make_topics(2)
        worker = self.work(MetricsListen=READY)
        self.wait_readiness(worker, 200)
        began = time.monotonic()
        self.end(worker)
        self.assertLess(time.monotonic() - began, 15)
        self.assertIn("event=", worker.stderr)

    def test_asked_to_end_when_all_is_done(self):
        self.reference()
        job = self.produce(partitions=2)
        worker = self.work(MetricsListen=READY)
        self.aggregate_job(job)
        began = time.monotonic()
        self.end(worker)
        self.assertLess(time.monotonic() - began, 15)
        worker = self.work(MetricsListen=READY)
        self.wait_readiness(worker, 200)
        time.sleep(3)
        self.assertEqual(worker.metric("niffler_files_total"), 0)
        self.end(worker)
        self.assertDoneOnce(job)
        self.assertAsExtracted()

    def test_asked_to_end_when_busy_nothing_is_done_twice(self):
        self.reference()
        job = self.produce(partitions=2)
        aggregator = self.aggregate()
        enough = 0
        for _ in range(4):
            worker = self.work()
            enough += 20
            self.wait_pictures(enough)  # which the one before may have made
            fleet.wait_until(lambda w=worker: "event=started" in w.stderr, 60, "a worker starts", step=0.02)
            self.end(worker)
        last = self.work()
        self.wait_complete()
        self.end(last, aggregator)
        self.assertDoneOnce(job)
        self.assertAsExtracted()

    def test_one_of_two_is_asked_to_end_when_busy(self):
        self.reference()
        job = self.produce(partitions=4)
        aggregator, leaving, staying = self.aggregate(), self.work(MetricsListen=READY), self.work(MetricsListen=READY)
        for worker in (leaving, staying):
            fleet.wait_until(lambda w=worker: w.metric("niffler_assigned_partitions") > 0
                             or not os.path.exists(os.path.join(self.out, fleet.OPEN_MARK)), 60, "both work")
        self.end(leaving)
        self.wait_complete()
        self.end(staying, aggregator)
        self.assertAsExtracted()
        # A rebalance on the way may repeat what was being decoded: one file for each decoder that had to give up its share.
        repeated = sum(times - 1 for times in self.times_done(job).values())
        self.assertLessEqual(repeated, 2)

    def test_no_time_to_drain(self):
        self.reference()
        job = self.produce(partitions=2)
        worker = self.work(DrainSeconds="0")
        self.wait_pictures(10)
        began = time.monotonic()
        worker.signal(signal.SIGTERM)
        self.assertEqual(worker.wait(30), 0, worker.stderr)
        self.assertLess(time.monotonic() - began, 20)
        worker = self.work()
        self.aggregate_job(job)
        self.end(worker)
        self.assertAsExtracted()

    def test_asked_twice_ends_at_once(self):
        self.reference()
        job = self.produce(partitions=2)
        worker = self.work()
        self.wait_pictures(10)
        worker.signal(signal.SIGTERM)
        time.sleep(0.1)
        worker.signal(signal.SIGTERM)
        worker.wait(10)
        worker = self.work()
        self.aggregate_job(job)
        self.end(worker)
        self.assertAsExtracted()

    def test_killed_repeats_what_was_in_hand_and_not_yet_committed(self):
        self.reference()
        decoders = 1
        job = self.produce(partitions=2)
        worker = self.work(UseProcesses=str(decoders), KafkaCommitMs=str(COMMIT_MS))
        self.wait_pictures(40)
        worker.kill9()
        killed_ms = time.time() * 1000
        before = self.records(job)
        self.assertLess(len(before), 100)  # it was killed midway
        worker = self.work()
        self.aggregate_job(job)
        self.end(worker)
        # A commit is on its way for a while itself: half of its period, on a machine that is busy.
        uncommitted = sum(message.time_ms > killed_ms - 1.5 * COMMIT_MS - 250 for message, _ in before)
        repeated = sum(times - 1 for times in self.times_done(job).values())
        print("%d of %d records came again; %d were not committed" % (repeated, len(before), uncommitted))
        self.assertLessEqual(repeated, 2 * decoders + uncommitted)
        self.assertAsExtracted()

    def test_killed_again_and_again(self):
        """Workers and aggregator, at any moment."""
        self.reference()
        dice = random.Random(20261125)
        job = self.produce(partitions=4)
        crew = {name: start() for name, start in (("a", self.work), ("b", self.work), ("c", self.aggregate))}
        for _ in range(6):
            time.sleep(dice.uniform(0.2, 2))
            name = dice.choice("abc")
            crew[name].kill9()
            crew[name] = self.aggregate() if name == "c" else self.work()
        self.wait_complete()
        for process in crew.values():  # one that was begun just now must have come to where it listens to signals
            fleet.wait_until(lambda p=process: "event=started" in p.stderr, 60, process.name + " has started")
        self.end(*crew.values())
        files = harness.ledger(self.aggregate_job(job).stdout)[0]
        self.assertEqual(sorted(self.times_done(job)), list(range(files)))
        self.assertAsExtracted()

    def test_frozen_until_another_has_its_share(self):
        """What a worker does that wakes up when its work was given to another changes nothing."""
        self.reference()
        job = self.produce(partitions=2)
        sleeper, aggregator = self.work(), self.aggregate()
        self.wait_pictures(10)
        sleeper.signal(signal.SIGSTOP)
        other = self.work()
        self.wait_complete()
        sleeper.signal(signal.SIGCONT)
        time.sleep(3)
        self.end(other, sleeper, aggregator)
        self.aggregate_job(job)
        self.assertAsExtracted()


class TwoAggregators(FaultCase):
    SAMPLES = ("--ct", "40")

    def send_records(self, job, lines):
        """In that order, by the same key as the workers'."""
        path = os.path.join(self.folder, "records")
        with open(path, "wb") as file:
            file.writelines(job.encode() + b"\t" + line + b"\n" for line in lines)
        self.kcat("-P", "-t", self.settings["KafkaResultsTopic"], "-K", "\t", "-l", path)

    def test_records_late_doubled_and_in_any_order_change_nothing(self):
        files = harness.ledger(self.reference())[0]
        job = self.produce()
        worker = self.work()
        fleet.wait_until(lambda: len(self.times_done(job)) == files, fleet.PATIENCE, "all records are sent", step=1)
        self.end(worker)
        # What an aggregator reads that has a topic of its own: all of it, three times, shuffled; the seal comes midway.
        messages = [message.value for message in self.messages("KafkaResultsTopic")]
        notices = [value for value in messages if b'"type"' in value]
        records = [value for value in messages if value not in notices]
        self.assertEqual((len(notices), len(records)), (2, files))
        dice = random.Random(20261126)
        shuffled = 3 * records
        dice.shuffle(shuffled)
        shuffled.insert(len(shuffled) // 2, notices[1])
        self.settings["KafkaResultsTopic"] += "-again"
        self.broker.create_topics(self.settings["KafkaResultsTopic"])
        self.send_records(job, notices[:1] + shuffled)
        aggregator = self.aggregate(MetricsListen=READY)
        self.wait_complete()
        self.assertAsExtracted()
        self.assertEqual(aggregator.metric("niffler_records_total"), files)
        dice.shuffle(records)
        self.send_records(job, records + notices + records)
        fleet.wait_until(lambda: aggregator.metric("niffler_results_duplicate_total") == 4 * files, 60,
                         lambda: "late ones are read: %s" % aggregator.metric("niffler_results_duplicate_total"))
        self.end(aggregator)
        self.assertFalse(os.path.exists(os.path.join(self.out, fleet.OPEN_MARK)))
        self.assertAsExtracted()

    def test_the_second_waits_or_refuses_and_takes_over(self):
        self.reference()
        job = self.produce(partitions=4)
        first = self.aggregate(MetricsListen=READY)
        self.wait_readiness(first, 200)
        second = self.aggregate()
        time.sleep(4)
        if second.status is not None:
            self.assertIn(second.status, (2, 3))
            self.assertRegex(second.stderr, r"niffler-png: .*\S")
        self.assertAlive(first)
        worker = self.work()
        self.wait_pictures(10)
        first.kill9()
        if second.status is not None:
            second = self.aggregate()
        self.wait_complete()
        self.end(second, worker)
        self.assertAsExtracted()
        files = harness.ledger(self.aggregate_job(job).stdout)[0]
        self.assertEqual(sorted(self.times_done(job)), list(range(files)))


if __name__ == "__main__":
    harness.main()
