"""The part of run.py about codecs: each against its library alone on the same codestream, and a cine loop of JPEG against
dcmj2pnm. The codestreams are made by Debian's encoders."""
import os
import statistics
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "tests", "e2e"))
import codec_files  # noqa: E402  (the path comes first)
from codec_files import cjpeg, cjxl, ojph, opj  # noqa: E402

# Where the decoder is our own it is there to be faster; elsewhere it is the library that it is measured against.
MOST = {"jpeg-lossless": 0.40, "jpegls": 0.55, "rle": 0.40}
CINE_FRAMES, CINE_ROWS, CINE_COLUMNS = 70, 480, 640


def codestream(path, start, end=b""):
    """The only frame of a DICOM file that DCMTK made: from `start`, behind the pixel data's tag, to `end`."""
    with open(path, "rb") as file:
        content = file.read()
    at = content.index(start, content.rindex(b"\xe0\x7f\x10\0OB"))
    return content[at:content.rindex(end) + len(end)] if end else content[at:-8]


def by_dcmtk(work, pixels, bits, command, start, end=b""):
    native, made = os.path.join(work, "native.dcm"), os.path.join(work, "made.dcm")
    codec_files.write_native(native, pixels, bits)
    codec_files.run(work, *command, native, made)
    return codestream(made, start, end)


def streams(work):
    """Name, codec, codestream, pixels, bits."""
    ct, colour = codec_files.picture(512, 512, 1, 12), codec_files.picture(640, 480, 3, 8)
    soi, eoi = b"\xff\xd8\xff", b"\xff\xd9"
    yield "JPEG baseline", "jpeg", cjpeg(work, colour, "-quality", "90"), colour, 8
    yield "JPEG baseline", "jpeg-dcmtk", cjpeg(work, colour, "-quality", "90"), colour, 8
    yield "JPEG progressive", "jpeg", cjpeg(work, colour, "-quality", "90", "-progressive"), colour, 8
    yield "JPEG lossless", "jpeg-lossless", by_dcmtk(work, ct, 12, ["dcmcjpeg", "+e1"], soi, eoi), ct, 12
    for predictor in "27":
        yield ("JPEG lossless, predictor " + predictor, "jpeg-lossless",
               by_dcmtk(work, ct, 12, ["dcmcjpeg", "+el", "+sv", predictor], soi, eoi), ct, 12)
    yield "JPEG lossless, colour", "jpeg-lossless", by_dcmtk(work, colour, 8, ["dcmcjpeg", "+e1"], soi, eoi), colour, 8
    yield "JPEG-LS", "jpegls", by_dcmtk(work, ct, 12, ["dcmcjpls"], soi, eoi), ct, 12
    yield "JPEG-LS, by plane", "jpegls", by_dcmtk(work, colour, 8, ["dcmcjpls", "+in"], soi, eoi), colour, 8
    yield "JPEG 2000", "jpeg2000", opj(work, ct, 12), ct, 12
    yield "JPEG 2000, colour", "jpeg2000", opj(work, colour, 8), colour, 8
    yield "HTJ2K", "jpeg2000", ojph(work, ct, 12), ct, 12
    yield "HTJ2K, colour", "jpeg2000", ojph(work, colour, 8), colour, 8
    yield "JPEG XL", "jpegxl", cjxl(work, ct, 12, "-d", "0", "-e", "3"), ct, 12
    yield "JPEG XL, lossy colour", "jpegxl", cjxl(work, colour, 8, "-d", "1", "-e", "3"), colour, 8
    yield "RLE", "rle", by_dcmtk(work, ct, 12, ["dcmcrle"], b"\2\0\0\0\x40\0\0\0"), ct, 12
    yield "RLE, colour", "rle", by_dcmtk(work, colour, 8, ["dcmcrle"], b"\3\0\0\0\x40\0\0\0"), colour, 8


def against_libraries(build, work, report):
    path = os.path.join(work, "stream")
    for name, codec, stream, pixels, bits in streams(work):
        with open(path, "wb") as file:
            file.write(stream)
        rows, columns, samples = pixels.shape
        done = subprocess.run([os.path.join(build, "bench", "bench_codec"), codec, path, str(rows), str(columns), str(samples),
                               str(bits)], check=True, capture_output=True, text=True)
        ratio, most = float(done.stdout.split()[-1]), MOST.get(codec, 1.10)
        partner = "DCMTK's decoder" if codec in ("rle", "jpeg-dcmtk", "jpeg-lossless") else "the library alone"
        report("%s, CPU against %s" % (name, partner), "%.2f times" % ratio, "<= %.2f" % most, ratio <= most)


def cine_loop(work, home):
    """A colour ultrasound of many frames: a sector of speckle on black, which moves."""
    frames = []
    for number in range(CINE_FRAMES):
        picture = codec_files.sector(CINE_COLUMNS, CINE_ROWS, number)
        frames.append(cjpeg(work, picture, "-quality", "90", "-sample", "2x1"))
    path = os.path.join(home, "cine.dcm")
    codec_files.write_encapsulated(path, frames, (CINE_ROWS, CINE_COLUMNS, 3), 8, ".4.50", photometric="YBR_FULL_422")
    return path


def against_dcmj2pnm(work, cpu, extract, pairs, report):
    """`cpu` and `extract` are those of run.py."""
    home, out, pictures = (os.path.join(work, name) for name in ("cine", "cine-out", "cine-pictures"))
    os.mkdir(home)
    os.mkdir(pictures)
    path = cine_loop(work, home)
    ratios = []
    for _ in range(2 * pairs):
        ours = extract(home, out, "--UseProcesses", "1", "--is16Bit", "false")[0]
        theirs = cpu("dcmj2pnm", "+on", "+Fa", path, os.path.join(pictures, "p"))[0]
        ratios.append(theirs / ours)
    made = len(os.listdir(pictures))
    if made != CINE_FRAMES:
        raise SystemExit("dcmj2pnm made %d pictures of %d" % (made, CINE_FRAMES))
    ratio = statistics.median(ratios)
    report("70 frames of colour JPEG to PNG of 8 bits, CPU, against dcmj2pnm +on +Fa", "%.1f times fewer" % ratio, ">= 10", ratio >= 10)
