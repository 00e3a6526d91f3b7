"""Jobs over a real Kafka broker: the same bytes as `extract`, and the commands that people give."""
import json
import os
import random
import re
import shutil
import signal
import sys
import time

import dicom_files
import fleet
import harness

SHARED = os.environ.get("NIFFLER_SHARED", os.path.join(os.path.dirname(harness.SOURCE), "shared"))


def files_below(home):
    return sorted(os.path.join(path, name) for path, _, names in os.walk(home) for name in names)


def first_line(text):
    return text.split("\n", 1)[0]


class Oracle(fleet.FleetCase):
    """What comes out does not depend on workers, partitions or the order of arrival."""

    @classmethod
    def make_input(cls):
        super().make_input()
        names = ((0x00100010, "PN", "=HYPERLINK"), (0x00104000, "LT", "+1,-1"), (0x00280030, "DS", "-1.5\\-2"))
        with open(os.path.join(cls.class_home, "formulas.dcm"), "wb") as file:
            file.write(dicom_files.image(2, 2, bytes(8), before=b"".join(
                dicom_files.element(*of) for of in names[:2]), after=dicom_files.element(*names[2])))

    def check(self, *flags, workers, partitions, times=1):
        expected = self.reference(*flags, times=times)
        for _ in range(times):
            job, summary = self.run_job(*flags, workers=workers, partitions=partitions)
            self.assertEqual(first_line(summary), first_line(expected))
            self.assertEqual(sorted(self.times_done(job)), list(range(harness.ledger(summary)[0])))
        self.assertAsExtracted()
        self.assertEqual(self.messages("KafkaDeadTopic"), [])

    def test_one_worker_one_partition(self):
        self.check(workers=1, partitions=1)

    def test_one_worker_eight_partitions(self):
        self.check(workers=1, partitions=8)

    def test_two_workers_one_partition(self):
        self.check(workers=2, partitions=1)

    def test_two_workers_eight_partitions(self):
        self.check(workers=2, partitions=8)

    def test_five_workers_one_partition(self):
        self.check(workers=5, partitions=1)

    def test_five_workers_eight_partitions(self):
        self.check(workers=5, partitions=8)

    def test_as_niffler_does(self):
        self.check("--Compatibility", "niffler", "--Depth", "-1", workers=2, partitions=8)

    def test_stored_values(self):
        self.check("--PixelScaling", "stored", "--FlattenedToLevel", "series", workers=2, partitions=8)

    def test_twice_into_one_folder(self):
        self.check(workers=2, partitions=4, times=2)

    def test_tables_alone_of_common_columns(self):
        self.check("--PrintImages", "false", "--CommonHeadersOnly", "true", workers=2, partitions=4)

    def test_formulas_are_marked(self):
        self.check("--PrintImages", "false", "--CsvFormulaGuard", "true", workers=1, partitions=1)
        row = [row for row in harness.table(self.out, "metadata.csv") if row["file"].endswith("/formulas.dcm")][0]
        self.assertEqual(row["PatientName"], "'=HYPERLINK")
        self.assertEqual(row["PatientComments"], "'+1,-1")
        self.assertEqual(row["PixelSpacing"], "-1.5\\-2")

    def test_two_jobs_at_once(self):
        self.reference()
        other = os.path.join(self.output_root, "deeper", "other")
        jobs = [self.produce(partitions=4), self.produce(out=other, partitions=4)]
        self.assertNotEqual(jobs[0], jobs[1])
        crew = [self.work(), self.work(), self.aggregate()]
        self.wait_complete()
        self.wait_complete(other)
        self.end(*crew)
        self.assertAsExtracted()
        self.assertSameOutputs(self.out, other)

    def test_two_jobs_whose_limits_differ(self):
        """A file that comes behind one of another job has the limits of its own."""
        noise = os.path.join(self.folder, "noise")
        self.input_root = os.path.join(self.folder, "in-root")
        os.mkdir(self.input_root)
        homes = {name: os.path.join(self.input_root, name) for name in ("small", "noise")}
        for name, side in (("small", 8), ("noise", 300)):
            os.mkdir(homes[name])
            for number in range(6):
                with open(os.path.join(homes[name], "%d.dcm" % number), "wb") as file:
                    file.write(dicom_files.image(side, side, random.Random(number).randbytes(side * side), bits=8))
        self.extract(home=homes["noise"])
        os.rename(self.out, noise)
        jobs = [self.produce("--MaxPictureBytes", "64K", home=homes["small"], out=os.path.join(self.output_root, "small")),
                self.produce(home=homes["noise"])]
        self.assertNotEqual(*jobs)
        crew = [self.work(), self.aggregate()]
        self.wait_complete(os.path.join(self.output_root, "small"))
        self.wait_complete()
        self.end(*crew)
        self.assertSameOutputs(noise, self.out)


class Corpus(fleet.FleetCase):
    """Where the corpus lies beside the checkout: files that hang, crash and lie to their decoders."""

    @classmethod
    def make_input(cls):
        cls.class_input_root = SHARED
        cls.class_home = os.path.join(SHARED, "dicom")

    def check(self, *flags):
        expected = self.reference(*flags)
        self.assertGreater(harness.ledger(expected)[4], 0)
        _, summary = self.run_job(*flags, workers=2, partitions=8)
        self.assertEqual(first_line(summary), first_line(expected))
        self.assertAsExtracted()

    def test_the_default_mode(self):
        self.check()

    def test_as_niffler_does(self):
        self.check("--Compatibility", "niffler", "--Depth", "-1", "--FlattenedToLevel", "series")


class Commands(fleet.FleetCase):
    WITH_REDIS = True

    def own_input(self):
        """A copy of the samples that the test may change."""
        self.input_root = os.path.join(self.folder, "in-root")
        self.home = os.path.join(self.input_root, "dicom")
        shutil.copytree(self.class_home, self.home)

    def many_small_files(self, count):
        self.input_root = os.path.join(self.folder, "in-root")
        self.home = os.path.join(self.input_root, "dicom")
        os.makedirs(self.home)
        source = next(path for path in files_below(self.class_home) if path.endswith(".dcm") and "MR" in path)
        shutil.copy(source, os.path.join(self.home, "00000.dcm"))
        for number in range(1, count):
            os.link(os.path.join(self.home, "00000.dcm"), os.path.join(self.home, "%05d.dcm" % number))

    def test_topics_are_made_once_and_workers_start_before_any_job(self):
        def partitions():
            listed = json.loads(self.kcat("-L", "-J"))["topics"]
            return sorted(len(topic["partitions"]) for topic in listed if topic["topic"] in self.settings.values())

        self.command("topics", "--partitions", "3", roots=False)
        self.assertEqual(partitions(), [3, 3, 3])
        self.command("topics", "--partitions", "5", roots=False)
        self.assertEqual(partitions(), [3, 3, 3], "those that are there are left alone")
        worker, aggregator = self.work(MetricsListen="127.0.0.1:0"), self.aggregate(MetricsListen="127.0.0.1:0")
        for process in (worker, aggregator):
            fleet.wait_until(lambda: process.get("/readyz")[0] == 200, 60, process.name + " is ready")
        self.end(worker, aggregator)
        for wrong in ("0", "x", "3.5", "-1"):
            refused = self.command("topics", "--partitions=" + wrong, roots=False, status=(2,))
            self.assertIn("allowed is a whole number", refused.stderr)

    def test_a_list_of_files_in_any_order_and_with_duplicates_is_a_scan(self):
        expected = self.reference()
        paths = [os.path.relpath(path, self.home) for path in files_below(self.home)]
        random.Random(20261124).shuffle(paths)
        paths += paths[:20]
        listed = os.path.join(self.folder, "files.txt")
        harness.write_text("".join(path + "\n" for path in paths), listed)
        for again in (False, True):
            if again:
                shutil.rmtree(self.out)
                with open(listed, "rb") as stdin:
                    job = self.produce("--FilesFrom", "-", partitions=4, stdin=stdin)
            else:
                job = self.produce("--FilesFrom", listed, partitions=4)
            worker = self.work()
            summary = self.aggregate_job(job).stdout
            self.end(worker)
            self.assertEqual(first_line(summary), first_line(expected))
            self.assertAsExtracted()

    def test_a_folder_has_one_open_job(self):
        self.reference()
        job = self.produce()
        second = self.start_produce()
        self.assertIn(second.wait(fleet.PATIENCE), (2, 3))
        self.assertIn(job, second.stderr)
        self.assertEqual(second.stdout, "")
        worker = self.work()
        self.aggregate_job(job)
        self.end(worker)
        self.assertAsExtracted()
        self.assertNotEqual(self.produce(), job)  # the folder is free again

    def test_a_topic_that_is_missing_is_named(self):
        lone = self.start("produce", "--DICOMHome", self.home, "--OutputDirectory", self.out)
        self.assertIn(lone.wait(fleet.PATIENCE), (2, 3))
        self.assertRegex(lone.stderr, "(tasks|results)-a-topic-that-is-missing")
        self.assertEqual(lone.stdout, "")
        worker = self.work()
        self.assertIn(worker.wait(fleet.PATIENCE), (2, 3))
        self.assertRegex(worker.stderr, "(tasks|results|dead)-a-topic-that-is-missing")
        aggregator = self.aggregate()
        self.assertIn(aggregator.wait(fleet.PATIENCE), (2, 3))
        self.assertRegex(aggregator.stderr, "(tasks|results|dead)-a-topic-that-is-missing")

    def test_output_outside_the_root_is_refused(self):
        for home, out in ((self.home, os.path.join(self.folder, "elsewhere")),
                          (self.home, os.path.join(self.output_root, "..", "elsewhere")),
                          (self.folder, self.out)):
            lone = self.start_produce(home=home, out=out)
            self.assertIn(lone.wait(fleet.PATIENCE), (2, 3))
            self.assertRegex(lone.stderr, "OutputRoot|InputRoot")
        self.assertFalse(os.path.exists(os.path.join(self.folder, "elsewhere")))

    def test_a_producer_that_was_killed_is_resumed(self):
        self.many_small_files(800)
        tables_only = ("--PrintImages", "false")
        self.reference(*tables_only)
        began = time.monotonic()
        job = self.produce(*tables_only)
        length = time.monotonic() - began
        worker = self.work()
        self.aggregate_job(job)
        self.assertAsExtracted()
        resumed = 0
        for attempt in range(12):
            self.out = os.path.join(self.output_root, "job%d" % attempt)
            killed = self.start_produce(*tables_only)
            time.sleep(length * (attempt + 0.5) / 12)
            killed.kill9()
            second = self.start_produce(*tables_only)
            if second.wait(fleet.PATIENCE) == 0:
                job = second.stdout.strip()  # the first had not begun
            else:
                found = re.findall(r"\b%s\b" % fleet.JOB_ID, second.stderr)
                self.assertTrue(found, second.stderr)
                self.assertEqual(self.produce("--resume", found[0], *tables_only), found[0])
                job = found[0]
                resumed += 1
            self.aggregate_job(job)
            self.assertAsExtracted()
        self.end(worker)
        print("%d of 12 were resumed" % resumed)
        self.assertGreater(resumed, 0)

    def test_a_cancelled_job_is_worked_on_no_more(self):
        files = harness.ledger(self.reference())[0]
        job = self.produce(partitions=2)
        self.command("cancel", job)
        aggregator = self.aggregate()
        self.wait_complete()
        self.wait_state(job, "cancelled")
        worker = self.work(MetricsListen="127.0.0.1:0")
        fleet.wait_until(lambda: worker.metric("niffler_tasks_skipped_total") == files, fleet.PATIENCE, "all are skipped")
        self.assertEqual(worker.metric("niffler_tasks_consumed_total"), files)
        self.assertEqual(worker.metric("niffler_files_total"), 0)
        self.assertEqual(self.pictures(), [])
        self.produce(partitions=2)  # the folder is free for the next
        self.wait_complete()
        self.end(worker, aggregator)
        self.assertAsExtracted()

    def test_a_job_that_is_cancelled_midway_stops(self):
        job = self.produce()
        aggregator, worker = self.aggregate(), self.work()
        self.wait_pictures(5)
        self.command("cancel", job, status=(0, 1, 2, 3))  # it may be complete already
        self.wait_complete()
        fleet.wait_until(lambda: self.status(job)["state"] in ("cancelled", "complete"), 60, "the job is over")
        self.end(worker, aggregator)

    def failures(self):
        return harness.table(self.out, "failures.csv")

    def requeue(self, *arguments, codes):
        """A job with failures, of which those with one of `codes` are mended and queued again."""
        self.own_input()
        job, summary = self.run_job(partitions=2)
        before = self.failures()
        self.assertEqual(harness.ledger(summary)[4], len(before))
        good = next(path for path in files_below(self.home) if path.endswith(".dcm") and "CT" in path)
        mended = [row["file"] for row in before if row["code"] in codes]
        self.assertTrue(mended)
        for path in mended:
            shutil.copyfile(good, path)
        times = {path: os.stat(path).st_mtime_ns for path in self.pictures()}
        self.command("requeue", job, *arguments)
        crew = [self.work(), self.aggregate()]
        fleet.wait_until(lambda: len(self.failures()) == len(before) - len(mended), fleet.PATIENCE, "the failures are fewer")
        self.wait_complete()
        self.end(*crew)
        self.assertEqual(times, {path: os.stat(path).st_mtime_ns for path in self.pictures() if path in times})
        os.rename(self.out, self.out + "-fleet")
        self.extract()
        self.assertSameOutputs(self.out, self.out + "-fleet")

    def test_requeue_replaces_the_rows_of_files_that_were_mended(self):
        self.requeue(codes=("too_short", "not_dicom", "no_pixels"))

    def test_requeue_of_one_category(self):
        self.requeue("--category", "2", codes=("too_short",))

    def test_commands_on_what_is_no_job(self):
        self.produce()
        for command in ("status", "cancel", "requeue"):
            for wrong in ("../../etc/passwd", "x", "0" * 27, "01arz3ndektsv4rrffq69g5fav"):
                lone = self.command(command, wrong, status=(2, 3))
                self.assertIn("niffler-png: ", lone.stderr)
        self.command("status", "0" * 26, status=(1,))

    def test_tables_are_rebuilt_from_the_state(self):
        self.reference()
        job = self.run_job()[0]
        tables = ("metadata.csv", "mapping.csv", "failures.csv")
        for name in tables:
            os.unlink(os.path.join(self.out, name))
        lone = self.command("aggregate", "--rebuild", job, status=(0, 1), StateDirectory=self.state)
        self.assertIn("files found = ", lone.stdout)
        self.assertAsExtracted()
        unknown = self.command("aggregate", "--rebuild", "0" * 26, status=(3,), StateDirectory=self.state)
        self.assertIn("no such job", unknown.stderr)

    def test_an_aggregator_for_one_job_that_is_asked_to_end_says_that_the_job_is_not_complete(self):
        job = self.produce()
        aggregator = self.aggregate("--job", job)
        fleet.wait_until(lambda: "job_open" in aggregator.stderr, 60, "the job is known")
        self.end(aggregator, status=3)
        self.assertIn("job %s is not complete" % job, aggregator.stderr)

    def test_extract_keeps_off_a_folder_whose_job_is_open(self):
        job = self.produce()
        done = self.extract(status=2)
        self.assertIn(job, done.stderr)
        worker = self.work()
        self.aggregate_job(job)
        self.end(worker)
        self.extract()

    def test_a_job_that_nobody_knows_disturbs_nobody(self):
        self.reference()
        job = self.produce()
        for command in ("cancel", "requeue"):
            self.command(command, "0" * 26, status=(0, 1, 2, 3))
        worker = self.work()
        self.aggregate_job(job)
        self.end(worker)
        self.assertAsExtracted()

    def test_doctor_finds_what_is_wrong_and_what_is_right(self):
        self.produce()
        self.command("doctor")
        for wrong in ({"KafkaTasksTopic": "no-such-topic"}, {"KafkaBrokers": "127.0.0.1:%d" % fleet.service.free_port()},
                      {"OutputRoot": os.path.join(self.folder, "nowhere")},
                      {"RedisUrl": "redis://127.0.0.1:%d" % fleet.service.free_port()}):
            lone = self.command("doctor", status=(3,), **wrong)
            text = lone.stdout + lone.stderr
            name, value = next(iter(wrong.items()))
            self.assertTrue(name in text or value in text or value.partition("//")[2] in text, text)


class Tls(fleet.FleetCase):
    BROKER = {"tls_scram": True}
    SAMPLES = ("--only", "mr")

    def use(self, password):
        self.settings["KafkaBrokers"] = self.broker.tls_brokers
        self.broker.client_config(self.settings["KafkaConfigFile"], password,
                                  ["session.timeout.ms=6000", "heartbeat.interval.ms=1000"])

    def assertNowhere(self, secret):
        for process in self.processes:
            self.assertNotIn(secret, process.stdout + process.stderr)
        for path, _, names in os.walk(self.output_root):
            for name in names:
                self.assertNotIn(secret.encode(), harness.read_bytes(path, name))

    def test_a_job_over_tls_with_a_password(self):
        self.reference()
        self.use(fleet.kafka.PASSWORD)
        self.run_job(partitions=2, workers=2)
        self.assertAsExtracted()
        self.assertNowhere(fleet.kafka.PASSWORD)

    def test_a_wrong_password_is_an_error_that_says_so(self):
        self.use("wrong-horse")
        lone = self.start_produce()
        self.assertIn(lone.wait(fleet.PATIENCE), (2, 3))
        self.assertRegex(lone.stderr, "(?i)authenticat|credential|sasl")
        self.assertEqual(lone.stdout, "")
        self.command("doctor", status=(3,))
        self.assertNowhere("wrong-horse")

    def test_a_worker_with_a_wrong_password_takes_nothing_and_says_so(self):
        self.reference()
        self.use(fleet.kafka.PASSWORD)
        job = self.produce()
        self.use("wrong-horse")
        lone = self.work()
        fleet.wait_until(lambda: lone.status is not None or re.search("(?i)authenticat|credential|sasl", lone.stderr),
                         60, "the worker says what is wrong")
        lone.signal(signal.SIGTERM)
        lone.wait(90)
        self.use(fleet.kafka.PASSWORD)
        worker = self.work()
        self.aggregate_job(job)
        self.end(worker)
        self.assertAsExtracted()
        self.assertNowhere("wrong-horse")

    def test_another_authority_is_not_trusted(self):
        other = os.path.join(self.folder, "other")
        os.mkdir(other)
        fleet.kafka.make_certificates(other)
        self.use(fleet.kafka.PASSWORD)
        path = self.settings["KafkaConfigFile"]
        harness.write_text(harness.read_text(path).replace(self.broker.place("ca.pem"), os.path.join(other, "ca.pem")), path)
        lone = self.start_produce()
        self.assertIn(lone.wait(fleet.PATIENCE), (2, 3))
        self.assertRegex(lone.stderr, "(?i)certificate|ssl")
        self.assertEqual(lone.stdout, "")


if __name__ == "__main__":
    if sys.argv[1:2] == ["Corpus"]:
        if not os.path.isdir(os.path.join(SHARED, "dicom")):
            print("no corpus beside the checkout (%s): not run" % SHARED)
            sys.exit(77)
        print("using the corpus in %s" % SHARED)
    harness.main()
