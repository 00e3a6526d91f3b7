#!/bin/sh
# compress.sh: makes compressed variants of the samples, with DCMTK's and OpenJPEG's own encoders.
#
#     compress.sh SOURCE_FOLDER OUTPUT_FOLDER
#
# SOURCE_FOLDER is what niffler-png-samples wrote. The files go to OUTPUT_FOLDER/<encoding>/<sample>.dcm, where the
# sample's name tells its source in the table below. Encoders differ between versions, so these bytes are not fixed as
# the samples' are; lossless ones must decode to the source's pixels. Ends with status 1 when an encoder refuses.
set -eu

if [ $# -ne 2 ] || [ ! -d "$1" ]; then
    echo "usage: compress.sh SOURCE_FOLDER OUTPUT_FOLDER" >&2
    exit 2
fi
source=$1
output=$2
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
count=0

path_of() {
    case $1 in
    ct)        echo "PAT0001/CT_CHEST_20240311/S0002_AXIAL/IM0001.dcm" ;;
    ct_signed) echo "PAT0001/CT_CHEST_20240311/S0003_AXIAL_SIGNED/IM0001.dcm" ;;
    mr)        echo "PAT0002/MR_HEAD_20240514/S0001_T1/IM0001.dcm" ;;
    dx)        echo "PAT0004/DX_HAND_20240702/S0001_PA/IM0001.dcm" ;;
    us)        echo "PAT0003/US_ABDOMEN_20240603/S0001_RGB_BY_PIXEL/IM0001.dcm" ;;
    us_plane)  echo "PAT0003/US_ABDOMEN_20240603/S0002_RGB_BY_PLANE/IM0001.dcm" ;;
    us_cine)   echo "PAT0003/US_ABDOMEN_20240603/S0004_RGB_CINE/IM0001.dcm" ;;
    palette)   echo "PAT0003/US_PALETTE_20240604/S0001_PALETTE/IM0001.dcm" ;;
    grey8)     echo "PAT0004/OT_DEPTHS_20240705/S0001_INTEGER/IM0001.dcm" ;;
    grey10)    echo "PAT0004/OT_DEPTHS_20240705/S0001_INTEGER/IM0003.dcm" ;;
    grey16)    echo "PAT0004/OT_DEPTHS_20240705/S0001_INTEGER/IM0005.dcm" ;;
    *)         echo "compress.sh: no sample named '$1'" >&2; exit 2 ;;
    esac
}

# make ENCODING "SAMPLE..." COMMAND...: the command gets the source and the output file as its last two arguments.
make() {
    encoding=$1
    samples=$2
    shift 2
    mkdir -p "$output/$encoding"
    for sample in $samples; do
        if ! "$@" "$source/$(path_of "$sample")" "$output/$encoding/$sample.dcm" >"$output/encoder.log" 2>&1; then
            echo "compress.sh: '$*' refuses the sample '$sample':" >&2
            cat "$output/encoder.log" >&2
            exit 1
        fi
        count=$((count + 1))
    done
}

# encapsulate ENCODING [--fragments N] SOURCE OUTPUT, in the order that make() calls it.
encapsulate() {
    if [ "$2" = --fragments ]; then
        /usr/bin/python3 "$here/encapsulate.py" "$4" "$5" "$1" --fragments "$3"
    else
        /usr/bin/python3 "$here/encapsulate.py" "$2" "$3" "$1"
    fi
}

mkdir -p "$output"
make implicit_little    "ct us dx"                         dcmconv +ti
make explicit_big       "ct us_plane grey8"                dcmconv +tb
make deflated           "ct us_cine"                       dcmconv +td
make rle                "ct ct_signed us us_cine grey8 palette" dcmcrle
make jpeg_lossless_sv1  "ct ct_signed mr dx us grey16 palette"  dcmcjpeg +e1
make jpeg_lossless      "ct mr us grey8"                   dcmcjpeg +el +sv 6
make jpeg_fragments     "us_cine mr"                       dcmcjpeg +e1 +fs 8
make jpeg_baseline      "us us_cine grey8"                 dcmcjpeg +eb
make jpeg_baseline_444  "us"                               dcmcjpeg +eb +s4
make jpeg_extended_12   "mr dx"                            dcmcjpeg +ee
make jpeg_spectral      "mr us"                            dcmcjpeg +es
make jpeg_progressive   "mr us"                            dcmcjpeg +ep
make jpegls             "ct ct_signed mr us grey8 grey16"  dcmcjpls +el
make jpegls_near        "mr us grey10"                     dcmcjpls +en +md 2
make j2k_lossless       "ct ct_signed mr us us_plane us_cine grey8 grey10 grey16 palette" encapsulate j2k-lossless
make j2k_lossy          "ct ct_signed mr us dx"            encapsulate j2k-lossy
make j2k_fragments      "mr us_cine"                       encapsulate j2k-lossless --fragments 3
make encapsulated       "ct us_cine"                       encapsulate uncompressed
rm -f "$output/encoder.log"
echo "$count files in $output"
