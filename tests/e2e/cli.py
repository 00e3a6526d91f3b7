#!/usr/bin/env python3
"""The command line of niffler-png: settings from their sources, mistakes and what is said of them, help, man page.

Usage: cli.py PROGRAM SOURCE_FOLDER MANDOC
"""

import json
import os
import pathlib
import re
import shlex
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

    def commands(self):
        """{command: [its arguments]}, as the sources have them."""
        tables = {}
        for path in pathlib.Path(SOURCES).rglob("*.c"):
            if not {"tests", "build", "bench"} & set(path.relative_to(SOURCES).parts):
                for name, body in re.findall(r"\nconst struct command_argument (\w+)\[\] = \{\n(.*?)\n\};",
                                             path.read_text(encoding="utf-8"), re.S):
                    tables[name] = re.findall(r'^    \{"([\w-]+)", (?:NULL|"(\w+)"), (true|false),', body, re.M)
        table = pathlib.Path(SOURCES, "main.c").read_text(encoding="utf-8")
        table = table.split("struct command commands[] = {\n")[1].split("{NULL")[0]
        found = {name: tables.get(arguments, [])
                 for name, arguments in re.findall(r'\{"(\w+)",.*?(\w+)\},\n', table, re.S)}
        self.assertEqual(len(tables), sum(1 for arguments in found.values() if arguments))
        self.assertTrue(all(tables.values()))
        self.assertGreaterEqual(len(found), 8)
        return found

    @staticmethod
    def labels(arguments):
        return [f"{name} {value}" if value else name for name, value, _ in arguments]

    def test_help_lists_the_arguments_of_each_command(self):
        listed = self.run_program("--help").stdout.split("\nCommands")[1].split("  Without a command")[0]
        parts = re.split(r"\n  (?=\w)", listed)[1:]
        self.assertEqual([part.split()[0] for part in parts], list(self.commands()))
        for part, arguments in zip(parts, self.commands().values()):
            shown = re.findall(r"^ {13}(--[\w-]+(?: [A-Z]+)?|[A-Z]+)(?:  +\S.*)?$", part, re.M)
            self.assertEqual(shown, self.labels(arguments))

    def test_help_of_a_command_begins_with_its_part(self):
        for command, arguments in self.commands().items():
            result = self.run_program(command, "--help")
            self.assertEqual((result.returncode, result.stderr), (DONE, ""))
            usage = "".join(f" {label}" if required == "true" else f" [{label}]"
                            for label, (_, _, required) in zip(self.labels(arguments), arguments))
            self.assertTrue(result.stdout.startswith(
                f"Usage: niffler-png {command}{usage} [--config FILE] [--Key VALUE]...\n"), result.stdout[:200])
            own = result.stdout.split("\nFlags that are not settings\n")[0]
            shown = re.findall(r"^  (--[\w-]+(?: [A-Z]+)?|[A-Z]+)  ", own, re.M)
            self.assertEqual(shown, self.labels(arguments))
            self.assertRegex(own, r"\nSettings it needs\n  \S")
            statuses = own.split("\nExit status\n")[1].split("\nExamples\n")[0]
            self.assertTrue({"0", "2", "3", "70"} <= set(re.findall(r"^  (\d+) +\S", statuses, re.M)), statuses)
            self.assertRegex(own.split("\nExamples\n")[1], rf"\bniffler-png {command} ")
            self.assertLessEqual(max(map(len, own.splitlines()[1:])), 100)

    def test_readme_has_every_command_and_its_arguments(self):
        table = pathlib.Path(SOURCES, "README.md").read_text(encoding="utf-8").split("\n## Commands\n")[1].split("\n## ")[0]
        for command, arguments in self.commands().items():
            usage = "".join(f" {label}" if required == "true" else f" [{label}]"
                            for label, (_, _, required) in zip(self.labels(arguments), arguments))
            self.assertIn(f"\n| `niffler-png {command}{usage}` | ", table)

    def test_examples_of_help_can_be_typed(self):
        """With --help behind them, so that all arguments are looked at and nothing is done."""
        examples = re.findall(r"^    (.*\bniffler-png\b.*)$", self.run_program("--help").stdout.split("\nExamples\n")[1], re.M)
        self.assertGreater(len(examples), 12)
        for example in examples:
            words = shlex.split(example.split("| ")[-1])
            self.assertEqual(words[0], "niffler-png")
            result = self.run_program(*words[1:], "--help")
            self.assertEqual((result.returncode, result.stderr), (DONE, ""), example)

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
        for section in ("NAME", "SYNOPSIS", "DESCRIPTION", "COMMANDS", "SETTINGS", "OUTPUTS", "FILES", "THE FLEET", "SIGNALS",
                        "KAFKA", "REDIS", "HEALTH AND METRICS", "EXIT STATUS", "LOG EVENTS", "EXAMPLES"):
            self.assertIn(f"\n.Sh {section}\n", page)

    def test_man_page_has_a_part_for_each_command(self):
        page = self.man_page().split("\n.Sh COMMANDS\n")[1].split("\n.Sh ")[0]
        parts = page.split("\n.Ss ")[1:]
        self.assertEqual([part.split("\n")[0] for part in parts], list(self.commands()))
        for part, arguments in zip(parts, self.commands().values()):
            wanted = [(f"Fl Fl {name[2:]}" if name.startswith("--") else f"Ar {name}") + (f" Ar {value}" if value else "")
                      for name, value, _ in arguments]
            body, statuses = part.replace("\\-", "-").split("Exit status:\n")
            self.assertEqual(re.findall(r"^\.It (.*)$", body, re.M), wanted)
            for argument in wanted:
                self.assertRegex(body.split(".Pp")[0], rf"\n\.(Op )?{argument}\n")
            self.assertIn("\nSettings it needs: ", body)
            self.assertTrue({"0", "2", "3", "70"} <= set(re.findall(r"^\.It (\d+)$", statuses, re.M)))

    def test_man_page_names_the_marks_and_metrics_of_the_sources(self):
        page = self.man_page().replace("\\-", "-")
        header = pathlib.Path(SOURCES, "common", "job.h").read_text(encoding="utf-8")
        marks = re.findall(r'#define JOB_\w+ JOB_FOLDER "/(\w+)"', header)
        self.assertEqual(len(marks), 7)
        for mark in [*marks, "published"]:
            self.assertRegex(page, rf"\n\.It Pa {mark}/?\n")
        table = pathlib.Path(SOURCES, "common", "metrics_table.c").read_text(encoding="utf-8")
        metrics = set(re.findall(r'\{"((?:niffler|process)_\w+)",', table))
        self.assertGreater(len(metrics), 25)
        listed = page.split("The metrics are:\n")[1].split(".El\n")[0]
        self.assertEqual(sorted(re.findall(r"\n\.It Li (\w+)\n", listed)), sorted(metrics))

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

    def test_example_config_of_the_fleet_loads(self):
        path = pathlib.Path(SOURCES, "deploy", "fleet.json")
        given = json.loads(path.read_text(encoding="utf-8"))
        self.assertTrue({"InputRoot", "OutputRoot", "KafkaBrokers", "RedisUrl"} <= set(given))
        shown = self.shown("--config", str(path))
        self.assertEqual({key: shown[key] for key in given}, {key: (given[key], "config.json") for key in given})

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
        names = dict(re.findall(r"(?:^|\n)  --(\w+) (?:(?!\n  --)[^\0])*?\[(NIFFLER_\w+)\]", text))
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
                                 ("PixelScaling", "linear", ["'linear'", "full, niffler, stored or window"]),
                                 ("FlattenedToLevel", "image", ["'image'", "patient, study or series"])):
            self.expect_refused("extract", config={key: value}, says=[f"'{key}'", "from config.json", *says])

    def test_unknown_keys_name_the_nearest(self):
        for wrong, right in (("DicomHome", "DICOMHome"), ("OutputDir", "OutputDirectory"), ("16Bit", "is16Bit"),
                             ("PrintImage", "PrintImages"), ("flattenedToLevel", "FlattenedToLevel")):
            self.expect_refused("extract", config={wrong: "1"}, says=[f"unknown setting '{wrong}'", f"'{right}'"])
        self.expect_refused("--flattened", "study", config={}, says=["unknown flag '--flattened'", "'--"])

    def test_unknown_flags_of_a_command(self):
        for arguments, says in (
                (["status", "--jsn"], ["unknown flag '--jsn'", "status has --watch, --json"]),
                (["aggregate", "--jobs", "x"], ["unknown flag '--jobs'", "aggregate has --job, --rebuild"]),
                (["produce", "--DicomHome=x"], ["unknown flag '--DicomHome'", "setting is '--DICOMHome'", "--FilesFrom"]),
                (["work", "--foo"], ["unknown flag '--foo'", "the nearest known one is '--"]),
                (["status", "--" + 500 * "x"], ["unknown flag '--xxx", "status has --watch, --json"]),
                (["extract", "--watch"], ["flag '--watch' is one of status, not of extract", "niffler-png extract --help"]),
                (["--resume", "x"], ["flag '--resume' is one of produce, not of extract"])):
            self.expect_refused(*arguments, says=says)

    def test_wrong_arguments_of_a_command(self):
        for arguments, says in (
                (["status", "--watch=1"], ["flag '--watch' takes no value"]),
                (["produce", "--partitions"], ["flag '--partitions' needs a value"]),
                (["produce", "--resume", "--create-topics"], ["flag '--resume' needs a value"]),
                (["cancel"], ["cancel needs JOB", "--help"]),
                (["cancel", "short", "--KafkaBrokers", "127.0.0.1:1"], ["'short' is not the id of a job"]),
                (["requeue", 26 * "0", "--category", "5"], ["'5'", "--category", "1 to 4"]),
                (["status", 26 * "0", "again"], ["unexpected argument 'again'"]),
                (["work", "x"], ["unexpected argument 'x'"]),
                (["merge"], ["merge needs --slices", "--help"]),
                (["merge", "--slices", "0"], ["'0' is no number of slices"]),
                (["extract", "--slice", "7/7"], ["'7/7' is no slice", "6/7 the last"]),
                (["aggregate", "--job", "x"], ["'x' is not the id of a job"]),
                (["status"], ["'RedisUrl' is not set"]),
                (["health"], ["'MetricsListen' is not set"]),
                (["health", "--live", "--MetricsListen", "127.0.0.1:0"], ["'127.0.0.1:0'", "no port"]),
                (["health", "--MetricsListen", "9090"], ["'9090' is not an address"]),
                (["topics"], ["'KafkaBrokers' is not set"]),
                (["topics", "--partitions", "0", "--KafkaBrokers", "127.0.0.1:1"], ["'0'", "--partitions"]),
                (["work"], ["'InputRoot' is not set"]),
                (["produce"], ["'OutputDirectory' is not set"]),
                (["aggregate"], ["'OutputRoot' is not set"])):
            self.expect_refused(*arguments, says=says)

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
