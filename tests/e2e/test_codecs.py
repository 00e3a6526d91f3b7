"""Every codec through the real program: codestreams of Debian's encoders, whose samples are known, in every depth and layout
that DICOM allows; and those that must be refused."""
import os
import struct
import zlib

import numpy

import harness

import codec_files
from codec_files import cjpeg, cjxl, encode, picture, smooth

XL, XL_JPEG, XL_ANY = ".4.110", ".4.111", ".4.112"


def png_chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_of(colour_type, row, rows, frames):
    """A PNG, of several frames when there are more than one, every row the same."""
    image = zlib.compress((b"\0" + row) * rows)
    columns = len(row) // {0: 1, 6: 4}[colour_type]
    chunks = png_chunk(b"IHDR", struct.pack(">IIBBBBB", columns, rows, 8, colour_type, 0, 0, 0))
    if frames > 1:
        chunks += png_chunk(b"acTL", struct.pack(">II", frames, 0))
    for frame in range(frames):
        if frames > 1:
            chunks += png_chunk(b"fcTL", struct.pack(">IIIIIHHBB", max(0, 2 * frame - 1), columns, rows, 0, 0, 1, 10, 0, 0))
        chunks += png_chunk(b"fdAT", struct.pack(">I", 2 * frame) + image) if frame else png_chunk(b"IDAT", image)
    return b"\x89PNG\r\n\x1a\n" + chunks + png_chunk(b"IEND", b"")


class JpegXl(codec_files.Case):
    """JPEG XL, by cjxl."""

    def xl(self, pixels, bits, *options):
        return cjxl(self.folder, pixels, bits, *options)

    def test_lossless_of_every_depth(self):
        for bits in range(1, 17):
            for samples in (1, 3):
                pixels = picture(67, 41, samples, bits)
                self.add("x%d_%02d" % (samples, bits), self.xl(pixels, bits, "-d", "0", "-e", "3"), pixels, bits, XL)
        self.check()

    def test_every_value_of_every_depth(self):
        for bits in range(1, 17):
            pixels = (numpy.arange(65536) * 40503 % 2**bits).reshape(256, 256, 1)
            self.add("every%02d" % bits, self.xl(pixels, bits, "-d", "0", "-e", "1"), pixels, bits, XL)
        self.check()

    def test_lossless_in_every_layout(self):
        grey, rgb = picture(700, 530, 1, 12), picture(300, 270, 3, 8)
        for name, options in (("bare", ["--container=0"]), ("container", ["--container=1"]), ("progressive", ["-p"]),
                              ("groups", ["-g", "0"]), ("squeeze", ["-R", "1"]), ("plain", ["-C", "0", "-P", "5"])):
            options = ["-d", "0", "-e", "2", *options]
            self.add("grey_" + name, self.xl(grey, 12, *options), grey, 12, XL)
            self.add("rgb_" + name, self.xl(rgb, 8, *options), rgb, 8, XL_ANY)
        self.check()

    def test_sign_and_precision(self):
        signed = picture(61, 50, 1, 12, is_signed=True)
        self.add("signed", self.xl(signed & 4095, 12, "-d", "0"), signed, 12, XL, is_signed=True)
        grey = picture(61, 50, 1, 12)
        self.add("deep", self.xl(grey, 12, "-d", "0"), grey, 12, XL, stored=16, note="codestream precision 12, header 16")
        self.check()

    def test_lossy(self):
        for bits in (8, 12, 16):
            grey, rgb = smooth(160, 120, 1, bits), smooth(160, 120, 3, bits)
            tolerance = max(4, 2**bits // 64)
            self.add("grey%d" % bits, self.xl(grey, bits, "-d", "0.5"), grey, bits, XL_ANY, tolerance)
            self.add("rgb%d" % bits, self.xl(rgb, bits, "-d", "0.5"), rgb, bits, XL_ANY, tolerance)
            self.add("xyb%d" % bits, self.xl(rgb, bits, "-d", "0.5"), rgb, bits, XL_ANY, tolerance, photometric="XYB")
        self.check()

    def test_colour_is_rgb_whatever_the_header_says(self):
        rgb = smooth(64, 48, 3, 8)
        stream = self.xl(rgb, 8, "-d", "0")
        self.add("ybr", stream, rgb, 8, XL, photometric="YBR_FULL", note="codestream RGB, header YCbCr")
        self.add("rct", stream, rgb, 8, XL, photometric="YBR_RCT")
        self.refuse("xyb_native", bytes(64 * 48 * 3), (48, 64, 3), 8, ".1.98", 3, "XYB", photometric="XYB")
        self.check()

    def test_a_jpeg_inside(self):
        grey, rgb = smooth(150, 90, 1, 8), smooth(150, 90, 3, 8)
        for name, pixels, options in (("grey", grey, ["-grayscale"]), ("full", rgb, ["-sample", "1x1"]),
                                      ("half", rgb, ["-sample", "2x1"]), ("quarter", rgb, ["-sample", "2x2"]),
                                      ("progressive", rgb, ["-progressive"])):
            jpeg = cjpeg(self.folder, pixels, "-quality", "95", *options)
            stream = encode(self.folder, "in.jpg", jpeg, "out.jxl", "cjxl", "in.jpg", "out.jxl", "-j", "1")
            self.add(name, stream, pixels, 8, XL_JPEG, 6)
        self.check()

    def test_frames_and_padding(self):
        frames = [picture(40, 30, 1, 8), smooth(40, 30, 1, 8), picture(40, 30, 1, 8)[::-1]]
        for name, options in (("bare", ["--container=0"]), ("container", ["--container=1"])):
            streams = [self.xl(pixels, 8, "-d", "0", *options) for pixels in frames]
            self.write("three_" + name, [stream + bytes(i + 1) for i, stream in enumerate(streams)], (30, 40, 1), 8, XL)
            for tail in range(3):
                self.add("%s_%d" % (name, tail), streams[0] + bytes(tail), frames[0], 8, XL)
        self.extract("--PixelScaling", "stored", status=0)
        rows = [row for row in harness.table(self.out, "mapping.csv")]
        three = [row for row in rows if "three" in row["Original DICOM file location"]]
        self.assertEqual([row["frame"] for row in three], ["1", "2", "3"] * 2)
        for i, row in enumerate(three):
            self.compare("frame", row, frames[i % 3], 0)
        self.assertEqual(len(rows), 12)

    def test_refusals(self):
        grey = picture(32, 16, 1, 8)
        stream, boxed = self.xl(grey, 8, "-d", "0", "--container=0"), self.xl(grey, 8, "-d", "0", "--container=1")
        shape = grey.shape
        floats = b"Pf\n32 16\n-1.0\n" + numpy.linspace(0, 1, 512).astype("<f4").tobytes()
        self.refuse("float", encode(self.folder, "in.pfm", floats, "out.jxl", "cjxl", "in.pfm", "out.jxl", "-d", "0"), shape,
                    16, XL, 3, "floating-point")
        for name, content, words in (("alpha", png_of(6, bytes(range(64)) * 2, 16, 1), "more channels"),
                                     ("animation", png_of(0, bytes(range(32)), 16, 3), "several frames")):
            made = encode(self.folder, "in.png", content, "out.jxl", "cjxl", "in.png", "out.jxl", "-d", "0")
            self.refuse(name, made, (16, 32, 3) if name == "alpha" else shape, 8, XL, 3, words)
        self.refuse("deep", encode(self.folder, "in.pfm", floats, "out.jxl", "cjxl", "in.pfm", "out.jxl", "-d", "0",
                                   "--override_bitdepth=24"), shape, 16, XL, 3, "more than 16 bits")
        self.refuse("rows", stream, (17, 32, 1), 8, XL, 2, "16 x 32 x 1 samples, the header says 17 x 32 x 1")
        self.refuse("columns", boxed, (16, 31, 1), 8, XL, 2, "the header says 16 x 31 x 1")
        self.refuse("samples", stream, (16, 32, 3), 8, XL, 2, "the header says 16 x 32 x 3")
        self.refuse("other", b"\xff\xd8\xff\xe0" + bytes(60), shape, 8, XL, 3, "no JPEG XL codestream")
        self.refuse("short", stream[:len(stream) // 2 & ~1], shape, 8, XL, 2, "ends early")
        self.refuse("start", stream[:2], shape, 8, XL, 2, "ends early")
        self.refuse("boxed_short", boxed[:40], shape, 8, XL, 2, "ends early")
        self.check()

    def test_the_transfer_syntax_is_guessed(self):
        grey = picture(32, 16, 1, 8)
        for name, options in (("bare", "--container=0"), ("container", "--container=1")):
            self.write(name, [self.xl(grey, 8, "-d", "0", options)], grey.shape, 8, XL)
            path = os.path.join(self.home, name + ".dcm")
            content = harness.read_bytes(path)
            length = struct.unpack_from("<I", content, 140)[0]
            with open(path, "wb") as file:
                file.write(content[144 + length:])
            self.expect(name, grey, note="transfer syntax guessed")
        self.check()


if __name__ == "__main__":
    harness.main()
