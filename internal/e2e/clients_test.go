package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mcpgateway/internal/peers"
	"mcpgateway/internal/procgroup"
)

// briefly builds an authorization server whose access tokens live for seconds, since no test can wait for ten minutes. That one
// figure is all that it has of its own.
func briefly(t *testing.T, life time.Duration) (program string) {
	t.Helper()
	source, err := filepath.Abs("../../functions/oauth/token/token.go")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(source)
	if err != nil {
		t.Fatal(err)
	}
	const usual = "const Life = 10 * time.Minute"
	if strings.Count(string(text), usual) != 1 {
		t.Fatalf("%q is not in %s", usual, source)
	}
	dir := t.TempDir()
	changed, overlay := filepath.Join(dir, "token.go"), filepath.Join(dir, "overlay.json")
	brief := strings.Replace(string(text), usual, fmt.Sprintf("const Life = time.Duration(%d)", life), 1)
	replace, err := json.Marshal(map[string]any{"Replace": map[string]string{source: changed}})
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{changed: brief, overlay: string(replace)} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const name = "oauth-brief"
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-overlay", overlay, "-o", filepath.Join(programs, name), "mcpgateway/functions/oauth").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return name
}

// desk is where clients that nobody here wrote are started, with a browser that signs alice in.
type desk struct {
	t            *testing.T
	node         string
	inspector    string // JavaScript files, like those below
	remote       string
	sdk, client  string
	home, opened string // a line for each time that the browser was opened
	env          []string
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	cache, err := filepath.Abs("../../.cache")
	if err != nil {
		t.Fatal(err)
	}
	install := peers.Installer{Dir: cache}
	npm := func(packages ...string) string {
		dir, err := install.NPM(t.Context(), packages...)
		if err != nil {
			t.Fatal(err)
		}
		return dir
	}
	d := &desk{t: t, home: t.TempDir()}
	if d.node, err = install.Node(t.Context()); err != nil {
		t.Fatal(err)
	}
	d.inspector = filepath.Join(npm(peers.Inspector), "node_modules/@modelcontextprotocol/inspector/clients/launcher/build/index.js")
	d.remote = filepath.Join(npm(peers.Remote), "node_modules/mcp-remote/dist/proxy.js")
	libraries := npm(peers.SDK, peers.Client)
	scripts, err := filepath.Glob("../clients/scripts/*.mjs")
	if err != nil || len(scripts) == 0 {
		t.Fatal("no scripts", err)
	}
	for _, script := range scripts { // each finds its library by where it lies
		text, err := os.ReadFile(script)
		if err == nil {
			err = os.WriteFile(filepath.Join(libraries, filepath.Base(script)), text, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	d.sdk, d.client = filepath.Join(libraries, "sdk.mjs"), filepath.Join(libraries, "client.mjs")
	d.putBrowser(filepath.Join(libraries, "browser.mjs"))
	return d
}

// putBrowser has clients open our browser, under the names by which they look for one.
func (d *desk) putBrowser(script string) {
	d.t.Helper()
	d.opened = filepath.Join(d.home, "opened")
	program := filepath.Join(d.home, "gio")
	text := fmt.Sprintf("#!/bin/bash\necho \"$PPID ${@: -1}\" >>%q\nUSER_NAME=alice exec %q %q \"${@: -1}\"\n", d.opened, d.node, script)
	if err := os.WriteFile(program, []byte(text), 0o700); err != nil {
		d.t.Fatal(err)
	}
	d.env = append(os.Environ(), "HOME="+d.home, "BROWSER="+program, "MCP_AUTO_OPEN_ENABLED=true", "MCP_INSPECTOR_SECRET_STORE=file", "MCP_REMOTE_CONFIG_DIR="+filepath.Join(d.home, "remote"),
		"PATH="+d.home+string(os.PathListSeparator)+filepath.Dir(d.node)+string(os.PathListSeparator)+os.Getenv("PATH"))
}

// signedIn counts how often the browser was opened.
func (d *desk) signedIn() int {
	text, _ := os.ReadFile(d.opened)
	return bytes.Count(text, []byte("\n"))
}

// run runs a client to its end and returns what it printed.
func (d *desk) run(ctx context.Context, args ...string) (string, error) {
	var out, problems bytes.Buffer
	cmd := exec.CommandContext(ctx, d.node, args...)
	cmd.Env, cmd.Stdout, cmd.Stderr, cmd.WaitDelay = d.env, &out, &problems, 5*time.Second
	group, err := procgroup.Start(cmd)
	if err == nil {
		err = group.Wait()
	}
	if err != nil {
		err = fmt.Errorf("%w: %s%s", err, out.Bytes(), problems.Bytes())
	}
	return out.String(), err
}

// inspect has the inspector call echo, as a program that ends with the call.
func (d *desk) inspect(ctx context.Context, address, message string) {
	d.t.Helper()
	printed, err := d.run(ctx, d.inspector, "--cli", address, "--transport", "http", "--protocol-era", "auto", "--format", "json", "--method", "tools/call",
		"--tool-name", "echo", "--tool-args-json", `{"message":"`+message+`"}`)
	if err != nil || !strings.Contains(printed, message) {
		d.t.Errorf("inspector: %v\n%s", err, printed)
	}
}

// From nothing but the server's URL other people's clients register, have alice sign in at a real provider and allow it, and
// call a tool. Then their token expires, and everything of ours is started anew: they call again, over what they had open, and
// alice sees nothing of it.
func TestClientsOutliveTheirTokens(t *testing.T) {
	const life = 15 * time.Second
	g := startSigningBy(t, briefly(t, life))
	d := newDesk(t)
	again := filepath.Join(d.home, "again")
	job := func(more map[string]any) string {
		more["tool"], more["arguments"], more["again"] = "echo", map[string]string{"message": "hello"}, again
		text, _ := json.Marshal(more)
		return string(text)
	}
	address := g.resource("sample")
	clients := map[string][]string{
		"sdk":          {d.sdk, job(map[string]any{"url": address, "signIn": "alice"})},
		"client, auto": {d.client, job(map[string]any{"url": address, "signIn": "alice", "era": "auto"})},
		"mcp-remote":   {d.sdk, job(map[string]any{"program": []string{d.node, d.remote, address, "--allow-http", "--transport", "http-only"}})},
	}
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	ended := make(chan string, len(clients))
	for name, args := range clients {
		go func() {
			printed, err := d.run(ctx, args...)
			var o struct{ Text, Again string }
			if err == nil {
				err = json.Unmarshal([]byte(printed), &o)
			}
			if err != nil || !strings.Contains(o.Text, "hello") || !strings.Contains(o.Again, "hello") {
				t.Errorf("%s: %v\n%s", name, err, printed)
			}
			ended <- name
		}()
	}
	d.inspect(ctx, address, "first")
	g.eventually("all have called", 90*time.Second, func() bool { return len(ended) > 0 || g.called("sample") > len(clients) })
	before := strings.Count(g.provider.said(), "granted refresh_token to gateway") // who listens refreshes before it calls again
	time.Sleep(life + time.Second)
	g.restart()
	if err := os.WriteFile(again, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	d.inspect(ctx, address, "second")
	for range clients {
		t.Log(<-ended, "has ended")
	}
	if n := strings.Count(g.provider.said(), "granted refresh_token to gateway") - before; n < len(clients)+1 {
		t.Errorf("the provider was asked for %d refreshes: no token had expired", n)
	}
	if n := d.signedIn(); n != 2 { // the libraries have a browser of their own, which is there for once
		t.Errorf("the browser was opened %d times, by inspector and mcp-remote", n)
	}
	if t.Failed() {
		t.Logf("the authorization server's log:\n%s\nbrowser:\n%s", g.read("oauth.log"), must(os.ReadFile(d.opened)))
	}
}

// called counts the calls of tools that a server's shim recorded.
func (s *system) called(server string) int {
	text, _ := os.ReadFile(filepath.Join(s.dir, ".run", "logs", server, "audit.jsonl")) // none yet
	return bytes.Count(text, []byte(`"callType":"tools/call"`))
}

// must is a file's text, as far as there is one.
func must(b []byte, _ error) string { return string(b) }
