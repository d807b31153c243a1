package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"mcpgateway/internal/proxytest"
)

// developmentClient is known beforehand to the authorization server of "mcpgateway run".
const developmentClient = "development"

// signInCatalog has a server to have tokens for.
const signInCatalog = `apiVersion: v1
servers: [{id: sample, runtime: {command: {exec: sample-server, args: [-addr, "127.0.0.1:{port}"], http: {path: /mcp}}}}]
policies: [{name: all, allow: {anyone: true}, servers: ["*"]}]
`

// authorizationChecks is how many checks the suite makes of an authorization server.
const authorizationChecks = 3

var authorizationFolder = regexp.MustCompile(`^authorization-server-(.+)-\d{4}-\d{2}-\d{2}T[0-9-]+Z$`)

// authorization has the suite sign in at the authorization server of "mcpgateway run", as a client that is known there and as
// one that registers itself, with a person in a browser.
func (c *campaign) authorization(ctx context.Context) (problems []string, err error) {
	dir, err := os.MkdirTemp("", "mcp")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	out := filepath.Join(c.out, "authorization")
	if err := os.MkdirAll(out, 0o700); err != nil {
		return nil, err
	}
	system, err := proxytest.StartSystem(ctx, proxytest.SystemConfig{Bin: c.bin, Dir: dir, Log: filepath.Join(out, "run.log"),
		Catalog: signInCatalog})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, system.Stop()) }()
	for _, client := range []string{"static", "registered"} {
		got, err := c.signIn(ctx, system, client, filepath.Join(out, client))
		if err != nil {
			return problems, fmt.Errorf("authorization, %s client: %w", client, err)
		}
		fmt.Printf("authorization server, %s client: %s passed/failed\n", client, got.total())
		if got.total() != (score{authorizationChecks, 0}) {
			problems = append(problems, fmt.Sprintf("authorization, %s client: %s, want %d/0", client, got.total(), authorizationChecks))
		}
	}
	return problems, nil
}

// signIn runs the suite as one client.
func (c *campaign) signIn(ctx context.Context, system *proxytest.System, client, out string) (results, error) {
	if err := os.MkdirAll(out, 0o700); err != nil {
		return nil, err
	}
	address, err := proxytest.FreeAddress()
	if err != nil {
		return nil, err
	}
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	id := developmentClient
	if client == "registered" {
		if id, err = register(ctx, system.OAuth, "http://"+address+"/callback"); err != nil {
			return nil, err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	person := make(chan error, 1)
	go func() { person <- signInWhereAsked(ctx, filepath.Join(out, "suite.log"), system.OAuth) }()
	if err := c.runSuite(ctx, out, nil, "authorization", "--url", system.OAuth, "--client-id", id, "--resource", system.Resource("sample"), "-p", port, "-o", out); err != nil {
		return nil, err
	}
	if err := <-person; err != nil {
		return nil, err
	}
	return readResults(out, authorizationFolder)
}

// signInWhereAsked waits until the suite says where a person must go.
func signInWhereAsked(ctx context.Context, log, server string) error {
	for ctx.Err() == nil {
		text, _ := os.ReadFile(log) // it may not be there yet
		if _, rest, asked := strings.Cut(string(text), server+"/authorize?"); asked {
			if query, _, whole := strings.Cut(rest, "\n"); whole {
				return proxytest.Browse(ctx, server+"/authorize?"+query, "alice")
			}
		}
		time.Sleep(50 * time.Millisecond)
	}
	return fmt.Errorf("the suite asked for nobody to sign in: %w", ctx.Err())
}

// register registers a client (RFC 7591) and returns its id.
func register(ctx context.Context, server, redirect string) (string, error) {
	metadata, err := json.Marshal(map[string]any{"client_name": "conformance suite", "redirect_uris": []string{redirect}, "token_endpoint_auth_method": "none"})
	if err != nil {
		return "", err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, server+"/register", bytes.NewReader(metadata))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	var answer struct {
		ID string `json:"client_id"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || answer.ID == "" {
		return "", fmt.Errorf("register: %s, %w", resp.Status, err)
	}
	return answer.ID, nil
}
