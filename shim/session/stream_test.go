package session

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"mcpgateway/internal/mcp"
)

// A stream's name tells its request's id to who sealed it, of the same session and caller, and to nobody else.
func TestStreamNames(t *testing.T) {
	key, other := bytes.Repeat([]byte{1}, KeySize), bytes.Repeat([]byte{2}, KeySize)
	s, err := NewSealer("a", key)
	if err != nil {
		t.Fatal(err)
	}
	rotated, err := NewSealer("a", other, key)
	if err != nil {
		t.Fatal(err)
	}
	of := &Session{Name: Name{1}}
	name, ok := s.SealStream(of, mcp.Token(`"call"`), "i", "s")
	again, _ := s.SealStream(of, mcp.Token(`"call"`), "i", "s")
	if !ok || !strings.HasPrefix(name, mcp.EventPrefix) || name == again || strings.ContainsAny(name[len(mcp.EventPrefix):], ".\r\n ") {
		t.Fatalf("named %q and %q", name, again)
	}
	for _, opener := range []*Sealer{s, rotated} {
		if id, err := opener.OpenStream(name, of, "i", "s"); err != nil || string(id) != `"call"` {
			t.Errorf("opened %s, %v", id, err)
		}
	}
	elsewhere, _ := NewSealer("b", key)
	strange, _ := NewSealer("a", other)
	for what, open := range map[string]func() (mcp.Token, error){
		"another session": func() (mcp.Token, error) { return s.OpenStream(name, &Session{Name: Name{2}}, "i", "s") },
		"another subject": func() (mcp.Token, error) { return s.OpenStream(name, of, "i", "t") },
		"another issuer":  func() (mcp.Token, error) { return s.OpenStream(name, of, "j", "s") },
		"another server":  func() (mcp.Token, error) { return elsewhere.OpenStream(name, of, "i", "s") },
		"another key":     func() (mcp.Token, error) { return strange.OpenStream(name, of, "i", "s") },
		"no prefix":       func() (mcp.Token, error) { return s.OpenStream(name[1:], of, "i", "s") },
		"too long":        func() (mcp.Token, error) { return s.OpenStream(name+strings.Repeat("A", 1000), of, "i", "s") },
		"no base64":       func() (mcp.Token, error) { return s.OpenStream(mcp.EventPrefix+"?", of, "i", "s") },
		"nothing":         func() (mcp.Token, error) { return s.OpenStream(mcp.EventPrefix, of, "i", "s") },
	} {
		if id, err := open(); !errors.Is(err, ErrUnknown) || id != nil {
			t.Errorf("%s: %s, %v", what, id, err)
		}
	}
	if name, ok := s.SealStream(of, mcp.Token(strings.Repeat("1", maxRequest+1)), "i", "s"); ok {
		t.Errorf("a long id is named %q", name)
	}
	longest, ok := s.SealStream(of, mcp.Token(strings.Repeat("1", maxRequest)), "i", "s")
	if _, err := s.OpenStream(longest, of, "i", "s"); !ok || err != nil {
		t.Errorf("the longest: %v, %v", ok, err)
	}
}

// A stream's name is no session's id, and the other way round: they are bound to different things.
func TestStreamNamesAreNoSessions(t *testing.T) {
	s, err := NewSealer("a", make([]byte, KeySize))
	if err != nil {
		t.Fatal(err)
	}
	id, err := s.Seal(Session{ID: "inner", Opened: time.Now()}, "i", "s")
	if err != nil {
		t.Fatal(err)
	}
	of, err := s.Open(id, "i", "s")
	if err != nil {
		t.Fatal(err)
	}
	name, _ := s.SealStream(of, mcp.Token("1"), "i", "s")
	if _, err := s.Open(prefix+strings.TrimPrefix(name, mcp.EventPrefix), "i", "s"); !errors.Is(err, ErrUnknown) {
		t.Error("a stream's name opens as a session")
	}
	if _, err := s.OpenStream(mcp.EventPrefix+strings.TrimPrefix(id, prefix), of, "i", "s"); !errors.Is(err, ErrUnknown) {
		t.Error("a session's id opens as a stream")
	}
}
