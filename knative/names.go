package knative

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"mcpgateway/internal/deploy"
)

// maxName is the longest name of a Knative service: it is a DNS label (RFC 1123, section 2.1).
const maxName = 63

// ServiceName names the service of an instance: mcp-<id>, and where each user has an instance of their own, the owner's
// 16 hex digits after it. Those are an HMAC, so that who may list services does not learn whose they are, and nobody can
// choose a subject that has another's name.
func ServiceName(nameKey []byte, key deploy.Key) (string, error) {
	name := "mcp-" + key.Server
	if key.Owner != nil {
		owner, err := ownerName(nameKey, *key.Owner)
		if err != nil {
			return "", err
		}
		name += "-" + owner
	}
	if len(name) > maxName {
		return "", fmt.Errorf("the service's name %s has %d characters; a cluster takes %d", name, len(name), maxName)
	}
	return name, nil
}

// Host is the name under which the ingress knows a service.
func Host(service, namespace, domain string) string { return service + "." + namespace + "." + domain }

// minNameKey is the least length of the key that hides owners, in bytes.
const minNameKey = 32

func ownerName(key []byte, owner deploy.Owner) (string, error) {
	if len(key) < minNameKey {
		return "", errors.New("instances of users need a name key of 32 bytes; deployer.knative.nameKey names its file")
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(owner.Issuer + "\x00" + owner.Subject))
	return hex.EncodeToString(mac.Sum(nil)[:8]), nil
}
