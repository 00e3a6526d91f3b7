"""Slices of a scan, extracted apart and merged, give what one `extract` gives; merge refuses what would not."""
import fcntl
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import time

import harness

sys.path.insert(0, os.path.join(harness.SOURCE, "tests", "services"))
import smtp  # noqa: E402

SLICES = os.path.join(".niffler-png", "slices")


class Sliced(harness.Case):
    FLAGS = ()

    def start_slice(self, index, count, *flags):
        return harness.start("--slice", "%d/%d" % (index, count), *self.FLAGS, *flags, home=self.home, out=self.out)

    def run_slice(self, index, count, *flags, status=None):
        """Returns the slice's standard output and error."""
        run = self.start_slice(index, count, *flags)
        stdout, stderr = run.communicate(timeout=120)
        self.assertIn(run.returncode, (0, 1) if status is None else (status,), stdout + stderr)
        return stdout, stderr

    def run_slices(self, count, *flags):
        """All at once, as a cluster does."""
        runs = [self.start_slice(index, count, *flags) for index in range(count)]
        found = 0
        for run in runs:
            stdout, stderr = run.communicate(timeout=300)
            self.assertIn(run.returncode, (0, 1), stderr)
            found += harness.ledger(stdout)[0]
        return found

    def merge(self, count, *flags, status=None, environment=None):
        result = subprocess.run([harness.PROGRAM, "merge", "--slices", str(count), "--DICOMHome", self.home,
                                 "--OutputDirectory", self.out, *self.FLAGS, *flags], stdin=subprocess.DEVNULL,
                                capture_output=True, text=True, timeout=120, check=False,
                                env={**os.environ, **(environment or {})})
        self.assertIn(result.returncode, (0, 1) if status is None else (status,), result.stdout + result.stderr)
        for index in range(count):
            harness.assert_no_forbidden_calls(os.path.join(self.out, SLICES, "%d-of-%d.out" % (index, count)))
        return result

    def fresh(self, *flags):
        """What one run gives, written to the same folder, which the tables may name; then moved away."""
        kept = None
        if os.path.exists(self.out):
            kept = self.out + "-kept"
            os.rename(self.out, kept)
        result = self.extract(*self.FLAGS, *flags)
        fresh = self.out + "-fresh"
        shutil.rmtree(fresh, ignore_errors=True)
        os.rename(self.out, fresh)
        if kept is not None:
            os.rename(kept, self.out)
        return fresh, result

    def to_do(self, index, count):
        """Of the last run of the slice."""
        lines = harness.read_text(self.out, SLICES, "%d-of-%d.out" % (index, count)).splitlines()
        return int([line for line in lines if "event=scanned" in line][-1].split("to_do=")[1].split()[0])

    def assertRefused(self, result, status, *texts):
        self.assertEqual((result.returncode, result.stdout), (status, ""), result.stderr)
        for text in texts:
            self.assertIn(text, result.stderr)


class Merged(Sliced):
    def test_one_three_and_seven_slices_give_the_bytes_of_one_run(self):
        self.samples()
        fresh, whole = self.fresh()
        for count in (1, 3, 7):
            found = self.run_slices(count)
            self.assertEqual(found, harness.ledger(whole.stdout)[0])
            self.assertFalse(os.path.exists(os.path.join(self.out, "metadata.csv")))
            merged = self.merge(count, status=whole.returncode)
            self.assertEqual(harness.ledger(merged.stdout), harness.ledger(whole.stdout))
            self.assertSameOutputs(fresh, self.out)
            self.merge(count)
            self.assertSameOutputs(fresh, self.out)
            shutil.rmtree(self.out)

    def test_what_slices_know_is_private(self):
        self.samples("--only", "ct")
        self.run_slices(2)
        folder = os.path.join(self.out, SLICES)
        self.assertEqual(sorted(os.listdir(folder)), ["0-of-2.db", "0-of-2.lock", "0-of-2.out",
                                                      "1-of-2.db", "1-of-2.lock", "1-of-2.out", "array"])
        for path in [folder, *(os.path.join(folder, name) for name in os.listdir(folder))]:
            self.assertEqual(os.stat(path).st_mode & 0o077, 0, path)

    def test_the_e_mail_is_sent_by_merge_alone(self):
        self.samples("--only", "ct")
        sink = smtp.Smtp(os.path.join(self.folder, "smtp")).start()
        self.addCleanup(sink.close)
        flags = ["--SendEmail", "true", "--YourEmail", "me@example.org", "--SmtpUrl", sink.url, "--SmtpStartTls", "off"]
        self.run_slices(2, *flags)
        self.assertEqual(len(sink.mails()), 0)
        merged = self.merge(2, *flags)
        self.assertEqual(len(sink.mails()), 1, merged.stderr)
        self.assertIn("Files found: %d\n" % harness.ledger(merged.stdout)[0], sink.mails()[0].get_content().replace("\r", ""))

    def test_slices_that_are_done_start_no_decoder(self):
        self.samples("--only", "ct")
        fresh, _ = self.fresh()
        for _ in range(2):
            self.run_slices(3)
            self.merge(3)
            self.run_slices(3, "--DecoderProgram", "/nonexistent")
            self.merge(3)
        self.extract("--DecoderProgram", "/nonexistent")  # goes on from what was merged
        self.assertSameOutputs(fresh, self.out)

    def test_empty_slices(self):
        self.samples("--only", "ct", into=os.path.join(self.folder, "made"))
        os.mkdir(self.home)
        made = sorted(os.path.join(path, name) for path, _, names in os.walk(os.path.join(self.folder, "made"))
                      for name in names)
        for source in made[:3]:
            shutil.copy(source, self.home)
        fresh, _ = self.fresh()
        self.assertEqual(self.run_slices(7), 3)
        self.assertEqual(sum(self.to_do(index, 7) == 0 for index in range(7)) >= 4, True)
        self.merge(7, status=0)
        self.assertSameOutputs(fresh, self.out)

    def test_a_slice_of_files_that_are_ignored_is_no_failure(self):
        os.mkdir(self.home)
        harness.write_text("no DICOM", self.home, "note.txt")
        self.run_slice(0, 1, status=0)
        self.assertIn("none of them DICOM", self.merge(1, status=2).stderr)

    def test_nothing_at_all(self):
        os.mkdir(self.home)
        _, stderr = self.run_slice(0, 2, status=2)
        self.assertIn("nothing to convert", stderr)

    def test_state_directory(self):
        self.samples("--only", "ct")
        fresh, _ = self.fresh()
        state = os.path.join(self.folder, "state")
        self.run_slices(2, "--StateDirectory", state)
        self.assertRefused(self.merge(2, status=3), 3, "2 were not begun (0, 1)")
        self.merge(2, "--StateDirectory", state)
        self.assertSameOutputs(fresh, self.out)
        self.assertEqual([name for _, _, names in os.walk(self.out) for name in names if name.endswith(".db")], [])

    def test_common_headers_only_is_of_all_rows(self):
        self.samples()
        fresh, _ = self.fresh("--CommonHeadersOnly", "true")
        self.run_slices(3, "--CommonHeadersOnly", "true")
        self.merge(3, "--CommonHeadersOnly", "true")
        self.assertSameOutputs(fresh, self.out)


class Killed(Sliced):
    def test_slices_killed_at_any_moment_and_resumed(self):
        self.samples("--ct", "40")
        began = time.monotonic()
        fresh, _ = self.fresh()
        length = time.monotonic() - began
        dice = random.Random(8)
        kills = 0
        for _ in range(8):
            kills += harness.kill_after(self.start_slice(dice.randrange(2), 2), dice.uniform(0, 0.6) * length)
        self.assertGreater(kills, 0)
        self.run_slices(2)
        self.merge(2)
        self.assertSameOutputs(fresh, self.out)  # drafts of the dead are gone, too

    def test_sigterm_ends_a_slice_and_the_next_run_goes_on(self):
        self.samples("--ct", "60")
        fresh, _ = self.fresh()
        run = self.start_slice(0, 2)
        for _ in range(2000):
            if run.poll() is not None or any(names for _, _, names in os.walk(os.path.join(self.out, "extracted-images"))):
                break
            time.sleep(0.005)
        run.send_signal(signal.SIGTERM)
        _, stderr = run.communicate(timeout=60)
        self.assertEqual(run.returncode, 3, stderr)
        self.assertIn("run it again to go on", stderr)
        self.assertRefused(self.merge(2, status=3), 3, "1 were not begun (1) and 1 not finished (0)")
        before = self.to_do(0, 2)
        self.run_slices(2)
        self.assertLess(self.to_do(0, 2), before)
        self.merge(2)
        self.assertSameOutputs(fresh, self.out)


class OneName(Sliced):
    """Files of several slices want one name; merge gives it to the first by path."""
    FLAGS = ("--Compatibility", "niffler", "--Depth", "1", "--FlattenedToLevel", "patient", "--UseProcesses", "2")

    def setUp(self):
        super().setUp()
        made = self.samples("--only", "ct", into=os.path.join(self.folder, "made"))
        self.sources = sorted(os.path.join(path, name) for path, _, names in os.walk(made) for name in names)[:8]
        for folder, source in zip("abcdefgh", self.sources):
            os.makedirs(os.path.join(self.home, folder))
            shutil.copy(source, os.path.join(self.home, folder, "IM1.dcm"))

    def merge_then_change_files(self):
        """The file that is first by path comes when the others have their names; then one of those goes."""
        later = os.path.join(self.folder, "later")
        os.mkdir(later)
        first, other = (os.path.join(self.home, name) for name in "ad")
        shutil.move(first, later)
        self.run_slices(3)
        self.merge(3)
        shutil.move(os.path.join(later, "a"), first)
        shutil.move(other, later)


class Compatibility(OneName):
    def test_names_are_those_of_one_run(self):
        for count in (1, 3, 7):
            fresh, _ = self.fresh()
            self.run_slices(count)
            self.merge(count)
            self.assertSameOutputs(fresh, self.out)
            self.merge(count)
            self.assertSameOutputs(fresh, self.out)
            shutil.rmtree(self.out)

    def test_files_that_come_and_go_move_the_names_and_nothing_is_done_twice(self):
        self.merge_then_change_files()
        self.run_slices(3)
        self.assertEqual(sum(self.to_do(index, 3) for index in range(3)), 1)
        self.merge(3)
        fresh, _ = self.fresh()
        self.assertSameOutputs(fresh, self.out)
        # One that is done again lies under the name it was made by, beside the one it was settled by.
        os.utime(os.path.join(self.home, "e", "IM1.dcm"))
        self.run_slices(3)
        self.assertEqual(sum(self.to_do(index, 3) for index in range(3)), 1)
        self.merge(3)
        self.assertSameOutputs(fresh, self.out)

    def test_the_state_of_merge_is_lost(self):
        fresh, _ = self.fresh()
        self.run_slices(3)
        self.merge(3)
        os.remove(os.path.join(self.out, "ImageExtractor.db"))
        self.assertRefused(self.merge(3, status=3), 3, "run all slices again")
        self.run_slices(3)
        self.merge(3)
        self.assertSameOutputs(fresh, self.out)


class MergeKilled(OneName):
    """Only where places to die at are built in."""
    PLACES = ("merge.slice_read:2", "merge.slice_taken:1", "merge.slice_taken:3", "merge.all_taken:1", "aggregator.complete:1",
              "aggregator.stale_removed:1", "aggregator.names_settled:1", "aggregator.tables_written:1",
              "aggregator.tables_noted:1", "aggregator.tables_published:1", "merge.completed:1")

    def test_merge_killed_anywhere_and_started_again(self):
        self.merge_then_change_files()
        os.utime(os.path.join(self.home, "e", "IM1.dcm"))
        fresh, _ = self.fresh()
        self.run_slices(3)
        before = self.out + "-before"
        shutil.copytree(self.out, before)
        for place in self.PLACES:
            shutil.rmtree(self.out)
            shutil.copytree(before, self.out)
            self.merge(3, status=-signal.SIGKILL, environment={"NIFFLER_CRASH": place})
            if place.startswith("aggregator.names"):
                self.run_slices(3)  # names have moved that the slices were not told of: these files are done again
                self.assertGreater(sum(self.to_do(index, 3) for index in range(3)), 0)
            self.merge(3)
            self.assertSameOutputs(fresh, self.out)


class Refused(Sliced):
    def setUp(self):
        super().setUp()
        self.samples("--only", "ct")

    def lock(self, kind):
        """The folder's lock, as another process would hold it."""
        file = open(os.path.join(self.out, ".niffler-png", "lock"), "r+b")
        self.addCleanup(file.close)
        fcntl.fcntl(file, fcntl.F_OFD_SETLK, struct.pack("hhqqi4x", kind, os.SEEK_SET, 0, 0, 0))
        return file

    def test_slices_that_are_missing_or_not_finished(self):
        self.assertRefused(self.merge(3, status=3), 3, "no slices are in OutputDirectory")
        self.assertFalse(os.path.exists(os.path.join(self.out, "ImageExtractor.db")))
        self.run_slice(1, 3)
        self.assertRefused(self.merge(3, status=3), 3, "of 3 slices 2 were not begun (0, 2)")
        self.run_slice(2, 3, "--DecoderProgram", "/nonexistent", status=3)
        self.assertRefused(self.merge(3, status=3), 3, "1 were not begun (0) and 1 not finished (2)")
        self.run_slice(0, 3)
        self.assertRefused(self.merge(3, status=3), 3, "of 3 slices 1 were not finished (2)")
        self.assertFalse(os.path.exists(os.path.join(self.out, "metadata.csv")))
        self.run_slice(2, 3)
        self.merge(3, status=0)

    def test_another_number_of_slices(self):
        self.run_slices(2)
        self.assertRefused(self.merge(3, status=2), 2, "OutputDirectory has 2 slices, not 3")
        self.run_slices(3)  # replaces the two
        self.assertRefused(self.merge(2, status=2), 2, "OutputDirectory has 3 slices, not 2")
        self.merge(3)

    def test_other_settings(self):
        self.run_slices(2)
        self.assertRefused(self.merge(2, "--is16Bit", "false", status=2), 2, "the slices were run with another is16Bit")
        other = self.samples("--only", "ct", into=os.path.join(self.folder, "other"))
        self.home, home = other, self.home
        self.assertRefused(self.merge(2, status=2), 2, "the slices were run with another DICOMHome")
        self.home = home
        self.run_slice(0, 2, "--is16Bit", "false")
        self.assertRefused(self.merge(2, status=2), 2, "another is16Bit")
        self.assertRefused(self.merge(2, "--is16Bit", "false", status=3), 3, "1 were not begun (1)")

    def test_another_scan(self):
        self.run_slice(0, 2)
        shutil.copy(os.path.join(self.home, self.first_file()), os.path.join(self.home, "new.dcm"))
        self.run_slice(1, 2)
        self.assertRefused(self.merge(2, status=3), 3, "files came or went between the scans", "another scan than the first's: 1")
        mixed = harness.ledger(self.merge(2, "--mixed-scans").stdout)[0]
        self.run_slices(2)
        all_files = harness.ledger(self.merge(2).stdout)[0]
        self.assertIn(all_files - mixed, (0, 1))
        fresh, _ = self.fresh()
        self.assertSameOutputs(fresh, self.out)

    def first_file(self):
        return min(os.path.relpath(os.path.join(path, name), self.home) for path, _, names in os.walk(self.home)
                   for name in names)

    def test_an_extract_in_between(self):
        self.run_slices(2)
        self.extract("--is16Bit", "false")
        self.assertRefused(self.merge(2, status=3), 3, "another job has been there since")
        self.run_slices(2)
        self.assertGreater(self.to_do(0, 2), 0)  # all over again: the pictures were the other's
        self.merge(2)
        fresh, _ = self.fresh()
        self.assertSameOutputs(fresh, self.out)

    def test_others_are_at_work(self):
        self.run_slices(2)
        held = self.lock(fcntl.F_RDLCK)
        self.assertRefused(self.merge(2, status=3), 3, "locked by several processes")
        self.assertIn("locked by several", self.extract(status=2).stderr)
        self.run_slice(0, 2)  # slices share it
        _, stderr = self.run_slice(0, 3, status=3)
        self.assertIn("slices of another array are at work", stderr)
        held.close()
        own = open(os.path.join(self.out, SLICES, "0-of-2.lock"), "r+b")
        self.addCleanup(own.close)
        fcntl.fcntl(own, fcntl.F_OFD_SETLK, struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
        _, stderr = self.run_slice(0, 2, status=3)
        self.assertIn("0-of-2.lock' is locked", stderr)


if __name__ == "__main__":
    harness.main()
