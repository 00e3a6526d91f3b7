"""In which order pictures, records and their acknowledgement come to the disk, for each value of Durability: read off what
the programs do (tests/tools/event_log.c), since no test can cut the power."""
import os
import sys

import fleet
import harness

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "fault"))
import crashing  # noqa: E402
import tiny  # noqa: E402

FILES = 300
LIBRARY = os.path.join(harness.BUILD, "tests", "event_log.so")


def make_files(folder):
    """Each gives one picture, in one of six folders; three fail, which leaves a copy."""
    os.makedirs(folder)
    for index in range(FILES):
        pixels = bytes((index + at) % 256 for at in range(64))
        data = tiny.dicom(index, pixels=pixels[:7] if index % 100 == 99 else pixels)
        with open(os.path.join(folder, "%04d.dcm" % index), "wb") as file:
            file.write(data)


def watched(log, failing_syncs=None):
    """The environment of a program whose events are to be noted."""
    # The library comes before that of the sanitizer.
    options = os.environ.get("ASAN_OPTIONS", "")
    return crashing.environment(LD_PRELOAD=LIBRARY, NIFFLER_EVENT_LOG=log, NIFFLER_FAILING_SYNCS=failing_syncs,
                                ASAN_OPTIONS=options + (":" if options else "") + "verify_asan_link_order=0")


class Events:
    """What the events say: `published` outputs got their names, of which `safe` are on disk, each as it was at every row,
    commit or message ("done")."""

    def __init__(self, log, done):
        self.lines = harness.read_text(log).splitlines()
        self.done, self.published, self.safe, self.syncfs, self.single = 0, 0, 0, 0, 0
        self.wal_syncs = self.commits_with_rows = self.synced_commits = 0
        self.early = []  # where more was done than safe
        covered, is_committing, rows, wal_synced = 0, False, 0, False
        content_synced, all_synced = False, True  # that of the next to get its name; that of all that got theirs
        for number, line in enumerate(self.lines):
            event, _, subject = line.partition(" ")
            if event == "rename" and ("/extracted-images/" in subject or "/failed-dicom/" in subject):
                self.published += 1
                all_synced, content_synced = all_synced and content_synced, False
            elif event == "syncfs-begins":
                covered = self.published
            elif event == "syncfs-done":
                self.safe = max(self.safe, covered)
                self.syncfs += 1
            elif event == "synced" and ("/extracted-images/" in subject or "/failed-dicom/" in subject):
                if not os.path.isdir(subject):
                    self.single += 1
                    content_synced = True
                elif all_synced:  # the folder of what was published last
                    self.safe = self.published
            elif event == "synced" and subject.endswith("-wal"):
                wal_synced |= is_committing
            elif event == "commit-begins":
                is_committing, wal_synced = True, False
            elif event == "commit-done":
                self.commits_with_rows += rows > 0
                self.synced_commits += rows > 0 and wal_synced
                is_committing, rows = False, 0
            if line == done:
                self.done += 1
                rows += 1
                if self.done > self.safe:
                    self.early.append(number)


class Order:
    """The same for both commands. `run(durability)` gives the Events; an output for each file."""

    def check_batch(self):
        events = self.run_with("batch")
        self.assertEqual(events.done, FILES)
        self.assertEqual(events.published, FILES)
        self.assertEqual(events.early, [], events.lines)
        self.assertGreaterEqual(events.syncfs, 2)
        self.assertLess(events.syncfs, FILES / 4)  # in batches, that is
        self.assertEqual(events.single, 0)
        return events

    def check_file(self):
        events = self.run_with("file")
        self.assertEqual(events.done, FILES)
        self.assertEqual(events.published, FILES)
        self.assertEqual(events.early, [], events.lines)
        self.assertEqual(events.single, FILES)
        return events

    def check_none(self):
        events = self.run_with("none")
        self.assertEqual(events.done, FILES)
        self.assertEqual(events.published, FILES)
        self.assertEqual((events.safe, events.syncfs, events.single), (0, 0, 0), events.lines)
        return events


class Extract(harness.Case, Order):
    def run_with(self, durability):
        make_files(self.home)
        log = os.path.join(self.folder, "events")
        with watched(log):
            self.extract("--UseProcesses", "2", "--Durability", durability)
        return Events(log, "row")

    def test_batch_syncs_the_pictures_of_many_rows_before_they_are_committed(self):
        events = self.check_batch()
        self.assertGreater(events.commits_with_rows, 0)
        self.assertEqual(events.synced_commits, events.commits_with_rows)

    def test_file_syncs_each_picture_its_name_and_then_commits_its_row(self):
        events = self.check_file()
        self.assertEqual(events.synced_commits, events.commits_with_rows)

    def test_none_syncs_no_picture_and_no_commit(self):
        self.assertEqual(self.check_none().synced_commits, 0)

    def test_what_did_not_come_to_the_disk_is_no_row_and_done_again(self):
        make_files(self.home)
        fresh = os.path.join(self.folder, "fresh")
        self.extract(out=fresh)
        log = os.path.join(self.folder, "events")
        with watched(log, failing_syncs="1"):
            self.assertIn("cannot put pictures on disk", self.extract(status=3).stderr)
        self.assertEqual(harness.read_text(log).splitlines().count("row"), 0)
        self.extract()
        self.assertSameOutputs(fresh, self.out)

    def test_the_outputs_are_the_same(self):
        make_files(self.home)
        outs = [os.path.join(self.folder, name) for name in ("batch", "file", "none")]
        for out in outs:
            self.extract("--Durability", os.path.basename(out), out=out)
        for out in outs[1:]:
            self.assertSameOutputs(outs[0], out)


class Fleet(fleet.FleetCase, Order):
    @classmethod
    def make_input(cls):
        cls.class_input_root = os.path.join(cls.class_folder, "in-root")
        cls.class_home = os.path.join(cls.class_input_root, "dicom")
        make_files(cls.class_home)

    def run_with(self, durability):
        log = os.path.join(self.folder, "events")
        self.reference()
        job = self.produce()
        with watched(log):
            worker = self.work("--Durability", durability)
        self.aggregate_job(job)
        self.end(worker)
        self.assertAsExtracted()
        return Events(log, "sent " + self.settings["KafkaResultsTopic"])

    def test_batch_syncs_the_pictures_of_many_records_before_they_are_sent(self):
        self.check_batch()

    def test_file_syncs_each_picture_and_its_name_before_its_record_is_sent(self):
        self.check_file()

    def test_none_syncs_no_picture(self):
        self.check_none()

    def test_what_did_not_come_to_the_disk_is_done_again(self):
        log = os.path.join(self.folder, "events")
        self.reference()
        job = self.produce()
        with watched(log, failing_syncs="3"):
            worker = self.work("--Durability", "batch", "--StorageProbeSeconds", "1")
        self.aggregate_job(job)
        self.end(worker)
        self.assertAsExtracted()
        events = Events(log, "sent " + self.settings["KafkaResultsTopic"])
        self.assertEqual(events.done, FILES)
        self.assertEqual(events.lines.count("syncfs-begins"), events.syncfs + 3)
        self.assertGreater(events.published, FILES)
        self.assertGreater(events.single, 0, "pictures that a decoder had while a sync failed are synced each")
        self.assertEqual(self.times_done(job), {seq: 1 for seq in range(FILES)})

    def test_the_aggregator_commits_to_disk_before_it_acknowledges_but_for_none(self):
        for durability in ("batch", "none"):
            log = os.path.join(self.folder, "events-" + durability)
            job = self.produce(out=os.path.join(self.output_root, durability))
            worker = self.work()
            with watched(log):
                self.aggregate_job(job, "--Durability", durability)
            self.end(worker)
            events = Events(log, "row")
            self.assertEqual(events.done, FILES)
            self.assertGreater(events.commits_with_rows, 0)
            self.assertEqual(events.synced_commits, events.commits_with_rows if durability == "batch" else 0)


if __name__ == "__main__":
    harness.main()
