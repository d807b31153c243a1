package mcp

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"testing"
)

func TestRedact(t *testing.T) {
	const gone = Redacted
	for name, c := range map[string]struct {
		paths    []string
		in, want string
		cut      bool
	}{
		"no path":         {nil, `{"a": 1}`, `{"a": 1}`, false},
		"member":          {[]string{"$.params.arguments.password"}, `{"params":{"arguments":{"password":"x","b":1}},"password":2}`, `{"params":{"arguments":{"password":` + gone + `,"b":1}},"password":2}`, false},
		"whole value":     {[]string{"$.a"}, `{"a" : {"b":[1,{"c":2}]} , "d":1}`, `{"a" : ` + gone + ` , "d":1}`, false},
		"any depth":       {[]string{"$..token"}, `{"token":1,"a":[{"token":[2]},{"b":{"token":3}}]}`, `{"token":` + gone + `,"a":[{"token":` + gone + `},{"b":{"token":` + gone + `}}]}`, false},
		"below any depth": {[]string{"$..a.b"}, `{"a":{"b":1,"a":{"b":2}},"b":3}`, `{"a":{"b":` + gone + `,"a":{"b":` + gone + `}},"b":3}`, false},
		"every":           {[]string{"$.a[*].b", "$.c.*"}, `{"a":[{"b":1},{"b":2}],"c":{"d":3,"e":4}}`, `{"a":[{"b":` + gone + `},{"b":` + gone + `}],"c":{"d":` + gone + `,"e":` + gone + `}}`, false},
		"in brackets":     {[]string{`$['a.b']['it\'s']`}, `{"a.b":{"it's":1}}`, `{"a.b":{"it's":` + gone + `}}`, false},
		"escaped name":    {[]string{"$.password"}, `{"\u0070assword":1}`, `{"\u0070assword":` + gone + `}`, false},
		"other case":      {[]string{"$.api_key"}, `{"apiKey":1,"API_KEY":2}`, `{"apiKey":` + gone + `,"API_KEY":` + gone + `}`, false},
		"batch":           {[]string{"$.a"}, `[{"a":1},{"b":2}]`, `[{"a":` + gone + `},{"b":2}]`, false},
		"torn inside":     {[]string{"$.a"}, `{"b":1,"a":"secr`, `{"b":1,"a":`, true},
		"torn deeper":     {[]string{"$.a"}, `{"b":1,"a":{"c":"secr`, `{"b":1,"a":`, true},
		"torn elsewhere":  {[]string{"$.a"}, `{"a":"secret","b":"op`, `{"a":` + gone + `,"b":"op`, true},
		"twice":           {[]string{"$.a"}, `{"a":"secret","a":"secret"}`, `{"a":` + gone + `,"a"`, true},
		"no JSON":         {[]string{"$.a"}, `a=secret`, ``, true},
		"page":            {[]string{"$.a"}, `<html>secret`, ``, true},
		"more after":      {[]string{"$.a"}, `{"a":1} {"a":"secret"}`, `{"a":` + gone + `} `, true},
		"no UTF-8":        {[]string{"$.a"}, "{\"b\":\"\xff\",\"a\":\"secret\"}", `{"b":"`, true},
		"half a rune":     {[]string{"$.a"}, "{\"b\":\"ä"[:7], `{"b":"`, true},
		"byte order mark": {[]string{"$.a"}, "\xef\xbb\xbf{\"a\":1}", ``, true},
		"deep":            {[]string{"$.a"}, strings.Repeat("[", 200) + `{"a":"secret"}`, strings.Repeat("[", maxDepth), true},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := NewRedactor(c.paths)
			if err != nil {
				t.Fatal(err)
			}
			got, whole := r.Redact([]byte(c.in))
			if string(got) != c.want || whole == c.cut {
				t.Errorf("got  %s (whole: %v)\nwant %s", got, whole, c.want)
			}
		})
	}
}

func TestRedactorRefuses(t *testing.T) {
	for _, path := range []string{"", "$", "a", ".a", "$a", "$.", "$..", "$.a.", "$[0]", "$['']", "$['a", "$['a'", `$["a"]`, "$.a b", "$.a[?(@.b)]",
		"$...a", "$.a]", `$['a\n']`, "$['a\n']", "$.\xff", "$" + strings.Repeat(".a", maxSteps+1), "$." + strings.Repeat("a", maxPath)} {
		if _, err := NewRedactor([]string{path}); err == nil {
			t.Errorf("%q was taken", path)
		}
	}
	if _, err := NewRedactor(make([]string, maxPaths+1)); err == nil {
		t.Error("any number of paths was taken")
	}
}

// What encoding/json makes of a redacted body is what it makes of the body, without what the path names. Of the beginning
// of a body, the beginning of the same comes out, and nothing else.
func FuzzRedact(f *testing.F) {
	for _, path := range []string{"$.a", "$..a", "$.a.b", "$..a..b", "$.*.a", "$['a'][*]", "$..*.b"} {
		f.Add([]byte(`{"a":{"b":[1,{"a":"x","c":null}]},"c":{"a":-1e5},"ä":"\u0061"}`), path, uint16(20))
		f.Add([]byte(`[{"a":[{"b":1}]},{"A":{"_b":2}}]`), path, uint16(9))
	}
	f.Fuzz(func(t *testing.T, in []byte, path string, cut uint16) {
		r, err := NewRedactor([]string{path})
		if err != nil {
			return
		}
		out, whole := r.Redact(in)
		begin, _ := r.Redact(in[:min(int(cut), len(in))])
		if whole && !bytes.HasPrefix(out, begin) {
			t.Errorf("of the beginning %q came %q, of the whole %q", in[:min(int(cut), len(in))], begin, out)
		}
		if !whole {
			return
		}
		var before, after any
		if err := decodeNumbers(in, &before); err != nil {
			t.Fatalf("%q counts as read: %v", in, err)
		}
		if err := decodeNumbers(out, &after); err != nil {
			t.Fatalf("%q is no JSON: %v", out, err)
		}
		steps := r.paths[0]
		var want any
		if list, ok := before.([]any); ok {
			for i := range list {
				list[i] = without(list[i], steps, []int{0})
			}
			want = list
		} else {
			want = without(before, steps, []int{0})
		}
		a, _ := json.Marshal(want)
		b, _ := json.Marshal(after)
		if !bytes.Equal(a, b) {
			t.Errorf("%s of %s: got %s, want %s", path, in, b, a)
		}
	})
}

func decodeNumbers(in []byte, to *any) error {
	d := json.NewDecoder(bytes.NewReader(in))
	d.UseNumber()
	return d.Decode(to)
}

// without is a value of which a path's steps at these places are to be found.
func without(v any, steps []step, at []int) any {
	for _, i := range at {
		if i == len(steps) {
			text, _ := strconv.Unquote(Redacted)
			return text
		}
	}
	below := func(name string, member bool) (next []int) {
		for _, i := range at {
			s := steps[i]
			if s.deep {
				next = append(next, i)
			}
			if s.name == "" || member && strings.EqualFold(strings.ReplaceAll(name, "_", ""), strings.ReplaceAll(s.name, "_", "")) {
				next = append(next, i+1)
			}
		}
		if len(next) > 2*maxSteps { // the same place many times over
			seen := map[int]bool{}
			for _, i := range next {
				seen[i] = true
			}
			next = next[:0]
			for i := range seen {
				next = append(next, i)
			}
		}
		return next
	}
	switch v := v.(type) {
	case map[string]any:
		for name := range v {
			v[name] = without(v[name], steps, below(name, true))
		}
	case []any:
		for i := range v {
			v[i] = without(v[i], steps, below("", false))
		}
	}
	return v
}
