package era

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"

	"mcpgateway/internal/mcp"
	"mcpgateway/shim/call"
)

// Bounds of the sessions that are kept for modern clients.
const (
	maxKept     = 1000
	keptOfOne   = 8 // of one caller
	keptFor     = 10 * time.Minute
	beginWithin = time.Minute
	endWithin   = 10 * time.Second
)

// legacyVersions are the revisions with sessions, newest first.
var legacyVersions = []string{"2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"}

// keeper keeps sessions: one for each caller, client program and set of capabilities, since a session has one of each.
type keeper struct {
	mu  sync.Mutex
	all map[string]*kept
}

// kept is a legacy session that modern requests go through.
type kept struct {
	key, caller string
	client      client
	using       int // requests and listeners; guarded by the keeper
	used        time.Time
	idle        *time.Timer
	hub         hub

	mu      sync.Mutex
	session session // the server's; its id is empty where it has none or did not begin
	flight  chan struct{}
	level   int                   // of log messages that the server was asked for
	end     func(context.Context) // has the server forget it
}

// client is who a session is begun for.
type client struct{ info, capabilities mcp.Token }

// session is what a server said when one began.
type session struct {
	begun   bool
	id      string
	version string
	result  object // of initialize
}

func (s *session) capability(names ...string) mcp.Token {
	return path(s.result.get("capabilities"), names...)
}

// errCrowded says that there is no room for another session.
var errCrowded = &mcp.Error{Status: http.StatusServiceUnavailable, Code: mcp.CodeUnavailable, RetryAfter: time.Second,
	Message: "Too many sessions of this server are in use; try again"}

// use returns the session of a caller's client, and what to call when it is no longer used.
func (s *keeper) use(caller string, c client) (k *kept, release func(), err error) {
	key := caller + "\x00" + string(c.info) + "\x00" + string(c.capabilities)
	s.mu.Lock()
	defer s.mu.Unlock()
	k = s.all[key]
	if k == nil {
		if err := s.room(caller); err != nil {
			return nil, nil, err
		}
		k = &kept{key: key, caller: caller, client: c}
		k.hub.reset()
		s.all[key] = k
	}
	if k.idle != nil {
		k.idle.Stop()
	}
	k.using++
	return k, sync.OnceFunc(func() { s.release(k) }), nil
}

func (s *keeper) release(k *kept) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k.used = time.Now()
	if k.using--; k.using == 0 {
		k.idle = time.AfterFunc(keptFor, func() { s.expire(k) })
	}
}

func (s *keeper) expire(k *kept) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if k.using == 0 {
		s.drop(k)
	}
}

// drop forgets a session; the caller holds s.mu.
func (s *keeper) drop(k *kept) {
	if s.all[k.key] == k {
		delete(s.all, k.key)
	}
	go k.forget()
}

// room makes place for another session by ending the one that nobody used longest. The caller holds s.mu.
func (s *keeper) room(caller string) error {
	own := 0
	for _, k := range s.all {
		if k.caller == caller {
			own++
		}
	}
	if own < keptOfOne && len(s.all) < maxKept {
		return nil
	}
	var oldest *kept
	for _, k := range s.all {
		if k.using == 0 && (own < keptOfOne || k.caller == caller) && (oldest == nil || k.used.Before(oldest.used)) {
			oldest = k
		}
	}
	if oldest == nil {
		return errCrowded
	}
	oldest.idle.Stop()
	s.drop(oldest)
	return nil
}

// forget ends the session at the server.
func (k *kept) forget() {
	k.mu.Lock()
	end := k.end
	k.session, k.end = session{}, nil
	k.mu.Unlock()
	k.hub.reset()
	if end != nil {
		ctx, cancel := context.WithTimeout(context.Background(), endWithin)
		defer cancel()
		end(ctx)
	}
}

// current returns the session, which is begun first where there is none. One that the server lost is begun again.
func (k *kept) current(ctx context.Context, x *call.Exchange, send Send, lost *session) (session, error) {
	for {
		k.mu.Lock()
		if k.session.begun && (lost == nil || k.session.id != lost.id) {
			defer k.mu.Unlock()
			return k.session, nil
		}
		if k.flight == nil {
			k.flight = make(chan struct{})
			k.mu.Unlock()
			return k.begin(ctx, x, send)
		}
		flight := k.flight
		k.mu.Unlock()
		select {
		case <-flight:
			lost = nil
		case <-ctx.Done():
			return session{}, ctx.Err()
		}
	}
}

// begin begins the session, also when who asked for it leaves.
func (k *kept) begin(ctx context.Context, x *call.Exchange, send Send) (session, error) {
	type outcome struct {
		begun session
		err   error
	}
	done := make(chan outcome, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), beginWithin)
		defer cancel()
		k.hub.reset() // what there was is of a session that is over
		begun, err := initialize(ctx, x, send, k.client)
		k.mu.Lock()
		k.session, k.level, k.end = begun, 0, nil
		if begun.id != "" {
			k.end = func(ctx context.Context) {
				y := k.errand(x, begun, nil)
				y.Request.Method = http.MethodDelete
				_ = tell(ctx, y, send) // it ends by itself, too
			}
		}
		close(k.flight)
		k.flight = nil
		k.mu.Unlock()
		done <- outcome{begun, err}
	}()
	select {
	case o := <-done:
		return o.begun, o.err
	case <-ctx.Done():
		return session{}, ctx.Err()
	}
}

// lower notes that log messages of a level are wanted, and tells whether the server must be told.
func (k *kept) lower(level int) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.level != 0 && k.level <= level {
		return false
	}
	k.level = level
	return true
}

// errand is a message of ours in the session.
func (k *kept) errand(x *call.Exchange, s session, body []byte) *call.Exchange {
	y := errand(x, body, mcp.HeaderVersion, s.version)
	y.Session = s.id
	return y
}

// initialize begins a session (MCP 2025-11-25, lifecycle).
func initialize(ctx context.Context, x *call.Exchange, send Send, c client) (s session, err error) {
	params := object{{"protocolVersion", text(legacyVersions[0])}, {"capabilities", c.capabilities}, {"clientInfo", c.info}}
	resp, err := send(ctx, errand(x, request(number(0), "initialize", params.token())))
	if err != nil {
		return s, err
	}
	if resp.StatusCode == http.StatusServiceUnavailable || resp.StatusCode == http.StatusTooManyRequests {
		discard(resp)
		return s, &mcp.Error{Status: resp.StatusCode, Code: mcp.CodeUnavailable, RetryAfter: time.Second,
			Message: "The MCP server takes no more sessions now; try again", Cause: errors.New(resp.Status)}
	}
	message, err := hello(resp, io.LimitReader(resp.Body, maxHello))
	discard(resp)
	if err == nil {
		_, err = mcp.ParseLabelled(message)
	}
	if err != nil || resp.StatusCode >= 300 {
		return s, unusable(fmt.Errorf("initialize: %s: %w", resp.Status, err))
	}
	s = session{begun: true, id: resp.Header.Get(mcp.HeaderSession), result: objectOf(path(message, "result"))}
	s.version, _ = s.result.get("protocolVersion").Text()
	if !slices.Contains(legacyVersions, s.version) {
		return session{}, unusable(fmt.Errorf("initialize: the server would speak %.20q", s.version))
	}
	y := errand(x, notification("notifications/initialized", nil), mcp.HeaderVersion, s.version)
	y.Session = s.id
	return s, tell(ctx, y, send)
}

func unusable(cause error) error {
	return &mcp.Error{Status: http.StatusBadGateway, Code: mcp.CodeUnavailable, Cause: cause,
		Message: "The MCP server speaks an older revision of the protocol, and began no session; whoever runs this gateway finds the cause in its log"}
}
