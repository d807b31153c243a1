package differential

import (
	"bytes"
	"fmt"
	"strings"
)

// Bytes alone are mutated into JSON's ruin in most cases. An edit changes a message so that it mostly stays one, in the
// ways in which parsers are known to disagree.

// membersToAdd are names that somebody decides on, their twins, and some that nobody knows.
var membersToAdd = []string{
	"jsonrpc", "id", "method", "params", "result", "error", "name", "uri", "taskId", "arguments", "ref", "type", "clientInfo",
	"version", "_meta", "notifications", "resourceSubscriptions", "io.modelcontextprotocol/protocolVersion",
	"io.modelcontextprotocol/clientInfo", "Name", "METHOD", "task_id", "resource_subscriptions", "meta", "client_info",
	"__proto__", "constructor", "toJSON", "tools", "Tools", "prompts", "resources", "resource_templates", "resourceTemplates",
	"uriTemplate", "uri_template", "cacheScope", "cache_scope", "Result", "requestState", "x", "", `\u0000`, `\ud83d\ude00`, `\ud800`,
}

// valuesToPut are values of every type, some of which parsers read differently.
var valuesToPut = []string{
	`"a"`, `"b"`, `1`, `null`, `true`, `{}`, `[]`, `""`, `"2.0"`, `"tools/call"`, `"tools/list"`, `"ref/prompt"`, `"ref/resource"`,
	`"resources/read"`, `"tasks/get"`, `"subscriptions/listen"`, `"completion/complete"`, `{"name":"b"}`, `{"name":"a","Name":"b"}`,
	`{"method":"tools/call","name":"b","uri":"b","tools":[{"name":"b"}]}`, `[{"name":"a"},{"name":"b"}]`, `["a","b"]`,
	`[{"uri":"a"},{"uri":"b","__proto__":{"uri":"a"}}]`, `-0`, `1e999`, `9007199254740993`, `0.1e-400`, `"\ud800"`, `"\u0061"`,
	`"a\u0000b"`, `"\ud83d\ude00"`, `"public"`, `{"tools":[{"name":"b"}]}`, `{"resourceSubscriptions":["b"]}`, `{"type":"ref/prompt","name":"b"}`,
}

// maxEdits bounds the edits of one input.
const maxEdits = 6

// message makes an input: one of the seeds, or now and then the bytes themselves, with edits. Each edit is told by three
// bytes: what to do, where, and with what.
func message(seeds []string, seed byte, text, edits []byte) []byte {
	in := text
	if seed%64 < 56 {
		in = []byte(seeds[int(seed%64)%len(seeds)])
	}
	for n := 0; n < maxEdits && len(edits) >= 3; n++ {
		do, where, with := edits[0], int(edits[1]), int(edits[2])
		edits = edits[3:]
		switch do % 6 {
		case 0:
			in = addMember(in, where, `"`+membersToAdd[with%len(membersToAdd)]+`":`+valuesToPut[int(do/6)%len(valuesToPut)])
		case 1:
			in = spell(in, where, func(c byte) string { return fmt.Sprintf(`\u%04x`, c) })
		case 2:
			in = spell(in, where, twin)
		case 3:
			in = putValue(in, where, valuesToPut[with%len(valuesToPut)])
		case 4:
			in = spell(in, where, func(c byte) string { return string(rune(c)) + string(text) })
		case 5:
			in = addMember(in, where, `"`+string(text)+`":`+valuesToPut[with%len(valuesToPut)])
		}
	}
	return in
}

// addMember puts a member at the begin of the where-th object.
func addMember(in []byte, where int, member string) []byte {
	at := nth(in, where, func(i int) bool { return in[i] == '{' })
	if at < 0 {
		return in
	}
	if rest := bytes.TrimLeft(in[at+1:], " \t\r\n"); len(rest) > 0 && rest[0] != '}' {
		member += ","
	}
	return splice(in, at+1, at+1, member)
}

// spell writes the where-th letter in another way.
func spell(in []byte, where int, how func(byte) string) []byte {
	at := nth(in, where, func(i int) bool {
		return in[i]|0x20 >= 'a' && in[i]|0x20 <= 'z' && (i == 0 || in[i-1] != '\\')
	})
	if at < 0 {
		return in
	}
	return splice(in, at, at+1, how(in[at]))
}

// twin is what ignoring case takes for the letter.
func twin(c byte) string {
	switch c {
	case 'k':
		return "\u212a" // the Kelvin sign
	case 's':
		return "\u017f" // the long s
	}
	return strings.ToUpper(string(rune(c)))
}

// putValue replaces the plain value after the where-th colon, or puts a value before one that is not plain.
func putValue(in []byte, where int, value string) []byte {
	at := nth(in, where, func(i int) bool { return in[i] == ':' && i > 0 && in[i-1] == '"' })
	if at < 0 {
		return in
	}
	end := at + 1
	if end < len(in) && in[end] == '"' {
		for end++; end < len(in) && in[end] != '"'; end++ {
		}
		end = min(end+1, len(in))
	} else {
		for end < len(in) && bytes.IndexByte([]byte(",]}{["), in[end]) < 0 {
			end++
		}
	}
	return splice(in, at+1, end, value)
}

// nth is the place where is holds for the n-th time, counted around; -1 where it never does.
func nth(in []byte, n int, is func(i int) bool) int {
	var places []int
	for i := range in {
		if is(i) {
			places = append(places, i)
		}
	}
	if len(places) == 0 {
		return -1
	}
	return places[n%len(places)]
}

func splice(in []byte, from, to int, with string) []byte {
	return append(append(append(make([]byte, 0, len(in)+len(with)), in[:from]...), with...), in[to:]...)
}
