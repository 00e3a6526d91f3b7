"""A real Prometheus (Debian's) on loopback that scrapes what it is told to, and a client of a few lines to ask it."""
import json
import os
import urllib.error
import urllib.parse
import urllib.request

import service


class QueryError(Exception):
    """What it answered to a query that it does not understand."""


class Prometheus(service.Service):
    """`targets`: job -> (host:port, labels). `rules`: a file of rules, or None."""

    name = "prometheus"

    def __init__(self, folder, targets, rules=None, every="500ms"):
        super().__init__(folder)
        self.port = service.free_port()
        self.targets, self.rules, self.every = targets, rules, every

    def command(self):
        config = {
            "global": {"scrape_interval": self.every, "evaluation_interval": self.every, "scrape_timeout": self.every},
            "rule_files": [self.rules] if self.rules else [],
            "scrape_configs": [{"job_name": job, "static_configs": [{"targets": [address], "labels": labels}]}
                               for job, (address, labels) in self.targets.items()],
        }
        path = os.path.join(self.folder, "prometheus.yaml")
        with open(path, "w", encoding="utf-8") as file:
            json.dump(config, file)  # which is YAML, too
        return ["prometheus", "--config.file=" + path, "--storage.tsdb.path=" + os.path.join(self.folder, "data"),
                "--web.listen-address=127.0.0.1:%d" % self.port, "--log.level=warn"]

    def get(self, path, **parameters):
        """-> `data` of what its HTTP API answers."""
        url = "http://127.0.0.1:%d%s?%s" % (self.port, path, urllib.parse.urlencode(parameters, doseq=True))
        try:
            with urllib.request.urlopen(url, timeout=10) as reply:
                return json.load(reply)["data"]
        except urllib.error.HTTPError as error:
            raise QueryError("%s: %s" % (url, error.read().decode("utf-8", "replace"))) from None

    def ask(self, query):
        """-> [(labels, value)] of an instant query."""
        data = self.get("/api/v1/query", query=query)
        found = data["result"] if data["resultType"] == "vector" else [{"metric": {}, "value": data["result"]}]
        return [(sample["metric"], float(sample["value"][1])) for sample in found]

    def is_ready(self):
        try:
            with urllib.request.urlopen("http://127.0.0.1:%d/-/ready" % self.port, timeout=5):
                return True
        except OSError:
            return False
