package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"image/png"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/mark3labs/mcp-go/client"
	"github.com/mark3labs/mcp-go/client/transport"
	"github.com/mark3labs/mcp-go/mcp"
)

// sample is a server under test.
type sample struct {
	url     string
	stop    context.CancelFunc
	stopped chan error
}

// start serves on a free loopback port until the test ends.
func start(t *testing.T) *sample {
	t.Helper()
	return startFor(t, hosts{}, both)
}

func startFor(t *testing.T, may hosts, speaks eras) *sample {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	s := &sample{url: "http://" + ln.Addr().String() + "/mcp", stop: stop, stopped: make(chan error, 1)}
	go func() { s.stopped <- newServer(slog.New(slog.DiscardHandler), may, speaks).serve(ctx, ln) }()
	t.Cleanup(stop)
	return s
}

// dial connects a client of one protocol revision. Notifications arrive in the channel.
func (s *sample) dial(t *testing.T, revision string, options ...transport.StreamableHTTPCOption) (*client.Client, <-chan mcp.JSONRPCNotification) {
	t.Helper()
	tr, err := transport.NewStreamableHTTP(s.url, options...)
	if err != nil {
		t.Fatal(err)
	}
	c := client.NewClient(tr, client.WithProtocolVersion(revision))
	t.Cleanup(func() { _ = c.Close() })
	got := make(chan mcp.JSONRPCNotification, 100)
	c.OnNotification(func(n mcp.JSONRPCNotification) { got <- n })
	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Initialize(t.Context(), mcp.InitializeRequest{}); err != nil {
		t.Fatal(err)
	}
	if c.ProtocolVersion() != revision {
		t.Fatalf("negotiated %s, want %s", c.ProtocolVersion(), revision)
	}
	return c, got
}

// listening has a legacy client hold a GET stream, as many do although the newest revision has none.
func listening() transport.StreamableHTTPCOption {
	return transport.WithContinuousListening() //nolint:staticcheck // deprecated with the revision that has it
}

// inBothEras runs test once for each era that the endpoint serves.
func inBothEras(t *testing.T, test func(t *testing.T, revision string)) {
	for _, revision := range []string{mcp.LATEST_LEGACY_PROTOCOL_VERSION, mcp.ProtocolVersion20260728} {
		t.Run(revision, func(t *testing.T) { test(t, revision) })
	}
}

func call(t *testing.T, c *client.Client, tool string, args map[string]any) *mcp.CallToolResult {
	t.Helper()
	result, err := c.CallTool(t.Context(), request(tool, args))
	if err != nil {
		t.Fatalf("%s: %v", tool, err)
	}
	return result
}

func request(tool string, args map[string]any) mcp.CallToolRequest {
	return mcp.CallToolRequest{Params: mcp.CallToolParams{Name: tool, Arguments: args}}
}

func text(t *testing.T, result *mcp.CallToolResult) string {
	t.Helper()
	if len(result.Content) != 1 {
		t.Fatalf("result has %d contents, want 1: %+v", len(result.Content), result)
	}
	content, ok := result.Content[0].(mcp.TextContent)
	if !ok {
		t.Fatalf("content is %T, want text", result.Content[0])
	}
	return content.Text
}

func TestToolsAnswer(t *testing.T) {
	s := start(t)
	tests := []struct {
		tool    string
		args    map[string]any
		want    string
		isError bool
	}{
		{tool: "echo", args: map[string]any{"message": "grüß \"dich\"\n"}, want: "grüß \"dich\"\n"},
		{tool: "echo", args: map[string]any{"message": 1}, want: "message", isError: true},
		{tool: "add", args: map[string]any{"a": 0.5, "b": 41.5}, want: "42"},
		{tool: "add", args: map[string]any{"a": 1}, want: "\"b\"", isError: true},
		{tool: "slow", args: map[string]any{"seconds": 0}, want: "slept 0 s"},
		{tool: "slow", args: map[string]any{"seconds": -1}, want: "between 0 and 600", isError: true},
		{tool: "slow", args: map[string]any{"seconds": 601}, want: "between 0 and 600", isError: true},
	}
	inBothEras(t, func(t *testing.T, revision string) {
		c, _ := s.dial(t, revision)
		for _, tt := range tests {
			result := call(t, c, tt.tool, tt.args)
			got := text(t, result)
			if result.IsError != tt.isError || !strings.Contains(got, tt.want) || (!tt.isError && got != tt.want) {
				t.Errorf("%s %v = %q, error %v; want %q, error %v", tt.tool, tt.args, got, result.IsError, tt.want, tt.isError)
			}
		}
	})
}

func TestSlowReportsProgress(t *testing.T) {
	s := start(t)
	inBothEras(t, func(t *testing.T, revision string) {
		c, notifications := s.dial(t, revision)
		slow := request("slow", map[string]any{"seconds": 0.1})
		slow.Params.Meta = &mcp.Meta{ProgressToken: "p1"}
		if _, err := c.CallTool(t.Context(), slow); err != nil {
			t.Fatal(err)
		}
		for want := 1; want <= 10; want++ {
			n := <-notifications
			fields := n.Params.AdditionalFields
			if n.Method != "notifications/progress" || fields["progressToken"] != "p1" || fields["progress"] != float64(want) {
				t.Fatalf("notification %d is %s %v", want, n.Method, fields)
			}
		}
	})
}

func TestSlowEndsWhenModernCallerLeaves(t *testing.T) {
	c, _ := start(t).dial(t, mcp.ProtocolVersion20260728)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := c.CallTool(ctx, request("slow", map[string]any{"seconds": 600})); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("err = %v, want the caller's deadline", err)
	}
}

func TestHeadersShowsWhatArrived(t *testing.T) {
	s := start(t)
	inBothEras(t, func(t *testing.T, revision string) {
		c, _ := s.dial(t, revision, transport.WithHTTPHeaders(map[string]string{"X-Probe": "seen"}))
		var got http.Header
		if err := json.Unmarshal([]byte(text(t, call(t, c, "headers", nil))), &got); err != nil {
			t.Fatal(err)
		}
		if got.Get("X-Probe") != "seen" || got.Get("Content-Type") != "application/json" {
			t.Errorf("headers = %v, want X-Probe and Content-Type among them", got)
		}
	})
}

func TestNotifyReachesCaller(t *testing.T) {
	c, notifications := start(t).dial(t, mcp.LATEST_LEGACY_PROTOCOL_VERSION)
	call(t, c, "notify", map[string]any{"message": "quiet", "level": "info"})
	call(t, c, "notify", map[string]any{"message": "loud"})
	for n := range notifications {
		if n.Method != "notifications/message" {
			continue
		}
		if got := n.Params.AdditionalFields["data"]; got != "loud" {
			t.Errorf("first log message is %q, want the error", got)
		}
		return
	}
}

func TestNotifyReachesListeners(t *testing.T) {
	s := start(t)
	t.Run("legacy", func(t *testing.T) {
		_, notifications := s.dial(t, mcp.LATEST_LEGACY_PROTOCOL_VERSION, listening())
		s.notifyUntilHeard(t, notifications)
	})
	t.Run("modern", func(t *testing.T) {
		s.notifyUntilHeard(t, s.listenModern(t))
	})
}

// listenModern opens a subscriptions/listen stream and returns when the server has acknowledged it.
func (s *sample) listenModern(t *testing.T) <-chan mcp.JSONRPCNotification {
	t.Helper()
	c, notifications := s.dial(t, mcp.ProtocolVersion20260728)
	go func() { _ = c.Listen(t.Context(), mcp.SubscriptionFilter{ToolsListChanged: true}) }()
	if n := <-notifications; n.Method != string(mcp.MethodNotificationSubscriptionsAcknowledged) {
		t.Fatalf("first message is %s, want the acknowledgement", n.Method)
	}
	return notifications
}

// notifyUntilHeard calls "notify" until the listener hears of it: a GET stream opens some time after the handshake.
func (s *sample) notifyUntilHeard(t *testing.T, heard <-chan mcp.JSONRPCNotification) {
	t.Helper()
	c, _ := s.dial(t, mcp.ProtocolVersion20260728)
	for {
		call(t, c, "notify", map[string]any{"message": "listen"})
		select {
		case n := <-heard:
			if n.Method != "notifications/tools/list_changed" {
				t.Fatalf("heard %s", n.Method)
			}
			return
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func TestPromptAndResources(t *testing.T) {
	s := start(t)
	inBothEras(t, func(t *testing.T, revision string) {
		c, _ := s.dial(t, revision)
		prompt, err := c.GetPrompt(t.Context(), mcp.GetPromptRequest{
			Params: mcp.GetPromptParams{Name: "greet", Arguments: map[string]string{"name": "Ada"}}})
		if err != nil {
			t.Fatal(err)
		}
		if got := prompt.Messages[0].Content.(mcp.TextContent).Text; !strings.Contains(got, "Ada") {
			t.Errorf("prompt = %q, want the name in it", got)
		}
		list, err := c.ListResources(t.Context(), mcp.ListResourcesRequest{})
		if err != nil || len(list.Resources) != 2 {
			t.Fatalf("resources = %v, %v; want two", list, err)
		}
		if got := read(t, c, aboutURI).(mcp.TextResourceContents).Text; !strings.HasPrefix(got, "# sample-server") {
			t.Errorf("about = %q", got)
		}
		blob, err := base64.StdEncoding.DecodeString(read(t, c, pixelURI).(mcp.BlobResourceContents).Blob)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := png.Decode(bytes.NewReader(blob)); err != nil {
			t.Errorf("pixel: %v", err)
		}
	})
}

func read(t *testing.T, c *client.Client, uri string) mcp.ResourceContents {
	t.Helper()
	result, err := c.ReadResource(t.Context(), mcp.ReadResourceRequest{Params: mcp.ReadResourceParams{URI: uri}})
	if err != nil || len(result.Contents) != 1 {
		t.Fatalf("read %s: %v, %v", uri, result, err)
	}
	return result.Contents[0]
}

func TestStopEndsListenersAndFinishesCalls(t *testing.T) {
	s := start(t)
	s.listenModern(t)
	s.dial(t, mcp.LATEST_LEGACY_PROTOCOL_VERSION, listening())
	c, notifications := s.dial(t, mcp.ProtocolVersion20260728)
	result := make(chan error, 1)
	go func() {
		slow := request("slow", map[string]any{"seconds": 0.5})
		slow.Params.Meta = &mcp.Meta{ProgressToken: 1}
		_, err := c.CallTool(t.Context(), slow)
		result <- err
	}()
	<-notifications // the call is under way
	began := time.Now()
	s.stop()
	if err := <-s.stopped; err != nil {
		t.Errorf("stopped with %v", err)
	}
	if err := <-result; err != nil {
		t.Errorf("call under way ended with %v", err)
	}
	if took := time.Since(began); took > drain/2 {
		t.Errorf("stopping took %v although only listeners were left", took)
	}
}

func TestRunRefusesBadArguments(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	busy := strings.TrimSuffix(strings.TrimPrefix(start(t).url, "http://"), "/mcp")
	for _, args := range [][]string{{"-port", "1"}, {"-eras", "older"}, {"now"}, {"-addr", busy}} {
		if err := run(t.Context(), args, new(bytes.Buffer), log); err == nil {
			t.Errorf("run %q: no error", args)
		}
	}
	var help bytes.Buffer
	if err := run(t.Context(), []string{"--help"}, &help, log); !errors.Is(err, flag.ErrHelp) || !strings.Contains(help.String(), "/mcp") {
		t.Errorf("--help = %v, %q", err, &help)
	}
}

func TestStdioAnswersInBothEras(t *testing.T) {
	inBothEras(t, func(t *testing.T, revision string) {
		in, toServer := io.Pipe()
		fromServer, out := io.Pipe()
		served := make(chan error, 1)
		go func() {
			served <- newServer(slog.New(slog.DiscardHandler), hosts{}, both).serveStdio(t.Context(), in, out)
		}()
		c := client.NewClient(transport.NewIO(fromServer, toServer, io.NopCloser(strings.NewReader(""))), client.WithProtocolVersion(revision))
		if err := c.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Initialize(t.Context(), mcp.InitializeRequest{}); err != nil {
			t.Fatal(err)
		}
		if got := text(t, call(t, c, "echo", map[string]any{"message": "hello"})); got != "hello" || c.ProtocolVersion() != revision {
			t.Errorf("echo = %q in %s, want hello in %s", got, c.ProtocolVersion(), revision)
		}
		if err := toServer.Close(); err != nil {
			t.Fatal(err)
		}
		if err := <-served; err != nil {
			t.Errorf("ended with %v at the end of its input", err)
		}
	})
}

// Over loopback it answers to names of loopback only, unless it is told to answer to all.
func TestHosts(t *testing.T) {
	for _, tt := range []struct {
		may     hosts
		refused bool
	}{{hosts{}, true}, {hosts{insecureAny: true}, false}} {
		r, err := http.NewRequest(http.MethodPost, startFor(t, tt.may, both).url, strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"ping"}`))
		if err != nil {
			t.Fatal(err)
		}
		r.Host = "one.example.test"
		r.Header.Set("Content-Type", "application/json")
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if refused := response.StatusCode == http.StatusForbidden; refused != tt.refused {
			t.Errorf("%+v: %s", tt.may, response.Status)
		}
	}
}

// Of one era, it refuses what is of the other.
func TestOneEra(t *testing.T) {
	inBothEras(t, func(t *testing.T, revision string) {
		speaks, other, code := legacy, modern, `"code":-32020`
		if revision >= modernVersion {
			speaks, other, code = modern, legacy, `"code":-32000`
		}
		c, _ := startFor(t, hosts{}, speaks).dial(t, revision)
		if got := text(t, call(t, c, "echo", map[string]any{"message": "hello"})); got != "hello" {
			t.Errorf("echo = %q", got)
		}
		url := startFor(t, hosts{}, other).url
		for method, status := range map[string]int{http.MethodPost: http.StatusBadRequest, http.MethodDelete: http.StatusMethodNotAllowed} {
			r, err := http.NewRequest(method, url, strings.NewReader(`{"jsonrpc":"2.0","id":"i","method":"tools/list"}`))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Content-Type", "application/json")
			r.Header.Set(mcp.HeaderProtocolVersion, revision)
			response, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			body, err := io.ReadAll(response.Body)
			if err != nil || response.StatusCode != status || !strings.Contains(string(body), `"id":"i"`) || !strings.Contains(string(body), code) {
				t.Errorf("%s: %s %s, %v", method, response.Status, body, err)
			}
		}
	})
}
