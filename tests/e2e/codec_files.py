"""What the tests of the codecs share: pictures with known samples, Debian's encoders, DICOM files around the codestreams, and
a comparison of the stored samples with what `extract` makes of the files."""
import os
import struct
import subprocess
import sys

import numpy
import png

import harness

sys.path.insert(0, os.path.join(harness.SOURCE, "tests", "samples"))
import encapsulate  # noqa: E402  (the path comes first)

UIDS = "1.2.840.10008.1.2"
SC_CLASS = "1.2.840.10008.5.1.4.1.1.7"
SOP_CLASS, SOP_INSTANCE, STUDY, SERIES, PATIENT = 0x00080016, 0x00080018, 0x0020000D, 0x0020000E, 0x00100020
HIGH_BIT = 0x00280102


def picture(columns, rows, samples, bits, is_signed=False):
    """rows x columns x samples: slopes, edges and noise, with the lowest and the highest value among them."""
    most = 2**bits - 1
    y, x = numpy.mgrid[0:rows, 0:columns]
    planes = []
    for sample in range(samples):
        noise = numpy.random.RandomState(bits * 8 + sample).randint(0, most // 8 + 2, (rows, columns))
        slope = (x * (sample + 1) + y * 2) * most // (columns * (sample + 1) + rows * 2)
        plane = numpy.where((x // 16 + y // 8 + sample) % 3 == 0, most - slope, slope) + noise
        plane[0, :2], plane[-1, -2:] = (0, most), (most, 0)
        planes.append(numpy.clip(plane, 0, most))
    pixels = numpy.stack(planes, axis=-1).astype(numpy.int64)
    return pixels - 2**(bits - 1) if is_signed else pixels


def smooth(columns, rows, samples, bits):
    """The same without edges and noise: what lossy codecs keep well."""
    most = 2**bits - 1
    y, x = numpy.mgrid[0:rows, 0:columns]
    planes = [(x * (3 - s) + y * (1 + s)) * most // (columns * (3 - s) + rows * (1 + s)) for s in range(samples)]
    return numpy.stack(planes, axis=-1).astype(numpy.int64)


def sector(columns, rows, number):
    """A frame of a colour ultrasound: a sector of speckle that moves with `number`, on black, and a box of colour in it."""
    y, x = numpy.mgrid[0:rows, 0:columns]
    depth = numpy.hypot(x - columns / 2, y)
    inside = (abs(x - columns / 2) < y * 0.8) & (depth < rows * 0.95)
    speckle = numpy.random.RandomState(number).randint(0, 80, (rows // 3 + 1, columns // 3 + 1)).repeat(3, 0).repeat(3, 1)
    grey = numpy.where(inside, 40 + speckle[:rows, :columns] + 60 * numpy.sin(depth / 23 + number / 5), 0).clip(0, 255)
    flow = inside & (abs(x - columns / 2) < 60) & (abs(y - rows / 2) < 50)
    return numpy.stack([numpy.where(flow, 200, grey), grey, numpy.where(flow, grey / 2, grey)], -1).astype(numpy.int64)


def run(folder, *command):
    done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if done.returncode != 0:
        raise AssertionError("%s: %s" % (" ".join(command), done.stdout.decode(errors="replace")))


def encode(folder, name, content, output, *command):
    """Run an encoder on a file `name` with `content`; the bytes of its `output`."""
    with open(os.path.join(folder, name), "wb") as file:
        file.write(content)
    run(folder, *command)
    result = harness.read_bytes(folder, output)
    os.unlink(os.path.join(folder, output))
    return result


def pnm(pixels, bits):
    """PGM or PPM of unsigned samples."""
    rows, columns, samples = pixels.shape
    kind = {1: "P5", 3: "P6"}[samples]
    return b"%s %d %d %d\n" % (kind.encode(), columns, rows, 2**bits - 1) + pixels.astype(">u2" if bits > 8 else "u1").tobytes()


def little(pixels, bits):
    return pixels.astype({1: "u1", 2: "<u2", 4: "<u4"}[1 if bits <= 8 else 2 if bits <= 16 else 4]).tobytes()


def by_plane(pixels, bits):
    return little(numpy.moveaxis(pixels, 2, 0), bits)


def cjxl(folder, pixels, bits, *options):
    """cjxl takes samples for stretched to the whole of a byte or a word, and is told what they were."""
    name, whole = "in.ppm" if pixels.shape[2] == 3 else "in.pgm", 8 if bits <= 8 else 16
    stretched = (pixels * (2**whole - 1) * 2 // (2**bits - 1) + 1) // 2
    return encode(folder, name, pnm(stretched, whole), "out.jxl", "cjxl", name, "out.jxl", "--override_bitdepth=%d" % bits,
                  *options)


def cjpeg(folder, pixels, *options):
    return encode(folder, "in.pnm", pnm(pixels, 8), "out.jpg", "cjpeg", *options, "-outfile", "out.jpg", "in.pnm")


def opj(folder, pixels, bits, *options, is_signed=False, ending="j2k", planes=None, spacing=""):
    """By opj_compress, which refuses a width, height, depth and number of components that share a binary digit.
    `planes` instead of all samples, where `spacing` says which are left out."""
    rows, columns, samples = pixels.shape
    shape = "%d,%d,%d,%d,%s%s" % (columns, rows, samples, bits, "s" if is_signed else "u", spacing)
    content = by_plane(pixels, bits) if planes is None else b"".join(little(plane, bits) for plane in planes)
    return encode(folder, "in.rawl", content, "out." + ending, "opj_compress", "-i", "in.rawl", "-o",
                  "out." + ending, "-F", shape, *options)


def ojph(folder, pixels, bits, *options, is_signed=False):
    """By ojph_compress, lossless unless the options say otherwise."""
    samples = pixels.shape[2]
    options = ("-reversible", "true") + options if "-reversible" not in options else options
    if is_signed:
        # It reads signed samples as unsigned ones. In the stream the two differ by the sign bit of Ssiz and by the level
        # that is taken off the samples before they are coded (ISO/IEC 15444-1 Annex G.1).
        stream = bytearray(ojph(folder, pixels + 2**(bits - 1), bits, *options))
        depths = stream.index(b"\xff\x51") + 40
        for component in range(samples):
            stream[depths + 3 * component] |= 0x80
        return bytes(stream)
    name = "in.ppm" if samples == 3 else "in.pgm"
    return encode(folder, name, pnm(pixels, bits), "out.j2c", "ojph_compress", "-i", name, "-o", "out.j2c", *options)


def elements_of(shape, bits, syntax, is_signed=False, photometric=None, stored=None, frames=1):
    """The elements of a small Secondary Capture without its pixel data."""
    rows, columns, samples = shape
    elements = {}
    # UIDs need not differ: files are told apart by their paths.
    for tag, text in ((0x00020002, SC_CLASS), (0x00020003, "2.25.3"), (encapsulate.TRANSFER_SYNTAX, UIDS + syntax),
                      (SOP_CLASS, SC_CLASS), (SOP_INSTANCE, "2.25.3"), (STUDY, "2.25.1"), (SERIES, "2.25.2")):
        encapsulate.put(elements, tag, b"UI", text)
    encapsulate.put(elements, 0x00020001, b"OB", b"\0\1")
    encapsulate.put(elements, PATIENT, b"LO", "CODEC")
    encapsulate.put(elements, encapsulate.PHOTOMETRIC, b"CS", photometric or ("RGB" if samples == 3 else "MONOCHROME2"))
    encapsulate.put(elements, encapsulate.FRAMES, b"IS", str(frames))
    stored = stored or bits
    allocated = 8 if stored <= 8 else 16 if stored <= 16 else 32
    for tag, value in ((encapsulate.SAMPLES, samples), (encapsulate.ROWS, rows), (encapsulate.COLUMNS, columns),
                       (encapsulate.ALLOCATED, allocated), (encapsulate.STORED, stored), (HIGH_BIT, stored - 1),
                       (encapsulate.SIGNED, int(is_signed))):
        encapsulate.put(elements, tag, b"US", struct.pack("<H", value))
    if samples == 3:
        encapsulate.put(elements, encapsulate.PLANAR, b"US", struct.pack("<H", 0))
    return elements


def write_encapsulated(path, streams, shape, bits, syntax, **more):
    elements = elements_of(shape, bits, syntax, frames=more.pop("frames", len(streams)), **more)
    elements[encapsulate.PIXELS] = (b"OB", None, encapsulate.items(streams, 1))
    encapsulate.write(path, elements)


def write_native(path, pixels, bits, **more):
    elements = elements_of(pixels.shape, bits, ".1", **more)
    body = little(pixels, more.get("stored") or bits)
    encapsulate.put(elements, encapsulate.PIXELS, b"OW", body + bytes(len(body) % 2))
    encapsulate.write(path, elements)


class Case(harness.Case):
    """Files are added with what is expected of them; check() runs `extract` once and compares."""

    def setUp(self):
        super().setUp()
        os.mkdir(self.home)
        self.expected, self.refused = {}, {}

    def write(self, name, streams, shape, bits, syntax, **more):
        write_encapsulated(os.path.join(self.home, name + ".dcm"), streams, shape, bits, syntax, **more)

    def add(self, name, stream, pixels, bits, syntax, tolerance=0, note="", **more):
        """A file that must give `pixels`, within `tolerance`, and pixel_notes of `note`."""
        self.write(name, [stream], pixels.shape, bits, syntax, **more)
        self.expect(name, pixels, tolerance, note)

    def expect(self, name, pixels, tolerance=0, note=""):
        self.expected[name] = (pixels, tolerance, note)

    def refuse(self, name, stream, shape, bits, syntax, category, words, **more):
        """A file that must be refused, with `words` in the reason."""
        self.write(name, [stream], shape, bits, syntax, **more)
        self.refused[name] = (category, words)

    def by_dcmtk(self, name, pixels, bits, *command, tolerance=0, note="", **more):
        """A file that one of DCMTK's encoders makes."""
        source = os.path.join(self.folder, name + ".native")
        write_native(source, pixels, bits, **more)
        run(self.folder, command[0], *command[1:], source, os.path.join(self.home, name + ".dcm"))
        self.expect(name, pixels, tolerance, note)

    def check(self):
        self.extract("--PixelScaling", "stored", status=1 if self.refused else 0)
        found = {self.name_of(row["Original DICOM file location"]): row for row in harness.table(self.out, "mapping.csv")}
        self.assertEqual(sorted(found), sorted(self.expected), self.reasons())
        for name, (pixels, tolerance, note) in self.expected.items():
            with self.subTest(name):
                self.compare(name, found[name], pixels, tolerance)
                self.assertEqual(found[name]["pixel_notes"], note)
        failures = {self.name_of(row["file"]): row for row in harness.table(self.out, "failures.csv")}
        self.assertEqual(sorted(failures), sorted(self.refused), self.reasons())
        for name, (category, words) in self.refused.items():
            with self.subTest(name):
                self.assertEqual(failures[name]["category"], str(category), failures[name]["reason"])
                self.assertIn(words, failures[name]["reason"])

    def reasons(self):
        return "".join("\n%s: %s" % (row["file"], row["reason"]) for row in harness.table(self.out, "failures.csv"))

    @staticmethod
    def name_of(path):
        return os.path.splitext(os.path.basename(path))[0]

    def picture_of(self, row):
        columns, rows, values, _ = png.Reader(filename=os.path.join(self.out, row["PNG location"])).read()
        return numpy.array([list(line) for line in values], dtype=numpy.int64).reshape(rows, columns, -1)

    def compare(self, name, row, pixels, tolerance):
        got = self.picture_of(row)
        self.assertEqual(got.shape, pixels.shape)
        worst = int(numpy.abs(got + int(float(row["offset"])) - pixels).max())
        self.assertLessEqual(worst, tolerance, "%s differs by up to %d" % (name, worst))
