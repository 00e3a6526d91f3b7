"""Images of the matrix of samples that stand for the others: one of each depth, colour and encoding."""
import csv


def choose(path):
    """Their names: the first of each combination that matters to a reader."""
    seen, names = set(), []
    with open(path, newline="", encoding="utf-8") as file:
        for line in csv.DictReader(file, delimiter="\t"):
            stored, allocated = int(line["stored"]), int(line["allocated"])
            where = int(line["high_bit"]) + 1 - stored
            shape = (line["syntax"], line["photometric"], allocated, stored == allocated, where > 0,
                     line["planar"], line["palette_bits"])
            if shape not in seen:
                seen.add(shape)
                names.append(line["name"])
    return names
