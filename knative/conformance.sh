#!/bin/bash
# Runs the MCP conformance suite at servers that run in the test cluster, which must be up with knative/config applied
# (e2e-cluster.sh). TEST_KUBECONFIG names its admin's credentials. Arguments go to internal/conformance.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
dir=$(mktemp -d)
k() { kubectl --kubeconfig "$TEST_KUBECONFIG" "$@"; }
autoscaler() { k -n knative-serving "$@" configmap config-autoscaler; }
scaling=$(autoscaler get -o jsonpath='{.data}')
clean() {
  autoscaler patch --type merge -p "{\"data\":$scaling}" >/dev/null || true
  k -n mcp-servers delete services.serving.knative.dev,secrets -l app.kubernetes.io/managed-by=mcpgateway --wait=false >/dev/null || true
  rm -rf "$dir"
}
trap clean EXIT
# Other tests have servers sleep within seconds. With so little grace a busy machine ends a pod before the ingress hears of
# it and answers 502 in its place; here nothing is to sleep, so it is what Knative does by default.
autoscaler patch --type merge -p '{"data":{"scale-to-zero-grace-period":"30s","stable-window":"60s"}}'
# What gateway and deployer may do in a cluster, and no more.
server=$(k config view --raw -o jsonpath='{.clusters[0].cluster.server}')
ca=$(k config view --raw --flatten -o jsonpath='{.clusters[0].cluster.certificate-authority-data}')
for account in gateway deployer; do
  token=$(k -n mcp-system create token "$account" --duration 2h)
  cat >"$dir/$account.kubeconfig" <<Y
{apiVersion: v1, kind: Config, current-context: x, contexts: [{name: x, context: {cluster: c, user: u}}],
 clusters: [{name: c, cluster: {server: "$server", certificate-authority-data: $ca}}], users: [{name: u, user: {token: $token}}]}
Y
done
head -c 32 /dev/urandom >"$dir/name.key"
head -c 32 /dev/urandom >"$dir/rules.key"
"$here"/testcluster/node-base.sh "$dir/node.tar"
cd "$here/.."
go run ./internal/conformance -only servers -cluster "$dir" "$@"
