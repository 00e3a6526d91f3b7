"""What shows how a job of the fleet is doing: Redis, the e-mail, probes and metrics. None of them may matter to the job."""
import json
import os
import re
import signal
import subprocess
import time

import fleet  # also finds tests/services
import harness
import redis
import smtp

# What is shown must be right so long after Redis is back.
RECOVERY_SECONDS = 5


class Redis(fleet.FleetCase):
    SAMPLES = ("--ct", "20")

    def setUp(self):
        super().setUp()
        self.redis = redis.Redis(os.path.join(self.folder, "redis"))
        self.addCleanup(self.redis.close)
        self.expected = harness.ledger(self.reference())

    def shown(self, job):
        """The job's hash; empty while Redis does not say."""
        try:
            return self.redis.hash("niffler:{%s}:job" % job)
        except (OSError, redis.RedisError):
            return {}

    def is_right(self, shown, state="complete"):
        found, converted, _, _, failed = self.expected
        if shown.get("state") not in (state if isinstance(state, tuple) else (state,)):
            return False
        numbers = {name: int(shown.get(name, -1)) for name in ("total", "done", "ok", "failed", "skipped")}
        if state == "complete":
            return numbers == {"total": found, "done": found, "ok": converted, "failed": failed,
                               "skipped": found - converted - failed}
        return numbers["total"] == found

    def wait_right(self, job, seconds, state="complete"):
        last = []

        def check():
            last[:] = [self.shown(job)]
            return self.is_right(last[0], state)
        fleet.wait_until(check, seconds, lambda: "Redis shows %s; expected %s" % (last, self.expected))

    def survives(self, fault, cure, before=True):
        """A fault that lasts from before the first record to behind the last; then everything is shown within seconds."""
        if before:
            self.redis.start()
        job = self.produce(partitions=2)
        aggregator = self.aggregate(RedisUrl=self.redis.url)
        if before:
            self.wait_right(job, 60, ("sealed", "running", "open"))
        fault()
        worker = self.work(RedisUrl=self.redis.url)
        self.wait_complete()
        self.assertAsExtracted()
        self.assertIsNone(aggregator.status)
        self.assertIsNone(worker.status)
        cure()
        self.wait_right(job, RECOVERY_SECONDS)
        self.assertGreater(self.redis.ttl("niffler:{%s}:job" % job), 3600)
        self.end(worker, aggregator)

    def test_shown_while_it_runs_and_when_it_is_complete(self):
        self.survives(lambda: None, lambda: None)

    def test_absent_at_the_start(self):
        self.survives(lambda: None, self.redis.start, before=False)

    def test_dies(self):
        self.survives(self.redis.kill9, self.redis.start)

    def test_is_emptied(self):
        """FLUSHALL while the job waits: all is shown again; and again when it is complete."""
        self.redis.start()
        job = self.produce(partitions=2)
        aggregator = self.aggregate(RedisUrl=self.redis.url)
        self.wait_right(job, 60, ("sealed", "running", "open"))
        self.redis.flush()
        self.wait_right(job, RECOVERY_SECONDS, ("sealed", "running", "open"))
        worker = self.work(RedisUrl=self.redis.url)
        self.wait_pictures(3)
        self.redis.flush()
        self.wait_complete()
        self.wait_right(job, RECOVERY_SECONDS)
        self.assertAsExtracted()
        self.end(worker, aggregator)

    def test_read_only(self):
        self.survives(self.redis.make_replica, self.redis.make_master)

    def test_full(self):
        self.survives(self.redis.fill, self.redis.unfill)

    def test_frozen(self):
        self.survives(self.redis.stop, self.redis.cont)

    def test_a_key_of_another_kind_is_in_the_way(self):
        self.redis.start()
        job = self.produce(partitions=2)
        self.redis.ask("SET", "niffler:{%s}:job" % job, "in the way")
        crew = [self.work(RedisUrl=self.redis.url), self.aggregate(RedisUrl=self.redis.url)]
        self.wait_complete()
        self.wait_right(job, RECOVERY_SECONDS)
        self.assertAsExtracted()
        self.end(*crew)

    def test_behind_a_socket_a_user_and_a_password(self):
        self.redis.user, self.redis.password = "fleet", "redis-horse"
        self.redis.start()
        secret = os.path.join(self.folder, "redis.password")
        harness.write_text("redis-horse\n", secret)
        for url in (self.redis.url, "unix://fleet@%s?db=0" % self.redis.socket):
            job = self.produce(partitions=2)
            crew = [self.work(RedisUrl=url, RedisPasswordFile=secret), self.aggregate(RedisUrl=url, RedisPasswordFile=secret)]
            self.wait_complete()
            self.wait_right(job, 20)
            self.end(*crew)
        for process in self.processes:
            self.assertNotIn("redis-horse", process.stdout + process.stderr)

    def test_a_wrong_password_does_not_hold_up_the_job(self):
        self.redis.password = "redis-horse"
        self.redis.start()
        secret = os.path.join(self.folder, "redis.password")
        harness.write_text("another\n", secret)
        self.produce(partitions=2)
        crew = [self.work(RedisUrl=self.redis.url, RedisPasswordFile=secret),
                self.aggregate(RedisUrl=self.redis.url, RedisPasswordFile=secret)]
        self.wait_complete()
        self.assertAsExtracted()
        self.end(*crew)

    def test_status_agrees_with_the_summary(self):
        self.redis.start()
        self.settings["RedisUrl"] = self.redis.url
        job = self.produce(partitions=2)
        aggregator = self.aggregate()
        self.wait_right(job, 60, ("sealed", "running"))
        self.assertEqual(self.status(job)["total"], self.expected[0])
        worker = self.work()
        self.wait_complete()
        self.wait_right(job, 20)
        shown = self.status(job)
        self.assertTrue(self.is_right(shown), shown)
        self.assertEqual([shown[name] for name in ("total", "converted", "no_image", "ignored", "failed")], self.expected)
        self.assertEqual((shown["job"], shown["percent"], shown["output"]), (job, 100, "job"))
        self.assertEqual(shown["pictures"], len(self.pictures()))
        plain = self.command("status", job).stdout
        for number in (shown["converted"], shown["failed"]):
            self.assertIn(str(number), plain)
        self.assertIn(job, self.command("status").stdout)
        self.end(worker, aggregator)
        self.redis.kill9()
        self.command("status", job, status=(3,))
        self.command("status", job, status=(2,), RedisUrl=None)

    def test_watching_ends_with_the_job(self):
        self.redis.start()
        job = self.produce(partitions=2)
        aggregator = self.aggregate(RedisUrl=self.redis.url)
        self.wait_right(job, 60, ("open", "sealed", "running"))  # before that, nobody knows the job
        watching = self.start("status", job, "--watch", RedisUrl=self.redis.url)
        crew = [self.work(RedisUrl=self.redis.url), aggregator]
        self.assertEqual(watching.wait(fleet.PATIENCE), 0)
        self.wait_complete()
        self.assertIn("complete", watching.stdout)
        self.end(*crew)


class Mail(fleet.FleetCase):
    WITH_REDIS = True
    SAMPLES = ("--only", "mr")

    def job_with_mail(self, script):
        """-> the job, which is complete, the aggregator, which serves, and the sink."""
        sink = smtp.Smtp(os.path.join(self.folder, "smtp"), script)
        self.addCleanup(sink.close)
        sink.start()
        self.reference()
        job = self.produce("--SendEmail", "true", "--YourEmail", "to@example.org")
        worker = self.work()
        aggregator = self.aggregate(SmtpUrl=sink.url, SmtpStartTls="off", MailFrom="from@example.com")
        self.wait_complete(seconds=60)  # whatever becomes of the mail
        self.end(worker)
        self.assertAsExtracted()
        return job, aggregator, sink

    def check(self, mail, job):
        self.assertEqual(mail["X-Mail-From"], "from@example.com")
        self.assertEqual(mail.get_all("X-Rcpt-To"), ["to@example.org"])
        self.assertIn(job, mail["Message-ID"])
        text = mail.get_content()
        self.assertIn(self.out, text.replace("\r\n", "\n"))
        self.assertNotIn(".dcm", text)

    def test_arrives_once(self):
        job, aggregator, sink = self.job_with_mail("")
        fleet.wait_until(sink.mails, 60, "the mail arrives")
        self.end(aggregator)
        # A new aggregator on the same state does not send it again.
        aggregator = self.aggregate(SmtpUrl=sink.url, SmtpStartTls="off", MailFrom="from@example.com")
        time.sleep(5)
        self.end(aggregator)
        self.assertEqual(len(sink.mails()), 1)
        self.check(sink.mails()[0], job)

    def test_aggregate_of_one_job_ends_when_the_mail_is_out(self):
        sink = smtp.Smtp(os.path.join(self.folder, "smtp"))
        self.addCleanup(sink.close)
        sink.start()
        job = self.produce("--YourEmail", "to@example.org")
        worker = self.work()
        self.aggregate_job(job, SmtpUrl=sink.url, SmtpStartTls="off", MailFrom="from@example.com")
        self.end(worker)
        self.assertEqual(len(sink.mails()), 1)
        self.check(sink.mails()[0], job)

    def test_not_sent_where_it_is_not_wanted(self):
        sink = smtp.Smtp(os.path.join(self.folder, "smtp"))
        self.addCleanup(sink.close)
        sink.start()
        job = self.produce("--SendEmail", "false", "--YourEmail", "to@example.org")
        worker = self.work()
        self.aggregate_job(job, SmtpUrl=sink.url, SmtpStartTls="off")
        self.end(worker)
        self.assertEqual(sink.mails(), [])

    def test_refused_for_good(self):
        job, aggregator, sink = self.job_with_mail("550,550,550")
        fleet.wait_until(lambda: self.wait_state(job, "complete").get("mail") == "failed", 60, "the mail has failed")
        self.assertEqual(sink.mails(), [])
        self.end(aggregator)

    def test_refused_for_now_is_tried_again(self):
        job, aggregator, sink = self.job_with_mail("450")
        fleet.wait_until(sink.mails, 150, "the mail arrives at the second attempt", step=1)
        self.end(aggregator)
        self.assertEqual(len(sink.mails()), 1)
        self.check(sink.mails()[0], job)

    def test_dropped_after_the_message_has_the_same_name_twice(self):
        job, aggregator, sink = self.job_with_mail("drop")
        fleet.wait_until(lambda: len(sink.mails()) == 2, 150, "the mail arrives at the second attempt", step=1)
        self.end(aggregator)
        first, second = sink.mails()
        self.check(first, job)
        self.assertEqual(first["Message-ID"], second["Message-ID"])

    def test_an_aggregator_that_dies_while_it_sends_sends_once_more(self):
        job, aggregator, sink = self.job_with_mail("hang")
        fleet.wait_until(sink.mails, 60, "the message is with the server")
        aggregator.kill9()
        for _ in range(2):  # the second of them has nothing left to send
            aggregator = self.aggregate(SmtpUrl=sink.url, SmtpStartTls="off", MailFrom="from@example.com")
            fleet.wait_until(lambda: len(sink.mails()) == 2, 60, "it is sent again")
            fleet.wait_until(lambda: not os.listdir(os.path.join(self.state, "outbox")), 60, "it is settled")
            time.sleep(2)
            self.end(aggregator)
        first, second = sink.mails()
        self.check(first, job)
        self.check(second, job)
        self.assertEqual(first["Message-ID"], second["Message-ID"])

    def test_a_server_without_tls_gets_nothing_unless_that_is_allowed(self):
        sink = smtp.Smtp(os.path.join(self.folder, "smtp"))
        self.addCleanup(sink.close)
        sink.start()
        job = self.produce("--YourEmail", "to@example.org")
        worker, aggregator = self.work(), self.aggregate(SmtpUrl=sink.url, MailFrom="from@example.com")
        self.wait_complete(seconds=60)
        self.wait_state(job, "complete")
        fleet.wait_until(lambda: re.search(r"event=mail_(retry|failed)\b", aggregator.stderr), 60, "it is refused")
        self.assertIn(self.wait_state(job, "complete")["mail"], ("pending", "failed"))
        self.end(worker, aggregator)
        self.assertEqual(sink.mails(), [])
        self.assertNotIn(b"to@example.org", sink.transcript())

    def test_a_server_that_hangs_holds_up_neither_jobs_nor_the_end(self):
        job, aggregator, sink = self.job_with_mail("hang")
        fleet.wait_until(sink.mails, 60, "the message is with the server")
        self.produce(out=os.path.join(self.output_root, "next"))
        worker = self.work()
        self.wait_complete(os.path.join(self.output_root, "next"), seconds=60)
        began = time.monotonic()
        self.end(worker, aggregator)
        self.assertLess(time.monotonic() - began, 60)
        self.check(sink.mails()[0], job)


class Health(fleet.FleetCase):
    SAMPLES = ("--ct", "20")

    def curl(self, process, path, *flags):
        done = subprocess.run(["curl", "-sS", "-m", "10", *flags, "-w", "\n%{http_code}",
                               "http://127.0.0.1:%d%s" % (process.port(), path)],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        body, _, code = done.stdout.rpartition("\n")
        return int(code), body

    def health(self, port, *flags, status=0, says=""):
        """What the command `health` answers."""
        process = self.command("health", *flags, MetricsListen="0.0.0.0:%d" % port, status=(status,), seconds=30)
        self.assertIn(says, process.stderr)
        return process.stdout.rstrip("\n")

    def wait_ready(self, process):
        fleet.wait_until(lambda: self.curl(process, "/readyz")[0] == 200, 60, process.name + " is ready")

    def promtool(self, text):
        done = subprocess.run(["promtool", "check", "metrics"], input=text, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, check=False)
        self.assertEqual((done.returncode, done.stdout), (0, ""))

    def test_probes_and_metrics_of_worker_and_aggregator(self):
        found, converted, no_image, ignored, failed = harness.ledger(self.reference())
        self.broker.create_topics(*(self.settings[key] for key in ("KafkaTasksTopic", "KafkaResultsTopic", "KafkaDeadTopic")))
        worker, aggregator = self.work(MetricsListen="127.0.0.1:0"), self.aggregate(MetricsListen="127.0.0.1:0")
        for process in (worker, aggregator):
            self.assertEqual(self.curl(process, "/livez")[0], 200)
            self.wait_ready(process)
            self.promtool(self.curl(process, "/metrics")[1])
            self.assertEqual(self.curl(process, "/nothing")[0], 404)
            self.assertNotEqual(self.curl(process, "/livez", "-X", "POST", "-d", "x=1")[0], 200)
            self.assertEqual(self.health(process.port()), "ready")
            self.assertEqual(self.health(process.port(), "--live"), "live")
        self.assertEqual(worker.metric("niffler_files_total"), 0)
        job = self.produce()
        self.wait_complete()
        for process in (worker, aggregator):
            code, text = self.curl(process, "/metrics")
            self.assertEqual(code, 200)
            self.promtool(text)
            self.assertNotIn("PAT0", text)
            self.assertNotIn(job, text)
        self.assertEqual(worker.metric("niffler_files_total"), found)
        self.assertEqual(worker.metric("niffler_tasks_consumed_total"), found)
        self.assertEqual(aggregator.metric("niffler_records_total"), found)
        text = worker.get("/metrics")[1]
        for status, count in (("converted", converted), ("no_image", no_image), ("ignored", ignored), ("failed", failed)):
            lines = [line for line in text.splitlines()
                     if line.startswith("niffler_files_total{") and 'status="%s"' % status in line]
            self.assertEqual(sum(float(line.split()[-1]) for line in lines), count, status)
        sizes = sum(os.path.getsize(path) for path in self.pictures())
        self.assertEqual(worker.metric("niffler_bytes_written_total"), sizes)
        self.end(worker, aggregator)
        self.assertAsExtracted()

    def test_jobs_in_the_metrics_of_the_aggregator(self):
        """How many files are left, and, where MetricsJobs allows it, how long each job takes; nothing of either when it is over."""
        job = self.produce()
        files = json.loads(self.messages("KafkaResultsTopic")[-1].value)["total"]
        worker = self.work()
        fleet.wait_until(lambda: len(self.times_done(job)) == files, fleet.PATIENCE, "all records are sent", step=1)
        self.end(worker)
        # An aggregator gets them bit by bit.
        opened, sealed = (message.value for message in self.messages("KafkaResultsTopic") if b'"type"' in message.value)
        records = [message.value for message, _ in self.records(job)]
        self.settings["KafkaResultsTopic"] += "-slow"
        self.broker.create_topics(self.settings["KafkaResultsTopic"])
        aggregator = self.aggregate(MetricsListen="127.0.0.1:0", MetricsJobs="1")
        self.wait_ready(aggregator)
        self.wait_metrics(aggregator, "niffler_ready 1", 'niffler_jobs{state="open"} 0', "niffler_files_left 0")
        of_job = '{job_id="%s"}' % job

        def send(*values):
            for value in values:
                self.send("KafkaResultsTopic", value, key=job)
        send(opened)
        self.wait_metrics(aggregator, 'niffler_jobs{state="open"} 1', "niffler_job_files_done%s 0" % of_job)
        self.assertNotIn("niffler_job_files{", aggregator.get("/metrics")[1])
        send(sealed)
        self.wait_metrics(aggregator, 'niffler_jobs{state="sealed"} 1', 'niffler_jobs{state="open"} 0',
                          "niffler_files_left %d" % files, "niffler_job_files%s %d" % (of_job, files))
        self.assertNotIn("niffler_job_left_seconds", aggregator.get("/metrics")[1])  # at what pace?
        send(*records[:5])
        self.wait_metrics(aggregator, 'niffler_jobs{state="running"} 1', "niffler_files_left %d" % (files - 5),
                          "niffler_job_files_done%s 5" % of_job)
        self.promtool(aggregator.get("/metrics")[1])
        fleet.wait_until(lambda: aggregator.metric("niffler_job_left_seconds") > 0, 60, "it says how long the job will take")
        send(*records[5:])
        self.wait_complete()
        self.wait_metrics(aggregator, 'niffler_jobs{state="running"} 0', "niffler_files_left 0")
        self.assertNotIn(job, aggregator.get("/metrics")[1])
        self.end(aggregator)

    def wait_metrics(self, process, *lines):
        def missing():
            shown = process.get("/metrics")[1].splitlines()
            return [line for line in lines if line not in shown]
        fleet.wait_until(lambda: not missing(), 60, lambda: "%s shows %s" % (process.name, missing()))

    def test_health_of_one_that_waits_is_frozen_or_gone(self):
        worker = self.work(KafkaBrokers="127.0.0.1:1", MetricsListen="127.0.0.1:0")
        fleet.wait_until(lambda: self.curl(worker, "/readyz")[1] != "starting\n", 60, "it looks for a broker")
        self.assertEqual(self.health(worker.port(), status=1), "no broker answers")
        self.assertEqual(self.health(worker.port(), "--live"), "live")
        worker.signal(signal.SIGSTOP)
        self.health(worker.port(), says="nobody answers", status=3)
        worker.kill9()
        self.health(worker.port(), "--live", says="nobody answers", status=3)

    def test_a_port_that_is_taken_is_named(self):
        self.produce()
        worker = self.work(MetricsListen="127.0.0.1:%d" % self.broker.port)
        self.assertIn(worker.wait(60), (2, 3))
        self.assertIn(str(self.broker.port), worker.stderr)


if __name__ == "__main__":
    harness.main()
