package knative

import (
	"mcpgateway/internal/deploy"
	"mcpgateway/knative/names"
)

// ServiceName is the name of the Knative service that runs an instance, as the gateway builds it too. nameKey is for users'
// instances only.
func ServiceName(nameKey []byte, key deploy.Key) string { return names.Service(nameKey, key) }

// Host is the name under which Knative's ingress knows a service.
func Host(service, namespace, domain string) string { return names.Host(service, namespace, domain) }
