package e2eaws

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"

	"mcpgateway/internal/terraformtest"
)

// distribution is aws_cloudfront_distribution, as much of it as the stand-in does.
type distribution struct {
	Default []behavior `json:"default_cache_behavior"`
	Ordered []behavior `json:"ordered_cache_behavior"`
	Origin  []struct {
		ID     string                         `json:"origin_id"`
		Header []struct{ Name, Value string } `json:"custom_header"`
	}
}

type behavior struct {
	Path    string   `json:"path_pattern"`
	Target  string   `json:"target_origin_id"`
	Methods []string `json:"allowed_methods"`
}

// edge runs the scripts.
type edge struct {
	mu  sync.Mutex
	in  io.Writer
	out *bufio.Reader
}

func (w *world) startEdge() *edge {
	w.t.Helper()
	scripts, err := filepath.Abs("../../terraform/edge")
	if err != nil {
		w.t.Fatal(err)
	}
	c := exec.CommandContext(w.t.Context(), "node", "testdata/edge.mjs", scripts)
	in, err := c.StdinPipe()
	if err != nil {
		w.t.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		w.t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _, _ = in.Close(), c.Wait() })
	return &edge{in: in, out: bufio.NewReader(out)}
}

// header is one as the scripts have them.
type header struct {
	Key   string `json:"key,omitempty"`
	Value string `json:"value"`
}

func (e *edge) run(kind string, event, answer any) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	text, err := json.Marshal(map[string]any{"kind": kind, "event": event})
	if err != nil {
		return err
	}
	if _, err := e.in.Write(append(text, '\n')); err != nil {
		return err
	}
	line, err := e.out.ReadBytes('\n')
	if err != nil {
		return err
	}
	return json.Unmarshal(line, answer)
}

// viewed runs the function at viewer-request, and returns the headers that it sets.
func (e *edge) viewed(r *http.Request) (map[string]header, error) {
	ip, _, _ := net.SplitHostPort(r.RemoteAddr)
	headers := map[string]header{"host": {Value: r.Host}}
	for name := range r.Header {
		headers[strings.ToLower(name)] = header{Value: r.Header.Get(name)}
	}
	var out struct{ Headers map[string]header }
	return out.Headers, e.run("viewer", map[string]any{"viewer": map[string]string{"ip": ip}, "request": map[string]any{"headers": headers}}, &out)
}

// answered runs the function at origin-response over an answer's headers.
func (e *edge) answered(h http.Header) (http.Header, error) {
	headers := map[string][]header{}
	for name, values := range h {
		for _, v := range values {
			headers[strings.ToLower(name)] = append(headers[strings.ToLower(name)], header{name, v})
		}
	}
	var out struct{ Headers map[string][]header }
	event := map[string]any{"Records": []any{map[string]any{"cf": map[string]any{"response": map[string]any{"headers": headers}}}}}
	if err := e.run("answer", event, &out); err != nil {
		return nil, err
	}
	all := http.Header{}
	for name, values := range out.Headers {
		for _, v := range values {
			all.Add(name, v.Value)
		}
	}
	return all, nil
}

// startCloudFront serves the distribution that Terraform made, with origins at fronts of functions.
func (w *world) startCloudFront(made []terraformtest.Resource, fronts map[string]string) {
	w.t.Helper()
	var d distribution
	for _, r := range made {
		if r.Type == "aws_cloudfront_distribution" {
			d = as[distribution](w.t, r)
		}
	}
	e := w.startEdge()
	w.public = httptest.NewTLSServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if err := d.forward(e, fronts, rw, r); err != nil {
			w.t.Error(err)
			rw.WriteHeader(http.StatusBadGateway)
		}
	}))
	w.t.Cleanup(w.public.Close)
}

func (d *distribution) forward(e *edge, fronts map[string]string, rw http.ResponseWriter, r *http.Request) error {
	to := d.Default[0]
	for _, b := range d.Ordered {
		if regexp.MustCompile("^" + strings.ReplaceAll(regexp.QuoteMeta(b.Path), `\*`, ".*") + "$").MatchString(r.URL.Path) {
			to = b
			break
		}
	}
	at, err := url.Parse(fronts[to.Target])
	if err != nil {
		return err
	}
	out := r.Clone(r.Context())
	out.URL.Scheme, out.URL.Host, out.Host, out.RequestURI = at.Scheme, at.Host, at.Host, "" // all headers but Host
	seen, err := e.viewed(r)
	if err != nil {
		return fmt.Errorf("viewer-request: %w", err)
	}
	for name, h := range seen {
		if strings.HasPrefix(name, "x-viewer-") {
			out.Header.Set(name, h.Value)
		}
	}
	for _, o := range d.Origin {
		for _, h := range o.Header {
			if o.ID == to.Target {
				out.Header.Set(h.Name, h.Value)
			}
		}
	}
	resp, err := http.DefaultTransport.RoundTrip(out)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	headers, err := e.answered(resp.Header)
	if err != nil {
		return fmt.Errorf("origin-response: %w", err)
	}
	for name, values := range headers {
		rw.Header()[http.CanonicalHeaderKey(name)] = values
	}
	rw.WriteHeader(resp.StatusCode)
	for buffer := make([]byte, 32<<10); ; {
		n, err := resp.Body.Read(buffer)
		_, wrong := rw.Write(buffer[:n])
		if err = errors.Join(err, wrong); err == io.EOF || errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("a stream of %s: %w", to.Target, err)
		}
		rw.(http.Flusher).Flush()
	}
}

// client is one for which the public names lead to the stand-in.
func (w *world) client() *http.Client {
	transport := w.public.Client().Transport.(*http.Transport).Clone()
	transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", w.public.Listener.Addr().String())
	}
	transport.TLSClientConfig.MinVersion = tls.VersionTLS12
	return &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// startProxy is how functions find the public name: it connects to the stand-in, whatever is asked for.
func (w *world) startProxy() string {
	s := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		up, err := net.Dial("tcp", w.public.Listener.Addr().String())
		if err != nil || r.Method != http.MethodConnect {
			rw.WriteHeader(http.StatusBadGateway)
			return
		}
		defer up.Close()
		rw.WriteHeader(http.StatusOK)
		down, buffered, err := rw.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		defer down.Close()
		go func() { _, _ = io.Copy(up, buffered) }()
		_, _ = io.Copy(down, up)
	}))
	w.t.Cleanup(s.Close)
	return s.URL
}
