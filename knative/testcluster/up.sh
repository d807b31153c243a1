#!/bin/bash
# Brings up a real single-node cluster: etcd, Kubernetes, Knative Serving and, if asked, an ingress.
#   up.sh                Kubernetes + Knative; reach revisions through the activator (see README.md)
#   up.sh ingress        the same with Traefik as Knative's ingress
#   up.sh control        etcd and kube-apiserver only, on 127.0.0.1 (4 s; for API tests)
#   up.sh node           Kubernetes without Knative
# KUBECONFIG for it is printed last. Needs root. down.sh stops it.
set -euo pipefail
. "$(dirname "$0")/env.sh"
MODE=${1:-all}
mkdir -p "$CLUSTER_HOME"
exec 7>"$CLUSTER_HOME/install.lock"
flock 7 # an API server may be brought up beside a whole cluster
missing=()
for p in containerd runc iptables ip openssl curl bc gcc; do command -v $p >/dev/null || missing+=($p); done
[ -x /usr/lib/cni/bridge ] || missing+=(cni)
if [ ${#missing[@]} -gt 0 ]; then
  echo "installing Debian packages for: ${missing[*]}"
  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq containerd runc containernetworking-plugins iptables iproute2 openssl curl bc gcc libc6-dev >/dev/null
fi
# Three programs are enough for an API server, while the others may still be built.
if [ "$MODE" != control ] || ! [ -x "$BIN/etcd" -a -x "$BIN/kube-apiserver" -a -x "$BIN/kubectl" ]; then
  "$HERE"/build.sh $([ "$MODE" = ingress ] && echo ingress)
fi
exec 7>&-
if [ -s "$PIDS/kube-apiserver" ] && kill -0 "$(cat "$PIDS/kube-apiserver")" 2>/dev/null; then echo "already up; KUBECONFIG=$KC/admin"; exit 0; fi
export GOFLAGS=-mod=readonly GOWORK=off
KSERVING=$(cd $HERE/knative && go list -m -f '{{.Dir}}' knative.dev/serving)
KNETWORKING=$(cd $HERE/knative && go list -m -f '{{.Dir}}' knative.dev/networking)
KCACHING=$(cd $HERE/knative && go list -m -f '{{.Dir}}' knative.dev/caching)
mkdir -p $RUN $PKI $LOG $KC $PIDS $(dirname $SOCK)
echo $MODE >$RUN/mode
T0=$(date +%s.%N); say(){ printf '[%6.2fs] %s\n' $(echo "$(date +%s.%N)-$T0"|bc) "$*"; }
start(){ # name cmd...
  local n=$1; shift
  setsid nohup "$@" >$LOG/$n.log 2>&1 </dev/null & echo $! >$PIDS/$n
}
waitfor(){ # seconds what cmd...
  local s=$1 w=$2; shift 2; local e=$((SECONDS+s))
  until "$@" >/dev/null 2>&1; do [ $SECONDS -lt $e ] || { say "TIMEOUT waiting for $w"; exit 1; }; sleep 0.1; done; say "$w"
}
k(){ $BIN/kubectl --kubeconfig $KC/admin "$@"; }

# ---- PKI -------------------------------------------------------------
cert(){ # name subject [san]
  [ -f $PKI/$1.crt ] && return
  openssl ecparam -name prime256v1 -genkey -noout -out $PKI/$1.key
  openssl req -new -key $PKI/$1.key -subj "$2" -out $PKI/$1.csr
  openssl x509 -req -in $PKI/$1.csr -CA $PKI/ca.crt -CAkey $PKI/ca.key -CAcreateserial -days 365 -out $PKI/$1.crt \
    -extfile <(printf 'extendedKeyUsage=clientAuth,serverAuth\nkeyUsage=digitalSignature\n%s' "${3:+subjectAltName=$3}") 2>/dev/null
}
kubeconfig(){ # name
cat >$KC/$1 <<Y
apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "https://$APIHOST:$APIPORT", certificate-authority: $PKI/ca.crt}}]
users: [{name: u, user: {client-certificate: $PKI/$1.crt, client-key: $PKI/$1.key}}]
contexts: [{name: x, context: {cluster: c, user: u}}]
current-context: x
Y
}
APIHOST=$NODEIP; [ $MODE = control ] && APIHOST=127.0.0.1
if [ ! -f $PKI/ca.crt ]; then
  openssl ecparam -name prime256v1 -genkey -noout -out $PKI/ca.key
  openssl req -x509 -new -key $PKI/ca.key -subj /CN=test-ca -days 365 -out $PKI/ca.crt -addext keyUsage=keyCertSign,cRLSign,digitalSignature
  openssl genrsa -out $PKI/sa.key 2048 2>/dev/null
fi
cert apiserver /CN=kube-apiserver "IP:$NODEIP,IP:10.96.0.1,IP:127.0.0.1,DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local"
cert admin /O=system:masters/CN=admin
cert kubelet /O=system:nodes/CN=system:node:vm "IP:$NODEIP,DNS:vm"
cert kcm /CN=system:kube-controller-manager
cert scheduler /CN=system:kube-scheduler
cert proxy /CN=system:kube-proxy
cert coredns /O=system:masters/CN=coredns
cert traefik /O=system:masters/CN=traefik
for n in admin kubelet kcm scheduler proxy coredns traefik; do kubeconfig $n; done
say "pki ready"

# ---- host network ----------------------------------------------------
if [ $MODE != control ]; then
  ip link show k8snode0 >/dev/null 2>&1 || ip link add k8snode0 type bridge
  ip addr replace $NODEIP/32 dev k8snode0; ip link set k8snode0 up
  sysctl -qw net.ipv4.ip_forward=1 net.bridge.bridge-nf-call-iptables=1
  for d in -i -o; do iptables -w -C FORWARD $d cni0 -j ACCEPT 2>/dev/null || iptables -w -I FORWARD $d cni0 -j ACCEPT; done
  for c in OUTPUT FORWARD; do iptables -w -C $c "${UNKNOWN[@]}" 2>/dev/null || iptables -w -I $c "${UNKNOWN[@]}"; done
fi

# ---- etcd + apiserver ------------------------------------------------
start etcd $BIN/etcd --data-dir $RUN/etcd --unsafe-no-fsync --log-level warn \
  --listen-client-urls http://127.0.0.1:$ETCDPORT --advertise-client-urls http://127.0.0.1:$ETCDPORT \
  --listen-peer-urls http://127.0.0.1:$((ETCDPORT + 1)) --initial-advertise-peer-urls http://127.0.0.1:$((ETCDPORT + 1)) --initial-cluster default=http://127.0.0.1:$((ETCDPORT + 1))
if [ -n "${AUDIT:-}" ]; then
cat >$RUN/audit.yaml <<Y
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- {level: Metadata, verbs: [create, update, patch, delete], omitManagedFields: true}
Y
fi
ADV=(); [ -n "${AUDIT:-}" ] && ADV=(--audit-policy-file $RUN/audit.yaml --audit-log-path $LOG/audit.log); [ $MODE = control ] && ADV+=(--endpoint-reconciler-type=none)
start kube-apiserver $BIN/kube-apiserver --etcd-servers http://127.0.0.1:$ETCDPORT \
  --bind-address $APIHOST --advertise-address $NODEIP --secure-port $APIPORT --service-cluster-ip-range $SVCCIDR "${ADV[@]}" \
  --tls-cert-file $PKI/apiserver.crt --tls-private-key-file $PKI/apiserver.key --client-ca-file $PKI/ca.crt \
  --service-account-issuer https://kubernetes.default.svc --service-account-key-file $PKI/sa.key --service-account-signing-key-file $PKI/sa.key \
  --kubelet-client-certificate $PKI/admin.crt --kubelet-client-key $PKI/admin.key --kubelet-preferred-address-types InternalIP \
  --authorization-mode Node,RBAC --allow-privileged --v 1
waitfor 60 "apiserver ready" k get --raw /readyz
[ $MODE = control ] && { echo "export KUBECONFIG=$KC/admin PATH=$BIN:\$PATH"; exit 0; }

# kubelet sets these three; down.sh puts them back
[ -f $RUN/sysctl.saved ] || sysctl vm.overcommit_memory kernel.panic kernel.panic_on_oops | sed 's/ //g' >$RUN/sysctl.saved
# ---- control loop + node ---------------------------------------------
start kube-controller-manager $BIN/kube-controller-manager --kubeconfig $KC/kcm --leader-elect=false --bind-address 127.0.0.1 \
  --service-account-private-key-file $PKI/sa.key --root-ca-file $PKI/ca.crt --use-service-account-credentials \
  --cluster-signing-cert-file $PKI/ca.crt --cluster-signing-key-file $PKI/ca.key --v 1
start kube-scheduler $BIN/kube-scheduler --kubeconfig $KC/scheduler --leader-elect=false --bind-address 127.0.0.1 --v 1

mkdir -p $RUN/cni $RUN/containerd-root $(dirname $SOCK) $RUN/kubelet $RUN/podlogs
cat >$RUN/cni/10-bridge.conflist <<Y
{"cniVersion":"1.0.0","name":"mcptest","plugins":[
 {"type":"bridge","bridge":"cni0","isGateway":true,"ipMasq":true,"hairpinMode":true,
  "ipam":{"type":"host-local","dataDir":"$RUN/cni-ipam","ranges":[[{"subnet":"$PODCIDR"}]],"routes":[{"dst":"0.0.0.0/0"}]}},
 {"type":"portmap","capabilities":{"portMappings":true}}]}
Y
cat >$RUN/containerd.toml <<Y
version = 2
root = "$RUN/containerd-root"
state = "$(dirname $SOCK)/state"
[grpc]
  address = "$SOCK"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "dev.local/pause:1"
  restrict_oom_score_adj = true   # this machine's root lacks CAP_SYS_RESOURCE: a negative oom_score_adj is refused
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "$RUN/cni"
Y

start containerd containerd --config $RUN/containerd.toml
waitfor 30 "containerd ready" $CTR version
for t in $IMAGES/*.tar; do $CTR images import $t >/dev/null; done
say "images imported"
cat >$RUN/kubelet.yaml <<Y
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
failCgroupV1: false
cgroupDriver: cgroupfs
failSwapOn: false
oomScoreAdj: 0
address: $NODEIP
containerRuntimeEndpoint: unix://$SOCK
clusterDNS: [$NODEIP]
clusterDomain: cluster.local
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: $PKI/ca.crt}}
authorization: {mode: Webhook}
tlsCertFile: $PKI/kubelet.crt
tlsPrivateKeyFile: $PKI/kubelet.key
podLogsDir: $RUN/podlogs
volumePluginDir: $RUN/kubelet-plugins
healthzBindAddress: 127.0.0.1
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
evictionHard: {memory.available: 100Mi, nodefs.available: "1%", imagefs.available: "1%", nodefs.inodesFree: "1%", imagefs.inodesFree: "1%"}
Y
start kubelet $BIN/kubelet --config $RUN/kubelet.yaml --kubeconfig $KC/kubelet --root-dir $RUN/kubelet --node-ip $NODEIP --hostname-override vm --v 2
cat >$RUN/kube-proxy.yaml <<Y
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: iptables
oomScoreAdj: 0
clientConnection: {kubeconfig: $KC/proxy}
clusterCIDR: $PODCIDR
hostnameOverride: vm
bindAddress: $NODEIP
healthzBindAddress: 127.0.0.1:10256
metricsBindAddress: 127.0.0.1:10249
nodePortAddresses: [$NODEIP/32]
conntrack: {maxPerCore: 0}
Y
start kube-proxy $BIN/kube-proxy --config $RUN/kube-proxy.yaml --v 2
cat >$RUN/Corefile <<Y
.:53 {
  bind $NODEIP
  errors
  health 127.0.0.1:18080
  ready 127.0.0.1:18181
  kubernetes cluster.local in-addr.arpa ip6.arpa {
    kubeconfig $KC/coredns
    ttl 5
  }
  cache 5
}
Y
start coredns $BIN/coredns -conf $RUN/Corefile
waitfor 60 "node registered" k get node vm
waitfor 90 "node Ready" k wait --for=condition=Ready node/vm --timeout=1s
[ $MODE = node ] && { echo "export KUBECONFIG=$KC/admin PATH=$BIN:\$PATH"; exit 0; }

# ---- Knative Serving -------------------------------------------------
C=$KSERVING/config/core
k apply -f $C/100-namespace.yaml -f $C/200-serviceaccount.yaml -f $C/200-roles/ >/dev/null
k apply --server-side --force-conflicts -f $C/300-resources/ -f $KCACHING/config/image.yaml \
  -f $KNETWORKING/config/ >/dev/null
waitfor 30 "CRDs established" k wait --for=condition=Established --all crd --timeout=10s # which fails on one without conditions yet
k apply -f $C/300-knativecertificate.yaml >/dev/null
img='s#ko://knative.dev/serving/cmd/\([a-z]*\)#dev.local/knative-\1:1#'
for f in $C/configmaps/*.yaml $C/999-cache.yaml; do echo ---; sed "$img" $f; done | k apply -f - >/dev/null
# settings the tests want
k -n knative-serving patch cm config-network --type merge -p '{"data":{"ingress-class":"traefik.ingress.networking.knative.dev"}}' >/dev/null
k -n knative-serving patch cm config-domain --type merge -p '{"data":{"'$DOMAIN'":""}}' >/dev/null
k -n knative-serving patch cm config-autoscaler --type merge -p "{\"data\":{\"scale-to-zero-grace-period\":\"${GRACE:-30s}\",\"stable-window\":\"${WINDOW:-60s}\",\"scale-to-zero-pod-retention-period\":\"0s\"}}" >/dev/null
for d in activator autoscaler controller webhook; do echo ---; sed "$img" $C/deployments/$d.yaml; done | k apply -f - >/dev/null
k apply -f $C/webhooks/ >/dev/null; say "Knative manifests applied"
k apply -f - >/dev/null <<Y
apiVersion: v1
kind: Service
metadata: {name: traefik, namespace: knative-serving}
spec: {ports: [{name: http, port: 80, targetPort: 18000}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: traefik-host, namespace: knative-serving, labels: {kubernetes.io/service-name: traefik}}
addressType: IPv4
ports: [{name: http, port: 18000}]
endpoints: [{addresses: [$NODEIP], conditions: {ready: true}}]
Y
if [ "$MODE" = ingress ]; then
KUBECONFIG=$KC/traefik start traefik $BIN/traefik --global.checknewversion=false --global.sendanonymoususage=false \
  --entrypoints.web.address=$NODEIP:$INGRESSPORT --entrypoints.web.transport.respondingtimeouts.readtimeout=0 \
  --entrypoints.local.address=127.0.0.1:$INGRESSPORT --entrypoints.local.transport.respondingtimeouts.readtimeout=0 \
  --experimental.knative=true --providers.knative=true \
  --providers.knative.publicservice.name=traefik --providers.knative.publicservice.namespace=knative-serving \
  --providers.knative.privateentrypoints=web --providers.knative.publicentrypoints=web,local \
  --providers.knative.privateservice.name=traefik --providers.knative.privateservice.namespace=knative-serving \
  --accesslog=true --log.level=${TRAEFIK_LOG:-INFO}
fi
for d in webhook autoscaler controller activator; do waitfor 180 "$d available" k -n knative-serving rollout status deploy/$d --timeout=1s; done
say "Knative ready"
echo "export KUBECONFIG=$KC/admin PATH=$BIN:\$PATH"
