#!/bin/bash
# Runs the tests that need pods, in a cluster (cluster.sh). Arguments go to go test:
# knative/e2e-cluster.sh -run TestFailures -v
set -euo pipefail
. "$(dirname "$0")/cluster.sh"
cd "$here/e2e"
go test -count=1 -timeout 30m . "$@"
