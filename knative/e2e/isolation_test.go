package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"mcpgateway/internal/deploy"
	"mcpgateway/knative/names"
)

// A header that Knative or Kubernetes obeys never comes from a client: whatever it sends, its call reaches its own server.
func TestRoutingHeaders(t *testing.T) {
	s := start(t, documents{servers: sample("own", "") + sample("other", ""), policies: everybody})
	alice := s.token("alice", "own")
	for _, id := range []string{"own", "other"} {
		if a := s.echo(id, s.token("alice", id), "first"); !a.echoes("first") {
			t.Fatalf("%s: %v", id, a)
		}
	}
	other := s.revision("other")
	for name, header := range map[string][]string{
		"revision":  {"Knative-Serving-Revision", other, "Knative-Serving-Namespace", namespace},
		"probe":     {"K-Kubelet-Probe", "queue"},
		"kubelet":   {"User-Agent", "kube-probe/1.35"},
		"network":   {"K-Network-Probe", "queue"},
		"original":  {"K-Original-Host", "mcp-other." + namespace + "." + domain, "K-Passthrough-Lb", "true"},
		"tag":       {"Knative-Serving-Tag", "latest"},
		"forwarded": {"X-Forwarded-Host", "mcp-other." + namespace + "." + domain, "X-Forwarded-For", "10.0.0.1"},
		"upgrade":   {"Connection", "Knative-Serving-Revision", "Knative-Serving-Revision", other},
	} {
		t.Run(name, func(t *testing.T) {
			r := s.toolCall("own", alice, "headers", `{}`)
			for i := 0; i < len(header); i += 2 {
				r.Header.Set(header[i], header[i+1])
			}
			a := ask(r)
			if a.err != nil || a.status != http.StatusOK || strings.Contains(a.body, `"error"`) {
				t.Fatalf("its own server does not answer: %v", a)
			}
			for i := 1; i < len(header); i += 2 {
				if value := header[i]; len(value) > 6 && value != namespace && strings.Contains(a.body, value) {
					t.Errorf("the server was sent %s: %s", header[i-1], value)
				}
			}
		})
	}
}

// Everybody has an instance of their own, and it refuses everybody else, whichever way they come.
func TestInstancesOfUsers(t *testing.T) {
	s := start(t, documents{servers: sample("mine", ", instances: {per: user, max: 2}"), policies: everybody})
	tokens := map[string]string{}
	for _, user := range []string{"alice", "bob"} {
		tokens[user] = s.token(user, "mine")
		if a := s.echo("mine", tokens[user], user); !a.echoes(user) {
			t.Fatalf("%s: %v", user, a)
		}
	}
	s.eventually("a pod runs for each user", time.Minute, func() bool { // on a busy machine one may sleep already
		for user, token := range tokens {
			if a := s.echo("mine", token, user); !a.echoes(user) {
				t.Fatalf("%s, once more: %v", user, a)
			}
		}
		return len(s.pods("mine")) == 2
	})
	name := names.Service([]byte(strings.Repeat("k", 32)), deploy.Key{Server: "mine", Owner: &deploy.Owner{Issuer: s.issuer.URL, Subject: "alice"}})
	// Past the gateway, as somebody in the cluster could.
	past := func(user string) answer {
		r := s.toolCall("mine", tokens[user], "echo", fmt.Sprintf(`{"message":%q}`, user))
		r.URL.Host, r.Host = strings.TrimPrefix(ingress, "http://"), names.Host(name, namespace, domain)
		return ask(r)
	}
	if a := past("alice"); !a.echoes("alice") {
		t.Errorf("its owner: %v", a)
	}
	if a := past("bob"); a.status != http.StatusForbidden {
		t.Errorf("another user: %v", a)
	}
	if a := s.echo("mine", s.token("carol", "mine"), "carol"); a.status != http.StatusTooManyRequests {
		t.Errorf("one more than may be: %v", a)
	}
}
