package verdict

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestParse(t *testing.T) {
	for in, want := range map[string]string{
		`{"accept":true}`: "accept",
		`{"accept":true,"mutated":false,"message":{"id":1},"reason":""}`:       "accept",
		`{"accept":true,"mutated":true,"message":{"id":12345678901234567890}}`: `accept {"id":12345678901234567890}`,
		`{"accept":false,"reason":"no\nsecrets\u0000\u202e here"}`:             "reject no secrets here",
		`{"accept":false,"mutated":true,"message":null,"reason":null}`:         "reject",
		`{"accept":false,"mutated":false,"extra":{"deep":[1]}}`:                "reject",
		`{"message":"thanks"}`:                          "none",
		`{}`:                                            "none",
		`{"accept":"true"}`:                             "error",
		`{"accept":1}`:                                  "error",
		`{"accept":null}`:                               "error",
		`{"Accept":false}`:                              "error",
		`{"accept":true,"accept":false}`:                "error",
		`{"accept":true,"Accept":false}`:                "error",
		`{"mutated":true,"message":{}}`:                 "error",
		`{"accept":true,"mutated":true}`:                "error",
		`{"accept":true,"mutated":true,"message":null}`: "error",
		`{"accept":true,"mutated":true,"message":"{}"}`: "error",
		`{"accept":true,"mutated":true,"message":[{}]}`: "error",
		`{"accept":true,"mutated":"yes","message":{}}`:  "error",
		`{"accept":true,"reason":1}`:                    "error",
		`{"accept":true,"reason":"\ud800"}`:             "error",
		`{"accept":true`:                                "error",
		`{"accept":true} `:                              "accept",
		`{"accept":true}x`:                              "error",
		`[{"accept":true}]`:                             "error",
		`<html>`:                                        "error",
		``:                                              "error",
	} {
		v, err := Parse([]byte(in))
		got := "reject " + v.Reason
		switch {
		case errors.Is(err, ErrNone):
			got = "none"
		case err != nil:
			got = "error"
		case v.Accept:
			got = "accept " + string(v.Message)
		}
		if got = strings.TrimSpace(got); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}

func TestQuestionIsAVerdictOfItsOwn(t *testing.T) {
	message := `{"jsonrpc":"2.0","id":12345678901234567890,"method":"x","params":{"a":"<&>"}}`
	q := Question([]byte(message))
	if v, err := Parse(q); err != nil || !v.Accept || v.Message != nil || !json.Valid(q) || !bytes.Contains(q, []byte(message)) {
		t.Errorf("%s: %+v, %v", q, v, err)
	}
	out, err := Verdict{Accept: true, Message: []byte(`{"a":1.0}`)}.JSON([]byte(message))
	if err != nil {
		t.Fatal(err)
	}
	if v, err := Parse(out); err != nil || string(v.Message) != `{"a":1.0}` {
		t.Errorf("%s: %+v, %v", out, v, err)
	}
	out, err = Verdict{Reason: "no"}.JSON([]byte(message))
	if v, parseErr := Parse(out); err != nil || parseErr != nil || v.Accept || v.Reason != "no" {
		t.Errorf("%s: %+v, %v, %v", out, v, err, parseErr)
	}
}

func TestShown(t *testing.T) {
	if got := Shown(strings.Repeat("ü", 5000)); len(got) > maxShown+3 || !utf8.ValidString(got) || !strings.HasSuffix(got, "…") {
		t.Errorf("%d bytes, %q", len(got), got[len(got)-8:])
	}
	if got := Shown(" a\r\nb\x1b[2J\u200b c\u2028d "); got != "a b [2J c d" {
		t.Errorf("%q", got)
	}
}

// A verdict is read as everybody reads it, or not at all; and what is shown can be shown.
func FuzzParse(f *testing.F) {
	for _, in := range []string{`{"accept":true,"mutated":true,"message":{"a":1},"reason":"x"}`, `{"accept":false,"reason":"\u0000"}`, `{"Accept":true}`, `{"ac_cept":1,"accept":false}`} {
		f.Add([]byte(in))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		v, err := Parse(in)
		if err != nil {
			return
		}
		var lenient struct {
			Accept, Mutated bool
			Message         json.RawMessage
		}
		if err := json.Unmarshal(in, &lenient); err != nil {
			t.Fatalf("only we read %q", in)
		}
		if lenient.Accept != v.Accept || v.Accept && lenient.Mutated != (v.Message != nil) || v.Message != nil && string(v.Message) != string(lenient.Message) {
			t.Errorf("%q is %+v to us and %+v to others", in, v, lenient)
		}
		if strings.ContainsFunc(v.Reason, unicode.IsControl) || len(v.Reason) > maxShown+3 || !utf8.ValidString(v.Reason) {
			t.Errorf("the reason %q", v.Reason)
		}
	})
}
