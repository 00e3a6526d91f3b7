#!/usr/bin/python3
"""`niffler-png status` against a real redis-server: its lines, its JSON, and what it says where there is nothing.

usage: test_status.py NIFFLER_PNG [unittest arguments]
"""
import json
import os
import pty
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

PROGRAM = None
JOB = "01HZX3K5T7Q9V1B2C4D6E8F0GH"
NEWER = "01HZX3K5T7Q9V1B2C4D6E8F0GJ"
RUNNING = {
    "state": "running", "found": "2000", "total": "1234567", "done": "617283", "percent": "49.9", "ok": "610000",
    "converted": "610000", "no_image": "5000", "ignored": "283", "skipped": "5283", "failed": "2000", "failed_1": "0",
    "failed_2": "1500", "failed_3": "0", "failed_4": "500", "failed_5": "0", "duplicates": "1", "pictures": "620001",
    "rate": "412.5", "eta_s": "7384", "created_at": "1795430645", "started_at": "1795430650", "output": "ct/2024",
    "mail": "pending", "epoch": "3", "rev": "99", "schema": "1",
}


class Redis:
    """A redis-server on a socket of its own, and a client of the few lines that it takes."""

    def __init__(self, *options):
        self.folder = tempfile.mkdtemp(prefix="niffler-status-")
        self.path = os.path.join(self.folder, "redis.sock")
        self.process = subprocess.Popen(
            ["redis-server", "--port", "0", "--unixsocket", self.path, "--save", "", "--dir", self.folder, *options],
            stdout=subprocess.DEVNULL)
        end = time.monotonic() + 10
        self.socket = None
        while self.socket is None:
            attempt = socket.socket(socket.AF_UNIX)
            attempt.settimeout(10)
            try:
                attempt.connect(self.path)
                self.socket = attempt
            except OSError:
                attempt.close()
                if time.monotonic() > end:
                    raise
                time.sleep(0.01)
        self.stream = self.socket.makefile("rb")

    def close(self):
        self.stream.close()
        self.socket.close()
        self.process.send_signal(signal.SIGCONT)
        self.process.kill()
        self.process.wait()
        shutil.rmtree(self.folder)

    def ask(self, *words):
        words = [word if isinstance(word, bytes) else str(word).encode() for word in words]
        self.socket.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words))
        return self.answer()

    def answer(self):
        line = self.stream.readline().rstrip(b"\r\n")
        kind, rest = line[:1], line[1:]
        if kind == b"-":
            raise RuntimeError(rest)
        if kind == b"$":
            return self.stream.read(int(rest) + 2)[:-2] if int(rest) >= 0 else None
        if kind == b"*":
            return [self.answer() for _ in range(int(rest))]
        return rest

    def put_job(self, job, fields, created=1795430645, prefix="niffler:"):
        self.ask("DEL", "%s{%s}:job" % (prefix, job))
        self.ask("HSET", "%s{%s}:job" % (prefix, job), *[word for pair in fields.items() for word in pair])
        self.ask("ZADD", prefix + "jobs", created, job)

    def put_worker(self, name, seen, inflight, files):
        self.ask("HSET", "niffler:worker:" + name, "assigned", 2, "inflight", inflight, "files", files)
        self.ask("ZADD", "niffler:workers", int(seen), name)


class Status(unittest.TestCase):
    def setUp(self):
        self.redis = Redis()
        self.folder = tempfile.mkdtemp(prefix="niffler-status-")

    def tearDown(self):
        self.redis.close()
        shutil.rmtree(self.folder)

    def command(self, *arguments, url=True):
        given = ["--RedisUrl", "unix://" + self.redis.path] if url is True else ["--RedisUrl", url] if url else []
        return [PROGRAM, "status", *arguments, *given]

    def run_status(self, *arguments, url=True):
        return subprocess.run(self.command(*arguments, url=url), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              stdin=subprocess.DEVNULL, timeout=30, cwd=self.folder)

    def show(self, *arguments):
        done = self.run_status(*arguments)
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        return done.stdout.decode()

    # ---- what is shown ----

    def test_the_block(self):
        now = time.time()
        self.redis.put_job(JOB, dict(RUNNING, updated_at=int(now)))
        self.redis.put_worker("a", now, 3, 1000)
        self.redis.put_worker("b", now - 50, 4, 2000)
        self.redis.put_worker("gone", now - 70, 100, 100)
        self.assertEqual(self.show(JOB), "\n".join(line.rstrip() for line in """\
job                    01HZX3K5T7Q9V1B2C4D6E8F0GH
state                  running
found                  1,234,567
done                   617,283 (49.9 %)
converted              610,000
pictures               620,001
no image               5,000
ignored                283
failed                 2,000
  2 contradiction      1,500
  4 decoder            500
rate                   412.5 files/s
time left              2 h 3 min
workers                2 seen in the last minute, 7 files in work
created                2026-11-23T09:24:05Z
output                 ct/2024
e-mail                 pending
""".split("\n")).replace("2026-11-23T09:24:05Z", time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(1795430645))))

    def test_the_block_of_a_job_that_has_just_begun_and_of_one_that_is_over(self):
        self.redis.put_job(JOB, {"state": "open", "found": "17", "done": "3", "updated_at": "1000"})
        shown = self.show(JOB)
        self.assertIn("\nfound                  17 so far\ndone                   3\n", shown)
        self.assertRegex(shown, r"\nstate +open \(last heard of \d+ d \d+ h ago\)\n")
        self.assertNotIn("time left", shown)
        over = dict(RUNNING, state="complete", done="1234567", percent="100.0", finished_at="1795430705", updated_at="1")
        self.redis.put_job(JOB, over)
        shown = self.show(JOB)
        self.assertIn("\nstate                  complete\n", shown)
        self.assertIn("\nfinished               ", shown)
        for word in ("workers", "rate", "time left"):
            self.assertNotIn(word, shown)

    def test_the_json(self):
        self.redis.put_job(JOB, dict(RUNNING, error="no \"space\"\n"))
        self.redis.put_worker("a", time.time(), 3, 1000)
        shown = json.loads(self.show(JOB, "--json"))
        expected = {name: value if name in ("state", "output", "mail") else
                    float(value) if name in ("percent", "rate") else int(value) for name, value in RUNNING.items()}
        expected.update(job=JOB, error="no \"space\"\n",
                        workers={"seen": 1, "assigned": 2, "inflight": 3, "files": 1000})
        self.assertEqual(shown, expected)

    def test_the_list(self):
        self.assertEqual(self.show(), "Redis knows no jobs.\n")
        self.assertEqual(json.loads(self.show("--json")), {"jobs": []})
        self.redis.put_job(JOB, RUNNING, 1000)
        self.redis.put_job(NEWER, {"state": "open", "done": "1"}, 2000)
        self.redis.ask("ZADD", "niffler:jobs", 3000, "01HZX3K5T7Q9V1B2C4D6E8F000")  # its hash has ended
        lines = self.show().split("\n")
        self.assertEqual(len(lines), 3)
        self.assertEqual(lines[0], NEWER + "  open             ?  done 1 of ?  failed 0")
        self.assertTrue(lines[1].startswith(
            JOB + "  running     49.9 %  done 617,283 of 1,234,567  failed 2,000  left 2 h 3 min  created 2026-"), lines[1])
        self.assertEqual([job["job"] for job in json.loads(self.show("--json"))["jobs"]], [NEWER, JOB])
        for i in range(30):
            self.redis.put_job("01HZX3K5T7Q9V1B2C4D6E80%03d" % i, RUNNING, 5000 + i)
        lines = self.show().rstrip("\n").split("\n")
        self.assertEqual([line[:26] for line in lines], ["01HZX3K5T7Q9V1B2C4D6E80%03d" % i for i in range(29, 9, -1)])

    def test_the_prefix_is_the_settings(self):
        self.redis.put_job(JOB, RUNNING, prefix="other {x}:")
        self.assertEqual(self.run_status(JOB).returncode, 1)
        self.assertIn("running", self.show(JOB, "--RedisPrefix", "other {x}:"))

    def test_texts_of_strangers_are_escaped_and_cut(self):
        evil = b"\x1b]0;title\x07\x1b[2J\r\n\xc2\x9b31m\xff" + "\u00e4".encode() + b"x" * 5000
        self.redis.put_job(JOB, {"state": evil, "output": evil, "error": evil, "mail": evil, "total": "12; rm",
                                 "done": "-1", "failed": "99999999999999999999999", "percent": "nan", "rate": "0x1p9",
                                 "eta_s": "1e9", "created_at": "9" * 19, "updated_at": "", "converted": b"1\x002"})
        self.redis.ask("ZADD", "niffler:jobs", 1, evil)
        self.redis.ask("HSET", b"niffler:{" + evil + b"}:job", "state", "x")
        for arguments in ((JOB,), (), (JOB, "--json"), ("--json",)):
            done = self.run_status(*arguments)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIsNone(re.search("[\x00-\x1f\x7f-\x9f]", done.stdout.decode().replace("\n", "")), arguments)
            if "--json" not in arguments:
                self.assertIn("\\x1B]0;title\\x07\\x1B[2J\\x0D\\x0A\\xC2\\x9B31m\\xFF\u00e4xxx".encode(), done.stdout)
                self.assertLess(max(map(len, done.stdout.split(b"\n"))), 700)
        shown = json.loads(self.show(JOB, "--json"))
        self.assertEqual(set(shown), {"job", "state", "output", "error", "mail", "created_at", "workers"})
        self.assertEqual(len(shown["output"].encode("utf-8", "surrogateescape")), 4096)

    # ---- watching ----

    def test_watching_by_lines_ends_with_the_job(self):
        self.redis.put_job(JOB, RUNNING)
        watcher = subprocess.Popen(self.command(JOB, "--watch"), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        time.sleep(2.5)
        self.redis.put_job(JOB, dict(RUNNING, done="700000", percent="56.7"))
        time.sleep(1.5)
        self.redis.ask("FLUSHALL")  # as long as it is written again
        time.sleep(1.5)
        self.redis.put_job(JOB, dict(RUNNING, state="complete", done="1234567", percent="100.0"))
        out, errors = watcher.communicate(timeout=10)
        self.assertEqual((watcher.returncode, errors), (0, b""))
        lines = out.decode().rstrip("\n").split("\n")
        self.assertEqual([line.split()[1] for line in lines], ["running", "running", "complete"])

    def test_watching_as_json(self):
        self.redis.put_job(JOB, RUNNING)
        watcher = subprocess.Popen(self.command(JOB, "--watch", "--json"), stdout=subprocess.PIPE)
        time.sleep(1.5)
        self.redis.put_job(JOB, dict(RUNNING, state="cancelled"))
        out, _ = watcher.communicate(timeout=10)
        self.assertEqual(watcher.returncode, 0)
        self.assertEqual([json.loads(line)["state"] for line in out.splitlines()], ["running", "cancelled"])

    def test_watching_on_a_terminal_draws_again(self):
        self.redis.put_job(JOB, RUNNING)
        terminal, inside = pty.openpty()
        watcher = subprocess.Popen(self.command(JOB, "--watch"), stdout=inside)
        os.close(inside)
        time.sleep(1.5)
        self.redis.put_job(JOB, dict(RUNNING, state="failed"))
        shown = b""
        try:
            while True:
                shown += os.read(terminal, 65536)
        except OSError:
            pass  # so a terminal ends
        os.close(terminal)
        self.assertEqual(watcher.wait(timeout=10), 0)
        self.assertTrue(shown.startswith(b"\x1b[H\x1b[2J"))
        self.assertGreaterEqual(shown.count(b"\x1b[H"), 2)
        self.assertEqual(shown.count(b"\x1b[2J"), 1)
        self.assertIn(b"state                  failed", shown)

    def test_watching_ends_when_nobody_reads(self):
        self.redis.put_job(JOB, RUNNING)
        watcher = subprocess.Popen(self.command(JOB, "--watch"), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        watcher.stdout.readline()
        watcher.stdout.close()
        self.redis.put_job(JOB, dict(RUNNING, done="700000"))
        self.assertEqual(watcher.wait(timeout=10), 3)
        watcher.stderr.close()

    # ---- what cannot be shown ----

    def refused(self, status, *words, arguments=(JOB,), url=True):
        done = self.run_status(*arguments, url=url)
        self.assertEqual(done.returncode, status, done.stderr)
        self.assertEqual(done.stdout, b"")
        self.assertEqual(done.stderr.count(b"\n"), 1)
        for word in words:
            self.assertIn(word, done.stderr.decode())

    def test_a_job_that_redis_does_not_know(self):
        self.refused(1, "Redis does not know the job '%s'" % JOB)
        self.refused(1, "Redis does not know the job", arguments=(JOB, "--watch"))
        self.refused(1, "Redis does not know the job", arguments=(JOB, "--json"))

    def test_what_is_no_job(self):
        for text in (JOB[:-1], JOB + "A", JOB.lower(), JOB[:-1] + "I", JOB[:-1] + "}", JOB[:-1] + "*", ""):
            self.refused(2, "26 characters", arguments=(text,))

    def test_no_redis(self):
        self.refused(2, "RedisUrl", url=None)
        self.refused(2, "RedisUrl", url="http://x")
        self.refused(3, "RedisUrl", "cannot connect", url="unix://" + self.redis.path + "x")
        self.refused(3, "RedisUrl", "cannot connect", url="redis://127.0.0.1:1")
        self.refused(3, "database 99", url="unix://" + self.redis.path + "?db=99")

    def test_a_redis_that_hangs_is_given_up_after_a_second(self):
        self.redis.process.send_signal(signal.SIGSTOP)
        begin = time.monotonic()
        self.refused(3, "RedisUrl", "no answer within a second")
        self.assertLess(time.monotonic() - begin, 5)

    def test_a_redis_that_refuses(self):
        self.redis.ask("SET", "niffler:{%s}:job" % JOB, "x")
        self.refused(3, "RedisUrl", "WRONGTYPE")
        self.redis.ask("CONFIG", "SET", "requirepass", "secret")
        self.refused(3, "RedisUrl", "NOAUTH")
        password = os.path.join(self.folder, "password")
        with open(password, "w", encoding="ascii") as file:
            file.write("wrong\n")
        self.refused(3, "RedisUrl", "WRONGPASS", arguments=(JOB, "--RedisPasswordFile", password))
        with open(password, "w", encoding="ascii") as file:
            file.write("secret\n")
        self.refused(3, "WRONGTYPE", arguments=(JOB, "--RedisPasswordFile", password))


if __name__ == "__main__":
    PROGRAM = os.path.abspath(sys.argv.pop(1))
    unittest.main(verbosity=2)
