#!/usr/bin/python3
"""The image that the tests of this build share.

usage: image.py build    make it, with deploy/build-image.sh, into the engine's folder in $NIFFLER_BUILD
       image.py clean    remove that folder
       image.py hold     an engine with it, until the standard input ends: to look around by hand

Where no Docker engine can run, build ends with status 77, and the tests that wanted the image do so too.
"""
import os
import shutil
import subprocess
import sys

import engine

IMAGE = "niffler-png:test"
BASE = "debian:12-slim"
BUILDER = "niffler-png-builder"  # with the packages to build with
SERVICES = "niffler-png-services"  # Redis, a Java and a mail server, for the test of compose.yaml
HERE = os.path.dirname(os.path.abspath(__file__))


def build_image(docker, tag, *options):
    """deploy/build-image.sh, with packages of which a copy is kept."""
    environment = dict(docker.environment, ENGINE=engine.DOCKER)
    done = subprocess.run([os.path.join(engine.SOURCE, "deploy", "build-image.sh"), tag, "--network=host", "--build-arg",
                           "BUILDER=" + BUILDER, *options], env=environment, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", check=False)
    if done.returncode != 0:
        raise engine.service.ServiceError("build-image.sh: %d\n%s" % (done.returncode, done.stdout[-12000:]))


def build():
    with engine.Engine(has_network=True) as docker:
        engine.import_base(docker, BASE)
        dockerfile = os.path.join(engine.SOURCE, "deploy", "Dockerfile")
        packages = os.path.join(engine.SOURCE, "deploy", "install-packages.sh")
        engine.kept_image(docker, BUILDER, [packages], lambda: docker.docker(
            "build", "--network=host", "--target", "build-packages", "-t", BUILDER, "-f", dockerfile, engine.SOURCE))
        services = os.path.join(HERE, "compose", "Dockerfile")
        engine.kept_image(docker, SERVICES, [services], lambda: docker.docker(
            "build", "--network=host", "-t", SERVICES, os.path.dirname(services)))
        build_image(docker, IMAGE)
        print(docker.docker("images"))


def clean():
    shutil.rmtree(engine.PLACE, ignore_errors=True)
    engine.sweep()
    if os.path.exists(engine.PLACE):
        sys.exit("image.py: %s could not be removed" % engine.PLACE)


def hold():
    with engine.Engine() as docker:
        print("export DOCKER_HOST=unix://%s" % docker.socket, flush=True)
        sys.stdin.read()


def main():
    commands = {"build": build, "clean": clean, "hold": hold}
    if len(sys.argv) != 2 or sys.argv[1] not in commands:
        sys.exit(__doc__)
    if not engine.BUILD:
        sys.exit("NIFFLER_BUILD must name a build folder")
    if sys.argv[1] == "clean" and not os.path.exists(engine.PLACE):
        return
    engine.become_root()
    os.makedirs(engine.PLACE, exist_ok=True)
    reason = engine.why_not() if sys.argv[1] == "build" else None
    if os.path.exists(engine.REASON):
        os.remove(engine.REASON)
    if reason:
        with open(engine.REASON, "w", encoding="utf-8") as file:
            file.write(reason)
        engine.skip(reason)
    commands[sys.argv[1]]()


if __name__ == "__main__":
    main()
