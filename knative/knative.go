// Package knative runs plans in a cluster, as Knative services that scale from zero and back.
//
// The Make… functions (resources.go, pod.go) are pure: a plan and the cluster's settings give the objects. Deployer reads
// what is there, plans, applies and watches; it never reads a Secret, and it wakes nothing: to send a request is to wake.
package knative
