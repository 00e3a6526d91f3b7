#!/bin/sh
# fleet.sh: a whole fleet on this machine: a Kafka broker, Redis, a mail server, an aggregator, two workers and a producer.
#
#     deploy/local/fleet.sh [DICOM_FOLDER]
#
# Installs what is missing (as root, or by sudo), builds a release, starts everything, converts DICOM_FOLDER and shows how
# that goes. Without a folder it takes the sample data set of quickstart.sh, which it makes in ./niffler-samples; some of its
# files are broken on purpose. The outputs are left in ./niffler-output-fleet; everything that was started is ended. Run again,
# it goes on with a job that was interrupted. Exit status: 0 done; 1 done, and files failed (of a folder that was named); else
# something did not work.
set -eu

case ${1-} in
-h | --help) sed -n '2,/^set/s/^# \{0,1\}//p' "$0"; exit 0 ;;
-*) echo "fleet.sh: no such option: '$1'; usage: deploy/local/fleet.sh [DICOM_FOLDER]" >&2; exit 2 ;;
esac
if [ $# -gt 1 ]; then
    echo "usage: deploy/local/fleet.sh [DICOM_FOLDER]" >&2
    exit 2
fi
if [ $# -gt 0 ] && [ ! -d "$1" ]; then
    echo "fleet.sh: '$1' is no folder" >&2
    exit 2
fi
repository=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd)
# shellcheck source=deploy/local/common.sh
. "$repository/deploy/local/common.sh"
program=$repository/build/release/niffler-png
services=$repository/tests/services

"$repository/deploy/install-packages.sh" build local
"$services/kafka.py" fetch
build
[ $# -gt 0 ] || make_samples niffler-samples
input=$(CDPATH='' cd -- "${1:-niffler-samples}" && pwd)
mkdir -p niffler-output-fleet
root=$(CDPATH='' cd -- niffler-output-fleet && pwd)
name=$(basename -- "$input")
output=$root/$name
logs=$root/logs
mkdir -p "$logs" "$root/state"

# ---- what is started, and how it is ended ----

place=$(mktemp -d)
started=
fail() {
    echo "fleet.sh: $*" >&2
    exit 3
}

# The newest first: workers and aggregator end in peace while the broker is still there.
# shellcheck disable=SC2317 # the trap calls it
finish() {
    status=$?
    trap - EXIT INT TERM HUP
    for pid in $started; do
        kill "$pid" 2>/dev/null || continue
        wait "$pid" 2>/dev/null || true
    done
    rm -rf "$place"
    exit "$status"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# Services run until their standard input ends: also when this script is killed, since it alone holds the other end.
mkfifo "$place/alive"
exec 4<>"$place/alive"

# serve NAME COMMAND...: start a service, and wait for the line that says where it is.
serve() {
    service=$1
    shift
    "$@" <"$place/alive" >"$place/$service.line" 2>"$logs/$service.log" 4>&- &
    started="$! $started"
    waited=0
    while [ ! -s "$place/$service.line" ]; do
        kill -0 $! 2>/dev/null || fail "$service does not start: see $logs/$service.log"
        [ "$waited" -lt 1200 ] || fail "$service is not ready after two minutes: see $logs/$service.log"
        waited=$((waited + 1))
        sleep 0.1
    done
    address=$(head -n 1 "$place/$service.line")
    echo "$service: $address"
}

# role NUMBER COMMAND...: start a process of the fleet, and one that ends it when this script is killed.
role() {
    number=$1
    shift
    "$program" "$@" >"$logs/$1-$number.log" 2>&1 4>&- &
    pid=$!
    { read -r _ <"$place/alive" || kill "$pid"; } 2>/dev/null 4>&- &
    started="$! $pid $started"
}

# ---- the fleet ----

mkdir "$place/kafka" "$place/redis" "$place/smtp"
serve kafka "$services/kafka.py" run "$place/kafka"
export NIFFLER_KAFKA_BROKERS="$address"
serve redis "$services/redis.py" run "$place/redis"
export NIFFLER_REDIS_URL="$address"
serve smtp /usr/bin/python3 "$services/smtp_sink.py" "$place/smtp"
smtp=smtp://127.0.0.1:$address
export NIFFLER_INPUT_ROOT="$input" NIFFLER_OUTPUT_ROOT="$root"

# An interrupted run left its job open: what is still to do is sent to the new broker.
set -- --DICOMHome "$input" --OutputDirectory "$output" --YourEmail you@example.org \
    --create-topics --partitions 4 --replication 1
if [ -s "$output/.niffler-png/open" ]; then
    set -- "$@" --resume "$(cat "$output/.niffler-png/open")"
fi
job=$("$program" produce "$@" 4>&-) || fail "the producer failed"
echo "job: $job"
role 1 aggregate --StateDirectory "$root/state" --SmtpUrl "$smtp" --SmtpStartTls off --MailFrom fleet@example.org
role 1 work --MetricsListen 127.0.0.1:0
role 2 work --MetricsListen 127.0.0.1:0

# Until the aggregator has read of the job, nobody can show it.
waited=0
until "$program" status "$job" >"$logs/status.log" 2>&1 4>&-; do
    [ "$waited" -lt 600 ] || fail "the aggregator does not know the job after a minute: see $logs"
    waited=$((waited + 1))
    sleep 0.1
done
"$program" status "$job" --watch 4>&- || fail "the job cannot be watched: see $logs"
waited=0
while [ -e "$output/.niffler-png/open" ]; do
    [ "$waited" -lt 100 ] || fail "the job is not complete: see $logs"
    waited=$((waited + 1))
    sleep 0.1
done

"$program" status "$job" >"$logs/status.log" 2>&1 4>&- || fail "the job cannot be shown: see $logs"
grep -q '^state  *complete$' "$logs/status.log" || fail "the job is over and not complete: see $logs/status.log"

# The e-mail leaves when the job is complete.
waited=0
while [ ! -s "$place/smtp/1.eml" ] && [ "$waited" -lt 100 ]; do
    waited=$((waited + 1))
    sleep 0.1
done
[ ! -s "$place/smtp/1.eml" ] || cp "$place/smtp/1.eml" "$root/$name.eml"

pictures=$(find "$output/extracted-images" -type f -name '*.png' 2>/dev/null | wc -l)
failed=$(find "$output/failed-dicom" -type f 2>/dev/null | wc -l)
status=0
[ "$failed" -eq 0 ] || status=1
echo
echo "outputs:   $output"
echo "read:      $(find -L "$input" -type f | wc -l) files of $input"
echo "pictures:  $pictures PNG files in $output/extracted-images"
echo "tables:    $output/metadata.csv (all attributes), mapping.csv (DICOM file to PNG)"
if [ "$name" = niffler-samples ]; then
    echo "failed:    $failed files, broken on purpose; why: $output/failures.csv"
    status=0
else
    echo "failed:    $failed files; why: $output/failures.csv"
fi
[ ! -s "$root/$name.eml" ] || echo "e-mail:    $root/$name.eml"
echo "logs:      $logs"
exit "$status"
