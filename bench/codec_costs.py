"""The part of bench/run about codecs: each against its library alone on the same codestream. The codestreams are made by
Debian's encoders."""
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "tests", "e2e"))
import codec_files  # noqa: E402  (the path comes first)
from codec_files import cjpeg, cjxl, ojph, opj  # noqa: E402
from measure import at_most  # noqa: E402

# Where the decoder is our own it is there to be faster; elsewhere it is the library that it is measured against.
MOST = {"jpeg-lossless": 0.40, "jpegls": 0.55, "rle": 0.40, "jpeg2000": 0.75}
PAIRS = "7"


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
                               str(bits), PAIRS], check=True, capture_output=True, text=True)
        ours, theirs, ratio = done.stdout.split()[-3:]
        partner = "DCMTK's decoder" if codec in ("rle", "jpeg-dcmtk", "jpeg-lossless") else "its library alone"
        report.add("codecs", "codec: " + name, partner, "generated", ours + " ms", theirs + " ms", float(ratio),
                   at_most(MOST.get(codec, 1.10)))
