#!/usr/bin/python3
"""Every field of the dashboard is one that Grafana knows: what does not survive its typed model is unknown, or of a wrong type.

usage: check_dashboard.py DASHBOARD

The model is Grafana's own, grafana-foundation-sdk of PyPI, in a virtual environment that is made once for this machine, in
$NIFFLER_CACHE or ${XDG_CACHE_HOME:-~/.cache}/niffler-png. Ends with 77 where it cannot be had.
"""
import copy
import fcntl
import json
import os
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "services"))
import kafka  # noqa: E402

SDK = "grafana-foundation-sdk==1769699998!10.1.0"
SKIPPED = 77


def environment():
    """The Python that has the model."""
    tools = os.path.join(kafka.cache_folder(), "tools")
    place = os.path.join(tools, SDK.replace("==", "-").replace("!", "-"))
    os.makedirs(tools, exist_ok=True)
    with open(os.path.join(tools, "lock"), "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.exists(os.path.join(place, "complete")):
            shutil.rmtree(place, ignore_errors=True)
            make(place)
    return os.path.join(place, "bin", "python3")


def make(place):
    for command in ([sys.executable, "-m", "venv", place],
                    [os.path.join(place, "bin", "pip"), "install", "--quiet", "--disable-pip-version-check", SDK]):
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        if done.returncode != 0:
            print(done.stdout + "skipped: %s cannot be installed here (python3-venv, network)" % SDK)
            sys.exit(SKIPPED)
    with open(os.path.join(place, "complete"), "w", encoding="ascii"):
        pass


def lost(before, after, path=""):
    """What is in `before` and not the same in `after`."""
    if isinstance(before, dict):
        for key, value in before.items():
            if not isinstance(after, dict) or key not in after:
                yield path + "/" + key
            else:
                yield from lost(value, after[key], path + "/" + key)
    elif isinstance(before, list):
        for i, value in enumerate(before):
            yield from lost(value, after[i] if isinstance(after, list) and i < len(after) else None, "%s/%d" % (path, i))
    elif before != after:
        yield "%s: %r became %r" % (path, before, after)


def unknown(dashboard):
    import grafana_foundation_sdk.cog.plugins as plugins
    from grafana_foundation_sdk.cog.encoder import JSONEncoder
    from grafana_foundation_sdk.models.dashboard import Dashboard
    plugins.register_default_plugins()
    return list(lost(dashboard, json.loads(JSONEncoder(sort_keys=True).encode(Dashboard.from_json(copy.deepcopy(dashboard))))))


def check_that_it_can_fail(dashboard):
    """A slip at any depth is found, or this test would say nothing."""
    at = next(i for i, panel in enumerate(dashboard["panels"]) if panel["type"] == "timeseries")
    for spoil, path in ((lambda d: d.update(templatin={}), "/templatin"),
                        (lambda d: d["panels"][at].update(gridPoss={}), "/panels/%d/gridPoss" % at),
                        (lambda d: d["panels"][at]["fieldConfig"]["defaults"].update(unitt="s"),
                         "/panels/%d/fieldConfig/defaults/unitt" % at),
                        (lambda d: d["panels"][at]["targets"][0].update(exprr="up"), "/panels/%d/targets/0/exprr" % at)):
        spoilt = copy.deepcopy(dashboard)
        spoil(spoilt)
        if unknown(spoilt) != [path]:
            sys.exit("%s was put in, and found was: %s" % (path, unknown(spoilt)))


def main():
    if len(sys.argv) == 2:
        python = environment()
        os.execv(python, [python, *sys.argv, "here"])
    with open(sys.argv[1], encoding="utf-8") as file:
        dashboard = json.load(file)
    found = unknown(dashboard)
    if found:
        sys.exit("unknown to Grafana, or of a wrong type:\n" + "\n".join(found))
    check_that_it_can_fail(dashboard)
    print("%d panels, every field known" % len(dashboard["panels"]))


if __name__ == "__main__":
    main()
