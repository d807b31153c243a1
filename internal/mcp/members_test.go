package mcp

import (
	"strings"
	"testing"
)

func TestMembers(t *testing.T) {
	for in, want := range map[string]string{
		`{"accept":true,"reason":"x"}`:            `true||"x"`,
		` {"message": {"a":1} , "other":[2] } `:   `|{"a":1}|`,
		`{}`:                                      `||`,
		`{"accept":true,"accept":false}`:          "error",
		`{"accept":true,"Accept":false}`:          "error",
		`{"ac_cept":false}`:                       "error",
		`{"__proto__":{"accept":true}}`:           "error",
		`{"other":{"a":1,"a":2}}`:                 "error",
		`{"accept":true}{}`:                       "error",
		`{"accept":tru}`:                          "error",
		`[{"accept":true}]`:                       "error",
		``:                                        "error",
		"\xef\xbb\xbf{}":                          "error",
		"{\"accept\":\"\xff\"}":                   "error",
		strings.Repeat(`{"a":`, maxDepth+1) + `1`: "error",
	} {
		got := "error"
		if values, err := Members([]byte(in), "accept", "message", "reason"); err == nil {
			got = string(values[0]) + "|" + string(values[1]) + "|" + string(values[2])
		}
		if got != want {
			t.Errorf("%.60q: %s, want %s", in, got, want)
		}
	}
}
