"""What the PNGs of `extract` hold besides the scaled samples: chunks, and overlays."""
import os
import struct
import unittest
import zlib

import dicom_files
import harness
from test_outputs import read_png

SPACING = dicom_files.element(0x00280030, "DS", "0.5\\0.7")
COMPATIBILITY = ("--Compatibility", "niffler", "--Depth", "-1")


def chunks(path):
    """Name -> data of all chunks, in the order of the file."""
    data, at, found = harness.read_bytes(path), 8, {}
    while at < len(data):
        length, name = struct.unpack(">I4s", data[at:at + 8])
        found[name.decode("ascii")] = data[at + 8:at + 8 + length]
        at += 12 + length
    return found


class Pictures(harness.Case):
    def write(self, name, content):
        os.makedirs(self.home, exist_ok=True)
        with open(os.path.join(self.home, name), "wb") as file:
            file.write(content)

    def pictures(self, *flags):
        """Extract into a new folder -> [path of the PNG], [pixel_notes], in the order of mapping.csv."""
        out = os.path.join(self.folder, "out%d" % len(os.listdir(self.folder)))
        self.extract(*flags, out=out, status=0)
        rows = harness.table(out, "mapping.csv")
        return [os.path.join(out, row["PNG location"]) for row in rows], [row["pixel_notes"] for row in rows]

    def pixels(self, *flags):
        """The samples of the first picture, and its notes."""
        paths, notes = self.pictures(*flags)
        return read_png(paths[0])[4], notes[0]


class Chunks(Pictures):
    def test_spacing_and_bits_of_the_samples(self):
        self.samples("--only", "ct")
        self.extract(status=0)
        bits = {row["file"]: int(row["BitsStored"]) for row in harness.table(self.out, "metadata.csv")}
        self.assertEqual(set(bits.values()), {12, 16})
        for row in harness.table(self.out, "mapping.csv"):
            found = chunks(os.path.join(self.out, row["PNG location"]))
            stored = bits[row["Original DICOM file location"]]
            self.assertEqual(list(found), ["IHDR", *(["sBIT"] if stored < 16 else []), "pHYs", "IDAT", "IEND"])
            self.assertEqual(found.get("sBIT", b"\x10"), bytes([stored]))
        for path in self.pictures("--PixelScaling", "stored")[0]:
            self.assertEqual(list(chunks(path)), ["IHDR", "pHYs", "IDAT", "IEND"])

    def test_pictures_of_compatibility_hold_samples_only(self):
        self.samples()
        self.write("colour.dcm", dicom_files.image(
            1, 2, bytes(range(6)), bits=8, samples=3,
            after=SPACING + dicom_files.element(0x00282000, "OB", dicom_files.profile())))
        self.write("overlay.dcm", dicom_files.image(
            1, 2, b"\0\0\1\0", stored=12, after=SPACING + dicom_files.overlay(0x6000, 1, 2, "##")))
        burnt, plain = self.out + "-burnt", self.out + "-plain"
        self.extract(*COMPATIBILITY, "--Overlays", "burn", out=burnt)
        self.extract(*COMPATIBILITY, out=plain)
        folder = os.path.join(burnt, "extracted-images")
        paths = [os.path.join(path, name) for path, _, names in os.walk(folder) for name in names]
        self.assertGreater(len(paths), 40)
        for path in paths:
            self.assertEqual(list(chunks(path)), ["IHDR", "IDAT", "IEND"], path)
            self.assertEqual(harness.read_bytes(path),
                             harness.read_bytes(plain, os.path.relpath(path, burnt)), path)

    def test_pixels_that_are_not_square(self):
        self.write("a.dcm", dicom_files.image(1, 2, b"\0\0\1\0", after=SPACING))
        paths, notes = self.pictures()
        self.assertEqual(chunks(paths[0])["pHYs"], struct.pack(">IIB", 1429, 2000, 1))
        self.assertEqual(notes, ["pixels not square: 0.5 x 0.7 mm"])

    def test_spacing_in_functional_groups(self):
        measures = dicom_files.element(0x00289110, "SQ", [dicom_files.element(0x00280030, "DS", "2\\2")])
        self.write("a.dcm", dicom_files.image(1, 2, b"\0\0\1\0" * 2, frames=2,
                                              after=dicom_files.element(0x52009229, "SQ", [measures])))
        paths, _ = self.pictures()
        self.assertEqual([chunks(path)["pHYs"] for path in paths], [struct.pack(">IIB", 500, 500, 1)] * 2)

    def test_profile(self):
        icc = dicom_files.profile()
        in_path = dicom_files.element(0x00480105, "SQ", [dicom_files.element(0x00282000, "OB", icc)])
        places = {"a.dcm": dicom_files.element(0x00282000, "OB", icc), "b.dcm": in_path}
        for name, place in places.items():
            self.write(name, dicom_files.image(1, 2, bytes(range(12)), bits=8, samples=3, frames=2, after=place))
        self.write("c.dcm", dicom_files.image(1, 2, bytes(range(6)), bits=8, samples=3,
                                              after=dicom_files.element(0x00282000, "OB", icc[:100])))
        paths, notes = self.pictures()
        self.assertEqual(len(paths), 5)
        for path in paths[:4]:
            self.assertEqual(list(chunks(path)), ["IHDR", "sBIT", "iCCP", "IDAT", "IEND"])
            name, rest = chunks(path)["iCCP"].split(b"\0", 1)
            self.assertEqual((name, rest[0], zlib.decompress(rest[1:])), (b"ICC profile", 0, icc))
        self.assertNotIn("iCCP", chunks(paths[4]))
        self.assertEqual(notes, [""] * 4 + ["left out: an ICC profile of 100 bytes"])


class Overlays(Pictures):
    BLACK = struct.pack("<12H", *([0] * 11 + [1000]))  # 3 x 4; the last pixel is white by itself

    def test_burned_in_on_demand_only(self):
        planes = (dicom_files.overlay(0x6000, 2, 3, "##..##", origin=(0, 1)) +
                  dicom_files.overlay(0x601E, 1, 1, "#", origin=(3, 1)))
        self.write("a.dcm", dicom_files.image(3, 4, self.BLACK, after=planes))
        plain, notes = self.pixels()
        self.assertEqual((plain, notes), (bytes(22) + b"\xff\xff", ""))
        burnt, notes = self.pixels("--Overlays", "burn")
        white = {1, 2, 8, 11}
        self.assertEqual(burnt, b"".join(b"\xff\xff" if at in white else b"\0\0" for at in range(12)))
        self.assertEqual(notes, "overlays burned in: 2")
        stored, notes = self.pixels("--Overlays", "burn", "--PixelScaling", "stored")
        self.assertEqual((stored, notes), (bytes(22) + b"\x03\xe8", ""))

    def test_in_colour_and_in_the_containers(self):
        self.write("a.dcm", dicom_files.image(1, 2, bytes((0, 0, 0, 9, 9, 9)), bits=8, samples=3,
                                              after=dicom_files.overlay(0x6000, 1, 1, "#")))
        bit = dicom_files.element(0x60000100, "US", [16]) + dicom_files.element(0x60000102, "US", [13])
        self.write("b.dcm", dicom_files.image(1, 3, struct.pack("<3H", 0x2000, 0xC000, 100), stored=12,
                                              after=dicom_files.overlay(0x6000, 1, 3, None, more=bit)))
        paths, notes = self.pictures("--Overlays", "burn", "--is16Bit", "false")
        self.assertEqual([read_png(path)[4] for path in paths], [b"\xff" * 6, b"\xff\0\xff"])
        self.assertEqual(notes, ["overlays burned in: 1"] * 2)
        paths, _ = self.pictures("--is16Bit", "false")
        self.assertEqual([read_png(path)[4] for path in paths], [b"\0\0\0\xff\xff\xff", b"\0\0\xff"])

    def test_white_behind_the_inversion(self):
        content = dicom_files.image(1, 3, struct.pack("<3H", 0, 1000, 1000),
                                    after=dicom_files.overlay(0x6000, 1, 2, ".#"))
        self.write("a.dcm", content.replace(b"MONOCHROME2", b"MONOCHROME1"))
        self.assertEqual(self.pixels("--Overlays", "burn")[0], b"\xff\xff\xff\xff\0\0")


if __name__ == "__main__":
    harness.main()
