package audit

import "net/http"

// open are the headers whose values are kept. All others may be, or hold, a credential, an argument of a call or a
// session id: of them the name is enough.
var open = map[string]bool{
	"Accept": true, "Cache-Control": true, "Content-Length": true, "Content-Type": true, "Allow": true, "Last-Event-Id": true,
	"Mcp-Method": true, "Mcp-Name": true, "Mcp-Protocol-Version": true, "Retry-After": true, "Traceparent": true, "X-Request-Id": true,
}

// Bounds of what headers may make of a record.
const (
	maxHeaders     = 64
	maxHeaderValue = 256
)

var redacted = []string{"[redacted]"}

// Headers returns headers as a record may hold them.
func Headers(h http.Header) map[string][]string {
	out := make(map[string][]string, min(len(h), maxHeaders))
	for name, values := range h {
		if len(out) == maxHeaders {
			break
		}
		switch {
		case !open[name]:
			out[name] = redacted
		case len(values) == 1 && len(values[0]) <= maxHeaderValue:
			out[name] = values
		case len(values) > 0:
			out[name] = []string{values[0][:min(len(values[0]), maxHeaderValue)]}
		}
	}
	return out
}
