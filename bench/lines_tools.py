"""The lines of bench/run about other tools: dicom-toimage, DCMTK's, and the libraries alone."""
import os
import shutil
import statistics

import inputs
from inputs import Missing
from measure import at_least, at_most, cost, medians, milliseconds, pairs

TOIMAGE = "dicom-toimage"
ONE_THREAD = {"RAYON_NUM_THREADS": "1"}  # without it the tool takes more CPU time, not less


def pictures_in(folder):
    return sum(name.endswith(".png") for _, _, names in os.walk(folder) for name in names)


def faster(bench, name, work, partner, what, ours, theirs, goal, count=5):
    """Report how many times less CPU ours takes; both give costs per file."""
    a, b, ratio = medians(pairs(ours, theirs, count))
    bench.report.add(name, work, partner, what, milliseconds(a), milliseconds(b), 1 / ratio, goal)


def slower(bench, name, work, partner, what, ours, theirs, goal, count=5):
    """Report how many times the partner's CPU ours takes."""
    a, b, ratio = medians(pairs(ours, theirs, count))
    bench.report.add(name, work, partner, what, milliseconds(a), milliseconds(b), ratio, goal)


# ---- dicom-toimage ----

def toimage(bench, files):
    """One call for all files, one thread; -> its cost per file. It names its outputs by its inputs."""
    def run():
        shutil.rmtree(bench.pictures, ignore_errors=True)
        os.mkdir(bench.pictures)
        return cost(bench.toimage(), "--no-modality-lut", "--16bit", "--outdir", bench.pictures, *files,
                    environment=ONE_THREAD).over(len(files))
    run()
    made = pictures_in(bench.pictures)
    if made != len(files):
        raise Missing("%s converts %d of %d" % (TOIMAGE, made, len(files)))
    return run


def against_toimage(bench, name, work, goal):
    bench.toimage()
    home, files, what = bench.inputs.folder(name)
    faster(bench, name, work, TOIMAGE, what, bench.per_file(home, files), toimage(bench, files), goal)


def line(name, work, goal):
    """What measures the kind of this name."""
    return lambda bench: against_toimage(bench, name, work, goal)


ct = line("ct", "CT 512², 16 bits, native", at_least(2.0))
ct_samples = line("ct-samples", "CT 512², 12 bits, native", at_least(2.0))
lossless = line("lossless", "CT, JPEG lossless SV1", at_least(3.0))
rle = line("rle", "CT, RLE", at_least(3.0))
jpegls = line("jpegls", "CT, JPEG-LS", at_least(1.3))
jpeg2000 = line("jpeg2000", "CT, JPEG 2000", at_least(1.0))
htj2k = line("htj2k", "CT, HTJ2K", at_least(1.0))


# ---- OpenJPEG and libjpeg-turbo alone ----

def openjpeg(bench, name, kind, work):
    home, files, what = bench.inputs.folder(kind)
    streams = []
    for path in inputs.some_of(files):
        streams.append(bench.scratch("%s-%d" % (name, len(streams))))
        with open(streams[-1], "wb") as file:
            file.write(inputs.fragments(path)[0])
    # As many as there are files, since the pictures differ in what they cost.
    again = [streams[number % len(streams)] for number in range(len(files))]
    slower(bench, name, work, "OpenJPEG alone, its samples dropped", what, bench.per_file(home, files),
           lambda: cost(bench.tool("bench_frames"), "openjpeg", *again).over(len(files)), at_most(1.06))


def jpeg2000_openjpeg(bench):
    openjpeg(bench, "jpeg2000-openjpeg", "jpeg2000", "CT, JPEG 2000")


def htj2k_openjpeg(bench):
    openjpeg(bench, "htj2k-openjpeg", "htj2k", "CT, HTJ2K")


def jpeg(bench):
    home, files, what = bench.inputs.folder("jpeg")
    streams = []
    for number, stream in enumerate(inputs.fragments(files[0])):
        streams.append(bench.scratch("frame-%03d.jpg" % number))
        with open(streams[-1], "wb") as file:
            file.write(stream)

    def theirs():
        shutil.rmtree(bench.pictures, ignore_errors=True)
        os.mkdir(bench.pictures)
        return cost(bench.tool("bench_frames"), "jpeg", bench.pictures, *streams)
    theirs()
    bench.expect(bench.pictures, inputs.CINE_FRAMES)
    slower(bench, "jpeg", "JPEG baseline, %d frames of colour" % inputs.CINE_FRAMES, "libjpeg-turbo and libpng level 1", what,
           bench.per_file(home, files, "--is16Bit", "false", pictures=len(files) * inputs.CINE_FRAMES), theirs, at_most(1.0))


def cine(bench):
    home, files, what = bench.inputs.folder("jpeg")

    def theirs():
        shutil.rmtree(bench.pictures, ignore_errors=True)
        os.mkdir(bench.pictures)
        return cost("dcmj2pnm", "+on", "+Fa", files[0], os.path.join(bench.pictures, "p"))
    theirs()
    made = len(os.listdir(bench.pictures))
    if made != inputs.CINE_FRAMES:
        raise Missing("dcmj2pnm made %d pictures of %d" % (made, inputs.CINE_FRAMES))
    faster(bench, "cine", "JPEG baseline, %d frames of colour" % inputs.CINE_FRAMES, "dcmj2pnm +on +Fa", what,
           bench.per_file(home, files, "--is16Bit", "false", pictures=len(files) * inputs.CINE_FRAMES), theirs, at_least(10), 3)


# ---- DCMTK's tools ----

def against_dcmj2pnm(bench, name, kind, work, option, goal, *flags):
    """One process for a file, as that tool has it: a picture of each kind that is among the files."""
    home, files, what = bench.inputs.folder(kind)
    some = inputs.some_of(files, inputs.PICTURES if not kind.startswith("dx") else 1)
    picture = bench.scratch("picture.png")

    def theirs():
        costs = [cost("dcmj2pnm", option, path, picture) for path in some]
        return mean_of(costs)
    faster(bench, name, work, "dcmj2pnm " + option, what, bench.per_file(home, files, *flags), theirs, goal, 3)


def mean_of(costs):
    mean = costs[0].over(1)
    mean.cpu, mean.wall = statistics.mean(c.cpu for c in costs), statistics.mean(c.wall for c in costs)
    return mean


def ct_dcmj2pnm(bench):
    against_dcmj2pnm(bench, "ct-dcmj2pnm", "ct", "CT 512², 16 bits, native", "+on2", at_least(100))


def dx(bench):
    against_dcmj2pnm(bench, "dx", "dx", "DX, native", "+on2", at_least(100))


def dx_samples(bench):
    against_dcmj2pnm(bench, "dx-samples", "dx-samples", "DX 2000×2128, 12 bits, native", "+on2", at_least(100))


def us(bench):
    against_dcmj2pnm(bench, "us", "us", "US RGB 640×480, 8 bits", "+on", at_least(20), "--is16Bit", "false")


def metadata(bench):
    home, files, what = bench.inputs.folder("ct")
    some, document = inputs.some_of(files), bench.scratch("x.json")
    faster(bench, "metadata", "metadata only", "dcm2json", what,
           bench.per_file(home, files, "--PrintImages", "false", pictures=0),
           lambda: mean_of([cost("dcm2json", path, document) for path in some]), at_least(150))
    read = bench.watch(home, "--PrintImages", "false").read_bytes / sum(os.path.getsize(path) for path in files)
    bench.report.add("metadata", "metadata only: bytes read", "bytes of the files", what, "", "", read, at_most(0.25), 3)
