package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strings"
	"time"
)

// suiteServer is the id under which the suite's server is in the catalog.
const suiteServer = "suite"

// suiteCatalog offers a server that runs already, by a program that hands its connections on. It allows everything.
func suiteCatalog(suiteURL string) (string, error) {
	u, err := url.Parse(suiteURL)
	if err != nil {
		return "", fmt.Errorf("parse the suite's URL: %w", err)
	}
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	path := u.Path
	if path == "" {
		path = "/"
	}
	return fmt.Sprintf(`apiVersion: v1
servers:
  - id: %s
    title: Suite
    description: The conformance suite's own server
    runtime: {command: {exec: %q, args: %s, http: {path: %q}}}
    scale: {idle: 10m}
policies:
  - {name: features, allow: {anyone: true}, servers: ["*"]}
  - {name: methods, allow: {anyone: true}, servers: ["*"], methods: ["*"]}
`, suiteServer, self, yamlList([]string{"-forward", "127.0.0.1:{port}=" + u.Host}), path), nil
}

// forward hands the connections to one address on to another, until ctx ends. It looks at no byte.
func forward(ctx context.Context, rule string) error {
	from, to, ok := strings.Cut(rule, "=")
	if !ok {
		return fmt.Errorf("forward %q: want FROM=TO", rule)
	}
	ln, err := net.Listen("tcp", from)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	defer context.AfterFunc(ctx, func() { _ = ln.Close() })()
	for {
		conn, err := ln.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("accept: %w", err)
		}
		go splice(conn, to)
	}
}

// splice copies both directions. An end passes on as an end: half a close must not become a whole one.
func splice(client net.Conn, to string) {
	defer client.Close()
	server, err := net.DialTimeout("tcp", to, 10*time.Second)
	if err != nil {
		return
	}
	defer server.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(server, client)
		_ = server.(*net.TCPConn).CloseWrite()
	}()
	_, _ = io.Copy(client, server)
	_ = client.(*net.TCPConn).CloseWrite()
	<-done
}
