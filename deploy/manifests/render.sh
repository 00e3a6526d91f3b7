#!/bin/sh
# render.sh: writes the plain manifests from the chart and values.yaml.
#
#     deploy/manifests/render.sh [--check] [HELM]     --check: only say whether they are current. HELM: the program, if not helm
#
# base/ is what every cluster takes; keda/ adds the scaling on the lag of the tasks, for a cluster with KEDA; produce/ is a
# job, whose folders are to be filled in. All three are for kubectl apply --kustomize.
set -eu
target=.
if [ "${1-}" = --check ]; then
    shift
    target=$(mktemp -d)
    trap 'rm -rf "$target"' EXIT
fi
helm=$(command -v "${1:-helm}") || { echo "render.sh: there is no ${1:-helm}" >&2; exit 3; }
helm=$(realpath -- "$helm")
cd -- "$(dirname -- "$0")"
mkdir -p "$target/base" "$target/keda" "$target/produce"

# render FILE OPTION...
render() {
    file=$1
    shift
    rendered=$("$helm" template niffler-png ../helm/niffler-png --namespace niffler-png --values values.yaml --skip-tests "$@")
    {
        echo "# Rendered from deploy/helm/niffler-png by deploy/manifests/render.sh: change the chart or values.yaml, not this."
        # What is helm's alone is no use here.
        printf '%s\n' "$rendered" | sed -e '/helm\.sh\/chart:/d' -e 's/managed-by: "Helm"/managed-by: "kustomize"/'
    } >"$target/$file"
}

render base/niffler-png.yaml
render keda/scaledobject.yaml --set keda.enabled=true --show-only templates/scaling.yaml
render produce/job.yaml --set producer.enabled=true,producer.name=first,producer.input=FOLDER,producer.output=FOLDER \
    --show-only templates/producer.yaml

[ "$target" != . ] || exit 0
for file in base/niffler-png.yaml keda/scaledobject.yaml produce/job.yaml; do
    cmp "$target/$file" "$file" || { echo "render.sh: run deploy/manifests/render.sh" >&2; exit 1; }
done
