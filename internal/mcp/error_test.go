package mcp

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestErrorWrite(t *testing.T) {
	cause := errors.New("secret detail")
	e := &Error{Status: 503, Message: "Try \"again\"", Cause: cause, RetryAfter: 1500 * time.Millisecond, ID: Token(`"x"`), Header: http.Header{"Allow": {"POST"}}}
	w := httptest.NewRecorder()
	e.Write(w, "req-1")
	want := `{"jsonrpc":"2.0","id":"x","error":{"code":-32603,"message":"Try \"again\"","data":{"requestId":"req-1"}}}`
	if w.Code != 503 || w.Body.String() != want || w.Header().Get("Retry-After") != "2" || w.Header().Get("Allow") != "POST" ||
		w.Header().Get("Content-Type") != "application/json" {
		t.Errorf("got %d %v %s", w.Code, w.Header(), w.Body)
	}
	if !errors.Is(e, cause) || !strings.Contains(e.Error(), "secret detail") {
		t.Error("the log does not learn the cause")
	}
}

func TestErrorBodies(t *testing.T) {
	for _, c := range []struct {
		name string
		e    Error
		want string
	}{
		{"no id", Error{Code: CodeRefused}, `{"jsonrpc":"2.0","id":null,"error":{"code":-32001,"message":"","data":{"requestId":"r"}}}`},
		{"anonymous", Error{Code: CodeRefused, Anonymous: true}, `{"jsonrpc":"2.0","id":null,"error":{"code":-32001,"message":""}}`},
		{"batch", Error{Code: CodeRefused, Anonymous: true, Batch: []Token{Token("1"), Token(`"2"`)}},
			`[{"jsonrpc":"2.0","id":1,"error":{"code":-32001,"message":""}},{"jsonrpc":"2.0","id":"2","error":{"code":-32001,"message":""}}]`},
	} {
		if got := string(c.e.Body("r")); got != c.want {
			t.Errorf("%s: got %s", c.name, got)
		}
	}
}
