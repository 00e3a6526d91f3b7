"""tests/services/smtp_sink.py as a service: a real SMTP server on loopback that keeps every mail."""
import email
import email.policy
import os
import subprocess

import service

SINK = os.path.join(os.path.dirname(os.path.abspath(__file__)), "smtp_sink.py")


class Smtp(service.Service):
    """`script`: what happens to the first mail, the second …, as smtp_sink.py says; `url` is for SmtpUrl, with SmtpStartTls
    off."""

    name = "smtp"

    def __init__(self, folder=None, script=""):
        super().__init__(folder)
        self.script = script
        self.port = None

    @property
    def url(self):
        return "smtp://127.0.0.1:%d" % self.port

    def start(self):
        assert self.process is None
        with open(self.output, "ab") as output:
            self.process = subprocess.Popen(["/usr/bin/python3", SINK, self.folder, "--script", self.script],
                                            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=output,
                                            start_new_session=True, preexec_fn=service.die_with_parent)
        line = self.process.stdout.readline()
        if not line:
            self.kill9()
            raise service.ServiceError("the SMTP sink does not start\n" + self.last_words())
        self.port = int(line)
        return self

    def end(self, number, seconds=30):
        process = self.process
        super().end(number, seconds)
        if process:
            process.stdin.close()
            process.stdout.close()

    def mails(self):
        """All that came to their end, in their order, parsed; X-Mail-From and X-Rcpt-To tell the envelope."""
        found = []
        while True:
            path = os.path.join(self.folder, "%d.eml" % (len(found) + 1))
            if not os.path.exists(path):
                return found
            with open(path, "rb") as file:
                found.append(email.message_from_binary_file(file, policy=email.policy.default))

    def transcript(self):
        with open(os.path.join(self.folder, "transcript"), "rb") as file:
            return file.read()
