"""The contact sheet (tests/tools/contact_sheet.py) has a tile of each kind of the sample set, and none is empty."""
import os
import subprocess

import harness
import pictures

TOOL = os.path.join(harness.SOURCE, "tests", "tools", "contact_sheet.py")
CELL, GAP = 68, 4


class ContactSheet(harness.Case):
    def test_a_tile_of_each_kind(self):
        self.samples("--ct", "2")
        self.extract("--is16Bit", "false")
        sheet = os.path.join(self.folder, "sheet.png")
        done = subprocess.run(["/usr/bin/python3", TOOL, self.out, sheet, "--size", str(CELL - GAP)], check=True,
                              stdout=subprocess.PIPE, text=True)
        lines = [line.split("\t") for line in done.stdout.splitlines()]
        kinds = {line[3] for line in lines}
        self.assertEqual(len(kinds), len(lines))
        self.assertGreater(len(lines), 20)
        for part in ("1.2.840.10008.1.2.5 RGB 8 8 0 1", "1.2.840.10008.1.2.2 MONOCHROME2 16 12 0 -", "- MONOCHROME2 16 12 0 -",
                     "1.2.840.10008.1.2.1 YBR_FULL_422 8 8 0 0", "1.2.840.10008.1.2.1 MONOCHROME1 16 12 0 -"):
            self.assertIn(part, kinds)
        picture, bits = pictures.read(sheet)
        self.assertEqual((bits, picture.shape[2]), (8, 3))
        for number, down, right, _, _, path in lines:
            self.assertTrue(os.path.exists(path))
            top, left = (int(down) - 1) * CELL + GAP, (int(right) - 1) * CELL + GAP
            tile = picture[top:top + 8, left:left + 8]
            self.assertTrue((tile != picture[0, 0]).any(axis=2).all(), "tile %s has no picture: %s" % (number, path))
            whole = picture[top:top + CELL - GAP, left:left + CELL - GAP]
            self.assertGreater(len({tuple(pixel) for pixel in whole.reshape(-1, 3).tolist()}), 2, path)


if __name__ == "__main__":
    harness.main()
