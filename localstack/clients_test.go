package localstack

import (
	"encoding/base64"
	"encoding/json"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mcpgateway/internal/catalog"
)

const (
	pasteURL   = "http://127.0.0.1:8080/mcp-connect/playground"
	pasteToken = "eyJhbGciOiJFUzI1NiJ9.e30.a-b_c"
)

// pasted are the arguments with which a shell starts the program of a line.
func pasted(t *testing.T, shell, line string) []string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"curl", "claude", "code", "xdg-open", "open", "npx"} {
		text := "#!/bin/sh\nprintf '%s\\0' \"${0##*/}\" \"$@\"\n"
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), shell, "-c", line)
	cmd.Env = []string{"PATH=" + dir + string(os.PathListSeparator) + os.Getenv("PATH"), "ALICE=" + pasteToken}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", line, err, out)
	}
	return strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")
}

// TestPastedLines has real shells take the lines apart, and looks at what the clients are started with.
func TestPastedLines(t *testing.T) {
	s := &stack{platform: &catalog.Platform{PublicURL: "http://127.0.0.1:8080"}, catalog: parse(t, makeSample(false, ""))}
	settings := map[string]any{"url": pasteURL, "headers": map[string]any{"Authorization": "Bearer " + pasteToken}}
	header := "Authorization: Bearer " + pasteToken
	want := map[string][]string{
		"claude": {"mcp", "add", "--transport", "http", "playground", pasteURL, "--header", header},
		"inspector": {"-y", "@modelcontextprotocol/inspector@2.12.0", "--cli", pasteURL, "--transport", "http", "--method", "tools/list",
			"--header", header},
		"mcp-remote": {"-y", "mcp-remote@0.15.1", pasteURL, "--allow-http", "--transport", "http-only", "--header", header},
	}
	for _, shell := range []string{"sh", "bash", "zsh"} {
		t.Run(shell, func(t *testing.T) {
			if _, err := exec.LookPath(shell); err != nil {
				t.Skipf("%s is not installed", shell)
			}
			seen := map[string]int{}
			for _, p := range s.pastes("playground", "Authorization: Bearer $ALICE", pasteToken) {
				if p.line[0] == '{' {
					seen["file"]++
					diffJSON(t, p.line, map[string]any{"mcpServers": map[string]any{"playground": settings}})
					continue
				}
				argv := pasted(t, shell, p.line)
				name, args := argv[0], argv[1:]
				switch name {
				case "code":
					if len(args) != 2 || args[0] != "--add-mcp" {
						t.Fatalf("%q", argv)
					}
					diffJSON(t, args[1], map[string]any{"name": "playground", "type": "http", "url": settings["url"], "headers": settings["headers"]})
				case "xdg-open", "open":
					checkLink(t, args, settings)
				case "curl":
					if args[1] != pasteURL || args[3] != header || !json.Valid([]byte(args[len(args)-1])) {
						t.Errorf("%q", argv)
					}
				case "npx":
					name, _, _ = strings.Cut(filepath.Base(args[1]), "@")
				}
				seen[name]++
				if w := want[name]; w != nil {
					if diff := cmp.Diff(w, args); diff != "" {
						t.Errorf("%s:\n%s", name, diff)
					}
				}
			}
			if seen["claude"] != 1 || seen["code"] != 1 || seen["open"]+seen["xdg-open"] != 1 || seen["file"] != 1 ||
				seen["curl"] != 2 || seen["inspector"] != 1 || seen["mcp-remote"] != 1 {
				t.Errorf("%v", seen)
			}
		})
	}
}

func diffJSON(t *testing.T, text string, want any) {
	t.Helper()
	var got any
	if err := json.Unmarshal([]byte(text), &got); err != nil {
		t.Errorf("%s: %v", text, err)
	} else if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// checkLink checks an install link of Cursor.
func checkLink(t *testing.T, args []string, want map[string]any) {
	t.Helper()
	if len(args) != 1 {
		t.Fatalf("%q", args)
	}
	link, err := url.Parse(args[0])
	if err != nil || link.Scheme != "cursor" || link.Host != "anysphere.cursor-deeplink" || link.Path != "/mcp/install" || link.Query().Get("name") != "playground" {
		t.Errorf("%s: %v", args[0], err)
	}
	config, err := base64.StdEncoding.DecodeString(link.Query().Get("config"))
	if err != nil {
		t.Error(err)
	}
	diffJSON(t, string(config), want)
}
