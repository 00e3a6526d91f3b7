#!/usr/bin/python3
"""What Prometheus's own promtool says of our metrics: nothing.

usage: test_metrics.py PRINT_METRICS PROMTOOL
"""
import subprocess
import sys
import unittest

PRINT_METRICS, PROMTOOL = sys.argv[1:3]


def render(*arguments):
    return subprocess.run([PRINT_METRICS, *arguments], stdout=subprocess.PIPE, check=True).stdout


def check(text):
    done = subprocess.run([PROMTOOL, "check", "metrics"], input=text, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return done.returncode, done.stdout.decode()


class Metrics(unittest.TestCase):
    def test_promtool_has_no_complaint(self):
        for arguments in ([], ["fresh"]):
            self.assertEqual(check(render(*arguments)), (0, ""))

    def test_promtool_would_complain(self):
        text = render()
        for wrong in (b"niffler_children_total{state=\"busy\"} x\n", b"# TYPE niffler_a counter\nniffler_a 1\n"):
            status, words = check(text + wrong)
            self.assertNotEqual((status, words), (0, ""))

    def test_everything_is_there(self):
        lines = render().decode().splitlines()
        names = {line.split("{")[0].split(" ")[0] for line in lines if not line.startswith("#")}
        self.assertGreater(len(names), 30)
        helped = [line.split(" ")[2] for line in lines if line.startswith("# HELP ")]
        self.assertEqual(len(helped), len(set(helped)), "a family that stands twice")
        series = [line.rsplit(" ", 1)[0] for line in lines if not line.startswith("#")]
        self.assertEqual(len(series), len(set(series)), "a series that stands twice")
        for name in ("process_cpu_seconds_total", "process_resident_memory_bytes", "process_start_time_seconds",
                     "process_open_fds", "niffler_build_info"):
            self.assertIn(name, names)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
