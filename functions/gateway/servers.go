package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"mcpgateway/internal/catalog"
	"mcpgateway/internal/deploy"
	"mcpgateway/internal/mcp"
	"mcpgateway/internal/peer"
	"mcpgateway/internal/telemetry"
	"mcpgateway/knative/ingress"
)

// deployer makes servers run. The gateway itself may start nothing.
type deployer interface {
	// Ensure makes an instance run, waits until it is ready and says where it is.
	Ensure(context.Context, deploy.Key) (deploy.Instance, error)
	// Find says where an instance is, if it runs; it starts nothing.
	Find(context.Context, deploy.Key) (deploy.Instance, bool, error)
}

// maxWaiting bounds the calls that wait for one server to start.
const maxWaiting = 512

// servers knows where instances are. Warm calls ask nobody: an instance is believed to run until dialling it fails.
type servers struct {
	deployer deployer
	cluster  cluster      // nil: instances are processes, which only the deployer wakes
	pool     *peer.Client // of all instances of the cluster
	uses     uses         // of the cluster's instances
	lag      time.Duration
	slow     time.Duration
	log      *slog.Logger

	mu      sync.Mutex
	known   map[deploy.KeyID]*instance
	asleep  map[deploy.KeyID]time.Time // until when the deployer is not asked again
	waiting map[deploy.KeyID]int
	vigils  map[deploy.KeyID]*vigil   // for listeners of instances that sleep
	rousing map[deploy.KeyID]struct{} // for nobody's call
	flights singleflight.Group
}

// asleepFor is how long an instance is believed to sleep: a thousand listeners ask as one.
const asleepFor = time.Second

func newServers(d deployer, log *slog.Logger) *servers {
	s := &servers{deployer: d, log: log, known: map[deploy.KeyID]*instance{}, asleep: map[deploy.KeyID]time.Time{},
		waiting: map[deploy.KeyID]int{}, vigils: map[deploy.KeyID]*vigil{}, rousing: map[deploy.KeyID]struct{}{}}
	if k, ok := d.(cluster); ok {
		s.behind(k)
	}
	return s
}

// instance is a server that runs, or did a moment ago.
type instance struct {
	key       deploy.KeyID
	id        string
	url       string
	host      string // under which an ingress knows it; empty: it is at url itself
	transport *peer.Client

	// Connections that idle are closed after half of the time after which the instance may leave, so that no call is
	// ever written to one that nobody reads any more. The timer moves when it fires and not with every call, which would
	// wake a thread each time.
	patience time.Duration
	mu       sync.Mutex
	last     time.Time
	closing  bool // the timer runs
}

// used notes that a call begins or ends.
func (i *instance) used() {
	if i.patience == 0 {
		return // its connections are those of a cluster
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.last = time.Now()
	if !i.closing {
		i.closing = true
		time.AfterFunc(i.patience, i.closeIdle)
	}
}

// usedBody notes when an answer ends: from then on its connection idles.
type usedBody struct {
	io.ReadCloser
	of *instance
}

func (b *usedBody) Close() error {
	defer b.of.used()
	return b.ReadCloser.Close()
}

func (i *instance) closeIdle() {
	i.mu.Lock()
	left := i.patience - time.Since(i.last)
	i.closing = left > 0
	i.mu.Unlock()
	if left > 0 {
		time.AfterFunc(left, i.closeIdle)
		return
	}
	i.transport.CloseIdleConnections()
}

// ask sends the call to the caller's instance if that wakes nothing. No answer and no error mean that it sleeps, and knows
// nothing of the call; or that it need not be known whether it does, since the call is one to wake it for.
func (s *servers) ask(ctx context.Context, c *call) (*http.Response, error) {
	if s.cluster != nil && c.wakes() {
		return nil, nil
	}
	awake, err := s.find(ctx, c)
	if awake == nil {
		return nil, err
	}
	resp, err := s.send(ctx, c, awake)
	if err == nil {
		return resp, nil
	}
	if !s.gone(err) {
		return nil, s.lost(c, err)
	}
	s.forget(awake)
	return nil, nil
}

// wakeAndAsk makes the caller's instance run and sends it the call.
func (s *servers) wakeAndAsk(ctx context.Context, c *call, limits *limits) (*http.Response, error) {
	if s.cluster != nil {
		return s.wakeByAsking(ctx, c, limits)
	}
	for again := false; ; again = true {
		woken, err := s.wake(ctx, c, limits)
		if err != nil {
			return nil, err
		}
		resp, err := woken.send(ctx, c, c.authorization())
		if err == nil {
			return resp, nil
		}
		if nothingSent(err) {
			s.forget(woken)
		}
		if again || !nothingSent(err) { // the first may have been replaced in the moment in which it was ready
			return nil, c.brokeOff(err)
		}
	}
}

// find returns the caller's instance if it runs, nil if it sleeps.
func (s *servers) find(ctx context.Context, c *call) (*instance, error) {
	defer c.timing.measure("ensure")()
	if s.cluster != nil {
		return s.findInCluster(ctx, c), nil
	}
	return s.locate(ctx, c.key(), c.entry)
}

// locate returns an instance if it runs, nil if it sleeps.
func (s *servers) locate(ctx context.Context, key deploy.Key, entry *catalog.Server) (*instance, error) {
	if s.cluster != nil {
		return s.inCluster(ctx, key, ingress.Awake, ingress.Fresh), nil
	}
	s.mu.Lock()
	known, until := s.known[key.ID()], s.asleep[key.ID()]
	s.mu.Unlock()
	if known != nil || time.Now().Before(until) {
		return known, nil
	}
	found, ok, err := s.deployer.Find(ctx, key)
	if err != nil {
		return nil, startError(err)
	}
	if !ok {
		s.sleeps(key.ID())
		return nil, nil
	}
	return s.remember(key.ID(), entry, found)
}

func (s *servers) sleeps(key deploy.KeyID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now().Round(0)       // the next request may come after we were frozen for long
	for k, until := range s.asleep { // few: those asked for within a second
		if until.Before(now) {
			delete(s.asleep, k)
		}
	}
	s.asleep[key] = now.Add(asleepFor)
}

// wake makes the caller's instance run. Callers of one server share one flight, which none of them ends by leaving:
// the others still want it.
func (s *servers) wake(ctx context.Context, c *call, limits *limits) (*instance, error) {
	began := time.Now()
	id := c.key().ID()
	woken, first, err := s.enqueue(id)
	if woken != nil || err != nil {
		return woken, err
	}
	defer s.dequeue(id)
	if first { // who joins a flight wakes nothing
		if err := limits.wake(c); err != nil {
			return nil, err
		}
	}
	flight := s.flights.DoChan(id.Text(), func() (any, error) { return s.ensure(c) })
	select {
	case <-ctx.Done():
		return nil, c.brokeOff(notStarted(context.Cause(ctx)))
	case r := <-flight:
		c.timing.add("ensure", time.Since(began))
		c.timing.add("wake", time.Since(began))
		if r.Err != nil {
			return nil, r.Err
		}
		return r.Val.(*instance), nil
	}
}

// ensure asks the deployer, for all who wait.
func (s *servers) ensure(c *call) (*instance, error) {
	began := time.Now()
	patience := time.Duration(c.entry.Startup.Timeout) + 5*time.Second // the deployer gives up first, and says why
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	found, err := s.deployer.Ensure(ctx, c.key())
	if err != nil {
		return nil, startError(err)
	}
	if found.Cold {
		s.log.Info("woke", "server", c.server, "instance", found.ID, "took", time.Since(began))
	}
	return s.remember(c.key().ID(), c.entry, found)
}

// enqueue counts who waits for an instance, and tells whether nobody did before. An instance that somebody woke since the
// caller asked for it is returned instead: it costs the caller no wake.
func (s *servers) enqueue(key deploy.KeyID) (woken *instance, first bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if woken := s.known[key]; woken != nil {
		return woken, false, nil
	}
	if s.waiting[key] >= maxWaiting {
		return nil, false, unavailable("Too many calls wait for this server to start; try again", nil)
	}
	s.waiting[key]++
	return nil, s.waiting[key] == 1, nil
}

func (s *servers) dequeue(key deploy.KeyID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.waiting[key]--; s.waiting[key] == 0 {
		delete(s.waiting, key)
	}
}

// remember keeps where an instance is.
func (s *servers) remember(key deploy.KeyID, entry *catalog.Server, found deploy.Instance) (*instance, error) {
	if s.cluster != nil {
		return s.through(found), nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.asleep, key)
	if old := s.known[key]; old != nil {
		if old.id == found.ID && old.url == found.URL {
			return old, nil
		}
		old.transport.CloseIdleConnections()
	}
	i := &instance{key: key, id: found.ID, patience: time.Duration(entry.Scale.Idle) / 2}
	if err := i.dial(found.URL); err != nil {
		return nil, unavailable("The MCP server cannot be reached", err)
	}
	s.known[key] = i
	return i, nil
}

// forget drops an instance that no longer answers. What its calls under way hold stays theirs.
func (s *servers) forget(i *instance) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known[i.key] == i {
		delete(s.known, i.key)
	}
	i.transport.CloseIdleConnections()
}

// keep forgets the instances of servers that a new catalog does not have, or has in another shape: their shims are about
// to leave. Calls under way keep their connections.
func (s *servers) keep(old, now *catalog.Catalog) {
	before, same := map[string]*catalog.Server{}, map[string]bool{}
	for i := range old.Servers {
		before[old.Servers[i].ID] = &old.Servers[i]
	}
	for i := range now.Servers {
		same[now.Servers[i].ID] = reflect.DeepEqual(before[now.Servers[i].ID], &now.Servers[i])
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, i := range s.known {
		if !same[key.Server] {
			delete(s.known, key)
			i.transport.CloseIdleConnections()
		}
	}
}

// dial prepares the connections to an instance: "unix:///PATH" or an http URL.
func (i *instance) dial(at string) error {
	u, err := url.Parse(at)
	if err != nil {
		return fmt.Errorf("instance URL: %w", err)
	}
	dialer := &net.Dialer{Timeout: 5 * time.Second}
	var dial func(context.Context) (net.Conn, error)
	switch u.Scheme {
	case "unix":
		i.url = "http://shim"
		dial = func(ctx context.Context) (net.Conn, error) { return dialer.DialContext(ctx, "unix", u.Path) }
	case "http":
		i.url = strings.TrimSuffix(at, "/")
		dial = func(ctx context.Context) (net.Conn, error) { return dialRelayed(ctx, dialer, u.Host) }
	default:
		return fmt.Errorf("instance URL: unknown scheme %q", u.Scheme)
	}
	i.transport = &peer.Client{Dial: dial}
	return nil
}

// send sends the call to the instance. The body is bytes and not a stream: net/http closes an inbound stream when the
// answer begins, which truncates answers (golang/go#40747).
func (i *instance) send(ctx context.Context, c *call, authorization string) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, c.r.Method, i.url+"/mcp-connect/"+c.server, bytes.NewReader(c.body))
	if err != nil {
		return nil, err
	}
	mcp.ForwardRequestHeaders(r.Header, c.r.Header)
	r.Header["Authorization"] = []string{authorization}
	r.Header["X-Request-Id"] = []string{c.id}
	r.Header["User-Agent"] = nil
	if host, _, err := net.SplitHostPort(c.r.RemoteAddr); err == nil {
		r.Header[mcp.HeaderClientIP] = []string{host}
	}
	if agent := c.r.UserAgent(); agent != "" {
		r.Header[mcp.HeaderUserAgent] = []string{agent}
	}
	if c.supersedes {
		r.Header[mcp.HeaderSupersede] = []string{"1"}
	}
	if c.holds {
		r.Header[mcp.HeaderHold] = []string{"1"}
	}
	telemetry.Leave(ctx, r.Header)
	i.used()
	resp, err := i.transport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	resp.Body = &usedBody{resp.Body, i}
	return resp, nil
}
