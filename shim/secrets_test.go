package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestReadSecrets(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good := map[string]string{"SHIM_EXCHANGE_SECRET_FILE": file("client", "pass word\r\n"), "SHIM_ACTOR_TOKEN_FILE": file("actor", "a\n\n"),
		"SHIM_HEADER_SECRETS": "one,t.w-o", "SHIM_HEADER_SECRET_0_FILE": file("0", "first"), "SHIM_HEADER_SECRET_1_FILE": file("1", "second\n")}
	read := func(change ...string) (got []string, problems string) {
		s := readSecrets(func(name string) string {
			if len(change) > 0 && name == change[0] {
				return change[1]
			}
			return good[name]
		}, func(name string, err error) {
			if err != nil {
				problems += name + ": " + err.Error() + "\n"
			}
		})
		return []string{s.Client.Reveal(), s.Actor.Reveal(), s.Headers["one"].Reveal(), s.Headers["t.w-o"].Reveal()}, problems
	}
	if got, problems := read(); strings.Join(got, "|") != "pass word|a\n|first|second" || problems != "" {
		t.Errorf("%q, %s", got, problems)
	}
	for _, change := range [][]string{{"SHIM_EXCHANGE_SECRET_FILE", "/nothing"}, {"SHIM_ACTOR_TOKEN_FILE", file("long", strings.Repeat("hunter2", maxSecret))},
		{"SHIM_HEADER_SECRET_1_FILE", ""}, {"SHIM_HEADER_SECRET_0_FILE", file("empty", "\n")}, {"SHIM_HEADER_SECRETS", strings.Repeat("a,", maxHeaderSecrets)}} {
		if _, problems := read(change...); !strings.Contains(problems, change[0]+": ") || strings.Contains(problems, "hunter2") {
			t.Errorf("%s: %q", change[0], problems)
		}
	}
}
