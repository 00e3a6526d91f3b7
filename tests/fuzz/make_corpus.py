#!/usr/bin/python3
"""make_corpus.py: the corpora of the fuzz targets, one folder for each, from what the tests have anyway.

    make_corpus.py SAMPLES OUTPUT_FOLDER [FOLDER_OF_DICOM_FILES]

SAMPLES is niffler-png-samples. Small pictures go through the encoders of Debian's packages; the matrix of samples
(tests/samples/sample_matrix.h) gives images of every shape. Files of the third folder join those of `dicom` and `image`
where they are small. The folder is made anew.
"""
import os
import shutil
import struct
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(os.path.dirname(HERE), "e2e")]

import codec_files  # noqa: E402
import encapsulate  # noqa: E402
import matrix_shapes  # noqa: E402

LONGEST = 24 << 10
NATIVE = ".1"


class Corpus:
    def __init__(self, output):
        self.output = output
        shutil.rmtree(output, ignore_errors=True)
        self.counts = {}

    def add(self, target, content, name=None):
        folder = os.path.join(self.output, target)
        os.makedirs(folder, exist_ok=True)
        number = self.counts.get(target, 0)
        self.counts[target] = number + 1
        with open(os.path.join(folder, "%03d%s" % (number, "-" + name if name else "")), "wb") as file:
            file.write(content)


def read(path):
    with open(path, "rb") as file:
        return file.read()


# ---- compressed frames ----------------------------------------------------------------------------------------------


def stream_input(shape, bits, stream, is_signed=False, truncated=False):
    """What fuzz_codec.c takes."""
    rows, columns, samples = shape
    allocated = 8 if bits <= 8 else 16 if bits <= 16 else 32
    return struct.pack("<HHBBBB", rows, columns, samples, allocated, bits, is_signed | truncated << 1) + stream


def frames_of(path):
    """The first fragment of an encapsulated file with explicit VRs, as DCMTK's encoders write it."""
    content = read(path)
    at = content.index(struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OB", 0, 0xFFFFFFFF)) + 12
    table = struct.unpack_from("<I", content, at + 4)[0]
    at += 8 + table
    return content[at + 8:at + 8 + struct.unpack_from("<I", content, at + 4)[0]]


class Streams:
    """Pictures through encoders: each as a frame for its codec's target, and some in a DICOM file for `image`."""

    def __init__(self, corpus, folder):
        self.corpus, self.folder, self.number = corpus, folder, 0

    def add(self, target, pixels, bits, stream, syntax, is_signed=False):
        self.number += 1
        self.corpus.add(target, stream_input(pixels.shape, bits, stream, is_signed, self.number % 4 == 0))
        path = os.path.join(self.folder, "stream.dcm")
        half = len(stream) // 4 * 2
        pieces = [stream[:half], stream[half:]] if self.number % 3 == 0 else [stream]
        frames = 2 if self.number % 5 == 0 else 1
        codec_files.write_encapsulated(path, pieces * frames, pixels.shape, bits, syntax, frames=frames, is_signed=is_signed)
        self.corpus.add("image", read(path), target)

    def by_dcmtk(self, target, pixels, bits, syntax, *command, is_signed=False):
        source, output = (os.path.join(self.folder, name) for name in ("native.dcm", "encoded.dcm"))
        codec_files.write_native(source, pixels, bits, is_signed=is_signed)
        codec_files.run(self.folder, *command, source, output)
        self.add(target, pixels, bits, frames_of(output), syntax, is_signed)


def jpeg_streams(streams):
    picture, smooth = codec_files.picture, codec_files.smooth
    for samples, bits, is_signed in ((1, 8, False), (1, 12, False), (1, 16, True), (3, 8, False), (1, 10, False)):
        pixels = picture(17, 13, samples, bits, is_signed)
        streams.by_dcmtk("jpegls", pixels, bits, ".4.80", "dcmcjpls", "+el", is_signed=is_signed)
        if not is_signed:
            streams.by_dcmtk("jpegls", pixels, bits, ".4.81", "dcmcjpls", "+en", "+md", "2")
        streams.by_dcmtk("rle", pixels, bits, ".5", "dcmcrle", is_signed=is_signed)
        for target in ("jpeg_lossless", "jpeg"):
            for predictor in ("1", "4", "6", "7"):
                streams.by_dcmtk(target, pixels, bits, ".4.57", "dcmcjpeg", "+el", "+sv", predictor, is_signed=is_signed)
        streams.by_dcmtk("jpeg_lossless", picture(9, 31, samples, bits, is_signed), bits, ".4.70", "dcmcjpeg", "+e1",
                         is_signed=is_signed)
    for samples, bits in ((1, 8), (3, 8)):
        for options in (("+eb",), ("+es",), ("+ep",), ("+ee",)):
            streams.by_dcmtk("jpeg", smooth(24, 17, samples, bits), bits, ".4.50", "dcmcjpeg", *options)
        for options in (("-restart", "1"), ("-progressive",), ("-sample", "2x1"), ("-arithmetic",), ("-optimize",)):
            streams.add("jpeg", smooth(24, 17, samples, bits), bits,
                        codec_files.cjpeg(streams.folder, smooth(24, 17, samples, bits), *options), ".4.50")
    for options in (("+ee",), ("+es",), ("+ep",)):
        streams.by_dcmtk("jpeg", smooth(24, 17, 1, 12), 12, ".4.51", "dcmcjpeg", *options)
    runs = picture(40, 1, 1, 8) * 0 + 7
    streams.by_dcmtk("rle", runs, 8, ".5", "dcmcrle")
    flat = picture(70, 9, 1, 12) * 0 + 100
    streams.by_dcmtk("jpegls", flat, 12, ".4.80", "dcmcjpls", "+el")


def wavelet_streams(streams):
    picture, smooth, folder = codec_files.picture, codec_files.smooth, streams.folder
    for samples, bits, is_signed in ((1, 8, False), (1, 12, False), (1, 16, True), (3, 8, False)):
        pixels = picture(35, 21, samples, bits, is_signed)
        mct = ("-mct", "1" if samples == 3 else "0", "-n", "3")
        for options in (mct, (*mct, "-I", "-r", "3"), (*mct, "-t", "16,16"), (*mct, "-p", "RPCL"),
                        (*mct, "-b", "16,16", "-M", "8"), (*mct, "-c", "[8,8]", "-TP", "R")):
            streams.add("jpeg2000", pixels, bits, codec_files.opj(folder, pixels, bits, *options, is_signed=is_signed), ".4.90",
                        is_signed)
        streams.add("jpeg2000", pixels, bits, codec_files.opj(folder, pixels, bits, *mct, is_signed=is_signed, ending="jp2"),
                    ".4.90", is_signed)
        streams.add("jpeg2000", pixels, bits, codec_files.ojph(folder, pixels, bits, is_signed=is_signed), ".4.201", is_signed)
        if not is_signed:
            lossy = ("-reversible", "false", "-qstep", "0.01")
            streams.add("jpeg2000", pixels, bits, codec_files.ojph(folder, pixels, bits, *lossy), ".4.203")
            for options in (("-d", "0"), ("-d", "1"), ("-d", "0", "--container=1"), ("-d", "2", "-p"), ("-d", "0", "-m", "1"),
                            ("-d", "1", "-e", "3")):
                streams.add("jpegxl", pixels, bits, codec_files.cjxl(folder, pixels, bits, *options), ".4.110")
    for samples in (1, 3):
        for options in (("-progressive",), ("-sample", "2x2")):
            pixels = smooth(24, 17, samples, 8)
            jpeg = codec_files.cjpeg(folder, pixels, *options)
            streams.add("jpegxl", pixels, 8, codec_files.encode(folder, "in.jpg", jpeg, "out.jxl", "cjxl", "in.jpg", "out.jxl"),
                        ".4.111")


# ---- the other targets ----------------------------------------------------------------------------------------------


def png_programs(corpus):
    """Flags, filter, width, height, bits, and a program of fuzz_png.c."""
    literal = bytes([31 << 3]) + bytes(range(7, 40))
    run, noise = b"\x01\x00\xff\x05", b"\x0c\x01\x00\x33"
    programs = (literal, run, noise, literal + b"\x02\x00\xf0\x21", run + b"\x06\x08\x00\x03",
                noise + b"\x0b\x02\x00\x00", noise + b"\x07\x40\x00\x80" * 3, b"\x15\x03\x00\x40" + noise,
                b"\x05\xff\x00\x11" + b"\x05\xff\x00\x12", b"\x04\xff\xff\x00\x01\xff\xff\x00\x07\xff\xff\x10")
    for number, program in enumerate(programs):
        for flags in range(4):
            for width, height in ((0, 0), (40, 30), (600, 300)):
                method = (number + flags + height) % 8
                corpus.add("png", struct.pack("<BBHHB", flags | method << 3 | (number % 2) << 7, number % 7 if number != 7 else 0xFF, width, height, 12)
                           + program)


def texts(corpus):
    """For fuzz_settings.c, fuzz_files.c, fuzz_csv.c and fuzz_pool.c."""
    root = os.path.dirname(os.path.dirname(HERE))
    for name in ("config.json", "fleet.json"):
        corpus.add("settings", b"\4" + read(os.path.join(root, "deploy", name)))
    for text in (b'{"DICOMHome": "in", "OutputDirectory": "out", "Depth": -1, "is16Bit": "true", "UseProcesses": 0.5}',
                 b'{"PrintImages": 1, "PixelScaling": "window", "Window": "40,400", "Frames": "middle", "MaxPixels": "64M"}',
                 b'{"LinkRoots": "/a:/b", "SendEmail": false, "YourEmail": "a@b.c", "SmtpUrl": "smtp://h:25"}',
                 b'{"Compatibility": "niffler", "FlattenedToLevel": "series", "FeatureSetFile": "f", "Durability": "batch"}'):
        corpus.add("settings", b"\4" + text)
    for text in (b"lung", b"index:3", b"40,400", b"-600.5,1e3", b"auto", b"soft-tissue", b"1e308,1e308", b"nan,1", b"0x10,1"):
        corpus.add("settings", b"\0" + text)
    for text in (b"redis://host", b"rediss://user@host:6380/15", b"redis://[::1]:1/2", b"unix:///run/redis.sock?db=3",
                 b"unix://me%40x@/a%20b", b"redis://:secret@host", b"redis://h:99999/99999999999"):
        corpus.add("settings", b"\1" + text)
    for text in (b"# a line\nsecurity.protocol = sasl_ssl\r\nsasl.password=x\nlinger.ms=5\n", b"group.id=x\n", b"=\n", b"a\n",
                 b"ssl.ca.pem=\xff\nlog_cb=1\nfetch.wait.max.ms=-1"):
        corpus.add("settings", b"\2" + text)
    for text in (b"--DICOMHome\0in\0--OutputDirectory=out\0--Frames\0n:3", b"--Dicom\0x", b"--PixelScaling=full\0--PixelScaling\0x",
                 b"--MaxPixels\x0018446744073709551616K", b"--"):
        corpus.add("settings", b"\3" + text)
    numbers = {name: index + 1 for index, name in enumerate(
        ("/", "..", ".", "a", "dir", "deep", "b", "in", "out", "up_in", "absolute", "loop", "allowed", "fifo", "gone", "self",
         "out_dir", "out_again", "magic", "root", "secret", "near", "linked", "outside", "in/deep", "../root", "back", "chain",
         "chain2", "sibling"))}
    for path in ("a", "dir / deep / b", "in / a", "up_in", "absolute / a", "out", "out_dir / secret", "allowed / b", "gone",
                 "allowed / outside / a", "self / self / a", "dir / root / a", "loop", "fifo", ".. / root / a", "/ a", "magic",
                 "near / a", "dir /", "self / dir / .. / a", "out_dir / root / b", "out_again",
                 "sibling / a", "chain / a", "chain2 / secret"):
        for choice in range(0, 16, 3):
            corpus.add("files", bytes([choice]) + bytes(numbers[word] for word in path.split()))
    rows = ([b"a", b"b,c", b'say "x"'], [b"", b"", b""], [b""], [b"two\nlines", b"cr\r", b"\0"], ["ü€\U0001f600".encode(), b"\xff\xc0\x80"],
            [b"=1+1", b"@x", b" lead", b'"'], [b'""', b",", b"\n"], [b"x" * 200])
    table = b""
    for row in rows:
        line = b"".join(bytes([len(cell)]) + cell for cell in row)
        table += line + b"\xff"
        corpus.add("csv", line)
        corpus.add("csv", table)
    def text(words):
        return bytes([len(words)]) + words

    record = b"\0\x40" + text(b"a/b.dcm")
    cells = b"".join(b"\3" + bytes([column]) + text(words) for column, words in enumerate(
        (b"one", b"two,three", b'"', b"line\nline", "ü".encode(), b"=1", b"1\\2")))
    frame = b"\1" + text(b"png/x,y.png") + text(b"noted") + b"\7\xff"
    failed = b"\0\x57" + text(b"c\xff\n.dcm") + b"\2" + text(b"why, \"so\"") + text(b"CT")
    for choice, operations in enumerate((record, record + cells, record + cells + frame * 3, record + cells + failed,
                                         failed * 3 + record + frame, (record + cells + frame) * 4)):
        corpus.add("tables", bytes([choice % 2]) + operations)
    folder = os.path.join(HERE, "corpus", "wire")
    bodies = [(5 if name.endswith("frame") else 3, read(os.path.join(folder, name))) for name in sorted(os.listdir(folder))]
    messages = [struct.pack("<IB", len(body), kind) + body for kind, body in bodies if len(body) < 4096]
    for number, message in enumerate(messages):
        corpus.add("pool", bytes([2, number * 7]) + message + messages[number - 1])
        corpus.add("pool", bytes([0x80, number]) + struct.pack("<IB", 0, 1) + message)
    # The two requests, without their headers: convert is in the order of wire_write_convert().
    convert = struct.pack("<I8BIdd6BIQQIIIIQQ2B", 7, 0, 1, 1, 1, 1, 0, 3, 1, 1, 40, 400, 1, 1, 0, 0, 0, 3, 2, 4096, 1 << 28, 100, 1000, 64,
                          1000, 1 << 20, 1 << 30, 1, 1)
    corpus.add("wire", convert)
    corpus.add("wire", struct.pack("<IB", 3, 1))


def render_inputs(corpus):
    """The header of fuzz_render.c, and samples that rise."""
    numbers = (struct.pack("<4d", 40, 400, 1, -1024), struct.pack("<4d", 2048, 4096, 0.25, 0),
               struct.pack("<4d", -3e300, 1e300, 2e10, 1e-3), struct.pack("<4d", 0, 1, -1, 0.5),
               struct.pack("<4d", 1, 1e308, 1.5e306, 0))
    rising = b"".join(struct.pack("<h", value) for value in range(-700, 700, 7))
    for number, text in enumerate(numbers):
        for scaling in range(4):
            for kind in range(5):
                flags = (number * 5 + kind) % 8 * 32
                corpus.add("render", bytes((11, 13 + number, kind | flags, scaling | 8 * (kind % 2) | 16 * (number % 2), 11,
                                            number * 4 + kind % 3 | flags, 16, 1)) + text + rising)


def dicom_files(corpus, samples, folder, more):
    home = os.path.join(folder, "samples")
    for options in (("--ct", "1"), ("--only", "windows")):
        subprocess.run([samples, home, *options], check=True, stdout=subprocess.DEVNULL)
    shapes = os.path.join(folder, "matrix")
    subprocess.run([samples, shapes, "--matrix"], check=True, stdout=subprocess.DEVNULL)
    for image in matrix_shapes.choose(os.path.join(shapes, "matrix.tsv")):
        path = os.path.join(shapes, "dicom", image + ".dcm")
        if os.path.getsize(path) < 4096:
            corpus.add("image", read(path), "matrix")
    for where, _, names in sorted(os.walk(home)) + (sorted(os.walk(more)) if more else []):
        for name in sorted(names):
            path = os.path.join(where, name)
            size = os.path.getsize(path)
            is_text = "CHARACTER_SETS" in where
            if size <= LONGEST and not where.startswith(home) or 150 < size <= (LONGEST if not is_text else 4160):
                corpus.add("dicom", read(path))
                if not is_text:
                    corpus.add("image", read(path))


def main():
    if len(sys.argv) not in (3, 4):
        raise SystemExit(__doc__)
    samples, output = sys.argv[1:3]
    corpus = Corpus(output)
    with tempfile.TemporaryDirectory(prefix="niffler-corpus-") as folder:
        streams = Streams(corpus, folder)
        jpeg_streams(streams)
        wavelet_streams(streams)
        dicom_files(corpus, os.path.abspath(samples), folder, sys.argv[3] if len(sys.argv) == 4 else None)
    png_programs(corpus)
    render_inputs(corpus)
    texts(corpus)
    print(", ".join("%s: %d" % pair for pair in sorted(corpus.counts.items())))


if __name__ == "__main__":
    main()
