#!/bin/sh
# install-packages.sh: installs the Debian packages that are missing.
#
#     deploy/install-packages.sh GROUP...
#
#     build   what compiling niffler-png needs
#     test    what tests/run.sh needs besides
#     local   what deploy/local/fleet.sh needs besides: Redis, a mail server and what runs a Kafka broker
#     bench   what the benchmarks need besides: the programs to compare with
#     deploy  what the tests of the deployment need besides: an engine for containers, and what makes images without a registry
#
# Installs as root, or by sudo. When nothing is missing it asks the package database only: no network, no rights.
set -eu

build="build-essential cmake ninja-build pkg-config libdcmtk-dev libopenjp2-7-dev libjxl-dev libjpeg62-turbo-dev libpng-dev zlib1g-dev
       libdeflate-dev libjansson-dev libsqlite3-dev libcurl4-openssl-dev libssl-dev librdkafka-dev libhiredis-dev libmicrohttpd-dev libseccomp-dev"
if ! command -v dpkg >/dev/null 2>&1; then
    echo "install-packages.sh: this is not Debian: install the packages named in deploy/install-packages.sh by hand" >&2
    exit 2
fi
test="python3 python3-numpy python3-png python3-aiosmtpd libcmocka-dev libcharls-dev dcmtk libopenjp2-tools libjxl-tools openjph-tools
      libjpeg-turbo-progs shellcheck clang-format clang-tidy cppcheck mandoc openssl ccache kcat curl prometheus python3-yaml sqlite3"
local="python3 python3-aiosmtpd redis-server"
# Whatever runs Kafka's jars and fetches them will do, and need not be Debian's.
command -v java >/dev/null 2>&1 || local="$local openjdk-17-jre-headless"
command -v mvn >/dev/null 2>&1 || local="$local maven"
test="$test $local"
deploy="docker.io iptables mmdebstrap python3-venv"
bench="dcmtk python3 python3-numpy python3-png libpng-tools libopenjp2-tools libjxl-tools openjph-tools libjpeg-turbo-progs
    linux-perf"
deploy="$deploy slurm-wlm munge"

[ $# -gt 0 ] || set -- help
wanted=
for group in "$@"; do
    case $group in
    build) wanted="$wanted $build" ;;
    test) wanted="$wanted $test" ;;
    local) wanted="$wanted $local" ;;
    bench) wanted="$wanted $bench" ;;
    deploy) wanted="$wanted $deploy" ;;
    *) echo "usage: deploy/install-packages.sh build|test|local|bench|deploy..." >&2; exit 2 ;;
    esac
done

missing=
for package in $wanted; do
    state=$(dpkg-query -W -f '${db:Status-Abbrev}' "$package" 2>/dev/null || true)
    case $state in
    ?i*) ;;
    *) missing="$missing $package" ;;
    esac
done
if [ -z "$missing" ]; then
    echo "packages ($*): nothing is missing"
    exit 0
fi

if [ "$(id -u)" -eq 0 ]; then
    as_root=
elif command -v sudo >/dev/null 2>&1; then
    as_root=sudo
else
    echo "install-packages.sh: these packages are missing, and installing them takes root or sudo:$missing" >&2
    exit 3
fi

# The lists of a fresh system are empty, and those of an old one may not know a package.
in_lists() {
    for package in $missing; do
        apt-cache show "$package" >/dev/null 2>&1 || return 1
    done
}

# $as_root is one word or none, $missing a list of words: both are to be split.
install_missing() {
    # shellcheck disable=SC2086
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $missing
}

echo "packages ($*): installing$missing"
if in_lists && install_missing; then
    exit 0
fi
# Lists that are too old name files that have gone from the mirrors.
$as_root apt-get update
install_missing
