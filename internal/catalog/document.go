package catalog

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

const (
	maxFile     = 4 << 20 // bytes of one file
	maxProblems = 1000    // of one file
)

// document is one file on its way from bytes to a checked value: its node tree, where each decoded value stood, and
// what is wrong with it.
type document struct {
	file     string
	root     *yaml.Node    // nil where the file is no YAML
	lines    map[any]int   // by pointer to the decoded value; what is not in the file has none
	broken   map[any]bool  // by pointer too: what had a value of the wrong type
	facts    map[any]*fact // by pointer: what the checks say of each field; collected only where it is not nil
	problems Problems
}

// readDocument reads a file. What keeps it from being read is a problem like any other.
func readDocument(file string) *document {
	data, err := readFile(file)
	if err != nil {
		d := &document{file: file}
		d.add(0, "%v", err)
		return d
	}
	return newDocument(file, data)
}

func readFile(file string) ([]byte, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, fmt.Errorf("read: %w", errors.Unwrap(err)) // the file's name stands before every problem already
	}
	if !info.Mode().IsRegular() { // opening a pipe would wait for its writer
		return nil, errors.New("read: not a regular file")
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("read: %w", errors.Unwrap(err))
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("read: %w", err)
	}
	return data, nil
}

func newDocument(file string, data []byte) *document {
	d := &document{file: file, lines: map[any]int{}, broken: map[any]bool{}}
	if len(data) > maxFile {
		d.add(0, "the file is larger than %d MiB", maxFile>>20)
		return d
	}
	if !utf8.Valid(data) { // the library would also read UTF-16, which reviewers and other tools may not
		d.add(0, "the file is not UTF-8")
		return d
	}
	if at := hiddenBreak.FindIndex(data); at != nil {
		d.add(bytes.Count(data[:at[0]], []byte("\n"))+1, "a line break that editors do not show: write it as \\r, \\N, \\L or \\P in double quotes")
		return d
	}
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var first, second yaml.Node
	switch err := decoder.Decode(&first); {
	case err == io.EOF:
		d.add(0, "the file is empty")
		return d
	case err != nil:
		d.addSyntax(err, data)
		return d
	}
	switch err := decoder.Decode(&second); {
	case err == nil:
		d.add(second.Line, "a second document begins here: write one per file")
	case err != io.EOF:
		d.addSyntax(err, data)
	}
	d.root = first.Content[0]
	d.refuseTricks(d.root)
	return d
}

// hiddenBreak is what YAML 1.1 takes for the end of a line, and with it of a comment, though most editors show what
// follows as if it still belonged to that line: a lone carriage return, NEL, LS and PS.
var hiddenBreak = regexp.MustCompile(`\r(?:[^\n]|\z)|[\x{85}\x{2028}\x{2029}]`)

// refuseTricks refuses what lets YAML mean other than it reads: aliases (which also grow without bound) and tags.
// It never repeats the text: a password may begin with one of these characters.
func (d *document) refuseTricks(n *yaml.Node) {
	switch {
	case n.Kind == yaml.AliasNode:
		d.add(n.Line, aliasText)
	case n.Anchor != "":
		d.add(n.Line, "anchors are not supported; quote text that begins with &")
	case n.Style&yaml.TaggedStyle != 0:
		d.add(n.Line, "tags are not supported; quote text that begins with !")
	}
	for _, child := range n.Content {
		d.refuseTricks(child)
	}
}

const aliasText = "aliases are not supported; quote text that begins with *"

var (
	syntaxError   = regexp.MustCompile(`^yaml: (?:line (\d+): )?(?s:(.*))$`)
	unknownAnchor = regexp.MustCompile(`^unknown anchor '(.*)' referenced$`)
)

// addSyntax adds the YAML library's complaint, which holds the line as text, if at all. Of all its texts only the one
// about an unknown anchor repeats input.
func (d *document) addSyntax(err error, data []byte) {
	line, text := 0, err.Error()
	if m := syntaxError.FindStringSubmatch(text); m != nil {
		line, _ = strconv.Atoi(m[1])
		text = m[2]
	}
	if m := unknownAnchor.FindStringSubmatch(text); m != nil {
		if before, _, ok := bytes.Cut(data, []byte("*"+m[1])); ok {
			line = bytes.Count(before, []byte("\n")) + 1
		}
		text = aliasText
	}
	d.add(line, "%s", text)
}

// add adds a problem, up to maxProblems.
func (d *document) add(line int, format string, args ...any) {
	switch n := len(d.problems); {
	case n < maxProblems:
		d.problems = append(d.problems, Problem{File: d.file, Line: line, Text: fmt.Sprintf(format, args...)})
	case n == maxProblems:
		d.problems = append(d.problems, Problem{File: d.file, Text: "and more problems, which are not shown"})
	}
}

// bad adds a problem with the value that at points to, unless it was not even of the right type.
func (d *document) bad(at any, format string, args ...any) {
	if !d.broken[at] {
		d.add(d.lines[at], format, args...)
	}
}

// moved says that a decoded value was copied to another place.
func (d *document) moved(from, to any) {
	if line, ok := d.lines[from]; ok {
		d.lines[to], d.broken[to] = line, d.broken[from]
	}
}

// has reports whether the value that at points to was given in the file: an absent one gets a default, one that is
// given as zero or empty does not.
func (d *document) has(at any) bool {
	_, ok := d.lines[at]
	return ok
}
