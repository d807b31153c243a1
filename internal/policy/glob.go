package policy

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxGlob bounds a pattern, in bytes: as long as any URI a server sensibly offers.
const maxGlob = 2048

// glob is a pattern in which "*" stands for any run of characters, "/" included, and everything else for itself.
// It holds the text between the stars; a single part means that there is no star. The zero glob matches nothing.
type glob []string

// CheckGlob says what is wrong with a pattern of a policy's servers, tools, prompts, resources or methods.
func CheckGlob(pattern string) error {
	_, err := parseGlob(pattern)
	return err
}

func parseGlob(pattern string) (glob, error) {
	switch {
	case pattern == "":
		return nil, errors.New("an empty pattern matches nothing: write * for everything")
	case len(pattern) > maxGlob:
		return nil, fmt.Errorf("the pattern is longer than %d bytes", maxGlob)
	case !utf8.ValidString(pattern), strings.ContainsFunc(pattern, unicode.IsControl):
		return nil, fmt.Errorf("the pattern %.60q holds control characters", pattern)
	}
	return strings.Split(pattern, "*"), nil
}

// match is linear in len(s): taking the first place where each part fits never rules out a later part, so nothing is
// ever tried twice.
func (g glob) match(s string) bool {
	if len(g) < 2 {
		return len(g) == 1 && s == g[0]
	}
	first, last := g[0], g[len(g)-1]
	if len(s) < len(first)+len(last) || !strings.HasPrefix(s, first) || !strings.HasSuffix(s, last) {
		return false
	}
	s = s[len(first) : len(s)-len(last)]
	for _, part := range g[1 : len(g)-1] {
		at := strings.Index(s, part)
		if at < 0 {
			return false
		}
		s = s[at+len(part):]
	}
	return true
}

func matchAny(globs []glob, s string) bool {
	for _, g := range globs {
		if g.match(s) {
			return true
		}
	}
	return false
}

func parseGlobs(patterns []string) ([]glob, error) {
	globs := make([]glob, len(patterns))
	for i, p := range patterns {
		g, err := parseGlob(p)
		if err != nil {
			return nil, err
		}
		globs[i] = g
	}
	return globs, nil
}
