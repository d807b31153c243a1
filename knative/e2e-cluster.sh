#!/bin/bash
# Runs the tests that need pods, in a cluster (cluster.sh). Arguments go to go test:
# knative/e2e-cluster.sh -run TestFailures -v
# CONFORMANCE=1 also runs the MCP conformance suite in it (conformance.sh, which needs what make build makes).
set -euo pipefail
. "$(dirname "$0")/cluster.sh"
. "$here"/externalsecrets.sh
eso_build "$BIN"
for types in "$(eso_crds)"/*external-secrets.io_*.yaml; do k apply --server-side -f "$types" >/dev/null; done
failed=0
(cd "$here/e2e" && go test -count=1 -timeout 30m -parallel 4 . "$@") || failed=1
[ -z "${CONFORMANCE:-}" ] || "$here/conformance.sh" || failed=1
exit $failed
