#!/bin/sh
# run.sh: installs and fetches what the tests need, builds three times (warnings are errors; optimised, as what is shipped;
# address and undefined-behaviour sanitizers) and runs all tests with the first and the last, those of pixels and parts
# with the optimised one. Stops at the first stage that fails, with its exit status; ends with ctest's closing lines.
#
#     tests/run.sh [CTEST_OPTION...]     such as -L unit, or -R samples
set -eu
cd -- "$(dirname -- "$0")/.."

stage() {
    echo
    echo "== $*"
}

stage packages
deploy/install-packages.sh build test deploy

stage services
tests/services/kafka.py fetch

stage tools
# Where there is no go or no network, the tests that need them say so, each by its name.
tests/deploy/tools.sh || echo "run.sh: goes on without"

if command -v ccache >/dev/null 2>&1; then
    export CMAKE_C_COMPILER_LAUNCHER=ccache CMAKE_CXX_COMPILER_LAUNCHER=ccache
fi
jobs=$(nproc)

for preset in dev bench asan; do
    labels= # all
    [ "$preset" != bench ] || labels='^(unit|samples|fuzz-replay)$'
    stage "$preset: configure"
    cmake --preset "$preset"
    stage "$preset: build"
    cmake --build --preset "$preset" -j "$jobs"
    stage "$preset: test"
    ctest --preset "$preset" -j 4 ${labels:+-L "$labels"} "$@" # most of them wait for others most of the time
done
