package ingress

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"mcpgateway/internal/catalog"
	"mcpgateway/internal/deploy"
	"mcpgateway/internal/sealedtoken"
)

// ensurer is a deployer.
type ensurer func(deploy.Key) (deploy.Instance, error)

func (f ensurer) Ensure(_ context.Context, key deploy.Key) (deploy.Instance, error) { return f(key) }

func TestWhereInstancesAre(t *testing.T) {
	api := newFakeAPI(t, func(service string) (int, string) {
		if service != "mcp-github" {
			return 200, list()
		}
		return 200, list(revision("mcp-github-00001", "Reachable", 0, 1, 1))
	})
	k, err := newCluster(t, api, nil)
	if err != nil {
		t.Fatal(err)
	}
	if at := k.At(github); at.ID != "mcp-github" || at.Host != "mcp-github.mcp-servers.example.test" || at.URL != "https://ingress.test" {
		t.Errorf("github is at %+v", at)
	}
	if at := k.At(alices); !regexp.MustCompile(`^mcp-mine-[0-9a-f]{16}\.mcp-servers\.example\.test$`).MatchString(at.Host) {
		t.Errorf("alice's is at %+v", at)
	}
	if api.asked.Load() != 0 {
		t.Error("the cluster was asked where an instance is")
	}
	for key, want := range map[*deploy.Key]bool{&github: true, &alices: false} {
		if at, awake, err := k.Find(t.Context(), *key); err != nil || awake != want || at != k.At(*key) {
			t.Errorf("%+v: %+v, awake %v, %v", key, at, awake, err)
		}
	}
}

// What is sealed for a server opens with what the deployer gives its shim, and with no other shim's.
func TestSeal(t *testing.T) {
	k, err := newCluster(t, newFakeAPI(t, nil), nil)
	if err != nil {
		t.Fatal(err)
	}
	open := func(server, sealed string) (string, string, error) {
		s, err := sealedtoken.New(sealedtoken.Key(fmt.Appendf(nil, "%032d", 7), server))
		if err != nil {
			t.Fatal(err)
		}
		return s.Open(sealed)
	}
	for range 2 { // the second is of a sealer that is known
		sealed, proof := k.Seal("github", "Bearer x")
		if got, proved, err := open("github", sealed); err != nil || got != "Bearer x" || proved != proof {
			t.Errorf("opened %q, proof %q of %q, %v", got, proved, proof, err)
		}
		if got, _, err := open("mine", sealed); err == nil {
			t.Errorf("another server opened %q", got)
		}
	}
}

func TestEnsure(t *testing.T) {
	api := newFakeAPI(t, nil)
	down := errors.New("down")
	for name, tt := range map[string]struct {
		made deploy.Instance
		err  error
		want string
	}{
		"made":               {deploy.Instance{ID: "mcp-github-00001", URL: "https://elsewhere.test", Host: "mcp-github.mcp-servers.example.test", Cold: true}, nil, ""},
		"under another name": {deploy.Instance{Host: "mcp-github.other.example.test"}, nil, "different name keys"},
		"deployer is down":   {deploy.Instance{}, down, "down"},
	} {
		k, err := newCluster(t, api, func(c *Config) {
			c.Deployer = ensurer(func(key deploy.Key) (deploy.Instance, error) { return tt.made, tt.err })
		})
		if err != nil {
			t.Fatal(err)
		}
		got, err := k.Ensure(t.Context(), github)
		if tt.want != "" {
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		want := k.At(github)
		want.Cold = true
		if err != nil || got != want {
			t.Errorf("%s: %+v, %v: tokens go where the gateway's own file says", name, got, err)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	api := newFakeAPI(t, nil)
	t.Setenv("KUBECONFIG", "")
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	for name, change := range map[string]func(*Config){
		"no catalog":     func(c *Config) { c.Knative = nil },
		"no deployer":    func(c *Config) { c.Deployer = nil },
		"no logger":      func(c *Config) { c.Logger = nil },
		"no key":         func(c *Config) { c.Knative.NameKey = "/none" },
		"no authority":   func(c *Config) { c.Knative.Ingress.CA = "/none" },
		"bad authority":  func(c *Config) { c.Knative.Ingress.CA = c.Knative.NameKey },
		"plain text":     func(c *Config) { c.Knative.Ingress.URL = "http://127.0.0.1:1" },
		"no credentials": func(c *Config) { c.Knative.Kubeconfig = "" },
	} {
		if _, err := newCluster(t, api, change); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// The ingress is trusted by its own authority only, and its handshake is part of dialling: nothing was sent.
func TestDial(t *testing.T) {
	api := newFakeAPI(t, nil)
	ingress := httptest.NewTLSServer(http.NotFoundHandler())
	defer ingress.Close()
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	other, _ := certificate(t)
	for name, tt := range map[string]struct {
		ingress catalog.KnativeIngress
		good    bool
	}{
		"trusted":             {catalog.KnativeIngress{URL: ingress.URL}, true},
		"another authority":   {catalog.KnativeIngress{URL: ingress.URL}, false},
		"not its certificate": {catalog.KnativeIngress{URL: strings.Replace(ingress.URL, "127.0.0.1", "localhost", 1)}, false},
		"no TLS":              {catalog.KnativeIngress{URL: strings.Replace(plain.URL, "http:", "https:", 1)}, false},
		"nobody":              {catalog.KnativeIngress{URL: "https://127.0.0.1:1"}, false},
		"plain":               {catalog.KnativeIngress{URL: plain.URL, InsecurePlainIngress: true}, true},
	} {
		k, err := newCluster(t, api, func(c *Config) {
			if tt.ingress.CA = c.Knative.Ingress.CA; strings.HasPrefix(name, "another") { // httptest's servers have one certificate
				tt.ingress.CA = write(t, t.TempDir(), "other.pem", other)
			}
			c.Knative.Ingress = tt.ingress
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		conn, err := k.Dial(ctx)
		cancel()
		if conn != nil {
			_ = conn.Close()
		}
		var op *net.OpError
		if (err == nil) != tt.good || err != nil && (!errors.As(err, &op) || op.Op != "dial") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if k, err := newCluster(t, api, nil); err != nil || k.address != "ingress.test:443" {
		t.Errorf("without a port: %v", err)
	}
}
