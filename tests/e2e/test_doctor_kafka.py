#!/usr/bin/python3
"""`niffler-png doctor` against a real Kafka broker: topics that are right, missing, too small, kept too long or too short."""
import os
import sys

import harness
import test_doctor

sys.path.insert(0, os.path.join(harness.SOURCE, "tests", "services"))
import kafka  # noqa: E402

MIB = 1 << 20
DAY_MS = 86400000


class Topics(test_doctor.Doctor):
    @classmethod
    def setUpClass(cls):
        cls.broker = kafka.Kafka(properties={"offsets.retention.minutes": "14400"})  # 10 days
        cls.addClassCleanup(cls.broker.close)
        cls.broker.start()
        cls.broker.create_topics("tasks", partitions=24, retention_ms=str(7 * DAY_MS), max_message_bytes=str(16 * MIB))
        cls.broker.create_topics("results", "dead", max_message_bytes=str(16 * MIB))
        cls.broker.create_topics("lone", retention_ms="-1", max_message_bytes="1000")
        cls.broker.create_topics("eleven-days", partitions=2, retention_ms=str(11 * DAY_MS))
        cls.broker.create_topics("an-hour", partitions=2, retention_ms="3600000")

    def ask(self, tasks="tasks", results="results", dead="dead", status=0):
        return self.doctor("--KafkaBrokers", self.broker.brokers, "--KafkaTasksTopic", tasks, "--KafkaResultsTopic",
                           results, "--KafkaDeadTopic", dead, status=status)

    def test_all_is_well(self):
        report = self.ask()
        self.assertSays(report["kafka"], "ok", "1 broker")
        self.assertSays(report["kafka_tasks"], "ok", "24 partitions", "at most 24 workers")
        self.assertSays(report["kafka_tasks_retention"], "ok", "10080 minutes", "14400")
        for check in ("kafka_results", "kafka_dead", "kafka_tasks_message", "kafka_results_message",
                      "kafka_dead_message"):
            self.assertSays(report[check], "ok")

    def test_missing_topics_fail_and_are_not_made(self):
        for _ in range(2):
            report = self.ask(tasks="absent", dead="absent-too", status=3)
            self.assertSays(report["kafka_tasks"], "fail", "'absent'", "--create-topics makes it")
            self.assertSays(report["kafka_dead"], "fail", "'absent-too'")
            self.assertSays(report["kafka_results"], "ok")

    def test_one_partition_kept_for_ever_for_short_messages(self):
        report = self.ask(tasks="lone", results="lone")
        self.assertSays(report["kafka_tasks"], "warn", "only one worker")
        self.assertSays(report["kafka_tasks_retention"], "warn", "for ever", "864000000 or less")
        self.assertSays(report["kafka_tasks_message"], "warn", "1000 bytes", "max.message.bytes to 1000000")
        self.assertSays(report["kafka_results_message"], "warn", "max.message.bytes to 16777216")

    def test_kept_longer_than_offsets(self):
        report = self.ask(tasks="eleven-days")
        self.assertSays(report["kafka_tasks_retention"], "warn", "15840 minutes", "14400", "864000000 or less")
        self.assertSays(report["kafka_tasks_message"], "ok")

    def test_kept_for_an_hour(self):
        self.assertSays(self.ask(tasks="an-hour")["kafka_tasks_retention"], "warn", "60 minutes", "lost")


class NoBroker(test_doctor.Doctor):
    def test_nobody_listens(self):
        report = self.doctor("--KafkaBrokers", "127.0.0.1:1", "--LogLevel", "error", status=3)
        self.assertSays(report["kafka"], "fail", "127.0.0.1:1", "KafkaBrokers")
        self.assertNotIn("kafka_tasks", report)


if __name__ == "__main__":
    harness.main()
