package trail

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"sync"
	"testing"
	"time"

	"mcpgateway/internal/audit"
	"mcpgateway/internal/audit/audittest"
	"mcpgateway/internal/audit/sink"
	"mcpgateway/internal/audit/spool"
)

// typical is a record as a call makes one.
func typical() audit.Record {
	return audit.Record{ID: audit.NewID(), CreatedAt: time.Now(), Server: "github", Issuer: "https://login.example.com", Subject: "alice",
		Client: "claude", ClientIP: "192.0.2.1", ClientName: "claude-code", ClientVersion: "2.0", UserAgent: "claude/2", Era: "modern",
		CallType: "tools/call", CallIdentifier: "create_issue", Outcome: audit.Forwarded, Decision: audit.Allowed, Policy: "engineers",
		Start: audit.Warm, ResponseStatus: 200, ProcessingTimeMs: 1.25, RequestBytes: 1100, ResponseBytes: 1200, RequestID: "0123456789abcdef",
		RequestHeaders: audit.Headers(http.Header{"Accept": {"application/json, text/event-stream"}, "Authorization": {"Bearer x"},
			"Content-Type": {"application/json"}, "Mcp-Method": {"tools/call"}, "Mcp-Name": {"create_issue"}, "Mcp-Protocol-Version": {"2026-07-28"}}),
		ResponseHeaders: audit.Headers(http.Header{"Content-Type": {"application/json"}})}
}

// toSink is a Trail as the shim has it, in front of a real sink on this machine.
func toSink(t testing.TB, url string, interval time.Duration) *Trail {
	t.Helper()
	to, err := sink.New(sink.Config{URL: url, Timeout: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	own, err := spool.Open(spool.Config{Folder: t.TempDir(), MaxBytes: 64 << 20})
	if err != nil {
		t.Fatal(err)
	}
	trail, err := New(Config{Sink: to, Spool: own, Logger: slog.New(slog.NewTextHandler(os.Stderr, nil)), Interval: interval,
		Records: 1000, Patience: 10 * time.Second, Backoff: 250 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	return trail
}

// Of as many records as ten seconds have at 2,000 a second, from several callers at once, none is lost and none is there
// twice. How fast they go is for the benchmark.
func TestNoneIsLost(t *testing.T) {
	receiver := audittest.New(t)
	trail := toSink(t, receiver.URL, 5*time.Second)
	const callers, each = 8, 2500
	var all sync.WaitGroup
	began := time.Now()
	for range callers {
		all.Go(func() {
			for range each {
				if err := trail.Write([]audit.Record{typical()}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	written := time.Since(began)
	trail.Close(t.Context())
	took := time.Since(began)
	times := receiver.Times()
	for id, n := range times {
		if n != 1 {
			t.Errorf("%s arrived %d times", id, n)
		}
	}
	if len(times) != callers*each {
		t.Errorf("%d records arrived, want %d", len(times), callers*each)
	}
	t.Logf("%.0f records/s written, %.0f/s delivered", callers*each/written.Seconds(), callers*each/took.Seconds())
}

// What a call pays for its record: the spool with a real sink behind it, and a line on a pipe that somebody reads.
func BenchmarkRecord(b *testing.B) {
	for name, make := range map[string]func(*testing.B) *Trail{
		"spool": func(b *testing.B) *Trail { return toSink(b, audittest.New(b).URL, 5*time.Second) },
		"line": func(b *testing.B) *Trail {
			r, w, err := os.Pipe()
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { _ = w.Close() })
			go func() { _, _ = io.Copy(io.Discard, r) }()
			return Lines(w)
		},
	} {
		b.Run(name, func(b *testing.B) {
			trail := make(b)
			b.ReportAllocs()
			for b.Loop() {
				if err := trail.Write([]audit.Record{typical()}); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
			b.StopTimer()
			trail.Close(b.Context())
		})
	}
}

// What a call pays whose answer waits for the sink, with as many others as Go sees fit.
func BenchmarkConfirm(b *testing.B) {
	trail := toSink(b, audittest.New(b).URL, time.Hour)
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			if err := trail.Confirm([]audit.Record{typical()}); err != nil {
				b.Error(fmt.Errorf("confirm: %w", err))
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
	b.StopTimer()
	trail.Close(b.Context())
}
