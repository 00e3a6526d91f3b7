"""The corpus beside the checkout, where there is one (NIFFLER_SHARED names its folder): the drop-in proof against what
Niffler itself gave, and every pixel against the reference. Exit status 77 where it is not there."""
import os
import subprocess
import sys

import harness

SHARED = os.environ.get("NIFFLER_SHARED", os.path.join(os.path.dirname(harness.SOURCE), "shared"))


DICOM = os.path.join(SHARED, "dicom")

# Why each is right: pixel_decisions.md.
TWINS = {
    "TC0277_missing_delim.dcm": "TC0289_buf_10x.dcm",
    "TC0475_meta_0001_vr_5a5a.dcm": "TC0289_buf_10x.dcm",
    "TC1141_oob_len_len_2GB.dcm": "TC0289_buf_10x.dcm",
    "TC1147_oob_len_len_64KB.dcm": "TC0289_buf_10x.dcm",
    "TC1153_odd_len_len7.dcm": "TC0289_buf_10x.dcm",
    "/JPEG2000-embedded-sequence-delimiter.dcm": "/JPEG2000.dcm",
    "/emri_small_jpeg_2k_lossless_too_short.dcm": "/emri_small.dcm",
}
HIDDEN = "encapsulated under a transfer syntax without compression;"
PARTS = {
    "MR_truncated.dcm": "truncated: 8130 of 8192 bytes",
    "TC0709_encap_frag_len_maxuint.dcm": HIDDEN + "truncated: 64 of 8192 bytes",
    "TC0721_encap_frag_len_int_max.dcm": HIDDEN + "truncated: 32 of 8192 bytes",
    "TC0847_rle_seg_offset_oob.dcm": "the first RLE segment's place overruled;truncated: 32 of 8192 bytes",
    "TC0853_rle_15seg_short_data.dcm": "more RLE segments than samples need;truncated: 4 of 8192 bytes",
    "TC0949_ect_65535_frames_1pfg.dcm": "truncated: 64 of 8192 bytes",  # frame 1; the row is a failure for the others
    "TC0973_px_1024sq_64b.dcm": "truncated: 64 of 2097152 bytes",
    "TC0985_px_wide_1x32768.dcm": "truncated: 4 of 65536 bytes",
}


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

    def convert(self, converted, *flags):
        """Run over the whole corpus, of which so many files must convert -> rows of mapping.csv."""
        done = self.extract(*flags, home=DICOM, status=1)
        found, *kinds = harness.ledger(done.stdout)
        self.assertEqual((found, kinds[0]), (372, converted))
        self.assertEqual(found, sum(kinds))
        self.assertEqual(len(harness.table(self.out, "metadata.csv")), 372)
        return harness.table(self.out, "mapping.csv")

    def pictures(self, rows, name):
        """The PNGs of the file that ends with `name`, by frame."""
        found = [harness.read_bytes(self.out, row["PNG location"]) for row in rows
                 if row["Original DICOM file location"].endswith(name)]
        self.assertTrue(found, name)
        return found

    def test_by_default_every_file_with_a_whole_picture_converts(self):
        self.convert(292)

    def test_all_stored_samples_are_those_of_the_reference(self):
        rows = self.convert(283, "--PixelScaling", "stored")  # the 9 others of 292 have no PNG that holds their samples
        manifest = os.path.join(self.out, "manifest.tsv")
        with open(manifest, "w", encoding="utf-8") as file:
            for row in rows:
                file.write("%s\t%s\t%s\n" % (os.path.relpath(row["Original DICOM file location"], DICOM), row["frame"],
                                             row["PNG location"]))
        self.tool(os.path.join(SHARED, "tools", "compare_pixels.py"), manifest)
        # Files that no decoder of the reference opens, and others that hold the same picture.
        for name, twin in TWINS.items():
            self.assertEqual(self.pictures(rows, name), self.pictures(rows, twin), name)

    def test_with_allow_truncated_parts_of_pictures_convert_and_say_so(self):
        rows = self.convert(299, "--AllowTruncated", "true")
        parts = {os.path.basename(row["Original DICOM file location"]): row["pixel_notes"] for row in rows
                 if "truncated" in row["pixel_notes"] or "ends early" in row["pixel_notes"]}
        self.assertEqual(parts, PARTS)


if __name__ == "__main__":
    if not os.path.isdir(DICOM):
        print("no corpus beside the checkout (%s): not run" % SHARED)
        sys.exit(77)
    print("using the corpus in %s" % SHARED)
    harness.main()
