"""What `extract` writes is safe to open: by a spreadsheet, a terminal, a reader of logs, a viewer of pictures."""
import csv
import os
import re
import shutil
import struct
import subprocess
import unittest

import dicom_files
import harness

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

    def test_every_byte_comes_back_or_is_shown(self):
        """RFC 4180 through Python's csv: quotes, line ends, a byte order mark; NUL, ESC and bytes of no character."""
        texts = ['say "x", twice', "two\r\nlines", "one\nline", "tab\there", "\ufeffmark", "a\\b", ";", "\u202e"]
        for number, text in enumerate(texts):
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
        for name, data in self.tables(self.out).items():
            self.assertNotRegex(data.decode("utf-8"), r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]", name)
        rows = {os.path.basename(row["file"]): row for row in harness.table(self.out, "metadata.csv")}
        self.assertEqual([rows["%02d.dcm" % number]["PatientComments"] for number in range(len(texts))], texts)
        shown = rows["\\x1B]0;t\\x07\\x1B[2J\\x01\\xFF\\x7F.dcm"]
        self.assertEqual(len(rows), len(texts) + 1)
        self.assertTrue(shown["PatientComments"].endswith("x"), shown)
        self.check_with_pandas(texts, rows)

    def check_with_pandas(self, texts, rows):
        try:
            import pandas  # not needed to run the tests; where it is, it must agree
        except ImportError:
            return
        frame = pandas.read_csv(os.path.join(self.out, "metadata.csv"), dtype=str, keep_default_na=False)
        self.assertEqual(list(frame["PatientComments"])[:len(texts)], texts)
        self.assertEqual(len(frame), len(rows))


if __name__ == "__main__":
    harness.main()
