#!/bin/sh
# run.sh: runs the fuzz targets under libFuzzer, and sums up what came of it.
#
#     tests/fuzz/run.sh [TARGET...] [--seconds N] [--more FOLDER]
#
# TARGET is the NAME of a fuzz_target() in tests/fuzz.cmake; none: all, those of our own code first. N is the CPU time of
# each, 1200 unless given. Inputs found and what failed are kept in build/fuzz/found/TARGET, where the next run
# goes on; the table counts time and executions from the first run on. FOLDER holds DICOM files that join the corpora. A
# failure does not end a run: the last column counts them, and build/fuzz/found/TARGET/failed has the inputs, to be taken
# away once they are mended. Ends with status 1 if there are any.
set -eu

cd "$(dirname -- "$0")/../.."
all="png jpeg_lossless jpegls rle dicom image render pool wire metadata messages files csv tables settings jpeg jpeg2000 jpegxl"
targets=
seconds=1200
more=
while [ $# -gt 0 ]; do
    case $1 in
    --seconds) seconds=$2; shift ;;
    --more) more=$2; shift ;;
    -*) sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
    *) targets="$targets $1" ;;
    esac
    shift
done
[ -n "$targets" ] || targets=$all
build=build/fuzz
found=$build/found
mkdir -p "$found"
cmake --preset fuzz >"$found/build.log"
cmake --build --preset fuzz --target niffler-png-samples >>"$found/build.log"
for target in $targets; do
    cmake --build --preset fuzz --target "fuzz_$target" >>"$found/build.log"
done
/usr/bin/python3 tests/fuzz/make_corpus.py $build/niffler-png-samples "$found/corpus" ${more:+"$more"} >>"$found/build.log"

# limits_of TARGET: the longest input, and the seconds one may take.
limits_of() {
    case $1 in
    png) echo "-max_len=2048 -timeout=60" ;;
    messages | settings | files | csv | tables) echo "-max_len=4096 -timeout=25" ;;
    dicom | image | metadata | wire | pool) echo "-max_len=24576 -timeout=25" ;;
    jpeg2000 | jpegxl) echo "-max_len=8192 -timeout=60" ;;
    *) echo "-max_len=8192 -timeout=25" ;;
    esac
}

# CPU seconds of the children so far.
used() {
    awk -v hertz="$(getconf CLK_TCK)" '{ printf "%d", ($16 + $17) / hertz }' "/proc/$$/stat"
}

# In a process of its own (fork), so that a failure costs the input that made it, and no more.
run_for() {
    # What asks for more than the decoder is allowed gets nothing, as there.
    # shellcheck disable=SC2046
    ASAN_OPTIONS=quarantine_size_mb=16:allocator_may_return_null=1:max_allocation_size_mb=1024 nice -n 19 "$found/$1/program" \
        -fork=1 -ignore_crashes=1 -ignore_timeouts=1 -ignore_ooms=1 -rss_limit_mb=2048 -malloc_limit_mb=1000000 \
        -artifact_prefix="$found/$1/failed/" -max_total_time="$2" $(limits_of "$1") "$found/$1/inputs" "$found/$1/corpus" \
        >>"$found/$1/log" 2>&1 || true
}

failures=0
printf '%-14s %8s %8s %12s %8s %8s %7s %s\n' target 'CPU s' 'in all' executions edges features inputs 'crashes/timeouts/memory'
for target in $targets; do
    mkdir -p "$found/$target/inputs" "$found/$target/failed"
    # Copies, so that a build or another run.sh meanwhile changes nothing.
    cp "$build/tests/fuzz_$target" "$found/$target/program"
    rm -rf "$found/$target/corpus"
    mkdir "$found/$target/corpus"
    for corpus in "$found/corpus/$target" "tests/fuzz/corpus/$target"; do
        [ ! -d "$corpus" ] || cp -r "$corpus/." "$found/$target/corpus"
    done
    : >"$found/$target/log"
    start=$(used)
    spent=0
    executions=0
    # libFuzzer counts by the clock: on a busy machine that is less of the processor. Each start costs a look at all
    # inputs, which is not worth a last tenth.
    while [ $(((seconds - spent) * 10)) -gt "$seconds" ]; do
        run_for "$target" $((seconds - spent))
        now=$(($(used) - start))
        [ "$now" -gt "$spent" ] || break
        spent=$now
        executions=$(sed -n 's/^#\([0-9]*\): cov: .*/\1/p' "$found/$target/log" | awk '$1 < last { sum += last } { last = $1 } END { print sum + last }')
    done
    if [ -f "$found/$target/before" ]; then
        read -r seconds_before executions_before <"$found/$target/before"
    else
        seconds_before=0 executions_before=0
    fi
    in_all=$((seconds_before + spent))
    executions=$((executions_before + executions))
    echo "$in_all $executions" >"$found/$target/before"
    kept=$(find "$found/$target/inputs" -type f | wc -l)
    failed=$(find "$found/$target/failed" -type f -name '*-*' | wc -l)
    failures=$((failures + failed))
    kinds=$(for kind in crash timeout oom; do find "$found/$target/failed" -name "$kind-*" | wc -l; done | tr '\n' '/')
    # What all inputs reach together; while it forks, libFuzzer counts otherwise.
    edges=$("$found/$target/program" -runs=0 "$found/$target/inputs" "$found/$target/corpus" 2>&1 |
        sed -n 's/^#[0-9]*.*DONE *cov: \([0-9]*\) ft: \([0-9]*\) .*/\1 \2/p')
    # shellcheck disable=SC2086
    printf '%-14s %8s %8s %12s %8s %8s %7s %s\n' "$target" "$spent" "$in_all" "$executions" ${edges:-0 0} "$kept" "${kinds%/}"
done
[ "$failures" -eq 0 ]
