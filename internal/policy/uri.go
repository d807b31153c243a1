package policy

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// A resource's URI travels to the server as it came, and servers read URIs in their own ways: they resolve dot segments,
// decode escapes, or look files up regardless of case. So a pattern of a policy's resources is compared twice: with the
// URI as it was written, and, both reduced, with the reading that most spellings share. An allow must match both ways, a
// deny refuses where one way matches. What is not seen through are the server's own aliases (symbolic links, Unicode
// normalization, short names): whoever denies by URI should rather allow by URI.

// uriGlob is a pattern of resources.
type uriGlob struct{ written, reduced glob }

func parseURIGlobs(patterns []string) ([]uriGlob, error) {
	written, err := parseGlobs(patterns)
	if err != nil {
		return nil, err
	}
	globs := make([]uriGlob, len(patterns))
	for i, p := range patterns {
		reduced, _ := reduce(p)
		globs[i] = uriGlob{written[i], strings.Split(reduced, "*")}
	}
	return globs, nil
}

// resource is a URI in both forms.
type resource struct {
	written, reduced string
	clear            bool // what the reduced form is can be said at all
}

func newResource(uri string) resource {
	reduced, ok := reduce(uri)
	return resource{uri, reduced, ok}
}

func (r *resource) in(globs []uriGlob, deny bool) bool {
	for _, g := range globs {
		written, reduced := g.written.match(r.written), g.reduced.match(r.reduced)
		everything := len(g.written) == 2 && g.written[0] == "" && g.written[1] == ""
		switch {
		case everything, written && reduced && r.clear:
			return true
		case deny && (written || reduced || !r.clear):
			return true
		}
	}
	return false
}

// reduce decodes the escapes of a URI until none is left, writes it in lower case and with slashes, and resolves dot
// segments and empty ones below its authority (RFC 3986 section 6.2.2, and more). ok is false where readers may take it
// for anything: broken or repeated escapes, bytes that are no UTF-8.
func reduce(uri string) (reduced string, ok bool) {
	text, ok := unescape(uri)
	if again, _ := unescape(text); again != text || !utf8.ValidString(text) {
		ok = false
	}
	text = strings.ReplaceAll(strings.ToLower(text), `\`, "/")
	scheme, rest := cutScheme(text)
	rest, inside := resolve(rest)
	return scheme + rest, ok && inside
}

// cutScheme parts a URI behind the "://" that follows its scheme; where none does, scheme is empty.
func cutScheme(uri string) (scheme, rest string) {
	name, rest, found := strings.Cut(uri, "://")
	strange := func(r rune) bool {
		return !unreserved(byte(r)) && r != '+' || r == '_' || r == '~' || r > unicode.MaxASCII
	}
	if !found || name == "" || name[0] == '.' || strings.ContainsFunc(name, strange) {
		return "", uri
	}
	return uri[:len(name)+3], rest
}

// unescape decodes each escape once. ok is false where a percent sign begins none.
func unescape(s string) (text string, ok bool) {
	if !strings.Contains(s, "%") {
		return s, true
	}
	var b strings.Builder
	ok = true
	for i := 0; i < len(s); i++ {
		if s[i] != '%' {
			b.WriteByte(s[i])
			continue
		}
		if i+2 >= len(s) || hex(s[i+1]) < 0 || hex(s[i+2]) < 0 {
			ok = false
			b.WriteByte('%')
			continue
		}
		b.WriteByte(byte(hex(s[i+1])<<4 | hex(s[i+2])))
		i += 2
	}
	return b.String(), ok
}

func hex(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// resolve takes dot segments and empty ones out of a path. ok is false where a dot segment leads out of the first one,
// which is an authority to some readers and a folder to others.
func resolve(path string) (resolved string, ok bool) {
	if !strings.Contains(path, "//") && !strings.Contains(path, "/.") && !strings.HasPrefix(path, ".") {
		return path, true
	}
	ok = true
	segments := strings.Split(path, "/")
	out := segments[:0]
	for i, s := range segments {
		last := i == len(segments)-1
		switch {
		case s == "." || s == "" && i > 0:
		case s == "..":
			if len(out) < 2 {
				ok = false
			} else {
				out = out[:len(out)-1]
			}
		default:
			out = append(out, s)
			continue
		}
		if last {
			out = append(out, "") // it ends in a slash
		}
	}
	return strings.Join(out, "/"), ok
}

// PlainURI reports whether a URI reads the same however it is read, but for the case of letters: no dot segments or empty
// ones, no backslashes, no escapes of characters that need none or that part it.
func PlainURI(uri string) bool {
	text, ok := unescape(uri)
	if !ok || !utf8.ValidString(text) || strings.Contains(text, "%") || strings.Contains(text, `\`) {
		return false
	}
	for rest := uri; ; {
		_, escape, found := strings.Cut(rest, "%")
		if !found {
			break
		}
		if c := byte(hex(escape[0])<<4 | hex(escape[1])); c == '/' || unreserved(c) {
			return false
		}
		rest = escape[2:]
	}
	_, rest := cutScheme(uri)
	resolved, inside := resolve(rest)
	return inside && resolved == rest
}

// unreserved characters mean the same escaped and not: RFC 3986 section 2.3.
func unreserved(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-._~", c) >= 0
}
