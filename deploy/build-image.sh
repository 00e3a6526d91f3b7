#!/bin/sh
# build-image.sh: builds the image of deploy/Dockerfile from this clone, with its labels and dates.
#
#     deploy/build-image.sh [TAG] [OPTION...]      such as niffler-png:1 --build-arg BASE=debian@sha256:...
#
# TAG is niffler-png:VERSION unless it is given. Options are docker build's (or podman's). ENGINE names the program: docker,
# or podman where there is no docker. Two builds of one commit have the same layers, whenever and wherever they are made,
# while the base and its packages are the same.
set -eu
cd -- "$(dirname -- "$0")/.."

version=$(sed -n 's/^project(niffler-png VERSION \([0-9.]*\).*/\1/p' CMakeLists.txt)
tag=niffler-png:$version
case ${1-} in
-h | --help) sed -n '2,/^set/s/^# \{0,1\}//p' deploy/build-image.sh; exit 0 ;;
'' | -*) ;;
*) tag=$1; shift ;;
esac
engine=${ENGINE-}
if [ -z "$engine" ]; then
    engine=docker
    command -v docker >/dev/null 2>&1 || engine=podman
fi

# What is not committed has no revision; a tree without history (a release's archive) has the dates that it is given.
revision=$(git rev-parse HEAD 2>/dev/null || echo unknown)
[ -z "$(git status --porcelain 2>/dev/null)" ] || revision=$revision-modified
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}
created=$(date -u -d "@$SOURCE_DATE_EPOCH" +%Y-%m-%dT%H:%M:%SZ)
# Where others find the sources, too; no password of a remote may become a label.
source=$(git config --get remote.origin.url 2>/dev/null | sed -n 's,^https://\([^/@]*@\)\{0,1\},https://,p' || true)

set -- -f deploy/Dockerfile -t "$tag" --build-arg "SOURCE_DATE_EPOCH=$SOURCE_DATE_EPOCH" --build-arg "VERSION=$version" \
    --build-arg "REVISION=$revision" --build-arg "CREATED=$created" --build-arg "SOURCE=$source" "$@" .
# Podman's own format, OCI's, has no HEALTHCHECK and SHELL.
[ "$(basename -- "$engine")" != podman ] || set -- --format docker --timestamp "$SOURCE_DATE_EPOCH" "$@"
# The builder of old engines knows no RUN --mount unless it is asked for.
DOCKER_BUILDKIT=1 exec "$engine" build "$@"
