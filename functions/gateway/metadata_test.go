package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"mcpgateway/internal/identity"
)

func TestSignInAt(t *testing.T) {
	issuers := []identity.Issuer{{URL: "https://provider.test"}, {URL: "https://partner.test"}, {URL: "https://oauth.test", Brokers: []string{"https://provider.test"}}}
	if diff := cmp.Diff([]string{"https://oauth.test", "https://partner.test"}, signInAt(issuers)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"https://provider.test", "https://partner.test"}, signInAt(issuers[:2])); diff != "" {
		t.Error(diff)
	}
}
