#!/bin/bash
# Tries knative/config on a real API server: applies it, and asks with the credentials of gateway and deployer for what must
# be refused to them. It brings up an API server of its own (etcd and kube-apiserver, no node), or uses TEST_KUBECONFIG.
# Arguments go to go test: knative/e2e.sh -run TestRights -v
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
if [ -z "${TEST_KUBECONFIG:-}" ]; then
  # A folder and ports of its own: a whole cluster may be up.
  export CLUSTER_RUN=$(mktemp -d) APIPORT=${APIPORT:-16543} ETCDPORT=${ETCDPORT:-12479}
  trap '"$here"/testcluster/down.sh' EXIT
  "$here"/testcluster/up.sh control
  export TEST_KUBECONFIG=$CLUSTER_RUN/kubeconfig/admin
  . "$here"/testcluster/env.sh
  PATH=$BIN:$PATH
  crds=$(cd "$HERE/knative" && GOWORK=off GOFLAGS=-mod=readonly go list -m -f '{{.Dir}}' knative.dev/serving)/config/core/300-resources
  kubectl --kubeconfig "$TEST_KUBECONFIG" apply --server-side -f "$crds"
  kubectl --kubeconfig "$TEST_KUBECONFIG" wait --for=condition=Established --all crd --timeout=30s
fi
kubectl --kubeconfig "$TEST_KUBECONFIG" apply -k "$here/config"
cd "$here/config"
go test -count=1 . "$@"
