package process

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mcpgateway/internal/deploy"
)

// A spec that is taken is whole, and survives being written again: secrets byte for byte, whatever they hold.
func FuzzReadSpec(f *testing.F) {
	f.Add([]byte(`{"id":"i","dir":"d","logs":"l","drain":1,"units":[{"name":"shim","shim":true,"path":"p","args":["p"],"env":["QT1i"],"files":[{"variable":"V","value":"AAAA"}]}]}`))
	f.Add([]byte(`{"dir":"d","logs":"l","units":[null]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		if s, err := readSpec(bytes.NewReader(text)); err == nil && (s.Dir == "" || s.Logs == "" || len(s.Units) == 0) {
			t.Errorf("took %+v", s)
		} else if err != nil && len(text) > 20 && strings.Contains(err.Error(), string(text[:20])) {
			t.Errorf("the error quotes what may be a secret: %v", err)
		}
		want := spec{ID: "i", Dir: "d", Logs: "l", Units: []unitSpec{{Name: "shim", Path: "p", Args: []string{"p"}, Env: [][]byte{text}, Files: []fileSpec{{Variable: "V", Value: text}}}}}
		written, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := readSpec(bytes.NewReader(written)); err != nil || !bytes.Equal(got.Units[0].Env[0], text) || !bytes.Equal(got.Units[0].Files[0].Value, text) {
			t.Errorf("%q became %+v, %v", text, got, err)
		}
	})
}

// Whatever a unit prints, the log has its bytes, in lines of bounded length that say whose they are.
func FuzzLines(f *testing.F) {
	f.Add([]byte("one\ntwo\r\n\nlast"), 3)
	f.Add(bytes.Repeat([]byte("x"), 100), 1)
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, printed []byte, repeat int) {
		if repeat = max(1, repeat%64); len(printed) > 16<<10 {
			return
		}
		printed = bytes.Repeat(printed, repeat)
		path := filepath.Join(dir, "unit.log")
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		var last lastLines
		(&lineLog{file: newLogFile(path), prefix: "id ", unit: "u", last: &last}).copy(bytes.NewReader(printed))
		written, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var said []byte
		for line := range bytes.Lines(written) {
			stamp, rest, ok := bytes.Cut(line, []byte("Z id "))
			if _, err := time.Parse("2006-01-02T15:04:05.000", string(stamp)); !ok || err != nil || len(rest) > maxLine+1 {
				t.Fatalf("%q was logged as %q", printed, line)
			}
			if said = append(said, rest...); len(rest) == maxLine+1 {
				said = said[:len(said)-1] // a piece of a longer line
			}
		}
		if want := bytes.TrimSuffix(printed, []byte("\n")); !bytes.Equal(bytes.TrimSuffix(said, []byte("\n")), want) && len(printed) > 0 {
			t.Fatalf("%q was logged as %q", printed, said)
		}
		if lines := last.all(); len(lines) > lastLinesKept || len(lines) > 0 && len(lines[0]) > lastLineBytes+3 {
			t.Fatalf("%d last lines are kept: %q", len(lines), lines)
		}
	})
}

// Whatever a plan calls a secret, only a file two folders below the store is read.
func FuzzSecretName(f *testing.F) {
	f.Add("mcp-a-server", "token")
	f.Add("mcp-..", "../outside")
	f.Add("mcp-a/b", "c")
	store := f.TempDir()
	f.Fuzz(func(t *testing.T, folder, key string) {
		_, err := secretFolder(store).value(deploy.Secret{Store: folder, Key: key})
		inside := strings.HasPrefix(folder, "mcp-") && filepath.Join(store, folder[4:], key) == store+"/"+folder[4:]+"/"+key &&
			strings.Count(folder+key, "/") == 0 && folder[4:] != "" && folder[4] != '.' && key != "" && key[0] != '.'
		if asked := err == nil || strings.Contains(err.Error(), "is missing"); asked && !inside {
			t.Errorf("%q, %q: %v", folder, key, err)
		}
	})
}
