#!/usr/bin/python3
"""hadolint on the Dockerfiles; it is seen to complain of one that deserves it. Needs tests/deploy/tools.sh hadolint."""
import os
import subprocess
import sys

import engine

HADOLINT = os.path.join(engine.SOURCE, "build", "tools", "bin", "hadolint")
WRONG = "FROM debian\nRUN apt-get install gcc\n"


def hadolint(*arguments, **more):
    return subprocess.run([HADOLINT, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, **more)


def main():
    if not os.access(HADOLINT, os.X_OK):
        engine.skip("there is no hadolint (tests/deploy/tools.sh hadolint)")
    wrong = hadolint("-", input=WRONG)
    if wrong.returncode == 0 or "DL3008" not in wrong.stdout:
        sys.exit("hadolint finds nothing wrong with\n" + WRONG + wrong.stdout)
    done = hadolint(*(os.path.join(engine.SOURCE, *path) for path in (("deploy", "Dockerfile"),
                                                                      ("tests", "deploy", "compose", "Dockerfile"))))
    print(done.stdout, end="")
    sys.exit(done.returncode)


if __name__ == "__main__":
    main()
