package publish

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"mcpgateway/internal/identity"
	"mcpgateway/internal/lists"
	"mcpgateway/internal/mcp"
	"mcpgateway/shim/call"
	"mcpgateway/shim/exchange"
	"mcpgateway/shim/ruleset"
)

const (
	maxPages = 200               // of one list
	maxMS    = 366 * 24 * 3600e3 // of ttlMs: more is as good as that
)

// said is what the server answered to one method.
type said struct {
	value json.RawMessage // the result, without what is said of its age
	scope string          // cacheScope
	ttl   time.Duration   // ttlMs, the least of all pages
}

// lasts notes how long a result may be given to others; it is false where it may not.
func (m *said) lasts(r *lists.Result, made time.Time) bool {
	r.Until = made.Add(m.ttl)
	return m.scope == "public" && m.ttl > 0
}

// asking is one round of questions.
type asking struct {
	p          *Publisher
	rules      *ruleset.Set
	credential *exchange.Credential
	number     int
}

// who asks is nobody that an issuer knows.
func (a *asking) who() identity.Identity { return identity.Identity{Subject: "mcpgateway"} }

const clientInfo = `{"name":"mcpgateway","version":"1"}`

// modern asks as a client of revision 2026-07-28 does.
func (a *asking) modern(ctx context.Context) (map[string]said, error) {
	const meta = `"_meta":{"io.modelcontextprotocol/protocolVersion":"` + mcp.ModernVersion + `","io.modelcontextprotocol/clientInfo":` + clientInfo +
		`,"io.modelcontextprotocol/clientCapabilities":{}}`
	ask := func(method, params string) (mcp.Token, error) {
		h := http.Header{mcp.HeaderVersion: {mcp.ModernVersion}, mcp.HeaderMethod: {method}}
		_, result, err := a.ask(ctx, mcp.Modern, "", h, method, "{"+meta+params+"}")
		return result, err
	}
	found, err := a.lists(ctx, ask)
	if err != nil {
		return nil, err
	}
	if hello, err := ask("server/discover", ""); err == nil {
		if m, _, err := read(hello, ""); err == nil {
			found["server/discover"] = m
		}
	}
	return found, ctx.Err()
}

// legacyVersion is the revision in which it is asked: the newest with sessions.
const legacyVersion = "2025-11-25"

// legacy asks as a client with a session does, and notes what came of the handshake.
func (a *asking) legacy(ctx context.Context, s *lists.Snapshot) (map[string]said, error) {
	id, hello, err := a.ask(ctx, mcp.Legacy, "", http.Header{}, "initialize",
		`{"protocolVersion":"`+legacyVersion+`","capabilities":{},"clientInfo":`+clientInfo+`}`)
	if err != nil {
		return nil, ctx.Err() //nolint:nilerr // such a server has nothing for clients of that era
	}
	h := http.Header{mcp.HeaderVersion: {legacyVersion}}
	defer a.leave(ctx, id, h)
	version, err := mcp.Members(hello, "protocolVersion")
	if v, _ := version[0].Text(); err != nil || v != legacyVersion {
		return nil, ctx.Err()
	}
	sum := sha256.Sum256(hello)
	s.Version, s.Sessions = legacyVersion, id != ""
	copy(s.Answer[:], sum[:])
	if err := a.tell(ctx, id, h, "notifications/initialized"); err != nil {
		return nil, err
	}
	found, err := a.lists(ctx, func(method, params string) (mcp.Token, error) {
		_, result, err := a.ask(ctx, mcp.Legacy, id, h, method, "{"+trimComma(params)+"}")
		return result, err
	})
	if err != nil {
		return nil, err
	}
	if m, _, err := read(hello, ""); err == nil {
		found["initialize"] = m
	}
	return found, nil
}

func trimComma(params string) string {
	if params == "" {
		return ""
	}
	return params[1:]
}

// leave ends the session, for servers that have a process for each.
func (a *asking) leave(ctx context.Context, id string, h http.Header) {
	if id == "" {
		return
	}
	x := &call.Exchange{Request: &http.Request{Method: http.MethodDelete, Header: h.Clone()}, Who: a.who(), Rules: a.rules, Credential: a.credential, Session: id}
	if resp, err := a.p.Ask(ctx, x); err == nil {
		_ = resp.Body.Close()
	}
}

// lists asks for every list, page by page. params is what a question has besides, after a comma. A list that is empty, or that
// the server does not have, is left out.
func (a *asking) lists(ctx context.Context, ask func(method, params string) (mcp.Token, error)) (map[string]said, error) {
	found := map[string]said{}
	for method, array := range lists.Arrays {
		m, err := pages(array, func(params string) (mcp.Token, error) { return ask(method, params) })
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err == nil && m.value != nil {
			found[method] = m
		}
	}
	return found, nil
}

// pages makes one result of all pages.
func pages(array string, ask func(params string) (mcp.Token, error)) (said, error) {
	var whole said
	var first map[string]json.RawMessage
	var items []json.RawMessage
	params := ""
	for range maxPages {
		result, err := ask(params)
		if err != nil {
			return said{}, err
		}
		page, object, err := read(result, array)
		if err != nil {
			return said{}, err
		}
		var some []json.RawMessage
		if err := json.Unmarshal(object[array], &some); err != nil {
			return said{}, err
		}
		if items = append(items, some...); len(items) > lists.MaxItems {
			return said{}, errors.New("a list is too long")
		}
		if first == nil {
			first, whole = object, page
		}
		if whole.ttl = min(whole.ttl, page.ttl); page.scope != "public" {
			whole.scope = page.scope
		}
		next := object["nextCursor"]
		if len(next) == 0 || string(next) == "null" {
			return whole.with(first, array, items)
		}
		params = `,"cursor":` + string(next)
	}
	return said{}, errors.New("a list has too many pages")
}

// with is the first page with the items of all; an empty list is none.
func (m said) with(object map[string]json.RawMessage, array string, items []json.RawMessage) (said, error) {
	if len(items) == 0 {
		return said{}, nil
	}
	var err error
	if object[array], err = json.Marshal(items); err != nil {
		return said{}, err
	}
	delete(object, "nextCursor")
	m.value, err = json.Marshal(object)
	return m, err
}

// read reads a result strictly, and what is said of its age; array is the list in it, where it has one. In the modern era only
// what is complete counts.
func read(result mcp.Token, array string) (m said, object map[string]json.RawMessage, err error) {
	v, err := mcp.Members(result, "resultType", "cacheScope", "ttlMs")
	if err != nil {
		return m, nil, err
	}
	if kind, _ := v[0].Text(); v[0] != nil && kind != "complete" {
		return m, nil, errors.New("a result that is not complete")
	}
	if err := json.Unmarshal(result, &object); err != nil {
		return m, nil, err
	}
	if array != "" && object[array] == nil {
		return m, nil, fmt.Errorf("no %s in the result", array)
	}
	m.scope, _ = v[1].Text()
	if ms, err := strconv.ParseFloat(string(v[2]), 64); err == nil && ms > 0 {
		m.ttl = time.Duration(min(ms, maxMS)) * time.Millisecond
	}
	delete(object, "cacheScope")
	delete(object, "ttlMs")
	m.value, err = json.Marshal(object)
	return m, object, err
}

// ask asks the server one thing. The result is of a plain answer only.
func (a *asking) ask(ctx context.Context, era mcp.Era, session string, h http.Header, method, params string) (id string, result mcp.Token, err error) {
	a.number++
	resp, err := a.send(ctx, era, session, h, fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":%q,"params":%s}`, a.number, method, params))
	if err != nil {
		return "", nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return "", nil, fmt.Errorf("%s: the server answered %s", method, resp.Status)
	}
	message, err := mcp.FirstAnswer(resp.Header, resp.Body, 2*lists.MaxBytes)
	if err != nil {
		return "", nil, fmt.Errorf("%s: %w", method, err)
	}
	outer, err := mcp.Members(message, "result")
	if err == nil && outer[0] == nil {
		err = errors.New("no result")
	}
	if err != nil {
		return "", nil, fmt.Errorf("%s: %w", method, err)
	}
	return resp.Header.Get(mcp.HeaderSession), outer[0], nil
}

// tell sends the server a notification.
func (a *asking) tell(ctx context.Context, session string, h http.Header, method string) error {
	resp, err := a.send(ctx, mcp.Legacy, session, h, fmt.Sprintf(`{"jsonrpc":"2.0","method":%q}`, method))
	if err == nil {
		_ = resp.Body.Close()
	}
	return err
}

func (a *asking) send(ctx context.Context, era mcp.Era, session string, h http.Header, body string) (*http.Response, error) {
	h = h.Clone()
	h.Set("Content-Type", "application/json")
	h.Set("Accept", "application/json, text/event-stream")
	x := &call.Exchange{Request: &http.Request{Method: http.MethodPost, Header: h}, Era: era, Who: a.who(), Rules: a.rules, Credential: a.credential,
		Session: session, Body: []byte(body)}
	var err error
	if x.MCP, err = mcp.Parse(x.Body); err != nil {
		return nil, err
	}
	return a.p.Ask(ctx, x)
}
