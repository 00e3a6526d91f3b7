"""The lines of bench/run about the size of the PNGs, against libpng's default settings on the same pixels."""
import collections
import csv
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor

import inputs
from inputs import Missing
from measure import at_most

AT_ONCE = 200  # arguments of a command
Picture = collections.namedtuple("Picture", "modality ours theirs bits samples cpu")
SMALL = "PngCompression"


def rows(path):
    csv.field_size_limit(10**9)
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def recode(bench, paths):
    """bench_recode's lines for the PNGs, in their order."""
    pieces = [paths[at:at + AT_ONCE] for at in range(0, len(paths), AT_ONCE)]

    def run(piece):
        done = subprocess.run([bench.tool("bench_recode"), *piece], check=True, capture_output=True, text=True)
        return done.stdout.splitlines()
    with ThreadPoolExecutor(os.cpu_count()) as several:
        return [line.split() for lines in several.map(run, pieces) for line in lines]


def pictures(bench, *flags):
    """Every picture of the real files, and the CPU seconds of the run that made them."""
    spent = bench.extract(bench.inputs.real, *flags, allowed=(0, 1))
    modalities = {row["file"]: row.get("Modality", "") for row in rows(os.path.join(bench.out, "metadata.csv"))}
    made = rows(os.path.join(bench.out, "mapping.csv"))
    paths = [os.path.join(bench.out, row["PNG location"]) for row in made]
    found = []
    for row, (ours, theirs, bits, samples, cpu) in zip(made, recode(bench, paths)):
        modality = modalities.get(row["Original DICOM file location"], "") or "none"
        found.append(Picture(modality, int(ours), int(theirs), int(bits), int(samples), float(cpu) / 1000))
    return found, spent.cpu


def ratio_of(some):
    return sum(picture.ours for picture in some) / sum(picture.theirs for picture in some)


def sizes(bench):
    """Each depth in total, and its worst modality."""
    if not bench.inputs.real:
        for work in ("16-bit grey, in total", "16-bit grey, worst modality", "8 bits, in total", "8 bits, worst modality"):
            bench.report.absent("bytes", "bytes of the PNGs: " + work, "no folder of real files")
        return
    for work, flags, wanted in (("16-bit grey", (), lambda p: p.bits == 16 and p.samples == 1),
                                ("8 bits", ("--is16Bit", "false"), lambda p: p.bits == 8)):
        some = [picture for picture in pictures(bench, *flags)[0] if wanted(picture)]
        if not some:
            bench.report.absent("bytes", "bytes of the PNGs: " + work, "no such picture among the files")
            continue
        what = "%s: %d pictures" % (bench.inputs.real_name, len(some))
        bench.report.add("bytes", "bytes of the PNGs: %s, in total" % work, "libpng's default", what,
                         megabytes(p.ours for p in some), megabytes(p.theirs for p in some), ratio_of(some), at_most(1.0), 3)
        by_modality = collections.defaultdict(list)
        for picture in some:
            by_modality[picture.modality].append(picture)
        ratios = sorted(((ratio_of(of_it), name, len(of_it)) for name, of_it in by_modality.items()), reverse=True)
        bench.report.add("bytes", "bytes of the PNGs: %s, worst modality" % work, "libpng's default",
                         ", ".join("%s %.3f (%d)" % (name, ratio, count) for ratio, name, count in ratios[:5]), "", "",
                         ratios[0][0], at_most(1.08), 3)


def megabytes(sizes_of):
    return "%.1f MB" % (sum(sizes_of) / 1e6)


def sizes_samples(bench):
    home, _, what = bench.inputs.folder("ct-samples")
    bench.extract(home)
    made = rows(os.path.join(bench.out, "mapping.csv"))
    by_file = {os.path.basename(row["Original DICOM file location"]): row["PNG location"] for row in made}
    some = [os.path.join(bench.out, by_file[name]) for name in inputs.some_of(sorted(by_file))]
    lines = recode(bench, some)
    ours, theirs = (sum(int(line[at]) for line in lines) for at in (0, 1))
    bench.report.add("bytes-samples", "bytes of the PNGs: CT", "libpng's default", what, "%.2f MB" % (ours / 1e6),
                     "%.2f MB" % (theirs / 1e6), ours / theirs, at_most(1.0), 3)


def small(bench):
    works = (("bytes", at_most(0.93)), ("CPU, the whole run against libpng's writing", at_most(3)))
    reason = None if bench.has_setting(SMALL) else "not there yet: setting " + SMALL
    if reason is None and not bench.inputs.real:
        reason = "no folder of real files"
    if reason:
        for work, goal in works:
            bench.report.absent("small", "%s: small, %s" % (SMALL, work), reason, goal)
        return
    found, spent = pictures(bench, "--" + SMALL, "small", "--UseProcesses", "1")
    if not found:
        raise Missing("no picture among the files")
    libpng = sum(picture.cpu for picture in found)
    what = "%s: %d pictures" % (bench.inputs.real_name, len(found))
    bench.report.add("small", "%s: small, bytes" % SMALL, "libpng's default", what, megabytes(p.ours for p in found),
                     megabytes(p.theirs for p in found), ratio_of(found), works[0][1], 3)
    bench.report.add("small", "%s: small, %s" % (SMALL, works[1][0]), "libpng's default", what, "%.2f s" % spent,
                     "%.2f s" % libpng, spent / libpng, works[1][1])
