package main

import (
	"archive/zip"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mcpgateway/internal/measure"
)

// A ratio of few pairs is none.
func TestTooFewPairs(t *testing.T) {
	if err := run(t.Context(), &measure.Printer{Out: io.Discard}, settings{pairs: leastPairs - 1, warm: time.Second}); err == nil || !strings.Contains(err.Error(), "-pairs") {
		t.Errorf("measured: %v", err)
	}
}

// An event that a door keeps back is late by as long as it is kept back, and a stream that ends too early is no measurement.
func TestListen(t *testing.T) {
	e, err := startEmitter()
	if err != nil {
		t.Fatal(err)
	}
	defer e.server.Close()
	late, err := listen(t.Context(), measure.NewCaller(e.url, ""))
	if err != nil || len(late) != eventsOfStream {
		t.Fatalf("%d events, %v", len(late), err)
	}
	for _, l := range late {
		if l <= 0 || l > time.Second {
			t.Errorf("an event took %v", l)
		}
	}
	const kept = 50 * time.Millisecond
	keeping := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := httptest.NewRecorder()
		emit(answer, r)
		time.Sleep(kept)
		_, _ = w.Write(answer.Body.Bytes())
	}))
	defer keeping.Close()
	late, err = listen(t.Context(), measure.NewCaller(keeping.URL, ""))
	if err != nil || len(late) != eventsOfStream || late[len(late)-1] < kept || late[0] < kept+(eventsOfStream-1)*eventPause {
		t.Errorf("kept back: %v, %v", late, err)
	}
	short := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "data: {\"params\":{\"progress\":%d}}\n\n", time.Since(started))
	}))
	defer short.Close()
	if _, err := listen(t.Context(), measure.NewCaller(short.URL, "")); err == nil {
		t.Error("a short stream is measured")
	}
}

// What is measured is what is in the zip, and a zip that is too heavy is told.
func TestZips(t *testing.T) {
	dir := t.TempDir()
	var text bytes.Buffer
	z := zip.NewWriter(&text)
	f, _ := z.Create("bootstrap")
	_, _ = io.WriteString(f, "program")
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	write := func(processor string, text []byte) {
		if err := os.WriteFile(zipOf(dir, processor), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("arm64", text.Bytes())
	to := filepath.Join(dir, "bootstrap")
	if err := unpack(zipOf(dir, "arm64"), to); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(to); err != nil || string(got) != "program" {
		t.Errorf("unpacked %q, %v", got, err)
	}
	if err := weigh(&measure.Printer{Out: io.Discard}, dir); err == nil || !strings.Contains(err.Error(), "make package") {
		t.Errorf("a zip is missing: %v", err)
	}
	write("amd64", make([]byte, maxZipMB*1_000_000+1))
	p := measure.Printer{Out: io.Discard}
	if err := weigh(&p, dir); err != nil || p.Missed != 1 {
		t.Errorf("missed %d, %v", p.Missed, err)
	}
}
