package main

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"mcpgateway/functions/oauth/seal"
	"mcpgateway/internal/catalog"
	"mcpgateway/internal/documents"
	"mcpgateway/localstack/issuer"
)

// rig is the server with an OpenID provider, the development issuer, both over HTTP.
type rig struct {
	t        *testing.T
	url      string
	gateway  string
	server   *server
	provider *httptest.Server
	upstream *atomic.Value // http.Handler: what the provider is now
	users    []issuer.User
	dir      string
	shift    atomic.Int64 // how far the clock is ahead
}

const gatewayURL = "http://127.0.0.1:9"

// client registered beforehand.
const staticID, staticRedirect, agentID, agentSecret = "known", "http://127.0.0.1/cb", "robot", "robot-secret-0123456789"

func newRig(t *testing.T, servers string) *rig {
	t.Helper()
	r := &rig{t: t, gateway: gatewayURL, dir: t.TempDir(), upstream: new(atomic.Value), users: issuer.DefaultUsers()}
	front := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) { r.server.ServeHTTP(w, q) }))
	r.url = "http://" + front.Listener.Addr().String()
	r.provider = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		r.upstream.Load().(http.HandlerFunc)(w, q)
	}))
	t.Cleanup(r.provider.Close)
	r.serveUsers(r.users)
	r.write("robot", agentSecret)
	r.write("catalog.yaml", "apiVersion: v1\nservers:\n"+servers+"policies: [{name: a, allow: {anyone: true}, servers: ['*']}]\n")
	r.write("platform.yaml", strings.NewReplacer("{up}", r.provider.URL, "{us}", r.url, "{gateway}", gatewayURL).Replace(`apiVersion: v1
publicURL: {gateway}
issuers:
  - {url: "{up}", audiences: ["{resource}"], default: true}
  - {name: oauth, url: "{us}", audiences: ["{resource}"], brokers: ["{up}"]}
oauth:
  url: "{us}"
  provider: {url: "{up}", clientID: mcpgateway}
  clients:
    - {id: known, name: Known, redirects: ["http://127.0.0.1/cb"]}
    - {id: robot, secret: robot}
`))
	r.restart()
	front.Start()
	t.Cleanup(front.Close)
	return r
}

const twoServers = "  - {id: notes, runtime: {command: {exec: x, http: {}}}}\n  - {id: other, runtime: {command: {exec: x, http: {}}}}\n"

func (r *rig) write(name, text string) {
	r.t.Helper()
	if err := os.WriteFile(filepath.Join(r.dir, name), []byte(text), 0o600); err != nil {
		r.t.Fatal(err)
	}
}

// edit changes the platform file, and starts the server anew.
func (r *rig) edit(old, new string) {
	r.t.Helper()
	r.rewrite(old, new)
	r.restart()
}

// rewrite changes the platform file.
func (r *rig) rewrite(old, new string) {
	r.t.Helper()
	text, err := os.ReadFile(filepath.Join(r.dir, "platform.yaml"))
	if err != nil || !strings.Contains(string(text), old) {
		r.t.Fatalf("no %q: %v", old, err)
	}
	r.write("platform.yaml", strings.Replace(string(text), old, new, 1))
}

// serveUsers has the provider know these people from now on.
func (r *rig) serveUsers(users []issuer.User) {
	r.t.Helper()
	i, err := issuer.NewInsecureIssuer(issuer.Config{URL: r.provider.URL, KeyFile: filepath.Join(r.dir, "issuer.pem"), Users: users,
		RedirectURI: r.url + callbackPath, Now: r.now})
	if err != nil {
		r.t.Fatal(err)
	}
	r.upstream.Store(http.HandlerFunc(i.ServeHTTP))
}

func (r *rig) now() time.Time { return time.Now().Add(time.Duration(r.shift.Load())) }

func (r *rig) pass(d time.Duration) { r.shift.Add(int64(d)) }

// restart starts the server anew, with what is on disk.
func (r *rig) restart() {
	r.t.Helper()
	log := slog.New(slog.DiscardHandler)
	files, err := documents.Open(documents.Config{Platform: filepath.Join(r.dir, "platform.yaml"), Conditions: catalog.LeaveConditions, Logger: log})
	if err != nil {
		r.t.Fatal(err)
	}
	if r.server != nil {
		r.server.store.(io.Closer).Close()
	}
	kept, err := openStore(files.Current().Platform, r.now)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { kept.Close() })
	if r.server, err = newServer(files.Current(), kept, log, r.now); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) resource(id string) string { return r.gateway + "/mcp-connect/" + id }

// browser is somebody's, which follows no redirect by itself.
func (r *rig) browser() *http.Client {
	jar, _ := cookiejar.New(nil)
	return &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// visit does one request, and returns where it leads.
func (r *rig) visit(b *http.Client, method, address string, form url.Values) (status int, location, body string) {
	r.t.Helper()
	req, err := http.NewRequest(method, address, strings.NewReader(form.Encode()))
	if err != nil {
		r.t.Fatal(err)
	}
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	resp, err := b.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	data, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, resp.Header.Get("Location"), string(data)
}

const verifier = "a-verifier-that-is-long-enough-to-be-one-0123456789"

func challenge() string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// request are the parameters of a good authorization request.
func (r *rig) request(client, redirectURI string) url.Values {
	return url.Values{"response_type": {"code"}, "client_id": {client}, "redirect_uri": {redirectURI}, "state": {"st/ate"},
		"code_challenge": {challenge()}, "code_challenge_method": {"S256"}, "resource": {r.resource("notes")}}
}

var question = regexp.MustCompile(`name="question" value="([^"]+)"`)

// signIn walks to the page that asks, as user, and returns the question; where there is none, where it led instead.
func (r *rig) signIn(b *http.Client, q url.Values, user string) (id, location string) {
	r.t.Helper()
	status, to, body := r.visit(b, "GET", r.url+"/authorize?"+q.Encode(), nil)
	if status != http.StatusSeeOther || !strings.HasPrefix(to, r.provider.URL) {
		r.t.Fatalf("authorize: %d %s %s", status, to, body)
	}
	status, back, body := r.visit(b, "POST", to, url.Values{"user": {user}})
	if status != http.StatusSeeOther {
		r.t.Fatalf("sign-in: %d %s", status, body)
	}
	_, location, body = r.visit(b, "GET", back, nil)
	if m := question.FindStringSubmatch(body); m != nil {
		id = m[1]
	}
	return id, location
}

// code walks the whole way and returns what the client is handed.
func (r *rig) code(q url.Values, user string) url.Values {
	r.t.Helper()
	b := r.browser()
	id, location := r.signIn(b, q, user)
	if location == "" {
		_, location, _ = r.visit(b, "POST", r.url+"/consent", url.Values{"question": {id}, "answer": {"allow"}})
	}
	u, err := url.Parse(location)
	if err != nil || u.Query().Get("iss") != r.url || u.Query().Get("state") != q.Get("state") {
		r.t.Fatalf("handed back %q", location)
	}
	return u.Query()
}

// answered is an answer of the token endpoint, good or bad.
type answered struct {
	Status  int
	Access  string `json:"access_token"`
	Refresh string `json:"refresh_token"`
	Issued  string `json:"issued_token_type"`
	Life    int    `json:"expires_in"`
	Scope   string
	Error   string
	Page    string `json:"error_uri"`
}

// post sends a form; edit may add headers.
func (r *rig) post(path string, form url.Values, edit ...func(*http.Request)) (a answered) {
	r.t.Helper()
	req, err := http.NewRequest("POST", r.url+path, strings.NewReader(form.Encode()))
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for _, e := range edit {
		e(req)
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	data, _ := io.ReadAll(resp.Body)
	_ = json.Unmarshal(data, &a)
	a.Status = resp.StatusCode
	return a
}

func (r *rig) redeem(code string, change ...string) answered {
	r.t.Helper()
	form := url.Values{"grant_type": {"authorization_code"}, "client_id": {staticID}, "code": {code}, "redirect_uri": {staticRedirect},
		"code_verifier": {verifier}, "resource": {r.resource("notes")}}
	for i := 0; i < len(change); i += 2 {
		form[change[i]] = []string{change[i+1]}
	}
	return r.post("/token", form)
}

func (r *rig) refresh(token string) answered {
	r.t.Helper()
	return r.post("/token", url.Values{"grant_type": {"refresh_token"}, "client_id": {staticID}, "refresh_token": {token}})
}

// tokens signs a user in at the static client.
func (r *rig) tokens(user string) answered {
	r.t.Helper()
	a := r.redeem(r.code(r.request(staticID, staticRedirect), user).Get("code"))
	if a.Status != 200 || a.Access == "" || a.Refresh == "" {
		r.t.Fatalf("no tokens: %+v", a)
	}
	return a
}

func (r *rig) register(metadata string) (status int, m map[string]any) {
	r.t.Helper()
	resp, err := http.Post(r.url+"/register", "application/json", strings.NewReader(metadata))
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	_ = json.NewDecoder(resp.Body).Decode(&m)
	return resp.StatusCode, m
}

func (r *rig) random() string { return seal.Random() }
