"""Bad input and bad surroundings: a clear sentence, the right exit status, and nothing lost."""
import os
import pty
import resource
import shutil
import signal
import socket
import subprocess
import threading
import time
import unittest

import harness

NOBODY = 65534


class WrongFolders(harness.Case):
    def test_dicom_home_absent_or_a_file(self):
        done = self.extract(status=2)
        self.assertIn("DICOMHome", done.stderr)
        self.assertIn(self.home, done.stderr)
        harness.write_text("x", self.home)
        done = self.extract(status=2)
        self.assertIn("is not a folder", done.stderr)

    def test_nothing_to_convert(self):
        os.mkdir(self.home)
        self.assertIn("nothing to convert", self.extract(status=2).stderr)
        with open(os.path.join(self.home, "notes.txt"), "w", encoding="ascii") as file:
            file.write("hello\n")
        self.assertIn("nothing to convert", self.extract(status=2).stderr)
        self.assertIn("FilePattern", self.extract("--FilePattern", "*.none", status=2).stderr)

    def test_output_inside_input_and_the_other_way_round(self):
        self.samples("--only", "mr")
        self.assertIn("inside DICOMHome", self.extract(out=os.path.join(self.home, "out"), status=2).stderr)
        self.assertIn("same folder", self.extract(out=self.home, status=2).stderr)
        self.assertIn("inside OutputDirectory", self.extract(out=self.folder, status=2).stderr)
        link = os.path.join(self.folder, "link")
        os.symlink(self.home, link)
        self.assertIn("inside DICOMHome", self.extract(out=os.path.join(link, "out"), status=2).stderr)

    def test_output_inside_input_below_the_depth_is_no_trap(self):
        """The config.json that Niffler ships has it so: Depth 0, OutputDirectory DICOMHome/root."""
        self.samples("--only", "mr", into=os.path.join(self.folder, "made"))
        os.mkdir(self.home)
        for number, (path, _, names) in enumerate(os.walk(os.path.join(self.folder, "made"))):
            for name in names:
                shutil.copy(os.path.join(path, name), os.path.join(self.home, "%d-%s" % (number, name)))
        out = os.path.join(self.home, "root")
        first = self.extract("--Depth", "0", out=out)
        again = self.extract("--Depth", "0", out=out)
        self.assertEqual(harness.ledger(first.stdout), harness.ledger(again.stdout))


class OddFiles(harness.Case):
    def setUp(self):
        super().setUp()
        self.samples("--only", "mr", into=os.path.join(self.folder, "made"))
        self.picture = next(os.path.join(path, name) for path, _, names in os.walk(os.path.join(self.folder, "made"))
                            for name in sorted(names))
        os.mkdir(self.home)

    def codes(self):
        return {row["file"][len(self.home) + 1:]: row["code"] for row in harness.table(self.out, "failures.csv")}

    def test_names_with_newline_comma_quote_invalid_utf8_and_255_bytes(self):
        names = [b"a,b.dcm", b'a"b.dcm', b"a\nb.dcm", b"caf\xe9.dcm", b"x" * 251 + b".dcm", b"-rf", b" leading.dcm",
                 "ä 山.dcm".encode()]
        for name in names:
            shutil.copy(self.picture, os.path.join(self.home.encode(), name))
        done = self.extract(status=0)
        self.assertEqual(harness.ledger(done.stdout)[:2], [len(names), len(names)])
        files = [row["file"] for row in harness.table(self.out, "metadata.csv")]
        self.assertEqual(len(files), len(set(files)))
        for name in ("a,b.dcm", 'a"b.dcm', "a\nb.dcm", "caf\\xE9.dcm", "ä 山.dcm"):
            self.assertIn(self.home + "/" + name, files)
        self.assertEqual(len(harness.table(self.out, "mapping.csv")), len(names))
        self.extract("--DecoderProgram", "/nonexistent", status=0)  # all are known again

    def test_dangling_and_circular_links_fifos_and_sockets(self):
        good = os.path.join(self.home, "good.dcm")
        shutil.copy(self.picture, good)
        os.symlink("nowhere", os.path.join(self.home, "dangling.dcm"))
        os.symlink(".", os.path.join(self.home, "circle"))
        os.symlink("good.dcm", os.path.join(self.home, "inside.dcm"))
        os.symlink(self.picture, os.path.join(self.home, "outside.dcm"))
        os.symlink("loop.dcm", os.path.join(self.home, "loop.dcm"))
        os.mkfifo(os.path.join(self.home, "fifo.dcm"))
        server = socket.socket(socket.AF_UNIX)
        self.addCleanup(server.close)
        server.bind(os.path.join(self.home, "socket.dcm"))
        done = self.extract(status=1)
        codes = self.codes()
        self.assertEqual(codes["dangling.dcm"], "input_missing")
        self.assertEqual(codes["outside.dcm"], "outside_root")
        self.assertEqual(codes["fifo.dcm"], "input_special")
        self.assertEqual(codes["socket.dcm"], "input_special")
        self.assertIn("loop.dcm", codes)
        self.assertEqual(harness.ledger(done.stdout)[1], 2, done.stdout)  # good and inside
        done = self.extract("--LinkRoots", os.path.join(self.folder, "made"), out=self.out + "2", status=1)
        self.assertEqual(harness.ledger(done.stdout)[1], 3)

    @unittest.skipIf(os.geteuid() != 0, "needs root, to become somebody who may not read")
    def test_unreadable_files_and_folders(self):
        shutil.copy(self.picture, os.path.join(self.home, "good.dcm"))
        shutil.copy(self.picture, os.path.join(self.home, "closed.dcm"))
        os.chmod(os.path.join(self.home, "closed.dcm"), 0)
        os.mkdir(os.path.join(self.home, "closed"), 0)
        os.mkdir(self.out)
        os.chown(self.out, NOBODY, NOBODY)
        done = self.extract(status=1, user=NOBODY, group=NOBODY, extra_groups=[])
        codes = self.codes()
        self.assertEqual(codes["closed.dcm"], "input_denied")
        self.assertEqual(codes["closed/"], "input_denied")
        self.assertEqual(harness.ledger(done.stdout)[1], 1)
        os.chmod(os.path.join(self.home, "closed.dcm"), 0o644)
        done = self.extract(status=1, user=NOBODY, group=NOBODY, extra_groups=[])
        self.assertEqual(harness.ledger(done.stdout)[1], 2)  # a failure that may pass is tried again

    def test_ten_thousand_files_in_one_folder(self):
        target = os.path.join(self.home, "00000.dcm")
        shutil.copy(self.picture, target)
        for number in range(1, 10000):
            os.link(target, os.path.join(self.home, "%05d.dcm" % number))
        done = self.extract("--PrintImages", "false", status=0)
        self.assertEqual(harness.ledger(done.stdout)[:2], [10000, 10000])
        files = [row["file"] for row in harness.table(self.out, "metadata.csv")]
        self.assertEqual(files, ["%s/%05d.dcm" % (self.home, number) for number in range(10000)])

    def test_a_file_that_vanishes_after_the_scan(self):
        self.samples("--ct", "100", into=os.path.join(self.home, "a"))
        gone = os.path.join(self.home, "zz.dcm")
        shutil.copy(self.picture, gone)
        run = harness.start(home=self.home, out=self.out)
        log = os.path.join(self.out, "ImageExtractor.out")
        for _ in range(5000):
            if os.path.exists(log) and "event=scanned" in harness.read_text(log):
                break
            time.sleep(0.001)
        os.remove(gone)
        run.communicate()
        self.assertEqual(run.returncode, 1)
        self.assertEqual(self.codes()["zz.dcm"], "input_missing")

    def test_a_file_that_changes_while_it_is_read(self):
        self.samples("--only", "dx")
        paths = [os.path.join(path, name) for path, _, names in os.walk(self.home) for name in names]
        stop = threading.Event()

        def touch():
            count = 0
            while not stop.is_set():
                count += 1
                for path in paths:
                    os.utime(path, ns=(count * 1000003, count * 1000003))

        thread = threading.Thread(target=touch)
        thread.start()
        try:
            self.extract(status=1)
        finally:
            stop.set()
            thread.join()
        self.assertEqual(set(self.codes().values()), {"input_changed"})
        self.assertEqual(harness.table(self.out, "mapping.csv"), [])
        self.extract(status=0)


class Decoder(harness.Case):
    def test_a_decoder_that_cannot_be_started(self):
        self.samples("--only", "mr")
        done = self.extract("--DecoderProgram", "/nonexistent/decoder", status=3)
        self.assertIn("/nonexistent/decoder", done.stderr)
        done = self.extract("--DecoderProgram", "/bin/false", status=3)
        self.assertIn("as soon as it is started", done.stderr)

    def test_one_that_dies_costs_each_file_a_row(self):
        self.samples("--only", "mr")
        folder = os.path.join(self.folder, "decoder")
        os.mkdir(folder)
        program = shutil.copy(os.path.join(harness.BUILD, "tests", "misbehaving_decoder"), folder)
        for mode, code in (("segv", "crash_signal"), ("hang", "limit_time"), ("nonsense", "decoder_protocol")):
            with open(os.path.join(folder, "mode"), "w", encoding="ascii") as file:
                file.write(mode)
            out = self.out + mode
            self.extract("--DecoderProgram", program, "--DecoderSeconds", "1", out=out, status=1)
            failures = harness.table(out, "failures.csv")
            self.assertEqual({(row["category"], row["code"]) for row in failures}, {("4", code)})
            self.assertEqual(len(failures), len(harness.table(out, "metadata.csv")))

    @unittest.skipIf("asan" in harness.BUILD, "the address sanitizer needs more address space than any limit leaves")
    def test_the_memory_limit_costs_the_file_that_meets_it(self):
        self.samples("--only", "dx")
        self.samples("--only", "mr", into=os.path.join(self.home, "mr"))
        self.extract("--DecoderMemory", "4M", status=1)
        failures = harness.table(self.out, "failures.csv")
        self.assertEqual({row["category"] for row in failures}, {"4"})
        self.assertGreater(len(harness.table(self.out, "mapping.csv")), 0)


class Output(harness.Case):
    @unittest.skipIf(os.geteuid() != 0, "needs root, to mount a small file system")
    def test_a_full_disk_stops_the_run_and_it_goes_on_when_there_is_space(self):
        self.samples("--ct", "40")
        self.extract(out=self.out + "-fresh")
        os.mkdir(self.out)
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", self.out]).returncode != 0:
            self.skipTest("this machine lets nobody mount; the limit on file sizes stands in for it")
        self.addCleanup(subprocess.run, ["umount", self.out])
        done = self.extract(status=3)
        self.assertRegex(done.stderr.lower(), "no space|disk full|full")
        subprocess.run(["mount", "-o", "remount,size=200m", self.out], check=True)
        self.extract()
        self.assertSameOutputs(self.out + "-fresh", self.out)
        to_do = [line for line in harness.read_text(self.out, "ImageExtractor.out").splitlines()
                 if "event=scanned" in line]
        first, second = (int(line.split("to_do=")[1].split()[0]) for line in to_do)
        self.assertLess(second, first - 10, "what was converted before the disk was full is kept")

    def test_a_limit_on_file_sizes_stops_the_run_and_it_goes_on_without(self):
        self.samples("--only", "ct")
        self.extract(out=self.out + "-fresh")
        limit = (resource.RLIMIT_FSIZE, (100000, resource.RLIM_INFINITY))
        done = self.extract(status=3, preexec_fn=lambda: resource.setrlimit(*limit))
        self.assertRegex(done.stderr, "File too large|disk full")
        self.extract()
        self.assertSameOutputs(self.out + "-fresh", self.out)

    def test_a_mail_that_cannot_be_sent_is_reported_and_spoils_nothing(self):
        self.samples("--only", "mr")
        done = self.extract("--YourEmail", "someone@example.org", "--SmtpUrl", "smtp://127.0.0.1:1", "--MailFrom",
                            "niffler@example.org", "--SmtpStartTls", "off", status=0)
        self.assertIn("e-mail could not be sent", done.stderr)
        self.assertGreater(len(harness.table(self.out, "metadata.csv")), 0)

    def test_libcurl_is_needed_for_the_mail_only_and_its_absence_is_told_of_at_once(self):
        self.samples("--only", "mr")
        broken = os.path.join(self.folder, "libraries")
        os.mkdir(broken)
        harness.write_text("no library", os.path.join(broken, "libcurl.so.4"))
        surroundings = dict(os.environ, LD_LIBRARY_PATH=broken)
        mail = ("--SendEmail", "true", "--YourEmail", "to@example.org", "--SmtpUrl", "smtp://127.0.0.1:1")
        done = self.extract(*mail, status=2, env=surroundings)
        self.assertIn("libcurl", done.stderr)
        self.assertIn("install", done.stderr)
        self.assertFalse(os.path.exists(os.path.join(self.out, "metadata.csv")))
        self.extract(status=0, env=surroundings)

    @unittest.skipIf(os.geteuid() != 0, "needs root, to become somebody who may not write")
    def test_a_read_only_output(self):
        self.samples("--only", "mr")
        os.mkdir(self.out, 0o755)
        done = self.extract(status=2, user=NOBODY, group=NOBODY, extra_groups=[])
        self.assertIn("output", done.stderr.lower())

    def test_the_progress_bar_on_a_terminal_and_plain_lines_elsewhere(self):
        self.samples("--only", "ct")
        leader, follower = pty.openpty()
        run = subprocess.Popen([harness.PROGRAM, "extract", "--DICOMHome", self.home, "--OutputDirectory", self.out],
                               stdout=subprocess.DEVNULL, stderr=follower, stdin=subprocess.DEVNULL)
        os.close(follower)
        shown = b""
        while True:
            try:
                chunk = os.read(leader, 65536)
            except OSError:
                break
            if not chunk:
                break
            shown += chunk
        run.wait()
        os.close(leader)
        self.assertIn(b"[", shown)
        self.assertIn(b"failed", shown)
        self.assertIn(b"left", shown)
        done = self.extract(out=self.out + "2")
        self.assertNotIn("\r", done.stderr)


if __name__ == "__main__":
    harness.main()
