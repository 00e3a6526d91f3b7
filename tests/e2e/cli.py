#!/usr/bin/env python3
"""The command line of niffler-png: settings from their sources, mistakes and what is said of them, help, man page.

Usage: cli.py PROGRAM SOURCE_FOLDER MANDOC
"""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

PROGRAM, SOURCES, MANDOC = (sys.argv + [None] * 3)[1:4]

NIFFLER_KEYS = """DICOMHome OutputDirectory Depth SplitIntoChunks PrintImages CommonHeadersOnly PublicHeadersOnly
SpecificHeadersOnly UseProcesses FlattenedToLevel is16Bit SendEmail YourEmail""".split()

DONE, SOME_FAILED, USAGE, WORLD_FAILED = 0, 1, 2, 3


class CommandLine(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="niffler-cli-"))
        self.addCleanup(shutil.rmtree, self.folder)

    def run_program(self, *arguments, config=None, environment=None, **more):
        """Run in the empty folder of the test, with `config` (text, or what JSON makes of it) as its config.json."""
        if config is not None:
            text = config if isinstance(config, (str, bytes)) else json.dumps(config)
            mode = "wb" if isinstance(text, bytes) else "w"
            with open(self.folder / "config.json", mode) as stream:
                stream.write(text)
        clean = {name: value for name, value in os.environ.items() if not name.startswith("NIFFLER_")}
        clean.update(environment or {})
        more.setdefault("stdout", subprocess.PIPE)
        return subprocess.run([PROGRAM, *arguments], cwd=self.folder, env=clean, stdin=subprocess.DEVNULL,
                              stderr=subprocess.PIPE, text=True, timeout=60, check=False, **more)

    def expect_refused(self, *arguments, says, **how):
        """Exit 2, nothing on stdout, and one sentence on stderr that holds every text of `says`."""
        result = self.run_program(*arguments, **how)
        self.assertEqual((result.returncode, result.stdout), (USAGE, ""), result.stderr)
        self.assertRegex(result.stderr, r"\Aniffler-png: [^\n]+\n\Z")
        for text in says:
            self.assertIn(text, result.stderr)

    def shown(self, *arguments, **how):
        """What --show-settings prints: {key: (value, source)}."""
        result = self.run_program("extract", "--show-settings", *arguments, **how)
        self.assertEqual((result.returncode, result.stderr), (DONE, ""))
        rows = {}
        for line in result.stdout.splitlines():
            key, value, source = re.fullmatch(r"(\w+) = (.*)  \(from ([\w.]+)\)", line).groups()
            rows[key] = (value, source)
        return rows

    def keys(self):
        return list(self.shown())

    # ---- commands -------------------------------------------------------------------------------------

    def test_no_command_and_no_config_prints_help_and_exits_2(self):
        result = self.run_program()
        self.assertEqual((result.returncode, result.stdout), (USAGE, ""))
        self.assertIn("Usage: niffler-png", result.stderr)

    def test_no_command_with_config_extracts(self):
        missing = str(self.folder / "absent")
        result = self.run_program(config={"DICOMHome": missing, "OutputDirectory": str(self.folder / "out")})
        self.assertEqual(result.returncode, USAGE)
        self.assertRegex(result.stderr, r"niffler-png: [^\n]+\n\Z")
        self.assertNotIn("Usage", result.stderr)
        self.assertNotIn("unknown", result.stderr)

    def test_flags_without_command_extract(self):
        self.expect_refused("--OutputDirectory", "out", says=["'DICOMHome' is not set", "--DICOMHome FOLDER"])
        self.expect_refused("--DICOMHome=in", says=["'OutputDirectory' is not set"])

    def test_unknown_command(self):
        self.expect_refused("exract", says=["unknown command 'exract'", "--help"])
        self.expect_refused("", says=["unknown command ''"])

    def test_version(self):
        for arguments in (["--version"], ["extract", "--version"]):
            result = self.run_program(*arguments)
            self.assertRegex(result.stdout, r"\Aniffler-png \d+\.\d+\.\d+\n\Z")
            self.assertEqual(result.returncode, DONE)

    def test_help_names_every_setting_command_and_exit_status(self):
        keys = self.keys()
        for arguments in (["--help"], ["-h"], ["extract", "--help"], ["extract", "--Depth", "1", "--help"]):
            result = self.run_program(*arguments)
            self.assertEqual((result.returncode, result.stderr), (DONE, ""))
            for key in keys:
                self.assertRegex(result.stdout, rf"\n  --{key} \S")
            for text in ("extract", "--config FILE", "--show-settings", "Exit status", "Examples", "NIFFLER_DICOM_HOME"):
                self.assertIn(text, result.stdout)
            self.assertLessEqual(max(map(len, result.stdout.splitlines())), 100)

    def test_output_that_cannot_be_written(self):
        with open("/dev/full", "w", encoding="ascii") as full:
            result = self.run_program("--help", stdout=full)
        self.assertEqual(result.returncode, WORLD_FAILED)
        self.assertIn("cannot write", result.stderr)

    # ---- the man page ---------------------------------------------------------------------------------

    def man_page(self):
        result = self.run_program("--man")
        self.assertEqual((result.returncode, result.stderr), (DONE, ""))
        return result.stdout

    def test_man_page_is_accepted_by_mandoc(self):
        page = self.folder / "niffler-png.1"
        page.write_text(self.man_page(), encoding="utf-8")
        result = subprocess.run([MANDOC, "-Tlint", "-W", "warning", str(page)], stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, text=True, check=False)
        self.assertEqual((result.returncode, result.stdout), (0, ""))

    def test_man_page_names_every_setting(self):
        page = self.man_page()
        for key in self.keys():
            self.assertRegex(page, rf"\n\.It Cm {key} Ar \S")
        for section in ("NAME", "SYNOPSIS", "DESCRIPTION", "COMMANDS", "SETTINGS", "OUTPUTS", "FILES", "EXIT STATUS",
                        "LOG EVENTS", "EXAMPLES"):
            self.assertIn(f"\n.Sh {section}\n", page)

    def test_man_page_lists_the_log_events_of_the_sources_and_no_others(self):
        events = set()
        for path in pathlib.Path(SOURCES).rglob("*.c"):
            if {"tests", "build", "bench"} & set(path.relative_to(SOURCES).parts):
                continue
            text = path.read_text(encoding="utf-8")
            calls = len(re.findall(r"\blog_event\(", text))
            found = re.findall(r'\blog_event\(\s*[^",]+,\s*"\w+",\s*"(\w+)"', text)
            if path.name != "log.c":
                self.assertEqual(len(found), calls, f"{path.name}: an event's name is not a literal")
            events.update(found)
        listed = self.man_page().split(".Sh LOG EVENTS\n")[1].split(".El\n")[0]
        self.assertEqual(sorted(re.findall(r"\n\.It (\w+)\n", listed)), sorted(events))

    # ---- settings and their sources ---------------------------------------------------------------------

    def test_every_setting_of_niffler_is_there(self):
        self.assertEqual(set(NIFFLER_KEYS) - set(self.keys()), set())

    def test_example_config_has_the_keys_of_niffler_and_loads(self):
        path = pathlib.Path(SOURCES, "deploy", "config.json")
        self.assertEqual(sorted(json.loads(path.read_text(encoding="utf-8"))), sorted(NIFFLER_KEYS))
        shown = self.shown("--config", str(path))
        self.assertTrue(all(shown[key][1] == "config.json" for key in NIFFLER_KEYS))

    def test_precedence_of_default_config_environment_and_flag(self):
        config = {"Depth": 1, "is16Bit": "false", "Frames": "first"}
        environment = {"NIFFLER_DEPTH": "2", "NIFFLER_IS_16_BIT": "yes", "NIFFLER_UNHEARD_OF": "1"}
        shown = self.shown("--Depth", "3", config=config, environment=environment)
        self.assertEqual(shown["Depth"], ("3", "flag"))
        self.assertEqual(shown["is16Bit"], ("true", "environment"))
        self.assertEqual(shown["Frames"], ("first", "config.json"))
        self.assertEqual(shown["PixelScaling"], ("full", "default"))

    def test_environment_names_as_help_gives_them_work(self):
        text = self.run_program("--help").stdout.split("\nInput\n")[1]
        names = dict(re.findall(r"(?:^|\n)  --(\w+) [^\[]*\[(NIFFLER_\w+)\]", text))
        self.assertEqual(sorted(names), sorted(self.keys()))
        for key, (value, _) in self.shown().items():
            if value != "":
                self.assertEqual(self.shown(environment={names[key]: value})[key], (value, "environment"))

    def test_compatibility_changes_the_defaults(self):
        plain, niffler = self.shown(), self.shown("--Compatibility", "niffler")
        changed = {key: niffler[key] for key in niffler if niffler[key] != plain[key] and key != "Compatibility"}
        self.assertEqual(changed, {key: (value, "Compatibility") for key, value in {
            "Depth": "0", "FilePattern": "*.dcm", "LinkRoots": "anywhere", "PixelScaling": "niffler",
            "InvertMonochrome1": "false", "ValueFormat": "niffler", "MaxNesting": "1000",
            "MaxValueBytes": "unlimited"}.items()})
        shown = self.shown("--Compatibility=niffler", "--Depth=-1", "--FlattenedToLevel", "anything")
        self.assertEqual(shown["Depth"], ("-1", "flag"))
        self.assertEqual(shown["FlattenedToLevel"], ("series", "flag"))

    def test_flag_prefixes(self):
        self.assertEqual(self.shown("--Dep", "4")["Depth"], ("4", "flag"))
        self.assertEqual(self.shown("--Depth=1", "--Depth", "2")["Depth"], ("2", "flag"))
        self.expect_refused("--Sp=1", says=["ambiguous flag '--Sp'", "'--SpecificHeadersOnly'", "'--SplitIntoChunks'"])

    def test_bool_false_is_false(self):
        """Niffler took every non-empty text for true."""
        for word in ("false", "False", "0", "no"):
            self.assertEqual(self.shown("--PrintImages", word)["PrintImages"][0], "false")

    def test_other_config_file(self):
        (self.folder / "mine.json").write_text('{"Depth": 7}', encoding="utf-8")
        for arguments in (["--config", "mine.json"], ["--config=mine.json"]):
            self.assertEqual(self.shown(*arguments, config={"Depth": 1})["Depth"], ("7", "config.json"))
        self.expect_refused("--config", "absent.json", says=["'absent.json'", "no such file"])
        self.expect_refused("extract", "--config", says=["flag '--config' needs a value"])
        self.expect_refused("extract", "--DICOMHome", "--config", "mine.json", says=["'--DICOMHome' needs a value"])

    # ---- mistakes ---------------------------------------------------------------------------------------

    def test_config_malformed(self):
        for text, says in (('{"Depth": 1', ["line 1, column 11"]),
                           ('{\n"Depth": 1,\n}', ["line 3, column 1"]),
                           ("", ["line 1"]),
                           ('["Depth"]', ["found is a list"]),
                           (b'{"DICOMHome": "\xff"}', ["line 1"]),
                           ('{"Depth": 1, "Depth": 1}', ["duplicate object key", "Depth"])):
            self.expect_refused("extract", config=text, says=["config.json", *says])

    def test_config_unreadable(self):
        (self.folder / "config.json").mkdir()
        self.expect_refused("extract", says=["cannot read settings 'config.json'"])

    def test_config_of_wrong_types(self):
        for key, value, says in (("Depth", None, ["null", "a whole number"]),
                                 ("Depth", [1], ["a list", "a whole number"]),
                                 ("Depth", "x", ["'x'", "a whole number from -1"]),
                                 ("DICOMHome", 1, ["a number", "text"]),
                                 ("is16Bit", "ja", ["'ja'", "true or false"]),
                                 ("PixelScaling", "window", ["'window'", "full, niffler or stored"]),
                                 ("FlattenedToLevel", "image", ["'image'", "patient, study or series"])):
            self.expect_refused("extract", config={key: value}, says=[f"'{key}'", "from config.json", *says])

    def test_unknown_keys_name_the_nearest(self):
        for wrong, right in (("DicomHome", "DICOMHome"), ("OutputDir", "OutputDirectory"), ("16Bit", "is16Bit"),
                             ("PrintImage", "PrintImages"), ("flattenedToLevel", "FlattenedToLevel")):
            self.expect_refused("extract", config={wrong: "1"}, says=[f"unknown setting '{wrong}'", f"'{right}'"])
        self.expect_refused("--flattened", "study", config={}, says=["unknown flag '--flattened'", "'--"])

    def test_wrong_values_in_environment_and_flags(self):
        self.expect_refused("extract", environment={"NIFFLER_USE_PROCESSES": "many"},
                            says=["'many'", "'UseProcesses'", "NIFFLER_USE_PROCESSES"])
        self.expect_refused("extract", "--MaxPixels", "0", says=["'0'", "'MaxPixels'", "from a flag"])
        self.expect_refused("extract", "study", says=["unexpected argument 'study'"])

    def test_password_in_url_is_refused_and_not_repeated(self):
        result = self.run_program("extract", config={"SmtpUrl": "smtp://me:geheim@mail.example"})
        self.assertEqual(result.returncode, USAGE)
        self.assertNotIn("geheim", result.stderr + result.stdout)
        self.assertIn("SmtpPasswordFile", result.stderr)


if __name__ == "__main__":
    if MANDOC is None:
        sys.exit(__doc__)
    unittest.main(argv=sys.argv[:1], verbosity=2)
