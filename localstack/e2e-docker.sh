#!/bin/bash
# Tries servers as containers with an engine of its own: installs Debian's docker.io and docker-compose where there are none,
# starts dockerd in a temporary folder, runs the tests of the Docker deployer and of the whole path there, none of which may be
# skipped, and the MCP suite, and ends it. Needs root, npm and the built programs (make build).
set -euo pipefail
cd "$(dirname "$0")/.."

need() {
	command -v "$1" >/dev/null && return
	echo "installing $2"
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$2" >/dev/null
}
need dockerd docker.io
need iptables iptables
need ip iproute2
docker compose version >/dev/null 2>&1 || need docker-compose docker-compose

# bridges are the names of networks that engines made on this machine.
bridges() { ip -brief link show type bridge | grep -oE '^br-[0-9a-f]{12}' || true; }

dir=$(mktemp -d)
before=$(bridges)
stop() {
	if [ -s "$dir/pid" ]; then
		kill "$(cat "$dir/pid")" 2>/dev/null || true
		for _ in $(seq 300); do [ -e "$dir/pid" ] || break; sleep 0.1; done
	fi
	# Bridges outlive their engine: each takes a range of addresses from the next, of which there are 31.
	for bridge in $(bridges); do grep -qxF "$bridge" <<<"$before" || ip link delete "$bridge" || true; done
	umount "$dir"/exec/netns/* 2>/dev/null || true # the engine leaves that of containers in this machine's network
	rm -rf "$dir"
}
trap stop EXIT
dockerd --bridge none --host "unix://$dir/docker.sock" --data-root "$dir/data" --exec-root "$dir/exec" --pidfile "$dir/pid" >"$dir/log" 2>&1 &
export DOCKER_HOST=unix://$dir/docker.sock TEST_DOCKER=required
for _ in $(seq 300); do [ -S "$dir/docker.sock" ] && break; sleep 0.1; done
[ -S "$dir/docker.sock" ] || { tail -n 40 "$dir/log"; exit 1; }

go test -count=1 -timeout 10m "$@" ./internal/deploy/docker
TEST_NETWORK=1 go test -count=1 -timeout 5m -run 'TestContainers|TestHostileContainer|TestCompose' "$@" ./internal/e2e
go run ./internal/conformance -only servers -docker
go run ./internal/clients -docker
