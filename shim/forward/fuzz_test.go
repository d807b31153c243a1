package forward

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"mime"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"mcpgateway/internal/audit"
	"mcpgateway/internal/identity"
	"mcpgateway/internal/mcp"
	"mcpgateway/internal/peer"
	"mcpgateway/internal/policy"
	"mcpgateway/internal/rules"
	"mcpgateway/shim/authorize"
	"mcpgateway/shim/call"
	"mcpgateway/shim/ruleset"
	"mcpgateway/shim/session"
	"mcpgateway/shim/task"
	"mcpgateway/shim/trail"
)

// said is a connection to a server that says the same whatever it is asked, and closes.
type said struct{ io.Reader }

func (said) Write(p []byte) (int, error)      { return len(p), nil }
func (said) Close() error                     { return nil }
func (said) LocalAddr() net.Addr              { return nil }
func (said) RemoteAddr() net.Addr             { return nil }
func (said) SetDeadline(time.Time) error      { return nil }
func (said) SetReadDeadline(time.Time) error  { return nil }
func (said) SetWriteDeadline(time.Time) error { return nil }

// asked are the requests whose answers the fuzzer makes up: method, revision, body.
var asked = [][3]string{
	{http.MethodPost, "2025-11-25", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a"}}`},
	{http.MethodPost, "2025-11-25", `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`},
	{http.MethodPost, mcp.ModernVersion, `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`},
	{http.MethodGet, "2025-11-25", ``},
	{http.MethodPost, mcp.ModernVersion, `{"jsonrpc":"2.0","id":1,"method":"subscriptions/listen"}`},
	{http.MethodPost, "", `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"c","version":"1"}}}`},
}

// desk is a forwarder with the rules of a caller who may use the tool "a" and no other.
type desk struct {
	forwarder *Forwarder
	sealer    *session.Sealer
	rules     *ruleset.Set
}

var who = identity.Identity{Issuer: "https://issuer.test", Subject: "alice"}

func newDesk(f testing.TB) desk {
	f.Helper()
	sealer, err := session.NewSealer("s", make([]byte, session.KeySize))
	if err != nil {
		f.Fatal(err)
	}
	policies, err := policy.Compile([]policy.Policy{{Name: "a", Allow: &policy.Subjects{Anyone: true}, Servers: []string{"s"}, Tools: []string{"a"}}}, nil, nil)
	if err != nil {
		f.Fatal(err)
	}
	tasks, err := task.NewOwners(task.Config{Max: 100, PerUser: 10, Keep: time.Hour, Now: time.Now})
	if err != nil {
		f.Fatal(err)
	}
	forwarder, err := New(Config{Upstream: &url.URL{Scheme: "http", Host: "server.test", Path: "/mcp"}, Sealer: sealer, Living: session.NewLiving(),
		Authorize:   authorize.Checker{Tasks: tasks, Logger: slog.New(slog.DiscardHandler)},
		Outgoing:    func(ctx context.Context, _ string) (context.Context, func(error)) { return ctx, func(error) {} },
		CallTimeout: time.Hour, Silence: time.Hour, Draining: context.Background()})
	if err != nil {
		f.Fatal(err)
	}
	keeping, err := audit.Compile(nil)
	if err != nil {
		f.Fatal(err)
	}
	return desk{forwarder, sealer, &ruleset.Set{Rules: rules.Rules{Server: "s"}, Policies: policies, Audit: keeping}}
}

// handled is what became of one exchange.
type handled struct {
	*httptest.ResponseRecorder
	exchange *call.Exchange
	sealed   string // the session id that the caller sent
	records  int
	cut      bool // the connection was
	err      error
}

func (d desk) handle(t *testing.T, request [3]string, wire []byte) (h handled) {
	t.Helper()
	r := httptest.NewRequest(request[0], "/mcp-connect/s", strings.NewReader(request[2]))
	r.Header.Set(mcp.HeaderVersion, request[1])
	var log bytes.Buffer
	h.ResponseRecorder = httptest.NewRecorder()
	x := call.Begin(h.ResponseRecorder, r, d.rules, trail.Lines(&log))
	h.exchange = x
	x.Who = who
	if x.Era == mcp.Legacy {
		x.Session = "of the server"
		var err error
		if h.sealed, err = d.sealer.Seal(session.Session{ID: x.Session, Life: d.forwarder.Living.Life(), Opened: time.Now()}, who.Issuer, who.Subject); err != nil {
			t.Fatal(err)
		}
		if x.Sealed, err = d.sealer.Open(h.sealed, who.Issuer, who.Subject); err != nil {
			t.Fatal(err)
		}
		r.Header.Set(mcp.HeaderSession, h.sealed)
	}
	if x.Body = []byte(request[2]); len(x.Body) > 0 {
		var err error
		if x.MCP, err = mcp.Parse(x.Body); err != nil {
			t.Fatal(err)
		}
	}
	forwarder := *d.forwarder
	forwarder.named = new(atomic.Bool)
	forwarder.transport = &peer.Client{Dial: func(context.Context) (net.Conn, error) { return said{bytes.NewReader(wire)}, nil }}
	defer func() {
		if p := recover(); p != nil && p != http.ErrAbortHandler {
			panic(p)
		} else if p != nil {
			h.cut = true
		}
		h.records = bytes.Count(log.Bytes(), []byte{'\n'})
	}()
	h.err = forwarder.Forward(x)
	return h
}

// Whatever a server answers: nothing of it reaches the caller where it is refused, and else its status, its bytes and
// the listed headers, a session id only sealed for that caller, of lists only what the caller may see, and one record.
func FuzzAnswer(f *testing.F) {
	d := newDesk(f)
	const tools = `{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"a"},{"name":"b"}]}}`
	for i := range asked {
		f.Add(byte(i), []byte("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nMcp-Session-Id: x\r\nSet-Cookie: a=b\r\n\r\n"+tools))
		f.Add(byte(i), []byte("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\nid: 1\ndata: "+tools+"\n\n: ping\n\n"))
		f.Add(byte(i), []byte("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n\ufeffdata: {}\r\r: ping\n\nid:\ndata: "+tools+"\n\n"))
		f.Add(byte(i), []byte("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"+tools+"\n\n")) // no field of an event
	}
	f.Add(byte(0), []byte("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n\ufeff"))
	f.Add(byte(1), []byte("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n\r\t\ndata: "+tools+"\n\n"))
	f.Add(byte(5), []byte("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: {\"\\u: }\n\n: ping\n\ndata: {}\n\ndata: taskId"))
	f.Add(byte(0), []byte("HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\nMcp-Session-Id: of the server\r\n\r\n"))
	f.Add(byte(0), []byte("HTTP/1.1 307 Temporary Redirect\r\nLocation: /mcp/\r\nContent-Length: 0\r\n\r\n"))
	f.Add(byte(1), []byte("HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Bearer\r\n\r\n"))
	f.Add(byte(1), []byte("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n"))
	f.Add(byte(2), []byte("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 404 Not Found\r\nContent-Length: 9\r\n\r\nshort"))
	f.Add(byte(1), []byte("HTTP/1.1 200 OK\r\nGateway-Shim: forged\r\nContent-Length: 0\r\n\r\n"))
	f.Add(byte(1), []byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"))
	f.Fuzz(func(t *testing.T, which byte, wire []byte) {
		request := asked[int(which)%len(asked)]
		h := d.handle(t, request, wire)
		if h.err != nil {
			var e *mcp.Error
			if !errors.As(h.err, &e) || e.Status < 499 || h.exchange.Begun() || h.records > 0 {
				t.Fatalf("%q: %v, begun %v, %d records", wire, h.err, h.exchange.Begun(), h.records)
			}
			return
		}
		status, header, body, err := plainly(wire)
		if h.Code != status || status/100 == 3 || status == http.StatusUnauthorized || h.records != 1 {
			t.Fatalf("%q: %d, %d records", wire, h.Code, h.records)
		}
		d.checkHeader(t, h, header)
		out, filtered := h.Body.Bytes(), request[0] == http.MethodGet || strings.HasSuffix(request[2], `list"}`)
		if length := h.Header().Get("Content-Length"); length != "" && !h.cut && length != strconv.Itoa(len(out)) {
			t.Fatalf("%q: %q with the length %s", wire, out, length)
		}
		if mcp.IsStream(h.Header()) {
			body = decided(body)
		}
		if resumable := ours.ReplaceAll(out, []byte("$1")); len(resumable) < len(out) {
			mark := []byte("\ufeff") // which begins a stream, or is no event's
			out, body = bytes.TrimPrefix(resumable, mark), bytes.TrimPrefix(body, mark)
		}
		if !filtered && (!bytes.HasPrefix(body, out) || !h.cut && (err != nil || len(out) < len(body))) {
			t.Fatalf("%q: %q leaves, cut %v, of %q, %v", wire, out, h.cut, body, err)
		}
		if filtered {
			checkLists(t, wire, h, out)
		}
	})
}

// decided is a stream without the events of which nobody can tell whether they hand out somebody's task: they stay here.
func decided(stream []byte) (left []byte) {
	for events := mcp.NewEventReader(bytes.NewReader(stream), maxEvent); ; {
		e, err := events.Next()
		_, unknown := mcp.ReadTasks(e.Data)
		if unknown == nil && (err == nil || !mcp.MentionsTask(e.Raw)) {
			left = append(left, e.Raw...)
		}
		if err != nil {
			return left
		}
	}
}

// ours are the lines and events that we add to a stream that can be taken up.
var ours = regexp.MustCompile(`(?m)(^|\r)id: r1\.[\w-]{38,}\.\d+\n(data: \n\n)?`)

// plainly is what net/http reads of an answer.
func plainly(wire []byte) (status int, header http.Header, body []byte, err error) {
	in := bufio.NewReader(bytes.NewReader(wire))
	for {
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			return 0, nil, nil, err
		}
		if resp.StatusCode >= 200 {
			body, err = io.ReadAll(resp.Body)
			return resp.StatusCode, resp.Header, body, err
		}
	}
}

func (d desk) checkHeader(t *testing.T, h handled, from http.Header) {
	t.Helper()
	for name := range h.Header() {
		switch name {
		case "Content-Type", "Content-Length", "Cache-Control", "X-Accel-Buffering", "Retry-After", "Allow", "Mcp-Session-Id", mcp.HeaderShim:
		default:
			t.Fatalf("%s leaves", name)
		}
	}
	if mark := h.Header()[mcp.HeaderShim]; !slices.Equal(mark, []string{"s"}) {
		t.Fatalf("the answer is marked %q, for %q of the server", mark, from[mcp.HeaderShim])
	}
	given, got := from.Get("Mcp-Session-Id"), h.Header()["Mcp-Session-Id"]
	if h.exchange.Era == mcp.Modern || given == "" {
		if len(got) > 0 {
			t.Fatalf("the session id %q of nobody leaves", got)
		}
		return
	}
	if len(got) != 1 || given == "of the server" && got[0] != h.sealed {
		t.Fatalf("the session id %q leaves as %q", given, got)
	}
	if opened, err := d.sealer.Open(got[0], who.Issuer, who.Subject); err != nil || opened.ID != given {
		t.Fatalf("the session id %q opens as %v: %v", given, opened, err)
	}
}

// checkLists looks for tools that the caller may not see: in the body of a success, unless it says that it is a stream, and
// in what a lenient client takes for events, ended or not, whatever the body says that it is.
func checkLists(t *testing.T, wire []byte, h handled, out []byte) {
	t.Helper()
	texts := [][]byte{}
	if kind, _, _ := mime.ParseMediaType(h.Header().Get("Content-Type")); h.Code < 300 && kind != "text/event-stream" {
		texts = append(texts, out)
	}
	lines := strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(strings.TrimPrefix(string(out), "\ufeff"))
	for event := range strings.SplitSeq(lines, "\n\n") {
		var data []string
		for line := range strings.SplitSeq(event, "\n") {
			if value, ok := strings.CutPrefix(line, "data:"); ok {
				data = append(data, value)
			}
		}
		texts = append(texts, []byte(strings.Join(data, "\n")))
	}
	for _, text := range texts {
		messages := []json.RawMessage{text}
		_ = json.Unmarshal(text, &messages) // a batch
		for _, message := range messages {
			var m struct {
				Result struct{ Tools []struct{ Name any } }
			}
			if json.Unmarshal(message, &m) != nil {
				continue
			}
			for _, tool := range m.Result.Tools {
				if tool.Name != "a" {
					t.Fatalf("%q: the caller sees %v in %q", wire, tool.Name, out)
				}
			}
		}
	}
}

// address is the form of a server's: the platform's and the catalog's checks take no other.
var address = regexp.MustCompile(`^https?://[a-z0-9.-]+(:[0-9]+)?/`)

// Wherever a server redirects to, what goes out by HTTP is for the origin that it came from, without credentials.
func FuzzRedirected(f *testing.F) {
	for _, to := range []string{"/end", "end?a=b#c", "//example.com/x", "https://example.com:443/", "HTTPS://EXAMPLE.com", "http://example.com:443/", "https://a:b@example.com/",
		`\\other.test\x`, "javascript:alert(1)", "https://example.com.:443/", "https://[::1/", "///x", "/a%2f..%00", "?", "end?a b", "https:end", "https://example.com:0443/"} {
		f.Add("https://example.com/mcp", to)
		f.Add("https://kiosk.test/mcp?x", strings.Replace(to, "example.com", "\u212aiosk.test", 1)) // the Kelvin sign is another k
		f.Add("http://example.com:443/mcp", to)
	}
	f.Fuzz(func(t *testing.T, base, location string) {
		from, err := url.Parse(base)
		if err != nil || !address.MatchString(base) {
			return
		}
		to, err := redirected(from, []string{location})
		if err != nil {
			return
		}
		r, err := http.NewRequest(http.MethodPost, to.String(), nil)
		if err != nil {
			t.Fatalf("%q from %q leads to %q: %v", location, base, to, err)
		}
		var wire bytes.Buffer
		if err := r.Write(&wire); err != nil {
			return // nothing goes out
		}
		got, err := http.ReadRequest(bufio.NewReader(&wire))
		if err != nil {
			t.Fatalf("%q from %q leads to %q, which no server reads: %v", location, base, to, err)
		}
		if authority(from.Scheme, from.Host) != authority(r.URL.Scheme, got.Host) || r.URL.Scheme != from.Scheme {
			t.Fatalf("%q from %q leads to %s at %q", location, base, r.URL.Scheme, got.Host)
		}
		if got.Header.Get("Authorization") != "" || r.URL.User != nil || strings.Contains(got.RequestURI, "#") {
			t.Fatalf("%q from %q asks %q for %q with %v", location, base, got.Host, got.RequestURI, r.URL.User)
		}
	})
}

// authority is a host with its port, as a reference for sameHost.
func authority(scheme, host string) string {
	host = strings.ToLower(host)
	if at := strings.LastIndexByte(host, ':'); at > strings.LastIndexByte(host, ']') {
		return host[:at+1] + strings.TrimLeft(host[at+1:], "0")
	}
	return host + map[string]string{"http": ":80", "https": ":443"}[scheme]
}
