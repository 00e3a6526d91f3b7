"""`PixelScaling: window` against DCMTK's dcmj2pnm, frame by frame: the same window, function or table of the file gives the
same 8-bit grey, give or take 1 (DCMTK cuts what lies between two greys off, and its tables have whole entries)."""
import os
import subprocess

import numpy

import harness
import pictures

TOLERANCE = 1
FILES = "PAT0008/CT_WINDOWS_20240904/S0001_FILES"
GROUPS = "PAT0008/CT_WINDOWS_20240904/S0002_GROUPS"
TWINS = "PAT0008/CT_WINDOWS_20240904/S0003_TWINS"
CINE = "PAT0008/CT_WINDOWS_20240904/S0004_CINE/CINE.dcm"

# Files that have one window of their own, or none: then all values are shown.
OF_THE_FILE = ("SIGNED", "SLOPE", "NEGATIVE_SLOPE", "EIGHT_BITS", "WIDTH_ONE", "MONOCHROME1", "MONOCHROME1_INVERSE", "INVERSE",
               "IDENTITY", "SIGMOID", "LINEAR", "MODALITY_TABLE", "PADDING")
# Setting Window -> [(file, what dcmj2pnm is told)]. Tables are counted behind the windows.
CHOSEN = {
    "index:1": [(name, ["+Wi", "1"]) for name in OF_THE_FILE + ("SEVERAL", "WINDOW_AND_TABLES")]
    + [(name, ["+Wl", "1"]) for name in ("VOI_TABLES", "SIGNED_TABLE", "TABLE_MONOCHROME1")] + [("NO_WINDOW", ["+Wm"])],
    "index:2": [("SEVERAL", ["+Wi", "2"]), ("VOI_TABLES", ["+Wl", "2"]), ("WINDOW_AND_TABLES", ["+Wl", "1"]),
                ("TABLE_MONOCHROME1", ["+Wl", "2"])],
    "index:3": [("SEVERAL", ["+Wi", "3"]), ("WINDOW_AND_TABLES", ["+Wl", "2"])],
    "40,400": [(name, ["+Wfl", "+Ww", "40", "400"]) for name in ("SEVERAL", "SIGNED", "NEGATIVE_SLOPE", "INVERSE", "PADDING")],
    "-100.5,700.25": [(name, ["+Wfl", "+Ww", "-100.5", "700.25"]) for name in ("SEVERAL", "SLOPE", "NO_WINDOW")],
    "1500,1200": [(name, ["+Wfl", "+Ww", "1500", "1200"]) for name in ("MODALITY_TABLE", "MONOCHROME1", "VOI_TABLES")],
    "lung": [("SEVERAL", ["+Ww", "-600", "1500"])],
    "bone": [("SEVERAL", ["+Ww", "400", "1800"])],
    "brain": [("SEVERAL", ["+Ww", "40", "80"])],
    "soft-tissue": [("SEVERAL", ["+Ww", "40", "400"])],
}


class Window(harness.Case):
    def setUp(self):
        super().setUp()
        self.samples("--only", "windows")

    def shown(self, window, home=None):
        """-> {(path below the home, frame): picture in 8 bits}"""
        home, out = home or self.home, "%s-%s" % (self.out, window)
        self.extract("--PixelScaling", "window", "--Window=" + window, "--is16Bit", "false", home=home, out=out, status=0)
        found = {}
        for row in harness.table(out, "mapping.csv"):
            self.assertEqual(row["scaling"], "window")
            picture, bits = pictures.read(os.path.join(out, row["PNG location"]))
            self.assertEqual(bits, 8)
            found[row["Original DICOM file location"][len(home) + 1:], int(row["frame"])] = picture
        return found

    def dcmtk(self, path, *flags, frame=1):
        target = os.path.join(self.folder, "dcmtk.png")
        done = subprocess.run(["dcmj2pnm", "+on", "+F", str(frame), *flags, path, target], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True)
        self.assertEqual(done.returncode, 0, done.stdout)
        picture, bits = pictures.read(target)
        self.assertEqual(bits, 8)
        return picture

    def assertClose(self, got, wanted, what):
        self.assertEqual(got.shape, wanted.shape, what)
        self.assertGreater(wanted.max() - wanted.min(), 50, what)
        off = numpy.abs(got - wanted)
        at = numpy.unravel_index(off.argmax(), off.shape)
        self.assertLessEqual(off.max(), TOLERANCE, "%s: %d of %d pixels differ, at %s %d is not %d" % (
            what, (off > TOLERANCE).sum(), off.size, at, got[at], wanted[at]))

    def test_windows_functions_and_tables(self):
        for window, cases in CHOSEN.items():
            found = self.shown(window)
            for name, flags in cases:
                with self.subTest(window=window, file=name):
                    path = "%s/%s.dcm" % (FILES, name)
                    self.assertClose(found[path, 1], self.dcmtk(os.path.join(self.home, path), *flags), name)

    def test_linear_exact(self):
        """DCMTK 3.6.7 takes LINEAR for it: by the formula of PS3.3 C.11.2.1.3.2 instead."""
        got = self.shown("index:1")[FILES + "/LINEAR_EXACT.dcm", 1]
        self.extract("--PixelScaling", "stored")
        row = next(row for row in harness.table(self.out, "mapping.csv")
                   if row["Original DICOM file location"].endswith("/LINEAR_EXACT.dcm"))
        values = pictures.undone(row, self.out) - 1024
        self.assertClose(got, (((values - 40) / 400 + 0.5) * 255).clip(0, 255), "LINEAR_EXACT")

    def test_frames_of_functional_groups_are_as_their_twins(self):
        """DCMTK 3.6.7 reads no functional groups: each frame has a twin with the same numbers at the top level."""
        found, compared = self.shown("index:1"), 0
        for (path, frame), picture in found.items():
            if path.startswith(GROUPS):
                twin = "%s/%s-%d.dcm" % (TWINS, os.path.basename(path)[:-4], frame)
                self.assertClose(picture, self.dcmtk(os.path.join(self.home, twin), "+Wi", "1"), twin)
                compared += 1
        self.assertEqual(compared, 11)

    def test_frames_that_share_a_window(self):
        found = self.shown("index:1")
        for frame in (1, 2, 3):
            self.assertClose(found[CINE, frame], self.dcmtk(os.path.join(self.home, CINE), "+Wi", "1", frame=frame), frame)

    def test_the_sample_set(self):
        compared = 0
        for group in ("ct", "mr", "dx"):
            home = os.path.join(self.folder, group)
            self.samples("--ct", "2", "--only", group, into=home)
            for (path, frame), picture in self.shown("index:1", home).items():
                self.assertClose(picture, self.dcmtk(os.path.join(home, path), "+Wi", "1", frame=frame), path)
                compared += 1
        self.assertGreater(compared, 5)


if __name__ == "__main__":
    harness.main()
