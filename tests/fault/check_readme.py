#!/usr/bin/python3
"""Every row of the failure matrix is in README.md, and every test that it names exists."""
import os
import re
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
TESTS = os.path.dirname(HERE)
ROWS = ([("P", number) for number in range(1, 9)] + [("W", number) for number in range(1, 15)]
        + [("S", number) for number in range(1, 5)] + [("A", number) for number in range(1, 7)]
        + [("M", 1), ("M", 2), ("B", 1), ("B", 2), ("B", 3)] + [(letter, 1) for letter in "RNKCVJ"])
DEFINED = r"(?:def %s\(|^(?:static )?void %s\(void \*\*)"


def read(*path):
    with open(os.path.join(*path), encoding="utf-8") as file:
        return file.read()


def is_test(path, name):
    """Defined, and in C also on a list of those that run."""
    text = read(TESTS, path)
    if not re.search(DEFINED % (name, name), text, re.M):
        return False
    return not path.endswith(".c") or len(re.findall(r"\b%s\b" % name, text)) > 1


def complaints():
    rows = re.findall(r"^\| ([A-Z]\d+) \|[^|]*\|([^|]*)\|$", read(HERE, "README.md"), re.M)
    wanted = ["%s%d" % row for row in ROWS]
    if sorted(name for name, _ in rows) != sorted(wanted):
        yield "rows: %s" % sorted(set(wanted) ^ {name for name, _ in rows})
    for row, shown in rows:
        named = re.findall(r"`([\w/.]+): (\w+)`", shown)
        if not named and "none" not in shown:
            yield "%s: neither a test nor why there is none" % row
        for path, name in named:
            if not os.path.exists(os.path.join(TESTS, path)):
                yield "%s: no file %s" % (row, path)
            elif not is_test(path, name):
                yield "%s: no %s in %s" % (row, name, path)


if __name__ == "__main__":
    found = list(complaints())
    print("\n".join(found))
    sys.exit(1 if found else 0)
