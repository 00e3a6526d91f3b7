# shellcheck shell=sh
# control_plane.sh: for cluster.sh and keda.sh to source. A Kubernetes without machines, on loopback and ports of its own: the real
# API server, etcd, controllers and scheduler, and kwok, which plays a node on which every pod is ready at once.
#
# The caller sets $here, the folder of this. Sets $root, $bin (the tools) and $work, a folder that is removed at the end,
# when everything is ended by the id that it was started with.
root=$(cd -- "${here:?}/../.." && pwd)
bin=$root/build/tools/bin
work=$(mktemp -d)
trap 'end_all; rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
export HELM_CACHE_HOME="$work/helm/cache" HELM_CONFIG_HOME="$work/helm/config" HELM_DATA_HOME="$work/helm/data"

helm() {
    "$bin/helm" "$@"
}

say() {
    printf 'ok: %s\n' "$*"
}

die() {
    printf 'FAILED: %s\n' "$*" >&2
    exit 1
}

# skip_without TOOLS: exit status 77 where they cannot be made
skip_without() {
    "$here/tools.sh" "$@" && return 0
    echo "skipped: tests/deploy/tools.sh cannot make $* here"
    exit 77
}

free_port() {
    PYTHONPATH=$here/../services /usr/bin/python3 -c 'import service; print(service.free_port())'
}

# background NAME COMMAND...: its output is in $work/NAME.log
background() {
    name=$1
    shift
    "$@" >"$work/$name.log" 2>&1 &
    echo $! >"$work/$name.pid"
    started="$name ${started-}" # the last one first
}

end_all() {
    for name in ${started-}; do
        pid=$(cat "$work/$name.pid")
        kill "$pid" 2>/dev/null || continue
        for _ in $(seq 100); do
            kill -0 "$pid" 2>/dev/null || break
            sleep 0.1
        done
        kill -9 "$pid" 2>/dev/null || true
    done
    started=
}

# await SECONDS WHAT COMMAND...
await() {
    end=$(($(date +%s) + $1))
    what=$2
    shift 2
    until "$@" >"$work/await.log" 2>&1; do
        [ "$(date +%s)" -lt "$end" ] || die "not in time: $what: $(tail -3 "$work/await.log")"
        sleep 0.3
    done
}

authority() {
    openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj "/CN=$1" -keyout "$work/$1.key" -out "$work/$1.crt" 2>/dev/null
}

# signed NAME AUTHORITY [EXTENSION]
signed() {
    openssl req -newkey rsa:2048 -nodes -subj "/CN=$1" -keyout "$work/$1.key" -out "$work/$1.csr" 2>/dev/null
    echo "${3-}" >"$work/$1.ext"
    openssl x509 -req -in "$work/$1.csr" -CA "$work/$2.crt" -CAkey "$work/$2.key" -CAcreateserial -days 2 -extfile "$work/$1.ext" \
        -out "$work/$1.crt" 2>/dev/null
}

control_plane_up() {
    begun=$(date +%s)
    api=$(free_port) etcd=$(free_port) peers=$(free_port) controllers=$(free_port) scheduler=$(free_port) kwok=$(free_port)
    authority authority
    authority front-authority
    signed front-proxy front-authority
    openssl genrsa -out "$work/accounts.key" 2048 2>/dev/null
    echo 'test,admin,1,system:masters' >"$work/tokens.csv"
    export KUBECONFIG="$work/kubeconfig"
    cat >"$KUBECONFIG" <<END
apiVersion: v1
kind: Config
clusters: [{name: test, cluster: {server: "https://127.0.0.1:$api", insecure-skip-tls-verify: true}}]
users: [{name: test, user: {token: test}}]
contexts: [{name: test, context: {cluster: test, user: test}}]
current-context: test
END
    background etcd "$bin/etcd" --data-dir "$work/etcd" --listen-client-urls "http://127.0.0.1:$etcd" \
        --advertise-client-urls "http://127.0.0.1:$etcd" --listen-peer-urls "http://127.0.0.1:$peers" \
        --initial-advertise-peer-urls "http://127.0.0.1:$peers" --initial-cluster "default=http://127.0.0.1:$peers" --unsafe-no-fsync
    background kube-apiserver "$bin/kube-apiserver" --etcd-servers="http://127.0.0.1:$etcd" --secure-port="$api" \
        --bind-address=127.0.0.1 --cert-dir="$work/certificates" --client-ca-file="$work/authority.crt" \
        --service-account-issuer=https://test --service-account-key-file="$work/accounts.key" \
        --service-account-signing-key-file="$work/accounts.key" --token-auth-file="$work/tokens.csv" --authorization-mode=RBAC \
        --service-cluster-ip-range=10.96.0.0/16 --requestheader-client-ca-file="$work/front-authority.crt" \
        --requestheader-allowed-names=front-proxy --requestheader-extra-headers-prefix=X-Remote-Extra- \
        --requestheader-group-headers=X-Remote-Group --requestheader-username-headers=X-Remote-User \
        --proxy-client-cert-file="$work/front-proxy.crt" --proxy-client-key-file="$work/front-proxy.key"
    await 120 "the API server" kubectl get --raw /readyz
    # With the controller of nodes' lives: it takes the taint of a new node away.
    for role in controller-manager scheduler; do
        [ $role = scheduler ] && port=$scheduler || port=$controllers
        set -- --kubeconfig "$KUBECONFIG" --authentication-kubeconfig "$KUBECONFIG" --authorization-kubeconfig "$KUBECONFIG" \
            --leader-elect=false --bind-address=127.0.0.1 --secure-port="$port"
        [ $role = scheduler ] ||
            set -- "$@" --service-account-private-key-file "$work/accounts.key" --horizontal-pod-autoscaler-sync-period=5s
        background "kube-$role" "$bin/kube-$role" "$@"
    done
    cp "$bin/kwok-stages.yaml" "$work/stages.yaml"
    cat "$here/doctor_stage.yaml" >>"$work/stages.yaml"
    # Without leases its node is not ready after 40 seconds.
    background kwok "$bin/kwok" --kubeconfig "$KUBECONFIG" --manage-all-nodes=true --cidr 10.244.0.0/16 --node-ip 10.0.0.1 \
        --config "$work/stages.yaml" --node-lease-duration-seconds 40 --server-address "127.0.0.1:$kwok"
    kubectl apply -f - >/dev/null <<END
apiVersion: v1
kind: Node
metadata: {name: node-0, labels: {kubernetes.io/os: linux, kubernetes.io/arch: amd64, kubernetes.io/hostname: node-0}}
status: {allocatable: {cpu: "256", memory: 1Ti, pods: "200"}, capacity: {cpu: "256", memory: 1Ti, pods: "200"}}
END
    kubectl wait --for=condition=Ready node/node-0 --timeout=60s >/dev/null
    await 60 "the account of a namespace" kubectl get serviceaccount default
    for definition in "$root"/build/tools/schemas/definitions/*.yaml; do
        kubectl apply --server-side -f "$definition" >/dev/null
    done
    await 60 "the definitions" kubectl wait --for=condition=Established crd --all --timeout=1s
    say "Kubernetes $(kubectl version -o json | sed -n '/serverVersion/,$s/.*"gitVersion": "\(.*\)".*/\1/p') is up after $(($(date +%s) - begun)) s"
}

# namespace_up NAME: with pod security "restricted", and volumes of the names that the tests' values have
namespace_up() {
    kubectl create namespace "$1" >/dev/null
    for mode in enforce warn; do
        kubectl label namespace "$1" "pod-security.kubernetes.io/$mode=restricted" >/dev/null
    done
    for claim in dicom png; do
        volume "$1" "$1-$claim" ReadWriteMany
        kubectl apply -f - >/dev/null <<END
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: $claim, namespace: $1}
spec: {accessModes: [ReadWriteMany], volumeName: $1-$claim, storageClassName: "", resources: {requests: {storage: 1Gi}}}
END
    done
    volume "$1" "$1-state" ReadWriteOnce
}

volume() {
    kubectl apply -f - >/dev/null <<END
apiVersion: v1
kind: PersistentVolume
metadata: {name: $2}
spec: {capacity: {storage: 50Gi}, accessModes: [$3], hostPath: {path: /nowhere/$2}}
END
}
