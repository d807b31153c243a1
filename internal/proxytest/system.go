package proxytest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"mcpgateway/internal/audit"
)

// startup is how long the system may take until it takes calls.
const startup = 30 * time.Second

// SystemConfig says what a System runs. Bin, Dir, Log and Catalog are needed.
type SystemConfig struct {
	Bin     string // folder of the built programs
	Dir     string // existing folder for documents and state, with a short path
	Log     string // file for the lines of all programs
	Catalog string // the catalog, in YAML
	Limits  string // the platform's limits, in YAML; those of "mcpgateway run" where empty
	Env     []string
	Lambda  string // value of --lambda; the gateway is a process where empty
	// Deployer is the value of --deployer; servers are processes where empty.
	Deployer string
}

// System is everything that "mcpgateway run" runs.
type System struct {
	URL    string // the gateway's origin
	State  string // the state folder
	Issuer string // the development issuer's origin
	OAuth  string // the authorization server's; it runs unless Limits are given

	process *Process
	command string // the operator's
	there   *There
}

// There is a system that somebody else has started, in a cluster, as JSON says it.
type There struct {
	URL      string            `json:"url"`
	Platform string            `json:"platform"` // its platform file
	Tokens   map[string]string `json:"tokens"`   // for servers by their ids: of whoever calls them
}

// System returns that system, which it does not stop. What its shims record stays in the cluster.
func (t *There) System(bin string) *System {
	return &System{URL: t.URL, command: filepath.Join(bin, "mcpgateway"), there: t}
}

// StartSystem starts the operator's command as an operator does, on two free ports, and returns when it takes calls.
func StartSystem(ctx context.Context, c SystemConfig) (*System, error) {
	gateway, err := FreeAddress()
	if err != nil {
		return nil, err
	}
	issuer, err := FreeAddress()
	if err != nil {
		return nil, err
	}
	oauth, err := FreeAddress()
	if err != nil {
		return nil, err
	}
	auditor, err := FreeAddress()
	if err != nil {
		return nil, err
	}
	s := &System{URL: "http://" + gateway, Issuer: "http://" + issuer, OAuth: "http://" + oauth, State: filepath.Join(c.Dir, "state"),
		command: filepath.Join(c.Bin, "mcpgateway")}
	documents, err := s.writeDocuments(c)
	if err != nil {
		return nil, err
	}
	args := append([]string{"run", "--state", s.State, "--port", port(gateway), "--issuer-port", port(oauth), "--login-port", port(issuer), "--audit-port", port(auditor)}, documents...)
	if c.Lambda != "" {
		args = append(args, "--lambda", c.Lambda)
	}
	if c.Deployer != "" {
		args = append(args, "--deployer", c.Deployer)
	}
	s.process, err = StartProcess(Command{Path: s.command, Log: c.Log, Env: c.Env, Args: args})
	if err != nil {
		return nil, err
	}
	if err := s.awaitReady(ctx, gateway); err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	return s, nil
}

// writeDocuments writes what the operator would, and returns the flags that name it.
func (s *System) writeDocuments(c SystemConfig) ([]string, error) {
	path := filepath.Join(c.Dir, "catalog.yaml")
	if err := os.WriteFile(path, []byte(c.Catalog), 0o600); err != nil {
		return nil, fmt.Errorf("write catalog: %w", err)
	}
	if c.Limits == "" {
		return []string{"--catalog", path}, nil
	}
	platform := fmt.Sprintf(`apiVersion: v1
publicURL: %q
issuers: [{url: %q, audiences: ["{resource}"], default: true}]
limits: %s
catalog: %q
deployer: {state: %q}
`, s.URL, s.Issuer, c.Limits, path, s.State)
	path = filepath.Join(c.Dir, "platform.yaml")
	if err := os.WriteFile(path, []byte(platform), 0o600); err != nil {
		return nil, fmt.Errorf("write platform: %w", err)
	}
	return []string{"--platform", path}, nil
}

func port(address string) string {
	_, port, _ := net.SplitHostPort(address) // FreeAddress made it
	return port
}

func (s *System) awaitReady(ctx context.Context, gateway string) error {
	ctx, cancel := context.WithTimeout(ctx, startup)
	defer cancel()
	// The gateway takes calls before the deployer does, and says then that it cannot serve them yet.
	deployer := filepath.Join(s.State, "deployer.sock")
	if err := errors.Join(s.process.Await(ctx, "tcp", gateway), s.process.Await(ctx, "unix", deployer)); err != nil {
		return err
	}
	for {
		if _, err := s.fetch(ctx, http.MethodGet, s.URL+"/readyz", nil); err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the gateway is not ready: %w", ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// PID is the process id of the operator's command.
func (s *System) PID() int { return s.process.PID() }

// Stop stops everything, as Ctrl-C does, and waits for it.
func (s *System) Stop() error { return s.process.Stop() }

// Bake makes the images of packages, on a base for those of npm, where servers are containers.
func (s *System) Bake(ctx context.Context, base string) error {
	out, err := exec.CommandContext(ctx, s.command, "bake", "--platform", filepath.Join(s.State, "platform.yaml"), "--node", base).CombinedOutput()
	if err != nil {
		return fmt.Errorf("bake: %w\n%s", err, out)
	}
	return nil
}

// Asleep tells whether a server sleeps, as the operator's command says it.
func (s *System) Asleep(ctx context.Context, id string) (bool, error) {
	where := []string{"--state", s.State}
	if s.there != nil {
		where = []string{"--platform", s.there.Platform}
	}
	text, err := exec.CommandContext(ctx, s.command, append([]string{"status", "--json"}, where...)...).Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = fmt.Errorf("%w: %s", err, exit.Stderr)
		}
		return false, fmt.Errorf("ask for the status: %w", err)
	}
	var list []struct {
		ID, State string
		Instances json.RawMessage // of a cluster: a list
	}
	if err := json.Unmarshal(text, &list); err != nil {
		return false, fmt.Errorf("read the status: %w", err)
	}
	for _, server := range list {
		if server.ID != id {
			continue
		}
		var instances []struct{ State string }
		if err := json.Unmarshal(server.Instances, &instances); err == nil && len(instances) == 1 {
			server.State = instances[0].State
		}
		return server.State == "asleep", nil
	}
	return false, fmt.Errorf("the status names no %s", id)
}

// Resource is the URL under which a server is offered.
func (s *System) Resource(id string) string { return s.URL + Path(id) }

// Token asks the development issuer for a user's token for one server, as the instructions on the terminal say.
func (s *System) Token(ctx context.Context, user, id string) (string, error) {
	if s.there != nil {
		return s.there.Tokens[id], nil
	}
	form := url.Values{"grant_type": {"urn:mcpgateway:insecure-user"}, "user": {user}, "resource": {s.Resource(id)}}
	token, err := s.fetch(ctx, http.MethodPost, s.Issuer+"/insecure-token", form)
	return strings.TrimSpace(string(token)), err
}

func (s *System) fetch(ctx context.Context, method, address string, form url.Values) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, address, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "text/plain")
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s answers %s: %s", address, resp.Status, body)
	}
	return body, err
}

// Recorded tells whether what the shims record can be read.
func (s *System) Recorded() bool { return s.there == nil }

// Records reads what the shim of a server recorded after the first skip records. A server that never ran has none.
func (s *System) Records(id string, skip int) ([]audit.Record, error) {
	if s.there != nil {
		return nil, nil
	}
	// Where functions/audit keeps them, by date; and where a platform without it has them.
	files, err := filepath.Glob(filepath.Join(s.State, "audit", "records", "*", "server="+id, "records.jsonl"))
	if err != nil {
		return nil, err
	}
	var data []byte
	for _, file := range append(files, filepath.Join(s.State, "logs", id, "audit.jsonl")) {
		text, err := os.ReadFile(file)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		data = append(data, text[:bytes.LastIndexByte(text, '\n')+1]...) // a line that is being written comes later
	}
	var records []audit.Record
	for line := range bytes.Lines(data) {
		if skip--; skip >= 0 {
			continue
		}
		var r audit.Record
		if err := json.Unmarshal(line, &r); err != nil {
			return nil, fmt.Errorf("read audit record: %w", err)
		}
		records = append(records, r)
	}
	return records, nil
}
