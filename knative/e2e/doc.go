// Package e2e tests gateway, deployer and shims against a real cluster with Knative. It holds nothing but tests, which skip
// where TEST_KUBECONFIG names no cluster; "make e2e-knative" brings one up (testcluster) and runs them.
//
// Gateway and deployer are processes of this machine, with the rights that they have in a cluster; what they start are
// pods.
package e2e
