"""What people may do that is not the common case: each job gives what `extract` gives."""
import json
import os
import re
import shutil
import signal
import struct
import subprocess
import time

import fleet
import harness


def element(group, number, vr, value):
    """One data element, explicit VR, little endian."""
    value += (b"\0" if vr == b"UI" else b" ") * (len(value) % 2)
    length = struct.pack("<HI", 0, len(value)) if vr in (b"OB", b"OW", b"UT") else struct.pack("<H", len(value))
    return struct.pack("<HH", group, number) + vr + length + value


def picture_with_text(text):
    """A file of 2 by 2 pixels that has a long value besides."""
    meta = element(2, 1, b"OB", b"\0\1") + element(2, 2, b"UI", b"1.2.840.10008.5.1.4.1.1.7")
    meta += element(2, 3, b"UI", b"1.2.3.4") + element(2, 0x10, b"UI", b"1.2.840.10008.1.2.1")

    def number(value):
        return struct.pack("<H", value)
    data = element(8, 0x16, b"UI", b"1.2.840.10008.5.1.4.1.1.7") + element(8, 0x18, b"UI", b"1.2.3.4")
    data += element(8, 0x60, b"CS", b"OT") + element(0x10, 0x20, b"LO", b"LONG")
    data += element(0x20, 0xD, b"UI", b"1.2.3") + element(0x20, 0xE, b"UI", b"1.2.3.1")
    data += element(0x28, 2, b"US", number(1)) + element(0x28, 4, b"CS", b"MONOCHROME2")
    data += element(0x28, 0x10, b"US", number(2)) + element(0x28, 0x11, b"US", number(2))
    data += element(0x28, 0x100, b"US", number(8)) + element(0x28, 0x101, b"US", number(8))
    data += element(0x28, 0x102, b"US", number(7)) + element(0x28, 0x103, b"US", number(0))
    data += element(0x40, 0xA160, b"UT", text) + element(0x7FE0, 0x10, b"OB", b"\0\x50\xa0\xff")
    return b"\0" * 128 + b"DICM" + element(2, 0, b"UL", struct.pack("<I", len(meta))) + meta + data


class Corners(fleet.FleetCase):
    SAMPLES = ("--only", "mr")

    def own_input(self, name="dicom"):
        """A copy of the samples, in a folder of that name (text or bytes)."""
        self.input_root = os.path.join(self.folder, "in-root")
        os.makedirs(self.input_root, exist_ok=True)
        self.home = os.path.join(self.input_root, os.fsdecode(name))
        shutil.copytree(self.class_home, self.home)

    def check(self, *flags, arguments=(), letters=0, **more):
        """One job, against `extract`; -> the summary."""
        expected = self.reference(*flags)
        job = self.produce(*flags, partitions=2)
        crew = [self.work(*arguments), self.work(*arguments)]
        done = self.aggregate_job(job, **more)
        self.end(*crew)
        self.assertEqual(done.stdout.split("\n")[0], expected.split("\n")[0])
        self.assertAsExtracted()
        self.assertEqual(len({json.loads(message.value)["message"] for message in self.messages("KafkaDeadTopic")}), letters)
        return done.stdout

    def test_folders_with_blanks_newlines_and_bytes_that_are_no_text(self):
        name = b" a  b\n'\"$(x)\\\xff\xfe caf\xe9\t\x01"
        self.own_input(name)
        for odd in (b"c\nd.dcm", b"\xe9.dcm", b"-rf.dcm", b" .dcm"):
            shutil.copy(next(os.path.join(path, file) for path, _, names in os.walk(self.class_home) for file in names
                             if file.endswith(".dcm")), os.path.join(os.fsencode(self.home), odd))
        self.out = os.path.join(self.output_root, os.fsdecode(name), "deeper")
        self.check()

    def test_the_root_itself_as_input(self):
        self.own_input()
        self.home = self.input_root
        self.check("--Depth", "-1")

    def test_the_root_itself_as_output(self):
        """Without a StateDirectory: what belongs to the fleet and what belongs to the job lie in one folder."""
        self.out = self.output_root
        self.state = None
        expected = self.reference_inside()
        self.broker.create_topics(*(self.settings[key] for key in ("KafkaTasksTopic", "KafkaResultsTopic", "KafkaDeadTopic")))
        crew = [self.work(), self.aggregate()]
        jobs = []
        for _ in range(2):  # the second while the aggregator runs
            jobs.append(self.produce(partitions=2))
            self.wait_complete()
        self.end(*crew)
        first, second = jobs
        self.assertEqual(self.aggregate_job(second).stdout.split("\n")[0], expected.split("\n")[0])
        self.assertIn("has had another job since", self.aggregate_job(first, status=(3,)).stderr)
        self.assertAsExtracted()

    def reference_inside(self):
        """As reference(), where the output folder must not be renamed."""
        expected = self.extract().stdout
        shutil.copytree(self.out, self.reference_out)
        for name in os.listdir(self.out):
            place = os.path.join(self.out, name)
            (shutil.rmtree if os.path.isdir(place) else os.remove)(place)
        return expected

    def test_without_a_state_directory(self):
        self.state = None
        self.check()
        self.assertTrue(os.path.isdir(os.path.join(self.output_root, ".niffler-state", "closed")))

    def test_links_out_of_the_input_where_they_are_allowed(self):
        self.own_input()
        shelf, closet = os.path.join(self.folder, "shelf"), os.path.join(self.folder, "closet")
        for folder in (shelf, closet):
            shutil.copytree(self.class_home, folder)
            os.symlink(folder, os.path.join(self.home, "to-" + os.path.basename(folder)))
        file = next(os.path.join(path, name) for path, _, names in os.walk(shelf) for name in names if name.endswith(".dcm"))
        os.symlink(file, os.path.join(self.home, "to-file.dcm"))
        os.symlink(os.path.join(closet, os.path.relpath(file, shelf)), os.path.join(self.home, "to-closed.dcm"))
        flags = ("--LinkRoots", shelf)
        self.check(*flags, arguments=flags)
        codes = {os.path.basename(row["file"]): row["code"] for row in harness.table(self.out, "failures.csv")}
        self.assertEqual(codes.get("to-closed.dcm"), "outside_root")
        self.assertNotIn("to-file.dcm", codes)

    def test_columns_that_a_file_lists(self):
        features = os.path.join(self.folder, "features.txt")
        harness.write_text("PatientID\nModality\nRows\nNoSuchColumn\n", features)
        self.check("--SpecificHeadersOnly", "true", "--FeatureSetFile", features)
        self.assertIn(b"Modality", harness.read_bytes(self.out, "metadata.csv").split(b"\n")[0])

    def test_a_value_too_long_for_a_message(self):
        """Its record goes by a file in the output folder."""
        self.own_input()
        for number, size in enumerate((20 << 20, 3 << 20, 1000)):
            with open(os.path.join(self.home, "long%d.dcm" % number), "wb") as file:
                file.write(picture_with_text(b"%d " % number * (size // 2)))
        flags = ("--MaxValueBytes", "unlimited")
        self.check(*flags, arguments=flags)
        self.assertGreater(os.path.getsize(os.path.join(self.out, "metadata.csv")), 23 << 20)
        records = os.path.join(self.out, ".niffler-png", "records")
        self.assertEqual(os.listdir(records) if os.path.isdir(records) else [], [])
        self.assertTrue(any(b'"spilled"' in message.value for message in self.messages("KafkaResultsTopic")))

    def test_nothing_is_found(self):
        """Told at once, and no job is open."""
        self.own_input()
        lone = self.start_produce("--FilePattern", "*.none")
        self.assertEqual(lone.wait(fleet.PATIENCE), 2)
        self.assertIn("nothing to convert", lone.stderr)
        self.assertEqual(lone.stdout, "")
        self.assertFalse(os.path.exists(os.path.join(self.out, fleet.OPEN_MARK)))
        self.assertEqual(self.messages("KafkaResultsTopic"), [])
        self.check()

    def test_nothing_is_dicom(self):
        self.input_root = os.path.join(self.folder, "in-root")
        self.home = os.path.join(self.input_root, "texts")
        os.makedirs(self.home)
        for number in range(5):
            harness.write_text("hello\n" * number, self.home, "note%d.txt" % number)
        told = self.extract(status=2)
        os.rename(self.out, self.reference_out)
        job = self.produce()
        worker = self.work()
        done = self.aggregate_job(job, status=(2,))
        self.end(worker)
        self.assertIn("nothing to convert: 5 files", told.stderr)
        self.assertIn("nothing to convert: 5 files", done.stderr)
        self.assertAsExtracted()

    def test_a_producer_that_is_interrupted_is_resumed_as_the_next_one_says(self):
        self.own_input()
        source = next(os.path.join(path, name) for path, _, names in os.walk(self.home) for name in names)
        for number in range(20000):
            os.link(source, os.path.join(self.home, "%05d.dcm" % number))
        flags = ("--PrintImages", "false")
        self.reference(*flags)
        producer = self.start_produce(*flags)
        fleet.wait_until(lambda: producer.stdout, fleet.PATIENCE, "the job's id is told", step=0.005)
        producer.signal(signal.SIGINT)
        self.assertNotEqual(producer.wait(30), 0)
        job = producer.stdout.strip()
        again = self.start_produce(*flags)
        self.assertEqual(again.wait(fleet.PATIENCE), 2)
        self.assertIn("--resume " + job, again.stderr)
        self.assertEqual(self.produce("--resume", job, *flags), job)
        worker = self.work()
        self.aggregate_job(job)
        self.end(worker)
        self.assertAsExtracted()

    def test_tasks_of_a_job_whose_folder_was_deleted_hold_up_nobody(self):
        """They are dead letters after a minute."""
        self.own_input()
        gone = os.path.join(self.output_root, "gone")
        expected = self.extract(out=gone).stdout
        job = self.produce(out=gone)
        self.command("cancel", job)
        shutil.rmtree(gone)
        worker = self.work(StorageProbeSeconds="5")
        self.check(letters=harness.ledger(expected)[0])
        self.end(worker)

    def test_what_redis_is_told_of_a_job_and_of_a_worker(self):
        """At most five writes a second for a job; an entry for each worker that lives for a minute."""
        served = fleet.redis.Redis(os.path.join(self.folder, "redis"))
        self.addCleanup(served.close)
        served.start()
        job = self.produce(RedisUrl=served.url)
        aggregator, worker = self.aggregate(RedisUrl=served.url), self.work(RedisUrl=served.url)
        self.wait_complete()
        fleet.wait_until(lambda: served.hash("niffler:{%s}:job" % job).get("state") == "complete", 20, "it is shown")
        keys = served.keys("niffler:worker:*")
        self.assertEqual(len(keys), 1)
        self.assertTrue(0 < served.ttl(keys[0]) <= 60)
        self.produce(out=os.path.join(self.output_root, "idle"), RedisUrl=served.url)
        worker.signal(signal.SIGSTOP)
        monitor = subprocess.Popen(["redis-cli", "-p", str(served.port), "MONITOR"], stdout=subprocess.PIPE, text=True)
        time.sleep(4)
        monitor.kill()
        writes = len(re.findall(r'"(?:EVAL|EVALSHA)"', monitor.communicate()[0]))
        worker.signal(signal.SIGCONT)
        self.assertLessEqual(writes, 4 * 5 + 3)
        self.end(worker, aggregator)


if __name__ == "__main__":
    harness.main()
