package packages

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"mcpgateway/internal/deploy"
	"mcpgateway/internal/deploy/packages/packagestest"
)

// hello is a package whose program prints a word.
var hello = map[string]string{
	"package.json": `{"name":"@test/hello","version":"1.2.3","bin":{"say":"./dist/say.js"},"scripts":{"postinstall":"echo greetings from a script"}}`,
	"dist/say.js":  "#!/usr/bin/env node\nconsole.log('hello')\n",
}

func npmPackage(name string) deploy.Package {
	return deploy.Package{Registry: deploy.RegistryNPM, Name: name}
}

// TestNPM runs the real npm against a registry of this machine.
func TestNPM(t *testing.T) {
	registry := packagestest.NewRegistry(t)
	registry.Publish("@test/hello", "1.2.3", hello)
	registry.Publish("@test/hello", "1.3.0", nil)
	s, log := newStore(t, nil)
	p := npmPackage("@test/hello@1.2.3")
	if _, ok := s.Installed(p); ok {
		t.Error("it is installed before any install")
	}
	program, err := s.Program(context.Background(), "greeter", p)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(program, "/node_modules/.bin/say") || !strings.HasPrefix(program, s.config.Folder) {
		t.Errorf("the program is %s", program)
	}
	if out, err := exec.Command(program).CombinedOutput(); err != nil || string(out) != "hello\n" {
		t.Errorf("it prints %q, %v", out, err)
	}
	for _, want := range []string{"server=greeter", "package=@test/hello@1.2.3", "line=\"npm http fetch GET 200", "line=\"greetings from a script\"", "package installed"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %s:\n%s", want, log)
		}
	}
	asked := registry.Asked("@test/hello")
	if again, err := s.Program(context.Background(), "greeter", p); err != nil || again != program {
		t.Errorf("then %s, %v", again, err)
	}
	if now := registry.Asked("@test/hello"); now != asked {
		t.Error("the registry was asked again")
	}
}

// TestNPMRefuses is what becomes of packages that cannot be had. The sentences are npm's own.
func TestNPMRefuses(t *testing.T) {
	registry := packagestest.NewRegistry(t)
	registry.Publish("old", "1.0.0", nil)
	registry.Publish("plain", "1.0.0", nil)
	registry.Publish("broken", "1.0.0", map[string]string{"package.json": `{"name":"broken","version":"1.0.0","bin":"x.js","scripts":{"postinstall":"exit 3"}}`, "x.js": ""})
	registry.Publish("escapes", "1.0.0", map[string]string{"package.json": `{"name":"escapes","version":"1.0.0","bin":"../../../../bin/sh"}`})
	s, log := newStore(t, nil)
	for name, want := range map[string]string{
		"@test/nothing@1.2.3": "npm says E404, The requested resource '@test/nothing@1.2.3' could not be found or you do not have permission to access it.",
		"old@9.9.9":           "npm says ETARGET, No matching version found for old@9.9.9.",
		"plain@1.0.0":         "its package.json names no program that can be run.",
		"broken@1.0.0":        "npm says that a script of the package failed with status 3.",
		"escapes@1.0.0":       "its package.json names no program that can be run.",
	} {
		_, err := s.Program(context.Background(), "a", npmPackage(name))
		got := deploy.AsStartError(err)
		if got.Code != deploy.CodeUnavailable || got.Message != "The package "+name+" cannot be installed: "+want || got.RetryAfter <= 0 {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if !strings.Contains(log.String(), "npm error code E404") || !strings.Contains(log.String(), "leads out of the package") {
		t.Errorf("the log does not say why:\n%s", log)
	}
	if left := folders(t, s); len(left) > 0 {
		t.Errorf("left are %v", left)
	}
}

// TestNPMUnreachable has a registry where nobody listens.
func TestNPMUnreachable(t *testing.T) {
	packagestest.NewRegistry(t)
	t.Setenv("npm_config_registry", "http://user:sesame@127.0.0.1:9/")
	s, log := newStore(t, nil)
	_, err := s.Program(context.Background(), "a", npmPackage("a@1.2.3"))
	if got := deploy.AsStartError(err).Message; got != "The package a@1.2.3 cannot be installed: npm says ECONNREFUSED, the registry cannot be reached." {
		t.Errorf("got %q", got)
	}
	if strings.Contains(log.String(), "sesame") {
		t.Errorf("the log has a password:\n%s", log)
	}
}

// TestNPMDoesNotPersist has a registry that is in trouble: whoever waits must learn it soon.
func TestNPMDoesNotPersist(t *testing.T) {
	registry := packagestest.NewRegistry(t)
	registry.Break("a")
	s, _ := newStore(t, nil)
	_, err := s.Program(context.Background(), "a", npmPackage("a@1.2.3"))
	if got := deploy.AsStartError(err).Message; !strings.Contains(got, "npm says E500") {
		t.Errorf("got %q", got)
	}
	if n := registry.Asked("a"); n != 2 {
		t.Errorf("npm asked %d times", n)
	}
}

// TestSharedFolder has two stores on one folder, as two deployers would be, and many callers of each.
func TestSharedFolder(t *testing.T) {
	registry := packagestest.NewRegistry(t)
	registry.Publish("@test/hello", "1.2.3", hello)
	one, _ := newStore(t, nil)
	two, _ := newStore(t, func(c *Config) { c.Folder = one.config.Folder })
	programs := make([]string, 100)
	var wg sync.WaitGroup
	for i := range programs {
		wg.Go(func() {
			program, err := []*Store{one, two}[i%2].Program(context.Background(), "a", npmPackage("@test/hello@1.2.3"))
			if err != nil {
				t.Error(err)
			}
			programs[i] = program
		})
	}
	wg.Wait()
	for _, program := range programs {
		if program == "" || program != programs[0] {
			t.Fatalf("one got %q and one %q", program, programs[0])
		}
	}
	if n := registry.Asked("@test/hello"); n != 1 {
		t.Errorf("npm asked %d times", n)
	}
	if list := folders(t, one); len(list) != 1 {
		t.Errorf("left are %v", list)
	}
}

// TestLeavingAndClosing has an install that hangs: its caller may leave, and it ends with the store.
func TestLeavingAndClosing(t *testing.T) {
	registry := packagestest.NewRegistry(t)
	registry.Publish("@test/hello", "1.2.3", hello)
	registry.Hold()
	s, _ := newStore(t, nil)
	ctx, cancel := context.WithCancel(context.Background())
	left := make(chan error, 1)
	go func() { _, err := s.Program(ctx, "a", npmPackage("@test/hello@1.2.3")); left <- err }()
	eventually(t, "npm asks", func() bool { return registry.Asked("@test/hello") > 0 })
	stays := make(chan error, 1)
	go func() {
		_, err := s.Program(context.Background(), "a", npmPackage("@test/hello@1.2.3"))
		stays <- err
	}()
	cancel()
	if err := <-left; err != context.Canceled {
		t.Errorf("who left got %v", err)
	}
	if len(processesOf(s)) == 0 {
		t.Error("the install ended with its caller")
	}
	time.Sleep(10 * time.Millisecond) // for the other caller to come in
	s.Close()
	s.mu.Lock()
	if len(s.flights) > 0 {
		t.Error("it did not wait for the install's end")
	}
	s.mu.Unlock()
	if list := processesOf(s); len(list) > 0 {
		t.Errorf("after the end there are %v", list)
	}
	if list := folders(t, s); len(list) > 0 {
		t.Errorf("left are %v", list)
	}
	if err := <-stays; deploy.AsStartError(err).Message != "The gateway is shutting down." {
		t.Errorf("who stayed got %v", err)
	}
	if _, err := s.Program(context.Background(), "a", npmPackage("@test/hello@1.2.3")); err == nil {
		t.Error("it installs after its end")
	}
}

func TestNPMReason(t *testing.T) {
	for name, c := range map[string]struct{ lines, want string }{
		"nothing":        {"npm http fetch GET 200 https://x\nadded 1 package", ""},
		"before 10":      {"npm ERR! code ETARGET\nnpm ERR! notarget No matching version found for a@1.0.0.\nnpm ERR! notarget In most cases", "ETARGET, No matching version found for a@1.0.0"},
		"path":           {"npm error code ENOENT\nnpm error syscall open\nnpm error path /root/.npm\nnpm error errno -2\nnpm error enoent ENOENT: open '/root/.npm'", "ENOENT"},
		"path in a text": {"npm error code E403\nnpm error 403 see /etc/npmrc\nnpm error 403 In most cases you are not allowed.", "E403, In most cases you are not allowed"},
		"address":        {"npm error code E500\nnpm error 500 Internal Server Error - GET https://u:p@x/", "E500"},
		"stack":          {"npm error code ECONNRESET\nnpm error     at f (node:events:1:2)\nnpm error }", "ECONNRESET, the registry cannot be reached"},
		"script":         {"npm error code 1\nnpm error path /x\nnpm error command failed\nnpm error command sh -c x", "that a script of the package failed with status 1"},
		"the first code": {"npm error code E404\nnpm error code E500", "E404"},
		"no code":        {"npm error code <b>\nnpm error 404 hello", ""},
		"other output":   {"code E404\nxnpm error code E404", ""},
	} {
		if got := npmReason(strings.Split(c.lines, "\n")); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// TestNPMProgram looks at folders that npm would not make.
func TestNPMProgram(t *testing.T) {
	const manifest = `{"name":"a","bin":{"a":"a.js"}}`
	for name, c := range map[string]struct {
		change func(t *testing.T, folder string)
		want   string
	}{
		"as it should be": {func(*testing.T, string) {}, "node_modules/.bin/a"},
		"no manifest":     {func(t *testing.T, f string) { remove(t, f+"/node_modules/a/package.json") }, "its package.json cannot be used"},
		"a link": {func(t *testing.T, f string) {
			remove(t, f+"/node_modules/a/package.json")
			link(t, "../../secret.json", f+"/node_modules/a/package.json")
		}, "its package.json cannot be used"},
		"large": {func(t *testing.T, f string) {
			write(t, f+"/node_modules/a/package.json", manifest+strings.Repeat(" ", maxManifest))
		}, "its package.json cannot be used"},
		"no program": {func(t *testing.T, f string) { remove(t, f+"/node_modules/a/a.js") }, "it lacks the program"},
		"no link":    {func(t *testing.T, f string) { remove(t, f+"/node_modules/.bin/a") }, "it lacks the program"},
		"another's": {func(t *testing.T, f string) {
			write(t, f+"/node_modules/b/b.js", "")
			remove(t, f+"/node_modules/.bin/a")
			link(t, "../b/b.js", f+"/node_modules/.bin/a")
		}, "its program is not its own"},
		"leads out": {func(t *testing.T, f string) {
			remove(t, f+"/node_modules/a/a.js")
			link(t, "/bin/sh", f+"/node_modules/a/a.js")
		}, "its program is not its own"},
	} {
		t.Run(name, func(t *testing.T) {
			folder := t.TempDir()
			write(t, folder+"/secret.json", manifest)
			write(t, folder+"/node_modules/a/package.json", manifest)
			write(t, folder+"/node_modules/a/a.js", "")
			if err := os.Mkdir(folder+"/node_modules/.bin", 0o700); err != nil {
				t.Fatal(err)
			}
			link(t, "../a/a.js", folder+"/node_modules/.bin/a")
			c.change(t, folder)
			got, err := npmProgram(folder, "a@1.2.3")
			if err != nil {
				got = err.Error()
			}
			if !strings.HasPrefix(got, c.want) {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

func link(t *testing.T, to, path string) {
	t.Helper()
	if err := os.Symlink(to, path); err != nil {
		t.Fatal(err)
	}
}
