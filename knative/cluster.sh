# Sourced: brings up a whole cluster of its own (testcluster) until the script ends, or takes the one that TEST_KUBECONFIG
# names, and puts into it what config/README.md asks of a cluster.
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here"/testcluster/env.sh
export PATH=$BIN:$PATH
if [ -z "${TEST_KUBECONFIG:-}" ]; then
  trap '"$here"/testcluster/down.sh' EXIT
  WINDOW=6s GRACE=1s "$here"/testcluster/up.sh ingress # the shortest that Knative takes: tests wait for servers to sleep
  export TEST_KUBECONFIG=$KC/admin
fi
k() { kubectl --kubeconfig "$TEST_KUBECONFIG" "$@"; }
k -n knative-serving patch cm config-autoscaler --type merge -p '{"data":{"allow-zero-initial-scale":"true"}}'
k -n knative-serving patch cm config-defaults --type merge -p '{"data":{"max-revision-timeout-seconds":"900"}}'
k apply -k "$here/config"
# Gateway and deployer are processes of this machine here, and images come from no registry.
k -n mcp-system scale deployment --all --replicas=0
k -n mcp-system patch cm mcp-admission --type merge -p '{"data":{"allowedImages":"dev.local/\n","shimImages":"dev.local/mcp-shim\n"}}'
