package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"

	"mcpgateway/internal/mcp"
	"mcpgateway/internal/proxytest"
)

// oneEra is the fixture as a server that speaks one era only. The fixture speaks both; what is of the other is refused here, as
// such servers do.
type oneEra struct {
	era     mcp.Era
	fixture string
	args    []string
	asker   *asker
}

// eraFlags begin the arguments by which this program is such a server: see eraArgs.
const eraFlag = "-one-era"

// eraArgs are the arguments of this program for being the fixture of one era. With -http=ADDRESS it serves there, and else
// on stdio.
func eraArgs(e mcp.Era, fixture string, args ...string) []string {
	return append([]string{eraFlag + "=" + e.String(), fixture}, args...)
}

// readEra reads what eraArgs made; false where the program is asked for something else.
func readEra(args []string) (o oneEra, ok bool) {
	if len(args) < 2 || !strings.HasPrefix(args[0], eraFlag+"=") {
		return o, false
	}
	if args[0] == eraFlag+"="+mcp.Modern.String() {
		o.era = mcp.Modern
	}
	o.fixture, o.args, o.asker = args[1], args[2:], &asker{}
	return o, true
}

// run serves until ctx ends or the fixture does.
func (o oneEra) run(ctx context.Context) error {
	i := slices.IndexFunc(o.args, func(a string) bool { return strings.HasPrefix(a, "-http=") })
	if i < 0 {
		return o.stdio(ctx)
	}
	return o.http(ctx, i)
}

func (o oneEra) http(ctx context.Context, i int) error {
	address, err := proxytest.FreeAddress()
	if err != nil {
		return err
	}
	listen := strings.TrimPrefix(o.args[i], "-http=")
	args := slices.Clone(o.args)
	args[i] = "-http=" + address
	fixture := o.command(ctx, args)
	fixture.Stdout, fixture.Stderr = os.Stdout, os.Stderr
	if err := fixture.Start(); err != nil {
		return err
	}
	proxy := &httputil.ReverseProxy{FlushInterval: -1, Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(&url.URL{Scheme: "http", Host: address})
	}}
	server := &http.Server{Addr: listen, Handler: o.handler(proxy)} //nolint:gosec // a fixture on loopback
	context.AfterFunc(ctx, func() { _ = server.Close() })
	go func() {
		_ = fixture.Wait()
		_ = server.Close()
	}()
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// command is the fixture, which ends with this process.
func (o oneEra) command(ctx context.Context, args []string) *exec.Cmd {
	c := exec.CommandContext(ctx, o.fixture, args...)
	c.Cancel = func() error { return c.Process.Signal(syscall.SIGTERM) }
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return c
}

// handler refuses what is of the other era (MCP 2026-07-28, versioning, compatibility matrix).
func (o oneEra) handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, mcp.MaxBody))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		if mcp.EraOf(r.Header) != o.era {
			o.refuse(w, r, body)
			return
		}
		if m, err := mcp.ParseLabelled(body); err == nil && o.serve(w, r, &m) {
			return
		}
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		next.ServeHTTP(w, r)
	})
}

func (o oneEra) refuse(w http.ResponseWriter, r *http.Request, body []byte) {
	e := mcp.Error{Status: http.StatusBadRequest, Code: -32000, Message: "Bad Request: Unsupported protocol version"}
	if o.era == mcp.Modern {
		e.Code, e.Message = mcp.CodeHeaderMismatch, "MCP-Protocol-Version: "+mcp.ModernVersion+" is missing"
		if r.Method != http.MethodPost {
			e.Status, e.Header = http.StatusMethodNotAllowed, http.Header{"Allow": {"POST"}}
		}
	}
	if m, err := mcp.ParseLabelled(body); err == nil {
		e.ID = m.ID.Token
	}
	e.Write(w, "")
}

// stdio passes lines on, and answers those of the other era itself.
func (o oneEra) stdio(ctx context.Context) error {
	fixture := o.command(ctx, o.args)
	fixture.Stderr = os.Stderr
	in, err := fixture.StdinPipe()
	if err != nil {
		return err
	}
	out, err := fixture.StdoutPipe()
	if err != nil {
		return err
	}
	if err := fixture.Start(); err != nil {
		return err
	}
	var mu sync.Mutex // of our output
	say := func(line []byte) {
		mu.Lock()
		defer mu.Unlock()
		_, _ = os.Stdout.Write(append(bytes.TrimSpace(line), '\n'))
	}
	go func() {
		defer in.Close()
		o.lines(os.Stdin, func(line []byte, m *mcp.Labelled) {
			steps := o.steps(m)
			switch e := o.foreign(m); {
			case e != nil:
				say(e.Body(""))
			case o.asker.take(m):
			case steps != nil && o.era == mcp.Modern:
				say(round(m, steps))
			case steps != nil:
				go o.asker.talk(m, steps, say, ctx.Done())
			default:
				_, _ = in.Write(line)
			}
		})
	}()
	o.lines(out, func(line []byte, _ *mcp.Labelled) { say(line) })
	return fixture.Wait()
}

func (o oneEra) lines(from io.Reader, take func(line []byte, m *mcp.Labelled)) {
	in := bufio.NewReader(from)
	for {
		line, err := in.ReadBytes('\n')
		if err != nil {
			return
		}
		m, _ := mcp.ParseLabelled(bytes.TrimSpace(line)) // what is no message is of no era
		take(line, &m)
	}
}

// foreign is the answer to a request of the other era, on stdio.
func (o oneEra) foreign(m *mcp.Labelled) *mcp.Error {
	version, _ := m.Version.Text()
	switch isModern := version >= mcp.ModernVersion; {
	case m.Kind != mcp.Request || m.ID.Token == nil || isModern == (o.era == mcp.Modern):
		return nil
	case o.era == mcp.Modern && m.Method != "initialize":
		return &mcp.Error{Code: mcp.CodeInvalidParams, Message: "_meta lacks the protocol version", ID: m.ID.Token}
	}
	return &mcp.Error{Code: mcp.CodeMethodNotFound, Message: "Method not found", ID: m.ID.Token}
}

// oneEraWays are both ways to the fixture as a server of one era, for clients of the other.
func oneEraWays(e mcp.Era, excused map[string]string, args ...string) []way {
	entry := func(t tools, args []string) string {
		return fmt.Sprintf("runtime: {command: {exec: %q, args: %s", t.self, yamlList(eraArgs(e, t.fixture, args...)))
	}
	stdio := maps.Clone(excused)
	stdio["server-sse-multiple-streams"] = excusedStdio["server-sse-multiple-streams"]
	return []way{
		{name: e.String() + "-only-http", excused: excused, entry: func(t tools) string {
			return entry(t, append([]string{"-http=127.0.0.1:{port}"}, args...)) + ", http: {path: /}}}"
		}},
		{name: e.String() + "-only-stdio", excused: stdio, warned: warnedStdio, entry: func(t tools) string { return entry(t, nil) + "}}" }},
	}
}

// excusedLegacy test what a legacy server has no counterpart of, each with the sentence of the specification that says so.
var excusedLegacy = map[string]string{
	"input-required-result-basic-elicitation":   noKeys,
	"input-required-result-ignore-extra-params": noKeys,
}

const noKeys = `"Keys are server-assigned identifiers" (MCP 2026-07-28, patterns, multi round-trip requests, InputRequests), and the ` +
	`scenario wants the key user_name, or sends an answer under it before anything was asked; a legacy server's questions have JSON-RPC ids only`

// excusedModern are the same of a modern server.
var excusedModern = map[string]string{
	"server-sse-polling": `"Resumable SSE streams via Last-Event-ID are not supported" (MCP 2026-07-28, transports, streamable HTTP, ` +
		`receiving messages): there is nothing to come back for, and no time to say for that`,
}
