#!/bin/sh
# cluster.sh: the chart and the manifests in a real control plane (control_plane.sh), whose namespace enforces pod security
# "restricted": accepted without a warning, installed, tested, upgraded, rolled back, evicted from, uninstalled.
#
#     tests/deploy/cluster.sh
#
# Says what it has seen, a line each. Exit status 77 where the tools cannot be made: the first time takes a quarter of an hour.
set -eu
here=$(cd -- "$(dirname -- "$0")" && pwd)
# shellcheck source=tests/deploy/control_plane.sh
. "$here/control_plane.sh"
chart=$root/deploy/helm/niffler-png

command -v kubectl >/dev/null 2>&1 || { echo "skipped: there is no kubectl"; exit 77; }
skip_without helm schemas cluster
# dry_run: what the API server says of the manifests on standard input
dry_run() {
    kubectl apply --namespace fleet --server-side --dry-run=server --validate=strict -f - 2>&1
}

# refused WHAT WORDS: standard input is not taken as it is, and the API server says WORDS
refused() {
    if dry_run >"$work/said"; then
        grep -q "$2" "$work/said" || die "taken: $1"
    else
        grep -q "$2" "$work/said" || die "$1: refused for another reason: $(cat "$work/said")"
    fi
    say "seen: $1: $(grep -o "$2.*" "$work/said" | head -1 | cut -c 1-150)"
}

# worker_field JSONPATH
worker_field() {
    kubectl --namespace fleet get deployment fleet-niffler-png-worker -o "jsonpath=$1"
}

replicas_ready() {
    [ "$(worker_field '{.status.readyReplicas}/{.status.replicas}/{.status.updatedReplicas}')" = "$1/$1/$1" ]
}

control_plane_up
namespace_up fleet

# ---- what the API server says ----

for values in "$here"/values/*.yaml; do
    # Strimzi's definitions are not to be had; its namespace is not there either. The pod of `helm test` wants a service account
    # that is there: it runs below.
    helm template fleet "$chart" --namespace fleet --skip-tests --values "$values" --set strimzi.topics=false,strimzi.users=false >"$work/rendered"
    dry_run <"$work/rendered" >"$work/said" || die "$(basename "$values"): $(cat "$work/said")"
    ! grep -i warning "$work/said" || die "$(basename "$values"): a warning"
    say "dry run, restricted: $(basename "$values"): $(grep -c 'serverside-applied' "$work/said") objects"
done
for folder in base keda produce; do
    kubectl kustomize "$root/deploy/manifests/$folder" | sed 's/namespace: niffler-png/namespace: fleet/' >"$work/rendered"
    dry_run <"$work/rendered" >"$work/said" || die "manifests/$folder: $(cat "$work/said")"
    ! grep -i warning "$work/said" || die "manifests/$folder: a warning"
    say "dry run, restricted: manifests/$folder: $(grep -c 'serverside-applied' "$work/said") objects"
done
[ "$(kubectl kustomize "$root/deploy/manifests/keda" | awk '/^kind:/ { kind = $2 } /^  replicas:/ { print kind }')" = StatefulSet ] ||
    die "keda/ gives the number of workers"

helm template fleet "$chart" --namespace fleet --skip-tests --values "$here/values/tls.yaml" --set strimzi.users=false >"$work/rendered"
sed 's/allowPrivilegeEscalation: false/allowPrivilegeEscalation: true/' "$work/rendered" | refused "a privilege" "violate PodSecurity"
sed 's/lagThreshold: "100"/lagThreshold: 100/' "$work/rendered" | refused "a trigger's number that is no text" "lagThreshold"
sed 's/minReadySeconds/minReadySecond/' "$work/rendered" | refused "a field that there is not" "field not declared in schema"

# ---- install, test, a job ----

helm install fleet "$chart" --namespace fleet --values "$here/values/defaults.yaml" --set worker.replicas=4 --wait --timeout 120s >"$work/said"
replicas_ready 4 || die "installed, and no four workers are ready"
kubectl --namespace fleet get statefulset fleet-niffler-png-aggregator -o jsonpath='{.status.readyReplicas}' | grep -qx 1 || die "no aggregator"
say "installed: four workers and the aggregator are ready"
grep -q "8704 MiB each" "$work/said" || die "the notes: $(cat "$work/said")"

# The second of the commands that the notes give, as it is written there.
sed -n '/helm get values/,/kubectl create/p' "$work/said" | sed -e "s|CHART|$chart|" -e 's/FOLDER/chest/g' >"$work/job.sh"
[ -s "$work/job.sh" ] || die "the notes have no command for a job"
PATH="$bin:$PATH" sh -e "$work/job.sh" >"$work/said"
kubectl --namespace fleet wait --for=condition=complete job/fleet-niffler-png-produce-first --timeout=60s >/dev/null
say "the notes' command for a job: $(cat "$work/said")"
helm test fleet --namespace fleet >"$work/said"
grep -q "Phase: *Succeeded" "$work/said" || die "helm test: $(cat "$work/said")"
say "helm test: $(sed -n 's/^TEST SUITE: *//p' "$work/said") succeeded"

# ---- upgrade, what an upgrade may not do, rollback ----

cp -r "$chart" "$work/next"
sed -i -e 's/^version: .*/version: 9.0.0/' -e 's/^appVersion: .*/appVersion: 9.0.0/' "$work/next/Chart.yaml"
helm upgrade fleet "$work/next" --namespace fleet --reuse-values --set worker.decoders=8,worker.drainSeconds=120,settings.LogLevel=debug \
    --wait --timeout 120s >/dev/null
# Helm does not wait for those of before to be gone.
await 60 "four workers, upgraded" replicas_ready 4
seen=$(worker_field '{.spec.template.spec.containers[0].resources.limits.memory} {.spec.template.spec.terminationGracePeriodSeconds} {.spec.template.spec.containers[0].image}')
[ "$seen" = "16896Mi 150 registry.example.org/niffler-png:9.0.0" ] || die "upgraded to $seen"
say "upgraded to another version of the chart and other values: $seen"

# shellcheck disable=SC2016 # helm's, not the shell's
sed -i 's|^app.kubernetes.io/component: {{ last . }}|&\napp.kubernetes.io/version: {{ $root.Chart.AppVersion \| quote }}|' "$work/next/templates/_helpers.tpl"
if helm upgrade fleet "$work/next" --namespace fleet --reuse-values >"$work/said" 2>&1; then
    die "selectors that changed were taken"
fi
grep -q "field is immutable" "$work/said" || die "$(cat "$work/said")"
say "seen: a version among the selectors: $(grep -o 'field is immutable' "$work/said" | head -1)"

helm rollback fleet 1 --namespace fleet --wait --timeout 120s >/dev/null
await 60 "four workers, rolled back" replicas_ready 4
seen=$(worker_field '{.spec.template.spec.containers[0].resources.limits.memory} {.spec.template.spec.terminationGracePeriodSeconds}')
[ "$seen" = "8704Mi 90" ] || die "rolled back to $seen"
say "rolled back: $seen"

# ---- eviction ----

evict() {
    printf '{"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "%s", "namespace": "fleet"}}' "$1" |
        kubectl create --raw "/api/v1/namespaces/fleet/pods/$1/eviction" -f -
}
# The node takes nobody, so that the one that is evicted is missed.
kubectl cordon node-0 >/dev/null
await 30 "a budget of one" sh -c "kubectl --namespace fleet get pdb fleet-niffler-png-worker -o 'jsonpath={.status.disruptionsAllowed}' | grep -qx 1"
workers=$(kubectl --namespace fleet get pods --selector app.kubernetes.io/component=worker -o 'jsonpath={.items[*].metadata.name}')
# shellcheck disable=SC2086
set -- $workers
evict "$1" >/dev/null || die "one of four workers could not be evicted"
if evict "$2" >"$work/said" 2>&1; then
    die "two of four workers were evicted at once"
fi
grep -q "disruption budget" "$work/said" || die "$(cat "$work/said")"
say "evicted one of four; the next one: $(cut -c 1-150 "$work/said")"
kubectl uncordon node-0 >/dev/null
await 60 "four workers again" replicas_ready 4

# ---- scaled ----

helm upgrade fleet "$chart" --namespace fleet --reuse-values --set keda.enabled=true --wait --timeout 120s >/dev/null
[ "$(kubectl --namespace fleet get scaledobject fleet-niffler-png-worker -o 'jsonpath={.spec.maxReplicaCount}')" = 16 ] || die "no ScaledObject"
say "keda.enabled: $(worker_field '{.spec.replicas}') workers until KEDA says otherwise"
# As a scaler does.
kubectl --namespace fleet scale deployment fleet-niffler-png-worker --replicas=3 >/dev/null
await 60 "three workers" replicas_ready 3
helm upgrade fleet "$chart" --namespace fleet --reuse-values --set settings.LogLevel=warn --wait --timeout 120s >/dev/null
await 60 "three workers after an upgrade" replicas_ready 3
say "an upgrade leaves the three workers that a scaler wanted"

# ---- uninstall ----

helm uninstall fleet --namespace fleet --wait >/dev/null
# What helm does not count to the release: a job of one's own, and the pod of `helm test`, which is kept for its log.
kubectl --namespace fleet delete job/fleet-niffler-png-produce-first pod/fleet-niffler-png-doctor >/dev/null
await 60 "nothing of the release" sh -c "! kubectl --namespace fleet get deployment,statefulset,pod,service,configmap,pdb,scaledobject \
    --selector app.kubernetes.io/instance=fleet --no-headers 2>/dev/null | grep ."
kubectl --namespace fleet get pvc dicom png state-fleet-niffler-png-aggregator-0 >/dev/null || die "claims with data are gone"
say "uninstalled: nothing is left but the claims, the aggregator's among them"
echo "cluster.sh: all of it"
