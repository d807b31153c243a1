package era

import (
	"context"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"mcpgateway/internal/mcp"
	"mcpgateway/shim/call"
)

// modern is an exchange of our own in the name of x's caller, in revision 2026-07-28 or later.
func modern(x *call.Exchange, version, method, name string, body []byte) *call.Exchange {
	y := errand(x, body, mcp.HeaderVersion, version, mcp.HeaderMethod, method)
	if name != "" {
		y.Request.Header[mcp.HeaderName] = []string{name}
	}
	y.Era = mcp.Modern
	return y
}

// errand is an exchange of our own in the name of x's caller. It has the headers of x that say nothing of an era.
func errand(x *call.Exchange, body []byte, header ...string) *call.Exchange {
	h := http.Header{"Content-Type": {"application/json"}, "Accept": {"application/json, text/event-stream"}}
	for name, values := range x.Request.Header {
		if name == "Traceparent" || name == "Tracestate" || strings.HasPrefix(name, mcp.ParamHeaders) {
			h[name] = slices.Clone(values)
		}
	}
	for i := 0; i+1 < len(header); i += 2 {
		h[header[i]] = []string{header[i+1]}
	}
	return &call.Exchange{Request: &http.Request{Method: http.MethodPost, Header: h}, Who: x.Who, Rules: x.Rules, Credential: x.Credential, Body: body}
}

// maxDiscard is how much is read of an answer that nobody gets, to use its connection again.
const maxDiscard = 64 << 10

func discard(resp *http.Response) {
	_, _ = io.CopyN(io.Discard, resp.Body, maxDiscard)
	_ = resp.Body.Close()
}

// tell sends what needs no answer.
func tell(ctx context.Context, y *call.Exchange, send Send) error {
	resp, err := send(ctx, y)
	if err == nil {
		discard(resp)
	}
	return err
}

func number(n int64) mcp.Token { return strconv.AppendInt(nil, n, 10) }

// notification and response are messages of our own.
func notification(method string, params mcp.Token) []byte {
	o := object{{"jsonrpc", mcp.Token(`"2.0"`)}, {"method", text(method)}}
	if params != nil {
		o = append(o, member{"params", params})
	}
	return o.token()
}

func request(id mcp.Token, method string, params mcp.Token) []byte {
	o := object{{"jsonrpc", mcp.Token(`"2.0"`)}, {"id", id}, {"method", text(method)}}
	if params != nil {
		o = append(o, member{"params", params})
	}
	return o.token()
}

func response(id mcp.Token, kind string, value mcp.Token) []byte {
	return object{{"jsonrpc", mcp.Token(`"2.0"`)}, {"id", id}, {kind, value}}.token()
}

func failure(id mcp.Token, code int, message string) []byte {
	return response(id, "error", object{{"code", number(int64(code))}, {"message", text(message)}}.token())
}
