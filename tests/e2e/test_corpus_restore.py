"""A stored PNG and its line of mapping.csv give back the exact samples: for every lossless frame of the corpus beside the
checkout (NIFFLER_SHARED names its folder), by the digests of independent decoders. Exit status 77 where it is not there."""
import collections
import hashlib
import json
import os
import sys

import numpy

import harness
import pictures

SHARED = os.environ.get("NIFFLER_SHARED", os.path.join(os.path.dirname(harness.SOURCE), "shared"))

# Files made to break parsers, of which no picture comes.
NOT_READ = {
    "TC0265_depth_100.dcm": "sequences nested deeper than the limit",
    "TC0391_meta_glen_zero.dcm": "a broken meta header, which DCMTK alone gets past",
    "TC0397_meta_glen_huge.dcm": "the same",
    "TC0547_meta_0003_vr_7371.dcm": "the same",
}


def digest(values, dtype):
    """Of the samples as little endian `dtype`; None where they do not fit it."""
    bounds = numpy.iinfo(dtype)
    if values.min() < bounds.min or values.max() > bounds.max:
        return None
    return hashlib.sha256(values.astype(numpy.dtype(dtype).newbyteorder("<")).tobytes()).hexdigest()


class CorpusRestore(harness.Case):
    def references(self):
        """-> {(path, frame): what the independent decoders found}, of lossless frames that nobody contests"""
        with open(os.path.join(SHARED, "reference-pixels", "reference.jsonl"), encoding="utf-8") as file:
            found = [json.loads(line) for line in file]
        return {(r["path"], r["frame"]): r for r in found if r["lossless"] and not r["contested"]}

    @staticmethod
    def fits_a_png(reference):
        return not reference["dtype"].startswith("float") and reference["max"] - min(0, reference["min"]) <= 65535

    def test_every_lossless_frame_has_its_samples_back(self):
        dicom = os.path.join(SHARED, "dicom")
        self.extract("--PixelScaling", "stored", home=dicom, status=1)
        references, counts, wrong = self.references(), collections.Counter(), []
        for row in harness.table(self.out, "mapping.csv"):
            path = os.path.relpath(row["Original DICOM file location"], dicom)
            reference = references.pop((path, int(row["frame"])), None)
            if reference is None:
                counts["lossy, contested or not in the reference"] += 1
                continue
            is_colour = "rgb_sha256" in reference
            wanted = ("rgb_sha256", "rgb_dtype") if is_colour else ("sha256", "dtype")
            values = pictures.undone(row, self.out)
            if digest(values, reference[wanted[1]]) == reference[wanted[0]]:
                counts["RGB" if is_colour else "grey"] += 1
            else:
                wrong.append("%s frame %s: %s, %d..%d" % (path, row["frame"], row["pixel_notes"], values.min(), values.max()))
        missing = {key for key, reference in references.items() if self.fits_a_png(reference)}
        counts["no PNG holds them"] = len(references) - len(missing)
        counts["not read"] = len(missing)
        print("restored: %s" % dict(counts))
        self.assertEqual(wrong, [])
        self.assertEqual({os.path.basename(path) for path, _ in missing} - set(NOT_READ), set())
        self.assertGreater(counts["grey"], 450)
        self.assertGreater(counts["RGB"], 200)


if __name__ == "__main__":
    if not os.path.isdir(os.path.join(SHARED, "dicom")):
        print("no corpus beside the checkout (%s): not run" % SHARED)
        sys.exit(77)
    print("using the corpus in %s" % SHARED)
    harness.main()
