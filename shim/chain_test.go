package main

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mcpgateway/internal/audit"
	"mcpgateway/internal/identity/identitytest"
	"mcpgateway/internal/mcp"
	"mcpgateway/shim/authenticate"
)

func TestRefusals(t *testing.T) {
	reached := 0
	r := newRig(t, func(w http.ResponseWriter, req *http.Request) { reached++; answerJSON(`{}`)(w, req) })
	engineer, seller := r.engineer(t), r.seller(t)
	other := r.issuer.Token(t, "alice", "https://gateway.test/mcp-connect/other", []string{"engineering"}, nil)
	nobody := r.issuer.Token(t, "carol", resource, nil, nil)
	partner := r.partner.Token(t, "alice", resource, []string{"engineering"}, nil)
	expired := r.issuer.Token(t, "alice", resource, []string{"engineering"}, identitytest.Claims{"exp": time.Now().Add(-time.Hour).Unix()})
	for _, c := range []struct {
		name, method, token, body string
		header                    []string
		status                    int
		says                      string
	}{
		{"no token", "POST", "", callTool("x"), nil, 401, "Sign in"},
		{"malformed token", "POST", "x.y.z", callTool("x"), nil, 401, "refused"},
		{"expired token", "POST", expired, callTool("x"), nil, 401, "refused"},
		{"token for another server", "POST", other, callTool("x"), nil, 401, "refused"},
		{"no policy", "POST", nobody, callTool("x"), nil, 403, "may not use"},
		{"same group of another issuer", "POST", partner, callTool("x"), nil, 403, "may not use"},
		{"tool denied", "POST", engineer, callTool("merge"), nil, 200, "-32001"},
		{"tool not allowed", "POST", seller, callTool("create"), nil, 200, "-32001"},
		{"prompt not allowed", "POST", seller, `{"jsonrpc":"2.0","id":1,"method":"prompts/get","params":{"name":"get_x"}}`, nil, 200, "-32001"},
		{"unknown method", "POST", engineer, `{"jsonrpc":"2.0","id":1,"method":"admin/reset"}`, nil, 200, "-32001"},
		{"unknown notification", "POST", engineer, `{"jsonrpc":"2.0","method":"notifications/admin"}`, nil, 403, "-32001"},
		{"one of a batch", "POST", seller, "[" + callTool("get_a") + "," + strings.Replace(callTool("create"), `"id":1`, `"id":"2"`, 1) + "]", nil, 200, `"id":"2"`},
		{"name is no text", "POST", engineer, `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":["get_a"]}}`, nil, 400, "-32602"},
		{"name is a broken surrogate", "POST", engineer, callTool(`get_\ud800`), nil, 400, "-32602"},
		{"duplicate names", "POST", seller, `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"get_a","name":"merge"}}`, nil, 400, "-32700"},
		{"case twins", "POST", seller, `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"get_a","Name":"merge"}}`, nil, 400, "-32600"},
		{"gzip", "POST", engineer, callTool("x"), []string{"Content-Encoding", "gzip"}, 415, "Content-Encoding"},
		{"not JSON", "POST", engineer, "x=1", []string{"Content-Type", "application/x-www-form-urlencoded"}, 415, "application/json"},
		{"header differs", "POST", engineer, callTool("x"), []string{"MCP-Protocol-Version", "2026-07-28", "Mcp-Method", "tools/list"}, 400, "-32020"},
		{"foreign session", "POST", engineer, callTool("x"), []string{"Mcp-Session-Id", "abc"}, 404, "initialize again"},
		{"foreign session on GET", "GET", engineer, "", []string{"Mcp-Session-Id", "abc"}, 404, "initialize again"},
		{"foreign session on DELETE", "DELETE", engineer, "", []string{"Mcp-Session-Id", "abc"}, 404, "initialize again"},
		{"PUT", "PUT", engineer, "", nil, 405, "POST"},
		{"too large", "POST", engineer, `"` + strings.Repeat("x", mcp.MaxBody) + `"`, nil, 413, "6 MiB"},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := len(r.records.all())
			resp, body := r.do(t, r.request(t, c.method, c.token, c.body, c.header...))
			if resp.StatusCode != c.status || !strings.Contains(body, c.says) {
				t.Errorf("got %d %s, want %d saying %q", resp.StatusCode, body, c.status, c.says)
			}
			if mark := resp.Header.Get(mcp.HeaderShim); mark != "github" {
				t.Errorf("the answer is marked %q", mark)
			}
			if kind := resp.Header.Get("Content-Type"); kind != "application/json" {
				t.Errorf("the error is %s", kind)
			}
			if reached != 0 {
				t.Error("the server was reached")
			}
			records := r.records.all()[before:]
			if len(records) == 0 || records[0].Outcome != audit.Refused {
				t.Errorf("recorded as %+v", records)
			}
		})
	}
}

func TestAnotherServersPath(t *testing.T) {
	r := newRig(t, answerJSON(`{}`))
	req := r.request(t, "POST", r.engineer(t), callTool("x"))
	req.URL.Path = "/mcp-connect/other"
	if resp, _ := r.do(t, req); resp.StatusCode != 403 {
		t.Errorf("got %d", resp.StatusCode)
	}
}

func TestOwner(t *testing.T) {
	r := newRig(t, answerJSON(`{}`))
	r.chain.authenticate = authenticate.Checker{OwnerIssuer: "https://issuer.test", OwnerSubject: "alice"}
	for token, want := range map[string]int{
		r.engineer(t): 200,
		r.issuer.Token(t, "eve", resource, []string{"engineering"}, nil):    403,
		r.partner.Token(t, "alice", resource, []string{"engineering"}, nil): 403,
	} {
		if resp, body := r.post(t, token, callTool("x")); resp.StatusCode != want {
			t.Errorf("got %d %s, want %d", resp.StatusCode, body, want)
		}
	}
}

func TestServerSeesNoCredential(t *testing.T) {
	var got http.Header
	var query string
	r := newRig(t, func(w http.ResponseWriter, req *http.Request) {
		got, query = req.Header.Clone(), req.URL.RawQuery
		answerJSON(`{}`)(w, req)
	})
	req := r.request(t, "POST", r.engineer(t), callTool("x"), "Cookie", "a=b", "X-Forwarded-For", "1.2.3.4", "Proxy-Authorization", "Basic x",
		"Knative-Serving-Revision", "evil", "User-Agent", "kube-probe/1", "Traceparent", "00-1-2-01", "Mcp-Param-Region", "eu")
	req.URL.RawQuery = "access_token=" + r.engineer(t)
	if resp, body := r.do(t, req); resp.StatusCode != 200 {
		t.Fatalf("got %d %s", resp.StatusCode, body)
	}
	want := http.Header{"Content-Type": {"application/json"}, "Accept": {"application/json, text/event-stream"}, "Content-Length": {"70"},
		"Traceparent": {"00-1-2-01"}, "Mcp-Param-Region": {"eu"}}
	got.Set("Content-Length", "70")
	if d := cmp.Diff(want, got); d != "" || query != "" {
		t.Errorf("query %q, headers %s", query, d)
	}
}

func TestBytesTravelUnchanged(t *testing.T) {
	const request = `{ "jsonrpc":"2.0", "id": 1.0e0, "method":"tools/call","params":{"name":"x","arguments":{"big":12345678901234567890.123,"u":"\u00e9"}},"extra":[] }`
	const answer = `{"jsonrpc":"2.0",  "id":1.0e0,"result":{"n":1e400,"u":"\u00e9"},"more":null}`
	var got string
	r := newRig(t, func(w http.ResponseWriter, req *http.Request) {
		b, _ := io.ReadAll(req.Body)
		got = string(b)
		answerJSON(answer)(w, req)
	})
	if _, body := r.post(t, r.engineer(t), request); got != request || body != answer {
		t.Errorf("server got %s\nclient got %s", got, body)
	}
}

func TestSessionIDsAreSealed(t *testing.T) {
	var got []string
	r := newRig(t, func(w http.ResponseWriter, req *http.Request) {
		got = append(got, req.Method+" "+req.Header.Get(mcp.HeaderSession))
		w.Header().Set(mcp.HeaderSession, "inner-1")
		answerJSON(`{}`)(w, req)
	})
	resp, _ := r.post(t, r.engineer(t), `{"jsonrpc":"2.0","id":0,"method":"initialize","params":{}}`)
	sealed := resp.Header.Get(mcp.HeaderSession)
	if sealed == "" || strings.Contains(sealed, "inner") {
		t.Fatalf("got session %q", sealed)
	}
	for _, method := range []string{"POST", "GET", "DELETE"} {
		resp, _ := r.do(t, r.request(t, method, r.engineer(t), callTool("x"), "Mcp-Session-Id", sealed))
		// Clients compare: the same session must not come back under another name.
		if again := resp.Header.Get(mcp.HeaderSession); resp.StatusCode != 200 || again != sealed {
			t.Errorf("%s by its owner: %d, session %q, want %q", method, resp.StatusCode, again, sealed)
		}
		before := len(got)
		resp, body := r.do(t, r.request(t, method, r.seller(t), callTool("get_x"), "Mcp-Session-Id", sealed))
		if resp.StatusCode != 404 || len(got) != before {
			t.Errorf("%s by another: %d %s", method, resp.StatusCode, body)
		}
	}
	if d := cmp.Diff([]string{"POST ", "POST inner-1", "GET inner-1", "DELETE inner-1"}, got); d != "" {
		t.Error(d)
	}
	// The modern era has no sessions: none is minted, and what is sent is ignored.
	resp, body := r.post(t, r.engineer(t), callTool("x"), "Mcp-Session-Id", "abc", "MCP-Protocol-Version", "2026-07-28", "Mcp-Method", "tools/call", "Mcp-Name", "x")
	if resp.StatusCode != 200 || resp.Header.Get(mcp.HeaderSession) != "" || got[len(got)-1] != "POST " {
		t.Errorf("modern: %d %s, session %q", resp.StatusCode, body, resp.Header.Get(mcp.HeaderSession))
	}
}

// A server that changes the session's id must not have the old one sent on.
func TestNewSessionIDIsSealedAnew(t *testing.T) {
	n := 0
	r := newRig(t, func(w http.ResponseWriter, req *http.Request) {
		n++
		w.Header().Set(mcp.HeaderSession, "inner-"+strconv.Itoa(n))
		answerJSON(`{}`)(w, req)
	})
	resp, _ := r.post(t, r.engineer(t), `{"jsonrpc":"2.0","id":0,"method":"initialize","params":{}}`)
	first := resp.Header.Get(mcp.HeaderSession)
	resp, _ = r.post(t, r.engineer(t), callTool("x"), "Mcp-Session-Id", first)
	if second := resp.Header.Get(mcp.HeaderSession); second == "" || second == first {
		t.Errorf("session %q after %q", second, first)
	}
}

func TestServerAnswersThatDoNotPass(t *testing.T) {
	for name, server := range map[string]http.HandlerFunc{
		"redirect": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "http://evil")
			w.WriteHeader(307)
		},
		"its own sign-in": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("WWW-Authenticate", "Bearer")
			w.WriteHeader(401)
		},
		"content encoding": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "br")
			w.WriteHeader(200)
		},
		"long session id": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set(mcp.HeaderSession, strings.Repeat("x", 2000))
		},
		"breaks off": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, server)
			resp, body := r.post(t, r.engineer(t), callTool("x"))
			if resp.StatusCode != 502 || resp.Header.Get("Location")+resp.Header.Get("WWW-Authenticate") != "" {
				t.Errorf("got %d %s", resp.StatusCode, body)
			}
			if rec := r.records.all(); len(rec) != 1 || rec[0].Outcome != audit.Failed {
				t.Errorf("recorded as %+v", rec)
			}
		})
	}
}

func TestAnswerThatBreaksOffIsNoCleanEnd(t *testing.T) {
	for name, kind := range map[string]string{"JSON": "application/json", "SSE": "text/event-stream"} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", kind)
				_, _ = io.WriteString(w, "data: {}\n\n")
				_ = http.NewResponseController(w).Flush()
				panic(http.ErrAbortHandler)
			})
			resp, err := http.DefaultClient.Do(r.request(t, "POST", r.engineer(t), callTool("x")))
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if _, err := io.ReadAll(resp.Body); err == nil {
				t.Error("the client takes it for whole")
			}
		})
	}
}

// The record must be out before the caller can hold the answer.
func TestRecordedBeforeTheAnswerLeaves(t *testing.T) {
	for name, server := range map[string]http.HandlerFunc{
		"JSON": answerJSON(`{"jsonrpc":"2.0","id":1,"result":{}}`),
		"SSE": func(w http.ResponseWriter, req *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = io.WriteString(w, "data: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}\n\n")
			_ = http.NewResponseController(w).Flush()
			<-req.Context().Done() // the stream stays open after the answer
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, server)
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			req := r.request(t, "POST", r.engineer(t), callTool("x"), "MCP-Protocol-Version", "2026-07-28", "Mcp-Method", "tools/call", "Mcp-Name", "x",
				"X-Request-Id", "req-1").WithContext(ctx)
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if _, err := bufio.NewReader(resp.Body).ReadBytes('}'); err != nil {
				t.Fatal(err)
			}
			rec := r.records.all()
			if len(rec) != 1 {
				t.Fatalf("%d records", len(rec))
			}
			got := rec[0]
			if len(got.RequestHeaders["Mcp-Name"]) == 0 || len(got.ResponseHeaders["Content-Type"]) == 0 || got.ResponseBytes < 30 {
				t.Errorf("headers %v and %v, %d bytes of an answer", got.RequestHeaders, got.ResponseHeaders, got.ResponseBytes)
			}
			got.ID, got.CreatedAt, got.ProcessingTimeMs, got.RequestBytes, got.ResponseBytes = "", time.Time{}, 0, 0, 0
			got.RequestHeaders, got.ResponseHeaders = nil, nil
			want := audit.Record{Server: "github", Issuer: "https://issuer.test", Subject: "alice", Client: "test", Era: "modern", CallType: "tools/call",
				CallIdentifier: "x", Outcome: audit.Forwarded, Policy: "engineers", Decision: audit.Allowed, Start: audit.Cold,
				ResponseStatus: 200, RequestID: "req-1"}
			if d := cmp.Diff(want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestDisconnect(t *testing.T) {
	for _, c := range []struct {
		name      string
		header    []string
		cancelled bool
	}{
		{"modern cancels", []string{"MCP-Protocol-Version", "2026-07-28", "Mcp-Method", "tools/call", "Mcp-Name", "x"}, true},
		{"legacy does not", []string{"MCP-Protocol-Version", "2025-11-25"}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			started, ended := make(chan struct{}), make(chan bool, 1)
			r := newRig(t, func(w http.ResponseWriter, req *http.Request) {
				_, _ = io.Copy(io.Discard, req.Body)
				close(started)
				select {
				case <-req.Context().Done():
					ended <- true
				case <-time.After(500 * time.Millisecond):
					ended <- false
				}
			})
			ctx, cancel := context.WithCancel(context.Background())
			go func() {
				<-started
				cancel()
			}()
			req := r.request(t, "POST", r.engineer(t), callTool("x"), c.header...).WithContext(ctx)
			if _, err := http.DefaultClient.Do(req); err == nil {
				t.Fatal("the client did not leave")
			}
			if got := <-ended; got != c.cancelled {
				t.Errorf("cancelled: %v", got)
			}
		})
	}
}

// A legacy listener that leaves is the client's doing: the server did not break.
func TestListenerThatLeavesIsNoFault(t *testing.T) {
	started := make(chan struct{})
	r := newRig(t, func(_ http.ResponseWriter, req *http.Request) {
		close(started)
		<-req.Context().Done()
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-started
		cancel()
	}()
	req := r.request(t, "GET", r.engineer(t), "", "MCP-Protocol-Version", "2025-11-25")
	if resp, err := http.DefaultClient.Do(req.WithContext(ctx)); err == nil {
		resp.Body.Close()
		t.Fatal("an answer for who left")
	}
	for range 200 {
		if rec := r.records.all(); len(rec) == 1 {
			if rec[0].ResponseStatus != 499 {
				t.Errorf("recorded %d %s", rec[0].ResponseStatus, rec[0].Error)
			}
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Error("no record")
}

func TestSilentListenerIsLetGo(t *testing.T) {
	left := make(chan struct{})
	r := newRig(t, func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for range 4 { // each is a word: the silence begins anew
			_, _ = io.WriteString(w, "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/x\"}\n\n")
			_ = http.NewResponseController(w).Flush()
			time.Sleep(400 * time.Millisecond)
		}
		for req.Context().Err() == nil { // and comments are none
			_, _ = io.WriteString(w, ": ping\n\n")
			_ = http.NewResponseController(w).Flush()
			time.Sleep(20 * time.Millisecond)
		}
		close(left)
	})
	r.chain.forward.Silence = 900 * time.Millisecond // from 600 on, and 400 are between two words
	resp, body := r.do(t, r.request(t, "GET", r.engineer(t), ""))
	if resp.StatusCode != 200 || strings.Count(body, "data:") != 4 || !strings.HasSuffix(body, mcp.SilenceComment) {
		t.Errorf("got %d %q", resp.StatusCode, body)
	}
	<-left
}

// While others call, the server is awake anyway, and a leg stays; when they stop, it ends.
func TestSilentListenerStaysWhileOthersCall(t *testing.T) {
	r := newRig(t, func(w http.ResponseWriter, req *http.Request) {
		if req.Method == http.MethodGet {
			w.Header().Set("Content-Type", "text/event-stream")
			_ = http.NewResponseController(w).Flush()
			<-req.Context().Done()
		}
	})
	var asked atomic.Int32
	r.chain.forward.Silence = 30 * time.Millisecond
	r.chain.forward.Busy = func(within time.Duration) bool {
		if within < 20*time.Millisecond || within > 30*time.Millisecond {
			t.Errorf("asked for %v", within)
		}
		return asked.Add(1) < 4
	}
	if _, body := r.do(t, r.request(t, "GET", r.engineer(t), "")); body != mcp.SilenceComment || asked.Load() != 4 {
		t.Errorf("got %q after looking %d times", body, asked.Load())
	}
}

func TestPanicIsA500(t *testing.T) {
	r := newRig(t, answerJSON(`{}`))
	r.chain.forward = nil // a bug
	resp, body := r.post(t, r.engineer(t), callTool("x"))
	if resp.StatusCode != 500 || !strings.Contains(body, "Internal error") {
		t.Errorf("got %d %s", resp.StatusCode, body)
	}
}
