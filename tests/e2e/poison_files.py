"""Poison: families of files that are broken, hostile or absurd, each file generated from a seed.

write(folder, seed) writes them all and returns {name: Promise}: what must become of those of which more is promised than that
they have a row. Which limits the test runs with: LIMITS."""
import os
import random
import struct

import poison_build as build
from poison_build import compressed, element, encapsulated, header, item, meta, native, number, tag_bytes

LIMITS = {"MaxPixels": "4M", "MaxFrames": "2000", "MaxAttributes": "20000", "MaxItems": "2000", "MaxMetadataBytes": "4M",
          "MaxPictureBytes": "1M", "DecoderMemory": "80M", "DecoderSeconds": "6", "FileSeconds": "8"}


class Promise:
    """The code of the failure, and words of its reason."""

    def __init__(self, code, *words):
        self.code, self.words = code, words


CONVERTED = Promise(None)


# ---- each field at its edges ----

def fields(_):
    names = {"rows": build.ROWS, "columns": build.COLUMNS, "samples": build.SAMPLES, "planar": build.PLANAR,
             "allocated": build.ALLOCATED, "stored": build.STORED, "highbit": build.HIGH_BIT, "signed": build.SIGNED}
    for name, tag in names.items():
        changes = {"0": number(tag, 0), "1": number(tag, 1), "max": number(tag, 65535), "absent": None,
                   "empty": element(tag, "US"), "text": element(tag, "LO", "AB"), "two": element(tag, "US", b"\2\0\3\0"),
                   "sequence": element(tag, "SQ", item(number(tag, 8))), "odd": element(tag, "US", b"\x20", 1)}
        for kind, changed in changes.items():
            ident = "%s-%s" % (name, kind)
            yield ident, native(ident, {tag: changed})
    for value in ("0", "1", "2", "2147483647", "4294967295", "-1", "99999999999999999999", "1e9", "abc", "", "1\\2", " 1 "):
        ident = "frames-is-%d%s" % (len(value), value[:3].strip().replace("\\", ""))
        yield ident, native(ident, {build.FRAMES: element(build.FRAMES, "IS", value)})
    for value in ("", "RGB", "YBR_FULL", "YBR_FULL_422", "YBR_PARTIAL_420", "YBR_ICT", "XYB", "PALETTE COLOR", "MONOCHROME1",
                  "monochrome2", "A" * 64, "\x1b$B", "../.."):
        ident = "photometric-%d" % len(value) + value[:4].strip("./\x1b$")
        yield ident, native(ident, {build.PHOTOMETRIC: element(build.PHOTOMETRIC, "CS", value)})
    yield "all-max", native("all-max", {tag: number(tag, 65535) for tag in names.values()})
    yield "pixels-bomb", native("pixels-bomb", {build.ROWS: number(build.ROWS, 65535), build.COLUMNS: number(build.COLUMNS, 65535)},
                                pixels=element(build.PIXELS, "OW", b"\0\0"))
    yield "frames-bomb", native("frames-bomb", frames=2000000000)
    yield "frames-many-short", native("frames-many-short", frames=1999)


# ---- every codec's stream, damaged ----

def streams(seed):
    codecs = build.Codecs().streams
    for name, (syntax, stream) in codecs.items():
        for eighth in range(8):
            ident = "%s-cut-%d" % (name, eighth)
            yield ident, compressed(ident, syntax, [stream[:len(stream) * eighth // 8]])
        for turn in range(5):
            ident = "%s-flipped-%d" % (name, turn)
            yield ident, compressed(ident, syntax, [build.flipped(stream, "%s %s" % (seed, ident))])
        for other, (_, foreign) in codecs.items():
            if other != name:
                ident = "%s-holds-%s" % (name, other)
                yield ident, compressed(ident, syntax, [foreign])
        for kind, changes in (("rows", {build.ROWS: number(build.ROWS, 2 * build.SIDE)}),
                              ("columns", {build.COLUMNS: number(build.COLUMNS, 1)}),
                              ("bits", {build.ALLOCATED: number(build.ALLOCATED, 16), build.STORED: number(build.STORED, 16)})):
            ident = "%s-other-%s" % (name, kind)
            yield ident, compressed(ident, syntax, [stream], changes)
        ident = "%s-plain" % name
        yield ident, native(ident, syntax=syntax)
    yield from hostile_jpeg(codecs)
    yield from hostile_jpeg2000(codecs)
    yield from hostile_others(codecs)


def hostile_jpeg(codecs):
    syntax, stream = codecs["jpeg"]
    frame = stream.index(b"\xff\xc0")
    scan = stream.index(b"\xff\xda")
    tables = stream.index(b"\xff\xc4")
    big = {build.ROWS: number(build.ROWS, 2000), build.COLUMNS: number(build.COLUMNS, 2000)}
    quarter = {"tem": stream[:2] + b"\xff\x01" + stream[2:],
               "tem-only": b"\xff\xd8\xff\x01" + b"\xff\xc0\0\x0b\x08\0\x20\0\x20\1\1\x11\0" + b"\xff\xd9",
               "two-frames": stream[:frame] + stream[frame:frame + 2 + stream[frame + 3]] + stream[frame:],
               "no-frame": stream[:frame] + stream[frame + 2 + stream[frame + 3]:],
               "zero-rows": build.set_samples(stream, frame + 5, 0, 0), "huge": build.set_samples(stream, frame + 5, 255, 255, 255, 255),
               "precision-0": build.set_samples(stream, frame + 4, 0), "precision-16": build.set_samples(stream, frame + 4, 16),
               "components-0": build.set_samples(stream, frame + 9, 0), "components-255": build.set_samples(stream, frame + 9, 255),
               "sampling-0": build.set_samples(stream, frame + 11, 0), "sampling-255": build.set_samples(stream, frame + 11, 255),
               "codes-all-1": build.set_samples(stream, tables + 5, *[255] * 16),
               "no-tables": stream[:2] + stream[frame:frame + 2 + stream[frame + 3]] + stream[scan:],
               "fill-bytes": stream[:2] + b"\xff" * 1000000 + stream[2:],
               "comments": stream[:2] + (b"\xff\xfe\xff\xff" + bytes(65533)) * 100 + stream[2:],
               "arithmetic": build.set_samples(stream, frame + 1, 0xC9), "lossless-claim": build.set_samples(stream, frame + 1, 0xC3),
               "differential": build.set_samples(stream, frame + 1, 0xC5), "restarts": stream[:scan] + b"\xff\xdd\0\4\0\1" + stream[scan:],
               "scans": stream[:-2] + stream[scan:-2] * 3000 + b"\xff\xd9"}
    for kind, bad in quarter.items():
        yield "jpeg-" + kind, compressed("jpeg-" + kind, syntax, [bad])
    _, progressive = codecs["progressive"]
    frame, scan = progressive.index(b"\xff\xc2"), progressive.index(b"\xff\xda")
    large = build.set_samples(progressive, frame + 5, 2000 >> 8, 2000 & 255, 2000 >> 8, 2000 & 255)
    # A scan of a few bytes makes the decoder go through all coefficients of four million pixels.
    bomb = large[:scan] + large[scan:scan + 40] * 5000 + b"\xff\xd9"
    yield "jpeg-scans-bomb", compressed("jpeg-scans-bomb", syntax, [bomb], big)


def hostile_jpeg2000(codecs):
    syntax, stream = codecs["j2k"]
    cod = stream.index(b"\xff\x52")
    big = struct.pack(">I", 0xFFFFFFFF)
    size = lambda *pairs: build_size(stream, pairs)  # noqa: E731
    bad = {"tiles-2-32": size((8, big), (12, big), (24, struct.pack(">I", 65535)), (28, struct.pack(">I", 65535))),
           "tiles-of-1": size((24, struct.pack(">I", 1)), (28, struct.pack(">I", 1))),
           "tiles-of-0": size((24, bytes(4)), (28, bytes(4))), "size-0": size((8, bytes(8))),
           "offset-beyond": size((16, big)), "tile-offset": size((32, big)), "components-16384": size((40, b"\x40\0")),
           "components-0": size((40, b"\0\0")), "depth-38": size((42, b"\x25")), "spacing-0": size((43, b"\0\0")),
           "spacing-255": size((43, b"\xff\xff")), "levels-33": build.set_samples(stream, cod + 9, 33),
           "layers-65535": build.set_samples(stream, cod + 6, 255, 255), "blocks-2-18": build.set_samples(stream, cod + 10, 8, 8),
           "progression-9": build.set_samples(stream, cod + 5, 9), "tile-part-long": build_tile_length(stream, 0xFFFFFFF0),
           "tile-part-short": build_tile_length(stream, 13)}
    for kind, changed in bad.items():
        yield "j2k-" + kind, compressed("j2k-" + kind, syntax, [changed])
    large = {build.ROWS: number(build.ROWS, 2000), build.COLUMNS: number(build.COLUMNS, 2000)}
    two_thousand = struct.pack(">II", 2000, 2000)
    for kind, tiles in (("tiles-10000", struct.pack(">II", 20, 20)), ("size-2000", two_thousand)):
        ident = "j2k-large-" + kind
        yield ident, compressed(ident, syntax, [size((8, two_thousand), (24, tiles))], large)


    syntax, stream = codecs["htj2k"]
    yield "htj2k-mel-marker", compressed("htj2k-mel-marker", syntax, [build_mel(stream, 0xFF, 0x90)])


def build_mel(stream, *values):
    """The MEL stream of the last block of all begins with these bytes (ITU-T T.814 7.1.1)."""
    end = stream.rindex(b"\xff\xd9")
    suffix = stream[end - 1] << 4 | stream[end - 2] & 15
    return build.set_samples(stream, end - suffix, *values)


def build_size(stream, pairs):
    for at, value in pairs:
        stream = stream[:at] + value + stream[at + len(value):]
    return stream


def build_tile_length(stream, length):
    at = stream.index(b"\xff\x90") + 6
    return stream[:at] + struct.pack(">I", length) + stream[at + 4:]


def hostile_others(codecs):
    big = {build.ROWS: number(build.ROWS, 2000), build.COLUMNS: number(build.COLUMNS, 2000)}
    most = {build.ROWS: number(build.ROWS, 65535), build.COLUMNS: number(build.COLUMNS, 65535)}
    runs = b"\x81\0" * (2000 * 2000 // 128 + 1)
    places = lambda count, *values: struct.pack("<16I", count, *values, *[0] * (15 - len(values)))  # noqa: E731
    bad = {"bomb-65535": (places(1, 64) + b"\x81\0" * 64, most), "bomb-2000": (places(1, 64) + runs, big),
           "header-cut": (b"\1\0\0\0\x40\0\0\0" + bytes(8), {}), "segments-15": (places(15, *[64] * 15) + runs[:64], {}),
           "segments-16": (places(16, *[64] * 15) + runs[:64], {}), "segments-0": (places(0), {}),
           "place-beyond": (places(1, 0xFFFFFFFF) + runs[:64], {}), "place-in-header": (places(1, 4) + runs[:64], {}),
           "places-backwards": (places(2, 400, 64) + runs[:512], {build.ALLOCATED: number(build.ALLOCATED, 16)}),
           "no-operations": (places(1, 64) + b"\x80" * 3000000, {}), "literal-cut": (places(1, 64) + b"\x7f\1", {})}
    for kind, (stream, changes) in bad.items():
        yield "rle-" + kind, compressed("rle-" + kind, build.RLE, [stream], changes)
    zeros = build.deflated_many(bytes(1 << 20), 500)
    yield "deflate-frame-bomb", compressed("deflate-frame-bomb", build.FRAME_DEFLATED, [zeros])
    yield "deflate-frame-bomb-2000", compressed("deflate-frame-bomb-2000", build.FRAME_DEFLATED, [zeros], big)
    yield "deflate-frames-bomb", compressed("deflate-frames-bomb", build.FRAME_DEFLATED, [build.deflate(bytes(4000000))] * 300,
                                            big, frames=300)
    syntax, stream = codecs["jxl"]
    for kind, changed in (("size-bits", build.set_samples(stream, 2, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF)),
                          ("container-lie", b"\0\0\0\x0cJXL \r\n\x87\n" + b"\xff\xff\xff\xffjxlc" + stream),
                          ("twice", stream + stream)):
        yield "jxl-" + kind, compressed("jxl-" + kind, syntax, [changed])
    syntax, stream = codecs["jpegls"]
    frame = stream.index(b"\xff\xf7")
    for kind, changed in (("huge", build.set_samples(stream, frame + 5, 255, 255, 255, 255)),
                          ("restarts", stream[:frame] + b"\xff\xdd\0\5\0\0\1" + stream[frame:]),
                          ("preset-0", stream[:frame] + b"\xff\xf8\0\x0d\1" + bytes(10) + stream[frame:])):
        yield "jpegls-" + kind, compressed("jpegls-" + kind, syntax, [changed])


# ---- fragments and their tables ----

def fragments(_):
    stream = build.rle(build.ramp())
    start = element(build.PIXELS, "OB", b"", build.UNDEFINED)
    end = item(tag=build.SEQUENCE_END)
    rest = {"long": item() + item(stream, length=0xFFFFFFFE) + end, "max-int": item() + item(stream, length=0x7FFFFFFF) + end,
            "undefined": item() + item(stream, length=build.UNDEFINED) + end, "odd": item() + item(stream + b"\0", length=len(stream) | 1) + end,
            "zero": item() + item(stream, length=0) + end, "short": item() + item(stream, length=70) + end,
            "one-more": item() + item(stream, length=len(stream) + 8) + end, "no-table": item(stream) + end,
            "no-end": item() + item(stream), "nothing": b"", "only-end": end, "only-table": item() + end,
            "no-items": stream, "table-of-stream": item(stream) + item(stream) + end,
            "item-ends": item() + item(tag=build.ITEM_END) * 3 + item(stream) + end,
            "nested": item() + item(element(build.PIXELS, "OB", b"", build.UNDEFINED) + item(stream)) + end,
            "empty-many": item() + item() * 100000 + item(stream) + end}
    for kind, body in rest.items():
        yield "fragment-" + kind, compressed("fragment-" + kind, build.RLE, [], pixels=start + body)
    yield "fragments-too-many", compressed("fragments-too-many", build.RLE, [], pixels=start + item() + item(b"\0\0") * 200000 + end,
                                           frames=2)
    # Starts of images without end, in one fragment: each is looked for from the last one on.
    marks = item() + item(b"\xff\xd9\xff\xd8\xff\xe0" * 200000) + end
    yield "fragment-of-marks", compressed("fragment-of-marks", "1.2.840.10008.1.2.4.50", [], pixels=start + marks, frames=1900)


def tables(_):
    frames = [build.rle(build.ramp()), build.rle(build.ramp()[::-1]), build.rle(bytes(build.SIDE ** 2))]
    parts = [part for frame in frames for part in (frame[:len(frame) // 2], frame[len(frame) // 2:])]
    places, at = [], 0
    for index, part in enumerate(parts):
        if index % 2 == 0:
            places.append(at)
        at += 8 + len(part) + len(part) % 2
    last = places[-1]
    lists = {"right": places, "outside": [0, at + 1000, at + 2000], "max": [0, 0xFFFFFFFE, 0xFFFFFFFF], "backwards": places[::-1],
             "equal": [0, 0, 0], "last-twice": [0, last, last], "between": [0, 5, 11], "not-0": [8, *places[1:]], "short": places[:2],
             "long": [*places, at], "each-other": [last, 0, places[1]], "at-end": [0, places[1], at]}
    for kind, values in lists.items():
        pixels = encapsulated(parts, struct.pack("<%dI" % len(values), *values))
        yield "table-" + kind, compressed("table-" + kind, build.RLE, [], pixels=pixels, frames=3)
        wide = element(0x7FE00001, "OV", struct.pack("<%dQ" % len(values), *values))
        lengths = element(0x7FE00002, "OV", struct.pack("<%dQ" % len(values), *[2 ** 64 - 1] * len(values)))
        ident = "extended-" + kind
        yield ident, meta(build.RLE) + header(ident, frames=3) + wide + lengths + encapsulated(parts)
    huge = element(0x7FE00001, "OV", struct.pack("<3Q", 0, 2 ** 63, 2 ** 64 - 1))
    yield "extended-huge", meta(build.RLE) + header("extended-huge", frames=3) + huge + encapsulated(parts)
    yield "table-odd", compressed("table-odd", build.RLE, [], pixels=encapsulated(parts, b"\0\0\0"), frames=3)
    table = struct.pack("<2000I", *range(2000))
    yield "table-2000", compressed("table-2000", build.RLE, [], pixels=encapsulated(parts, table), frames=2000)


# ---- sequences and counts ----

def sequence(tag=0x0040A730):
    return element(tag, "SQ", b"", build.UNDEFINED) + item(length=build.UNDEFINED)


def nesting(_):
    for depth in (127, 129, 1000, 5700, 100000):
        ident = "nested-%d" % depth
        closed = item(tag=build.ITEM_END) + item(tag=build.SEQUENCE_END)
        yield ident, meta(build.EXPLICIT) + header(ident) + sequence() * depth + closed * depth + element(build.PIXELS, "OB", build.ramp())
    yield "nested-open", meta(build.EXPLICIT) + header("nested-open") + sequence() * 100000
    inner = b""
    for _level in range(500):
        inner = element(0x0040A730, "SQ", item(inner))
    yield "nested-lengths", meta(build.EXPLICIT) + header("nested-lengths") + inner
    yield "nested-lying", meta(build.EXPLICIT) + header("nested-lying") + element(0x0040A730, "SQ", item(length=0xFFFFFFFE), 0xFFFFFFFE) * 5000
    unknown = element(0x00091001, "UN", b"", build.UNDEFINED) + item(length=build.UNDEFINED)
    yield "nested-unknown", meta(build.EXPLICIT) + header("nested-unknown") + unknown * 20000
    implicit = tag_bytes(0x0040A730) + struct.pack("<I", build.UNDEFINED) + item(length=build.UNDEFINED)
    yield "nested-implicit", meta(build.IMPLICIT) + implicit * 100000
    yield "nested-deflated", meta(build.DEFLATED) + build.deflated_many(sequence() * 1000, 1000)
    # A thousand bytes of name for each of many columns.
    wide = b"".join(element(0x0040A730, "SQ", item(element(0x00080100, "SH", "A"))) for _ in range(2)) + element(
        0x00081140, "SQ", item(element(0x00081155, "UI", "1.2")) * 1990)
    yield "nested-names", meta(build.EXPLICIT) + header("nested-names") + sequence() * 124 + wide


def counts(_):
    empty = element(0x00104000, "LT")
    yield "empty-elements", [meta(build.EXPLICIT) + header("empty-elements"), (empty * 1000, 10000)]
    yield "empty-deflated", meta(build.DEFLATED) + build.deflated_many(empty * 1000, 10000)
    yield "items-many", meta(build.EXPLICIT) + header("items-many") + element(0x0040A730, "SQ", item() * 100000)
    yield "items-open", meta(build.EXPLICIT) + header("items-open") + element(0x0040A730, "SQ", b"", build.UNDEFINED) + item() * 100000
    private = b"".join(element(0x00090000 + (n << 16) * 2 + 0x1000, "LO", "x") for n in range(15000))
    yield "private-many", meta(build.EXPLICIT) + private + header("private-many")
    yield "delimiters", meta(build.EXPLICIT) + header("delimiters") + item(tag=build.SEQUENCE_END) * 1000000
    yield "value-long", native("value-long", before=element(0x00420011, "OB", bytes(5000000)))
    yield "text-long", native("text-long", before=element(0x00104000, "UT", b"x" * 3000000))
    yield "values-many", native("values-many", {0x00080008: element(0x00080008, "CS", "\\".join(["A"] * 30000))})
    yield "deflate-bomb", meta(build.DEFLATED) + build.deflated_many(bytes(1 << 20), 1000)
    # 60 K of zeros as one value, over and over: elements, and bytes, without end.
    block = element(0x00420011, "OB", bytes(60000))
    yield "deflate-values", meta(build.DEFLATED) + build.deflated_many(block, 5000)


def unclosed(_):
    start = meta(build.EXPLICIT)
    bodies = {"pixels": element(build.PIXELS, "OB", build.ramp(), build.UNDEFINED), "sequence": element(0x0040A730, "SQ", b"", build.UNDEFINED),
              "item": sequence(), "unknown": element(0x00091001, "UN", b"abc", build.UNDEFINED),
              "text": element(0x00104000, "UT", b"abc", build.UNDEFINED), "bytes": element(0x00420011, "OB", b"abc" * 1000, build.UNDEFINED),
              "number": element(0x00280010, "UN", b"\1\0", build.UNDEFINED), "pixels-items": element(build.PIXELS, "OB", item(), build.UNDEFINED),
              "length-max": element(build.PIXELS, "OW", b"ab", 0xFFFFFFFE), "length-int": element(0x00420011, "OB", b"ab", 0x7FFFFFFF)}
    for kind, body in bodies.items():
        yield "unclosed-" + kind, start + header("unclosed-" + kind) + body
    for kind, data in (("empty", b""), ("byte", b"D"), ("preamble", bytes(128)), ("magic", bytes(128) + b"DICM"),
                       ("meta-cut", start[:150]), ("meta-only", start), ("meta-long", start.replace(b"UL\4\0", b"UL\xff\xff", 1)),
                       ("meta-huge", bytes(128) + b"DICM" + element(0x00020000, "UL", b"\xff\xff\xff\xff") + element(0x00020010, "UI", "1.2", 0xFFFF)),
                       ("ones", b"\xff" * 5000), ("text", b"hello\n" * 100), ("zeros", [(bytes(1 << 20), 64)])):
        yield "head-" + kind, data
    for syntax in ("", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.4.100", "1.2.3", "9" * 64, "../../../etc/passwd", "1.2.840.10008.1.2.1.99"):
        ident = "syntax-%d-%s" % (len(syntax), syntax[-2:].strip("./"))
        yield ident, native(ident, syntax=syntax)


# ---- values ----

def vr_lies(seed):
    chance = random.Random("%s vr" % seed)
    tags = [build.NAME, build.PATIENT_ID, build.STUDY, build.CHARSET, build.ROWS, build.FRAMES, 0x00080020, 0x00281050, 0x00200013,
            0x00080008, 0x7FE00010]
    vrs = ["SQ", "OB", "UN", "US", "FD", "PN", "UI", "AT", "UT", "OW", "ZZ", "\0\0", "ob", "  ", "\xff\xff"]
    for turn in range(45):
        tag, vr = tags[turn % len(tags)], vrs[(turn * 7 + turn // 11) % len(vrs)]
        value = chance.choice([b"", b"\0" * 8, b"1.2.3 ", bytes(chance.randrange(256) for _ in range(16)), b"\xfe\xff\x00\xe0\xff\xff\xff\xff"])
        ident = "vr-%02d" % turn
        yield ident, native(ident, {tag: element(tag, vr, value)} if tag != build.PIXELS else None,
                            pixels=element(tag, vr, value) if tag == build.PIXELS else None)


def charsets(seed):
    chance = random.Random("%s charset" % seed)
    sets = ["", "ISO_IR 192", "ISO_IR 13", "ISO 2022 IR 87", "\\ISO 2022 IR 87", "ISO 2022 IR 6\\ISO 2022 IR 159\\ISO 2022 IR 13", "GB18030",
            "GBK", "\\ISO 2022 IR 149", "\\ISO 2022 IR 58", "ISO_IR 999", "\\" * 200, "ISO_IR 192\\ISO 2022 IR 87", "../../etc", "ISO_IR 166"]
    escapes = [b"\x1b$B", b"\x1b(B", b"\x1b$)C", b"\x1b(J", b"\x1b$(D", b"\x1b", b"\x1b$", b"\x1b)", b"\x1b-A", b"\x1b\x1b\x1b", b"\x1b%G"]
    for turn, name in enumerate(sets * 2):
        text = b"".join(chance.choice(escapes) + bytes(chance.randrange(256) for _ in range(chance.randrange(12))) for _ in range(40))
        ident = "charset-%02d" % turn
        yield ident, native(ident, {build.CHARSET: element(build.CHARSET, "CS", name), build.NAME: element(build.NAME, "PN", text),
                                    0x00081030: element(0x00081030, "LO", text[::-1]), 0x00104000: element(0x00104000, "LT", text * 5)})


def privates(_):
    creator = element(0x00190010, "LO", "ACME")
    value = element(0x0019100A, "LO", "private")
    kinds = {"missing": value, "behind": value + creator, "twice": creator * 2 + value, "empty": element(0x00190010, "LO") + value,
             "long": element(0x00190010, "LO", "A" * 10000) + value, "newline": element(0x00190010, "LO", "A\n,\"B") + value,
             "sequence": element(0x00190010, "SQ", item(creator)) + value, "number": element(0x00190010, "US", b"\1\0") + value,
             "group-lengths": element(0x00190000, "UL", b"\xff" * 4) + value, "low": element(0x00190001, "LO", "x") + value}
    for kind, elements in kinds.items():
        yield "private-" + kind, native("private-" + kind, {0x00190010: elements})


def names(_):
    texts = {"up": "../../../../escape", "root": "/tmp/niffler-poison-escape", "nul": "a\0b", "newline": "a\nb", "long": "x" * 10000,
             "dots": "..", "dot": ".", "slash": "/", "empty": "", "blank": "   ", "return": "a\r\nb", "quote": 'a",b', "formula": "=1+1",
             "rtl": "\u202egnp.x", "wide": "\uff0e\uff0e/\u2215", "latin": "\udcff\udcfe", "percent": "%s%n%n%n", "shell": "$(touch x);`id`",
             "ansi": "\x1b[2Jx", "many": "a\\b\\..\\..", "con": "CON", "dash": "-rf"}
    for field, tag, vr in (("patient", build.PATIENT_ID, "LO"), ("study", build.STUDY, "UI"), ("series", build.SERIES, "UI"),
                           ("instance", build.INSTANCE, "UI")):
        for kind, text in texts.items():
            ident = "name-%s-%s" % (field, kind)
            yield ident, native(ident, {tag: element(tag, vr, text)})


def mutated(seed):
    """Good files with bytes changed, cut, doubled and left out."""
    chance = random.Random("%s mutated" % seed)
    good = [native("mutated"), compressed("mutated", build.RLE, [build.rle(build.ramp())] * 3, frames=3),
            native("mutated", before=element(0x00081140, "SQ", item(element(0x00081155, "UI", "1.2.3")) * 3))]
    for turn in range(45):
        data = bytearray(chance.choice(good))
        for _ in range(chance.randrange(1, 8)):
            at, length = chance.randrange(128, len(data)), chance.randrange(1, 9)
            way = chance.randrange(4)
            if way == 0:
                data[at:at + length] = bytes(chance.randrange(256) for _ in range(length))
            elif way == 1:
                del data[at:at + length]
            elif way == 2:
                data[at:at] = data[at:at + length]
            else:
                data[at:at + 4] = chance.choice([b"\xff\xff\xff\xff", bytes(4), b"\xfe\xff\xdd\xe0", b"\xfe\xff\x00\xe0"])
        yield "mutated-%02d" % turn, bytes(data)


FAMILIES = (fields, streams, fragments, tables, nesting, counts, unclosed, vr_lies, charsets, privates, names, mutated)

PROMISES = {
    "pixels-bomb": Promise("limit_pixels", "65535 x 65535", "4194304 (MaxPixels)"),
    "frames-bomb": Promise("limit_pixels", "2000000000 frames", "2000 (MaxFrames)"),
    "rle-bomb-65535": Promise("limit_pixels", "(MaxPixels)"), "rle-bomb-2000": CONVERTED,
    "deflate-frame-bomb-2000": CONVERTED,
    "j2k-tiles-2-32": Promise("malformed", "4294967295"), "j2k-components-16384": Promise("malformed", "16384 components"),
    # OpenJPEG's own assertion (tests/fuzz/findings.md); a build of it without would refuse the block.
    "htj2k-mel-marker": Promise("crash_signal", "signal 6"),
    "j2k-tiles-of-1": Promise("too_short"), "jpeg-huge": Promise("malformed", "65535 x 65535"),
    "jpeg-tem": CONVERTED, "jpeg-tem-only": Promise("codec"),
    "jpegls-huge": Promise("malformed", "65535 x 65535"),
    "fragments-too-many": Promise("limit_pixels", "73536 fragments (MaxFrames)"),
    "nested-127": CONVERTED, **{name: Promise("limit_attributes", "128 deep (MaxNesting)") for name in (
        "nested-129", "nested-1000", "nested-5700", "nested-100000", "nested-open", "nested-lengths", "nested-implicit",
        "nested-deflated")},
    "nested-names": Promise("limit_attributes", "(MaxMetadataBytes)"),
    "empty-elements": Promise("limit_attributes", "20000 data elements (MaxAttributes)"),
    "empty-deflated": Promise("limit_attributes", "bytes (MaxMetadataBytes, and 8 times MaxPixels)"),
    "deflate-bomb": Promise("limit_attributes", "bytes (MaxMetadataBytes, and 8 times MaxPixels)"),
    "items-many": Promise("limit_attributes", "2000 items in a sequence (MaxItems)"),
    "items-open": Promise("limit_attributes", "2000 items in a sequence (MaxItems)"),
    "table-right": CONVERTED, "extended-right": CONVERTED, "head-zeros": Promise("not_dicom"),
}


def write_file(path, content):
    """Bytes, or a list of bytes and of (bytes, how often)."""
    with open(path, "wb") as file:
        for part in content if isinstance(content, list) else [content]:
            data, times = part if isinstance(part, tuple) else (part, 1)
            for _ in range(times):
                file.write(data)


def write(folder, seed):
    """-> {name: Promise or None}"""
    os.makedirs(folder, exist_ok=True)
    promises = {}
    for family in FAMILIES:
        for ident, content in family(seed):
            assert ident not in promises, ident
            promises[ident] = PROMISES.get(ident)
            write_file(os.path.join(folder, ident + ".dcm"), content)
    assert not set(PROMISES) - set(promises), set(PROMISES) - set(promises)
    return promises
