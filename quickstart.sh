#!/bin/sh
# quickstart.sh: from a fresh Debian 12 to PNGs and tables.
#
#     ./quickstart.sh [DICOM_FOLDER [OUTPUT_FOLDER]]
#
# Installs what is missing (as root, or by sudo), builds a release, and extracts DICOM_FOLDER into OUTPUT_FOLDER
# (./niffler-output). Without a folder it first makes a sample data set in ./niffler-samples. What is there already is
# neither installed, built, made nor extracted again. Exit status: that of `niffler-png extract`; the sample data set
# holds broken files on purpose, so that files that fail are a success there.
set -eu

case ${1-} in
-h | --help) sed -n '2,/^set/s/^# \{0,1\}//p' "$0"; exit 0 ;;
-*) echo "quickstart.sh: no such option: '$1'; usage: ./quickstart.sh [DICOM_FOLDER [OUTPUT_FOLDER]]" >&2; exit 2 ;;
esac
if [ $# -gt 2 ]; then
    echo "usage: ./quickstart.sh [DICOM_FOLDER [OUTPUT_FOLDER]]" >&2
    exit 2
fi
if [ $# -gt 0 ] && [ ! -d "$1" ]; then
    echo "quickstart.sh: '$1' is no folder" >&2
    exit 2
fi
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
output=${2:-niffler-output}

"$here/deploy/install-packages.sh" build

# build [TARGET]: says so when there is nothing to do.
build() {
    if [ ! -f "$here/build/release/build.ninja" ]; then
        (cd -- "$here" && cmake --preset release)
    fi
    if ninja -C "$here/build/release" -n "$@" | grep -q 'no work to do'; then
        echo "build (${1:-niffler-png}): up to date"
    else
        ninja -C "$here/build/release" "$@"
    fi
}

build
if [ $# -eq 0 ]; then
    input=niffler-samples
    if [ -d "$input" ]; then
        echo "samples: $input is there"
    else
        build niffler-png-samples
        rm -rf "$input.part"
        "$here/build/release/niffler-png-samples" "$input.part"
        mv "$input.part" "$input"
    fi
else
    input=$1
fi

status=0
"$here/build/release/niffler-png" extract --DICOMHome "$input" --OutputDirectory "$output" || status=$?
if [ "$status" -gt 1 ]; then
    echo "quickstart.sh: the extraction ended with exit status $status" >&2
    exit "$status"
fi

place=$(CDPATH='' cd -- "$output" && pwd)
pictures=$(find "$place/extracted-images" -type f -name '*.png' 2>/dev/null | wc -l)
failed=$(find "$place/failed-dicom" -type f 2>/dev/null | wc -l)
echo
echo "read:      $(find -L "$input" -type f | wc -l) files of $(CDPATH='' cd -- "$input" && pwd)"
echo "pictures:  $pictures PNG files in $place/extracted-images"
echo "tables:    $place/metadata.csv (all attributes), mapping.csv (DICOM file to PNG)"
if [ $# -eq 0 ]; then
    echo "failed:    $failed files, broken on purpose; why: $place/failures.csv"
    status=0
else
    echo "failed:    $failed files; why: $place/failures.csv"
fi
echo "program:   $here/build/release/niffler-png --help"
exit "$status"
