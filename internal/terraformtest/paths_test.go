package terraformtest

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	routed   = regexp.MustCompile(`(?:\.open\("\w+", |HandleFunc\()((?:"[^"]*"|\w+)(?:\s*\+\s*(?:"[^"]*"|\w+))*)`)
	constant = regexp.MustCompile(`(?m)^(?:const )?\s*(\w+)\s+=\s*((?:"[^"]*"|\w+)(?:\s*\+\s*(?:"[^"]*"|\w+))*)`)
	wildcard = regexp.MustCompile(`\{[^}]*\}`)
)

// routes reads which paths a function serves from its source.
func routes(t *testing.T, function string) (paths []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, "functions", function, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	var source strings.Builder
	for _, f := range files {
		if !strings.HasSuffix(f, "_test.go") {
			text, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			source.Write(text)
		}
	}
	constants := map[string]string{}
	for _, c := range constant.FindAllStringSubmatch(source.String(), -1) {
		constants[c[1]] = c[2]
	}
	constants["document"] = `"openid-configuration"` // a loop's, as the other of its two
	for _, r := range routed.FindAllStringSubmatch(source.String(), -1) {
		if strings.HasSuffix(r[1], "+path") {
			continue // what serves the others
		}
		text := evaluate(r[1], constants, 0)
		if _, path, is := strings.Cut(text, "/"); is {
			paths = append(paths, "/"+wildcard.ReplaceAllString(path, "x"))
		}
	}
	return paths
}

// evaluate joins texts and constants. A variable, such as a method, is nothing.
func evaluate(expression string, constants map[string]string, depth int) (text string) {
	for _, part := range strings.Split(expression, "+") {
		part = strings.TrimSpace(part)
		switch {
		case strings.HasPrefix(part, `"`):
			text += strings.Trim(part, `"`)
		case depth < 5:
			text += evaluate(constants[part], constants, depth+1)
		}
	}
	return text
}

// TestPaths: every path of the authorization server leads to it, and none of the gateway's does.
func TestPaths(t *testing.T) {
	f := open(t, ".")
	plan, err := f.MakePlan(t.Context(), variables(everything()))
	if err != nil {
		t.Fatal(err)
	}
	leads := func(path string) string {
		for _, d := range plan.Resources("aws_cloudfront_distribution") {
			for _, b := range valuesAt(d.Values, []string{"ordered_cache_behavior"}) {
				behavior := b.(map[string]any)
				form := strings.ReplaceAll(regexp.QuoteMeta(fmt.Sprint(behavior["path_pattern"])), `\*`, ".*")
				if regexp.MustCompile("^" + form + "$").MatchString(path) {
					return fmt.Sprint(behavior["target_origin_id"])
				}
			}
		}
		return "gateway"
	}
	oauth := routes(t, "oauth")
	for _, path := range oauth {
		if got := leads(path); got != "oauth" && path != "/healthz" { // which each function has
			t.Errorf("%s leads to %s", path, got)
		}
	}
	if len(oauth) < 20 {
		t.Errorf("only %d paths were read: %v", len(oauth), oauth)
	}
	for path, want := range map[string]string{"/mcp-connect/x": "gateway", "/mcp": "gateway", "/.well-known/oauth-protected-resource/mcp-connect/x": "gateway",
		"/v0.1/servers": "gateway", "/healthz": "gateway", "/audit": "audit", "/lists": "audit", "/sessions/x": "sessions", "/.well-known/oauth-authorization-server": "oauth"} {
		if got := leads(path); got != want {
			t.Errorf("%s leads to %s", path, got)
		}
	}
	t.Logf("%d paths of the authorization server", len(oauth))
}
