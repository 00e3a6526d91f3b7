"""What the end-to-end tests share: a scratch folder, running the programs, reading what came out."""
import csv
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest

BUILD = os.environ.get("NIFFLER_BUILD", "")
PROGRAM = os.path.join(BUILD, "niffler-png")
SAMPLES = os.path.join(BUILD, "niffler-png-samples")
SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

# What differs between runs by nature: the log has times, the database its own layout.
NOT_OUTPUT = {"ImageExtractor.out", "ImageExtractor.db", "ImageExtractor.db-wal", ".niffler-png", ".niffler-state"}

csv.field_size_limit(10**9)


class Case(unittest.TestCase):
    """A scratch folder for each test, `self.home` for the DICOM files and `self.out` for the outputs."""

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="niffler-e2e-")
        os.chmod(self.folder, 0o755)
        self.home = os.path.join(self.folder, "in")
        self.out = os.path.join(self.folder, "out")
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)

    def samples(self, *arguments, into=None):
        into = into or self.home
        subprocess.run([SAMPLES, into, *arguments], check=True, stdout=subprocess.DEVNULL)
        return into

    def extract(self, *flags, status=None, home=None, out=None, **more):
        """Run `extract`; `status` is the exit status expected (None: 0 or 1)."""
        result = start(*flags, home=home or self.home, out=out or self.out, **more)
        stdout, stderr = result.communicate()
        done = subprocess.CompletedProcess(result.args, result.returncode, stdout, stderr)
        expected = (0, 1) if status is None else (status,)
        self.assertIn(done.returncode, expected, "stdout: %s\nstderr: %s" % (stdout, stderr))
        assert_no_forbidden_calls(os.path.join(out or self.out, "ImageExtractor.out"))
        return done

    def assertSameOutputs(self, a, b):
        left, right = tree(a), tree(b)
        self.assertEqual(sorted(left), sorted(right))
        for name in left:
            self.assertEqual(left[name], right[name], name + " differs")


def assert_no_forbidden_calls(log):
    """No decoder was ended by its confinement: one of ours would lack a system call that it needs."""
    if os.path.exists(log):
        with open(log, encoding="utf-8", errors="replace") as file:
            ended = sum("code=forbidden_call" in line for line in file)
        assert ended == 0, "decoders were ended %d times by their confinement (sandbox_seccomp.c)" % ended


def start(*flags, home, out, **more):
    more.setdefault("stdin", subprocess.DEVNULL)
    return subprocess.Popen([PROGRAM, "extract", "--DICOMHome", home, "--OutputDirectory", out, *flags],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="surrogateescape", **more)


def kill_after(run, seconds):
    """SIGKILL to a process of start(), unless it has ended by then; whether it was killed."""
    try:
        run.communicate(timeout=seconds)
        return False
    except subprocess.TimeoutExpired:
        run.send_signal(signal.SIGKILL)
        run.communicate()
        return True


def tree(folder):
    """Relative path -> digest (folders: "") of everything that is output."""
    found = {}
    for path, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name not in NOT_OUTPUT]
        for name in folders:
            found[os.path.relpath(os.path.join(path, name), folder)] = ""
        for name in files:
            if name not in NOT_OUTPUT:
                with open(os.path.join(path, name), "rb") as file:
                    found[os.path.relpath(os.path.join(path, name), folder)] = hashlib.sha256(file.read()).hexdigest()
    return found


def read_bytes(*path):
    with open(os.path.join(*path), "rb") as file:
        return file.read()


def read_text(*path):
    return read_bytes(*path).decode("utf-8")


def write_text(text, *path):
    with open(os.path.join(*path), "w", encoding="utf-8") as file:
        file.write(text)


def table(out, name):
    with open(os.path.join(out, name), newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def ledger(summary):
    """The numbers of "372 files found = 274 converted + 45 without image + 0 ignored + 53 failed; 1969 pictures"."""
    words = summary.split()
    at = words.index("found")
    return [int(words[at + offset]) for offset in (-2, 2, 5, 9, 12)]


def main():
    if not os.access(PROGRAM, os.X_OK):
        sys.exit("NIFFLER_BUILD must name the build folder that holds niffler-png")
    unittest.main(verbosity=2)
