package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
)

// The statuses that count. The others (INFO, WARNING, SKIPPED) say that something was not decided.
const (
	success = "SUCCESS"
	failure = "FAILURE"
)

// warning is how the suite calls a SHOULD that was not met.
const warning = "WARNING"

// check is one entry of a scenario's checks.json.
type check struct {
	ID           string `json:"id"`
	Status       string `json:"status"`
	ErrorMessage string `json:"errorMessage"`
}

// results are the checks by scenario.
type results map[string][]check

// serverFolder is how the suite names the folder of a server scenario.
var serverFolder = regexp.MustCompile(`^server-(.+)-\d{4}-\d{2}-\d{2}T[0-9-]+Z$`)

// readResults reads what the suite wrote into the folders of dir that have such a name.
func readResults(dir string, folder *regexp.Regexp) (results, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("read results: %w", err)
	}
	r := results{}
	for _, e := range entries {
		name := folder.FindStringSubmatch(e.Name())
		if name == nil {
			continue
		}
		data, err := os.ReadFile(filepath.Join(dir, e.Name(), "checks.json"))
		if err != nil {
			return nil, fmt.Errorf("read results: %w", err)
		}
		var checks []check
		if err := json.Unmarshal(data, &checks); err != nil {
			return nil, fmt.Errorf("read results of %s: %w", name[1], err)
		}
		r[name[1]] = append(r[name[1]], checks...)
	}
	if len(r) == 0 {
		return nil, fmt.Errorf("read results: no scenario left any in %s", dir)
	}
	return r, nil
}

// score counts checks.
type score struct{ passed, failed int }

func (s score) String() string { return fmt.Sprintf("%d/%d", s.passed, s.failed) }

func scoreOf(checks []check) score {
	var s score
	for _, c := range checks {
		switch c.Status {
		case success:
			s.passed++
		case failure:
			s.failed++
		}
	}
	return s
}

func (r results) total() score {
	var total score
	for _, checks := range r {
		s := scoreOf(checks)
		total.passed += s.passed
		total.failed += s.failed
	}
	return total
}

// loss is a check that passes direct and not through us.
type loss struct {
	scenario, check, message string
	warned                   bool // the suite warns, and does not fail
	way, excuse              string
}

// losses compares check by check. An id can occur several times in a scenario; then the number of passes counts.
func losses(direct, through results) []loss {
	var lost []loss
	for _, scenario := range slices.Sorted(maps.Keys(direct)) {
		before, after := passesByID(direct[scenario]), passesByID(through[scenario])
		for _, id := range slices.Sorted(maps.Keys(before)) {
			if after[id] < before[id] {
				l := loss{scenario: scenario, check: id}
				l.message, l.warned = messageOf(through[scenario], id)
				lost = append(lost, l)
			}
		}
	}
	return lost
}

func passesByID(checks []check) map[string]int {
	passes := map[string]int{}
	for _, c := range checks {
		if c.Status == success {
			passes[c.ID]++
		}
	}
	return passes
}

// messageOf is what the suite says of a check that did not pass, and whether it only warns.
func messageOf(checks []check, id string) (message string, warned bool) {
	for _, c := range checks {
		if c.ID == id && c.Status != success {
			return c.Status + ": " + c.ErrorMessage, c.Status == warning
		}
	}
	return "not reported", false
}
