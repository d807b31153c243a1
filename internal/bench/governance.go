package main

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"mcpgateway/internal/measure"
	"mcpgateway/internal/proxytest"
)

// What governance may cost: many policies, some with conditions that are asked for every call, and records with bodies that
// go to a sink, against one policy and lines on standard output.
const (
	policyCount    = 50
	conditionCount = 10
	maxGoverned    = 1.2 // of p99
)

// governance compares two systems of ours: the one that is governed more, and the one that is not.
type governance struct {
	plain, governed systems
	sink            recordSink
}

func govern(ctx context.Context, p *measure.Printer, bin string, d time.Duration) (err error) {
	g := &governance{}
	sink := httptest.NewServer(&g.sink)
	defer sink.Close()
	dirs, err := os.MkdirTemp("", "mcp")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, g.plain.stop(), g.governed.stop(), os.RemoveAll(dirs)) }()
	sample := overHTTP(filepath.Join(bin, "sample-server"))
	for _, c := range []struct {
		to                *systems
		name, server      string
		platform, catalog string
	}{
		{&g.plain, "plain", steadyID, "", "apiVersion: v1\nservers:\n" + entry(steadyID, sample, time.Hour) + mayEcho(proxytest.User)},
		{&g.governed, "governed", governedID, fmt.Sprintf("audit: {url: %q}\n", sink.URL), "apiVersion: v1\nservers:\n" + entry(governedID, sample, time.Hour) +
			"    audit: {bodies: full, redact: [\"$..password\"]}\n" + manyPolicies()},
	} {
		dir := filepath.Join(dirs, c.name)
		if err := os.Mkdir(dir, 0o700); err != nil {
			return err
		}
		if err := c.to.startOne(ctx, bin, dir, c.server, c.platform, c.catalog); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
	}
	return g.measure(ctx, p, d)
}

var governedID = fmt.Sprintf("governed-%d", os.Getpid())

// startOne starts a system with one server.
func (s *systems) startOne(ctx context.Context, bin, dir, id, platform, catalog string) (err error) {
	if s.rig, err = proxytest.Start(ctx, proxytest.Config{Bin: bin, Dir: dir, Catalog: catalog, Platform: platform}); err != nil {
		return err
	}
	s.ours = &system{name: "ours"}
	if s.ours.modern, err = s.caller(id); err != nil {
		return err
	}
	if err := s.ours.modern.Call(ctx); err != nil {
		return err
	}
	if s.shim, err = findShim(id); err != nil {
		return err
	}
	s.ours.proxies = []int{s.rig.Gateway.PID(), s.shim}
	return nil
}

// manyPolicies are policyCount, of which one allows the calls and conditionCount look into each.
func manyPolicies() string {
	var b strings.Builder
	b.WriteString("policies:\n")
	for i := range conditionCount {
		fmt.Fprintf(&b, "  - {name: deny-%d, deny: {anyone: true}, servers: [\"*\"], tools: [echo], when: 'args.message == \"blocked %d\" && mcp.tool == \"echo\"'}\n", i, i)
	}
	for i := range policyCount - conditionCount - 1 {
		fmt.Fprintf(&b, "  - {name: other-%d, allow: {groups: [team-%d]}, servers: [\"*\"], tools: [\"get_%d_*\", \"list_*\"]}\n", i, i, i)
	}
	return b.String() + strings.TrimPrefix(mayEcho(proxytest.User), "policies:\n")
}

// measure has both be called in turn, and counts what arrived at the sink.
func (g *governance) measure(ctx context.Context, p *measure.Printer, d time.Duration) error {
	pace := loadTest{"governed, 200 calls/s", func(ctx context.Context, s *system) (measure.Slice, error) {
		return measure.OpenLoop(ctx, s.modern.Call, callsASecond, sliceLength)
	}}
	parts, err := pace.rounds(ctx, []*system{g.plain.ours, g.governed.ours}, d)
	if err != nil {
		return err
	}
	plain, governed := parts[g.plain.ours], parts[g.governed.ours]
	p.Pair("1 policy", "governed", "ratio")
	p.Ratio(measure.Figure{Name: "p50, ms", Of: measure.Percentile(0.50)}, plain, governed)
	p.Ratio(measure.Figure{Name: "p99, ms", Of: measure.Percentile(0.99), Limit: maxGoverned}, plain, governed)
	p.Ratio(measure.Figure{Name: "p99 of a second, its median, ms", Of: measure.MedianP99}, plain, governed)
	p.Ratio(measure.Figure{Name: "CPU of the proxies per call, µs", Of: measure.CPUPerCall}, plain, governed)
	p.Note("governed: %d policies, %d of them with conditions that are asked for each call; records with bodies to a sink over HTTP", policyCount, conditionCount)
	if err := g.governed.memory(p, "governed shim, memory, MB"); err != nil {
		return err
	}
	return g.sink.await(ctx, p)
}

// recordSink takes records and counts them.
type recordSink struct{ records atomic.Int64 }

// ServeHTTP takes a batch.
func (s *recordSink) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	plain, err := gzip.NewReader(r.Body)
	if err != nil {
		http.Error(w, "not gzip", http.StatusBadRequest)
		return
	}
	var batch []json.RawMessage
	if err := json.NewDecoder(plain).Decode(&batch); err != nil {
		http.Error(w, "not records", http.StatusBadRequest)
		return
	}
	s.records.Add(int64(len(batch)))
	w.WriteHeader(http.StatusNoContent)
}

// await says how many records came, once no more come.
func (s *recordSink) await(ctx context.Context, p *measure.Printer) error {
	const batchEvery = 5 * time.Second
	for last := int64(-1); s.records.Load() != last; {
		last = s.records.Load()
		select {
		case <-time.After(batchEvery + time.Second):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	p.Note("%d records arrived", s.records.Load())
	if s.records.Load() == 0 {
		return errors.New("no record arrived at the sink")
	}
	return nil
}
