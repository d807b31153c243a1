package client

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// good answers with the document of documentID.
func good(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprint(w, documentOf(documentID))
}

// A document's address may resolve to anything: the guarded client reaches nothing inside, and does not say what it met.
func TestDocumentInward(t *testing.T) {
	d := NewDocuments(time.Now, nil)
	for _, id := range []string{"https://127.0.0.1/x", "https://169.254.169.254/latest", "https://10.0.0.1/x", "https://localhost/x", "https://[::1]/x"} {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		_, err := d.find(ctx, id)
		cancel()
		if errors.Is(err, ErrUnknown) { // refused as it stands
			continue
		}
		if err == nil || err.Error() != "the client's metadata document cannot be fetched" {
			t.Errorf("%s: %v", id, err)
		}
	}
}

// Somebody listens there, and hears nothing.
func TestDocumentGuard(t *testing.T) {
	d := NewDocuments(time.Now, nil)
	for _, address := range []string{"127.0.0.1:443", "127.0.0.1:0", "[::1]:0"} {
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Logf("not tried: %v", err)
			continue
		}
		defer l.Close()
		conn, err := d.client.Transport.(*http.Transport).DialContext(t.Context(), "tcp", l.Addr().String())
		if err == nil {
			conn.Close()
			t.Errorf("%s was reached", l.Addr())
		}
	}
	if wait := d.client.Timeout; wait <= 0 || wait > 5*time.Second {
		t.Errorf("waits %v", wait)
	}
}

// A redirect is no way around the guard, nor to another's document: also one that would be good.
func TestDocumentRedirects(t *testing.T) {
	d := NewDocuments(time.Now, served(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Host == "claude.ai" {
			http.Redirect(w, r, "https://elsewhere.example/document", http.StatusFound)
			return
		}
		good(w, r)
	}))
	if c, err := d.find(t.Context(), documentID); !errors.Is(err, ErrDocument) {
		t.Errorf("%+v, %v", c, err)
	}
}

// broken ends with an error after all of the document has come.
type broken struct{ io.Reader }

func (b broken) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

func TestDocumentBreaksOff(t *testing.T) {
	d := NewDocuments(time.Now, roundTrip(func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(broken{strings.NewReader(documentOf(documentID))})}, nil
	}))
	if c, err := d.find(t.Context(), documentID); !errors.Is(err, ErrDocument) {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestDocumentType(t *testing.T) {
	for kind, want := range map[string]bool{"application/json": true, "application/json; charset=utf-8": true, "application/oauth-client+json": true,
		"text/html": false, "application/javascript": false, "text/json": false, "": false} {
		d := NewDocuments(time.Now, served(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", kind)
			fmt.Fprint(w, documentOf(documentID))
		}))
		if _, err := d.find(t.Context(), documentID); (err == nil) != want {
			t.Errorf("%q: %v", kind, err)
		}
	}
}

func TestDocumentLifetime(t *testing.T) {
	for header, want := range map[string]time.Duration{
		"": time.Hour, "public": time.Hour, "max-age=600": 10 * time.Minute, "public, Max-Age=\"600\"": 10 * time.Minute, "no-store": time.Minute,
		"no-cache, max-age=600": time.Minute, "max-age=0": time.Minute, "max-age=1": time.Minute, "max-age=999999999": 24 * time.Hour,
		"max-age=-1": time.Hour, "max-age=99999999999999": time.Hour, "max-age": time.Hour,
	} {
		if got := lifetime(header); got != want {
			t.Errorf("%q: %v, want %v", header, got, want)
		}
	}
}

// A failure is remembered for half a minute, and a document that was good stands in for a day.
func TestDocumentServerDown(t *testing.T) {
	now, fetched, down := time.Now(), 0, true
	d := NewDocuments(func() time.Time { return now }, served(func(w http.ResponseWriter, r *http.Request) {
		fetched++
		if down {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		good(w, r)
	}))
	find := func() error {
		_, err := d.find(t.Context(), documentID)
		return err
	}
	for range 3 {
		if err := find(); !errors.Is(err, ErrDocument) {
			t.Error(err)
		}
	}
	if fetched != 1 {
		t.Errorf("fetched %d times", fetched)
	}
	now, down = now.Add(30*time.Second), false
	if err := find(); err != nil {
		t.Fatal(err)
	}
	down = true
	now = now.Add(23 * time.Hour)
	if err := find(); err != nil {
		t.Errorf("down for a while: %v", err)
	}
	now = now.Add(2 * time.Hour)
	if err := find(); !errors.Is(err, ErrDocument) {
		t.Errorf("down for longer than a day: %v", err)
	}
}

// Many who ask at once are one fetch, which does not end with the first of them.
func TestDocumentOneFlight(t *testing.T) {
	var fetched atomic.Int32
	asked, answer := make(chan struct{}), make(chan struct{})
	d := NewDocuments(time.Now, served(func(w http.ResponseWriter, r *http.Request) {
		if fetched.Add(1) == 1 {
			close(asked)
		}
		<-answer
		good(w, r)
	}))
	ctx, leave := context.WithCancel(t.Context())
	var all sync.WaitGroup
	results := make(chan error, 3)
	ask := func(ctx context.Context) {
		all.Go(func() {
			_, err := d.find(ctx, documentID)
			results <- err
		})
	}
	ask(ctx)
	<-asked
	ask(t.Context())
	ask(t.Context())
	leave()
	time.Sleep(50 * time.Millisecond) // the others wait by then
	close(answer)
	all.Wait()
	for range cap(results) {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	if n := fetched.Load(); n != 1 {
		t.Errorf("fetched %d times", n)
	}
}

// A flood of ids fetches a few at once; the rest are told to come again, and can.
func TestDocumentFlood(t *testing.T) {
	answer, asked := make(chan struct{}), make(chan struct{}, maxFetches+1)
	d := NewDocuments(time.Now, served(func(w http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		<-answer
		good(w, r)
	}))
	var all sync.WaitGroup
	for n := range maxFetches {
		all.Go(func() { _, _ = d.find(t.Context(), fmt.Sprintf("https://claude.ai/%d", n)) })
	}
	for range maxFetches {
		<-asked
	}
	if _, err := d.find(t.Context(), documentID); !errors.Is(err, errBusy) {
		t.Errorf("one more at once: %v", err)
	}
	close(answer)
	all.Wait()
	if _, err := d.find(t.Context(), documentID); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// overTLS fetches from a server as it is, whatever the name.
func overTLS(t *testing.T, handle http.HandlerFunc) *Documents {
	t.Helper()
	server := httptest.NewTLSServer(handle)
	t.Cleanup(server.Close)
	trusting := server.Client().Transport.(*http.Transport).Clone()
	trusting.TLSClientConfig.ServerName = "example.com" // of its certificate
	trusting.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, server.Listener.Addr().String())
	}
	return NewDocuments(time.Now, trusting)
}

// A document that comes byte by byte is given up, and one that unpacks to more than it may hold.
func TestDocumentTricklesOrSwells(t *testing.T) {
	if _, err := overTLS(t, good).find(t.Context(), documentID); err != nil {
		t.Fatalf("a good one: %v", err)
	}
	trickles := overTLS(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		for n := 0; r.Context().Err() == nil; n++ {
			_, _ = io.WriteString(w, documentOf(documentID)[n%2:n%2+1])
			_ = http.NewResponseController(w).Flush()
			time.Sleep(10 * time.Millisecond)
		}
	})
	trickles.client.Timeout = 200 * time.Millisecond
	began := time.Now()
	if c, err := trickles.find(t.Context(), documentID); !errors.Is(err, ErrDocument) || time.Since(began) > 5*time.Second {
		t.Errorf("byte by byte: %+v, %v after %v", c, err, time.Since(began))
	}
	swells := overTLS(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Encoding", "gzip")
		packed := gzip.NewWriter(w)
		_, _ = io.WriteString(packed, documentOf(documentID)+strings.Repeat(" ", maxDocument))
		_ = packed.Close()
	})
	if c, err := swells.find(t.Context(), documentID); !errors.Is(err, ErrDocument) {
		t.Errorf("unpacked: %+v, %v", c, err)
	}
}
