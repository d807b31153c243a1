package e2e

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"mcpgateway/functions/oauth/upstream/upstreamtest"
	"mcpgateway/internal/peers"
	"mcpgateway/internal/proxytest"
	"mcpgateway/localstack/issuer"
)

//go:embed testdata/pages.mjs
var pagesScript []byte

// chromium is the machine's, which Debian packages as chromium. It is required where TEST_CHROMIUM is set.
func chromium(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("chromium")
	switch {
	case err == nil && os.Getenv("TEST_NETWORK") != "":
		return path
	case os.Getenv("TEST_CHROMIUM") != "":
		t.Fatal("TEST_CHROMIUM is set: the program chromium and TEST_NETWORK are needed", err)
	case err != nil:
		t.Skip("it needs the program chromium, which is not here: install the package of that name")
	}
	t.Skip("it needs npm's puppeteer-core and axe-core from the network: TEST_NETWORK is not set")
	return ""
}

// walk is a person's way through pages, and what testdata/pages.mjs saw on it.
type walk struct {
	Name     string   `json:"name"` // also of its screenshots
	Start    string   `json:"start"`
	Stop     string   `json:"stop,omitempty"`
	Press    []string `json:"press"`
	Keyboard bool     `json:"keyboard,omitempty"`
	Script   bool     `json:"script,omitempty"`
	Width    int      `json:"width,omitempty"`
	Scheme   string   `json:"scheme,omitempty"`
	Rules    []string `json:"rules,omitempty"` // of axe-core
}

type walked struct {
	Status int
	Ended  string
	Asked  []string // all that the browser asked for
	Pages  []shown
}

type shown struct {
	URL, Title, Text, Lang, Stuck, Scripted string

	Overflow   int      // pixels that do not fit into the width
	Buttons    []string // in the order of the keyboard
	Smallest   float64  // pixels of the smaller side of the smallest button
	Tabs       int      // how often Tab was pressed until the button was reached
	Outline    string   // of the button that has the focus
	Violations []string
}

// visit is a request that no page could make, and what came of its answer in a browser.
type visit struct {
	Name    string            `json:"name"`
	URL     string            `json:"url"`
	Method  string            `json:"method,omitempty"`
	Headers map[string]string `json:"headers,omitempty"`
	Body    string            `json:"body,omitempty"`
}

type visited struct {
	Name, Type, Body, Ended, Origin, Stored, Scripted, Shown string

	Status                    int
	Dialogs, Requests, Frames []string
	Cookies                   [2]string // before and after
}

// browsing is the system with people who sign in at the development issuer, in a real browser. Gateway and authorization
// server share an origin, which is the hardest case for both.
type browsing struct {
	*signing
	front *httptest.Server
	node  string
	pages string // the script
}

func startBrowsing(t *testing.T) *browsing {
	t.Helper()
	chromium(t)
	cache, err := filepath.Abs("../../.cache")
	if err != nil {
		t.Fatal(err)
	}
	install := peers.Installer{Dir: cache}
	dir, err := install.NPM(t.Context(), peers.Browser, peers.Accessibility)
	if err != nil {
		t.Fatal(err)
	}
	b := &browsing{signing: &signing{program: "oauth"}, pages: filepath.Join(dir, "pages.mjs")} // it finds its libraries by where it lies
	if b.node, err = install.Node(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(b.pages, pagesScript, 0o600); err != nil {
		t.Fatal(err)
	}
	if b.address, err = proxytest.FreeAddress(); err != nil {
		t.Fatal(err)
	}
	b.front = httptest.NewUnstartedServer(&httputil.ReverseProxy{Rewrite: b.route})
	origin := "http://" + b.front.Listener.Addr().String()
	up := developmentIssuer(t, origin+"/callback")
	far := upstreamtest.Start(t)
	b.system = startAs(t, layout{
		origin: origin,
		issuers: fmt.Sprintf("  - {name: login, url: %q, audiences: [\"{resource}\"]}\n  - {name: oauth, url: %q, audiences: [\"{resource}\"], brokers: [%q]}\n",
			up, origin, up),
		platform: fmt.Sprintf("oauth:\n  url: %q\n  provider: {url: %q, clientID: %s}\n"+
			"  clients: [{id: other-shim, secret: secrets/other, exchange: {server: other, account: {resource: %q, egress: [{cidr: 127.0.0.1/32, ports: [%s]}]}}}]\n",
			origin, up, issuer.AppID, far.Resource, portOf(far.URL)),
		policies: "  - {name: signed-in, allow: {groups: [\"login:engineering\"]}, servers: [sample, other]}\n",
		secrets:  map[string]string{"other": "secret-of-the-shim-of-other\n"},
	})
	b.startOAuth()
	b.front.Start()
	t.Cleanup(b.front.Close)
	b.back = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { b.brought = r.URL.Query() }))
	t.Cleanup(b.back.Close)
	return b
}

// route gives the gateway what is its own, and the authorization server the rest.
func (b *browsing) route(r *httputil.ProxyRequest) {
	to := b.address
	if path := r.In.URL.Path; strings.HasPrefix(path, "/mcp-connect/") || strings.HasPrefix(path, "/.well-known/oauth-protected-resource") {
		to = b.system.address
	}
	r.SetURL(&url.URL{Scheme: "http", Host: to})
	r.Out.Host = r.In.Host
}

// developmentIssuer serves the issuer of "mcpgateway run".
func developmentIssuer(t *testing.T, redirect string) string {
	t.Helper()
	server := httptest.NewUnstartedServer(nil)
	at := "http://" + server.Listener.Addr().String()
	i, err := issuer.NewInsecureIssuer(issuer.Config{URL: at, KeyFile: filepath.Join(t.TempDir(), "issuer.pem"), Users: issuer.DefaultUsers(), RedirectURI: redirect})
	if err != nil {
		t.Fatal(err)
	}
	server.Config.Handler = i
	server.Start()
	t.Cleanup(server.Close)
	return at
}

// run has the browser do a job.
func (b *browsing) run(walks []walk, visits []visit) (walked []walked, visited []visited) {
	b.t.Helper()
	shots, err := filepath.Abs("../../.cache/pages")
	if err != nil {
		b.t.Fatal(err)
	}
	job, err := json.Marshal(map[string]any{"chromium": chromium(b.t), "shots": shots, "pages": walks, "visits": visits})
	if err != nil {
		b.t.Fatal(err)
	}
	cmd := exec.CommandContext(b.t.Context(), b.node, b.pages, string(job))
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	got := struct {
		Version string
		Walks   any
		Visits  any
	}{Walks: &walked, Visits: &visited}
	if err == nil {
		err = json.Unmarshal(out, &got)
	}
	if err != nil {
		b.t.Fatalf("%v\n%s", err, out)
	}
	b.t.Logf("%s, screenshots in %s", got.Version, shots)
	return walked, visited
}

const pageVerifier = "a-verifier-that-is-long-enough-to-be-one-0123456789"

// client registers one and returns the address at which it has somebody sign in.
func (b *browsing) client(name, redirect string) (id, authorize string) {
	b.t.Helper()
	return b.clientOf("sample", name, redirect)
}

func (b *browsing) clientOf(server, name, redirect string) (id, authorize string) {
	b.t.Helper()
	metadata, _ := json.Marshal(map[string]any{"client_name": name, "redirect_uris": []string{redirect}, "token_endpoint_auth_method": "none"})
	resp, err := http.Post(b.url+"/register", "application/json", strings.NewReader(string(metadata)))
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	var client struct {
		ID string `json:"client_id"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&client); err != nil || client.ID == "" {
		b.t.Fatal(resp.Status, err)
	}
	sum := sha256.Sum256([]byte(pageVerifier))
	q := url.Values{"response_type": {"code"}, "client_id": {client.ID}, "redirect_uri": {redirect}, "resource": {b.resource(server)}, "state": {"s"},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"}}
	return client.ID, b.url + "/authorize?" + q.Encode()
}

// People sign in at the pages as Chromium shows them. All walks are of one browser, since it takes long to start.
func TestPagesInBrowser(t *testing.T) {
	b := startBrowsing(t)
	var walks []walk
	var checks []func(*testing.T, walk, walked)
	for _, add := range []func() ([]walk, func(*testing.T, walk, walked)){b.byKeyboard, b.denied, b.ledOn, b.connecting, b.accessible} {
		more, check := add()
		for range more {
			checks = append(checks, check)
		}
		walks = append(walks, more...)
	}
	seen, _ := b.run(walks, nil)
	for n, w := range seen {
		t.Run(walks[n].Name, func(t *testing.T) { checks[n](t, walks[n], w) })
	}
}

// byKeyboard is a person with a keyboard and a narrow screen, whose browser runs no script. They get as far as a call.
func (b *browsing) byKeyboard() ([]walk, func(*testing.T, walk, walked)) {
	redirect := b.back.URL + "/keyboard"
	id, start := b.client("Claude Code", redirect)
	return []walk{{Name: "keyboard", Start: start, Stop: redirect, Press: []string{"alice", "Allow"}, Keyboard: true}}, func(t *testing.T, _ walk, w walked) {
		if len(w.Pages) != 2 || !strings.HasPrefix(w.Ended, redirect+"?code=") {
			t.Fatalf("%+v", w)
		}
		for _, p := range w.Pages { // each button is reached by one press of Tab, and seen to have the focus
			if p.Tabs != 1 || p.Outline == "" || strings.HasPrefix(p.Outline, "none") || p.Stuck != "" {
				t.Errorf("%s: %d, %q, %s", p.Title, p.Tabs, p.Outline, p.Stuck)
			}
			if p.Overflow > 0 || p.Smallest < 44 || p.Lang != "en" || p.Title == "" {
				t.Errorf("%+v", p)
			}
		}
		for _, want := range []string{"Allow “Claude Code” to use a server as you?", "alice, signed in at ", b.resource("sample"), "nobody has checked it", "your own machine"} {
			if !strings.Contains(w.Pages[1].Text, want) {
				t.Errorf("%q is not in %q", want, w.Pages[1].Text)
			}
		}
		for _, address := range w.Asked { // a style, a font or a picture could come from elsewhere, and tell of it
			if u, _ := url.Parse(address); u.Scheme != "http" || u.Hostname() != "127.0.0.1" {
				t.Errorf("asked for %s", address)
			}
		}
		a := b.post(b.url+"/token", url.Values{"grant_type": {"authorization_code"}, "client_id": {id}, "redirect_uri": {redirect}, "code": {codeIn(w.Ended)},
			"code_verifier": {pageVerifier}})
		if a.Status != 200 || b.calls(a.Access) != 200 {
			t.Errorf("%+v", a)
		}
	}
}

func codeIn(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return u.Query().Get("code")
}

func (b *browsing) denied() ([]walk, func(*testing.T, walk, walked)) {
	redirect := b.back.URL + "/denied"
	_, start := b.client("Claude Code", redirect)
	return []walk{{Name: "denied", Start: start, Stop: redirect, Press: []string{"alice", "Do not"}, Keyboard: true}}, func(t *testing.T, _ walk, w walked) {
		if !strings.HasPrefix(w.Ended, redirect+"?") || !strings.Contains(w.Ended, "error=access_denied") || w.Pages[1].Tabs != 2 {
			t.Errorf("%+v", w)
		}
	}
}

// ledOn are answers that lead to every kind of place where a client waits: the policy of the page must let them.
func (b *browsing) ledOn() (walks []walk, check func(*testing.T, walk, walked)) {
	port := b.back.URL[strings.LastIndex(b.back.URL, ":"):]
	for name, origin := range map[string]string{"address": "http://127.0.0.1" + port, "name": "http://localhost" + port, "IPv6": serveOnSix(b.t)} {
		if origin == "" {
			b.t.Log("this machine has no IPv6 loopback address: not tried")
			continue
		}
		redirect := origin + "/led"
		_, start := b.client("Claude Code", redirect)
		walks = append(walks, walk{Name: "on to " + name, Start: start, Stop: redirect, Press: []string{"alice", "Allow"}})
	}
	return walks, func(t *testing.T, asked walk, w walked) {
		if !strings.HasPrefix(w.Ended, asked.Stop+"?code=") {
			t.Errorf("ended at %s", w.Ended)
		}
	}
}

// connecting is a person with a keyboard whose server has a sign-in of its own: they consent, go on there, and come to the client.
func (b *browsing) connecting() ([]walk, func(*testing.T, walk, walked)) {
	redirect := b.back.URL + "/connected"
	_, start := b.clientOf("other", "Claude Code", redirect)
	return []walk{{Name: "connecting", Start: start, Stop: redirect, Press: []string{"alice", "Allow", "Go on"}, Keyboard: true}}, func(t *testing.T, _ walk, w walked) {
		if len(w.Pages) != 3 || !strings.HasPrefix(w.Ended, redirect+"?code=") {
			t.Fatalf("%+v", w)
		}
		if p := w.Pages[2]; p.Tabs != 1 || p.Outline == "" || strings.HasPrefix(p.Outline, "none") || p.Stuck != "" || p.Overflow > 0 || !strings.Contains(p.Text, "Connect your account at “other”") {
			t.Errorf("%+v", p)
		}
	}
}

// serveOnSix is a client that waits at a port of IPv6; empty where there is none.
func serveOnSix(t *testing.T) string {
	listener, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		return ""
	}
	s := &httptest.Server{Listener: listener, Config: &http.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})}}
	s.Start()
	t.Cleanup(s.Close)
	return s.URL
}

// accessible are all pages that people see, in light and dark: axe-core finds nothing on them, and all fits into 320 pixels
// (WCAG 2.2, 1.4.10).
func (b *browsing) accessible() (walks []walk, check func(*testing.T, walk, walked)) {
	rules := []string{"wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"}
	_, start := b.client(strings.Repeat("W", 128), b.back.URL+"/accessible")
	for _, scheme := range []string{"light", "dark"} {
		for _, width := range []int{320, 1280} {
			name := fmt.Sprintf("%s, %d", scheme, width)
			walks = append(walks, walk{Name: name, Start: start, Press: []string{"alice"}, Script: true, Width: width, Scheme: scheme, Rules: rules},
				walk{Name: name + ", keys", Start: b.url + "/keys", Press: []string{"alice", "/sample > Make a key"}, Script: true, Width: width, Scheme: scheme, Rules: rules},
				walk{Name: name + ", accounts", Start: b.url + "/connect/other", Press: []string{"alice", "Go on", "Remove"}, Script: true, Width: width, Scheme: scheme, Rules: rules},
				walk{Name: name + ", problem", Start: b.url + "/authorize?client_id=nobody", Script: true, Width: width, Scheme: scheme, Rules: rules})
		}
	}
	return walks, func(t *testing.T, asked walk, w walked) {
		if len(w.Pages) != len(asked.Press)+1 {
			t.Errorf("%d pages", len(w.Pages))
		}
		for _, p := range w.Pages {
			if len(p.Violations) > 0 || p.Overflow > 0 {
				t.Errorf("%q, %d pixels too wide: %s", p.Title, p.Overflow, strings.Join(p.Violations, "\n"))
			}
		}
	}
}
