"""DICOM files of a few hundred bytes, one of each kind that takes a way of its own through the fleet."""
import os
import struct

EXPLICIT, RLE = b"1.2.840.10008.1.2.1", b"1.2.840.10008.1.2.5"
SECONDARY_CAPTURE, BASIC_TEXT_SR = b"1.2.840.10008.5.1.4.1.1.7", b"1.2.840.10008.5.1.4.1.1.88.11"
LONG_VRS = (b"OB", b"OW", b"SQ", b"UT", b"UN")


def element(group, number, vr, value):
    if len(value) % 2:
        value += b"\0" if vr in (b"UI", b"OB") else b" "
    head = struct.pack("<HH", group, number) + vr
    return head + (struct.pack("<HI", 0, len(value)) if vr in LONG_VRS else struct.pack("<H", len(value))) + value


def number(value):
    return struct.pack("<H", value)


def meta(sop_class, uid, syntax):
    rest = (element(2, 1, b"OB", b"\0\1") + element(2, 2, b"UI", sop_class) + element(2, 3, b"UI", uid)
            + element(2, 0x10, b"UI", syntax) + element(2, 0x12, b"UI", b"2.25.1"))
    return b"\0" * 128 + b"DICM" + element(2, 0, b"UL", struct.pack("<I", len(rest))) + rest


def fragment(data):
    return struct.pack("<HHI", 0xFFFE, 0xE000, len(data)) + data


def rle_frame(pixels):
    """One segment of literal runs."""
    packed = b"".join(bytes([len(pixels[at:at + 128]) - 1]) + pixels[at:at + 128] for at in range(0, len(pixels), 128))
    packed += b"\0" * (len(packed) % 2)
    return struct.pack("<16I", 1, 64, *[0] * 14) + packed


def dicom(index, frames=1, size=8, pixels=None, encapsulated=None, comment=b"", sop_class=SECONDARY_CAPTURE):
    """Pixels: those of all frames, `size` x `size` bytes each; or fragments, one for each frame; or neither: no image."""
    uid = b"2.25.%d" % (10 ** 6 + index)
    has_image = pixels is not None or encapsulated is not None
    data = meta(sop_class, uid, RLE if encapsulated is not None else EXPLICIT)
    data += element(8, 0x16, b"UI", sop_class) + element(8, 0x18, b"UI", uid)
    data += element(8, 0x60, b"CS", b"OT" if has_image else b"SR")
    data += element(0x10, 0x10, b"PN", b"Tiny^%d" % index) + element(0x10, 0x20, b"LO", b"T%d" % (index // 50))
    data += element(0x20, 0xD, b"UI", b"2.25.2%d" % (index // 10)) + element(0x20, 0xE, b"UI", b"2.25.3%d" % (index // 5))
    data += element(0x20, 0x13, b"IS", b"%d" % index)
    if comment:
        data += element(0x20, 0x4000, b"LT", comment)
    if not has_image:
        return data
    data += element(0x28, 2, b"US", number(1)) + element(0x28, 4, b"CS", b"MONOCHROME2")
    if frames > 1:
        data += element(0x28, 8, b"IS", b"%d" % frames)
    for tag, value in ((0x10, size), (0x11, size), (0x100, 8), (0x101, 8), (0x102, 7), (0x103, 0)):
        data += element(0x28, tag, b"US", number(value))
    if encapsulated is None:
        return data + element(0x7FE0, 0x10, b"OB", pixels)
    return (data + struct.pack("<HH", 0x7FE0, 0x10) + b"OB" + struct.pack("<HI", 0, 0xFFFFFFFF) + fragment(b"")
            + b"".join(fragment(frame) for frame in encapsulated) + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0))


def ramp(index, size=8):
    return bytes((index * 7 + at * 3) % 256 for at in range(size * size))


def image(index):
    return dicom(index, pixels=ramp(index))


def cine(index):
    return dicom(index, frames=3, pixels=b"".join(ramp(index + frame) for frame in range(3)))


def bad_frame(index):
    """The second of three frames is nonsense."""
    return dicom(index, frames=3, encapsulated=[rle_frame(ramp(index)), b"\xff" * 70, rle_frame(ramp(index + 2))])


def cut_short(index):
    return dicom(index, pixels=ramp(index)[:20])


def long_record(index, length=6000):
    """Its record is longer than a small max.message.bytes."""
    return dicom(index, pixels=ramp(index), comment=b"word " * (length // 5))


def report(index):
    return dicom(index, sop_class=BASIC_TEXT_SR)


def deep(index):
    """Five thousand sequences, each in the one before: the stack of a careless reader ends here."""
    open_item = struct.pack("<HH", 0x40, 0xA730) + b"SQ" + struct.pack("<HI", 0, 0xFFFFFFFF) + struct.pack(
        "<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)
    return report(index) + open_item * 5000


def not_dicom(index):
    return b"note number %d\n" % index


ODD = (("cine", cine, ".dcm"), ("badframe", bad_frame, ".dcm"), ("cut", cut_short, ".dcm"), ("long", long_record, ".dcm"),
       ("report", report, ".dcm"), ("deep", deep, ".dcm"), ("note", not_dicom, ".txt"))


def write(folder, count, odd_every=0, first=0):
    """`count` files in their order of names; with odd_every, each so many-th is an odd one, each kind in its turn."""
    for index in range(first, first + count):
        name, make, ending = "image", image, ".dcm"
        if odd_every and index % odd_every == odd_every - 1:
            name, make, ending = ODD[index // odd_every % len(ODD)]
        place = os.path.join(folder, "%04d" % (index // 500))
        if index % 500 == 0 or index == first:
            os.makedirs(place, exist_ok=True)
        with open(os.path.join(place, "%06d-%s%s" % (index, name, ending)), "wb") as file:
            file.write(make(index))
    return folder
