#!/bin/sh
# check_format.sh: every source is laid out as .clang-format says; every script passes shellcheck.
#
#     check_format.sh ROOT c|sh
set -eu
cd -- "$1"
case $2 in
c)
    find ./*.c ./*.h common producer worker aggregator tests bench \( -name '*.c' -o -name '*.h' -o -name '*.cc' \) \
        ! -name dictionary_table.c -print0 | xargs -0 clang-format --dry-run -Werror
    ;;
sh)
    find .ci deploy tests bench ./*.sh -type f \( -name '*.sh' -o -name '*.sbatch' -o -path '.ci/run' \) -print0 | xargs -0 shellcheck
    ;;
*)
    echo "usage: check_format.sh ROOT c|sh" >&2
    exit 2
    ;;
esac
