#!/usr/bin/python3
"""A real SMTP server on loopback that keeps every mail as a file, and fails as it is told to.

usage: smtp_sink.py FOLDER [--tls none|starttls|smtps] [--certificate FILE --key FILE]
                    [--script STEP,STEP…] [--user NAME --password TEXT] [--listen HOST:PORT]

Prints its port on one line when it listens, and runs until its standard input ends or it is terminated.
Needs Debian's python3-aiosmtpd.

--tls starttls   no mail before STARTTLS;  smtps: TLS from the first byte
--script         what happens to the first mail, the second …; mails beyond its end are taken
    ok           taken
    450, 550 …   the recipient is answered with this code
    data-451 …   the message is answered with this code
    drop         the message is kept, then the connection is closed without an answer
    hang         the message is never answered
FOLDER gets, for the n-th mail that reached its end (from 1), n.eml: the envelope as X-Mail-From and X-Rcpt-To lines,
X-TLS: yes or no, X-User, then the message as it came, CRLF line ends and all. All that clients say is in
FOLDER/transcript.
"""
import argparse
import asyncio
import logging
import os
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword


class Sink:
    def __init__(self, folder, script):
        self.folder = folder
        self.script = script
        self.count = 0
        self.release = asyncio.Event()

    def step(self):
        return self.script[0] if self.script else "ok"

    def done(self):
        if self.script:
            self.script.pop(0)

    async def handle_RCPT(self, server, session, envelope, address, options):
        step = self.step()
        if step.isdigit():
            self.done()
            return step + " refused by the script"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        step = self.step()
        self.done()
        if step.startswith("data-"):
            return step[5:] + " refused by the script"
        self.count += 1
        lines = ["X-Mail-From: " + envelope.mail_from]
        lines += ["X-Rcpt-To: " + recipient for recipient in envelope.rcpt_tos]
        lines.append("X-TLS: " + ("yes" if session.ssl or server.transport.get_extra_info("sslcontext") else "no"))
        lines.append("X-User: " + (session.auth_data or "-"))
        head = "".join(line + "\r\n" for line in lines).encode("ascii", "backslashreplace")
        place = os.path.join(self.folder, "%d.eml" % self.count)
        with open(place + ".part", "wb") as out:
            out.write(head + envelope.original_content)
        os.rename(place + ".part", place)
        if step == "drop":
            server.transport.abort()
        elif step == "hang":
            await self.release.wait()
        return "250 taken"


class Transcribed(SMTP):
    """Writes down what clients say, as it was before or behind TLS."""

    transcript = None

    def data_received(self, data):
        self.transcript.write(data)
        self.transcript.flush()
        super().data_received(data)


async def serve(options):
    context = None
    if options.tls != "none":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(options.certificate, options.key)
    sink = Sink(options.folder, [step for step in options.script.split(",") if step])
    Transcribed.transcript = open(os.path.join(options.folder, "transcript"), "ab")

    def authenticate(server, session, envelope, mechanism, data):
        good = (isinstance(data, LoginPassword) and data.login.decode() == options.user
                and data.password.decode() == options.password)
        return AuthResult(success=good, handled=False, auth_data=options.user if good else None)

    def make():
        return Transcribed(sink, hostname="sink.example", tls_context=context if options.tls == "starttls" else None,
                           require_starttls=options.tls == "starttls", authenticator=authenticate,
                           auth_required=options.user is not None,
                           auth_require_tls=options.tls == "starttls")

    loop = asyncio.get_running_loop()
    server = await loop.create_server(make, *options.listen.split(":"), ssl=context if options.tls == "smtps" else None)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.buffer.read)
    server.close()
    os._exit(0)  # connections that hang by request would keep the loop


def main():
    logging.disable(logging.CRITICAL)  # handshakes that fail are what some tests want
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("--tls", choices=["none", "starttls", "smtps"], default="none")
    parser.add_argument("--certificate")
    parser.add_argument("--key")
    parser.add_argument("--script", default="")
    parser.add_argument("--user")
    parser.add_argument("--password")
    parser.add_argument("--listen", default="127.0.0.1:0")
    asyncio.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
