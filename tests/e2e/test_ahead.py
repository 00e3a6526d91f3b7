#!/usr/bin/python3
"""Decoders that are quick are sent several files ahead. Whatever is among them, files of many frames, none, or such that end
the decoder: each file has its row, and each picture is that of its file."""
import os
import sys

import numpy

import harness
import pictures

sys.path.insert(0, os.path.join(harness.SOURCE, "tests", "fault"))
import tiny  # noqa: E402

CRASHING = os.path.join(harness.BUILD, "tests", "crashing_decoder")
FILES = 1400
# Of a hundred files, which are of another kind, and what is to come of them: frames, and the code of the failure.
KINDS = {11: (tiny.cine, 3, None), 12: (tiny.cine, 3, None), 23: (tiny.report, 0, None), 34: (tiny.bad_frame, 2, "codec"),
         45: (tiny.cut_short, 0, "too_short"), 56: (tiny.long_record, 1, None), 57: (tiny.cine, 3, None), 67: (tiny.deep, 0, "limit_attributes")}
ORDERS = {"SEGV": (0, "crash_signal"), "EXIT": (0, "decoder_protocol"), "ONCE": (1, None)}  # of crashing_decoder


class Ahead(harness.Case):
    def write(self):
        """-> of each name, (frames, code)"""
        expected = {}
        os.makedirs(self.home)
        for index in range(FILES):
            make, frames, code = KINDS.get(index % 100, (tiny.image, 1, None))
            data = make(index)
            if index % 100 == 78:
                order = list(ORDERS)[index // 100 % len(ORDERS)]
                frames, code = ORDERS[order]
                data = order.encode() + data[4:]
            name = "%04d.dcm" % index
            expected[name] = frames, code
            with open(os.path.join(self.home, name), "wb") as file:
                file.write(data)
        return expected

    def assertPictures(self, expected, out):
        rows = {}
        for row in harness.table(out, "mapping.csv"):
            rows.setdefault(os.path.basename(row["Original DICOM file location"]), []).append(row)
        self.assertEqual({name: len(of_file) for name, of_file in rows.items()},
                         {name: frames for name, (frames, _) in expected.items() if frames > 0})
        for name, of_file in rows.items():
            for row in of_file:
                ramp = numpy.frombuffer(tiny.ramp(int(name[:4]) + int(row["frame"]) - 1), numpy.uint8).reshape(8, 8, 1)
                self.assertTrue((pictures.undone(row, out) == ramp).all(), "%s, frame %s" % (name, row["frame"]))
        failures = {os.path.basename(row["file"]): row["code"] for row in harness.table(out, "failures.csv")}
        self.assertEqual(failures, {name: code for name, (_, code) in expected.items() if code is not None})

    def test_each_file_comes_to_its_own(self):
        expected = self.write()
        for decoders in ("1", "3"):
            out = self.out + decoders
            done = self.extract("--DecoderProgram", CRASHING, "--UseProcesses", decoders, "--PixelScaling", "stored", out=out, status=1)
            self.assertEqual(harness.ledger(done.stdout)[0], FILES)
            self.assertPictures(expected, out)
        self.assertSameOutputs(*(os.path.join(self.out + decoders, "extracted-images") for decoders in ("1", "3")))

    def test_they_are_sent_indeed(self):
        """The worker has a file open from when it sends it until its answer is there."""
        tiny.write(self.home, 4000)
        run = harness.start("--UseProcesses", "1", home=self.home, out=self.out)
        most = 0
        while run.poll() is None:
            most = max(most, self.inputs_open_in(run.pid))
        self.assertEqual(run.wait(), 0, run.communicate())
        # With one ahead it has two inputs open and two pictures, whose numbers may pass from one to the other while we look.
        self.assertGreater(most, 4)

    def inputs_open_in(self, process):
        folder, count = "/proc/%d/fd" % process, 0
        try:
            names = os.listdir(folder)
        except OSError:  # the run has ended
            return 0
        for name in names:
            try:
                count += os.readlink(os.path.join(folder, name)).endswith(".dcm")
            except OSError:  # closed meanwhile
                pass
        return count

    def test_without_pictures_too(self):
        expected = self.write()
        self.extract("--DecoderProgram", CRASHING, "--UseProcesses", "1", "--PrintImages", "false", out=self.out, status=1)
        rows = {os.path.basename(row["file"]): row for row in harness.table(self.out, "metadata.csv")}
        self.assertEqual(sorted(rows), sorted(expected))
        for name, (_, code) in expected.items():
            if code not in ("crash_signal", "decoder_protocol"):  # of which nothing is known
                self.assertEqual(rows[name]["InstanceNumber"], str(int(name[:4])), name)


if __name__ == "__main__":
    harness.main()
