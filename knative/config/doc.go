// Package config is what runs gateway and deployer in a cluster, as YAML for kubectl apply -k, with the tests of it. It
// has no code of its own.
//
// The tests of admission and of rights ask a real API server: knative/e2e.sh brings one up.
package config
