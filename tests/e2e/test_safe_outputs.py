"""What `extract` writes is safe to open: by a spreadsheet, a terminal, a reader of logs, a viewer of pictures."""
import csv
import importlib.util
import os
import re
import shutil
import stat
import struct
import subprocess
import sys
import unittest
import zlib

import dicom_files
import harness

sys.path.insert(0, os.path.join(harness.SOURCE, "tests", "fault"))
import crashing  # noqa: E402

# Where text of every kind reaches the tables: a person's name, comments of several lines, a description.
NAME, COMMENTS, DESCRIPTION = (0x00100010, "PN"), (0x00104000, "LT"), (0x00081030, "LO")
SPACING = dicom_files.element(0x00280030, "DS", "-1.5\\-2e1")


def element(of, value):
    return dicom_files.element(*of, value)


class Files(harness.Case):
    def write(self, name, *, path=b"", description="plain", person="plain", comments="plain", after=b"", **image):
        """An image of 2 x 2; `path` is the folder, of any bytes."""
        folder = os.path.join(self.home.encode(), path)
        os.makedirs(folder, exist_ok=True)
        image = {"pixels": bytes(8), **image}
        with open(os.path.join(folder, name if isinstance(name, bytes) else name.encode()), "wb") as file:
            file.write(dicom_files.image(2, 2, image.pop("pixels"), before=b"".join((
                element(DESCRIPTION, description), element(NAME, person), element(COMMENTS, comments))),
                after=after, **image))

    def tables(self, out):
        return {name: harness.read_bytes(out, name) for name in ("metadata.csv", "mapping.csv", "failures.csv")}


class Tables(Files):
    FORMULAS = ("=HYPERLINK(\"http://x\",\"y\")", "+1,5", "-1+1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "=1\n=2")
    TEXTS = ("-1.5", "+3e4", "-12", "a=1", "(=1)", "'=1")

    def formulas(self):
        for number, text in enumerate((*self.FORMULAS, *self.TEXTS)):
            self.write("%02d.dcm" % number, comments=text, after=SPACING)
        self.write("=1+1.dcm", path=b"@folder")
        self.write("broken.dcm", path=b"-folder", pixels=b"\0\0")

    def test_formulas_are_marked_where_that_is_asked_for(self):
        self.formulas()
        self.extract(status=1)
        guarded, off = self.out + "-guarded", self.out + "-off"
        self.extract("--CsvFormulaGuard", "true", status=1, out=guarded)
        self.extract("--CsvFormulaGuard", "false", status=1, out=off)
        self.assertSameOutputs(self.out, off)  # the default
        # Resumed under another setting, and with the tables alone: the same.
        before = self.tables(guarded)
        self.extract("--CsvFormulaGuard", "true", status=1, out=guarded)
        self.extract("--CsvFormulaGuard", "true", status=1, out=off)
        self.assertEqual(before, self.tables(guarded))
        self.assertSameOutputs(guarded, off)
        marked = 0
        for name in before:
            plain = list(csv.reader(harness.read_bytes(self.out, name).decode().splitlines(True)))
            cells = list(csv.reader(before[name].decode().splitlines(True)))
            self.assertEqual([len(row) for row in plain], [len(row) for row in cells])
            for was, cell in zip(sum(plain, []), sum(cells, [])):
                is_number = re.fullmatch(r"[-+]?[0-9.]+(e[0-9]+)?(\\[-+]?[0-9.]+(e[0-9]+)?)*", was)
                is_formula = was[:1] in tuple("=+-@\t\r\n") and was != "" and not is_number
                self.assertEqual(cell, "'" + was if is_formula else was)
                marked += is_formula
        self.assertGreaterEqual(marked, len(self.FORMULAS) - 1)  # a line end at the start is padding to some VRs

    def test_relative_folders_that_look_like_formulas(self):
        self.write("a.dcm")
        os.rename(self.home, os.path.join(self.folder, "=in"))
        os.mkdir(self.home)
        self.extract("--CsvFormulaGuard", "true", home="=in", cwd=self.folder, status=0)
        self.assertEqual(harness.table(self.out, "metadata.csv")[0]["file"], "'=in/a.dcm")
        self.assertEqual(harness.table(self.out, "mapping.csv")[0]["Original DICOM file location"], "'=in/a.dcm")

    @unittest.skipUnless(shutil.which("soffice"), "LibreOffice is not installed; the rule itself is tested above")
    def test_libreoffice_finds_no_formula(self):
        self.formulas()
        self.extract("--CsvFormulaGuard", "true", status=1)
        for name in ("metadata", "mapping", "failures"):
            subprocess.run(["soffice", "--headless", "-env:UserInstallation=file://" + self.folder + "/office",
                            "--convert-to", "fods", "--outdir", self.folder, os.path.join(self.out, name + ".csv")],
                           check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=120)
            self.assertNotIn("table:formula=", harness.read_text(self.folder, name + ".fods"))

    STRANGE = ['say "x", twice', "two\r\nlines", "one\nline", "tab\there", "\ufeffmark", "a\\b", ";", "\u202e"]

    def strange_texts(self):
        """Tables with quotes, line ends, a byte order mark; in their last row NUL, ESC and bytes of no character."""
        for number, text in enumerate(self.STRANGE):
            self.write("%02d.dcm" % number, comments=text.encode(),
                       description=b"ISO" if number else b"first")
        for path in os.listdir(self.home):  # UTF-8 by its name
            data = harness.read_bytes(self.home, path)
            with open(os.path.join(self.home, path), "wb") as file:
                file.write(data.replace(dicom_files.element(0x00080018, "UI", "1.2.3.4"),
                                        dicom_files.element(0x00080005, "CS", "ISO_IR 192") +
                                        dicom_files.element(0x00080018, "UI", "1.2.3.4")))
        evil = b"\x1b]0;t\x07\x1b[2J\x01\xff\x7f"
        self.write(evil + b".dcm", comments=b"\x1b[31m\x0e\x08x")
        self.extract(status=0)

    def test_every_byte_comes_back_or_is_shown(self):
        """RFC 4180 through Python's csv."""
        self.strange_texts()
        for name, data in self.tables(self.out).items():
            self.assertNotRegex(data.decode("utf-8"), r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]", name)
        rows = {os.path.basename(row["file"]): row for row in harness.table(self.out, "metadata.csv")}
        self.assertEqual([rows["%02d.dcm" % number]["PatientComments"] for number in range(len(self.STRANGE))], self.STRANGE)
        shown = rows["\\x1B]0;t\\x07\\x1B[2J\\x01\\xFF\\x7F.dcm"]
        self.assertEqual(len(rows), len(self.STRANGE) + 1)
        self.assertTrue(shown["PatientComments"].endswith("x"), shown)

    @unittest.skipIf(importlib.util.find_spec("pandas") is None, "pandas is not installed, and no test needs it but this one")
    def test_pandas_reads_the_same(self):
        import pandas
        self.strange_texts()
        frame = pandas.read_csv(os.path.join(self.out, "metadata.csv"), dtype=str, keep_default_na=False)
        self.assertEqual(list(frame["PatientComments"])[:len(self.STRANGE)], self.STRANGE)
        self.assertEqual(len(frame), len(self.STRANGE) + 1)


LOG_LINE = re.compile(  # time, level, module, event, and fields whose texts are one word or quoted
    r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (error|warn|info|debug) [a-z]+ event=[a-z_]+'
    r'( [a-z_0-9]+=("([^"\\\x00-\x1f\x7f-\x9f]|\\["\\nrt]|\\x[0-9a-f]{2})*(\.\.\.)?"|[^\s"=\x00-\x1f\x7f-\x9f]*))*')


class Log(Files):
    """A line of the log cannot be forged, wherever a stranger's text goes."""

    FORGED = "2026-01-01T00:00:00.000Z error forged event=forged"
    CANARY = "x\n" + FORGED + "\r\x1b[31m\x9b2J\"}],\t{\"a\\\": 'b' = c"

    def assertNotForged(self, log, stderr):
        for line in log.split("\n")[:-1]:
            self.assertRegex(line, LOG_LINE.pattern + r"\Z")
            self.assertNotIn(" event=forged", re.sub(r'"([^"\\]|\\.)*"', "", line), line)
        for line in stderr.split("\n"):
            self.assertFalse(line.startswith(self.FORGED), stderr)
            self.assertNotRegex(line.replace("\r\x1b[K", ""), r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")

    def refused(self, command, *flags, **environment):
        done = subprocess.run([harness.PROGRAM, command, *flags], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=120, cwd=self.folder,
                              env={**os.environ, **environment})
        self.assertIn(done.returncode, (2, 3), done)
        return done.stderr.decode("utf-8", "surrogateescape")

    def test_names_and_values_of_files(self):
        evil = self.CANARY.replace("/", "").encode()
        for number, value in enumerate((evil[:60], evil[20:80])):
            self.write(evil + b"%d.dcm" % number, path=evil, description=value, person=value, comments=evil)
        self.write(evil + b"broken.dcm", path=evil, person=evil[:60], pixels=b"\0")
        os.symlink("absent", os.path.join(self.home.encode(), evil + b".dcm"))
        with open(os.path.join(self.home.encode(), evil + b"-no.dcm"), "wb") as file:
            file.write(evil)
        uid = os.path.join(self.home, "uid.dcm")
        with open(uid, "wb") as file:
            file.write(dicom_files.image(2, 2, bytes(8)).replace(b"1.2.840.10008.1.2.1\0", b"1\n2026-01\x1b[31m\"}\0"))
        done = self.extract("--LogLevel", "debug", status=1)
        log = harness.read_text(self.out, "ImageExtractor.out")
        self.assertNotForged(log, done.stderr)
        self.assertGreater(log.count("\n"), 1)

    def test_settings(self):
        os.mkdir(self.home)
        self.write("a.dcm")
        text = self.CANARY
        done = self.extract("--SpecificHeadersOnly", "true", "--FeatureSetFile", text, "--StateDirectory",
                            os.path.join(self.folder, text.replace("/", "")), out=os.path.join(self.folder, text))
        self.assertNotForged(harness.read_text(self.folder, text, "ImageExtractor.out"), done.stderr)
        self.assertNotIn("\x1b", done.stdout)
        self.assertEqual(done.stdout.count("\n"), 2, done.stdout)
        for flags in (("--Depth", text), ("--DICOMHome", text), ("--" + text, "1"), ("--Window", text),
                      ("--LinkRoots", text), ("--DecoderProgram", text), (text,)):
            base = ["--DICOMHome", self.home, "--OutputDirectory", self.out]
            stderr = self.refused("extract", *base, *flags)
            self.assertNotForged("", stderr)
            for line in stderr.split("\n")[:-1]:
                self.assertTrue(line.startswith("niffler-png: "), (flags, stderr))
        config = os.path.join(self.folder, "evil.json")
        harness.write_text('{"Depth": "%s"}' % "x\\n2026-01-01T00:00:00.000Z error forged event=forged\\u001b[31m", config)
        self.assertNotForged("", self.refused("extract", "--config", config))

    def test_words_of_libraries(self):
        """Kafka's topic, group and servers, which come back in the texts of librdkafka, hiredis, curl and the resolver."""
        text, roots = self.CANARY, []
        for name, setting in (("in-root", "--InputRoot"), ("out-root", "--OutputRoot")):
            os.mkdir(os.path.join(self.folder, name))
            roots += [setting, os.path.join(self.folder, name)]
        for flags in (("--KafkaBrokers", text), ("--KafkaBrokers", "127.0.0.1:1", "--KafkaTasksTopic", text),
                      ("--KafkaBrokers", "127.0.0.1:1", "--KafkaWorkerGroup", text),
                      ("--KafkaBrokers", "127.0.0.1:1", "--RedisUrl", "redis://" + text),
                      ("--KafkaBrokers", "127.0.0.1:1", "--MetricsListen", text),
                      ("--KafkaBrokers", "127.0.0.1:1", "--KafkaConfigFile", text)):
            process = subprocess.Popen([harness.PROGRAM, "work", *roots, *flags, "--UseProcesses", "1"],
                                       stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
            try:
                stderr = process.communicate(timeout=4)[1]
            except subprocess.TimeoutExpired:
                process.terminate()
                stderr = process.communicate(timeout=60)[1]
            stderr = stderr.decode("utf-8", "surrogateescape")
            self.assertNotEqual(stderr, "", flags)
            lines = stderr.split("\n")[:-1]
            log = [line for line in lines if re.match(r"\d{4}-", line)]
            self.assertNotForged("".join(line + "\n" for line in log), stderr)
            for line in lines:
                self.assertTrue(line in log or line.startswith("niffler-png: "), stderr)


class Chunks(Files):
    """No byte of a file's own reaches a PNG but samples, their numbers, and a colour profile that is one."""

    ALLOWED = ("IHDR", "sBIT", "pHYs", "iCCP", "IDAT", "IEND")

    def every_chunk(self, out):
        """-> {picture: [(name, data)]}; each file ends with its last chunk, and each checksum is right."""
        found = {}
        for path, _, names in os.walk(os.path.join(out, "extracted-images")):
            for name in names:
                data, at, chunks = harness.read_bytes(path, name), 8, []
                self.assertEqual(data[:8], b"\x89PNG\r\n\x1a\n")
                while at < len(data):
                    length, kind = struct.unpack(">I4s", data[at:at + 8])
                    body = data[at + 8:at + 8 + length]
                    self.assertEqual(struct.unpack(">I", data[at + 8 + length:at + 12 + length])[0],
                                     zlib.crc32(kind + body))
                    chunks.append((kind.decode("ascii"), body))
                    at += 12 + length
                self.assertEqual((at, chunks[-1]), (len(data), ("IEND", b"")))
                self.assertEqual(set(kind for kind, _ in chunks) - set(self.ALLOWED), set(), name)
                self.check_chunks(chunks)
                found[name] = chunks
        return found

    def check_chunks(self, chunks):
        sizes = {"IHDR": 13, "pHYs": 9, "IEND": 0}
        for kind, body in chunks:
            if kind in sizes:
                self.assertEqual(len(body), sizes[kind])
            elif kind == "sBIT":
                self.assertIn(len(body), (1, 3))
            elif kind == "iCCP":
                self.assertTrue(body.startswith(b"ICC profile\0\0"))
        stream = zlib.decompressobj()
        stream.decompress(b"".join(body for kind, body in chunks if kind == "IDAT"))
        self.assertTrue(stream.eof)
        self.assertEqual(stream.unused_data, b"")

    def test_samples(self):
        self.samples()
        for number, flags in enumerate(((), ("--PngCompression", "small", "--Overlays", "burn"),
                                        ("--PixelScaling", "window"))):
            out = self.out + str(number)
            self.extract(*flags, out=out)
            self.assertGreater(len(self.every_chunk(out)), 100)

    def test_hostile_profiles(self):
        good = dicom_files.profile()

        def changed(at, data, base=good):
            return base[:at] + data + base[at + len(data):]

        canary = b"FOREIGN-" * 4
        profiles = {
            "empty": b"", "short": good[:100], "text": canary * 8, "script": b"<?php " + canary * 8,
            "long": changed(0, b"\xff\xff\xff\xff"), "zero": changed(0, bytes(4)), "tiny": changed(0, b"\0\0\0\x10"),
            "unsigned": changed(36, b"ACSP"), "grey": changed(16, b"GRAY"), "link": changed(12, b"link"),
            "hsv": changed(20, b"HSV "), "tags": changed(128, b"\xff\xff\xff\xff"),
            "tag": changed(136, b"\xff\xff\xff\xff"), "tag-length": changed(140, b"\xff\xff\xff\xff"),
            "odd": dicom_files.profile(157), "version": changed(8, b"\xff\0\0\0"),
            "reserved": changed(100, canary[:28]), "huge": dicom_files.profile(5 << 20),
        }
        for name, icc in profiles.items():
            self.write(name + ".dcm", pixels=bytes(range(12)), bits=8, samples=3,
                       after=dicom_files.element(0x00282000, "OB", icc))
        self.write("good.dcm", pixels=bytes(range(12)), bits=8, samples=3,
                   after=dicom_files.element(0x00282000, "OB", good + canary))
        self.extract(status=0)
        pictures, notes = self.every_chunk(self.out), {}
        for row in harness.table(self.out, "mapping.csv"):
            name = os.path.basename(row["Original DICOM file location"])[:-4]
            chunks = dict(pictures[os.path.basename(row["PNG location"])])
            notes[name] = row["pixel_notes"]
            if name in ("good", "reserved"):  # what is in no tag is left out
                self.assertEqual(zlib.decompress(chunks["iCCP"][13:]), good)
            else:
                self.assertNotIn("iCCP", list(chunks), name)
                self.assertEqual(row["pixel_notes"].startswith("left out: "), name != "empty", (name, row))
        self.assertEqual(len(notes), len(profiles) + 1)

    def test_hostile_spacing(self):
        values = ("1e300\\1e300", "1e-300\\1e-300", "-1\\-1", "0\\0", "nan\\nan", "inf\\inf", "1", "1\\", "\\1", "a\\b",
                  "0.5\\0.5;x", "9" * 16 + "\\1", "1e-9\\1e-9", "\x1b[31m\\1", "5e-7\\4e-7", " 1 \\ 1 ")
        for number, value in enumerate(values):
            self.write("%02d.dcm" % number, after=dicom_files.element(0x00280030, "DS", value))
            self.write("r%02d.dcm" % number, after=dicom_files.element(0x00280034, "IS", value))
        self.extract()
        pictures = self.every_chunk(self.out)
        self.assertEqual(len(pictures), 2 * len(values))
        for chunks in pictures.values():
            for kind, body in chunks:
                if kind == "pHYs":
                    x, y, unit = struct.unpack(">IIB", body)
                    self.assertTrue(0 < x < 1 << 31 and 0 < y < 1 << 31 and unit in (0, 1), body)


class Modes(Files):
    """What the outputs may be read by, whatever the umask."""

    PRIVATE = re.compile(r"mapping\.csv|ImageExtractor\.db.*|failed-dicom/.*|\.niffler-png/.*")

    def test_modes(self):
        self.write("a.dcm")
        self.write("broken.dcm", pixels=b"\0")
        for mask in (0o000, 0o022, 0o077, 0o027):
            out = self.out + "%03o" % mask
            old = os.umask(mask)
            try:
                self.extract(out=out, status=1)
            finally:
                os.umask(old)
            seen = 0
            for path, folders, names in os.walk(out):
                self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o700 & ~mask, path)
                for name in names:
                    below = os.path.relpath(os.path.join(path, name), out)
                    status = os.lstat(os.path.join(path, name))
                    self.assertTrue(stat.S_ISREG(status.st_mode), below)
                    wanted = 0o600 if self.PRIVATE.fullmatch(below) else 0o666
                    self.assertEqual(oct(stat.S_IMODE(status.st_mode)), oct(wanted & ~mask), below)
                    seen += wanted == 0o600
            self.assertGreaterEqual(seen, 3)


class Parent(Files):
    """The process that has rights reads no byte of a file: the decoder does."""

    def test_files_are_read_by_decoders_alone(self):
        self.samples("--only", "ct")
        self.write("broken.dcm", pixels=b"\0")
        log = os.path.join(self.folder, "reads")
        with crashing.environment(LD_PRELOAD=os.path.join(harness.BUILD, "tests", "read_log.so"), NIFFLER_READ_LOG=log,
                                  ASAN_OPTIONS=os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"):
            self.extract(status=1)
        read = {line.split(" ", 2)[2] for line in harness.read_text(log).splitlines()}
        self.assertEqual({os.path.basename(path) for path in read}, {"broken.dcm"})  # the copy of what failed


class Racer(Files):
    """Folders in OutputDirectory and DICOMHome are swapped for links, and back, while `extract` works."""

    SWAPS = 100000

    def race(self, pairs, work):
        racer = subprocess.Popen([os.path.join(harness.BUILD, "tests", "swapper"), str(self.SWAPS), *pairs],
                                 stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        rounds = 0
        while racer.poll() is None and rounds < 8:
            work()
            rounds += 1
        count, _ = racer.communicate(timeout=300)
        self.assertEqual(racer.returncode, 0)
        self.assertGreaterEqual(int(count), self.SWAPS)

    def decoy(self, name, target):
        path = os.path.join(self.folder, name)
        os.symlink(target, path)
        return path

    def test_outputs(self):
        self.samples("--only", "ct")
        self.write("broken.dcm", pixels=b"\0")
        outside = os.path.join(self.folder, "outside")
        self.extract(out=outside, status=1)  # all that an output folder has, to be written over
        os.chmod(outside, 0o700)
        before = self.everything(outside)
        self.extract(status=1)
        pairs = []
        for name in ("extracted-images", "failed-dicom", ".niffler-png"):
            pairs += [os.path.join(self.out, name), self.decoy("decoy-" + name.strip("."), os.path.join(outside, name))]
        first = sorted(os.listdir(os.path.join(self.out, "extracted-images")))[0]
        pairs += [os.path.join(self.out, "extracted-images", first),
                  self.decoy("decoy-first", os.path.join(outside, "extracted-images", first))]
        flags = iter(("--is16Bit", "false") if number % 2 else () for number in range(100))
        statuses = []

        def work():
            process = harness.start(*next(flags), home=self.home, out=self.out)
            try:
                process.communicate(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
            statuses.append(process.returncode)

        self.race(pairs, work)
        after = self.everything(outside)
        self.assertEqual([name for name in sorted({*before, *after}) if before.get(name) != after.get(name)], [])
        self.assertNotIn(70, statuses)
        self.assertIn(3, statuses)  # the racer was felt
        self.extract(status=1)  # left alone, it comes to its end, and to the same
        self.extract(out=self.out + "-fresh", status=1)
        self.assertSameOutputs(self.out, self.out + "-fresh")

    def everything(self, folder):
        """Path -> mode, links, times and content of all there is."""
        found = {}
        for path, folders, names in os.walk(folder):
            for name in (*folders, *names):
                full = os.path.join(path, name)
                status = os.lstat(full)
                content = b"" if stat.S_ISDIR(status.st_mode) else harness.read_bytes(full)
                found[os.path.relpath(full, folder)] = (status.st_mode, status.st_ino, status.st_mtime_ns, content)
        return found

    def test_inputs(self):
        self.write("a.dcm", path=b"sub", person="INSIDE")
        inside = os.path.join(self.home, "sub")
        os.rename(self.home, self.home + "-made")
        self.write("a.dcm", path=b"sub", person="OUTSIDE")
        os.rename(inside, os.path.join(self.folder, "outside"))
        shutil.rmtree(self.home)
        os.rename(self.home + "-made", self.home)
        seen = set()

        def work():
            shutil.rmtree(self.out, ignore_errors=True)
            self.extract(status=None if seen else 0) if not seen else harness.start(
                home=self.home, out=self.out).communicate(timeout=60)
            path = os.path.join(self.out, "metadata.csv")
            for row in harness.table(self.out, "metadata.csv") if os.path.exists(path) else ():
                seen.add(row.get("PatientName", ""))
                self.assertNotEqual(row.get("PatientName"), "OUTSIDE")

        work()
        self.assertEqual(seen, {"INSIDE"})
        self.race([inside, self.decoy("decoy", os.path.join(self.folder, "outside"))], work)


if __name__ == "__main__":
    harness.main()
