"""Files of many frames, whole, cut and promised: what is there comes out, what is not costs nothing."""
import os
import struct

import harness

EXPLICIT_LITTLE = b"1.2.840.10008.1.2.1\0"
RLE = b"1.2.840.10008.1.2.5\0"


def element(group, number, vr, value):
    header = struct.pack("<HH2s", group, number, vr)
    if vr in (b"OB", b"OW"):
        return header + struct.pack("<HI", 0, len(value)) + value
    return header + struct.pack("<H", len(value)) + value


def header(frames, rows, columns, syntax=EXPLICIT_LITTLE):
    """Everything before the pixel data: grey, 8 bits."""
    meta = element(2, 0x10, b"UI", syntax)
    count = b"%d" % frames
    return (bytes(128) + b"DICM" + element(2, 0, b"UL", struct.pack("<I", len(meta))) + meta
            + element(0x10, 0x20, b"LO", b"patient1") + element(0x28, 2, b"US", struct.pack("<H", 1))
            + element(0x28, 4, b"CS", b"MONOCHROME2 ") + element(0x28, 8, b"IS", count + b" " * (len(count) % 2))
            + element(0x28, 0x10, b"US", struct.pack("<H", rows)) + element(0x28, 0x11, b"US", struct.pack("<H", columns))
            + element(0x28, 0x100, b"US", struct.pack("<H", 8)) + element(0x28, 0x101, b"US", struct.pack("<H", 8))
            + element(0x28, 0x102, b"US", struct.pack("<H", 7)) + element(0x28, 0x103, b"US", struct.pack("<H", 0)))


class Frames(harness.Case):
    def write(self, *parts):
        os.makedirs(self.home, exist_ok=True)
        with open(os.path.join(self.home, "file.dcm"), "wb") as file:
            for part in parts:
                file.write(part)

    def run_and_read(self, *flags, status):
        """-> (frame, notes) of each picture, the reason of the failure or None."""
        self.extract("--SendEmail", "false", *flags, status=status)
        pictures = [(int(row["frame"]), row["pixel_notes"]) for row in harness.table(self.out, "mapping.csv")]
        for row in harness.table(self.out, "mapping.csv"):
            self.assertTrue(harness.read_bytes(self.out, row["PNG location"]).endswith(b"IEND\xaeB`\x82"))
        failures = harness.table(self.out, "failures.csv")
        self.assertLessEqual(len(failures), 1)
        return pictures, failures[0]["reason"] if failures else None

    def write_cut(self):
        self.write(header(10, 8, 8), element(0x7FE0, 0x10, b"OB", bytes(640))[:12], bytes(range(200)), bytes(200))

    def test_a_cut_file_gives_its_whole_frames_and_names_the_first_other(self):
        self.write_cut()
        pictures, reason = self.run_and_read(status=1)
        self.assertEqual(pictures, [(frame, "") for frame in range(1, 7)])
        self.assertEqual(reason, "frame 7: 400 bytes of pixel data, 640 needed")

    def test_with_allow_truncated_the_cut_frame_comes_as_well(self):
        self.write_cut()
        pictures, reason = self.run_and_read("--AllowTruncated", "true", status=1)
        self.assertEqual(pictures, [(frame, "") for frame in range(1, 7)] + [(7, "truncated: 16 of 64 bytes")])
        self.assertEqual(reason, "frame 8: 400 bytes of pixel data, 640 needed")

    def test_frames_that_nobody_asked_for_may_be_missing(self):
        self.write_cut()
        pictures, reason = self.run_and_read("--Frames", "first", status=0)
        self.assertEqual((pictures, reason), ([(1, "")], None))

    def test_a_chosen_frame_that_is_missing_fails_the_file(self):
        self.write_cut()
        pictures, reason = self.run_and_read("--Frames", "9", status=1)
        self.assertEqual((pictures, reason), ([], "frame 9: 400 bytes of pixel data, 640 needed"))

    def test_the_reason_is_the_same_without_pictures(self):
        self.write_cut()
        pictures, reason = self.run_and_read("--PrintImages", "false", status=1)
        self.assertEqual((pictures, reason), ([], "frame 7: 400 bytes of pixel data, 640 needed"))

    def test_frames_that_are_only_promised_cost_nothing(self):
        """65535 frames and bytes for none: one decoder answers at once, and no frame of it is asked for."""
        self.write(header(65535, 1024, 1024), element(0x7FE0, 0x10, b"OB", bytes(64)))
        flags = ["--DecoderSeconds", "5", "--UseProcesses", "1"]
        pictures, reason = self.run_and_read(*flags, status=1)
        self.assertEqual((pictures, reason), ([], "64 bytes of pixel data, 68718428160 needed"))
        self.out += "2"
        pictures, reason = self.run_and_read("--AllowTruncated", "true", *flags, status=1)
        self.assertEqual(pictures, [(1, "truncated: 64 of 1048576 bytes")])
        self.assertEqual(reason, "frame 2: 64 bytes of pixel data, 68718428160 needed")

    def assertThousandFrames(self):
        """1,000 frames of 512 x 512 are 250 MiB; with 96 MiB a decoder has room for its libraries and a few of them."""
        pictures, reason = self.run_and_read("--DecoderMemory", "96M", "--UseProcesses", "1", status=0)
        self.assertEqual(pictures, [(frame, "") for frame in range(1, 1001)])
        self.assertIsNone(reason)

    def test_a_thousand_plain_frames_take_the_memory_of_one(self):
        size = 1000 * 512 * 512
        self.write(header(1000, 512, 512), struct.pack("<HH2sHI", 0x7FE0, 0x10, b"OB", 0, size))
        path = os.path.join(self.home, "file.dcm")
        os.truncate(path, os.path.getsize(path) + size)  # a hole: no disk is used
        self.assertThousandFrames()

    def test_a_thousand_compressed_frames_take_the_memory_of_one(self):
        stream = struct.pack("<II56x", 1, 64) + b"\x81\x07" * (512 * 512 // 128)
        fragment = struct.pack("<HHI", 0xFFFE, 0xE000, len(stream)) + stream
        self.write(header(1000, 512, 512, RLE), struct.pack("<HH2sHI", 0x7FE0, 0x10, b"OB", 0, 0xFFFFFFFF),
                   struct.pack("<HHI", 0xFFFE, 0xE000, 0), fragment * 1000, struct.pack("<HHI", 0xFFFE, 0xE0DD, 0))
        self.assertThousandFrames()


if __name__ == "__main__":
    harness.main()
