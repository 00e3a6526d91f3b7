#!/usr/bin/python3
"""`niffler-png doctor`: what it says of folders, mail servers and Redis, good and broken ones, and its exit status."""
import json
import os
import socket
import subprocess
import threading
import time
import unittest

import harness

NOBODY = 65534
SINK = os.path.join(harness.SOURCE, "tests", "services", "smtp_sink.py")
UNPRIVILEGED = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}


class Doctor(harness.Case):
    def setUp(self):
        super().setUp()
        os.mkdir(self.home)
        os.mkdir(self.out)

    def doctor(self, *flags, status, **more):
        """The report as {check: (state, detail)}, from --json; the lines say the same."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("NIFFLER_")}
        environment.update(more.pop("environment", {}))
        command = [harness.PROGRAM, "doctor", *flags]
        done = subprocess.run([*command, "--json"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, cwd=self.folder, env=environment, timeout=100, **more)
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        self.assertEqual(done.stderr, b"")
        self.report = json.loads(done.stdout)
        checks = [entry["check"] for entry in self.report]
        self.assertEqual(len(checks), len(set(checks)), "a check that speaks twice")
        for entry in self.report:
            self.assertEqual(set(entry), {"check", "state", "detail"})
            self.assertIn(entry["state"], ("ok", "warn", "fail", "skip"))
        return {entry["check"]: (entry["state"], entry["detail"]) for entry in self.report}

    def assertSays(self, answer, state, *parts):
        self.assertEqual(answer[0], state, answer[1])
        for part in parts:
            self.assertIn(part, answer[1])

    def assertNothingLeft(self, folder):
        self.assertEqual(os.listdir(os.path.join(folder, ".niffler-png")), [])


class Folders(Doctor):
    def test_nothing_to_check(self):
        report = self.doctor(status=2)
        del report["sandbox"]  # needs no setting
        self.assertEqual({state for state, _ in report.values()}, {"skip"})
        for setting in ("DICOMHome", "InputRoot", "OutputDirectory", "OutputRoot", "StateDirectory", "KafkaBrokers",
                        "RedisUrl", "SmtpUrl"):
            self.assertTrue(any(setting + " is not set" in detail for _, detail in report.values()), setting)

    def test_lines(self):
        done = subprocess.run([harness.PROGRAM, "doctor", "--OutputDirectory", self.out, "--DICOMHome",
                               os.path.join(self.folder, "absent")], stdout=subprocess.PIPE, text=True)
        self.assertEqual(done.returncode, 3)
        self.assertRegex(done.stdout, r"(?m)^FAIL  input: DICOMHome: .*absent.*: make or mount it$")
        self.assertRegex(done.stdout, r"(?m)^ok    output: OutputDirectory '.*': written, .* in \d+ ms$")
        self.assertRegex(done.stdout, r"(?m)^ok    output_space: .* room for \d+\.\d GiB")
        self.assertRegex(done.stdout, r"(?m)^skip  kafka: KafkaBrokers is not set$")
        for line in done.stdout.splitlines():
            self.assertRegex(line, r"^(ok  |warn|FAIL|skip)  \w+: ")

    def test_good_folders(self):
        harness.write_text("x", self.home, "a.dcm")
        report = self.doctor("--DICOMHome", self.home, "--OutputDirectory", self.out, "--OutputRoot", self.out,
                             "--StateDirectory", self.out, "--InputRoot", self.home, status=0)
        for check in ("input", "input_root", "output", "output_root", "state", "output_space"):
            self.assertSays(report[check], "ok")
        self.assertNothingLeft(self.out)
        self.assertEqual(os.listdir(self.home), ["a.dcm"])

    def test_what_is_there_is_left_alone(self):
        own = os.path.join(self.out, ".niffler-png")
        os.mkdir(own)
        harness.write_text("x", own, "lock")
        self.doctor("--OutputDirectory", self.out, status=0)
        self.assertEqual(os.listdir(own), ["lock"])

    def test_empty_input_is_a_warning(self):
        report = self.doctor("--DICOMHome", self.home, status=0)
        self.assertSays(report["input"], "warn", "is empty", "mounted")

    def test_missing_folders(self):
        absent = os.path.join(self.folder, "absent")
        report = self.doctor("--DICOMHome", absent, "--InputRoot", absent, "--OutputRoot", absent, status=3)
        for check in ("input", "input_root", "output_root"):
            self.assertSays(report[check], "fail", absent, "make or mount it")
        # What extract makes by itself is no failure, and is not made here.
        report = self.doctor("--OutputDirectory", absent, "--StateDirectory", absent, status=0)
        self.assertSays(report["output"], "warn", "will be made")
        self.assertSays(report["state"], "warn", "will be made")
        self.assertFalse(os.path.exists(absent))

    def test_a_file_is_no_folder(self):
        harness.write_text("x", self.folder, "file")
        path = os.path.join(self.folder, "file")
        report = self.doctor("--DICOMHome", path, "--OutputDirectory", path, status=3)
        self.assertSays(report["input"], "fail")
        self.assertSays(report["output"], "fail")

    def test_no_right_to_write(self):
        os.chmod(self.folder, 0o755)
        os.chmod(self.out, 0o555)
        report = self.doctor("--OutputDirectory", self.out, status=3, **UNPRIVILEGED)
        self.assertSays(report["output"], "fail", "Permission denied", "right to write")
        self.assertSays(report["output_space"], "ok")

    def test_own_folder_of_somebody_else(self):
        os.chmod(self.out, 0o777)
        os.mkdir(os.path.join(self.out, ".niffler-png"), 0o555)
        report = self.doctor("--OutputDirectory", self.out, status=3, **UNPRIVILEGED)
        self.assertSays(report["output"], "fail", "cannot make a file", "Permission denied")

    def test_no_right_to_read_or_to_enter(self):
        harness.write_text("x", self.home, "a.dcm")
        os.chmod(self.home, 0o111)
        report = self.doctor("--DICOMHome", self.home, status=3, **UNPRIVILEGED)
        self.assertSays(report["input"], "fail", "Permission denied")
        os.chmod(self.home, 0o444)
        report = self.doctor("--DICOMHome", self.home, status=3, **UNPRIVILEGED)
        self.assertSays(report["input"], "fail", "not entered")

    @unittest.skipIf(os.geteuid() != 0, "needs root, to mount a small file system")
    def test_full_and_read_only_file_systems(self):
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", self.out]).returncode != 0:
            self.skipTest("this machine lets nobody mount")
        self.addCleanup(subprocess.run, ["umount", self.out])
        report = self.doctor("--OutputDirectory", self.out, status=0)
        self.assertSays(report["output_space"], "warn", "room for 0.0 GiB", "make more")
        filler = os.open(os.path.join(self.out, "filler"), os.O_WRONLY | os.O_CREAT)
        with self.assertRaises(OSError):
            while True:
                os.write(filler, bytes(4096))
        os.close(filler)
        report = self.doctor("--OutputDirectory", self.out, status=3)
        self.assertSays(report["output"], "fail", "No space left on device", "make room")
        self.assertNothingLeft(self.out)
        subprocess.run(["mount", "-o", "remount,ro", self.out], check=True)
        report = self.doctor("--OutputDirectory", self.out, status=3)
        self.assertSays(report["output"], "fail", "Read-only file system", "mount it writable")

    def test_names_that_are_no_text(self):
        absent = os.path.join(self.folder.encode(), b"\xff\n\x1b[31m\"")
        report = self.doctor(b"--DICOMHome", absent, status=3)
        self.assertIn("\udcff\n\x1b[31m\"", report["input"][1])
        done = subprocess.run([harness.PROGRAM, "doctor", b"--DICOMHome", absent], stdout=subprocess.PIPE)
        self.assertNotIn(b"\x1b", done.stdout)
        self.assertEqual(len(done.stdout.splitlines()), len(self.report))

    def test_wrong_usage(self):
        for flags in (["--json=1"], ["--unheard-of", "1"], ["JOB"]):
            done = subprocess.run([harness.PROGRAM, "doctor", *flags], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            self.assertEqual((done.returncode, done.stdout), (2, b""), flags)


class Mail(Doctor):
    def sink(self, tls="none", login=None):
        """A mail server; returns its port."""
        folder = os.path.join(self.folder, "sink")
        os.mkdir(folder)
        self.certificate = os.path.join(folder, "server.pem")
        key = os.path.join(folder, "server.key")
        command = ["/usr/bin/python3", SINK, folder, "--tls", tls]
        if tls != "none":
            subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
                            "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out",
                            self.certificate], check=True, stderr=subprocess.DEVNULL)
            command += ["--certificate", self.certificate, "--key", key]
        if login:
            command += ["--user", login[0], "--password", login[1]]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.addCleanup(process.communicate, timeout=20)
        return int(process.stdout.readline())

    def mail(self, url, *flags, status):
        return self.doctor("--SmtpUrl", url, "--YourEmail", "to@example.org", *flags, status=status)["mail"]

    def assertNoMail(self):
        folder = os.path.join(self.folder, "sink")
        said = harness.read_bytes(folder, "transcript")
        self.assertRegex(said, rb"(?i)EHLO ")
        self.assertNotRegex(said, rb"(?i)MAIL FROM|RCPT TO|VRFY")
        self.assertEqual([name for name in os.listdir(folder) if name.endswith(".eml")], [])

    def test_plain(self):
        url = "smtp://127.0.0.1:%d" % self.sink()
        self.assertSays(self.mail(url, "--SmtpStartTls", "off", status=0), "ok", "without encryption")
        self.assertNoMail()

    def test_starttls_is_required_and_not_offered(self):
        url = "smtp://127.0.0.1:%d" % self.sink()
        self.assertSays(self.mail(url, status=3), "fail", "STARTTLS")
        self.assertNoMail()

    def test_starttls(self):
        url = "smtp://127.0.0.1:%d" % self.sink(tls="starttls")
        self.assertSays(self.mail(url, "--SmtpCaFile", self.certificate, status=0), "ok", "encrypted")
        self.assertSays(self.mail(url, status=3), "fail", "certificate", "SmtpCaFile")
        self.assertIn(b"STARTTLS", harness.read_bytes(self.folder, "sink", "transcript"))
        self.assertNoMail()

    def test_smtps(self):
        url = "smtps://127.0.0.1:%d" % self.sink(tls="smtps")
        for start_tls in ("required", "off"):
            self.assertSays(self.mail(url, "--SmtpCaFile", self.certificate, "--SmtpStartTls", start_tls, status=0),
                            "ok", "encrypted")
        self.assertNoMail()

    def test_login(self):
        url = "smtp://127.0.0.1:%d" % self.sink(tls="starttls", login=("me", "secret-7"))
        flags = ["--SmtpCaFile", self.certificate, "--SmtpUser", "me", "--SmtpPasswordFile",
                 os.path.join(self.folder, "password")]
        for password, status in (("secret-7\n", 0), ("wrong-8\n", 3)):
            harness.write_text(password, self.folder, "password")
            os.chmod(os.path.join(self.folder, "password"), 0o600)
            answer = self.mail(url, *flags, status=status)
            self.assertSays(answer, *(("fail", "SmtpPasswordFile") if status else ("ok", "takes the login")))
            self.assertNotIn(password.strip(), answer[1])
        self.assertNoMail()

    def test_no_mail_is_wanted(self):
        url = "smtp://127.0.0.1:%d" % self.sink()
        report = self.doctor("--SmtpUrl", url, "--SmtpStartTls", "off", status=0)
        self.assertSays(report["mail"], "warn", "YourEmail")

    def test_nobody_listens(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))  # and does not listen
            answer = self.mail("smtp://127.0.0.1:%d" % taken.getsockname()[1], status=3)
        self.assertSays(answer, "fail", "SmtpUrl")

    def test_something_else_listens(self):
        with socket.create_server(("127.0.0.1", 0)) as server:
            def serve():
                connection, _ = server.accept()
                with connection:
                    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

            thread = threading.Thread(target=serve)
            thread.start()
            answer = self.mail("smtp://127.0.0.1:%d" % server.getsockname()[1], status=3)
            thread.join()
        self.assertSays(answer, "fail", "SmtpUrl")

    def test_a_server_that_says_nothing(self):
        with socket.create_server(("127.0.0.1", 0)) as server:
            answer = self.mail("smtp://127.0.0.1:%d" % server.getsockname()[1], status=3)
        self.assertSays(answer, "fail", "can be reached from here")

    def test_wrong_settings(self):
        self.assertSays(self.mail("http://127.0.0.1:25", status=3), "fail", "must begin with smtp://")
        self.assertSays(self.mail("smtp://127.0.0.1:25", "--SmtpUser", "me", status=3), "fail", "give both")


class Redis(Doctor):
    def server(self, *flags):
        """A redis-server of its own, on a socket; returns its URL."""
        place = os.path.join(self.folder, "redis.socket")
        process = subprocess.Popen(["redis-server", "--port", "0", "--unixsocket", place, "--save", "", "--dir",
                                    self.folder, *flags], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        self.addCleanup(process.wait)
        self.addCleanup(process.terminate)
        for _ in range(200):
            with socket.socket(socket.AF_UNIX) as client:
                if client.connect_ex(place) == 0:
                    break
            time.sleep(0.05)
        return "unix://" + place

    def test_answers(self):
        self.assertSays(self.doctor("--RedisUrl", self.server(), status=0)["redis"], "ok", "PING")

    def test_password(self):
        url = self.server("--requirepass", "secret-7")
        place = os.path.join(self.folder, "password")
        for password, status in (("secret-7\n", 0), ("wrong-8\n", 3)):
            harness.write_text(password, place)
            os.chmod(place, 0o600)
            answer = self.doctor("--RedisUrl", url, "--RedisPasswordFile", place, status=status)["redis"]
            self.assertSays(answer, *(("fail", "RedisPasswordFile") if status else ("ok",)))
            self.assertNotIn(password.strip(), answer[1])
        self.assertSays(self.doctor("--RedisUrl", url, status=3)["redis"], "fail", "RedisPasswordFile")

    def test_nobody_listens(self):
        answer = self.doctor("--RedisUrl", "unix://" + os.path.join(self.folder, "absent"), status=3)["redis"]
        self.assertSays(answer, "fail", "RedisUrl")

    def test_something_else_listens(self):
        with socket.create_server(("127.0.0.1", 0)) as server:
            def serve():
                connection, _ = server.accept()
                with connection:
                    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

            thread = threading.Thread(target=serve)
            thread.start()
            answer = self.doctor("--RedisUrl", "redis://127.0.0.1:%d" % server.getsockname()[1], status=3)["redis"]
            thread.join()
        self.assertSays(answer, "fail", "RedisUrl")


if __name__ == "__main__":
    harness.main()
