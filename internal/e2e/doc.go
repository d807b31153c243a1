// Package e2e tests the whole path with the real programs: gateway, deployer, shims and servers as processes, and
// issuers that sign real tokens. It has no code of its own.
package e2e
