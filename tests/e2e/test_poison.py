#!/usr/bin/python3
"""No file can hurt it: good files among poison (poison_files.py) come out as without it, each poisonous one costs a row and at
most its limits of time and memory, and nothing is written or left where it does not belong."""
import hashlib
import os
import shutil
import sys

import harness
import poison_files
import watching

sys.path.insert(0, os.path.join(harness.SOURCE, "tests", "fault"))
import tiny  # noqa: E402

SEED = 7
SHARED = os.environ.get("NIFFLER_SHARED", os.path.join(os.path.dirname(harness.SOURCE), "shared"))
HOSTILE = ("_junk", "pwnlabmx__dicom-fuzzing-corpus")
FLAGS = [word for key, value in poison_files.LIMITS.items() for word in ("--" + key, value)]
FILE = "Original DICOM file location"
IS_ASAN = "asan" in harness.BUILD
ESCAPE = "/tmp/niffler-poison-escape"  # poison_files.names()
OWN_KIB = (1 << 20) if not IS_ASAN else (4 << 20)  # of the main program, which must not be hurt either


def digests(folder):
    found = {}
    for path, _, names in os.walk(folder):
        for name in names:
            with open(os.path.join(path, name), "rb") as file:
                found[os.path.join(path, name)] = hashlib.sha256(file.read()).hexdigest()
    return found


class Poison(harness.Case):
    maxDiff = 4000

    def setUp(self):
        super().setUp()
        # So deep that names with some ".." in them end where they can be seen.
        self.home = os.path.join(self.folder, "a", "b", "in")
        self.out = os.path.join(self.folder, "a", "b", "c", "d", "out")
        self.scratch = os.path.join(self.folder, "tmp")
        os.mkdir(self.scratch)
        self.samples("--only", "mr", into=os.path.join(self.home, "m"))
        tiny.write(os.path.join(self.home, "n"), 60, odd_every=6)
        if os.path.exists(ESCAPE):
            os.unlink(ESCAPE)

    def run_all(self, out, **more):
        """extract under watch; -> its result and the watch."""
        run = harness.start(*FLAGS, "--UseProcesses", "2", home=self.home, out=out, cwd=self.scratch,
                            env=dict(os.environ, TMPDIR=self.scratch), **more)
        watch = watching.Watch(run.pid, self.home)
        stdout, stderr = run.communicate()
        watch.end()
        self.assertIn(run.returncode, (0, 1), "stdout: %s\nstderr: %s" % (stdout, stderr))
        harness.assert_no_forbidden_calls(os.path.join(out, "ImageExtractor.out"))
        return stdout, watch

    def check_costs(self, watch):
        seconds = int(poison_files.LIMITS["FileSeconds"])
        self.assertGreater(watch.samples, 10)
        worst = sorted(watch.seconds.items(), key=lambda pair: -pair[1])[:3]
        print("slowest: %s" % ", ".join("%s %.2f s" % (os.path.basename(path), took) for path, took in worst))
        print("memory: %d MiB of a decoder, %d MiB of the main program" % (watch.decoder_kib >> 10, watch.own_kib >> 10))
        self.assertLessEqual(worst[0][1], seconds + 1 + watch.gap, worst)
        self.assertLessEqual(watch.own_kib, OWN_KIB)
        self.assertTrue(watch.limits)
        confined = [limit for limit in watch.limits.values() if limit is not None]
        if IS_ASAN:  # the sanitizer's shadow is 20 TB of address space: there the limit is not set, and nothing is held to it
            self.assertEqual(confined, [])
            return
        # One that is still loading its libraries has not confined itself yet.
        self.assertGreater(len(confined), len(watch.limits) / 2)
        own = 400 << 20  # of libraries, at most, beside what a file may take
        self.assertLessEqual(max(confined), (80 << 20) + own)
        self.assertLessEqual(watch.decoder_kib << 10, max(confined))

    def check_places(self, out, before):
        """Nothing outside of the output folder, and nothing that is not finished inside."""
        after = {path: digest for path, digest in digests(self.folder).items() if not path.startswith(out + os.sep)}
        self.assertEqual({path: after.get(path) for path in before if after.get(path) != before[path]}, {})
        self.assertEqual(sorted(set(after) - set(before)), [])
        self.assertFalse(os.path.exists(ESCAPE))
        self.assertEqual(sorted(os.listdir(out)), [".niffler-png", "ImageExtractor.db", "ImageExtractor.out", "extracted-images",
                                                   "failed-dicom", "failures.csv", "mapping.csv", "metadata.csv"])
        self.assertEqual(os.listdir(os.path.join(out, ".niffler-png")), ["lock"])
        for path, folders, names in os.walk(os.path.join(out, "extracted-images")):
            self.assertNotIn(".incoming", folders)
            for name in names:
                self.assertTrue(name.endswith(".png"), os.path.join(path, name))
        pictures = {os.path.join(out, row["PNG location"]) for row in harness.table(out, "mapping.csv")}
        self.assertEqual(pictures, set(digests(os.path.join(out, "extracted-images"))))
        mapped = [row["PNG location"] for row in harness.table(out, "mapping.csv")]
        self.assertEqual(len(mapped), len(set(mapped)))

    def check_rows(self, out, stdout, files):
        """Each file once in metadata.csv, or ignored; each that failed in failures.csv."""
        found, converted, without, ignored, failed = harness.ledger(stdout)
        self.assertEqual(found, len(files))
        self.assertEqual(found, converted + without + ignored + failed)
        rows = [row["file"] for row in harness.table(out, "metadata.csv")]
        self.assertEqual(len(rows), len(set(rows)))
        self.assertEqual(len(rows) + ignored, found)
        self.assertLessEqual({row for row in rows if "\\xFF" not in row}, set(files))
        failures = {row["file"]: row for row in harness.table(out, "failures.csv")}
        self.assertEqual(len([row for row in failures.values() if row["category"] != "5"]), failed)
        return failures

    def check_untouched(self, clean, out, good):
        """The outputs of the good files are those of a run without poison."""
        for name in ("mapping.csv", "failures.csv"):
            column = FILE if name == "mapping.csv" else "file"
            left, right = (sorted(tuple(row.items()) for row in harness.table(where, name) if row[column] in good)
                           for where in (clean, out))
            self.assertEqual(left, right)
        left, right = ({row["file"]: row for row in harness.table(where, "metadata.csv")} for where in (clean, out))
        for path, row in left.items():
            self.assertEqual(row, {column: right[path][column] for column in row}, path)
            self.assertEqual({column for column, value in right[path].items() if value} - set(row), set(), path)
        for row in harness.table(clean, "mapping.csv"):
            self.assertEqual(harness.read_bytes(clean, row["PNG location"]), harness.read_bytes(out, row["PNG location"]))
        copies = {os.path.relpath(path, clean): digest for path, digest in digests(os.path.join(clean, "failed-dicom")).items()}
        for path, digest in copies.items():
            self.assertEqual(hashlib.sha256(harness.read_bytes(out, path)).hexdigest(), digest)

    def check_promises(self, promises, failures, out):
        converted = {row[FILE] for row in harness.table(out, "mapping.csv")}
        for name, promise in promises.items():
            path = os.path.join(self.home, "poison", name + ".dcm")
            if promise is None:
                continue
            with self.subTest(name):
                if promise.code is None:
                    self.assertNotIn(path, failures)
                    self.assertIn(path, converted)
                    continue
                self.assertIn(path, failures)
                self.assertEqual(failures[path]["code"], promise.code, failures[path]["reason"])
                for word in promise.words:
                    self.assertIn(word, failures[path]["reason"])
                if promise.code.startswith("limit_"):
                    self.assertEqual(failures[path]["category"], "4")

    def check_all(self, poison, promises):
        """`poison` puts files below self.home when the clean run is over."""
        good = set(digests(self.home))
        clean = self.out + "-clean"
        self.run_all(clean)
        poison()
        before = digests(self.folder)
        stdout, watch = self.run_all(self.out)
        files = digests(self.home)
        print(stdout)
        self.check_costs(watch)
        self.check_places(self.out, before)
        failures = self.check_rows(self.out, stdout, files)
        self.check_untouched(clean, self.out, good)
        self.check_promises(promises, failures, self.out)

    def test_generated(self):
        promises = {}

        def poison():
            promises.update(poison_files.write(os.path.join(self.home, "poison"), SEED))
            # Among the good ones, too, and with names that are a trap of their own.
            for index, name in enumerate((b"a..dcm", b"a\nb.dcm", b"-rf.dcm", b"\xff\xfe.dcm", b"x" * 251 + b".dcm", b'",=1+1.dcm', b"%s%n.dcm")):
                shutil.copy(os.path.join(self.home, "poison", "rle-cut-%d.dcm" % (index % 8)).encode(),
                            os.path.join(self.home, "n", "0000").encode() + b"/" + name)
            self.assertGreaterEqual(len(promises), 300)

        self.check_all(poison, promises)

    def test_shared(self):
        """The hostile files of the corpus beside the checkout."""
        folders = [os.path.join(SHARED, "dicom", name) for name in HOSTILE]
        if not all(os.path.isdir(folder) for folder in folders):
            self.skipTest("no corpus beside the checkout (%s)" % SHARED)

        def poison():
            for folder in folders:
                shutil.copytree(folder, os.path.join(self.home, os.path.basename(folder)))

        self.check_all(poison, {})


if __name__ == "__main__":
    harness.main()
