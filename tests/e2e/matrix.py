"""The matrix of samples (tests/samples/sample_matrix.h): its lines, and what each picture of it must hold."""
import csv
import os
import subprocess

import numpy

import harness
import pictures


class Matrix:
    def __init__(self, folder):
        """Make it in `folder`; `dicom` is the folder of the images."""
        subprocess.run([harness.SAMPLES, folder, "--matrix"], check=True, stdout=subprocess.DEVNULL)
        self.folder = folder
        self.dicom = os.path.join(folder, "dicom")
        with open(os.path.join(folder, "matrix.tsv"), newline="", encoding="utf-8") as file:
            self.images = {line["name"]: Image(folder, line) for line in csv.DictReader(file, delimiter="\t")}


class Image:
    NUMBERS = ("frames", "rows", "columns", "samples", "allocated", "stored", "high_bit", "signed", "planar", "clean")

    def __init__(self, folder, line):
        self.folder, self.name, self.line = folder, line["name"], line
        for name in self.NUMBERS:
            setattr(self, name, int(line[name]))
        self.photometric, self.syntax = line["photometric"], line["syntax"]
        self.path = os.path.join(folder, "dicom", self.name + ".dcm")

    def __str__(self):
        return " ".join("%s=%s" % pair for pair in self.line.items())

    def expected(self):
        """The samples: frames x rows x columns x samples."""
        size = 1 if self.allocated <= 8 else 2 if self.allocated <= 16 else 4
        samples = numpy.fromfile(os.path.join(self.folder, "expected", self.name + ".raw"),
                                 "<%s%d" % ("i" if self.signed else "u", size))
        return samples.reshape(self.frames, self.rows, self.columns, self.samples).astype(numpy.int64)

    def rendition(self):
        """The same as they are shown: colours looked up, YCbCr as RGB."""
        samples = self.expected()
        if self.photometric == "PALETTE COLOR":
            tables = numpy.fromfile(os.path.join(self.folder, "expected", self.name + ".palette"), "<u2").reshape(3, -1)
            index = (samples[..., 0] - int(self.line["palette_first"])).clip(0, tables.shape[1] - 1)
            return numpy.stack([table[index] for table in tables], axis=-1).astype(numpy.int64)
        if self.photometric.startswith("YBR"):
            return pictures.ycbcr_to_rgb(samples, self.stored)
        return samples
