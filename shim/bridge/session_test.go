package bridge

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mcpgateway/internal/mcp"
)

func labelled(t *testing.T, line string) mcp.Labelled {
	t.Helper()
	m, err := mcp.ParseLabelled([]byte(line))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// idlePipe is the pipe of a child that lives and does nothing.
func idlePipe() *pipe {
	log := slog.New(slog.DiscardHandler)
	return newPipe(&process{log: log, quota: newQuota(log)}, use{patience: patienceOwn})
}

// Messages that an older listening stream did not send go to the newer, not to one that may never come.
func TestListenerTakesOver(t *testing.T) {
	s := &session{}
	older, newer := newOutlet(nil, 0), newOutlet(nil, 0)
	s.listen(older)
	s.deliver([]byte("queued"), 0)
	s.listen(newer)
	s.unlisten(older, [][]byte{[]byte("not written")})
	s.deliver([]byte("live"), 0)
	if got := fmt.Sprintf("%s", newer.rest()); got != "[not written queued live]" {
		t.Errorf("the newer stream has %s", got)
	}
	if held, _ := s.listen(newOutlet(nil, 0)); len(held) != 0 {
		t.Errorf("held: %q", held)
	}
}

// A listening stream that begins as its session ends does not stay.
func TestListenAfterEnd(t *testing.T) {
	s, o := &session{}, newOutlet(nil, 0)
	s.end()
	s.listen(o)
	select {
	case <-o.left:
	default:
		t.Error("the stream goes on")
	}
}

// What does not fit is lost, the oldest first, and counted.
func TestHeld(t *testing.T) {
	s := &session{}
	for i := range maxHeld + 3 {
		s.deliver(fmt.Append(nil, i), 0)
	}
	held, lost := s.listen(newOutlet(nil, 0))
	if len(held) != maxHeld || lost != 3 || string(held[0]) != "3" {
		t.Errorf("%d held from %s on, %d lost", len(held), held[0], lost)
	}
	if again, lost := s.listen(newOutlet(nil, 0)); len(again) != 0 || lost != 0 {
		t.Errorf("%d messages a second time", len(again))
	}
	s = &session{}
	for range 4 {
		s.deliver(make([]byte, maxHeldBytes/2-1), 0)
	}
	if held, lost := s.listen(newOutlet(nil, 0)); len(held) != 2 || lost != 2 {
		t.Errorf("%d of half the bytes held, %d lost", len(held), lost)
	}
}

// The child's requests are bounded, and one that it took back waits no longer.
func TestAsked(t *testing.T) {
	s, p := &session{alone: true}, idlePipe()
	ask := func(id string) bool { return s.ask(labelled(t, `{"jsonrpc":"2.0","id":`+id+`,"method":"roots/list"}`)) }
	for i := range maxAsked {
		if !ask(fmt.Sprint(i)) {
			t.Fatalf("request %d was refused", i)
		}
	}
	if ask("1000") {
		t.Error("one too many was let through")
	}
	s.stray(p, labelled(t, `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":7}}`))
	if s.answered(mcp.Token("7")) {
		t.Error("an answer to what was taken back is wanted")
	}
	if !ask("1000") {
		t.Error("there is no place again")
	}
	for _, want := range []bool{true, false} {
		if s.answered(mcp.Token("8")) != want {
			t.Errorf("the answer is wanted: %v, want %v", !want, want)
		}
	}
	if s.answered(mcp.Token(`"9"`)) {
		t.Error("the answer to 9 is not that to \"9\"")
	}
}

// One message goes out on one stream, that of the newest request whose caller takes one.
func TestStrayStream(t *testing.T) {
	s, p := &session{alone: true}, idlePipe()
	listener := newOutlet(nil, 0)
	s.listen(listener)
	var all []*exchange
	for i, x := range []exchange{{streams: true}, {streams: true}, {streams: false}, {streams: true, method: "initialize"}} {
		x.number, x.to = int64(i+1), newOutlet(nil, 1)
		p.pending[x.number] = &x
		all = append(all, &x)
	}
	s.tell(p, []byte("m"), 0)
	for i, x := range all {
		if n := len(x.to.rest()); n != 0 != (i == 1) {
			t.Errorf("request %d got %d messages", i, n)
		}
	}
	if n := len(listener.rest()); n != 0 {
		t.Errorf("the listening stream got %d messages", n)
	}
}

// The place of a child that ends is another's only when it is gone.
func TestPlaceOfEndingChild(t *testing.T) {
	sessions := sessions{max: 1, all: map[string]*session{}}
	for range 2 {
		if victim, err := sessions.take("a"); err != nil || victim != nil {
			t.Fatalf("take: %v, %v", victim, err)
		}
		s := &session{caller: "a", alone: true, own: idlePipe()}
		sessions.add(s)
		if !sessions.remove(s) || sessions.remove(s) {
			t.Fatal("a session ends once")
		}
		if _, err := sessions.take("a"); err == nil {
			t.Fatal("a second child beside the one that ends")
		}
		sessions.release()
	}
	if sessions.places != 0 {
		t.Errorf("%d places are taken by nobody", sessions.places)
	}
}

// A session's delete is answered when its child is gone.
func TestDeleteWaits(t *testing.T) {
	r := newRig(t, "plain", nil)
	s := r.session()
	process := r.bridge.sessions.find(strings.TrimPrefix(s, mcp.HeaderSession+": "), "").own.process
	if got, err := r.do(r.request(t.Context(), http.MethodDelete, "", s)); err != nil || got.status != http.StatusNoContent {
		t.Fatalf("delete: %+v, %v", got, err)
	}
	select {
	case <-process.exited:
	default:
		t.Error("the child still runs")
	}
}

// Whoever fills the places with busy sessions takes none of others.
func TestBusyCallerTakesNobodysPlace(t *testing.T) {
	all := sessions{max: 3, all: map[string]*session{}}
	add := func(caller string, busy bool) *session {
		victim, err := all.take(caller)
		if err != nil {
			t.Fatal(err)
		}
		s := &session{caller: caller, alone: true, own: idlePipe()}
		if busy {
			s.own.pending[1] = &exchange{}
		}
		all.add(s)
		if victim != nil {
			t.Fatalf("a session of %s was ended", victim.caller)
		}
		return s
	}
	quiet := add("quiet", false)
	add("greedy", true)
	add("greedy", true)
	if victim, err := all.take("greedy"); err == nil {
		t.Errorf("a third took the place of %s", victim.caller)
	}
	if all.find(quiet.id, "quiet") == nil {
		t.Error("the quiet one's session is gone")
	}
	for _, s := range all.list() {
		if s.caller == "greedy" {
			delete(s.own.pending, 1)
		}
	}
	if victim, err := all.take("third"); err != nil || victim.caller != "greedy" {
		t.Fatalf("one who has none got the place of %v, %v, want one of who has most", victim, err)
	}
	all.release()
	add("greedy", true)
	for _, s := range all.list() {
		if s.caller == "greedy" {
			s.own.pending[1] = &exchange{}
		}
	}
	if victim, err := all.take("third"); err != nil || victim != quiet {
		t.Errorf("one who has none got the place of %v, %v, want the only idle one", victim, err)
	}
}

// Where the child is shared, whoever opens sessions without end loses their own too.
func TestMakeRoom(t *testing.T) {
	ended := 0
	all := sessions{all: map[string]*session{}, ended: func(*session) { ended++ }}
	quiet := &session{caller: "quiet"}
	all.add(quiet)
	for range maxShared + 10 {
		all.add(&session{caller: "greedy"})
	}
	if all.find(quiet.id, "quiet") == nil || len(all.all) != maxShared {
		t.Errorf("%d sessions, and the quiet one's is gone or not", len(all.all))
	}
	if ended != 11 {
		t.Errorf("%d were told to have ended, want 11", ended)
	}
}

// Of two who have as many, the one who wants more makes room, though the other's are older.
func TestMakeRoomOfTwo(t *testing.T) {
	ended := 0
	all := sessions{all: map[string]*session{}, ended: func(*session) { ended++ }}
	for _, caller := range []string{"other", "greedy"} {
		for range maxShared / 2 {
			all.add(&session{caller: caller})
		}
	}
	all.add(&session{caller: "greedy"})
	others := 0
	for _, s := range all.list() {
		if s.caller == "other" {
			others++
		}
	}
	if others != maxShared/2 || ended != 1 {
		t.Errorf("the other has %d left", others)
	}
}

// All who do not read hold the shared child back no longer than one of them.
func TestSlowListenersTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var all []*session
		for range 100 {
			s := &session{}
			all = append(all, s)
			s.listen(newOutlet(nil, 0))
			for range queued {
				s.deliver([]byte("queued"), 0)
			}
		}
		start := time.Now()
		tell(newPipe(&process{}, use{patience: patienceShared}), []byte("news"), all)
		if took := time.Since(start); took != patienceShared {
			t.Errorf("the child waited %v", took)
		}
		for _, s := range all {
			if len(s.held) != 1 {
				t.Errorf("%d messages are held", len(s.held))
			}
		}
	})
}

// A child may speak before its session is known.
func TestChildAnnouncesItself(t *testing.T) {
	r := newRig(t, "announces", nil)
	s := r.session()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	resp, err := http.DefaultClient.Do(r.request(ctx, http.MethodGet, "", s))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if e, err := mcp.NewEventReader(resp.Body, 1<<20).Next(); err != nil || !strings.Contains(string(e.Data), "I am here") {
		t.Errorf("held: %q, %v", e.Data, err)
	}
}

// Clients that leave before their child spoke say nothing about the server.
func TestClientsThatLeaveAreNoFailures(t *testing.T) {
	r := newRig(t, "silent", nil)
	for range 4 {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		if _, err := r.do(r.request(ctx, http.MethodPost, initialize)); err == nil {
			t.Error("an answer came")
		}
		cancel()
	}
	starts := &r.bridge.starts
	eventually(t, "their children are gone", func() bool { starts.mu.Lock(); defer starts.mu.Unlock(); return len(starts.alive) == 0 })
	if starts.failures != 0 || !starts.until.IsZero() {
		t.Errorf("%d failures were counted, and others must wait", starts.failures)
	}
}

// A stop ends the child that is being asked what it is, too.
func TestStopWhileAsking(t *testing.T) {
	r := newRig(t, "silent", nil)
	go func() {
		req := r.request(context.Background(), http.MethodPost, call("1", "pid", "", modernMeta), modernHeader)
		_, _ = r.do(req)
	}()
	eventually(t, "it is asked", func() bool { return strings.Contains(r.log.String(), "server started") })
	r.bridge.Stop()
	if !strings.Contains(r.log.String(), "server ended") {
		t.Error("the child outlived the stop")
	}
}
