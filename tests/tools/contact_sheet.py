#!/usr/bin/python3
"""contact_sheet.py: one picture of each kind that a run gave, as thumbnails on one PNG, to be looked at.

    contact_sheet.py OUTPUT_DIRECTORY SHEET.png [--size PIXELS]

OUTPUT_DIRECTORY is that of `extract`, best with --is16Bit false. A kind is a transfer syntax, a photometric interpretation
and the bits; of each the first picture is taken that is not all one value, or the first. Tiles lie row by row, at most
PIXELS (128) wide and high; what is which goes to standard output: number, row, column, kind, frame, file, by tabs. Needs
Debian's python3-numpy and python3-png.
"""
import argparse
import csv
import math
import os
import struct
import sys

import numpy
import png

GAP = 4
BACKGROUND = (40, 40, 120)
LOOKED_AT = 40  # pictures of a kind, for one that is not all one value
COLUMNS = ("PhotometricInterpretation", "BitsAllocated", "BitsStored", "PixelRepresentation", "PlanarConfiguration")

csv.field_size_limit(10**9)


def table(*path):
    with open(os.path.join(*path), newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def transfer_syntax(path):
    """Of the File Meta Information, which is explicit little endian (PS3.10 Section 7.1); "-" where there is none."""
    with open(os.path.join(path), "rb") as file:
        start = file.read(4096)
    at = 132 if start[128:132] == b"DICM" else len(start)
    while at + 12 <= len(start) and start[at:at + 2] == b"\2\0":
        element, vr, length = struct.unpack_from("<H2sH", start, at + 2)
        if vr in (b"OB", b"UN"):
            at, length = at + 4, struct.unpack_from("<I", start, at + 8)[0]
        if element == 0x0010:
            return start[at + 8:at + 8 + length].rstrip(b"\0 ").decode("ascii", "replace")
        at += 8 + length
    return "-"


def kinds(output):
    """-> {kind: [line of mapping.csv]}, in the order of the table."""
    attributes = {row["file"]: row for row in table(output, "metadata.csv")}
    syntaxes, found = {}, {}
    for row in table(output, "mapping.csv"):
        path = row["Original DICOM file location"]
        if path not in syntaxes:
            syntaxes[path] = transfer_syntax(path)
        values = [attributes[path].get(column) or "-" for column in COLUMNS]
        found.setdefault((syntaxes[path], *values), []).append(row)
    return found


def read(path):
    """-> rows x columns x 3, of 8 bits"""
    with open(path, "rb") as file:
        width, height, values, info = png.Reader(file=file).read_flat()
    picture = numpy.array(values).reshape(height, width, info["planes"]).astype(numpy.float64)
    picture *= 255 / ((1 << info["bitdepth"]) - 1)
    return numpy.repeat(picture, 3, axis=2) if info["planes"] == 1 else picture


def choose(rows, output):
    first = None
    for row in rows[:LOOKED_AT]:
        picture = read(os.path.join(output, row["PNG location"]))
        if first is None:
            first = (row, picture)
        if picture.min() != picture.max():
            return row, picture
    return first


def thumbnail(picture, size):
    """Means of squares; small pictures are repeated to half the size at least."""
    step = math.ceil(max(picture.shape[:2]) / size)
    rows, columns = (max(1, length // step) for length in picture.shape[:2])
    if step > 1:
        up = picture[:rows * step, :columns * step]
        up = numpy.pad(up, ((0, rows * step - up.shape[0]), (0, columns * step - up.shape[1]), (0, 0)), "edge")
        return up.reshape(rows, step, columns, step, 3).mean(axis=(1, 3))
    times = max(1, size // max(picture.shape[:2]))
    return picture.repeat(times, axis=0).repeat(times, axis=1)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output")
    parser.add_argument("sheet")
    parser.add_argument("--size", type=int, default=128)
    given = parser.parse_args()

    found = kinds(given.output)
    if not found:
        sys.exit("contact_sheet.py: no picture in mapping.csv")
    across = math.ceil(math.sqrt(len(found)))
    cell = given.size + GAP
    sheet = numpy.full((math.ceil(len(found) / across) * cell + GAP, across * cell + GAP, 3), BACKGROUND, numpy.uint8)
    for number, (kind, rows) in enumerate(sorted(found.items())):
        row, picture = choose(rows, given.output)
        tile = numpy.rint(thumbnail(picture, given.size)).astype(numpy.uint8)
        down, right = divmod(number, across)
        top, left = down * cell + GAP, right * cell + GAP
        sheet[top:top + tile.shape[0], left:left + tile.shape[1]] = tile
        print(number + 1, down + 1, right + 1, " ".join(kind), row["frame"], row["Original DICOM file location"], sep="\t")
    with open(given.sheet, "wb") as file:
        png.Writer(sheet.shape[1], sheet.shape[0], greyscale=False, bitdepth=8).write(file, sheet.reshape(len(sheet), -1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
