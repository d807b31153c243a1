#!/usr/bin/env bash
set -euo pipefail
usage() {
  cat <<'E'
Usage: knative/kind.sh [--dry-run | --delete]

Makes a Kubernetes cluster in Docker by kind, with Knative Serving and Kourier, puts the images of gateway, deployer, shim
and sample server into it, and applies a copy of knative/config that is filled in for it, in .run/kind. What is there
already stays: it can be run again, such as after a change. At last it says what is left to do.

  --dry-run  print the commands instead of running them; nothing is asked of Docker or a cluster
  --delete   delete the cluster

Needs docker (that runs), kubectl, openssl and go. kind itself is built from its Go module, which Go checks by its sum;
the node's image is the one that this version of kind names by digest. Knative and Kourier are had by the URLs of their
releases. The ingress is at 127.0.0.1:18000, and a service's name there is <service>.mcp-servers.example.test.

What could not be tried where this was written, for want of registries and GitHub: all that needs Docker, and what
Knative's and Kourier's files do. Its tests run it with stand-ins for docker, kubectl and kind.
E
}

KIND_VERSION=v0.33.0    # of sigs.k8s.io/kind
KNATIVE_VERSION=v1.23.0 # of Serving, as the module knative.dev/serving v0.50.0 in go.mod, and of Kourier
CLUSTER=mcpgateway
DOMAIN=example.test
PORT=18000

dry=
case "$*" in
"" | --delete) ;;
--dry-run) dry=1 ;;
--help | -h) usage && exit ;;
*) usage >&2 && exit 2 ;;
esac

cd "$(dirname "${BASH_SOURCE[0]}")/.."
out=.run/kind

# run runs a command, or prints it, with what it would read.
run() {
  if [ -z "$dry" ]; then
    "$@"
    return
  fi
  printf '%q ' "$@"
  echo
  case " $* " in *" - "*) sed 's/^/  | /' ;; esac
}
kind() { run go run "sigs.k8s.io/kind@$KIND_VERSION" "$@"; }
k() { run kubectl --context "kind-$CLUSTER" "$@"; }

# have tells whether something is there already; in a dry run nothing is.
have() { [ -z "$dry" ] && kubectl --context "kind-$CLUSTER" "$@" >/dev/null 2>&1; }

check() {
  [ -z "$dry" ] || return 0
  local missing=()
  for program in docker kubectl openssl go; do
    command -v "$program" >/dev/null || missing+=("$program")
  done
  if [ ${#missing[@]} -gt 0 ]; then
    echo "knative/kind.sh: need ${missing[*]}" >&2
    exit 1
  fi
  if ! docker info >/dev/null 2>&1; then
    echo "knative/kind.sh: docker is there, and its daemon does not answer: start it, or see what docker info says" >&2
    exit 1
  fi
}

make_cluster() {
  if have get --raw /readyz; then
    return
  fi
  kind create cluster --name "$CLUSTER" --wait 3m --config - <<E
kind: Cluster
apiVersion: kind.x-k8s.io/v1alpha4
nodes:
  - role: control-plane
    extraPortMappings: [{containerPort: 31080, hostPort: $PORT, listenAddress: 127.0.0.1}]
E
}

make_knative() {
  local serving=https://github.com/knative/serving/releases/download/knative-$KNATIVE_VERSION
  local kourier=https://github.com/knative-extensions/net-kourier/releases/download/knative-$KNATIVE_VERSION
  k apply -f "$serving/serving-crds.yaml"
  k wait --for=condition=Established --all crd --timeout=60s
  k apply -f "$serving/serving-core.yaml"
  k apply -f "$kourier/kourier.yaml"
  k -n knative-serving patch configmap config-network --type merge -p '{"data":{"ingress-class":"kourier.ingress.networking.knative.dev"}}'
  k -n knative-serving patch configmap config-domain --type merge -p "{\"data\":{\"$DOMAIN\":\"\"}}"
  # What knative/config/README.md asks of a cluster.
  k -n knative-serving patch configmap config-autoscaler --type merge -p '{"data":{"allow-zero-initial-scale":"true"}}'
  k -n knative-serving patch configmap config-defaults --type merge -p '{"data":{"max-revision-timeout-seconds":"900"}}'
  # Where programs of this machine reach it.
  k apply -f - <<E
apiVersion: v1
kind: Service
metadata: {name: kourier-host, namespace: kourier-system}
spec:
  type: NodePort
  selector: {app: 3scale-kourier-gateway}
  ports: [{name: http2, port: 80, targetPort: 8080, nodePort: 31080}]
E
}

# The gateway's pods reach the ingress over TLS only, and trust one authority: Kourier gets a certificate of its own.
make_certificate() {
  local name=kourier.kourier-system.svc
  if ! [ -s "$out/ca.pem" ] || [ -n "$dry" ]; then
    run openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 365 -subj "/CN=$name" \
      -addext "subjectAltName=DNS:$name" -keyout "$out/ca.key" -out "$out/ca.pem"
  fi
  have -n knative-serving get secret mcp-ingress ||
    k -n knative-serving create secret tls mcp-ingress --cert="$out/ca.pem" --key="$out/ca.key"
  k -n knative-serving set env deployment/net-kourier-controller CERTS_SECRET_NAMESPACE=knative-serving CERTS_SECRET_NAME=mcp-ingress
  for d in knative-serving/controller knative-serving/webhook knative-serving/activator knative-serving/autoscaler \
    knative-serving/net-kourier-controller kourier-system/3scale-kourier-gateway; do
    k -n "${d%/*}" rollout status "deployment/${d#*/}" --timeout=5m
  done
}

# image NAME PATH PACKAGE makes the image dev.local/NAME:kind of one static program, at PATH, and puts it into the cluster.
# Knative resolves no tags of dev.local.
image() {
  local folder=$out/image-$1
  run mkdir -p "$folder"
  run env CGO_ENABLED=0 GOOS=linux go build -trimpath -ldflags '-s -w' -o "$folder/program" "$3"
  run docker build -q -t "dev.local/$1:kind" -f - "$folder" <<E
FROM scratch
COPY program $2
USER 65532
ENTRYPOINT ["$2"]
E
  kind load docker-image --name "$CLUSTER" "dev.local/$1:kind"
}

# fill_in copies knative/config, with what is this cluster's in place of its examples.
fill_in() {
  run mkdir -p "$out/config"
  for file in knative/config/*.yaml; do
    local name=${file##*/}
    if [ -n "$dry" ]; then
      echo "fill in $file as $out/config/$name"
      continue
    fi
    case $name in platform.yaml | catalog.yaml)
      # What somebody wrote there stays.
      [ ! -e "$out/config/$name" ] || continue
      ;;
    esac
    sed -e "s#registry.example.com/mcp/\(.*\), newTag: v1#dev.local/\1, newTag: kind#" \
      -e "s#registry.example.com/mcp/\(.*\):v1#dev.local/mcp-\1:kind#" \
      -e "s#^    registry.example.com/mcp/shim\$#    dev.local/mcp-shim#" \
      -e "s#^    registry.example.com/mcp/\$#    dev.local/#" \
      -e "s#https://kourier-internal.kourier-system.svc#https://kourier.kourier-system.svc#" \
      -e "s#domain: example.com #domain: $DOMAIN #" "$file" >"$out/config/$name"
  done
}

apply() {
  k apply -f "$out/config/namespaces.yaml"
  for key in rules name; do
    have -n mcp-system get secret "mcpgateway-$key" && continue
    run openssl rand -out "$out/$key.key" 32
    k -n mcp-system create secret generic "mcpgateway-$key" --from-file="$out/$key.key"
  done
  have -n mcp-system get configmap mcpgateway-ingress ||
    k -n mcp-system create configmap mcpgateway-ingress --from-file="$out/ca.pem"
  k apply -k "$out/config"
  k -n mcp-system rollout restart deployment/gateway deployment/deployer # for images that changed
}

check
if [ "$*" = --delete ]; then
  kind delete cluster --name "$CLUSTER"
  exit
fi
run mkdir -p "$out"
make_cluster
make_knative
make_certificate
image gateway /bin/gateway ./functions/gateway
image deployer /bin/deployer ./functions/deployer
image mcp-shim /mcp/shim ./shim
image mcp-sample /bin/mcp-sample ./localstack/sample
fill_in
apply
cat <<E

The cluster is kind-$CLUSTER. What is left: in $out/config/platform.yaml name an issuer that its pods reach by https, and
in catalog.yaml servers (dev.local/mcp-sample:kind is one: port 8090, args [-addr, "127.0.0.1:8090"]); then
  kubectl --context kind-$CLUSTER apply -k $out/config
  kubectl --context kind-$CLUSTER -n mcp-system rollout status deployment/gateway deployment/deployer
Until it reaches an issuer the gateway is not ready.
E
