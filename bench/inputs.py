"""The files that bench/run measures: of each kind a folder of copies, each with a name and a SOP Instance UID of its own, and
one folder for all, as a tool that names its outputs by its inputs needs it. Pictures of the real world where a folder of them
is at hand, otherwise those of niffler-png-samples; `description` says which. All are made by encapsulate.py, DCMTK's,
OpenJPEG's and OpenJPH's encoders."""
import csv
import os
import shutil
import subprocess
import sys

import numpy
import png

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[:0] = [os.path.join(ROOT, "tests", "samples"), os.path.join(ROOT, "tests", "e2e")]
import codec_files  # noqa: E402  (the path comes first)
import encapsulate  # noqa: E402

SOURCE_TITLE, MEDIA_INSTANCE, INSTANCE = 0x00020016, 0x00020003, 0x00080018
TITLE_MAX = 16  # characters of an application entity title, PS3.5 Section 6.2
PICTURES = 6  # as many different ones of a kind
DX_ROWS, DX_COLUMNS = 2128, 2000
US_ROWS, US_COLUMNS = 480, 640
CINE_FRAMES = 70
LOSSLESS = ("1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70", "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.90",
            "1.2.840.10008.1.2.5")
NATIVE = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2")
RADIOGRAPHS = ("DX", "CR", "MG", "RG")

# Kind: how many copies. Enough for the start of a process to be small in it.
COPIES = {"ct": 1200, "ct-samples": 600, "lossless": 300, "rle": 1200, "jpegls": 150, "jpeg2000": 48, "htj2k": 96, "us": 600,
          "dx": 120, "dx-samples": 16, "jpeg": 12}
COMPRESSED = {"lossless": ("dcmcjpeg", "+e1"), "rle": ("dcmcrle",), "jpegls": ("dcmcjpls",)}
BY_OURSELVES = {"jpeg2000": "1.2.840.10008.1.2.4.90", "htj2k": "1.2.840.10008.1.2.4.201"}


class Missing(Exception):
    """Something that a line needs is not there; the text says what."""


def elements_of(path):
    """As encapsulate.read(), also of compressed pixel data. Explicit little endian."""
    with open(path, "rb") as file:
        data = file.read()
    elements, at = {}, 132
    while at < len(data):
        tag, vr, length, value = encapsulate.header(data, at)
        end = encapsulate.end_of(data, at)
        elements[tag] = (vr, data[value:end] if length != encapsulate.UNDEFINED else None, data[at:end])
        at = end
    return elements


def syntax_of(path):
    """The transfer syntax: that element is explicit little endian in every file. "" where there is none."""
    try:
        with open(path, "rb") as file:
            data = file.read(4096)
        at = data.index(b"\2\0\x10\0UI", 132)
        length = data[at + 6] | data[at + 7] << 8
        return data[at + 8:at + 8 + length].rstrip(b"\0 ").decode("ascii")
    except (OSError, ValueError):
        return ""


def fragments(path):
    """The fragments of the pixel data behind the offset table."""
    raw = elements_of(path)[encapsulate.PIXELS][2]
    found, at = [], 12
    while True:
        tag, _, length, value = encapsulate.header(raw, at)
        if tag != 0xFFFEE000:
            return found[1:]
        found.append(raw[value:value + length])
        at = value + length


def pixels_of(elements):
    """The only frame, rows x columns x samples."""
    rows, columns, samples = (encapsulate.number(elements, tag)
                              for tag in (encapsulate.ROWS, encapsulate.COLUMNS, encapsulate.SAMPLES))
    kind = "i" if encapsulate.number(elements, encapsulate.SIGNED) else "u"
    width = encapsulate.number(elements, encapsulate.ALLOCATED) // 8
    values = numpy.frombuffer(elements[encapsulate.PIXELS][1], "<%s%d" % (kind, width), rows * columns * samples)
    return values.reshape(rows, columns, samples).astype(numpy.int64)


def pixel_count(row):
    return int(row.get("Rows") or 0) * int(row.get("Columns") or 0)


def is_kind(row, kind):
    """Whether a row of metadata.csv is about a picture of one frame of the kind."""
    if row.get("NumberOfFrames") not in (None, "", "1") or row.get("has_pix_array") != "True":
        return False
    modality, photometric = row.get("Modality"), row.get("PhotometricInterpretation", "")
    if kind == "us":
        return modality == "US" and photometric == "RGB" and pixel_count(row) >= 1 << 18
    if not photometric.startswith("MONOCHROME") or row.get("BitsAllocated") != "16":
        return False
    if kind == "ct":
        return modality == "CT" and row["Rows"] == row["Columns"] == "512"
    return modality in RADIOGRAPHS and pixel_count(row) >= 1 << 21


def picture_of(number, files, pictures):
    """Which of the pictures the file of that number is a copy of: those of one come one after another."""
    return number * pictures // len(files)


def some_of(files, count=PICTURES):
    """So many, from the first on and at equal distances: of each picture as many as of any other."""
    return [files[number * len(files) // count] for number in range(count)]


class Inputs:
    """`real` is a folder of files of the real world or None; `work` is for the files that are made."""

    def __init__(self, build, work, real, real_name):
        self.build, self.work, self.real, self.real_name = build, work, real, real_name
        self.program = os.path.join(build, "niffler-png")
        self.made, self.rows = {}, None
        self.pictures = {}  # how many different ones, by kind
        self.scratch = os.path.join(work, "scratch")
        os.mkdir(self.scratch)

    # ---- what is asked for ----

    def folder(self, kind):
        """-> folder, its files, what they are. Raises Missing."""
        if kind not in self.made:
            self.made[kind] = self.make(kind)
        return self.made[kind]

    def drop(self, kind):
        """Its memory is wanted for others."""
        if kind in self.made:
            shutil.rmtree(self.made.pop(kind)[0])

    def make(self, kind):
        if kind == "ct-samples":
            sources, what = self.sample("ct", "--ct", str(PICTURES)), "generated"
        elif kind == "dx-samples":
            sources, what = [self.enlarged_dx()], "generated %dx%d" % (DX_COLUMNS, DX_ROWS)
        elif kind == "jpeg":
            sources, what = [self.cine()], "generated"
        elif kind in COMPRESSED or kind in BY_OURSELVES:
            natives, what = self.sources("ct")
            sources = [self.compress(kind, path) for path in natives]
        else:
            sources, what = self.sources(kind)
        home = os.path.join(self.work, "in-" + kind)
        os.mkdir(home)
        taken = [elements_of(path) for path in sources]
        files = [os.path.join(home, "%s%04d.dcm" % (kind, number)) for number in range(COPIES[kind])]
        for number, path in enumerate(files):
            self.copy(taken[picture_of(number, files, len(taken))], number, path)
        self.pictures[kind] = len(taken)
        return home, files, what

    @staticmethod
    def copy(elements, number, path):
        uid = "1.2.826.0.1.3680043.10.1.%d" % (number + 1)
        for tag in (MEDIA_INSTANCE, INSTANCE):
            encapsulate.put(elements, tag, b"UI", uid)
        # dicom-toimage refuses the file otherwise, and no tool writes it anywhere.
        if SOURCE_TITLE in elements and len(elements[SOURCE_TITLE][1].rstrip(b" \0")) > TITLE_MAX:
            encapsulate.put(elements, SOURCE_TITLE, b"AE", "BENCH")
        encapsulate.write(path, elements)

    def run(self, *command):
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        return done.returncode == 0

    def scratch_file(self, name):
        return os.path.join(self.scratch, name)

    # ---- pictures ----

    def sources(self, kind):
        """Native files, explicit little endian, of kind ct, dx or us -> paths, what they are."""
        found = self.pick(kind) if self.real else []
        if found:
            rows, columns = (encapsulate.number(elements_of(found[0]), tag) for tag in (encapsulate.ROWS, encapsulate.COLUMNS))
            shape = "" if kind != "dx" else " %dx%d" % (columns, rows)
            return found, "%s: %d picture%s%s" % (self.real_name, len(found), "s" * (len(found) > 1), shape)
        if kind == "ct":
            return self.sample("ct", "--ct", str(PICTURES)), "generated"
        if kind == "us":
            return [self.us()], "generated"
        raise Missing("no native radiograph of 2 megapixels among the real files")

    def sample(self, group, *arguments):
        folder = self.scratch_file("sample-" + group)
        if not os.path.isdir(folder):
            subprocess.run([os.path.join(self.build, "niffler-png-samples"), folder, "--only", group, *arguments], check=True,
                           stdout=subprocess.DEVNULL)
        return sorted(os.path.join(path, name) for path, _, names in os.walk(folder) for name in names)

    def enlarged_dx(self):
        """The DX of the samples at the size of a detector: between its pixels by interpolation, and noise on top."""
        elements = elements_of(self.sample("dx")[0])
        small = pixels_of(elements)[:, :, 0].astype(float)
        for axis, size in ((0, DX_ROWS), (1, DX_COLUMNS)):
            at = numpy.linspace(0, small.shape[axis] - 1.001, size)
            low, part = at.astype(int), at % 1
            part = part[:, None] if axis == 0 else part[None, :]
            small = small.take(low, axis) * (1 - part) + small.take(low + 1, axis) * part
        most = 2**encapsulate.number(elements, encapsulate.STORED) - 1
        noise = numpy.random.RandomState(1).normal(0, 10, small.shape)
        pixels = numpy.clip(small + noise, 0, most).astype("<u2")
        for tag, value in ((encapsulate.ROWS, DX_ROWS), (encapsulate.COLUMNS, DX_COLUMNS)):
            encapsulate.put(elements, tag, b"US", int(value).to_bytes(2, "little"))
        encapsulate.put(elements, encapsulate.PIXELS, b"OW", pixels.tobytes())
        path = self.scratch_file("dx.dcm")
        encapsulate.write(path, elements)
        return path

    def us(self):
        path = self.scratch_file("us.dcm")
        codec_files.write_native(path, codec_files.sector(US_COLUMNS, US_ROWS, 1), 8)
        return path

    def cine(self):
        """A colour ultrasound of many frames: a sector of speckle on black, which moves."""
        frames = [codec_files.cjpeg(self.scratch, codec_files.sector(US_COLUMNS, US_ROWS, number), "-quality", "90", "-sample",
                                    "2x1") for number in range(CINE_FRAMES)]
        path = self.scratch_file("cine.dcm")
        codec_files.write_encapsulated(path, frames, (US_ROWS, US_COLUMNS, 3), 8, ".4.50", photometric="YBR_FULL_422")
        return path

    def compress(self, kind, path):
        made = "%s.%s" % (path if path.startswith(self.scratch) else self.scratch_file(os.path.basename(path)), kind)
        if kind in COMPRESSED:
            if not self.run(*COMPRESSED[kind], path, made):
                raise Missing("%s refuses a CT" % COMPRESSED[kind][0])
            return made
        elements = elements_of(path)
        if kind == "htj2k":
            if shutil.which("ojph_compress") is None:
                raise Missing("ojph_compress (package openjph-tools)")
            stream = codec_files.ojph(self.scratch, pixels_of(elements), encapsulate.number(elements, encapsulate.STORED),
                                      is_signed=bool(encapsulate.number(elements, encapsulate.SIGNED)))
        else:
            stream = encapsulate.compress(elements, encapsulate.native_frames(elements)[0], False)
        encapsulate.put(elements, encapsulate.TRANSFER_SYNTAX, b"UI", BY_OURSELVES[kind])
        elements[encapsulate.PIXELS] = (b"OB", None, encapsulate.items([stream], 1))
        encapsulate.write(made, elements)
        return made

    # ---- files of the real world ----

    def table(self):
        """Rows of metadata.csv of all real files, in the order of their paths."""
        if self.rows is None:
            out = self.scratch_file("real-metadata")
            subprocess.run([self.program, "extract", "--DICOMHome", self.real, "--OutputDirectory", out, "--PrintImages",
                            "false"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
            csv.field_size_limit(10**9)
            with open(os.path.join(out, "metadata.csv"), encoding="utf-8", newline="") as file:
                self.rows = sorted(csv.DictReader(file), key=lambda row: row["file"])
            shutil.rmtree(out)
        return self.rows

    def pick(self, kind):
        """Different pictures of a kind, as native files; [] where there are none. Of radiographs the largest, alone."""
        found, seen = [], set()
        rows = [row for row in self.table() if is_kind(row, kind)]
        if kind == "dx":
            rows.sort(key=pixel_count, reverse=True)
        for row in rows:
            if len(found) == (1 if kind == "dx" else PICTURES):
                break
            path = None if row.get("SOPInstanceUID") in seen else self.native(row, kind)
            if path:
                found.append(path)
                seen.add(row.get("SOPInstanceUID"))
        return found

    def native(self, row, kind):
        """A real file as explicit little endian, or None: a compressed radiograph is decoded, other kinds are taken only as
        they are."""
        source = row["file"] if os.path.isabs(row["file"]) else os.path.join(self.real, row["file"])
        made = self.scratch_file("%s-%d.dcm" % (kind, len(os.listdir(self.scratch))))
        if syntax_of(source) in NATIVE:
            return made if self.run("dcmconv", "+te", source, made) and self.converts(made) else None
        if kind != "dx" or syntax_of(source) not in LOSSLESS:
            return None  # what a lossy codec has smoothed is not what a detector gives
        out = self.decode(source, "stored")
        pictures = [os.path.join(path, name) for path, _, names in os.walk(out) for name in names if name.endswith(".png")]
        if len(pictures) == 1:
            columns, rows, values, _ = png.Reader(filename=pictures[0]).read()
            pixels = numpy.array(list(values), dtype=numpy.int64).reshape(rows, columns, 1)
            codec_files.write_native(made, pixels, int(row["BitsStored"]))
        shutil.rmtree(out)
        return made if len(pictures) == 1 else None

    def decode(self, path, scaling):
        home, out = self.scratch_file("one"), self.scratch_file("one-out")
        os.mkdir(home)
        os.symlink(os.path.abspath(path), os.path.join(home, "one.dcm"))
        subprocess.run([self.program, "extract", "--DICOMHome", home, "--OutputDirectory", out, "--LinkRoots", "anywhere",
                        "--PixelScaling", scaling], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        shutil.rmtree(home)
        return out

    def converts(self, path):
        """Whether it gives a picture: a damaged file is nothing to compare with."""
        out = self.decode(path, "full")
        count = sum(name.endswith(".png") for _, _, names in os.walk(out) for name in names)
        shutil.rmtree(out)
        return count == 1
