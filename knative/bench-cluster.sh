#!/bin/bash
# Runs the benchmark of waking and calling servers in the test cluster (cluster.sh), whose node's logs it reads.
# Arguments go to it: knative/bench-cluster.sh -pairs 5 -only cold
set -euo pipefail
. "$(dirname "$0")/cluster.sh"
cd "$here/.."
TEST_LOGS=$LOG go run ./knative/bench "$@"
