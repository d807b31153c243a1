package lambdahttp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestAnswerOfAFunctionURL(t *testing.T) {
	got := invoke(t, twoOfEach, v2(t, ""))
	want := prelude{StatusCode: 201, Cookies: []string{"a=1; Path=/", "b=2"},
		Headers: map[string]string{"Content-Type": "application/json", "Www-Authenticate": "Bearer a, Bearer b", "X-Split": "a  X-Admin: 1"}}
	if diff := cmp.Diff(want, got.prelude); diff != "" || got.body != "{}" || got.err != nil {
		t.Errorf("%q, %v, %s", got.body, got.err, diff)
	}
}

func TestAnswerOfARESTAPI(t *testing.T) {
	got := invoke(t, twoOfEach, v1(t, ""))
	want := prelude{StatusCode: 201, MultiValueHeaders: map[string][]string{"Content-Type": {"application/json"},
		"Www-Authenticate": {"Bearer a", "Bearer b"}, "Set-Cookie": {"a=1; Path=/", "b=2"}, "X-Split": {"a  X-Admin: 1"}}}
	if diff := cmp.Diff(want, got.prelude); diff != "" || got.body != "{}" || got.err != nil {
		t.Errorf("%q, %v, %s", got.body, got.err, diff)
	}
}

// twoOfEach also tries what must not leave: a second header in the value of one, and the framing of a connection.
func twoOfEach(w http.ResponseWriter, _ *http.Request) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h["Www-Authenticate"] = []string{"Bearer a", "Bearer b"}
	h["Set-Cookie"] = []string{"a=1; Path=/", "b=2"}
	h["X-Split"] = []string{"a\r\nX-Admin: 1"}
	h["X Bad"], h["X-None"] = []string{"1"}, nil
	h.Set("Content-Length", "2")
	h.Set("Connection", "close")
	w.WriteHeader(http.StatusEarlyHints) // is dropped
	w.WriteHeader(http.StatusCreated)
	h.Set("X-Late", "1")
	w.WriteHeader(http.StatusTeapot)
	_, _ = io.WriteString(w, "{}")
}

// What is flushed leaves at once and in one piece, what is not waits.
func TestFlush(t *testing.T) {
	next := make(chan struct{})
	out, err := adapter(t, func(w http.ResponseWriter, _ *http.Request) {
		ctl := http.NewResponseController(w)
		_ = ctl.Flush() // the head
		for i := range 3 {
			<-next
			fmt.Fprintf(w, "data: %d\n", i)
			_, _ = io.WriteString(w, "\n")
			if err := ctl.Flush(); err != nil {
				t.Error(err)
			}
		}
		_, _ = io.WriteString(w, ": end\n\n")
	}).Invoke(t.Context(), json.RawMessage(v2(t, "")))
	if err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 4<<10)
	if n, err := out.Read(buf); err != nil || !strings.HasSuffix(string(buf[:n]), separator) {
		t.Fatalf("head %q, %v", buf[:n], err)
	}
	for i := range 3 {
		next <- struct{}{}
		if n, err := out.Read(buf); err != nil || string(buf[:n]) != fmt.Sprintf("data: %d\n\n", i) {
			t.Fatalf("chunk %q, %v", buf[:n], err)
		}
	}
	if rest, err := io.ReadAll(out); err != nil || string(rest) != ": end\n\n" {
		t.Errorf("rest %q, %v", rest, err)
	}
}

// An answer that is not flushed is in one piece, and one that is larger than the buffer streams.
func TestWithoutFlush(t *testing.T) {
	got := invoke(t, func(w http.ResponseWriter, _ *http.Request) {
		for range 100 {
			_, _ = io.WriteString(w, "0123456789")
		}
	}, v2(t, ""))
	if got.body != strings.Repeat("0123456789", 100) || len(got.chunks) != 1 || got.StatusCode != 200 || got.err != nil {
		t.Errorf("%d bytes in %d chunks, %v", len(got.body), len(got.chunks), got.err)
	}
	got = invoke(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, strings.Repeat("x", 100<<10))
	}, v2(t, ""))
	if len(got.body) != 100<<10 || got.err != nil {
		t.Errorf("%d bytes, %v", len(got.body), got.err)
	}
}

// A handler that breaks off must never look as if it had ended, and where nothing was sent the client gets an answer.
func TestPanics(t *testing.T) {
	for name, p := range map[string]any{"bug": "bug", "abort": http.ErrAbortHandler} {
		before := invoke(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Secret", "half made")
			w.WriteHeader(http.StatusOK)
			_, _ = io.WriteString(w, "half")
			panic(p)
		}, v2(t, ""))
		if before.StatusCode != 500 || before.Headers["X-Secret"] != "" || !strings.Contains(before.body, `"jsonrpc":"2.0"`) || before.err != nil {
			t.Errorf("%s before the first byte: %+v", name, before)
		}
		after := invoke(t, func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "data: 1\n\n")
			w.(http.Flusher).Flush()
			_, _ = io.WriteString(w, "data: lost\n\n")
			panic(p)
		}, v2(t, ""))
		if after.StatusCode != 200 || after.body != "data: 1\n\n" || !errors.Is(after.err, errBrokeOff) {
			t.Errorf("%s after it: %+v", name, after)
		}
	}
}

func TestAnswersWithoutBody(t *testing.T) {
	head := func(w http.ResponseWriter, _ *http.Request) {
		if n, err := io.WriteString(w, "body"); n != 4 || err != nil {
			t.Errorf("wrote %d, %v", n, err)
		}
	}
	if got := invoke(t, head, v2(t, `{"requestContext":{"http":{"method":"HEAD"}}}`)); got.body != "" || got.StatusCode != 200 {
		t.Errorf("HEAD: %+v", got)
	}
	none := func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNoContent)
		if _, err := io.WriteString(w, "body"); !errors.Is(err, http.ErrBodyNotAllowed) {
			t.Errorf("204 with a body: %v", err)
		}
	}
	if got := invoke(t, none, v2(t, "")); got.body != "" || got.StatusCode != 204 {
		t.Errorf("204: %+v", got)
	}
	if got := invoke(t, func(http.ResponseWriter, *http.Request) {}, v1(t, "")); got.body != "" || got.StatusCode != 200 {
		t.Errorf("nothing: %+v", got)
	}
}

// The request knows when the process will be killed.
func TestDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		at := time.Now().Add(time.Minute)
		ctx, cancel := context.WithDeadline(t.Context(), at)
		defer cancel()
		out, err := adapter(t, func(w http.ResponseWriter, r *http.Request) {
			if got, ok := r.Context().Deadline(); !ok || !got.Equal(at) {
				t.Errorf("deadline %v", got)
			}
			w.(http.Flusher).Flush()
			<-r.Context().Done()
			_, _ = io.WriteString(w, "late")
		}).Invoke(ctx, json.RawMessage(v2(t, "")))
		if err != nil {
			t.Fatal(err)
		}
		if got := read(t, out); got.body != "late" || got.err != nil || time.Now() != at {
			t.Errorf("%+v at %v", got, time.Now())
		}
	})
}

// Where the Runtime API stopped reading, the handler learns of it.
func TestNobodyReads(t *testing.T) {
	ended := make(chan error, 1)
	out, err := adapter(t, func(w http.ResponseWriter, r *http.Request) {
		ctl := http.NewResponseController(w)
		_ = ctl.Flush()
		<-r.Context().Done()
		_, _ = io.WriteString(w, "x")
		ended <- ctl.Flush()
	}).Invoke(t.Context(), json.RawMessage(v2(t, "")))
	if err != nil {
		t.Fatal(err)
	}
	_ = out.(io.Closer).Close()
	if err := <-ended; !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("flushed to nobody: %v", err)
	}
}

func TestConfig(t *testing.T) {
	if _, err := New(Config{}); err == nil {
		t.Error("made of nothing")
	}
}
