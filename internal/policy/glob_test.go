package policy

import (
	"strings"
	"testing"
	"time"
)

func TestGlob(t *testing.T) {
	tests := []struct {
		pattern string
		yes, no []string
	}{
		{"a", []string{"a"}, []string{"", "b", "aa", "A"}},
		{"*", []string{"", "a", "a/b\nc"}, nil},
		{"**", []string{"", "a"}, nil},
		{"get_*", []string{"get_", "get_x/y"}, []string{"get", "forget_x"}},
		{"*_x", []string{"_x", "a_x_x"}, []string{"_xa"}},
		{"a*b*c", []string{"abc", "a-b-b-c"}, []string{"acb", "ac", "abcd"}},
		{"ab*ba", []string{"abba", "ab-ba"}, []string{"aba"}}, // both ends may not share a character
		{"a*a*a", []string{"aaa"}, []string{"aa"}},
		{"*ab*ab*", []string{"abab", "xabxabx"}, []string{"aba"}},
		{"a?[b]{c}.\\*", []string{"a?[b]{c}.\\", "a?[b]{c}.\\x"}, []string{"ab[b]{c}.\\"}},
	}
	for _, tt := range tests {
		g, err := parseGlob(tt.pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range tt.yes {
			if !g.match(s) {
				t.Errorf("%q does not match %q", tt.pattern, s)
			}
		}
		for _, s := range tt.no {
			if g.match(s) {
				t.Errorf("%q matches %q", tt.pattern, s)
			}
		}
	}
	if glob(nil).match("") {
		t.Error("the zero glob matches")
	}
}

// A pattern that makes a backtracking matcher try 10^30 ways.
func TestGlobIsLinear(t *testing.T) {
	g, err := parseGlob(strings.Repeat("a*", 200) + "b")
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	if g.match(strings.Repeat("a", 1<<20) + "c") {
		t.Error("matches")
	}
	if d := time.Since(start); d > 5*time.Second {
		t.Errorf("took %v", d)
	}
}

// naiveMatch is the definition: a star is nothing, or one character and a star.
func naiveMatch(pattern, s string) bool {
	switch {
	case pattern == "":
		return s == ""
	case pattern[0] == '*':
		return naiveMatch(pattern[1:], s) || s != "" && naiveMatch(pattern, s[1:])
	default:
		return s != "" && pattern[0] == s[0] && naiveMatch(pattern[1:], s[1:])
	}
}

func FuzzGlob(f *testing.F) {
	f.Add("a*b*c", "abcbc")
	f.Add("*ab*ab*", "aab*b")
	f.Fuzz(func(t *testing.T, pattern, s string) {
		if len(pattern) > 12 || len(s) > 24 {
			t.Skip("the definition is exponential")
		}
		g, err := parseGlob(pattern)
		if err != nil {
			return
		}
		if got, want := g.match(s), naiveMatch(pattern, s); got != want {
			t.Errorf("%q on %q: got %v", pattern, s, got)
		}
	})
}
