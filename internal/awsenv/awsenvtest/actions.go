// Package awsenvtest holds what programs ask of AWS, as they record it (awsenv.Recording), to what their roles may.
package awsenvtest

import (
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// Actions reads terraform/tests/actions.json: what each function was seen to ask for, sorted.
func Actions(t *testing.T) map[string][]string {
	t.Helper()
	_, self, _, _ := runtime.Caller(0)
	text, err := os.ReadFile(filepath.Join(filepath.Dir(self), "..", "..", "..", "terraform", "tests", "actions.json"))
	if err != nil {
		t.Fatal(err)
	}
	var all map[string][]string
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	for _, actions := range all {
		slices.Sort(actions)
	}
	return all
}

// Recorded reads what was recorded in a file, by however many processes, sorted and each once.
func Recorded(t *testing.T, file string) []string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("nothing was recorded: %v", err)
	}
	all := strings.Fields(string(text))
	slices.Sort(all)
	return slices.Compact(all)
}

// Recording is a file for awsenv.Recording in the environment of a function. When the test ends, what it asked for must be what
// its role may, all of want among it.
func Recording(t *testing.T, function string, want ...string) (file string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), function)
	t.Cleanup(func() {
		recorded, may := Recorded(t, file), Actions(t)[function]
		for _, a := range recorded {
			if !slices.Contains(may, a) {
				t.Errorf("%s asked for %s, which is not in terraform/tests/actions.json", function, a)
			}
		}
		for _, a := range want {
			if !slices.Contains(recorded, a) {
				t.Errorf("%s did not ask for %s, but for %v", function, a, recorded)
			}
		}
	})
	return file
}
