"""A run that was killed goes on; a run over what is done does nothing; what changed is done again."""
import os
import random
import shutil
import signal
import time
import unittest

import harness

KILLS = 50


def log_numbers(out):
    """to_do of each scan that the log tells of."""
    numbers = []
    for line in harness.read_text(out, "ImageExtractor.out").splitlines():
        if "event=scanned" in line:
            numbers.append(int(line.split("to_do=")[1].split()[0]))
    return numbers


def parent(pid):
    """Of a process; None where it is gone, or has ended and waits to be asked for its status."""
    try:
        fields = harness.read_bytes("/proc/%d/stat" % pid).rpartition(b") ")[2].split()
    except OSError:
        return None
    return None if fields[0] == b"Z" else int(fields[1])


class Killed(harness.Case):
    def test_sigkill_at_any_moment_and_started_again_gives_the_same_bytes(self):
        self.samples("--ct", "150")
        fresh = os.path.join(self.folder, "fresh")
        began = time.monotonic()
        self.extract(out=fresh)
        length = time.monotonic() - began
        dice = random.Random(20261123)
        kills = completed = saved = 0
        while kills < KILLS:
            run = harness.start(home=self.home, out=self.out)
            if harness.kill_after(run, dice.uniform(0, 0.6) * length):
                kills += 1
                continue
            self.assertIn(run.returncode, (0, 1))
            self.assertSameOutputs(fresh, self.out)
            to_do = log_numbers(self.out)
            saved += sum(a > b for a, b in zip(to_do, to_do[1:]))
            completed += 1
            shutil.rmtree(self.out)
        self.extract()
        self.assertSameOutputs(fresh, self.out)
        print("%d kills, %d runs completed between them, %d times less was left to do" % (kills, completed, saved))
        self.assertGreater(completed + saved, 0)

    def test_decoders_die_with_their_worker(self):
        self.samples("--ct", "150")
        run = harness.start(home=self.home, out=self.out)
        children = []
        for _ in range(500):
            children = [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if parent(pid) == run.pid]
            if children:
                break
            time.sleep(0.005)
        run.send_signal(signal.SIGKILL)
        run.communicate()
        self.assertTrue(children)
        for _ in range(200):
            children = [pid for pid in children if parent(pid) is not None]
            if not children:
                return
            time.sleep(0.02)
        self.fail("decoders are still there: %s" % children)

    def test_sigterm_stops_and_keeps_what_is_done(self):
        self.samples("--ct", "150")
        self.extract(out=self.out + "-fresh")
        run = harness.start(home=self.home, out=self.out)
        time.sleep(0.3)
        run.send_signal(signal.SIGTERM)
        _, stderr = run.communicate(timeout=60)
        if run.returncode == 3:
            self.assertIn("run it again to go on", stderr)
        else:
            self.assertIn(run.returncode, (0, 1))  # it was done before the signal came
        self.extract()
        self.assertSameOutputs(self.out + "-fresh", self.out)


class Again(harness.Case):
    def test_an_unchanged_folder_starts_no_decoder(self):
        self.samples()
        self.extract()
        before = harness.tree(self.out)
        self.extract("--DecoderProgram", "/nonexistent")
        self.assertEqual(before, harness.tree(self.out))
        self.assertEqual(log_numbers(self.out)[1], 0)

    def test_new_changed_and_gone_files_give_what_a_fresh_run_gives(self):
        self.samples()
        self.extract()
        paths = sorted(os.path.join(path, name) for path, _, names in os.walk(self.home) for name in names)
        dicom = [path for path in paths if path.endswith(".dcm")]
        os.remove(dicom[3])
        broken = [path for path in dicom if "BROKEN" in path or "CUT" in path]
        os.remove(broken[0])
        shutil.copy(dicom[10], dicom[5])  # another size or time
        os.utime(dicom[5], ns=(1, 1))
        shutil.copy(dicom[20], os.path.join(os.path.dirname(dicom[0]), "AAA new.dcm"))
        shutil.copy(dicom[21], broken[1])  # was broken, is good
        os.utime(dicom[30])
        self.extract()
        self.assertLessEqual(log_numbers(self.out)[1], 5)
        self.extract(out=self.out + "-fresh")
        self.assertSameOutputs(self.out + "-fresh", self.out)

    def test_a_picture_that_was_deleted_is_made_again(self):
        self.samples("--only", "ct")
        self.extract()
        before = harness.tree(self.out)
        rows = harness.table(self.out, "mapping.csv")
        os.remove(os.path.join(self.out, rows[1]["PNG location"]))
        with open(os.path.join(self.out, rows[2]["PNG location"]), "r+b") as file:
            file.truncate(100)
        self.extract()
        self.assertEqual(log_numbers(self.out)[1], 2)
        self.assertEqual(before, harness.tree(self.out))

    def test_settings_that_alter_outputs_start_the_work_again_and_say_so(self):
        self.samples()
        self.extract()
        done = self.extract("--FlattenedToLevel", "series", "--is16Bit", "false")
        self.assertIn("settings that alter the outputs have changed", done.stderr)
        self.extract("--FlattenedToLevel", "series", "--is16Bit", "false", out=self.out + "-fresh")
        self.assertSameOutputs(self.out + "-fresh", self.out)
        done = self.extract("--FlattenedToLevel", "series", "--is16Bit", "false", "--UseProcesses", "1")
        self.assertNotIn("have changed", done.stderr)

    def test_tables_alone_leave_the_pictures_of_an_earlier_run(self):
        self.samples("--only", "ct")
        self.extract()
        pictures = {name for name in harness.tree(self.out) if name.endswith(".png")}
        self.extract("--PrintImages", "false")
        self.assertEqual(pictures, {name for name in harness.tree(self.out) if name.endswith(".png")})
        self.assertEqual(harness.table(self.out, "mapping.csv"), [])
        self.extract()
        self.extract(out=self.out + "-fresh")
        self.assertSameOutputs(self.out + "-fresh", self.out)

    def test_a_second_run_at_the_same_time_is_refused_by_name(self):
        self.samples("--ct", "150")
        first = harness.start(home=self.home, out=self.out)
        journal = os.path.join(self.out, ".niffler-png", "journal")
        for _ in range(2000):
            if os.path.exists(journal):
                break
            time.sleep(0.002)
        first.send_signal(signal.SIGSTOP)
        try:
            second = self.extract(status=2)
            self.assertIn(str(first.pid), second.stderr)
        finally:
            first.send_signal(signal.SIGCONT)
        first.communicate()
        self.assertIn(first.returncode, (0, 1))


if __name__ == "__main__":
    harness.main()
