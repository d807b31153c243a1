#!/bin/bash
# Tries knative/config on a real API server: applies it, and asks with the credentials of gateway and deployer for what must
# be refused to them. The API server (with etcd, and no node) is brought up for it, beside a whole cluster if one is up. It
# has the types of Knative and of the External Secrets operator, and not their webhooks: those would refuse some of it too, and hide whether we do.
# Arguments go to go test: knative/e2e.sh -run TestRights -v
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
export CLUSTER_RUN=$(mktemp -d) APIPORT=${APIPORT:-16543} ETCDPORT=${ETCDPORT:-12479}
trap '"$here"/testcluster/down.sh' EXIT
"$here"/testcluster/up.sh control
export TEST_KUBECONFIG=$CLUSTER_RUN/kubeconfig/admin
. "$here"/testcluster/env.sh
k() { "$BIN/kubectl" --kubeconfig "$TEST_KUBECONFIG" "$@"; }
crds=$(cd "$HERE/knative" && GOWORK=off GOFLAGS=-mod=readonly go list -m -f '{{.Dir}}' knative.dev/serving)/config/core/300-resources
. "$here"/externalsecrets.sh
k apply --server-side -f "$crds" -f "$(eso_crds)/external-secrets.io_externalsecrets.yaml" -f "$(eso_crds)/external-secrets.io_secretstores.yaml" >/dev/null
k wait --for=condition=Established --all crd --timeout=30s >/dev/null
k apply -k "$here/config"
cd "$here/config"
go test -count=1 . "$@"
