"""Messages that are wrong, or that mean harm, on every topic: they are put aside with a reason, the job completes, and nothing
outside the roots is read or written."""
import collections
import copy
import json
import os
import shutil
import time

import fleet
import harness

NO_JSON = {
    "text": b"not json at all",
    "cut": b'{"v":1,"job":"01',
    "array": b"[1,2,3]",
    "number": b"17",
    "huge": b'{"v":1,"x":"' + b"a" * 900000 + b'"}',
    "huge and cut": b"[" + b"1," * 400000,
    "deep array": b"[" * 300000,
    "deep object": b'{"a":' * 100000 + b"1" + b"}" * 100000,
    "invalid utf-8": b'{"v":1,"job":"\xff\xfe\xc0\x80","seq":0}',
    "zeros": b"\0" * 64,
    "empty object": b"{}",
    "two in one": b'{"v":1}{"v":1}',
}
LETTER_BYTES = 60000  # a letter holds the first 64 KiB of what was sent
STRANGER = "0123456789ABCDEFGHJKMNPQRS"  # the id of a job that nobody opened


def encoded(message):
    return json.dumps(message, ensure_ascii=True).encode("ascii")


class Malformed(fleet.FleetCase):
    SAMPLES = ("--only", "mr")

    def setUp(self):
        super().setUp()
        self.input_root = os.path.join(self.folder, "in-root")
        self.home = os.path.join(self.input_root, "dicom")
        shutil.copytree(self.class_home, self.home)
        # A picture that nobody may read, beside the input root, and links to it.
        self.outside = os.path.join(self.folder, "outside.dcm")
        picture = next(os.path.join(path, name) for path, _, names in os.walk(self.home) for name in names
                       if name.endswith(".dcm"))
        shutil.copy(picture, self.outside)
        os.symlink(self.outside, os.path.join(self.home, "link.dcm"))
        os.symlink(self.folder, os.path.join(self.home, "link"))
        os.symlink(self.folder, os.path.join(self.output_root, "way-out"))

    def around(self):
        """Everything in the test's folder that is no output."""
        found = {}
        for path, folders, names in os.walk(self.folder):
            folders[:] = [name for name in folders
                          if os.path.join(path, name) not in (self.output_root, self.state, self.logs, self.reference_out)]
            for name in folders + names:
                found[os.path.join(path, name)] = os.lstat(os.path.join(path, name)).st_mtime_ns
        return found

    def task_variants(self, task):
        """A task of this job, altered. Tasks name a job of their own, so that they are not taken for what was sent twice."""
        task = dict(task, job=STRANGER)

        def altered(**members):
            return encoded(dict(copy.deepcopy(task), **members))
        found = {
            "version": altered(v=999),
            "version as text": altered(v="1"),
            "negative seq": altered(seq=-1),
            "seq beyond all files": altered(seq=2**40),
            "seq beyond 64 bits": altered(seq=10**30),
            "seq as text": altered(seq="0"),
            "job": altered(job="../../../../tmp"),
            "job of 27": altered(job=STRANGER + "0"),
            "path up": altered(path="../../outside.dcm"),
            "path up in the middle": altered(path="a/../../../outside.dcm"),
            "absolute path": altered(path=self.outside),
            "path of proc": altered(path="/proc/self/environ"),
            "input up": altered(input=".."),
            "input up in the middle": altered(input="dicom/../.."),
            "absolute input": altered(input=self.folder),
            "input through a link": altered(input="dicom/link"),
            "output through a link": altered(output="way-out"),
            "output up": altered(output="../evil"),
            "absolute output": altered(output=os.path.join(self.folder, "evil")),
            "no options": encoded({key: value for key, value in task.items() if key != "options"}),
            "options of another kind": altered(options=[1, 2]),
            "path of another kind": altered(path={"a": 1}),
        }
        found.update(NO_JSON)
        return found

    def record_variants(self, job, total):
        """Records and notices of this job and of another."""
        record = {"v": 1, "job": job, "seq": 0, "round": 0, "path": "x.dcm", "status": "converted", "size": 1, "mtime_ns": 1,
                  "has_pix_array": True, "uncategorized": False, "frames": [], "metadata": []}
        frame = {"frame": 1, "png": "extracted-images/a.png", "bytes": 1, "offset": 0, "maximum": 1, "scaling": "full",
                 "notes": ""}

        def altered(**members):
            return encoded(dict(record, **members))
        found = {
            "version": altered(v=999),
            "negative seq": altered(seq=-1),
            "seq beyond 64 bits": altered(seq=10**30),
            "seq beyond the total": altered(seq=total),
            "seq far beyond the total": altered(seq=2**31),
            "status": altered(status="great"),
            "frames of another kind": altered(frames="x"),
            "metadata of another kind": altered(metadata=[["a"]]),
            "picture up": altered(frames=[dict(frame, png="../../evil.png")]),
            "absolute picture": altered(frames=[dict(frame, png=self.outside)]),
            "copy up": altered(status="failed", failed_copy="../../evil",
                               failure={"category": 1, "code": "not_dicom", "reason": "x"}),
            "unknown notice": encoded({"v": 1, "type": "explode", "job": job}),
            "notice of another version": encoded({"v": 999, "type": "sealed", "job": job, "total": 1}),
            "negative total": encoded({"v": 1, "type": "sealed", "job": job, "total": -1}),
            "requeue of category 99": encoded({"v": 1, "type": "requeue", "job": job, "category": 99, "request": STRANGER}),
            "open without anything": encoded({"v": 1, "type": "open", "job": STRANGER}),
        }
        found.update(NO_JSON)
        return found

    def hostile_opens(self, job):
        """What the producer says first, with an output folder outside the root."""
        opening = next(json.loads(message.value) for message in self.messages("KafkaResultsTopic")
                       if json.loads(message.value).get("type") == "open")
        self.assertEqual(opening["job"], job)
        ids = ["0123456789ABCDEFGHJKMNPQR%d" % number for number in range(4)]
        places = ("../evil", os.path.join(self.folder, "evil"), "a/../../evil", "/proc/self/evil")
        return {"open into " + place: encoded(dict(opening, job=other, output=place)) for other, place in zip(ids, places)}

    def wait_dead(self, expected):
        """Until all of them have been put aside, each once and with a reason."""
        wanted = collections.Counter(value[:LETTER_BYTES] for value in expected.values())
        dead = collections.Counter()

        def all_there():
            dead.clear()
            for message in self.messages("KafkaDeadTopic"):
                letter = json.loads(message.value)
                self.assertRegex(letter["reason"], r"\S")
                self.assertIn(letter["kind"], ("task", "record", "notice"))
                dead[letter["message"].encode("utf-8", "surrogateescape")[:LETTER_BYTES]] += 1
            return not wanted - dead
        try:
            fleet.wait_until(all_there, 120, "dead", step=1)
        except fleet.service.ServiceError:
            self.fail("not put aside: %s" % [name for name, value in expected.items() if value[:LETTER_BYTES] not in dead])
        time.sleep(2)
        all_there()
        self.assertEqual(dead - wanted, collections.Counter())

    def check(self, job, before, crew, sent=()):
        self.wait_complete()
        self.end(*crew)
        self.assertAsExtracted()
        self.assertEqual(before, self.around())
        for folder in (self.output_root, self.folder):
            self.assertFalse([name for name in os.listdir(folder) if "evil" in name])
        for message in self.messages("KafkaResultsTopic"):
            if message.value not in sent:
                self.assertFalse(b"outside.dcm" in message.value and b'"converted"' in message.value, message.value[:300])
        files = harness.ledger(self.aggregate_job(job).stdout)[0]
        done = self.times_done(job)
        self.assertEqual([seq for seq in range(files) if seq not in done], [])

    def test_tasks(self):
        self.reference()
        job = self.produce()
        before = self.around()
        expected = self.task_variants(json.loads(self.messages("KafkaTasksTopic")[0].value))
        for value in expected.values():
            self.send("KafkaTasksTopic", value)
        worker, aggregator = self.work(MetricsListen="127.0.0.1:0"), self.aggregate()
        self.wait_dead(expected)
        self.assertEqual(worker.metric("niffler_dlq_total"), len(expected))
        self.check(job, before, (worker, aggregator))

    def test_records_and_notices(self):
        expected_summary = self.reference()
        job = self.produce()
        before = self.around()
        expected = self.record_variants(job, harness.ledger(expected_summary)[0])
        expected.update(self.hostile_opens(job))
        for value in expected.values():
            self.send("KafkaResultsTopic", value, key=job)
        aggregator = self.aggregate(MetricsListen="127.0.0.1:0")
        self.wait_dead(expected)
        self.assertEqual(aggregator.metric("niffler_dlq_total"), len(expected))
        worker = self.work()
        self.check(job, before, (worker, aggregator), set(expected.values()))

    def test_dead_letters_are_read_by_nobody(self):
        self.reference()
        job = self.produce()
        before = self.around()
        for value in NO_JSON.values():
            self.send("KafkaDeadTopic", value)
        worker, aggregator = self.work(), self.aggregate()
        self.check(job, before, (worker, aggregator))
        self.assertEqual(len(self.messages("KafkaDeadTopic")), len(NO_JSON))

    def test_records_of_a_job_that_nobody_opened(self):
        """What is left in the topic of a job that is forgotten neither stops the aggregator nor makes anything."""
        self.reference()
        job = self.produce()
        before = self.around()
        for seq in range(20):
            self.send("KafkaResultsTopic", encoded(
                {"v": 1, "job": STRANGER, "seq": seq, "round": 0, "path": "x.dcm", "status": "no_image", "size": 1,
                 "mtime_ns": 1, "has_pix_array": False, "uncategorized": False, "frames": [], "metadata": []}), key=STRANGER)
        worker, aggregator = self.work(), self.aggregate()
        self.check(job, before, (worker, aggregator))


if __name__ == "__main__":
    harness.main()
