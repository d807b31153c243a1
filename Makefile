SHELL       := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

RUNS    ?= 1
VERSION ?= devel
FUZZTIME ?= 10s
FRONT   ?= url
DEPLOYER ?= process

# Static binaries without paths of this machine: what is tried here is what an image holds.
build_go = CGO_ENABLED=0 go build -trimpath

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "%-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## build all programs into bin/
	@mkdir -p bin
	$(build_go) -o bin/mcpgateway ./cmd/mcpgateway
	$(build_go) -o bin/gateway ./functions/gateway
	$(build_go) -o bin/deployer ./functions/deployer
	$(build_go) -o bin/oauth ./functions/oauth
	$(build_go) -o bin/audit ./functions/audit
	$(build_go) -o bin/sessions ./functions/sessions
	$(build_go) -o bin/keys ./functions/keys
	$(build_go) -ldflags '-s -w' -o bin/shim ./shim
	$(build_go) -o bin/sample-server ./localstack/sample

package: ## make the zips of the functions, for arm64 and amd64, into bin/; VERSION=... names them
	go run ./internal/bundle -version $(VERSION)

run: build ## run the whole system on this machine; DEPLOYER=docker has the servers be containers
	bin/mcpgateway run --deployer $(DEPLOYER)

run-lambda: build ## the same with the gateway as a function behind a front of AWS, FRONT=rest,remap,lag for another
	bin/mcpgateway run --lambda $(FRONT)

test: ## vet, then all tests under the race detector; lists what was skipped
	go vet ./...
	go run ./internal/testreport

lint: ## run the linters of .ci/golangci.yml
	go tool -modfile=.ci/tools/go.mod golangci-lint run --config .ci/golangci.yml ./...

conformance: build ## run the MCP conformance suite direct and through the gateway, RUNS times, as a process and as a function
	go run ./internal/conformance -runs $(RUNS)
	go run ./internal/conformance -runs $(RUNS) -lambda url

e2e: build ## have other people's clients use the whole system, E2EFLAGS='-only PATTERN' some of them
	go run ./internal/clients $(E2EFLAGS)

e2e-knative: build ## the same in a real Kubernetes with Knative: needs root, and at first 20 minutes or more to build it
	log=$$(mktemp); knative/e2e.sh >"$$log" 2>&1 & failed=0; CONFORMANCE=1 knative/e2e-cluster.sh -v || failed=1; \
	wait $$! || failed=1; cat "$$log"; rm "$$log"; exit $$failed

e2e-docker: build ## try servers as containers with a Docker Engine of its own: needs root, and installs docker.io where there is none
	localstack/e2e-docker.sh

kind: ## make a cluster in Docker with Knative and Kourier, and put our images in; KINDFLAGS=--dry-run prints how
	knative/kind.sh $(KINDFLAGS)

e2e-aws: ## apply the Terraform modules here and have clients use the URL: needs Java, Node.js and npm
	TEST_AWS=1 TEST_NETWORK=1 go test -count=1 -timeout 9m ./internal/e2eaws

test-terraform: ## try the Terraform modules with schema stubs for providers: builds Terraform where there is none, needs npm
	TEST_TERRAFORM=1 go test -count=1 -timeout 15m ./internal/schemastub/... ./internal/terraformtest

bench: build ## measure gateway and shim against two plain reverse proxies
	go run ./internal/bench $(BENCHFLAGS)

bench-knative: build ## measure wakes and calls in a real cluster against a bare Knative service; needs what e2e-knative does
	knative/bench-cluster.sh $(BENCHFLAGS)

bench-lambda: build package ## measure the gateway as a function: its start against a hello world's, its calls and events against a gateway that is a server
	$(build_go) -tags lambda.norpc -ldflags '-s -w' -o bin/hello ./internal/bench/lambda/hello
	go run ./internal/bench/lambda $(BENCHFLAGS)

fuzz: ## run each fuzz target for FUZZTIME; prints corpus and runs
	go run ./internal/fuzzreport -time $(FUZZTIME) $(FUZZFLAGS)

planted: ## plant a bug for each fuzz target into a copy of the tree, and see it found
	go run ./internal/fuzzplant

clean: ## remove what the targets above made
	rm -rf bin .cache .run

.PHONY: help build package run run-lambda test lint conformance e2e e2e-docker e2e-knative kind test-terraform e2e-aws bench bench-knative bench-lambda fuzz planted clean
