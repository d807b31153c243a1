package main

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mcpgateway/internal/catalog"
	"mcpgateway/internal/secretversion/secretversiontest"
	"mcpgateway/knative"
)

const kubeconfig = `{apiVersion: v1, kind: Config, current-context: x, contexts: [{name: x, context: {cluster: c, user: u}}],
 clusters: [{name: c, cluster: {server: "https://127.0.0.1:1"}}], users: [{name: u, user: {token: t}}]}`

// In a cluster keys are an operator's: none is made in their place.
func TestClusterIsWired(t *testing.T) {
	for name, c := range map[string]struct {
		rules, names, kubeconfig string
		want                     string
	}{
		"all there":        {strings.Repeat("r", 32), strings.Repeat("n", 32), kubeconfig, ""},
		"no rules key":     {"", strings.Repeat("n", 32), kubeconfig, "rules.key"},
		"a short one":      {"r", strings.Repeat("n", 32), kubeconfig, "head -c 32 /dev/urandom"},
		"a short name key": {strings.Repeat("r", 32), "n", kubeconfig, "name key"},
		"no credentials":   {strings.Repeat("r", 32), strings.Repeat("n", 32), "", "credentials for the cluster"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for file, text := range map[string]string{"rules.key": c.rules, "name.key": c.names, "kubeconfig": c.kubeconfig} {
				if text == "" {
					continue
				}
				if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o440); err != nil {
					t.Fatal(err)
				}
			}
			p := &catalog.Platform{Deployer: catalog.Deployer{State: dir, Knative: &catalog.Knative{Namespace: "n",
				Kubeconfig: filepath.Join(dir, "kubeconfig"), NameKey: filepath.Join(dir, "name.key"),
				Ingress: catalog.KnativeIngress{URL: "https://ingress.test", Domain: "example.test"}}}}
			_, err := rulesSeed(p.Deployer)
			if err == nil {
				var runner servers
				if runner, err = newRunner(p, slog.New(slog.DiscardHandler)); err == nil {
					if _, ok := runner.(*knative.Deployer); !ok {
						t.Errorf("the runner is a %T", runner)
					}
				}
			}
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestListenAddress(t *testing.T) {
	t.Setenv("LISTEN", "")
	if got := listenAddress(catalog.Deployer{Socket: "/s"}); got != "unix:/s" {
		t.Errorf("beside the gateway: %s", got)
	}
	if got := listenAddress(catalog.Deployer{Socket: "/s", URL: "http://deployer"}); got != ":8080" {
		t.Errorf("in a cluster: %s", got)
	}
	t.Setenv("LISTEN", "127.0.0.1:9")
	if got := listenAddress(catalog.Deployer{URL: "http://deployer"}); got != "127.0.0.1:9" {
		t.Errorf("where it was told: %s", got)
	}
}

// Over a network nobody is answered without a token, whoever is there to ask what tokens are good.
func TestHandlerOfANetwork(t *testing.T) {
	file := filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(file, []byte(kubeconfig), 0o400); err != nil {
		t.Fatal(err)
	}
	d, _ := newDeployer(io.Discard)
	for url, want := range map[string]int{"": http.StatusOK, "http://deployer": http.StatusUnauthorized} {
		h, err := newHandler(d, catalog.Deployer{URL: url, Account: "mcp-system/gateway", Knative: &catalog.Knative{Kubeconfig: file}})
		if err != nil {
			t.Fatal(err)
		}
		w := httptest.NewRecorder()
		if h.ServeHTTP(w, httptest.NewRequest("POST", "/ensure", strings.NewReader(`{"server":"shared"}`))); w.Code != want {
			t.Errorf("at %q: %d %s", url, w.Code, w.Body)
		}
	}
	if _, err := newHandler(d, catalog.Deployer{URL: "http://deployer", Knative: &catalog.Knative{Kubeconfig: file}}); err == nil {
		t.Error("a handler that knows no account")
	}
}

// Where the values of entries are in Secrets Manager, it is asked as the function's environment says, for versions alone.
func TestSecretStoreIsWired(t *testing.T) {
	if store, err := secretStore(nil); store != nil || err != nil {
		t.Errorf("without: %v, %v", store, err)
	}
	t.Setenv("AWS_REGION", "")
	if _, err := secretStore(&catalog.SecretsManager{Prefix: "mcp/"}); err == nil || !strings.Contains(err.Error(), "AWS_REGION") {
		t.Errorf("without a region: %v", err)
	}
	fake := secretversiontest.Start(t)
	want := fake.Put("mcp/github/server", `{"token":"t"}`)
	for name, value := range map[string]string{"AWS_REGION": "eu-central-1", "AWS_ACCESS_KEY_ID": secretversiontest.Describer.AccessKeyID,
		"AWS_SECRET_ACCESS_KEY": secretversiontest.Describer.SecretAccessKey, "AWS_SESSION_TOKEN": secretversiontest.Describer.SessionToken,
		"AWS_ENDPOINT_URL_SECRETS_MANAGER": fake.URL} {
		t.Setenv(name, value)
	}
	store, err := secretStore(&catalog.SecretsManager{Prefix: "mcp/"})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := store.Current(t.Context(), store.Prefix+"github/server"); got != want || err != nil {
		t.Errorf("%q, %v; want %q", got, err, want)
	}
}
