#!/usr/bin/python3
"""The completion e-mail against a real SMTP server on loopback (tests/services/smtp_sink.py).

usage: test_mail_smtp.py MAIL_PROBE [unittest arguments]
"""
import email
import email.policy
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
SINK = os.path.join(HERE, "..", "services", "smtp_sink.py")
PROBE = None


def openssl(*arguments):
    subprocess.run(["openssl", *arguments], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def make_certificates(folder):
    """An authority, a server's certificate by it for 127.0.0.1, one for another host, and one by nobody we know."""
    def place(name):
        return os.path.join(folder, name)
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
            "-subj", "/CN=Test authority", "-keyout", place("ca.key"), "-out", place("ca.pem"))
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
            "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1",
            "-keyout", place("stranger.key"), "-out", place("stranger.pem"))
    for name, subject in (("server", "IP:127.0.0.1"), ("other", "DNS:other.example")):
        openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                "-subj", "/CN=" + name, "-keyout", place(name + ".key"), "-out", place(name + ".csr"))
        with open(place(name + ".ext"), "w") as out:
            out.write("subjectAltName=%s\n" % subject)
        openssl("x509", "-req", "-in", place(name + ".csr"), "-CA", place("ca.pem"), "-CAkey", place("ca.key"),
                "-CAcreateserial", "-days", "2", "-extfile", place(name + ".ext"), "-out", place(name + ".pem"))


class Mail(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.certificates = tempfile.mkdtemp(prefix="niffler-mail-")
        make_certificates(cls.certificates)

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.certificates)

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="niffler-mail-")
        self.sink = None

    def tearDown(self):
        if self.sink:
            self.sink.communicate(timeout=20)
        shutil.rmtree(self.folder)

    # ---- helpers ----

    def start(self, tls="none", certificate="server", script="", login=None):
        command = ["/usr/bin/python3", SINK, self.folder, "--tls", tls, "--script", script]
        if tls != "none":
            command += ["--certificate", self.file(certificate + ".pem"), "--key", self.file(certificate + ".key")]
        if login:
            command += ["--user", login[0], "--password", login[1]]
        self.sink = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.port = int(self.sink.stdout.readline())

    def file(self, name):
        return os.path.join(self.certificates, name)

    def send(self, scheme="smtp", start_tls="required", to="to@example.org", sender="from@example.com", ca="ca.pem",
             user="-", password="-", attempts=1, backoff_ms=50, timeout_s=10, port=None):
        environment = dict(os.environ, all_proxy="http://127.0.0.1:1", ALL_PROXY="http://127.0.0.1:1")
        done = subprocess.run([PROBE, "%s://127.0.0.1:%d" % (scheme, port or self.port), to, sender, start_tls,
                               self.file(ca) if ca else "-", user, password, str(attempts), str(backoff_ms),
                               str(timeout_s)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60, env=environment)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.log = done.stderr.decode()
        return done.stdout.decode().rstrip("\n")

    def mails(self):
        count, found = 1, []
        while os.path.exists(os.path.join(self.folder, "%d.eml" % count)):
            with open(os.path.join(self.folder, "%d.eml" % count), "rb") as source:
                found.append(source.read())
            count += 1
        return found

    def transcript(self):
        with open(os.path.join(self.folder, "transcript"), "rb") as source:
            return source.read()

    def check_mail(self, raw, tls, user="-"):
        self.assertNotIn(b"\n", raw.replace(b"\r\n", b""))
        raw.decode("ascii")
        self.assertLessEqual(max(len(line) for line in raw.split(b"\r\n")), 78)
        mail = email.message_from_bytes(raw, policy=email.policy.default)
        self.assertEqual(mail.defects, [])
        self.assertEqual(mail["X-Mail-From"], "from@example.com")
        self.assertEqual(mail.get_all("X-Rcpt-To"), ["to@example.org"])
        self.assertEqual(mail["X-TLS"], tls)
        self.assertEqual(mail["X-User"], user)
        self.assertEqual(mail["From"].addresses[0].addr_spec, "from@example.com")
        self.assertEqual([a.addr_spec for a in mail["To"].addresses], ["to@example.org"])
        self.assertEqual(mail["Subject"], "niffler-png: 2 converted, 1 failed, 0 without image")
        self.assertEqual(mail["Date"].datetime.timestamp(), 1795430645)
        self.assertEqual(mail["Message-ID"], "<job7.completed.v1@example.com>")
        self.assertEqual(mail["Auto-Submitted"], "auto-generated")
        text = mail.get_content().replace("\r\n", "\n")
        self.assertIn("\n  converted: 2 (pictures: 2)\n", text)
        self.assertIn("\n/data/M\u00fcller/\\x0A.\\x0A.dots/out\n", text)

    # ---- taken ----

    def test_plain_where_it_is_allowed(self):
        self.start()
        self.assertEqual(self.send(start_tls="off"), "sent")
        mails = self.mails()
        self.assertEqual(len(mails), 1)
        self.check_mail(mails[0], "no")

    def test_starttls(self):
        self.start("starttls")
        self.assertEqual(self.send(), "sent")
        mails = self.mails()
        self.assertEqual(len(mails), 1)
        self.check_mail(mails[0], "yes")

    def test_smtps(self):
        self.start("smtps")
        self.assertEqual(self.send("smtps"), "sent")
        mails = self.mails()
        self.assertEqual(len(mails), 1)
        self.check_mail(mails[0], "yes")

    def test_login_with_a_password_from_a_file(self):
        place = os.path.join(self.folder, "password")
        with open(place, "w") as out:
            out.write("s\u00e9cret word\n")
        os.chmod(place, 0o600)
        self.start("starttls", login=("me", "s\u00e9cret word"))
        self.assertEqual(self.send(user="me", password=place), "sent")
        self.check_mail(self.mails()[0], "yes", "me")
        self.assertNotIn("password_file_open", self.log)
        os.chmod(place, 0o644)
        self.assertEqual(self.send(user="me", password=place), "sent")
        self.assertIn("event=password_file_open", self.log)
        self.assertNotIn("cret", self.log)

    def test_wrong_password_is_final(self):
        place = os.path.join(self.folder, "password")
        with open(place, "w") as out:
            out.write("wrong")
        self.start("starttls", login=("me", "secret"))
        answer = self.send(user="me", password=place, attempts=5)
        self.assertTrue(answer.startswith("input: "), answer)
        self.assertEqual(self.transcript().count(b"EHLO"), 2)  # before and behind STARTTLS: one connection
        self.assertEqual(self.mails(), [])

    # ---- refused by us ----

    def test_no_starttls_offered_is_refused(self):
        self.start()
        answer = self.send(attempts=5)
        self.assertTrue(answer.startswith("input: "), answer)
        self.assertEqual(self.mails(), [])
        self.assertNotIn(b"MAIL", self.transcript())
        self.assertEqual(self.transcript().count(b"EHLO"), 1)

    def refused_certificate(self, tls, scheme, certificate, ca):
        self.start(tls, certificate)
        answer = self.send(scheme, ca=ca, attempts=5)
        self.assertTrue(answer.startswith("input: "), answer)
        self.assertEqual(self.mails(), [])
        self.assertNotIn(b"MAIL", self.transcript())

    def test_certificate_of_another_host_is_refused_starttls(self):
        self.refused_certificate("starttls", "smtp", "other", "ca.pem")

    def test_certificate_of_another_host_is_refused_smtps(self):
        self.refused_certificate("smtps", "smtps", "other", "ca.pem")

    def test_certificate_of_a_stranger_is_refused_starttls(self):
        self.refused_certificate("starttls", "smtp", "stranger", "ca.pem")

    def test_certificate_of_a_stranger_is_refused_smtps(self):
        self.refused_certificate("smtps", "smtps", "stranger", "ca.pem")

    def test_unknown_authority_is_refused_with_the_systems_own(self):
        self.refused_certificate("starttls", "smtp", "server", None)

    def test_addresses_with_commands_never_reach_the_server(self):
        self.start()
        for bad in ("a@b\r\nRCPT TO:<evil@x.y>", "a@b>\r\nDATA", "a@b,c@d", "a b@c", "\"a\r\n\"@b"):
            answer = self.send(start_tls="off", to=bad)
            self.assertTrue(answer.startswith("fatal: YourEmail: "), answer)
            answer = self.send(start_tls="off", sender=bad)
            self.assertTrue(answer.startswith("fatal: MailFrom: "), answer)
        self.assertEqual(self.transcript(), b"")

    # ---- refused by the server, and the network ----

    def test_450_twice_then_taken(self):
        self.start(script="450,450,ok")
        begin = time.monotonic()
        self.assertEqual(self.send(start_tls="off", attempts=3, backoff_ms=200), "sent")
        self.assertGreaterEqual(time.monotonic() - begin, 0.2 + 0.4)
        self.assertEqual(len(self.mails()), 1)
        self.assertEqual(self.log.count("event=mail_retry"), 2)
        self.assertIn("wait_ms=200", self.log)
        self.assertIn("wait_ms=400", self.log)

    def test_450_for_ever_is_given_up(self):
        self.start(script="450,450,450,450")
        answer = self.send(start_tls="off", attempts=3)
        self.assertTrue(answer.startswith("retry: the mail server refused (450)"), answer)
        self.assertEqual(self.transcript().count(b"RCPT"), 3)
        self.assertEqual(self.mails(), [])

    def test_550_is_final(self):
        self.start(script="550")
        answer = self.send(start_tls="off", attempts=5)
        self.assertTrue(answer.startswith("input: the mail server refused (550)"), answer)
        self.assertEqual(self.transcript().count(b"RCPT"), 1)
        self.assertEqual(self.mails(), [])

    def test_refusal_of_the_message_451_and_554(self):
        self.start(script="data-451,data-554")
        answer = self.send(start_tls="off", attempts=5)
        self.assertTrue(answer.startswith("input: the mail server refused (554)"), answer)
        self.assertEqual(self.transcript().count(b"DATA\r\n"), 2)

    def test_connection_lost_after_the_message_gives_a_twin_with_the_same_id(self):
        self.start(script="drop,ok")
        self.assertEqual(self.send(start_tls="off", attempts=3), "sent")
        mails = self.mails()
        self.assertEqual(len(mails), 2)
        for raw in mails:
            self.check_mail(raw, "no")
        self.assertEqual(mails[0], mails[1])

    def test_server_that_hangs_costs_the_time_limit(self):
        self.start(script="hang")
        begin = time.monotonic()
        answer = self.send(start_tls="off", timeout_s=2)
        self.assertTrue(answer.startswith("retry: "), answer)
        self.assertLess(time.monotonic() - begin, 10)

    def test_nobody_listens(self):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        answer = self.send(attempts=2, port=port)
        self.assertTrue(answer.startswith("retry: "), answer)
        self.assertEqual(self.log.count("event=mail_retry"), 1)

    # ---- the outbox ----

    def outbox(self, to="to@example.org", scheme="smtp", start_tls="off", give_up_ms=20000, first_ms=100, timeout_s=10,
               close_after_ms=15000):
        """The lines of the settled, the number of those left, and what closing took in seconds."""
        done = subprocess.run([PROBE, "%s://127.0.0.1:%d" % (scheme, self.port), to, "from@example.com", start_tls,
                               self.file("ca.pem"), "-", "-", str(give_up_ms), str(first_ms), str(timeout_s),
                               str(close_after_ms)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.log = done.stderr.decode()
        self.assertNotIn("@", self.log)  # the job's name is enough to find out whose it was
        lines = done.stdout.decode().splitlines()
        closed, waiting = lines.pop().split(), lines.pop().split()
        self.assertEqual((closed[0], waiting[0]), ("closed", "waiting"))
        return lines, int(waiting[1]), int(closed[1]) / 1000

    def ids(self):
        return [email.message_from_bytes(raw)["Message-ID"] for raw in self.mails()]

    def test_outbox_sends_each_job_its_mail(self):
        self.start("starttls")
        lines, waiting, _ = self.outbox("a@example.org,b@example.net,c@example.com", start_tls="required")
        self.assertEqual((sorted(lines), waiting), (["job0 sent", "job1 sent", "job2 sent"], 0))
        told = [email.message_from_bytes(raw, policy=email.policy.default) for raw in self.mails()]
        self.assertEqual(sorted((mail["X-Rcpt-To"], mail["To"], mail["Message-ID"]) for mail in told),
                         [("a@example.org", "a@example.org", "<job0.completed.v1@example.com>"),
                          ("b@example.net", "b@example.net", "<job1.completed.v1@example.com>"),
                          ("c@example.com", "c@example.com", "<job2.completed.v1@example.com>")])

    def test_outbox_tries_450_and_451_again(self):
        self.start(script="450,data-451,ok")
        lines, waiting, _ = self.outbox()
        self.assertEqual((lines, waiting), (["job0 sent"], 0))
        self.assertEqual(len(self.mails()), 1)
        self.assertEqual(self.log.count("event=mail_retry job=job0 "), 2)
        self.assertEqual(self.log.count("event=mail_sent job=job0"), 1)

    def test_outbox_gives_up_450_when_the_time_is_up(self):
        self.start(script=",".join(["450"] * 50))
        lines, waiting, _ = self.outbox(give_up_ms=1000)
        self.assertEqual((len(lines), waiting), (1, 0))
        self.assertTrue(lines[0].startswith("job0 failed the mail server refused (450)"), lines)
        self.assertGreaterEqual(self.transcript().count(b"RCPT"), 3)
        self.assertEqual(self.log.count("event=mail_failed job=job0 "), 1)

    def test_outbox_does_not_try_550_again_and_sends_the_others(self):
        self.start(script="550")
        lines, waiting, _ = self.outbox("a@example.org,b@example.org")
        self.assertEqual(waiting, 0)
        self.assertEqual([line.split()[1] for line in sorted(lines)], ["failed", "sent"])
        self.assertEqual(self.transcript().count(b"RCPT"), 2)

    def test_outbox_settles_at_once_what_no_other_try_would_mend(self):
        self.start()
        lines, waiting, _ = self.outbox(start_tls="required")  # which the server does not offer
        self.assertEqual((lines[0].split()[:2], waiting), (["job0", "failed"], 0))
        self.assertEqual(self.transcript().count(b"EHLO"), 1)
        self.assertNotIn(b"MAIL", self.transcript())

    def test_outbox_settles_a_certificate_that_does_not_fit_at_once(self):
        self.start("starttls", "stranger")
        lines, waiting, _ = self.outbox(start_tls="required")
        self.assertEqual((lines[0].split()[:2], waiting), (["job0", "failed"], 0))
        self.assertEqual(self.transcript().count(b"STARTTLS"), 1)
        self.assertEqual(self.mails(), [])

    def test_outbox_after_a_lost_answer_gives_one_twin_with_the_same_id(self):
        self.start(script="drop,450,ok")
        lines, waiting, _ = self.outbox()
        self.assertEqual((lines, waiting), (["job0 sent"], 0))
        self.assertEqual(self.ids(), ["<job0.completed.v1@example.com>"] * 2)
        self.assertEqual(len(set(self.mails())), 1)

    def test_outbox_of_another_life_sends_the_same_mail(self):
        self.start(script="drop,ok")
        lines, waiting, _ = self.outbox(first_ms=60000, close_after_ms=1500)
        self.assertEqual((lines, waiting), ([], 1))
        lines, waiting, _ = self.outbox()
        self.assertEqual((lines, waiting), (["job0 sent"], 0))
        self.assertEqual(self.ids(), ["<job0.completed.v1@example.com>"] * 2)

    def test_outbox_closes_while_the_server_hangs(self):
        for tls in ("none", "starttls"):
            with self.subTest(tls=tls):
                self.start(tls, script="hang")
                lines, waiting, closing_s = self.outbox(start_tls="off" if tls == "none" else "required", timeout_s=60,
                                                        close_after_ms=1000)
                self.assertEqual((lines, waiting), ([], 1))
                self.assertLess(closing_s, 2)
                self.sink.communicate(timeout=20)

    def test_outbox_sends_the_others_after_one_that_hangs(self):
        self.start(script="hang")
        lines, waiting, _ = self.outbox("a@example.org,b@example.org,c@example.org", timeout_s=1, first_ms=60000,
                                        close_after_ms=6000)
        self.assertEqual((len(lines), waiting), (2, 1))
        self.assertTrue(all(line.endswith(" sent") for line in lines), lines)


if __name__ == "__main__":
    PROBE = sys.argv.pop(1)
    unittest.main(verbosity=2)
