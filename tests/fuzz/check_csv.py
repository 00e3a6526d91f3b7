#!/usr/bin/python3
"""check_csv.py: what replay_csv writes, read by Python's csv module and compared cell by cell.

    check_csv.py REPLAY_CSV ROUNDS FOLDER...

The tables of the corpora in the folders, and of ROUNDS changes of each.
"""
import csv
import io
import os
import struct
import subprocess
import sys
import tempfile


def cells_of(content):
    """Rows of cells, which stand behind their lengths; 2**32 - 1 ends a row."""
    rows, row, at = [], [], 0
    while at < len(content):
        length = struct.unpack_from("<I", content, at)[0]
        at += 4
        if length == 2**32 - 1:
            rows.append(row)
            row = []
            continue
        row.append(content[at:at + length].decode("utf-8"))
        at += length
    return rows


def main():
    if len(sys.argv) < 4:
        raise SystemExit(__doc__)
    count = 0
    with tempfile.TemporaryDirectory(prefix="niffler-csv-") as folder:
        subprocess.run(sys.argv[1:], check=True, env={**os.environ, "NIFFLER_FUZZ_CSV": folder}, stdout=subprocess.DEVNULL)
        for name in sorted(os.listdir(folder)):
            if not name.endswith(".csv"):
                continue
            with open(os.path.join(folder, name), encoding="utf-8", newline="") as file:
                found = list(csv.reader(io.StringIO(file.read(), newline=""), strict=True))
            with open(os.path.join(folder, name[:-4] + ".cells"), "rb") as file:
                expected = cells_of(file.read())
            if found != expected:
                raise SystemExit("check_csv.py: %s: %r is read as %r" % (name, expected, found))
            count += 1
    if count < 100:
        raise SystemExit("check_csv.py: only %d tables were written" % count)
    print("%d tables" % count)


if __name__ == "__main__":
    main()
