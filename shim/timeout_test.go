package main

import (
	"context"
	"io"
	"net/http"
	"testing"
	"time"
)

// How long a call may take is for the rules to say, as the operator did: no longer, for the server would work on for
// nobody, and no shorter.
func TestRulesSayHowLongACallMayTake(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	told := make(chan struct{})
	r := newRig(t, func(_ http.ResponseWriter, req *http.Request) {
		_, _ = io.Copy(io.Discard, req.Body) // before that net/http does not see that its client leaves
		select {
		case <-req.Context().Done():
			close(told)
		case <-ctx.Done():
		}
	})
	r.chain.forward.CallTimeout = time.Hour
	r.chain.rules.Current().Rules.CallTimeout = 50 * time.Millisecond
	if resp, body := r.post(t, r.engineer(t), callTool("x")); resp.StatusCode != http.StatusGatewayTimeout {
		t.Errorf("a call without end got %d %s", resp.StatusCode, body)
	}
	select {
	case <-told:
	case <-ctx.Done():
		t.Error("the server was not told")
	}

	r = newRig(t, answerJSON(`{"jsonrpc":"2.0","id":1,"result":{}}`))
	r.chain.forward.CallTimeout = time.Nanosecond
	r.chain.rules.Current().Rules.CallTimeout = time.Minute
	if resp, body := r.post(t, r.engineer(t), callTool("x")); resp.StatusCode != http.StatusOK {
		t.Errorf("a call got %d %s", resp.StatusCode, body)
	}
}
