package config

// The labels of everything that the deployer makes.
const (
	labelServer  = "mcpgateway.dev/server"
	labelOwner   = "mcpgateway.dev/owner"
	labelManager = "app.kubernetes.io/managed-by"
)
