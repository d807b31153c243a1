package forward

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"mcpgateway/internal/mcp"
)

// whole sends an answer that is read whole first: its messages are looked at, or it may have to be withheld.
func (a *answer) whole() error {
	in, err := io.ReadAll(io.LimitReader(a.response.Body, maxList+1))
	if err != nil {
		return a.broke(err)
	}
	if len(in) > maxList {
		return a.broke(fmt.Errorf("an answer of more than %d bytes cannot be held", maxList))
	}
	status := a.response.StatusCode
	if status >= 300 {
		a.lists = false // clients read lists in the body of any success, and of nothing else
	}
	if len(in) > 0 {
		out, refused, err := a.settle(in)
		switch {
		case err != nil && status >= http.StatusBadRequest: // the status says enough
			a.exchange.Writer.Header().Del("Content-Type")
			out = nil
		case err != nil:
			return a.broke(err)
		case refused:
			a.response.StatusCode = http.StatusOK
		case len(out) == 0: // a notification in a body, or some such, that was refused
			a.exchange.Writer.Header().Del("Content-Type")
			a.response.StatusCode = http.StatusAccepted
		}
		in = out
	}
	if status < 300 {
		a.wishes.granted(in)
	}
	a.exchange.Answers(in)
	if held := a.record(nil); held != nil {
		return held
	}
	if len(in) > 0 { // a status that allows no body allows no length either
		a.exchange.Writer.Header().Set("Content-Length", strconv.Itoa(len(in)))
	}
	a.write(in)
	return nil
}

// settled has an event be what may leave, and tells whether anything of it may.
func (a *answer) settled(e *mcp.Event) bool {
	data, _, err := a.settle(e.Data)
	switch {
	case err != nil:
		// It cannot be decided on, so it does not go on; the caller's request ends by the stream's end.
		_ = a.record(err) // nothing of a failed one is withheld
		return false
	case len(data) == 0:
		if e.ID == nil {
			return false
		}
		// Where the stream is taken up again is for its client to know all the same.
		e.Raw, e.Data = append(append([]byte("id: "), e.ID...), "\n\n"...), nil
	case !bytes.Equal(data, e.Data):
		e.Raw, e.Data = e.WithData(data), data
	}
	return true
}

// settle leaves out news of other people's tasks, takes out of lists what the caller may not see, and has the filters look
// at what is left. What they make of it may hold lists again.
func (a *answer) settle(data []byte) (next []byte, refused bool, err error) {
	pass, err := a.authorize.Pass(a.exchange, data)
	if err != nil {
		return nil, false, fmt.Errorf("look for tasks: %w", err)
	}
	if !pass {
		return nil, false, nil
	}
	if data, err = a.listed(data); err != nil || a.review == nil {
		return data, false, err
	}
	next, refused, err = a.review(data)
	switch {
	case err != nil:
		return nil, false, fmt.Errorf("filters: %w", err)
	case len(next) == 0 || bytes.Equal(next, data):
		return next, refused, nil
	}
	next, err = a.listed(next)
	return next, refused, err
}

// listed filters lists.
func (a *answer) listed(data []byte) ([]byte, error) {
	if !a.lists {
		return data, nil
	}
	kept, err := a.authorize.Filter(a.exchange, data)
	if err != nil {
		return nil, fmt.Errorf("filter lists: %w", err)
	}
	return kept, nil
}
