#!/usr/bin/python3
"""A worker whose decoders are broken: not ready, and no file is blamed for it once that is known."""
import os
import shutil
import sys

import fleet
import harness

sys.path.insert(0, os.path.join(harness.SOURCE, "tests", "fault"))
import tiny  # noqa: E402

FILES = 300
BURNT_MOST = 51  # before it is known: more than half of the last hundred


class FleetCrashes(fleet.FleetCase):
    @classmethod
    def make_input(cls):
        cls.class_input_root = os.path.join(cls.class_folder, "in-root")
        cls.class_home = os.path.join(cls.class_input_root, "dicom")
        tiny.write(cls.class_home, FILES)

    def test_broken_decoders_burn_no_attempts(self):
        folder = os.path.join(self.folder, "decoder")
        os.mkdir(folder)
        program = shutil.copy(os.path.join(harness.BUILD, "tests", "misbehaving_decoder"), os.path.join(folder, "decoder"))
        harness.write_text("segv", folder, "mode")
        self.produce()
        aggregator = self.aggregate()
        worker = self.work("--DecoderProgram", program, "--Sandbox", "best-effort", "--StorageProbeSeconds", "1",
                           MetricsListen="127.0.0.1:0")
        fleet.wait_until(lambda: worker.get("/readyz")[0] == 503 and "decoders crash" in worker.get("/readyz")[1],
                         fleet.PATIENCE, "the worker is not ready")
        self.assertEqual(worker.get("/livez")[0], 200)
        self.assertEqual(worker.metric("niffler_crash_breaker_open"), 1)
        done = worker.metric("niffler_files_total")
        self.assertLessEqual(done, BURNT_MOST)
        fleet.wait_until(lambda: worker.stderr.count("code=crash_signal") > 0 and
                         worker.metric("niffler_child_exits_total") > 0, 10, "crashes are counted")
        self.assertEqual(worker.metric("niffler_files_total"), done)
        mended = shutil.copy(os.path.join(harness.BUILD, "niffler-png-decoder"), os.path.join(folder, "mended"))
        os.replace(mended, program)
        self.wait_complete()
        self.assertEqual(worker.metric("niffler_crash_breaker_open"), 0)
        self.assertIn("event=crash_probe_passed fault=none_any_more", worker.stderr)
        self.assertEqual(worker.stderr.count("event=crash_probe_failed"), 1)
        self.end(worker, aggregator)
        failures = harness.table(self.out, "failures.csv")
        self.assertEqual({row["code"] for row in failures} - {"crash_signal"}, set())
        self.assertEqual(len(failures), done)
        self.assertEqual(len(harness.table(self.out, "mapping.csv")), FILES - len(failures))


if __name__ == "__main__":
    harness.main()
