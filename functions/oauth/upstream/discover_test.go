package upstream

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestFind(t *testing.T) {
	r := newRig(t)
	m, err := r.us.Find(t.Context())
	if err != nil || m.Issuer != r.URL || m.Token != r.URL+"/token" || strings.Join(m.asked, " ") != "notes offline_access" {
		t.Fatalf("%+v, %v", m, err)
	}
	if _, err := r.us.Find(t.Context()); err != nil || r.Counted("/mcp") != 1 {
		t.Errorf("asked %d times, %v", r.Counted("/mcp"), err)
	}
	r.pass(knownFor)
	if _, err := r.us.Find(t.Context()); err != nil || r.Counted("/mcp") != 2 {
		t.Errorf("asked %d times after a while, %v", r.Counted("/mcp"), err)
	}
}

// Metadata is where the challenge says, and else where it may be.
func TestFindWithoutChallenge(t *testing.T) {
	r := newRig(t)
	r.Before = func(w http.ResponseWriter, q *http.Request) bool {
		if q.URL.Path == "/mcp" {
			http.NotFound(w, q)
		}
		return q.URL.Path == "/mcp"
	}
	if m, err := r.us.Find(t.Context()); err != nil || strings.Join(m.asked, " ") != "notes offline_access" {
		t.Errorf("%+v, %v", m, err)
	}
}

// Each of these is no place to send a person or a token to.
func TestFindRefuses(t *testing.T) {
	stranger := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, q *http.Request) { t.Errorf("a stranger was asked for %s", q.URL) }))
	defer stranger.Close()
	body := func(path, text string) func(*rig) {
		return func(r *rig) {
			r.Before = func(w http.ResponseWriter, q *http.Request) bool {
				if strings.HasPrefix(q.URL.Path, path) {
					_, _ = io.WriteString(w, strings.ReplaceAll(text, "{url}", r.URL))
				}
				return strings.HasPrefix(q.URL.Path, path)
			}
		}
	}
	edit := func(document, name string, value any) func(*rig) {
		return func(r *rig) {
			r.Edit = func(of string, m map[string]any) {
				if of == document {
					m[name] = value
				}
			}
		}
	}
	const prm, as = "/.well-known/oauth-protected-resource", "/.well-known/o"
	for name, broken := range map[string]func(*rig){
		"another resource":                edit("resource", "resource", "https://other.example/mcp"),
		"a resource of another spelling":  func(r *rig) { edit("resource", "resource", r.Resource+"/")(r) },
		"no authorization server":         edit("resource", "authorization_servers", []string{}),
		"an inward authorization server":  edit("resource", "authorization_servers", []string{stranger.URL}),
		"a public one in plain text":      edit("resource", "authorization_servers", []string{"http://192.0.2.1"}),
		"an issuer with a query":          func(r *rig) { edit("resource", "authorization_servers", []string{r.URL + "?a"})(r) },
		"an issuer with a fragment":       func(r *rig) { edit("resource", "authorization_servers", []string{r.URL + "#a"})(r) },
		"another issuer":                  edit("issuer", "issuer", "https://other.example"),
		"the issuer with a slash":         func(r *rig) { edit("issuer", "issuer", r.URL+"/")(r) },
		"no PKCE":                         edit("issuer", "code_challenge_methods_supported", []string{"plain"}),
		"PKCE that is not said":           edit("issuer", "code_challenge_methods_supported", nil),
		"a script":                        edit("issuer", "authorization_endpoint", "javascript:alert(1)"),
		"a token endpoint with a user":    edit("issuer", "token_endpoint", "https://user@login.example/token"),
		"no token endpoint":               edit("issuer", "token_endpoint", ""),
		"endpoints that are no texts":     edit("issuer", "token_endpoint", []string{"https://login.example/token"}),
		"huge metadata":                   edit("issuer", "more", strings.Repeat("a", maxBody)),
		"huge metadata of the resource":   edit("resource", "more", strings.Repeat("a", maxBody)),
		"HTML":                            body(as, "<html>"),
		"an array":                        body(prm, `[{"resource":"{url}/mcp","authorization_servers":["{url}"]}]`),
		"a name twice":                    body(prm, `{"resource":"{url}/mcp","authorization_servers":["{url}"],"resource":"{url}/mcp"}`),
		"a name in another case":          body(prm, `{"Resource":"{url}/mcp","authorization_servers":["{url}"]}`),
		"what follows":                    body(prm, `{"resource":"{url}/mcp","authorization_servers":["{url}"]}{}`),
		"metadata by redirect":            redirects(prm, stranger.URL),
		"issuer by redirect":              redirects("/.well-known/oauth-authorization-server", stranger.URL),
		"a challenge that leads inward":   challenges(`Bearer resource_metadata="` + stranger.URL + `/x"`),
		"a challenge that leads nowhere":  challenges(`Bearer resource_metadata="file:///etc/passwd"`),
		"a challenge in another document": challenges(`Bearer resource_metadata="{url}/elsewhere"`),
		"slow metadata": func(r *rig) {
			r.us.http.Timeout = 50 * time.Millisecond
			r.Before = func(_ http.ResponseWriter, q *http.Request) bool {
				if strings.HasPrefix(q.URL.Path, prm) {
					<-q.Context().Done()
				}
				return strings.HasPrefix(q.URL.Path, prm)
			}
		},
	} {
		r := newRig(t)
		broken(r)
		m, err := r.us.Find(t.Context())
		if err == nil || !errors.Is(err, ErrUnavailable) {
			t.Errorf("%s: %+v, %v", name, m, err)
		}
		asked := r.Counted("/mcp")
		if _, again := r.us.Find(t.Context()); again == nil || r.Counted("/mcp") != asked {
			t.Errorf("%s: asked again at once", name)
		}
		if _, _, err := r.us.SignInURL(t.Context(), "state", "challenge"); err == nil || r.Counted("/register") != 0 {
			t.Errorf("%s: registered all the same", name)
		}
	}
}

func redirects(path, to string) func(*rig) {
	return func(r *rig) {
		r.Before = func(w http.ResponseWriter, q *http.Request) bool {
			if strings.HasPrefix(q.URL.Path, path) {
				http.Redirect(w, q, to+q.URL.Path, http.StatusTemporaryRedirect)
			}
			return strings.HasPrefix(q.URL.Path, path)
		}
	}
}

func challenges(challenge string) func(*rig) {
	return func(r *rig) {
		r.Before = func(w http.ResponseWriter, q *http.Request) bool {
			if q.URL.Path == "/mcp" {
				w.Header().Set("WWW-Authenticate", strings.ReplaceAll(challenge, "{url}", r.URL))
				w.WriteHeader(http.StatusUnauthorized)
			}
			return q.URL.Path == "/mcp"
		}
	}
}

// Without the operator's word nothing inside is asked, whatever leads there.
func TestFindInward(t *testing.T) {
	inside := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("it was asked") }))
	defer inside.Close()
	r := newRig(t, func(c *Config) {
		c.Egress, c.Resource = nil, inside.URL+"/mcp"
	})
	r.us.Roots = inside.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	if _, err := r.us.Find(t.Context()); !unavailable(err) {
		t.Error(err)
	}
}

// The operator may name the authorization server of a server that says nothing of it.
func TestFindWithIssuer(t *testing.T) {
	r := newRig(t)
	r.us.Issuer = r.URL
	r.Before = func(w http.ResponseWriter, q *http.Request) bool {
		if strings.Contains(q.URL.Path, "protected-resource") {
			http.NotFound(w, q)
			return true
		}
		return false
	}
	if m, err := r.us.Find(t.Context()); err != nil || m.Issuer != r.URL || strings.Join(m.asked, " ") != "notes offline_access" {
		t.Errorf("%+v, %v", m, err)
	}
}

func TestMetadataAddresses(t *testing.T) {
	for issuer, want := range map[string]string{
		"https://a.example": "https://a.example/.well-known/oauth-authorization-server https://a.example/.well-known/openid-configuration",
		"https://a.example/t/1": "https://a.example/.well-known/oauth-authorization-server/t/1 https://a.example/.well-known/openid-configuration/t/1 " +
			"https://a.example/t/1/.well-known/openid-configuration",
	} {
		if got := strings.Join(metadataAddresses(issuer), " "); got != want {
			t.Errorf("%s: %s", issuer, got)
		}
	}
	for resource, want := range map[string]string{
		"https://a.example":     "https://a.example/.well-known/oauth-protected-resource",
		"https://a.example/":    "https://a.example/.well-known/oauth-protected-resource",
		"https://a.example/mcp": "https://a.example/.well-known/oauth-protected-resource/mcp https://a.example/.well-known/oauth-protected-resource",
	} {
		if got := strings.Join(resourceAddresses(resource), " "); got != want {
			t.Errorf("%s: %s", resource, got)
		}
	}
}

func TestChallenges(t *testing.T) {
	for header, want := range map[string]challenge{
		`Bearer resource_metadata="https://a.example/x", scope="a b"`:                      {"https://a.example/x", "a b"},
		`bearer error="invalid_token",resource_metadata=https://a.example/x`:               {"https://a.example/x", ""},
		`Basic realm="a, Bearer resource_metadata=\"https://evil.example\"", Bearer a="b"`: {},
		`Basic realm="x", Bearer scope="s\"t"`:                                             {"", `s"t`},
		`Negotiate, Bearer resource_metadata="https://a.example/x"`:                        {"https://a.example/x", ""},
		`Bearer`: {},
		`Bearer resource_metadata="https://a.example/x`: {},
	} {
		if got, found := parseChallenges([]string{header}); got != want || !found {
			t.Errorf("%s: %+v %v", header, got, found)
		}
	}
	if _, found := parseChallenges([]string{`Basic realm="x"`, "", "=", `"`}); found {
		t.Error("found where there is none")
	}
}
