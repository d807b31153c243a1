// Package config is what runs gateway and deployer in a cluster, as YAML for kubectl apply -k, with the tests of it. It
// has no code of its own.
//
// The tests of rights and admission ask a real API server, which knative/e2e.sh brings up.
package config
