"""deploy/slurm on a real Slurm of one node: slices and their merge, tasks that fail or run out of time, workers of a broker."""
import os
import re
import signal
import sys
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "e2e")]
import fleet  # noqa: E402
import harness  # noqa: E402
import slurm  # noqa: E402
from service import wait_until  # noqa: E402

DEPLOY = os.path.join(harness.SOURCE, "deploy", "slurm")
SKIPPED = 77
PATIENCE = 150


class SlurmCase(harness.Case):
    """`self.slurm`, and a program in the place of niffler-png that a test may give another text."""

    MAX_ARRAY_SIZE = 1001

    def setUp(self):
        super().setUp()
        self.slurm = slurm.Slurm(self.MAX_ARRAY_SIZE)
        self.slurm.__enter__()
        self.addCleanup(self.slurm.close)
        self.logs = os.path.join(self.folder, "slurm-logs")
        os.mkdir(self.logs)
        self.program = harness.PROGRAM

    def write_program(self, text):
        """A shell script; $real is niffler-png, $command its first argument, $slice that of --slice."""
        self.program = os.path.join(self.folder, "program")
        harness.write_text("#!/bin/sh\nreal='%s' marks='%s' command=$1 slice=$3\n%s\n" % (harness.PROGRAM, self.folder, text),
                           self.program)
        os.chmod(self.program, 0o755)

    def sbatch_environment(self):
        """Scripts of Slurm's run in the folder where they were submitted."""
        return {"NIFFLER_PROGRAM": self.program}

    def submit(self, shape, *options, flags, status=0):
        """-> the jobs' numbers, and what was printed."""
        result = self.slurm.run(os.path.join(DEPLOY, "submit.sh"), shape, *options, "--", *flags, status=None, cwd=self.logs,
                                environment=self.sbatch_environment())
        self.assertEqual(result.returncode, status, result.stdout + result.stderr)
        return [number for number in re.findall(r"^(?:array|merge): (\d+)", result.stdout, re.M)], result.stdout + result.stderr

    def sbatch(self, script, *arguments, options=()):
        return self.slurm.run("sbatch", "--parsable", *options, os.path.join(DEPLOY, script), *arguments, cwd=self.logs,
                              environment=self.sbatch_environment()).strip()

    def flags(self):
        return ["--DICOMHome", self.home, "--OutputDirectory", self.out]

    def wait_for(self, *names, seconds=PATIENCE):
        try:
            return self.slurm.wait_for(seconds, *names)
        except slurm.ServiceError:
            self.explain()
            raise

    def explain(self):
        self.slurm.print_logs()
        for name in sorted(os.listdir(self.logs)):
            print("---- %s\n%s" % (name, self.log(name)), flush=True)

    def log(self, name):
        path = os.path.join(self.logs, name)
        return harness.read_text(path) if os.path.exists(path) else ""

    def fresh(self):
        """What one `extract` writes."""
        fresh = self.out + "-fresh"
        self.extract(out=fresh)
        return fresh

    @staticmethod
    def tasks(job, count):
        return ["%s_%d" % (job, index) for index in range(count)]


class Slices(SlurmCase):
    def test_an_array_and_its_merge_give_the_bytes_of_one_run(self):
        self.samples()
        fresh = self.fresh()
        (array, merge), _ = self.submit("slices", "-n", "4", "-c", "2", "--time=5", flags=self.flags())
        task = self.slurm.details(array + "_0")
        self.assertEqual((task["NumCPUs"], task["MinMemoryNode"], task["Requeue"]), ("2", "5G", "1"))
        states = self.wait_for(*self.tasks(array, 4), merge)
        # Some of the samples are broken on purpose: status 1, which Slurm calls a failure.
        self.assertEqual(self.slurm.details(merge)["ExitCode"], "1:0", states)
        self.assertTrue({self.slurm.details(name)["ExitCode"] for name in self.tasks(array, 4)} <= {"0:0", "1:0"})
        self.assertSameOutputs(fresh, self.out)
        self.assertIn("files found", self.log("niffler-merge-%s.out" % merge))

    def test_a_task_that_fails_and_one_that_is_cancelled_do_not_hold_up_the_merge(self):
        self.samples("--only", "ct")
        fresh = self.fresh()
        self.write_program('case $slice in\n'
                           '1/3) exit 2 ;;\n'
                           '2/3) trap "exit 3" TERM; touch "$marks/begun"; while :; do sleep 0.1; done ;;\n'
                           'esac\nexec "$real" "$@"')
        (array, merge), _ = self.submit("slices", "-n", "3", "-c", "1", "--time=5", flags=self.flags())
        wait_until(lambda: os.path.exists(os.path.join(self.folder, "begun")), 60, "the task that is to be cancelled runs")
        self.slurm.run("scancel", array + "_2")
        states = self.wait_for(*self.tasks(array, 3), merge)
        self.assertEqual(states, ["COMPLETED", "FAILED", "CANCELLED", "FAILED"])
        self.assertNotEqual(self.slurm.details(array + "_2")["Restarts"], "1")  # a signal from a person is no failure
        self.assertEqual(self.slurm.details(merge)["ExitCode"], "3:0")
        self.assertIn("of 3 slices 2 were not begun (1, 2)", self.log("niffler-merge-%s.out" % merge))
        self.assertFalse(os.path.exists(os.path.join(self.out, "metadata.csv")))
        # What the message says to do, by hand.
        self.program = harness.PROGRAM
        again = self.sbatch("task.sbatch", "slice", "3", *self.flags(), options=["--array=1,2", "--time=5"])
        merge = self.sbatch("merge.sbatch", "3", *self.flags(), options=["--dependency=afterany:" + again, "--time=5"])
        self.assertEqual(self.wait_for(again + "_1", again + "_2", merge), ["COMPLETED"] * 3)
        self.assertSameOutputs(fresh, self.out)

    def test_what_fails_outside_is_tried_again_and_not_for_ever(self):
        self.samples("--only", "ct")
        self.write_program('if [ "$command" = extract ]; then\n'
                           '    echo run >> "$marks/runs-${slice%/*}"\n'
                           '    if [ "$slice" = 1/2 ] || [ "$(wc -l < "$marks/runs-0")" -eq 1 ]; then exit 3; fi\n'
                           'fi\nexec "$real" "$@"')
        (array, merge), _ = self.submit("slices", "-n", "2", "-c", "1", "--time=5", flags=self.flags())
        states = self.wait_for(*self.tasks(array, 2), merge)
        self.assertEqual(states[:2], ["COMPLETED", "FAILED"])
        self.assertEqual([self.slurm.details(name).get("Restarts") for name in self.tasks(array, 2)], ["1", "3"])
        self.assertEqual(self.slurm.details(array + "_1")["ExitCode"], "3:0")
        self.assertIn("restarted 3 times", self.log("niffler-png-%s-1.out" % array))
        self.assertIn("1 were not begun (1)", self.log("niffler-merge-%s.out" % merge))


class Limits(SlurmCase):
    MAX_ARRAY_SIZE = 5

    def test_no_more_tasks_than_the_cluster_allows(self):
        self.samples("--only", "ct")
        fresh = self.fresh()
        (array, merge), said = self.submit("slices", "-n", "9", "-c", "1", "--time=5", flags=self.flags())
        self.assertIn("at most 5 tasks (MaxArraySize): 5, not 9", said)
        states = self.wait_for(*self.tasks(array, 5), merge)
        self.assertEqual(states, ["COMPLETED"] * 6)
        self.assertNotIn(array + "_5", self.slurm.jobs())
        self.assertSameOutputs(fresh, self.out)

    def test_the_signal_before_the_time_limit_requeues_and_the_task_goes_on(self):
        """A minute is the shortest limit of Slurm, which looks at limits every half minute."""
        self.samples("--only", "ct")
        fresh = self.fresh()
        # A decoder that takes its time, for each file anew: the slice needs more than a minute and a half.
        files = sum(len(names) for _, _, names in os.walk(self.home))
        decoder = os.path.join(self.folder, "slow-decoder")
        harness.write_text("#!/bin/sh\nsleep %.1f\nexec '%s' \"$@\"\n"
                           % (95 / files, os.path.join(harness.BUILD, "niffler-png-decoder")), decoder)
        os.chmod(decoder, 0o755)
        began = time.monotonic()
        (array, merge), _ = self.submit("slices", "-n", "1", "-c", "1", "--time=1", "--signal=B:USR1@30",
                                        flags=[*self.flags(), "--DecoderProgram", decoder, "--FilesPerDecoder", "1"])
        states = self.wait_for(array + "_0", merge, seconds=400)
        print("%d files, %.0f s" % (files, time.monotonic() - began))
        self.assertEqual(states, ["COMPLETED"] * 2)
        restarts = int(self.slurm.details(array + "_0")["Restarts"])
        self.assertGreaterEqual(restarts, 1)
        log = self.log("niffler-png-%s-0.out" % array)
        self.assertEqual(log.count("the time limit is near: requeued to go on"), restarts)
        self.assertEqual(log.count("stopped by a signal; what is done is kept"), restarts)
        to_do = [int(line.split("to_do=")[1].split()[0]) for line in harness.read_text(
            self.out, ".niffler-png", "slices", "0-of-1.out").splitlines() if "event=scanned" in line]
        self.assertEqual(len(to_do), restarts + 1)
        self.assertEqual(to_do, sorted(set(to_do), reverse=True))  # each run has less to do
        self.assertSameOutputs(fresh, self.out)

    def test_wrong_use_is_refused_before_anything_is_submitted(self):
        for arguments, says in ((["slices", "-n", "0"], "-n takes a whole number"),
                                (["slices", "--array=0-3"], "the array is made here"),
                                (["slices", "--time", "5"], "'5' is no option")):
            _, said = self.submit(*arguments, flags=self.flags(), status=2)
            self.assertIn(says, said)
        _, said = self.submit("slices", flags=["--DicomHome", "x"], status=2)
        self.assertIn("nearest", said)
        self.assertEqual(self.slurm.jobs(), {})
        (array,), said = self.submit("workers", flags=["--KafkaBrokers", "127.0.0.1:9", "--DecoderMemory", "1500M"])
        self.assertIn("(2 tasks, 4 decoders and 7024 MB each)", said)  # the node's 8 CPUs, 4 for each
        self.slurm.run("scancel", array)


class Workers(fleet.FleetCase):
    """Workers as an array of Slurm's; broker, producer and aggregator are elsewhere."""

    SAMPLES = ("--ct", "60")

    submit, sbatch_environment, log = SlurmCase.submit, SlurmCase.sbatch_environment, SlurmCase.log
    tasks = staticmethod(SlurmCase.tasks)

    def setUp(self):
        super().setUp()
        self.slurm = slurm.Slurm()
        self.slurm.__enter__()
        self.addCleanup(self.slurm.close)
        self.program = harness.PROGRAM

    def explain(self):
        super().explain()
        self.slurm.print_logs()

    def events(self, task, event):
        return self.log("niffler-png-%s.out" % task.replace("_", "-")).count("event=" + event)

    def test_workers_drain_before_their_time_limit_and_come_back(self):
        self.reference()
        self.extract("--slice", "0/1")
        array_mark = os.path.join(self.out, ".niffler-png", "slices", "array")
        self.assertTrue(os.path.exists(array_mark))
        job = self.produce(partitions=4)
        self.assertFalse(os.path.exists(array_mark))  # what slices did before is none of the new job's
        # The settings in a file, as on a cluster.
        flags = [word for word in self.flags() if word]
        (array,), _ = self.submit("workers", "-n", "2", "-c", "1", "--time=10", flags=flags)
        tasks = self.tasks(array, 2)
        wait_until(lambda: all(self.events(task, "kafka_assigned") for task in tasks), PATIENCE, "both workers are at work")
        self.wait_pictures(5)
        # As Slurm does when the time limit is near: to the batch shell alone.
        self.slurm.run("scancel", "--batch", "--signal=USR1", tasks[0])
        wait_until(lambda: self.slurm.details(tasks[0]).get("Restarts") == "1", PATIENCE, "the worker is requeued")
        self.assertEqual(self.events(tasks[0], "drained"), 1)
        self.aggregate_job(job)
        self.assertAsExtracted()
        self.assertEqual(set(self.times_done(job).values()), {1})  # what was drained was not done again
        wait_until(lambda: self.slurm.details(tasks[0])["JobState"] == "RUNNING"
                   and self.events(tasks[0], "started") == 2, PATIENCE, "the worker is back")
        self.slurm.run("scancel", array)
        states = self.slurm.wait_for(PATIENCE, *tasks)
        self.assertEqual(states, ["CANCELLED"] * 2)
        # Each was asked once, and drained; none was requeued.
        wait_until(lambda: self.events(tasks[0], "drained") == 2 and self.events(tasks[1], "drained") == 1, 30,
                   "cancelled workers drain")
        time.sleep(slurm.REQUEUE_S + 1)
        self.assertEqual(self.slurm.run("squeue", "-h").strip(), "")


if __name__ == "__main__":
    reason = slurm.missing()
    if reason:
        print("skipped: " + reason)
        sys.exit(SKIPPED)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    unittest.main(verbosity=2)
