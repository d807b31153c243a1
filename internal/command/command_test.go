package command

import (
	"bytes"
	"errors"
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
