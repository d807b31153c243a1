package deploytest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"

	"mcpgateway/internal/deploy"
)

// request and response are as much of JSON-RPC as a tools/call needs.
type request struct {
	JSONRPC string `json:"jsonrpc"`
	ID      int    `json:"id"`
	Method  string `json:"method"`
	Params  struct {
		Name      string `json:"name"`
		Arguments any    `json:"arguments"`
	} `json:"params"`
}

type response struct {
	JSONRPC string `json:"jsonrpc"`
	ID      int    `json:"id"`
	Result  struct {
		StructuredContent json.RawMessage `json:"structuredContent"`
		Content           []any           `json:"content"`
	} `json:"result"`
}

// Call calls a tool of the test server through an instance's shim. The answer's structured content goes to answer,
// where that is not nil and the status is 200.
func Call(ctx context.Context, instance deploy.Instance, server, token, tool string, args, answer any) (status int, err error) {
	q := request{JSONRPC: "2.0", ID: 1, Method: "tools/call"}
	if q.Params.Name, q.Params.Arguments = tool, args; args == nil {
		q.Params.Arguments = struct{}{}
	}
	body, err := json.Marshal(q)
	if err != nil {
		return 0, err
	}
	client, base := dial(instance)
	defer client.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, base+"/mcp-connect/"+server, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	req.Host = instance.Host // empty: that of the URL
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json, text/event-stream")
	req.Header.Set("Authorization", "Bearer "+token)
	res, err := client.Do(req)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil || res.StatusCode != http.StatusOK || answer == nil {
		return res.StatusCode, err
	}
	var r response
	if err := json.Unmarshal(text, &r); err != nil {
		return res.StatusCode, fmt.Errorf("read answer %.200q: %w", text, err)
	}
	return res.StatusCode, json.Unmarshal(r.Result.StructuredContent, answer)
}

// dial returns a client for an instance's URL, whichever kind that is.
func dial(instance deploy.Instance) (*http.Client, string) {
	path, ok := strings.CutPrefix(instance.URL, "unix://")
	if !ok {
		return &http.Client{}, instance.URL
	}
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}
	return &http.Client{Transport: &http.Transport{DialContext: dial}}, "http://shim"
}
