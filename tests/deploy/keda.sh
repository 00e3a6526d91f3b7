#!/bin/sh
# keda.sh: the ScaledObject of the chart, with a real broker that holds what the real producer published: what KEDA's own Kafka
# scaler makes of it, and of what the chart must not say; then KEDA's operator in a real control plane, which scales the chart's
# workers from 0 and back, while real workers (processes here) convert the files.
#
#     tests/deploy/keda.sh [--scaler]     --scaler: without the control plane
#
# Says what it has seen, a line each. Exit status 77 where the tools cannot be made: the first time takes half an hour.
set -eu
here=$(cd -- "$(dirname -- "$0")" && pwd)
# shellcheck source=tests/deploy/control_plane.sh
. "$here/control_plane.sh"
chart=$root/deploy/helm/niffler-png
build=${NIFFLER_BUILD:-$root/build/dev}
files=600
partitions=24
half=$((partitions / 2))

[ -x "$build/niffler-png" ] || { echo "skipped: $build has no niffler-png (NIFFLER_BUILD)"; exit 77; }
if [ "${1-}" = --scaler ]; then
    skip_without helm kafkalag
else
    command -v kubectl >/dev/null 2>&1 || { echo "skipped: there is no kubectl"; exit 77; }
    skip_without helm schemas kafkalag keda cluster
fi

# ---- a broker, files, the program ----

mkfifo "$work/hold"
exec 9<>"$work/hold" # it serves until its standard input ends, or it is terminated
"$here/../services/kafka.py" run "$work/kafka" --tls-scram <"$work/hold" >"$work/kafka.log" 2>&1 &
echo $! >"$work/kafka.pid"
started=kafka
await 180 "a broker and its two listeners" sh -c "sed -n 2p '$work/kafka.log' | grep -q :"
brokers=$(sed -n 1p "$work/kafka.log")
tls_brokers=$(sed -n 2p "$work/kafka.log")
say "a broker serves"

mkdir "$work/input" "$work/output"
"$build/niffler-png-samples" "$work/samples" --only mr --ct 4 >/dev/null
one=$(find "$work/samples" -type f | sort | sed -n 1p)
mkdir "$work/input/many"
for number in $(seq $files); do
    cp "$one" "$work/input/many/$number.dcm"
done

cat >"$work/values.yaml" <<END
image: {repository: registry.example.org/niffler-png}
kafka: {brokers: "$brokers", partitions: $partitions}
storage: {input: {existingClaim: dicom}, output: {existingClaim: png}}
settings: {FilesPerDecoder: 1000}
keda:
  enabled: true
  lagThreshold: 10
  pollingInterval: 3
  cooldownPeriod: 10
  scaleDown: {stabilizationWindowSeconds: 5, percentPerMinute: 100}
END

# The config.json of the chart, with folders of this machine.
helm template fleet "$chart" --values "$work/values.yaml" --show-only templates/configmap.yaml |
    sed -n '/config.json: |/,$s/^    //p' >"$work/config.json"
settings="--config $work/config.json --InputRoot $work/input --OutputRoot $work/output --MetricsListen 127.0.0.1:0 --UseProcesses 2"
# produce OUTPUT: prints the job's id
produce() {
    # shellcheck disable=SC2086
    "$build/niffler-png" produce $settings --DICOMHome "$work/input/many" --OutputDirectory "$work/output/$1" --create-topics \
        --partitions $partitions
}

work_along() {
    # shellcheck disable=SC2086
    background worker "$build/niffler-png" work $settings
}
work_no_more() {
    kill "$(cat "$work/worker.pid")"
    await 60 "the worker's end" grep -q event=drained "$work/worker.log"
}

# ---- the scaler alone ----

scaled() {
    helm template fleet "$chart" --namespace fleet --values "$work/values.yaml" --show-only templates/scaling.yaml "$@" |
        sed -n '/kind: ScaledObject/,/^---/p' | sed -e '1i apiVersion: keda.sh/v1alpha1' -e '/^---/d'
}

# lag [AUTHENTICATION]: what the scaler says of the ScaledObject on standard input
lag() {
    "$bin/keda-kafkalag" "$@" 2>&1
}

# gives WANTED WHAT
gives() {
    seen=$(lag) || die "$2: $seen"
    [ "$seen" = "$1" ] || die "$2: $seen, and not $1"
    say "$2: $seen"
}

# is_error WORDS WHAT
is_error() {
    if seen=$(lag); then
        die "$2: taken: $seen"
    fi
    echo "$seen" | grep -qi "$1" || die "$2: another error: $seen"
    say "$2: error: $(echo "$seen" | grep -i "$1" | tail -1 | cut -c 1-160)"
}

scaled | is_error "unknown topic\|does not host\|not exist" "a topic that is not there yet"
job=$(produce first)
say "published $files files in $partitions partitions, job $job"
scaled | gives "0 lag $((partitions * 10)) active true target 10" "threshold 10: at most that for each partition, so as many workers as partitions"
scaled --set keda.lagThreshold=100 | gives "0 lag $files active true target 100" "threshold 100: all that wait"
scaled | sed 's/"earliest"/"latest"/' | gives "0 lag $partitions active true target 10" "offsetResetPolicy latest would see one message a partition, and starve the job"
scaled | sed 's/allowIdleConsumers: "false"/allowIdleConsumers: "true"/' |
    is_error "allowIdleConsumers" "allowIdleConsumers with limitToPartitionsWithLag, which the API server takes"
scaled --set keda.activationLagThreshold=$files | gives "0 lag $((partitions * 10)) active false target 10" "activation: not before there are more"
scaled | sed "s/$brokers/127.0.0.1:1/" | is_error "connection refused\|run out of available brokers" "a broker that does not answer"

# Half of the partitions filled, as Kafka's RoundRobinPartitioner may do; ours takes the file's number modulo the partitions.
PYTHONPATH=$here/../services /usr/bin/python3 -c "import kafka; kafka.create_topics(${brokers#*:}, ['half'], $partitions, {})"
for partition in $(seq 0 2 $((partitions - 1))); do
    seq 40 | kcat -P -b "$brokers" -t half -p "$partition"
done
scaled --set kafka.tasksTopic=half | gives "0 lag $((half * 10)) active true target 10" "a partitioner that fills half of the partitions halves the workers"
scaled --set kafka.tasksTopic=half | sed 's/limitToPartitionsWithLag: "true"/limitToPartitionsWithLag: "false"/' |
    gives "0 lag $((partitions * 10)) active true target 10" "without limitToPartitionsWithLag half of them would have nothing to do"

printf 'sasl=scram_sha512\nusername=fleet\npassword=correct-horse\ntls=enable\nca=@%s/kafka/ca.pem\n' "$work" >"$work/authentication"
scaled | sed "s/$brokers/$tls_brokers/" >"$work/secured.yaml"
seen=$(lag "$work/authentication" <"$work/secured.yaml") || die "TLS and SCRAM: $seen"
[ "$seen" = "0 lag $((partitions * 10)) active true target 10" ] || die "TLS and SCRAM: $seen"
say "the same over TLS and SASL/SCRAM, by the keys of keda.authentication"
sed -i 's/correct-horse/wrong/' "$work/authentication"
if seen=$(lag "$work/authentication" <"$work/secured.yaml"); then
    die "a wrong password: $seen"
fi
say "a wrong password: error"

work_along
lag_is() {
    [ "$(scaled | lag)" = "$1" ]
}
await 300 "the worker to finish" lag_is "0 lag 0 active false target 10"
say "a worker has converted them: lag 0, and not active"
work_no_more

if [ "${1-}" = --scaler ]; then
    echo "keda.sh: all of the scaler"
    exit 0
fi

# ---- the operator ----

control_plane_up
namespace_up fleet
keda=$(free_port) health=$(free_port) service=$(free_port) adapter=$(free_port) adapter_metrics=$(free_port)
mkdir "$work/keda"
signed keda authority "subjectAltName=DNS:localhost,IP:127.0.0.1"
cp "$work/keda.crt" "$work/keda/tls.crt"
cp "$work/keda.key" "$work/keda/tls.key"
cp "$work/authority.crt" "$work/keda/ca.crt"
kubectl create namespace keda >/dev/null
# The API server asks the adapter here, by a service that is a name; this works without --enable-aggregator-routing only.
kubectl apply -f - >/dev/null <<END
apiVersion: v1
kind: Service
metadata: {name: keda-metrics-apiserver, namespace: keda}
spec: {type: ExternalName, externalName: localhost, ports: [{port: $adapter}]}
---
apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata: {name: v1beta1.external.metrics.k8s.io}
spec: {service: {name: keda-metrics-apiserver, namespace: keda, port: $adapter}, group: external.metrics.k8s.io, version: v1beta1, insecureSkipTLSVerify: true, groupPriorityMinimum: 100, versionPriority: 100}
END
export POD_NAMESPACE=keda KEDA_CLUSTER_OBJECT_NAMESPACE=keda WATCH_NAMESPACE=
background keda-operator "$bin/keda-operator" --kubeconfig "$KUBECONFIG" --cert-dir "$work/keda" --ca-dir "$work/keda" \
    --metrics-bind-address "127.0.0.1:$keda" --health-probe-bind-address "127.0.0.1:$health" \
    --metrics-service-bind-address "127.0.0.1:$service" --enable-webhook-patching=false --enable-apiservice-patching=false
background keda-adapter "$bin/keda-adapter" --kubeconfig "$KUBECONFIG" --lister-kubeconfig "$KUBECONFIG" \
    --authentication-kubeconfig "$KUBECONFIG" --authorization-kubeconfig "$KUBECONFIG" --cert-dir "$work/keda" \
    --secure-port "$adapter" --bind-address 127.0.0.1 --port "$adapter_metrics" --metrics-service-address "127.0.0.1:$service"
adapter_serves() {
    kubectl get apiservice v1beta1.external.metrics.k8s.io -o 'jsonpath={.status.conditions[0].status}' | grep -qx True
}
await 120 "KEDA's adapter" adapter_serves
say "KEDA's operator and adapter are up"

workers() {
    kubectl --namespace fleet get deployment fleet-niffler-png-worker -o 'jsonpath={.spec.replicas}'
}
# until_workers NUMBER SECONDS: and each number on the way
until_workers() {
    way=
    end=$(($(date +%s) + $2))
    begun=$(date +%s)
    while :; do
        now=$(workers)
        case $way in
        *" $now" | "$now") ;;
        *) way="$way $now" ;;
        esac
        [ "$now" != "$1" ] || break
        [ "$(date +%s)" -lt "$end" ] || die "no $1 workers within $2 s, but$way"
        sleep 0.5
    done
    say "workers:$way, after $(($(date +%s) - begun)) s"
}

helm install fleet "$chart" --namespace fleet --values "$work/values.yaml" >/dev/null
until_workers 0 120
job=$(produce second)
say "published $files files again, job $job"
until_workers $partitions 300
work_along
until_workers 0 300
work_no_more
echo "keda.sh: all of it"
