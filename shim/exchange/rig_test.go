package exchange

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"mcpgateway/internal/identity"
	"mcpgateway/internal/mcp"
	"mcpgateway/internal/rules"
	"mcpgateway/internal/secret"
)

const resource = "https://gateway.test/mcp-connect/github"

// caller is somebody whose token lasts an hour; tests change what they are about.
func caller() identity.Identity {
	return identity.Identity{Issuer: "https://issuer.test", Subject: "alice", Client: "app", Scopes: []string{"read"}, ACR: "1",
		Expiry: time.Now().Add(time.Hour)}
}

func callerAs(subject string) identity.Identity {
	who := caller()
	who.Subject = subject
	return who
}

var subject = secret.New("subject-token-of-alice")

// issuer is a token endpoint that the test writes, without a network.
type issuer struct {
	mu       sync.Mutex
	requests []url.Values
	headers  []http.Header
	answer   func(n int) (status int, body string) // to request n, from 1
	blocked  chan struct{}                         // if not nil, answers wait for it
}

// RoundTrip implements http.RoundTripper.
func (i *issuer) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, err
	}
	i.mu.Lock()
	i.requests, i.headers = append(i.requests, form), append(i.headers, r.Header.Clone())
	n := len(i.requests)
	i.mu.Unlock()
	if i.blocked != nil {
		select {
		case <-i.blocked:
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
	status, text := i.answer(n)
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(text))}, nil
}

func (i *issuer) asked() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return len(i.requests)
}

// gives answers every request with a token of its own that lasts for seconds.
func gives(seconds int) func(int) (int, string) {
	return func(n int) (int, string) {
		return 200, fmt.Sprintf(`{"access_token":"issued-%d","token_type":"Bearer","expires_in":%d}`, n, seconds)
	}
}

func says(status int, body string) func(int) (int, string) {
	return func(int) (int, string) { return status, body }
}

// testRules ask for a token by RFC 8693, as a client without a secret.
func testRules() rules.Credentials {
	return rules.Credentials{Exchange: &rules.Exchange{Grant: rules.GrantTokenExchange, URL: "https://login.test/token", Egress: "public",
		SubjectTokenType: "access_token", RequestedTokenType: "access_token", Client: rules.Client{ID: "shim", Auth: rules.AuthNone}}}
}

// newExchanger makes an exchanger that asks i.
func newExchanger(t testing.TB, c rules.Credentials, s Secrets, i *issuer) *Exchanger {
	t.Helper()
	e, err := New(Config{Resource: resource, Rules: c, Secrets: s, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if e.endpoint != nil && i != nil {
		e.endpoint.http = i
	}
	return e
}

// tokenOf is what the server would be sent.
func tokenOf(t testing.TB, e *Exchanger, s secret.Text, who identity.Identity) (string, *mcp.Error) {
	t.Helper()
	c, err := e.Credential(t.Context(), s, who)
	if err != nil {
		return "", mcp.AsError(err)
	}
	return sent(t, c), nil
}

func sent(t testing.TB, c *Credential) string {
	t.Helper()
	h := http.Header{}
	if err := c.Set(h, c.exchanger.rules.Origin); err != nil {
		t.Fatal(err)
	}
	return h.Get("Authorization")
}

// listening is a token endpoint on a socket, and rules that lead to it.
func listening(t *testing.T, h http.HandlerFunc) rules.Credentials {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body) // before it is, a server does not see that the client left
		r.Body = io.NopCloser(strings.NewReader(string(body)))
		h(w, r)
	}))
	t.Cleanup(s.Close)
	c := testRules()
	c.Exchange.URL = s.URL + "/token"
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	c.Exchange.Egress = "127.0.0.1/32 " + u.Port()
	return c
}
