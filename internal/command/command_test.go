package command

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"testing"
)

func TestExecute(t *testing.T) {
	defer slog.SetDefault(slog.Default())
	for name, test := range map[string]struct {
		args []string
		fail error
		code int
		said string
		ran  bool
	}{
		"runs":             {ran: true},
		"fails":            {fail: errors.New("no PLATFORM"), code: 1, said: "no PLATFORM\n", ran: true},
		"is asked":         {args: []string{"--help"}, said: "usage: x\n"},
		"is asked briefly": {args: []string{"-h", "more"}, said: "usage: x\n"},
		"is misled":        {args: []string{"serve"}, code: 2, said: "usage: x\n"},
	} {
		t.Run(name, func(t *testing.T) {
			var stderr bytes.Buffer
			ran := false
			code := execute(test.args, &stderr, "usage: x\n", func(*slog.Logger) error { ran = true; return test.fail })
			if code != test.code || stderr.String() != test.said || ran != test.ran {
				t.Errorf("ended with %d after %q, ran %v", code, stderr.String(), ran)
			}
		})
	}
}

// What a program logs is JSON, by its own logger and by the standard one.
func TestExecuteLogs(t *testing.T) {
	defer slog.SetDefault(slog.Default())
	var stderr bytes.Buffer
	execute(nil, &stderr, "", func(log *slog.Logger) error {
		log.Info("one")
		slog.Info("two")
		return nil
	})
	for _, line := range []string{`"msg":"one"`, `"msg":"two"`} {
		if !bytes.Contains(stderr.Bytes(), []byte(line)) {
			t.Errorf("no %s in %s", line, stderr.String())
		}
	}
}

// A keeper prints the token of a shim, and knows no other arguments.
func TestExecuteKeeper(t *testing.T) {
	defer slog.SetDefault(slog.Default())
	for name, test := range map[string]struct {
		args []string
		code int
		shim string
		ran  bool
	}{
		"serves":         {ran: true},
		"prints":         {args: []string{"token", "notes"}, shim: "notes", ran: true},
		"no id":          {args: []string{"token", "No/tes"}, code: 2},
		"an id too many": {args: []string{"token", "notes", "mail"}, code: 2},
		"no id at all":   {args: []string{"token"}, code: 2},
		"is asked":       {args: []string{"--help"}},
	} {
		t.Run(name, func(t *testing.T) {
			got, ran := "", false
			code := executeKeeper(test.args, io.Discard, io.Discard, "usage: x\n", func(shim string, _ io.Writer, _ *slog.Logger) error {
				got, ran = shim, true
				return nil
			})
			if code != test.code || got != test.shim || ran != test.ran {
				t.Errorf("ended with %d, of %q, ran %v", code, got, ran)
			}
		})
	}
}
