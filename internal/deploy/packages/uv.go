package packages

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// uv installs packages of PyPI, or of the index that the user's settings name.
var uv = manager{
	needs:       []string{"uv"},
	advice:      "uv (docs.astral.sh/uv)",
	variables:   "UV_",
	arguments:   uvArguments,
	environment: uvEnvironment,
	reason:      uvReason,
	find:        uvProgram,
}

func uvArguments(_, name string) []string {
	return []string{"tool", "install", "--no-progress", "--color", "never", name}
}

// uvEnvironment has uv put the tool's environment and its programs below folder. Of a variable that is given twice the
// last counts.
func uvEnvironment(folder string) []string {
	return []string{"UV_TOOL_DIR=" + filepath.Join(folder, "tools"), "UV_TOOL_BIN_DIR=" + filepath.Join(folder, "bin")}
}

// uvStarts begins what uv says about an error, which may take several lines. What follows "hint:" or "help:" is for
// people at a terminal.
var (
	uvStarts = regexp.MustCompile(`^\s*(?:error:|[×x] |╰─▶|` + "`->)")
	uvEnds   = regexp.MustCompile(`^\s*(?:hint|help|note):`)
	uvFrame  = regexp.MustCompile("[×│├╰─▶]+|`->|\\s+")
)

// uvReason joins the lines of uv's error: "No solution found when resolving dependencies: Because ...".
func uvReason(lines []string) string {
	var words []string
	begun := false
	for _, line := range lines {
		begun = begun || uvStarts.MatchString(line)
		if !begun {
			continue
		}
		if uvEnds.MatchString(line) || len(words) == 10 {
			break
		}
		if line = strings.TrimSpace(uvFrame.ReplaceAllString(line, " ")); line != "" && !private.MatchString(line) {
			words = append(words, strings.TrimPrefix(strings.TrimPrefix(line, "error: "), "x "))
		}
	}
	return strings.TrimRight(clip(strings.Join(words, " "), maxLine), ".")
}

// uvProgram finds the program that is named like the package, as uvx does, or else the only one.
func uvProgram(folder, requirement string) (string, error) {
	name := requirement
	if i := strings.IndexAny(name, "[="); i >= 0 {
		name = name[:i]
	}
	entries, err := os.ReadDir(filepath.Join(folder, "bin"))
	if err != nil || len(entries) == 0 {
		return "", &trouble{reason: "it has no program", cause: err}
	}
	chosen := ""
	for _, e := range entries {
		if e.Name() == name || chosen == "" && normal(e.Name()) == normal(name) {
			chosen = e.Name()
		}
	}
	if chosen == "" && len(entries) == 1 {
		chosen = entries[0].Name()
	}
	if chosen == "" {
		return "", &trouble{reason: "none of its programs has the package's name", cause: fmt.Errorf("it has %d", len(entries))}
	}
	relative := filepath.Join("bin", chosen)
	file, err := filepath.EvalSymlinks(filepath.Join(folder, relative))
	if err == nil && !below(folder, file) {
		err = errors.New("it leads out of the package's folder")
	}
	if err != nil {
		return "", &trouble{reason: "its program cannot be used", cause: err}
	}
	return relative, nil
}

var separators = regexp.MustCompile(`[-_.]+`)

// normal is how PyPI compares names.
func normal(name string) string { return strings.ToLower(separators.ReplaceAllString(name, "-")) }
