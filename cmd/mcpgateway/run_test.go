package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mcpgateway/localstack"
	"mcpgateway/localstack/lambda"
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
		{[]string{"--lambda", "edge"}, exitUsage, `"edge" is no front: url or rest`},
		{[]string{"--lambda", "url,fast"}, exitUsage, `"fast" is no mode: remap or lag`},
		{[]string{"--port", "-1"}, exitProblems, "mcpgateway run: --port: -1 is no port"},
		{[]string{"--platform", "a", "--catalog", "b"}, exitProblems, "give only one of them"},
	} {
		var stdout, stderr strings.Builder
		if code := runStack(t.Context(), tc.args, &stdout, &stderr); code != tc.code || !strings.Contains(stderr.String(), tc.want) {
			t.Errorf("%q: %d %q", tc.args, code, stderr.String())
		}
	}
}

func TestParseLambda(t *testing.T) {
	for text, want := range map[string]*localstack.Lambda{
		"url":            {Events: lambda.FunctionURL},
		"rest,lag":       {Events: lambda.RESTAPI, LagOneChunk: true},
		"url,remap":      {RemapAuthenticate: true},
		"rest,lag,remap": {Events: lambda.RESTAPI, LagOneChunk: true, RemapAuthenticate: true},
	} {
		got, err := parseLambda(text)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%s: %v, %s", text, err, diff)
		}
	}
}
