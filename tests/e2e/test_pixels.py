"""Every pixel of every combination of bits, sign, planes, colours and transfer syntax, against the samples that the
generator made the images of; and the same images through the encoders of DCMTK and OpenJPEG."""
import collections
import concurrent.futures
import os
import subprocess

import numpy

import harness
import matrix
import pictures

WIDEST_STORED = 16  # bits that a PNG sample holds
ENCAPSULATE = ("/usr/bin/python3", os.path.join(harness.SOURCE, "tests", "samples", "encapsulate.py"))

# 8, 10, 12 and 16 bits, and colour.
NEAR_LOSSLESS = ["PAT0004/OT_DEPTHS_20240705/S0001_INTEGER/IM%04d.dcm" % n for n in (1, 3, 5)] + [
    "PAT0002/MR_HEAD_20240514/S0001_T1/IM0001.dcm", "PAT0003/US_ABDOMEN_20240603/S0001_RGB_BY_PIXEL/IM0001.dcm"]


class Pixels(harness.Case):
    def setUp(self):
        super().setUp()
        self.matrix = matrix.Matrix(self.home)

    def run_over(self, home, *flags, status=None, out=None):
        """-> {name without ending: [line of mapping.csv by frame]}, {name: line of failures.csv}"""
        out = out or self.out
        self.extract(*flags, home=home, out=out, status=status)
        rows = collections.defaultdict(list)
        for row in harness.table(out, "mapping.csv"):
            rows[self.name(row["Original DICOM file location"])].append(row)
        for found in rows.values():
            self.assertEqual([int(row["frame"]) for row in found], list(range(1, len(found) + 1)))
        return rows, {self.name(row["file"]): row for row in harness.table(out, "failures.csv")}

    @staticmethod
    def name(path):
        return os.path.splitext(os.path.basename(path))[0]

    def assertClose(self, got, wanted, tolerance, what):
        self.assertEqual(got.shape, wanted.shape, what)
        farthest = numpy.abs(got - wanted).max()
        self.assertLessEqual(farthest, tolerance, "off by %d: %s\ngot %s\nnot %s" % (
            farthest, what, got.flatten()[:12], wanted.flatten()[:12]))


class Stored(Pixels):
    def test_stored_pictures_undo_to_the_samples(self):
        rows, failures = self.run_over(self.matrix.dicom, "--PixelScaling", "stored", status=1)
        compared, refused = collections.Counter(), 0
        for name, image in self.matrix.images.items():
            with self.subTest(name):
                if image.stored > WIDEST_STORED:
                    self.assertNotIn(name, rows)
                    self.assertEqual((failures[name]["category"], failures[name]["code"]), ("3", "unsupported_pixels"))
                    refused += 1
                    continue
                self.assertNotIn(name, failures, image)
                self.assertEqual(len(rows[name]), image.frames, image)
                got = numpy.stack([pictures.undone(row, self.out) for row in rows[name]])
                self.assertClose(got, image.rendition(), 1 if image.photometric.startswith("YBR") else 0, image)
                compared[image.syntax] += 1
        print("%d images refused, compared: %s" % (refused, dict(compared)))
        self.assertEqual(refused + sum(compared.values()), len(self.matrix.images))
        self.assertEqual(set(failures), {n for n, image in self.matrix.images.items() if image.stored > WIDEST_STORED})
        self.assertEqual(len(compared), 7)
        self.assertGreater(min(compared.values()), 300)
        self.assertGreater(refused, 200)

    def test_the_png_has_as_many_bits_as_needed(self):
        rows, _ = self.run_over(self.matrix.dicom, "--PixelScaling", "stored", status=1)
        for name, image in self.matrix.images.items():
            if image.photometric.startswith("MONOCHROME") and image.stored <= WIDEST_STORED:
                _, bits = pictures.read(os.path.join(self.out, rows[name][0]["PNG location"]))
                self.assertEqual(bits, 8 if image.stored <= 8 else 16, image)


class Full(Pixels):
    def check(self, bits, *flags):
        white = (1 << bits) - 1
        rows, failures = self.run_over(self.matrix.dicom, *flags, status=0)
        self.assertEqual(failures, {})
        self.assertEqual(len(rows), len(self.matrix.images))
        wide = 0
        for name, image in self.matrix.images.items():
            with self.subTest(name):
                self.assertEqual(len(rows[name]), image.frames, image)
                for row, values in zip(rows[name], image.rendition()):
                    got, depth = pictures.read(os.path.join(self.out, row["PNG location"]))
                    wanted = pictures.full(values, white)
                    if image.photometric == "MONOCHROME1":
                        wanted = white - wanted
                    self.assertEqual(depth, bits, image)
                    self.assertClose(got, wanted, 0, image)
                    self.assertEqual((float(row["offset"]), float(row["maximum"])), (min(0, values.min()), values.max()))
                wide += image.stored > WIDEST_STORED
        self.assertGreater(wide, 200)

    def test_16_bits_equal_the_formula(self):
        self.check(16)

    def test_8_bits_equal_the_formula(self):
        self.check(8, "--is16Bit", "false")


class Encoders(Pixels):
    """Sources are the clean images, explicit little endian. Where a set is smaller, the encoder's fault is named."""

    def clean(self, takes=lambda image: True):
        return [image for image in self.matrix.images.values() if image.clean and takes(image)]

    def check(self, images, *command, more=(), at_least, tolerance=0):
        """Run `command` SOURCE TARGET `more` over the images, and compare what comes out with what went in."""
        encoding = "-".join(os.path.basename(word) for word in (*command, *more))
        folder, out = os.path.join(self.folder, encoding), self.out + encoding
        os.mkdir(folder)

        def encode(image):
            target = os.path.join(folder, image.name + ".dcm")
            done = subprocess.run([*command, image.path, target, *more], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                  text=True)
            return done.returncode == 0, "%s refuses %s: %s" % (command[0], image, done.stdout)

        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            for ok, complaint in pool.map(encode, images):
                self.assertTrue(ok, complaint)
        rows, failures = self.run_over(folder, "--PixelScaling", "stored", out=out, status=0)
        self.assertEqual(failures, {})
        for image in images:
            with self.subTest(encoding=encoding, name=image.name):
                self.assertEqual(len(rows[image.name]), image.frames, image)
                got = numpy.stack([pictures.undone(row, out) for row in rows[image.name]])
                self.assertClose(got, image.rendition(), tolerance, image)
        print("%s: %d images" % (encoding, len(images)))
        self.assertGreaterEqual(len(images), at_least)

    def test_rle(self):
        self.check(self.clean(), "dcmcrle", at_least=144)

    # dcmcjpeg 3.6.7 mixes the planes of the frames of an image of several (dcmdjpeg finds them mixed too).
    @staticmethod
    def dcmcjpeg_takes(image):
        return image.planar == 0 or image.frames == 1

    def test_jpeg_lossless_first_order(self):
        self.check(self.clean(self.dcmcjpeg_takes), "dcmcjpeg", "+e1", at_least=130)

    def test_jpeg_lossless_of_every_predictor(self):
        for predictor in range(1, 8):
            images = self.clean(self.dcmcjpeg_takes)
            usual = [image for image in images if image.stored in (8, 12, 16)]
            others = [image for image in images if image.stored not in (8, 12, 16)]
            self.check(usual + others[predictor - 1::7], "dcmcjpeg", "+el", "+sv", str(predictor), at_least=30)

    # Lossy ones scale what is not as deep as they are, and turn MONOCHROME1 round. Quality 100 leaves the rounding of the
    # discrete cosine transform there and back, and of colours too.
    def lossy(self, allocated, stored, photometric):
        return self.clean(lambda image: (image.allocated, image.stored, image.photometric, image.signed) ==
                          (allocated, stored, photometric, 0) and self.dcmcjpeg_takes(image))

    def test_jpeg_extended_of_12_bits(self):
        self.check(self.lossy(16, 12, "MONOCHROME2"), "dcmcjpeg", "+ee", "+q", "100", at_least=1, tolerance=2)

    def test_jpeg_baseline(self):
        self.check(self.lossy(8, 8, "MONOCHROME2"), "dcmcjpeg", "+eb", "+q", "100", at_least=1, tolerance=2)
        self.check(self.lossy(8, 8, "RGB"), "dcmcjpeg", "+eb", "+s4", "+q", "100", at_least=1, tolerance=4)

    def test_jpegls_lossless(self):
        self.check(self.clean(), "dcmcjpls", "+el", at_least=144)

    def test_jpegls_near_lossless(self):
        """On pictures of the sample set: dcmcjpls 3.6.7 writes beyond its buffer when it is given noise."""
        source, plain, nears = (os.path.join(self.folder, name) for name in ("set", "plain", "nears"))
        for group in ("depth", "mr", "us"):
            self.samples("--only", group, into=source)
        self.extract("--PixelScaling", "stored", home=source, out=plain)
        originals = {row["Original DICOM file location"][len(source) + 1:]: row
                     for row in harness.table(plain, "mapping.csv")}
        for deviation in (1, 2, 3):
            compared = 0
            target, out = os.path.join(nears, str(deviation)), "%s-%d" % (self.out, deviation)
            for path in NEAR_LOSSLESS:
                os.makedirs(os.path.dirname(os.path.join(target, path)), exist_ok=True)
                subprocess.run(["dcmcjpls", "+en", "+md", str(deviation), os.path.join(source, path),
                                os.path.join(target, path)], check=True)
            self.extract("--PixelScaling", "stored", home=target, out=out, status=0)
            for row in harness.table(out, "mapping.csv"):
                path = row["Original DICOM file location"][len(target) + 1:]
                wanted = pictures.undone(originals[path], plain)
                got = pictures.undone(row, out)
                self.assertClose(got, wanted, deviation, path)
                self.assertFalse((got == wanted).all(), "nothing was lost of " + path)
                compared += 1
            self.assertEqual(compared, len(NEAR_LOSSLESS))

    def test_jpeg2000_lossless(self):
        self.check(self.clean(), *ENCAPSULATE, more=("j2k-lossless",), at_least=144)

    def test_jpeg2000_in_fragments(self):
        self.check(self.clean(lambda image: image.stored in (8, 12)), *ENCAPSULATE,
                   more=("j2k-lossless", "--fragments", "2"), at_least=18)

    def test_encapsulated_in_fragments(self):
        self.check(self.clean(lambda image: image.stored in (8, 12)), *ENCAPSULATE,
                   more=("uncompressed", "--fragments", "3"), at_least=18)


if __name__ == "__main__":
    harness.main()
