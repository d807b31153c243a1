package main

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
	"path/filepath"
	"strings"
	"time"

	"mcpgateway/internal/audit"
	"mcpgateway/internal/proxytest"
)

// startup is how long the system may take until it takes calls.
const startup = 30 * time.Second

// system is everything that "mcpgateway run" runs.
type system struct {
	process *proxytest.Process
	url     string // the gateway's origin
	issuer  string // the development issuer's
	state   string
}

// startSystem starts the operator's command as an operator does, on two free ports.
func startSystem(ctx context.Context, p programs, bin, dir, log string) (*system, error) {
	gateway, err := proxytest.FreeAddress()
	if err != nil {
		return nil, err
	}
	issuer, err := proxytest.FreeAddress()
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, "catalog.yaml")
	if err := os.WriteFile(path, []byte(catalogText(servers(p))), 0o600); err != nil {
		return nil, err
	}
	s := &system{url: "http://" + gateway, issuer: "http://" + issuer, state: filepath.Join(dir, "state")}
	s.process, err = proxytest.StartProcess(proxytest.Command{Path: filepath.Join(bin, "mcpgateway"), Log: log, Env: []string{"PATH=" + p.path()},
		Args: []string{"run", "--state", s.state, "--catalog", path, "--port", port(gateway), "--issuer-port", port(issuer)}})
	if err != nil {
		return nil, err
	}
	if err := s.awaitReady(ctx, gateway); err != nil {
		return nil, errors.Join(err, s.stop())
	}
	return s, nil
}

func port(address string) string {
	_, port, _ := net.SplitHostPort(address) // FreeAddress made it
	return port
}

func (s *system) awaitReady(ctx context.Context, gateway string) error {
	ctx, cancel := context.WithTimeout(ctx, startup)
	defer cancel()
	if err := s.process.Await(ctx, "tcp", gateway); err != nil {
		return err
	}
	for {
		if _, err := s.fetch(ctx, http.MethodGet, s.url+"/readyz", nil); err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the gateway is not ready: %w", ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (s *system) stop() error { return s.process.Stop() }

// resource is the URL under which a server is offered.
func (s *system) resource(id string) string { return s.url + proxytest.Path(id) }

// token asks the development issuer for a user's token for one server, as the instructions on the terminal say.
func (s *system) token(ctx context.Context, user, id string) (string, error) {
	form := url.Values{"grant_type": {"urn:mcpgateway:insecure-user"}, "user": {user}, "resource": {s.resource(id)}}
	token, err := s.fetch(ctx, http.MethodPost, s.issuer+"/insecure-token", form)
	return strings.TrimSpace(string(token)), err
}

func (s *system) fetch(ctx context.Context, method, address string, form url.Values) ([]byte, error) {
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

// records reads what the shim of a server recorded after the first skip records. A server that never ran has none.
func (s *system) records(id string, skip int) ([]audit.Record, error) {
	data, err := os.ReadFile(filepath.Join(s.state, "logs", id, "audit.jsonl"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
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
