// Package knative will run plans in a cluster, as Knative services. So far there is only the proof, among its tests,
// that a plan carries what a pod needs; nothing here talks to a cluster.
package knative
