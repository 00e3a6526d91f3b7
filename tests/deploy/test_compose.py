"""deploy/compose.yaml: accepted by docker compose, careful in what it lets containers do, and a job goes through it.

Needs tests/deploy/tools.sh compose. The images of Kafka, Redis and the mail catcher are replaced by one of Debian's packages
(compose/override.yaml); everything else is the file's own.
"""
import email
import json
import os
import re
import subprocess
import sys
import unittest

import engine
import image

sys.path.insert(0, os.path.join(engine.SOURCE, "tests", "e2e"))
import fleet  # noqa: E402
import harness  # noqa: E402
from service import wait_until  # noqa: E402

COMPOSE = os.path.join(engine.SOURCE, "build", "tools", "bin", "docker-compose")
FILE = os.path.join(engine.SOURCE, "deploy", "compose.yaml")
OVERRIDE = os.path.join(engine.SOURCE, "tests", "deploy", "compose", "override.yaml")
LASTING = ("kafka", "redis", "mail", "aggregator", "worker")  # services that do not end
ROLES = ("topics", "aggregator", "worker", "producer")
USER = 65532


def compose(*arguments, file=FILE, environment=None, **more):
    clean = {name: value for name, value in os.environ.items() if not re.match("NIFFLER_|KAFKA_|REDIS_|MAIL_|COMPOSE_", name)}
    return subprocess.run([COMPOSE, "-f", file, *arguments], env=dict(clean, **(environment or {})), stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace", timeout=600, check=False,
                          **more)


class Config(unittest.TestCase):
    FOLDERS = {"NIFFLER_INPUT": "/srv/dicom", "NIFFLER_OUTPUT": "/srv/png"}

    def config(self):
        done = compose("--profile", "produce", "config", "--format", "json", environment=self.FOLDERS)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return json.loads(done.stdout)

    def test_accepted_and_wrong_keys_are_not(self):
        self.assertEqual(compose("config", "-q", environment=self.FOLDERS).stderr, "")
        wrong = harness.read_text(FILE).replace("    stop_grace_period: 60s", "    stop_graceperiod: 60s", 1)
        path = os.path.join(os.environ["NIFFLER_BUILD"], "wrong-compose.yaml")
        harness.write_text(wrong, path)
        self.addCleanup(os.remove, path)
        done = compose("config", "-q", file=path, environment=self.FOLDERS)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("stop_graceperiod", done.stderr)

    def test_folders_must_be_named(self):
        for name in self.FOLDERS:
            done = compose("config", "-q", environment={key: value for key, value in self.FOLDERS.items() if key != name})
            self.assertNotEqual(done.returncode, 0)
            self.assertIn(name, done.stderr)

    def test_every_service_is_confined(self):
        services = self.config()["services"]
        self.assertEqual(sorted(services), sorted({*LASTING, *ROLES}))
        for name, service in services.items():
            with self.subTest(name):
                self.assertTrue(service["read_only"])
                self.assertEqual(service["cap_drop"], ["ALL"])
                self.assertNotIn("cap_add", service)
                self.assertNotIn("privileged", service)
                self.assertEqual(service["security_opt"], ["no-new-privileges:true"])
                self.assertRegex(service["user"], r"^[1-9]\d*:[1-9]\d*$")
                self.assertRegex(service["image"], r":v?\d+\.\d+\.\d+(-\w+)?$")
                for port in service.get("ports", []):
                    self.assertEqual(port["host_ip"], "127.0.0.1")
                for mount in service.get("volumes", []):
                    self.assertEqual(bool(mount.get("read_only")), mount["target"] == "/data/dicom", mount)
                if name in LASTING:
                    self.assertTrue(service["healthcheck"]["test"])
        for name in ROLES:
            self.assertEqual(services[name]["image"], services["worker"]["image"])
        self.assertNotIn("/data/dicom", [mount["target"] for mount in services["aggregator"]["volumes"]])

    def test_a_worker_has_time_to_drain(self):
        shown = subprocess.run([harness.PROGRAM, "work", "--config", os.path.join(engine.SOURCE, "deploy", "compose", "config.json"),
                                "--show-settings"], stdout=subprocess.PIPE, text=True, check=True).stdout
        drain = int(re.search(r"^DrainSeconds = (\d+)", shown, re.M).group(1))
        minutes, seconds = re.fullmatch(r"(?:(\d+)m)?(\d+)s", self.config()["services"]["worker"]["stop_grace_period"]).groups()
        self.assertGreaterEqual(int(minutes or 0) * 60 + int(seconds), drain + 30)

    def test_the_image_is_that_of_this_version(self):
        version = subprocess.run([harness.PROGRAM, "--version"], stdout=subprocess.PIPE, text=True, check=True).stdout.split()[-1]
        self.assertEqual(self.config()["services"]["worker"]["image"], "niffler-png:" + version)


class Job(harness.Case):
    def setUp(self):
        super().setUp()
        self.engine = engine.Engine()
        self.addCleanup(self.engine.close)
        self.engine.start()
        self.samples("--ct", "60")
        self.folders = {name: os.path.join(self.folder, name) for name in ("root", "mails", "secrets")}
        for folder in self.folders.values():
            os.mkdir(folder)
            os.chown(folder, USER, USER)
        harness.write_text("correct-horse\n", self.folders["secrets"], "redis_password")
        os.chmod(os.path.join(self.folders["secrets"], "redis_password"), 0o400)
        os.chown(os.path.join(self.folders["secrets"], "redis_password"), USER, USER)
        self.environment = {
            "DOCKER_HOST": self.engine.environment["DOCKER_HOST"], "DOCKER_CONFIG": self.engine.folder,
            "NIFFLER_IMAGE": image.IMAGE, "NIFFLER_INPUT": self.home, "NIFFLER_OUTPUT": self.folders["root"],
            "NIFFLER_SECRETS": self.folders["secrets"], "NIFFLER_PARTITIONS": "4", "NIFFLER_USE_PROCESSES": "1",
            "TEST_JARS": engine.kafka.fetch(), "TEST_SOURCE": engine.SOURCE, "TEST_MAILS": self.folders["mails"]}

    def try_compose(self, *arguments):
        return compose("-f", OVERRIDE, *arguments, environment=self.environment)

    def compose(self, *arguments):
        done = self.try_compose(*arguments)
        self.assertEqual(done.returncode, 0, "%s\n%s%s" % (" ".join(arguments), done.stdout, done.stderr))
        return done.stdout

    def explained(self):
        return self.try_compose("ps", "-a").stdout + self.try_compose("logs", "--tail", "30", "--no-color").stdout

    def containers(self):
        """{container: (service, state, health, exit status)}"""
        lines = self.compose("ps", "-a", "--format", "json").splitlines()
        return {row["Name"]: (row["Service"], row["State"], row["Health"], row["ExitCode"]) for row in map(json.loads, lines)}

    def test_one_job_through_the_file_as_it_is(self):
        up = self.try_compose("up", "-d", "--wait", "--wait-timeout", "240", "--scale", "worker=2", *LASTING)
        self.addCleanup(self.try_compose, "--profile", "produce", "down", "-v", "-t", "5")
        self.assertEqual(up.returncode, 0, up.stderr + self.explained())
        states = sorted(self.containers().values())
        self.assertEqual([state for state in states if state[0] != "topics"],
                         sorted((name, "running", "healthy", 0) for name in (*LASTING, "worker")))
        self.assertIn(("topics", "exited", "", 0), states)
        checks = json.loads(self.compose("exec", "-T", "worker", "niffler-png", "doctor", "--json"))
        self.assertEqual({check["check"] for check in checks if check["state"] == "ok"} & {"sandbox", "kafka", "redis", "input_root"},
                         {"sandbox", "kafka", "redis", "input_root"}, checks)
        job = self.compose("run", "--rm", "producer", "--DICOMHome", "/data/dicom", "--OutputDirectory", "/data/png/study").strip()
        self.assertRegex(job, r"^%s$" % fleet.JOB_ID)
        out = os.path.join(self.folders["root"], "study")
        wait_until(lambda: not os.path.exists(os.path.join(out, fleet.OPEN_MARK)), 240, lambda: "the job ends\n" + self.explained())
        wait_until(lambda: os.path.exists(os.path.join(self.folders["mails"], "1.eml")), 60, lambda: "a mail\n" + self.explained())
        with open(os.path.join(self.folders["mails"], "1.eml"), encoding="utf-8") as file:
            mail = email.message_from_file(file)
        self.assertIn("you@example.org", mail["X-Rcpt-To"])
        self.assertIn(job, mail["Subject"] + mail.as_string())
        done = wait_until(lambda: (lambda shown: shown if '"complete"' in shown else None)(
            self.compose("exec", "-T", "aggregator", "niffler-png", "status", job, "--json")), 60, self.explained)
        self.assertEqual(json.loads(done)["state"], "complete")
        self.assertAsExtractedAt("/data/dicom", "/data/png/study", out)
        self.stops_in_peace()

    def assertAsExtractedAt(self, home, out, made):
        """`extract` in the same image, the same folders in the same places: their names are in the tables."""
        root = os.path.join(self.folder, "reference")
        os.mkdir(root)
        os.chown(root, USER, USER)
        done = self.engine.try_docker("run", "--rm", "--network", "none", "-v", self.home + ":" + home + ":ro", "-v",
                                      root + ":/data/png", image.IMAGE, "extract", "--DICOMHome", home, "--OutputDirectory", out)
        self.assertIn(done.returncode, (0, 1), done.stderr)
        self.assertSameOutputs(os.path.join(root, os.path.basename(out)), made)

    def stops_in_peace(self):
        """Roles end with 0, within their time, and nothing is left of the project."""
        self.compose("stop", "worker", "aggregator")
        for service, state, _, status in self.containers().values():
            if service in ("worker", "aggregator"):
                self.assertEqual((state, status), ("exited", 0), self.explained())
        logs = self.compose("logs", "--no-color", "worker")
        harness.write_text(logs, self.folder, "log")
        harness.assert_no_forbidden_calls(os.path.join(self.folder, "log"))
        self.compose("--profile", "produce", "down", "-v")
        self.assertEqual(self.engine.docker("ps", "-aq") + self.engine.docker("volume", "ls", "-q"), "")
        networks = self.engine.docker("network", "ls", "--format", "{{.Name}}").split()
        self.assertEqual(sorted(networks), ["bridge", "host", "none"])


if __name__ == "__main__":
    if not os.access(COMPOSE, os.X_OK):
        engine.skip("there is no docker compose (tests/deploy/tools.sh compose)")
    if "Config" not in sys.argv[1:]:
        engine.become_root()
        if os.path.exists(engine.REASON):
            engine.skip(harness.read_text(engine.REASON))
    harness.main()
