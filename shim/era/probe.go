package era

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"mcpgateway/internal/mcp"
	"mcpgateway/shim/call"
)

const (
	probeWithin = 10 * time.Second
	maxHello    = 1 << 20 // bytes of an answer to server/discover or initialize
)

// discover asks a server which revisions it speaks. A legacy server runs nothing by it.
const discover = `{"jsonrpc":"2.0","id":0,"method":"server/discover","params":{"_meta":{` +
	`"io.modelcontextprotocol/protocolVersion":"` + mcp.ModernVersion + `",` +
	`"io.modelcontextprotocol/clientInfo":{"name":"mcpgateway","version":"1"},` +
	`"io.modelcontextprotocol/clientCapabilities":{}}}}`

// find finds out whether the server speaks an era, with one question for all who want to know. It may not say.
func (t *Translator) find(ctx context.Context, x *call.Exchange, era mcp.Era, send Send) (eras, error) {
	known := t.probes.current(t.Recheck)
	if known.known(era) {
		return known, nil
	}
	t.probes.mu.Lock()
	f := t.probes.flight
	if f == nil {
		f = &probing{done: make(chan struct{})}
		t.probes.flight = f
		go t.probe(context.WithoutCancel(ctx), x, send, f)
	}
	t.probes.mu.Unlock()
	select {
	case <-f.done:
		return f.found, f.err
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

func (t *Translator) probe(ctx context.Context, x *call.Exchange, send Send, f *probing) {
	ctx, cancel := context.WithTimeout(ctx, probeWithin)
	defer cancel()
	f.found, f.err = ask(ctx, x, send)
	if f.found != 0 {
		f.found = t.note(f.found)
		t.Logger.Info("eras found", "modern", f.found.speaks(mcp.Modern), "legacy", f.found.speaks(mcp.Legacy))
	}
	t.probes.mu.Lock()
	t.probes.flight = nil
	t.probes.mu.Unlock()
	close(f.done)
}

// ask asks the server once.
func ask(ctx context.Context, x *call.Exchange, send Send) (eras, error) {
	resp, err := send(ctx, modern(x, mcp.ModernVersion, "server/discover", "", []byte(discover)))
	switch {
	case err != nil && ctx.Err() != nil:
		return 0, nil // the request itself may fare better
	case errors.As(err, new(*mcp.Error)):
		return 0, err // which says more
	case err != nil:
		return 0, &mcp.Error{Status: http.StatusBadGateway, Code: mcp.CodeUnavailable, Cause: fmt.Errorf("find the server's eras: %w", err),
			Message: "The MCP server did not say which revisions it speaks; nothing else was sent to it. Try again"}
	}
	defer resp.Body.Close()
	switch s := resp.StatusCode; {
	case s >= http.StatusInternalServerError, s >= 300 && s < 400, s == http.StatusUnauthorized, s == http.StatusForbidden,
		s == http.StatusProxyAuthRequired, s == http.StatusTooManyRequests, s == http.StatusRequestTimeout:
		return 0, nil
	}
	message, err := hello(resp, io.LimitReader(resp.Body, maxHello))
	if err != nil {
		return lacksModern | speaksLegacy, nil //nolint:nilerr // any answer but a modern server's means legacy
	}
	return erasOf(message), nil
}

// erasOf reads an answer to server/discover (MCP 2026-07-28, transports, "backward compatibility"): with a recognized modern
// error the server is modern, and any other error says that it is not.
func erasOf(message []byte) eras {
	const legacy = lacksModern | speaksLegacy
	m, err := mcp.ParseLabelled(message)
	if err != nil || m.Kind != mcp.Response {
		return legacy
	}
	var versions []string
	switch m.Failed {
	case mcp.CodeHeaderMismatch, mcp.CodeCapability:
		return speaksModern
	case mcp.CodeVersion:
		if versions = texts(path(message, "error", "data", "supported")); versions == nil {
			return speaksModern
		}
	case 0:
		versions = texts(path(message, "result", "supportedVersions"))
	}
	found := lacksModern
	if slices.ContainsFunc(versions, func(v string) bool { return v >= mcp.ModernVersion }) {
		found = speaksModern
	}
	switch {
	case found == lacksModern:
		return found | speaksLegacy
	case slices.ContainsFunc(versions, func(v string) bool { return v < mcp.ModernVersion }):
		return found | listsLegacy
	case !slices.Contains(versions, mcp.ModernVersion):
		return found // of a revision that nothing is translated to
	}
	return found | lacksLegacy
}

// introduce sends an initialize, which tells by itself whether the server knows sessions: where it does, nothing else need be
// asked, and behind a bridge no other process started.
func (t *Translator) introduce(ctx context.Context, x *call.Exchange, body mcp.Body, send Send) (*http.Response, error) {
	resp, err := send(ctx, x)
	if err != nil || resp.StatusCode >= 300 && (resp.StatusCode < 400 || resp.StatusCode >= 500) {
		return resp, err
	}
	began, code := begun(resp)
	if began {
		t.note(speaksLegacy)
		return resp, nil
	}
	found, err := t.find(ctx, x, mcp.Legacy, send)
	switch code {
	case mcp.CodeMethodNotFound, mcp.CodeHeaderMismatch, mcp.CodeVersion:
		if found&speaksModern != 0 { // whatever it lists
			found = t.note(lacksLegacy)
		}
	}
	if err != nil || found&lacksLegacy == 0 {
		return resp, nil //nolint:nilerr // the server's own answer says enough
	}
	discard(resp)
	return t.toModern(ctx, x, body, send)
}

// begun tells whether a session began, by an answer to initialize that goes on as it came, or by which error it did not.
func begun(resp *http.Response) (began bool, code int) {
	var read bytes.Buffer
	message, err := hello(resp, io.TeeReader(io.LimitReader(resp.Body, maxHello), &read))
	resp.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(&read, resp.Body), resp.Body}
	if err != nil {
		return false, 0
	}
	m, err := mcp.ParseLabelled(message)
	return err == nil && path(message, "result", "protocolVersion") != nil, m.Failed
}

// hello is the first message of a body that answers a request.
func hello(resp *http.Response, body io.Reader) ([]byte, error) {
	if !mcp.IsStream(resp.Header) {
		text, err := io.ReadAll(body)
		return bytes.TrimSpace(text), err
	}
	for events := mcp.NewEventReader(body, maxHello); ; {
		e, err := events.Next()
		if err != nil {
			return nil, err
		}
		if len(e.Data) > 0 && mcp.IsAnswer(e.Data) {
			return e.Data, nil
		}
	}
}
