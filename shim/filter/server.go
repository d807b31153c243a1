package filter

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/mark3labs/mcp-go/client"
	"github.com/mark3labs/mcp-go/client/transport"
	sdk "github.com/mark3labs/mcp-go/mcp"

	"mcpgateway/internal/mcp"
	"mcpgateway/internal/peer"
	"mcpgateway/internal/telemetry"
	"mcpgateway/shim/remote"
	"mcpgateway/shim/verdict"
)

const (
	// startTime bounds one attempt to connect to a filter's server, for as long as anybody is willing to wait for it.
	startTime = 10 * time.Second
	// renewAfter is how old a session must be that an error of it may be the session's fault.
	renewAfter = time.Second
	// maxTries bounds how often one question is asked.
	maxTries = 3
)

// server is a filter's MCP server, and the session with it that all callers share.
type server struct {
	url  string
	tool string
	http *http.Client
	near bool // beside the shim: it may not be up yet, or be starting again

	mu      sync.Mutex
	session *session
	start   *start // under way
}

// session is an initialized client.
type session struct {
	*client.Client
	began time.Time
}

// start is an attempt to connect that any number of callers wait for.
type start struct {
	done    chan struct{}
	session *session
	err     error
}

// newServer makes the client of a server, which connects when it is first needed.
func newServer(transport http.RoundTripper, url, tool string, near bool) *server {
	return &server{url: url, tool: tool, near: near, http: &http.Client{Transport: transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// ask asks about a message. The server may see the question again: a session that served before and fails now is
// replaced, since servers forget sessions and are restarted.
func (s *server) ask(ctx context.Context, message []byte) (verdict.Verdict, error) {
	request := sdk.CallToolRequest{Params: sdk.CallToolParams{Name: s.tool, RawArguments: verdict.Question(message)}}
	for tries := 1; ; tries++ {
		k, err := s.connect(ctx)
		if err != nil {
			return verdict.Verdict{}, fmt.Errorf("reach filter: %w", err)
		}
		result, err := k.CallTool(ctx, request)
		if err == nil {
			return read(result)
		}
		if ctx.Err() != nil {
			return verdict.Verdict{}, fmt.Errorf("no answer in time: %w", err)
		}
		s.drop(k)
		if tries == maxTries || time.Since(k.began) < renewAfter && !unreached(err) {
			return verdict.Verdict{}, fmt.Errorf("ask filter: %w", err)
		}
	}
}

// unreached tells that the server saw nothing: then a server that is starting again is waited for.
func unreached(err error) bool {
	var u *remote.UnreachedError
	return errors.As(err, &u) || errors.Is(err, transport.ErrSessionTerminated)
}

// read finds the verdict in a tool's result: its structured content, or the one text that holds the same.
func read(r *sdk.CallToolResult) (verdict.Verdict, error) {
	in := []byte(r.RawStructuredContent)
	text, isText := onlyText(r)
	switch {
	case r.IsError:
		return verdict.Verdict{}, fmt.Errorf("the filter could not tell: %s", verdict.Shown(text))
	case len(in) == 0 && !isText:
		return verdict.Verdict{}, errors.New("the filter answered neither structured content nor one text")
	case len(in) == 0:
		in = []byte(text)
	}
	return verdict.Parse(in)
}

func onlyText(r *sdk.CallToolResult) (string, bool) {
	if len(r.Content) != 1 {
		return "", false
	}
	t, ok := r.Content[0].(sdk.TextContent)
	return t.Text, ok
}

// connect returns the session, and starts one if there is none. A start goes on when those who wait for it leave.
func (s *server) connect(ctx context.Context) (*session, error) {
	s.mu.Lock()
	if k := s.session; k != nil {
		s.mu.Unlock()
		return k, nil
	}
	if s.start == nil {
		s.start = &start{done: make(chan struct{})}
		go s.run(s.start)
	}
	st := s.start
	s.mu.Unlock()
	select {
	case <-st.done:
		return st.session, st.err
	case <-ctx.Done():
		return nil, fmt.Errorf("it does not answer: %w", ctx.Err())
	}
}

// run starts a session.
func (s *server) run(st *start) {
	ctx, cancel := context.WithTimeout(context.Background(), startTime)
	defer cancel()
	for pause := 5 * time.Millisecond; ; pause = min(2*pause, 200*time.Millisecond) {
		st.session, st.err = s.initialize(ctx)
		if st.err == nil || !s.near || !unreached(st.err) || ctx.Err() != nil {
			break
		}
		time.Sleep(pause)
	}
	s.mu.Lock()
	s.session, s.start = st.session, nil
	s.mu.Unlock()
	close(st.done)
}

func (s *server) initialize(ctx context.Context) (*session, error) {
	// Its log repeats what servers say; what matters is in the errors.
	t, err := transport.NewStreamableHTTP(s.url, transport.WithHTTPBasicClient(s.http), transport.WithHTTPLogger(slog.New(slog.DiscardHandler)),
		transport.WithHTTPHeaderFunc(traceHeaders))
	if err != nil {
		return nil, err
	}
	c := client.NewClient(t)
	if err := c.Start(ctx); err != nil {
		return nil, err
	}
	// A filter has nothing to ask us. Without a handler its requests are refused one by one, and not each by a goroutine;
	// and bounded sends none of the refusals.
	t.SetRequestHandler(nil)
	if s.near {
		if err := s.knock(ctx); err != nil {
			return nil, err
		}
	}
	hello := sdk.InitializeRequest{Params: sdk.InitializeParams{ClientInfo: sdk.Implementation{Name: "mcpgateway-shim", Version: "1"}}}
	if _, err := c.Initialize(ctx, hello); err != nil {
		return nil, err
	}
	return &session{Client: c, began: time.Now()}, nil
}

// traceHeaders name the trace in ctx to the server, in the header's names of the library.
func traceHeaders(ctx context.Context) map[string]string {
	h := http.Header{}
	telemetry.Leave(ctx, h)
	named := map[string]string{}
	for name := range h {
		named[name] = h.Get(name)
	}
	return named
}

// knock looks whether a server beside the shim is there: to the library, one that is not speaks another protocol.
func (s *server) knock(ctx context.Context) error {
	conn, err := s.http.Transport.(bounded).Dial(ctx)
	if err != nil {
		return err
	}
	return conn.Close()
}

// drop forgets a session that failed. It is not ended: calls of others may be under way on it, and a server forgets
// sessions by itself.
func (s *server) drop(k *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.session == k {
		s.session = nil
	}
}

// bounded limits how much is read of an answer, by the size of what was asked, and keeps a server from having us send it
// replies without end.
type bounded struct{ *peer.Client }

const (
	maxReply   = 1 << 10  // bytes; no reply to a server's own request is longer
	maxFailure = 64 << 10 // bytes that are read of one
)

// RoundTrip implements http.RoundTripper.
func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.GetBody != nil && r.ContentLength < maxReply {
		if reply, err := isReply(r); err != nil || reply {
			return nil, errors.Join(errors.New("a filter may ask nothing"), err)
		}
	}
	resp, err := b.Client.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	resp.Body = &boundedBody{ReadCloser: resp.Body, left: verdict.Answer(r.ContentLength)}
	if resp.StatusCode >= 300 {
		return failed(resp)
	}
	return resp, nil
}

// failed lets only errors of the protocol through. The library reads a result under any status, and what came with a
// failure, or with a redirect, is no verdict.
func failed(resp *http.Response) (*http.Response, error) {
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxFailure))
	_ = resp.Body.Close()
	result, noJSON := mcp.Members(body, "result")
	if err != nil || resp.StatusCode < 400 || resp.StatusCode >= 500 || noJSON == nil && result[0] != nil {
		return nil, errors.Join(fmt.Errorf("the filter's server answered %s", resp.Status), err)
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return resp, nil
}

func isReply(r *http.Request) (bool, error) {
	copied, err := r.GetBody()
	if err != nil {
		return false, err
	}
	body, err := io.ReadAll(copied)
	if err != nil {
		return false, err
	}
	method, err := mcp.Members(body, "method")
	return err == nil && method[0] == nil, err
}

// boundedBody is read by one goroutine at a time: the library closes a stream from others than the one that reads it,
// which the client of one address does not expect. Before it does so it ends the request's context, and with it a read that
// waits.
type boundedBody struct {
	io.ReadCloser
	mu   sync.Mutex
	left int64
}

// Read implements io.Reader.
func (b *boundedBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.left <= 0 {
		return 0, errors.New("the filter's answer is too large")
	}
	n, err := b.ReadCloser.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}

// Close implements io.Closer.
func (b *boundedBody) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.ReadCloser.Close()
}
