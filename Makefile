SHELL       := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

RUNS    ?= 1
FUZZTIME ?= 10s

# Static binaries without paths of this machine: what is tried here is what an image holds.
build_go = CGO_ENABLED=0 go build -trimpath

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "%-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## build all programs into bin/
	@mkdir -p bin
	$(build_go) -o bin/mcpgateway ./cmd/mcpgateway
	$(build_go) -o bin/gateway ./functions/gateway
	$(build_go) -o bin/deployer ./functions/deployer
	$(build_go) -ldflags '-s -w' -o bin/shim ./shim
	$(build_go) -o bin/sample-server ./localstack/sample

run: build ## run the whole system on this machine
	bin/mcpgateway run

test: ## vet, then all tests under the race detector; lists what was skipped
	go vet ./...
	go run ./internal/testreport

lint: ## run the linters of .ci/golangci.yml
	go tool -modfile=.ci/tools/go.mod golangci-lint run --config .ci/golangci.yml ./...

conformance: build ## run the MCP conformance suite direct and through the gateway, RUNS times
	go run ./internal/conformance -runs $(RUNS)

e2e: build ## have other people's clients use the whole system, E2EFLAGS='-only PATTERN' some of them
	go run ./internal/clients $(E2EFLAGS)

e2e-knative: build ## the same in a real Kubernetes with Knative: needs root, and at first 20 minutes or more to build it
	knative/e2e.sh
	CONFORMANCE=1 knative/e2e-cluster.sh -v

bench: build ## measure gateway and shim against two plain reverse proxies
	go run ./internal/bench $(BENCHFLAGS)

fuzz: ## run each fuzz target for FUZZTIME; prints corpus and runs
	go run ./internal/fuzzreport -time $(FUZZTIME) $(FUZZFLAGS)

planted: ## plant a bug for each fuzz target into a copy of the tree, and see it found
	go run ./internal/fuzzplant

clean: ## remove what the targets above made
	rm -rf bin .cache .run

.PHONY: help build run test lint conformance e2e e2e-knative bench fuzz planted clean
