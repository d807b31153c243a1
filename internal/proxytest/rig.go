// Package proxytest runs the whole system as it runs on one machine, gateway, deployer and shims as processes of their
// own, in front of a catalog that the caller writes. The conformance and bench programs measure through it.
//
// It is no test double: nothing in it stands between a client and the gateway. It limits nobody (limits are so high that
// none is met), and its issuer gives tokens to whoever holds the Rig.
package proxytest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"mcpgateway/internal/catalog"
	"mcpgateway/localstack/issuer"
	"mcpgateway/localstack/lambda"
)

// User is the subject of the tokens that Token makes.
const User = "alice"

// Function is the gateway's name where it is a function.
const Function = "gateway"

// Config says what a Rig runs. Bin, Dir and Catalog are needed.
type Config struct {
	Bin     string // folder of the programs gateway, deployer and shim
	Dir     string // existing folder for documents, logs and sockets; a socket's path is at most 103 bytes, so keep it short
	Catalog string // the catalog, in YAML
	// Platform is more of the platform file, in lines of YAML.
	Platform string
	// PublicURL is the origin that clients use, where that is not the gateway's own address.
	PublicURL string
	Users     []string // who can have tokens besides User
	// Kubeconfigs is a folder of credentials for a cluster, gateway.kubeconfig and deployer.kubeconfig; empty: the
	// platform names none.
	Kubeconfigs string
	// Lambda has the gateway run as a function behind a front of AWS, whose modes it says: address and function are the
	// rig's. Where nil the gateway is a process.
	Lambda *lambda.Config
}

// Rig is a running system.
type Rig struct {
	URL      string   // the gateway's own origin
	Gateway  *Process // for its process id; nil where it is a function
	Deployer *Process
	Front    *lambda.Front // before the function

	platform *catalog.Platform
	issuer   *issuer.InsecureIssuer
	login    *http.Server
	log      *os.File // the function's
}

// Start starts the issuer in this process, the deployer and the gateway, and returns when they answer.
func Start(ctx context.Context, c Config) (*Rig, error) {
	r := new(Rig)
	if err := r.start(ctx, c); err != nil {
		return nil, errors.Join(err, r.Stop())
	}
	return r, nil
}

func (r *Rig) start(ctx context.Context, c Config) error {
	address, err := FreeAddress()
	if err != nil {
		return err
	}
	r.URL = "http://" + address
	if c.PublicURL == "" {
		c.PublicURL = r.URL
	}
	if err := r.startIssuer(c.Dir, c.Users); err != nil {
		return fmt.Errorf("start issuer: %w", err)
	}
	path, err := writeDocuments(c, r.issuer.URL())
	if err != nil {
		return err
	}
	if r.platform, err = catalog.LoadPlatform(path); err != nil {
		return fmt.Errorf("read platform: %w", err)
	}
	program := func(name string) Command {
		env := []string{"PLATFORM=" + path, "LISTEN=" + address, "SHIM=" + filepath.Join(c.Bin, "shim")}
		if c.Kubeconfigs != "" {
			env = append(env, "KUBECONFIG="+filepath.Join(c.Kubeconfigs, name+".kubeconfig"))
		}
		return Command{Path: filepath.Join(c.Bin, name), Env: env, Log: filepath.Join(c.Dir, name+".log")}
	}
	if r.Deployer, err = StartProcess(program("deployer")); err != nil {
		return err
	}
	if err := r.Deployer.Await(ctx, "unix", r.platform.Deployer.Socket); err != nil {
		return err
	}
	if c.Lambda != nil {
		return r.startFunction(ctx, c, address, path)
	}
	if r.Gateway, err = StartProcess(program("gateway")); err != nil {
		return err
	}
	return r.Gateway.Await(ctx, "tcp", address)
}

// startFunction starts the front: the gateway starts with the first request.
func (r *Rig) startFunction(ctx context.Context, c Config, address, platform string) error {
	log, err := os.OpenFile(filepath.Join(c.Dir, "gateway.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("open log: %w", err)
	}
	env := map[string]string{"PLATFORM": platform}
	if c.Kubeconfigs != "" {
		env["KUBECONFIG"] = filepath.Join(c.Kubeconfigs, "gateway.kubeconfig")
	}
	config := *c.Lambda
	config.Address = address
	config.Function = lambda.Function{Name: Function, Program: filepath.Join(c.Bin, "gateway"), Env: env,
		Memory: 512, Timeout: 15 * time.Minute, Log: log}
	if r.Front, err = lambda.Start(ctx, config); err != nil {
		return errors.Join(err, log.Close())
	}
	r.log = log
	return nil
}

// startIssuer serves the development issuer from this process.
func (r *Rig) startIssuer(dir string, more []string) error {
	users := []issuer.User{{Name: User}}
	for _, name := range more {
		users = append(users, issuer.User{Name: name})
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	r.issuer, err = issuer.NewInsecureIssuer(issuer.Config{
		URL:     "http://" + ln.Addr().String(),
		KeyFile: filepath.Join(dir, "issuer.key"),
		Users:   users,
	})
	if err != nil {
		return errors.Join(err, ln.Close())
	}
	r.login = &http.Server{Handler: r.issuer, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = r.login.Serve(ln) }()
	return nil
}

// writeDocuments writes the platform and the catalog, and returns the platform's path.
func writeDocuments(c Config, issuerURL string) (string, error) {
	if err := os.WriteFile(filepath.Join(c.Dir, "catalog.yaml"), []byte(c.Catalog), 0o600); err != nil {
		return "", fmt.Errorf("write catalog: %w", err)
	}
	// A quoted Go string of ASCII is a quoted YAML string.
	platform := fmt.Sprintf(`apiVersion: v1
publicURL: %q
issuers: [{url: %q, audiences: ["{resource}"], default: true}]
limits: {callsPerSecond: 1000000, burst: 1000000, streams: 1000, inFlight: 1000, wakesPerMinute: 100000}
%s`, c.PublicURL, issuerURL, c.Platform)
	path := filepath.Join(c.Dir, "platform.yaml")
	if err := os.WriteFile(path, []byte(platform), 0o600); err != nil {
		return "", fmt.Errorf("write platform: %w", err)
	}
	return path, nil
}

// Token is an access token of User for one server, valid for two hours.
func (r *Rig) Token(server string) (string, error) { return r.TokenOf(User, server) }

// TokenOf is one of any user.
func (r *Rig) TokenOf(user, server string) (string, error) {
	return r.issuer.Token(user, r.platform.Resource(server), 2*time.Hour)
}

// Path is where the gateway offers a server.
func Path(server string) string { return "/mcp-connect/" + server }

// Stop stops everything and waits for it.
func (r *Rig) Stop() error {
	var problems []error
	if r.Front != nil {
		r.Front.Close()
		problems = append(problems, r.log.Close())
	}
	for _, p := range []*Process{r.Gateway, r.Deployer} {
		if p != nil {
			problems = append(problems, p.Stop())
		}
	}
	if r.login != nil {
		problems = append(problems, r.login.Close())
	}
	return errors.Join(problems...)
}
