package packages

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"path/filepath"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxManifest bounds a package.json, in bytes.
const maxManifest = 1 << 20

// entry is a program that a package.json names.
type entry struct{ name, path string }

// programOf returns the program that npx runs of a package, by its package.json: the only one, or the one that is named
// like the package without its scope. Path is where the program is in the package's folder.
func programOf(manifest []byte, name string) (program, target string, err error) {
	name = name[strings.LastIndexByte(name, '/')+1:]
	bin, err := binOf(manifest)
	if err != nil {
		return "", "", err
	}
	entries, err := entriesOf(bin, name)
	if err != nil {
		return "", "", err
	}
	chosen := -1
	same := true // several names of one program count as one
	for i, e := range entries {
		same = same && e.path == entries[0].path
		if e.name == name {
			chosen = i
		}
	}
	if len(entries) > 0 && same {
		chosen = 0
	}
	if chosen < 0 {
		return "", "", fmt.Errorf("of its %d programs none has the package's name", len(entries))
	}
	e := entries[chosen]
	if !isFileName(e.name) {
		return "", "", fmt.Errorf("the program's name %.40q is no file name", e.name)
	}
	target = path.Clean(e.path)
	if target == "." || !filepath.IsLocal(target) || !isPrintable(e.path) || strings.ContainsAny(e.path, `\:`) {
		return "", "", fmt.Errorf("the program's path %.80q leads out of the package", e.path)
	}
	return e.name, target, nil
}

// binOf returns the field "bin" of a package.json. It refuses what readers could understand in different ways.
func binOf(manifest []byte) (json.RawMessage, error) {
	if !utf8.Valid(manifest) {
		return nil, errors.New("not UTF-8")
	}
	var bin json.RawMessage
	err := fields(manifest, func(name string, value json.RawMessage) error {
		if name == "bin" {
			if bin != nil {
				return errors.New(`"bin" is given twice`)
			}
			bin = value
		}
		return nil
	})
	return bin, err
}

// entriesOf reads a "bin": the path of a program that is named like the package, or paths by name.
func entriesOf(bin json.RawMessage, name string) ([]entry, error) {
	if len(bin) > 0 && bin[0] == '"' {
		var text string
		err := json.Unmarshal(bin, &text)
		return []entry{{name, text}}, err
	}
	if len(bin) == 0 || bin[0] != '{' {
		return nil, errors.New(`"bin" names no program`)
	}
	var entries []entry
	seen := map[string]bool{}
	err := fields(bin, func(name string, value json.RawMessage) error {
		if seen[name] {
			return fmt.Errorf("the program %.40q is given twice", name)
		}
		seen[name] = true
		var text string
		if value[0] != '"' {
			return fmt.Errorf("the path of the program %.40q is no text", name)
		}
		if err := json.Unmarshal(value, &text); err != nil {
			return err
		}
		entries = append(entries, entry{name, text})
		return nil
	})
	return entries, err
}

// fields calls visit with each field of an object that is all of text, in its order.
func fields(text []byte, visit func(name string, value json.RawMessage) error) error {
	decoder := json.NewDecoder(bytes.NewReader(text))
	token, err := decoder.Token()
	if err != nil {
		return err
	}
	if token != json.Delim('{') {
		return errors.New("not an object")
	}
	for decoder.More() {
		token, err := decoder.Token()
		if err != nil {
			return err
		}
		name, _ := token.(string) // the decoder takes nothing else here
		var value json.RawMessage
		if err := decoder.Decode(&value); err != nil {
			return err
		}
		if err := visit(name, value); err != nil {
			return err
		}
	}
	if _, err := decoder.Token(); err != nil {
		return err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return errors.New("more than one value")
	}
	return nil
}

func isFileName(name string) bool {
	return name != "" && name != "." && name != ".." && len(name) <= 200 && isPrintable(name) && !strings.ContainsAny(name, `/\:`)
}

func isPrintable(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) })
}
