#!/usr/bin/python3
"""A file that kills the worker itself, whenever one touches it, is set aside after a few deaths; all others are converted."""
import os
import re
import signal
import time

import crashing
import fleet
import harness
import tiny

POISON = 77
RESTARTS_MAX = 6


class Quarantine(crashing.CrashCase):
    """`worker.seq:77` kills in every build with crash points, as a fault of ours in the worker would."""

    def setUp(self):
        super().setUp()
        self.home = tiny.write(self.class_home, 300, odd_every=10)
        self.job = crashing.Job(self, "job", self.home)
        self.out = self.job.out

    def supervise(self, *names):
        """Workers that are started again when they die, until the job is over; -> them all."""
        began, alive = [], {}
        end = time.monotonic() + fleet.PATIENCE
        while self.job.is_open():
            self.assertLess(time.monotonic(), end, "the job ends")
            for name in names:
                if name in alive and alive[name].status is None:
                    continue
                if name in alive:
                    self.assertEqual(alive[name].status, -signal.SIGKILL, alive[name].stderr)
                with crashing.environment(NIFFLER_CRASH="worker.seq:%d" % POISON):
                    alive[name] = self.start("work", UseProcesses=2, member=name, MetricsListen="127.0.0.1:0")
                began.append(alive[name])
            time.sleep(0.05)
        return began

    def check(self, *names):
        self.produce(partitions=self.PARTITIONS, home=self.home, out=self.out)
        aggregator = self.aggregate()
        workers = self.supervise(*names)
        alive = [worker for worker in workers if worker.status is None]
        died = [worker for worker in workers if worker.status is not None]
        print("%d deaths" % len(died))
        self.assertGreaterEqual(len(died), 3)
        self.assertLessEqual(len(died), RESTARTS_MAX)
        told = [worker for worker in workers if re.search(r"event=quarantined job=\S+ seq=%d\b" % POISON, worker.stderr)]
        self.assertEqual(len(told), 1)
        self.assertIn(told[0], alive)
        self.assertEqual(told[0].metric("niffler_quarantined_total"), 1)
        self.end(aggregator, *alive)
        self.compare()

    def compare(self):
        """As extract's, but for the one file."""
        mine = self.out + ".fleet"
        os.rename(self.out, mine)
        self.extract(home=self.home, out=self.out)
        poison = [row["Original DICOM file location"] for row in harness.table(self.out, "mapping.csv")
                  if "/%06d-" % POISON in row["Original DICOM file location"]]
        self.assertEqual(len(poison), 1)
        failed = [row for row in harness.table(mine, "failures.csv") if row["file"] == poison[0]]
        self.assertEqual([(row["category"], row["code"]) for row in failed], [("4", "crash_signal")])
        for name, column in (("mapping.csv", "Original DICOM file location"), ("failures.csv", "file")):
            left, right = ([row for row in harness.table(out, name) if row[column] != poison[0]] for out in (self.out, mine))
            self.assertEqual(left, right)
        self.compare_metadata(mine, poison[0])
        self.compare_trees(mine, poison[0])

    def compare_metadata(self, mine, poison):
        left, right = harness.table(self.out, "metadata.csv"), harness.table(mine, "metadata.csv")
        self.assertEqual(len(left), len(right))
        for a, b in zip(left, right):
            self.assertEqual(a["file"], b["file"])
            if a["file"] != poison:
                self.assertEqual(a, b)

    def compare_trees(self, mine, poison):
        left, right = harness.tree(self.out), harness.tree(mine)
        tables = {"metadata.csv", "mapping.csv", "failures.csv"}
        missing = sorted(set(left) - set(right))
        self.assertEqual(len(missing), 1, missing)  # its picture
        self.assertTrue(missing[0].endswith(".png"))
        self.assertEqual([name for name in set(right) - set(left) if os.path.isfile(os.path.join(mine, name))], [])
        self.assertEqual({name: left[name] for name in left if name in right and name not in tables},
                         {name: right[name] for name in right if name in left and name not in tables})

    def test_one_worker(self):
        self.check("alone")

    def test_two_workers(self):
        self.check("first", "second")


if __name__ == "__main__":
    crashing.main()
