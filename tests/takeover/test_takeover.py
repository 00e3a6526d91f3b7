#!/usr/bin/python3
"""A decoder that somebody has taken over: what he tries is refused, what he answers is a row of failures.csv, and the
other files of the run are converted as ever."""
import json
import os
import signal
import subprocess
import unittest
import urllib.request

import scene
from scene import ATTEMPTS, IS_ROOT, IS_SANITIZED, MISBEHAVING, SOMEBODY, UNCONFINED, WITHOUT_CALLS, harness

needs_root = unittest.skipUnless(IS_ROOT, "needs root, to be root and to become somebody else")

# Refused without the end of the process; all else ends it by SIGSYS.
REFUSED = {"environ": "No such file or directory", "other-descriptor": "Bad file descriptor",
           "too-much-memory": "Cannot allocate memory", "long-file-by-seeking": "File too large"}
# The sanitizers' own calls are refused, where others are deadly (worker/decoder/sandbox_seccomp.c).
REFUSED_IF_SANITIZED = {name: "Permission denied" for name in (
    "open", "open-path", "create", "overwrite", "stat", "readlink", "list", "own-memory", "open-environ", "setrlimit",
    "limit-worker")}
# Their shadow memory lies beyond any limit, they have a handler of their own for the end of the stack, and a mlock()
# that does nothing.
NOT_IF_SANITIZED = ("too-much-memory", "recursion", "lock-memory")

# Without confinement, all is done but what only root may do, and what the machine itself may refuse.
ROOT_ONLY = {"chroot", "mount", "setns", "bpf"}
NEVER_DONE = {"environ": "decoders without confinement have no environment either",
              "type-ahead": "there is no terminal"}
MACHINES_DIFFER = {"perf": "kernel.perf_event_paranoid", "userfault": "vm.unprivileged_userfaultfd",
                   "io-uring": "kernel.io_uring_disabled", "keys": "CONFIG_KEYS", "message-queue": "CONFIG_POSIX_MQUEUE",
                   "calls-of-32-bits": "CONFIG_IA32_EMULATION", "unshare": "kernel.unprivileged_userns_clone",
                   "ptrace-worker": "kernel.yama.ptrace_scope", "read-worker": "kernel.yama.ptrace_scope",
                   "pidfd-getfd": "kernel.yama.ptrace_scope", "bpf": "a container", "mount": "a container",
                   "chroot": "a container", "setns": "a container", "landlock": "its LSM", "another-filter": "a container"}

# What Landlock refuses by itself, by the version that it came with.
LANDLOCK = {1: {"open", "create", "overwrite", "list", "unlink", "rename", "link", "symlink", "mkdir", "mkfifo", "mount",
                "own-memory", "open-environ", "exec", "exec-memory", "ptrace-worker", "read-worker", "pidfd-getfd"},
            3: {"truncate"}, 4: {"connect", "bind"}, 6: {"connect-abstract", "kill-worker", "kill-thread"}}
# What capabilities, limits and closed descriptors refuse.
OTHER_PARTS = {"chroot", "mount", "setns", "bpf", "setrlimit", "lock-memory", "too-much-memory", "other-descriptor",
               "receive-elsewhere", "long-file", "long-file-by-seeking", "environ"}
PARTS = {"privileges", "descriptors", "limits", "oom_score", "landlock", "landlock_tcp", "landlock_scope", "seccomp"}

ANSWERS = {**{"answer-" + name: "limit_time" for name in ("never", "half-header", "half")},
           "answer-full-storage": "output_io", "picture-claim-very-much": "limit_output",
           "picture-cut-afterwards": "forbidden_call"}
# What comes behind the last answer. Where the decoder has its next file already it is taken for an answer about that one.
EXCESS = ("answer-frame-twice", "answer-early")
HARMLESS_ANSWERS = {"answer-no-number"}  # an offset that is none is shown as 0: float pixels have such


def is_done(rows, name):
    return rows.get(name, ("", ""))[1] == name + ": done"


class Attempts(scene.Case):
    """At least 30 attempts by root and by somebody without rights: none succeeds, each is a row."""

    def check(self, user):
        self.assertGreaterEqual(len(ATTEMPTS), 100)
        self.marked(ATTEMPTS)
        out = os.path.join(self.folder, "out")
        rows = self.run_over(MISBEHAVING, out, user=user)
        self.assertEqual(set(rows), set(ATTEMPTS))
        refused = {**REFUSED, **(REFUSED_IF_SANITIZED if IS_SANITIZED else {})}
        for name in ATTEMPTS:
            if IS_SANITIZED and name in NOT_IF_SANITIZED:
                continue
            code, reason = rows[name]
            if name in refused:
                self.assertEqual((code, reason), ("codec", "%s: refused: %s" % (name, refused[name])))
            elif name == "recursion":
                self.assertEqual(code, "crash_signal", reason)
            else:
                self.assertEqual(code, "forbidden_call", "%s: %s" % (name, reason))
        self.assertVictimsUntouched(ATTEMPTS)
        self.assertGoodAsEver(out)
        self.assertIn("code=forbidden_call", self.log)
        self.assertNotIn("event=not_confined", self.log)

    def check_without(self, user):
        """The attempts are such: without confinement they succeed."""
        self.marked(ATTEMPTS)
        rows = self.run_over(UNCONFINED, os.path.join(self.folder, "out"), user=user)
        if os.path.ismount(os.path.join(self.victims, "mount")):
            subprocess.run(["umount", os.path.join(self.victims, "mount")], check=True)
        self.assertRegex(self.log, "event=not_confined missing=privileges,.*seccomp")
        done = {name for name in ATTEMPTS if is_done(rows, name)}
        done |= {name for name in ("exec", "exec-memory") if os.path.exists(os.path.join(self.victims, name))}
        expected = set(ATTEMPTS) - set(NEVER_DONE) - (set() if user is None and IS_ROOT else ROOT_ONLY)
        missing = expected - done
        for name in sorted(missing & set(MACHINES_DIFFER)):
            print("not done on this machine: %s (%s): %s" % (name, MACHINES_DIFFER[name], rows[name][1]))
        self.assertEqual(missing - set(MACHINES_DIFFER), set())
        self.assertGreaterEqual(len(done), 80)

    @needs_root
    def test_root(self):
        self.check(None)

    def test_somebody(self):
        self.check(SOMEBODY if IS_ROOT else None)

    @needs_root
    def test_root_without_confinement(self):
        self.check_without(None)

    def test_somebody_without_confinement(self):
        self.check_without(SOMEBODY if IS_ROOT else None)


class Answers(scene.Case):
    """Whatever bytes come back."""

    def test_answers_and_pictures(self):
        names = [name for name in scene.ANSWERS + scene.PICTURES if name not in ("answer-always", *EXCESS)]
        self.assertGreaterEqual(len(names), 38)
        self.marked(names)
        out = os.path.join(self.folder, "out")
        rows = self.run_over(MISBEHAVING, out)
        for name in names:
            if name in HARMLESS_ANSWERS:
                self.assertNotIn(name, rows)
                continue
            expected = ANSWERS.get(name, "decoder_protocol")
            self.assertEqual(rows[name][0], expected, "%s: %s" % (name, rows[name][1]))
        self.assertEqual(len(rows), len(names) - len(HARMLESS_ANSWERS))
        self.assertGoodAsEver(out)
        self.assertOnlyWholePictures(out)

    def test_an_answer_too_many(self):
        """With a decoder of its own it is the file's failure; else the next file is done again, and has its own answers."""
        self.marked(EXCESS)
        rows = self.run_over(MISBEHAVING, os.path.join(self.folder, "own"), "--FilesPerDecoder", "1")
        self.assertEqual({name: code for name, (code, _) in rows.items()}, dict.fromkeys(EXCESS, "decoder_protocol"))
        for name in EXCESS:
            self.among_good_files(name)
            out = os.path.join(self.folder, "out-" + name)
            self.extract("--DecoderProgram", MISBEHAVING, "--UseProcesses", "1", out=out)
            self.assertIn("event=decoder_ended", harness.read_text(out, "ImageExtractor.out"))
            self.assertGoodAsEver(out)

    def test_an_answer_too_many_about_a_header(self):
        """Where no pictures are wanted nothing but its number tells one file's answer from the next one's."""
        self.marked(["answer-inspected-twice"])
        self.among_good_files("answer-inspected-twice")
        tables = []
        for number, decoder in enumerate(((), ("--DecoderProgram", MISBEHAVING))):
            out = os.path.join(self.folder, "out-%d" % number)
            self.extract(*decoder, "--PrintImages", "false", "--UseProcesses", "1", out=out, status=0)
            tables.append(harness.read_bytes(out, "metadata.csv"))
        self.assertIn("event=decoder_ended", harness.read_text(out, "ImageExtractor.out"))
        self.assertEqual(*tables)

    def among_good_files(self, name):
        """The marked file has good ones before it and behind it, which are sent ahead. It takes the place of the one before."""
        middle = self.good[len(self.good) // 2]
        os.replace(os.path.join(self.home, "marked", name + ".dcm"), os.path.join(self.home, middle + "-marked.dcm"))

    def test_a_decoder_of_its_own_for_each_file(self):
        """One that stays taken over answers for the files after it, but where there are none."""
        self.marked(["answer-always"])
        os.rename(os.path.join(self.home, "marked"), os.path.join(self.home, "A"))  # the first of the run
        counts = {}
        for files in (4000, 1):
            out = os.path.join(self.folder, "out-%d" % files)
            self.extract("--DecoderProgram", MISBEHAVING, "--UseProcesses", "1", "--FilesPerDecoder", str(files), out=out,
                         status=0)
            counts[files] = len(self.pictures(out))
        self.assertEqual(counts[4000], 0)
        self.assertEqual(counts[1], len(self.good))
        self.assertGoodAsEver(os.path.join(self.folder, "out-1"))

    def test_a_picture_that_is_cut_afterwards_without_confinement(self):
        self.marked(["picture-cut-afterwards"])
        out = os.path.join(self.folder, "out")
        rows = self.run_over(UNCONFINED, out)
        self.assertEqual(rows["picture-cut-afterwards"][0], "decoder_protocol")
        self.assertOnlyWholePictures(out)

    def assertOnlyWholePictures(self, out):
        named = {row["PNG location"] for row in harness.table(out, "mapping.csv")}
        for path, _, files in os.walk(os.path.join(out, "extracted-images")):
            for name in files:
                picture = harness.read_bytes(path, name)
                self.assertTrue(picture.startswith(b"\x89PNG\r\n\x1a\n") and picture.endswith(b"IEND\xaeB`\x82"), name)
                self.assertIn(os.path.relpath(os.path.join(path, name), out), named)
        self.assertFalse(os.path.exists(os.path.join(out, ".niffler-png", "incoming")))


class Parts(scene.Case):
    """Machines that lack a part: what is left holds by itself, and what is missing is said."""

    def missing(self):
        for line in self.log.splitlines():
            if "event=not_confined" in line:
                self.assertIn(" warn ", line)
                return set(line.split("missing=")[1].split()[0].split(","))
        return set()

    def in_force(self):
        line, = [line for line in self.log.splitlines() if "event=confined" in line]
        return set(line.split("parts=")[1].split()[0].split(",")), int(line.split("landlock_abi=")[1])

    def run_without(self, parts, *flags, **more):
        return self.run_over(MISBEHAVING, os.path.join(self.folder, "out"), *flags, before=(WITHOUT_CALLS, parts), **more)

    def test_landlock_alone(self):
        expected = set().union(*LANDLOCK.values()) | OTHER_PARTS
        self.marked(sorted(expected))
        rows = self.run_without("seccomp", user=SOMEBODY if IS_ROOT else None)
        self.assertEqual(self.missing(), {"seccomp"})
        _, version = self.in_force()
        expected = set().union(*(names for since, names in LANDLOCK.items() if since <= version)) | OTHER_PARTS
        for name in sorted(expected - (set(NOT_IF_SANITIZED) if IS_SANITIZED else set())):
            self.assertIn(": refused: ", rows[name][1], name)
        self.assertVictimsUntouched(ATTEMPTS)
        self.assertGoodAsEver(os.path.join(self.folder, "out"))

    def test_seccomp_alone(self):
        for parts in ("landlock", "landlock-denied"):
            with self.subTest(parts):
                out = os.path.join(self.folder, parts)
                if not os.path.exists(os.path.join(self.home, "marked")):
                    self.marked(ATTEMPTS)
                rows = self.run_over(MISBEHAVING, out, before=(WITHOUT_CALLS, parts))
                self.assertEqual(self.missing(), {"landlock", "landlock_tcp", "landlock_scope"})
                self.assertEqual(self.in_force()[1], 0)
                self.assertEqual({name for name in ATTEMPTS if is_done(rows, name)} -
                                 (set(NOT_IF_SANITIZED) if IS_SANITIZED else set()), set())
                self.assertVictimsUntouched(ATTEMPTS)
                self.assertGoodAsEver(out)

    def test_no_close_range(self):
        """An old kernel: descriptors are closed one by one."""
        self.marked(["other-descriptor"])
        rows = self.run_without("close_range")
        self.assertEqual(rows["other-descriptor"][1], "other-descriptor: refused: Bad file descriptor")
        self.assertEqual(self.missing(), set())

    def test_required(self):
        self.marked(["open"])
        for parts, name in (("landlock", "no landlock here (Function not implemented)"),
                            ("landlock-denied", "no landlock here (Operation not permitted)"), ("seccomp", "no seccomp here")):
            with self.subTest(parts):
                out = os.path.join(self.folder, parts)
                said = self.run_over(MISBEHAVING, out, "--Sandbox", "required", before=(WITHOUT_CALLS, parts), status=3)
                self.assertIn(name, said)
                self.assertIn("use a kernel", said)
                self.assertIn("set Sandbox to best-effort", said)
                self.assertFalse(os.path.exists(os.path.join(out, "extracted-images")))
        rows = self.run_over(MISBEHAVING, os.path.join(self.folder, "whole"), "--Sandbox", "required")
        self.assertIn("open", rows)

    def worker(self, *flags, before=()):
        for name in ("in", "out"):
            os.makedirs(os.path.join(self.folder, "root", name), exist_ok=True)
        return [*before, harness.PROGRAM, "work", "--InputRoot", os.path.join(self.folder, "root", "in"), "--OutputRoot",
                os.path.join(self.folder, "root", "out"), "--KafkaBrokers", "127.0.0.1:1", *flags]

    def test_a_worker_requires_it_by_default(self):
        command = self.worker(before=(WITHOUT_CALLS, "landlock"))
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60)
        self.assertEqual(done.returncode, 3, done.stderr)
        self.assertIn("no landlock here", done.stderr)

    def metrics_of(self, *flags, before=()):
        command = self.worker("--MetricsListen", "127.0.0.1:0", *flags, before=before)
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        try:
            port = next(line.split("port=")[1].split()[0] for line in process.stderr if "event=health_listening" in line)
            with urllib.request.urlopen("http://127.0.0.1:%s/metrics" % port, timeout=20) as answer:
                text = answer.read().decode()
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=60)
        return {line.split('part="')[1].split('"')[0]: float(line.split()[-1]) for line in text.splitlines()
                if line.startswith("niffler_sandbox_in_force{")}

    def test_metrics(self):
        whole = self.metrics_of()
        self.assertEqual(set(whole), PARTS)
        self.assertEqual(whole["seccomp"], 1)
        cut = self.metrics_of("--Sandbox", "best-effort", before=(WITHOUT_CALLS, "landlock"))
        self.assertEqual({part for part in PARTS if cut[part] != 1}, {"landlock", "landlock_tcp", "landlock_scope"})

    def doctor(self, *flags, before=(), status):
        done = subprocess.run([*before, harness.PROGRAM, "doctor", "--json", *flags], stdout=subprocess.PIPE, text=True,
                              timeout=60)
        self.assertEqual(done.returncode, status)
        return next((entry["state"], entry["detail"]) for entry in json.loads(done.stdout) if entry["check"] == "sandbox")

    def test_doctor(self):
        flags = ("--OutputDirectory", self.folder)
        state, detail = self.doctor(*flags, status=0)
        self.assertEqual(state, "ok", detail)
        self.assertIn("seccomp", detail)
        state, detail = self.doctor(*flags, before=(WITHOUT_CALLS, "seccomp"), status=0)
        self.assertEqual(state, "warn")
        self.assertIn("missing: seccomp", detail)
        state, detail = self.doctor(*flags, "--Sandbox", "required", before=(WITHOUT_CALLS, "landlock"), status=3)
        self.assertEqual(state, "fail")
        self.assertIn("use a kernel from 5.13 on", detail)
        state, detail = self.doctor(*flags, "--DecoderProgram", "/bin/false", status=3)
        self.assertEqual(state, "fail")


class Containers(scene.Case):
    """The whole of it in a container that has no rights itself."""

    def check(self, before, user):
        self.marked(ATTEMPTS)
        out = os.path.join(self.folder, "out")
        rows = self.run_over(MISBEHAVING, out, "--Sandbox", "required", before=before, user=user)
        self.assertEqual(set(rows), set(ATTEMPTS))
        self.assertEqual({name for name in ATTEMPTS if is_done(rows, name)} -
                         (set(NOT_IF_SANITIZED) if IS_SANITIZED else set()), set())
        self.assertVictimsUntouched(ATTEMPTS)
        self.assertGoodAsEver(out)

    @needs_root
    def test_no_capabilities_and_no_new_ones(self):
        """As Kubernetes starts it: not root, no capability to be had, allowPrivilegeEscalation: false."""
        self.check(("setpriv", "--reuid", str(SOMEBODY), "--regid", str(SOMEBODY), "--clear-groups", "--no-new-privs",
                    "--bounding-set", "-all", "--inh-caps", "-all"), None)

    def test_a_user_namespace(self):
        """Root of a namespace, and nobody outside."""
        before = ("unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc", "--net", "--ipc", "--uts")
        user = SOMEBODY if IS_ROOT else None
        own = {} if user is None else {"user": user, "group": user, "extra_groups": []}
        if subprocess.run([*before, "true"], stderr=subprocess.DEVNULL, **own).returncode != 0:
            self.skipTest("this machine lets nobody make a user namespace")
        self.check(before, user)


if __name__ == "__main__":
    scene.main()
