package identity

import (
	"errors"
	"net/http"
	"testing"
)

func TestBearer(t *testing.T) {
	for _, tc := range []struct {
		values []string
		want   string
		ok     bool
	}{
		{[]string{"Bearer abc"}, "abc", true},
		{[]string{"bearer  abc "}, "abc", true},
		{nil, "", false},
		{[]string{""}, "", false},
		{[]string{"Bearer"}, "", false},
		{[]string{"Bearer "}, "", false},
		{[]string{"Basic abc"}, "abc", false},
		{[]string{"DPoP abc"}, "abc", false},
		{[]string{"Bearer abc", "Bearer def"}, "", false}, // which one counts is not ours to guess
	} {
		if token, ok := Bearer(http.Header{"Authorization": tc.values}); ok != tc.ok || (ok && token != tc.want) {
			t.Errorf("%q: got %q, %v", tc.values, token, ok)
		}
	}
}

func TestChallenge(t *testing.T) {
	metadata := MetadataURL("https://gateway.example/mcp-connect/notes")
	const start = `Bearer resource_metadata="https://gateway.example/.well-known/oauth-protected-resource/mcp-connect/notes"`
	for want, failed := range map[string]error{
		start: nil,
		start + `, error="invalid_token", error_description="the token has expired"`: errExpired,
		start + `, error="invalid_token", error_description="a   b"`:                 errors.New("a\"\r\\b"),
	} {
		if got := Challenge(metadata, failed); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestMetadataURL(t *testing.T) {
	for resource, want := range map[string]string{
		"https://a.example":         "https://a.example/.well-known/oauth-protected-resource",
		"https://a.example/x/y":     "https://a.example/.well-known/oauth-protected-resource/x/y",
		"http://127.0.0.1:8080/x":   "http://127.0.0.1:8080/.well-known/oauth-protected-resource/x",
		"https://notes.example/mcp": "https://notes.example/.well-known/oauth-protected-resource/mcp",
	} {
		if got := MetadataURL(resource); got != want {
			t.Errorf("%s: got %s, want %s", resource, got, want)
		}
	}
}
