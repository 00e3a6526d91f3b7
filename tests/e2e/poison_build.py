"""DICOM files that lie: an image of which any element can be replaced or left out, and the streams of all codecs to damage.
Everything follows from the arguments; nothing of it is in the repository."""
import random
import struct
import subprocess
import tempfile
import zlib

import codec_files

EXPLICIT, IMPLICIT, BIG = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.2"
DEFLATED = "1.2.840.10008.1.2.1.99"
RLE, FRAME_DEFLATED = "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.8.1"
LONG_VRS = ("OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV")
UNDEFINED = 0xFFFFFFFF
ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
PIXELS = 0x7FE00010
ROWS, COLUMNS, SAMPLES, PHOTOMETRIC, PLANAR, FRAMES = 0x00280010, 0x00280011, 0x00280002, 0x00280004, 0x00280006, 0x00280008
ALLOCATED, STORED, HIGH_BIT, SIGNED = 0x00280100, 0x00280101, 0x00280102, 0x00280103
PATIENT_ID, STUDY, SERIES, INSTANCE, CHARSET, NAME = 0x00100020, 0x0020000D, 0x0020000E, 0x00080018, 0x00080005, 0x00100010
SIDE = 32  # rows and columns of the images


def tag_bytes(tag):
    return struct.pack("<HH", tag >> 16, tag & 0xFFFF)


def element(tag, vr, value=b"", length=None):
    """In explicit VR little endian; `length` is what the header says, whatever the value is."""
    if isinstance(value, str):
        value = value.encode("utf-8", "surrogateescape")
    if length is None:
        value += (b"\0" if vr in ("UI", "OB", "UN") else b" ") * (len(value) % 2)
        length = len(value)
    name = vr.encode("latin-1") if isinstance(vr, str) else vr
    if vr in LONG_VRS:
        return tag_bytes(tag) + name + struct.pack("<HI", 0, length) + value
    return tag_bytes(tag) + name + struct.pack("<H", length & 0xFFFF) + value


def number(tag, value):
    return element(tag, "US", struct.pack("<H", value))


def item(content=b"", tag=ITEM, length=None):
    return tag_bytes(tag) + struct.pack("<I", len(content) if length is None else length) + content


def meta(syntax, more=b""):
    body = (element(0x00020001, "OB", b"\0\1") + element(0x00020002, "UI", codec_files.SC_CLASS)
            + element(0x00020003, "UI", "2.25.9") + element(0x00020010, "UI", syntax) + more)
    return bytes(128) + b"DICM" + element(0x00020000, "UL", struct.pack("<I", len(body))) + body


def ramp(samples=1):
    """The bytes of an image of 8 bits."""
    return bytes((x * 5 + y * 3 + sample * 40) % 251 for y in range(SIDE) for x in range(SIDE) for sample in range(samples))


def header(ident, changes=None, samples=1, frames=None, **_):
    """{tag: bytes of the element} of everything before the pixel data. `changes`: {tag: bytes, or None to leave it out}."""
    elements = {
        0x00080016: element(0x00080016, "UI", codec_files.SC_CLASS), INSTANCE: element(INSTANCE, "UI", "2.25.8"),
        0x00080060: element(0x00080060, "CS", "OT"), NAME: element(NAME, "PN", "Poison^P"),
        PATIENT_ID: element(PATIENT_ID, "LO", "POISON-" + ident),
        STUDY: element(STUDY, "UI", "2.25.6"), SERIES: element(SERIES, "UI", "2.25.7"),
        SAMPLES: number(SAMPLES, samples), PHOTOMETRIC: element(PHOTOMETRIC, "CS", "RGB" if samples == 3 else "MONOCHROME2"),
        PLANAR: number(PLANAR, 0), FRAMES: element(FRAMES, "IS", str(frames or 1)),
        ROWS: number(ROWS, SIDE), COLUMNS: number(COLUMNS, SIDE), ALLOCATED: number(ALLOCATED, 8),
        STORED: number(STORED, 8), HIGH_BIT: number(HIGH_BIT, 7), SIGNED: number(SIGNED, 0),
    }
    elements.update(changes or {})
    return b"".join(elements[tag] for tag in sorted(elements) if elements[tag] is not None)


def native(ident, changes=None, pixels=None, before=b"", behind=b"", syntax=EXPLICIT, **more):
    pixels = element(PIXELS, "OB", ramp(more.get("samples", 1))) if pixels is None else pixels
    return meta(syntax) + header(ident, changes, **more) + before + pixels + behind


def encapsulated(streams, table=b""):
    """The pixel data element; each stream a fragment of its own."""
    return (element(PIXELS, "OB", b"", UNDEFINED) + item(table) + b"".join(item(s + b"\0" * (len(s) % 2)) for s in streams)
            + item(tag=SEQUENCE_END))


def compressed(ident, syntax, streams, changes=None, pixels=None, **more):
    """Frames that are compressed; `pixels` instead of what encapsulated() makes of the streams."""
    return meta(syntax) + header(ident, changes, **more) + (encapsulated(streams) if pixels is None else pixels)


def rle(pixels, count=1):
    """Literal runs, in one segment; `count` is what the header says."""
    packed = b"".join(bytes([len(pixels[at:at + 128]) - 1]) + pixels[at:at + 128] for at in range(0, len(pixels), 128))
    return struct.pack("<16I", count, 64, *[0] * 14) + packed


def deflate(data):
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(data) + packer.flush()


def deflated_many(data, times):
    """`data` so many times, deflated once: a full flush ends at a whole byte and forgets what was before."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = packer.compress(data) + packer.flush(zlib.Z_FULL_FLUSH)
    return block * times + deflate(b"")


def set_samples(stream, at, *values):
    """A stream with bytes replaced from place `at` on."""
    return stream[:at] + bytes(values) + stream[at + len(values):]


class Codecs:
    """One good stream of each codec, of the same grey picture of 8 bits: {name: (transfer syntax, stream)}."""

    def __init__(self):
        pixels = ramp()
        with tempfile.TemporaryDirectory() as folder:
            array = codec_files.numpy.frombuffer(pixels, dtype="u1").reshape(SIDE, SIDE, 1).astype("int64")
            self.streams = {
                "rle": (RLE, rle(pixels)),
                "deflate": (FRAME_DEFLATED, deflate(pixels)),
                "jpeg": ("1.2.840.10008.1.2.4.50", codec_files.cjpeg(folder, array, "-quality", "90")),
                "progressive": ("1.2.840.10008.1.2.4.50", codec_files.cjpeg(folder, array, "-progressive")),
                "lossless": ("1.2.840.10008.1.2.4.70", self.by_dcmtk(folder, "dcmcjpeg", "+e1")),
                "jpegls": ("1.2.840.10008.1.2.4.80", self.by_dcmtk(folder, "dcmcjpls", "+el")),
                "j2k": ("1.2.840.10008.1.2.4.90", codec_files.opj(folder, array, 8)),
                "htj2k": ("1.2.840.10008.1.2.4.201", codec_files.ojph(folder, array, 8)),
                "jxl": ("1.2.840.10008.1.2.4.110", codec_files.cjxl(folder, array, 8, "-d", "0")),
            }

    @staticmethod
    def by_dcmtk(folder, *command):
        """The stream that one of DCMTK's encoders makes: its file's first fragment behind the offset table."""
        with open(folder + "/in.dcm", "wb") as file:
            file.write(native("codec"))
        subprocess.run([*command, folder + "/in.dcm", folder + "/out.dcm"], check=True, stdout=subprocess.DEVNULL)
        with open(folder + "/out.dcm", "rb") as file:
            data = file.read()
        at = data.index(tag_bytes(PIXELS) + b"OB") + 12
        at += 8 + struct.unpack_from("<I", data, at + 4)[0]
        return data[at + 8:at + 8 + struct.unpack_from("<I", data, at + 4)[0]]


def flipped(stream, seed, count=6):
    """So many bits of a stream changed, none of them in its first two bytes."""
    chance, changed = random.Random(seed), bytearray(stream)
    for _ in range(count):
        changed[chance.randrange(2, len(changed))] ^= 1 << chance.randrange(8)
    return bytes(changed)
