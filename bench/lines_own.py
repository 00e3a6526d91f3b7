"""The lines of bench/run about ourselves: two decoders against one, the least that is possible, the parent's share, memory."""
import csv
import os
import shutil
import socket
import statistics
import subprocess
import threading
import time

import png

import codec_costs
import inputs
from inputs import Missing
from measure import Bystanders, Cost, Watched, at_least, at_most, cost, medians, milliseconds, pairs, peak_kb

READY = 1  # worker/wire.h
DECODER_LIMITS = (str(2 << 30), "60", str(2 << 30))  # memory, seconds, bytes of a picture
MANY, FEW, NAMES = 100000, 1000, 1000000
RUNS = 5
SANDBOX_RUNS = 15  # two in a hundred are to be seen
SHARE_RUNS = 15  # they differ by a third
STARTS = 40
NAMES_EACH = 3
OTHERS_MAX = 0.1  # of the machine, for a figure by the clock


def decoders(bench):
    """Wall clock: the files through two decoders of one run, and half of them through each of two runs of one decoder."""
    if (os.cpu_count() or 1) < 2:
        raise Missing("one core only")
    _, files, what = bench.inputs.folder("ct")
    # Several names for each file: the start and the end of a run are done by one process, and are not throughput.
    whole, halves = bench.scratch("whole"), [bench.scratch("half-%d" % half) for half in (0, 1)]
    for folder in [whole, *halves]:
        os.mkdir(folder)
    for number in range(NAMES_EACH * len(files)):
        for folder in (whole, halves[number % 2]):
            os.link(files[number % len(files)], os.path.join(folder, "%06d.dcm" % number))

    def side_by_side():
        outs = [bench.scratch("half-out-%d" % half) for half in (0, 1)]
        for out in outs:
            shutil.rmtree(out, ignore_errors=True)
        costs = []
        threads = [threading.Thread(target=lambda folder=folder, out=out: costs.append(bench.extract(folder, out=out)))
                   for folder, out in zip(halves, outs)]
        began = time.monotonic()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if len(costs) != 2:
            raise Missing("a run on one half failed")
        return Cost(0, time.monotonic() - began)
    others = Bystanders()
    a, b, ratio = medians(pairs(lambda: bench.extract(whole, decoders=2), side_by_side, RUNS), lambda c: c.wall)
    work, partner, goal = "2 decoders, throughput", "two runs of one decoder on halves", at_least(0.93)
    share = others.share()
    if share > OTHERS_MAX:
        # By the clock, and two runs get more of a busy machine than one does.
        bench.report.absent("decoders", "%s [%s]" % (work, partner), "other work took %.0f %% of the machine; %.2f × beside it"
                            % (100 * share, 1 / ratio), goal)
        return
    bench.report.add("decoders", work, partner, what, milliseconds(a), milliseconds(b), 1 / ratio, goal)


# ---- the least that is possible ----

def native_place(path):
    """Where the samples of a native file begin, and their shape: what bench_limit asks for."""
    elements = inputs.elements_of(path)
    encapsulate = inputs.encapsulate
    numbers = [encapsulate.number(elements, tag) for tag in (encapsulate.ROWS, encapsulate.COLUMNS, encapsulate.SIGNED)]
    pixels = elements[encapsulate.PIXELS][1]
    with open(path, "rb") as file:
        return [file.read().rindex(pixels)] + numbers


def same_pixels(bench, files):
    """Whether the PNGs of bench_limit hold what ours hold: otherwise it would do another thing."""
    with open(os.path.join(bench.out, "mapping.csv"), encoding="utf-8", newline="") as file:
        ours = {os.path.basename(row["Original DICOM file location"]): row["PNG location"] for row in csv.DictReader(file)}
    for path in inputs.some_of(files):
        number = files.index(path) + 1
        a, b = (png.Reader(filename=name).read() for name in (os.path.join(bench.out, ours[os.path.basename(path)]),
                                                              os.path.join(bench.pictures, "%d.png" % number)))
        if a[:2] != b[:2] or [bytes(row) for row in a[2]] != [bytes(row) for row in b[2]]:
            return False
    return True


def limit(bench):
    home, files, what = bench.inputs.folder("ct")
    places = {}
    path = bench.scratch("limit-list")
    with open(path, "w", encoding="utf-8") as file:
        for number, name in enumerate(files):
            picture = inputs.picture_of(number, files, bench.inputs.pictures["ct"])
            if picture not in places:
                places[picture] = native_place(name)
            file.write("%s %s\n" % (" ".join(map(str, places[picture])), name))

    def theirs():
        shutil.rmtree(bench.pictures, ignore_errors=True)
        os.mkdir(bench.pictures)
        return cost(bench.tool("bench_limit"), bench.pictures, path).over(len(files))
    found = pairs(bench.per_file(home, files), theirs, RUNS)
    if not same_pixels(bench, files):
        raise Missing("the pixels of bench_limit are not ours")
    a, b, ratio = medians(found)
    bench.report.add("limit", "the limit, CT: CPU", "read, scale, write a stored PNG; no metadata", what, milliseconds(a),
                     milliseconds(b), ratio, at_most(2.5))


def parent(bench):
    home, files, what = bench.inputs.folder("ct")
    runs = [bench.watch(home) for _ in range(SHARE_RUNS)]
    share = statistics.median(run.parent_cpu / run.cpu for run in runs)
    bench.report.add("parent", "the parent's share of the CT run", "all CPU", what,
                     milliseconds(statistics.median(run.parent_cpu for run in runs) / len(files)),
                     milliseconds(statistics.median(run.cpu for run in runs) / len(files)), 100 * share, at_most(10, " %"), 1)


# ---- memory ----

def start_decoder(program, look):
    """Start a decoder as a worker does, wait until it says that it is ready, and return look(its process)."""
    ours, its = socket.socketpair()  # requests
    replies, answers = os.pipe()
    pid = os.posix_spawn(program, ["niffler-png-decoder", "--control", *DECODER_LIMITS, str(os.getpid())], {},
                         file_actions=[(os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDWR, 0),
                                       (os.POSIX_SPAWN_DUP2, answers, 5), (os.POSIX_SPAWN_DUP2, its.fileno(), 3),
                                       (os.POSIX_SPAWN_DUP2, 5, 4)])
    its.close()
    os.close(answers)
    try:
        header = os.read(replies, 5)
        if len(header) != 5 or header[4] != READY:
            raise Missing("a decoder does not say that it is ready")
        return look(pid)
    finally:
        os.close(replies)
        ours.close()
        os.waitpid(pid, 0)


def idle_decoder_kb(bench):
    """The peak of a decoder that has said that it is ready and nothing else: its libraries and tables."""
    return start_decoder(os.path.join(bench.build, "niffler-png-decoder"), peak_kb)


# ---- confinement ----

def start_seconds(program):
    """By the clock, from the exec to the word that it is ready."""
    began = time.monotonic()
    return start_decoder(program, lambda _: time.monotonic() - began)


def sandbox(bench):
    """A decoder against the same one that does not enter its confinement."""
    home, files, what = bench.inputs.folder("ct")
    confined, twin = os.path.join(bench.build, "niffler-png-decoder"), bench.tool("niffler-png-decoder-unconfined")
    a, b, ratio = medians(pairs(bench.per_file(home, files, "--Sandbox", "required"),
                                bench.per_file(home, files, "--DecoderProgram", twin), SANDBOX_RUNS))
    bench.report.add("sandbox", "confinement, CT: CPU", "the same without", what, milliseconds(a), milliseconds(b), ratio,
                     at_most(1.02), 3)
    starts = [(start_seconds(confined), start_seconds(twin)) for _ in range(STARTS)]
    ours, theirs = (statistics.median(start[side] for start in starts) for side in (0, 1))
    bench.report.add("sandbox", "start of a decoder, by the clock", "the same without confinement", "%d starts" % STARTS,
                     milliseconds(ours), milliseconds(theirs), ours * 1000, at_most(40, " ms"), 1)


def memory(bench):
    idle = idle_decoder_kb(bench)
    for kind, most in (("ct", 16), ("dx-samples", 64)):
        home, _, what = bench.inputs.folder(kind)
        beyond = bench.watch(home, looking=True).child_peak - idle
        bench.report.add("memory", "peak memory of a decoder on %s, beyond its libraries" % kind[:2].upper(), "",
                         "%s; its libraries %.1f MB" % (what, idle / 1024), "", "", beyond / 1024, at_most(most, " MB"), 1)
    peaks = [bench.watch(links(bench, count), "--PrintImages", "false", looking=True).peak for count in (FEW, MANY)]
    what = "generated MR, metadata only"
    bench.report.add("memory", "peak memory of the parent, 100,000 files", "", what, "", "", peaks[1] / 1024,
                     at_most(64, " MB"), 1)
    bench.report.add("memory", "peak memory of the parent, 100,000 files: how much more", "1,000 files", what, "", "",
                     (peaks[1] - peaks[0]) / 1024, at_most(4, " MB"), 1)


def links(bench, count):
    """A folder of so many names of one file."""
    source = bench.inputs.sample("mr")[0]
    home = bench.scratch("links")
    shutil.rmtree(home, ignore_errors=True)
    for number in range(count):
        folder = os.path.join(home, "%04d" % (number // 1000))
        if number % 1000 == 0:
            os.makedirs(folder)
            target = shutil.copy(source, os.path.join(folder, "000.dcm"))
        else:
            os.link(target, os.path.join(folder, "%03d.dcm" % (number % 1000)))
    return home


def scan(bench):
    names = bench.scratch("names")
    os.mkdir(names)
    for number in range(NAMES):
        os.close(os.open(os.path.join(names, "1.2.840.113619.%08d.dcm" % (number * 7919 % 1000003)), os.O_CREAT | os.O_WRONLY,
                         0o600))
    answer = subprocess.run([bench.tool("bench_scan"), names], check=True, capture_output=True, text=True).stdout
    shutil.rmtree(names)
    if not answer.startswith("%d files" % NAMES):
        raise Missing("the scan found: " + answer.strip())
    bench.report.add("scan", "peak memory of a scan of 1,000,000 names in one folder", "", "generated", "", "",
                     int(answer.split()[-2]) / 1024, at_most(64, " MB"), 1)


# ---- one setting against another, codecs against their libraries ----

def window(bench):
    home, files, what = bench.inputs.folder("ct")
    a, b, ratio = medians(pairs(bench.per_file(home, files, "--PixelScaling", "window"), bench.per_file(home, files), RUNS))
    bench.report.add("window", "CT, PixelScaling: window", "PixelScaling: full", what, milliseconds(a), milliseconds(b), ratio,
                     at_most(1.15))


def codecs(bench):
    codec_costs.against_libraries(bench.build, bench.scratch_folder, bench.report)


def watched(bench, home, *flags, looking):
    shutil.rmtree(bench.out, ignore_errors=True)
    return Watched(bench.program, "extract", "--DICOMHome", home, "--OutputDirectory", bench.out, "--UseProcesses", "1", *flags,
                   looking=looking)
