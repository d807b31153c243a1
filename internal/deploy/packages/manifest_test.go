package packages

import (
	"encoding/json"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestProgramOf(t *testing.T) {
	for text, want := range map[string]string{
		`{"bin":"cli.js"}`:                                       "b cli.js",
		`{"name":"other","bin":"./dist/cli.js"}`:                 "b dist/cli.js",
		`{"bin":{"serve":"cli.js"}}`:                             "serve cli.js",
		`{"bin":{"x":"x.js","b":"b.js"}}`:                        "b b.js",
		`{"bin":{"x":"x.js","y":"x.js"}}`:                        "x x.js",
		`{"bin":{"x":"b.js","b":"b.js"}}`:                        "x b.js",
		`{"a":{"bin":"x"},"bin":"cli.js","scripts":{"bin":"y"}}`: "b cli.js",
		`{"Bin":"x.js","bin":"cli.js"}`:                          "b cli.js",
		`{"bin":{"x":"x.js","y":"y.js"}}`:                        "of its 2 programs none has the package's name",
		`{"bin":{}}`:                                             "of its 0 programs",
		`{}`:                                                     `"bin" names no program`,
		`{"bin":null}`:                                           `"bin" names no program`,
		`{"bin":["x.js"]}`:                                       `"bin" names no program`,
		`{"bin":false}`:                                          `"bin" names no program`,
		`{"bin":{"b":1}}`:                                        "is no text",
		`{"bin":{"b":"b.js","x":null}}`:                          "is no text",
		`{"bin":"a.js","bin":"b.js"}`:                            "given twice",
		`{"bin":{"b":"a.js","b":"b.js"}}`:                        "given twice",
		`{"bin":""}`:                                             "leads out",
		`{"bin":"."}`:                                            "leads out",
		`{"bin":"../x.js"}`:                                      "leads out",
		`{"bin":"a/../../x.js"}`:                                 "leads out",
		`{"bin":"/bin/sh"}`:                                      "leads out",
		`{"bin":"a\\b.js"}`:                                      "leads out",
		`{"bin":"C:x.js"}`:                                       "leads out",
		`{"bin":"a\u0000.js"}`:                                   "leads out",
		`{"bin":{"../x":"x.js"}}`:                                "is no file name",
		`{"bin":{"..":"x.js"}}`:                                  "is no file name",
		`{"bin":{"":"x.js"}}`:                                    "is no file name",
		`{"bin":{"a\nb":"x.js"}}`:                                "is no file name",
		`{"bin":{"` + strings.Repeat("a", 201) + `":"x.js"}}`:    "is no file name",
		`{"bin":"a.js"} {}`:                                      "more than one value",
		`{"bin":"a.js"`:                                          "EOF",
		`{"bin":"a.js",}`:                                        "invalid character",
		`["bin","a.js"]`:                                         "not an object",
		`"bin"`:                                                  "not an object",
		"":                                                       "EOF",
		"\ufeff{\"bin\":\"a.js\"}":                               "invalid character",
		"{\"bin\":\"\xff.js\"}":                                  "not UTF-8",
		`{"bin":{"b":"b.js"},"x":` + strings.Repeat("[", 20000) + `}`: "exceeded max depth",
	} {
		name, target, err := programOf([]byte(text), "@a/b")
		got := name + " " + target
		if err != nil {
			got = err.Error()
		}
		if !strings.Contains(got, want) {
			t.Errorf("%.80s: %s, want %s", text, got, want)
		}
	}
}

// FuzzManifest reads what anybody may have published. Whatever comes out must be safe to join to a folder.
func FuzzManifest(f *testing.F) {
	for _, text := range []string{
		`{"name":"@a/b","version":"1.2.3","bin":"./dist/cli.js"}`, `{"bin":{"b":"b.js","x":"x.js"}}`, `{"bin":{"x":"a","y":"a"}}`,
		`{"bin":"../../x"}`, `{"bin":{"..":"x"}}`, `{"bin":"a","bin":"b"}`, `{"bin":{"a\u002fb":"c\u005cd"}}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		name, target, err := programOf(text, "@a/b")
		if err != nil {
			if name != "" || target != "" {
				t.Errorf("%q, %q and %v", name, target, err)
			}
			return
		}
		folder := "/f/node_modules"
		if filepath.Dir(filepath.Join(folder, ".bin", name)) != folder+"/.bin" {
			t.Errorf("the name %q leads elsewhere", name)
		}
		if path := filepath.Join(folder, "b", target); !strings.HasPrefix(path, folder+"/b/") || filepath.Clean(path) != path {
			t.Errorf("the path %q leads elsewhere", target)
		}
		if strings.ContainsAny(name+target, "\x00\n\r\\:") || !utf8.ValidString(name+target) {
			t.Errorf("%q, %q are no paths", name, target)
		}
		if !names(t, text, name, target) {
			t.Errorf("%q: %q, %q is not what it names", text, name, target)
		}
	})
}

// names tells whether encoding/json reads the same program, which npx would choose, of a package "b".
func names(t *testing.T, manifest []byte, name, target string) bool {
	var document map[string]json.RawMessage // a struct would take "Bin" too
	if err := json.Unmarshal(manifest, &document); err != nil {
		t.Fatalf("%q is taken: %v", manifest, err)
	}
	var only string
	if json.Unmarshal(document["bin"], &only) == nil {
		return name == "b" && target == path.Clean(only)
	}
	var programs map[string]string
	if err := json.Unmarshal(document["bin"], &programs); err != nil {
		t.Fatalf("%q is taken: %v", manifest, err)
	}
	different := map[string]bool{}
	for _, text := range programs {
		different[text] = true
	}
	text, known := programs[name]
	return known && target == path.Clean(text) && (name == "b" || len(different) == 1)
}

// FuzzOutput reads what a package's scripts may print: lines for the log and sentences for callers.
func FuzzOutput(f *testing.F) {
	f.Add([]byte("npm error code E404\nnpm error 404 Not Found - GET https://u:p@x/a\nnpm error 404  The requested resource\n"), 7)
	f.Add([]byte("  × No solution found:\n  ╰─▶ Because a\x1b[31m was\r\n      not found.\n\n      hint: x"), 3)
	f.Add([]byte("error: \xff\xfe /etc/passwd\x00\u2028\n"), 1)
	f.Add([]byte("npm error code EBADENGINE\nnpm error notsup Not compatible, see cache=~/x\n"), 9)
	f.Fuzz(func(t *testing.T, text []byte, step int) {
		var lines []string
		o := &output{print: func(line string) { lines = append(lines, line) }}
		step = max(1, step%1000)
		for rest := text; len(rest) > 0; rest = rest[min(step, len(rest)):] {
			if n, err := o.Write(rest[:min(step, len(rest))]); err != nil || n != min(step, len(rest)) {
				t.Fatalf("wrote %d, %v", n, err)
			}
		}
		o.end()
		var atOnce []string
		whole := &output{print: func(line string) { atOnce = append(atOnce, line) }}
		_, _ = whole.Write(text) // it never fails
		if whole.end(); !slices.Equal(lines, atOnce) || !slices.Equal(o.last, whole.last) {
			t.Errorf("%q in pieces of %d became %q, at once %q", text, step, lines, atOnce)
		}
		if len(lines) > maxPrinted+1 || len(o.last) > maxLast {
			t.Errorf("%d lines, %d kept", len(lines), len(o.last))
		}
		for _, line := range append(lines, npmReason(o.last), uvReason(o.last)) {
			if len(line) > 2*maxLine || strings.ContainsAny(line, "\x00\n\r\x1b\u2028") || !utf8.ValidString(line) || tellsCredentials(line) {
				t.Errorf("not fit to be read: %q", line)
			}
		}
		for _, reason := range []string{npmReason(o.last), uvReason(o.last)} {
			if tellsPlace(reason) {
				t.Errorf("not for callers: %q", reason)
			}
		}
	})
}

// tellsCredentials finds an address with what stands before its "@", by another way than the regular expression.
func tellsCredentials(line string) bool {
	for _, rest := range strings.Split(line, "://")[1:] {
		end := strings.IndexAny(rest, "/@ \t")
		if end >= 0 && rest[end] == '@' && rest[:end] != "***" {
			return true
		}
	}
	return false
}

// tellsPlace finds an address or a path of this machine, by another way than the regular expression.
func tellsPlace(sentence string) bool {
	if strings.Contains(sentence, "://") || strings.Contains(sentence, "file:") {
		return true
	}
	words := strings.FieldsFunc(sentence, func(r rune) bool { return unicode.IsSpace(r) || strings.ContainsRune(`"'(=`, r) })
	return slices.ContainsFunc(words, func(word string) bool {
		before, _, drive := strings.Cut(word, `:\`)
		return strings.IndexAny(word, `/~\`) == 0 || drive && strings.TrimRight(before, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") != before
	})
}
