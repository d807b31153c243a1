# Where the test cluster lives; sourced by the other scripts. CLUSTER_RUN and the ports may be set to have an API server
# (up.sh control) of one's own beside a cluster that is up: only that mode keeps to what these name.
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
PINS=$(cat "$HERE"/*/go.sum "$HERE"/build.sh "$HERE"/coredns/main.go "$HERE"/mkimage/main.go | sha256sum | cut -c1-12)
CLUSTER_HOME=${CLUSTER_HOME:-${XDG_CACHE_HOME:-$HOME/.cache}/mcp-test-cluster}
BIN=$CLUSTER_HOME/$PINS/bin IMAGES=$CLUSTER_HOME/$PINS/images
RUN=${CLUSTER_RUN:-$CLUSTER_HOME/run} PKI=$RUN/pki LOG=$RUN/log KC=$RUN/kubeconfig PIDS=$RUN/pids
NODEIP=10.250.0.1 APIPORT=${APIPORT:-16443} ETCDPORT=${ETCDPORT:-12379} SVCCIDR=10.96.0.0/16 PODCIDR=10.244.0.0/24 DOMAIN=example.test INGRESSPORT=18000
SOCK=/run/mcp-test-cluster/containerd.sock
CTR="ctr -a $SOCK -n k8s.io"
# What is sent to a service that kube-proxy does not know yet: it would leave the machine, and whoever answers is taken for it.
# Only what begins a connection: a segment that the kernel cannot place looks the same, and must not end one.
UNKNOWN=(-p tcp -d "$SVCCIDR" -m conntrack --ctstate NEW -j REJECT --reject-with tcp-reset)
