// Package names says what things of a server are called in a cluster. Deployer and gateway must say the same, and the gateway
// must link nothing of Kubernetes, so the names have a package of their own. It knows nothing but how to build them.
package names

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"

	"mcpgateway/internal/deploy"
)

// minKey is the least length of a name key, in bytes: that of the digest.
const minKey = sha256.Size

// ReadKey reads the key that gateway and deployer share, as it is in the file. Users' names are hidden by it, and what shims
// open callers' tokens with is derived from it.
func ReadKey(path string) ([]byte, error) {
	key, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read name key: %w", err)
	}
	if len(key) < minKey {
		return nil, fmt.Errorf("name key %s has %d bytes; it needs %d", path, len(key), minKey)
	}
	return key, nil
}

// Service is the name of the Knative service that runs an instance: mcp-<id>, and mcp-<id>-<owner> where it is a user's.
// The catalog sees to it that it is a DNS label. key is for users' instances only.
func Service(key []byte, k deploy.Key) string {
	if k.Owner == nil {
		return "mcp-" + k.Server
	}
	return "mcp-" + k.Server + "-" + Owner(key, *k.Owner)
}

// Owner stands for a user in names and labels, in 16 hex digits. Who sees the cluster's names and not the key can neither
// read nor try out whose they are.
func Owner(key []byte, o deploy.Owner) string {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(o.Issuer + "\x00" + o.Subject)) // no issuer holds a zero byte: it is a URL
	return hex.EncodeToString(mac.Sum(nil)[:8])
}

// Host is the name under which Knative's ingress knows a service.
func Host(service, namespace, domain string) string { return service + "." + namespace + "." + domain }
