"""What the tests of takeover.h share: files that tell the misbehaving decoder what to do, and a run over them."""
import os
import re
import resource
import socket
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "e2e"))
import harness  # noqa: E402

TESTS = os.path.join(harness.BUILD, "tests")
MISBEHAVING = os.path.join(TESTS, "niffler-png-decoder-misbehaving")
UNCONFINED = MISBEHAVING + "-unconfined"
WITHOUT_CALLS = os.path.join(TESTS, "without_calls")
HERE = os.path.dirname(os.path.abspath(__file__))
IS_ROOT = os.geteuid() == 0
IS_SANITIZED = "asan" in os.path.basename(harness.BUILD)
SOMEBODY = 65532  # no user of any machine
LEAKED = 200      # a descriptor that whoever starts the program forgets to close
SECRET = "what no decoder is to see\n"
STACK_BYTES = 64 << 20


def names_in(source, table):
    """The names in a table of one of the sources."""
    text = harness.read_text(HERE, source)
    body = re.search(r"\b%s\[\] = \{(.*?)\n\};" % table, text, re.S).group(1)
    return re.findall(r'\{"([\w-]+)",', body)


ATTEMPTS = [name for source, table in (("attempts_files.c", "attempts_on_files"),
                                       ("attempts_processes.c", "attempts_on_processes"),
                                       ("attempts_networks.c", "attempts_on_networks"),
                                       ("attempts_memory.c", "attempts_on_memory"),
                                       ("attempts_kernel.c", "attempts_on_kernel"),
                                       ("attempts_output.c", "attempts_on_output")) for name in names_in(source, table)]
PICTURES = names_in("attempts_output.c", "picture_lies")
ANSWERS = names_in("false_answers.c", "answers")


class Case(harness.Case):
    """`self.home` holds good files, and one file for each name that marked() was called with."""

    def setUp(self):
        super().setUp()
        self.samples("--only", "mr")
        self.good = sorted(os.path.relpath(os.path.join(path, name), self.home)
                           for path, _, names in os.walk(self.home) for name in names)
        self.model = harness.read_bytes(self.home, self.good[0])
        self.victims = os.path.join(self.folder, "v")
        os.mkdir(self.victims)
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.abstract = socket.socket(socket.AF_UNIX)
        self.abstract_name = os.path.basename(self.folder)
        self.abstract.bind("\0" + self.abstract_name)
        self.abstract.listen(64)
        self.addCleanup(self.listener.close)
        self.addCleanup(self.abstract.close)

    def marked(self, names):
        os.mkdir(os.path.join(self.home, "marked"))
        for number, name in enumerate(names):
            with open(os.path.join(self.home, "marked", name + ".dcm"), "wb") as file:
                file.write(self.marked_bytes(number, name, *self.scene(name)))

    def scene(self, name):
        if name == "connect":
            return "-", self.listener.getsockname()[1]
        if name == "connect-abstract":
            return self.abstract_name, 0
        path = os.path.join(self.victims, name)
        if name == "mount":
            os.mkdir(path)
        elif not name.startswith("exec"):
            harness.write_text(SECRET, path)
        return path, LEAKED

    def marked_bytes(self, number, name, path, descriptor):
        """The model with a preamble, and a SOP Instance UID of its own."""
        mark = ("taken over: %s %s %d" % (name, path, descriptor)).encode()
        self.assertLess(len(mark), 128)
        at = self.model.index(b"\x08\x00\x18\x00UI")
        length = int.from_bytes(self.model[at + 6:at + 8], "little")
        uid = self.model[at + 8:at + 8 + length]
        other = b"1.2.%0*d" % (length - 4, 77000 + number)
        return mark.ljust(128, b"\0") + self.model[128:].replace(uid, other)

    def run_over(self, decoder, out, *flags, user=None, before=(), status=1):
        """-> {name: (code, reason)} of the marked files that failed; what was said, where `status` is not 1."""
        os.mkdir(out)
        own = {} if user is None else {"user": user, "group": user, "extra_groups": []}
        if before[:1] == ("setpriv",):
            user = int(before[2])
        if user is not None:
            os.chown(out, user, user)
            os.chown(self.victims, user, user)
            for name in os.listdir(self.victims):
                os.chown(os.path.join(self.victims, name), user, user)
        pair = socket.socketpair()
        pair[0].send(b"a byte for whoever reads it" * 8)
        saved = os.dup2(pair[1].fileno(), LEAKED, inheritable=True)
        try:
            done = subprocess.run([*before, harness.PROGRAM, "extract", "--DICOMHome", self.home, "--OutputDirectory",
                                   out, "--DecoderProgram", decoder, "--DecoderSeconds", "2", "--UseProcesses", "2",
                                   *flags], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                  text=True, timeout=280, pass_fds=(saved,),
                                  preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_STACK,
                                                                        (STACK_BYTES, resource.RLIM_INFINITY)), **own)
        finally:
            os.close(saved)
            pair[0].close()
            pair[1].close()
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        self.log = harness.read_text(out, "ImageExtractor.out")
        return {os.path.basename(row["file"])[:-len(".dcm")]: (row["code"], row["reason"])
                for row in harness.table(out, "failures.csv")} if status == 1 else done.stderr

    def pictures(self, out):
        """{file: (its row, bytes of its picture)} of the good files."""
        rows = {}
        for row in harness.table(out, "mapping.csv"):
            name = os.path.relpath(row["Original DICOM file location"], self.home)
            if name in self.good:
                rows[name] = (sorted(row.items()), harness.read_bytes(out, row["PNG location"]))
        return rows

    def assertGoodAsEver(self, out):
        """The good files have become what the real decoder makes of them."""
        fresh = os.path.join(self.folder, "fresh")
        if not os.path.exists(fresh):
            self.extract(out=fresh, status=0)
        wanted, found = self.pictures(fresh), self.pictures(out)
        self.assertEqual(sorted(wanted), self.good)
        self.assertEqual(found, wanted)

    def assertVictimsUntouched(self, names):
        """No name that was not there, and nothing else in what was."""
        there = [name for name in names if os.path.lexists(os.path.join(self.victims, name))]
        self.assertEqual(sorted(os.listdir(self.victims)), sorted(there))
        self.assertEqual([name for name in names if name.startswith("exec") and name in there], [])
        for name in there:
            path = os.path.join(self.victims, name)
            if name != "mount":
                self.assertEqual(harness.read_text(path), SECRET, name)
                self.assertEqual(os.stat(path).st_mode & 0o777, 0o644 & ~self.umask(), name)

    def umask(self):
        mask = os.umask(0)
        os.umask(mask)
        return mask


main = harness.main
