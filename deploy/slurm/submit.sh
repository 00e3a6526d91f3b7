#!/bin/sh
# submit.sh: submits niffler-png to Slurm: without a broker, or as workers of one.
#
#     deploy/slurm/submit.sh slices  [-n COUNT] [-c CPUS] [SBATCH_OPTION...] -- --config FILE [--Key VALUE]...
#     deploy/slurm/submit.sh workers [-n COUNT] [-c CPUS] [SBATCH_OPTION...] -- --config FILE [--Key VALUE]...
#
#     slices    an array over slices of the data set, and behind it the job that merges them into the tables
#     workers   an array of workers, which serve the jobs of `niffler-png produce` until they are cancelled
#
# COUNT is the number of tasks, by default as many as have room on all CPUs of the partition at once; the cluster's MaxArraySize
# bounds it. CPUS (4) is the number of decoders of a task. It gets DecoderMemory for each, and 1 GB. SBATCH_OPTIONs, such as
# --partition=NAME or --time=4:00:00, go to sbatch as they are, with "=": they overrule what is chosen here, but for --array.
#
# Prints the number of the array's job, and of the merge's. NIFFLER_PROGRAM names the program; else it is looked for in PATH.
set -eu

fail() {
    echo "submit.sh: $*" >&2
    exit 2
}

usage() {
    sed -n '3,5p' -- "$0" | sed 's/^#//' >&2
    exit 2
}

[ $# -gt 0 ] || usage
shape=$1
shift
case $shape in slices | workers) ;; *) usage ;; esac

# shellcheck disable=SC2034 # used where an evaluation is
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
program=${NIFFLER_PROGRAM:-niffler-png}
count=
cpus=4
sbatch_options=
partition=
quoted() {
    printf "'%s' " "$(printf '%s' "$1" | sed "s/'/'\\\\''/g")"
}
while [ $# -gt 0 ] && [ "$1" != -- ]; do
    case $1 in
    -n | -c)
        case ${2:-} in '' | *[!0-9]* | 0*) fail "$1 takes a whole number from 1" ;; esac
        if [ "$1" = -n ]; then count=$2; else cpus=$2; fi
        shift
        ;;
    --array*) fail "the array is made here: -n COUNT says how many tasks it has" ;;
    --partition=*)
        partition=$1
        sbatch_options="$sbatch_options$(quoted "$1")"
        ;;
    -*) sbatch_options="$sbatch_options$(quoted "$1")" ;;
    *) fail "'$1' is no option of sbatch: write its value behind '=', and niffler-png's flags behind --" ;;
    esac
    shift
done
[ $# -gt 1 ] || usage
shift

# setting KEY: its value as niffler-png will see it. Wrong settings are found here, not in a thousand tasks.
settings=$("$program" extract --show-settings "$@") || exit 2
setting() {
    printf '%s\n' "$settings" | sed -n "s/^$1 = \\(.*\\)  (from .*/\\1/p"
}

megabytes=$(setting DecoderMemory | awk -v cpus="$cpus" '
    /G$/ { factor = 1024 } /M$/ { factor = 1 } /K$/ { factor = 1 / 1024 } /[0-9]$/ { factor = 1 / 1048576 }
    { memory = $1 * factor * cpus + 1024; print int(memory) + (memory > int(memory)) }')
[ -n "$megabytes" ] || fail "DecoderMemory is not known: is '$program' niffler-png?"

# Before the time limit: what has been begun is finished.
if [ "$shape" = workers ]; then
    grace=$(($(setting DrainSeconds) + 60))
else
    grace=$(($(setting DecoderSeconds) + 60))
fi

largest=$(scontrol show config | awk '$1 == "MaxArraySize" { print $3 }')
case $largest in '' | *[!0-9]*) fail "scontrol does not say MaxArraySize: is Slurm's controller up?" ;; esac
[ "$largest" -gt 0 ] || fail "this cluster has no job arrays (MaxArraySize=0)"
if [ -z "$count" ]; then
    # Allocated, idle, other and all CPUs; the default partition has an asterisk behind its name.
    all=$(sinfo -h ${partition:+"$partition"} -o '%P %C' | awk -v given="$partition" '
        given != "" || $1 ~ /\*$/ { split($2, cpus, "/"); sum += cpus[4] } END { print sum + 0 }')
    count=$((all / cpus))
    [ "$count" -gt 0 ] || count=1
fi
if [ "$count" -gt "$largest" ]; then
    echo "submit.sh: an array of this cluster has at most $largest tasks (MaxArraySize): $largest, not $count" >&2
    count=$largest
fi

# submit WHAT SBATCH_ARGUMENT...: prints the job's number. Behind the number may stand the cluster's name.
submit() {
    what=$1
    shift
    job=$(sbatch --parsable "$@") || { echo "submit.sh: sbatch refused the $what" >&2; exit 3; }
    printf '%s\n' "${job%%;*}"
}

# $sbatch_options is quoted above, for these two evaluations; "$@" are niffler-png's flags.
if [ "$shape" = slices ]; then task="slice $count"; else task=work; fi
array='' merge=''
eval "array=\$(submit array --array=0-$((count - 1)) --cpus-per-task=$cpus --mem=${megabytes}M --signal=B:USR1@$grace \
    $sbatch_options \"\$here/task.sbatch\" $task \"\$@\")"
echo "array: $array ($count tasks, $cpus decoders and $megabytes MB each)"
if [ "$shape" = slices ]; then
    eval "merge=\$(submit merge $sbatch_options --dependency=afterany:$array --cpus-per-task=1 --mem=2048M \
        \"\$here/merge.sbatch\" $count \"\$@\")"
    echo "merge: $merge"
fi
