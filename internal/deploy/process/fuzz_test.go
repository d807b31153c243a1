package process

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
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
