package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"mcpgateway/internal/identity"
	"mcpgateway/internal/mcp"
	"mcpgateway/internal/measure"
	"mcpgateway/internal/proxytest"
	"mcpgateway/shim/call"
	"mcpgateway/shim/era"
)

// maxEra is what standing between may cost a call whose server speaks its client's era.
const maxEra = 1.05

// sameEra sends calls to a server that speaks their era, in this process: nothing but the translator is between or not.
type sameEra struct {
	url        string
	client     *http.Client
	translator *era.Translator
	exchange   call.Exchange
}

// eras measures what the translator between the protocol's eras costs those who need none.
func eras(ctx context.Context, p *measure.Printer, bin string, d time.Duration) (err error) {
	address, err := proxytest.FreeAddress()
	if err != nil {
		return err
	}
	server, err := proxytest.StartProcess(proxytest.Command{Path: filepath.Join(bin, "sample-server"), Args: []string{"-addr", address}, Log: os.DevNull})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Stop()) }()
	if err := server.Await(ctx, "tcp", address); err != nil {
		return err
	}
	s, err := newSameEra("http://" + address + "/mcp")
	if err != nil {
		return err
	}
	ways := map[*system]func(context.Context) error{}
	without, with := &system{name: "without", proxies: []int{os.Getpid()}}, &system{name: "with", proxies: []int{os.Getpid()}}
	ways[without], ways[with] = s.direct, s.translated
	pace := loadTest{"same era, 200 calls/s", func(ctx context.Context, of *system) (measure.Slice, error) {
		return measure.OpenLoop(ctx, ways[of], callsASecond, sliceLength)
	}}
	parts, err := pace.rounds(ctx, []*system{without, with}, d)
	if err != nil {
		return err
	}
	p.Pair("no eras", "eras", "ratio")
	p.Ratio(measure.Figure{Name: "same era, p50, ms", Of: measure.Percentile(0.50), Limit: maxEra}, parts[without], parts[with])
	p.Ratio(measure.Figure{Name: "same era, CPU per call, µs", Of: measure.CPUPerCall}, parts[without], parts[with])
	p.Note("same era: the shim's translator alone, before a server that speaks the client's revision; its client counts as CPU, too")
	return nil
}

func newSameEra(url string) (*sameEra, error) {
	translator, err := era.New(era.Config{Server: "sample", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, err
	}
	body := fmt.Appendf(nil, `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":{"message":%q},"_meta":{`+
		`"io.modelcontextprotocol/protocolVersion":%q,"io.modelcontextprotocol/clientInfo":{"name":"bench","version":"1"},"io.modelcontextprotocol/clientCapabilities":{}}}}`,
		strings.Repeat("x", 1000), mcp.ModernVersion)
	said, err := mcp.Parse(body)
	if err != nil {
		return nil, err
	}
	h := http.Header{"Content-Type": {"application/json"}, "Accept": {"application/json, text/event-stream"},
		mcp.HeaderVersion: {mcp.ModernVersion}, mcp.HeaderMethod: {"tools/call"}, mcp.HeaderName: {"echo"}}
	return &sameEra{url: url, client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: callsASecond}}, translator: translator,
		exchange: call.Exchange{Request: &http.Request{Method: http.MethodPost, Header: h}, Era: mcp.Modern,
			Who: identity.Identity{Issuer: "bench", Subject: "bench"}, Body: body, MCP: said}}, nil
}

// send is what the shim's last stage does: the exchange, as it is.
func (s *sameEra) send(ctx context.Context, x *call.Exchange) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, x.Request.Method, s.url, bytes.NewReader(x.Body))
	if err != nil {
		return nil, err
	}
	r.Header = x.Request.Header
	return s.client.Do(r)
}

func (s *sameEra) direct(ctx context.Context) error {
	x := s.exchange
	return echoed(s.send(ctx, &x))
}

func (s *sameEra) translated(ctx context.Context) error {
	x := s.exchange
	return echoed(s.translator.Exchange(ctx, &x, s.send))
}

// echoed reads an answer.
func echoed(resp *http.Response, err error) error {
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && (resp.StatusCode != http.StatusOK || !bytes.Contains(body, []byte("xxxx"))) {
		err = fmt.Errorf("the server answered %s: %.200s", resp.Status, body)
	}
	return err
}
