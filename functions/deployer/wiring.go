package main

import (
	"cmp"
	"crypto/ed25519"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"mcpgateway/internal/awsenv"
	"mcpgateway/internal/catalog"
	"mcpgateway/internal/deploy"
	"mcpgateway/internal/deploy/docker"
	"mcpgateway/internal/deploy/process"
	"mcpgateway/internal/deploy/secretfolder"
	"mcpgateway/internal/secretversion"
	"mcpgateway/knative"
	"mcpgateway/knative/account"
	"mcpgateway/knative/names"
)

// rulesKey is the name of its file, in the folder for state.
const rulesKey = "rules.key"

// rulesSeed is the seed of the key that signs rules. On one machine it is made where there is none. In a cluster it is a
// Secret that an operator made: a deployer that started anew with another key would have every shim refuse its rules.
func rulesSeed(d catalog.Deployer) ([]byte, error) {
	path := filepath.Join(d.State, rulesKey)
	if d.Knative == nil {
		return secretfolder.RandomFile(path, ed25519.SeedSize)
	}
	seed, err := os.ReadFile(path)
	if err == nil && len(seed) != ed25519.SeedSize {
		err = fmt.Errorf("%s holds %d bytes instead of %d: head -c %[3]d /dev/urandom makes one", path, len(seed), ed25519.SeedSize)
	}
	return seed, err
}

// listenAddress is where the gateway asks: beside us over a private socket, or over the network of a cluster.
func listenAddress(d catalog.Deployer) string {
	if d.URL == "" {
		return "unix:" + d.Socket
	}
	return cmp.Or(os.Getenv("LISTEN"), ":8080")
}

// newHandler answers all who reach the socket, and over a network the gateway alone.
func newHandler(d *deployer, c catalog.Deployer) (http.Handler, error) {
	if c.URL == "" {
		return d.handler(), nil
	}
	cluster, err := knative.Reach(c.Knative)
	if err != nil {
		return nil, err
	}
	gateway, err := account.New(account.Config{Cluster: cluster, Audience: catalog.TokenAudience, Account: c.Account})
	if err != nil {
		return nil, err
	}
	return d.only(gateway, d.handler()), nil
}

// newRunner makes what runs plans where the platform says.
func newRunner(p *catalog.Platform, log *slog.Logger) (servers, error) {
	if p.Deployer.Knative != nil {
		return newCluster(p, log)
	}
	if p.Deployer.Docker != nil {
		return newContainers(p, log)
	}
	return newProcesses(p, log)
}

func newCluster(p *catalog.Platform, log *slog.Logger) (*knative.Deployer, error) {
	k := p.Deployer.Knative
	cluster, err := knative.Reach(k)
	if err != nil {
		return nil, err
	}
	ingress, err := url.Parse(k.Ingress.URL)
	if err != nil {
		return nil, fmt.Errorf("deployer.knative.ingress.url: %w", err)
	}
	settings := knative.Settings{Namespace: k.Namespace, CallTimeout: time.Duration(p.Limits.CallTimeout),
		Images: map[string]string{deploy.ImageShim: k.Images.Shim, deploy.ImageNode: k.Images.Node, deploy.ImagePython: k.Images.Python}}
	if settings.NameKey, err = names.ReadKey(k.NameKey); err != nil {
		return nil, err
	}
	if settings.Tokens, err = tokenKeys(p); err != nil {
		return nil, err
	}
	store, err := secretStore(k.SecretsManager)
	if err != nil {
		return nil, fmt.Errorf("deployer.knative.secretsManager: %w", err)
	}
	return knative.New(knative.Config{Settings: settings, Lock: k.Lock, Store: store, Cluster: cluster, Ingress: ingress, Domain: k.Ingress.Domain,
		Logger: log})
}

// secretStore is where the values are that operators choose; nil where they make Secrets of them.
func secretStore(m *catalog.SecretsManager) (*knative.SecretStore, error) {
	if m == nil {
		return nil, nil
	}
	aws, err := awsenv.Config("SECRETS_MANAGER")
	if err != nil {
		return nil, err
	}
	return &knative.SecretStore{Prefix: m.Prefix, Current: secretversion.New(aws).Current}, nil
}

func newContainers(p *catalog.Platform, log *slog.Logger) (*docker.Deployer, error) {
	_, shim, err := programs()
	if err != nil {
		return nil, err
	}
	k := p.Deployer.Docker
	return docker.New(docker.Config{
		Engine: k.Engine, Address: k.Address, Lock: k.Lock, State: p.Deployer.State, Secrets: p.Deployer.Secrets, Shim: shim,
		Drain: time.Duration(p.Limits.CallTimeout), Logger: log,
	})
}

// programs are the paths of this program and of the shim's.
func programs() (self, shim string, err error) {
	if self, err = os.Executable(); err != nil {
		return "", "", fmt.Errorf("find own program: %w", err)
	}
	shim = cmp.Or(os.Getenv("SHIM"), filepath.Join(filepath.Dir(self), "shim"))
	if _, err := os.Stat(shim); err != nil {
		return "", "", fmt.Errorf("find the shim: %w; SHIM names another file", err)
	}
	return self, shim, nil
}

func newProcesses(p *catalog.Platform, log *slog.Logger) (*process.Deployer, error) {
	self, shim, err := programs()
	if err != nil {
		return nil, err
	}
	users, err := process.ParseUsers(os.Getenv("SERVER_USERS"))
	if err != nil {
		return nil, fmt.Errorf("SERVER_USERS: %w", err)
	}
	if users == (process.Users{}) && os.Geteuid() == 0 {
		log.Warn("servers run as root, as this deployer does: SERVER_USERS gives each of them a user of its own")
	}
	return process.New(process.Config{
		State: p.Deployer.State, Secrets: p.Deployer.Secrets, Shim: shim, Supervisor: []string{self, supervise},
		Drain: time.Duration(p.Limits.CallTimeout), Users: users, Logger: log,
	})
}
