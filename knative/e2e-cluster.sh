#!/bin/bash
# Runs the tests that need pods: a whole cluster of its own (testcluster), or the one that TEST_KUBECONFIG names, with what
# config/README.md asks of a cluster. Arguments go to go test: knative/e2e-cluster.sh -run TestFailures -v
# CONFORMANCE=1 also runs the MCP conformance suite in it (conformance.sh, which needs what make build makes).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
if [ -z "${TEST_KUBECONFIG:-}" ]; then
  trap '"$here"/testcluster/down.sh' EXIT
  WINDOW=6s GRACE=1s "$here"/testcluster/up.sh ingress # the shortest that Knative takes: tests wait for servers to sleep
  . "$here"/testcluster/env.sh
  export TEST_KUBECONFIG=$KC/admin PATH=$BIN:$PATH
fi
k() { kubectl --kubeconfig "$TEST_KUBECONFIG" "$@"; }
k -n knative-serving patch cm config-autoscaler --type merge -p '{"data":{"allow-zero-initial-scale":"true"}}'
k -n knative-serving patch cm config-defaults --type merge -p '{"data":{"max-revision-timeout-seconds":"900"}}'
k apply -k "$here/config"
# Gateway and deployer are processes of this machine here, and images come from no registry.
k -n mcp-system scale deployment --all --replicas=0
k -n mcp-system patch cm mcp-admission --type merge -p '{"data":{"allowedImages":"dev.local/\n","shimImages":"dev.local/mcp-shim\n"}}'
failed=0
(cd "$here/e2e" && go test -count=1 -timeout 30m -parallel 4 . "$@") || failed=1
[ -z "${CONFORMANCE:-}" ] || "$here/conformance.sh" || failed=1
exit $failed
