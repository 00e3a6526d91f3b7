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
repository=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
# shellcheck source=deploy/local/common.sh
. "$repository/deploy/local/common.sh"
output=${2:-niffler-output}

"$repository/deploy/install-packages.sh" build

build
if [ $# -eq 0 ]; then
    input=niffler-samples
    make_samples "$input"
else
    input=$1
fi

status=0
"$repository/build/release/niffler-png" extract --DICOMHome "$input" --OutputDirectory "$output" || status=$?
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
echo "program:   $repository/build/release/niffler-png --help"
exit "$status"
