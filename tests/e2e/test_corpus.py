"""The corpus beside the checkout, where there is one (NIFFLER_SHARED names its folder): the drop-in proof against what
Niffler itself gave, and every pixel against the reference. Exit status 77 where it is not there."""
import os
import subprocess
import sys

import harness

SHARED = os.environ.get("NIFFLER_SHARED", os.path.join(os.path.dirname(harness.SOURCE), "shared"))


class Corpus(harness.Case):
    def tool(self, *arguments):
        done = subprocess.run(["/usr/bin/python3", *arguments], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stdout[-4000:] + done.stderr[-2000:])
        print(done.stdout.split("\n\n")[0])

    def test_compatibility_gives_what_niffler_gave(self):
        subprocess.run([os.path.join(SHARED, "tools", "stage_corpus.sh"), self.home], check=True)
        self.extract("--Compatibility", "niffler", "--FlattenedToLevel", "series", "--PublicHeadersOnly", "true",
                     "--is16Bit", "true", "--Depth", "0", status=1)
        self.assertEqual(len(harness.table(self.out, "metadata.csv")), 372)
        self.tool(os.path.join(SHARED, "tools", "niffler_diff.py"), os.path.join(SHARED, "niffler-golden", "dev.jsonl"),
                  self.out, "--expected", os.path.join(harness.SOURCE, "tests", "e2e", "niffler_differences.tsv"))

    def test_the_default_mode_has_a_row_for_each_file_and_the_reference_pixels(self):
        dicom = os.path.join(SHARED, "dicom")
        done = self.extract("--PixelScaling", "stored", home=dicom, status=1)
        found, converted, no_image, ignored, failed = harness.ledger(done.stdout)
        self.assertEqual((found, ignored), (372, 0))
        self.assertEqual(found, converted + no_image + ignored + failed)
        self.assertEqual(len(harness.table(self.out, "metadata.csv")), 372)
        manifest = os.path.join(self.out, "manifest.tsv")
        with open(manifest, "w", encoding="utf-8") as file:
            for row in harness.table(self.out, "mapping.csv"):
                file.write("%s\t%s\t%s\n" % (os.path.relpath(row["Original DICOM file location"], dicom), row["frame"],
                                             row["PNG location"]))
        self.tool(os.path.join(SHARED, "tools", "compare_pixels.py"), manifest, "--allow-missing")


if __name__ == "__main__":
    if not os.path.isdir(os.path.join(SHARED, "dicom")):
        print("no corpus beside the checkout (%s): not run" % SHARED)
        sys.exit(77)
    print("using the corpus in %s" % SHARED)
    harness.main()
