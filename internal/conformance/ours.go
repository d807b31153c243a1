package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"

	"mcpgateway/internal/proxytest"
)

// ours is everything of ours with one server behind it.
type ours struct {
	bin       string // folder of our programs
	out       string // folder for their logs
	catalog   string
	server    string    // id in the catalog
	elsewhere elsewhere // nil: servers are processes
	front     string    // of AWS
}

// behindUs runs everything of ours while use does, with the URL at which the server is found without a token.
func behindUs(ctx context.Context, o ours, use func(url string) error) (err error) {
	// Sockets need a short path; what is worth keeping moves to out.
	dir, err := os.MkdirTemp("", "mcp")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, keepLogs(dir, o.out), os.RemoveAll(dir)) }()
	front, err := proxytest.ListenFront()
	if err != nil {
		return err
	}
	defer front.Close()
	asked := &hook{}
	webhook, err := o.serve(asked)
	if err != nil {
		return err
	}
	defer webhook.Close()
	config := proxytest.Config{Bin: o.bin, Dir: dir, PublicURL: front.URL, Catalog: withHook(o.catalog, webhook.URL),
		Lambda: lambdaFront(o.front)}
	if o.elsewhere != nil {
		config.Platform, config.Kubeconfigs = o.elsewhere.platform(dir), o.elsewhere.keys()
	}
	rig, err := proxytest.Start(ctx, config)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rig.Stop()) }()
	token, err := rig.Token(o.server)
	if err != nil {
		return err
	}
	if err := front.Serve(proxytest.Lending{Gateway: rig.URL, Token: token}); err != nil {
		return err
	}
	if err := use(front.URL + proxytest.Path(o.server)); err != nil {
		return err
	}
	if asked.times.Load() == 0 {
		return errors.New("the filter was not asked: not every stage of the shim was on")
	}
	return checkFunction(rig.Front)
}

// serve serves where servers find it.
func (o ours) serve(h http.Handler) (*httptest.Server, error) {
	if o.elsewhere == nil {
		return httptest.NewServer(h), nil
	}
	return o.elsewhere.serve(h)
}

// hook is a webhook that accepts everything, and counts.
type hook struct{ times atomic.Int64 }

// ServeHTTP accepts.
func (h *hook) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	h.times.Add(1)
	w.WriteHeader(http.StatusNoContent)
}

// withHook puts the webhook's address into a catalog of catalogOf.
func withHook(catalog, url string) string {
	host, port, _ := strings.Cut(strings.TrimPrefix(url, "http://"), ":")
	return strings.NewReplacer(hookPort, port, hookHost, host).Replace(catalog)
}

const (
	hookHost = "{hookHost}"
	hookPort = "{hookPort}"
)

// catalogOf offers one server with every stage of the shim on, and allows everything: what is refused is not the suite's
// matter. A filter is asked about each message in both directions, a condition about each call, and bodies are recorded.
func catalogOf(id, fields string) string {
	return fmt.Sprintf(`apiVersion: v1
servers:
  - id: %s
    title: Fixture
    description: The conformance suite's server
    %s
    scale: {idle: 10m}
    filters: [accepts]
    audit: {bodies: full, redact: ["$..password"]}
filters:
  - {name: accepts, on: ["*"], timeout: 20s, webhook: {url: "http://`+hookHost+`:`+hookPort+`/", egress: [{cidr: `+hookHost+`/32, ports: [`+hookPort+`]}]}}
policies:
  - {name: features, allow: {anyone: true}, servers: ["*"], when: 'user.subject != "" && size(string(mcp.tool)) < 1000'}
  - {name: nothing, deny: {anyone: true}, servers: ["*"], when: 'user.subject == "nobody"'}
  - {name: methods, allow: {anyone: true}, servers: ["*"], methods: ["*"]}
`, id, fields)
}

// keepLogs copies the logs and audit records below dir into out.
func keepLogs(dir, out string) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || !slices.Contains([]string{".log", ".jsonl"}, filepath.Ext(path)) {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		name = strings.TrimPrefix(strings.ReplaceAll(name, string(filepath.Separator), "-"), ".")
		return os.WriteFile(filepath.Join(out, name), data, 0o600)
	})
}
