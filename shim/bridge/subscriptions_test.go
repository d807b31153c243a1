package bridge

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mcpgateway/internal/mcp"
)

func subscribe(uri string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":3,"method":"resources/subscribe","params":{"uri":%q}}`, uri)
}

// delete ends a session.
func (r *rig) delete(session string, more ...string) {
	r.t.Helper()
	got, err := r.do(r.request(r.t.Context(), http.MethodDelete, "", append(more, session)...))
	if err != nil || got.status != http.StatusNoContent {
		r.t.Fatalf("delete: %+v, %v", got, err)
	}
}

// The child is told to watch a resource no longer when the last session that subscribed to it ended, and not before.
func TestSubscriptionsEndWithTheirSessions(t *testing.T) {
	r := newShared(t, "plain")
	a, b, c := r.session(), r.session(), r.session()
	for _, s := range []string{a, b} {
		r.post(subscribe("test://both"), s)
	}
	r.post(subscribe("test://first"), a)
	r.delete(a)
	eventually(t, "what one wanted is ended", func() bool {
		return strings.Contains(r.post(call("1", "watched", "", ""), c).text(), "unsubscribe test://first")
	})
	r.delete(b)
	watched := ""
	eventually(t, "what both wanted is ended", func() bool {
		watched = r.post(call("1", "watched", "", ""), c).text()
		return strings.Contains(watched, "unsubscribe test://both")
	})
	want := "subscribe test://both, subscribe test://both, subscribe test://first, unsubscribe test://first, unsubscribe test://both"
	if watched != want {
		t.Errorf("the child was told %q, want %q", watched, want)
	}
	eventually(t, "nothing is kept", func() bool {
		s := r.bridge.subscribed
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.wanted)+len(s.has)+len(s.byCaller)+len(s.loose)+s.all == 0 && !s.telling
	})
}

// A child that does not answer is asked once, not for each resource.
func TestSubscriptionsOfSilentChild(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &Bridge{subscribed: newSubscriptions(), legacy: keeper{pipe: idlePipe()}}
		process := b.legacy.pipe.process
		process.turn = make(chan struct{}, 1)
		process.turn <- struct{}{} // who writes waits
		s := &session{}
		for i := range 10 {
			if err := b.subscribed.add(s, fmt.Sprint(i)); err != nil {
				t.Fatal(err)
			}
		}
		began := time.Now()
		if !b.subscribed.drop(s) {
			t.Fatal("nobody tells the child")
		}
		b.unsubscribe()
		if took := time.Since(began); took > 2*handshake {
			t.Errorf("the child was waited for %s", took)
		}
		if s := b.subscribed; len(s.loose) != 0 || s.telling {
			t.Errorf("something is kept: %+v", s)
		}
	})
}

// Who subscribes while the child is told to end it is subscribed.
func TestSubscribedWhileItEnds(t *testing.T) {
	r := newShared(t, "plain")
	a, b := r.session(), r.session()
	r.post(subscribe("test://a"), a)
	// As if b had subscribed after the resource was taken, and its request had gone first.
	r.bridge.subscribed.loose["test://a"] = struct{}{}
	r.bridge.unsubscribe()
	if got := r.post(call("1", "watched", "", ""), b).text(); got != "subscribe test://a, unsubscribe test://a, subscribe test://a" {
		t.Errorf("the child was told %q", got)
	}
}

// What a session asked for and is under way ends with it, at the child too.
func TestRequestsEndWithTheirSession(t *testing.T) {
	r := newShared(t, "plain")
	a, b := r.session(), r.session()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	done := make(chan reply, 1)
	go func() {
		got, _ := r.do(r.request(ctx, http.MethodPost, `{"jsonrpc":"2.0","id":1,"method":"subscriptions/listen","params":{}}`, a))
		done <- got
	}()
	eventually(t, "it is under way", func() bool { return r.bridge.legacy.current().underWay() == 1 })
	r.delete(a)
	if got := <-done; ctx.Err() != nil || !strings.Contains(got.body, "the session ended") {
		t.Errorf("%+v, %v", got, ctx.Err())
	}
	eventually(t, "the child was told", func() bool { return r.post(call("8", "cancelled", "", ""), b).text() != "" })
}

// A request that comes while its session ends is under way no longer than the session.
func TestRequestOfEndedSession(t *testing.T) {
	r := newShared(t, "plain")
	header := r.session()
	s := r.bridge.sessions.find(strings.TrimPrefix(header, mcp.HeaderSession+": "), "")
	s.end() // it is known, but its end has seen what was under way
	if got := r.post(call("1", "hang", "", ""), header); got.status != http.StatusBadGateway {
		t.Errorf("a call: %+v", got)
	}
	if got := r.post(subscribe("test://a"), header); got.status != http.StatusNotFound || len(r.bridge.subscribed.wanted) != 0 {
		t.Errorf("a subscription: %+v", got)
	}
}

func TestSubscriptionsAreBounded(t *testing.T) {
	r := newShared(t, "plain")
	s := r.session()
	if got := r.post(subscribe(strings.Repeat("x", maxURI+1)), s); got.status != http.StatusBadRequest || !strings.Contains(got.body, `"id":3`) {
		t.Errorf("a name too long: %+v", got)
	}
	session := r.bridge.sessions.find(strings.TrimPrefix(s, mcp.HeaderSession+": "), "")
	for i := range maxSubscribed - 1 {
		if err := r.bridge.subscribed.add(session, fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
	}
	for i, want := range []int{200, 400} {
		if got := r.post(subscribe(fmt.Sprint("last", i)), s); got.status != want {
			t.Errorf("subscription %d: %+v", maxSubscribed+i, got)
		}
	}
	if got := r.post(subscribe("0"), s); got.status != http.StatusOK {
		t.Errorf("one that it has: %+v", got)
	}
}

// Sessions without end of one caller leave room for the subscriptions of others, and all of them have an end.
func TestSubscriptionsOfOneCaller(t *testing.T) {
	all := newSubscriptions()
	fill := func(caller string) (n int) {
		for range 2 * maxSubscriptions / maxSubscribed {
			s := &session{caller: caller}
			for i := 0; i < maxSubscribed && all.add(s, fmt.Sprint(i)) == nil; i++ {
				n++
			}
		}
		return n
	}
	if n := fill("greedy"); n != maxSubscriptions/2 {
		t.Errorf("one caller got %d places", n)
	}
	others := 0
	for i := range 20 {
		others += fill(fmt.Sprint(i))
	}
	if others != maxSubscriptions/2 {
		t.Errorf("others got %d places", others)
	}
}
