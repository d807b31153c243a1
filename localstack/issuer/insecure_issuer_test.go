package issuer

import (
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mcpgateway/internal/identity"
)

const resource = "http://127.0.0.1:8080/mcp-connect/notes"

// serve runs an issuer with the default users and the key file.
func serve(t *testing.T, keyFile string) *InsecureIssuer {
	t.Helper()
	server := httptest.NewUnstartedServer(nil)
	i, err := NewInsecureIssuer(Config{
		URL: "http://" + server.Listener.Addr().String(), KeyFile: keyFile, Users: DefaultUsers(),
	})
	if err != nil {
		t.Fatal(err)
	}
	server.Config.Handler = i
	server.Start()
	t.Cleanup(server.Close)
	return i
}

func verifier(t *testing.T, issuerURL string) *identity.Verifier {
	t.Helper()
	v, err := identity.NewVerifier(identity.Config{
		Issuers: []identity.Issuer{{URL: issuerURL, Audiences: []string{"{resource}"}}},
		Logger:  slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestTokensPassTheVerifier(t *testing.T) {
	i := serve(t, filepath.Join(t.TempDir(), "key"))
	v := verifier(t, i.URL())
	for _, u := range i.Users() {
		token, err := i.Token(u.Name, resource, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		got, err := v.Verify(t.Context(), token, []string{resource})
		if err != nil {
			t.Fatal(err)
		}
		want := identity.Identity{
			Issuer: i.URL(), Subject: u.Name, Groups: u.Groups, Client: ClientID, Expiry: got.Expiry,
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		if left := time.Until(got.Expiry); left < 59*time.Minute || left > time.Hour {
			t.Errorf("valid for %v", left)
		}
		if _, err := v.Verify(t.Context(), token, []string{resource + "2"}); err == nil {
			t.Error("the token opens another server")
		}
	}
	if _, err := i.Token("mallory", resource, time.Hour); err == nil {
		t.Error("a token for nobody")
	}
}

func TestKeyOutlivesRestart(t *testing.T) {
	file := filepath.Join(t.TempDir(), "key")
	first, second := serve(t, file), serve(t, file)
	if diff := cmp.Diff(first.keys.Keys[0].KeyID, second.keys.Keys[0].KeyID); diff != "" {
		t.Error(diff)
	}
	if other := serve(t, file+"2"); other.keys.Keys[0].KeyID == first.keys.Keys[0].KeyID {
		t.Error("two issuers have one key")
	}
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key file: %v, %v", info.Mode(), err)
	}
	left, err := filepath.Glob(file + ".*")
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestKeyFileRefused(t *testing.T) {
	dir := t.TempDir()
	good := filepath.Join(dir, "good")
	serve(t, good)
	text, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		text string
		mode os.FileMode
	}{
		"readable by others": {string(text), 0o644},
		"readable by group":  {string(text), 0o640},
		"empty":              {"", 0o600},
		"no key":             {"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", 0o600},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(dir, name)
			if err := os.WriteFile(file, []byte(tc.text), tc.mode); err != nil {
				t.Fatal(err)
			}
			if _, err := NewInsecureIssuer(Config{URL: "http://127.0.0.1:1", KeyFile: file, Users: DefaultUsers()}); err == nil {
				t.Error("accepted")
			}
		})
	}
}

func TestNewInsecureIssuerRefuses(t *testing.T) {
	good := Config{URL: "http://127.0.0.1:8081", KeyFile: filepath.Join(t.TempDir(), "key"), Users: DefaultUsers()}
	if _, err := NewInsecureIssuer(good); err != nil {
		t.Fatal(err)
	}
	for _, address := range []string{
		"", "127.0.0.1:8081", "http://127.0.0.1:8081/", "http://127.0.0.1:8081/x", "https://127.0.0.1:8081",
		"http://0.0.0.0:8081", "http://192.0.2.1", "http://issuer.example", "http://a@127.0.0.1", "http://127.0.0.1?x",
	} {
		c := good
		c.URL = address
		if _, err := NewInsecureIssuer(c); err == nil {
			t.Errorf("%q is accepted", address)
		}
	}
	c := good
	c.Users = nil
	if _, err := NewInsecureIssuer(c); err == nil {
		t.Error("no users are accepted")
	}
	c = good
	c.KeyFile = ""
	if _, err := NewInsecureIssuer(c); err == nil {
		t.Error("no key file is accepted")
	}
}

func TestMetadata(t *testing.T) {
	i := serve(t, filepath.Join(t.TempDir(), "key"))
	for _, path := range []string{"/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"} {
		resp, err := http.Get(i.URL() + path)
		if err != nil {
			t.Fatal(err)
		}
		var doc struct {
			Issuer   string `json:"issuer"`
			Keys     string `json:"jwks_uri"`
			Endpoint string `json:"token_endpoint"`
		}
		err = json.NewDecoder(resp.Body).Decode(&doc)
		if err := errors.Join(err, resp.Body.Close()); err != nil {
			t.Fatal(err)
		}
		if doc.Issuer != i.URL() || doc.Keys != i.URL()+"/keys" || doc.Endpoint != i.URL()+"/token" {
			t.Errorf("%s: %+v", path, doc)
		}
	}
}

func TestTokenEndpoint(t *testing.T) {
	i := serve(t, filepath.Join(t.TempDir(), "key"))
	v := verifier(t, i.URL())
	good := url.Values{"grant_type": {GrantType}, "user": {"bob"}, "resource": {resource}}
	change := func(name, value string) url.Values {
		form := url.Values{}
		for k, v := range good {
			form[k] = v
		}
		form.Set(name, value)
		return form
	}
	for _, tc := range []struct {
		name   string
		form   url.Values
		header http.Header
		host   string
		from   string
		status int
		code   string
	}{
		{name: "JSON", form: good, status: 200},
		{name: "text", form: good, header: http.Header{"Accept": {"text/plain"}}, status: 200},
		{name: "from Node", form: good, header: http.Header{"Sec-Fetch-Mode": {"cors"}}, status: 200},
		{name: "from [::1]", form: good, from: "[::1]:5", status: 200},
		{name: "from elsewhere", form: good, from: "192.0.2.1:5", status: 403, code: "access_denied"},
		{name: "from nowhere", form: good, from: "@", status: 403, code: "access_denied"},
		{name: "a page", form: good, header: http.Header{"Origin": {"https://evil.example"}}, status: 403, code: "access_denied"},
		{name: "a page without origin", form: good, header: http.Header{"Origin": {"null"}}, status: 403, code: "access_denied"},
		{name: "a form", form: good, header: http.Header{"Sec-Fetch-Site": {"cross-site"}}, status: 403, code: "access_denied"},
		{name: "rebinding", form: good, host: "evil.example", status: 421, code: "invalid_request"},
		{name: "no grant", form: change("grant_type", ""), status: 400, code: "unsupported_grant_type"},
		{name: "password", form: change("grant_type", "password"), status: 400, code: "unsupported_grant_type"},
		{name: "nobody", form: change("user", "mallory"), status: 400, code: "invalid_grant"},
		{name: "no resource", form: change("resource", ""), status: 400, code: "invalid_target"},
		{name: "no URL", form: change("resource", "notes"), status: 400, code: "invalid_target"},
		{name: "fragment", form: change("resource", resource+"#a"), status: 400, code: "invalid_target"},
		{name: "no UTF-8", form: change("resource", resource+"\xe1"), status: 400, code: "invalid_target"},
		{name: "long", form: change("x", strings.Repeat("x", maxForm)), status: 400, code: "invalid_request"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodPost, i.TokenURL(), strings.NewReader(tc.form.Encode()))
			r.RemoteAddr = "127.0.0.1:5"
			if tc.from != "" {
				r.RemoteAddr = tc.from
			}
			if tc.host != "" {
				r.Host = tc.host
			}
			for k, v := range tc.header {
				r.Header[k] = v
			}
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			w := httptest.NewRecorder()
			i.ServeHTTP(w, r)
			body, err := io.ReadAll(w.Result().Body)
			if err != nil || w.Code != tc.status || w.Header().Get("Cache-Control") != "no-store" && tc.status != 421 {
				t.Fatalf("got %d %v %s, %v", w.Code, w.Header(), body, err)
			}
			if tc.status != 200 {
				var failed struct{ Error string }
				if err := json.Unmarshal(body, &failed); err != nil || failed.Error != tc.code {
					t.Errorf("got %s, %v", body, err)
				}
				return
			}
			token := strings.TrimSpace(string(body))
			if w.Header().Get("Content-Type") == "application/json" {
				var granted struct {
					Token string `json:"access_token"`
				}
				if err := json.Unmarshal(body, &granted); err != nil {
					t.Fatal(err)
				}
				token = granted.Token
			}
			if id, err := v.Verify(t.Context(), token, []string{resource}); err != nil || id.Subject != "bob" {
				t.Errorf("got %v, %v", id, err)
			}
		})
	}
	resp, err := http.Get(i.TokenURL() + "?" + good.Encode())
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("GET gives %s", resp.Status)
	}
}
