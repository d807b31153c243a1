package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mcpgateway/internal/audit"
)

// at makes notifications 1, 2, 3 … that arrive at these times.
func at(times ...float64) []arrival {
	var list []arrival
	for i, t := range times {
		list = append(list, arrival{Progress: float64(i + 1), At: t})
	}
	return list
}

func TestCheckAgain(t *testing.T) {
	s := server{slow: call{text: "slept"}}
	record := func(session string, status int) audit.Record {
		return audit.Record{CallType: "tools/call", Era: legacy, SessionID: session, Outcome: audit.Forwarded, ResponseStatus: status}
	}
	call := func(status int) audit.Record {
		return audit.Record{CallType: "tools/call", Era: modern, Outcome: audit.Forwarded, ResponseStatus: status}
	}
	went := outcome{Again: "slept 2 s"}
	complained := went
	complained.Errors = []string{"stream broke"}
	tests := map[string]struct {
		got     outcome
		records []audit.Record
		wrong   int
	}{
		"well":                {went, []audit.Record{{CallType: "tools/list"}, record("a", 200), record("a", 200)}, 0},
		"another result":      {outcome{Again: "gone"}, []audit.Record{record("a", 200), record("a", 200)}, 1},
		"a complaint":         {complained, []audit.Record{record("a", 200), record("a", 200)}, 1},
		"no second call":      {went, []audit.Record{record("a", 200)}, 1},
		"a third call":        {went, []audit.Record{record("a", 200), record("a", 404), record("b", 200)}, 1},
		"a refused one":       {went, []audit.Record{record("a", 200), record("a", 404)}, 1},
		"another session":     {went, []audit.Record{record("a", 200), record("b", 200)}, 1},
		"no session at all":   {went, []audit.Record{record("", 200), record("", 200)}, 1},
		"three in one era":    {went, []audit.Record{record("a", 200), record("a", 200), record("a", 200)}, 1},
		"the modern era, too": {went, []audit.Record{call(200), call(200)}, 0},
		"in two rounds":       {went, []audit.Record{call(200), call(200), call(200)}, 0},
		"in three rounds":     {went, []audit.Record{call(200), call(200), call(200), call(200)}, 1},
		"a round failed":      {went, []audit.Record{call(200), call(400), call(200)}, 1},
	}
	for name, test := range tests {
		if wrong := append(test.got.checkAgain(s), checkSession(test.records)...); len(wrong) != test.wrong {
			t.Errorf("%s: %q", name, wrong)
		}
	}
}

func TestCheckProgress(t *testing.T) {
	slow, brief := call{steps: 5}, call{steps: 5, brief: true}
	swapped := at(1, 20, 40, 60, 80)
	swapped[1].Progress, swapped[2].Progress = swapped[2].Progress, swapped[1].Progress
	twice := at(1, 20, 40, 60, 80)
	twice[3].Progress = 2
	scattered := call{steps: 5, scattered: true}
	tests := []struct {
		name string
		got  []arrival
		took float64
		call call
		lost int    // forgotten
		want string // part of a finding; "" for none
	}{
		{"one by one", at(2, 21, 42, 61, 83), 100, slow, 0, ""},
		{"one by one on a slow machine", at(200, 2100, 4200, 6100, 8300), 10000, slow, 0, ""},
		{"one was held up", at(2, 21, 61, 61.2, 83), 100, slow, 0, ""},
		{"kept back to the end", at(98, 98.1, 98.2, 98.3, 98.4), 100, slow, 0, "second half"},
		{"kept back to the end, evenly", at(91, 93, 95, 97, 99), 100, slow, 0, "second half"},
		{"in two bunches", at(2, 2.1, 2.2, 80, 80.1), 100, slow, 0, "bunches"},
		{"all at the start", at(1, 1, 1, 1, 1), 100, slow, 0, "bunches"},
		{"one missing", at(2, 21, 42, 61), 100, slow, 0, "4 progress notifications and 0 forgotten, want 5"},
		{"one too many", at(2, 21, 42, 61, 83, 90), 100, slow, 0, "6 progress"},
		{"the last forgotten", at(2, 21, 42, 61), 100, slow, 1, ""},
		{"more forgotten", at(2, 21, 42), 100, slow, 2, "3 progress notifications and 2 forgotten, want 5"},
		{"all and one forgotten", at(2, 21, 42, 61, 83), 100, slow, 1, "1 forgotten"},
		{"held up, but in three goes", at(2, 2, 40, 40, 83), 100, slow, 0, ""},
		{"none", nil, 100, slow, 0, "0 progress"},
		{"in the wrong order", swapped, 100, slow, 0, "came after"},
		{"scattered", swapped, 100, scattered, 0, ""},
		{"scattered, the other stream was closed", at(2, 40, 83), 100, scattered, 0, ""},
		{"scattered, too few", at(2, 40), 100, scattered, 3, "2 progress notifications and 3 forgotten, want 5"},
		{"scattered, one twice", twice, 100, scattered, 0, "progress 2 came after 3"},
		{"scattered, kept back", at(98, 98, 98, 98, 98), 100, scattered, 0, "second half"},
		{"brief, in one go", at(98, 98, 98, 98, 98), 100, brief, 0, ""},
		{"brief, after the result", at(101, 102, 103, 104, 105), 100, brief, 0, "after the result"},
		{"brief, one missing", at(1), 100, brief, 0, "1 progress"},
	}
	for _, tt := range tests {
		got := strings.Join((&outcome{Progress: tt.got, Took: tt.took, Forgotten: tt.lost}).checkProgress(tt.call), "; ")
		if tt.want == "" && got != "" || !strings.Contains(got, tt.want) {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestCheck(t *testing.T) {
	s := server{id: "s", any: "headers", slow: call{Tool: "slow", text: "slept", steps: 2, brief: true}}
	records := func(era, user, tool string) []audit.Record {
		ok := audit.Record{CallType: "tools/list", Era: era, Subject: user, Outcome: audit.Forwarded, ResponseStatus: 200}
		called := ok
		called.CallType, called.CallIdentifier = "tools/call", tool
		return []audit.Record{ok, called}
	}
	full := client{user: everything, newest: modern, hearsProgress: true}
	old := client{user: everything, newest: legacy, hearsProgress: true}
	few := client{user: harmless, newest: modern}
	good := outcome{Tools: []string{"echo", "slow"}, Text: "slept 2 s", Progress: at(1, 2), Took: 3}
	without := func(change func(*outcome)) outcome {
		o := good
		change(&o)
		return o
	}
	refused := records(modern, everything, "slow")
	refused[1].Outcome, refused[1].ResponseStatus = audit.Refused, 403
	tests := []struct {
		name    string
		outcome outcome
		client  client
		records []audit.Record
		want    string
	}{
		{"good", good, full, records(modern, everything, "slow"), ""},
		{"good, legacy", good, old, records(legacy, everything, "slow"), ""},
		{"good, few rights", outcome{Tools: []string{"headers"}, Text: "called 1"}, few, records(modern, harmless, "headers"), ""},
		{"tool is hidden", without(func(o *outcome) { o.Tools = []string{"echo"} }), full, records(modern, everything, "slow"), "not among the tools"},
		{"sees too much", outcome{Tools: []string{"headers", "slow"}}, few, records(modern, harmless, "headers"), "may see only"},
		{"error as a result", without(func(o *outcome) { o.IsError = true }), full, records(modern, everything, "slow"), "the call's result"},
		{"wrong result", without(func(o *outcome) { o.Text = "woke" }), full, records(modern, everything, "slow"), "the call's result"},
		{"no progress", without(func(o *outcome) { o.Progress = nil }), full, records(modern, everything, "slow"), "0 progress"},
		{"fell back", good, full, records(legacy, everything, "slow"), "recorded no tools/call slow by alice in the modern era"},
		{"says it fell back", without(func(o *outcome) { o.era = legacy }), full, records(modern, everything, "slow"), "speaks the legacy era"},
		{"was refused", good, full, refused, "recorded no tools/call"},
		{"as somebody else", good, full, records(modern, harmless, "slow"), "recorded no tools/list"},
		{"went elsewhere", good, full, nil, "recorded no tools/list"},
	}
	for _, tt := range tests {
		got := strings.Join(append(tt.outcome.check(s, tt.client), checkRecords(s, tt.client, tt.records)...), "; ")
		if tt.want == "" && got != "" || !strings.Contains(got, tt.want) {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestTakeAnswers(t *testing.T) {
	var o outcome
	if err := o.takeTools([]byte(`{"tools":[{"name":"a","x":1},{"name":"b"}],"nextCursor":null}`)); err != nil {
		t.Fatal(err)
	}
	if err := o.takeCall([]byte(`{"content":[{"type":"text","text":"no"}],"isError":true}`)); err != nil {
		t.Fatal(err)
	}
	want := outcome{Tools: []string{"a", "b"}, Text: "no", IsError: true}
	if diff := cmp.Diff(want, o, cmp.AllowUnexported(outcome{})); diff != "" {
		t.Errorf("outcome (-want +got):\n%s", diff)
	}
	for _, printed := range []string{"", "Error: 403", `{"content":[]}`, `{}`} {
		if err := o.takeCall([]byte(printed)); err == nil {
			t.Errorf("took %q for a result", printed)
		}
	}
	if err := o.takeTools([]byte("Error")); err == nil {
		t.Error("took an error for a list")
	}
}
