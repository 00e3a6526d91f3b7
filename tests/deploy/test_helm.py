#!/usr/bin/python3
"""The Helm chart: helm, schemas and the program accept what it renders, wrong values are refused, and every pod that it makes is
confined. Needs what tests/deploy/tools.sh makes; exit status 77 where that is not there, as it is said."""
import copy
import glob
import json
import os
import re
import subprocess
import sys
import tempfile
import unittest

import yaml

SOURCE = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
TOOLS = os.path.join(SOURCE, "build", "tools")
HELM = os.path.join(TOOLS, "bin", "helm")
VALIDATE = os.path.join(TOOLS, "bin", "kubernetes-validate")
KUBECONFORM = os.path.join(TOOLS, "bin", "kubeconform")
SCHEMAS = os.path.join(TOOLS, "schemas")
DEPLOY = os.path.join(SOURCE, "deploy")
CHART = os.path.join(DEPLOY, "helm", "niffler-png")
VALUES = sorted(glob.glob(os.path.join(SOURCE, "tests", "deploy", "values", "*.yaml")))
DEFAULTS = os.path.join(SOURCE, "tests", "deploy", "values", "defaults.yaml")
EVERYTHING = os.path.join(SOURCE, "tests", "deploy", "values", "everything_on.yaml")
VERSIONS = ("1.27.0", "1.32.0", "1.37.0")
# Which settings are left out of `settings`, since other values, or the chart itself, give them.
GIVEN_BY_CHART = {
    "DICOMHome", "OutputDirectory", "InputRoot", "OutputRoot", "StateDirectory", "KafkaBrokers", "KafkaTasksTopic",
    "KafkaResultsTopic", "KafkaDeadTopic", "KafkaWorkerGroup", "KafkaAggregatorGroup", "KafkaConfigFile", "KafkaTokenFile",
    "RedisUrl", "RedisPasswordFile", "RedisPrefix", "MetricsListen", "DrainSeconds", "UseProcesses", "DecoderMemory", "YourEmail",
    "SmtpUrl", "SmtpUser", "SmtpPasswordFile", "MailFrom", "SmtpStartTls"}


def run(*command, stdin=None):
    done = subprocess.run(command, input=stdin, stdin=None if stdin is not None else subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=120, check=False)
    return done.returncode, done.stdout


def merged(base, more):
    found = copy.deepcopy(base)
    for key, value in more.items():
        found[key] = merged(found[key], value) if isinstance(value, dict) and isinstance(found.get(key), dict) else value
    return found


def load(path):
    with open(path, encoding="utf-8") as file:
        return yaml.safe_load(file)


class Case(unittest.TestCase):
    def helm_template(self, values, *more):
        """-> the documents. The release's name is what YAML takes for a truth value, and the namespace's for a number."""
        status, said = run(HELM, "template", "n", CHART, "--namespace", "1e3", "--values", values, *more)
        self.assertEqual(status, 0, said)
        return [document for document in yaml.safe_load_all(said) if document], said

    def render(self, more=None, base=DEFAULTS):
        """Documents of the values in `base` and `more`, a dictionary of values."""
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
            yaml.safe_dump(merged(load(base), more or {}), file)
            file.flush()
            return self.helm_template(file.name)[0]

    def one(self, documents, kind, ending=""):
        found = [each for each in documents if each["kind"] == kind and each["metadata"]["name"].endswith(ending)]
        self.assertEqual(len(found), 1, "%s %s: %d" % (kind, ending, len(found)))
        return found[0]


class Lint(Case):
    def test_helm_finds_nothing(self):
        for values in [None, *VALUES]:
            with self.subTest(values=values):
                status, said = run(HELM, "lint", "--strict", CHART, *(["--values", values] if values else []))
                self.assertEqual(status, 0, said)
                self.assertNotRegex(said, r"\[(WARNING|ERROR)\]")

    def test_helm_renders_as_for_a_current_kubernetes(self):
        """One that was built without its linker's flags says 1.20, lints the chart, and renders nothing of it."""
        status, said = run(HELM, "template", "n", CHART, "--values", DEFAULTS, "--kube-version", "1.26")
        self.assertNotEqual(status, 0)
        self.assertIn("kubeVersion", said)
        self.helm_template(DEFAULTS)

    def test_every_value_has_a_comment_and_a_place_in_the_schema(self):
        with open(os.path.join(CHART, "values.yaml"), encoding="utf-8") as file:
            lines = file.read().split("\n")
        leaves, before = 0, ""
        for number, line in enumerate(lines, 1):
            match = re.match(r" *([A-Za-z0-9]+):( \S.*)?$", line)
            if match and (match.group(2) or before.lstrip().startswith("# ") and line.startswith(" ")):
                leaves += 1
                self.assertRegex(before, r"^ *# ", "values.yaml:%d: no comment" % number)
            before = line
        self.assertGreater(leaves, 100)
        text = "\n".join(lines)
        self.assertEqual(len(re.findall(r"^ *# -- \S", text, re.M)), leaves)

        def walk(values, schema, path):
            for key, value in values.items():
                self.assertIn(key, schema["properties"], path)
                if isinstance(value, dict) and value and "properties" in schema["properties"][key]:
                    walk(value, schema["properties"][key], path + "." + key)
            self.assertEqual(set(values), set(schema["properties"]), "%s: only in the schema, or only in values.yaml" % path)
            self.assertIs(schema["additionalProperties"], False, path)
        schema = load(os.path.join(CHART, "values.schema.json"))
        values = load(os.path.join(CHART, "values.yaml"))
        values["settings"] = dict.fromkeys(schema["properties"]["settings"]["properties"])
        walk(values, schema, "")


class Schemas(Case):
    """Three versions of Kubernetes, KEDA's and the Prometheus operator's definitions, and a schema of our own for Strimzi's."""

    def check(self, documents, version):
        """One run for all, since what takes time is to read the schemas; -> what is not valid, as {name: why}."""
        _, said = run(KUBECONFORM, "-strict", "-output", "json", "-verbose", "-kubernetes-version", version,
                      "-schema-location", SCHEMAS + "/{{.NormalizedKubernetesVersion}}{{.StrictSuffix}}/{{.ResourceKind}}{{.KindSuffix}}.json",
                      "-schema-location", SCHEMAS + "/crd/{{.ResourceKind}}_{{.ResourceAPIVersion}}.json",
                      "-schema-location", SOURCE + "/tests/deploy/strimzi/{{.ResourceKind}}.json", stdin="\n---\n".join(documents))
        found = json.loads(said)["resources"]
        self.assertEqual(len(found), len(documents))
        return {each["name"]: each["msg"] for each in found if each["status"] != "statusValid"}

    def matrix(self):
        return [text for values in VALUES for text in self.helm_template(values)[1].split("\n---\n") if "\nkind: " in text]

    def test_matrix(self):
        documents = self.matrix()
        kinds = {re.search("^kind: (.*)$", text, re.M).group(1) for text in documents}
        self.assertLessEqual({"Deployment", "StatefulSet", "Job", "ConfigMap", "PersistentVolumeClaim", "ScaledObject",
                              "TriggerAuthentication", "HorizontalPodAutoscaler", "PodMonitor", "PrometheusRule", "NetworkPolicy",
                              "PodDisruptionBudget", "KafkaTopic", "KafkaUser", "ServiceAccount", "Service", "Pod"}, kinds)
        for version in VERSIONS:
            with self.subTest(version=version):
                self.assertEqual(self.check(documents, version), {})

    def test_what_is_wrong_is_seen(self):
        """A wrong field or type in each kind of schema; a truth value for a name, which an unquoted release called n would be."""
        documents, wrong = self.helm_template(EVERYTHING)[1].split("\n---\n"), []
        for right, instead in (("minReadySeconds: 5", "minReadySecond: 5"), ("pollingInterval: 15", "pollingIntervall: 15"),
                               ('lagThreshold: "100"', "lagThreshold: 100"), ("podMetricsEndpoints:", "podMetricsEndpoint:"),
                               ("operations: [Describe]", "operation: [Describe]"), ("- alert:", "- alart:"),
                               ("topicName:", "topic:"), ("port: metrics", "port: [metrics]"), ('instance: "n"', "instance: n")):
            text = next(each for each in documents if right in each).replace(right, instead)
            wrong.append(re.sub("^  name: .*$", "  name: wrong-%d" % len(wrong), text, count=1, flags=re.M))
        self.assertEqual(set(self.check(wrong, VERSIONS[-1])), {"wrong-%d" % number for number in range(len(wrong))})


class Policy(Case):
    """Pod security "restricted", and more, for every pod of every set of values."""

    def pods(self, documents):
        for document in documents:
            if document["kind"] == "Pod":
                yield document["metadata"]["name"], document["spec"]
            elif "template" in document.get("spec", {}):
                yield document["metadata"]["name"], document["spec"]["template"]["spec"]

    def assert_confined(self, spec):
        self.assertIs(spec["automountServiceAccountToken"], False)
        self.assertIs(spec["enableServiceLinks"], False)
        for field in ("hostNetwork", "hostPID", "hostIPC", "hostUsers"):
            self.assertNotIn(field, spec)
        pod = spec["securityContext"]
        self.assertIs(pod["runAsNonRoot"], True)
        for field in ("runAsUser", "runAsGroup", "fsGroup"):
            self.assertIsInstance(pod[field], int, "a large number is printed as 1e+09")
            self.assertGreater(pod[field], 0)
        self.assertEqual(pod["seccompProfile"], {"type": "RuntimeDefault"})
        for volume in spec["volumes"]:
            self.assertTrue({"configMap", "secret", "emptyDir", "persistentVolumeClaim"} & set(volume), volume)
            self.assertIn("sizeLimit", volume.get("emptyDir", {"sizeLimit": ""}))
        self.assertEqual([each for each in spec["volumes"] if each["name"] == "input"][0]["persistentVolumeClaim"]["readOnly"], True)
        self.assertNotIn("initContainers", spec)
        self.assertEqual(len(spec["containers"]), 1)
        container = spec["containers"][0]
        self.assertEqual(container["securityContext"], {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True,
                                                        "capabilities": {"drop": ["ALL"]}})
        resources = container["resources"]
        self.assertEqual(resources["requests"]["memory"], resources["limits"]["memory"])
        self.assertIn("cpu", resources["requests"])
        self.assertRegex(container["image"], r"^[^:@]+(:\d+)?/[^:@]+(:(?!latest$)[\w.-]+|@sha256:[0-9a-f]{64})$")
        mounts = {mount["name"]: mount for mount in container["volumeMounts"]}
        for name in ("input", "config", "kafka", "kafka-token", "redis", "mail"):
            self.assertIs(mounts.get(name, {"readOnly": True})["readOnly"], True, name)
        for port in container.get("ports", []):
            self.assertNotIn("hostPort", port)
        for variable in container.get("env", []):
            self.assertNotIn("valueFrom", variable, "secrets are files, not variables")

    def test_every_pod_is_confined(self):
        seen = set()
        for values in VALUES:
            for name, spec in self.pods(self.helm_template(values)[0]):
                seen.add(spec["containers"][0]["name"])
                with self.subTest(values=os.path.basename(values), pod=name):
                    self.assert_confined(spec)
        self.assertEqual(seen, {"worker", "aggregator", "producer", "doctor", "topics"})

    def test_nothing_is_allowed_and_nothing_secret_is_made(self):
        """No Role and no binding, and no Secret: those that exist are mounted."""
        for values in VALUES:
            for document in self.helm_template(values)[0]:
                self.assertNotIn(document["kind"], ("Secret", "Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding"))
                if document["kind"] == "ServiceAccount":
                    self.assertIs(document["automountServiceAccountToken"], False)

    def test_secrets_are_files_where_the_settings_look(self):
        documents = self.render({"kafka": {"existingSecret": "k", "configKey": "client.conf"}}, EVERYTHING)
        config = json.loads(self.one(documents, "ConfigMap", "-config")["data"]["config.json"])
        spec = self.one(documents, "StatefulSet")["spec"]["template"]["spec"]
        secrets = {volume["name"]: volume["secret"]["secretName"] for volume in spec["volumes"] if "secret" in volume}
        self.assertEqual(secrets, {"kafka": "k", "kafka-token": "token", "redis": "redis", "mail": "mail"})
        places = {mount["name"]: mount["mountPath"] for mount in spec["containers"][0]["volumeMounts"]}
        self.assertEqual(config["KafkaConfigFile"], places["kafka"] + "/client.conf")
        self.assertEqual(config["KafkaTokenFile"], places["kafka-token"] + "/token")
        self.assertEqual(config["RedisPasswordFile"], places["redis"] + "/password")
        self.assertEqual(config["SmtpPasswordFile"], places["mail"] + "/password")

    def test_network(self):
        """Each port that the settings name is open, to whom it is needed, and no other."""
        documents = self.render(base=EVERYTHING)
        open_to = {}
        for policy in documents:
            if policy["kind"] == "NetworkPolicy":
                self.assertEqual(policy["spec"]["policyTypes"], ["Ingress", "Egress"])
                role = policy["spec"]["podSelector"]["matchLabels"]["app.kubernetes.io/component"]
                open_to[role] = sorted({port["port"] for rule in policy["spec"]["egress"] for port in rule["ports"]})
                self.assertEqual("ingress" in policy["spec"], role in ("worker", "aggregator"))
        kafka = [9092, 9093, 9094]
        self.assertEqual(open_to, {"worker": [53, 6380, *kafka], "aggregator": [53, 587, 6380, *kafka], "producer": [53, *kafka], "topics": [53, *kafka],
                                   "doctor": [53, 587, 6380, *kafka]})

    def test_selectors_hold_nothing_that_an_upgrade_alters(self):
        """Else it fails: field is immutable. Other values, and another version of the chart, leave them as they are."""
        def selectors(documents):
            return {(each["kind"], each["metadata"]["name"]): each["spec"]["selector"]
                    for each in documents if each["kind"] in ("Deployment", "StatefulSet")}
        first = selectors(self.render())
        self.assertEqual(len(first), 2)
        self.assertEqual(first, selectors(self.render(base=EVERYTHING)))
        for selector in first.values():
            self.assertEqual(set(selector["matchLabels"]), {"app.kubernetes.io/" + end for end in ("name", "instance", "component")})
        pods = [each["spec"]["template"]["metadata"]["labels"] for each in self.render() if each["kind"] == "Deployment"]
        self.assertEqual(set(pods[0]), set(next(iter(first.values()))["matchLabels"]), "a new version of the chart replaces pods")


class Refused(Case):
    """Wrong values, each with the word that the refusal must say."""
    WRONG = [
        ({"wroker": {}}, "wroker"), ({"worker": {"replica": 3}}, "replica"), ({"keda": {"fallback": {"replica": 1}}}, "replica"),
        ({"worker": {"replicas": "2"}}, "replicas"), ({"worker": {"decoders": 0}}, "decoders"),
        ({"worker": {"decoders": 2.5}}, "decoders"), ({"worker": {"decoderMemoryMiB": "2Gi"}}, "decoderMemoryMiB"),
        ({"worker": {"maxSurge": "a quarter"}}, "maxSurge"), ({"worker": {"cpuRequest": 2}}, "cpuRequest"),
        ({"worker": {"cpuLimit": "2 cores"}}, "cpuLimit"), ({"worker": {"tmpSize": "much"}}, "tmpSize"),
        ({"worker": {"extraEnv": [{"nam": "TZ"}]}}, "extraEnv"), ({"worker": {"extraArgs": "--LogLevel debug"}}, "extraArgs"),
        ({"image": {"tag": "latest"}}, "tag"), ({"image": {"tag": 1.2}}, "tag"), ({"image": {"digest": "sha256:12"}}, "digest"),
        ({"image": {"pullPolicy": "Sometimes"}}, "pullPolicy"), ({"image": {"repository": ""}}, "image.repository"),
        ({"kafka": {"brokers": ""}}, "kafka.brokers"), ({"kafka": {"brokers": ["kafka:9092"]}}, "brokers"),
        ({"kafka": {"partitions": 0}}, "partitions"), ({"kafka": {"tasksTopic": "two words"}}, "tasksTopic"),
        ({"kafka": {"workerGroup": ""}}, "workerGroup"), ({"kafka": {"password": "secret"}}, "password"),
        ({"redis": {"url": "http://redis"}}, "url"), ({"redis": {"existingSecret": "r"}}, "redis.url"),
        ({"mail": {"smtpUrl": "mail.example.org"}}, "smtpUrl"), ({"mail": {"existingSecret": "m"}}, "mail.smtpUrl"),
        ({"mail": {"startTls": "maybe"}}, "startTls"),
        ({"settings": {"PixelScalling": "window"}}, "PixelScalling"), ({"settings": {"PixelScaling": "wide"}}, "PixelScaling"),
        ({"settings": {"MaxPixels": "many"}}, "MaxPixels"), ({"settings": {"is16Bit": "yes"}}, "is16Bit"),
        ({"settings": {"KafkaBrokers": "kafka:9092"}}, "KafkaBrokers"), ({"settings": {"StateDirectory": "/tmp"}}, "StateDirectory"),
        ({"storage": {"input": {"existingClaim": ""}}}, "storage.input"), ({"storage": {"output": {"existingClaim": ""}}}, "storage.output"),
        ({"storage": {"input": {"existingClaim": "", "size": "big"}}}, "size"), ({"storage": {"input": {"subPath": "../all"}}}, "subPath"),
        ({"storage": {"output": {"accessModes": ["ReadWriteAll"]}}}, "accessModes"),
        ({"security": {"runAsUser": 0}}, "runAsUser"), ({"security": {"privileged": True}}, "privileged"),
        ({"worker": {"terminationGracePeriodSeconds": 60}}, "killed before it is drained"),
        ({"worker": {"drainSeconds": 300, "terminationGracePeriodSeconds": 329}}, "killed before it is drained"),
        ({"worker": {"replicas": 17}}, "partitions"), ({"keda": {"enabled": True, "maxReplicas": 17}}, "keda.maxReplicas"),
        ({"hpa": {"enabled": True, "maxReplicas": 17}}, "hpa.maxReplicas"), ({"hpa": {"minReplicas": 0}}, "minReplicas"),
        ({"keda": {"enabled": True, "minReplicas": 9, "maxReplicas": 8}}, "minReplicas"),
        ({"keda": {"enabled": True}, "hpa": {"enabled": True}}, "choose one"),
        ({"keda": {"lagThreshold": 0}}, "lagThreshold"), ({"keda": {"offsetResetPolicy": "latest"}}, "offsetResetPolicy"),
        ({"keda": {"authentication": {"keys": ["passwort"]}}}, "keys"),
        ({"aggregator": {"replicas": 2}}, "replicas"), ({"aggregator": {"terminationGracePeriodSeconds": 5}}, "terminationGracePeriod"),
        ({"producer": {"enabled": True, "input": "a", "output": "b"}}, "producer.name"),
        ({"producer": {"enabled": True, "name": "x", "output": "b"}}, "producer.input"),
        ({"producer": {"enabled": True, "name": "x", "input": "a"}}, "producer.output"),
        ({"producer": {"enabled": True, "name": "x", "input": "../etc", "output": "b"}}, "input"),
        ({"producer": {"enabled": True, "name": "x", "input": "/etc", "output": "b"}}, "input"),
        ({"producer": {"enabled": True, "name": "x", "resume": "17"}}, "resume"),
        ({"producer": {"enabled": True, "name": "x", "input": "a", "resume": "01HZX3K5T7Q9V1B2C4D6E8F0GH"}}, "producer.resume"),
        ({"metrics": {"port": 80}}, "port"), ({"metrics": {"podMonitor": {"interval": "often"}}}, "interval"),
        ({"strimzi": {"topics": True}}, "strimzi.cluster"), ({"strimzi": {"apiVersion": "kafka.strimzi.io/v2"}}, "apiVersion"),
        ({"podDisruptionBudget": {"maxUnavailable": "some"}}, "maxUnavailable"),
        ({"global": {"imagePullSecrets": ["pull"]}}, "imagePullSecrets"),
    ]

    def test_each(self):
        for more, word in self.WRONG:
            with self.subTest(values=more), tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
                yaml.safe_dump(merged(load(DEFAULTS), more), file)
                file.flush()
                status, said = run(HELM, "template", "n", CHART, "--values", file.name)
                self.assertNotEqual(status, 0, "taken")
                self.assertIn(word, said)


class Program(Case):
    """What the chart tells the program is what the program knows: settings, probes, times, memory."""

    def setUp(self):
        self.program = os.path.join(os.environ["NIFFLER_BUILD"], "niffler-png")

    def config(self, documents):
        return self.one(documents, "ConfigMap", "-config")["data"]["config.json"]

    def settings(self, command, config):
        """The program's settings with this config.json, by --show-settings."""
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            file.write(config)
            file.flush()
            environment = {name: value for name, value in os.environ.items() if not name.startswith("NIFFLER_")}
            done = subprocess.run([self.program, command, "--config", file.name, "--show-settings"], stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60, env=environment, check=False)
        self.assertEqual(done.returncode, 0, done.stdout)
        return dict(re.findall(r"^(\w+) = (.*?)  \(from ", done.stdout, re.M))

    def test_every_config_is_accepted(self):
        for values in VALUES:
            config = self.config(self.helm_template(values)[0])
            for command in ("work", "aggregate", "produce", "doctor"):
                with self.subTest(values=os.path.basename(values), command=command):
                    found = self.settings(command, config)
                    self.assertEqual(found["InputRoot"], "/data/input")
        found = self.settings("work", self.config(self.helm_template(EVERYTHING)[0]))
        self.assertEqual((found["MaxAttributes"], found["is16Bit"], found["Window"]), ("2000000", "false", "lung"))

    def test_settings_are_those_of_the_program(self):
        known = set(self.settings("work", "{}"))
        chart = set(load(os.path.join(CHART, "values.schema.json"))["properties"]["settings"]["properties"])
        self.assertEqual(GIVEN_BY_CHART - known, set(), "the program does not know these")
        self.assertEqual(chart, known - GIVEN_BY_CHART, "`settings` in values.schema.json, and what the program knows")

    def test_names_of_topics_and_groups_are_the_programs_own(self):
        known = self.settings("work", "{}")
        kafka = load(os.path.join(CHART, "values.yaml"))["kafka"]
        for key in ("tasksTopic", "resultsTopic", "deadTopic", "workerGroup", "aggregatorGroup"):
            self.assertEqual(kafka[key], known["Kafka" + key[0].upper() + key[1:]])

    def test_memory_is_enough_for_all_decoders(self):
        for more, memory in (({}, "8704Mi"), ({"worker": {"decoders": 16, "decoderMemoryMiB": 4096}}, "66048Mi")):
            documents = self.render(more)
            container = self.one(documents, "Deployment")["spec"]["template"]["spec"]["containers"][0]
            self.assertEqual(container["resources"]["limits"]["memory"], memory)
            found = json.loads(self.config(documents))
            self.assertGreaterEqual(int(memory[:-2]), found["UseProcesses"] * int(found["DecoderMemory"][:-1]) + 512)
            self.assertEqual(container["resources"]["requests"]["cpu"], str(found["UseProcesses"]))

    def test_grace_is_longer_than_the_drain(self):
        for more, grace in (({}, 90), ({"worker": {"drainSeconds": 300}}, 330),
                            ({"worker": {"drainSeconds": 300, "terminationGracePeriodSeconds": 600}}, 600)):
            documents = self.render(more)
            self.assertEqual(self.one(documents, "Deployment")["spec"]["template"]["spec"]["terminationGracePeriodSeconds"], grace)
            self.assertGreaterEqual(grace, json.loads(self.config(documents))["DrainSeconds"] + 30)

    def test_probes_ask_what_is_served(self):
        """/livez for life: it answers whatever Kafka, Redis and storage are like, which /readyz does not."""
        with open(os.path.join(SOURCE, "common", "health.c"), encoding="utf-8") as file:
            served = set(re.findall(r'"(/\w+)"', file.read()))
        documents = self.helm_template(EVERYTHING)[0]
        for kind in ("Deployment", "StatefulSet"):
            container = self.one(documents, kind)["spec"]["template"]["spec"]["containers"][0]
            pages = {name: container[name + "Probe"]["httpGet"]["path"] for name in ("startup", "liveness", "readiness")}
            self.assertEqual(pages, {"startup": "/livez", "liveness": "/livez", "readiness": "/readyz"})
            self.assertEqual([port["containerPort"] for port in container["ports"]], [9090])
            self.assertLessEqual({*pages.values(), "/metrics"}, served)
        self.assertEqual(json.loads(self.config(documents))["MetricsListen"], "0.0.0.0:9090")
        monitor = self.one(documents, "PodMonitor")["spec"]
        self.assertEqual(monitor["podMetricsEndpoints"][0]["port"], "metrics")

    def test_a_change_of_settings_replaces_pods(self):
        def sums(more):
            return [each["spec"]["template"]["metadata"]["annotations"]["checksum/config"] for each in self.render(more)
                    if each["kind"] in ("Deployment", "StatefulSet")]
        self.assertEqual(sums({}), sums({"worker": {"replicas": 3}}))
        for before, after in zip(sums({}), sums({"settings": {"LogLevel": "debug"}})):
            self.assertNotEqual(before, after)

    def test_scaling(self):
        """What bites is as it must be: texts, the place to begin, slow files, one worker a partition; and who counts the workers."""
        documents = self.helm_template(EVERYTHING)[0]
        spec = self.one(documents, "ScaledObject")["spec"]
        self.assertEqual((spec["minReplicaCount"], spec["maxReplicaCount"]), (0, 24))
        self.assertEqual(spec["fallback"], {"failureThreshold": 3, "replicas": 1})
        trigger = spec["triggers"][0]
        self.assertEqual(trigger["metadata"], {
            "bootstrapServers": "kafka-1:9092,kafka-2:9093", "consumerGroup": "niffler-workers", "topic": "niffler-tasks",
            "lagThreshold": "100", "activationLagThreshold": "0", "offsetResetPolicy": "earliest", "scaleToZeroOnInvalidOffset": "false",
            "excludePersistentLag": "false", "allowIdleConsumers": "false", "limitToPartitionsWithLag": "true", "version": "2.5.0"})
        self.assertEqual(trigger["authenticationRef"]["name"], self.one(documents, "TriggerAuthentication")["metadata"]["name"])
        large = self.one(self.render({"keda": {"enabled": True, "lagThreshold": 2000000}}), "ScaledObject")
        self.assertEqual(large["spec"]["triggers"][0]["metadata"]["lagThreshold"], "2000000")
        for more in ({"keda": {"enabled": True}}, {"hpa": {"enabled": True}}):
            scaled = self.render(more)
            self.assertNotIn("replicas", self.one(scaled, "Deployment")["spec"])
            kind = "ScaledObject" if "keda" in more else "HorizontalPodAutoscaler"
            self.assertEqual(self.one(scaled, kind)["spec"]["scaleTargetRef"]["name"], self.one(scaled, "Deployment")["metadata"]["name"])
        self.assertEqual(self.one(self.render(), "Deployment")["spec"]["replicas"], 2)

    def test_producer(self):
        """Its arguments are the program's; nothing tries twice, and nothing removes the Job, which an upgrade would make again."""
        job = self.one(self.helm_template(EVERYTHING)[0], "Job", "-produce-first")["spec"]
        self.assertEqual((job["backoffLimit"], job["template"]["spec"]["restartPolicy"]), (0, "Never"))
        self.assertNotIn("ttlSecondsAfterFinished", job)
        arguments = job["template"]["spec"]["containers"][0]["args"]
        self.assertEqual(arguments[:7], ["produce", "--config", "/etc/niffler-png/config.json", "--DICOMHome", "/data/input/chest",
                                         "--OutputDirectory", "/data/output/chest"])
        status, said = run(self.program, *arguments[:1], *arguments[3:], "--show-settings")
        self.assertEqual(status, 0, said)

    def test_topics(self):
        """A Job makes them, whose name changes with it, since it cannot be changed; where Strimzi makes them there is none."""
        jobs = [self.one(self.render(more), "Job") for more in ({}, {}, {"kafka": {"partitions": 32}}, {"image": {"tag": "2"}},
                                                                 {"settings": {"LogLevel": "debug"}})]
        names = [job["metadata"]["name"] for job in jobs]
        self.assertEqual(len(set(names)), 4)
        self.assertEqual(names[0], names[1])
        arguments = jobs[0]["spec"]["template"]["spec"]["containers"][0]["args"]
        self.assertEqual(arguments, ["topics", "--config", "/etc/niffler-png/config.json", "--partitions", "16", "--replication", "3"])
        status, said = run(self.program, arguments[0], *arguments[3:], "--show-settings")
        self.assertEqual(status, 0, said)
        for more in ({"kafka": {"createTopics": False}}, {"strimzi": {"topics": True, "cluster": "kafka"}}):
            self.assertEqual([each for each in self.render(more) if each["kind"] == "Job"], [])


class Files(Case):
    """What is in the repository twice is the same."""

    def test_dashboard_and_alerts_are_current(self):
        status, said = run(os.path.join(DEPLOY, "helm", "update.sh"), "--check")
        self.assertEqual(status, 0, said)
        documents = self.helm_template(EVERYTHING)[0]
        with open(os.path.join(DEPLOY, "observability", "rules.yaml"), encoding="utf-8") as file:
            self.assertEqual(self.one(documents, "PrometheusRule")["spec"], yaml.safe_load(file))
        with open(os.path.join(DEPLOY, "observability", "dashboard.json"), encoding="utf-8") as file:
            self.assertEqual(json.loads(self.one(documents, "ConfigMap", "-dashboard")["data"]["niffler-png.json"]), json.load(file))

    def test_manifests_are_current(self):
        status, said = run(os.path.join(DEPLOY, "manifests", "render.sh"), "--check", HELM)
        self.assertEqual(status, 0, said)


class Manifests(Case):
    """deploy/manifests against Kubernetes's schemas, where helm is not there to render them again, too."""

    def files(self):
        return [os.path.join(DEPLOY, "manifests", *name) for name in (("base", "niffler-png.yaml"), ("produce", "job.yaml"))]

    def validate(self, file, version):
        return run(VALIDATE, "--strict", "-k", version.rpartition(".")[0], file)

    def test_schemas(self):
        for file in self.files():
            for version in VERSIONS:
                with self.subTest(file=file, version=version):
                    status, said = self.validate(file, version)
                    self.assertEqual(status, 0, said)
                    self.assertNotIn("WARN", said)
                    self.assertIn("passed", said)

    def test_what_is_wrong_is_seen(self):
        with open(self.files()[0], encoding="utf-8") as file:
            text = file.read()
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
            file.write(text.replace("terminationGracePeriodSeconds: 90", "terminationGracePeriodSecond: 90"))
            file.flush()
            status, said = self.validate(file.name, VERSIONS[0])
        self.assertNotEqual(status, 0)
        self.assertIn("terminationGracePeriodSecond", said)

    def test_the_scaled_object_scales_the_deployment(self):
        with open(self.files()[0], encoding="utf-8") as file:
            deployment = self.one([each for each in yaml.safe_load_all(file) if each], "Deployment")
        scaled = load(os.path.join(DEPLOY, "manifests", "keda", "scaledobject.yaml"))
        self.assertEqual(scaled["spec"]["scaleTargetRef"]["name"], deployment["metadata"]["name"])
        patch = load(os.path.join(DEPLOY, "manifests", "keda", "kustomization.yaml"))["patches"][0]
        self.assertEqual(patch["target"]["name"], deployment["metadata"]["name"])
        self.assertIn("path: /spec/replicas", patch["patch"])


NEEDED = {"Lint": [HELM], "Schemas": [HELM, KUBECONFORM, SCHEMAS], "Policy": [HELM], "Refused": [HELM], "Program": [HELM], "Files": [HELM],
          "Manifests": [VALIDATE]}


if __name__ == "__main__":
    lacking = [tool for name in sys.argv[1:] for tool in NEEDED[name.split(".")[0]] if not os.path.exists(tool)]
    if lacking:
        print("skipped: tests/deploy/tools.sh has not made " + ", ".join(os.path.basename(tool) for tool in lacking))
        sys.exit(77)
    unittest.main(verbosity=2)
