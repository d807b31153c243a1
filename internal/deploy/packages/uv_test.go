package packages

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"mcpgateway/internal/deploy"
)

// fakeUV puts a script in the place of uv, which not every machine has. It installs a tool in the way of uv, with an
// environment that knows its own path, if it is asked as uv expects to be asked.
func fakeUV(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "uv"), `#!/bin/sh
if [ "$*" != "tool install --no-progress --color never mcp_server.git[all]==1.2.3" ]; then
	echo "  × No solution found when resolving dependencies:" >&2
	echo "  ╰─▶ Because $6 was not found in the package registry and you require $6, we can" >&2
	echo "      conclude that your requirements are unsatisfiable." >&2
	exit 1
fi
[ -n "$MCP_TOKEN$npm_config_registry" ] && exit 2
[ "$UV_INDEX_URL" = https://index.example ] || exit 3
tool="$UV_TOOL_DIR/mcp-server-git"
mkdir -p "$tool/bin" "$UV_TOOL_BIN_DIR"
ln -s /bin/sh "$tool/bin/python"
printf '#!%s\necho from "$0"\n' "$tool/bin/python" > "$tool/bin/mcp-server-git"
touch "$tool/bin/other"
chmod +x "$tool/bin/mcp-server-git"
ln -s "$tool/bin/mcp-server-git" "$tool/bin/other" "$UV_TOOL_BIN_DIR"
echo Installed 2 executables: mcp-server-git, other
`)
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	t.Setenv("UV_TOOL_DIR", "/somewhere/else")
	t.Setenv("UV_INDEX_URL", "https://index.example")
	t.Setenv("MCP_TOKEN", "sesame")
	t.Setenv("npm_config_registry", "https://npm.example")
}

// TestUV asks a fake uv: it proves how uv is asked, and not what uv does.
func TestUV(t *testing.T) {
	fakeUV(t)
	s, log := newStore(t, nil)
	program, err := s.Program(context.Background(), "git", deploy.Package{Registry: deploy.RegistryPyPI, Name: "mcp_server.git[all]==1.2.3"})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(program, "/bin/mcp-server-git") || !strings.HasPrefix(program, s.config.Folder) {
		t.Errorf("the program is %s", program)
	}
	if out, err := exec.Command(program).CombinedOutput(); err != nil || string(out) != "from "+program+"\n" {
		t.Errorf("it prints %q, %v", out, err)
	}
	if !strings.Contains(log.String(), "Installed 2 executables") {
		t.Errorf("the log lacks uv's words:\n%s", log)
	}
	_, err = s.Program(context.Background(), "git", deploy.Package{Registry: deploy.RegistryPyPI, Name: "nothing==1"})
	want := "The package nothing==1 cannot be installed: uv says No solution found when resolving dependencies: Because nothing==1 was not found " +
		"in the package registry and you require nothing==1, we can conclude that your requirements are unsatisfiable."
	if got := deploy.AsStartError(err).Message; got != want {
		t.Errorf("got %q", got)
	}
}

func TestUVReason(t *testing.T) {
	for name, c := range map[string]struct{ lines, want string }{
		"nothing": {"Resolved 3 packages\nInstalled 1 executable: a", ""},
		"plain":   {"Resolved\n  x No solution found when resolving dependencies:\n  `-> Because there is no version of a==1 and you\n      require a==1.\n\n      hint: try", "No solution found when resolving dependencies: Because there is no version of a==1 and you require a==1"},
		"error":   {"error: No interpreter found for Python 3.15 in /usr/bin\nerror: other", "other"},
		"address": {"error: Failed to fetch: `https://u:p@index.example/simple/a/`\n  Caused by: connection refused", "Caused by: connection refused"},
		"long":    {"error: " + strings.Repeat("a ", 5000), strings.Repeat("a ", 200)},
	} {
		if got := uvReason(strings.Split(c.lines, "\n")); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestUVProgram(t *testing.T) {
	for name, c := range map[string]struct {
		programs, want string
	}{
		"none":        {"", "it has no program"},
		"the only":    {"serve", "bin/serve"},
		"the name":    {"other a-b", "bin/a-b"},
		"exact first": {"A_b a-b", "bin/a-b"},
		"normal":      {"other A_B", "bin/A_B"},
		"no name":     {"one two", "none of its programs has the package's name"},
		"leads out":   {"sh@/bin/sh", "its program cannot be used"},
		"leads up":    {"up@../../secret", "its program cannot be used"},
		"leads on":    {"gone@none", "its program cannot be used"},
	} {
		t.Run(name, func(t *testing.T) {
			folder := filepath.Join(t.TempDir(), "folder")
			write(t, filepath.Join(filepath.Dir(folder), "secret"), "")
			write(t, filepath.Join(folder, "tools", "x"), "")
			if err := os.Mkdir(filepath.Join(folder, "bin"), 0o700); err != nil {
				t.Fatal(err)
			}
			for _, program := range strings.Fields(c.programs) {
				program, to, _ := strings.Cut(program, "@")
				if to == "" {
					to = "../tools/x"
				}
				link(t, to, filepath.Join(folder, "bin", program))
			}
			got, err := uvProgram(folder, "a-b[c]==1.2")
			if err != nil {
				got = err.Error()
			}
			if !strings.HasPrefix(got, c.want) {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}
