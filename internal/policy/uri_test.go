package policy

import (
	"strings"
	"testing"
)

// Spellings that servers read as something below /secret, and patterns that are about it.
var secrets = []string{
	"file:///secret/x", "FILE:///secret/x", "file:///SECRET/x", "file:///%73ecret/x", "file:///public/../secret/x",
	"file:///public/%2e%2e/secret/x", "file:///public/%2E./secret/x", "file:///public/..%2fsecret/x", `file:///public\..\secret/x`,
	"file:///public/..%5csecret/x", "file:///./secret/x", "file:////secret/x", "file:///public/%252e%252e/secret/x",
	"file:///public/a/../../secret/x", "file:///public/%c0%ae%c0%ae/secret/x", "file:///public/%zz/../../secret/x",
	"file:%2f%2f/secret/x", "file:///public/.//../secret/x", "file:///secret%2fx",
}

func TestURITricks(t *testing.T) {
	read := func(s *Set, uri string) bool {
		return s.Decide(someone("corp", "ann"), Request{Server: "s", Method: "resources/read", Name: uri}).Allow
	}
	public := mustCompile(t, Policy{Name: "a", Allow: anyone(), Servers: []string{"s"}, Resources: []string{"file:///public/*"}})
	notSecret := mustCompile(t, Policy{Name: "a", Allow: anyone(), Servers: []string{"s"}},
		Policy{Name: "d", Deny: anyone(), Servers: []string{"s"}, Resources: []string{"file:///secret/*"}})
	for _, uri := range secrets {
		if read(public, uri) {
			t.Errorf("%s is taken for something public", uri)
		}
		if read(notSecret, uri) {
			t.Errorf("%s is not taken for a secret", uri)
		}
	}
	for _, uri := range []string{"file:///public/x", "file:///public/a%20b", "file:///public/X.txt", "file:///public/a/./b", "file:///public/ä"} {
		if !read(public, uri) || !read(notSecret, uri) {
			t.Errorf("%s is refused", uri)
		}
	}
	for _, c := range []struct {
		pattern, uri string
		want         bool
	}{
		{"*", "file:///a/../b", true}, {"*", "x%zz", true}, {"demo://Resource/*", "demo://Resource/Static/1", true},
		{"demo://Resource/*", "demo://resource/1", false}, {"docs://public/*", "docs://public/../secret", false},
		{"notes:public/*", "notes:public/../secret", false}, {"public/*", "public/../secret", false}, {"urn:x:*", "urn:x:y", true},
		{"file:///{path}", "file:///{path}", true}, {"db://*", "db://a//b", true}, {"https://h/*", "https://h.evil/x", false},
		{"file:///a%20b/*", "file:///a%20b/c", true}, {"x", "x", true}, {"*.key", "file:///a/b.key", true},
	} {
		s := mustCompile(t, Policy{Name: "a", Allow: anyone(), Servers: []string{"s"}, Resources: []string{c.pattern}})
		if got := read(s, c.uri); got != c.want {
			t.Errorf("%s under an allow of %s: %v", c.uri, c.pattern, got)
		}
	}
}

func TestPlainURI(t *testing.T) {
	for _, uri := range secrets[3:] {
		if PlainURI(uri) {
			t.Errorf("%s is plain", uri)
		}
	}
	for _, uri := range []string{"", "file:///a", "file:///a%20b/c.txt", "demo://Resource/1", "urn:x:y", "https://h:1/a?b=c%26d#e", "file:///{path}", "file:///a/"} {
		if !PlainURI(uri) {
			t.Errorf("%s is not plain", uri)
		}
	}
}

// However a URI is written, a deny of what it reduces to refuses it, and reducing it again changes nothing.
func FuzzURI(f *testing.F) {
	for _, uri := range secrets {
		f.Add(uri)
	}
	f.Fuzz(func(t *testing.T, uri string) {
		reduced, ok := reduce(uri)
		if !ok {
			return
		}
		if again, _ := reduce(reduced); again != reduced {
			t.Errorf("%q reduces to %q, and that to %q", uri, reduced, again)
		}
		if strings.Contains("/"+reduced+"/", "/../") || strings.Contains("/"+reduced+"/", "/./") {
			t.Errorf("%q reduces to %q, which leads elsewhere", uri, reduced)
		}
		if PlainURI(uri) && strings.Contains(uri, `\`) {
			t.Errorf("%q is plain", uri)
		}
	})
}
