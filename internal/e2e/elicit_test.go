package e2e

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/mark3labs/mcp-go/client"
	"github.com/mark3labs/mcp-go/client/transport"
	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"

	"mcpgateway/functions/oauth/upstream/upstreamtest"
	"mcpgateway/internal/proxytest"
)

type personKey struct{}

// serveBothEras has the fake's MCP server be one of mcp-go, which speaks both eras, for who has a token of the fake's.
func serveBothEras(far *upstreamtest.Server) {
	s := server.NewMCPServer("notes", "1", server.WithToolCapabilities(false))
	s.AddTool(mcp.NewTool("whoami"), func(ctx context.Context, _ mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		return mcp.NewToolResultText(fmt.Sprint("you are ", ctx.Value(personKey{}))), nil
	})
	behind := server.NewStreamableHTTPServer(s, server.WithDisableLocalhostProtection(true), server.WithStreamableHTTPLogger(slog.New(slog.DiscardHandler)))
	far.Before = func(w http.ResponseWriter, r *http.Request) bool {
		person, good := far.Knows(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
		if r.URL.Path != "/mcp" || !good {
			return false
		}
		behind.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), personKey{}, person)))
		return true
	}
}

// leader is a person who goes where their client leads them.
type leader struct {
	t     *testing.T
	end   string // the page at which they are done
	asked []string
}

// Elicit implements client.ElicitationHandler.
func (l *leader) Elicit(_ context.Context, r mcp.ElicitationRequest) (*mcp.ElicitationResult, error) {
	l.asked = append(l.asked, r.Params.Mode+" "+r.Params.URL)
	go func() { // who agrees has only begun
		time.Sleep(2 * time.Second)
		if _, err := proxytest.BrowseTo(l.t.Context(), proxytest.NewBrowser(), r.Params.URL, "alice", l.end); err != nil {
			l.t.Error(err)
		}
	}()
	return &mcp.ElicitationResult{ElicitationResponse: mcp.ElicitationResponse{Action: mcp.ElicitationResponseActionAccept}}, nil
}

// visitor connects a client of mcp-go that can lead its person to pages.
func (g *signing) visitor(token string, l *leader, options ...client.ClientOption) *client.Client {
	g.t.Helper()
	way, err := transport.NewStreamableHTTP(g.resource("notes"), transport.WithHTTPHeaders(map[string]string{"Authorization": "Bearer " + token}))
	if err != nil {
		g.t.Fatal(err)
	}
	can := mcp.ClientCapabilities{Elicitation: &mcp.ElicitationCapability{URL: &struct{}{}}}
	c := client.NewClient(way, append(options, client.WithElicitationHandler(l), client.WithClientCapabilities(can))...)
	g.t.Cleanup(func() { _ = c.Close() })
	hello := mcp.InitializeRequest{}
	hello.Params.ClientInfo, hello.Params.ProtocolVersion, hello.Params.Capabilities = mcp.Implementation{Name: "e2e", Version: "1"}, mcp.LATEST_PROTOCOL_VERSION, can
	if err = c.Start(g.t.Context()); err == nil {
		_, err = c.Initialize(g.t.Context(), hello)
	}
	if err != nil {
		g.t.Fatal(err)
	}
	return c
}

func whoamiBy(ctx context.Context, c *client.Client) (string, error) {
	call := mcp.CallToolRequest{}
	call.Params.Name = "whoami"
	got, err := c.CallTool(ctx, call)
	if err != nil || len(got.Content) != 1 {
		return "", err
	}
	return fmt.Sprint(got.Content[0]), nil
}

// Who removed their account is led to where they connect it by a client that nobody here wrote, in the way of each era, and the
// same call goes on.
func TestLedToConnectByClient(t *testing.T) {
	far := upstreamtest.Start(t)
	far.Life = 3 * time.Second
	serveBothEras(far)
	there := fmt.Sprintf("egress: [{cidr: 127.0.0.1/32, ports: [%s]}]", portOf(far.URL))
	g := newSigning(t, signingLayout{
		client:    fmt.Sprintf(", {id: notes-shim, secret: secrets/notes-shim/exchange, exchange: {server: notes, account: {resource: %q, %s}}}", far.Resource, there),
		servers:   fmt.Sprintf("  - {id: notes, runtime: {remote: {url: %q}}, %s, token: {exchange: {{exchange}, client: {id: notes-shim, secret: {key: exchange}}}}}\n", far.Resource, there),
		engineers: ", notes",
		secrets:   map[string]string{"notes-shim/exchange": "secret-of-the-shim-of-notes\n"},
	})
	g.program = "oauth"
	g.startOAuth()
	page := "http://" + g.address + "/accounts"
	alice, l := g.signInAt("notes", "alice").Access, &leader{t: t, end: page}
	modern, legacy := g.visitor(alice, l), g.visitor(alice, l, client.WithProtocolVersion("2025-11-25"))
	for era, c := range map[string]*client.Client{"modern": modern, "legacy": legacy} {
		if got, err := whoamiBy(t.Context(), c); err != nil || !strings.Contains(got, "you are alice at notes") {
			t.Fatalf("%s: %q, %v", era, got, err)
		}
	}
	g.removeAccount(page)
	time.Sleep(far.Life)
	connect := "http://" + g.address + "/connect/notes"
	var asks mcp.URLElicitationRequiredError
	if _, err := whoamiBy(t.Context(), legacy); !errors.As(err, &asks) || len(asks.Elicitations) != 1 || asks.Elicitations[0].URL != connect {
		t.Errorf("legacy: %v, %+v", err, asks)
	}
	if got, err := whoamiBy(t.Context(), modern); err != nil || !strings.Contains(got, "you are alice at notes") {
		t.Errorf("modern: %q, %v", got, err)
	}
	if len(l.asked) != 1 || l.asked[0] != "url "+connect {
		t.Errorf("led to %q", l.asked)
	}
	g.eventually("the legacy client goes on", 10*time.Second, func() bool {
		got, err := whoamiBy(t.Context(), legacy)
		return err == nil && strings.Contains(got, "you are alice at notes")
	})
}

// removeAccount is alice at the page of her accounts.
func (g *signing) removeAccount(page string) {
	g.t.Helper()
	browser := proxytest.NewBrowser()
	if _, err := proxytest.BrowseTo(g.t.Context(), browser, page, "alice", page); err != nil {
		g.t.Fatal(err)
	}
	resp, err := browser.PostForm(page+"/remove", url.Values{"server": {"notes"}})
	if err != nil {
		g.t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		g.t.Fatal(resp.Status)
	}
}
