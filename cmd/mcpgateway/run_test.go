package main

import (
	"strings"
	"testing"
)

func TestRunStackArguments(t *testing.T) {
	for _, tc := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"--help"}, exitOK, "Usage: mcpgateway run [FLAGS]"},
		{[]string{"--help"}, exitOK, "as for a screen reader"},
		{[]string{"--help"}, exitOK, "-plain"},
		{[]string{"--nonsense"}, exitUsage, "flag provided but not defined"},
		{[]string{"--port", "x"}, exitUsage, "invalid value"},
		{[]string{"now"}, exitUsage, `unexpected argument "now"`},
		{[]string{"--port", "-1"}, exitProblems, "mcpgateway run: --port: -1 is no port"},
		{[]string{"--platform", "a", "--catalog", "b"}, exitProblems, "give only one of them"},
	} {
		var stdout, stderr strings.Builder
		if code := runStack(t.Context(), tc.args, &stdout, &stderr); code != tc.code || !strings.Contains(stderr.String(), tc.want) {
			t.Errorf("%q: %d %q", tc.args, code, stderr.String())
		}
	}
}
