"""Workers come and go while a job runs, 0, 8, 1, 0 and on, as an autoscaler has it: each is asked to end by SIGTERM and gets the
grace period of the chart. Nothing is lost, nothing that a drained worker had begun is done again, and the outputs are those of
`extract`."""
import os
import re
import signal
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "e2e"))
import fleet  # noqa: E402
import harness  # noqa: E402

# Of the chart: a worker needs at most its DrainSeconds, and 15 s in which Kafka is told.
DRAIN_SECONDS, GRACE_SECONDS = 60, 90
PARTITIONS = 8


class Scale(fleet.FleetCase):
    SAMPLES = ("--ct", "400")

    def start_workers(self, count):
        workers = [self.work(MetricsListen="127.0.0.1:0", DrainSeconds=DRAIN_SECONDS) for _ in range(count)]
        self.workers += workers
        return workers

    def drain(self, workers, busy):
        """SIGTERM to all at once, while they hold a file each; then the decoders go on, and each ends by itself.
        `busy`: whether somebody must have been at work."""
        for worker in workers:
            worker.signal_decoders(signal.SIGSTOP)
        try:
            self.assertTrue(os.path.exists(os.path.join(self.out, fleet.OPEN_MARK)), "the job was over before they were asked")

            def in_hand():
                return sum(worker.metric("niffler_inflight") for worker in workers)
            if busy:  # A worker may be between two of its batches just now; the next one then waits for the stopped decoders.
                fleet.wait_until(lambda: in_hand() > 0, GRACE_SECONDS, "somebody is at work")
            begun = in_hand()
            began = time.monotonic()
            for worker in workers:
                worker.signal(signal.SIGTERM)
            fleet.wait_until(lambda: all("stopping" in worker.get("/readyz")[1] or worker.status is not None for worker in workers),
                             GRACE_SECONDS, "they stop")
        finally:
            for worker in workers:
                worker.signal_decoders(signal.SIGCONT)
        for worker in workers:
            self.assertEqual(worker.wait(GRACE_SECONDS), 0, worker.stderr)
        self.assertLess(time.monotonic() - began, GRACE_SECONDS)
        return begun

    def wait_share(self, workers):
        """Until all partitions are theirs, and each has some."""
        def shares():
            return [int(worker.metric("niffler_assigned_partitions")) for worker in workers]
        fleet.wait_until(lambda: sum(shares()) == PARTITIONS and min(shares()) >= PARTITIONS // len(workers), 90,
                         lambda: "the partitions are shared out: %s" % shares())

    def drained(self):
        """What each worker said when it ended: (files that it has done, files that it had begun and left to others)."""
        return [tuple(int(number) for number in re.search(r"event=drained files=(\d+) left=(\d+)", worker.stderr).groups())
                for worker in self.workers]

    def test_up_and_down_while_a_job_runs(self):
        files = harness.ledger(self.reference())[0]
        self.workers = []
        self.broker.create_topics(self.settings["KafkaTasksTopic"], partitions=PARTITIONS)
        self.broker.create_topics(self.settings["KafkaResultsTopic"], self.settings["KafkaDeadTopic"])
        aggregator = self.aggregate(MetricsListen="127.0.0.1:0")
        # 8, which are there before the job is: on two cores it would be over before they had shared it out.
        eight = self.start_workers(8)
        self.wait_share(eight)
        job = self.produce(partitions=PARTITIONS)
        self.wait_pictures(20)
        begun = self.drain(eight[1:], busy=True)  # 1
        print("seven workers were drained of %d files" % begun)
        self.wait_share(eight[:1])
        self.wait_pictures(len(self.pictures()) + 10)
        self.drain(eight[:1], busy=True)  # 0
        at_rest = len(self.pictures())
        left = aggregator.metric("niffler_files_left")
        self.assertGreater(left, 0)
        time.sleep(2)
        self.assertEqual(len(self.pictures()), at_rest)
        three = self.start_workers(3)  # 3, 0, 2
        self.wait_pictures(at_rest + 10)
        self.drain(three, busy=False)
        two = self.start_workers(2)
        self.wait_complete()
        self.end(*two, seconds=GRACE_SECONDS)
        # Once each: nobody left anything that was begun, every file has one record, and the workers together have done as many
        # as there are.
        self.assertEqual([left for _, left in self.drained()], [0] * len(self.workers))
        self.assertEqual(dict(self.times_done(job)), {seq: 1 for seq in range(files)})
        self.assertEqual(sum(done for done, _ in self.drained()), files)
        self.assertEqual(aggregator.metric("niffler_results_duplicate_total"), 0)
        self.end(aggregator)
        self.assertAsExtracted()


if __name__ == "__main__":
    harness.main()
