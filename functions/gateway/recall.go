package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"mcpgateway/internal/audit"
	"mcpgateway/internal/catalog"
	"mcpgateway/internal/lists"
	"mcpgateway/internal/mcp"
	"mcpgateway/internal/policy"
)

// recall answers for a server that sleeps what it said of itself before (discovery: cached), and wakes it meanwhile: whoever
// asks for its tools is about to call one. It is false where the server itself is to be asked, which is always right.
func (g *gateway) recall(ctx context.Context, c *call) (answered bool, err error) {
	if !c.entry.CachesDiscovery() {
		return false, nil
	}
	m := c.recallable()
	if m == nil || g.servers.cluster != nil && g.servers.awake(ctx, c) {
		g.shelf.forget(c.server) // it is awake, or is woken
		return false, nil
	}
	s, key := g.shelf.snapshot(ctx, c)
	if s == nil {
		return false, nil
	}
	r := recalled{call: c, message: m, snapshot: s, key: key}
	body, err := r.answer()
	if body == nil || err != nil {
		return false, err
	}
	g.recordRecalled(&r, body)
	h := c.w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	if r.session != "" && m.Method == "initialize" {
		h[mcp.HeaderSession] = []string{r.session}
	}
	c.begin(http.StatusOK)
	_, _ = c.w.Write(body) // a client that left needs no answer
	g.rouse(c)
	return true, nil
}

// recallable is the call's message, if it is one that asks a server what it is and nothing else; nil where it is not.
func (c *call) recallable() *mcp.Message {
	if c.r.Method != http.MethodPost || !takes(c.r.Header, "application/json") {
		return nil
	}
	body, err := c.parse()
	if err != nil || body.Batch || mcp.CheckMatch(c.r.Header, *body) != nil {
		return nil // the shim says what is wrong
	}
	m := &body.Messages[0]
	if m.Kind != mcp.Request || !slices.Contains(catalog.Cached, m.Method) {
		return nil
	}
	if c.era == mcp.Modern && (c.r.Header.Get(mcp.HeaderVersion) != mcp.ModernVersion || m.Params.MetaVersion == nil || m.Params.Capabilities == nil) {
		return nil
	}
	outer, err := mcp.Members(m.Raw, "params")
	if err != nil || outer[0] == nil {
		return m
	}
	if page, err := mcp.Members(outer[0], "cursor"); err != nil || page[0] != nil {
		return nil // of the server's own pages
	}
	return m
}

// recalled is one answer in a sleeping server's place.
type recalled struct {
	*call
	message  *mcp.Message
	snapshot *lists.Snapshot
	key      *lists.Key
	session  string // the client's id, if it has one
}

// answer makes the response; nil where there is none to be had from what the server said.
func (r *recalled) answer() ([]byte, error) {
	results := r.snapshot.Legacy
	if r.era == mcp.Modern {
		results = r.snapshot.Modern
	} else if ok, err := r.inSession(); !ok || err != nil {
		return nil, err
	}
	result := results[r.message.Method]
	now := time.Now()
	view, allowed := r.policies.View(r.who, r.server, r.era.String(), r.message.Method)
	if !allowed || !result.Fresh(now) {
		return nil, nil
	}
	value := []byte(result.Value)
	if r.era == mcp.Modern {
		value = aged(value, result.Until, now)
	}
	shown := 0
	out, err := mcp.FilterLists(fmt.Appendf(nil, `{"jsonrpc":"2.0","id":%s,"result":%s}`, r.message.ID, value), func(array, name string) bool {
		ok := view.Visible(policy.KindIn(array), name)
		if ok {
			shown++
		}
		return ok
	})
	if err != nil || lists.Arrays[r.message.Method] != "" && shown == 0 {
		return nil, nil //nolint:nilerr // what is not strict JSON is for the server to answer, as is a list with nothing in it
	}
	return out, nil
}

// aged adds to a result how long it still holds, as the server said (MCP 2026-07-28, caching), and that it is the caller's own.
// Where the server did not say it is stale at once.
func aged(value []byte, until, now time.Time) []byte {
	left := max(0, until.Sub(now).Milliseconds())
	return append(fmt.Appendf(nil, `{"cacheScope":"private","ttlMs":%d,`, left), bytes.TrimPrefix(value, []byte("{"))...)
}

// inSession looks at the session of a client of the legacy era. It is false where only the shim can, and an error where the
// session is not the caller's.
func (r *recalled) inSession() (bool, error) {
	id, version := r.r.Header.Get(mcp.HeaderSession), r.r.Header.Get(mcp.HeaderVersion)
	sessions := r.snapshot.Sessions && r.entry.Sessions != "none"
	switch {
	case r.message.Method == "initialize":
		return id == "" && r.introduce(sessions), nil
	case !sessions:
		return id == "" && version == r.snapshot.Version, nil
	case !lists.IsSession(id):
		return false, nil // the shim's own, or none
	}
	s, err := r.key.OpenSession(id, r.who.Issuer, r.who.Subject, time.Now())
	if err != nil {
		return false, &mcp.Error{Status: http.StatusNotFound, Code: mcp.CodeRefused, ID: r.message.ID, Cause: err,
			Message: "Session not found: it ended or was never yours; initialize again"}
	}
	r.session = id
	return version == s.Version, nil
}

// introduce begins a session that the server does not know yet: its shim begins it there, with what the client said.
func (r *recalled) introduce(sessions bool) bool {
	params, err := mcp.Introduction(r.message.Raw)
	if err != nil {
		return false
	}
	version, err := mcp.Members([]byte(params), "protocolVersion")
	if err != nil {
		return false
	}
	if v, _ := version[0].Text(); v != r.snapshot.Version {
		return false // the server may know that revision, too
	}
	if !sessions {
		return true
	}
	var fits bool
	r.session, fits = r.key.SealSession(lists.Session{Params: params, Version: r.snapshot.Version, Answer: r.snapshot.Answer,
		Opened: time.Now().Round(0)}, r.who.Issuer, r.who.Subject)
	return fits
}

// recordRecalled records what no shim sees.
func (g *gateway) recordRecalled(r *recalled, body []byte) {
	record := r.record()
	record.CallType, record.Outcome, record.Decision = r.message.Method, audit.Answered, audit.Allowed
	record.ResponseStatus, record.ResponseBytes = http.StatusOK, len(body)
	record.ClientName, _ = r.message.Params.ClientName.Text()
	record.ClientVersion, _ = r.message.Params.ClientVersion.Text()
	if r.session != "" {
		name := lists.SessionName(r.session)
		sum := sha256.Sum256(name[:])
		record.SessionID = hex.EncodeToString(sum[:8])
	}
	g.write(r.call, record)
}

// kept names what servers with discovery: cached are in one version of the documents, and what is said of them there.
type kept struct{ revision, policies string }

// keeps finds it out for all of them.
func keeps(c *catalog.Catalog) (map[string]kept, error) {
	all := map[string]kept{}
	for i := range c.Servers {
		if s := &c.Servers[i]; s.CachesDiscovery() {
			print, err := policy.Fingerprint(policy.Concerning(c.Policies, s.ID))
			if err != nil {
				return nil, errors.Join(errors.New("name the policies of "+s.ID), err)
			}
			all[s.ID] = kept{s.Revision(), print}
		}
	}
	return all, nil
}
