package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mcpgateway/internal/catalog"
	"mcpgateway/internal/identity"
	"mcpgateway/internal/policy"
)

// The catalog must be one that the gateway takes, and give each person what the checks count on.
func TestCatalog(t *testing.T) {
	platform := &catalog.Platform{PublicURL: "http://127.0.0.1:1",
		Issuers: []identity.Issuer{{URL: "http://127.0.0.1:2", Audiences: []string{"{resource}"}, Default: true}}}
	list := servers(programs{goServer: "/opt/a \"b\"/everything-server"})
	path := filepath.Join(t.TempDir(), "catalog.yaml")
	if err := os.WriteFile(path, []byte(catalogText(list, never)), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := catalog.LoadCatalog(path, platform, catalog.LeaveConditions)
	if err != nil {
		t.Fatal(err)
	}
	set, err := policy.Compile(got.Policies, platform.Issuers, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range list {
		if _, ok := got.Server(s.id); !ok {
			t.Errorf("%s is missing", s.id)
		}
		for _, user := range []identity.Identity{
			{Issuer: "http://127.0.0.1:2", Subject: everything, Groups: []string{"engineering"}},
			{Issuer: "http://127.0.0.1:2", Subject: harmless},
		} {
			for _, tool := range []string{s.any, s.slow.Tool} {
				want := user.Subject == everything || tool == s.any
				decision := set.Decide(user, policy.Request{Server: s.id, Method: "tools/call", Name: tool})
				if decision.Allow != want {
					t.Errorf("%s may call %s of %s: %v", user.Subject, tool, s.id, decision.Allow)
				}
			}
		}
	}
}

func TestCommand(t *testing.T) {
	out := new(output)
	c := &command{args: []string{"/bin/sh", "-c", "echo result $TOKEN; echo complaint >&2"}, env: []string{"TOKEN=t0"}, out: out}
	got, err := c.run(t.Context())
	if err != nil || string(got) != "result t0\n" {
		t.Errorf("run = %q, %v", got, err)
	}
	if !out.contains("complaint") || !out.contains("result") {
		t.Errorf("kept %q", out.bytes())
	}
	if _, err := (&command{args: []string{"/bin/sh", "-c", "exit 3"}, out: out}).run(t.Context()); err == nil {
		t.Error("no error for exit 3")
	}
}

// A client that hangs, and what it started, must end with its time: a child that goes on holds the output open.
func TestCommandEndsWithItsGroup(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	c := &command{args: []string{"/bin/sh", "-c", "sleep 600 & sleep 600"}, out: new(output)}
	if _, err := c.run(ctx); errors.Is(err, exec.ErrWaitDelay) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("err = %v, want the time limit", err)
	}
}

func TestOutputIsBounded(t *testing.T) {
	o := new(output)
	for range 3 {
		if n, err := o.Write(make([]byte, maxOutput/2)); n != maxOutput/2 || err != nil {
			t.Fatalf("Write = %d, %v", n, err)
		}
	}
	if len(o.bytes()) != maxOutput {
		t.Errorf("kept %d bytes", len(o.bytes()))
	}
}

func TestTableCountsFailures(t *testing.T) {
	var b bytes.Buffer
	rows := []row{
		{server: "s", client: "good", era: modern, outcome: outcome{Tools: []string{"a"}, Text: "yes", Progress: at(1, 2), Took: 3}},
		{server: "s", client: "bad", era: "-", wrong: []string{"this", "that"}},
	}
	if failed := printTable(&b, rows); failed != 1 {
		t.Errorf("%d failed, want 1", failed)
	}
	text := strings.Join(strings.Fields(b.String()), " ")
	for _, want := range []string{`s good modern 1 "yes" 1 2 of 3 ms ok`, `s bad - 0 "" - FAIL`, "s, bad: this", "s, bad: that"} {
		if !strings.Contains(text, want) {
			t.Errorf("table lacks %q:\n%s", want, &b)
		}
	}
}

func TestHideToken(t *testing.T) {
	v := &visit{token: "eyJ0"}
	if got := v.hideToken("$ client --header Bearer eyJ0"); got != "$ client --header Bearer TOKEN" {
		t.Errorf("hid %q", got)
	}
	if got := new(visit).hideToken("text"); got != "text" {
		t.Errorf("without a token: %q", got)
	}
}
