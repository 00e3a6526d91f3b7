#!/bin/sh
# check_headers.sh: each header compiles alone, as C, and those of the decoder as C++ too where they promise it.
#
#     check_headers.sh ROOT C_COMPILER CXX_COMPILER
set -eu
root=$1
c=$2
cxx=$3
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
failed=0
count=0

# try LANGUAGE COMPILER STANDARD HEADER
try() {
    printf '#include "%s"\nint niffler_alone;\n' "$4" >"$folder/alone.$1"
    if ! "$2" "$3" -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -I"$root" -Wall -Wextra -Wshadow -Wundef -Werror \
        -fsyntax-only "$folder/alone.$1" 2>"$folder/messages"; then
        echo "$4 does not compile alone ($1):"
        cat "$folder/messages"
        failed=1
    fi
    count=$((count + 1))
}

cd -- "$root"
for header in *.h common/*.h producer/*.h worker/*.h worker/decoder/*.h worker/decoder/*/*.h aggregator/*.h tests/samples/*.h; do
    try c "$c" -std=c11 "$header"
    if grep -q '__cplusplus' "$header"; then
        try cc "$cxx" -std=c++17 "$header"
    fi
done
if [ "$count" -lt 40 ]; then
    echo "only $count headers: where are they?"
    exit 1
fi
exit "$failed"
