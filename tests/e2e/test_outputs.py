"""What `extract` writes for the sample data set, and that it is the same however it ran."""
import os
import re
import shutil
import stat
import struct
import subprocess
import unittest
import zlib

import harness


def read_png(path):
    """-> width, height, bit depth, colour type, samples as bytes. A decoder of its own: the files must be valid PNG."""
    data = harness.read_bytes(path)
    assert data[:8] == b"\x89PNG\r\n\x1a\n", path
    at, idat, header, kinds = 8, b"", None, []
    while at < len(data):
        length, kind = struct.unpack(">I4s", data[at:at + 8])
        body = data[at + 8:at + 8 + length]
        assert zlib.crc32(kind + body) == struct.unpack(">I", data[at + 8 + length:at + 12 + length])[0]
        kinds.append(kind)
        if kind == b"IHDR":
            header = struct.unpack(">IIBBBBB", body)
        elif kind == b"IDAT":
            idat += body
        at += 12 + length
    width, height, depth, colour, _, _, interlace = header
    ancillary = [kind for kind in kinds if kind in (b"sBIT", b"pHYs", b"iCCP")]
    assert interlace == 0 and len(ancillary) == len(set(ancillary)), kinds
    assert kinds == [b"IHDR", *ancillary, *[b"IDAT"] * kinds.count(b"IDAT"), b"IEND"], kinds
    step = (3 if colour == 2 else 1) * depth // 8
    raw, above, rows = zlib.decompress(idat), bytes(width * step), []
    for y in range(height):
        start = y * (width * step + 1)
        filter_type, row = raw[start], bytearray(raw[start + 1:start + 1 + width * step])
        for i in range(len(row)):
            a = row[i - step] if i >= step else 0
            b = above[i]
            c = above[i - step] if i >= step else 0
            if filter_type == 1:
                row[i] = (row[i] + a) & 255
            elif filter_type == 2:
                row[i] = (row[i] + b) & 255
            elif filter_type == 3:
                row[i] = (row[i] + (a + b) // 2) & 255
            elif filter_type == 4:
                p = min((abs(b - c), 0, a), (abs(a - c), 1, b), (abs(a + b - 2 * c), 2, c))[2]
                row[i] = (row[i] + p) & 255
        rows.append(bytes(row))
        above = rows[-1]
    return width, height, depth, colour, b"".join(rows)


class SampleSet(harness.Case):
    def test_the_ledger_balances_and_every_table_has_its_rows(self):
        self.samples()
        files = sum(len(names) for _, _, names in os.walk(self.home))
        done = self.extract(status=1)
        found, converted, no_image, ignored, failed = harness.ledger(done.stdout)
        self.assertEqual(found, files)
        self.assertEqual(found, converted + no_image + ignored + failed)
        self.assertGreater(converted, 80)
        self.assertGreater(no_image, 0)
        self.assertGreater(ignored, 0)
        self.assertGreater(failed, 0)
        metadata = harness.table(self.out, "metadata.csv")
        mapping = harness.table(self.out, "mapping.csv")
        failures = harness.table(self.out, "failures.csv")
        self.assertEqual(len(metadata), found - ignored)
        self.assertEqual(len(failures), failed)
        paths = [row["file"].encode() for row in metadata]
        self.assertEqual(paths, sorted(paths))
        pictures = [os.path.join(path, name) for path, _, names in os.walk(os.path.join(self.out, "extracted-images"))
                    for name in names]
        self.assertEqual(sorted(os.path.relpath(p, self.out) for p in pictures),
                         sorted(row["PNG location"] for row in mapping))
        copies = sum(len(names) for _, _, names in os.walk(os.path.join(self.out, "failed-dicom")))
        self.assertEqual(copies, failed)
        # The README shows what quickstart.sh says of the same samples: the counts, and those of failed-dicom.
        shown = "".join("    %s\n" % line for line in done.stdout.splitlines() if not line.startswith("tables:"))
        self.assertIn(shown, harness.read_text(harness.SOURCE, "README.md"))

    def test_the_tables_have_their_exact_form(self):
        self.samples()
        self.extract()
        head = harness.read_text(self.out, "mapping.csv").split("\n")[0] + "\n"
        self.assertEqual(head, "Original DICOM file location,PNG location,frame,scaling,offset,maximum,pixel_notes\n")
        head = harness.read_text(self.out, "failures.csv").split("\n")[0] + "\n"
        self.assertEqual(head, "file,category,code,reason,transfer_syntax,modality\n")
        mode = os.stat(os.path.join(self.out, "mapping.csv")).st_mode
        self.assertEqual(stat.S_IMODE(mode), 0o600)
        for name in ("metadata.csv", "mapping.csv", "failures.csv"):
            data = harness.read_bytes(self.out, name)
            data.decode("utf-8")
            self.assertNotIn(b"\0", data)
            self.assertTrue(data.endswith(b"\n") and not data.endswith(b"\r\n"))
        for row in harness.table(self.out, "mapping.csv"):
            self.assertRegex(row["PNG location"], r"^extracted-images/[0-9a-f]{56}/[0-9a-f]{56}(-[0-9]{4,})?\.png$")
            self.assertTrue(os.path.exists(os.path.join(self.out, row["PNG location"])))
        log = harness.read_text(self.out, "ImageExtractor.out")
        self.assertNotIn("PAT0", log)  # folders of the samples are named by patient
        self.assertNotIn(".dcm", log)

    def test_pictures_undo_to_the_stored_values(self):
        """A CT with negative values: full scaling and its offset and maximum give back what `stored` holds."""
        self.samples("--only", "ct")
        self.extract("--PixelScaling", "stored", out=self.out + "-stored")
        self.extract("--InvertMonochrome1", "false")
        stored = {row["Original DICOM file location"]: row for row in harness.table(self.out + "-stored", "mapping.csv")}
        checked = negative = 0
        for row in harness.table(self.out, "mapping.csv")[::6]:
            other = stored[row["Original DICOM file location"]]
            w, h, depth, _, full = read_png(os.path.join(self.out, row["PNG location"]))
            w2, h2, depth2, _, raw = read_png(os.path.join(self.out + "-stored", other["PNG location"]))
            self.assertEqual((w, h), (w2, h2))
            offset, maximum, lift = float(row["offset"]), float(row["maximum"]), float(other["offset"])
            white = (1 << depth) - 1
            a = struct.unpack(">%dH" % (w * h), full) if depth == 16 else full
            b = struct.unpack(">%dH" % (w * h), raw) if depth2 == 16 else raw
            for p, s in zip(a[::97], b[::97]):
                value = s + lift
                negative += value < 0
                self.assertEqual(p, int((value - offset) / (maximum - offset) * white))
                checked += 1
        self.assertGreater(checked, 1000)
        self.assertGreater(negative, 100)

    def test_text_of_every_character_set_is_utf8_in_the_table(self):
        self.samples()
        self.extract()
        text = harness.read_text(self.out, "metadata.csv")
        for word in ("Müßig^Jürgen", "Żądło^Łucja", "Выдумкина^Анна", "Φανταστική^Μαρία", "ｻﾄｳ^ﾊﾅｺ=佐藤^花子=さとう^はなこ",
                     "Ga^Sang=假^想=가^상", "Wang^XiaoDong=王^小东", "Ковальчук^Zoë", "Röntgen", "Broken^\ufffd\ufffd"):
            self.assertIn(word, text)

    def test_every_frame_is_a_picture(self):
        self.samples("--only", "us")
        self.extract()
        frames = {}
        for row in harness.table(self.out, "mapping.csv"):
            frames.setdefault(row["Original DICOM file location"], []).append(row)
        several = [rows for rows in frames.values() if len(rows) > 1]
        self.assertGreater(len(several), 0)
        for rows in several:
            self.assertEqual([int(row["frame"]) for row in rows], list(range(1, len(rows) + 1)))
            for row in rows:
                self.assertTrue(row["PNG location"].endswith("-%04d.png" % int(row["frame"])))
        for choice, number in (("first", 1), ("3", 3)):
            out = self.out + choice
            self.extract("--Frames", choice, out=out)
            got = {row["Original DICOM file location"]: row["frame"] for row in harness.table(out, "mapping.csv")}
            for path, rows in frames.items():
                if len(rows) >= number:
                    self.assertEqual(got[path], str(number))

    def test_compressed_variants_give_the_pixels_of_their_originals(self):
        script = os.path.join(harness.SOURCE, "tests", "samples", "compress.sh")
        originals = dict(re.findall(r'^    (\w+)\)\s+echo "([^"]+)"', harness.read_text(script), re.M))
        compressed = os.path.join(self.folder, "compressed")
        self.samples()
        subprocess.run([script, self.home, compressed], check=True, stdout=subprocess.DEVNULL,
                       env=dict(os.environ, PATH=harness.BUILD + ":" + os.environ["PATH"]))
        self.extract("--PixelScaling", "stored")
        done = self.extract("--PixelScaling", "stored", home=compressed, out=self.out + "-c", status=0)
        self.assertEqual(harness.ledger(done.stdout)[4], 0, done.stdout)
        stored = {}
        for row in harness.table(self.out, "mapping.csv"):
            stored[row["Original DICOM file location"][len(self.home) + 1:], row["frame"]] = row["PNG location"]
        equal = 0
        for row in harness.table(self.out + "-c", "mapping.csv"):
            encoding, name = row["Original DICOM file location"][len(compressed) + 1:].split("/")
            if encoding in ("jpeg_lossless_sv1", "jpeg_lossless", "rle", "jpegls", "j2k", "j2k_lossless", "deflated",
                            "explicit_big", "implicit_little", "encapsulated"):
                other = stored[originals[name[:-4]], row["frame"]]
                self.assertEqual(read_png(os.path.join(self.out + "-c", row["PNG location"])),
                                 read_png(os.path.join(self.out, other)), row["Original DICOM file location"])
                equal += 1
        self.assertGreater(equal, 25)


class SameBytes(harness.Case):
    def test_whatever_the_number_of_decoders(self):
        self.samples()
        outs = []
        for processes in ("1", "2", "0"):
            outs.append(self.out + processes)
            self.extract("--UseProcesses", processes, out=outs[-1])
        self.assertSameOutputs(outs[0], outs[1])
        self.assertSameOutputs(outs[0], outs[2])

    def test_whatever_the_order_in_which_files_finish(self):
        """One large picture first: with two decoders all small ones behind it finish before it."""
        self.samples("--only", "dx")
        self.samples("--only", "depth", into=os.path.join(self.home, "zz"))
        self.extract("--UseProcesses", "1", out=self.out + "1")
        self.extract("--UseProcesses", "2", out=self.out + "2")
        self.assertSameOutputs(self.out + "1", self.out + "2")


class Compatibility(harness.Case):
    FLAGS = ("--Compatibility", "niffler", "--Depth", "1", "--FlattenedToLevel", "patient")

    def two_folders(self):
        self.samples("--only", "ct", into=os.path.join(self.folder, "made"))
        sources = sorted(os.path.join(path, name) for path, _, names in os.walk(os.path.join(self.folder, "made"))
                         for name in names)[:4]
        for folder, source in zip("abcd", sources):
            os.makedirs(os.path.join(self.home, folder))
            shutil.copy(source, os.path.join(self.home, folder, "IM1.dcm"))

    def pictures(self, out):
        with open(os.path.join(out, "mapping.csv"), encoding="utf-8") as file:
            lines = file.read().split("\n")
        self.assertEqual(lines[0], "Original DICOM file location, PNG location ")
        return [line.split(", ") for line in lines[1:] if line]

    def test_two_pictures_that_want_one_name_both_stay_in_path_order(self):
        self.two_folders()
        for processes in ("1", "2"):
            out = self.out + processes
            self.extract(*self.FLAGS, "--UseProcesses", processes, out=out)
            rows = self.pictures(out)
            self.assertEqual(len(rows), 4)
            names = [os.path.basename(png) for _, png in rows]
            stem = names[0][:-4]
            self.assertRegex(stem, "^[0-9a-f]{56}$")
            self.assertEqual(names, [stem + ".png", stem + "_2.png", stem + "_3.png", stem + "_4.png"])
            for _, png in rows:
                self.assertTrue(os.path.exists(png), png)

    def test_a_file_that_comes_before_the_others_takes_the_name(self):
        self.two_folders()
        shutil.move(os.path.join(self.home, "a"), os.path.join(self.folder, "later"))
        self.extract(*self.FLAGS)
        shutil.move(os.path.join(self.folder, "later"), os.path.join(self.home, "a"))
        self.extract(*self.FLAGS)
        self.extract(*self.FLAGS, out=self.out + "-fresh")
        mine = {path: harness.read_bytes(png) for path, png in self.pictures(self.out)}
        fresh = {path: harness.read_bytes(png) for path, png in self.pictures(self.out + "-fresh")}
        self.assertEqual(mine, fresh)
        self.assertEqual([os.path.basename(png) for _, png in self.pictures(self.out)],
                         [os.path.basename(png) for _, png in self.pictures(self.out + "-fresh")])


class Settings(harness.Case):
    def test_print_images_false_writes_tables_only(self):
        self.samples("--only", "ct")
        self.extract("--PrintImages", "false")
        self.assertFalse(os.path.exists(os.path.join(self.out, "extracted-images")))
        self.assertEqual(harness.table(self.out, "mapping.csv"), [])
        self.assertEqual({row["has_pix_array"] for row in harness.table(self.out, "metadata.csv")}, {"True"})

    def test_levels_make_folders(self):
        self.samples("--only", "ct")
        for level, depth in (("patient", 1), ("study", 2), ("series", 3)):
            self.extract("--FlattenedToLevel", level, out=self.out + level)
            for row in harness.table(self.out + level, "mapping.csv"):
                self.assertEqual(row["PNG location"].count("/"), depth + 1)

    def test_eight_bits(self):
        self.samples("--only", "mr")
        self.extract("--is16Bit", "false")
        for row in harness.table(self.out, "mapping.csv"):
            self.assertEqual(read_png(os.path.join(self.out, row["PNG location"]))[2], 8)

    def test_private_attributes_have_addressable_columns(self):
        self.samples()
        self.extract("--PublicHeadersOnly", "false", "--PrintImages", "false")
        columns = list(harness.table(self.out, "metadata.csv")[0])
        private = [name for name in columns if re.search(r"\([0-9a-f]{4},", name)]
        self.assertGreater(len(private), 0, columns)
        self.assertEqual(len(columns), len(set(columns)))

    def test_common_and_specific_headers(self):
        self.samples()
        self.extract("--PrintImages", "false")
        rows = harness.table(self.out, "metadata.csv")
        common = [name for name in rows[0] if sum(not row[name] for row in rows) < len(rows) / 10]
        self.extract("--PrintImages", "false", "--CommonHeadersOnly", "true", out=self.out + "c")
        self.assertEqual(list(harness.table(self.out + "c", "metadata.csv")[0]), common)
        features = os.path.join(self.folder, "featureset.txt")
        with open(features, "w", encoding="ascii") as file:
            file.write("Modality\nNoSuchColumn\nPatientID\n")
        self.extract("--PrintImages", "false", "--SpecificHeadersOnly", "true", "--FeatureSetFile", features,
                     out=self.out + "s")
        self.assertEqual(list(harness.table(self.out + "s", "metadata.csv")[0]), ["Modality", "PatientID", "file"])


if __name__ == "__main__":
    harness.main()
