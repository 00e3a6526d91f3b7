"""`PixelScaling: window` on the corpus beside the checkout (NIFFLER_SHARED names its folder): what DCMTK's dcmj2pnm shows by
the first window of the file, within 1 of 255. Exit status 77 where the corpus is not there."""
import concurrent.futures
import os
import subprocess
import sys

import numpy

import harness
import pictures

SHARED = os.environ.get("NIFFLER_SHARED", os.path.join(os.path.dirname(harness.SOURCE), "shared"))

# 8 samples of its lossy stream are 1024 of 10 bits: DCMTK cuts the bit that exceeds, and shows them black.
DIFFERENT = {"RG3_JPLY"}


class CorpusWindow(harness.Case):
    def dcmtk(self, row):
        """The picture, or None where DCMTK 3.6.7 does not take the file (JPEG 2000, damaged headers)."""
        target = os.path.join(self.folder, "dcmtk-" + os.path.basename(row["PNG location"]))
        subprocess.run(["dcmj2pnm", "+on", "-O", "+F", row["frame"], "+Wi", "1", row["Original DICOM file location"], target],
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        return pictures.read(target)[0] if os.path.exists(target) else None

    def test_the_first_window_of_the_file(self):
        dicom = os.path.join(SHARED, "dicom")
        self.extract("--PixelScaling", "window", "--is16Bit", "false", home=dicom, status=1)
        with_window = {row["file"] for row in harness.table(self.out, "metadata.csv")
                       if row["WindowCenter"] and row["PhotometricInterpretation"].startswith("MONOCHROME")}
        rows = [row for row in harness.table(self.out, "mapping.csv")
                if row["Original DICOM file location"] in with_window and int(row["frame"]) <= 2]
        compared = 0
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            for row, wanted in zip(rows, pool.map(self.dcmtk, rows)):
                name = os.path.relpath(row["Original DICOM file location"], dicom)
                if wanted is None or os.path.basename(name) in DIFFERENT:
                    continue
                with self.subTest(name):
                    got, _ = pictures.read(os.path.join(self.out, row["PNG location"]))
                    self.assertEqual(got.shape, wanted.shape)
                    self.assertLessEqual(numpy.abs(got - wanted).max(), 1)
                    compared += 1
        print("%d frames of %d with a window compared" % (compared, len(rows)))
        self.assertGreater(compared, 50)


if __name__ == "__main__":
    if not os.path.isdir(os.path.join(SHARED, "dicom")):
        print("no corpus beside the checkout (%s): not run" % SHARED)
        sys.exit(77)
    print("using the corpus in %s" % SHARED)
    harness.main()
