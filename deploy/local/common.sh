# shellcheck shell=sh
# common.sh: what quickstart.sh and deploy/local/fleet.sh share; to be sourced, with $repository set.

# build [TARGET]: a release; says so when there is nothing to do.
build() {
    if [ ! -f "${repository:?}/build/release/build.ninja" ]; then
        (cd -- "$repository" && cmake --preset release)
    fi
    if ninja -C "$repository/build/release" -n "$@" | grep -q 'no work to do'; then
        echo "build (${1:-niffler-png}): up to date"
    else
        ninja -C "$repository/build/release" "$@"
    fi
}

# make_samples FOLDER: the sample data set, unless it is there.
make_samples() {
    if [ -d "$1" ]; then
        echo "samples: $1 is there"
        return
    fi
    build niffler-png-samples
    rm -rf "$1.part"
    "$repository/build/release/niffler-png-samples" "$1.part"
    mv "$1.part" "$1"
}
