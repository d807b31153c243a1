package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"mcpgateway/internal/audit"
)

// outcome is what a client was shown.
type outcome struct {
	Tools    []string  `json:"tools"`
	Progress []arrival `json:"progress"`
	// Forgotten counts notifications that came together with the result, and that the library then no longer knew whom to
	// give to.
	Forgotten int     `json:"forgotten"`
	Took      float64 `json:"took"` // of the call, in ms
	Text      string  `json:"text"` // of the result
	IsError   bool    `json:"isError"`
	// Again is the text of a second call's result, and Errors is what the library complained of from its first call on.
	Again  string   `json:"again"`
	Errors []string `json:"errors"`

	era     string   // in its own words, where it has any
	further []string // what it did beyond list and call
}

// arrival is a progress notification, At milliseconds after the call began.
type arrival struct {
	Progress float64 `json:"progress"`
	At       float64 `json:"at"`
}

func (a arrival) sameAs(b arrival) bool { return a.Progress == b.Progress }

// wants is the call that a client makes, and the era that it makes it in: its newest, whatever the server speaks.
func (c client) wants(s server) (call, string) {
	want, era := s.slow, c.newest
	want.scattered = want.scattered && era == legacy
	if c.user == harmless {
		want = call{Tool: s.any}
	}
	return want, era
}

// check lists what is wrong with an outcome.
func (o *outcome) check(s server, c client) []string {
	var wrong []string
	report := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	want, era := c.wants(s)
	if c.user == harmless {
		if len(o.Tools) != 1 {
			report("it saw the tools %q, and may see only %s", o.Tools, s.any)
		}
	}
	if !slices.Contains(o.Tools, want.Tool) {
		report("%s is not among the tools it saw: %q", want.Tool, o.Tools)
	}
	if o.IsError || !strings.HasPrefix(o.Text, want.text) {
		report("the call's result is %.80q, error %v; want %q", o.Text, o.IsError, want.text)
	}
	if c.hearsProgress {
		wrong = append(wrong, o.checkProgress(want)...)
	}
	if o.era != "" && o.era != era {
		report("it says that it speaks the %s era, and should the %s", o.era, era)
	}
	return wrong
}

// checkRecords lists what is wrong with what the shim recorded of a client's visit.
func checkRecords(s server, c client, records []audit.Record) (wrong []string) {
	want, era := c.wants(s)
	for method, name := range map[string]string{"tools/list": "", "tools/call": want.Tool} {
		if !slices.ContainsFunc(records, func(r audit.Record) bool {
			return r.CallType == method && r.CallIdentifier == name && r.Outcome == audit.Forwarded && r.ResponseStatus == 200 &&
				r.Era == era && r.Subject == c.user
		}) {
			wrong = append(wrong, fmt.Sprintf("the shim recorded no %s %s by %s in the %s era", method, name, c.user, era))
		}
	}
	return wrong
}

// checkAgain lists what is wrong with the call that came after the server's sleep.
func (o *outcome) checkAgain(s server) (wrong []string) {
	if !strings.HasPrefix(o.Again, s.slow.text) || o.Again == "" && s.slow.text == "" {
		wrong = append(wrong, fmt.Sprintf("the second call's result is %.80q; want %q", o.Again, s.slow.text))
	}
	for _, complaint := range o.Errors {
		wrong = append(wrong, "the client complained: "+complaint)
	}
	return wrong
}

// checkSession wants both calls in one session. In the modern era the second may come in two rounds: a legacy server that began
// anew may have something to ask first (MCP 2026-07-28, patterns, multi round-trip requests).
func checkSession(records []audit.Record) (wrong []string) {
	records = slices.DeleteFunc(slices.Clone(records), func(r audit.Record) bool { return !isCall(r) })
	most := 2
	if len(records) > 0 && records[0].Era == modern {
		most = 3
	}
	failed := slices.ContainsFunc(records, func(r audit.Record) bool { return r.Outcome != audit.Forwarded || r.ResponseStatus != 200 })
	if len(records) < 2 || len(records) > most || failed {
		return append(wrong, fmt.Sprintf("the shim recorded not two calls that went well but %d", len(records)))
	}
	if a, b := records[0], records[1]; a.Era == legacy && (a.SessionID == "" || a.SessionID != b.SessionID) {
		wrong = append(wrong, "the second call was in another session")
	}
	return wrong
}

// checkProgress wants all notifications, in order, and one by one while the tool runs. It compares times with each other
// only, since a busy machine is slow: had they been kept back, they had come together, and late.
func (o *outcome) checkProgress(want call) []string {
	got, took := o.Progress, o.Took
	missing := want.steps - len(got)
	complete := missing == o.Forgotten && missing <= 1 // a server may send its last one right before the result
	if want.scattered {
		complete = missing >= 0 && missing <= want.steps/2 // of two streams the slower one can be closed too soon
	}
	if !complete || len(got) == 0 {
		return []string{fmt.Sprintf("%d progress notifications and %d forgotten, want %d", len(got), o.Forgotten, want.steps)}
	}
	var wrong []string
	apart, span := 0, got[len(got)-1].At-got[0].At
	for i := 1; i < len(got); i++ {
		if got[i].Progress <= got[i-1].Progress && !want.scattered || slices.ContainsFunc(got[:i], got[i].sameAs) {
			wrong = append(wrong, fmt.Sprintf("progress %g came after %g", got[i].Progress, got[i-1].Progress))
		}
		if got[i].At-got[i-1].At > span/float64(2*len(got)) {
			apart++
		}
	}
	if got[0].At >= took {
		wrong = append(wrong, "the first progress came after the result")
	}
	if want.brief {
		return wrong
	}
	if got[0].At > took/2 {
		wrong = append(wrong, "the first progress came in the second half of the call")
	}
	if apart < 2 { // a client that a busy machine holds up reads several at once, but not all in two goes
		wrong = append(wrong, "progress came in bunches")
	}
	return wrong
}

// times are the arrivals and the end of the call, for the table.
func (o *outcome) times() string {
	if len(o.Progress) == 0 {
		return "-"
	}
	var b strings.Builder
	for _, a := range o.Progress {
		fmt.Fprintf(&b, "%.0f ", a.At)
	}
	fmt.Fprintf(&b, "of %.0f ms", o.Took)
	return b.String()
}

// toolsAnswer and callAnswer are results of MCP, as the command line clients print them.
type toolsAnswer struct {
	Tools []struct {
		Name string `json:"name"`
	} `json:"tools"`
}

type callAnswer struct {
	Content []struct {
		Text string `json:"text"`
	} `json:"content"`
	IsError bool `json:"isError"`
}

// takeTools and takeCall read a printed result into the outcome.
func (o *outcome) takeTools(printed []byte) error {
	var a toolsAnswer
	if err := json.Unmarshal(printed, &a); err != nil {
		return fmt.Errorf("read the list of tools: %w", err)
	}
	for _, t := range a.Tools {
		o.Tools = append(o.Tools, t.Name)
	}
	return nil
}

func (o *outcome) takeCall(printed []byte) error {
	var a callAnswer
	if err := json.Unmarshal(printed, &a); err != nil {
		return fmt.Errorf("read the result: %w", err)
	}
	if len(a.Content) == 0 {
		return fmt.Errorf("the result has no content: %.80q", printed)
	}
	o.Text, o.IsError = a.Content[0].Text, a.IsError
	return nil
}
