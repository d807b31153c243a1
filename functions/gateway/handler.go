package main

import (
	"errors"
	"net/http"
	"strings"

	"mcpgateway/internal/apikey"
	"mcpgateway/internal/catalog"
	"mcpgateway/internal/identity"
	"mcpgateway/internal/mcp"
)

// serveMCP is the path of every MCP request: authenticate, admit, ensure, stream.
func (g *gateway) serveMCP(c *call) error {
	if err := c.checkOrigin(); err != nil {
		return err // evil pages first: no answer of ours is for them
	}
	if c.r.Method == http.MethodOptions {
		return c.preflight() // before authentication: browsers send no token with it
	}
	if err := g.authenticate(c); err != nil {
		return err
	}
	if err := g.admit(c); err != nil {
		return err // from here on the caller may use the server: only now may anything start
	}
	release, err := g.limits.enter(c)
	if err != nil {
		return err
	}
	defer release()
	defer g.tally.enter(c)()
	if err := c.read(); err != nil {
		return err
	}
	if c.listener() {
		return g.listen(c)
	}
	return g.forward(c)
}

// authenticate finds out who calls. Every well-formed id is asked for in the same way, so that a 401 tells nobody
// which servers exist.
func (g *gateway) authenticate(c *call) error {
	defer c.timing.measure("auth")()
	resource := c.platform.ResourceAt(strings.ToLower(c.r.Host), c.server)
	token, ok := identity.Bearer(c.r.Header)
	if !ok {
		return unauthenticated(resource, nil)
	}
	if apikey.Is(token) && c.platform.OAuth != nil {
		var err error
		if token, err = g.keys.token(c.r.Context(), sourceOf(c.r.RemoteAddr), c.platform.OAuth.URL, token, c.platform.Resource(c.server)); err != nil {
			return keyError(resource, err)
		}
		c.r.Header.Set("Authorization", "Bearer "+token) // nobody behind us sees the key
	}
	who, err := c.verifier.Verify(c.r.Context(), token, c.platform.Resources(c.server))
	switch {
	case errors.Is(err, identity.ErrUnavailable):
		return unavailable("The identity provider cannot be reached, so tokens cannot be checked; try again", err)
	case err != nil:
		return unauthenticated(resource, err)
	}
	c.who, c.token = who, token
	return nil
}

// admit decides whether any request of the caller could be allowed. Unknown and not admitted are the same answer.
func (g *gateway) admit(c *call) error {
	defer c.timing.measure("admit")()
	entry, known := c.catalog.Server(c.server)
	if !c.policies.Admits(c.who, c.server) || !known {
		return mcp.NotAdmitted(nil)
	}
	c.entry = entry
	return nil
}

// forward sends the call to the server, which wakes it where it sleeps, and streams the answer.
func (g *gateway) forward(c *call) error {
	ctx, cancel := c.lifetime(c.platform.Limits.CallTimeout)
	defer cancel()
	resp, err := g.servers.ask(ctx, c)
	if err != nil {
		return err
	}
	if resp != nil {
		g.shelf.awake(c)
		return g.answer(c, resp)
	}
	if answered, err := g.recall(ctx, c); answered || err != nil {
		return err // it knows what the server would say
	}
	if answered, err := c.answerAsleep(); answered || err != nil {
		return err // what asks the server to do nothing does not wake it
	}
	waking := g.watch(ctx, c)
	defer waking.stop()
	resp, err = g.servers.wakeAndAsk(ctx, c, g.limits)
	g.shelf.awake(c) // or it will say something else once it is
	if waking.told() {
		return waking.answer(resp, err)
	}
	if err != nil {
		return err
	}
	return g.answer(c, resp)
}

// route finds what a request is for. It is no http.ServeMux because that one redirects what it takes for a slip, and
// a redirect loses a POST's body and a client's token.
func (g *gateway) route(c *call) error {
	path := c.r.URL.Path
	if id, ok := c.platform.AliasAt(strings.ToLower(c.r.Host)); ok {
		return g.routeAlias(c, id)
	}
	if rest, ok := strings.CutPrefix(c.r.URL.EscapedPath(), "/v0.1/servers"); ok && (rest == "" || rest[0] == '/') {
		return g.serveRegistry(c, rest) // names in it hold an escaped slash
	}
	if c.r.URL.RawPath != "" {
		return notFound() // no other path of ours needs an escape
	}
	if id, ok := strings.CutPrefix(path, "/mcp-connect/"); ok && catalog.ValidID(id) {
		c.server = id
		return g.serveMCP(c)
	}
	if id, ok := strings.CutPrefix(path, "/.well-known/oauth-protected-resource/mcp-connect/"); ok && catalog.ValidID(id) {
		return g.serveMetadata(c, id)
	}
	switch path {
	case "/.well-known/oauth-protected-resource":
		return g.serveMetadata(c, catalog.Gateway)
	case "/healthz":
		return c.text("ok")
	case "/readyz":
		return g.ready(c)
	}
	return notFound()
}

// routeAlias finds what a request to a server's own host is for: the server, and where to sign in. Nothing else of ours is there.
func (g *gateway) routeAlias(c *call, id string) error {
	switch c.r.URL.EscapedPath() {
	case catalog.AliasPath:
		c.server = id
		return g.serveMCP(c)
	case "/.well-known/oauth-protected-resource" + catalog.AliasPath, "/.well-known/oauth-protected-resource":
		return g.serveMetadata(c, id)
	}
	return notFound()
}
