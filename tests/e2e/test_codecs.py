"""Every codec through the real program: codestreams of Debian's encoders, whose samples are known, in every depth and layout
that DICOM allows; and those that must be refused."""
import os
import struct
import zlib

import numpy

import harness

import codec_files
from codec_files import cjpeg, cjxl, encode, ojph, opj, picture, smooth

XL, XL_JPEG, XL_ANY = ".4.110", ".4.111", ".4.112"


def png_chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_of(colour_type, row, rows, frames):
    """A PNG, of several frames when there are more than one, every row the same."""
    image = zlib.compress((b"\0" + row) * rows)
    columns = len(row) // {0: 1, 6: 4}[colour_type]
    chunks = png_chunk(b"IHDR", struct.pack(">IIBBBBB", columns, rows, 8, colour_type, 0, 0, 0))
    if frames > 1:
        chunks += png_chunk(b"acTL", struct.pack(">II", frames, 0))
    for frame in range(frames):
        if frames > 1:
            chunks += png_chunk(b"fcTL", struct.pack(">IIIIIHHBB", max(0, 2 * frame - 1), columns, rows, 0, 0, 1, 10, 0, 0))
        chunks += png_chunk(b"fdAT", struct.pack(">I", 2 * frame) + image) if frame else png_chunk(b"IDAT", image)
    return b"\x89PNG\r\n\x1a\n" + chunks + png_chunk(b"IEND", b"")


def box(kind, body):
    """A box of a JP2 file."""
    return struct.pack(">I", 8 + len(body)) + kind + body


class JpegXl(codec_files.Case):
    """JPEG XL, by cjxl."""

    def xl(self, pixels, bits, *options):
        return cjxl(self.folder, pixels, bits, *options)

    def test_lossless_of_every_depth(self):
        for bits in range(1, 17):
            for samples in (1, 3):
                pixels = picture(67, 41, samples, bits)
                self.add("x%d_%02d" % (samples, bits), self.xl(pixels, bits, "-d", "0", "-e", "3"), pixels, bits, XL)
        self.check()

    def test_every_value_of_every_depth(self):
        for bits in range(1, 17):
            pixels = (numpy.arange(65536) * 40503 % 2**bits).reshape(256, 256, 1)
            self.add("every%02d" % bits, self.xl(pixels, bits, "-d", "0", "-e", "1"), pixels, bits, XL)
        self.check()

    def test_lossless_in_every_layout(self):
        grey, rgb = picture(700, 530, 1, 12), picture(300, 270, 3, 8)
        for name, options in (("bare", ["--container=0"]), ("container", ["--container=1"]), ("progressive", ["-p"]),
                              ("groups", ["-g", "0"]), ("squeeze", ["-R", "1"]), ("plain", ["-C", "0", "-P", "5"])):
            options = ["-d", "0", "-e", "2", *options]
            self.add("grey_" + name, self.xl(grey, 12, *options), grey, 12, XL)
            self.add("rgb_" + name, self.xl(rgb, 8, *options), rgb, 8, XL_ANY)
        self.check()

    def test_sign_and_precision(self):
        signed = picture(61, 50, 1, 12, is_signed=True)
        self.add("signed", self.xl(signed & 4095, 12, "-d", "0"), signed, 12, XL, is_signed=True)
        grey = picture(61, 50, 1, 12)
        self.add("deep", self.xl(grey, 12, "-d", "0"), grey, 12, XL, stored=16, note="codestream precision 12, header 16")
        self.check()

    def test_lossy(self):
        for bits in (8, 12, 16):
            grey, rgb = smooth(160, 120, 1, bits), smooth(160, 120, 3, bits)
            tolerance = max(4, 2**bits // 64)
            self.add("grey%d" % bits, self.xl(grey, bits, "-d", "0.5"), grey, bits, XL_ANY, tolerance)
            self.add("rgb%d" % bits, self.xl(rgb, bits, "-d", "0.5"), rgb, bits, XL_ANY, tolerance)
            self.add("xyb%d" % bits, self.xl(rgb, bits, "-d", "0.5"), rgb, bits, XL_ANY, tolerance, photometric="XYB")
        self.check()

    def test_colour_is_rgb_whatever_the_header_says(self):
        rgb = smooth(64, 48, 3, 8)
        stream = self.xl(rgb, 8, "-d", "0")
        self.add("ybr", stream, rgb, 8, XL, photometric="YBR_FULL", note="codestream RGB, header YCbCr")
        self.add("rct", stream, rgb, 8, XL, photometric="YBR_RCT")
        self.refuse("xyb_native", bytes(64 * 48 * 3), (48, 64, 3), 8, ".1.98", 3, "XYB", photometric="XYB")
        self.check()

    def test_a_jpeg_inside(self):
        grey, rgb = smooth(150, 90, 1, 8), smooth(150, 90, 3, 8)
        for name, pixels, options in (("grey", grey, ["-grayscale"]), ("full", rgb, ["-sample", "1x1"]),
                                      ("half", rgb, ["-sample", "2x1"]), ("quarter", rgb, ["-sample", "2x2"]),
                                      ("progressive", rgb, ["-progressive"])):
            jpeg = cjpeg(self.folder, pixels, "-quality", "95", *options)
            stream = encode(self.folder, "in.jpg", jpeg, "out.jxl", "cjxl", "in.jpg", "out.jxl", "-j", "1")
            self.add(name, stream, pixels, 8, XL_JPEG, 6)
        self.check()

    def test_frames_and_padding(self):
        frames = [picture(40, 30, 1, 8), smooth(40, 30, 1, 8), picture(40, 30, 1, 8)[::-1]]
        for name, options in (("bare", ["--container=0"]), ("container", ["--container=1"])):
            streams = [self.xl(pixels, 8, "-d", "0", *options) for pixels in frames]
            self.write("three_" + name, [stream + bytes(i + 1) for i, stream in enumerate(streams)], (30, 40, 1), 8, XL)
            for tail in range(3):
                self.add("%s_%d" % (name, tail), streams[0] + bytes(tail), frames[0], 8, XL)
        self.extract("--PixelScaling", "stored", status=0)
        rows = [row for row in harness.table(self.out, "mapping.csv")]
        three = [row for row in rows if "three" in row["Original DICOM file location"]]
        self.assertEqual([row["frame"] for row in three], ["1", "2", "3"] * 2)
        for i, row in enumerate(three):
            self.compare("frame", row, frames[i % 3], 0)
        self.assertEqual(len(rows), 12)

    def test_refusals(self):
        grey = picture(32, 16, 1, 8)
        stream, boxed = self.xl(grey, 8, "-d", "0", "--container=0"), self.xl(grey, 8, "-d", "0", "--container=1")
        shape = grey.shape
        floats = b"Pf\n32 16\n-1.0\n" + numpy.linspace(0, 1, 512).astype("<f4").tobytes()
        self.refuse("float", encode(self.folder, "in.pfm", floats, "out.jxl", "cjxl", "in.pfm", "out.jxl", "-d", "0"), shape,
                    16, XL, 3, "floating-point")
        for name, content, words in (("alpha", png_of(6, bytes(range(64)) * 2, 16, 1), "more channels"),
                                     ("animation", png_of(0, bytes(range(32)), 16, 3), "several frames")):
            made = encode(self.folder, "in.png", content, "out.jxl", "cjxl", "in.png", "out.jxl", "-d", "0")
            self.refuse(name, made, (16, 32, 3) if name == "alpha" else shape, 8, XL, 3, words)
        self.refuse("deep", encode(self.folder, "in.pfm", floats, "out.jxl", "cjxl", "in.pfm", "out.jxl", "-d", "0",
                                   "--override_bitdepth=24"), shape, 16, XL, 3, "more than 16 bits")
        self.refuse("rows", stream, (17, 32, 1), 8, XL, 2, "16 x 32 x 1 samples, the header says 17 x 32 x 1")
        self.refuse("columns", boxed, (16, 31, 1), 8, XL, 2, "the header says 16 x 31 x 1")
        self.refuse("samples", stream, (16, 32, 3), 8, XL, 2, "the header says 16 x 32 x 3")
        self.refuse("other", b"\xff\xd8\xff\xe0" + bytes(60), shape, 8, XL, 3, "no JPEG XL codestream")
        self.refuse("short", stream[:len(stream) // 2 & ~1], shape, 8, XL, 2, "ends early")
        self.refuse("start", stream[:2], shape, 8, XL, 2, "ends early")
        self.refuse("boxed_short", boxed[:40], shape, 8, XL, 2, "ends early")
        self.check()

    def test_the_transfer_syntax_is_guessed(self):
        grey = picture(32, 16, 1, 8)
        for name, options in (("bare", "--container=0"), ("container", "--container=1")):
            self.write(name, [self.xl(grey, 8, "-d", "0", options)], grey.shape, 8, XL)
            path = os.path.join(self.home, name + ".dcm")
            content = harness.read_bytes(path)
            length = struct.unpack_from("<I", content, 140)[0]
            with open(path, "wb") as file:
                file.write(content[144 + length:])
            self.expect(name, grey, note="transfer syntax guessed")
        self.check()


class Jpeg2000(codec_files.Case):
    """JPEG 2000 Part 1 and 2, by opj_compress."""

    def j2k(self, pixels, bits, *options, **more):
        return opj(self.folder, pixels, bits, *options, **more)

    def test_lossless_of_every_depth(self):
        for bits in range(1, 17):
            for is_signed in (False, True) if bits > 1 else (False,):
                grey = picture(68, 34, 1, bits, is_signed)
                name = "%s%02d" % ("signed" if is_signed else "grey", bits)
                self.add(name, self.j2k(grey, bits, is_signed=is_signed), grey, bits, ".4.90", is_signed=is_signed)
            if bits > 1:  # which the encoder has no room for
                rgb = picture(68, 34, 3, bits)
                self.add("rgb%02d" % bits, self.j2k(rgb, bits), rgb, bits, ".4.90", photometric="YBR_RCT")
        self.check()

    def test_lossless_in_every_layout(self):
        grey, rgb = picture(300, 270, 1, 12), picture(300, 270, 3, 8)
        layouts = {"tiles": ["-t", "64,80"], "precincts": ["-c", "[64,64],[32,32]"], "parts": ["-TP", "R", "-t", "128,128"],
                   "markers": ["-SOP", "-EPH", "-PLT", "-TLM"], "shallow": ["-n", "1"], "blocks": ["-b", "32,16"],
                   "styles": ["-M", "63"], "layers": ["-r", "20,10,1"], "offset": ["-d", "5,7"], "none": ["-mct", "0"]}
        layouts.update((order.lower(), ["-p", order]) for order in ("LRCP", "RLCP", "RPCL", "PCRL", "CPRL"))
        for name, options in layouts.items():
            for syntax, ending in ((".4.90", "j2k"), (".4.92", "jp2")):
                self.add("grey_%s_%s" % (name, ending), self.j2k(grey, 12, *(o for o in options if o not in ("-mct", "0")),
                                                                ending=ending), grey, 12, syntax)
                self.add("rgb_%s_%s" % (name, ending), self.j2k(rgb, 8, *options, ending=ending), rgb, 8, syntax)
        self.check()

    def test_lossy(self):
        for bits in (8, 12, 16):
            grey, rgb = smooth(160, 120, 1, bits), smooth(160, 120, 3, bits)
            tolerance = 2**bits // 64
            self.add("grey%d" % bits, self.j2k(grey, bits, "-I", "-q", "60"), grey, bits, ".4.91", tolerance)
            self.add("rgb%d" % bits, self.j2k(rgb, bits, "-I", "-q", "60"), rgb, bits, ".4.93", tolerance,
                     photometric="YBR_ICT")
        self.check()

    def test_components_of_fewer_samples(self):
        for bits in (8, 12):
            rgb = picture(128, 64, 3, bits)
            planes = [rgb[:, :, 0], rgb[::2, ::2, 1], rgb[:, ::2, 2]]
            wide = numpy.stack([planes[0], planes[1].repeat(2, 0).repeat(2, 1), planes[2].repeat(2, 1)], -1)
            stream = self.j2k(rgb, bits, "-mct", "0", planes=planes, spacing="@1x1:2x2:2x1")
            self.add("sparse%d" % bits, stream, wide, bits, ".4.90")
        self.check()

    def test_a_palette_in_a_jp2(self):
        index = picture(64, 32, 1, 4)
        boxed = self.j2k(index, 8, ending="jp2")
        entries = numpy.array([[(7 * i) % 256, (31 * i + 5) % 256, 255 - i] for i in range(16)])
        palette = box(b"pclr", struct.pack(">HB3B", 16, 3, 7, 7, 7) + entries.astype("u1").tobytes())
        mapping = box(b"cmap", b"".join(struct.pack(">HBB", 0, 1, i) for i in range(3)))
        at = boxed.index(b"jp2h") - 4
        length = struct.unpack_from(">I", boxed, at)[0]
        stream = (boxed[:at] + box(b"jp2h", boxed[at + 8:at + length] + palette + mapping) + boxed[at + length:])
        self.add("looked_up", stream, entries[index[:, :, 0]], 8, ".4.90")
        self.add("indices", stream, index, 8, ".4.90")
        self.check()

    def test_unsigned_under_a_signed_header(self):
        signed = picture(61, 50, 1, 13, is_signed=True)
        self.add("patterns", self.j2k(signed & 8191, 13), signed, 13, ".4.90", is_signed=True)
        self.check()

    def test_part_2_is_refused_by_name(self):
        grey = picture(64, 48, 1, 8)
        plain = self.j2k(grey, 8)
        boxed = self.j2k(grey, 8, ending="jp2")
        siz = 4 + struct.unpack(">H", plain[4:6])[0]
        said = plain[:6] + b"\x80" + plain[7:]
        self.add("said", said, grey, 8, ".4.92")
        for marker, words in ((0x70, "DC offset"), (0x72, "downsampling"), (0x74, "component transform"),
                              (0x76, "non-linear"), (0x79, "transformation kernel")):
            segment = b"\xff" + bytes([marker]) + b"\0\6\0\0\0\0"
            self.refuse("marker%02x" % marker, said[:siz] + segment + said[siz:], grey.shape, 8, ".4.92", 3,
                        "JPEG 2000 Part 2 is not decoded: ")
            self.refused["marker%02x" % marker] = (3, words)
            self.refuse("boxed%02x" % marker, boxed.replace(plain[siz:siz + 20], segment + plain[siz:siz + 20]), grey.shape,
                        8, ".4.93", 3, "JPEG 2000 Part 2 is not decoded: ")
        kernel = said.index(b"\xff\x52") + 13
        self.refuse("kernel", said[:kernel] + b"\5" + said[kernel + 1:], grey.shape, 8, ".4.92", 3, "Part 2 stream")
        self.refuse("volume", plain, grey.shape, 8, ".4.92", 3, "several frames in one codestream", frames=5)
        self.check()


class CutStreams(codec_files.Case):
    """Streams that end early: failures, and with AllowTruncated pictures whose beginning is right."""

    def test_what_is_there_is_right(self):
        grey, rgb = smooth(640, 480, 1, 8), smooth(320, 240, 3, 8)
        streams = {"jpeg": (cjpeg(self.folder, grey, "-quality", "95", "-grayscale"), grey, ".4.50"),
                   "progressive": (cjpeg(self.folder, rgb, "-quality", "95", "-progressive", "-sample", "1x1"), rgb, ".4.50"),
                   "xl": (cjxl(self.folder, grey, 8, "-d", "0", "-e", "2", "-g", "0"), grey, XL)}
        for name, (stream, pixels, syntax) in streams.items():
            photometric = {"photometric": "YBR_FULL"} if name == "progressive" else {}
            self.write(name, [stream[:len(stream) * 3 // 4]], pixels.shape, 8, syntax, **photometric)
        self.extract("--PixelScaling", "stored", status=1)
        self.assertEqual(harness.table(self.out, "mapping.csv"), [])
        failures = harness.table(self.out, "failures.csv")
        self.assertEqual([(row["category"], row["code"]) for row in failures], [("2", "too_short")] * 3)
        self.extract("--PixelScaling", "stored", "--AllowTruncated", "true", status=0)
        found = {self.name_of(row["Original DICOM file location"]): row for row in harness.table(self.out, "mapping.csv")}
        self.assertEqual(sorted(found), sorted(streams))
        for name, row in found.items():
            self.assertIn("codestream ends early", row["pixel_notes"])
            got, pixels = self.picture_of(row), streams[name][1]
            self.assertEqual(got.shape, pixels.shape)
            worst = int(numpy.abs(got - pixels)[:len(got) // 4].max())
            self.assertLessEqual(worst, {"jpeg": 6, "progressive": 40, "xl": 0}[name], name)


class HtJpeg2000(codec_files.Case):
    """HTJ2K, by ojph_compress."""

    def ht(self, pixels, bits, *options, **more):
        return ojph(self.folder, pixels, bits, *options, **more)

    def test_lossless_of_every_depth(self):
        for bits in range(8, 17):
            grey, rgb = picture(67, 41, 1, bits), picture(67, 41, 3, bits)
            signed = picture(67, 41, 1, bits, is_signed=True)
            self.add("grey%02d" % bits, self.ht(grey, bits), grey, bits, ".4.201")
            self.add("rgb%02d" % bits, self.ht(rgb, bits), rgb, bits, ".4.202", photometric="YBR_RCT")
            self.add("signed%02d" % bits, self.ht(signed, bits, is_signed=True), signed, bits, ".4.203", is_signed=True)
            self.add("patterns%02d" % bits, self.ht(signed & (2**bits - 1), bits), signed, bits, ".4.201", is_signed=True)
        self.check()

    def test_lossless_in_every_layout(self):
        grey, rgb = picture(300, 270, 1, 12), picture(300, 270, 3, 8)
        layouts = {"tiles": ["-tile_size", "{64,80}"], "precincts": ["-precincts", "{64,64},{128,128}"],
                   "blocks": ["-block_size", "{32,16}"], "shallow": ["-num_decomps", "0"], "deep": ["-num_decomps", "8"],
                   "plain": ["-colour_trans", "false"]}
        layouts.update((order.lower(), ["-prog_order", order]) for order in ("LRCP", "RLCP", "RPCL", "PCRL", "CPRL"))
        for name, options in layouts.items():
            syntax = ".4.202" if name == "rpcl" else ".4.201"
            self.add("grey_" + name, self.ht(grey, 12, *options), grey, 12, syntax)
            self.add("rgb_" + name, self.ht(rgb, 8, *options), rgb, 8, syntax)
        self.check()

    def test_lossy(self):
        for bits in (8, 12, 16):
            grey, rgb = smooth(160, 120, 1, bits), smooth(160, 120, 3, bits)
            options = ("-reversible", "false", "-qstep", "0.001")
            self.add("grey%d" % bits, self.ht(grey, bits, *options), grey, bits, ".4.203", 2**bits // 64)
            self.add("rgb%d" % bits, self.ht(rgb, bits, *options), rgb, bits, ".4.203", 2**bits // 64,
                     photometric="YBR_ICT")
        self.check()


class Jpeg(codec_files.Case):
    """JPEG of every process, by dcmcjpeg and cjpeg."""

    def lossless(self, name, pixels, bits, *options, **more):
        """DCMTK codes all bits of the container; the row says so."""
        whole = 8 if bits <= 8 else 16
        note = "" if bits == whole else "codestream precision %d, header %d" % (whole, bits)
        self.by_dcmtk(name, pixels, bits, "dcmcjpeg", *options, note=note, **more)

    def test_lossless_of_every_predictor(self):
        for predictor in range(1, 8):
            options = ("+el", "+sv", str(predictor))
            for bits in (8, 12, 16):
                self.lossless("grey%d_%d" % (bits, predictor), picture(67, 41, 1, bits), bits, *options)
                self.lossless("signed%d_%d" % (bits, predictor), picture(67, 41, 1, bits, True), bits, *options,
                              is_signed=True)
            self.lossless("rgb_%d" % predictor, picture(67, 41, 3, 8), 8, *options)
        self.check()

    def test_lossless_of_every_precision(self):
        """The precision of a lossless frame only says what the first sample is predicted from (T.81 H.1.2.1), half of the
        range: a stream of 8 or 16 bits becomes one of fewer by lifting its samples."""
        for predictor in ("1", "4", "7"):
            for bits in range(2, 17):
                whole, name = 8 if bits <= 8 else 16, "p%s_%02d" % (predictor, bits)
                grey = picture(67, 41, 1, bits)
                self.by_dcmtk(name, grey + 2**(whole - 1) - 2**(bits - 1), whole, "dcmcjpeg", "+el", "+sv", predictor)
                path = os.path.join(self.home, name + ".dcm")
                content = bytearray(harness.read_bytes(path))
                frame = content.index(b"\xff\xc3\0\x0b")
                self.assertEqual(content[frame + 4], whole)
                content[frame + 4] = bits
                with open(path, "wb") as file:
                    file.write(content)
                self.expect(name, grey, note="" if bits == whole else "codestream precision %d, header %d" % (bits, whole))
        self.check()

    def test_point_transform(self):
        for predictor in ("1", "4", "7"):
            for shift in (1, 3):
                grey, name = picture(67, 41, 1, 16), "p%s_%d" % (predictor, shift)
                self.by_dcmtk(name, grey, 16, "dcmcjpeg", "+el", "+sv", predictor, "+pt", str(shift))
                self.expect(name, grey >> shift << shift)
        self.check()

    def test_lossy_of_every_process(self):
        for process in ("+eb", "+ee", "+es", "+ep"):
            for bits in (8, 12):
                if (process, bits) == ("+eb", 12):
                    continue
                self.by_dcmtk("grey%d%s" % (bits, process), smooth(90, 70, 1, bits), bits, "dcmcjpeg", process, "+q", "98",
                              "-W", "+sr", tolerance=2**bits // 64)
            for sampling in ("+s2", "+s4", "+n1"):
                self.by_dcmtk("rgb%s%s" % (process, sampling), smooth(90, 70, 3, 8), 8, "dcmcjpeg", process, "+q", "98",
                              sampling, tolerance=6)
            self.by_dcmtk("plain%s" % process, smooth(90, 70, 3, 8), 8, "dcmcjpeg", process, "+q", "98", "+cr", tolerance=6)
        self.check()

    def test_any_process_under_the_baseline_syntax(self):
        grey, rgb = smooth(90, 70, 1, 8), smooth(90, 70, 3, 8)
        for name, options in (("baseline", []), ("progressive", ["-progressive"]), ("restart", ["-restart", "1"]),
                              ("optimized", ["-optimize"]), ("arithmetic", ["-arithmetic"])):
            stream = cjpeg(self.folder, grey, "-quality", "98", "-grayscale", *options)
            self.add("grey_" + name, stream, grey, 8, ".4.50", 4)
            for sampling in ("1x1", "2x1", "1x2", "2x2", "4x1"):
                stream = cjpeg(self.folder, rgb, "-quality", "98", "-sample", sampling, *options)
                self.add("rgb_%s_%s" % (name, sampling), stream, rgb, 8, ".4.50", 8, photometric="YBR_FULL_422")
        self.check()


class JpegLs(codec_files.Case):
    """JPEG-LS, by dcmcjpls."""

    def test_lossless(self):
        for bits in range(8, 17):
            note = "codestream precision 16, header %d" % bits if 8 < bits < 16 else ""
            grey, signed = picture(67, 41, 1, bits), picture(67, 41, 1, bits, True)
            self.by_dcmtk("grey%02d" % bits, grey, bits, "dcmcjpls", "+el", "+pr", note=note)
            self.by_dcmtk("cooked%02d" % bits, grey, bits, "dcmcjpls", "+el", "+pc")
            self.by_dcmtk("signed%02d" % bits, signed, bits, "dcmcjpls", "+el", "+pr", note=note, is_signed=True)
        for interleave in ("+il", "+is", "+in"):
            self.by_dcmtk("rgb" + interleave, picture(67, 41, 3, 8), 8, "dcmcjpls", "+el", interleave)
        self.check()

    def test_near_lossless(self):
        for near in (1, 2, 5):
            for bits in (8, 10, 12, 16):
                self.by_dcmtk("grey%02d_%d" % (bits, near), picture(67, 41, 1, bits), bits, "dcmcjpls", "+en", "+md", str(near),
                              tolerance=near)
            for interleave in ("+il", "+is", "+in"):
                self.by_dcmtk("rgb%s_%d" % (interleave, near), picture(67, 41, 3, 8), 8, "dcmcjpls", "+en", "+md", str(near),
                              interleave, tolerance=near)
        self.check()


class Colour(codec_files.Case):
    """What three components of a stream are: both sides of each rule."""

    PLAIN_IDS, RGB_IDS = b"\1\2\3", b"RGB"

    @staticmethod
    def markers(jpeg, *segments, ids=PLAIN_IDS):
        """The JPEG stream with these APPn segments only, and these component identifiers."""
        at = 2
        while jpeg[at + 1] in (0xE0, 0xEE):
            at += 2 + struct.unpack_from(">H", jpeg, at + 2)[0]
        body = bytearray(jpeg[at:])
        frame, scan = body.index(b"\xff\xc0"), body.index(b"\xff\xda")
        for i in range(3):
            body[frame + 10 + 3 * i] = ids[i]
            body[scan + 5 + 2 * i] = ids[i]
        return jpeg[:2] + b"".join(segments) + bytes(body)

    def test_jpeg(self):
        jfif = b"\xff\xe0\0\x10JFIF\0\1\1\0\0\1\0\1\0\0"
        adobe, cut_adobe = b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0", b"\xff\xee\0\x0dAdobe\0\x64\0\0\0\0"
        rgb = smooth(64, 48, 3, 8)
        ycc = cjpeg(self.folder, rgb, "-quality", "98", "-sample", "1x1")
        plain = cjpeg(self.folder, rgb, "-quality", "98", "-rgb")
        is_ycc, is_rgb = "codestream YCbCr, header RGB", "codestream RGB, header YCbCr"
        for name, stream, header, note in (
                ("jfif_rgb", self.markers(ycc, jfif), "RGB", is_ycc),
                ("jfif_ybr", self.markers(ycc, jfif), "YBR_FULL_422", ""),
                ("jfif_ict", self.markers(ycc, jfif), "YBR_ICT", "codestream YCbCr, header YBR_ICT or YBR_RCT"),
                ("jfif_420", self.markers(ycc, jfif), "YBR_PARTIAL_420", "codestream of full range, header of partial range"),
                ("jfif_adobe", self.markers(ycc, jfif, adobe + b"\0"), "RGB", is_ycc),
                ("jfif_ids", self.markers(ycc, jfif, ids=self.RGB_IDS), "RGB", is_ycc),
                ("adobe1_rgb", self.markers(ycc, adobe + b"\1"), "RGB", is_ycc),
                ("adobe1_ids", self.markers(ycc, adobe + b"\1", ids=self.RGB_IDS), "RGB", is_ycc),
                ("adobe1_ybr", self.markers(ycc, adobe + b"\1"), "YBR_FULL", ""),
                ("adobe0_rgb", self.markers(plain, adobe + b"\0"), "RGB", ""),
                ("adobe0_ybr", self.markers(plain, adobe + b"\0"), "YBR_FULL_422", is_rgb),
                ("ids_rgb", self.markers(plain, ids=self.RGB_IDS), "RGB", ""),
                ("ids_ybr", self.markers(plain, ids=self.RGB_IDS), "YBR_FULL", is_rgb),
                ("header_rgb", self.markers(plain), "RGB", ""),
                ("header_ybr", self.markers(ycc), "YBR_FULL", ""),
                ("cut_adobe_rgb", self.markers(plain, cut_adobe), "RGB", ""),
                ("cut_adobe_ybr", self.markers(ycc, cut_adobe), "YBR_FULL", "")):
            self.add(name, stream, rgb, 8, ".4.50", 5, note, photometric=header)
        self.check()

    def test_lossless_jpeg_is_what_the_header_says(self):
        rgb = picture(67, 41, 3, 8)
        jfif = b"\xff\xe0\0\x10JFIF\0\1\1\0\0\1\0\1\0\0"
        self.by_dcmtk("made", rgb, 8, "dcmcjpeg", "+e1")
        path = os.path.join(self.home, "made.dcm")
        content = harness.read_bytes(path)
        at = content.index(b"\xff\xd8", content.rindex(b"\xe0\x7f\x10\0"))
        stream = content[at:content.rindex(b"\xff\xd9") + 2]
        self.assertNotIn(b"JFIF", stream)
        self.add("jfif", stream[:2] + jfif + stream[2:], rgb, 8, ".4.70")
        self.check()

    def test_jpeg_2000(self):
        rgb = picture(64, 48, 3, 8)
        transformed, plain = opj(self.folder, rgb, 8), opj(self.folder, rgb, 8, "-mct", "0")
        guessed = opj(self.folder, rgb, 8, "-mct", "0", ending="jp2")
        undone = "no component transform, header YBR_ICT or YBR_RCT: taken for RGB"
        for name, stream, header, note in (("rct", transformed, "YBR_RCT", ""), ("rgb", transformed, "RGB", ""),
                                           ("ybr", transformed, "YBR_FULL", "codestream RGB, header YCbCr"),
                                           ("plain", plain, "RGB", ""), ("plain_rct", plain, "YBR_RCT", undone),
                                           ("guessed", guessed, "RGB", "")):
            self.add(name, stream, rgb, 8, ".4.90", 0, note, photometric=header)
        self.check()


if __name__ == "__main__":
    harness.main()
