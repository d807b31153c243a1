package measure

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"strings"
	"time"
)

// MaxConnections bounds what is open at once; an open loop at a few hundred calls a second needs far less.
const MaxConnections = 256

// Payload is what is sent to be echoed: 1 KB.
var Payload = strings.Repeat("0123456789abcdef", 64)

// maxAnswer bounds what is read of an answer.
const maxAnswer = 64 << 10

// The protocol revisions that calls are made in.
const (
	modern = "2026-07-28"
	legacy = "2025-11-25"
)

// Caller makes one kind of call at one address.
type Caller struct {
	client *http.Client
	method string
	url    string
	host   string // "" is the URL's
	header http.Header
	body   []byte
}

// NewCaller prepares calls of the tool echo. token may be empty.
func NewCaller(url, token string) *Caller {
	return &Caller{
		client: &http.Client{
			Transport: &http.Transport{MaxIdleConnsPerHost: MaxConnections, DisableCompression: true},
			Timeout:   30 * time.Second,
		},
		method: http.MethodPost,
		url:    url,
		header: headers(modern, token, "Mcp-Method", "tools/call", "Mcp-Name", "echo"),
		body: message("tools/call", map[string]any{"name": "echo", "arguments": map[string]string{"message": Payload},
			"_meta": modernMeta}),
	}
}

// modernMeta is what every modern request holds.
var modernMeta = map[string]any{"io.modelcontextprotocol/protocolVersion": modern,
	"io.modelcontextprotocol/clientInfo":         map[string]string{"name": "bench", "version": "1"},
	"io.modelcontextprotocol/clientCapabilities": struct{}{}}

// Lister makes a caller at the same address that asks for the list of tools. Call is not for it: List is.
func (c *Caller) Lister() *Caller {
	return &Caller{client: c.client, method: http.MethodPost, url: c.url, host: c.host, header: headers(modern, c.token(), "Mcp-Method", "tools/list"),
		body: message("tools/list", map[string]any{"_meta": modernMeta})}
}

// List asks for the list and checks that the tool echo is in it.
func (c *Caller) List(ctx context.Context) error {
	_, answer, err := c.do(ctx)
	if err == nil && !bytes.Contains(answer, []byte(`"name":"echo"`)) {
		err = fmt.Errorf("the tool echo is not in %.200s", answer)
	}
	return err
}

// LegacySession makes a caller at the same address that has opened a session.
func (c *Caller) LegacySession(ctx context.Context) (*Caller, error) {
	token := c.token()
	open := &Caller{client: c.client, method: c.method, url: c.url, host: c.host, header: headers("", token),
		body: message("initialize", map[string]any{"protocolVersion": legacy, "capabilities": struct{}{},
			"clientInfo": map[string]string{"name": "bench", "version": "1"}})}
	header, _, err := open.do(ctx)
	if err != nil {
		return nil, fmt.Errorf("initialize: %w", err)
	}
	session := header.Get("Mcp-Session-Id")
	if session == "" {
		return nil, fmt.Errorf("initialize: the server gave no session")
	}
	return &Caller{client: c.client, method: c.method, url: c.url, host: c.host, header: headers(legacy, token, "Mcp-Session-Id", session),
		body: message("tools/call", map[string]any{"name": "echo", "arguments": map[string]string{"message": Payload}})}, nil
}

// Through makes the same calls by another client.
func (c *Caller) Through(client *http.Client) *Caller {
	other := *c
	other.client = client
	return &other
}

// For makes the same calls to another host at the same address.
func (c *Caller) For(host string) *Caller {
	other := *c
	other.host = host
	return &other
}

// Listener makes the caller's modern listening stream.
func (c *Caller) Listener() *Caller {
	return &Caller{client: c.client, method: http.MethodPost, url: c.url, host: c.host, header: headers(modern, c.token(), "Mcp-Method", "subscriptions/listen"),
		body: message("subscriptions/listen", map[string]any{"notifications": map[string]bool{"toolsListChanged": true}, "_meta": modernMeta})}
}

// LegacyListener makes a listening stream of a session of its own.
func (c *Caller) LegacyListener(ctx context.Context) (*Caller, error) {
	s, err := c.LegacySession(ctx)
	if err != nil {
		return nil, err
	}
	s.method, s.body = http.MethodGet, nil
	s.header.Del("Content-Type")
	s.header.Set("Accept", "text/event-stream")
	return s, nil
}

func (c *Caller) token() string { return strings.TrimPrefix(c.header.Get("Authorization"), "Bearer ") }

func headers(revision, token string, more ...string) http.Header {
	h := http.Header{"Content-Type": {"application/json"}, "Accept": {"application/json, text/event-stream"}}
	if revision != "" {
		h.Set("Mcp-Protocol-Version", revision)
	}
	if token != "" {
		h.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i+1 < len(more); i += 2 {
		h.Set(more[i], more[i+1])
	}
	return h
}

func message(method string, params any) []byte {
	m, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
	if err != nil {
		panic(err) // only literals above come here
	}
	return m
}

// Call makes the call and checks that it was answered.
func (c *Caller) Call(ctx context.Context) error {
	_, answer, err := c.do(ctx)
	if err != nil {
		return err
	}
	if !bytes.Contains(answer, []byte(Payload)) {
		return fmt.Errorf("the answer does not hold what was sent: %.200s", answer)
	}
	return nil
}

// FirstByte makes the call and tells when the answer's first byte came.
func (c *Caller) FirstByte(ctx context.Context) (time.Time, error) {
	var at time.Time
	trace := &httptrace.ClientTrace{GotFirstResponseByte: func() { at = time.Now() }}
	err := c.Call(httptrace.WithClientTrace(ctx, trace))
	return at, err
}

func (c *Caller) do(ctx context.Context) (http.Header, []byte, error) {
	response, err := c.Open(ctx)
	if err != nil {
		return nil, nil, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return nil, nil, fmt.Errorf("read answer: %w", err)
	}
	return response.Header, answer, nil
}

// Open sends the request and returns the answer, unread, where it is no refusal.
func (c *Caller) Open(ctx context.Context) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, c.method, c.url, bytes.NewReader(c.body))
	if err != nil {
		return nil, err
	}
	request.Host, request.Header = c.host, c.header.Clone()
	response, err := c.client.Do(request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		defer response.Body.Close()
		answer, _ := io.ReadAll(io.LimitReader(response.Body, maxAnswer)) // the status says the most of it
		return nil, fmt.Errorf("%s: %.200s", response.Status, answer)
	}
	return response, nil
}
