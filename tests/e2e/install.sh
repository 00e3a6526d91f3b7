#!/bin/sh
# install.sh: cmake --install puts everything in its place, and the program works from there and from where it is moved.
#
#     install.sh BUILD_FOLDER SAMPLES_PROGRAM
set -eu
build=$1
samples=$2
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

fail() {
    echo "install.sh: $*" >&2
    exit 1
}

# extract PROGRAM NAME: six pictures of six files, started from a folder where nothing lies.
extract() {
    mkdir -p "$folder/elsewhere"
    (cd "$folder/elsewhere" && "$1" extract --DICOMHome "$folder/dicom" --OutputDirectory "$folder/$2") ||
        fail "extract failed with status $? ($2)"
    pictures=$(find "$folder/$2/extracted-images" -name '*.png' | wc -l)
    [ "$pictures" -eq 6 ] || fail "$pictures pictures of six ($2)"
}

"$samples" "$folder/dicom" --only mr >/dev/null
DESTDIR=$folder/stage cmake --install "$build" --prefix /opt/niffler >"$folder/log" || fail "$(cat "$folder/log")"
prefix=$folder/stage/opt/niffler
[ -x "$prefix/bin/niffler-png" ] || fail "no bin/niffler-png"
[ -x "$prefix/libexec/niffler-png-decoder" ] || fail "no libexec/niffler-png-decoder"
[ ! -e "$prefix/bin/niffler-png-samples" ] || fail "the tests' generator is installed"
example=$(find "$prefix/share/doc" -name config.json)
[ -s "$example" ] || fail "no example config.json"
/usr/bin/python3 -m json.tool "$example" >/dev/null || fail "the example is no JSON"
[ -s "$prefix/share/man/man1/niffler-png.1" ] || fail "no man page"
"$prefix/bin/niffler-png" --man | cmp - "$prefix/share/man/man1/niffler-png.1" || fail "another man page than --man"
outside=$(find "$folder/stage" -type f ! -path "$prefix/*")
[ -z "$outside" ] || fail "installed outside the prefix: $outside"

extract "$prefix/bin/niffler-png" staged
mv "$prefix" "$folder/moved"
extract "$folder/moved/bin/niffler-png" moved
ln -s "$folder/moved/bin/niffler-png" "$folder/linked"
extract "$folder/linked" by_link
cmp "$folder/staged/mapping.csv" "$folder/moved/mapping.csv"

# It is its own decoder that was used, none of the build folder: without a working one nothing is extracted.
printf '#!/bin/sh\nexit 1\n' >"$folder/moved/libexec/niffler-png-decoder"
if "$folder/moved/bin/niffler-png" extract --DICOMHome "$folder/dicom" --OutputDirectory "$folder/none" \
    >"$folder/log" 2>&1; then
    fail "extracted with a decoder that does nothing"
fi
echo "installed: $(find "$folder/moved" -type f | wc -l) files"
