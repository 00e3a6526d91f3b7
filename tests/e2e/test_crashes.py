#!/usr/bin/python3
"""Files that crash their decoders: tried again alone, told apart by cause, and not blamed for what is the decoder's own fault."""
import os
import shutil
import sys
import unittest

import dicom_files
import harness

sys.path.insert(0, os.path.join(harness.SOURCE, "tests", "fault"))
import tiny  # noqa: E402

CRASHING = os.path.join(harness.BUILD, "tests", "crashing_decoder")


def told(data, order):
    """A file whose first bytes tell crashing_decoder what to do."""
    return order.encode() + data[4:]


class Crashes(harness.Case):
    def write(self, orders):
        """One file for each order, "" for none; -> their names."""
        os.makedirs(self.home, exist_ok=True)
        names = []
        for index, order in enumerate(orders):
            names.append("%04d-%s.dcm" % (index, order or "good"))
            with open(os.path.join(self.home, names[-1]), "wb") as file:
                file.write(told(tiny.image(index), order) if order else tiny.image(index))
        return names

    def failures(self, out=None):
        return {os.path.basename(row["file"]): row for row in harness.table(out or self.out, "failures.csv")}

    def log(self):
        return harness.read_text(self.out, "ImageExtractor.out")

    def test_each_cause_has_its_code_and_chance_its_second_try(self):
        orders = ["", "SEGV", "", "ABRT", "EXIT", "", "ONCE", "", "TRAP", "", "ONCE", ""]
        names = self.write(orders)
        done = self.extract("--DecoderProgram", CRASHING, "--UseProcesses", "1", status=1)
        codes = {"SEGV": "crash_signal", "ABRT": "crash_signal", "EXIT": "decoder_protocol", "TRAP": "limit_memory"}
        if "asan" in harness.BUILD:  # where a sanitizer ends the process by itself, before anybody hears of memory
            codes["TRAP"] = "decoder_protocol"
        failures = self.failures()
        self.assertEqual({name: row["code"] for name, row in failures.items()},
                         {name: codes[order] for name, order in zip(names, orders) if order in codes})
        self.assertEqual({row["category"] for row in failures.values()}, {"4"})
        if "asan" not in harness.BUILD:
            self.assertIn("DecoderMemory, 2147483648 bytes", failures["0008-TRAP.dcm"]["reason"])
        self.assertEqual(harness.ledger(done.stdout)[:2], [12, 8])
        self.assertEqual(self.log().count("event=retry_succeeded"), 2)
        crashes = 2 * len(failures) + orders.count("ONCE")
        self.assertEqual(self.log().count("event=decoder_ended"), crashes)
        self.extract(out=self.out + "2")
        column = "Original DICOM file location"
        self.assertEqual(harness.table(self.out, "mapping.csv"),  # what chance has cost nothing
                         [row for row in harness.table(self.out + "2", "mapping.csv")
                          if os.path.basename(row[column]) not in failures])

    @unittest.skipIf("asan" in harness.BUILD, "the address sanitizer needs more address space than any limit leaves")
    def test_a_large_file_takes_no_memory_from_the_next(self):
        """Whether a file is converted does not hang on which one its decoder had before."""
        names = self.write([""] * 6)
        large = os.path.join(self.home, "0002-large.dcm")
        with open(large, "wb") as file:
            file.write(dicom_files.image(2000, 2000, bytes(range(250)) * 48000, bits=8, samples=3))
        for memory, code in (("70M", None), ("40M", "limit_memory")):
            out = self.out + memory
            done = self.extract("--DecoderMemory", memory, "--UseProcesses", "1", out=out)
            self.assertEqual({name: row["code"] for name, row in self.failures(out).items()},
                             {"0002-large.dcm": code} if code else {})
            self.assertEqual(harness.ledger(done.stdout)[1], len(names) + (code is None))
            log = harness.read_text(out, "ImageExtractor.out")
            self.assertNotIn("event=decoder_ended", log)
            self.assertNotIn("event=retry_succeeded", log)  # each had what it needed at once

    def test_a_storm_that_is_the_files_own_fault(self):
        """Most crash, and the picture of our own does not: all are done, and each has its row."""
        names = self.write(["SEGV" if index % 10 else "" for index in range(140)])
        done = self.extract("--DecoderProgram", CRASHING, status=1)
        self.assertEqual(harness.ledger(done.stdout)[:2], [140, 14])
        self.assertEqual(sorted(self.failures()), [name for name in names if "SEGV" in name])
        self.assertEqual({row["code"] for row in self.failures().values()}, {"crash_signal"})
        self.assertIn("event=crash_storm", self.log())
        self.assertIn("event=crash_probe_passed fault=files", self.log())
        self.assertNotIn("event=crash_probe_failed", self.log())

    def test_a_storm_that_is_our_fault_ends_the_run(self):
        self.write([""] * 140)
        folder = os.path.join(self.folder, "decoder")
        os.mkdir(folder)
        program = shutil.copy(os.path.join(harness.BUILD, "tests", "misbehaving_decoder"), folder)
        harness.write_text("segv", folder, "mode")
        done = self.extract("--DecoderProgram", program, status=70)
        self.assertIn("a picture of our own", done.stderr)
        self.assertIn("signal 11", done.stderr)
        self.assertIn("event=crash_storm crashes=51", self.log())
        # Whoever crashed before is done again, like the rest.
        self.extract(status=0)
        self.assertEqual(len(harness.table(self.out, "mapping.csv")), 140)
        self.extract(out=self.out + "2", status=0)
        self.assertSameOutputs(self.out, self.out + "2")


if __name__ == "__main__":
    harness.main()
