"""The dashboard and the rules of deploy/observability: what promtool says of them, and what a real Prometheus answers to them
while it scrapes a fleet at work."""
import json
import math
import os
import re
import signal
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "e2e"))
import fleet  # noqa: E402  also finds tests/services
import harness  # noqa: E402
import prometheus  # noqa: E402
import yaml  # noqa: E402

FOLDER = os.path.join(harness.SOURCE, "deploy", "observability")
DASHBOARD = os.path.join(FOLDER, "dashboard.json")
RULES = os.path.join(FOLDER, "rules.yaml")
RULES_TEST = os.path.join(harness.SOURCE, "tests", "deploy", "rules_test.yaml")
RUNBOOK = os.path.join(harness.SOURCE, "deploy", "README.md")
PROMTOOL = os.environ.get("PROMTOOL", "promtool")
SELECTOR = re.compile(r"(?<![\w:])(?:niffler|process)_[a-z0-9_]+(?![\w:])(?:\{[^}]*\})?")


def load(path):
    with open(path, encoding="utf-8") as file:
        return yaml.safe_load(file) if path.endswith(".yaml") else json.load(file)


def rules(kind):
    """All recording rules ("record") or alerts ("alert"): name -> rule."""
    return {rule[kind]: rule for group in load(RULES)["groups"] for rule in group["rules"] if kind in rule}


def queries():
    """Every query of the dashboard: "panel / legend" -> text."""
    return {"%s / %s" % (panel["title"], target["legendFormat"]): target["expr"]
            for panel in load(DASHBOARD)["panels"] for target in panel.get("targets", [])}


def names(query):
    """The metrics in a query; a histogram's by its own name."""
    found = {selector.split("{")[0] for selector in SELECTOR.findall(query)}
    return {re.sub(r"_(bucket|sum|count)$", "", name) for name in found}


def promtool(*arguments):
    done = subprocess.run([PROMTOOL, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    return done.returncode, done.stdout


class Rules(unittest.TestCase):
    def test_promtool_finds_nothing_wrong(self):
        status, text = promtool("check", "rules", RULES)
        self.assertEqual(status, 0, text)
        self.assertIn("SUCCESS: %d rules found" % (len(rules("record")) + len(rules("alert"))), text)

    def test_alerts_fire_when_they_should_and_not_otherwise(self):
        status, text = promtool("test", "rules", RULES_TEST)
        self.assertEqual(status, 0, text)

    def test_no_rule_is_without_a_test(self):
        fires, is_quiet, recorded = set(), set(), set()
        for test in load(RULES_TEST)["tests"]:
            for check in test.get("alert_rule_test", []):
                (fires if check["exp_alerts"] else is_quiet).add(check["alertname"])
            recorded |= {check["expr"] for check in test.get("promql_expr_test", [])}
        self.assertEqual(fires, set(rules("alert")))
        self.assertEqual(is_quiet, set(rules("alert")))
        self.assertEqual(recorded, set(rules("record")))

    def test_every_alert_has_a_severity_a_sentence_and_its_place_in_the_runbook(self):
        headings = re.findall(r"^#+ (\w+)$", harness.read_text(RUNBOOK), re.M)
        for name, alert in rules("alert").items():
            self.assertIn(alert["labels"]["severity"], ("warning", "critical"), name)
            self.assertTrue(alert["annotations"]["summary"], name)
            self.assertEqual(alert["annotations"]["runbook"], "deploy/README.md#" + name.lower())
            self.assertIn(name, headings)
        self.assertEqual({heading for heading in headings if heading.startswith("Niffler")}, set(rules("alert")))

    def test_only_metrics_that_the_program_has(self):
        printed = subprocess.run([os.path.join(harness.BUILD, "tests", "print_metrics")], stdout=subprocess.PIPE, text=True,
                                 check=True).stdout
        known = set(re.findall(r"^# TYPE (\S+) ", printed, re.M))
        recorded = set(rules("record"))
        for where, query in [*queries().items(), *((n, r["expr"]) for k in ("record", "alert") for n, r in rules(k).items())]:
            self.assertTrue(names(query) or "namespace:" in query, where)
            self.assertLessEqual(names(query), known, where)
            self.assertLessEqual(set(re.findall(r"namespace:\w+:\w+", query)), recorded, where)


class Panels(unittest.TestCase):
    def test_ids_are_unique_and_nothing_overlaps(self):
        panels = load(DASHBOARD)["panels"]
        self.assertEqual(len({panel["id"] for panel in panels}), len(panels))
        taken = set()
        for panel in panels:
            place = panel["gridPos"]
            cells = {(x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])}
            self.assertLessEqual(place["x"] + place["w"], 24, panel["title"])
            self.assertFalse(cells & taken, panel["title"])
            taken |= cells

    def test_every_panel_says_what_it_shows_and_asks_of_the_namespace_chosen(self):
        for panel in load(DASHBOARD)["panels"]:
            if panel["type"] == "row":
                continue
            self.assertTrue(panel["description"], panel["title"])
            self.assertIn("unit", panel["fieldConfig"]["defaults"], panel["title"])
            self.assertEqual(panel["datasource"], {"type": "prometheus", "uid": "${datasource}"})
            for target in panel["targets"]:
                for selector in SELECTOR.findall(target["expr"]):
                    self.assertIn('namespace=~"$namespace"', selector, panel["title"])


class Scraped(fleet.FleetCase):
    """A job over the broker, watched by Prometheus, which answers every query of the dashboard and every rule."""

    SAMPLES = ("--ct", "300")
    WITH_REDIS = True
    ADDRESS = "127.0.0.1:0"

    @staticmethod
    def filled_in(query, namespace):
        """As Grafana does it."""
        for name, value in (("$namespace", namespace), ("$__rate_interval", "10s"), ("$__range", "5m")):
            query = query.replace(name, value)
        return query

    def ask_all(self):
        """Notes who has got an answer by now: a sample that is a number. A query that is wrong raises."""
        for where, namespace in self.unanswered():
            samples = self.prometheus.ask(self.filled_in(self.queries[where], namespace))
            if any(not math.isnan(value) for _, value in samples):
                self.answered.add((where, namespace))

    def unanswered(self):
        return sorted({(where, namespace) for where in self.queries for namespace in ("imaging", ".*")} - self.answered)

    def test_every_query_is_answered_while_a_job_runs(self):
        converted, failed = harness.ledger(self.reference())[1::3]
        topics = [self.settings[key] for key in ("KafkaTasksTopic", "KafkaResultsTopic", "KafkaDeadTopic")]
        self.broker.create_topics(*topics, partitions=2)
        worker = self.work(MetricsListen=self.ADDRESS)
        aggregator = self.aggregate(MetricsListen=self.ADDRESS, MetricsJobs="10")
        self.prometheus = prometheus.Prometheus(
            os.path.join(self.folder, "prometheus"),
            {"worker": ("127.0.0.1:%d" % worker.port(), {"namespace": "imaging"}),
             "aggregator": ("127.0.0.1:%d" % aggregator.port(), {"namespace": "imaging"})}, RULES)
        self.addCleanup(self.prometheus.close)
        self.prometheus.start()
        self.queries = queries()
        # What the alerts look at must be there as well; they themselves are to be quiet.
        for name, alert in rules("alert").items():
            self.queries.update({"%s / %s" % (name, selector): selector for selector in SELECTOR.findall(alert["expr"])})
        self.queries.update({name: rule["expr"] for name, rule in rules("record").items()})
        self.answered = set()
        fleet.wait_until(lambda: len(self.prometheus.ask("niffler_ready == 1")) == 2, 60, "both are scraped, and ready")

        job = self.produce(partitions=2)
        self.wait_pictures(30)
        self.assertGreater(worker.signal_decoders(signal.SIGSTOP), 0)  # the job stands still, and all serve
        try:
            self.assertTrue(os.path.exists(os.path.join(self.out, fleet.OPEN_MARK)), "the job was over before it was watched")
            fleet.wait_until(lambda: self.prometheus.ask('niffler_job_left_seconds{job_id="%s"}' % job), 30, "the time left is shown")
            self.ask_all()
        finally:
            worker.signal_decoders(signal.SIGCONT)
        self.wait_complete()

        def all_answered():
            self.ask_all()
            return not self.unanswered()
        fleet.wait_until(all_answered, 60, lambda: "no answer to: %s" % self.unanswered(), step=0.5)

        self.check_rules_are_well()
        self.assertEqual(self.prometheus.get("/api/v1/label/namespace/values", **{"match[]": "niffler_build_info"}), ["imaging"])
        self.check_numbers(converted, failed)
        self.end(worker, aggregator)
        self.assertAsExtracted()

    def check_rules_are_well(self):
        seen = set()
        for group in self.prometheus.get("/api/v1/rules")["groups"]:
            for rule in group["rules"]:
                seen.add(rule["name"])
                self.assertEqual((rule["health"], rule.get("lastError", "")), ("ok", ""), rule["name"])
                self.assertNotEqual(rule.get("state"), "firing", rule["name"])
        self.assertEqual(seen, {*rules("record"), *rules("alert")})

    def check_numbers(self, converted, failed):
        """What it shows at the end is what the tables say."""
        time.sleep(1)  # one more scrape
        ask = self.prometheus.ask
        self.assertEqual(ask('sum(niffler_files_total{status="converted"})'), [({}, converted)])
        causes = {labels["class"]: count for labels, count in ask('sum by (class) (niffler_files_total{status="failed"}) > 0')}
        expected = {}
        for row in harness.table(self.out, "failures.csv"):
            expected[row["code"]] = expected.get(row["code"], 0) + 1
        self.assertEqual(causes, expected)
        self.assertEqual(sum(causes.values()), failed)
        for query in ("sum(niffler_files_left)", "sum(niffler_jobs)", "sum(niffler_dlq_total)", "sum(niffler_storage_breaker_open)"):
            self.assertEqual(ask(query), [({}, 0)], query)
        self.assertEqual(ask("min(niffler_redis_up)"), [({}, 1)])


if __name__ == "__main__":
    harness.main()
