package forward

import (
	"context"
	"errors"
	"net/http"

	"mcpgateway/internal/mcp"
	"mcpgateway/shim/call"
	"mcpgateway/shim/ear"
)

// hears tells whether the exchange listens in a session to a server that does not name its events itself: its client can
// take up what it hears.
func (f *Forwarder) hears(x *call.Exchange) bool {
	return f.Sealer != nil && x.Sealed != nil && x.Request.Method == http.MethodGet && !f.named.Load()
}

// answered is the answer to the exchange.
func (f *Forwarder) answered(ctx context.Context, x *call.Exchange) (*http.Response, error) {
	if f.hears(x) {
		return f.listen(ctx, x)
	}
	resp, err := f.inSession(ctx, x)
	if err == nil && x.Request.Method == http.MethodDelete && x.Sealed != nil && resp.StatusCode < http.StatusMultipleChoices {
		f.ears.End(x.Sealed.Name)
		f.replay.Forget(string(x.Sealed.Name[:])) // its calls, too, have nobody to answer
	}
	return resp, err
}

// listen is what a session's client hears, from where it was. Where this shim does not know where that is, the stream is a
// fresh one: nobody can tell what there was (unlike of a call, whose answer would be waited for).
func (f *Forwarder) listen(ctx context.Context, x *call.Exchange) (*http.Response, error) {
	y := *x // what is asked in its name may outlive it
	y.Request = x.Request.Clone(context.WithoutCancel(ctx))
	resp, err := f.ears.Listen(ctx, ear.Listener{
		Session: x.Sealed.Name,
		Last:    x.Request.Header.Get("Last-Event-Id"),
		Primed:  x.Request.Header.Get(mcp.HeaderVersion) >= primed,
		Ask:     func(ctx context.Context) (*http.Response, error) { return f.inSession(ctx, &y) },
		News: func() (events [][]byte) {
			if f.Living == nil {
				return nil
			}
			for _, method := range f.Living.TakeNews(x.Sealed) {
				events = append(events, mcp.MessageEvent(newsOf(method)))
			}
			return events
		},
	})
	if _, ours := errors.AsType[*mcp.Error](err); err != nil && !ours {
		err = unreachable(x, err)
	}
	return resp, err
}
