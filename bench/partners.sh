#!/bin/sh
# partners.sh: builds the comparison partner of bench/run that Debian does not package, dicom-toimage, by cargo.
#
#     partners.sh [fetch]     build it where it is missing, and say where it is
#     partners.sh where       say where it is; status 1 when it is missing
#
# It goes to $BENCH_PARTNERS, by default ~/.cache/niffler-png-bench. JPEG-LS and JPEG 2000 are features of one of its
# dependencies that it does not pass on, so they are added to a copy of its source. CharLS comes with its crate and needs
# cmake and a C++ compiler.
set -eu

crate=dicom-toimage
version=0.10.1
partners=${BENCH_PARTNERS:-${XDG_CACHE_HOME:-$HOME/.cache}/niffler-png-bench}
program=$partners/$crate-$version/bin/$crate

case ${1:-fetch} in
where)
    [ -x "$program" ] || exit 1
    echo "$program"
    exit 0
    ;;
fetch) ;;
*)
    echo "usage: partners.sh [fetch|where]" >&2
    exit 2
    ;;
esac

if [ -x "$program" ]; then
    echo "$program"
    exit 0
fi
if ! command -v cargo >/dev/null; then
    echo "partners.sh: cargo is missing: https://rustup.rs, or apt-get install cargo where it is 1.85 or newer" >&2
    exit 1
fi

scratch=$(mktemp -d)
trap 'rm -rf -- "$scratch"' EXIT
trap 'exit 3' HUP INT TERM

# A project of nothing but this dependency makes cargo fetch and verify its source, by the registry's checksum.
mkdir -p "$scratch/fetch/src"
: >"$scratch/fetch/src/lib.rs"
printf '[package]\nname = "fetch"\nversion = "0.0.0"\nedition = "2021"\n[dependencies]\n' >"$scratch/fetch/Cargo.toml"
printf '%s = "=%s"\n' "$crate" "$version" >>"$scratch/fetch/Cargo.toml"
(cd "$scratch/fetch" && cargo vendor --quiet "$scratch/vendor" >/dev/null)

cp -R "$scratch/vendor/$crate" "$scratch/source"
rm -f "$scratch/source/.cargo-checksum.json"
sed -i '/^default = \[/,/^\]/ s|^\]|    "dicom-pixeldata/charls",\n    "dicom-pixeldata/openjpeg-sys",\n]|' "$scratch/source/Cargo.toml"
for feature in charls openjpeg-sys; do
    if ! grep -q "\"dicom-pixeldata/$feature\"" "$scratch/source/Cargo.toml"; then
        echo "partners.sh: the source of $crate is not as expected: no list of default features" >&2
        exit 3
    fi
done
(cd "$scratch/source" && CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$scratch/target} cargo build --release --quiet)
mkdir -p "$(dirname "$program")"
cp "${CARGO_TARGET_DIR:-$scratch/target}/release/$crate" "$program.new"
mv "$program.new" "$program"
echo "$program"
