#!/bin/sh
# check_release.sh: the programs of the preset `release` are hardened, whatever the other builds are.
#
#     check_release.sh SOURCE_FOLDER BUILD_FOLDER     BUILD_FOLDER is made where it is missing, and stays
set -eu
cd -- "$1"
cmake --preset release -B "$2" -DNIFFLER_SAMPLES=OFF >/dev/null
cmake --build "$2" -j "$(nproc)" --target niffler-png niffler-png-decoder >"$2/log" 2>&1 || {
    cat "$2/log"
    exit 1
}
exec /usr/bin/python3 tests/style/check_binaries.py fortified "$2/niffler-png" "$2/niffler-png-decoder"
