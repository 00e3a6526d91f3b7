"""DICOM files for the tests, element by element, in Explicit VR Little Endian."""
import struct

LONG = {"OB", "OW", "SQ", "UN"}


def element(tag, vr, value):
    """`value`: bytes, a text, a number of US, or a list of the items of a sequence, each the bytes of its elements."""
    if vr == "SQ":
        value = b"".join(struct.pack("<HHI", 0xFFFE, 0xE000, len(item)) + item for item in value)
    elif vr in ("US", "SS"):
        value = struct.pack("<%d%s" % (len(value), "H" if vr == "US" else "h"), *value)
    elif isinstance(value, str):
        value = value.encode("ascii")
    value += (b"\0" if vr in LONG or vr == "UI" else b" ") * (len(value) % 2)
    length = struct.pack("<HI", 0, len(value)) if vr in LONG else struct.pack("<H", len(value))
    return struct.pack("<HH", tag >> 16, tag & 0xFFFF) + vr.encode("ascii") + length + value


def image(rows, columns, pixels, *, bits=16, stored=None, samples=1, frames=1, before=b"", after=b""):
    """A file. `before` are elements of groups below 0028, `after` of those between 0028 and 7FE0."""
    stored = stored or bits
    meta = element(0x00020010, "UI", "1.2.840.10008.1.2.1")
    return b"".join((
        bytes(128), b"DICM", element(0x00020000, "UL", struct.pack("<I", len(meta))), meta,
        element(0x00080018, "UI", "1.2.3.4"), element(0x00100020, "LO", "PATIENT"), before,
        element(0x00280002, "US", [samples]),
        element(0x00280004, "CS", "RGB" if samples == 3 else "MONOCHROME2"),
        element(0x00280006, "US", [0]), element(0x00280008, "IS", str(frames)),
        element(0x00280010, "US", [rows]), element(0x00280011, "US", [columns]),
        element(0x00280100, "US", [bits]), element(0x00280101, "US", [stored]),
        element(0x00280102, "US", [stored - 1]), element(0x00280103, "US", [0]),
        after, element(0x7FE00010, "OW", pixels)))


def overlay(group, rows, columns, text, *, origin=(1, 1), more=b""):
    """The elements of a plane; `text` has a '#' for each set bit, and is None where the bits are in the pixels."""
    base, data = group << 16, b""
    if text is not None:
        packed = sum(1 << at for at, character in enumerate(text) if character == "#")
        data = element(base | 0x3000, "OW", packed.to_bytes((len(text) + 7) // 8, "little"))
    return b"".join((element(base | 0x0010, "US", [rows]), element(base | 0x0011, "US", [columns]),
                     element(base | 0x0040, "CS", "G"), element(base | 0x0050, "SS", origin), more, data))


def profile(length=156):
    """An ICC profile of RGB with one tag (ISO 15076-1)."""
    head = struct.pack(">IIII", length, 0, 0x04000000, 0x6D6E7472)[:12] + b"mntrRGB XYZ "
    head = head.ljust(36, b"\0") + b"acsp".ljust(32, b"\0") + struct.pack(">III", 0xF6D6, 0x10000, 0xD32D)
    return head.ljust(128, b"\0") + struct.pack(">I4sII", 1, b"cprt", 144, length - 144).ljust(length - 128, b"\1")
